//! Retention: the rules, said and taken back; what was removed, and what had to stay.

use std::time::Duration;

use intendant::{IntentState, KeptRecord, RemovalRecord, Retention, RetentionRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::parts::{Answer, Body};
use super::problem::Problem;
use super::verbs::check;

/// How long what ended in a state is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// Only of this kind; otherwise of all that have no rule of their own
    kind: Option<String>,
    /// `succeeded`, `failed` or `cancelled`
    state: IntentState,
    /// For how many seconds everything is kept; none: for ever
    rows_s: Option<u64>,
    /// For how many seconds payloads are kept; none: as long as the rows
    payloads_s: Option<u64>,
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    reason: Option<String>,
}

/// Of which rule a person's word is taken back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    /// Of the rule of this kind; otherwise of the one for all kinds
    kind: Option<String>,
    /// `succeeded`, `failed` or `cancelled`
    state: IntentState,
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    reason: Option<String>,
}

/// Whether anything has changed by it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Changed {
    /// It was otherwise before
    changed: bool,
}

pub(super) async fn rules(access: Access) -> Result<Answer<Vec<RetentionRecord>>, Problem> {
    Ok(Answer(access.everything()?.retentions().await?))
}

pub(super) async fn removals(access: Access) -> Result<Answer<Vec<RemovalRecord>>, Problem> {
    Ok(Answer(access.everything()?.removals().await?))
}

pub(super) async fn kept(access: Access) -> Result<Answer<Vec<KeptRecord>>, Problem> {
    Ok(Answer(access.everything()?.kept_by_retention().await?))
}

pub(super) async fn say(
    access: Access,
    Body(rule): Body<Rule>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(rule.reason.as_deref())?);
    let mut said = Retention::of_state(rule.state).ok_or_else(|| no_end(rule.state))?;
    if let Some(kind) = rule.kind {
        said = said.kind(kind);
    }
    if let Some(seconds) = rule.rows_s {
        said = said.rows_for(Duration::from_secs(seconds));
    }
    if let Some(seconds) = rule.payloads_s {
        said = said.payloads_for(Duration::from_secs(seconds));
    }
    let changed = engine.retain(said, access.who(), reason).await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn as_declared(
    access: Access,
    Body(rule): Body<Declared>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(rule.reason.as_deref())?);
    let (kind, who) = (rule.kind.as_deref(), access.who());
    let changed = engine
        .retain_as_declared(kind, rule.state, who, reason)
        .await?;
    Ok(Answer(Changed { changed }))
}

fn no_end(state: IntentState) -> Problem {
    Problem::invalid(format!(
        "an intent that is {state} has not ended: expected succeeded, failed or cancelled"
    ))
}
