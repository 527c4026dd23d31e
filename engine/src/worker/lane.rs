//! Lanes: what a queue's workers have in hand, and how much more they shall claim.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::lent::Lent;
use super::paced::Paced;
use super::partitions::Turning;
use crate::id::TaskId;
use crate::limits;
use crate::slots::SlotAsk;

/// A step that may start as soon as there is a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) task: TaskId,
    pub(super) step: usize,
    pub(super) since: Duration,
}

/// What slots of a limited queue would be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UseFor {
    /// What is in hand, and no more.
    InHand,
    /// There may be more in *ready*.
    More,
    /// There may, and it is taken in any case that one of it is a suspect.
    Suspect,
}

/// One queue, as this worker serves it.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) queue: Arc<str>,
    pub(super) kinds: Arc<[Arc<str>]>,
    pub(super) concurrency: usize,
    /// Steps that are running.
    pub(super) running: usize,
    /// Tasks that have been claimed and are about to be taken in hand.
    pub(super) arriving: usize,
    /// Steps that wait for a slot, oldest first.
    pub(super) waiting: VecDeque<Waiting>,
    /// There may be tasks in *ready*.
    pub(super) hint: bool,
    /// A suspect, or a task of a kind that is being tried, was seen here: since when.
    pub(super) suspects_since: Option<Duration>,
    /// The same, while an ask for it is on its way.
    pub(super) suspects_asked: Option<Duration>,
    /// People have said that nothing is to be begun.
    pub(super) paused: bool,
    /// The queue has a limit on how many of its steps run at once, everywhere: what this worker has of that.
    pub(super) lent: Option<Lent>,
    /// Its tasks take turns: how.
    pub(super) turns: Option<Turning>,
    /// The queue has a rate at which its steps may begin, everywhere: what this worker may begin by that.
    pub(super) paced: Option<Paced>,
    /// Steps ended since the start of the present window, and in the one before.
    ended_now: usize,
    ended_before: usize,
    window: Duration,
    /// Size of the inputs that were claimed of late.
    input_bytes: usize,
    /// No hoarding before this time: something was handed back for others.
    pub(super) modest_until: Duration,
}

/// Length of the window over which the pace is taken: what is claimed ahead is what this long will use up.
const WINDOW: Duration = Duration::from_millis(100);

impl LaneState {
    pub(super) fn new(queue: Arc<str>, kinds: Vec<Arc<str>>, concurrency: usize) -> Self {
        Self {
            queue,
            kinds: kinds.into(),
            concurrency,
            running: 0,
            arriving: 0,
            waiting: VecDeque::new(),
            hint: true,
            suspects_since: None,
            suspects_asked: None,
            paused: false,
            lent: None,
            turns: None,
            paced: None,
            ended_now: 0,
            ended_before: 0,
            window: Duration::ZERO,
            input_bytes: 0,
            modest_until: Duration::ZERO,
        }
    }

