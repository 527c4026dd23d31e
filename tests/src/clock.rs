//! A clock that is wrong, as that of a host which nobody sets: for worker processes of tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use intendant::{Clock, SystemClock};
use uuid::{NoContext, Timestamp, Uuid};

/// Tells a worker process how many seconds its clock is ahead; behind, if negative.
pub const AHEAD_S: &str = "INTENDANT_TEST_CLOCK_AHEAD_S";

/// The machine's clock, so far ahead. Only what time it is, is wrong: no clock runs backwards or faster.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    seconds: i64,
}

/// The clock that this process was told to have; the machine's own if it was told nothing.
pub fn of_this_process() -> Result<Arc<dyn Clock>> {
    match std::env::var(AHEAD_S) {
        Ok(seconds) => Ok(Arc::new(Ahead {
            seconds: seconds.parse().context(AHEAD_S)?,
        })),
        Err(_) => Ok(Arc::new(SystemClock)),
    }
}

impl Clock for Ahead {
    fn wall_us(&self) -> i64 {
        SystemClock.wall_us() + self.seconds * 1_000_000
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }

    fn ordered_id(&self) -> Uuid {
        let now = Duration::from_micros(self.wall_us().unsigned_abs());
        let now = Timestamp::from_unix(NoContext, now.as_secs(), now.subsec_nanos());
        Uuid::new_v7(now)
    }

    fn secret_id(&self) -> Uuid {
        SystemClock.secret_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_as_far_ahead_as_it_was_told_and_its_ids_are_too() {
        for seconds in [-300, 300] {
            let (here, there) = (SystemClock, Ahead { seconds });
            let ahead_us = there.wall_us() - here.wall_us();
            assert!((ahead_us - seconds * 1_000_000).abs() < 1_000_000);
            let id = there.ordered_id();
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id > here.ordered_id(), seconds > 0);
        }
    }
}
