//! A handle to an intent that was asked for.

use std::fmt;
use std::time::Duration;

use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Intent;
use crate::payload;
use crate::request::OfIntent;
use crate::state::{FailureReason, IntentState};
use crate::store::{IntentRecord, LinkRecord, OutcomeRow, Relation};

/// How often [`Handle::output`] looks for the outcome when it is not told.
const LOOK: Duration = Duration::from_millis(50);

/// Knows an intent by its id and by the type of its output. Costs nothing to keep or to drop.
pub struct Handle<T> {
    intendant: Intendant,
    id: IntentId,
    of: OfIntent<T>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self {
            intendant: self.intendant.clone(),
            id: self.id,
            of: self.of,
        }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id.0).finish()
    }
}

impl<T: Intent> Handle<T> {
    pub(crate) fn new(intendant: Intendant, id: IntentId) -> Self {
        Self {
            intendant,
            id,
            of: std::marker::PhantomData,
        }
    }

    /// The intent's id.
    pub fn id(&self) -> IntentId {
        self.id
    }

    /// Where it is now.
    pub async fn state(&self) -> Result<IntentState, Error> {
        self.intendant.store().state(self.id).await
    }

    /// Waits until it is at rest, and returns its output, or [`Error::Failed`] or [`Error::Cancelled`]. Of one that a
    /// conflict rule has found to be the same as another one, that is the other one's output; of one that a rule has
    /// refused, [`Error::Rejected`]; of one whose output retention has removed ([`Retention`](crate::Retention)),
    /// [`Error::PayloadRemoved`], and [`Error::NotFound`] where the intent is gone.
    ///
    /// Dropping the future stops the waiting and nothing else.
    pub async fn output(&self) -> Result<T::Output, Error> {
        let mut id = self.id;
        loop {
            let outcome = self.intendant.await_outcome(id).await?;
            if outcome.state != IntentState::Cancelled {
                return output_of::<T>(id, outcome);
            }
            let Some(link) = self.intendant.lost_to(id).await? else {
                return Err(Error::Cancelled { id });
            };
            match link.relation {
                Relation::Joined => id = link.other,
                Relation::SupersededBy => return Err(Error::Cancelled { id }),
                Relation::RejectedBy => {
                    let by_kind = match self.intendant.get(link.other).await {
                        Ok(by) => by.kind,
                        // Retention has removed it since.
                        Err(Error::NotFound { .. }) => String::from("removed"),
                        Err(error) => return Err(error),
                    };
                    return Err(Error::Rejected {
                        kind: T::KIND.to_owned(),
                        resource: link.resource,
                        by: link.other,
                        by_kind,
                    });
                }
            }
        }
    }
}

impl Intendant {
    /// What has ended a cancelled intent, if it was a conflict rule.
    async fn lost_to(&self, id: IntentId) -> Result<Option<LinkRecord>, Error> {
        let mut links = self.store().links(id).await?;
        links.retain(|link| link.intent == id);
        Ok(links.pop())
    }

    /// Waits until an intent is at rest, and returns its record; of one that a conflict rule has found to be the same as
    /// another one, that is the other one's. Dropping the future stops the waiting and nothing else.
    pub async fn at_rest(&self, id: IntentId) -> Result<IntentRecord, Error> {
        let mut id = id;
        loop {
            let outcome = self.await_outcome(id).await?;
            let joined = match outcome.state {
                IntentState::Cancelled => self.lost_to(id).await?,
                _ => None,
            };
            match joined.filter(|link| link.relation == Relation::Joined) {
                Some(link) => id = link.other,
                None => return self.get(id).await,
            }
        }
    }

    /// Waits until an intent is at rest.
    pub(crate) async fn await_outcome(&self, id: IntentId) -> Result<OutcomeRow, Error> {
        loop {
            // Register first, then look, then wait: what finishes in between is not missed.
            let finished = self.finished();
            if let Some(outcome) = self.store().outcome(id).await? {
                return Ok(outcome);
            }
            // An id that nobody knows would be waited for in vain.
            self.store().state(id).await?;
            let _ = tokio::time::timeout(LOOK, finished).await;
        }
    }
}

/// The typed output of an outcome.
pub(crate) fn output_of<T: Intent>(id: IntentId, outcome: OutcomeRow) -> Result<T::Output, Error> {
    match outcome.state {
        IntentState::Succeeded => {
            if let Some(at) = outcome.payload_removed_at {
                let (verb, at) = ("reading the output of", at.to_utc());
                return Err(Error::PayloadRemoved { verb, id, at });
            }
            let output = outcome.output.ok_or(Error::NotFound { id })?;
            payload::decode(&output).map_err(Error::payload("the output"))
        }
        IntentState::Cancelled => Err(Error::Cancelled { id }),
        IntentState::Failed
        | IntentState::Blocked
        | IntentState::Ready
        | IntentState::Running
        | IntentState::Waiting
        | IntentState::Undoing => Err(Error::Failed {
            id,
            reason: outcome.reason.unwrap_or(FailureReason::StepFailed),
            step: outcome.step,
            error: outcome.error.unwrap_or_default(),
        }),
    }
}
