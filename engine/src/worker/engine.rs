//! The loop of a worker: owns everything that it holds, hears of everything that happens, decides what is next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};

use super::committer::{Committed, Committer};
use super::drive::{Drive, Move};
use super::heartbeat::{Heartbeat, Pulse};
use super::lane::{LaneState, Waiting};
use super::registry::Kind;
use super::runner::{self, Ended};
use super::session::Session;
use super::{Settings, WorkReport, Worker};
use crate::client::Intendant;
use crate::cx::{Cx, StepContext};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId};
use crate::payload;
use crate::state::StepState;
use crate::store::{Finish, Life, Once, ParkRow, Peek, Store, TickRequest};

/// An attempt that is running.
pub(super) struct Running {
    pub(super) abort: AbortHandle,
    pub(super) context: Arc<StepContext>,
    /// Its row says that it runs.
    pub(super) flushed: bool,
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
    pub(super) intent: IntentId,
    pub(super) lease: LeaseId,
    pub(super) until: Option<Duration>,
}

/// All state of a running worker.
pub(super) struct Engine<S> {
    pub(super) intendant: Intendant,
    pub(super) state: Arc<S>,
    pub(super) settings: Settings,
    pub(super) kinds: HashMap<String, Arc<Kind<S>>>,
    pub(super) lanes: Vec<LaneState>,
    pub(super) report: WorkReport,
    pub(super) epoch: Instant,
    pub(super) session: Option<SessionId>,

    pub(super) drives: HashMap<IntentId, Drive<S>>,
    pub(super) leases: HashMap<LeaseId, LeaseState>,
    pub(super) running: HashMap<(IntentId, usize), Running>,
    /// Bytes of the inputs in hand.
    pub(super) bytes: usize,
    /// Retries and snoozes of intents in hand.
    pub(super) timers: BinaryHeap<Reverse<(Duration, IntentId)>>,

    /// What the next tick will write.
    pub(super) pending: TickRequest,
    /// What is on its way to the disk.
    pub(super) inflight: Option<Arc<TickRequest>>,
    /// Steps that start when it is there: their start has to be on disk first.
    pub(super) announced: Vec<(IntentId, usize)>,
    /// The plan's shape by kind that this session has written down.
    pub(super) session_plans: HashMap<String, Arc<str>>,
    /// The next timer of anybody's that is due.
    pub(super) next_due: Option<Duration>,
    pub(super) probation: Option<Probation>,
    /// There are suspects in *ready*, since when.
    pub(super) suspects_since: Option<Duration>,
    /// Somebody else could start steps at once.
    pub(super) others_idle: bool,
    /// When the database was last asked whether this session lives, and said yes.
    pub(super) confirmed: Duration,
    /// When the tick that is on its way to the disk was sent.
    pub(super) sent: Duration,
    pub(super) stopping: watch::Sender<bool>,
    /// Since when what runs is being stopped.
    pub(super) stop_since: Option<Duration>,

    pub(super) ended_tx: mpsc::UnboundedSender<Ended>,
}

/// What the loop hears of.
enum Heard {
    Ended(Ended),
    Committed(Committed),
    Pulse(Pulse),
    Peeked(Result<Peek, Error>),
    Work,
    Timer,
    Poll,
    Shutdown,
}

/// The ends of the loop's channels that it waits on.
struct Ears {
    ended: mpsc::UnboundedReceiver<Ended>,
    pulses: mpsc::UnboundedReceiver<Pulse>,
    tick: Option<JoinHandle<(Committer, Committed)>>,
    peek: Option<JoinHandle<Result<Peek, Error>>>,
    poll: tokio::time::Interval,
}

/// Why a session is over.
enum Over {
    Shutdown,
    /// It was found dead.
    Fenced,
}

