//! The seam at which the test kit ([`testing`](crate::testing)) watches a worker: before a transaction that writes begins, before and
//! after its commit, before each attempt at a step, whenever its loop has nothing to do, and instead of the clocks of its heartbeat
//! and of its schedules.
//!
//! Outside the kit there is nobody at it, and each of these is a look at an empty option. It is in every build, so that
//! what is tested is what runs. So is the place before each statement, at which two transactions can be made to take turns.

use std::any::Any;
use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either};

use crate::cx::StepContext;
use crate::error::Error;
use crate::id::{IntentId, SessionId};
use crate::payload::Payload;
use crate::plan::RunStep;
use crate::state::AttemptFailure;
use crate::step::{Ending, StepError, fail};

/// Whoever watches a worker. Answers for one life of it: once that is over (`Err`), its process is taken to be dead, and
/// nothing that it still does reaches the database.
pub(crate) trait Watch: Send + Sync + fmt::Debug {
    /// The process still lives.
    fn alive(&self) -> Result<(), Error>;
    /// The loop of a session begins; it has ended when what this returns is dropped.
    fn enter(&self) -> Box<dyn Any + Send>;
    /// A transaction that writes is about to begin; it does when this completes.
    fn begin(&self) -> BoxFuture<'static, ()>;
    /// A transaction is about to be committed; `Err`: it is rolled back instead.
    fn before_commit(&self) -> Result<(), Error>;
    /// One was; `Err`: nobody learns of it.
    fn after_commit(&self) -> Result<(), Error>;
    /// The process dies here.
    fn crash(&self);
    /// An attempt is about to begin; it does when this completes.
    fn turn(&self, step: Upcoming) -> BoxFuture<'static, Turn>;
    /// The loop has nothing to do by itself; it does what this completes with.
    fn idle(&self, idle: Idle) -> BoxFuture<'static, Poke>;
    /// The next heartbeat is due when this completes; it has been made when what it returns is dropped. None: there is none
    /// any more.
    fn beat(&self) -> BoxFuture<'static, Option<Box<dyn Any + Send>>>;
    /// The worker decides the ticks of its schedules, whenever it is told to look.
    fn schedules(&self) -> bool;
    /// The next look at the schedules is due when this completes; it has been made when what it returns is dropped. None: there
    /// is none any more.
    fn look_at_schedules(&self) -> BoxFuture<'static, Option<Box<dyn Any + Send>>>;
    /// Something is done beside the loop, until what this returns is dropped.
    fn busy(&self) -> Box<dyn Any + Send>;
    /// Completes when nothing is done beside the loop.
    fn quiet(&self) -> BoxFuture<'static, ()>;
}

/// A loop that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Idle {
    /// Attempts that have begun and not ended, as the loop knows.
    pub(crate) running: usize,
    /// Until something of its own is due.
    pub(crate) due: Option<Duration>,
    /// A tick is on its way to the database.
    pub(crate) ticks: bool,
    /// So is a look for work.
    pub(crate) looks: bool,
}

/// What a loop that waits is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poke {
    /// Look whether there is anything for it.
    Look,
    /// Do what is due: time has passed.
    Due,
    /// This session has been silent for too long: end it.
    Reap(SessionId),
}

/// An attempt that is about to begin.
#[derive(Debug, Clone)]
pub(crate) struct Upcoming {
    pub(crate) intent: IntentId,
    pub(crate) kind: Arc<str>,
    /// Its place in the plan.
    pub(crate) index: usize,
    pub(crate) step: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) at_most_once: bool,
    /// It is a step in another queue than its intent's driver.
    pub(crate) routed: bool,
}

impl Upcoming {
    /// Of the same step.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.intent, self.index, &self.step) == (other.intent, other.index, &other.step)
    }
}

/// Leave to begin, and what is to happen; the turn is over when it is dropped.
pub(crate) struct Turn {
    pub(crate) injected: Option<Injected>,
    pub(crate) over: Box<dyn Any + Send>,
}

/// What a test makes happen to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) what: What,
    pub(crate) when: When,
}

/// Before the step has done anything, or when it has done all it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Error,
    Fail,
    Panic,
    TimeOut,
    Repeat,
    Crash,
    /// It is stopped, since the intent was cancelled.
    Stop,
}

/// Whoever is at the seam; nobody outside the test kit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seam(Option<Arc<dyn Watch>>);

impl Seam {
    pub(crate) fn of(watch: Arc<dyn Watch>) -> Self {
        Self(Some(watch))
    }

