//! The heartbeat: says that the session lives, and watches whether the others do (PROTOCOL P2).
//!
//! It has a thread and a connection to itself, so that steps which block the runtime's threads do not stop it. It stops
//! by itself when the loop has made no progress for a lease; to wait for the database is not to stand still.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::engine::Engine;
use super::parts::Settings;
use super::session::{Session, host, is_gone};
use crate::advance::Status;
use crate::id::{SessionId, TaskId};
use crate::limits;
use crate::planted::{Slip, is_planted};
use crate::state::StepState;
use crate::store::{BacksOff, SessionSeen, Store, When};

/// What the heartbeat tells the loop.
#[derive(Debug)]
pub(super) enum Pulse {
    /// This session is dead.
    Dead,
    /// A heartbeat was written; when it was sent, and whether somebody else could start steps at once.
    Beat {
        asked: Instant,
        others_idle: bool,
        /// How often the session has been told to stop something.
        cancels: i64,
        /// Kinds that are tried one at a time; none if that could not be asked.
        backing_off: Option<Vec<BacksOff>>,
    },
    /// A session is silent, or (without a beat) its process is gone.
    Silent(SessionId, Option<i64>),
}

/// What came of a heartbeat.
enum Beat {
    Done,
    /// The database could not be asked.
    Missed,
    /// The session is dead.
    Dead,
}

/// When the loop or its committer last did something.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(super) fn made(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn age(&self) -> Duration {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}

/// The loop's end of the heartbeat.
#[derive(Debug)]
pub(super) struct Pulses {
    progress: Progress,
    free: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Pulses {
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    pub(super) fn made_progress(&self) {
        self.progress.made();
    }

    /// The number of free slots, for others in this worker.
    pub(super) fn free(&self) -> Arc<AtomicUsize> {
        self.free.clone()
    }

    /// Steps that could start at once, for others to see.
    pub(super) fn set_free(&self, free: usize) {
        self.free.store(free, Ordering::Relaxed);
    }
}

impl Drop for Pulses {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The heartbeat of one session.
pub(super) struct Heartbeat {
    store: Store,
    session: SessionId,
    host: &'static str,
    lease: Duration,
    progress: Progress,
    free: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    pulses: mpsc::UnboundedSender<Pulse>,
    /// Counter of each other session, and since when it has stood still while this one's heartbeats succeeded.
    seen: HashMap<SessionId, (i64, Instant)>,
    others: Vec<SessionSeen>,
    /// When the last heartbeat succeeded.
    last: Instant,
    /// The loop has made no progress for a lease.
    stalled: bool,
}

impl Heartbeat {
    /// Starts beating, in a thread of its own.
    pub(super) fn start(
        store: &Store,
        session: &Session,
        settings: &Settings,
        free: usize,
    ) -> (Pulses, mpsc::UnboundedReceiver<Pulse>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let progress = Progress(Arc::new(Mutex::new(Instant::now())));
        let pulses = Pulses {
            progress: progress.clone(),
            // From the first beat on: who is taken to be full is not told of anything.
            free: Arc::new(AtomicUsize::new(free)),
            stop: Arc::default(),
        };
        let heartbeat = Self {
            store: store.clone(),
            session: session.id,
            host: host(),
            lease: settings.lease,
            progress,
            free: pulses.free.clone(),
            stop: pulses.stop.clone(),
            pulses: sender,
            seen: HashMap::new(),
            others: Vec::new(),
            last: Instant::now(),
            stalled: false,
        };
        if store.seam().is_watched() {
            tokio::spawn(heartbeat.beat_when_told());
            return (pulses, receiver);
        }
        let poll = settings.poll;
        let thread = std::thread::Builder::new().name("intendant-heartbeat".to_owned());
        let spawned = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(heartbeat.beat(poll)),
                Err(error) => tracing::error!(%error, "no runtime for the heartbeat; the session will be found dead"),
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for the heartbeat; the session will be found dead");
        }
        (pulses, receiver)
    }

