//! The one seam for time, randomness and ids.
//!
//! Everything in the engine that asks what time it is, or rolls a die, asks a [`Clock`]. Production has
//! [`SystemClock`]; a seeded simulation brings its own and drives the same code.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// A point in time as the database stores it: microseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Micros(pub(crate) i64);

impl Micros {
    /// No calendar goes further than this from 1970, in either direction: about 260,000 years.
    pub(crate) const FARTHEST: u64 = 8_210_000_000_000_000_000;

    pub(crate) fn to_utc(self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

/// A duration of so many microseconds; none of less than none.
pub(crate) fn from_micros(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// Whole microseconds of a duration, for a database's arithmetic.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Where time, randomness and ids come from.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Wall-clock time in microseconds since 1970. Used on SQLite for what is due; never to judge who is dead.
    fn wall_us(&self) -> i64;
    /// Monotonic time.
    fn monotonic(&self) -> Instant;
    /// A uniformly random number.
    fn random(&self) -> u64;
    /// A UUIDv7: ordered by the time it was made.
    fn ordered_id(&self) -> Uuid;
    /// A UUIDv4: unguessable.
    fn secret_id(&self) -> Uuid;
}

/// The machine's own clock and random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_us(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, micros)
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn ordered_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn secret_id(&self) -> Uuid {
        Uuid::new_v4()
    }
}
