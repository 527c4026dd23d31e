//! Asking: what a step asks for without waiting for it. Nothing is written before the step has succeeded: its requests are
//! in the commit that records its result, so an attempt that fails, or is never heard of again, has asked for nothing.

mod by_name;

use std::future::{IntoFuture, Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cx::{Cx, StepContext};
use crate::id::IntentId;
use crate::intent::Intent;
use crate::notes::NotAsked;
use crate::request::describe;
use crate::secret::encode_input;
use crate::step::{StepError, fail};
use crate::store::{Deadline, NewIntent};
use crate::terms::Terms;

pub use by_name::StepRequestByName;

/// A request that a step puts together, by [`Cx::request`]. Awaiting it puts it beside the step's result.
#[must_use = "a request does nothing until it is awaited"]
#[derive(Debug)]
pub struct StepRequest<T: Intent> {
    step: Arc<StepContext>,
    intent: T,
    terms: Terms,
}

impl<S> Cx<S> {
    /// Asks for another intent without waiting for it: it is asked for in the commit that records this step's result,
    /// exactly once, and goes its own way from then on. If this attempt fails or waits for something, nothing was asked
    /// for. In [`Cx::transaction`] it belongs to that transaction; after it, asking is an error.
    ///
    /// It is no child: the intent neither waits for it nor stops it. Who asked, and the correlation id, are this
    /// intent's (or its root's id, if it has none), and an event of this intent (`request`) names it. It has no
    /// idempotency key, since the step's result is what lets it happen once. The conflict rules of its kind are asked
    /// when it is claimed.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, StepResult};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Welcome { customer: u64 }
    /// # impl Intent for Welcome { const KIND: &'static str = "welcome"; type Output = (); }
    /// async fn sign_up(cx: Cx<()>, customer: u64) -> StepResult<()> {
    ///     cx.request(Welcome { customer }).label("campaign", "spring").await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn request<T: Intent>(&self, intent: T) -> StepRequest<T> {
        StepRequest {
            step: self.step().clone(),
            intent,
            terms: Terms::default(),
        }
    }
}

impl<T: Intent> StepRequest<T> {
    /// Larger goes first; see [`Request::priority`](crate::Request::priority).
    pub fn priority(mut self, priority: i32) -> Self {
        self.terms.priority = priority;
        self
    }

    /// Not to start before this time, by the database's clock.
    pub fn start_at(mut self, time: DateTime<Utc>) -> Self {
        self.terms.start_at(time);
        self
    }

    /// Not to start before this much time has passed since the step's commit.
    pub fn start_in(mut self, time: Duration) -> Self {
        self.terms.start = crate::store::Start::In(time);
        self
    }

    /// To be done so long after the step's commit, instead of its kind's [`Intent::DEADLINE`].
    pub fn deadline_in(mut self, time: Duration) -> Self {
        self.terms.deadline = Some(Deadline::In(time));
        self
    }

    /// Something to find it by later; see [`Request::label`](crate::Request::label).
    pub fn label(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.terms.label(name.into(), value.to_string());
        self
    }

    fn ask(self) -> Result<IntentId, StepError> {
        let clock = self.step.intendant.store().clock();
        let id = IntentId(clock.ordered_id());
        let input = encode_input(&self.intent).map_err(fail)?;
        let new = describe(&self.intent, id, input).map_err(fail)?;
        put(&self.step, new, self.terms)
    }
}

/// Puts a request beside the result of a step.
fn put(step: &StepContext, new: NewIntent, terms: Terms) -> Result<IntentId, StepError> {
    let now = step.intendant.store().clock().wall_us();
    let mut new = terms.apply(new, now).map_err(fail)?;
    let by = &step.intent;
    new.requested_by = by.requested_by.clone();
    let root = || by.root.to_string();
    new.correlation_id = Some(by.correlation_id.clone().unwrap_or_else(root));
    // That of the step, where it is recorded: `apply` has found it.
    new.traceparent = new.traceparent.or(by.traceparent);
    // A tick is refused by no rule; the claim asks them.
    new.conflicts = None;
    step.intendant.store().seal_now(&mut new).map_err(fail)?;
    let id = new.id;
    let asked = match step.recorded() {
        Some(_) => Err(NotAsked::HasResult),
        None => step.notes.ask(new),
    };
    asked.map_err(fail)?;
    Ok(id)
}

impl<T: Intent> IntoFuture for StepRequest<T> {
    type Output = Result<IntentId, StepError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(self.ask())
    }
}
