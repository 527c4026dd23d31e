//! Others: what a driver knows of children and of steps in other queues, and how many of them it waits for.

use std::time::Duration;

use super::children::ByName;
use super::drive::Drive;
use crate::advance::Status;
use crate::store::{ChildLoad, StepLoad, TickRequest};

impl Drive {
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

    /// Takes in what has become of the steps in other queues. Those that the next tick sends, or one that is on its way, are
    /// under way, although the answer does not know them; what it knows of them may be what they came to before a resume.
    pub(super) fn set_sent(
        &mut self,
        sent: &[StepLoad],
        now: Duration,
        (tick, on_its_way): (&mut TickRequest, Option<&TickRequest>),
    ) {
        for step in sent {
            match self.plan.shape.find(&step.name) {
                Some(index) if self.slots[index].is_sent(step) => {
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
            let id = self.id;
            let sends = |tick: &TickRequest, name: &str| {
                let mut rows = tick.routed.iter();
                rows.any(|row| row.intent == id && &*row.step == name)
            };
            for (index, slot) in self.slots.iter_mut().enumerate() {
                let name = &self.plan.shape.steps[index].name;
                let mut known = sent.iter().filter(|step| *step.name == **name);
                let is_known = known.any(|step| slot.is_sent(step))
                    || sends(tick, name)
                    || on_its_way.is_some_and(|tick| sends(tick, name));
                if slot.status == Status::Routed && !is_known {
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
    pub(super) fn open_forward(&self) -> u32 {
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
}
