//! Why: what an unfinished intent waits for, and on whom; what can be done about a failed one.
//!
//! The store loads the facts of one moment; they are turned into [`Reason`]s by a pure function, and said to people in
//! words. Programs get the same reasons with every fact as a field.

mod explain;
mod numbers;
mod words;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub(crate) use explain::{explain, foresee};

use crate::dry_run::Ruled;
use crate::id::IntentId;
use crate::intent::Mode;
use crate::rate::Rate;
use crate::state::IntentState;
use crate::waits::Sort;

/// Everything that an intent waits for, as of one moment: see [`Intendant::why`](crate::Intendant::why).
///
/// Its `Display` says it in words, one reason a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Why {
    /// The intent.
    pub intent: IntentId,
    /// What sort of operation it is.
    pub kind: String,
    /// The customer that it is for.
    pub account: Option<String>,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// Where it is.
    pub state: IntentState,
    /// The moment of which all this is true, by the database's clock.
    pub at: DateTime<Utc>,
    /// What it waits for, or what came of it.
    pub reasons: Vec<Reason>,
}

/// One thing that an intent waits for, or what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// It has succeeded or was cancelled: there is nothing to wait for.
    Finished {
        /// Which of the two.
        state: IntentState,
        /// When.
        at: DateTime<Utc>,
    },
    /// It cannot be said: a row that it would follow from cannot be read.
    Unreadable {
        /// What is wrong with that row.
        error: String,
    },
    /// It has failed, and waits for a person.
    Failed {
        /// Why, in a word.
        why: String,
        /// In which step.
        step: Option<String>,
        /// Why, in a line.
        error: String,
        /// When.
        at: DateTime<Utc>,
        /// The resources that it keeps from others.
        holds: Vec<String>,
        /// The intent to resume; those that have failed with it go on, too.
        resume: IntentId,
    },
    /// It was asked to stop, or has failed, and what its steps did is taken back: what it waits for until then follows.
    Stopping {
        /// What it comes to then.
        then: Then,
        /// Who asked for that; `intendant` where its kind wants it.
        by: String,
        /// Why.
        because: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Plain SQL has asked for its cancel, which the next worker that looks carries out.
    CancelAsked {
        /// Who asked.
        by: String,
        /// Why.
        because: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Others go first on a resource.
    InLine {
        /// `type:id`.
        resource: String,
        /// How it wants to use it.
        mode: Mode,
        /// Its place in the line, from 1.
        place: Tally,
        /// Those who hold the resource, as far as they exclude it; at most ten.
        holders: Vec<Rival>,
        /// Those who stand before it, as far as they exclude it; the first ten.
        ahead: Vec<Rival>,
    },
    /// A step failed and will be tried again.
    Retry {
        /// The step.
        step: String,
        /// How often it has failed.
        attempts: u64,
        /// What it said last.
        error: String,
        /// When it is tried again.
        due_at: DateTime<Utc>,
    },
    /// A step said that it is not ready yet.
    Snooze {
        /// The step.
        step: String,
        /// When it looks again.
        due_at: DateTime<Utc>,
    },
    /// A step sleeps.
    Sleep {
        /// The step.
        step: String,
        /// The name by which it does.
        name: String,
        /// Until when.
        due_at: DateTime<Utc>,
    },
    /// A step waits for a message from outside.
    Signal {
        /// The step.
        step: String,
        /// The name of the message.
        name: String,
        /// Until when, if not for ever.
        due_at: Option<DateTime<Utc>>,
    },
    /// It is not to start before a time.
    StartTime {
        /// The time.
        due_at: DateTime<Utc>,
    },
    /// Children are unfinished.
    Children {
        /// How many.
        unfinished: Tally,
        /// The first ten of them.
        children: Vec<Awaited>,
    },
    /// A step is under way in another queue.
    Routed {
        /// The step.
        step: String,
        /// The queue.
        queue: String,
        /// Since when it is there.
        since: DateTime<Utc>,
        /// What it waits for itself, or who runs it.
        reasons: Vec<Reason>,
    },
    /// It waits for a worker that knows its steps.
    Handler,
    /// It is in line for a worker.
    Lane {
        /// The queue.
        queue: String,
        /// The kind.
        kind: String,
        /// How many of its kind are claimed before it.
        ahead: Tally,
        /// Live workers that know the kind.
        workers: u64,
        /// Steps that they could start at once.
        free: u64,
    },
    /// Workers died with it in hand, so that it is claimed only by itself, by a worker that has nothing else in hand.
    Suspect {
        /// How many did.
        crashes: u64,
    },
    /// Intents of its kind have crashed their workers one after the other: the kind is tried one at a time, until one
    /// succeeds.
    BacksOff {
        /// The kind.
        kind: String,
        /// How many did, in a row.
        intents: u64,
        /// When the next one is tried.
        due_at: DateTime<Utc>,
    },
    /// Its queue is paused.
    QueuePaused {
        /// The queue.
        queue: String,
        /// Who did it.
        by: String,
        /// Why.
        because: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
    /// As many steps of its queue run as may run at once.
    QueueFull {
        /// The queue.
        queue: String,
        /// How many may.
        slots: u64,
        /// How many slots workers have; more than that where the limit came later.
        lent: u64,
    },
    /// The tasks of its queue take turns: how many of its own partition go before it is said with its place in line.
    Turns {
        /// The queue.
        queue: String,
        /// By what its tasks are told apart: `account`, `resource:server`, `input:/customer/id`.
        by: String,
        /// Its partition; empty if it cannot be told apart.
        partition: String,
    },
    /// As many tasks of its partition are in the hands of workers as may be.
    PartitionFull {
        /// The queue.
        queue: String,
        /// The partition.
        partition: String,
        /// How many may be.
        limit: u64,
        /// How many are.
        lent: u64,
    },
    /// The queue is at the rate at which its steps may begin.
    QueuePaced {
        /// The queue.
        queue: String,
        /// So many attempts may begin.
        steps: u32,
        /// Within this time, in milliseconds.
        period_ms: u64,
        /// So many at once after a pause.
        burst: u32,
        /// When the next one may.
        due_at: DateTime<Utc>,
    },
    /// No live worker serves its queue.
    NoWorker {
        /// The queue.
        queue: String,
        /// Workers that did, and have been silent for longer than their lease.
        silent: Vec<String>,
    },
    /// Live workers serve its queue, and none of them knows its kind.
    UnknownKind {
        /// The queue.
        queue: String,
        /// The kind.
        kind: String,
        /// Those that serve the queue; at most ten.
        workers: Vec<String>,
    },
    /// Every live worker that knows its kind has all its slots taken.
    Busy {
        /// The queue.
        queue: String,
        /// How many workers.
        workers: u64,
    },
    /// A worker holds it.
    Running {
        /// The worker's name.
        worker: String,
        /// The machine.
        host: String,
        /// Since when.
        since: DateTime<Utc>,
        /// The steps of which it is known that they run; the first ten. What starts is known with the next heartbeat.
        steps: Vec<RunningStep>,
        /// Steps that the worker could start at once; with none, what it holds may be waiting for a slot.
        free: u64,
    },
    /// The worker that holds it has not been heard of for longer than its lease: others will take the intent over.
    Silent {
        /// The worker's name.
        worker: String,
        /// When it was last heard of.
        since: DateTime<Utc>,
        /// Its lease, in milliseconds.
        lease_ms: u64,
    },
}

/// What an intent comes to that is being stopped or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Then {
    /// It is cancelled.
    Cancelled,
    /// It has failed.
    Failed,
    /// It runs some of its steps again.
    Rerun,
}

/// A number that is counted only so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// As far as it was counted.
    pub count: u64,
    /// There are more.
    pub more: bool,
}

