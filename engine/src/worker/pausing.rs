//! Pausing, and limits: what people have said of queues, as this worker hears it.

use super::engine::Engine;
use super::lane::Lent;
use crate::id::TaskId;
use crate::store::{Control, TickAnswer, TickRequest};

impl<S: Send + Sync + 'static> Engine<S> {
    /// Takes in what people have said. Of a queue that is paused, what was not begun with goes back in line; one that is
    /// resumed may have something to claim.
    pub(super) fn hear_control(&mut self, control: &Control) {
        if control.version <= self.control {
            return;
        }
        self.control = control.version;
        let mut back: Vec<TaskId> = Vec::new();
        for lane in &mut self.lanes {
            let was = std::mem::replace(&mut lane.paused, control.is_paused(&lane.queue));
            if was && !lane.paused {
                lane.hint = true;
            }
            lane.lent = match (control.is_limited(&lane.queue), lane.lent) {
                (false, _) => None,
                (true, lent) => Some(Lent::unsure(lent.map_or(0, |lent| lent.held))),
            };
            if lane.paused {
                let begun = |task: &TaskId| self.drives.get(task).is_none_or(|drive| drive.begun);
                let waiting = lane.waiting.iter().map(|waiting| waiting.task);
                let unbegun: Vec<TaskId> = waiting.filter(|task| !begun(task)).collect();
                lane.waiting
                    .retain(|waiting| !unbegun.contains(&waiting.task));
                back.extend(unbegun);
            }
        }
        back.dedup();
        for task in back {
            self.hand_back(task);
        }
        // Where a limit has gone, what waited for a slot of it has one.
        let queues = self.lanes.iter().map(|lane| lane.queue.clone());
        for queue in queues.collect::<Vec<_>>() {
            self.start_waiting(&queue);
        }
    }

    /// What this worker asks of limited queues.
    pub(super) fn ask_slots(&self, request: &mut TickRequest) {
        for lane in self.lanes.iter().filter(|lane| lane.lent.is_some()) {
            let claims = request.claim.iter().any(|claim| claim.queue == lane.queue);
            request.slots.extend(lane.slot_ask(claims));
        }
    }

    /// What it was given, or has given back.
    pub(super) fn slots_heard(&mut self, request: &TickRequest, answer: &TickAnswer) {
        let mut given_back = false;
        for ask in &request.slots {
            let mut slots = answer.slots.iter();
            let Some(has) = slots.find(|slots| slots.queue == ask.queue) else {
                continue;
            };
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == has.queue) {
                let fewer = lane.lent.is_some_and(|lent| lent.held > has.held);
                given_back |= fewer && has.awaited;
                lane.slots_moved(has);
            }
        }
        if given_back {
            // Somebody may wait for them.
            self.intendant.wake_elsewhere();
            self.intendant.wake_here();
        }
    }
}
