//! How a step says how it ended.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::children::ChildFailed;
use crate::payload::{self, Payload, PayloadError};
use crate::plan::{StepDone, output_of};
use crate::state::AttemptFailure;

/// What a step returns: its output, or a [`StepError`].
pub type StepResult<T> = Result<T, StepError>;

/// How a step ended without an output: an error (to be tried again), [`fail`], [`snooze`], or a wait for a child, a time or a signal.
///
/// Takes `?` from any error, and therefore is not an error itself (as `anyhow::Error` is not). An error that comes in
/// this way is tried again with backoff, up to the step's number of attempts.
pub struct StepError(pub(crate) Box<Ending>);

/// The ways in which a step can end without an output.
#[derive(Debug)]
pub(crate) enum Ending {
    Failed {
        failure: AttemptFailure,
        error: String,
    },
    Undecodable {
        error: String,
    },
    Snoozed(Duration),
    /// Parked until what is on its context's list has come: children, sleeps, signals.
    Awaits,
    /// A child that it waited for failed or was cancelled.
    ChildFailed(ChildFailed),
    /// A message that it waited for is not what it expects.
    SignalRefused {
        name: String,
        error: String,
    },
    /// Left at a safe exit point: the worker is stopping.
    Left,
}

impl StepError {
    /// An ordinary error: the step is tried again later.
    pub fn new(error: impl fmt::Display) -> Self {
        Self::failed(AttemptFailure::Error, error.to_string())
    }

    /// The failure of a child, if this is one: what [`Cx::child`](crate::Cx::child) returned. A parent may look at it and
    /// go on without the child.
    pub fn child_failure(&self) -> Option<&ChildFailed> {
        match &*self.0 {
            Ending::ChildFailed(failed) => Some(failed),
            Ending::Failed { .. }
            | Ending::Undecodable { .. }
            | Ending::Snoozed(_)
            | Ending::Awaits
            | Ending::SignalRefused { .. }
            | Ending::Left => None,
        }
    }

    /// What sort of failure this is of the attempt, and in which words; none where it is no failure: the step snoozes, waits
    /// for a child, a time or a message, or was left at a safe exit point. For a [`Middleware`](crate::Middleware) that reports.
    pub fn failure(&self) -> Option<(AttemptFailure, Cow<'_, str>)> {
        match &*self.0 {
            Ending::Failed { failure, error } => Some((*failure, Cow::Borrowed(error))),
            Ending::Undecodable { error } => Some((AttemptFailure::GaveUp, Cow::Borrowed(error))),
            Ending::ChildFailed(failed) => {
                Some((AttemptFailure::GaveUp, Cow::Owned(failed.to_string())))
            }
            Ending::Snoozed(_) | Ending::Awaits | Ending::SignalRefused { .. } | Ending::Left => {
                None
            }
        }
    }

    pub(crate) fn failed(failure: AttemptFailure, error: String) -> Self {
        Self(Box::new(Ending::Failed { failure, error }))
    }

    pub(crate) fn undecodable(error: &dyn fmt::Display) -> Self {
        Self(Box::new(Ending::Undecodable {
            error: error.to_string(),
        }))
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

/// An error and its causes in one line, without saying twice what a cause repeats.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !line.contains(&cause_text) {
            line.push_str(": ");
            line.push_str(&cause_text);
        }
        source = cause.source();
    }
    line
}

/// Gives up: trying again would certainly be of no use. The intent fails at once.
///
/// ```
/// # use intendant::{Cx, StepResult, fail};
/// async fn take_snapshot(_: Cx<()>, database: String) -> StepResult<String> {
///     if database.is_empty() {
///         return Err(fail("no database is named"));
///     }
///     Ok(format!("{database}-snapshot"))
/// }
/// ```
pub fn fail(error: impl fmt::Display) -> StepError {
    StepError::failed(AttemptFailure::GaveUp, error.to_string())
}

/// Not ready yet, and no failure: run this step again after the given time. The way to poll a cloud.
///
/// Uses up no attempt and holds no worker meanwhile.
///
/// ```
/// # use intendant::{Cx, StepResult, snooze};
/// # use std::time::Duration;
/// # async fn is_up(_server: u64) -> bool { true }
/// async fn wait_until_up(_: Cx<()>, server: u64) -> StepResult<()> {
///     if !is_up(server).await {
///         return Err(snooze(Duration::from_secs(5)));
///     }
///     Ok(())
/// }
/// ```
pub fn snooze(time: Duration) -> StepError {
    StepError(Box::new(Ending::Snoozed(time)))
}

/// What a step can come to: anything that goes to JSON and back, or what its own transaction has
/// [`Committed`](crate::Committed).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a step's output: it has to implement `Serialize` and `DeserializeOwned`, since it is \
               kept in the database",
    label = "this output cannot be kept"
)]
pub trait StepOutput: Send + 'static {
    /// What the steps after it get.
    type Value;

    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: only the engine calls it")]
    fn into_done(self) -> StepDone;

    /// Whether this can be read as such an output.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "sealed: only the engine calls it")]
    fn accepts(output: &Payload) -> Result<(), PayloadError>;
}

#[expect(private_interfaces, reason = "sealed: only the engine calls it")]
impl<T: Serialize + DeserializeOwned + Send + 'static> StepOutput for T {
    type Value = T;

    fn into_done(self) -> StepDone {
        output_of(&self)
    }

    fn accepts(output: &Payload) -> Result<(), PayloadError> {
        payload::decode::<T>(output).map(drop)
    }
}
