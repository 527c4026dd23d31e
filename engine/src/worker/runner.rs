//! Run: one attempt at one step, with its time limit, its panics caught.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use super::limiting::{LimitOf, TimeLimit};
use super::watchdog::Watched;
use crate::beside::Closes;
use crate::cx::{Awaits, StepContext};
use crate::id::TaskId;
use crate::limits;
use crate::middleware::Around;
use crate::payload::Payload;
use crate::plan::{RunStep, StepDone};
use crate::state::AttemptFailure;
use crate::step::{Ending, StepError, StepResult};
use crate::step_logs;
use crate::store::Ran;
use crate::trace;

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum StepEnd {
    /// Well, with a result that has to be recorded.
    Output(Payload),
    /// Well, with a result that its own transaction has recorded.
    Recorded(Payload),
    /// Badly.
    Failed {
        failure: AttemptFailure,
        error: String,
    },
    /// Its input, or a child's output, is not what the code expects.
    Undecodable {
        error: String,
    },
    Snoozed(Duration),
    Awaits(Awaits),
    /// A message that it took is not what it expects.
    SignalRefused {
        name: String,
        error: String,
    },
    /// At a safe exit point, since the worker is stopping.
    Left,
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) task: TaskId,
    pub(super) step: usize,
    pub(super) end: StepEnd,
    pub(super) ran: Ran,
}

/// How an attempt is run.
pub(super) struct Run {
    pub(super) run: RunStep,
    pub(super) context: Arc<StepContext>,
    pub(super) input: Payload,
    pub(super) bounds: Bounds,
    /// What runs around it.
    pub(super) around: Option<Arc<dyn Around>>,
    /// The watchdog's eye on it.
    pub(super) watched: Option<Watched>,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) limit: Option<TimeLimit>,
    /// After its intent was asked to stop.
    pub(super) grace: Duration,
}

impl Bounds {
    /// What is around the step may take longer, to see how it ended.
    fn around(self) -> Self {
        Self {
            limit: self.limit.map(|limit| TimeLimit {
                left: limit.left.saturating_add(limits::MIDDLEWARE),
                ..limit
            }),
            grace: self.grace.saturating_add(limits::MIDDLEWARE),
        }
    }
}

/// Starts an attempt in a task of its own. When it ends, it says so through `ended`; if it is aborted, it says nothing.
///
/// What is large stays where it is, behind a reference: an argument of an async function is kept twice in its future, so
/// each level would double what a task weighs, and every attempt moves and fills it.
pub(super) fn spawn(run: Run, step: usize, ended: mpsc::UnboundedSender<Ended>) -> AbortHandle {
    let context = run.context;
    let span = step_logs::open(&context);
    let task = async move {
        let closes = Closes(&context.beside);
        let store = context.intendant.store();
        let (function, _turn) = store.seam().turn(run.run, &context, step).await;
        // Calling the function is part of the attempt: decoding the input can panic as well.
        let call = async { function(context.clone(), run.input).await };
        let result = match &run.around {
            None => {
                let attempt = pin!(bounded(call, &context, run.bounds));
                seen(run.watched, attempt).await
            }
            Some(around) => {
                let step = Box::pin(bounded(call, &context, run.bounds));
                let step = around.run(context.clone(), step);
                let attempt = pin!(bounded(step, &context, run.bounds.around()));
                seen(run.watched, attempt).await
            }
        };
        // Whoever hears that it has ended finds no state held by it.
        drop((function, run.around));
        // What the step has left behind in tasks of its own begins nothing more.
        drop(closes);
        context.beside.gone().await;
        let end = match context.recorded() {
            // Whatever the step did afterwards: its result is on disk.
            Some(output) => StepEnd::Recorded(output),
            None => end_of(result, &context),
        };
        if let StepEnd::Failed { error, .. } | StepEnd::Undecodable { error } = &end {
            trace::failed(error);
        }
        let now = store.clock().monotonic();
        // The worker is gone: so is the attempt.
        let _ = ended.send(Ended {
            task: context.once.task,
            step,
            end,
            ran: Ran::new(context.started, now),
        });
    };
    debug_assert!(size_of_val(&task) <= limits::ATTEMPT_TASK);
    tokio::spawn(task.instrument(span)).abort_handle()
}

/// An attempt, under the watchdog's eyes if there is one.
async fn seen<F: Future>(watched: Option<Watched>, attempt: Pin<&mut F>) -> F::Output {
    match watched {
        Some(watched) => watched.run(attempt).await,
        None => attempt.await,
    }
}

