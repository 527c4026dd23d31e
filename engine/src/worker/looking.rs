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
use crate::limits;
use crate::store::{Lane, Look, Peek, QueueSeen};

impl<S: Send + Sync + 'static> Engine<S> {
    pub(super) fn peek(&self) -> JoinHandle<Result<Peek, Error>> {
        let (now, store) = (self.now(), self.store().clone());
        let look = |lane: &LaneState| lane.look(&self.backing_off, now);
        let looks = self.lanes.iter().map(look).collect();
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
        let mut suspects = false;
        for seen in &peek.queues {
            let mut lanes = self.lanes.iter_mut();
            if let Some(lane) = lanes.find(|lane| lane.queue == seen.queue) {
                suspects |= lane.seen(seen, now);
            }
        }
        self.suspects_since = match suspects {
            true => self.suspects_since.or(Some(now)),
            false => None,
        };
        self.signals_due |= peek.signals;
        if peek.cancels {
            self.ask_to_stop();
        }
        self.next_due = peek.next_due.map(|due_in| now + due_in);
    }

    /// Where a suspect could begin now, as far as it is known: first where a slot is to be had that others would get next.
    pub(super) fn lanes_for_suspects(&self) -> Vec<Lane> {
        let open = |lane: &&LaneState| !lane.paused && lane.has_slot();
        let mut lanes: Vec<&LaneState> = self.lanes.iter().filter(open).collect();
        lanes.sort_by_key(|lane| !lane.is_called());
        let claim = |lane: &LaneState| lane.claim(self.backing_off.others(&lane.kinds), 1);
        lanes.into_iter().map(claim).collect()
    }
}

impl LaneState {
    /// What to look for here.
    fn look(&self, backing_off: &BackingOff, now: Duration) -> Look {
        let (kinds, tried) = match self.paused {
            // Nothing is to be begun.
            true => ([].into(), Vec::new()),
            false => {
                let due = backing_off.due(self, now).into_iter();
                let tried = due.flat_map(|probe| probe.lane.kinds.to_vec()).collect();
                (backing_off.others(&self.kinds), tried)
            }
        };
        let far = |until: Duration| until > now + limits::PERMIT_LOOK;
        let paced = self.paced.as_ref().and_then(|paced| paced.wait_until());
        // What has begun goes on where a queue is paused, and may wait for a slot or a permit.
        let budget = !self.paused || self.in_hand() > 0;
        Look {
            queue: self.queue.clone(),
            kinds,
            tried,
            budget: budget && (self.is_denied() || paced.is_some_and(far)),
        }
    }

    /// What a look has found here. Returns whether there is a suspect that could begin now.
    pub(super) fn seen(&mut self, seen: &QueueSeen, now: Duration) -> bool {
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
        let is_there = seen.suspects && !self.paused;
        let could_begin = is_there && self.has_slot();
        self.suspects_since = match is_there && !could_begin {
            true => self.suspects_since.or(Some(now)),
            false => None,
        };
        could_begin
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
    fn a_suspect_is_seen_where_nothing_can_begin_and_remembered_until_something_can() {
        let mut lane = at_its_limit();
        assert!(!lane.seen(&seen(true, true, false), s(2)));
        assert!(!lane.seen(&seen(true, true, false), s(3)));
        assert_eq!(lane.suspects_since, Some(s(2)));
        assert!(!lane.seen(&seen(true, false, false), s(4)));
        assert_eq!(lane.suspects_since, None, "somebody else has it");
        assert!(lane.seen(&seen(true, true, true), s(5)));
        assert!(lane.is_called() && lane.suspects_since.is_none());
    }

    #[test]
    fn nothing_new_is_looked_for_in_a_paused_queue_but_slots_for_what_has_begun() {
        let mut lane = at_its_limit();
        let none = BackingOff::default();
        let look = |lane: &LaneState| {
            let look = lane.look(&none, s(2));
            (look.kinds.len(), look.budget)
        };
        assert_eq!(look(&lane), (1, true));
        lane.paused = true;
        assert_eq!(look(&lane), (0, true));
        let waiting = Waiting {
            task: TaskId(Uuid::nil()),
            step: 0,
            since: s(1),
        };
        lane.waiting.push_back(waiting);
        assert!(!lane.seen(&seen(false, false, true), s(3)));
        let ask = lane.slot_ask(UseFor::InHand, s(3)).unwrap();
        assert_eq!((ask.in_hand, ask.wanted), (2, 2));
        (lane.running, lane.waiting) = (0, VecDeque::new());
        assert_eq!(look(&lane), (0, false), "nothing has begun");
    }

    #[test]
    fn only_a_queue_in_which_there_is_something_is_claimed_from() {
        let (mut one, mut other) = (lane(), lane());
        (one.hint, other.hint) = (false, false);
        assert!(!one.seen(&seen(true, false, false), s(1)) && one.hint);
        assert!(!other.seen(&seen(false, false, false), s(1)) && !other.hint);
        assert!(other.seen(&seen(false, true, false), s(1)) && !other.hint);
    }
}
