//! Asking by name within a step: for another application's intents, whose types are not at hand.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use super::put;
use crate::cx::{Cx, StepContext};
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Resources;
use crate::step::{StepError, fail};
use crate::store::{Deadline, Start};
use crate::terms::Terms;

/// A request by a kind's name that a step puts together, by [`Cx::request_by_name`]. Awaiting it looks up the kind and puts the request
/// beside the step's result.
#[must_use = "a request does nothing until it is awaited"]
#[derive(Debug)]
pub struct StepRequestByName {
    step: Arc<StepContext>,
    kind: String,
    input: Box<RawValue>,
    account: Option<String>,
    resources: Resources,
    terms: Terms,
}

impl<S> Cx<S> {
    /// [`request`](Self::request) by a kind's name, with its input as JSON: for the intents of another application on the same
    /// database. The queue and the deadline are those that the kind's workers have registered; the account and the
    /// resources have to be said ([`Intendant::request_by_name`](crate::Intendant::request_by_name)). A kind that no worker has ever
    /// registered fails the attempt, which is tried again: its application may be deployed meanwhile.
    ///
    /// ```
    /// # use intendant::{Cx, Resources, StepResult};
    /// async fn sell(cx: Cx<()>, server: u64) -> StepResult<()> {
    ///     let input = serde_json::value::to_raw_value(&serde_json::json!({"server": server})).unwrap();
    ///     let billing = cx.request_by_name("invoice.open", &input).account("acme");
    ///     billing.resources(Resources::touched("server", server)).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn request_by_name(&self, kind: &str, input: &RawValue) -> StepRequestByName {
        StepRequestByName {
            step: self.step().clone(),
            kind: kind.to_owned(),
            input: input.to_owned(),
            account: None,
            resources: Resources::none(),
            terms: Terms::default(),
        }
    }
}

impl StepRequestByName {
    /// The customer that it is for.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// What it uses.
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// [`StepRequest::priority`](crate::StepRequest::priority).
    pub fn priority(mut self, priority: i32) -> Self {
        self.terms.priority = priority;
        self
    }

    /// [`StepRequest::start_at`](crate::StepRequest::start_at).
    pub fn start_at(mut self, time: DateTime<Utc>) -> Self {
        self.terms.start_at(time);
        self
    }

    /// [`StepRequest::start_in`](crate::StepRequest::start_in).
    pub fn start_in(mut self, time: Duration) -> Self {
        self.terms.start = Start::In(time);
        self
    }

    /// [`StepRequest::deadline_in`](crate::StepRequest::deadline_in).
    pub fn deadline_in(mut self, time: Duration) -> Self {
        self.terms.deadline = Some(Deadline::In(time));
        self
    }

    /// [`StepRequest::label`](crate::StepRequest::label).
    pub fn label(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.terms.label(name.into(), value.to_string());
        self
    }

    async fn ask(self) -> Result<IntentId, StepError> {
        let intendant = self.step.intendant.clone();
        let mut request = intendant.request_by_name(&self.kind, &self.input);
        request = request.resources(self.resources);
        if let Some(account) = self.account {
            request = request.account(account);
        }
        let new = request.into_new().await.map_err(|error| match error {
            // The database, or the other application's worker, may be there later.
            Error::UnknownKind { .. } => StepError::new(error),
            error if error.is_database() => StepError::new(error),
            error => fail(error),
        })?;
        put(&self.step, new, self.terms)
    }
}

impl IntoFuture for StepRequestByName {
    type Output = Result<IntentId, StepError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}
