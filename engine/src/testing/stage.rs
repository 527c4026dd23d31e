//! The stage: one run in a test, with a database, a world and a clock of its own, and one worker that is replaced when it
//! dies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::VirtualClock;
use super::database::{Database, world};
use super::director::{Director, Standing};
use super::ended::Ended;
use super::process::Process;
use super::script::{Ran, Script};
use super::{Fault, Register, TestError};
use crate::client::Intendant;
use crate::id::IntentId;
use crate::intent::Intent;
use crate::limits;
use crate::seam::{Injected, Poke, Seam, Upcoming, What, When};
use crate::worker::Worker;

/// How often a worker is made to look again without anything coming of it, before that counts as waiting for ever.
const VAIN_LOOKS: usize = 1_000;

/// One run in a test. Made by [`Kit::stage`](super::Kit::stage).
///
/// A worker lives on it, but does one thing at a time, and only while [`rest`](Self::rest), [`quiet`](Self::quiet) or
/// [`run`](Self::run) is awaited: attempts at steps one after the other, in the order of the plan; and when none can run,
/// time passes at once until something is due.
pub struct Stage<S> {
    app: Arc<S>,
    register: Register<S>,
    database: Database,
    clock: Arc<VirtualClock>,
    script: Arc<Mutex<Script>>,
    process: Option<Process>,
    workers: usize,
    pub(super) cancel_at: Option<CancelAt>,
}

/// An intent is cancelled when the attempt at this place of the run has its turn, which is then stopped.
#[derive(Debug, Clone, Copy)]
pub(super) struct CancelAt {
    pub(super) nth: usize,
    /// The attempt does nothing, or all it does.
    pub(super) when: When,
    pub(super) intent: IntentId,
}

impl<S> std::fmt::Debug for Stage<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("database", &self.database.url)
            .finish_non_exhaustive()
    }
}

/// Until when a stage goes on.
#[derive(Debug, Clone, Copy)]
enum Until {
    Rest(IntentId),
    Quiet,
}