    /// The worker's time is a test's: its heart beats when it is told to, and it hears of nothing but through its own process.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn alive(&self) -> Result<(), Error> {
        self.0.as_ref().map_or(Ok(()), |watch| watch.alive())
    }

    /// Waits for leave to begin a transaction that writes.
    pub(crate) async fn begin(&self) {
        if let Some(watch) = &self.0 {
            watch.begin().await;
        }
    }

    pub(crate) fn before_commit(&self) -> Result<(), Error> {
        self.0
            .as_ref()
            .map_or(Ok(()), |watch| watch.before_commit())
    }

    pub(crate) fn after_commit(&self) -> Result<(), Error> {
        self.0.as_ref().map_or(Ok(()), |watch| watch.after_commit())
    }

    pub(crate) fn enter(&self) -> Option<Box<dyn Any + Send>> {
        self.0.as_ref().map(|watch| watch.enter())
    }

    pub(crate) fn busy(&self) -> Option<Box<dyn Any + Send>> {
        self.0.as_ref().map(|watch| watch.busy())
    }

    /// Completes when there is to be a heartbeat; what it returns is kept until that has been made.
    pub(crate) async fn beat(&self) -> Option<Box<dyn Any + Send>> {
        match &self.0 {
            Some(watch) => watch.beat().await,
            None => None,
        }
    }

    /// Whether the worker decides the ticks of its schedules; in the kit it does nothing by itself.
    pub(crate) fn schedules(&self) -> bool {
        self.0.as_ref().is_none_or(|watch| watch.schedules())
    }

    /// Completes when the schedules are to be looked at; what it returns is kept until that has been done.
    pub(crate) async fn look_at_schedules(&self) -> Option<Box<dyn Any + Send>> {
        match &self.0 {
            Some(watch) => watch.look_at_schedules().await,
            None => None,
        }
    }

    /// Waits until what is done beside the loop has come to its end, where somebody watches: so that a session begins after all
    /// that the one before it has left behind, and a run is the same every time.
    pub(crate) async fn quiet(&self) {
        if let Some(watch) = &self.0 {
            watch.quiet().await;
        }
    }

    /// Completes when the loop is to look again, which is never outside the kit.
    pub(crate) async fn idle(&self, idle: Idle) -> Poke {
        match &self.0 {
            Some(watch) => watch.idle(idle).await,
            None => pending().await,
        }
    }

    /// Waits for leave to begin an attempt. Returns what is to be run, and what has to be kept until it has ended.
    pub(crate) async fn turn(
        &self,
        run: RunStep,
        context: &StepContext,
        index: usize,
    ) -> (RunStep, Option<Box<dyn Any + Send>>) {
        let Some(watch) = &self.0 else {
            return (run, None);
        };
        let turn = watch.turn(Upcoming {
            intent: context.intent.id,
            kind: context.intent.kind.clone(),
            index,
            step: context.once.step.clone(),
            attempt: context.once.attempt,
            at_most_once: context.at_most_once,
            routed: context.is_routed(),
        });
        let turn = turn.await;
        let run = match turn.injected {
            Some(injected) => inject(run, injected, watch.clone()),
            None => run,
        };
        (run, Some(turn.over))
    }
}

/// Told of each statement of a transaction before it runs, by its name, and of its `commit`; the transaction goes on when
/// what it returns completes.
pub type Pause = Arc<dyn Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync>;

tokio::task_local! {
    /// Of the tests that drive two transactions statement by statement ([`turns`](crate::testing::turns)); nobody's
    /// outside them.
    pub(crate) static PAUSE: Pause;
}

/// This statement is about to run.
pub(crate) async fn before(statement: &'static str) {
    if let Ok(pause) = PAUSE.try_with(Clone::clone) {
        pause(statement).await;
    }
}

/// What is to run in a task of its own: whoever pauses this one pauses that one, too.
pub(crate) fn paused_alike<F: Future>(future: F) -> impl Future<Output = F::Output> {
    match PAUSE.try_with(Clone::clone) {
        Ok(pause) => Either::Left(PAUSE.scope(pause, future)),
        Err(_) => Either::Right(future),
    }
}

/// A step to which something happens.
fn inject(run: RunStep, Injected { what, when }: Injected, watch: Arc<dyn Watch>) -> RunStep {
    Arc::new(move |context, input: Payload| {
        let (run, watch) = (run.clone(), watch.clone());
        Box::pin(async move {
            if what == What::Repeat {
                run(context.clone(), input.clone()).await?;
                return run(context, input).await;
            }
            if when == When::After {
                // One that waits for children or for later has not done what it does.
                run(context, input).await?;
            }
            Err(match what {
                What::Error | What::Repeat => StepError::new("an error that the test made"),
                What::Fail => fail("a failure that the test made"),
                // Past the panic hook: nobody needs to read of it.
                What::Panic => std::panic::resume_unwind(Box::new("a panic that the test made")),
                What::TimeOut => StepError(Box::new(Ending::Failed {
                    failure: AttemptFailure::TimeOut,
                    error: "ran longer than its time limit, as the test wants it".to_owned(),
                })),
                What::Stop => StepError(Box::new(Ending::Failed {
                    failure: AttemptFailure::Cancelled,
                    error: "it was stopped, since the intent was cancelled".to_owned(),
                })),
                What::Crash => {
                    watch.crash();
                    pending().await
                }
            })
        })
    })
}
