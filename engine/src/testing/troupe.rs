//! A troupe: several workers on one database, each a process as far as the others can see, of which one thing happens at a
//! time: whoever holds the troupe says which. For the engine's own simulation; no part of the kit, and free to change.
//!
//! The workers are the engine's own, with their loops, committers and attempts. What they do waits for leave at the points
//! that matter: before each transaction, before each attempt at a step, and when there is nothing to do. Between two such
//! points nobody else moves, so a list of moves is a run that can be repeated; as a rule, since on a busy machine something may be
//! taken for still that moves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::clock::VirtualClock;
use super::database::{Database, world};
use super::director::{Director, Standing};
use super::process::Process;
use super::script::Script;
use super::{Fault, Kit, Register, TestError};
use crate::client::Intendant;
use crate::clock::{Clock as _, Micros};
use crate::id::IntentId;
use crate::seam::{Idle, Poke, Seam, Upcoming, When};
use crate::worker::Worker;

pub use super::director::Fate;

/// Something that can happen now.
#[derive(Debug, Clone)]
pub enum Move {
    /// A worker that has nothing to do looks for work.
    Look(usize),
    /// It hears that something was done from outside: asked for, cancelled, sent.
    Hear(usize),
    /// Its heart beats: it learns what goes with that, and what is done with every heartbeat is done.
    Beat(usize),
    /// Something of a worker's own is due.
    Due(usize),
    /// A worker looks which ticks of its schedules are due, and decides them.
    Schedule(usize),
    /// An attempt at a step begins.
    Begin(usize, Attempt),
    /// A transaction begins, and goes on to its end.
    Commit(usize, u64),
}

/// An attempt at a step.
#[derive(Debug, Clone)]
pub struct Attempt(Upcoming);

impl Attempt {
    /// Whose step it is.
    pub fn intent(&self) -> IntentId {
        self.0.intent
    }

    /// The step's name.
    pub fn step(&self) -> &str {
        &self.0.step
    }

    /// Its number among those at the step, from 1.
    pub fn number(&self) -> u32 {
        self.0.attempt
    }

    /// It is in the step's own queue, and not in its intent's.
    pub fn is_routed(&self) -> bool {
        self.0.routed
    }
}

/// A worker: one process after the other.
struct Actor {
    process: Option<Process>,
    lives: usize,
    /// What it waits for, and since when it has said so.
    idle: Option<(Idle, Instant)>,
    said: u64,
}

/// Several workers on one database.
pub struct Troupe<S> {
    app: Arc<S>,
    register: Register<S>,
    database: Database,
    clock: Arc<VirtualClock>,
    script: Arc<Mutex<Script>>,
    actors: Vec<Actor>,
}

impl<S> std::fmt::Debug for Troupe<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Troupe")
            .field("database", &self.database.url)
            .finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> Kit<S> {
    /// So many workers in a fresh world.
    #[doc(hidden)]
    pub async fn troupe(&self, workers: usize) -> Result<Troupe<S>, TestError> {
        let (clock, database, app) = world(&self.fresh).await?;
        let actor = |_| Actor {
            process: None,
            lives: 0,
            idle: None,
            said: 0,
        };
        Ok(Troupe {
            app,
            register: self.register.clone(),
            database,
            actors: (0..workers).map(actor).collect(),
            clock,
            script: Arc::default(),
        })
    }
}

