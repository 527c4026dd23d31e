//! What an operator does to an intent: each verb is one transaction, and leaves an event with who and why (I9).

mod batch;
mod preview;

pub use batch::{Batch, Verb};
pub use preview::Preview;

use serde::Serialize;

use crate::cancel::{CancelAnswer, Cancelled};
use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::{Intent, check_name};
use crate::payload;
use crate::request::describe;
use crate::secret::{self, Given, encode_input};
use crate::state::IntentState;
use crate::store::{Actor, Amendment, CancelBy, Revival, StepVerb};

/// How an intent is taken back: see [`Intendant::undo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undone {
    /// It had failed, and is taken back itself.
    Itself {
        /// How many intents that are, with its failed children.
        intents: usize,
    },
    /// It had succeeded, and this intent takes it back.
    By(IntentId),
}

impl Intendant {
    /// Puts a failed intent back in line: what succeeded is kept, its failed steps get a fresh attempt budget, and the
    /// failed outcome becomes an event with the actor and the reason. Children with whose failure it failed are resumed
    /// with it. Steps that were taken back when it failed begin anew, and so do those that depend on them. Where it failed
    /// while it was taken back, it goes on with that. Returns how many intents that were.
    ///
    /// A second call finds the intent unfinished and says so ([`Error::WrongState`]).
    pub async fn resume(
        &self,
        id: IntentId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<usize, Error> {
        self.revive(id, Revival::Resume, actor, reason).await
    }

    /// Cancels an intent, and with it all its unfinished descendants. Against its finishing there is one definite winner,
    /// and the answer says who: after [`Cancelled::Stopping`] it will not succeed. Then nothing new of it starts, what
    /// runs is told ([`Cx::cancelled`](crate::Cx::cancelled)) and after a grace time stopped, and it ends as cancelled when
    /// nothing of it runs any more. Who did it and why is kept as an event of each of them.
    ///
    /// Safe to repeat. Fails where it has finished otherwise ([`Error::WrongState`]), and where it or a descendant has
    /// started a step after which there is no way back ([`Error::PastReturn`]).
    ///
    /// ```
    /// # use intendant::{Cancelled, Intent, Intendant, IntentState};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// let greeting = intendant.request(Greet { name: "Ada".into() }).await?;
    /// let cancelled = intendant.cancel(greeting.id(), "ada", Some("not today")).await?;
    /// assert_eq!(cancelled, Cancelled::Now);
    /// assert_eq!(greeting.state().await?, IntentState::Cancelled);
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn cancel(
        &self,
        id: IntentId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Cancelled, Error> {
        check_name("actor", actor)?;
        let by = CancelBy {
            actor: actor.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let answers = self.cancel_all(vec![id], by).await?;
        CancelAnswer::of_one(answers).settle(id)
    }

    /// Takes back what an intent did, as far as its steps declare an [`undo`](crate::StepBuilder::undo).
    ///
    /// A failed one is taken back itself, with its failed children; then it is cancelled. One that succeeded stays as it is:
    /// a new intent, linked with it by an event on each, waits for its turn on the same resources, begins where the old one
    /// ended, takes its steps back, and is cancelled then. What its children did is up to the undo of the steps that
    /// asked for them. Asked for again, it is the same new intent.
    ///
    /// Fails where there is nothing to take back ([`Error::WrongState`]; an unfinished one is cancelled instead), and after
    /// a step behind which there is no way back ([`Error::PastReturn`]).
    pub async fn undo(
        &self,
        id: IntentId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<Undone, Error> {
        let intents = match self.undo_failed(id, actor, reason).await {
            Err(Error::WrongState {
                state: IntentState::Succeeded,
                ..
            }) => {
                let actor = acting(actor, reason)?;
                let new = IntentId(self.store().clock().ordered_id());
                let new = self.store().undo_succeeded(id, new, actor).await?;
                self.wake();
                return Ok(Undone::By(new));
            }
            intents => intents?,
        };
        Ok(Undone::Itself { intents })
    }

    /// [`undo`](Self::undo) of one that has failed. Returns how many intents are taken back.
    pub(crate) async fn undo_failed(
        &self,
        id: IntentId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<usize, Error> {
        self.revive(id, Revival::Undo, actor, reason).await
    }

    /// Runs a step of a failed intent again, and all that depend on it, as their next generation: what they did is taken
    /// back first, as far as they declare how, and what they had come to stays visible. Results before the step are kept.
    /// What slept or waited for a message does so again.
    /// Other failed steps get a fresh attempt budget, as with [`resume`](Self::resume).
    pub async fn rerun_from(
        &self,
        id: IntentId,
        step: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<usize, Error> {
        let from = step.to_owned();
        self.revive(id, Revival::Rerun { from }, actor, reason)
            .await
    }

    async fn revive(
        &self,
        id: IntentId,
        revival: Revival,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<usize, Error> {
        let actor = acting(actor, reason)?;
        let revived = self.store().revive(id, revival, actor).await?;
        self.wake();
        Ok(revived)
    }

    /// Asks for an operation again that succeeded or was cancelled, as a new intent with the same input, resources and
    /// labels; the old one stays as it is. Each has an event that names the other. Returns the new one.
    ///
    /// Repeated after a lost answer it asks once more.
    pub async fn rerun(
        &self,
        id: IntentId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<IntentId, Error> {
        let actor = acting(actor, reason)?;
        let new = IntentId(self.store().clock().ordered_id());
        self.store().again(id, new, actor).await?;
        self.wake();
        Ok(new)
    }

    /// Tries one step again now, with a fresh attempt budget: of a failed intent, or of one that rests until the step is
    /// due. One that sleeps, or waits for a message, waits on then: what its wait meant the first time holds.
    pub async fn retry(
        &self,
        id: IntentId,
        step: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        self.on_step(id, step, StepVerb::Retry, actor, reason).await
    }

    /// Gives one step its output by hand, and goes on after it: of a failed intent, or of one that rests until the step is
    /// due, or has its message. An undo that cannot succeed is skipped in the same way, by its name (`undo(volume)`), with `()`.
    ///
    /// The output is checked to be JSON that can be kept; whether it is of the step's type only
    /// [`Worker::skip`](crate::Worker::skip) can tell, which knows it. If it is not, the intent fails as `undecodable` when
    /// somebody takes it.
    pub async fn skip(
        &self,
        id: IntentId,
        step: &str,
        output: &(impl Serialize + ?Sized),
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let output = payload::encode(output).map_err(Error::payload("the output"))?;
        self.on_step(id, step, StepVerb::Skip(output), actor, reason)
            .await
    }

    pub(crate) async fn on_step(
        &self,
        id: IntentId,
        step: &str,
        verb: StepVerb,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let actor = acting(actor, reason)?;
        self.store()
            .on_step(id, step.to_owned(), verb, actor)
            .await?;
        self.wake();
        Ok(())
    }

    /// Gives a failed intent up, and those of its descendants that have failed: they are cancelled, nothing is taken back,
    /// and they let go of what they hold. Returns how many these are.
    pub async fn discard(
        &self,
        id: IntentId,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<usize, Error> {
        let actor = acting(actor, reason)?;
        let discarded = self.store().discard(id, actor).await?;
        self.wake();
        self.announce_finished();
        Ok(discarded)
    }

    /// Replaces the input of a failed intent, before it is resumed. What it was is kept as a revision (the view
    /// `revisions`). Steps that are recorded stay as they are; those that run from now on see the new input.
    ///
    /// Kind, account and resources are what they were: they are written down with the request, and an input that says
    /// otherwise is refused. The intent's key goes with the request as it was made: the same request finds this intent
    /// still, and one with the new input is another request.
    pub async fn amend<T: Intent>(
        &self,
        id: IntentId,
        intent: &T,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let input = encode_input(intent).map_err(Error::payload("the input"))?;
        let record = self.get(id).await?;
        let new = describe(intent, id, input.clone())?;
        let mut resources: Vec<_> = record.resources.into_iter().collect();
        resources.sort_by(|a, b| a.resource.cmp(&b.resource));
        let mut wanted = new.resources;
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let same = resources.len() == wanted.len()
            && resources
                .iter()
                .zip(&wanted)
                .all(|(used, wanted)| used.resource == wanted.0 && used.mode == wanted.1);
        for (what, found, limit) in [
            ("the kind", new.kind, record.kind),
            (
                "the account",
                new.account.unwrap_or_default(),
                record.account.unwrap_or_default(),
            ),
        ] {
            if found != limit {
                return Err(Error::Amended { id, what });
            }
        }
        if !same {
            let what = "what it wants to hold or touch";
            return Err(Error::Amended { id, what });
        }
        let actor = acting(actor, reason)?;
        self.store().amend(id, Amendment::Whole(input), actor).await
    }

    /// [`amend_json`](Self::amend_json), of a part of the input: `changes` is a JSON merge patch (RFC 7386), whose members
    /// replace those of the input, and of which a `null` takes one out.
    pub async fn amend_part(
        &self,
        id: IntentId,
        changes: &serde_json::Value,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let actor = acting(actor, reason)?;
        if !secret::is_given_well(&changes.to_string(), Given::New) {
            return Err(Error::payload("the input")(
                crate::PayloadError::MarkedSecret,
            ));
        }
        self.store()
            .amend(id, Amendment::Part(changes.clone()), actor)
            .await
    }

    /// [`amend`](Self::amend) by a program that does not know the kind: the input is checked to be JSON that can be kept,
    /// and no more. An input that the kind's code cannot read fails the intent again.
    pub async fn amend_json(
        &self,
        id: IntentId,
        input: &serde_json::value::RawValue,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let input = payload::parse_given(input.get(), Given::Amended);
        let input = input.map_err(Error::payload("the input"))?;
        let actor = acting(actor, reason)?;
        self.store().amend(id, Amendment::Whole(input), actor).await
    }
}

fn acting(actor: &str, reason: Option<&str>) -> Result<Actor, Error> {
    check_name("actor", actor)?;
    Ok(Actor {
        name: actor.to_owned(),
        reason: reason.map(str::to_owned),
    })
}
