//! Slots: how many of a limited queue's steps a session may run, decided from the queue's row. A pure function.
//!
//! A queue with a limit lends slots. A session takes as many as it has use for, keeps them while it has, and gives them back
//! when it has not; they go back with the session when it ends. So what runs is bounded by rows that are changed under a lock,
//! and nothing is ever counted; a session that has the slots that it needs pays nothing.

use std::sync::Arc;

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
    /// It had use for more than there were.
    pub(crate) denied: bool,
    /// Others may wait for what it has given back.
    pub(crate) awaited: bool,
}

/// A limited queue, and what a session has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How many it may lend; none: it has no limit any more.
    pub(crate) limit: Option<i64>,
    /// How many it has lent, to everybody.
    pub(crate) lent: i64,
    /// How many of these the session has.
    pub(crate) held: i64,
}

/// How many slots the session has afterwards.
pub(crate) fn grant(budget: Budget, ask: &SlotAsk) -> i64 {
    let Some(limit) = budget.limit else {
        return 0;
    };
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (wanted, running) = (count(ask.wanted), count(ask.running));
    let free = (limit - budget.lent).max(0);
    // More than there are, and it keeps what it has beside what is free; with a limit that was lowered, no more than it uses.
    let most = if budget.lent > limit {
        running.min(budget.held)
    } else {
        budget.held + free
    };
    wanted.min(most).max(running)
}

/// What comes of an ask after the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) held: i64,
    pub(crate) denied: bool,
    pub(crate) awaited: bool,
}

/// Who has asked in order to claim keeps slots for what was there, `took` tasks, and leaves the others: a look into an empty
/// queue takes none from others.
pub(crate) fn settled(budget: Budget, granted: i64, ask: &SlotAsk, took: usize) -> Settled {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let used = count(ask.in_hand.saturating_add(took)).min(count(ask.wanted));
    let held = granted.min(used).max(count(ask.running));
    let held = if budget.limit.is_some() { held } else { 0 };
    Settled {
        held,
        // All that there was room for was used, and there is use for more.
        denied: granted < count(ask.wanted) && granted <= used,
        awaited: budget.limit.is_some_and(|limit| budget.lent >= limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(running: usize, wanted: usize) -> SlotAsk {
        SlotAsk {
            queue: Arc::from("mail"),
            running,
            in_hand: running,
            wanted,
        }
    }

    fn budget(limit: i64, lent: i64, held: i64) -> Budget {
        Budget {
            limit: Some(limit),
            lent,
            held,
        }
    }

    #[test]
    fn a_session_gets_what_is_free_and_gives_back_what_it_does_not_want() {
        assert_eq!(grant(budget(5, 0, 0), &ask(0, 64)), 5);
        assert_eq!(grant(budget(5, 3, 0), &ask(0, 64)), 2);
        assert_eq!(grant(budget(5, 5, 0), &ask(0, 64)), 0);
        assert_eq!(grant(budget(5, 5, 3), &ask(3, 64)), 3);
        assert_eq!(grant(budget(5, 5, 3), &ask(1, 1)), 1);
        assert_eq!(grant(budget(5, 5, 3), &ask(0, 0)), 0);
    }

    #[test]
    fn what_runs_has_a_slot_even_where_the_limit_came_later() {
        assert_eq!(grant(budget(2, 0, 0), &ask(4, 64)), 4);
        // It goes down as steps end: nothing new begins before it is below.
        assert_eq!(grant(budget(2, 4, 4), &ask(3, 64)), 3);
        assert_eq!(grant(budget(2, 2, 2), &ask(2, 64)), 2);
        assert_eq!(
            grant(
                Budget {
                    limit: None,
                    lent: 0,
                    held: 0
                },
                &ask(4, 64)
            ),
            0
        );
    }

    #[test]
    fn slots_are_kept_for_what_was_there_and_not_for_what_was_not() {
        let settled = |budget: Budget, ask: &SlotAsk, took| {
            let settled = settled(budget, grant(budget, ask), ask, took);
            (settled.held, settled.denied)
        };
        // Five of them were to be had, and two tasks.
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 64), 2), (2, false));
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 64), 0), (0, false));
        // More tasks than slots, perhaps.
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 64), 5), (5, true));
        assert_eq!(settled(budget(5, 5, 0), &ask(0, 64), 0), (0, true));
        // More slots than steps that may run here.
        assert_eq!(settled(budget(5, 0, 0), &ask(0, 4), 4), (4, false));
        assert_eq!(settled(budget(5, 4, 4), &ask(4, 4), 0), (4, false));
        // Given back, for others if all were lent.
        assert_eq!(settled(budget(5, 5, 3), &ask(1, 1), 0), (1, false));
        let gives = |lent| super::settled(budget(5, lent, 3), 1, &ask(1, 1), 0).awaited;
        assert!(gives(5) && !gives(4));
    }

    proptest! {
        /// Whoever asks, in whatever order: no more are lent than the limit, or than what runs where that is more.
        #[test]
        fn no_more_is_lent_than_there_is(
            limit in 1i64..10,
            asks in prop::collection::vec((0usize..4, 0usize..5, 0usize..20), 1..60),
        ) {
            let mut held = [0i64; 4];
            let mut running = [0usize; 4];
            for (who, runs, more) in asks {
                // It runs no more than it has slots.
                running[who] = runs.min(usize::try_from(held[who]).unwrap());
                let lent: i64 = held.iter().sum();
                held[who] = grant(budget(limit, lent, held[who]), &ask(running[who], running[who] + more));
                prop_assert!(held.iter().sum::<i64>() <= limit, "{held:?}");
                prop_assert!(usize::try_from(held[who]).unwrap() >= running[who]);
            }
        }
    }
}
