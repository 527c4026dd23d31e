//! Undoing: what the steps of an intent did is taken back, in the reverse order of their dependencies.
//!
//! For that the plan gets a step for each of its steps (`undo(volume)`), after those of the shape, as a map has its elements;
//! they are driven like any others, with rows, attempts, retries and waits. Whoever takes the intent over makes the same
//! ones again, and finds by their names what is known of them.

use std::sync::Arc;
use std::time::Duration;

use super::drive::{Drive, Move};
use super::registry::Refusal;
use super::slot::Slot;
use crate::advance::Status;
use crate::cancel;
use crate::intent::OnFailure;
use crate::payload::{self, Payload};
use crate::plan::{RunStep, RunUndo};
use crate::state::{FailureReason, IntentState};
use crate::store::{CancelLoad, Failure, Finish, Goal, StepAt, TickRequest};

impl Drive {
    /// What runs when a step is started: its function, or, of an undo, that which takes back what the step has come to.
    pub(super) fn run_of(&self, step: usize) -> Option<RunStep> {
        let def = self.plan.def(step)?;
        let Some(base) = self.plan.undoes(step) else {
            return Some(def.run.clone());
        };
        Some(run(def.undo.clone()?, self.slots[base].output.clone()))
    }
}

/// Takes a step back that has come to this.
pub(super) fn run(undo: RunUndo, output: Option<Payload>) -> RunStep {
    Arc::new(move |context, input| undo(context, input, output.clone()))
}

/// What a step in another queue is given to take back: the input of what it takes back, and its output, if there is one, in
/// one list. Each has been checked; together they may be larger than either may be.
pub(super) fn in_one(input: &Payload, output: Option<&Payload>) -> Payload {
    let output = output.map_or_else(String::new, |output| format!(",{}", output.get()));
    payload::trusted(format!("[{}{output}]", input.get()))
}

/// Input and output of what is to be taken back.
pub(super) fn of_one(list: &Payload) -> Result<(Payload, Option<Payload>), Refusal> {
    let error = match payload::elements(list) {
        Ok(parts) => {
            let mut parts = parts.into_iter();
            match (parts.next(), parts.next()) {
                (Some(input), output) => return Ok((input, output)),
                (None, _) => "it has no input".to_owned(),
            }
        }
        Err(error) => error.to_string(),
    };
    Err(Refusal {
        reason: FailureReason::Undecodable,
        error: format!("what it was sent with cannot be read any more: {error}"),
    })
}

impl Drive {
    /// Where the steps are, as far as what is next depends on them.
    pub(super) fn statuses(&self) -> Vec<Status> {
        let mut statuses: Vec<Status> = self.slots.iter().map(|slot| slot.status).collect();
        if self.plan.has_undos() {
            let first = self.plan.forward();
            statuses[..first].fill(Status::Done);
            // In their order, so that those before are known.
            for index in first..statuses.len() {
                let after = &self.plan.shape.steps[index].after;
                let is_done = |&before: &u32| statuses[before as usize] == Status::Done;
                if self.slots[index].idle && after.iter().all(is_done) {
                    statuses[index] = Status::Done;
                }
            }
        }
        statuses
    }

    /// What its kind wants when it fails. After a point of no return nothing is taken back.
    pub(super) fn on_failure(&self) -> OnFailure {
        match self.kind.on_failure {
            OnFailure::Undo if self.is_past_return() => OnFailure::Hold,
            _ if self.release_on_failure => OnFailure::Release,
            OnFailure::Release => OnFailure::Hold,
            kept => kept,
        }
    }

    fn is_past_return(&self) -> bool {
        let is_final = |step: usize| {
            let def = self.plan.def(step);
            def.is_some_and(|def| def.point_of_no_return)
        };
        (0..self.plan.forward()).any(|step| is_final(step) && self.may_have_started(step))
    }

    /// Something that can be taken back may have started.
    pub(super) fn has_to_undo(&self) -> bool {
        (0..self.plan.forward())
            .any(|step| self.plan.shape.steps[step].undo && self.may_have_started(step))
    }

    /// A step that somebody else may have begun without a word of it on disk counts as started (PROTOCOL P6), if it could
    /// have been. If something that it depends on has been taken back, it could not, or was taken back before that.
    fn may_have_started(&self, step: usize) -> bool {
        let slot = &self.slots[step];
        let of = self.plan.map_of(step).unwrap_or(step);
        let could = || {
            let after = self.plan.stored.steps[of].after.iter();
            let mut after = after.map(|&before| &self.slots[before as usize]);
            after.all(|slot| slot.status == Status::Done && !slot.undone)
        };
        slot.started
            || slot.status == Status::Done
            // What goes to another queue has a row from then on.
            || (self.inherited && self.route(step).is_none() && could())
    }

    /// Makes the steps that take back. What stands against it is the reason why the intent fails.
    pub(super) fn take_back(&mut self, now: Duration, tick: &mut TickRequest) {
        if let Err(error) = self.make_undos(now, tick) {
            self.refusal = Some((FailureReason::UndoFailed, error));
        }
    }