impl<S: Send + Sync + 'static> Troupe<S> {
    /// The application's state.
    pub fn state(&self) -> &S {
        &self.app
    }

    /// The engine in a process of its own, to ask for intents and to do what an operator does. No worker hears of that by
    /// itself.
    pub fn intendant(&self) -> &Intendant {
        &self.database.intendant
    }

    /// The database's URL.
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// How much has passed.
    pub fn passed(&self) -> Duration {
        self.clock.passed()
    }

    /// What the wall clock of the machine says, and so the database's.
    pub fn now(&self) -> DateTime<Utc> {
        Micros(self.clock.wall_us()).to_utc()
    }

    /// Sets the wall clock of the machine, on which all workers are.
    pub fn set_clock(&self, ahead_us: i64) {
        self.clock.set(ahead_us);
    }

    /// How many workers there are, alive or not.
    pub fn len(&self) -> usize {
        self.actors.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Whether a worker's process lives.
    pub fn is_alive(&self, worker: usize) -> bool {
        self.actors
            .get(worker)
            .is_some_and(|it| it.process.is_some())
    }

    /// The name under which the present life of a worker has its session.
    pub fn name(&self, worker: usize) -> String {
        let lives = self.actors.get(worker).map_or(0, |actor| actor.lives);
        format!("worker-{worker}-{lives}")
    }

    /// Starts a worker that is not alive.
    pub async fn start(&mut self, worker: usize) -> Result<(), TestError> {
        let Some(actor) = self
            .actors
            .get_mut(worker)
            .filter(|it| it.process.is_none())
        else {
            return Ok(());
        };
        actor.lives += 1;
        let name = format!("worker-{worker}-{}", actor.lives);
        let director = Director::new(self.script.clone(), true);
        let seam = Seam::of(director.clone() as Arc<_>);
        let intendant = self.database.intendant.watched(seam);
        let worker = (self.register)(Worker::sharing(&intendant, self.app.clone())).name(name);
        actor.process = Some(Process::start(director, intendant, worker));
        self.still().await
    }

    /// Ends a worker's process with no goodbye.
    pub async fn kill(&mut self, worker: usize) {
        let process = self.actors.get_mut(worker).and_then(|it| it.process.take());
        if let Some(process) = process {
            process.die().await;
        }
    }

    /// The attempts that live workers have begun, each with its worker: they have their turn, or wait for it.
    pub fn under_way(&self) -> Vec<(usize, Attempt)> {
        let mut all = Vec::new();
        for (worker, actor) in self.actors.iter().enumerate() {
            let Some(process) = &actor.process else {
                continue;
            };
            let attempts = process.director.under_way().into_iter();
            all.extend(attempts.map(|it| (worker, Attempt(it))));
        }
        all
    }

    /// Whether a worker waits until it is told to look at its schedules.
    pub fn looks_at_schedules(&self, worker: usize) -> bool {
        let process = self.actors.get(worker).and_then(|it| it.process.as_ref());
        process.is_some_and(|process| process.director.looks_at_schedules())
    }

    /// What can happen now, in an order that is the same in every run. Of a worker that is dead nothing does.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (worker, actor) in self.actors.iter().enumerate() {
            let (Some(process), Some((idle, since))) = (&actor.process, actor.idle) else {
                continue;
            };
            moves.extend(
                process
                    .director
                    .gates()
                    .into_iter()
                    .map(|gate| Move::Commit(worker, gate)),
            );
            let attempts = process.director.waiting().into_iter();
            moves.extend(attempts.map(|it| Move::Begin(worker, Attempt(it))));
            if process.director.looks_at_schedules() {
                moves.push(Move::Schedule(worker));
            }
            if idle.ticks {
                continue;
            }
            moves.extend([Move::Look(worker), Move::Hear(worker)]);
            if process.director.beats() {
                moves.push(Move::Beat(worker));
            }
            if self.left(idle, since).is_some_and(|left| left.is_zero()) {
                moves.push(Move::Due(worker));
            }
        }
        moves
    }

    /// How long it is until something is due for a worker that lives.
    pub fn next_due(&self) -> Option<Duration> {
        let living = self.actors.iter().filter(|actor| actor.process.is_some());
        let dues = living.filter_map(|actor| {
            let (idle, since) = actor.idle.filter(|(idle, _)| !idle.ticks)?;
            self.left(idle, since)
        });
        dues.min()
    }

    fn left(&self, idle: Idle, since: Instant) -> Option<Duration> {
        let waited = self.clock.monotonic().saturating_duration_since(since);
        idle.due.map(|due| due.saturating_sub(waited))
    }

    /// Lets something happen, until nothing does by itself any more. `fate`: what becomes of a transaction; `fault`: what is
    /// to happen to an attempt, and whether it is when that has done all it does.
    pub async fn make(
        &mut self,
        what: &Move,
        fate: Fate,
        fault: Option<(Fault, bool)>,
    ) -> Result<(), TestError> {
        let worker = match what {
            Move::Look(worker) | Move::Hear(worker) | Move::Beat(worker) => *worker,
            Move::Due(worker) | Move::Schedule(worker) => *worker,
            Move::Begin(worker, _) | Move::Commit(worker, _) => *worker,
        };
        let process = self.actors.get(worker).and_then(|it| it.process.as_ref());
        let process = process.ok_or(TestError::WorkerGone)?;
        match what {
            Move::Look(_) => process.director.poke(Poke::Look),
            Move::Hear(_) => process.hear(),
            Move::Beat(_) => process.director.give_beat(),
            Move::Due(_) => process.director.poke(Poke::Due),
            Move::Schedule(_) => process.director.give_look_at_schedules(),
            Move::Begin(_, attempt) => {
                let injected = fault.map(|(fault, is_after)| {
                    fault.at(if is_after { When::After } else { When::Before })
                });
                self.script
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .run(&attempt.0);
                process.director.grant(&attempt.0, injected);
            }
            Move::Commit(_, gate) => process.director.open(*gate, fate),
        }
        self.still().await
    }

    /// The workers' names of the sessions that there are.
    pub async fn sessions(&self) -> Result<Vec<String>, TestError> {
        let sessions = self.database.intendant.store().sessions().await?;
        Ok(sessions.into_iter().map(|it| it.worker).collect())
    }

    /// A worker finds that a session has been silent for too long, whether that is so or not, and begins to end it.
    pub async fn reap(&mut self, worker: usize, name: &str) -> Result<(), TestError> {
        let process = self.actors.get(worker).and_then(|it| it.process.as_ref());
        let process = process.ok_or(TestError::WorkerGone)?;
        for session in self.database.intendant.store().sessions().await? {
            if session.worker == name {
                process.director.poke(Poke::Reap(session.id));
            }
        }
        self.still().await
    }

    /// Waits until nothing happens by itself. Processes that have died are gone then.
    async fn still(&mut self) -> Result<(), TestError> {
        for actor in &mut self.actors {
            let Some(process) = &mut actor.process else {
                continue;
            };
            match process.still().await? {
                Standing::Still { idle, said, .. } => {
                    let known = actor.idle.filter(|_| actor.said == said);
                    actor.idle = known.or(Some((idle, self.clock.monotonic())));
                    actor.said = said;
                }
                Standing::Dead | Standing::Moving => {
                    actor.idle = None;
                    if let Some(process) = actor.process.take() {
                        process.die().await;
                    }
                }
            }
        }
        Ok(())
    }
}
