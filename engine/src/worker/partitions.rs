//! Partitions: queues whose tasks are told apart and take turns, as this worker serves them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::lane::LaneState;
use crate::limits;
use crate::store::{Lane, Partitioned, TickAnswer, TickRequest, Turns};

/// How the tasks of a queue take turns, as far as this worker knows, and whose turn it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turning {
    pub(super) how: Partitioned,
    pub(super) from: Arc<str>,
    /// No claim before this time: none of its partitions could give anything.
    pub(super) full_until: Duration,
}

impl Engine {
    /// What is let go of makes room in a partition that may be full: there may be something to claim again. Returns of which
    /// queues that is; of what is not in hand any more, of all.
    pub(super) fn lets_go(&mut self, request: &TickRequest) -> HashSet<Arc<str>> {
        let mut queues = HashSet::new();
        if !self.lanes.iter().any(|lane| lane.limits_partitions()) {
            return queues;
        }
        for task in request.leaves() {
            match self.drives.get(&task) {
                Some(drive) => queues.extend([drive.queue.clone()]),
                None => queues.extend(self.lanes.iter().map(|lane| lane.queue.clone())),
            }
        }
        for lane in &mut self.lanes {
            if queues.contains(&lane.queue) {
                lane.let_go();
            }
        }
        queues
    }

    /// Says of which queues something is counted by partition: where the tick takes tasks in hand, or has `left` some.
    pub(super) fn name_partitioned(&self, request: &mut TickRequest, left: HashSet<Arc<str>>) {
        let mut queues = left;
        let probed = request.probes.iter().map(|probe| &probe.lane);
        let claimed = request.claim.iter().chain(probed);
        queues.extend(claimed.map(|lane| lane.queue.clone()));
        let limited = self.lanes.iter().filter(|lane| lane.limits_partitions());
        let named = limited.filter(|lane| queues.contains(&lane.queue));
        request.partitioned = named.map(|lane| lane.queue.clone()).collect();
    }

    /// When a queue is to be asked again that may have something, of whose partitions none could give anything.
    pub(super) fn next_turn(&self) -> Option<Duration> {
        let now = self.now();
        let waits = self.lanes.iter().filter(|lane| lane.hint && !lane.paused);
        waits.filter_map(|lane| lane.full_until(now)).min()
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

impl LaneState {
    /// A claim of so many of these kinds of it.
    pub(super) fn claim(&self, kinds: Arc<[Arc<str>]>, room: usize) -> Lane {
        let turns = self.turns.as_ref().map(|turns| Turns {
            from: turns.from.clone(),
            files: turns.how.files,
            limit: None,
        });
        Lane {
            queue: self.queue.clone(),
            kinds,
            room,
            turns,
        }
    }

    /// People have said how its tasks take turns.
    pub(super) fn turned(&mut self, how: Option<Partitioned>) {
        if self.turns.as_ref().map(|turns| turns.how) == how {
            return;
        }
        let from = self.turns.take().map(|turns| turns.from);
        self.turns = how.map(|how| Turning {
            how,
            from: from.unwrap_or_default(),
            full_until: Duration::ZERO,
        });
        self.hint = true;
    }

    /// A claim of it has brought nothing, although there may be something.
    pub(super) fn gave_nothing(&mut self, now: Duration) {
        if let Some(turns) = &mut self.turns
            && turns.how.limited
        {
            turns.full_until = now + limits::PARTITIONS_FULL;
        }
    }

    /// Something of it was let go of, so there may be room in a partition that was full.
    pub(super) fn let_go(&mut self) {
        if let Some(turns) = &mut self.turns
            && turns.how.limited
        {
            turns.full_until = Duration::ZERO;
            self.hint = true;
        }
    }

    /// Until when it is left alone, if that is later: none of its partitions could give anything.
    pub(super) fn full_until(&self, now: Duration) -> Option<Duration> {
        let until = self.turns.as_ref()?.full_until;
        Some(until).filter(|until| now < *until)
    }

    /// Each of its partitions has a limit.
    pub(super) fn limits_partitions(&self) -> bool {
        self.turns.as_ref().is_some_and(|turns| turns.how.limited)
    }
}