    fn make_undos(&mut self, now: Duration, tick: &mut TickRequest) -> Result<(), String> {
        let from = match self.cancel.as_ref().map(|cancel| &cancel.goal) {
            Some(Goal::Rerun { from }) => Some(from.clone()),
            Some(Goal::Cancel | Goal::Fail(_)) | None => None,
        };
        for map in 0..self.plan.stored.steps.len() {
            let made = self.plan.elements_of(map).is_some();
            let wanted = self.plan.shape.steps[map].undo || from.is_some();
            if self.plan.is_map(map) && wanted && !made && self.may_have_started(map) {
                let elements = self.list_of(map)?;
                self.expand(map, elements, now);
            }
        }
        let within = from.map(|from| self.plan.from(&from));
        let needs = |step: usize| {
            self.plan.can_undo(step)
                && !self.slots[step].undone
                && within.as_ref().is_none_or(|within| within[step])
                && self.may_have_started(step)
        };
        let needs: Vec<bool> = (0..self.slots.len()).map(needs).collect();
        let mut needed = (0..needs.len()).filter(|&step| needs[step]);
        needed.try_for_each(|step| self.has_code(step))?;
        for index in self.plan.add_undos() {
            let slot = self.undo_slot(index, &needs, now);
            if slot.status == Status::Done {
                // Its own transaction has recorded it, and its worker died before it could say what that means.
                self.push_undone(index, tick);
            }
            self.slots.push(slot);
        }
        self.count_children(now);
        Ok(())
    }

    /// One of which only some steps were to be taken back is cancelled: the others are, too.
    pub(super) fn widen_undos(&mut self) {
        for undo in self.plan.forward()..self.slots.len() {
            let Some(base) = self.plan.undoes(undo) else {
                continue;
            };
            let slot = &self.slots[base];
            let needs = self.plan.can_undo(base) && !slot.undone && self.may_have_started(base);
            if self.slots[undo].idle && needs {
                self.slots[undo].idle = false;
                if let Err(error) = self.has_code(base) {
                    self.refusal = Some((FailureReason::UndoFailed, error));
                }
            }
        }
    }

    fn has_code(&self, step: usize) -> Result<(), String> {
        match self.plan.def(step) {
            Some(def) if def.undo.is_some() => Ok(()),
            _ => Err(format!(
                "the plan that this intent started with can take back step `{}`, and the code has nothing for that any \
                 more; bring it back, and resume",
                self.step_name(step)
            )),
        }
    }

    fn undo_slot(&mut self, index: usize, needs: &[bool], now: Duration) -> Slot {
        let mut slot = Slot::new();
        let Some(base) = self.plan.undoes(index) else {
            return slot;
        };
        slot.generation = self.slots[base].generation;
        if !needs[base] {
            slot.idle = true;
            return slot;
        }
        let generation = slot.generation;
        let name = self.step_name(index).clone();
        let (attempt, step) = self.unmade.take(&name);
        if let Some(attempt) = attempt.filter(|attempt| attempt.generation == generation) {
            slot.set_attempt(&attempt, now);
        }
        if let Some(step) = step.filter(|step| step.generation == generation) {
            slot.set_step(step, now);
        }
        slot.set_awaited_of(self.unmade.take_awaited(&name), now);
        slot
    }

    /// With the end of an undo: its step is undone. So is a map with one of its elements.
    pub(super) fn push_undone(&self, index: usize, tick: &mut TickRequest) {
        let Some(base) = self.plan.undoes(index) else {
            return;
        };
        for step in [Some(base), self.plan.map_of(base)].into_iter().flatten() {
            let (intent, step_name) = (self.id, self.step_name(step).clone());
            let known = tick
                .undone
                .iter()
                .any(|row| row.intent == intent && row.step == step_name);
            if !known {
                tick.undone.push(StepAt {
                    intent,
                    step: step_name,
                    generation: self.slots[step].generation,
                });
            }
        }
    }

    /// Everything is taken back that was to be.
    pub(super) fn taken_back(&self, cancel: &CancelLoad) -> Move {
        let finish = match &cancel.goal {
            Goal::Rerun { from } => return Move::Rerun(self.again(from)),
            Goal::Fail(failure) => self.fail_with(failure.clone()),
            Goal::Cancel => Finish {
                error: Some(cancel::in_words(&cancel.actor, cancel.reason.as_deref())),
                ..self.finish(IntentState::Cancelled)
            },
        };
        Move::Finish(Box::new(Finish {
            frees: self.locks,
            taken_back: true,
            ..finish
        }))
    }

    /// What is recorded of these steps, and of all that depend on them: it gives way to the next generation.
    fn again(&self, from: &[String]) -> Vec<StepAt> {
        let within = self.plan.from(from);
        let undos = self.plan.forward()..self.slots.len();
        let recorded = undos.filter_map(|undo| {
            let base = self.plan.undoes(undo)?;
            let has_row = self.slots[base].has_row || !self.slots[undo].idle;
            (within[base] && has_row).then_some(base)
        });
        let row = |base: usize| StepAt {
            intent: self.id,
            step: self.step_name(base).clone(),
            generation: self.slots[base].generation,
        };
        recorded.map(row).collect()
    }

    /// The outcome of one of which this could not be taken back: it keeps what it holds.
    pub(super) fn undo_failed(&self, undo: usize) -> Finish {
        let failure = self.failure(undo);
        let step = self.plan.undoes(undo).unwrap_or(undo);
        let name = self.step_name(step).clone();
        Finish {
            frees: false,
            ..self.fail_with(Failure {
                reason: FailureReason::UndoFailed,
                error: super::runner::clip(format!("taking back `{name}`: {}", failure.error)),
                step: Some(name),
            })
        }
    }
}