/// Runs to the end of a step or to a bound. A panic, a time-out and the end of a cancel's grace time are errors.
async fn bounded(
    step: impl Future<Output = StepResult<StepDone>>,
    context: &StepContext,
    Bounds { limit, grace }: Bounds,
) -> StepResult<StepDone> {
    let step = AssertUnwindSafe(step).catch_unwind();
    let step = async {
        match limit {
            // It has waited for a slot until nothing was left.
            Some(limit) if limit.left.is_zero() => Err(Over::Time(limit.of)),
            Some(limit) => tokio::time::timeout(limit.left, step)
                .await
                .map_err(|_| Over::Time(limit.of)),
            None => Ok(step.await),
        }
    };
    // The step is in here, and gone afterwards with all that it waits for: it must not stand before those who wait below.
    let ended = tokio::select! {
        biased;
        ended = step => ended,
        () = cancelled(context, grace) => Err(Over::Cancelled),
    };
    // What it has begun outside of its future is still at work: it ends with the step, and is waited for.
    context.beside.dismiss();
    // A step that is dropped may be in the middle of its commit. As long as nobody knows whether that
    // took place, it must not be run again (promise 4).
    context.settled().await;
    if context.recorded().is_some() {
        return Ok(StepDone::Recorded);
    }
    let (failure, error) = match ended {
        Ok(Ok(result)) => return result,
        Ok(Err(panic)) => (AttemptFailure::Panic, panic_message(&*panic)),
        Err(Over::Cancelled) => (
            AttemptFailure::Cancelled,
            "it was stopped, since the intent was cancelled; what it had done is unknown"
                .to_owned(),
        ),
        Err(Over::Time(limit)) => (AttemptFailure::TimeOut, limit.words()),
    };
    Err(StepError::failed(failure, error))
}

/// Why an attempt was dropped.
enum Over {
    Time(LimitOf),
    Cancelled,
}

/// Completes when the intent was asked to stop and the grace time is over.
async fn cancelled(context: &StepContext, grace: Duration) {
    context.cancelled().await;
    tokio::time::sleep(grace).await;
}

fn end_of(result: Result<StepDone, StepError>, context: &StepContext) -> StepEnd {
    // Before it is clipped: half of a secret is not found.
    let said = |error: String| clip(context.intent.mask.over(&error).into_owned());
    match result {
        Ok(StepDone::Output(Ok(output))) => StepEnd::Output(output),
        Ok(StepDone::Output(Err(error))) => StepEnd::Failed {
            failure: AttemptFailure::OutputRefused,
            error: said(error.to_string()),
        },
        Ok(StepDone::Recorded) => StepEnd::Failed {
            failure: AttemptFailure::OutputRefused,
            error: "the step returned a committed value of another step's transaction".to_owned(),
        },
        Err(StepError(ending)) => match *ending {
            Ending::Failed { failure, error } => StepEnd::Failed {
                failure,
                error: said(error),
            },
            Ending::Undecodable { error } => StepEnd::Undecodable { error: said(error) },
            Ending::Snoozed(time) => StepEnd::Snoozed(time.min(limits::FUTURE)),
            Ending::Awaits => StepEnd::Awaits(context.take_awaited()),
            Ending::SignalRefused { name, error } => StepEnd::SignalRefused {
                name,
                error: said(error),
            },
            Ending::ChildFailed(failed) => StepEnd::Failed {
                failure: AttemptFailure::GaveUp,
                error: said(failed.to_string()),
            },
            Ending::Left => StepEnd::Left,
        },
    }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not text".to_owned());
    format!("panicked: {text}")
}

/// An error as it can be kept: within its limit, without what a database cannot hold.
pub(super) fn clip(mut error: String) -> String {
    if error.contains('\0') {
        error = error.replace('\0', "\u{fffd}");
    }
    if error.len() > limits::ERROR_BYTES {
        let mut end = limits::ERROR_BYTES;
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        error.truncate(end);
        error.push('…');
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_clipped_at_a_character_and_keeps_no_nul() {
        assert_eq!(clip("a\0b".to_owned()), "a\u{fffd}b");
        let long = clip("é".repeat(limits::ERROR_BYTES));
        assert!(long.len() <= limits::ERROR_BYTES + '…'.len_utf8());
        assert!(long.ends_with("é…"));
    }
}