/// Another intent on the same resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rival {
    /// How it uses the resource.
    pub mode: Mode,
    /// The intent.
    #[serde(flatten)]
    pub other: Other,
}

/// An unfinished child.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Awaited {
    /// The step that asked for it.
    pub step: String,
    /// The name by which it did.
    pub name: String,
    /// The intent.
    #[serde(flatten)]
    pub other: Other,
    /// What the child waits for itself: of the first three children, and not of their children. `why` of the child's id
    /// says more.
    pub reasons: Vec<Reason>,
}

/// An intent that another one waits for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Other {
    /// Its id.
    pub id: IntentId,
    /// What sort of operation it is.
    pub kind: String,
    /// The customer that it is for.
    pub account: Option<String>,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// Where it is.
    pub state: IntentState,
    /// Of a running one, since when it runs; of one that failed, since when.
    pub since: Option<DateTime<Utc>>,
}

/// A step that runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunningStep {
    /// Its name.
    pub name: String,
    /// Which attempt it is.
    pub attempt: u64,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// What it last said about how far it is.
    pub progress: Option<String>,
}

/// Whose turn it has to be before one in line is taken.
#[derive(Debug, Clone)]
pub(crate) struct TurnFacts {
    pub(crate) by: String,
    pub(crate) partition: String,
    pub(crate) lent: u64,
    /// The limit, if that many are in hand.
    pub(crate) full: Option<u64>,
}

/// What people have said of a queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueFacts {
    /// By whom it is paused, why, when.
    pub(crate) paused: Option<(String, Option<String>, DateTime<Utc>)>,
    /// All its slots are lent: how many it may lend, and has lent.
    pub(crate) full: Option<(u64, u64)>,
    /// It was at its rate of late: the rate, and when the next step may begin.
    pub(crate) paced: Option<(Rate, DateTime<Utc>)>,
}