    /// Kind and queue of all that it claims.
    pub(super) fn served(&self) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
        let kinds = self.kinds.iter();
        kinds.map(|kind| (kind.clone(), self.queue.clone()))
    }

    /// A step has ended: the pace of the lane.
    pub(super) fn ended(&mut self, now: Duration) {
        self.turn(now);
        self.running = self.running.saturating_sub(1);
        self.ended_now += 1;
    }

    /// How many steps may run here.
    pub(super) fn slots(&self, now: Duration) -> usize {
        let lent = self.lent.map_or(usize::MAX, |lent| lent.may_run(now));
        self.concurrency.min(lent)
    }

    /// Steps in hand, running or not.
    pub(super) fn in_hand(&self) -> usize {
        self.running + self.arriving + self.waiting.len()
    }

    /// There may be something to claim, and it could begin.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        self.hint && self.may_claim(now)
    }

    /// What is claimed could begin, as far as there are slots.
    pub(super) fn may_claim(&self, now: Duration) -> bool {
        !self.paused && !self.is_paced_out() && self.full_until(now).is_none()
    }

    /// It has a limit, and has lent this worker fewer slots than it has use for.
    pub(super) fn is_denied(&self) -> bool {
        self.lent.is_some_and(|lent| lent.is_denied())
    }

    /// A look has found that there is a slot for it, which others get next if it does not take it now.
    pub(super) fn is_called(&self) -> bool {
        self.lent.is_some_and(|lent| lent.is_called())
    }

    /// One more task could be begun with, if it were claimed, as far as is known.
    pub(super) fn has_slot(&self) -> bool {
        let free = |lent: Lent| {
            self.in_hand() < self.concurrency
                && (!lent.is_denied() || lent.usable() > self.in_hand())
        };
        self.lent.is_none_or(free) && !self.is_paced_out()
    }

    /// What to ask of a limited queue, if anything: slots for what is in hand, and, if there may be more to claim, as many as
    /// can be used.
    pub(super) fn slot_ask(&mut self, use_for: UseFor, now: Duration) -> Option<SlotAsk> {
        let (running, in_hand) = (self.running, self.in_hand());
        // Where it stands in line for a suspect it stays there.
        let suspect = usize::from(self.is_denied() && self.suspects_since.is_some());
        let wanted = match use_for {
            UseFor::InHand => (in_hand + suspect).min(self.concurrency),
            UseFor::More | UseFor::Suspect => self.concurrency,
        };
        let lent = self.lent.as_mut()?;
        // A suspect is taken within a slot that the same tick finds free.
        if use_for != UseFor::Suspect && !lent.is_to_ask(running, wanted, now) {
            return None;
        }
        lent.asked(running);
        Some(SlotAsk {
            queue: self.queue.clone(),
            running,
            in_hand,
            wanted,
        })
    }

    /// Steps that could start at once.
    pub(super) fn free(&self) -> usize {
        self.concurrency.saturating_sub(self.in_hand())
    }

    /// A task was claimed whose input has this size.
    pub(super) fn claimed(&mut self, bytes: usize) {
        // A sixteenth of the way to each: soon where the present inputs are, not thrown by a single large one.
        self.input_bytes = (self.input_bytes * 15 + bytes) / 16;
        self.arriving += 1;
    }

    /// How many tasks to claim: free slots, and a little ahead while steps are short; no more than inputs of the size
    /// seen of late fit into `bytes`.
    pub(super) fn room(&mut self, now: Duration, bytes: usize) -> usize {
        self.turn(now);
        // Nothing ahead of a queue with a rate: a permit is for what begins at once.
        let pace = if now < self.modest_until || self.paced.is_some() {
            0
        } else {
            self.ended_before.max(self.ended_now)
        };
        let (most, ahead) = match self.lent {
            None => (self.concurrency, pace.min(self.concurrency)),
            // Slots are for steps that run. How many there are is found out by the tick that claims, unless it was just now.
            Some(lent) if lent.is_denied() => (self.concurrency.min(lent.usable()), 0),
            Some(_) => (self.concurrency, 0),
        };
        // What is in hand is counted, and others may run it at once.
        let ahead = if self.limits_partitions() { 0 } else { ahead };
        (most + ahead)
            .saturating_sub(self.in_hand())
            .min(limits::CLAIM)
            .min(1 + bytes / self.input_bytes.max(1))
    }

    fn turn(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.window);
        if passed >= WINDOW {
            self.ended_before = if passed < WINDOW * 2 {
                self.ended_now
            } else {
                0
            };
            self.ended_now = 0;
            self.window = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: usize = limits::PREFETCH_BYTES;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_worker_claims_ahead_what_a_tenth_of_a_second_uses_up_and_no_more_than_its_slots() {
        let mut lane = LaneState::new(Arc::from("default"), vec![], 4);
        assert_eq!(lane.room(ms(0), MUCH), 4);
        for _ in 0..3 {
            lane.running += 1;
            lane.ended(ms(10));
        }
        assert_eq!(lane.room(ms(20), MUCH), 7);
        for _ in 0..100 {
            lane.running += 1;
            lane.ended(ms(30));
        }
        assert_eq!(lane.room(ms(40), MUCH), 8);
    }

    #[test]
    fn large_inputs_leave_room_for_few() {
        let mut lane = LaneState::new(Arc::from("default"), vec![], 512);
        (0..100).for_each(|_| lane.claimed(1024 * 1024));
        lane.arriving = 0;
        let room = lane.room(ms(0), MUCH);
        assert!((16..=18).contains(&room), "{room}");
        (0..100).for_each(|_| lane.claimed(100));
        lane.arriving = 0;
        assert_eq!(lane.room(ms(0), MUCH), 512);
    }

    #[test]
    fn with_long_steps_nothing_is_claimed_ahead() {
        let mut lane = LaneState::new(Arc::from("default"), vec![], 4);
        lane.running = 1;
        lane.ended(ms(0));
        lane.running = 4;
        assert_eq!(lane.room(ms(1_000), MUCH), 0);
    }
}
