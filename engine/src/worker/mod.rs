//! The worker: claims tasks, drives their DAGs, records what comes of them.
//!
//! One loop ([`engine`]) owns all state of a session: the intents in hand ([`drive`]), the queues ([`lane`]), and the
//! next tick. Steps run in tasks of their own ([`runner`]); ticks are committed by the [`committer`], one at a time,
//! while the loop goes on; the heartbeat ([`heartbeat`]) has a thread to itself.

mod asked;
mod away;
mod backing_off;
mod bounded;
mod by_name;
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
mod housekeeping;
mod lane;
mod lent;
mod limiting;
mod listen;
mod looking;
mod moves;
mod noting;
mod offering;
mod others;
mod outcome;
mod paced;
mod pacing;
mod partitions;
mod parts;
mod pausing;
mod reaping;
mod registry;
mod retaining;
mod runner;
mod scheduling;
mod session;
mod slot;
mod stop;
mod superseding;
mod telling;
mod ticking;
mod undoing;
mod waiting;
mod waking;
mod watchdog;
mod wear;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::alert::{Notice, Watch};
use crate::client::Intendant;
use crate::cx::Cx;
use crate::dry_run::DryRun;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Intent;
use crate::limits;
use crate::middleware::{Middleware, Stack};
use crate::payload;
use crate::plan::{MakePlan, Plan, PlanOutput, make_plan, make_single_step};
use crate::request::describe;
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick};
use crate::secret::encode_input;
use crate::step::{StepOutput, StepResult};

