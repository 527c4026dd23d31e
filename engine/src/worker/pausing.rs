//! Pausing, limits and rates: what people have said of queues, as this worker hears it.

use std::collections::HashSet;

use super::engine::Engine;
use super::lane::UseFor;
use super::lent::Lent;
use crate::id::TaskId;
use crate::store::{Control, TickAnswer, TickRequest};

/// Whether a tick takes tasks in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claims {
    None,
    Some,
}

impl Engine {
    /// Takes in what people have said. Of a queue that is paused, what was not begun with goes back in line; one that is
    /// resumed may have something to claim.
    pub(super) fn hear_control(&mut self, control: &Control) {
        if control.version <= self.control {
            return;
        }
        self.control = control.version;
        self.capped = control.capped;
        for lane in &mut self.lanes {
            let was = std::mem::replace(&mut lane.paused, control.is_paused(&lane.queue));
            if was && !lane.paused {
                lane.hint = true;
            }
            if control.is_limited(&lane.queue) {
                lane.lent.get_or_insert(Lent::NEW).doubt();
            } else {
                lane.lent = None;
            }
            if control.is_rated(&lane.queue) {
                lane.paced.get_or_insert_default().doubt();
            } else {
                lane.paced = None;
            }
            lane.turned(control.partitioned.get(&lane.queue).copied());
        }
        // What is held of a queue that is paused goes back; where a limit or a rate has gone, what waited for it goes on.
        let queues = self.lanes.iter().map(|lane| lane.queue.clone());
        for queue in queues.collect::<Vec<_>>() {
            self.start_waiting(&queue);
        }
        self.start_announced(&[]);
    }

    /// Hands back what waits for a slot of a paused queue and has not been begun with.
    pub(super) fn hand_back_unbegun(&mut self, lane: usize) {
        let begun = |task: &TaskId| self.drives.get(task).is_none_or(|drive| drive.begun);
        let waiting = self.lanes[lane].waiting.iter();
        let waiting = waiting.map(|waiting| waiting.task);
        let unbegun: HashSet<TaskId> = waiting.filter(|task| !begun(task)).collect();
        let mut back = Vec::with_capacity(unbegun.len());
        self.lanes[lane].waiting.retain(|waiting| {
            let stays = !unbegun.contains(&waiting.task);
            if !stays && !back.contains(&waiting.task) {
                back.push(waiting.task);
            }
            stays
        });
        for task in back {
            self.hand_back(task);
        }
    }

    /// What this worker asks of limited queues. `claims`: it takes tasks in hand with this tick, if there are any.
    pub(super) fn ask_slots(&mut self, request: &mut TickRequest, claims: Claims, stopping: bool) {
        let now = self.now();
        for lane in self.lanes.iter_mut().filter(|lane| lane.lent.is_some()) {
            if stopping {
                // Who takes nothing any more stands in no line.
                lane.suspects_since = None;
            }
            let of_suspects = request.claim_suspect.iter();
            let of_probes = request.probes.iter().map(|probe| &probe.lane);
            let mut suspects = of_suspects.chain(of_probes);
            let has_kinds = || !self.backing_off.others(&lane.kinds).is_empty();
            let use_for = if suspects.any(|suspect| suspect.queue == lane.queue) {
                UseFor::Suspect
            } else if claims == Claims::Some && lane.is_open(now) && has_kinds() {
                UseFor::More
            } else {
                UseFor::InHand
            };
            request.slots.extend(lane.slot_ask(use_for, now));
        }
    }

    /// What it was given, or has given back.
    pub(super) fn slots_heard(&mut self, request: &TickRequest, answer: &TickAnswer) {
        let now = self.now();
        let mut given_back = false;
        // What people have said since the tick looked may be a limit of which it has not known.
        let said = answer.control.as_ref().map(|control| control.version);
        let is_current = self.control <= said.unwrap_or(request.control);
        for ask in &request.slots {
            let mut lanes = self.lanes.iter_mut();
            let lane = lanes.find(|lane| lane.queue == ask.queue);
            let Some(lent) = lane.and_then(|lane| lane.lent.as_mut()) else {
                continue;
            };
            match answer.slots.iter().find(|slots| slots.queue == ask.queue) {
                Some(has) => {
                    given_back |= has.awaited;
                    lent.answered(has, now);
                    if !is_current {
                        lent.doubt();
                    }
                }
                // The answer was lost, or the tick was refused and written without its questions.
                None => lent.doubt(),
            }
        }
        if given_back {
            // Somebody may wait for them.
            self.intendant.wake_elsewhere();
            self.intendant.wake_here();
        }
    }
}
