//! Looking: what a worker looks for while it waits, and what it makes of what it has found.
//!
//! It looks at all its queues, and not only at those from which it could claim now. Of a queue that is kept at its limit or its
//! rate a suspect would never be seen otherwise: whenever something can begin there, the tick that takes the next ordinary task
//! is faster than a look.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::backing_off::BackingOff;
use super::engine::Engine;
use super::lane::LaneState;
use crate::error::Error;
use crate::store::{Lane, Look, Peek, QueueSeen};

impl Engine {
    pub(super) fn peek(&mut self) -> JoinHandle<Result<Peek, Error>> {
        let (now, store) = (self.now(), self.store().clone());
        let look = |lane: &mut LaneState| lane.look(&self.backing_off, now);
        let looks = self.lanes.iter_mut().map(look).collect();
        let (session, control) = (self.session, self.control);
        tokio::spawn(async move { store.peek(session, looks, control).await })
    }

    pub(super) fn peeked(&mut self, peeked: Result<Peek, Error>) {
        let peek = match peeked {
            Ok(peek) => peek,
            Err(error) => {
                tracing::warn!(%error, "looking for work");
                return;
            }
        };
        let now = self.now();
        if let Some(control) = &peek.control {
            self.hear_control(control);
        }
        for seen in &peek.queues {
            let mut lanes = self.lanes.iter_mut();
            if let Some(lane) = lanes.find(|lane| lane.queue == seen.queue) {
                lane.seen(seen, now);
            }
        }
        self.signals_due |= peek.signals;
        if peek.cancels {
            self.ask_to_stop();
        }
        self.next_due = peek.next_due.map(|due_in| now + due_in);
    }

    /// Since when there is a suspect that could begin now.
    pub(super) fn suspects_since(&self) -> Option<Duration> {
        self.lanes.iter().filter_map(LaneState::suspects).min()
    }

    /// Where a suspect could begin now, as far as it is known: first where a slot is to be had that others would get next.
    pub(super) fn lanes_for_suspects(&self) -> Vec<Lane> {
        let lanes = self.lanes.iter().filter(|lane| lane.takes_suspects());
        let mut lanes: Vec<&LaneState> = lanes.collect();
        lanes.sort_by_key(|lane| !lane.is_called());
        let claim = |lane: &LaneState| lane.claim(self.backing_off.others(&lane.kinds), 1);
        lanes.into_iter().map(claim).collect()
    }
}

impl LaneState {
    /// A suspect, or a task of a kind that is being tried, could begin here now, as far as it is known.
    pub(super) fn takes_suspects(&self) -> bool {
        !self.paused && self.has_slot()
    }

    /// Since when there is a suspect here, if it could begin now.
    fn suspects(&self) -> Option<Duration> {
        self.suspects_since.filter(|_| self.takes_suspects())
    }

    /// What to look for here.
    fn look(&mut self, backing_off: &BackingOff, now: Duration) -> Look {
        let (kinds, tried) = match self.paused {
            // Nothing is to be begun.
            true => ([].into(), Vec::new()),
            false => {
                let due = backing_off.due(self, now).into_iter();
                let tried = due.map(|probe| probe.kind).collect();
                (backing_off.others(&self.kinds), tried)
            }
        };
        // What has begun goes on where a queue is paused, and may wait for a slot or a permit.
        let waits = !self.paused || self.in_hand() > 0;
        let paced = self.paced.as_mut().filter(|_| waits);
        let permits = paced.is_some_and(|paced| paced.is_to_look(now));
        Look {
            queue: self.queue.clone(),
            kinds,
            tried,
            budget: permits || (waits && self.is_denied()),
        }
    }

    /// What a look has found here.
    pub(super) fn seen(&mut self, seen: &QueueSeen, now: Duration) {
        match self.is_denied() {
            true => {
                self.hint = seen.ready;
                if let Some(lent) = &mut self.lent
                    && seen.slot
                {
                    lent.ask_again();
                }
            }
            false => self.hint |= seen.ready,
        }
        if let Some((paced, next_in)) = self.paced.as_mut().zip(seen.permit_in) {
            paced.seen(next_in, now);
        }
        let since = self.suspects_since.or(self.suspects_asked);
        let is_there = seen.suspects && !self.paused;
        self.suspects_since = is_there.then(|| since.unwrap_or(now));
    }

