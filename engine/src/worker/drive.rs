//! Drive: one intent that this worker holds, in memory. Rebuilt from rows whenever somebody claims it.

use std::sync::Arc;
use std::time::Duration;

use super::children::Children;
use super::elements::Unmade;
use super::limiting::Begun;
use super::registry::{Bound, Kind};
use super::slot::Slot;
use crate::advance::{Next, Status, advance, wind_down};
use crate::clock::Micros;
use crate::cx::IntentContext;
use crate::id::{IntentId, LeaseId, TaskId};
use crate::intent::OnFailure;
use crate::limits;
use crate::plan::{BoundPlan, undone_of};
use crate::state::FailureReason;
use crate::store::{CancelLoad, Claimed, Failure, Finish, ParkReason, ParkRow, StepAt};

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
pub(super) struct Drive {
    pub(super) task: TaskId,
    pub(super) id: IntentId,
    pub(super) lease: LeaseId,
    /// Whose slots it uses.
    pub(super) queue: Arc<str>,
    /// A routed step: a plan of one step, whose end is no outcome.
    pub(super) is_routed: bool,
    pub(super) context: Arc<IntentContext>,
    pub(super) kind: Arc<Kind>,
    pub(super) plan: BoundPlan,
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
    pub(super) parent: Option<IntentId>,
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
    /// A message was there for it, and which it is is being asked: until then it is not parked, since nobody would wake it.
    pub(super) looks_up: bool,
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

impl Drive {
    pub(super) fn new(
        claimed: Claimed,
        claimed_at: Micros,
        kind: Arc<Kind>,
        bound: Bound,
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
                root: claimed.root,
                kind: claimed.kind,
                account: claimed.account,
                requested_by: claimed.requested_by,
                correlation_id: claimed.correlation_id,
                traceparent: claimed.traceparent,
                input: claimed.input,
                mask: claimed.mask,
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
            looks_up: false,
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
            Next::Start(steps) => {
                let due = self.due(now).into_iter().chain(self.next_limit()).min();
                match (self.within_limits(steps), due) {
                    // As many as may be are under way, none of them here.
                    (steps, due) if steps.is_empty() && !is_busy(&statuses) => {
                        Move::Park(self.park(due.map(|due| due.saturating_sub(now)), Some(1)))
                    }
                    (steps, Some(due)) if steps.is_empty() => Move::Later(due),
                    (steps, None) if steps.is_empty() => Move::Nothing,
                    (steps, due) => Move::Start { steps, due },
                }
            }
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
            Next::Fail(step) => match (self.interrupted(), self.on_failure()) {
                (Some(step), _) => Move::Finish(Box::new(self.fail(step))),
                (None, OnFailure::Undo) if self.has_to_undo() => Move::Undo(self.failure(step)),
                (None, _) => Move::Finish(Box::new(self.fail(step))),
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

    /// Whether one more level of children is allowed below this intent.
    pub(super) fn may_have_children(&self) -> bool {
        self.depth + 1 < crate::limits::TREE_DEPTH
    }
}
