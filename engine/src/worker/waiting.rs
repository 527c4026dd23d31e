//! Waiting: steps that have ended to wait for children, sleeps and signals; and when they can go on.

use std::collections::HashMap;
use std::time::Duration;

use super::drive::Drive;
use super::slot::Slot;
use crate::advance::Status;
use crate::cx::Awaits;
use crate::payload::{self, Payload};
use crate::request::ChildRequest;
use crate::state::StepState;
use crate::store::{
    AwaitedLoad, AwaitedRow, ChildLoad, ChildRow, ParkReason, Ran, SetAsideRow, StepRow,
    TickRequest,
};
use crate::waits::{KnownWait, Sort, WaitRequest};

/// A sleep or a signal that a step has waited for, as its driver knows it.
#[derive(Debug)]
pub(super) struct Awaited {
    sort: Sort,
    due: Option<Duration>,
    payload: Option<Payload>,
}

impl Awaited {
    fn is_over(&self, now: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    fn has_come(&self, now: Duration) -> bool {
        self.payload.is_some() || self.is_over(now)
    }
}

impl Slot {
    /// Takes in what the database knows of a wait.
    pub(super) fn set_awaited(&mut self, load: AwaitedLoad, now: Duration) {
        let awaited = Awaited {
            sort: load.sort,
            due: load.due_in.map(|due_in| now + due_in),
            payload: load.payload,
        };
        self.awaited.insert(load.name, awaited);
    }

    /// The same, of all that the database knows of a step, as far as it is of this time round.
    pub(super) fn set_awaited_of(&mut self, loads: Vec<AwaitedLoad>, now: Duration) {
        for load in loads {
            if load.generation == self.generation {
                self.set_awaited(load, now);
            }
        }
    }

    /// What is known of its waits as it begins.
    pub(super) fn known_waits(&self, now: Duration) -> HashMap<String, KnownWait> {
        let known = |awaited: &Awaited| KnownWait {
            sort: awaited.sort,
            over: awaited.is_over(now),
            payload: awaited.payload.clone(),
        };
        let awaited = self.awaited.iter();
        awaited
            .map(|(name, awaited)| (name.clone(), known(awaited)))
            .collect()
    }

    /// Whether a step that waits by names can go on, and if not, by what. `children`: whether those that it waits for as
    /// well are enough.
    fn waits_for(&self, now: Duration, children: Option<bool>) -> Status {
        let waits = || self.waits.iter().filter_map(|name| self.awaited.get(name));
        if children == Some(true) || waits().any(|wait| wait.has_come(now)) {
            return Status::Pending;
        }
        let due = waits().filter_map(|wait| wait.due).min();
        match due {
            // Nobody counts anything for one that only sleeps.
            Some(due) if children.is_none() && waits().all(|wait| wait.sort == Sort::Sleep) => {
                Status::Until(due)
            }
            due => Status::Any { due },
        }
    }
}

impl Drive {
    /// Looks again at a step that waits by names.
    pub(super) fn settle(&mut self, index: usize, now: Duration) {
        let slot = &self.slots[index];
        if slot.waits.is_empty() || !matches!(slot.status, Status::Any { .. } | Status::Until(_)) {
            return;
        }
        let children = slot.with_children.then(|| self.missing(index) == 0);
        let slot = &mut self.slots[index];
        slot.status = slot.waits_for(now, children);
        slot.reason = ParkReason::Snooze;
    }

    /// Takes in what has come by names.
    pub(super) fn set_awaited(&mut self, awaited: Vec<AwaitedLoad>, now: Duration) {
        for load in awaited {
            let found = self.plan.shape.find(&load.step);
            let Some(index) = found else {
                self.unmade.awaited(load);
                continue;
            };
            if self.slots[index].generation == load.generation {
                self.slots[index].set_awaited(load, now);
            }
        }
        for index in 0..self.slots.len() {
            self.settle(index, now);
        }
    }

