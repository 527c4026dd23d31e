//! Elements: a map becomes a step for each element of its list when the list is on record, and its output when they are
//! all done.
//!
//! The list is recorded, so whoever takes the intent over makes the same steps again, and finds by their names what is
//! known of them.

use std::collections::HashMap;
use std::time::Duration;

use super::drive::Drive;
use super::runner::StepEnd;
use super::slot::Slot;
use crate::advance::Status;
use crate::limits;
use crate::payload::{self, Payload};
use crate::plan::undone_of;
use crate::state::AttemptFailure;
use crate::store::{AttemptLoad, AwaitedLoad, Ran, StepLoad, TickRequest};

/// What is known of steps that are not made yet, by name.
#[derive(Debug, Default)]
pub(super) struct Unmade {
    attempts: HashMap<String, AttemptLoad>,
    steps: HashMap<String, StepLoad>,
    awaited: HashMap<String, Vec<AwaitedLoad>>,
}

impl Unmade {
    pub(super) fn attempt(&mut self, attempt: AttemptLoad) {
        self.attempts.insert(attempt.step.to_string(), attempt);
    }

    pub(super) fn awaited(&mut self, awaited: AwaitedLoad) {
        let of_step = self.awaited.entry(awaited.step.clone()).or_default();
        of_step.push(awaited);
    }

    /// What a step that is made now has waited for by names.
    pub(super) fn take_awaited(&mut self, name: &str) -> Vec<AwaitedLoad> {
        self.awaited.remove(name).unwrap_or_default()
    }

    pub(super) fn step(&mut self, step: StepLoad) {
        self.steps.insert(step.name.clone(), step);
    }

    /// Takes in what has become of a step in another queue.
    pub(super) fn sent(&mut self, step: &StepLoad) {
        if let Some(known) = self.steps.get_mut(&step.name) {
            known.clone_from(step);
        }
    }

    /// What is known of a step that is made now.
    pub(super) fn take(&mut self, name: &str) -> (Option<AttemptLoad>, Option<StepLoad>) {
        (self.attempts.remove(name), self.steps.remove(name))
    }

    /// Steps that are under way in other queues.
    pub(super) fn away(&self) -> usize {
        self.steps.values().filter(|step| step.away).count()
    }

    /// Of these, those that take back.
    pub(super) fn undos_away(&self) -> usize {
        let away = self.steps.values().filter(|step| step.away);
        away.filter(|step| undone_of(&step.name).is_some()).count()
    }
}

impl Drive {
    /// A map's turn has come: its list is known, or its elements are all done.
    pub(super) fn turn_map(&mut self, map: usize, now: Duration, tick: &mut TickRequest) {
        let end = match self.plan.elements_of(map) {
            None => match self.list_of(map) {
                Ok(elements) => return self.expand(map, elements, now),
                Err(error) => StepEnd::Undecodable { error },
            },
            Some(elements) => {
                let outputs = self.slots[elements].iter().map(|slot| slot.output.as_ref());
                let outputs = outputs.map(|output| output.map_or("null", Payload::get));
                let list = format!("[{}]", outputs.collect::<Vec<_>>().join(","));
                match payload::parse(&list) {
                    Ok(output) => StepEnd::Output(output),
                    Err(error) => StepEnd::Failed {
                        failure: AttemptFailure::OutputRefused,
                        error: format!("what the elements have come to, together: {error}"),
                    },
                }
            }
        };
        self.step_ended(map, end, Ran::NOT, now, 0, tick);
    }

    pub(super) fn list_of(&self, map: usize) -> Result<Vec<Payload>, String> {
        let output = |index: usize| self.slots[index].output.as_ref();
        let list = self.plan.input(map, &output)?;
        let elements = payload::elements(&list).map_err(|error| error.to_string())?;
        let steps = self.slots.len() + elements.len();
        if steps > limits::PLAN_STEPS {
            return Err(format!(
                "the list has {} elements, which makes {steps} steps; the limit is {}; have a step make larger \
                 portions of it",
                elements.len(),
                limits::PLAN_STEPS
            ));
        }
        Ok(elements)
    }

    pub(super) fn expand(&mut self, map: usize, elements: Vec<Payload>, now: Duration) {
        for index in self.plan.expand(map, elements) {
            let mut slot = Slot::new();
            let name = &*self.plan.shape.steps[index].name;
            if let Some(attempt) = self.unmade.attempts.remove(name) {
                slot.set_attempt(&attempt, now);
            }
            if let Some(step) = self.unmade.steps.remove(name) {
                slot.set_step(step, now);
            }
            if self.cancel.is_none() {
                slot.renew();
            }
            slot.set_awaited_of(self.unmade.take_awaited(name), now);
            self.slots.push(slot);
        }
        self.count_children(now);
    }

    /// Of the steps that could start, those that do not make too many elements of a map run at once, or too many steps be
    /// in other queues.
    pub(super) fn within_limits(&self, mut steps: Vec<usize>) -> Vec<usize> {
        if steps.iter().any(|step| self.route(*step).is_some()) {
            let mut away = self.away() as usize;
            steps.retain(|&step| {
                let goes = self.route(step).is_some();
                away += usize::from(goes);
                !goes || away <= limits::ROUTED_AT_ONCE
            });
        }
        if !self.plan.has_elements() {
            return steps;
        }
        let mut running: HashMap<usize, usize> = HashMap::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if matches!(slot.status, Status::Running | Status::Routed)
                && let Some(map) = self.plan.map_of(index)
            {
                *running.entry(map).or_default() += 1;
            }
        }
        steps.retain(|&step| {
            let Some(map) = self.plan.map_of(step) else {
                return true;
            };
            let at_most = self.plan.def(map).and_then(|def| def.each);
            let running = running.entry(map).or_default();
            *running += 1;
            *running <= at_most.unwrap_or(usize::MAX)
        });
        steps
    }

    /// When the next retry or snooze is due. Where steps that could start are held back, nobody else says it.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        if !self.plan.has_elements() && !self.has_wait {
            return None;
        }
        let due = self.slots.iter().filter_map(|slot| match slot.status {
            Status::Until(due) | Status::Any { due: Some(due) } if due > now => Some(due),
            _ => None,
        });
        due.min()
    }
}
