//! Retention: the rules, said and taken back; what was removed, and what had to stay.

use std::time::Duration;

use intendant::{ChangeRecord, IntentState, KeptRecord, RemovalRecord, Retention, RetentionRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::lanes::Changed;
use super::parts::{Answer, Body, Search};
use super::problem::Problem;
use super::verbs::check;

/// How long what ended in a state is kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Only of this kind; otherwise of all that have no rule of their own
    pub(crate) kind: Option<String>,
    /// `succeeded`, `failed` or `cancelled`
    pub(crate) state: IntentState,
    /// For how many seconds everything is kept; none: for ever
    pub(crate) rows_s: Option<u64>,
    /// For how many seconds payloads are kept; none: as long as the rows
    pub(crate) payloads_s: Option<u64>,
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    pub(crate) reason: Option<String>,
}

impl Rule {
    /// The engine's; none if nothing ends in the state.
    pub(crate) fn said(&self) -> Option<Retention> {
        let mut said = Retention::of_state(self.state)?;
        if let Some(kind) = &self.kind {
            said = said.kind(kind);
        }
        if let Some(seconds) = self.rows_s {
            said = said.rows_for(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.payloads_s {
            said = said.payloads_for(Duration::from_secs(seconds));
        }
        Some(said)
    }
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

pub(super) async fn rules(access: Access) -> Result<Answer<Vec<RetentionRecord>>, Problem> {
    Ok(Answer(access.everything()?.retentions().await?))
}

pub(super) async fn removals(access: Access) -> Result<Answer<Vec<RemovalRecord>>, Problem> {
    Ok(Answer(access.everything()?.removals().await?))
}

pub(super) async fn kept(access: Access) -> Result<Answer<Vec<KeptRecord>>, Problem> {
    Ok(Answer(access.everything()?.kept_by_retention().await?))
}

/// Of which rules.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfKind {
    /// Of the rules of this kind; otherwise of those for all kinds
    kind: Option<String>,
}

/// What people have said of them, the latest first.
pub(super) async fn changes(
    access: Access,
    Search(of): Search<OfKind>,
) -> Result<Answer<Vec<ChangeRecord>>, Problem> {
    let changes = access.everything()?.retention_changes(of.kind.as_deref());
    Ok(Answer(changes.await?))
}

pub(super) async fn say(
    access: Access,
    Body(rule): Body<Rule>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(rule.reason.as_deref())?);
    let said = rule.said().ok_or_else(|| no_end(rule.state))?;
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
