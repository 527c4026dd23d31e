//! Drive: one intent that this worker holds, in memory. Rebuilt from rows whenever somebody claims it.

use std::sync::Arc;
use std::time::Duration;

use super::children::{ByName, Children};
use super::elements::Unmade;
use super::limiting::Begun;
use super::registry::{Bound, Kind};
use crate::advance::{Next, Status, advance, wind_down};
use crate::clock::Micros;
use crate::cx::IntentContext;
use crate::id::{IntentId, LeaseId};
use crate::intent::OnFailure;
use crate::payload::Payload;
use crate::plan::BoundPlan;
use crate::state::{FailureReason, IntentState, StepState};
use crate::store::{
    AttemptLoad, CancelLoad, ChildLoad, Claimed, Failure, Finish, ParkReason, ParkRow, StartedRow,
    StepAt, StepLoad,
};

/// One step, as its driver knows it.
pub(super) struct Slot {
    pub(super) status: Status,
    /// The step has a row on disk, or on its way there.
    pub(super) has_row: bool,
    pub(super) generation: u32,
    /// Failed attempts so far.
    pub(super) attempts: u32,
    /// Of these, those before the last resume.
    pub(super) forgiven: u32,
    pub(super) output: Option<Payload>,
    /// Children that it waits for, by name.
    pub(super) awaits: Vec<String>,
    /// Why it failed.
    pub(super) failure: Option<(FailureReason, String)>,
    /// What its wait is, if it waits.
    pub(super) reason: ParkReason,
    /// It has really begun, here or earlier.
    pub(super) started: bool,
    /// What it did has been taken back.
    pub(super) undone: bool,
    /// It is said to run, by whoever had it before.
    pub(super) ran: bool,
    /// An undo of a step that has nothing to take back: done as soon as those before it are.
    pub(super) idle: bool,
    /// When its first attempt began, for its limit.
    pub(super) begun: Option<Begun>,
    /// Its deadline is on disk, or on its way there.
    pub(super) deadline_noted: bool,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            status: Status::Pending,
            has_row: false,
            generation: 1,
            attempts: 0,
            forgiven: 0,
            output: None,
            awaits: Vec::new(),
            failure: None,
            reason: ParkReason::Retry,
            started: false,
            undone: false,
            ran: false,
            idle: false,
            begun: None,
            deadline_noted: false,
        }
    }

    /// What was taken back, and is not any more, begins anew, as the next generation.
    pub(super) fn renew(&mut self) {
        if self.undone {
            *self = Self {
                generation: self.generation + 1,
                ..Self::new()
            };
        }
    }

    /// Takes in the last attempt of a step that somebody has begun before; before [`set_step`](Self::set_step).
    pub(super) fn set_attempt(&mut self, attempt: &AttemptLoad, now: Duration) {
        self.generation = attempt.generation;
        self.attempts = attempt.attempt;
        self.started = true;
        if let Some(retry_in) = attempt.retry_in {
            self.status = Status::Until(now + retry_in);
        }
    }

    /// Takes in what is recorded of a step.
    pub(super) fn set_step(&mut self, step: StepLoad, now: Duration) {
        debug_assert!(step.attempt >= 1 || step.state != StepState::Succeeded);
        self.has_row = true;
        if step.generation != self.generation {
            // The attempts were those of an earlier time round.
            (self.attempts, self.status) = (0, Status::Pending);
        }
        self.generation = step.generation;
        self.started = step.state != StepState::Pending || step.attempt > 0;
        self.forgiven = step.forgiven;
        self.begun = step.begun_ago.map(|used| Begun::new(now, used));
        match step.state {
            StepState::Succeeded | StepState::Skipped => {
                self.status = Status::Done;
                self.output = step.output;
            }
            StepState::Waiting => match step.due_in {
                Some(due_in) => self.status = Status::Until(now + due_in),
                // For children: which ones is looked up when they are counted.
                None => self.status = Status::Children(0),
            },
            StepState::Failed => {
                self.status = Status::Failed;
                self.failure = step.error.map(|error| (FailureReason::StepFailed, error));
            }
            StepState::Undone => {
                self.status = Status::Done;
                self.output = step.output;
                self.undone = true;
            }
            // What ran when its worker died runs again; a resumed step runs now, whatever its last wait was.
            StepState::Pending | StepState::Running => {
                self.ran = step.state == StepState::Running;
                self.status = Status::Pending;
            }
        }
    }
}