/// What is known of one intent at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) now: DateTime<Utc>,
    pub(crate) intent: IntentId,
    pub(crate) kind: String,
    pub(crate) queue: String,
    pub(crate) account: Option<String>,
    pub(crate) requested_by: Option<String>,
    pub(crate) requested_at: DateTime<Utc>,
    pub(crate) place: Place,
    /// It was asked to stop.
    pub(crate) cancel: Option<CancelFacts>,
    /// Its kind backs off: after the crashes of how many intents, and until when.
    pub(crate) backs_off: Option<(u64, DateTime<Utc>)>,
    /// Plain SQL wants it cancelled, and no worker has come to that yet.
    pub(crate) asked: Option<AskedFacts>,
    /// What people have said of its queue.
    pub(crate) said: QueueFacts,
    /// Of an unfinished one: every session that there is.
    pub(crate) workers: Vec<WorkerFacts>,
    /// Steps that run or wait, what is due first in front.
    pub(crate) steps: Vec<StepFacts>,
    /// The first of its unfinished children, and how many there are.
    pub(crate) children: Vec<ChildFacts>,
    pub(crate) unfinished: Tally,
    /// The first of its steps that are under way in other queues.
    pub(crate) routed: Vec<RoutedFacts>,
    /// The first of the sleeps and signals that its steps wait for.
    pub(crate) awaited: Vec<AwaitedFacts>,
}

/// Who has asked an intent to stop, why and when.
#[derive(Debug, Clone)]
pub(crate) struct CancelFacts {
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) then: Then,
}

/// Who wants an intent cancelled.
#[derive(Debug, Clone)]
pub(crate) struct AskedFacts {
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) at: DateTime<Utc>,
}

/// Where an intent is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// It has succeeded or was cancelled.
    Finished(IntentState, DateTime<Utc>),
    Failed {
        why: String,
        step: Option<String>,
        error: String,
        at: DateTime<Utc>,
        holds: Vec<String>,
    },
    Blocked {
        lines: Vec<LineFacts>,
    },
    Parked {
        reason: String,
        due_at: Option<DateTime<Utc>>,
    },
    Leased(LeaseFacts),
    Ready {
        crashes: u64,
        ahead: Tally,
        /// Its queue takes turns, and it is filed.
        turn: Option<TurnFacts>,
    },
}

/// What an intent would meet that nobody has asked for yet.
#[derive(Debug, Clone)]
pub(crate) struct Foresight {
    /// What the rules of its kind would make of it, if that is anything but to wait.
    pub(crate) ruled: Option<Ruled>,
    /// The lines of what it wants to hold.
    pub(crate) lines: Vec<LineFacts>,
    pub(crate) workers: Vec<WorkerFacts>,
}

/// Who holds an intent, since when, and when that session was last heard of.
#[derive(Debug, Clone)]
pub(crate) struct LeaseFacts {
    pub(crate) worker: String,
    pub(crate) host: String,
    pub(crate) since: DateTime<Utc>,
    pub(crate) beat_at: DateTime<Utc>,
    pub(crate) lease_ms: u64,
    pub(crate) free: u64,
}

/// One line that an intent stands in.
#[derive(Debug, Clone)]
pub(crate) struct LineFacts {
    pub(crate) resource: String,
    pub(crate) mode: Mode,
    pub(crate) holders: Vec<Rival>,
    /// Those before it that it does not pass, in their order; `None` for those of whom no more is known than that they are
    /// there.
    pub(crate) ahead: Vec<(Mode, Option<Other>)>,
    /// There are more before it.
    pub(crate) more: bool,
}

/// A session.
#[derive(Debug, Clone)]
pub(crate) struct WorkerFacts {
    pub(crate) worker: String,
    /// How long ago its last heartbeat was.
    pub(crate) silent_ms: u64,
    pub(crate) lease_ms: u64,
    pub(crate) free: u64,
    pub(crate) leaving: bool,
    pub(crate) serves: bool,
    pub(crate) knows: bool,
}

/// A step that runs or waits.
#[derive(Debug, Clone)]
pub(crate) struct StepFacts {
    pub(crate) name: String,
    pub(crate) runs: bool,
    pub(crate) attempt: u64,
    pub(crate) error: Option<String>,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) progress: Option<String>,
}

/// A sleep or a signal that a step waits for.
#[derive(Debug, Clone)]
pub(crate) struct AwaitedFacts {
    pub(crate) step: String,
    pub(crate) name: String,
    pub(crate) sort: Sort,
    pub(crate) due_at: Option<DateTime<Utc>>,
}

/// A step that is under way in another queue.
#[derive(Debug, Clone)]
pub(crate) struct RoutedFacts {
    pub(crate) step: String,
    pub(crate) since: DateTime<Utc>,
    /// Those of its intent, but with the step's own queue and place.
    pub(crate) facts: Box<Facts>,
}

/// An unfinished child.
#[derive(Debug, Clone)]
pub(crate) struct ChildFacts {
    pub(crate) step: String,
    pub(crate) name: String,
    pub(crate) other: Other,
    /// What is known of it, where that was loaded.
    pub(crate) facts: Option<Box<Facts>>,
}