impl<S: Send + Sync + 'static> Engine<S> {
    pub(super) fn new(worker: Worker<S>) -> Self {
        let mut by_queue: HashMap<Arc<str>, Vec<String>> = HashMap::new();
        for kind in worker.kinds.values() {
            by_queue.entry(kind.queue.clone()).or_default().push(kind.name.clone());
        }
        let lanes = by_queue.into_iter().map(|(queue, mut kinds)| {
            kinds.sort();
            let concurrency = worker.queues.get(&*queue).copied().unwrap_or(worker.concurrency);
            LaneState::new(queue, kinds, concurrency)
        });
        let lanes = lanes.collect();
        Self {
            epoch: worker.intendant.store().clock().monotonic(),
            intendant: worker.intendant,
            state: worker.state,
            settings: worker.settings,
            kinds: worker.kinds,
            lanes,
            report: WorkReport::default(),
            session: None,
            drives: HashMap::new(),
            leases: HashMap::new(),
            running: HashMap::new(),
            bytes: 0,
            timers: BinaryHeap::new(),
            pending: TickRequest::default(),
            inflight: None,
            announced: Vec::new(),
            session_plans: HashMap::new(),
            next_due: None,
            probation: None,
            suspects_since: None,
            others_idle: false,
            confirmed: Duration::ZERO,
            sent: Duration::ZERO,
            stopping: watch::Sender::new(false),
            stop_since: None,
            // Replaced when a session begins: what a dead session's steps still send goes nowhere.
            ended_tx: mpsc::unbounded_channel().0,
        }
    }

    pub(super) fn store(&self) -> &Store {
        self.intendant.store()
    }

    /// Time since the worker began.
    pub(super) fn now(&self) -> Duration {
        self.store().clock().monotonic().saturating_duration_since(self.epoch)
    }

    /// Session after session, until shutdown.
    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()> + Send) -> Result<WorkReport, Error> {
        let mut shutdown = pin!(shutdown);
        let mut first = true;
        loop {
            let session = tokio::select! {
                session = self.begin_session(first) => session?,
                () = &mut shutdown => return Ok(self.report),
            };
            first = false;
            match self.live(session, &mut shutdown).await {
                Over::Shutdown => return Ok(self.report),
                Over::Fenced => self.forget(),
            }
        }
    }

    /// One session, from its first claim to its end.
    async fn live(&mut self, session: Session, shutdown: &mut (impl Future<Output = ()> + Unpin)) -> Over {
        let (ended_tx, ended) = mpsc::unbounded_channel();
        self.ended_tx = ended_tx;
        let (pulse, pulses) = Heartbeat::start(self.store(), &session, &self.settings);
        let work = self.intendant.work();
        let mut poll = tokio::time::interval(self.settings.poll);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ears = Ears { ended, pulses, tick: None, peek: None, poll };
        let mut committer = Some(Committer::new(self.store().clone(), session.id, pulse.progress()));
        let mut stop_by: Option<Duration> = None;
        self.confirmed = self.now();
        self.lanes.iter_mut().for_each(|lane| lane.hint = true);

        let over = loop {
            if stop_by.is_some() && self.is_at_rest() {
                break Over::Shutdown;
            }
            if let Some(ready) = committer.take() {
                match self.next_tick(stop_by.is_some()) {
                    Some(request) => {
                        self.inflight = Some(request.clone());
                        self.sent = self.now();
                        ears.tick = Some(tokio::spawn(ready.commit(request)));
                    }
                    None => committer = Some(ready),
                }
            }
            pulse.set_free(self.lanes.iter().map(LaneState::free).sum());
            if self.inflight.is_none() {
                pulse.made_progress();
            }
            let due = self.due_in(stop_by);
            let heard = tokio::select! {
                biased;
                heard = hear_tick(&mut ears.tick) => {
                    committer = Some(heard.0);
                    ears.tick = None;
                    Heard::Committed(heard.1)
                }
                Some(ended) = ears.ended.recv() => Heard::Ended(ended),
                Some(pulse) = ears.pulses.recv() => Heard::Pulse(pulse),
                peeked = hear_peek(&mut ears.peek) => { ears.peek = None; Heard::Peeked(peeked) }
                () = &mut *shutdown, if stop_by.is_none() => Heard::Shutdown,
                () = work.notified() => Heard::Work,
                () = sleep(due) => Heard::Timer,
                _ = ears.poll.tick() => Heard::Poll,
            };
            match heard {
                Heard::Ended(ended) => self.hear_ended(ended, &mut ears.ended, committer.is_some()).await,
                Heard::Committed(Committed::Done(answer)) => self.tick_done(*answer),
                Heard::Committed(Committed::Fenced) | Heard::Pulse(Pulse::Dead) => {
                    self.report.fenced += u64::from(self.inflight.is_some());
                    break Over::Fenced;
                }
                Heard::Pulse(Pulse::Beat { asked, others_idle }) => self.beat(asked, others_idle),
                Heard::Pulse(Pulse::Silent(session, beat)) => self.reap(session, beat),
                Heard::Peeked(peeked) => self.peeked(peeked),
                Heard::Work => self.lanes.iter_mut().for_each(|lane| lane.hint = true),
                Heard::Timer => self.timers_due(&mut stop_by),
                Heard::Poll => {
                    if ears.peek.is_none() && stop_by.is_none() {
                        ears.peek = Some(self.peek());
                    }
                }
                Heard::Shutdown => {
                    stop_by = Some(self.now() + self.settings.grace);
                    self.begin_stop();
                }
            }
        };
        if let Some(tick) = ears.tick {
            // A tick that was fenced by the heartbeat's word ends by itself; nothing of it will be written.
            tick.abort();
        }
        let clean = matches!(over, Over::Shutdown) && self.running.is_empty();
        self.end_session(session, pulse, clean).await;
        over
    }

    /// An attempt has ended; with it, take in all that have ended meanwhile. While nothing is on its way to the disk,
    /// give those that are about to end a chance to go with the same tick.
    async fn hear_ended(&mut self, ended: Ended, more: &mut mpsc::UnboundedReceiver<Ended>, idle: bool) {
        self.step_ended(ended);
        loop {
            let mut heard = false;
            while let Ok(ended) = more.try_recv() {
                self.step_ended(ended);
                heard = true;
            }
            if !idle || self.running.is_empty() || (!heard && self.pending.has_writes() && self.running.len() < 2) {
                return;
            }
            tokio::task::yield_now().await;
            match more.try_recv() {
                Ok(ended) => self.step_ended(ended),
                Err(_) => return,
            }
        }
    }

    fn step_ended(&mut self, ended: Ended) {
        let now = self.now();
        let key = (ended.intent, ended.step);
        if self.running.remove(&key).is_none() {
            return;
        }
        let random = self.store().clock().random();
        let Some(drive) = self.drives.get_mut(&ended.intent) else { return };
        let queue = drive.kind.queue.clone();
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == queue) {
            lane.ended(now);
        }
        let end = match ended.end {
            runner::StepEnd::Awaits(_) if !drive.may_have_children() => runner::StepEnd::Failed {
                failure: crate::state::AttemptFailure::GaveUp,
                error: format!("the tree of intents is {} levels deep, which is the limit", crate::limits::TREE_DEPTH),
            },
            end => end,
        };
        drive.step_ended(ended.step, end, ended.took, now, random, &mut self.pending);
        self.go_on(ended.intent);
        // Whatever this intent does next: a slot is free.
        self.start_waiting(&queue);
    }

    /// Does what is next for an intent.
    pub(super) fn go_on(&mut self, id: IntentId) {
        let now = self.now();
        let stopping = *self.stopping.borrow();
        let Some(drive) = self.drives.get_mut(&id) else { return };
        match drive.next(now, stopping) {
            Move::Nothing => {}
            Move::Later(due) => self.timers.push(Reverse((due, id))),
            Move::Start(steps) => {
                let queue = drive.kind.queue.clone();
                for &step in &steps {
                    drive.slots[step].status = crate::advance::Status::Running;
                }
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == queue) {
                    lane.waiting.extend(steps.into_iter().map(|step| Waiting { intent: id, step, since: now }));
                }
                self.start_waiting(&queue);
            }
            Move::Park(park) => self.park(id, park),
            Move::Finish(finish) => self.finish(id, *finish),
            Move::HandBack => self.hand_back(id),
        }
    }

    /// Starts steps that wait for a slot, as far as there are slots.
    pub(super) fn start_waiting(&mut self, queue: &str) {
        let Some(index) = self.lanes.iter().position(|lane| &*lane.queue == queue) else { return };
        // A worker that was paused, or has not reached its database for a lease, may be dead without knowing: it starts
        // nothing before it has been told that it lives.
        if self.now().saturating_sub(self.confirmed) >= self.settings.lease {
            return;
        }
        while self.lanes[index].running < self.lanes[index].concurrency {
            let Some(Waiting { intent, step, .. }) = self.lanes[index].waiting.pop_front() else { return };
            let Some(drive) = self.drives.get_mut(&intent) else { continue };
            self.lanes[index].running += 1;
            drive.begun = true;
            if drive.crashes > 0 {
                // A suspect's step is on disk before it runs, so that the next crash has a name (P6).
                let row = drive.row(step, StepState::Running, Duration::ZERO);
                self.pending.steps.push(row);
                self.announced.push((intent, step));
            } else {
                self.start(intent, step);
            }
        }
    }

    /// Starts one attempt.
    pub(super) fn start(&mut self, intent: IntentId, step: usize) {
        let Some(session) = self.session else { return };
        let Some(drive) = self.drives.get(&intent) else { return };
        let Some(def) = drive.plan.def(step) else { return };
        let once = Once {
            session,
            lease: drive.lease,
            intent,
            step: drive.step_name(step).to_owned(),
            generation: drive.slots[step].generation,
            attempt: drive.slots[step].attempts + 1,
            worker: self.settings.name.clone(),
        };
        let children = drive.children_of(step);
        let context = Arc::new(StepContext::new(
            self.intendant.clone(),
            drive.context.clone(),
            once,
            children,
            self.stopping.subscribe(),
        ));
        let output = |index: usize| drive.slots[index].output.as_ref();
        let input = drive
            .plan
            .input(step, &output)
            .and_then(|json| payload::parse_trusted(json.into_owned()).map_err(|error| error.to_string()));
        let abort = match input {
            Ok(input) => runner::spawn(
                &def.run,
                Cx::new(self.state.clone(), context.clone()),
                context.clone(),
                input,
                def.time_limit,
                step,
                self.ended_tx.clone(),
            ),
            Err(error) => {
                let end = runner::StepEnd::Undecodable { error };
                let _ = self.ended_tx.send(Ended { intent, step, end, took: Duration::ZERO });
                tokio::spawn(async {}).abort_handle()
            }
        };
        self.running.insert((intent, step), Running { abort, context, flushed: false });
    }

    fn park(&mut self, id: IntentId, park: ParkRow) {
        let now = self.now();
        if let Some(due_in) = park.due_in {
            let due = now + due_in;
            self.next_due = Some(self.next_due.map_or(due, |known| known.min(due)));
        }
        if let Some(started) = self.leave(id) {
            self.pending.started.push(started);
            self.pending.parks.push(park);
        }
    }

    pub(super) fn finish(&mut self, id: IntentId, finish: Finish) {
        if self.leave(id).is_some() {
            self.pending.finishes.push(finish);
        }
    }

    pub(super) fn hand_back(&mut self, id: IntentId) {
        let Some(drive) = self.drives.get(&id) else { return };
        let (lease, begun) = (drive.lease, drive.begun);
        let life = if begun { Life::Started } else { Life::Fresh };
        if let Some(started) = self.leave(id) {
            if begun {
                self.pending.started.push(started);
            }
            self.pending.hand_backs.push((id, lease, life));
            self.report.handed_back += 1;
        }
    }

    /// The intent leaves its lease with the next tick. Returns what says that it has started.
    fn leave(&mut self, id: IntentId) -> Option<crate::store::StartedRow> {
        let drive = self.drives.get_mut(&id)?;
        if drive.phase == super::drive::Phase::Leaving {
            return None;
        }
        drive.phase = super::drive::Phase::Leaving;
        let (lease, started) = (drive.lease, drive.started_row());
        if let Some(state) = self.leases.get_mut(&lease) {
            state.members = state.members.saturating_sub(1);
            if state.members == 0 {
                self.leases.remove(&lease);
                self.pending.leases_done.push(lease);
            }
        }
        Some(started)
    }

    /// Timers of intents in hand that are due.
    fn timers_due(&mut self, stop_by: &mut Option<Duration>) {
        let now = self.now();
        while let Some(Reverse((due, id))) = self.timers.peek().copied() {
            if due > now {
                break;
            }
            self.timers.pop();
            self.go_on(id);
        }
        if stop_by.is_some_and(|stop_by| stop_by <= now) {
            *stop_by = Some(self.stop_now(now));
        }
    }

    /// How long until something is due.
    fn due_in(&self, stop_by: Option<Duration>) -> Option<Duration> {
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        let probation = self.probation.and_then(|probation| probation.until);
        let promotion = if stop_by.is_none() && self.inflight.is_none() { self.next_due } else { None };
        let due = [timer, probation, promotion, stop_by].into_iter().flatten().min()?;
        Some(due.saturating_sub(self.now()))
    }

    fn peek(&self) -> JoinHandle<Result<Peek, Error>> {
        let store = self.store().clone();
        let lanes = self.all_lanes();
        tokio::spawn(async move { store.peek(lanes).await })
    }

    fn peeked(&mut self, peeked: Result<Peek, Error>) {
        match peeked {
            Ok(peek) => {
                let now = self.now();
                if peek.ready {
                    self.lanes.iter_mut().for_each(|lane| lane.hint = true);
                }
                self.next_due = peek.next_due.map(|due_in| now + due_in);
                self.suspects_since = if peek.suspects { self.suspects_since.or(Some(now)) } else { None };
            }
            Err(error) => tracing::warn!(%error, "looking for work"),
        }
    }
}

async fn hear_tick(tick: &mut Option<JoinHandle<(Committer, Committed)>>) -> (Committer, Committed) {
    match tick {
        Some(handle) => match handle.await {
            Ok(done) => done,
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn hear_peek(peek: &mut Option<JoinHandle<Result<Peek, Error>>>) -> Result<Peek, Error> {
    match peek {
        Some(handle) => match handle.await {
            Ok(peeked) => peeked,
            Err(join) => Err(Error::Unreachable(join.to_string())),
        },
        None => std::future::pending().await,
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
