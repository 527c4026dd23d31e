//! Watch: from when on something is too old, too long, too slow; and how often it is looked for and told of.

use std::time::Duration;

use crate::limits;

/// What a worker takes for trouble when it is its turn to look, and how often it looks and tells.
///
/// The workers of a database take turns; they should be given the same settings.
///
/// ```
/// # use std::time::Duration;
/// # use intendant::{Intendant, Watch, Worker};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let intendant = Intendant::open("sqlite::memory:").await?;
/// let watch = Watch::default().queue_age(Duration::from_secs(60)).throttle(Duration::from_secs(600));
/// let worker = Worker::new(&intendant, ()).watch(watch);
/// # Ok::<(), intendant::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    pub(crate) every: Duration,
    pub(crate) queue_age: Duration,
    pub(crate) unserved: Duration,
    pub(crate) slow: Duration,
    pub(crate) slow_times: u32,
    pub(crate) throttle: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            every: limits::WATCH,
            queue_age: limits::QUEUE_AGE,
            unserved: limits::UNSERVED,
            slow: limits::SLOW_STEP,
            slow_times: limits::SLOW_TIMES,
            throttle: limits::THROTTLE,
        }
    }
}

impl Watch {
    /// How often somebody looks: every 15 s unless said. No more often than workers send heartbeats.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// How long a task may be ready without being claimed: five minutes unless said.
    pub fn queue_age(mut self, age: Duration) -> Self {
        self.queue_age = age;
        self
    }

    /// How long a task may be ready while no live worker serves its queue or its kind, or a schedule's tick be due while nobody
    /// decides it, long enough for a deploy: a minute unless said.
    pub fn unserved(mut self, age: Duration) -> Self {
        self.unserved = age;
        self
    }

    /// From when on a running step is slow: at least `least`, and at least `times` what 95 of a hundred of the latest
    /// results of its kind and step stayed below. One minute and three times unless said.
    pub fn slow_step(mut self, least: Duration, times: u32) -> Self {
        (self.slow, self.slow_times) = (least, times.max(1));
        self
    }

    /// How often the hook is told of one thing ([`Worker::on_alert`](crate::Worker::on_alert)): of one sort of alerts for
    /// one kind, step or queue, of one group of failures. Five minutes unless said; what comes meanwhile is counted.
    pub fn throttle(mut self, throttle: Duration) -> Self {
        self.throttle = throttle;
        self
    }
}
