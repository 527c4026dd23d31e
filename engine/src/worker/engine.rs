//! The loop of a worker: owns everything that it holds, hears of everything that happens, decides what is next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use super::WorkReport;
use super::backing_off::BackingOff;
use super::committer::{Committed, Committer};
use super::drive::Drive;
use super::ears::{Ears, Heard, poll};
use super::heartbeat::{Heartbeat, Pulse};
use super::housekeeping::Housekeeping;
use super::lane::LaneState;
use super::listen::Listener;
use super::parts::{Parts, Settings};
use super::reaping::Reaping;
use super::registry::Kind;
use super::retaining::Retaining;
use super::runner::Ended;
use super::scheduling::{Declared, Scheduling};
use super::session::Session;
use super::watchdog::Watchdog;
use crate::client::Intendant;
use crate::cx::StepContext;
use crate::error::Error;
use crate::id::{LeaseId, SessionId, TaskId};
use crate::limits;
use crate::offer::Offering;
use crate::retention::Retention;
use crate::seam::{Idle, Poke};
use crate::store::{CancelLoad, KindRules, Store, TickRequest};

/// A map by ids. They are made by the engine, so nobody can choose them to collide; a fast hash will do.
pub(super) type ById<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// An attempt that is running.
pub(super) struct Running {
    pub(super) abort: AbortHandle,
    pub(super) queue: Arc<str>,
    pub(super) context: Arc<StepContext>,
    /// Its row says that it runs.
    pub(super) flushed: bool,
}

/// A step that starts when it is on disk that it does.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) task: TaskId,
    pub(super) step: usize,
    pub(super) queue: Arc<str>,
    /// Until when its permit is one, in a queue with a rate.
    pub(super) permit: Option<Duration>,
    /// It is on disk.
    pub(super) written: bool,
}

/// A lease of this session.
#[derive(Debug, Default)]
pub(super) struct LeaseState {
    /// Tasks in hand.
    pub(super) members: usize,
}

/// A suspect on probation: nothing else is claimed until it has shown itself (P6).
#[derive(Debug, Clone, Copy)]
pub(super) struct Probation {
    pub(super) task: TaskId,
    pub(super) lease: LeaseId,
    pub(super) until: Option<Duration>,
}

/// All state of a running worker.
pub(super) struct Engine {
    pub(super) intendant: Intendant,
    pub(super) settings: Settings,
    pub(super) kinds: HashMap<Arc<str>, Arc<Kind>>,
    /// Of the kinds that do anything but wait.
    pub(super) rules: KindRules,
    pub(super) lanes: Vec<LaneState>,
    pub(super) report: WorkReport,
    pub(super) reaping: Arc<Reaping>,
    pub(super) epoch: Instant,
    pub(super) session: Option<SessionId>,

    pub(super) drives: ById<TaskId, Drive>,
    pub(super) leases: ById<LeaseId, LeaseState>,
    pub(super) running: ById<(TaskId, usize), Running>,
    /// Bytes of the inputs in hand.
    pub(super) bytes: usize,
    /// Retries and snoozes of intents in hand.
    pub(super) timers: BinaryHeap<Reverse<(Duration, TaskId)>>,

