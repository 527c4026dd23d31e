//! The worker: claims tasks, drives their DAGs, records what comes of them.
//!
//! One loop ([`engine`]) owns all state of a session: the intents in hand ([`drive`]), the queues ([`lane`]), and the
//! next tick. Steps run in tasks of their own ([`runner`]); ticks are committed by the [`committer`], one at a time,
//! while the loop goes on; the heartbeat ([`heartbeat`]) has a thread to itself.

mod asked;
mod away;
mod bounded;
mod cancelling;
mod children;
mod claimed;
mod committer;
mod drive;
mod ears;
mod elements;
mod ended;
mod engine;
mod heartbeat;
mod lane;
mod listen;
mod moves;
mod offering;
mod reaping;
mod registry;
mod runner;
mod session;
mod stop;
mod superseding;
mod ticking;
mod undoing;
mod waiting;
mod waking;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::client::Intendant;
use crate::cx::Cx;
use crate::dry_run::DryRun;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::{Intent, check_name};
use crate::limits;
use crate::payload;
use crate::plan::{MakePlan, Plan, PlanOutput, make_plan, make_single_step};
use crate::request::describe;
use crate::step::{StepOutput, StepResult};

pub use stop::shutdown_signal;
pub(crate) use superseding::Asker;

/// Carries out intents. `S` is the application's state, which every step gets.
///
/// ```
/// # use intendant::{Cx, Intent, Intendant, StepResult, Worker};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
/// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
/// async fn greet(_: Cx<()>, intent: Greet) -> StepResult<String> {
///     Ok(format!("hello, {}", intent.name))
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let intendant = Intendant::open("sqlite::memory:").await?;
/// let greeting = intendant.request(Greet { name: "Ada".into() }).await?;
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let worker = Worker::new(&intendant, ()).register_step(greet);
/// let running = tokio::spawn(worker.run(async { stopped.await.ok(); }));
/// assert_eq!(greeting.output().await?, "hello, Ada");
/// stop.send(()).ok();
/// running.await.unwrap()?;
/// # Ok::<(), intendant::Error>(()) }).unwrap();
/// ```
#[must_use = "a worker does nothing until it is run"]
pub struct Worker<S> {
    intendant: Intendant,
    state: Arc<S>,
    kinds: HashMap<Arc<str>, Arc<registry::Kind<S>>>,
    doubled: Option<String>,
    concurrency: usize,
    queues: HashMap<String, usize>,
    /// No other queues than these.
    only_named: bool,
    settings: Settings,
}

/// How a worker lives.
#[derive(Debug, Clone)]
struct Settings {
    name: Arc<str>,
    lease: Duration,
    poll: Duration,
    grace: Duration,
    cancel_grace: Duration,
    build: String,
}

