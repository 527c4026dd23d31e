//! What a worker is told of the intents that it has claimed.

use std::sync::Arc;
use std::time::Duration;

use super::rows::NewIntent;
use crate::clock::Micros;
use crate::id::{IntentId, LeaseId, TaskId};
use crate::payload::Payload;
use crate::plan::Shape;
use crate::secret::Mask;
use crate::state::{FailureReason, IntentState, StepState};
use crate::trace::TraceParent;
use crate::waits::Sort;

/// A task that the worker holds from now on.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    pub(crate) lease: LeaseId,
    pub(crate) crashes: u32,
    pub(crate) kind: Arc<str>,
    pub(crate) account: Option<Arc<str>>,
    pub(crate) input: Payload,
    /// What its steps are not to say: the secrets in its input, once that is opened.
    pub(crate) mask: Mask,
    pub(crate) requested: Micros,
    pub(crate) requested_by: Option<String>,
    pub(crate) parent: Option<IntentId>,
    pub(crate) root: IntentId,
    pub(crate) depth: usize,
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<TraceParent>,
    pub(crate) release_on_failure: bool,
    pub(crate) locks: bool,
    /// Why it cannot be carried out, whatever the code says.
    pub(crate) unfit: Option<(FailureReason, String)>,
    /// It has been in a lease before: what is known of it.
    pub(crate) started: Option<StartedLoad>,
    /// It has been asked to stop.
    pub(crate) cancel: Option<CancelLoad>,
    pub(crate) steps: Vec<StepLoad>,
    pub(crate) attempts: Vec<AttemptLoad>,
    pub(crate) children: Vec<ChildLoad>,
    pub(crate) arrived: i64,
    pub(crate) awaits: Vec<AwaitedLoad>,
    /// It is a step of the intent, in a queue of its own; none where the task is to drive the intent.
    pub(crate) routed: Option<RoutedLoad>,
}

impl Claimed {
    /// One that was leased when it was made.
    pub(crate) fn at_request(new: NewIntent, lease: LeaseId, requested: Micros) -> Self {
        Self {
            task: new.id.into(),
            intent: new.id,
            lease,
            crashes: 0,
            locks: new.locks(),
            kind: new.kind.into(),
            account: new.account.map(Arc::from),
            input: new.input,
            mask: Mask::default(),
            requested,
            requested_by: new.requested_by,
            parent: new.parent.map(|(parent, _)| parent),
            root: new.root,
            depth: new.depth,
            correlation_id: new.correlation_id,
            traceparent: new.traceparent,
            release_on_failure: new.release_on_failure,
            unfit: None,
            started: None,
            cancel: None,
            steps: Vec::new(),
            attempts: Vec::new(),
            children: Vec::new(),
            arrived: 0,
            awaits: Vec::new(),
            routed: None,
        }
    }

    /// Steps that are under way in other queues.
    pub(crate) fn away(&self) -> usize {
        self.steps.iter().filter(|step| step.away).count()
    }

    /// It has a wait row.
    pub(crate) fn waits(&self) -> bool {
        !self.children.is_empty()
            || !self.awaits.is_empty()
            || self.steps.iter().any(|step| step.queue.is_some())
    }
}

/// Which step a claimed task is.
#[derive(Debug)]
pub(crate) struct RoutedLoad {
    pub(crate) queue: Arc<str>,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    /// As its driver has put it together.
    pub(crate) input: Payload,
    /// How long ago its intent started, or was put back in line after a failure.
    pub(crate) intent_ago: Duration,
}

/// When and by which plan a claimed intent had started.
#[derive(Debug, Clone)]
pub(crate) struct StartedLoad {
    pub(crate) started: Micros,
    pub(crate) plan: Option<(Arc<str>, Arc<Shape>)>,
    pub(crate) assumed_build: Option<String>,
    /// How long ago that was; or, where a person has put it back in line after a failure, how long ago that.
    pub(crate) ago: Duration,
}

/// Who has asked an intent to stop, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CancelLoad {
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) goal: Goal,
}

/// What an intent comes to when all of it is taken back that is to be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// It is cancelled.
    Cancel,
    /// It has failed, with this.
    Fail(Failure),
    /// These steps and all that depend on them are run again.
    Rerun { from: Vec<String> },
}

/// With what an intent fails.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Failure {
    pub(crate) reason: FailureReason,
    pub(crate) error: String,
    pub(crate) step: Option<Arc<str>>,
}

/// A task of a session that is to stop.
#[derive(Debug, Clone)]
pub(crate) struct ToStop {
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    pub(crate) by: CancelLoad,
}

impl ToStop {
    /// A step of the intent, not its driver.
    pub(crate) fn is_routed(&self) -> bool {
        TaskId::from(self.intent) != self.task
    }
}

/// What a step of a claimed intent has to say.
#[derive(Debug, Clone)]
pub(crate) struct StepLoad {
    pub(crate) name: String,
    pub(crate) generation: u32,
    pub(crate) state: StepState,
    pub(crate) attempt: u32,
    pub(crate) forgiven: u32,
    pub(crate) output: Option<Payload>,
    pub(crate) due_in: Option<Duration>,
    /// How long ago its first attempt began, as far as that is known.
    pub(crate) begun_ago: Option<Duration>,
    pub(crate) error: Option<String>,
    /// Why it failed, where that is not that its attempts did.
    pub(crate) reason: Option<FailureReason>,
    /// The queue to which it was sent.
    pub(crate) queue: Option<Arc<str>>,
    /// It is under way there.
    pub(crate) away: bool,
    /// Of its children, how many may be unfinished when it goes on.
    pub(crate) spare: Option<u32>,
    /// What it waits for by names.
    pub(crate) waits: Vec<String>,
    /// It has left a safe point, from which its next attempt may go on.
    pub(crate) checkpoint: bool,
}

/// What a step of a claimed intent has waited for by a name.
#[derive(Debug, Clone)]
pub(crate) struct AwaitedLoad {
    pub(crate) step: String,
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) sort: Sort,
    pub(crate) due_in: Option<Duration>,
    /// The message that has come.
    pub(crate) payload: Option<Payload>,
}

/// The last attempt of a step of a claimed intent.
#[derive(Debug)]
pub(crate) struct AttemptLoad {
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
    pub(crate) retry_in: Option<Duration>,
}

/// A child of a claimed intent.
#[derive(Debug, Clone)]
pub(crate) struct ChildLoad {
    pub(crate) parent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) child: IntentId,
    pub(crate) input_hash: Vec<u8>,
    pub(crate) outcome: Option<OutcomeRow>,
}

/// What came of an intent.
#[derive(Debug, Clone)]
pub(crate) struct OutcomeRow {
    pub(crate) state: IntentState,
    pub(crate) output: Option<Payload>,
    pub(crate) reason: Option<FailureReason>,
    pub(crate) error: Option<String>,
    pub(crate) step: Option<String>,
    /// When retention has removed its payload. Nothing unfinished has to do with one of those: it is not looked for there.
    pub(crate) payload_removed_at: Option<Micros>,
}
