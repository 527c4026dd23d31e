//! What a worker has seen, by the database's clock.
//!
//! When a step began and when an attempt ended is seen here and told by rows, whose times are the database's. A transaction says
//! what time it is there, and that was between two moments here: before its BEGIN was sent, after it was answered. How far apart
//! these two are changes from one transaction to the next, by milliseconds under load. To take one of them for the moment would
//! put what two ticks tell into the wrong order; so what earlier transactions have shown is kept, and each narrows it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::clock::{Micros, from_micros, micros};

/// Between which moments of this process a transaction's time was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    pub(super) asked: Instant,
    pub(super) answered: Instant,
}

/// The database's clock beside this process's.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    /// From where this process counts.
    since: Instant,
    /// By how many microseconds the other clock is ahead of this count.
    ahead: Arc<Mutex<Option<i64>>>,
}

impl Moments {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            since,
            ahead: Arc::default(),
        }
    }

    /// What this process's clock said when the database's said `now`.
    pub(super) fn instant(&self, now: Micros, began: Began) -> Instant {
        let here = |at: Instant| micros(at.saturating_duration_since(self.since));
        let mut known = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = ahead(*known, now, (here(began.asked), here(began.answered)));
        *known = Some(ahead);
        self.since + from_micros(now.0.saturating_sub(ahead))
    }
}

/// By how much a clock is ahead that said `now` between two moments: what is known, as far as that can be. If nothing is known,
/// as much as can be, so that nothing seems earlier than it was.
fn ahead(known: Option<i64>, now: Micros, (asked, answered): (i64, i64)) -> i64 {
    let most = now.0.saturating_sub(asked);
    let least = now.0.saturating_sub(answered).min(most);
    known.unwrap_or(most).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_transaction_narrows_what_is_known() {
        // The other clock is 1,000 ahead. This BEGIN was on its way for 50, and read the clock after 40.
        let first = ahead(None, Micros(1_140), (100, 150));
        assert_eq!(first, 1_040);
        let second = ahead(Some(first), Micros(1_205), (200, 210));
        assert_eq!(second, 1_005);
        // One that took long says nothing new.
        assert_eq!(ahead(Some(second), Micros(1_390), (300, 400)), second);
    }

    #[test]
    fn a_clock_that_was_set_is_followed_at_once() {
        assert_eq!(ahead(Some(1_000), Micros(5_205), (200, 210)), 4_995);
        assert_eq!(ahead(Some(1_000), Micros(205), (200, 210)), 5);
    }

    proptest! {
        /// With clocks that run alike: what was seen in an order is told in this order, whichever transactions tell it, but for
        /// what was seen closer together than the first one took. (A session's first tick claims, and has nothing to tell.)
        #[test]
        fn the_order_is_kept(
            first in 0_i64..50,
            mut seen in proptest::collection::vec(0_i64..10_000, 2..20),
            begins in proptest::collection::vec((0_i64..500, 0_i64..500), 20),
        ) {
            seen.sort_unstable();
            let mut known = Some(ahead(None, Micros(first + 777), (0, first)));
            let mut told = Vec::new();
            for (at, (there, back)) in seen.iter().zip(begins) {
                let read = at + there;
                let now = Micros(read + 777);
                let ahead = ahead(known, now, (*at, read + back));
                known = Some(ahead);
                told.push((at + ahead).min(now.0));
            }
            let mut latest = i64::MIN;
            for told in told {
                prop_assert!(told + first >= latest);
                latest = latest.max(told);
            }
        }
    }
}
