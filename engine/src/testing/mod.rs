//! Tests of your own workflows: virtual time, faults at every step, and a check that running anything twice does no more
//! than running it once. See [`Kit`], and docs/TESTING.md.
//!
//! It is part of every build and not behind a feature: a worker that is compiled for tests is then the one that runs. It
//! needs no further crate, and what of it no test uses is not compiled in.

mod check;
mod clock;
mod database;
mod director;
mod ended;
mod outcome;
mod process;
mod recovery;
mod report;
mod script;
mod stage;
#[doc(hidden)]
pub mod troupe;
#[doc(hidden)]
pub mod turns;

/// Bugs that can be planted, with the feature `planted-bugs`.
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
pub mod planted {
    pub use crate::planted::bugs::{BUGS, Bug, VARIABLE};
}

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Intent;
use crate::seam::{Injected, What, When};
use crate::state::IntentState;
use crate::worker::Worker;

pub use ended::Ended;
pub use report::{Finding, Report};
pub use script::Ran;
pub use stage::Stage;

type Register<S> = Arc<dyn Fn(Worker<S>) -> Worker<S>>;
type Fresh<S> = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = S>>>>;

/// How to test intents: a fresh world, and the worker that carries them out in it. `S` is the application's state, which
/// has the outside world in it, or what stands for it in a test.
///
/// ```
/// use intendant::testing::{Fault, Kit};
/// use intendant::{Cx, Intent, IntentState, StepResult};
/// # use std::sync::Mutex;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greet { name: String }
/// impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
///
/// #[derive(Default)]
/// struct World { greeted: Mutex<Vec<String>> }
///
/// async fn greet(cx: Cx<World>, greet: Greet) -> StepResult<String> {
///     cx.state().greeted.lock().unwrap().push(greet.name.clone());
///     Ok(format!("hello, {}", greet.name))
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let kit = Kit::new(World::default, |worker| worker.register_step(greet));
/// let mut stage = kit.stage().await?;
/// stage.fault("run", Fault::Error).fault("run", Fault::Panic);
/// let ended = stage.run(Greet { name: "Ada".into() }).await?;
/// assert_eq!(ended.output::<String>()?, "hello, Ada");
/// assert_eq!(ended.failures("run").len(), 2); // and the retries were not waited for
/// assert_eq!(*stage.state().greeted.lock().unwrap(), ["Ada"]);
/// # Ok::<(), intendant::testing::TestError>(()) }).unwrap();
/// ```
pub struct Kit<S> {
    fresh: Fresh<S>,
    register: Register<S>,
    undo: bool,
}

impl<S> fmt::Debug for Kit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> Kit<S> {
    /// A kit. `fresh` makes the state of a run, with a world in which nothing has happened; `register` says what the worker
    /// knows, and whatever else is to be said of it.
    pub fn new(
        fresh: impl Fn() -> S + 'static,
        register: impl Fn(Worker<S>) -> Worker<S> + 'static,
    ) -> Self {
        Self::with_database(move |_| std::future::ready(fresh()), register)
    }

    /// The same where the state needs the run's database: a SQLite URL, for a pool of the application's own on the file in
    /// which the engine's tables are.
    pub fn with_database<F: Future<Output = S> + 'static>(
        fresh: impl Fn(String) -> F + 'static,
        register: impl Fn(Worker<S>) -> Worker<S> + 'static,
    ) -> Self {
        Self {
            fresh: Arc::new(move |url| Box::pin(fresh(url))),
            register: Arc::new(register),
            undo: true,
        }
    }

    /// A check does not cancel anything: for workflows of which more can be seen than is taken back.
    #[must_use]
    pub fn without_undo(mut self) -> Self {
        self.undo = false;
        self
    }

    /// A fresh stage, for one run.
    pub async fn stage(&self) -> Result<Stage<S>, TestError> {
        Stage::open(&self.fresh, self.register.clone()).await
    }

    /// Carries out an intent in a fresh world, until it is at rest.
    pub async fn run<T: Intent>(&self, intent: T) -> Result<Ended, TestError> {
        self.stage().await?.run(intent).await
    }
}

/// What a test makes happen to an attempt at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An error: it is tried again after a while, if it has attempts left.
    Error,
    /// A failure for good: the step has failed.
    Fail,
    /// A panic; tried again as after an error.
    Panic,
    /// It runs out of time; tried again as after an error.
    TimeOut,
    /// The worker dies, with all that it has in hand. Another one takes over when the lease is over.
    Crash,
    /// The step is run twice, and what it says the second time counts: as after a crash between its work and the record of
    /// its result. Before and after are the same here.
    Repeat,
}

impl Fault {
    fn at(self, when: When) -> Injected {
        let what = match self {
            Self::Error => What::Error,
            Self::Fail => What::Fail,
            Self::Panic => What::Panic,
            Self::TimeOut => What::TimeOut,
            Self::Crash => What::Crash,
            Self::Repeat => What::Repeat,
        };
        Injected { what, when }
    }
}

/// Why a test could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The engine says no.
    #[error(transparent)]
    Engine(#[from] Error),
    /// A temporary file could not be written or read.
    #[error("the test's database: {0}")]
    File(std::io::Error),
    /// The intent is not at rest, and nothing is due.
    #[error("intent {id} is {state}, and would be for ever: {why}")]
    Stuck {
        /// The intent.
        id: IntentId,
        /// Where it is.
        state: IntentState,
        /// What it waits for.
        why: String,
    },
    /// Something is always due.
    #[error("something is always due, and nothing comes of it: {passed:?} have passed")]
    NeverQuiet {
        /// Time that has passed for the worker.
        passed: Duration,
    },
    /// A step has been running for half a minute of real time.
    #[error(
        "step `{step}` of kind `{kind}` has been running for half a minute of real time; steps run one at a time, so it must \
         not wait for another one"
    )]
    Hangs {
        /// The intent's kind.
        kind: String,
        /// The step.
        step: String,
    },
    /// The worker ended or stood still.
    #[error("the worker has ended or stands still")]
    WorkerGone,
    /// The world cannot be compared.
    #[error("what is seen of the world does not go to JSON: {0}")]
    World(serde_json::Error),
    /// What was to happen did not: what runs depends on something else than the world and the intent.
    #[error(
        "{what}: it never came to that; what is run must depend on the intent and on the fresh state only, not on time, \
         chance or another test"
    )]
    NotMet {
        /// What was to happen.
        what: String,
    },
    /// The engine has broken its own rules.
    #[error("invariants of the engine are broken, which is a fault of the engine: {0:?}")]
    Breaches(Vec<(String, IntentId)>),
    /// There is no output of this type.
    #[error("{what} has no output: {found}")]
    NoOutput {
        /// The step, or the intent.
        what: String,
        /// How everything ended.
        found: String,
    },
}
