//! Turns: queues whose tasks are told apart and take turns, as this worker serves them.

use std::sync::Arc;

use super::engine::Engine;
use crate::store::{TickAnswer, TickRequest};

impl<S: Send + Sync + 'static> Engine<S> {
    /// What is let go of makes room in a partition that may be full: there may be something to claim again.
    pub(super) fn lets_go(&mut self, request: &TickRequest) {
        if request.leaves().next().is_none() {
            return;
        }
        for lane in &mut self.lanes {
            lane.hint |= lane.limits_partitions();
        }
    }

    /// Says of which queues something is counted by partition, where the tick takes tasks in hand or lets go of some.
    pub(super) fn name_partitioned(&self, request: &mut TickRequest) {
        let leaves = request.leaves().next().is_some();
        let claims = |queue: &Arc<str>| {
            let probed = request.probes.iter().map(|probe| &probe.lane);
            let mut lanes = request.claim.iter().chain(probed);
            lanes.any(|lane| lane.queue == *queue)
        };
        let limited = self.lanes.iter().filter(|lane| lane.limits_partitions());
        let named = limited.filter(|lane| leaves || claims(&lane.queue));
        request.partitioned = named.map(|lane| lane.queue.clone()).collect();
    }

    /// Whose turn it is next; and others may have room again.
    pub(super) fn turns_heard(&mut self, answer: &TickAnswer) {
        for (queue, from) in &answer.turns {
            let lane = self.lanes.iter_mut().find(|lane| lane.queue == *queue);
            if let Some(turns) = lane.and_then(|lane| lane.turns.as_mut()) {
                turns.from = from.clone();
            }
        }
        if answer.freed && self.others_idle {
            self.intendant.wake_elsewhere();
        }
    }
}