/// Where the driver is with an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its plan is on its way to the disk; nothing has started.
    Planning,
    Active,
    /// Its parking, finish or hand-back is on its way to the disk.
    Leaving,
}

/// An intent that this worker holds.
pub(super) struct Drive<S> {
    pub(super) id: IntentId,
    pub(super) lease: LeaseId,
    pub(super) kind: Arc<Kind<S>>,
    pub(super) context: Arc<IntentContext>,
    pub(super) plan: BoundPlan<S>,
    pub(super) slots: Vec<Slot>,
    pub(super) unmade: Unmade,
    pub(super) phase: Phase,
    pub(super) crashes: u32,
    /// Some step has really begun, here or earlier.
    pub(super) begun: bool,
    /// Somebody else had begun with it.
    pub(super) inherited: bool,
    pub(super) requested: Micros,
    pub(super) started: Micros,
    parent: Option<IntentId>,
    pub(super) root: IntentId,
    pub(super) depth: usize,
    pub(super) locks: bool,
    pub(super) release_on_failure: bool,
    pub(super) children: Children,
    /// Why it fails as soon as nothing of it runs any more, whatever its steps come to.
    pub(super) refusal: Option<(FailureReason, String)>,
    /// It has been asked to stop.
    pub(super) cancel: Option<CancelLoad>,
    /// Which children it has is to be asked for first.
    pub(super) children_unsure: bool,
    /// Not before then: its failure was refused as well.
    pub(super) refused_until: Duration,
    /// From when on its own limit counts.
    pub(super) begun_at: Begun,
    /// It has a limit, or a step of it has one for all attempts.
    pub(super) limited: bool,
    /// A step of it has a deadline.
    pub(super) has_deadlines: bool,
}

/// What a driver does next with an intent.
pub(super) enum Move {
    Nothing,
    /// Look again then.
    Later(Duration),
    /// Start these, and look again then.
    Start {
        steps: Vec<usize>,
        due: Option<Duration>,
    },
    Park(ParkRow),
    /// It has failed, and its kind wants what its steps did to be taken back.
    Undo(Failure),
    /// What was to be taken back is: these steps are run again.
    Rerun(Vec<StepAt>),
    /// Nothing of it runs any more: make the steps that take back.
    TakeBack,
    Finish(Box<Finish>),
    /// The worker stops, and nothing of this intent runs.
    HandBack,
}

impl<S> Drive<S> {
    pub(super) fn new(
        claimed: Claimed,
        claimed_at: Micros,
        kind: Arc<Kind<S>>,
        bound: Bound<S>,
        now: Duration,
    ) -> Self {
        let plan = bound.plan;
        let mut slots: Vec<Slot> = plan.shape.steps.iter().map(|_| Slot::new()).collect();
        let mut unmade = Unmade::default();
        for attempt in claimed.attempts {
            match plan.shape.find(&attempt.step) {
                Some(index) => slots[index].set_attempt(&attempt, now),
                None => unmade.attempt(attempt),
            }
        }
        for step in claimed.steps {
            match plan.shape.find(&step.name) {
                Some(index) => slots[index].set_step(step, now),
                None => unmade.step(step),
            }
        }
        let defs = || (0..slots.len()).filter_map(|step| plan.def(step));
        let limited = kind.time_limit.is_some() || defs().any(|def| def.total_limit.is_some());
        let has_deadlines = defs().any(|def| def.deadline.is_some());
        let used = claimed.started.as_ref().map(|started| started.ago);
        let mut drive = Self {
            id: claimed.intent,
            lease: claimed.lease,
            kind,
            context: Arc::new(IntentContext {
                id: claimed.intent,
                kind: claimed.kind,
                account: claimed.account,
                requested_by: claimed.requested_by,
                correlation_id: claimed.correlation_id,
                input: claimed.input,
            }),
            plan,
            slots,
            unmade,
            phase: Phase::Active,
            crashes: claimed.crashes,
            begun: claimed.started.is_some(),
            inherited: claimed.started.is_some(),
            requested: claimed.requested,
            started: claimed
                .started
                .map_or(claimed_at, |started| started.started)
                .max(claimed.requested),
            parent: claimed.parent,
            root: claimed.root,
            depth: claimed.depth,
            locks: claimed.locks,
            release_on_failure: claimed.release_on_failure,
            children: Children::new(claimed.children, claimed.arrived),
            refusal: None,
            cancel: claimed.cancel,
            children_unsure: false,
            refused_until: Duration::ZERO,
            begun_at: Begun::new(now, used.unwrap_or_default()),
            limited,
            has_deadlines,
        };
        if drive.cancel.is_none() {
            drive.slots.iter_mut().for_each(Slot::renew);
        }
        drive.count_children();
        drive
    }

