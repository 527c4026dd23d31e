//! Waits: sleeps and signals, what a step waits for by a name of its own.
//!
//! Nothing here waits. What has come is looked up; what has not is put on a list, and the step ends with it. Its driver
//! writes down what is new, with when it is due, and parks the step until the first of it comes.

use std::fmt;
use std::future::{Future, IntoFuture, Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::cx::{Cx, StepContext};
use crate::intent::check_name;
use crate::limits;
use crate::payload::{self, Payload};
use crate::step::{Ending, StepError, fail};

/// What sort of wait a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Sleep,
    Signal,
}

impl Sort {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Signal => "signal",
        }
    }

    /// The word's meaning; the database has no others.
    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "sleep" => Self::Sleep,
            _ => Self::Signal,
        }
    }
}

/// What a step waits for, if it ends by waiting.
#[derive(Debug, Clone)]
pub(crate) struct WaitRequest {
    pub(crate) name: String,
    pub(crate) sort: Sort,
    /// Of one that is new: what it is.
    pub(crate) new: Option<NewWait>,
}

/// How long a new wait lasts at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewWait {
    pub(crate) due_in: Option<Duration>,
}

/// What is known of a wait as a step begins.
#[derive(Debug, Clone)]
pub(crate) struct KnownWait {
    pub(crate) sort: Sort,
    /// Its time is over.
    pub(crate) over: bool,
    /// The message that has come.
    pub(crate) payload: Option<Payload>,
}

impl<S> Cx<S> {
    /// Sleeps: the first time, this step is parked (through `?`) and holds no worker; when the time has come, the step runs
    /// **again from the top**, and this call returns at once. So put effects into steps of their own, not before this call.
    ///
    /// When it is over is fixed the first time, by the database's clock; what the name meant then holds, in every attempt.
    /// A sleep survives everything that the database survives, and lasts ten years at most.
    ///
    /// ```
    /// # use intendant::{Cx, StepResult};
    /// # use std::time::Duration;
    /// async fn remind(cx: Cx<()>, customer: u64) -> StepResult<u64> {
    ///     cx.sleep("three days", Duration::from_secs(3 * 24 * 3600)).await?;
    ///     Ok(customer) // three days later
    /// }
    /// # fn is_step<F: Future + Send>(_: impl Fn(Cx<()>, u64) -> F) {}
    /// # is_step(remind);
    /// ```
    pub fn sleep(
        &self,
        name: &str,
        time: Duration,
    ) -> impl Future<Output = Result<(), StepError>> + Send + use<S> {
        ready(slept(self.step(), name, time))
    }

    /// Waits for a message from outside, an approval or a webhook ([`Intendant::signal`](crate::Intendant::signal)): the first
    /// time, this step is parked (through `?`) and holds no worker; when the message is there, the step runs **again from
    /// the top**, and this call returns it. So put effects into steps of their own, not before this call.
    ///
    /// A message that comes before anybody waits is kept. Each is taken by one step, the oldest by the step that has waited
    /// longest for one of that name, and stays that step's in every attempt; within a step, a name stands for one message.
    /// One that does not decode into `T` is set aside with the reason ([`Intendant::signals`](crate::Intendant::signals)), and
    /// the step waits on.
    ///
    /// ```
    /// # use intendant::{Cx, StepResult};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::time::Duration;
    /// #[derive(Serialize, Deserialize)]
    /// struct Approval { granted: bool }
    ///
    /// async fn approved(cx: Cx<()>, invoice: u64) -> StepResult<bool> {
    ///     let week = Duration::from_secs(7 * 24 * 3600);
    ///     // Without `within`: for ever, and the answer is the approval itself.
    ///     match cx.signal::<Approval>("approve").within(week).await? {
    ///         Some(approval) => Ok(approval.granted),
    ///         None => Ok(false), // nobody has answered
    ///     }
    /// }
    /// # fn is_step<F: Future + Send>(_: impl Fn(Cx<()>, u64) -> F) {}
    /// # is_step(approved);
    /// ```
    pub fn signal<T: DeserializeOwned>(&self, name: &str) -> SignalWait<T> {
        SignalWait {
            step: self.step().clone(),
            name: name.to_owned(),
            message: PhantomData,
        }
    }
}

