//! Ended: what the end of an attempt does to its step, and what of it goes into the next tick.

use std::time::Duration;

use super::drive::Drive;
use super::runner::StepEnd;
use crate::advance::Status;
use crate::state::{AttemptFailure, FailureReason, StepState};
use crate::store::{AttemptRow, ParkReason, Ran, StepRow, TickRequest, When};

impl Drive {
    /// Takes in the end of an attempt, and puts what has to be recorded into the next tick.
    pub(super) fn step_ended(
        &mut self,
        index: usize,
        end: StepEnd,
        ran: Ran,
        now: Duration,
        random: u64,
        tick: &mut TickRequest,
    ) {
        let end = if self.is_winding_down(index) {
            last_word(end)
        } else {
            end
        };
        match end {
            StepEnd::Output(output) => {
                tick.steps.push(StepRow {
                    output: Some(output.clone()),
                    finished: Some(ran.to),
                    ..self.row(index, StepState::Succeeded, ran.from)
                });
                self.push_undone(index, tick);
                self.slots[index].output = Some(output);
                self.slots[index].status = Status::Recording;
                if self.crashes > 0 {
                    // Progress, in the same commit: a crash that comes right after it is the first again (P6).
                    tick.leases_cleared.push(self.lease);
                }
            }
            StepEnd::Recorded(output) => {
                if self.crashes > 0 {
                    tick.leases_cleared.push(self.lease);
                }
                self.push_undone(index, tick);
                self.slots[index].output = Some(output);
                self.slots[index].status = Status::Done;
            }
            StepEnd::Failed { failure, error } => {
                self.attempt_failed(index, failure, error, ran, now, random, tick)
            }
            StepEnd::Undecodable { error } => {
                self.slots[index].failure = Some((FailureReason::Undecodable, error.clone()));
                self.attempt_failed(index, AttemptFailure::GaveUp, error, ran, now, random, tick);
            }
            StepEnd::Snoozed(time) => {
                tick.steps.push(StepRow {
                    due_in: Some(time),
                    ..self.row(index, StepState::Waiting, ran.from)
                });
                self.slots[index].status = Status::Until(now + time);
                self.slots[index].reason = ParkReason::Snooze;
            }
            StepEnd::Awaits(awaits) => self.await_others(index, awaits, ran, now, tick),
            StepEnd::SignalRefused { name, error } => {
                self.set_aside(index, (name, error), ran, now, tick);
            }
            StepEnd::Left => {
                self.slots[index].status = Status::Pending;
                self.not_begun(index, tick);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "an attempt's end is just this much"
    )]
    fn attempt_failed(
        &mut self,
        index: usize,
        failure: AttemptFailure,
        error: String,
        ran: Ran,
        now: Duration,
        random: u64,
        tick: &mut TickRequest,
    ) {
        let retry = self
            .plan
            .def(index)
            .map(|def| def.retry)
            .unwrap_or_default();
        let once = self.runs_once(index);
        let winding_down = self.is_winding_down(index);
        self.slots[index].attempts = self.slots[index].attempts.saturating_add(1);
        let may_retry = match failure {
            AttemptFailure::Error | AttemptFailure::TimeOut | AttemptFailure::Panic => {
                !winding_down && !once
            }
            AttemptFailure::GaveUp | AttemptFailure::OutputRefused | AttemptFailure::Cancelled => {
                false
            }
        };
        let tried = self.slots[index].attempts;
        let wait = retry
            .wait(tried.saturating_sub(self.slots[index].forgiven), random)
            .filter(|_| may_retry);
        let retry_at = now + wait.unwrap_or_default();
        let out_of_time = self.out_of_time(index, failure, retry_at, &error);
        let wait = wait.filter(|_| out_of_time.is_none());
        let slot = &mut self.slots[index];
        // Whoever takes the intent over goes by the step's row.
        let last = out_of_time.as_ref().map(|(_, error)| error.clone());
        let last = last.unwrap_or_else(|| error.clone());
        if let Some(out_of_time) = out_of_time {
            slot.failure = Some(out_of_time);
        }
        let (attempt, generation) = (slot.attempts, slot.generation);
        slot.status = match wait {
            Some(wait) => Status::Until(now + wait),
            None => Status::Failed,
        };
        slot.reason = ParkReason::Retry;
        if wait.is_none() && slot.failure.is_none() {
            slot.failure = Some((FailureReason::StepFailed, error.clone()));
        }
        let (state, reason) = if wait.is_some() {
            (StepState::Waiting, None)
        } else {
            let reason = slot.failure.as_ref().map(|(reason, _)| *reason);
            (StepState::Failed, reason)
        };
        tick.steps.push(StepRow {
            attempt,
            error: Some(last),
            due_in: wait,
            finished: wait.is_none().then_some(ran.to),
            reason: reason.filter(|reason| *reason != FailureReason::StepFailed),
            ..self.row(index, state, ran.from)
        });
        tick.attempts.push(AttemptRow {
            task: self.task,
            intent: self.id,
            step: self.step_name(index).clone(),
            generation,
            attempt,
            failure,
            error,
            ran,
            retry_in: wait,
        });
    }

    /// It is not to run a second time before a person has looked.
    pub(super) fn runs_once(&self, index: usize) -> bool {
        let def = self.plan.def(index);
        def.is_some_and(|def| def.at_most_once) && self.plan.undoes(index).is_none()
    }

    /// Takes back the word that a step runs, which would keep it from being run.
    pub(super) fn not_begun(&mut self, index: usize, tick: &mut TickRequest) {
        if self.runs_once(index) {
            let (state, queue) = match self.is_routed {
                // As it was sent off.
                true => (StepState::Waiting, Some(self.queue.clone())),
                false => (StepState::Pending, None),
            };
            let row = self.row(index, state, When::Now);
            tick.steps.push(StepRow {
                started: None,
                queue,
                ..row
            });
        }
    }

    /// Steps that are not to run a second time, and of which nobody knows what became of the first: they have failed.
    pub(super) fn stop_at_interrupted(&mut self, tick: &mut TickRequest) {
        for index in 0..self.slots.len() {
            if self.cancel.is_some() || !self.slots[index].ran || !self.runs_once(index) {
                continue;
            }
            let error = "it may run only once, and its worker died or was stopped while it ran; find out whether it took \
                         effect"
                .to_owned();
            let row = self.row(index, StepState::Failed, When::Now);
            tick.steps.push(StepRow {
                error: Some(error.clone()),
                reason: Some(FailureReason::Interrupted),
                finished: Some(When::Now),
                ..row
            });
            self.slots[index].status = Status::Failed;
            self.slots[index].failure = Some((FailureReason::Interrupted, error));
        }
    }

    /// The intent is to stop, and this is no step that takes back.
    fn is_winding_down(&self, index: usize) -> bool {
        self.cancel.is_some() && self.plan.undoes(index).is_none()
    }

    /// The step's result is on disk.
    pub(super) fn recorded(&mut self, name: &str) {
        if let Some(index) = self.plan.shape.find(name)
            && self.slots[index].status == Status::Recording
        {
            self.slots[index].status = Status::Done;
        }
    }

    /// What a tick had for this intent is not on disk: its results are none, its new children are not there, and what it
    /// sent to other queues is not on its way.
    pub(super) fn refuse_rows(&mut self, tick: &TickRequest) {
        for row in tick.steps.iter().filter(|row| row.task == self.task) {
            if let Some(index) = self.plan.shape.find(&row.name)
                && (self.slots[index].status == Status::Recording || row.queue.is_some())
            {
                self.slots[index].status = Status::Pending;
            }
        }
        if !self.children.is_empty() {
            let lost = tick.children.iter().map(|row| row.intent.id).collect();
            self.children.forget(&lost);
        }
    }

    /// A step's row as it is now.
    pub(super) fn row(&mut self, index: usize, state: StepState, started: When) -> StepRow {
        let slot = &mut self.slots[index];
        let first = !std::mem::replace(&mut slot.has_row, true);
        let slot = &self.slots[index];
        let def = self.plan.def(index);
        StepRow {
            point_of_no_return: def.is_some_and(|def| def.point_of_no_return)
                && self.plan.undoes(index).is_none(),
            first,
            task: self.task,
            intent: self.id,
            name: self.step_name(index).clone(),
            generation: slot.generation,
            state,
            attempt: slot.attempts + 1,
            output: None,
            error: None,
            progress: None,
            due_in: None,
            started: Some(started),
            finished: None,
            queue: None,
            reason: None,
            spare: None,
            waits: None,
        }
    }
}

/// The end of an attempt of an intent that is to stop: what would go on later does not.
fn last_word(end: StepEnd) -> StepEnd {
    match end {
        StepEnd::Snoozed(_)
        | StepEnd::Awaits(_)
        | StepEnd::SignalRefused { .. }
        | StepEnd::Left => StepEnd::Failed {
            failure: AttemptFailure::Cancelled,
            error: "it was left, since the intent was cancelled".to_owned(),
        },
        StepEnd::Output(_)
        | StepEnd::Recorded(_)
        | StepEnd::Failed { .. }
        | StepEnd::Undecodable { .. } => end,
    }
}
