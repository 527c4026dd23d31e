//! Pace: how much is removed at a time, and how long the pause is after it. Pure but for one clock hand.
//!
//! Removal takes a quarter of the time at most, in batches that are over before anybody notices; and far less of it while the
//! worker's own ticks take longer than they do when nothing is removed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::limits;

/// How much to remove next, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    size: usize,
}

/// How a worker's ticks go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// What one takes now.
    pub(crate) now: Duration,
    /// What one takes while nothing is removed.
    pub(crate) usual: Duration,
}

impl Ticks {
    /// Twice as slow as usual, by more than chance.
    fn are_slow(self) -> bool {
        self.usual > Duration::ZERO && self.now > self.usual * 2 + Duration::from_millis(1)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { size: 100 }
    }
}

impl Pace {
    /// How many intents the next batch has at most.
    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// A batch took so long: how the next one goes, and the pause before it.
    pub(crate) fn after(self, took: Duration, ticks: Ticks) -> (Self, Duration) {
        let (size, rest) = match (ticks.are_slow(), took > limits::RETENTION_TIME) {
            (true, _) => (self.size / 2, 12),
            (false, true) => (self.size / 2, 3),
            (false, false) => (self.size + self.size / 4 + 1, 3),
        };
        let size = size.clamp(limits::RETENTION_BATCH_LEAST, limits::RETENTION_BATCH);
        let pause = took.saturating_mul(rest);
        let pause = pause.clamp(limits::RETENTION_PAUSE, limits::RETENTION_PAUSE_MOST);
        (Self { size }, pause)
    }
}

/// What a worker's ticks take, as whoever commits them tells and whoever removes asks: means that forget.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    now_us: AtomicU64,
    usual_us: AtomicU64,
    removing: AtomicBool,
}

impl Pulse {
    /// A tick took so long.
    pub(crate) fn beat(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        toward(&self.now_us, took, 8);
        if !self.removing.load(Ordering::Relaxed) {
            toward(&self.usual_us, took, 64);
        }
    }

    /// From now on ticks may be slower for what is removed beside them; or no more.
    pub(crate) fn removing(&self, is: bool) {
        self.removing.store(is, Ordering::Relaxed);
    }

    pub(crate) fn ticks(&self) -> Ticks {
        let of = |us: &AtomicU64| Duration::from_micros(us.load(Ordering::Relaxed));
        Ticks {
            now: of(&self.now_us),
            usual: of(&self.usual_us),
        }
    }
}

/// One writer at a time: a worker commits its ticks one after the other.
fn toward(mean: &AtomicU64, value: u64, weight: u64) {
    let before = mean.load(Ordering::Relaxed);
    let after = match before {
        0 => value,
        _ if value >= before => before + (value - before) / weight,
        _ => before - (before - value) / weight,
    };
    mean.store(after.max(1), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_batch_that_takes_long_is_followed_by_a_smaller_one_and_a_longer_pause() {
        let quick = Pace::default().after(MS * 10, Ticks::default());
        assert_eq!(quick, (Pace { size: 126 }, MS * 30));
        let long = Pace::default().after(MS * 100, Ticks::default());
        assert_eq!(long, (Pace { size: 50 }, MS * 300));
    }

    #[test]
    fn slow_ticks_have_it_back_off() {
        let pulse = Pulse::default();
        (0..100).for_each(|_| pulse.beat(MS * 2));
        pulse.removing(true);
        (0..50).for_each(|_| pulse.beat(MS * 9));
        let ticks = pulse.ticks();
        assert_eq!(ticks.usual, MS * 2, "what is usual is not learnt from that");
        assert!(ticks.now > MS * 8, "{ticks:?}");
        let slow = Pace::default().after(MS * 10, ticks);
        assert_eq!(slow, (Pace { size: 50 }, MS * 120));
        pulse.removing(false);
        (0..1_000).for_each(|_| pulse.beat(MS * 9));
        assert!(!pulse.ticks().are_slow(), "{:?}", pulse.ticks());
    }

    proptest! {
        /// Whatever comes: it is bounded, and never more than a quarter of the time unless the pause has reached its end.
        #[test]
        fn a_quarter_of_the_time_at_most(
            took in prop::collection::vec((0..20_000_000_u64, 0..100_000_u64, 0..100_000_u64), 1..50),
        ) {
            let mut pace = Pace::default();
            for (took, now, usual) in took {
                let took = Duration::from_micros(took);
                let ticks = Ticks { now: Duration::from_micros(now), usual: Duration::from_micros(usual) };
                let (next, pause) = pace.after(took, ticks);
                prop_assert!((limits::RETENTION_BATCH_LEAST..=limits::RETENTION_BATCH).contains(&next.size()));
                prop_assert!(pause >= limits::RETENTION_PAUSE && pause <= limits::RETENTION_PAUSE_MOST);
                prop_assert!(pause >= took * 3 || pause == limits::RETENTION_PAUSE_MOST);
                pace = next;
            }
        }
    }
}
