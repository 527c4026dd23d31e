//! Claimed: tasks become intents in hand, with a plan, or are refused with a reason.

use std::sync::Arc;

use super::drive::{Drive, Phase};
use super::engine::Engine;
use super::registry::{Refusal, Source};
use super::telling;
use crate::cancel;
use crate::clock::Micros;
use crate::limits;
use crate::secret;
use crate::state::{FailureReason, IntentState};
use crate::store::{CancelLoad, Claimed, Finish, Goal, ParkReason, ParkRow};

impl Engine {
    /// Opens the secrets in the inputs of claimed tasks, before anything is counted by their lengths. What does not open is
    /// refused for it.
    pub(super) fn open_inputs(&self, claimed: &mut [Claimed]) {
        let Some(keys) = self.store().keys() else {
            return;
        };
        let marked = |task: &&mut Claimed| secret::is_marked(task.input.get());
        for task in claimed.iter_mut().filter(marked) {
            match keys.open(&task.input, task.account.as_deref(), task.intent) {
                Ok((input, mask)) => (task.input, task.mask) = (input, mask),
                Err(error) => {
                    let unfit = (FailureReason::Undecodable, error.to_string());
                    task.unfit.get_or_insert(unfit);
                }
            }
        }
    }

    /// Takes claimed tasks in hand.
    pub(super) fn take_claimed(&mut self, claimed: Vec<Claimed>, claimed_at: Micros) {
        telling::claimed(&claimed);
        // All are counted before the first is taken: it may leave at once, and the lease is not empty then.
        for task in &claimed {
            self.leases.entry(task.lease).or_default().members += 1;
        }
        for task in claimed {
            self.take(task, claimed_at);
        }
    }

    fn take(&mut self, mut task: Claimed, claimed_at: Micros) {
        if !self.unmet.is_empty() {
            let unmet = self.unmet.remove(&task.task);
            task.cancel = task.cancel.or(unmet);
        }
        if task.routed.is_some() && task.cancel.is_some() {
            return self.drop_step(&task);
        }
        let is_asked = |cancel: &CancelLoad| cancel.goal == Goal::Cancel;
        if task.cancel.as_ref().is_some_and(is_asked) {
            self.to_stop.insert(task.task);
        }
        if let Some((reason, error)) = task.unfit.take() {
            return self.refuse(task, claimed_at, Refusal { reason, error });
        }
        let Some(kind) = self.kinds.get(&task.kind).cloned() else {
            // A claim names the kinds that this worker knows. Handed back, it would be claimed again at once.
            let refusal = Refusal::of_another_kind(&task.kind);
            return self.refuse(task, claimed_at, refusal);
        };
        let served = |queue: &str| self.lanes.iter().any(|lane| &*lane.queue == queue);
        if let Some(routed) = task.routed.as_ref().filter(|it| !served(&it.queue)) {
            // In hand, it would wait for ever for a slot of that queue.
            let refusal = Refusal::of_another_queue(&routed.queue);
            return self.refuse(task, claimed_at, refusal);
        }
        let bound = match &task.routed {
            None => kind.bind(&task, &self.settings.build),
            Some(routed) => match kind.bind_step(&task, routed) {
                Ok(Some(bound)) => Ok(bound),
                Ok(None) => return self.leave_to_others(task),
                Err(refusal) => Err(refusal),
            },
        };
        match bound {
            Ok(bound) => {
                let source = bound.source;
                let id = task.task;
                let now = self.now();
                if self.backing_off.has(&task.kind) {
                    // It is tried, and is to be alone.
                    self.begin_probation(id, task.lease, task.crashes.max(limits::CRASHES - 1));
                } else if task.crashes > 0 {
                    // Not for one that is refused: it runs nothing, so nobody would ever end its probation.
                    self.begin_probation(id, task.lease, task.crashes);
                }
                let mut drive = Drive::new(task, claimed_at, kind, bound, now);
                drive.stop_at_interrupted(&mut self.pending);
                let is_written = drive.cancel.is_some()
                    || match source {
                        Source::Stored => true,
                        Source::Made => self.write_plan(&drive),
                        Source::Mended => self.write_own_plan(&drive),
                    };
                if !is_written {
                    drive.phase = Phase::Planning;
                }
                self.drives.insert(id, drive);
                self.go_on(id);
            }
            Err(refusal) => self.refuse(task, claimed_at, refusal),
        }
    }