    /// Takes in what has become of the children.
    pub(super) fn set_children(&mut self, children: Vec<ChildLoad>, arrived: i64) {
        self.children.reload(children, arrived);
        self.children_unsure = false;
        self.count_children();
    }

    pub(super) fn count_children(&mut self) {
        for index in 0..self.slots.len() {
            if let Status::Children(_) = self.slots[index].status {
                if self.slots[index].awaits.is_empty() {
                    self.slots[index].awaits = self.children_of(index).keys().cloned().collect();
                }
                self.slots[index].status = Status::Children(self.missing(index));
            }
        }
    }

    /// Children that a step waits for and that have not finished.
    pub(super) fn missing(&self, index: usize) -> u32 {
        let slot = &self.slots[index];
        self.children
            .missing(self.step_name(index), slot.generation, &slot.awaits)
    }

    /// The children that a step has asked for, for its context.
    pub(super) fn children_of(&self, index: usize) -> ByName {
        self.children
            .of(self.step_name(index), self.slots[index].generation)
    }

    /// Children that nobody knows the end of yet: worth a look at every tick.
    pub(super) fn waits_for_children(&self) -> bool {
        self.children.open() > 0
    }

    /// The count of finished children from which on a step may be able to go on, or, where none waits for them, all have
    /// finished.
    pub(super) fn wakes_at(&self) -> i64 {
        let missing = self.slots.iter().filter_map(|slot| match slot.status {
            Status::Children(missing) if missing > 0 => Some(missing),
            _ => None,
        });
        let missing = missing.min().unwrap_or_else(|| self.children.open());
        self.children.arrived + i64::from(missing)
    }

    pub(super) fn step_name(&self, index: usize) -> &Arc<str> {
        &self.plan.shape.steps[index].name
    }

    pub(super) fn is_running(&self) -> bool {
        self.slots.iter().any(|slot| slot.status == Status::Running)
    }

    /// What is next.
    pub(super) fn next(&self, now: Duration, stopping: bool) -> Move {
        if self.phase != Phase::Active {
            return Move::Nothing;
        }
        let statuses = self.statuses();
        if self.children_unsure {
            return Move::Nothing;
        }
        if let Some((reason, error)) = &self.refusal {
            return if statuses.contains(&Status::Running) || statuses.contains(&Status::Recording) {
                Move::Nothing
            } else if now < self.refused_until {
                if stopping {
                    Move::HandBack
                } else {
                    Move::Later(self.refused_until)
                }
            } else if self.waits_for_children() {
                Move::Park(self.park_for_children())
            } else if *reason == FailureReason::IntentLimit {
                self.over_limit(error.clone())
            } else {
                Move::Finish(Box::new(self.refuse(*reason, error.clone())))
            };
        }
        if self.cancel.is_some() && !self.plan.has_undos() {
            return match wind_down(&statuses, self.children.open()) {
                Next::Park { .. } => Move::Park(self.park_for_children()),
                Next::TakeBack => Move::TakeBack,
                Next::Start(_) | Next::Busy(_) | Next::Succeed | Next::Fail(_) => Move::Nothing,
            };
        }
        match advance(&self.plan.shape, &statuses, now, stopping) {
            Next::Start(steps) => match (self.within_limits(steps), self.due(now)) {
                (steps, Some(due)) if steps.is_empty() => Move::Later(due),
                (steps, None) if steps.is_empty() => Move::Nothing,
                (steps, due) => Move::Start { steps, due },
            },
            Next::Busy(_) if stopping && !self.is_running() => {
                if statuses.contains(&Status::Recording) {
                    Move::Nothing
                } else {
                    Move::HandBack
                }
            }
            Next::Busy(due) => match due.into_iter().chain(self.next_limit()).min() {
                Some(due) => Move::Later(due),
                None => Move::Nothing,
            },
            Next::Park { due, children } => {
                let due = due.into_iter().chain(self.next_limit()).min();
                Move::Park(self.park(due.map(|due| due.saturating_sub(now)), children))
            }
            Next::Succeed | Next::Fail(_) if self.waits_for_children() => {
                // No outcome while a child is unfinished (I2), whatever has become of the step that asked for it.
                Move::Park(self.park_for_children())
            }
            Next::TakeBack => Move::TakeBack,
            Next::Succeed => match &self.cancel {
                Some(cancel) => self.taken_back(cancel),
                None => Move::Finish(Box::new(self.succeed())),
            },
            Next::Fail(step) if self.cancel.is_some() => {
                Move::Finish(Box::new(self.undo_failed(step)))
            }
            Next::Fail(step) => match self.on_failure() {
                OnFailure::Undo if self.has_to_undo() && !self.is_interrupted(step) => {
                    Move::Undo(self.failure(step))
                }
                _ => Move::Finish(Box::new(self.fail(step))),
            },
        }
    }

