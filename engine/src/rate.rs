//! Rates: how many attempts at steps of a queue may begin within a time, across all workers. Pure functions.
//!
//! A queue with a rate gives permits, one for each attempt that begins. How many it may give is decided by the generic cell rate
//! algorithm (GCRA: ITU-T I.371, annex A; as a leaky bucket in Turner, *New directions in communications*, 1986), from one
//! time that the queue's row keeps: the *theoretical arrival time* (tat), until when everything that was permitted is paid off.
//! Each permit moves it by the interval of the rate; a permit is to be had while it is no more than `burst - 1` intervals ahead.
//! So a permit is one conditional write of one row, however many steps there are, and nothing is ever counted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::{Micros, micros};
use crate::error::Error;
use crate::limits;

/// How many attempts at steps of a queue may begin within a time: see [`rate_queue`](crate::Intendant::rate_queue).
///
/// ```
/// use std::time::Duration;
/// use intendant::Rate;
/// let rate = Rate::per_minute(300).burst(10);
/// assert_eq!(rate, Rate::new(300, Duration::from_secs(60)).burst(10));
/// assert_eq!("300/min".parse(), Ok(Rate::per_minute(300)));
/// assert_eq!(Rate::new(7, Duration::from_secs(90)).to_string(), "7/90s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// So many attempts.
    steps: u32,
    /// Within this time, in milliseconds.
    period_ms: u64,
    /// So many may begin at once, after a pause.
    burst: u32,
}

/// A worker asks once a tick, so a rate is reached only if as many may begin at once as it allows in this time.
const TENTH: u128 = 100;

impl Rate {
    /// So many within a time, of which whole milliseconds count. They are spread over it evenly: see [`burst`](Self::burst).
    pub fn new(steps: u32, period: Duration) -> Self {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let in_a_tenth = u128::from(steps) * TENTH / u128::from(period_ms.max(1));
        Self {
            steps,
            period_ms,
            burst: u32::try_from(in_a_tenth).unwrap_or(u32::MAX).max(1),
        }
    }

    /// So many within a second.
    pub fn per_second(steps: u32) -> Self {
        Self::new(steps, Duration::from_secs(1))
    }

    /// So many within a minute.
    pub fn per_minute(steps: u32) -> Self {
        Self::new(steps, Duration::from_secs(60))
    }

    /// So many within an hour.
    pub fn per_hour(steps: u32) -> Self {
        Self::new(steps, Duration::from_secs(3600))
    }

    /// How many may begin at once after a pause, before the others follow at even intervals. Unless said, as many as the rate
    /// allows in a tenth of a second, and one at least: workers ask once a tick, and with less a high rate is not reached.
    pub fn burst(mut self, steps: u32) -> Self {
        self.burst = steps;
        self
    }

    /// How many attempts.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Within which time.
    pub fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms)
    }

    /// How many at once.
    pub fn at_once(&self) -> u32 {
        self.burst
    }

    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |what, found: String, limit: String| Err(Error::Limit { what, found, limit });
        let steps = 1..=limits::RATE_STEPS;
        if !steps.contains(&self.steps) {
            let limit = format!("1 to {}; pause the queue instead of 0", limits::RATE_STEPS);
            return refused("the steps of a rate", self.steps.to_string(), limit);
        }
        if !steps.contains(&self.burst) {
            let limit = format!("1 to {}", limits::RATE_STEPS);
            return refused("the burst of a rate", self.burst.to_string(), limit);
        }
        if self.period_ms == 0 || self.period() > limits::RATE_PERIOD {
            let limit = format!("1 ms to {:?}", limits::RATE_PERIOD);
            return refused(
                "the period of a rate",
                format!("{:?}", self.period()),
                limit,
            );
        }
        Ok(())
    }

    /// What a row says.
    pub(crate) fn of_row(steps: i64, period_ms: i64, burst: i64) -> Self {
        let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        Self {
            steps: small(steps),
            period_ms: period_ms.unsigned_abs().max(1),
            burst: small(burst),
        }
    }

    /// What a row says of it: steps, period in milliseconds, burst.
    pub(crate) fn to_row(self) -> (i64, i64, i64) {
        let period_ms = i64::try_from(self.period_ms).unwrap_or(i64::MAX);
        (i64::from(self.steps), period_ms, i64::from(self.burst))
    }

    fn period_us(&self) -> i128 {
        i128::from(self.period_ms) * 1_000
    }

    /// The time that so many permits take, in microseconds, rounded up.
    fn cost_us(&self, permits: i128) -> i128 {
        (permits * self.period_us() + i128::from(self.steps) - 1) / i128::from(self.steps)
    }

    /// The time between two permits.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.cost_us(1)).unwrap_or(u64::MAX))
    }

    /// How long who has to wait for `missing` permits, of which the first comes in `next_in`, sleeps before it asks again: no
    /// shorter than it takes for half of what may be had at once, within a quantum, so that a high rate is not asked for one by
    /// one. Half, so that nothing of it is lost meanwhile.
    pub(crate) fn pause(&self, missing: usize, next_in: Duration) -> Duration {
        let half = i128::from(self.burst / 2);
        let some = half.min(i128::try_from(missing).unwrap_or(half));
        let some = u64::try_from(self.cost_us(some)).unwrap_or(u64::MAX);
        next_in.max(Duration::from_micros(some).min(limits::PERMIT_QUANTUM))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.steps)?;
        match self.period_ms {
            1_000 => write!(f, "s"),
            60_000 => write!(f, "min"),
            3_600_000 => write!(f, "h"),
            86_400_000 => write!(f, "d"),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rate; expected steps in a time, as in `100/s`, `30/min`, `500/h` or `7/90s`")]
pub struct UnknownRate(String);

impl FromStr for Rate {
    type Err = UnknownRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (steps, period) = text.split_once('/')?;
            let digits = period.find(|c: char| !c.is_ascii_digit())?;
            let (count, unit) = period.split_at(digits);
            let count: u64 = match count {
                "" => 1,
                count => count.parse().ok()?,
            };
            let unit_ms = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            let period = Duration::from_millis(count.checked_mul(unit_ms)?);
            Some(Self::new(steps.parse().ok()?, period))
        };
        parsed().ok_or_else(|| UnknownRate(text.to_owned()))
    }
}