    /// An ask for a suspect is on its way.
    pub(super) fn suspects_asked(&mut self) {
        self.suspects_asked = self.suspects_since.take();
    }

    /// It is answered. If there was no slot or permit, it has waited from when it was seen.
    pub(super) fn suspects_answered(&mut self) {
        let asked = self.suspects_asked.take();
        if !self.has_slot() {
            self.suspects_since = self.suspects_since.or(asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::id::TaskId;
    use crate::slots::SlotsHeld;
    use crate::worker::lane::{UseFor, Waiting};
    use crate::worker::lent::Lent;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lane() -> LaneState {
        LaneState::new(Arc::from("mail"), vec![Arc::from("mail.send")], 4)
    }

    fn seen(ready: bool, suspects: bool, slot: bool) -> QueueSeen {
        QueueSeen {
            queue: Arc::from("mail"),
            ready,
            suspects,
            slot,
            permit_in: None,
        }
    }

    /// It runs one step, by the one slot that it has, and has been denied another.
    fn at_its_limit() -> LaneState {
        let mut lane = lane();
        let mut lent = Lent::NEW;
        let has = SlotsHeld {
            queue: lane.queue.clone(),
            held: 1,
            usable: 1,
            denied: true,
            awaited: false,
        };
        lent.answered(&has, s(1));
        (lane.lent, lane.running) = (Some(lent), 1);
        lane
    }

    #[test]
    fn a_suspect_is_remembered_until_it_can_begin_and_has_waited_since_it_was_seen() {
        let mut lane = at_its_limit();
        lane.seen(&seen(true, true, false), s(2));
        lane.seen(&seen(true, true, false), s(3));
        assert_eq!((lane.suspects_since, lane.suspects()), (Some(s(2)), None));
        lane.seen(&seen(true, true, true), s(4));
        assert_eq!(lane.suspects(), Some(s(2)));
        assert!(lane.is_called());
        // Somebody else has had the slot.
        lane.suspects_asked();
        assert_eq!(lane.suspects_since, None);
        lane.lent = at_its_limit().lent;
        lane.suspects_answered();
        assert_eq!(lane.suspects_since, Some(s(2)));
        // A step of its own ends: the suspect goes before the next ordinary task.
        lane.running = 0;
        assert_eq!(lane.suspects(), Some(s(2)));
        lane.seen(&seen(true, false, false), s(5));
        assert_eq!(lane.suspects_since, None, "somebody else has it");
    }

    #[test]
    fn nothing_new_is_looked_for_in_a_paused_queue_but_slots_for_what_has_begun() {
        let mut lane = at_its_limit();
        let none = BackingOff::default();
        let look = |lane: &mut LaneState| {
            let look = lane.look(&none, s(2));
            (look.kinds.len(), look.budget)
        };
        assert_eq!(look(&mut lane), (1, true));
        lane.paused = true;
        assert_eq!(look(&mut lane), (0, true));
        let waiting = Waiting {
            task: TaskId(Uuid::nil()),
            step: 0,
            since: s(1),
        };
        lane.waiting.push_back(waiting);
        lane.seen(&seen(false, false, true), s(3));
        let ask = lane.slot_ask(UseFor::InHand, s(3)).unwrap();
        assert_eq!((ask.in_hand, ask.wanted), (2, 2));
        (lane.running, lane.waiting) = (0, VecDeque::new());
        assert_eq!(look(&mut lane), (0, false), "nothing has begun");
    }

    #[test]
    fn only_a_queue_in_which_there_is_something_is_claimed_from() {
        let (mut one, mut other) = (lane(), lane());
        (one.hint, other.hint) = (false, false);
        one.seen(&seen(true, false, false), s(1));
        assert!(one.suspects().is_none() && one.hint);
        other.seen(&seen(false, false, false), s(1));
        assert!(other.suspects().is_none() && !other.hint);
        other.seen(&seen(false, true, false), s(1));
        assert!(other.suspects().is_some() && !other.hint);
    }
}
