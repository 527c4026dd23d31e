//! Sees a program through: to its end, or to the end of its time, of its intent, or of its step.
//!
//! That is done in a task of its own, which the step's end does not end: whoever drops the step has the program told to end,
//! and the attempt waits until it has ([`Beside`](crate::beside::Beside)).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Command;
use super::group::{Group, Over};
use super::output::{CommandOutput, Lines};
use crate::beside::Guest;
use crate::cx::{Cx, StepContext};
use crate::limits;
use crate::state::AttemptFailure;
use crate::step::{StepError, fail};

impl<S> Cx<S> {
    /// Runs a program to its end. Returns what it came to if its exit code counts as success. Otherwise:
    ///
    /// - another exit code, or a signal that somebody else has sent, is an ordinary error, which is tried again; it has the
    ///   code or the signal, and the last lines of the program's standard error;
    /// - its [time limit](Command::time_limit) is a time-out: what it did is unknown;
    /// - a program that is not there, or cannot be executed, fails the step for good.
    ///
    /// When the intent is cancelled the program is told to end (SIGTERM) and has its [grace](Command::grace) for it; the step
    /// fails as cancelled, by whichever code it ends. When the step is dropped (its own time limit, the grace of a cancel or
    /// of the worker's stop, a panic, or because the step drops this future) the program has a third of a second. Then the
    /// process group is killed, and so is what is left in it when the program itself has ended, so that nothing of it is at
    /// work when the attempt has ended; short of what has left the group (`setsid`), which only a container would hold. The
    /// group is killed, too, when the worker itself is.
    ///
    /// The program finds in its environment, beside what the command says, `INTENDANT_IDEMPOTENCY_KEY` (the
    /// [key](Self::idempotency_key), the same in every attempt), `INTENDANT_INTENT_ID`, `INTENDANT_STEP` and
    /// `INTENDANT_ATTEMPT`. The lines of its standard error are kept in the step's log, under the program's name, where there
    /// is [one](crate::StepLogs).
    ///
    /// All descriptors of the worker's process but the standard ones are marked close-on-exec by this, as Rust marks those that
    /// it opens; what a library opens unmarked in the very moment of the start may still slip through. Needs `/bin/sh`.
    pub async fn run(&self, command: Command) -> Result<CommandOutput, StepError> {
        let step = self.step().clone();
        let guest = step.beside.begin().ok_or_else(|| {
            StepError::new("the attempt has ended; nothing more is begun beside it")
        })?;
        let env = [
            ("INTENDANT_IDEMPOTENCY_KEY", self.idempotency_key()),
            ("INTENDANT_INTENT_ID", self.intent_id().to_string()),
            ("INTENDANT_STEP", self.step_name().to_owned()),
            ("INTENDANT_ATTEMPT", self.attempt().to_string()),
        ];
        // Dropped with this future, it tells that the step is gone.
        let (_here, gone) = oneshot::channel::<()>();
        let watch = Watch { step, guest, gone };
        let seen = tokio::spawn(watch.run(Arc::new(command), env));
        seen.await.map_err(StepError::new)?
    }
}

/// What a program may have to end for. As long as this is there, the attempt has not ended.
struct Watch {
    step: Arc<StepContext>,
    guest: Guest,
    gone: oneshot::Receiver<()>,
}

/// Why it was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Time(Duration),
    Cancelled,
    Left,
}