    /// Sees to it that an intent's plan is on disk before its first step (P4). True: it is.
    ///
    /// The first intent of a kind writes the shape down for the whole session, so that most intents cost nothing here;
    /// one whose shape differs from that gets a row of its own.
    fn write_plan(&mut self, drive: &Drive) -> bool {
        let (kind, hash) = (&drive.context.kind, &drive.plan.hash);
        let planned = self.pending.session_plans.iter().chain(
            self.inflight
                .iter()
                .flat_map(|request| request.session_plans.iter()),
        );
        let known = self.session_plans.get(kind).cloned();
        let known_soon = planned
            .filter(|(planned, _)| planned == kind)
            .map(|(_, hash)| hash.clone())
            .next();
        match (known, known_soon) {
            (Some(known), _) if known == *hash => true,
            (None, Some(soon)) if soon == *hash => false,
            (None, None) => {
                self.pending
                    .plans
                    .push((hash.clone(), drive.plan.stored.clone()));
                self.pending
                    .session_plans
                    .push((kind.clone(), hash.clone()));
                false
            }
            (Some(_), _) | (None, Some(_)) => self.write_own_plan(drive),
        }
    }

    /// The same, in a row of its own, whatever the session's plan of its kind is.
    fn write_own_plan(&mut self, drive: &Drive) -> bool {
        let hash = &drive.plan.hash;
        let mut planned = self.pending.plans.iter();
        if !planned.any(|(planned, _)| planned == hash) {
            let plan = (hash.clone(), drive.plan.stored.clone());
            self.pending.plans.push(plan);
        }
        self.pending.started.extend(drive.started_row());
        false
    }

    /// An intent that has no plan fails at once, and says why.
    fn refuse(&mut self, task: Claimed, claimed_at: Micros, refusal: Refusal) {
        let refusal = Refusal {
            error: task.mask.over(&refusal.error).into_owned(),
            ..refusal
        };
        tracing::warn!(intent = %task.intent, kind = &*task.kind, error = refusal.error, "an intent has no plan");
        self.release(task.lease);
        self.bytes = self.bytes.saturating_sub(task.input.get().len());
        if let Some(routed) = &task.routed {
            return self.refuse_step(&task, routed, refusal);
        }
        let children = task.children.iter();
        // One of which it cannot be read which it is will never be counted: nobody waits for it.
        let known = children.filter(|child| !child.child.0.is_nil());
        let open = known.filter(|child| child.outcome.is_none()).count() + task.away();
        if open > 0 {
            // No outcome while a child is unfinished (I2): it is looked at again when they are done.
            self.pending.parks.push(ParkRow {
                task: task.task,
                lease: task.lease,
                reason: ParkReason::Child,
                due_in: None,
                wake_at: Some(task.arrived + i64::try_from(open).unwrap_or(i64::MAX)),
            });
            return;
        }
        let started = task
            .started
            .as_ref()
            .map_or(claimed_at, |started| started.started);
        let plan = task
            .started
            .as_ref()
            .and_then(|started| started.plan.as_ref().map(|(hash, _)| Arc::clone(hash)));
        // One that is to stop needs no plan for that, unless it has something to take back.
        let shape = task
            .started
            .as_ref()
            .and_then(|started| started.plan.as_ref());
        let can_undo = shape.is_some_and(|(_, shape)| shape.steps.iter().any(|step| step.undo));
        let to_undo = task.cancel.is_some() && can_undo;
        let cancelled = task.cancel.as_ref();
        let cancelled = cancelled.filter(|cancel| cancel.goal == Goal::Cancel && !can_undo);
        let cancelled = cancelled.map(|by| cancel::in_words(&by.actor, by.reason.as_deref()));
        self.pending.finishes.push(Finish {
            intent: task.intent,
            lease: Some(task.lease),
            state: match cancelled {
                Some(_) => IntentState::Cancelled,
                None => IntentState::Failed,
            },
            requested: task.requested,
            started,
            output: None,
            reason: match cancelled {
                Some(_) => None,
                None if to_undo => Some(FailureReason::UndoFailed),
                None => Some(refusal.reason),
            },
            frees: task.locks && (cancelled.is_some() || (task.release_on_failure && !to_undo)),
            taken_back: cancelled.is_some(),
            error: Some(cancelled.unwrap_or_else(|| super::runner::clip(refusal.error))),
            step: None,
            plan,
            parent: task.parent,
            waits: task.waits(),
            kind: task.kind,
            account: task.account,
        });
    }

    /// One task fewer in a lease.
    pub(super) fn release(&mut self, lease: crate::id::LeaseId) {
        if let Some(state) = self.leases.get_mut(&lease) {
            state.members = state.members.saturating_sub(1);
            if state.members == 0 {
                self.leases.remove(&lease);
                self.pending.leases_done.push(lease);
            }
        }
    }
}
