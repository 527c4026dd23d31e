//! Run: one attempt at one step, with its time limit, its panics caught.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::limiting::{LimitOf, TimeLimit};
use crate::cx::{Cx, StepContext};
use crate::id::TaskId;
use crate::limits;
use crate::payload::Payload;
use crate::plan::{RunStep, StepDone};
use crate::request::ChildRequest;
use crate::state::AttemptFailure;
use crate::step::{Ending, StepError};

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
    Awaits(Vec<ChildRequest>),
    /// At a safe exit point, since the worker is stopping.
    Left,
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) task: TaskId,
    pub(super) step: usize,
    pub(super) end: StepEnd,
    pub(super) took: Duration,
}

/// Starts an attempt in a task of its own. When it ends, it says so through `ended`; if it is aborted, it says nothing.
pub(super) fn spawn<S: Send + Sync + 'static>(
    run: &RunStep<S>,
    cx: Cx<S>,
    context: Arc<StepContext>,
    input: Payload,
    (limit, grace): (Option<TimeLimit>, Duration),
    step: usize,
    ended: mpsc::UnboundedSender<Ended>,
) -> AbortHandle {
    let run = run.clone();
    let task = async move {
        let task = context.once.task;
        // Calling the function is part of the attempt: decoding the input can panic as well.
        let attempt = AssertUnwindSafe(async move { run(cx, input).await }).catch_unwind();
        let attempt = async {
            match limit {
                // It has waited for a slot until nothing was left.
                Some(limit) if limit.left.is_zero() => Err(Over::Time(limit.of)),
                Some(limit) => tokio::time::timeout(limit.left, attempt)
                    .await
                    .map_err(|_| Over::Time(limit.of)),
                None => Ok(attempt.await),
            }
        };
        let attempt = tokio::select! {
            biased;
            attempt = attempt => attempt,
            () = cancelled(&context, grace) => Err(Over::Cancelled),
        };
        // A step that is dropped may be in the middle of its commit. As long as nobody knows whether that
        // took place, it must not be run again (promise 4).
        context.settled().await;
        let end = match (context.recorded(), attempt) {
            // Whatever the step did afterwards: its result is on disk.
            (Some(output), _) => StepEnd::Recorded(output),
            (None, Ok(Ok(result))) => end_of(result, &context),
            (None, Ok(Err(panic))) => StepEnd::Failed {
                failure: AttemptFailure::Panic,
                error: clip(panic_message(&*panic)),
            },
            (None, Err(Over::Cancelled)) => StepEnd::Failed {
                failure: AttemptFailure::Cancelled,
                error:
                    "it was stopped, since the intent was cancelled; what it had done is unknown"
                        .to_owned(),
            },
            (None, Err(Over::Time(limit))) => StepEnd::Failed {
                failure: AttemptFailure::TimeOut,
                error: limit.words(),
            },
        };
        let took = context
            .intendant
            .store()
            .clock()
            .monotonic()
            .saturating_duration_since(context.started);
        // The worker is gone: so is the attempt.
        let _ = ended.send(Ended {
            task,
            step,
            end,
            took,
        });
    };
    tokio::spawn(task).abort_handle()
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
    match result {
        Ok(StepDone::Output(Ok(output))) => StepEnd::Output(output),
        Ok(StepDone::Output(Err(error))) => StepEnd::Failed {
            failure: AttemptFailure::OutputRefused,
            error: error.to_string(),
        },
        Ok(StepDone::Recorded) => StepEnd::Failed {
            failure: AttemptFailure::OutputRefused,
            error: "the step returned a committed value of another step's transaction".to_owned(),
        },
        Err(StepError(ending)) => match *ending {
            Ending::Failed { failure, error } => StepEnd::Failed {
                failure,
                error: clip(error),
            },
            Ending::Undecodable { error } => StepEnd::Undecodable { error },
            Ending::Snoozed(time) => StepEnd::Snoozed(time.min(limits::FUTURE)),
            Ending::Awaits => StepEnd::Awaits(context.take_awaited()),
            Ending::ChildFailed(failed) => StepEnd::Failed {
                failure: AttemptFailure::GaveUp,
                error: clip(failed.to_string()),
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