/// A wait for a message: see [`Cx::signal`].
#[must_use = "nothing is waited for before this is awaited"]
pub struct SignalWait<T> {
    step: Arc<StepContext>,
    name: String,
    message: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for SignalWait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignalWait").field(&self.name).finish()
    }
}

impl<T: DeserializeOwned> SignalWait<T> {
    /// For no longer than this, from the first time on: when no message has come by then, the answer is `None`, and a later
    /// one is not for this step.
    pub fn within(self, time: Duration) -> SignalWithin<T> {
        SignalWithin { wait: self, time }
    }
}

impl<T: DeserializeOwned> IntoFuture for SignalWait<T> {
    type Output = Result<T, StepError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { step, name, .. } = self;
        ready(heard(&step, &name, None).and_then(|message| {
            message.ok_or_else(|| {
                fail(format!(
                    "no signal `{name}` has come within the time that was set when it was waited for first"
                ))
            })
        }))
    }
}

/// A wait for a message that has an end: see [`SignalWait::within`].
#[must_use = "nothing is waited for before this is awaited"]
#[derive(Debug)]
pub struct SignalWithin<T> {
    wait: SignalWait<T>,
    time: Duration,
}

impl<T: DeserializeOwned> IntoFuture for SignalWithin<T> {
    type Output = Result<Option<T>, StepError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(heard(&self.wait.step, &self.wait.name, Some(self.time)))
    }
}

fn slept(step: &StepContext, name: &str, time: Duration) -> Result<(), StepError> {
    match known(step, Sort::Sleep, name, Some(time))? {
        Some(sleep) if sleep.over => Ok(()),
        _ => Err(StepError(Box::new(Ending::Awaits))),
    }
}

/// The message, if it is there; none if it is waited for no longer.
fn heard<T: DeserializeOwned>(
    step: &StepContext,
    name: &str,
    time: Option<Duration>,
) -> Result<Option<T>, StepError> {
    let wait = known(step, Sort::Signal, name, time)?;
    match wait.map(|wait| (wait.payload.as_ref(), wait.over)) {
        Some((Some(payload), _)) => payload::decode(payload).map(Some).map_err(|error| {
            StepError(Box::new(Ending::SignalRefused {
                name: name.to_owned(),
                error: error.to_string(),
            }))
        }),
        Some((None, true)) => Ok(None),
        Some((None, false)) | None => Err(StepError(Box::new(Ending::Awaits))),
    }
}

/// What is known of a wait. If it is not over, the step waits for it; if it is new, it begins.
fn known<'a>(
    step: &'a StepContext,
    sort: Sort,
    name: &str,
    time: Option<Duration>,
) -> Result<Option<&'a KnownWait>, StepError> {
    if step.is_routed() {
        return Err(fail(format!(
            "step `{}` runs in another queue than its intent, where it cannot wait for `{name}`; wait for it in a step \
             without `.queue(…)`",
            step.once.step
        )));
    }
    check_name(sort.as_str(), name).map_err(fail)?;
    let known = step.waits.get(name);
    if let Some(known) = known.filter(|known| known.sort != sort) {
        return Err(fail(format!(
            "`{name}` was a {} of this step before; give each wait a name of its own",
            known.sort.as_str()
        )));
    }
    let has_come = known.is_some_and(|known| known.over || known.payload.is_some());
    if !has_come {
        if known.is_none() && step.waits.len() >= limits::WAITS_PER_STEP {
            return Err(fail(format!(
                "the step has waited by {} names, which is the limit",
                limits::WAITS_PER_STEP
            )));
        }
        let due_in = time.map(|time| time.min(limits::FUTURE));
        step.await_name(WaitRequest {
            name: name.to_owned(),
            sort,
            new: known.is_none().then_some(NewWait { due_in }),
        });
    }
    Ok(known)
}
