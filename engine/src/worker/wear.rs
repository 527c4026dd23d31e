//! Wear: why a worker stops by itself, to be started anew by whoever watches over its process.

use std::time::Duration;

use super::engine::Engine;
use super::lane::LaneState;
use super::watchdog;
use crate::limits;

/// Why a worker has stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// It was asked to.
    #[default]
    Asked,
    /// It had reached its [`max_age`](crate::Worker::max_age).
    Age,
    /// Its process had reached the worker's [`max_memory`](crate::Worker::max_memory).
    Memory,
    /// A step had kept a thread for too long ([`watchdog`](crate::Worker::watchdog)).
    Stuck,
}

impl Stopped {
    /// The code for the process to exit with: 0 when the worker was asked to stop, otherwise 75 (`EX_TEMPFAIL` of
    /// `sysexits.h`), so that a supervisor which restarts what has failed starts it anew (systemd: `Restart=on-failure`).
    ///
    /// End the program by [`std::process::exit`]: to leave `main` waits for threads that are blocked.
    ///
    /// ```no_run
    /// # async fn run(worker: intendant::Worker<()>) -> Result<(), intendant::Error> {
    /// let report = worker.run(intendant::shutdown_signal()).await?;
    /// std::process::exit(report.stopped.exit_code());
    /// # }
    /// ```
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Asked => 0,
            Self::Age | Self::Memory | Self::Stuck => 75,
        }
    }
}

/// Up to which wear a worker goes on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) age: Option<Duration>,
    pub(super) memory: Option<u64>,
}

/// How worn a worker is.
#[derive(Debug, Clone, Copy)]
struct Wear {
    age: Duration,
    memory: Option<u64>,
    stuck_for: Duration,
}

/// Whether a worker has to stop.
fn verdict(wear: Wear, bounds: Bounds, watchdog: Option<Duration>) -> Option<Stopped> {
    if watchdog.is_some_and(|limit| watchdog::has_lost_patience(wear.stuck_for, limit)) {
        Some(Stopped::Stuck)
    } else if bounds.age.is_some_and(|most| wear.age >= most) {
        Some(Stopped::Age)
    } else if wear
        .memory
        .zip(bounds.memory)
        .is_some_and(|(now, most)| now >= most)
    {
        Some(Stopped::Memory)
    } else {
        None
    }
}

/// A maximum age with its spread: up to a tenth earlier, by this random number.
pub(super) fn spread(age: Duration, random: u64) -> Duration {
    let most = u64::try_from(age.as_millis()).unwrap_or(u64::MAX) / u64::from(limits::AGE_SPREAD);
    age - Duration::from_millis(random % (most + 1))
}

/// The resident memory of this process in bytes, where the system tells (Linux).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_of(&status)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

impl Engine {
    /// Why this worker has to stop by itself, if it has to. Asked with every heartbeat.
    pub(super) fn worn(&self) -> Option<Stopped> {
        let bounds = self.settings.bounds;
        let wear = Wear {
            age: self.now(),
            memory: bounds.memory.and_then(|_| resident()),
            stuck_for: self
                .watchdog
                .as_ref()
                .map_or(Duration::ZERO, |dog| dog.stuck_for()),
        };
        let stopped = verdict(wear, bounds, self.settings.watchdog)?;
        tracing::warn!(?stopped, age = ?wear.age, memory = wear.memory, "this worker stops, to be started anew");
        Some(stopped)
    }

    /// Steps that could start at once, as others are told.
    pub(super) fn free(&self) -> usize {
        if self.is_stuck() {
            return 0;
        }
        self.lanes.iter().map(LaneState::free).sum()
    }

    /// Something in this process is stuck: nothing more is taken on.
    pub(super) fn is_stuck(&self) -> bool {
        self.watchdog.as_ref().is_some_and(|dog| dog.is_stuck())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_worker_stops_at_its_bounds_and_not_before() {
        let bounds = Bounds {
            age: Some(HOUR),
            memory: Some(1_000),
        };
        let second = Duration::from_secs(1);
        let judge = |age: Duration, memory: Option<u64>, stuck_for: Duration| {
            let wear = Wear {
                age,
                memory,
                stuck_for,
            };
            verdict(wear, bounds, Some(second))
        };
        assert_eq!(judge(HOUR - second, Some(999), 5 * second), None);
        assert_eq!(judge(HOUR, Some(999), Duration::ZERO), Some(Stopped::Age));
        assert_eq!(
            judge(second, Some(1_000), Duration::ZERO),
            Some(Stopped::Memory)
        );
        assert_eq!(judge(second, None, Duration::ZERO), None);
        assert_eq!(judge(second, None, 6 * second), Some(Stopped::Stuck));
        let unbounded = verdict(
            Wear {
                age: 1_000 * HOUR,
                memory: Some(u64::MAX),
                stuck_for: 1_000 * HOUR,
            },
            Bounds::default(),
            None,
        );
        assert_eq!(unbounded, None);
    }

    #[test]
    fn ages_are_spread_over_a_tenth() {
        let least = (0..10_000)
            .map(|random| spread(Duration::from_secs(10), random))
            .min();
        assert_eq!(least, Some(Duration::from_secs(9)));
        assert_eq!(spread(Duration::from_secs(10), 0), Duration::from_secs(10));
        assert_eq!(spread(Duration::ZERO, u64::MAX), Duration::ZERO);
        assert!(spread(Duration::MAX, u64::MAX) > Duration::MAX / 2);
    }

    #[test]
    fn resident_memory_is_read_where_the_system_tells() {
        assert_eq!(
            resident_of("Name:\tx\nVmRSS:\t   2048 kB\nVmData:\t 1 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(resident_of("Name:\tx\n"), None);
        assert_eq!(resident_of("VmRSS:\t many kB\n"), None);
        if cfg!(target_os = "linux") {
            assert!(resident().unwrap() > 1 << 20);
        }
    }

    #[test]
    fn only_who_was_asked_to_stop_ends_well() {
        assert_eq!(Stopped::Asked.exit_code(), 0);
        for stopped in [Stopped::Age, Stopped::Memory, Stopped::Stuck] {
            assert_eq!(stopped.exit_code(), 75);
        }
    }
}
