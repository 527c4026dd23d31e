//! One verb for all intents that match a filter.

use std::collections::HashMap;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Where to go on ([`IntentFilter::before`]): the filter has a limit, and there may be older ones that match.
    pub next: Option<IntentId>,
}

/// Of what was found in several looks back, each of which has come to an end somewhere or to the beginning of history: the newest,
/// as far back as all of them have looked, and where to go on.
fn newest(
    mut ids: Vec<IntentId>,
    ends: &[Option<IntentId>],
    limit: Option<usize>,
) -> (Vec<IntentId>, Option<IntentId>) {
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids.dedup();
    let mut next = ends.iter().flatten().max().copied();
    ids.retain(|id| next.is_none_or(|end| *id >= end));
    if let Some(limit) = limit.filter(|limit| *limit < ids.len()) {
        ids.truncate(limit);
        next = ids.last().copied();
    }
    (ids, next)
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
    /// intents in whatever state it can be done in, unless the filter names one; children are left to their parents.
    ///
    /// Without a limit in the filter, of all that there are. With one, of so many of the newest, found within a bounded way
    /// back and done within [`limits::BATCH_TIME`]; [`Batch::next`] says where to go on, and there may be nothing done before
    /// that.
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
        let is_bounded = filter.limit.is_some();
        let (all, next) = self.matching(filter, verb).await?;
        let begun = Instant::now();
        batch.next = next;
        let mut last = None;
        for id in all {
            if is_bounded && last.is_some() && begun.elapsed() > limits::BATCH_TIME {
                batch.next = last;
                break;
            }
            batch.matched += 1;
            last = Some(id);
            match self.act(id, verb, actor, reason).await {
                Ok(()) => batch.done += 1,
                Err(error) if error.is_database() => {
                    batch.stopped = Some(error.to_string());
                    batch.next = None;
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

    /// Those that match, newest first, and where to go on if there may be more than that.
    ///
    /// All are found before the first is touched: what moves from one state to the next is not met twice.
    async fn matching(
        &self,
        filter: IntentFilter,
        verb: &Verb,
    ) -> Result<(Vec<IntentId>, Option<IntentId>), Error> {
        let states = match filter.state {
            Some(state) => vec![state],
            None => verb.states().to_vec(),
        };
        let limit = filter
            .limit
            .map(|limit| limit.clamp(1, limits::PAGE) as usize);
        let (mut ids, mut ends) = (Vec::new(), Vec::new());
        for state in states {
            let mut filter = IntentFilter {
                state: Some(state),
                limit: Some(limits::PAGE),
                ..filter.clone()
            };
            let (mut found, mut looks) = (0, 0);
            let end = loop {
                let page = self.store().versions(filter.clone()).await?;
                let roots = page.versions.iter().filter(|version| version.is_root);
                ids.extend(roots.clone().map(|version| version.id));
                found += roots.count();
                looks += 1;
                let is_enough =
                    limit.is_some_and(|limit| found >= limit || looks >= limits::BATCH_LOOKS);
                if page.next.is_none() || is_enough {
                    break page.next;
                }
                filter.before = page.next;
            };
            ends.push(end);
        }
        Ok(newest(ids, &ends, limit))
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

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn ids(numbers: &[u128]) -> Vec<IntentId> {
        let id = |number: &u128| IntentId(Uuid::from_u128(*number));
        numbers.iter().map(id).collect()
    }

    fn check(found: &[u128], ends: &[Option<u128>], limit: Option<usize>) -> (Vec<u128>, u128) {
        let end = |end: &Option<u128>| end.map(|end| IntentId(Uuid::from_u128(end)));
        let ends: Vec<_> = ends.iter().map(end).collect();
        let (found, next) = newest(ids(found), &ends, limit);
        let number = |id: IntentId| id.0.as_u128();
        (
            found.into_iter().map(number).collect(),
            next.map_or(0, number),
        )
    }

    #[test]
    fn the_newest_are_taken_as_far_back_as_everything_was_looked_at() {
        assert_eq!(
            check(&[3, 9, 5, 9], &[None, None], None),
            (vec![9, 5, 3], 0)
        );
        assert_eq!(
            check(&[3, 9, 5], &[None, None], Some(3)),
            (vec![9, 5, 3], 0)
        );
        assert_eq!(check(&[3, 9, 5], &[None, None], Some(2)), (vec![9, 5], 5));
        // In one state it was looked down to 5 only: what lies before that, nobody knows yet.
        assert_eq!(
            check(&[3, 9, 5], &[Some(5), None], Some(9)),
            (vec![9, 5], 5)
        );
        assert_eq!(
            check(&[3, 9, 5], &[Some(4), Some(6)], Some(1)),
            (vec![9], 6)
        );
        // Nothing found, and more to look at.
        assert_eq!(check(&[], &[Some(7)], Some(9)), (vec![], 7));
        assert_eq!(check(&[], &[None], Some(9)), (vec![], 0));
    }
}