impl Watch {
    async fn run(
        mut self,
        command: Arc<Command>,
        env: [(&'static str, String); 4],
    ) -> Result<CommandOutput, StepError> {
        let log = self.step.notes.log().cloned();
        let log = log.map(|log| Lines::new(log, command.name()));
        let begun = Instant::now();
        let starts = command.clone();
        // A file system may take its time over it.
        let started = tokio::task::spawn_blocking(move || {
            let program = starts.find().map_err(fail)?;
            Group::start(&starts, &program, env, log)
                .map_err(|error| StepError::new(format!("starting `{}`: {error}", starts.name())))
        });
        let mut group = started.await.map_err(StepError::new)??;
        let why = self.until(&mut group, command.time_limit).await;
        if let Some(why) = why {
            group.terminate();
            self.grace(&mut group, why, command.grace).await;
        }
        // Nobody reads what it has written if the step is gone, and a worker that stops waits for it.
        let pipes = match why {
            Some(Why::Left) => Duration::ZERO,
            Some(Why::Time(_) | Why::Cancelled) | None => limits::PROGRAM_PIPES,
        };
        let over = group.end(pipes).await?;
        command.judge(over, why, begun.elapsed())
    }

    /// Waits until it has ended, or has to end.
    async fn until(&mut self, group: &mut Group, limit: Option<Duration>) -> Option<Why> {
        let time = async {
            match limit {
                Some(limit) => {
                    tokio::time::sleep(limit).await;
                    limit
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = group.wait() => None,
            () = left(&self.guest, &mut self.gone) => Some(Why::Left),
            () = self.step.cancelled() => Some(Why::Cancelled),
            limit = time => Some(Why::Time(limit)),
        }
    }

    /// Waits until it has ended, having been told to, or its time for that is over. The step may go meanwhile.
    async fn grace(&mut self, group: &mut Group, why: Why, grace: Duration) {
        if why != Why::Left {
            tokio::select! {
                _ = group.wait() => return,
                () = tokio::time::sleep(grace) => return,
                () = left(&self.guest, &mut self.gone) => {}
            }
        }
        let grace = grace.min(limits::PROGRAM_LEFT);
        tokio::time::timeout(grace, group.wait()).await.ok();
    }
}

/// Completes when nobody waits for the program any more.
async fn left(guest: &Guest, gone: &mut oneshot::Receiver<()>) {
    tokio::select! {
        () = guest.dismissed() => {}
        // Nothing is ever sent: the other end is gone.
        _ = gone => {}
    }
}

impl Command {
    /// As it is called in errors and logs.
    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// What the step comes to by it.
    fn judge(
        &self,
        over: Over,
        why: Option<Why>,
        took: Duration,
    ) -> Result<CommandOutput, StepError> {
        let Over {
            status,
            stdout,
            stderr,
        } = over;
        let name = self.name();
        let code = status.code();
        if let (None, Some(code)) = (why, code.filter(|code| self.codes.contains(code))) {
            return Ok(CommandOutput {
                code,
                stdout,
                stderr,
                took,
            });
        }
        let unknown = "; what it did is unknown";
        // Whatever it ended by: it may have ended well only because it was told to end.
        let (failure, mut error) = match (why, code) {
            (Some(Why::Time(limit)), _) => {
                let ran = format!("`{name}` ran longer than its time limit of {limit:?}");
                (
                    AttemptFailure::TimeOut,
                    format!("{ran} and was stopped{unknown}"),
                )
            }
            (Some(Why::Cancelled | Why::Left), _) => {
                let stopped = format!("`{name}` was stopped, since the step was{unknown}");
                (AttemptFailure::Cancelled, stopped)
            }
            (None, Some(code)) => {
                let ended = format!("`{name}` ended with exit code {code}");
                (AttemptFailure::Error, ended)
            }
            (None, None) => {
                let killed = format!("`{name}` was killed by {status}{unknown}");
                (AttemptFailure::Error, killed)
            }
        };
        if let (None, Some(bytes)) = (why, self.memory_limit) {
            let mib = bytes as f64 / f64::from(1 << 20);
            error.push_str(&format!(
                " (its memory is limited to {mib:.1} MiB of address space)"
            ));
        }
        let lines = stderr.last_lines();
        if !lines.is_empty() {
            error.push_str(": ");
            error.push_str(&lines);
        }
        Err(StepError::failed(failure, error))
    }
}