    fn park(&self, due_in: Option<Duration>, children: Option<u32>) -> ParkRow {
        let reason = self
            .slots
            .iter()
            .filter(|slot| matches!(slot.status, Status::Until(_)))
            .map(|slot| slot.reason)
            .next()
            .filter(|_| due_in.is_some())
            .unwrap_or(ParkReason::Child);
        ParkRow {
            intent: self.id,
            lease: self.lease,
            reason,
            due_in,
            wake_at: children.map(|children| self.children.arrived + i64::from(children)),
        }
    }

    /// Until every child has finished.
    fn park_for_children(&self) -> ParkRow {
        self.park(None, Some(self.children.open()))
    }

    fn succeed(&self) -> Finish {
        let output = self.slots[self.plan.shape.output as usize].output.clone();
        Finish {
            output,
            ..self.finish(IntentState::Succeeded)
        }
    }

    fn is_interrupted(&self, step: usize) -> bool {
        let failure = self.slots[step].failure.as_ref();
        failure.is_some_and(|(reason, _)| *reason == FailureReason::Interrupted)
    }

    /// With what it fails, when this step has.
    pub(super) fn failure(&self, step: usize) -> Failure {
        let failure = self.slots[step].failure.clone();
        let (reason, error) = failure
            .unwrap_or_else(|| (FailureReason::StepFailed, "it had failed before".to_owned()));
        Failure {
            reason,
            error,
            step: Some(self.step_name(step).clone()),
        }
    }

    fn fail(&self, step: usize) -> Finish {
        Finish {
            frees: self.locks && self.on_failure() != OnFailure::Hold && !self.is_interrupted(step),
            ..self.fail_with(self.failure(step))
        }
    }

    pub(super) fn fail_with(&self, failure: Failure) -> Finish {
        Finish {
            reason: Some(failure.reason),
            error: Some(failure.error),
            step: failure.step,
            ..self.finish(IntentState::Failed)
        }
    }

    /// An outcome without a step to blame.
    pub(super) fn refuse(&self, reason: FailureReason, error: String) -> Finish {
        Finish {
            // What could not be taken back keeps what it holds, whatever its kind says.
            frees: self.locks && self.release_on_failure && reason != FailureReason::UndoFailed,
            ..self.fail_with(Failure {
                reason,
                error,
                step: None,
            })
        }
    }

    pub(super) fn finish(&self, state: IntentState) -> Finish {
        Finish {
            intent: self.id,
            lease: Some(self.lease),
            kind: self.context.kind.clone(),
            account: self.context.account.clone(),
            state,
            requested: self.requested,
            started: self.started,
            output: None,
            reason: None,
            error: None,
            step: None,
            plan: Some(self.plan.hash.clone()),
            parent: self.parent,
            frees: self.locks,
            waits: !self.children.is_empty(),
            taken_back: false,
        }
    }

    /// What says that it has started, for when it leaves this worker unfinished.
    pub(super) fn started_row(&self) -> StartedRow {
        StartedRow {
            intent: self.id,
            started: self.started,
            plan: Some(self.plan.hash.clone()),
        }
    }

    /// Whether one more level of children is allowed below this intent.
    pub(super) fn may_have_children(&self) -> bool {
        self.depth + 1 < crate::limits::TREE_DEPTH
    }
}
