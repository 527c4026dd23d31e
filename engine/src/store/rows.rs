//! What goes into the verbs and what comes out of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::loaded::Failure;
use crate::about::Checked;
use crate::clock::{Micros, micros};
use crate::conflict::Conflicts;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};
use crate::intent::{Mode, OnFailure};
use crate::limits;
use crate::payload::Payload;
use crate::state::{AttemptFailure, FailureReason, IntentState, StepState};
use crate::trace::TraceParent;
use crate::waits::Sort;

/// When an intent may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    At(Micros),
    In(Duration),
}

/// By when an intent is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    At(Micros),
    /// Counted from when it may start.
    In(Duration),
}

/// By when a step is to be done that is ready now.
#[derive(Debug, Clone)]
pub(crate) struct DeadlineRow {
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) due_in: Duration,
}

/// An intent that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct NewIntent {
    pub(crate) id: IntentId,
    pub(crate) kind: String,
    pub(crate) queue: String,
    pub(crate) account: Option<String>,
    pub(crate) input: Payload,
    pub(crate) priority: i32,
    pub(crate) release_on_failure: bool,
    pub(crate) start: Start,
    pub(crate) requested_by: Option<String>,
    pub(crate) parent: Option<(IntentId, String)>,
    pub(crate) root: IntentId,
    /// How far below the root of its tree.
    pub(crate) depth: usize,
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<TraceParent>,
    pub(crate) resources: Vec<(String, Mode)>,
    /// Name and value.
    pub(crate) labels: Vec<(String, String)>,
    /// Key, and hash of the body that it goes with.
    pub(crate) key: Option<(String, Vec<u8>)>,
    /// The rules of its kind, where they can refuse it, or make it the same as another one.
    pub(crate) conflicts: Option<Arc<Conflicts>>,
    pub(crate) deadline: Option<Deadline>,
}

/// What came of requests.
#[derive(Debug)]
pub(crate) struct Requested {
    /// In the order of the requests: of an intent that was there already, where one has the same key.
    pub(crate) ids: Vec<IntentId>,
    /// When the lease was made, and when each of its intents was requested; nothing if none was made.
    pub(crate) leased: Option<(Micros, HashMap<IntentId, Micros>)>,
}

impl NewIntent {
    /// What its priority is worth.
    pub(crate) fn ahead_us(&self) -> i64 {
        i64::from(self.priority) * micros(limits::PRIORITY_POINT)
    }

    pub(crate) fn locks(&self) -> bool {
        self.resources
            .iter()
            .any(|(_, mode)| *mode != Mode::Touched)
    }
}

/// When something took place. However long its row then waits for the disk: it is so long ago when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// By this process's clock.
    At(Instant),
    /// With the row that says so.
    Now,
}

impl When {
    /// In microseconds, for an `…_ago` column.
    pub(super) fn us_ago(self, now: Instant) -> i64 {
        match self {
            Self::At(at) => micros(now.saturating_duration_since(at)),
            Self::Now => 0,
        }
    }
}

/// From when to when an attempt ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) from: When,
    pub(crate) to: When,
}

impl Ran {
    /// It ended before it had begun.
    pub(crate) const NOT: Self = Self {
        from: When::Now,
        to: When::Now,
    };

    pub(crate) fn new(from: Instant, to: Instant) -> Self {
        Self {
            from: When::At(from),
            to: When::At(to),
        }
    }
}

/// A step's row: a result, or that it runs or waits.
#[derive(Debug, Clone)]
pub(crate) struct StepRow {
    /// The step has no row yet.
    pub(crate) first: bool,
    /// Whose word it is.
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    pub(crate) name: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) state: StepState,
    pub(crate) attempt: u32,
    pub(crate) output: Option<Payload>,
    pub(crate) error: Option<String>,
    pub(crate) progress: Option<Payload>,
    pub(crate) due_in: Option<Duration>,
    pub(crate) started: Option<When>,
    pub(crate) finished: Option<When>,
    /// From here on there is no way back.
    pub(crate) point_of_no_return: bool,
    /// The queue to which it is sent off.
    pub(crate) queue: Option<Arc<str>>,
    /// Why it failed, where that is not that its attempts did.
    pub(crate) reason: Option<FailureReason>,
    /// Of its children, how many may be unfinished when it goes on, where that is not none.
    pub(crate) spare: Option<u32>,
    /// What it waits for by names: an array of them.
    pub(crate) waits: Option<Payload>,
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptRow {
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
    pub(crate) failure: AttemptFailure,
    pub(crate) error: String,
    pub(crate) ran: Ran,
    pub(crate) retry_in: Option<Duration>,
}

/// A step that is sent off to another queue.
#[derive(Debug, Clone)]
pub(crate) struct RoutedRow {
    /// Chosen by its driver.
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) queue: Arc<str>,
    pub(crate) input: Payload,
}

/// A sleep or a signal that a step begins to wait for.
#[derive(Debug, Clone)]
pub(crate) struct AwaitedRow {
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) sort: Sort,
    pub(crate) due_in: Option<Duration>,
}

