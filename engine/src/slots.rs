//! Slots: how many of a limited queue's steps a session may run, decided from the queue's rows. Pure functions.
//!
//! A queue with a limit lends slots. A session takes as many as it has use for, keeps them while it has, and gives them back
//! when it has not; they go back with the session when it ends. So what runs is bounded by rows that are changed under a lock,
//! and a session that has the slots that it needs pays nothing.
//!
//! Who gets fewer than it has use for is *hungry*, and its row says since when. What is free goes to the hungry in that order,
//! as far as each has less than an equal share; and who has more than that gives slots up for them as its steps end. Where
//! there are more sessions than slots, an equal share is less than one: then each has its turn. So a worker with an endless
//! backlog of one kind starves nobody who alone knows another one.

use std::sync::Arc;

use crate::clock::Micros;
use crate::id::SessionId;

/// What a session asks of a limited queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotAsk {
    pub(crate) queue: Arc<str>,
    /// Steps of it that run here, whatever it may lend: a limit that is set later stops nothing.
    pub(crate) running: usize,
    /// Steps of it in hand, running ones among them.
    pub(crate) in_hand: usize,
    /// How many slots there is use for.
    pub(crate) wanted: usize,
}

/// What a session has of a limited queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotsHeld {
    pub(crate) queue: Arc<str>,
    pub(crate) held: usize,
    /// How many of these it may go on to use: it has the others only for what runs already.
    pub(crate) usable: usize,
    /// It had use for more than there were.
    pub(crate) denied: bool,
    /// Others may wait for what it has given back.
    pub(crate) awaited: bool,
}

/// One session's part in a limited queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) session: SessionId,
    pub(crate) held: i64,
    /// Since when it waits for more than it has.
    pub(crate) hungry_at: Option<Micros>,
}

/// A limited queue, and who has how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How many it may lend; none: it has no limit any more.
    pub(crate) limit: Option<i64>,
    /// How many it has lent, to everybody.
    pub(crate) lent: i64,
    pub(crate) own: Holder,
    /// Those of the other sessions that have slots or are hungry.
    pub(crate) others: Vec<Holder>,
}

impl Budget {
    /// What everybody has if all have the same; zero if there are fewer slots than sessions.
    fn share(&self) -> i64 {
        let users = i64::try_from(self.others.len() + 1).unwrap_or(i64::MAX);
        self.limit.unwrap_or_default() / users
    }

    /// Waits, and has less than its share.
    fn is_poor(&self, holder: &Holder) -> bool {
        holder.hungry_at.is_some() && holder.held < self.share().max(1)
    }

    /// What is free and not for somebody who has waited for longer.
    pub(crate) fn to_be_had(&self) -> i64 {
        let Some(limit) = self.limit else {
            return i64::MAX;
        };
        let own = self.is_poor(&self.own).then_some(&self.own);
        let before = |other: &Holder| {
            own.is_none_or(|own| {
                (other.hungry_at, other.session.0) < (own.hungry_at, own.session.0)
            })
        };
        let poor = self.others.iter().filter(|other| self.is_poor(other));
        let kept = poor.filter(|other| before(other)).count();
        (limit - self.lent).saturating_sub(count(kept)).max(0)
    }

    /// Since when the last of the others waits.
    pub(crate) fn last_in_line(&self) -> Option<Micros> {
        self.others.iter().filter_map(|other| other.hungry_at).max()
    }

    /// How many slots the session is to give up for others who have less.
    fn to_give_up(&self, limit: i64) -> i64 {
        let poor = self.others.iter().filter(|other| self.is_poor(other));
        let missing = count(poor.count()) - (limit - self.lent);
        let surplus = self.own.held - self.share();
        surplus.min(missing).max(0)
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How many slots the session may use from now on. It has more as long as more run.
pub(crate) fn grant(budget: &Budget, ask: &SlotAsk) -> i64 {
    let Some(limit) = budget.limit else {
        return 0;
    };
    let held = budget.own.held;
    // With a limit that was lowered, what is too much is not used again when it ends. Others do the same, so all may come to
    // less than the limit together: then there is something to be had again.
    let most = if budget.lent > limit {
        (held - (budget.lent - limit)).max(0)
    } else {
        held - budget.to_give_up(limit) + budget.to_be_had()
    };
    count(ask.wanted).min(most)
}

/// Whether a session waits, as its row says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hunger {
    /// It has what it needs.
    No,
    /// It keeps its place among those who wait, or takes one if it has none.
    Waits,
    /// It has had something, or has given something up: others come first now.
    Anew,
}

/// What comes of an ask after the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) held: i64,
    pub(crate) usable: i64,
    pub(crate) hunger: Hunger,
    pub(crate) awaited: bool,
}