    /// What the next tick will write.
    pub(super) pending: TickRequest,
    /// What is on its way to the disk.
    pub(super) inflight: Option<Arc<TickRequest>>,
    /// Steps that start when it is there: their start has to be on disk first.
    pub(super) announced: Vec<Announced>,
    /// The plan's shape by kind that this session has written down.
    pub(super) session_plans: HashMap<Arc<str>, Arc<str>>,
    /// There may be messages that nobody has counted.
    pub(super) signals_due: bool,
    /// The next timer of anybody's that is due.
    pub(super) next_due: Option<Duration>,
    pub(super) probation: Option<Probation>,
    /// Somebody else could start steps at once.
    pub(super) others_idle: bool,
    /// When the database was last asked whether this session lives, and said yes.
    pub(super) confirmed: Duration,
    /// When the tick that is on its way to the disk was sent.
    pub(super) sent: Duration,
    pub(super) stopping: watch::Sender<bool>,
    /// For what blocks its thread.
    pub(super) places: Arc<Semaphore>,
    /// What has come to its end elsewhere is to be asked for, even if there is nothing else to do.
    pub(super) watch_due: bool,
    /// How often this session had been told to stop something, as of the last tick.
    pub(super) cancels: i64,
    /// What people have said of queues, as far as this worker knows: the count of it.
    pub(super) control: i64,
    /// Some queue has a cap on what is in line.
    pub(super) capped: bool,
    /// It has been told again since: the next tick is due, even if there is nothing else for it.
    pub(super) hear_cancels: bool,
    /// Tasks in hand that are to stop.
    pub(super) to_stop: HashSet<TaskId>,
    /// Such that are on their way here.
    pub(super) unmet: HashMap<TaskId, CancelLoad>,
    /// Some steps did not stop in time: their intents are still in the session's leases.
    pub(super) left_behind: bool,
    /// Since when what runs is being stopped.
    pub(super) stop_since: Option<Duration>,

    pub(super) housekeeping: Housekeeping,
    /// What the code declares of how long things are kept.
    pub(super) retentions: Arc<[Retention]>,
    pub(super) retaining: Retaining,
    pub(super) schedules: Arc<[Declared]>,
    pub(super) scheduling: Option<Scheduling>,
    pub(super) backing_off: Arc<BackingOff>,

    pub(super) ended_tx: mpsc::UnboundedSender<Ended>,
    /// What requests of this process may lease to this session.
    pub(super) offering: Option<Offering>,
    /// Sees who does not come back.
    pub(super) watchdog: Option<Watchdog>,
}

