//! Retaining: what the code declares of how long things are kept is written down as the worker begins; and, with the heartbeat,
//! whoever's turn it is removes what is old enough, beside the loop and at its own pace.
//!
//! Whose turn it is, is a row ([`Store::to_remove`](crate::store::Store::to_remove)); a worker that dies in the middle
//! has removed what it has committed, and another one goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::engine::Engine;
use crate::again::Again;
use crate::error::Error;
use crate::limits;
use crate::retention::{Pulse, Retention};
use crate::store::{Remover, RuleStanding, Store};

/// Checks everything that can be checked before a database is asked.
pub(super) fn check(rules: &[Retention]) -> Result<(), Error> {
    for (nth, rule) in rules.iter().enumerate() {
        rule.check()?;
        let same = |other: &Retention| other.kind == rule.kind && other.state == rule.state;
        if rules[..nth].iter().any(same) {
            return Err(Error::Setup(format!(
                "with one worker it is declared twice how long {} is kept",
                rule.name()
            )));
        }
    }
    Ok(())
}

/// The removal of one worker: at most one pass at a time, which ends with the worker.
#[derive(Debug, Default)]
pub(super) struct Retaining {
    task: Option<JoinHandle<()>>,
    last: Option<Duration>,
    /// How the worker's ticks go.
    pub(super) pulse: Arc<Pulse>,
}

impl Drop for Retaining {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Retaining {
    /// Its transactions are tasks of their own, which end by themselves.
    pub(super) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Engine {
    /// Writes down what the code declares. Called once, before there is a session.
    pub(super) async fn declare_retention(&self) -> Result<(), Error> {
        if self.store().seam().is_watched() {
            // The test kit's workers do nothing by themselves.
            return Ok(());
        }
        let mut again = Again::new();
        let begun = tokio::time::Instant::now();
        for rule in &*self.retentions {
            while let Err(error) = declare(self.store(), rule, &self.settings.name).await {
                if !error.is_retryable() || begun.elapsed() >= limits::DATABASE_CALL {
                    return Err(error);
                }
                tracing::warn!(%error, "declaring how long things are kept is tried again");
                again.wait().await;
            }
        }
        Ok(())
    }

    /// Removes what is old enough, if that is due. Called with every heartbeat.
    pub(super) fn retain(&mut self) {
        let (now, every) = (self.now(), self.settings.watch.every);
        let Some(session) = self.session else { return };
        let retaining = &mut self.retaining;
        let task = retaining.task.as_ref();
        let busy = task.is_some_and(|task| !task.is_finished());
        let due = |last: Duration| now.saturating_sub(last) >= every;
        if busy || !retaining.last.is_none_or(due) {
            return;
        }
        retaining.last = Some(now);
        let by = Remover {
            session: Some(session),
            worker: self.settings.name.to_string(),
        };
        let pulse = retaining.pulse.clone();
        let store = self.store().clone();
        let busy = store.seam().busy();
        self.retaining.task = Some(tokio::spawn(async move {
            let _busy = busy;
            match store.remove_all_old(&by, &pulse).await {
                Ok(removed) if removed == Default::default() => {}
                Ok(removed) => tracing::info!(
                    intents = removed.intents,
                    payloads = removed.payloads,
                    "what was old enough is removed"
                ),
                Err(error) => tracing::warn!(%error, "removing what is old enough"),
            }
        }));
    }
}

async fn declare(store: &Store, rule: &Retention, worker: &str) -> Result<(), Error> {
    match store
        .declare_retention(rule.clone(), worker.to_owned())
        .await?
    {
        RuleStanding::Ours => Ok(()),
        RuleStanding::Newer { revision } => {
            tracing::info!(
                rule = rule.name(),
                ours = rule.revision,
                theirs = revision,
                "newer code has said how long this is kept; this worker leaves it alone"
            );
            Ok(())
        }
        RuleStanding::Differs { by } => Err(Error::Setup(format!(
            "how long {} is kept: {by} has declared something else as revision {}; a changed rule needs a higher revision",
            rule.name(),
            rule.revision
        ))),
    }
}
