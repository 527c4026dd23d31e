//! Schedules: rules that request an intent again and again.
//!
//! Declared in code ([`Worker::schedule`](crate::Worker::schedule)), since it is code that makes an intent of a tick; kept in the
//! database, which says what the last tick was, whether a person has paused it, and what came of each tick. When ticks are
//! ([`times`]) and which of them are due ([`due`]) are pure functions.

pub(crate) mod due;
mod records;
pub(crate) mod times;
mod verbs;

use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};
use chrono_tz::Tz;

pub use records::{ScheduleRecord, TickRecord, TickState, UnknownTickState};

use crate::clock::{Micros, micros};
use crate::error::Error;
use crate::intent::{Mode, NameError, check_name};
use crate::limits;
use times::Times;

/// The type of the resource that a schedule's intents share: `schedule:NAME`.
pub(crate) const RESOURCE: &str = "schedule";

/// A rule that requests an intent again and again: see [`Worker::schedule`](crate::Worker::schedule).
///
/// ```
/// use std::time::Duration;
/// use intendant::{CatchUp, Schedule};
///
/// let month = Schedule::cron("month.close", "0 6 1 * *").in_zone("Europe/Stockholm").catch_up(CatchUp::All(12));
/// let ping = Schedule::every("ping", Duration::from_secs(300)).overlapping();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a schedule does nothing until a worker has it"]
pub struct Schedule {
    pub(crate) name: String,
    pub(crate) when: When,
    pub(crate) catch_up: CatchUp,
    pub(crate) overlap: Mode,
    pub(crate) revision: u32,
}

/// When its ticks are, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum When {
    Cron { cron: String, zone: String },
    Every { every_us: i64, from: Option<Micros> },
}

impl When {
    pub(crate) fn times(&self) -> Result<Times, ScheduleError> {
        match self {
            Self::Cron { cron, zone } => Times::cron(cron, zone),
            Self::Every { every_us, from } => {
                let (least, found) = (limits::SCHEDULE_EVERY, *every_us);
                if found < micros(least) {
                    let found = Duration::from_micros(found.unsigned_abs());
                    return Err(ScheduleError::TooOften { found, least });
                }
                let most = limits::FUTURE;
                if found > micros(most) {
                    let found = Duration::from_micros(found.unsigned_abs());
                    return Err(ScheduleError::TooSeldom { found, most });
                }
                Ok(Times::Every {
                    every_us: found,
                    from_us: from.map_or(0, |from| from.0),
                })
            }
        }
    }
}

/// What becomes of ticks that are late because no worker was there: more than [`limits::TICK_PATIENCE`] ago. Those that are
/// not are always requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// They are left out.
    Skip,
    /// The latest of them is requested, unless one that is not late is due too; the others are left out.
    #[default]
    Latest,
    /// The latest of them, as many as this at most ([`limits::CATCH_UP`]), are requested in order; earlier ones are left out.
    All(u32),
}

impl CatchUp {
    pub(crate) fn word(self) -> (&'static str, u32) {
        match self {
            Self::Skip => ("skip", 0),
            Self::Latest => ("latest", 1),
            Self::All(most) => ("all", most),
        }
    }

    pub(crate) fn of(word: &str, most: u32) -> Self {
        match word {
            "skip" => Self::Skip,
            "all" => Self::All(most),
            _ => Self::Latest,
        }
    }
}

/// A schedule that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The expression cannot be read.
    #[error(
        "`{cron}` is no cron expression: {error}; expected minute, hour, day of month, month, day of week, with seconds before \
         them if wanted"
    )]
    Cron {
        /// The expression.
        cron: String,
        /// What is wrong with it.
        error: String,
    },
    /// There is no such time zone.
    #[error(
        "`{zone}` is no time zone of the IANA database; expected one like `Europe/Stockholm` or `UTC`"
    )]
    Zone {
        /// What was given.
        zone: String,
    },
    /// It has no tick.
    #[error("{times} never comes")]
    Never {
        /// When it would be.
        times: String,
    },
    /// An interval that is too short.
    #[error("an interval of {found:?} is too short for a schedule; the least is {least:?}")]
    TooOften {
        /// What was given.
        found: Duration,
        /// The least.
        least: Duration,
    },
    /// An interval that is too long.
    #[error("an interval of {found:?} is too long for a schedule; the most is {most:?}")]
    TooSeldom {
        /// What was given.
        found: Duration,
        /// The most.
        most: Duration,
    },
    /// It is to catch up with too many ticks, or with none.
    #[error("it is to catch up with {found} ticks; expected 1 to {most}, or `CatchUp::Skip`")]
    CatchUp {
        /// What was given.
        found: u32,
        /// The limit.
        most: u32,
    },
    /// An interval has no days, and so no zone.
    #[error(
        "an interval has no time zone; say when it begins with `starting_at`, or use a cron expression"
    )]
    ZoneOfInterval,
    /// A revision counts from 1.
    #[error("a revision is counted from 1, and was given as 0")]
    Revision,
    /// A name that cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The code says something else under the same revision.
    #[error(
        "its declaration as revision {revision} differs from the one that the database has, by {by}: {theirs}; here it is \
         {ours}; give the newer one a higher `revision`"
    )]
    Differs {
        /// The revision of both.
        revision: u32,
        /// Which worker wrote the other one.
        by: String,
        /// What that one says.
        theirs: String,
        /// What the code says.
        ours: String,
    },
}

impl Schedule {
    /// Whenever this cron expression matches: minute, hour, day of month, month, day of week, with seconds before them if wanted;
    /// in UTC unless said. A name, once given, is kept.
    ///
    /// At a change of daylight saving a fixed time of day that is left out comes at the first moment after it, and one that
    /// comes twice counts once; `*` in minutes or hours follows real time.
    pub fn cron(name: impl Into<String>, cron: impl Into<String>) -> Self {
        Self::new(
            name.into(),
            When::Cron {
                cron: cron.into(),
                zone: "UTC".to_owned(),
            },
        )
    }

