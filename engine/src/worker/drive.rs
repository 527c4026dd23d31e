//! Drive: one intent that this worker holds, in memory. Rebuilt from rows whenever somebody claims it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::children::{ByName, Children};
use super::elements::Unmade;
use super::limiting::Begun;
use super::registry::{Bound, Kind};
use super::waiting::Awaited;
use crate::advance::{Next, Status, advance, wind_down};
use crate::clock::Micros;
use crate::cx::IntentContext;
use crate::id::{IntentId, LeaseId, TaskId};
use crate::intent::OnFailure;
use crate::limits;
use crate::payload::Payload;
use crate::plan::{BoundPlan, undone_of};
use crate::state::{FailureReason, IntentState, StepState};
use crate::store::{
    AttemptLoad, CancelLoad, ChildLoad, Claimed, Failure, Finish, ParkReason, ParkRow, StartedRow,
    StepAt, StepLoad, TickRequest,
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
    /// How many of these may be unfinished when it goes on: it has more to ask for.
    pub(super) spare: u32,
    /// The names of the sleeps and signals that it waits for; it goes on by the first that comes.
    pub(super) waits: Vec<String>,
    /// It waits for children as well.
    pub(super) with_children: bool,
    /// All that it has ever waited for by names.
    pub(super) awaited: HashMap<String, Awaited>,
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
    /// It has left a safe point.
    pub(super) checkpoint: bool,
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
            spare: 0,
            waits: Vec::new(),
            with_children: false,
            awaited: HashMap::new(),
            failure: None,
            reason: ParkReason::Retry,
            started: false,
            undone: false,
            ran: false,
            idle: false,
            begun: None,
            deadline_noted: false,
            checkpoint: false,
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

    /// Takes in what is recorded of a routed step, by whoever runs it. It was parked for as long as it had to wait.
    fn set_routed(&mut self, step: StepLoad, now: Duration) {
        let ended = matches!(step.state, StepState::Succeeded | StepState::Skipped);
        self.has_row = true;
        self.generation = step.generation;
        self.forgiven = step.forgiven;
        self.ran = step.state == StepState::Running;
        self.begun = step.begun_ago.map(|used| Begun::new(now, used));
        self.output = step.output.filter(|_| ended);
        self.status = if ended { Status::Done } else { Status::Pending };
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
        self.checkpoint = step.checkpoint;
        match step.state {
            // Whatever its row says already: as long as its task is there, it has not ended.
            _ if step.away => self.status = Status::Routed,
            StepState::Waiting if step.queue.is_some() => self.status = Status::Pending,
            StepState::Waiting if !step.waits.is_empty() => {
                self.waits = step.waits;
                self.with_children = step.spare.is_some();
                self.spare = step.spare.unwrap_or_default();
                // What has come is looked up when it is counted.
                self.status = Status::Any { due: None };
            }
            StepState::Succeeded | StepState::Skipped => {
                self.status = Status::Done;
                self.output = step.output;
            }
            StepState::Waiting => match step.due_in {
                Some(due_in) => self.status = Status::Until(now + due_in),
                // For children: which ones is looked up when they are counted.
                None => {
                    self.spare = step.spare.unwrap_or_default();
                    self.status = Status::Children(0);
                }
            },
            StepState::Failed => {
                self.status = Status::Failed;
                let reason = step.reason.unwrap_or(FailureReason::StepFailed);
                self.failure = step.error.map(|error| (reason, error));
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

/// Something runs here, or is on its way to the disk.
fn is_busy(statuses: &[Status]) -> bool {
    statuses.contains(&Status::Running) || statuses.contains(&Status::Recording)
}

/// Whether the steps in other queues that nobody has begun have been taken back, since the intent fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recall {
    No,
    /// That is on its way to the disk.
    Asked,
    /// It is on disk, and looked up which of them were.
    Looking,
    Done,
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

/// An intent that this worker holds, or a step of one by itself.
pub(super) struct Drive<S> {
    pub(super) task: TaskId,
    pub(super) id: IntentId,
    pub(super) lease: LeaseId,
    /// Whose slots it uses.
    pub(super) queue: Arc<str>,
    /// A routed step: a plan of one step, whose end is no outcome.
    pub(super) is_routed: bool,
    pub(super) context: Arc<IntentContext>,
    pub(super) kind: Arc<Kind<S>>,
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
    /// There is a wait row.
    pub(super) has_wait: bool,
    pub(super) recall: Recall,
    /// Steps have waited by names.
    pub(super) has_awaited: bool,
    /// Why it fails as soon as nothing of it runs any more, whatever its steps come to.
    pub(super) refusal: Option<(FailureReason, String)>,
    /// It has been asked to stop.
    pub(super) cancel: Option<CancelLoad>,
    /// Which children, and which steps in other queues, it has is to be asked for first.
    pub(super) others_unsure: bool,
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
    /// The routed step has ended: as its row says, or with this as the reason.
    End(Option<(FailureReason, String)>),
    /// It fails: what nobody has begun in other queues is taken back.
    Recall,
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
        let has_wait = claimed.waits() && claimed.routed.is_none();
        let is_routed = claimed.routed.is_some();
        for attempt in claimed.attempts {
            match plan.shape.find(&attempt.step) {
                Some(index) => slots[index].set_attempt(&attempt, now),
                None => unmade.attempt(attempt),
            }
        }
        for step in claimed.steps {
            match plan.shape.find(&step.name) {
                Some(index) if is_routed => slots[index].set_routed(step, now),
                Some(index) => slots[index].set_step(step, now),
                None => unmade.step(step),
            }
        }
        let defs = || (0..slots.len()).filter_map(|step| plan.def(step));
        let limited = kind.time_limit.is_some() || defs().any(|def| def.total_limit.is_some());
        // What takes back is not stopped by a limit, wherever it runs.
        let takes_back = claimed.routed.as_ref();
        let takes_back = takes_back.is_some_and(|routed| undone_of(&routed.step).is_some());
        // Its driver has written it down before it sent it off.
        let has_deadlines = !is_routed && defs().any(|def| def.deadline.is_some());
        let used = match &claimed.routed {
            Some(routed) => Some(routed.intent_ago),
            None => claimed.started.as_ref().map(|started| started.ago),
        };
        let mut drive = Self {
            task: claimed.task,
            id: claimed.intent,
            lease: claimed.lease,
            queue: claimed
                .routed
                .map_or_else(|| kind.queue.clone(), |routed| routed.queue),
            is_routed,
            context: Arc::new(IntentContext {
                id: claimed.intent,
                kind: claimed.kind,
                account: claimed.account,
                requested_by: claimed.requested_by,
                correlation_id: claimed.correlation_id,
                input: claimed.input,
            }),
            kind,
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
            has_wait,
            recall: Recall::No,
            has_awaited: !claimed.awaits.is_empty(),
            refusal: None,
            cancel: claimed.cancel,
            others_unsure: false,
            refused_until: Duration::ZERO,
            begun_at: Begun::new(now, used.unwrap_or_default()),
            limited: limited && !takes_back,
            has_deadlines,
        };
        if drive.cancel.is_none() {
            drive.slots.iter_mut().for_each(Slot::renew);
        }
        drive.set_awaited(claimed.awaits, now);
        drive.count_children(now);
        drive
    }

    /// Takes in what has become of the children.
    pub(super) fn set_children(&mut self, children: Vec<ChildLoad>, arrived: i64, now: Duration) {
        self.children.reload(children, arrived);
        self.others_unsure = false;
        self.count_children(now);
    }

    pub(super) fn count_children(&mut self, now: Duration) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let counts = matches!(slot.status, Status::Children(_));
            if (counts || slot.with_children) && slot.awaits.is_empty() {
                self.slots[index].awaits = self.children_of(index).keys().cloned().collect();
            }
            if counts {
                self.slots[index].status = Status::Children(self.missing(index));
            }
            self.settle(index, now);
        }
    }

    /// How many of the children that a step waits for have to finish before it goes on.
    pub(super) fn missing(&self, index: usize) -> u32 {
        let slot = &self.slots[index];
        let unfinished =
            self.children
                .missing(self.step_name(index), slot.generation, &slot.awaits);
        unfinished.saturating_sub(slot.spare)
    }

    /// The children that a step has asked for, for its context.
    pub(super) fn children_of(&self, index: usize) -> ByName {
        self.children
            .of(self.step_name(index), self.slots[index].generation)
    }

    /// Takes in what has become of the steps in other queues.
    pub(super) fn set_sent(&mut self, sent: &[StepLoad], now: Duration, tick: &mut TickRequest) {
        for step in sent {
            match self.plan.shape.find(&step.name) {
                Some(index) if self.slots[index].status == Status::Routed => {
                    self.slots[index].set_step(step.clone(), now);
                    if self.slots[index].status == Status::Done {
                        // Of one that takes back, what that means for its step goes with whatever is next.
                        self.push_undone(index, tick);
                    }
                }
                Some(_) => {}
                None => self.unmade.sent(step),
            }
        }
        if self.cancel.is_some() {
            // Since it is to stop nothing is sent off, and what was about to be is not known to the database.
            let is_known = |name: &str| sent.iter().any(|step| step.name == name);
            for (index, slot) in self.slots.iter_mut().enumerate() {
                if slot.status == Status::Routed && !is_known(&self.plan.shape.steps[index].name) {
                    slot.status = Status::Pending;
                }
            }
        }
    }

    /// Steps that are under way in other queues; also elements of a map that has not had its turn here, and will not have it
    /// where the intent only has to end.
    pub(super) fn away(&self) -> u32 {
        let away = self.slots.iter();
        let away = away.filter(|slot| slot.status == Status::Routed).count();
        u32::try_from(away + self.unmade.away()).unwrap_or(u32::MAX)
    }

    /// Children, and steps in other queues, that nobody knows the end of yet.
    pub(super) fn open(&self) -> u32 {
        self.children.open() + if self.has_wait { self.away() } else { 0 }
    }

    /// Of these, those that have to come to their end before anything is taken back. A step that takes back in another queue
    /// is found again when the steps that take back are made again.
    fn open_forward(&self) -> u32 {
        let undos = u32::try_from(self.unmade.undos_away()).unwrap_or(u32::MAX);
        self.open().saturating_sub(undos)
    }

    /// There are some: no outcome before they have ended.
    pub(super) fn waits_for_others(&self) -> bool {
        self.open() > 0
    }

    /// Something of others is waited for: worth a look at every tick.
    pub(super) fn listens(&self) -> bool {
        let mut slots = self.slots.iter();
        self.waits_for_others()
            || (self.has_awaited && slots.any(|slot| matches!(slot.status, Status::Any { .. })))
    }

    /// The count from which on a step may be able to go on, or, where none waits for it, everything has come.
    pub(super) fn wakes_at(&self) -> i64 {
        let missing = self.slots.iter().filter_map(|slot| slot.status.missing());
        let missing = missing.min().unwrap_or_else(|| self.open());
        self.children.arrived + i64::from(missing)
    }

    /// The queue in which a step runs, if that is not this one.
    pub(super) fn route(&self, index: usize) -> Option<&Arc<str>> {
        let queue = self.plan.shape.steps[index].queue.as_ref()?;
        (*queue != self.queue && !self.plan.is_map(index)).then_some(queue)
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
        if self.others_unsure {
            return Move::Nothing;
        }
        if let Some(wanted) = self.recall_first(&statuses) {
            return wanted;
        }
        if let Some((reason, error)) = &self.refusal {
            return if is_busy(&statuses) {
                Move::Nothing
            } else if now < self.refused_until {
                if stopping {
                    Move::HandBack
                } else {
                    Move::Later(self.refused_until)
                }
            } else if self.waits_for_others() {
                Move::Park(ParkRow {
                    due_in: self.look_again(*reason),
                    ..self.park_for_others()
                })
            } else if self.is_routed {
                Move::End(Some((*reason, error.clone())))
            } else if *reason == FailureReason::IntentLimit {
                self.over_limit(error.clone())
            } else {
                Move::Finish(Box::new(self.refuse(*reason, error.clone())))
            };
        }
        if self.cancel.is_some() && !self.plan.has_undos() {
            return match wind_down(&statuses, self.open_forward()) {
                Next::Park { .. } => Move::Park(self.park_for_others()),
                Next::TakeBack if self.is_routed => Move::End(None),
                Next::TakeBack => Move::TakeBack,
                Next::Start(_) | Next::Busy(_) | Next::Succeed | Next::Fail(_) => Move::Nothing,
            };
        }
        match advance(&self.plan.shape, &statuses, now, stopping) {
            Next::Start(steps) => match (self.within_limits(steps), self.due(now)) {
                // As many as may be are under way, none of them here.
                (steps, due) if steps.is_empty() && !is_busy(&statuses) => {
                    let due = due.into_iter().chain(self.next_limit()).min();
                    Move::Park(self.park(due.map(|due| due.saturating_sub(now)), Some(1)))
                }
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
            Next::Park { due, others } => {
                let due = due.into_iter().chain(self.next_limit()).min();
                Move::Park(self.park(due.map(|due| due.saturating_sub(now)), others))
            }
            Next::Succeed | Next::Fail(_) if self.waits_for_others() => {
                // No outcome while a child is unfinished (I2), whatever has become of the step that asked for it.
                Move::Park(self.park_for_others())
            }
            Next::Succeed | Next::Fail(_) if self.is_routed => Move::End(None),
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

    fn park(&self, due_in: Option<Duration>, others: Option<u32>) -> ParkRow {
        // What could not be taken back since somebody had it in hand may be waiting for a retry by then.
        let again = (self.recall == Recall::Done && self.away() > 0).then_some(limits::RECALL_WAIT);
        let due_in = due_in.or(again);
        let reason = self
            .slots
            .iter()
            .filter(|slot| matches!(slot.status, Status::Until(_) | Status::Any { .. }))
            .map(|slot| slot.reason)
            .next()
            .filter(|_| due_in.is_some())
            .unwrap_or(ParkReason::Child);
        ParkRow {
            task: self.task,
            lease: self.lease,
            reason,
            due_in,
            wake_at: others.map(|others| self.children.arrived + i64::from(others)),
        }
    }

    /// Until every child, and every step in another queue, has come to its end.
    fn park_for_others(&self) -> ParkRow {
        self.park(None, Some(self.open()))
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
            waits: self.has_wait || !self.children.is_empty(),
            taken_back: false,
        }
    }

    /// What says that it has started, for when it leaves this worker unfinished. Nothing of a routed step: its intent has.
    pub(super) fn started_row(&self) -> Option<StartedRow> {
        (!self.is_routed).then(|| StartedRow {
            intent: self.id,
            started: self.started,
            plan: Some(self.plan.hash.clone()),
        })
    }

    /// Whether one more level of children is allowed below this intent.
    pub(super) fn may_have_children(&self) -> bool {
        self.depth + 1 < crate::limits::TREE_DEPTH
    }
}
