//! Away: steps that run in another queue than their intent, from both sides. Their driver sends them off and hears of
//! their ends; whoever claims one runs it as a plan of a single step, whose end counts in the intent's wait row.

use std::time::Duration;

use super::drive::{Drive, Move, Recall};
use super::engine::Engine;
use super::limiting::last_word;
use super::registry::Refusal;
use super::runner::{StepEnd, clip};
use super::undoing::in_one;
use crate::advance::Status;
use crate::id::TaskId;
use crate::limits;
use crate::state::{FailureReason, StepState};
use crate::store::{
    Claimed, ParkReason, ParkRow, Ran, RoutedEnd, RoutedLoad, RoutedRow, StepRow, TickRequest, When,
};

impl Drive {
    /// Sends a step off to its queue. From the commit on it is a task of its own, and no driver sends it again.
    pub(super) fn send(
        &mut self,
        index: usize,
        task: TaskId,
        now: Duration,
        tick: &mut TickRequest,
    ) {
        let Some(queue) = self.route(index).cloned() else {
            return;
        };
        let output = |index: usize| self.slots[index].output.as_ref();
        let input = match self.plan.input(index, &output) {
            Ok(input) => input,
            Err(error) => {
                let end = StepEnd::Undecodable { error };
                return self.step_ended(index, end, Ran::NOT, now, 0, tick);
            }
        };
        let input = match self.plan.undoes(index) {
            Some(base) => in_one(&input, output(base)),
            None => input,
        };
        tick.steps.push(StepRow {
            // It has not started.
            started: None,
            point_of_no_return: false,
            queue: Some(queue.clone()),
            ..self.row(index, StepState::Waiting, When::Now)
        });
        tick.routed.push(RoutedRow {
            task,
            intent: self.id,
            step: self.step_name(index).clone(),
            generation: self.slots[index].generation,
            queue,
            input,
        });
        self.slots[index].status = Status::Routed;
        self.has_wait = true;
        if self.kind.time_limit.is_some() && !self.inherited {
            // Whoever runs it has to know how much is left of the intent's limit.
            tick.started.extend(self.started_row());
        }
    }

    /// It fails: before anything else, what nobody has begun of it in other queues is taken back. A cancel has done so before.
    pub(super) fn recall_first(&self, statuses: &[Status]) -> Option<Move> {
        let fails = self.refusal.is_some() || statuses.contains(&Status::Failed);
        match self.recall {
            _ if self.cancel.is_some() => None,
            Recall::No if fails && self.open() > 0 && self.away() > 0 => Some(Move::Recall),
            Recall::Asked | Recall::Looking => Some(Move::Nothing),
            Recall::No | Recall::Done => None,
        }
    }

    /// Their driver has looked at its steps in other queues, or knows of none. What was read before they were taken back does
    /// not say what has become of them.
    pub(super) fn recalled(&mut self, looked: bool) {
        if self.recall == Recall::Looking && (looked || self.away() == 0) {
            self.recall = Recall::Done;
        }
    }

    /// The last word of a routed step that ends for a reason that is not in its attempts.
    fn refused_row(&mut self, reason: FailureReason, error: String) -> StepRow {
        StepRow {
            error: Some(error),
            reason: Some(reason),
            finished: Some(When::Now),
            ..self.row(0, StepState::Failed, When::Now)
        }
    }
}

impl Engine {
    /// Sends steps off to their queues.
    pub(super) fn send_away(&mut self, task: TaskId, steps: Vec<usize>) {
        let now = self.now();
        for step in steps {
            let own = TaskId(self.store().clock().ordered_id());
            if let Some(drive) = self.drives.get_mut(&task) {
                drive.send(step, own, now, &mut self.pending);
            }
        }
    }

    /// The code here does not have this step: it waits for a worker that does, and is offered again from time to time.
    pub(super) fn leave_to_others(&mut self, task: Claimed) {
        self.release(task.lease);
        self.bytes = self.bytes.saturating_sub(task.input.get().len());
        self.pending.parks.push(ParkRow {
            task: task.task,
            lease: task.lease,
            reason: ParkReason::Handler,
            due_in: Some(limits::HANDLER_WAIT),
            wake_at: None,
        });
    }

    /// Its intent is to stop: it is not begun.
    pub(super) fn drop_step(&mut self, task: &Claimed) {
        self.release(task.lease);
        self.bytes = self.bytes.saturating_sub(task.input.get().len());
        self.pending.ends.push(RoutedEnd {
            task: task.task,
            intent: task.intent,
            lease: Some(task.lease),
        });
    }

    /// A routed step that cannot be begun fails, and says why.
    pub(super) fn refuse_step(&mut self, task: &Claimed, routed: &RoutedLoad, refusal: Refusal) {
        let step = task.steps.first();
        let mut error = clip(refusal.error);
        if step.is_some_and(|step| step.state == StepState::Running) {
            // Without its plan nobody can tell whether it may run a second time; a resume would let it.
            error.push_str(
                "; it ran when its worker died: before a resume, find out whether it took effect",
            );
        }
        self.pending.steps.push(StepRow {
            point_of_no_return: false,
            first: false,
            task: task.task,
            intent: task.intent,
            name: routed.step.clone(),
            generation: routed.generation,
            state: StepState::Failed,
            attempt: step.map_or(1, |step| step.attempt),
            output: None,
            error: Some(error),
            progress: None,
            due_in: None,
            started: None,
            finished: Some(When::Now),
            queue: None,
            reason: Some(refusal.reason),
            spare: None,
            waits: None,
        });
        self.pending.ends.push(RoutedEnd {
            task: task.task,
            intent: task.intent,
            lease: Some(task.lease),
        });
    }

    /// A routed step has come to its end: its intent goes on with the same commit.
    pub(super) fn end_routed(&mut self, task: TaskId, why: Option<(FailureReason, String)>) {
        let Some(drive) = self.drives.get_mut(&task) else {
            return;
        };
        let end = RoutedEnd {
            task,
            intent: drive.id,
            lease: Some(drive.lease),
        };
        if let Some((reason, error)) = why {
            let row = drive.refused_row(reason, clip(error));
            last_word(&mut self.pending, row);
        }
        if self.leave(task) {
            self.pending.ends.push(end);
        }
    }
}