/// Who has asked in order to claim keeps slots for what was there, `took` tasks, and leaves the others: a look into an empty
/// queue takes none from others.
pub(crate) fn settled(budget: &Budget, granted: i64, ask: &SlotAsk, took: usize) -> Settled {
    let Some(limit) = budget.limit else {
        return Settled {
            held: 0,
            usable: 0,
            hunger: Hunger::No,
            awaited: false,
        };
    };
    let used = count(ask.in_hand.saturating_add(took)).min(count(ask.wanted));
    let usable = granted.min(used);
    // A limit that came later, or fell, stops nothing.
    let held = usable.max(count(ask.running));
    let before = budget.own.held;
    // All that there was room for was used, and there is use for more.
    let is_hungry = count(ask.wanted) > held && granted <= used;
    let hunger = match is_hungry {
        false => Hunger::No,
        true if held > before || granted < before => Hunger::Anew,
        true => Hunger::Waits,
    };
    let leaves = held < before || (budget.own.hungry_at.is_some() && !is_hungry);
    let waits = |other: &Holder| other.hungry_at.is_some();
    Settled {
        held,
        usable,
        hunger,
        awaited: leaves && (budget.lent >= limit || budget.others.iter().any(waits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn ask(running: usize, wanted: usize) -> SlotAsk {
        SlotAsk {
            queue: Arc::from("mail"),
            running,
            in_hand: running,
            wanted,
        }
    }

    fn holder(session: u128, held: i64, hungry_at: Option<i64>) -> Holder {
        Holder {
            session: SessionId(Uuid::from_u128(session)),
            held,
            hungry_at: hungry_at.map(Micros),
        }
    }

    fn budget(limit: i64, lent: i64, held: i64) -> Budget {
        Budget {
            limit: Some(limit),
            lent,
            own: holder(1, held, None),
            others: vec![],
        }
    }

    fn beside(mut budget: Budget, others: &[(i64, Option<i64>)]) -> Budget {
        let others = others.iter().zip(2..);
        budget.others = others
            .map(|((held, hungry_at), session)| holder(session, *held, *hungry_at))
            .collect();
        budget
    }

    #[test]
    fn a_session_gets_what_is_free_and_gives_back_what_it_does_not_want() {
        assert_eq!(grant(&budget(5, 0, 0), &ask(0, 64)), 5);
        assert_eq!(grant(&budget(5, 3, 0), &ask(0, 64)), 2);
        assert_eq!(grant(&budget(5, 5, 0), &ask(0, 64)), 0);
        assert_eq!(grant(&budget(5, 5, 3), &ask(3, 64)), 3);
        assert_eq!(grant(&budget(5, 5, 3), &ask(1, 1)), 1);
        assert_eq!(grant(&budget(5, 5, 3), &ask(0, 0)), 0);
    }

    #[test]
    fn what_runs_has_a_slot_even_where_the_limit_came_later_and_is_not_followed_by_anything() {
        let has = |budget: Budget, ask: &SlotAsk| {
            let settled = settled(&budget, grant(&budget, ask), ask, 0);
            (settled.held, settled.usable)
        };
        assert_eq!(has(budget(2, 0, 0), &ask(4, 64)), (4, 2));
        // It goes down as steps end: nothing new begins before it is below.
        assert_eq!(has(budget(2, 4, 4), &ask(3, 64)), (3, 2));
        assert_eq!(has(budget(2, 3, 3), &ask(2, 64)), (2, 2));
        assert_eq!(has(budget(2, 2, 2), &ask(2, 64)), (2, 2));
        // With others who have more than their part of it, too.
        assert_eq!(has(budget(8, 64, 60), &ask(60, 64)), (60, 4));
        assert_eq!(has(budget(8, 64, 4), &ask(3, 64)), (3, 0));
        let unlimited = Budget {
            limit: None,
            ..budget(1, 0, 0)
        };
        assert_eq!(has(unlimited, &ask(4, 64)), (0, 0));
    }

    #[test]
    fn what_is_free_is_for_who_has_waited_longest() {
        let first = beside(budget(2, 1, 0), &[(1, None), (0, Some(7))]);
        assert_eq!(grant(&first, &ask(0, 64)), 0, "it has not waited at all");
        let waits = |at| Budget {
            own: holder(1, 0, Some(at)),
            ..first.clone()
        };
        assert_eq!(grant(&waits(8), &ask(0, 64)), 0);
        assert_eq!(grant(&waits(6), &ask(0, 64)), 1);
        // Who has its share waits for others to leave, and keeps nobody.
        let share = beside(budget(4, 2, 0), &[(2, Some(1))]);
        assert_eq!(grant(&share, &ask(0, 64)), 2);
    }

    #[test]
    fn who_has_more_than_its_share_gives_up_for_who_has_less() {
        let give = |budget: Budget, others: &[(i64, Option<i64>)]| {
            grant(&beside(budget, others), &ask(0, 64))
        };
        assert_eq!(give(budget(4, 4, 4), &[(0, Some(1))]), 3);
        assert_eq!(give(budget(4, 4, 3), &[(1, Some(1))]), 2);
        assert_eq!(give(budget(4, 4, 2), &[(2, Some(1))]), 2);
        assert_eq!(
            give(budget(4, 3, 3), &[(0, Some(1))]),
            3,
            "there is one for it"
        );
        assert_eq!(give(budget(4, 4, 4), &[(0, None)]), 4, "it wants none");
        // More sessions than slots: each in turn.
        assert_eq!(give(budget(1, 1, 1), &[(0, Some(1))]), 0);
        let settled = |budget: Budget, ask: &SlotAsk| settled(&budget, grant(&budget, ask), ask, 0);
        let gave = settled(beside(budget(1, 1, 1), &[(0, Some(1))]), &ask(0, 64));
        assert_eq!(
            (gave.held, gave.hunger, gave.awaited),
            (0, Hunger::Anew, true)
        );
    }

    #[test]
    fn slots_are_kept_for_what_was_there_and_not_for_what_was_not() {
        let settled = |budget: Budget, ask: &SlotAsk, took| {
            let settled = settled(&budget, grant(&budget, ask), ask, took);
            (settled.held, settled.hunger)
        };
        // Five of them were to be had, and two tasks.
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 64), 2), (2, Hunger::No));
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 64), 0), (0, Hunger::No));
        // More tasks than slots, perhaps.
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 64), 5), (5, Hunger::Anew));
        assert_eq!(settled(budget(5, 5, 0), &ask(0, 64), 0), (0, Hunger::Waits));
        // More slots than steps that may run here.
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 4), 4), (4, Hunger::No));
        assert_eq!(settled(budget(5, 4, 4), &ask(4, 4), 0), (4, Hunger::No));
        // Given back, for others if all were lent.
        assert_eq!(settled(budget(5, 5, 3), &ask(1, 1), 0), (1, Hunger::No));
        let gives = |lent| super::settled(&budget(5, lent, 3), 1, &ask(1, 1), 0).awaited;
        assert!(gives(5) && !gives(4));
    }

    proptest! {
        /// Whoever asks, in whatever order: no more are lent than the limit, or than what runs where that is more.
        #[test]
        fn no_more_is_lent_than_there_is(
            limit in 1i64..10,
            asks in prop::collection::vec((0usize..4, 0usize..5, 0usize..20), 1..60),
        ) {
            let mut rows = [1, 2, 3, 4].map(|session| holder(session, 0, None));
            for ((who, runs, more), at) in asks.into_iter().zip(0..) {
                // It runs no more than it has slots.
                let running = runs.min(usize::try_from(rows[who].held).unwrap());
                let budget = Budget {
                    limit: Some(limit),
                    lent: rows.iter().map(|row| row.held).sum(),
                    own: rows[who],
                    others: rows.iter().filter(|row| row.session != rows[who].session).copied().collect(),
                };
                let ask = ask(running, running + more);
                let settled = settled(&budget, grant(&budget, &ask), &ask, 20);
                rows[who].held = settled.held;
                rows[who].hungry_at = (settled.hunger != Hunger::No).then_some(Micros(at));
                prop_assert!(rows.iter().map(|row| row.held).sum::<i64>() <= limit, "{rows:?}");
                prop_assert!(usize::try_from(rows[who].held).unwrap() >= running);
            }
        }
    }
}