impl<S: Send + Sync + 'static> Stage<S> {
    pub(super) async fn open(
        fresh: &super::Fresh<S>,
        register: Register<S>,
    ) -> Result<Self, TestError> {
        let (clock, database, app) = world(fresh).await?;
        Ok(Self {
            app,
            register,
            database,
            clock,
            script: Arc::default(),
            process: None,
            workers: 0,
            cancel_at: None,
        })
    }

    /// The application's state, which the steps have, too: the world outside, as far as it is in there.
    pub fn state(&self) -> &S {
        &self.app
    }

    /// The engine, to ask for intents and to do what an operator does. What is asked here is acted on by the next
    /// [`rest`](Self::rest) or [`quiet`](Self::quiet).
    pub fn intendant(&self) -> &Intendant {
        &self.database.intendant
    }

    /// The database's URL.
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// Time that has passed for the worker: retries, snoozes and start times are waited for at once, but they count.
    pub fn passed(&self) -> Duration {
        self.clock.passed()
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// The next attempt at a step of this name meets with this, before it has done anything.
    ///
    /// Several for one step are met one after the other. The element of a map is `resize[3]`, what takes `volume` back is
    /// `undo(volume)`, a kind that is a single step has the step `run`.
    pub fn fault(&mut self, step: &str, fault: Fault) -> &mut Self {
        self.script().inject(step, fault.at(When::Before), 1);
        self
    }

    /// The same, when the step has done all that it does, and before its result is recorded: a fault of which nobody can
    /// know whether it had an effect.
    pub fn fault_after(&mut self, step: &str, fault: Fault) -> &mut Self {
        self.script().inject(step, fault.at(When::After), 1);
        self
    }

    /// The same as [`fault`](Self::fault), so many times: often enough, and the step is out of attempts.
    pub fn fault_times(&mut self, step: &str, fault: Fault, times: usize) -> &mut Self {
        let times = times.max(1);
        self.script().inject(step, fault.at(When::Before), times);
        self
    }

    /// Steps to which something is still to happen: has a name been misspelt?
    pub fn unmet_faults(&self) -> Vec<String> {
        self.script().unmet()
    }

    /// Nothing happens any more of what has not happened yet.
    pub fn forget_faults(&mut self) {
        self.script().forget_faults();
    }

    /// The attempts so far, in the order in which they were made.
    pub fn ran(&self) -> Vec<Ran> {
        self.script().ran.clone()
    }

    /// How often the worker has died.
    pub fn crashes(&self) -> usize {
        self.script().crashes
    }

    /// Asks for an intent, and carries it out until it is at rest.
    pub async fn run<T: Intent>(&mut self, intent: T) -> Result<Ended, TestError> {
        let id = self.intendant().request(intent).await?.id();
        self.rest(id).await
    }

    /// Carries out whatever there is until this intent is at rest.
    pub async fn rest(&mut self, id: IntentId) -> Result<Ended, TestError> {
        self.go(Until::Rest(id)).await?;
        Ended::read(self.intendant(), id).await
    }

    /// Carries out whatever there is until nothing is left that could happen.
    pub async fn quiet(&mut self) -> Result<(), TestError> {
        self.go(Until::Quiet).await
    }

    /// [`quiet`](Self::quiet), when nothing has been done from outside.
    pub(super) async fn settle(&mut self) -> Result<(), TestError> {
        self.go_on(Until::Quiet).await
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn go(&mut self, until: Until) -> Result<(), TestError> {
        self.tell();
        self.go_on(until).await
    }

    async fn go_on(&mut self, until: Until) -> Result<(), TestError> {
        // What was asked for meanwhile is heard of first; and where a look has led to a commit, another one may find more
        // before it is said that there is nothing.
        let mut looked = None;
        let mut vain = 0;
        loop {
            let (idle, next) = match self.still().await? {
                Standing::Dead => {
                    self.take_over().await?;
                    (looked, vain) = (None, 0);
                    continue;
                }
                Standing::Still { idle, next, .. } => (idle, next),
                Standing::Moving => continue,
            };
            let commits = Some(self.script().commits.len());
            let more = next.is_none() && looked != commits && vain < VAIN_LOOKS;
            if looked.is_none() || more {
                (looked, vain) = (commits, vain + usize::from(more));
                self.director()?.poke(Poke::Look);
            } else if let Some(next) = next {
                self.give_turn(next).await?;
                (looked, vain) = (None, 0);
            } else if self.is_reached(until, idle.due.is_none()).await? {
                return Ok(());
            } else if let Some(due) = idle.due.filter(|_| vain < VAIN_LOOKS) {
                (looked, vain) = (None, vain + 1);
                self.clock.advance(due);
                self.director()?.poke(Poke::Due);
            } else {
                return self.stuck(until).await;
            }
        }
    }

    /// Waits until nothing happens by itself.
    async fn still(&mut self) -> Result<Standing, TestError> {
        if self.process.is_none() {
            self.start();
        }
        let process = self.process.as_mut().ok_or(TestError::WorkerGone)?;
        let standing = process.still().await;
        if standing.is_err() {
            self.process = None;
        }
        standing
    }

    fn director(&self) -> Result<&Arc<Director>, TestError> {
        let process = self.process.as_ref().ok_or(TestError::WorkerGone)?;
        Ok(&process.director)
    }

    async fn give_turn(&mut self, next: Upcoming) -> Result<(), TestError> {
        let place = self.script().ran.len();
        let mut stop = None;
        if let Some(cancel) = self.cancel_at.take_if(|cancel| cancel.nth == place) {
            let CancelAt { when, intent, .. } = cancel;
            let what = What::Stop;
            match self.intendant().cancel(intent, "the test", None).await {
                Ok(_) => stop = Some(Injected { what, when }),
                // Past its point of no return: it goes on.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
            self.tell();
            self.director()?.poke(Poke::Look);
            // What comes of it is heard of before anything goes on; the worker may die of that.
            match self.still().await? {
                Standing::Still {
                    next: Some(then), ..
                } if then.is(&next) => {}
                Standing::Still { .. } | Standing::Dead | Standing::Moving => return Ok(()),
            }
        }
        let injected = self.script().run(&next);
        self.director()?.grant(&next, stop.or(injected));
        Ok(())
    }

    async fn is_reached(&self, until: Until, nothing_due: bool) -> Result<bool, TestError> {
        match until {
            Until::Rest(id) => Ok(self.intendant().state(id).await?.is_finished()),
            Until::Quiet => Ok(nothing_due),
        }
    }

    async fn stuck(&self, until: Until) -> Result<(), TestError> {
        match until {
            Until::Rest(id) => {
                let why = self.intendant().why(id).await?;
                Err(TestError::Stuck {
                    id,
                    state: why.state,
                    why: why.to_string(),
                })
            }
            Until::Quiet => Err(TestError::NeverQuiet {
                passed: self.passed(),
            }),
        }
    }

    /// The worker hears what has been done from outside.
    fn tell(&self) {
        if let Some(process) = &self.process {
            process.tell();
        }
    }

    fn start(&mut self) {
        self.workers += 1;
        let director = Director::new(self.script.clone(), false);
        let intendant = &self.database.intendant;
        let intendant = intendant.watched(Seam::of(director.clone() as Arc<_>));
        let worker = (self.register)(Worker::sharing(&intendant, self.app.clone()));
        let worker = worker.name(format!("worker-{}", self.workers));
        self.process = Some(Process::start(director, intendant, worker));
    }

    /// The worker has died with no goodbye. When its lease is over, its session is found dead; another one takes over.
    async fn take_over(&mut self) -> Result<(), TestError> {
        if let Some(process) = self.process.take() {
            process.die().await;
        }
        self.script().crashes += 1;
        self.clock.advance(limits::LEASE);
        let store = self.database.intendant.store();
        for session in store.sessions().await? {
            store.reap(session.id, None).await?;
        }
        Ok(())
    }
}