/// What a worker asks of a queue with a rate, beside what it would claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PermitAsk {
    pub(crate) queue: Arc<str>,
    /// For steps in hand that could begin.
    pub(crate) in_hand: usize,
    /// Permits that it has, and of which none of these has use.
    pub(crate) spare: usize,
    /// Permits that nobody has used.
    pub(crate) given_back: Option<GivenBack>,
}

/// Permits that were not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivenBack {
    pub(crate) count: usize,
    /// When the first of them was given, by the database's clock.
    pub(crate) since: Micros,
}

/// What a worker was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PermitsGiven {
    pub(crate) queue: Arc<str>,
    pub(crate) given: usize,
    /// By the database's clock.
    pub(crate) at: Micros,
    /// By this rate; none: it has none any more.
    pub(crate) rate: Option<Rate>,
    /// It had use for so many more.
    pub(crate) missing: usize,
    /// How long until the next one.
    pub(crate) next_in: Duration,
}

/// What comes of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permits {
    pub(crate) granted: usize,
    /// The theoretical arrival time from then on. Without a permit it stays what it was, but for what is cut off of it: that has
    /// to be kept, so that it is not as far ahead at the next ask.
    pub(crate) tat: Option<Micros>,
    /// When there is another one.
    pub(crate) next_at: Micros,
}

/// How far the theoretical arrival time is ahead, in microseconds. It is never further than a whole burst: where it is, the
/// clock was set back, or the rate was lower before, and nobody waits for that.
fn ahead_us(tat: Option<Micros>, now: Micros, rate: &Rate) -> i128 {
    let ahead = tat.map_or(0, |tat| i128::from(tat.0) - i128::from(now.0));
    ahead.clamp(0, rate.cost_us(i128::from(rate.burst)))
}

fn after(now: Micros, us: i128) -> Micros {
    let at = i128::from(now.0) + us;
    Micros(i64::try_from(at).unwrap_or(i64::MAX))
}

/// How many permits there are of a queue at this time, for somebody who has use for `wanted`.
pub(crate) fn permits(tat: Option<Micros>, now: Micros, rate: &Rate, wanted: usize) -> Permits {
    let (burst, steps) = (i128::from(rate.burst), i128::from(rate.steps));
    let ahead = ahead_us(tat, now, rate);
    let free = (burst * rate.period_us() - ahead * steps).max(0) / rate.period_us();
    let granted = free.min(i128::try_from(wanted).unwrap_or(free));
    let kept = match granted {
        0 => tat.map(|tat| tat.min(after(now, ahead))),
        _ => Some(after(now, ahead + rate.cost_us(granted))),
    };
    let ahead = ahead + rate.cost_us(granted);
    let next = ahead - (burst - 1) * rate.period_us() / steps;
    Permits {
        granted: usize::try_from(granted).unwrap_or_default(),
        tat: kept,
        next_at: after(now, next.max(0)),
    }
}

/// The theoretical arrival time after permits were given back. What of them is paid off already is not given twice: everything
/// that has passed since counts as paid for them.
pub(crate) fn given_back(
    tat: Option<Micros>,
    now: Micros,
    rate: &Rate,
    back: GivenBack,
) -> Option<Micros> {
    let tat = tat?;
    let worth =
        rate.period_us() * i128::try_from(back.count).unwrap_or_default() / i128::from(rate.steps);
    let passed = (i128::from(now.0) - i128::from(back.since.0)).max(0);
    let ahead = ahead_us(Some(tat), now, rate);
    let credit = (worth - passed).max(0).min(ahead);
    Some(match credit {
        0 => tat,
        credit => after(now, ahead - credit),
    })
}

/// How long from one time to another, if that is later.
pub(crate) fn until(now: Micros, at: Micros) -> Duration {
    Duration::from_micros(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or_default())
}

/// Permits are worth giving back as long as not all that they are worth has passed.
pub(crate) fn is_worth(rate: &Rate, count: usize, age: Duration) -> bool {
    let count = i128::try_from(count).unwrap_or_default();
    rate.cost_us(count) > i128::from(micros(age))
}

#[cfg(test)]
mod tests;