/// Why a session is over.
enum Over {
    Shutdown,
    /// It was found dead.
    Fenced,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        let lanes = parts.lanes().into_iter().map(|(queue, kinds)| {
            let concurrency = parts.queues.get(&*queue).copied();
            let concurrency = concurrency.unwrap_or(parts.concurrency);
            LaneState::new(queue, kinds, concurrency)
        });
        let lanes = lanes.collect();
        let kinds = parts.kinds.into_iter();
        let kinds: HashMap<_, _> = kinds.map(|(name, kind)| (name, Arc::new(kind))).collect();
        let ruled = kinds.values().filter(|kind| !kind.conflicts.is_default());
        let rules = ruled.map(|kind| (kind.name.clone(), kind.conflicts.clone()));
        Self {
            rules: Arc::new(rules.collect()),
            epoch: parts.intendant.store().clock().monotonic(),
            intendant: parts.intendant,
            places: Arc::new(Semaphore::new(parts.settings.blocking)),
            settings: parts.settings,
            kinds,
            lanes,
            report: WorkReport::default(),
            reaping: Arc::default(),
            session: None,
            drives: ById::default(),
            leases: ById::default(),
            running: ById::default(),
            bytes: 0,
            timers: BinaryHeap::new(),
            pending: TickRequest::default(),
            inflight: None,
            announced: Vec::new(),
            session_plans: HashMap::new(),
            signals_due: false,
            next_due: None,
            probation: None,
            others_idle: false,
            confirmed: Duration::ZERO,
            sent: Duration::ZERO,
            stopping: watch::Sender::new(false),
            watch_due: false,
            cancels: 0,
            control: 0,
            capped: false,
            hear_cancels: false,
            to_stop: HashSet::new(),
            unmet: HashMap::new(),
            left_behind: false,
            stop_since: None,
            housekeeping: Housekeeping::default(),
            schedules: parts.schedules.into(),
            retentions: parts.retentions.into(),
            retaining: Retaining::default(),
            scheduling: None,
            backing_off: Arc::default(),
            // Replaced when a session begins: what a dead session's steps still send goes nowhere.
            ended_tx: mpsc::unbounded_channel().0,
            offering: None,
            watchdog: None,
        }
    }

    pub(super) fn store(&self) -> &Store {
        self.intendant.store()
    }

    /// Time since the worker began.
    pub(super) fn now(&self) -> Duration {
        self.store()
            .clock()
            .monotonic()
            .saturating_duration_since(self.epoch)
    }

    /// Session after session, until shutdown.
    pub(super) async fn run(
        mut self,
        mut shutdown: BoxFuture<'_, ()>,
    ) -> Result<WorkReport, Error> {
        let name = &self.settings.name;
        let watchdog = self.settings.watchdog;
        self.watchdog = watchdog.map(|limit| Watchdog::start(name.clone(), limit));
        tokio::select! {
            begun = self.begin_scheduling() => begun?,
            () = &mut shutdown => return Ok(self.report()),
        }
        tokio::select! {
            declared = self.declare_retention() => declared?,
            () = &mut shutdown => return Ok(self.report()),
        }
        let mut first = true;
        loop {
            let session = tokio::select! {
                session = self.begin_session(first) => session?,
                () = &mut shutdown => return Ok(self.report()),
            };
            first = false;
            let over = self.live(session, &mut shutdown).await;
            self.tell_in_hand();
            if matches!(over, Over::Shutdown) {
                return Ok(self.report());
            }
            // Taken for dead while it stopped: there is nothing left to stop, and `shutdown` is over.
            if *self.stopping.borrow() {
                return Ok(self.report());
            }
        }
    }

    fn report(&self) -> WorkReport {
        WorkReport {
            reaped: self.reaping.done(),
            ..self.report
        }
    }

    /// One session, from its first claim to its end.
    async fn live(&mut self, session: Session, shutdown: &mut BoxFuture<'_, ()>) -> Over {
        let (ended_tx, ended) = mpsc::unbounded_channel();
        self.ended_tx = ended_tx;
        let free = self.free();
        let (pulse, pulses) = Heartbeat::start(self.store(), &session, &self.settings, free);
        let arrivals = self.begin_offer(session.id);
        let mut ears = Ears {
            ended,
            arrivals,
            pulses,
            tick: None,
            peek: None,
            peek_again: false,
            others: Listener::start(self.store(), pulse.free()),
            work: self.intendant.work(),
            cancels: self.intendant.cancels(),
            poll: poll(self.settings.poll),
        };
        let mut committer = Some(Committer::new(
            self.store().clone(),
            session.id,
            pulse.progress(),
            self.retaining.pulse.clone(),
        ));
        let mut stop_by: Option<Duration> = None;
        let seam = self.store().seam().clone();
        if seam.is_watched() {
            // It looks when it is told to, and never while the database is at something else.
            ears.poll.reset();
        }
        let inside = seam.enter();
        self.confirmed = self.now();
        self.cancels = 0;
        self.lanes.iter_mut().for_each(|lane| lane.hint = true);

        let over = loop {
            if stop_by.is_some() && self.is_at_rest() {
                break Over::Shutdown;
            }
            self.send_tick(&mut committer, &mut ears, stop_by.is_some());
            pulse.set_free(self.free());
            self.publish_offer(stop_by.is_some());
            if self.inflight.is_none()
                || self.now().saturating_sub(self.sent) < limits::COMMIT_PATIENCE
            {
                pulse.made_progress();
            }
            let due = self.due_in(stop_by);
            let idle = Idle {
                running: self.running.len(),
                due,
                ticks: ears.tick.is_some(),
                looks: ears.peek.is_some(),
            };
            // Who is watched is told what time it is.
            let due = due.filter(|due| due.is_zero() || !seam.is_watched());
            let heard = tokio::select! {
                biased;
                // Once, and not to be missed for all the work there is.
                () = &mut *shutdown, if stop_by.is_none() => Heard::Shutdown,
                heard = ears.hear(due) => heard,
                // Only when all ears have nothing to tell.
                poke = seam.idle(idle) => match poke {
                    Poke::Look => Heard::Poll,
                    Poke::Due => Heard::Timer,
                    Poke::Reap(session) => Heard::Pulse(Pulse::Silent(session, None)),
                },
            };
            match heard {
                Heard::Ended(ended) => {
                    self.hear_ended(ended, &mut ears.ended, committer.is_some())
                        .await
                }
                Heard::Committed(ready, Committed::Done(mut answer)) => {
                    committer = Some(ready);
                    let Some(request) = self.inflight.take() else {
                        continue;
                    };
                    self.report.adopted += answer.adopted;
                    self.open_inputs(&mut answer.claimed);
                    self.tick_heard(&request, &answer);
                    if self.pending.has_writes() && answer.is_plain() {
                        // The disk works on the next tick while the answer to this one is taken in.
                        self.send_tick(&mut committer, &mut ears, stop_by.is_some());
                    }
                    self.tick_done(&request, *answer);
                }
                Heard::Committed(_, Committed::Fenced) | Heard::Pulse(Pulse::Dead) => {
                    self.report.fenced += u64::from(self.inflight.is_some());
                    self.tell_loss();
                    break Over::Fenced;
                }
                Heard::Arrived(arrival) => self.arrived(arrival),
                Heard::Pulse(Pulse::Beat {
                    asked,
                    others_idle,
                    cancels,
                    backing_off,
                }) => {
                    if let Some(all) = backing_off {
                        self.hear_backing_off(all);
                    }
                    self.hear_cancels |= cancels > self.cancels;
                    self.beat(asked, others_idle);
                    if stop_by.is_none()
                        && let Some(stopped) = self.worn()
                    {
                        self.report.stopped = stopped;
                        stop_by = Some(self.now() + self.settings.grace);
                        self.begin_stop();
                    }
                }
                Heard::Pulse(Pulse::Silent(session, beat)) => self.reap(session, beat),
                Heard::Peeked(peeked) => {
                    self.peeked(peeked);
                    if std::mem::take(&mut ears.peek_again) {
                        self.look(&mut ears, stop_by.is_some());
                    }
                }
                Heard::Cancel => self.hear_cancels = true,
                Heard::Nudge => self.look(&mut ears, stop_by.is_some()),
                Heard::Work => {
                    self.lanes.iter_mut().for_each(|lane| lane.hint = true);
                    self.signals_due |= self.intendant.take_signalled();
                    // Perhaps slots were given back: that is looked up, since to ask for what is not there is to write.
                    if self.lanes.iter().any(LaneState::is_denied) && !seam.is_watched() {
                        self.look(&mut ears, stop_by.is_some());
                    }
                }
                Heard::Timer => self.timers_due(&mut stop_by),
                Heard::Poll => {
                    self.watch_due = self.drives.values().any(Drive::listens);
                    self.look(&mut ears, stop_by.is_some());
                }
                Heard::Shutdown => {
                    stop_by = Some(self.now() + self.settings.grace);
                    self.begin_stop();
                }
            }
        };
        drop(inside);
        if let Some(tick) = &ears.tick {
            // A tick that was fenced by the heartbeat's word ends by itself; nothing of it will be written.
            tick.abort();
        }
        if matches!(over, Over::Fenced) {
            self.forget();
        }
        seam.quiet().await;
        let clean = matches!(over, Over::Shutdown) && self.running.is_empty() && !self.left_behind;
        self.end_session(session, pulse, clean).await;
        over
    }

    /// Looks for something to claim, without claiming it.
    fn look(&mut self, ears: &mut Ears, stopping: bool) {
        if stopping {
            return;
        }
        match ears.peek {
            Some(_) => ears.peek_again = true,
            None => ears.peek = Some(self.peek()),
        }
    }

    /// Sends the next tick on its way, if the committer is free and there is anything for it.
    fn send_tick(&mut self, committer: &mut Option<Committer>, ears: &mut Ears, stopping: bool) {
        let Some(ready) = committer.take() else {
            return;
        };
        match self.next_tick(stopping) {
            Some(request) => {
                self.inflight = Some(request.clone());
                self.sent = self.now();
                ears.tick = Some(tokio::spawn(ready.commit(request)));
                // What a task has spawned last is kept for the thread it runs on, and this one is about to take in an
                // answer: another task pushes the tick to where an idle thread finds it.
                tokio::spawn(std::future::ready(()));
            }
            None => *committer = Some(ready),
        }
    }
}

impl Drop for Engine {
    /// Steps do not outlive their worker, whose session lock is gone with it.
    fn drop(&mut self) {
        for running in self.running.values() {
            running.abort.abort();
        }
    }
}