    async fn beat(mut self, poll: Duration) {
        self.store = self.store.for_heartbeat(self.lease);
        let every = self.lease / limits::BEATS_PER_LEASE;
        let mut next = Instant::now();
        while !self.stop.load(Ordering::Relaxed) && !self.pulses.is_closed() {
            if Instant::now() >= next {
                next = Instant::now() + every;
                let stalled = self.progress.age() > self.lease;
                if stalled && !self.stalled {
                    tracing::error!(
                        "the worker has made no progress for a lease; its heartbeat stops"
                    );
                }
                self.stalled = stalled;
                if stalled {
                    // Nothing is said of others either: who does not beat does not judge.
                    self.seen.clear();
                } else {
                    match self.beat_once().await {
                        Beat::Done => {}
                        // Not a whole interval later: nobody else is looked at before it succeeds.
                        Beat::Missed => next = Instant::now() + every / 4,
                        Beat::Dead => return,
                    }
                }
            }
            self.look_at_locks();
            tokio::time::sleep(poll.min(next.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// In the test kit it beats when it is told to, and finds nobody silent.
    async fn beat_when_told(mut self) {
        let seam = self.store.seam().clone();
        while let Some(_busy) = seam.beat().await {
            if matches!(self.beat_once().await, Beat::Dead) {
                return;
            }
        }
    }

    /// One heartbeat and a look at the others.
    async fn beat_once(&mut self) -> Beat {
        let asked = self.store.clock().monotonic();
        let cancels = match self
            .store
            .heartbeat(self.session, self.free.load(Ordering::Relaxed))
            .await
        {
            Ok(Some(cancels)) => cancels,
            Ok(None) if is_planted(Slip::HeartbeatUnfenced) => 0,
            Ok(None) => {
                let _ = self.pulses.send(Pulse::Dead);
                return Beat::Dead;
            }
            Err(error) => {
                tracing::warn!(%error, "a heartbeat failed");
                // Whoever could not beat cannot judge others: their silence may be the database's.
                self.seen.clear();
                return Beat::Missed;
            }
        };
        match self.store.sessions().await {
            Ok(others) => {
                self.others = others
                    .into_iter()
                    .filter(|other| other.id != self.session)
                    .collect()
            }
            Err(error) => {
                tracing::warn!(%error, "the other sessions cannot be seen");
                self.seen.clear();
                return Beat::Missed;
            }
        }
        // Not a part of being alive: what is known of it stands until the next heartbeat.
        let backing_off = self.store.backing_off().await;
        let backing_off = backing_off.inspect_err(|error| {
            tracing::warn!(%error, "which kinds back off cannot be seen");
        });
        // Whoever could not look for a while (paused, or waiting for the database) has not seen the others silent.
        if self.last.elapsed() > self.lease / limits::BEATS_PER_LEASE * 2 {
            self.seen.clear();
        }
        self.last = Instant::now();
        self.look_at_beats();
        let others_idle = self.others.iter().any(|other| other.free > 0);
        let _ = self.pulses.send(Pulse::Beat {
            asked,
            others_idle,
            cancels,
            backing_off: backing_off.ok(),
        });
        Beat::Done
    }

    /// Whose counter has not moved for a lease.
    fn look_at_beats(&mut self) {
        let now = Instant::now();
        let known: Vec<SessionId> = self.others.iter().map(|other| other.id).collect();
        self.seen.retain(|id, _| known.contains(id));
        for other in &self.others {
            let (beat, since) = self.seen.entry(other.id).or_insert((other.beat, now));
            if *beat != other.beat {
                (*beat, *since) = (other.beat, now);
            } else if now.duration_since(*since) >= other.lease {
                tracing::warn!(worker = other.worker, session = %other.id, "a session is silent");
                let _ = self.pulses.send(Pulse::Silent(other.id, Some(other.beat)));
                *since = now;
            }
        }
    }

    /// Whose process on this machine is gone.
    fn look_at_locks(&mut self) {
        let host = self.host;
        let pulses = &self.pulses;
        self.others.retain(|other| {
            let gone = other.host == host && other.lock_file.as_deref().is_some_and(is_gone);
            if gone {
                tracing::warn!(worker = other.worker, session = %other.id, "a session's process is gone");
                let _ = pulses.send(Pulse::Silent(other.id, None));
                if let Some(path) = &other.lock_file {
                    std::fs::remove_file(path).ok();
                }
            }
            !gone
        });
    }
}

impl Engine {
    pub(super) fn beat_interval(&self) -> Duration {
        self.settings.lease / limits::BEATS_PER_LEASE
    }

    /// With every heartbeat: what runs long gets a row that says so, and what waits too long here is offered to others.
    pub(super) fn beat(&mut self, asked: Instant, others_idle: bool) {
        self.others_idle = others_idle;
        self.confirm(asked.saturating_duration_since(self.epoch));
        let now = self.store().clock().monotonic();
        let every = self.beat_interval();
        for ((intent, step), running) in &mut self.running {
            let age = now.saturating_duration_since(running.context.started);
            let progress = running.context.new_progress();
            let Some(drive) = self.drives.get_mut(intent) else {
                continue;
            };
            if drive.slots[*step].status == Status::Running
                && (progress.is_some() || (!running.flushed && age >= every))
            {
                let row = drive.row(*step, StepState::Running, When::At(running.context.started));
                self.pending
                    .steps
                    .push(crate::store::StepRow { progress, ..row });
                running.flushed = true;
            }
        }
        self.tell_in_hand();
        self.offer_to_others();
        self.keep_house();
        if self.capped {
            self.store().watch_backlogs();
        }
        self.retain();
    }

    /// The database says that this session lived when it was asked: what waits may start.
    pub(super) fn confirm(&mut self, asked: Duration) {
        self.confirmed = self.confirmed.max(asked);
        let queues: Vec<_> = self
            .lanes
            .iter()
            .filter(|lane| !lane.waiting.is_empty())
            .map(|lane| lane.queue.clone())
            .collect();
        for queue in queues {
            self.start_waiting(&queue);
        }
    }

    /// Hands back intents that were claimed ahead and have waited for a slot too long, if somebody else is idle: a long
    /// step stands in front of them.
    fn offer_to_others(&mut self) {
        if !self.others_idle || *self.stopping.borrow() {
            return;
        }
        let now = self.now();
        let mut offered: Vec<TaskId> = Vec::new();
        for lane in &mut self.lanes {
            let tired = |since: Duration| now.saturating_sub(since) >= limits::PREFETCH_WAIT;
            let begun = |task: &TaskId| self.drives.get(task).is_none_or(|drive| drive.begun);
            let stuck: Vec<TaskId> = lane
                .waiting
                .iter()
                .filter(|waiting| tired(waiting.since) && !begun(&waiting.task))
                .map(|waiting| waiting.task)
                .collect();
            if !stuck.is_empty() {
                lane.waiting
                    .retain(|waiting| !stuck.contains(&waiting.task));
                lane.modest_until = now + limits::PREFETCH_WAIT * 10;
                offered.extend(stuck);
            }
        }
        offered.dedup();
        for intent in offered {
            self.hand_back(intent);
        }
    }
}
