//! Turns: queues whose tasks are told apart and take turns, as this worker serves them.

use std::collections::HashSet;
use std::sync::Arc;

use super::engine::Engine;
use crate::store::{TickAnswer, TickRequest};

impl<S: Send + Sync + 'static> Engine<S> {
    /// What is let go of makes room in a partition that may be full: there may be something to claim again.
    pub(super) fn lets_go(&mut self, request: &TickRequest) {
        if !self.lanes.iter().any(|lane| lane.limits_partitions()) {
            return;
        }
        let left = self.left(request);
        for lane in &mut self.lanes {
            if left.contains(&lane.queue) {
                lane.let_go();
            }
        }
    }

    /// The queues of which the tick lets go of something; of what is not in hand any more, all.
    fn left(&self, request: &TickRequest) -> HashSet<Arc<str>> {
        let mut queues = HashSet::new();
        for task in request.leaves() {
            match self.drives.get(&task) {
                Some(drive) => queues.extend([drive.queue.clone()]),
                None => queues.extend(self.lanes.iter().map(|lane| lane.queue.clone())),
            }
        }
        queues
    }

    /// Says of which queues something is counted by partition, where the tick takes tasks in hand or lets go of some.
    pub(super) fn name_partitioned(&self, request: &mut TickRequest) {
        if !self.lanes.iter().any(|lane| lane.limits_partitions()) {
            return;
        }
        let mut queues = self.left(request);
        let probed = request.probes.iter().map(|probe| &probe.lane);
        let claimed = request.claim.iter().chain(probed);
        queues.extend(claimed.map(|lane| lane.queue.clone()));
        let limited = self.lanes.iter().filter(|lane| lane.limits_partitions());
        let named = limited.filter(|lane| queues.contains(&lane.queue));
        request.partitioned = named.map(|lane| lane.queue.clone()).collect();
    }

    /// Whose turn it is next; and others may have room again.
    pub(super) fn turns_heard(&mut self, answer: &TickAnswer) {
        let now = self.now();
        for (queue, from) in &answer.turns {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.queue == *queue) else {
                continue;
            };
            if answer.drained.contains(queue) {
                lane.gave_nothing(now);
            }
            if let Some(turns) = &mut lane.turns {
                turns.from = from.clone();
            }
        }
        if answer.freed && self.others_idle {
            self.intendant.wake_elsewhere();
        }
    }
}