    /// Every so often, at least a second: at the multiples of the interval since 1970-01-01 00:00 UTC, or since
    /// [`starting_at`](Self::starting_at). So its ticks are the same whoever runs it, and whenever that was started.
    pub fn every(name: impl Into<String>, every: Duration) -> Self {
        Self::new(
            name.into(),
            When::Every {
                every_us: micros(every),
                from: None,
            },
        )
    }

    fn new(name: String, when: When) -> Self {
        Self {
            name,
            when,
            catch_up: CatchUp::default(),
            overlap: Mode::Exclusive,
            revision: 1,
        }
    }

    /// The time zone of its cron expression, by its name in the IANA database.
    pub fn in_zone(mut self, zone: impl Into<String>) -> Self {
        if let When::Cron { zone: known, .. } = &mut self.when {
            *known = zone.into();
        } else {
            // Told when the worker begins: builders do not fail.
            self.when = When::Cron {
                cron: String::new(),
                zone: zone.into(),
            };
        }
        self
    }

    /// From when on an interval is counted: one of a day that is to come at six comes at six. A tick is never before it was
    /// declared.
    pub fn starting_at(mut self, time: DateTime<Utc>) -> Self {
        if let When::Every { from, .. } = &mut self.when {
            *from = Some(Micros(time.timestamp_micros()));
        }
        self
    }

    /// What becomes of ticks that are late because no worker was there: [`CatchUp::Latest`] unless said.
    pub fn catch_up(mut self, policy: CatchUp) -> Self {
        self.catch_up = policy;
        self
    }

    /// Its intents may run side by side. Unless said, they use the resource `schedule:NAME` exclusively, so the conflict rules of
    /// their kind ([`Intent::conflicts`](crate::Intent::conflicts)) say what happens to one whose predecessor has not finished: it
    /// waits, is refused, joins or supersedes it. One that has failed counts as unfinished if its kind holds on to its resources
    /// ([`Intent::ON_FAILURE`](crate::Intent::ON_FAILURE)).
    pub fn overlapping(mut self) -> Self {
        self.overlap = Mode::Touched;
        self
    }

    /// Which declaration this is, counted from 1: to be raised with every change of it. While workers of both are there, those of
    /// the higher one carry it out, and one of a lower one that begins later changes nothing.
    pub fn revision(mut self, revision: u32) -> Self {
        self.revision = revision;
        self
    }

    /// Checks everything that can be checked before a database is asked.
    pub(crate) fn check(&self) -> Result<Times, ScheduleError> {
        check_name("schedule", &self.name)?;
        if self.revision == 0 {
            return Err(ScheduleError::Revision);
        }
        if let CatchUp::All(found) = self.catch_up
            && !(1..=limits::CATCH_UP).contains(&found)
        {
            let most = limits::CATCH_UP;
            return Err(ScheduleError::CatchUp { found, most });
        }
        if let When::Cron { cron, .. } = &self.when
            && cron.is_empty()
        {
            return Err(ScheduleError::ZoneOfInterval);
        }
        let times = self.when.times()?;
        if times.after(Micros::default()).is_none() {
            let times = times.to_string();
            return Err(ScheduleError::Never { times });
        }
        Ok(times)
    }

    /// For `map_err`: whose error it is.
    pub(crate) fn refused(name: &str) -> impl FnOnce(ScheduleError) -> Error {
        let name = name.to_owned();
        move |error| Error::Schedule { name, error }
    }
}

/// A moment at which a schedule requests an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    pub(crate) at: Micros,
    pub(crate) zone: Tz,
    pub(crate) by_hand: bool,
}

impl Tick {
    /// When it is due, whenever it is carried out; of one that a person asked for, when that was.
    pub fn at(&self) -> DateTime<Utc> {
        self.at.to_utc()
    }

    /// The same in the schedule's time zone.
    pub fn local(&self) -> DateTime<FixedOffset> {
        self.at().with_timezone(&self.zone).fixed_offset()
    }

    /// A person asked for it ([`Intendant::run_schedule`](crate::Intendant::run_schedule)).
    pub fn is_by_hand(&self) -> bool {
        self.by_hand
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_cannot_be_says_what_was_expected() {
        let hour = Duration::from_secs(3_600);
        let said = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        assert_eq!(
            said(Schedule::cron("never", "0 0 30 2 *")),
            "0 0 30 2 * (UTC) never comes"
        );
        assert!(said(Schedule::every("often", Duration::from_millis(999))).contains("999ms"));
        assert!(said(Schedule::every("zone", hour).in_zone("UTC")).contains("starting_at"));
        assert!(said(Schedule::every("none", hour).catch_up(CatchUp::All(0))).contains("1 to 500"));
        assert!(said(Schedule::every("many", hour).catch_up(CatchUp::All(501))).contains("501"));
        assert!(said(Schedule::every("zero", hour).revision(0)).contains("from 1"));
        assert!(said(Schedule::every("", hour)).contains("is empty"));
        assert!(Schedule::every("good", hour).check().is_ok());
    }

    #[test]
    fn a_tick_tells_the_time_of_its_zone() {
        let times = Times::cron("0 6 * * *", "Europe/Stockholm").unwrap();
        let tick = Tick {
            at: Micros(1_782_878_400_000_000),
            zone: times.zone(),
            by_hand: false,
        };
        assert_eq!(tick.at().to_rfc3339(), "2026-07-01T04:00:00+00:00");
        assert_eq!(tick.local().to_rfc3339(), "2026-07-01T06:00:00+02:00");
    }
}
