//! When a failed step is tried again: exponential backoff with full jitter, in integers.
//!
//! Full jitter (a wait drawn evenly from zero to the exponential bound) spreads a crowd that failed together better than
//! the bound itself or a half of it: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use crate::limits;

/// How often and how fast a step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Retry {
    /// Attempts in all, the first one counted.
    pub(crate) attempts: u32,
    /// Bound of the wait before the second attempt, in milliseconds; it doubles with every further one.
    pub(crate) base_ms: u64,
    /// Highest bound, in milliseconds.
    pub(crate) cap_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: limits::ATTEMPTS,
            base_ms: whole_ms(limits::RETRY_BASE),
            cap_ms: whole_ms(limits::RETRY_CAP),
        }
    }
}

impl Retry {
    /// The wait after attempt number `attempt` failed, or none when there shall be no other.
    pub(crate) fn wait(&self, attempt: u32, random: u64) -> Option<Duration> {
        (attempt < self.attempts)
            .then(|| Duration::from_millis(full_jitter(self.bound_ms(attempt), random)))
    }

    fn bound_ms(&self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1).min(63);
        self.base_ms
            .saturating_mul(1u64 << doublings)
            .min(self.cap_ms)
    }
}

/// A number from zero to the bound, both included.
fn full_jitter(bound_ms: u64, random: u64) -> u64 {
    match bound_ms.checked_add(1) {
        Some(width) => random % width,
        None => random,
    }
}

/// Whole milliseconds of a duration.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let retry = Retry {
            attempts: 100,
            base_ms: 1_000,
            cap_ms: 60_000,
        };
        let bounds: Vec<_> = (1..=8).map(|attempt| retry.bound_ms(attempt)).collect();
        assert_eq!(
            bounds,
            [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
        );
    }

    proptest! {
        #[test]
        fn no_attempt_number_overflows_or_passes_the_cap(attempt: u32, attempts: u32, base_ms: u64, cap_ms: u64, random: u64) {
            let retry = Retry { attempts, base_ms, cap_ms };
            match retry.wait(attempt, random) {
                Some(wait) => {
                    prop_assert!(attempt < attempts);
                    prop_assert!(wait <= Duration::from_millis(cap_ms));
                }
                None => prop_assert!(attempt >= attempts),
            }
        }

        #[test]
        fn jitter_reaches_from_zero_to_the_bound(bound in 0u64..1000) {
            prop_assert_eq!(full_jitter(bound, 0), 0);
            prop_assert_eq!(full_jitter(bound, bound), bound);
            prop_assert_eq!(full_jitter(bound, bound + 1), 0);
        }
    }
}