    /// A step has ended to wait: what is new of it goes into the next tick.
    pub(super) fn await_others(
        &mut self,
        index: usize,
        awaits: Awaits,
        ran: Ran,
        now: Duration,
        tick: &mut TickRequest,
    ) {
        let Awaits {
            children,
            spare,
            waits,
        } = awaits;
        self.slots[index].spare = spare;
        self.slots[index].with_children = !children.is_empty();
        self.ask_for(index, children, tick);
        if waits.is_empty() {
            tick.steps.push(StepRow {
                spare: (spare > 0).then_some(spare),
                ..self.row(index, StepState::Waiting, ran.from)
            });
            self.slots[index].waits.clear();
            self.slots[index].status = Status::Children(self.missing(index));
            return;
        }
        for wait in &waits {
            self.begin_wait(index, wait, now, tick);
        }
        let names = waits.into_iter().map(|wait| wait.name).collect();
        self.wait_by(index, names, ran, now, tick);
    }

    fn begin_wait(
        &mut self,
        index: usize,
        wait: &WaitRequest,
        now: Duration,
        tick: &mut TickRequest,
    ) {
        let Some(new) = wait.new else { return };
        tick.awaited.push(AwaitedRow {
            intent: self.id,
            step: self.step_name(index).clone(),
            generation: self.slots[index].generation,
            name: wait.name.clone(),
            sort: wait.sort,
            due_in: new.due_in,
        });
        let awaited = Awaited {
            sort: wait.sort,
            due: new.due_in.map(|due_in| now + due_in),
            payload: None,
        };
        self.slots[index].awaited.insert(wait.name.clone(), awaited);
        self.has_wait = true;
        self.has_awaited = true;
    }

    /// From now on the step waits by these names.
    fn wait_by(
        &mut self,
        index: usize,
        names: Vec<String>,
        ran: Ran,
        now: Duration,
        tick: &mut TickRequest,
    ) {
        let slot = &mut self.slots[index];
        slot.waits = names;
        slot.status = Status::Any { due: None };
        let (spare, with_children) = (slot.spare, slot.with_children);
        let waits = payload::encode(&slot.waits).ok();
        self.settle(index, now);
        let due = match self.slots[index].status {
            Status::Any { due } => due,
            Status::Until(due) => Some(due),
            Status::Pending
            | Status::Running
            | Status::Recording
            | Status::Children(_)
            | Status::Routed
            | Status::Done
            | Status::Failed => None,
        };
        tick.steps.push(StepRow {
            due_in: due.map(|due| due.saturating_sub(now)),
            // Said even of none: that it waits for children as well.
            spare: with_children.then_some(spare),
            waits,
            ..self.row(index, StepState::Waiting, ran.from)
        });
    }

    /// A message is not what the step expects: it is set aside, and the step waits on.
    pub(super) fn set_aside(
        &mut self,
        index: usize,
        (name, error): (String, String),
        ran: Ran,
        now: Duration,
        tick: &mut TickRequest,
    ) {
        tracing::warn!(intent = %self.id, step = &**self.step_name(index), signal = name, error, "a message is set aside");
        tick.set_aside.push(SetAsideRow {
            intent: self.id,
            step: self.step_name(index).clone(),
            generation: self.slots[index].generation,
            name: name.clone(),
            error,
        });
        if let Some(awaited) = self.slots[index].awaited.get_mut(&name) {
            awaited.payload = None;
        }
        self.slots[index].with_children = false;
        self.wait_by(index, vec![name], ran, now, tick);
    }

    /// Asks for the children of a step that are new.
    fn ask_for(&mut self, index: usize, children: Vec<ChildRequest>, tick: &mut TickRequest) {
        let step = self.step_name(index).clone();
        let generation = self.slots[index].generation;
        self.slots[index].awaits = children.iter().map(|child| child.name.clone()).collect();
        for child in children {
            let Some(mut new) = child.new else { continue };
            new.parent = Some((self.id, step.to_string()));
            new.root = self.root;
            new.depth = self.depth + 1;
            new.correlation_id = self.context.correlation_id.clone();
            new.traceparent = new.traceparent.or(self.context.traceparent);
            new.requested_by = self.context.requested_by.clone();
            self.children.add(ChildLoad {
                parent: self.id,
                step: step.clone(),
                generation,
                name: child.name.clone(),
                child: new.id,
                input_hash: child.input_hash.clone(),
                outcome: None,
            });
            tick.children.push(ChildRow {
                step: step.clone(),
                generation,
                name: child.name,
                input_hash: child.input_hash,
                instead_of: child.instead_of,
                intent: new,
            });
        }
    }
}
