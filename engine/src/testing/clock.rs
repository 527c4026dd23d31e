//! A clock that stands still until it is moved, and makes the same ids and random numbers in every run.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::clock::{Clock, micros};

/// When every test begins: 2030-01-01, midnight. Any time would do; one that is nobody's present is told apart at once.
const BEGIN_US: i64 = 1_893_456_000_000_000;

/// Time that passes only when nothing can run.
#[derive(Debug)]
pub(super) struct VirtualClock {
    start: Instant,
    passed_us: AtomicI64,
    ahead_us: AtomicI64,
    ids: AtomicU64,
    randoms: AtomicU64,
}

impl VirtualClock {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            passed_us: AtomicI64::new(0),
            ahead_us: AtomicI64::new(0),
            ids: AtomicU64::new(0),
            randoms: AtomicU64::new(0),
        }
    }

    pub(super) fn advance(&self, time: Duration) {
        self.passed_us.fetch_add(micros(time), Ordering::SeqCst);
    }

    pub(super) fn passed(&self) -> Duration {
        Duration::from_micros(self.passed_us.load(Ordering::SeqCst).unsigned_abs())
    }

    /// Sets the wall clock, as an administrator or a time server does: no time passes by that.
    pub(super) fn set(&self, ahead_us: i64) {
        self.ahead_us.store(ahead_us, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn wall_us(&self) -> i64 {
        let ahead = self.ahead_us.load(Ordering::SeqCst);
        BEGIN_US + ahead + self.passed_us.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Instant {
        self.start + self.passed()
    }

    /// SplitMix64 of a counter (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn random(&self) -> u64 {
        let nth = self.randoms.fetch_add(1, Ordering::SeqCst) + 1;
        let mut z = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn ordered_id(&self) -> Uuid {
        let ms = u128::from((self.wall_us() / 1_000).unsigned_abs());
        let nth = u128::from(self.ids.fetch_add(1, Ordering::SeqCst));
        Uuid::from_u128((ms << 80) | (0x7 << 76) | (0b10 << 62) | nth)
    }

    fn secret_id(&self) -> Uuid {
        let nth = u128::from(self.ids.fetch_add(1, Ordering::SeqCst));
        Uuid::from_u128((0x4 << 76) | (0b10 << 62) | nth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_order_within_a_moment_and_over_time_and_time_passes_only_when_moved() {
        let clock = VirtualClock::new();
        let (first, second) = (clock.ordered_id(), clock.ordered_id());
        let before = (clock.wall_us(), clock.monotonic());
        assert_eq!((clock.wall_us(), clock.monotonic()), before);
        clock.advance(Duration::from_secs(3600));
        let third = clock.ordered_id();
        assert!(first < second && second < third);
        assert_eq!(third.get_version_num(), 7);
        assert_eq!(clock.secret_id().get_version_num(), 4);
        assert_eq!(clock.monotonic() - before.1, Duration::from_secs(3600));
        assert_eq!(clock.wall_us() - before.0, 3_600_000_000);
        clock.set(-1_000_000);
        assert_eq!(clock.wall_us() - before.0, 3_599_000_000);
        assert_eq!(clock.passed(), Duration::from_secs(3600));
    }
}