use parts::Parts;
pub use stop::shutdown_signal;
pub(crate) use superseding::Asker;
pub use wear::Stopped;

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
    state: Arc<S>,
    middleware: Stack<S>,
    parts: Parts,
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
    /// Why it stopped.
    pub stopped: Stopped,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// A worker with the application's state.
    pub fn new(intendant: &Intendant, state: S) -> Self {
        Self::sharing(intendant, Arc::new(state))
    }

    /// A worker beside others of this process with the same state.
    pub(crate) fn sharing(intendant: &Intendant, state: Arc<S>) -> Self {
        Self {
            state,
            middleware: Stack::default(),
            parts: Parts::new(intendant.clone()),
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
        let make_plan = make_plan(plan, &self.state);
        self.add::<T>(make_plan)
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
        let make_plan = make_single_step(step, &self.state);
        self.add::<T>(make_plan)
    }

    fn add<T: Intent>(mut self, make_plan: MakePlan) -> Self {
        let kind = registry::Kind::new::<T>(make_plan);
        if self.parts.kinds.insert(Arc::from(T::KIND), kind).is_some() {
            self.parts.doubled = Some(T::KIND.to_owned());
        }
        self
    }

    /// Requests an intent at every tick of a schedule, which the function makes of it.
    ///
    /// One tick is one intent, however many workers declare the schedule and whichever of them dies: the intent and what the
    /// schedule says of the tick are one commit. The next tick follows from the last one, not from when somebody looked, by
    /// the database's clock. The intent is requested by `schedule:NAME` and uses the resource of that name
    /// ([`Schedule::overlapping`]). A function that panics, or makes what cannot be kept, fails that tick and no other one
    /// ([`TickState::Failed`](crate::TickState::Failed)). It should be quick: it makes an input, the step does the work.
    ///
    /// The database keeps the declaration. A changed one needs a higher [`revision`](Schedule::revision): what is due by then is
    /// decided as the older one says, after that the newer one counts. The same revision with another content is an error, and
    /// the worker does not begin. One that has gone from the code stays in the database and does not tick, until it is removed
    /// ([`Intendant::remove_schedule`]) or declared again: then its ticks in between are late, and its
    /// [`CatchUp`](crate::CatchUp) says what becomes of them.
    ///
    /// ```
    /// # use intendant::{CatchUp, Cx, Intent, Intendant, Schedule, StepResult, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct CloseMonth { month: String }
    /// # impl Intent for CloseMonth { const KIND: &'static str = "month.close"; type Output = (); }
    /// # async fn close(_: Cx<()>, _: CloseMonth) -> StepResult<()> { Ok(()) }
    /// # fn worker(intendant: &Intendant) -> Worker<()> {
    /// let at_six = Schedule::cron("month.close", "0 6 1 * *").in_zone("Europe/Stockholm").catch_up(CatchUp::All(12));
    /// Worker::new(intendant, ())
    ///     .register_step(close)
    ///     .schedule(at_six, |tick| CloseMonth { month: tick.local().format("%Y-%m").to_string() })
    /// # }
    /// ```
    pub fn schedule<T: Intent>(
        mut self,
        schedule: Schedule,
        intent: impl Fn(Tick) -> T + Send + Sync + 'static,
    ) -> Self {
        let declared = scheduling::Declared::new(schedule, intent);
        self.parts.schedules.push(declared);
        self
    }

    /// Declares how long what has finished is kept ([`Retention`]); without any such word everything is. The worker removes what is
    /// older, in small batches, in turn with the others of its database, and more slowly while its own work gets slow by it.
    ///
    /// The database keeps the declaration, also when it has gone from the code. A changed one needs a higher
    /// [`revision`](Retention::revision); the same revision with another content is an error, and the worker does not begin. What a
    /// person says of the same ([`Intendant::retain`]) stands before any revision.
    pub fn retain(mut self, rule: Retention) -> Self {
        self.parts.retentions.push(rule);
        self
    }

    /// Most steps that run at once, in each queue that is not named by [`queue`](Self::queue). 64 unless said.
    pub fn concurrency(mut self, steps: usize) -> Self {
        self.parts.concurrency = steps.max(1);
        self
    }

    /// Serves this queue, with so many steps at once at most. A worker serves the queues of its kinds in any case; in one that
    /// is named here it also takes the steps that its kinds send there
    /// ([`StepBuilder::queue`](crate::StepBuilder::queue)).
    pub fn queue(mut self, queue: impl Into<String>, steps: usize) -> Self {
        self.parts.queues.insert(queue.into(), steps.max(1));
        self
    }

    /// How many closures of steps ([`Cx::blocking`]) run at once, in all queues together; as many as the machine has
    /// processors unless said. They keep threads, not slots: a step that waits for one of these places has its slot already.
    pub fn blocking(mut self, closures: usize) -> Self {
        self.parts.settings.blocking = closures.clamp(1, limits::BLOCKING);
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
        self.parts.only_named = true;
        self
    }

    /// The worker's name in the history: host and process unless said. Names mean nothing to the engine; two workers may
    /// have the same.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.parts.settings.name = name.into();
        self
    }

    /// Silence after which others take this worker for dead, 15 s unless said. A heartbeat is sent five times as often.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.parts.settings.lease = lease.max(Duration::from_millis(100));
        self
    }

    /// How often an idle worker looks for work that nobody told it of, a third of a second unless said. It is also how long it
    /// may take to hear what people say of queues.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.parts.settings.poll = poll.max(Duration::from_millis(1));
        self
    }

    /// How long a graceful stop waits for running steps, 25 s unless said.
    ///
    /// From the moment that it is asked to stop, the worker claims nothing and starts no step; what it holds and does not
    /// run goes back in line at once. Steps hear of it ([`Cx::stopping`], [`Cx::exit_point`]), and what they come to within
    /// the grace time is recorded as ever. When it is over, the future of every step that still runs is dropped at its next
    /// `await`; its intent is handed back as it is, with its checkpoint and its log: no attempt is used up, and it is no
    /// failure. Steps that are at most once fail as interrupted instead. A step in the middle of its own transaction or
    /// checkpoint is waited for until that is known to be on disk or not, and [programs](Cx::run) are killed. Who has not let go a second later blocks its thread:
    /// its intent stays in the session, which is marked as leaving, and [`run`](Self::run) returns; another worker takes
    /// the intent over when this process has ended, or a lease later, and does not count that as a crash. Meanwhile the
    /// blocked code may still run; it can write nothing any more.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.parts.settings.grace = grace;
        self
    }

    /// How long a running step may go on after its intent was cancelled, 10 s unless said. It is told at once
    /// ([`Cx::cancelled`]); when the time is over its future is dropped, and what it had done is unknown.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.parts.settings.cancel_grace = grace;
        self
    }

    /// What counts as trouble when it is this worker's turn to look for it: see [`Watch`]. The workers of a database should
    /// have the same.
    pub fn watch(mut self, watch: Watch) -> Self {
        self.parts.settings.watch = watch;
        self
    }

    /// Calls this with what people should be told: alerts that were raised, and intents that failed, those of one sort and
    /// for one reason as one [`Notice`] with a count, each at most once in [`Watch::throttle`].
    ///
    /// A worker has one hook, the last that it was given. One worker tells, of those that have a hook; which one is recorded in the database. At least once: what the hook has
    /// not taken, because it failed, panicked, took longer than [`limits::HOOK`], or its worker died, is told again.
    ///
    /// ```
    /// # use intendant::{Intendant, Worker};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// let worker = Worker::new(&intendant, ()).on_alert(async |notices| {
    ///     for notice in notices {
    ///         eprintln!("{} × {}: {}", notice.count, notice.kind, notice.text);
    ///     }
    ///     Ok::<(), std::io::Error>(())
    /// });
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub fn on_alert<E, Fut>(
        mut self,
        hook: impl Fn(Vec<Notice>) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        E: fmt::Display,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.parts.settings.hook = Some(housekeeping::Hook::new(hook));
        self
    }

    /// Whether it has a hook ([`on_alert`](Self::on_alert)).
    pub fn has_alert_hook(&self) -> bool {
        self.parts.settings.hook.is_some()
    }

    /// Runs something around every attempt at a step, of all kinds, undo functions among them: inside what was added before.
    pub fn middleware(mut self, middleware: impl Middleware<S>) -> Self {
        self.middleware.add(None, middleware);
        self
    }

    /// Runs something around every attempt at a step of one kind: inside what is around all, and inside what was added
    /// before.
    pub fn middleware_for<T: Intent>(mut self, middleware: impl Middleware<S>) -> Self {
        self.middleware.add(Some(T::KIND), middleware);
        self
    }

    /// What runs around the steps of each kind that this worker knows, the outermost first, as one table to read.
    pub fn middleware_table(&self) -> String {
        self.middleware.table(self.parts.kinds().into_iter())
    }

    /// How long a step may keep its thread without an `await` that lets others run, 10 s unless said. Who keeps it longer is
    /// told in the log and to the `metrics` facade (`intendant_step_stuck_total` by kind and step,
    /// `intendant_steps_stuck` by worker), and the worker claims nothing more until it comes back: it may hold a thread that
    /// others need. If it does not come back in six times this long, the worker stops, as [`Stopped::Stuck`]. The same holds
    /// for a runtime that does not come back to a task in that time (`intendant_runtime_stuck_total`).
    ///
    /// It is a thread of its own that looks, so it sees that also where no timer fires any more. Work that blocks belongs
    /// into [`Cx::blocking`]. A closure there, or a [`Command`](crate::Command)'s program, that does not end within this time
    /// after its step was stopped counts as stuck, too.
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.parts.settings.watchdog = Some(limit.max(Duration::from_millis(20)));
        self
    }

    /// Nobody watches for steps that keep their thread.
    pub fn no_watchdog(mut self) -> Self {
        self.parts.settings.watchdog = None;
        self
    }

    /// Stops gracefully at this age, up to a tenth earlier by chance (so that workers that were started together do not stop
    /// together), as [`Stopped::Age`]: for a supervisor that starts it anew.
    pub fn max_age(mut self, age: Duration) -> Self {
        let random = self.parts.intendant.store().clock().random();
        self.parts.settings.bounds.age = Some(wear::spread(age, random));
        self
    }

    /// Stops gracefully when its process has this many bytes of resident memory, as [`Stopped::Memory`]: for a supervisor
    /// that starts it anew. Looked at with every heartbeat. Systems other than Linux do not tell; there it does nothing.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.parts.settings.bounds.memory = Some(bytes);
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
        let kind = self.parts.known(T::KIND)?;
        let input = encode_input(intent).map_err(Error::payload("the input"))?;
        let id = IntentId(self.parts.intendant.store().clock().ordered_id());
        self.parts.dry_run(kind, describe(intent, id, input)?).await
    }

    /// The conflict rules of the kinds that this worker knows, as one table to read: whoever asks in a row finds what it does
    /// about whoever is there already.
    pub fn conflict_table(&self) -> String {
        let mut kinds: Vec<_> = self.parts.kinds.values().collect();
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
        let output = payload::encode(output).map_err(Error::payload("the output"))?;
        self.parts.skip(id, step, output, actor, reason).await
    }

    /// Works until `shutdown` completes ([`shutdown_signal`] does on SIGTERM and SIGINT), then finishes or hands back
    /// what it holds.
    ///
    /// Fails only when the worker cannot begin: a kind registered twice, a name that cannot be used, no database. Later
    /// troubles of the database are waited out. To stop it, complete `shutdown`; dropping this future aborts the steps
    /// and leaves the rest to whoever finds the session dead.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<WorkReport, Error> {
        let Self {
            state,
            middleware,
            mut parts,
        } = self;
        for (name, kind) in &mut parts.kinds {
            kind.around = middleware.around(name, &state);
        }
        parts.run(Box::pin(shutdown)).await
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.parts.settings.name)
            .field("kinds", &self.parts.kinds.keys())
            .field("concurrency", &self.parts.concurrency)
            .finish_non_exhaustive()
    }
}