/// A message that a step took and could not read.
#[derive(Debug, Clone)]
pub(crate) struct SetAsideRow {
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) error: String,
}

/// A routed step that comes to its end; what came of it is in its step's row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoutedEnd {
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    /// The lease that it leaves; none where the lease ends with its session.
    pub(crate) lease: Option<LeaseId>,
}

/// Why a task is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParkReason {
    Retry,
    Snooze,
    /// For what its wait row counts: children, steps in other queues, messages.
    Child,
    /// For a worker whose code has its step.
    Handler,
}

impl ParkReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Snooze => "snooze",
            Self::Child => "child",
            Self::Handler => "handler",
        }
    }
}

/// A task that is let go of until a timer is due or a count is reached.
#[derive(Debug, Clone)]
pub(crate) struct ParkRow {
    pub(crate) task: TaskId,
    pub(crate) lease: LeaseId,
    pub(crate) reason: ParkReason,
    pub(crate) due_in: Option<Duration>,
    /// Of a driver: the count in its intent's wait row from which on it can go on.
    pub(crate) wake_at: Option<i64>,
}

impl ParkRow {
    /// The wait row that it sets. Only drivers wait for a count, and a driver's task has its intent's id.
    pub(crate) fn waits(&self) -> Option<(IntentId, i64)> {
        Some((IntentId(self.task.0), self.wake_at?))
    }
}

/// When an intent started and by which plan.
#[derive(Debug, Clone)]
pub(crate) struct StartedRow {
    pub(crate) intent: IntentId,
    pub(crate) started: Micros,
    pub(crate) plan: Option<Arc<str>>,
}

/// A child that a step asks for.
#[derive(Debug, Clone)]
pub(crate) struct ChildRow {
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) input_hash: Vec<u8>,
    /// The failed child in whose place it is asked for.
    pub(crate) instead_of: Option<IntentId>,
    pub(crate) intent: NewIntent,
}

/// An intent that comes to its end.
#[derive(Debug, Clone)]
pub(crate) struct Finish {
    pub(crate) intent: IntentId,
    /// The lease that it leaves; none where the lease ends with its session.
    pub(crate) lease: Option<LeaseId>,
    pub(crate) kind: Arc<str>,
    pub(crate) account: Option<Arc<str>>,
    pub(crate) state: IntentState,
    pub(crate) requested: Micros,
    pub(crate) started: Micros,
    pub(crate) output: Option<Payload>,
    pub(crate) reason: Option<FailureReason>,
    pub(crate) error: Option<String>,
    pub(crate) step: Option<Arc<str>>,
    pub(crate) plan: Option<Arc<str>>,
    pub(crate) parent: Option<IntentId>,
    /// It may hold resources, and lets go of them.
    pub(crate) frees: bool,
    /// It has had children or steps in other queues.
    pub(crate) waits: bool,
    /// What its steps did is taken back, as it was asked for.
    pub(crate) taken_back: bool,
}

/// An intent that has failed and is to be taken back.
#[derive(Debug, Clone)]
pub(crate) struct UndoRow {
    pub(crate) intent: IntentId,
    pub(crate) reason: String,
    pub(crate) failure: Failure,
}

/// One generation of a step: it has been taken back, or is to be run again.
#[derive(Debug, Clone)]
pub(crate) struct StepAt {
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
}

/// A worker's life, as it begins.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) worker: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) build: String,
    pub(crate) lock_file: Option<String>,
    pub(crate) lease: Duration,
    pub(crate) free: usize,
    pub(crate) kinds: Vec<KindRow>,
    /// What it claims: kind and queue, its intents' own or that of routed steps.
    pub(crate) lanes: Vec<(Arc<str>, Arc<str>)>,
    /// Which schedules it declares, and in which revision.
    pub(crate) schedules: Vec<(String, u32)>,
}

/// What the code says of a kind that a worker carries out.
#[derive(Debug, Clone)]
pub(crate) struct KindRow {
    pub(crate) kind: Arc<str>,
    pub(crate) queue: Arc<str>,
    pub(crate) on_failure: OnFailure,
    pub(crate) conflicts: Arc<Conflicts>,
    pub(crate) about: Checked,
    pub(crate) deadline: Option<Duration>,
}

/// A session as others see it.
#[derive(Debug, Clone)]
pub(crate) struct SessionSeen {
    pub(crate) id: SessionId,
    pub(crate) worker: String,
    pub(crate) host: String,
    pub(crate) lock_file: Option<String>,
    pub(crate) lease: Duration,
    pub(crate) beat: i64,
    pub(crate) free: i64,
}

impl From<IntentId> for Uuid {
    fn from(id: IntentId) -> Self {
        id.0
    }
}

impl From<TaskId> for Uuid {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl From<LeaseId> for Uuid {
    fn from(id: LeaseId) -> Self {
        id.0
    }
}

impl From<SessionId> for Uuid {
    fn from(id: SessionId) -> Self {
        id.0
    }
}
