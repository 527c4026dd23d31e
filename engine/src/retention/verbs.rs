//! What people say about how long things are kept, with who and why (I9); and what was removed.

use super::{KeptRecord, Pulse, RemovalRecord, Removed, Retention, RetentionRecord};
use crate::change::ChangeRecord;
use crate::client::Intendant;
use crate::error::Error;
use crate::state::IntentState;
use crate::store::Remover;

/// The name under which changes of the rule for all kinds are kept.
const ALL: &str = "*";

impl Intendant {
    /// All rules of how long what has finished is kept: those of all kinds first, then by kind. None: everything is kept.
    pub async fn retentions(&self) -> Result<Vec<RetentionRecord>, Error> {
        self.store().retentions().await
    }

    /// Says how long what ended in a state is kept: this counts before what the code declares, whatever its revision, until
    /// [`retain_as_declared`](Self::retain_as_declared). A rule without times says: for ever. Returns false if a person has said the
    /// same before.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use intendant::{Intendant, Retention};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// let month = Duration::from_secs(30 * 24 * 3600);
    /// let rule = Retention::succeeded().rows_for(month);
    /// assert!(intendant.retain(rule.clone(), "ada", Some("the disk is full by May")).await?);
    /// assert!(!intendant.retain(rule, "ada", None).await?);
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn retain(
        &self,
        rule: Retention,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        rule.check()?;
        let verb = match rule.state {
            IntentState::Succeeded => "retain succeeded",
            IntentState::Failed => "retain failed",
            _ => "retain cancelled",
        };
        let name = rule.kind.as_deref().unwrap_or(ALL);
        let change = self.change("retention", name, verb, actor, reason)?;
        self.store().retain(rule, change).await
    }

    /// Takes back what a person has said: what the code declares counts again, or else everything is kept. Returns false if no person
    /// has said anything.
    pub async fn retain_as_declared(
        &self,
        kind: Option<&str>,
        state: IntentState,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let verb = match state {
            IntentState::Succeeded => "as declared succeeded",
            IntentState::Failed => "as declared failed",
            _ => "as declared cancelled",
        };
        let change = self.change("retention", kind.unwrap_or(ALL), verb, actor, reason)?;
        let kind = kind.map(str::to_owned);
        self.store().retain_as_declared(kind, state, change).await
    }

    /// What people have said of a kind, or of all kinds, the latest first.
    pub async fn retention_changes(&self, kind: Option<&str>) -> Result<Vec<ChangeRecord>, Error> {
        let name = kind.unwrap_or(ALL).to_owned();
        self.store().changes("retention", name).await
    }

    /// How much was removed, by day, kind and sort; the latest day first, a thousand rows at most.
    pub async fn removals(&self) -> Result<Vec<RemovalRecord>, Error> {
        self.store().removals().await
    }

    /// What is old enough and had to stay, and why; what was looked at last comes first, a thousand at most.
    pub async fn kept_by_retention(&self) -> Result<Vec<KeptRecord>, Error> {
        self.store().kept_by_retention().await
    }

    /// Removes what is old enough by the rules, now, and returns when there is nothing more: what workers do by themselves, in the
    /// same small batches with the same pauses. Two at the same time do no harm.
    pub async fn remove_old(&self) -> Result<Removed, Error> {
        let by = Remover {
            session: None,
            worker: "by hand".to_owned(),
        };
        self.store().remove_all_old(&by, &Pulse::default()).await
    }
}