/// What a worker did in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkReport {
    /// Intents that it brought to an end.
    pub finished: u64,
    /// Steps that it recorded.
    pub steps: u64,
    /// Ticks that it committed.
    pub ticks: u64,
    /// Of these, ticks of which the answer to the commit was lost, and which were found to have taken place.
    pub adopted: u64,
    /// Ticks that were refused since its session was dead: what it wanted to write, it did not.
    pub fenced: u64,
    /// Tasks that it handed back unfinished.
    pub handed_back: u64,
    /// Sessions of others that it found dead and reaped.
    pub reaped: u64,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// A worker with the application's state.
    pub fn new(intendant: &Intendant, state: S) -> Self {
        Self {
            intendant: intendant.clone(),
            state: Arc::new(state),
            kinds: HashMap::new(),
            doubled: None,
            concurrency: limits::CONCURRENCY,
            queues: HashMap::new(),
            only_named: false,
            settings: Settings {
                name: format!(
                    "{}/{}",
                    gethostname::gethostname().to_string_lossy(),
                    std::process::id()
                )
                .into(),
                lease: limits::LEASE,
                poll: limits::POLL,
                grace: limits::GRACE,
                cancel_grace: limits::CANCEL_GRACE,
                build: session::build(),
            },
        }
    }

    /// Carries out a kind by a plan.
    pub fn register<T, R>(
        self,
        plan: impl Fn(&T, &mut Plan<S>) -> R + Send + Sync + 'static,
    ) -> Self
    where
        T: Intent,
        R: PlanOutput<T::Output> + 'static,
    {
        self.add::<T>(make_plan(plan))
    }

    /// Carries out a kind that is a single step, named `run`. Its output is the intent's.
    ///
    /// It is tried as often as any step; for other limits, register a plan with one step.
    pub fn register_step<T, R, Fut>(
        self,
        step: impl Fn(Cx<S>, T) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        T: Intent,
        R: StepOutput<Value = T::Output>,
        Fut: Future<Output = StepResult<R>> + Send + 'static,
    {
        self.add::<T>(make_single_step(step))
    }

    fn add<T: Intent>(mut self, make_plan: MakePlan<S>) -> Self {
        let kind = registry::Kind::new::<T>(make_plan);
        if self
            .kinds
            .insert(Arc::from(T::KIND), Arc::new(kind))
            .is_some()
        {
            self.doubled = Some(T::KIND.to_owned());
        }
        self
    }

    /// Most steps that run at once, in each queue that is not named by [`queue`](Self::queue). 64 unless said.
    pub fn concurrency(mut self, steps: usize) -> Self {
        self.concurrency = steps.max(1);
        self
    }

    /// Serves this queue, with so many steps at once at most. A worker serves the queues of its kinds in any case; in one that
    /// is named here it also takes the steps that its kinds send there
    /// ([`StepBuilder::queue`](crate::StepBuilder::queue)).
    pub fn queue(mut self, queue: impl Into<String>, steps: usize) -> Self {
        self.queues.insert(queue.into(), steps.max(1));
        self
    }

    /// Serves no other queues than those that [`queue`](Self::queue) names: for a worker that carries out only what the
    /// kinds which it knows send to a certain place.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, Intendant, Node, Plan, StepResult, Worker, value};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Order;
    /// # impl Intent for Order { const KIND: &'static str = "order"; type Output = u32; }
    /// # async fn attach(_: Cx<()>, server: u32) -> StepResult<u32> { Ok(server) }
    /// # fn order(_: &Order, plan: &mut Plan<()>) -> Node<u32> {
    /// #     plan.step("attach", attach).queue("network").input(value(7u32))
    /// # }
    /// # fn workers(intendant: &Intendant) -> (Worker<()>, Worker<()>) {
    /// let anywhere = Worker::new(intendant, ()).register(order);
    /// let in_the_network = Worker::new(intendant, ()).register(order).queue("network", 4).only_named_queues();
    /// # (anywhere, in_the_network) }
    /// ```
    pub fn only_named_queues(mut self) -> Self {
        self.only_named = true;
        self
    }

    /// What it claims: by queue, the kinds whose own queue it is, and, where it is named, those that may send steps there.
    fn lanes(&self) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
        let mut lanes: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for kind in self.kinds.values() {
            if !self.only_named || self.queues.contains_key(&*kind.queue) {
                let lane = lanes.entry(kind.queue.clone()).or_default();
                lane.push(kind.name.clone());
            }
            for queue in self.queues.keys().filter(|queue| **queue != *kind.queue) {
                let lane = lanes.entry(Arc::from(queue.as_str())).or_default();
                lane.push(kind.name.clone());
            }
        }
        lanes.values_mut().for_each(|kinds| kinds.sort());
        lanes
    }

    /// The worker's name in the history: host and process unless said. Names mean nothing to the engine; two workers may
    /// have the same.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Silence after which others take this worker for dead, 15 s unless said. A heartbeat is sent five times as often.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.max(Duration::from_millis(100));
        self
    }

    /// How often an idle worker looks for work that nobody told it of, a third of a second unless said.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.settings.poll = poll.max(Duration::from_millis(1));
        self
    }

    /// How long a graceful stop waits for running steps, 25 s unless said. What still runs then is stopped, and its
    /// intents are handed back; no attempt is used up.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// How long a running step may go on after its intent was cancelled, 10 s unless said. It is told at once
    /// ([`Cx::cancelled`]); when the time is over its future is dropped, and what it had done is unknown.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.settings.cancel_grace = grace;
        self
    }

    /// A dry run: what would become of this intent if it were asked for now. Its plan, whether it would have to wait for
    /// its resources, and behind whom, whether anybody could carry it out. Writes nothing, and runs no step.
    ///
    /// Fails where the worker does not know the kind ([`Error::Setup`]), where the plan function or the check of its plan
    /// does ([`Error::NoPlan`]), and where a request would be refused.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, Intendant, StepResult, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # async fn greet(_: Cx<()>, intent: Greet) -> StepResult<String> { Ok(intent.name) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// let worker = Worker::new(&intendant, ()).register_step(greet);
    /// let dry_run = worker.plan(&Greet { name: "Ada".into() }).await?;
    /// println!("{dry_run}");
    /// assert_eq!(dry_run.graph.mermaid(), "flowchart LR\n  s0([\"run\"])\n");
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn plan<T: Intent>(&self, intent: &T) -> Result<DryRun, Error> {
        let kind = self.kinds.get(T::KIND).ok_or_else(|| {
            let name = T::KIND;
            Error::Setup(format!(
                "this worker has no plan for kind `{name}`; register one"
            ))
        })?;
        let input = payload::encode(intent).map_err(Error::payload("the input"))?;
        let store = self.intendant.store();
        let new = describe(intent, IntentId(store.clock().ordered_id()), input)?;
        let shape = kind.shape(&new.input).map_err(|failure| Error::NoPlan {
            kind: new.kind.clone(),
            error: failure.to_string(),
        })?;
        let foresight = store.foresee(&new, kind.conflicts.clone()).await?;
        Ok(DryRun::of(new, &shape, foresight))
    }

    /// The conflict rules of the kinds that this worker knows, as one table to read: whoever asks in a row finds what it does
    /// about whoever is there already.
    pub fn conflict_table(&self) -> String {
        let mut kinds: Vec<_> = self.kinds.values().collect();
        kinds.sort_by(|a, b| a.name.cmp(&b.name));
        let tables = kinds
            .iter()
            .map(|kind| format!("{}\n{}", kind.name, kind.conflicts));
        tables.collect::<Vec<_>>().join("\n")
    }

    /// [`Intendant::skip`], with the output checked against the step's type first. For programs that know the kind, a
    /// command line of their own for example; the worker need not run.
    pub async fn skip(
        &self,
        id: IntentId,
        step: &str,
        output: &(impl Serialize + ?Sized),
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let what = "the output";
        let output = payload::encode(output).map_err(Error::payload(what))?;
        let record = self.intendant.get(id).await?;
        let kind = self.kinds.get(&*record.kind).ok_or_else(|| {
            let name = &record.kind;
            Error::Setup(format!(
                "this worker has no plan for kind `{name}`; register one"
            ))
        })?;
        match kind.accepts(&payload::trusted(record.input.get()), step, &output) {
            registry::Accepts::Yes => {}
            registry::Accepts::No(error) => return Err(Error::Payload { what, error }),
            registry::Accepts::NoStep => {
                let step = step.to_owned();
                return Err(Error::NoStep { id, step });
            }
            registry::Accepts::NoPlan(error) => {
                let kind = record.kind;
                return Err(Error::NoPlan { kind, error });
            }
        }
        let verb = crate::store::StepVerb::Skip(output);
        self.intendant.on_step(id, step, verb, actor, reason).await
    }

    /// Works until `shutdown` completes ([`shutdown_signal`] does on SIGTERM and SIGINT), then finishes or hands back
    /// what it holds.
    ///
    /// Fails only when the worker cannot begin: a kind registered twice, a name that cannot be used, no database. Later
    /// troubles of the database are waited out. To stop it, complete `shutdown`; dropping this future aborts the steps
    /// and leaves the rest to whoever finds the session dead.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<WorkReport, Error> {
        if let Some(kind) = self.doubled {
            return Err(Error::Setup(format!(
                "the kind `{kind}` is registered twice with one worker"
            )));
        }
        check_name("worker", &self.settings.name)?;
        for kind in self.kinds.values() {
            kind.conflicts.check(&kind.name)?;
        }
        for queue in self.queues.keys() {
            check_name("queue", queue)?;
        }
        if self.only_named && self.queues.is_empty() {
            let error = "the worker serves only the queues that are named, and none is; name one with `queue`";
            return Err(Error::Setup(error.to_owned()));
        }
        self.intendant.store().check_schema().await?;
        engine::Engine::new(self).run(shutdown).await
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.settings.name)
            .field("kinds", &self.kinds.keys())
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
