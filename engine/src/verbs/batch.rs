//! One verb for all intents that match a filter.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::preview::{Preview, preview};
use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::state::{IntentState, StepState};
use crate::store::IntentFilter;

/// What can be done to an intent, as a value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verb {
    /// [`Intendant::resume`].
    Resume,
    /// [`Intendant::cancel`].
    Cancel,
    /// [`Intendant::undo`].
    Undo,
    /// [`Intendant::discard`].
    Discard,
    /// [`Intendant::rerun`]: of what succeeded or was cancelled.
    Rerun,
    /// [`Intendant::rerun_from`].
    RerunFrom {
        /// The step.
        step: String,
    },
    /// [`Intendant::retry`].
    Retry {
        /// The step.
        step: String,
    },
    /// [`Intendant::skip`].
    Skip {
        /// The step.
        step: String,
        /// The output that it is given.
        output: serde_json::Value,
    },
    /// [`Intendant::amend_part`].
    Amend {
        /// A JSON merge patch (RFC 7386): its members replace those of the input, `null` takes one out.
        changes: serde_json::Value,
    },
}

/// What came of a verb for all intents that match a filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Batch {
    /// How many matched.
    pub matched: u64,
    /// For how many of them it was done; in a dry run, would be.
    pub done: u64,
    /// How many it could not be done for.
    pub refused: u64,
    /// The first of these, and why not.
    pub refusals: Vec<(IntentId, String)>,
    /// Why it was not tried for the rest: the database could not be reached any more.
    pub stopped: Option<String>,
}

impl Verb {
    /// The states in which it can be done.
    fn states(&self) -> &'static [IntentState] {
        match self {
            Self::Resume
            | Self::Undo
            | Self::Discard
            | Self::RerunFrom { .. }
            | Self::Amend { .. } => &[IntentState::Failed],
            Self::Cancel => &[
                IntentState::Blocked,
                IntentState::Ready,
                IntentState::Running,
                IntentState::Waiting,
            ],
            Self::Rerun => &[IntentState::Succeeded, IntentState::Cancelled],
            Self::Retry { .. } | Self::Skip { .. } => &[IntentState::Failed, IntentState::Waiting],
        }
    }
}

impl Intendant {
    /// Does it to one intent.
    pub async fn act(
        &self,
        id: IntentId,
        verb: &Verb,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        match verb {
            Verb::Resume => self.resume(id, actor, reason).await.map(drop),
            Verb::Cancel => self.cancel(id, actor, reason).await.map(drop),
            Verb::Undo => self.undo(id, actor, reason).await.map(drop),
            Verb::Discard => self.discard(id, actor, reason).await.map(drop),
            Verb::Rerun => self.rerun(id, actor, reason).await.map(drop),
            Verb::RerunFrom { step } => self.rerun_from(id, step, actor, reason).await.map(drop),
            Verb::Retry { step } => self.retry(id, step, actor, reason).await,
            Verb::Skip { step, output } => self.skip(id, step, output, actor, reason).await,
            Verb::Amend { changes } => self.amend_part(id, changes, actor, reason).await,
        }
    }

    /// Does it to all intents that match a filter, newest first, each in a transaction of its own: one that cannot be done
    /// is told, and the others are done all the same, unless the database cannot be reached any more (`stopped`). Of
    /// intents in whatever state it can be done in, unless the filter names one; children are left to their parents. The filter's limit is not looked at.
    ///
    /// ```
    /// # use intendant::{Intent, Intendant, IntentFilter, Verb};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// # intendant.request(Greet { name: "Ada".into() }).await?;
    /// let greetings = IntentFilter { kind: Some("greet".into()), ..Default::default() };
    /// let would = intendant.count_all(greetings.clone(), &Verb::Cancel).await?;
    /// let batch = intendant.act_on_all(greetings, &Verb::Cancel, "ada", Some("closed")).await?;
    /// assert_eq!((would.done, batch.done, batch.refused), (1, 1, 0));
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn act_on_all(
        &self,
        filter: IntentFilter,
        verb: &Verb,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Batch, Error> {
        crate::intent::check_name("actor", actor)?;
        let mut batch = Batch::default();
        let all = self.matching(filter, verb).await?;
        batch.matched = all.len() as u64;
        for id in all {
            match self.act(id, verb, actor, reason).await {
                Ok(()) => batch.done += 1,
                Err(error) if error.is_database() => {
                    batch.stopped = Some(error.to_string());
                    break;
                }
                Err(error) => {
                    batch.refused += 1;
                    if batch.refusals.len() < limits::REFUSALS {
                        batch.refusals.push((id, error.to_string()));
                    }
                }
            }
        }
        Ok(batch)
    }

    /// A dry run of [`act_on_all`](Self::act_on_all): for how many it would be done, as things stand, and which could not.
    /// Each is tried, and rolled back, so it takes as long, and locks what it locks.
    pub async fn count_all(&self, filter: IntentFilter, verb: &Verb) -> Result<Batch, Error> {
        let rehearsal = self.rehearsing();
        rehearsal.act_on_all(filter, verb, "a dry run", None).await
    }

    async fn matching(&self, filter: IntentFilter, verb: &Verb) -> Result<Vec<IntentId>, Error> {
        let states = match filter.state {
            Some(state) => vec![state],
            None => verb.states().to_vec(),
        };
        // All are found before the first is touched: what moves from one state to the next is not met twice.
        let mut ids = Vec::new();
        for state in states {
            let mut filter = IntentFilter {
                state: Some(state),
                limit: Some(limits::PAGE),
                ..filter.clone()
            };
            loop {
                let page = self.page(filter.clone()).await?;
                let roots = page
                    .intents
                    .iter()
                    .filter(|intent| intent.parent_id.is_none());
                ids.extend(roots.map(|intent| intent.id));
                if page.next.is_none() {
                    break;
                }
                filter.before = page.next;
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids.reverse();
        Ok(ids)
    }

    /// Which steps of an intent a verb would take back, run and keep. Changes nothing, and does not look whether it could
    /// be done now. Before a worker has made its plan, nothing is known of steps.
    pub async fn preview(&self, id: IntentId, verb: &Verb) -> Result<Preview, Error> {
        self.store().state(id).await?;
        let Some((shape, steps)) = self.store().plan_and_steps(id).await? else {
            return Ok(Preview::default());
        };
        let mut states: HashMap<String, StepState> = HashMap::new();
        let mut last: HashMap<String, i64> = HashMap::new();
        for step in steps {
            let known = last.entry(step.name.clone()).or_default();
            if step.generation >= *known {
                *known = step.generation;
                states.insert(step.name, step.state);
            }
        }
        Ok(preview(&shape, &states, verb))
    }
}
