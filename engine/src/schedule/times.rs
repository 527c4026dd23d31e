//! When a schedule's ticks are: a cron expression in a time zone, or a fixed interval. Pure: asks no clock.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use super::ScheduleError;
use crate::clock::Micros;

/// When the ticks are.
///
/// Daylight saving, as croner has it (tests below): a fixed time of day that a day does not have is at the first moment that it
/// has after it; one that a day has twice is at the first of the two. What comes every so often (a `*` in minutes or hours) is
/// at every real time that matches: nothing in a gap, and twice in an hour that comes twice.
#[derive(Debug, Clone)]
pub(crate) enum Times {
    /// At whatever matches.
    Cron { cron: Box<Cron>, zone: Tz },
    /// At `from`, and a multiple of `every` before and after it.
    Every { every_us: i64, from_us: i64 },
}

impl Times {
    pub(crate) fn cron(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone: Tz = zone.parse().map_err(|_| ScheduleError::Zone {
            zone: zone.to_owned(),
        })?;
        // The parser takes it for a set of nothing, and would look for that through thousands of years.
        let lists = expression.split_whitespace();
        let mut parts = lists.flat_map(|list| list.trim_start_matches('+').split(','));
        if parts.any(str::is_empty) {
            return Err(ScheduleError::Cron {
                cron: expression.to_owned(),
                error: "a list has an empty part".to_owned(),
            });
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser
            .parse(expression)
            .map_err(|error| ScheduleError::Cron {
                cron: expression.to_owned(),
                error: error.to_string(),
            })?;
        Ok(Self::Cron {
            cron: Box::new(cron),
            zone,
        })
    }

    pub(crate) fn zone(&self) -> Tz {
        match self {
            Self::Cron { zone, .. } => *zone,
            Self::Every { .. } => Tz::UTC,
        }
    }

    /// The first tick after a time; none if there is never one again.
    pub(crate) fn after(&self, at: Micros) -> Option<Micros> {
        match self {
            Self::Cron { cron, zone } => {
                let found = cron.find_next_occurrence(&second(at, *zone)?, false).ok();
                let found = found
                    .map(|found| micros(&found))
                    .filter(|found| *found > at);
                let carried = carried(cron, *zone, at, Side::After).filter(|found| *found > at);
                found.into_iter().chain(carried).min()
            }
            Self::Every { every_us, from_us } => {
                let nth = at.0.checked_sub(*from_us)?.div_euclid(*every_us) + 1;
                Some(Micros(nth.checked_mul(*every_us)?.checked_add(*from_us)?))
            }
        }
    }

    /// The last tick up to a time.
    pub(crate) fn until(&self, at: Micros) -> Option<Micros> {
        match self {
            Self::Cron { cron, zone } => {
                let found = cron
                    .find_previous_occurrence(&second(at, *zone)?, true)
                    .ok();
                let found = found
                    .map(|found| micros(&found))
                    .filter(|found| *found <= at);
                let carried = carried(cron, *zone, at, Side::UpTo).filter(|found| *found <= at);
                found.into_iter().chain(carried).max()
            }
            Self::Every { every_us, from_us } => {
                let nth = at.0.checked_sub(*from_us)?.div_euclid(*every_us);
                Some(Micros(nth.checked_mul(*every_us)?.checked_add(*from_us)?))
            }
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { cron, zone } => write!(f, "{} ({zone})", cron.as_str()),
            Self::Every { every_us, .. } => {
                let every = std::time::Duration::from_micros(every_us.unsigned_abs());
                write!(f, "every {every:?}")
            }
        }
    }
}

/// On which side of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    After,
    UpTo,
}

/// A fixed time of day next to a time that its day does not have, and that is carried over midnight, to the first moment of the
/// next day: croner drops it there if the day is not one of the expression's.
fn carried(cron: &Cron, zone: Tz, at: Micros, side: Side) -> Option<Micros> {
    let fields: Vec<&str> = cron.as_str().split_whitespace().collect();
    let time_of_day = fields.get(..fields.len().checked_sub(3)?)?;
    if time_of_day.iter().any(|field| field.contains('*')) {
        return None;
    }
    // The local time as if it were one that has no gaps.
    let local = second(at, zone)?.naive_local().and_utc();
    let found = match side {
        Side::After => cron.find_next_occurrence(&local, false),
        Side::UpTo => cron.find_previous_occurrence(&local, true),
    };
    let missing = found.ok()?.naive_utc();
    let is_missing = |time: &NaiveDateTime| zone.from_local_datetime(time).earliest().is_none();
    if !is_missing(&missing) {
        return None;
    }
    // Changes are at whole minutes, and no gap is longer than the day that Samoa left out.
    let minute = missing.with_second(0)?;
    let minutes = (1..=2 * 24 * 60).map(|more| minute + TimeDelta::minutes(more));
    let there = minutes.into_iter().find(|time| !is_missing(time))?;
    if there.date() == missing.date() {
        return None;
    }
    let there = zone.from_local_datetime(&there).earliest()?;
    Some(micros(&there))
}

/// The whole second that a time is in: ticks of a cron expression are at whole seconds.
fn second(at: Micros, zone: Tz) -> Option<DateTime<Tz>> {
    let second = at.0.div_euclid(1_000_000);
    zone.timestamp_opt(second, 0).single()
}

fn micros(at: &DateTime<Tz>) -> Micros {
    Micros(at.with_timezone(&Utc).timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn at(text: &str) -> Micros {
        Micros(text.parse::<DateTime<Utc>>().unwrap().timestamp_micros())
    }

    /// The ticks from one time to another, in the zone's own time.
    fn check(cron: &str, zone: &str, (from, to): (&str, &str), expected: Expect) {
        let times = Times::cron(cron, zone).unwrap();
        let (mut last, to) = (at(from), at(to));
        let mut found = String::new();
        while let Some(next) = times.after(last).filter(|next| *next <= to) {
            let local = next.to_utc().with_timezone(&times.zone());
            found.push_str(&local.format("%a %m-%d %H:%M %Z\n").to_string());
            last = next;
        }
        expected.assert_eq(&found);
    }

    const SPRING: (&str, &str) = ("2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
    const AUTUMN: (&str, &str) = ("2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z");

    #[test]
    fn a_time_of_day_that_a_day_does_not_have_is_at_the_first_moment_after_it() {
        check(
            "30 2 * * *",
            "Europe/Stockholm",
            SPRING,
            expect![[r#"
                Sat 03-28 02:30 CET
                Sun 03-29 03:00 CEST
                Mon 03-30 02:30 CEST
            "#]],
        );
        // Midnight is what Beirut's last Sunday of March does not have.
        check(
            "0 0 * * *",
            "Asia/Beirut",
            SPRING,
            expect![[r#"
                Sun 03-29 01:00 EEST
                Mon 03-30 00:00 EEST
            "#]],
        );
    }

    #[test]
    fn a_time_of_day_at_the_end_of_a_day_that_ends_early_is_at_its_end() {
        // Nuuk's last Saturday of March ends at eleven.
        const NUUK: (&str, &str) = ("2026-03-28T12:00:00Z", "2026-04-05T12:00:00Z");
        check(
            "30 23 * * SAT",
            "America/Nuuk",
            NUUK,
            expect![[r#"
                Sun 03-29 00:00 -01
                Sat 04-04 23:30 -01
            "#]],
        );
        check(
            "0,30 23 28 3 *",
            "America/Nuuk",
            NUUK,
            expect![[r#"
                Sun 03-29 00:00 -01
            "#]],
        );
        check(
            "*/30 23 * * SAT",
            "America/Nuuk",
            NUUK,
            expect![[r#"
                Sat 04-04 23:00 -01
                Sat 04-04 23:30 -01
            "#]],
        );
        // Samoa had no 30th of December in 2011.
        check(
            "15 9 30 12 *",
            "Pacific/Apia",
            ("2011-12-01T00:00:00Z", "2012-02-01T00:00:00Z"),
            expect![[r#"
                Sat 12-31 00:00 +14
            "#]],
        );
    }

    #[test]
    fn a_time_of_day_that_a_day_has_twice_is_at_the_first_of_them_only() {
        check(
            "30 2 * * *",
            "Europe/Stockholm",
            AUTUMN,
            expect![[r#"
                Sat 10-24 02:30 CEST
                Sun 10-25 02:30 CEST
                Mon 10-26 02:30 CET
            "#]],
        );
        check(
            "45 1 * * *",
            "America/New_York",
            ("2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z"),
            expect![[r#"
                Sun 11-01 01:45 EDT
                Mon 11-02 01:45 EST
            "#]],
        );
    }

    #[test]
    fn what_comes_every_so_often_comes_at_every_real_time() {
        check(
            "30 * * * *",
            "Europe/Stockholm",
            ("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
            expect![[r#"
                Sun 03-29 01:30 CET
                Sun 03-29 03:30 CEST
                Sun 03-29 04:30 CEST
            "#]],
        );
        check(
            "*/30 2 * * *",
            "Europe/Stockholm",
            ("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z"),
            expect![[r#"
                Sun 10-25 02:00 CEST
                Sun 10-25 02:30 CEST
                Sun 10-25 02:00 CET
                Sun 10-25 02:30 CET
            "#]],
        );
        // A change by half an hour.
        check(
            "*/15 * * * *",
            "Australia/Lord_Howe",
            ("2026-04-04T14:25:00Z", "2026-04-04T15:35:00Z"),
            expect![[r#"
                Sun 04-05 01:30 +11
                Sun 04-05 01:45 +11
                Sun 04-05 01:30 +1030
                Sun 04-05 01:45 +1030
                Sun 04-05 02:00 +1030
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let said = |cron: &str, zone: &str| Times::cron(cron, zone).unwrap_err().to_string();
        assert!(said("61 * * * *", "UTC").starts_with("`61 * * * *` is no cron expression: "));
        assert_eq!(
            said("* * * * *", "Europe/Stokholm"),
            "`Europe/Stokholm` is no time zone of the IANA database; expected one like `Europe/Stockholm` or `UTC`"
        );
        assert_eq!(
            Times::cron("0 0 30 2 *", "UTC").unwrap().after(Micros(0)),
            None
        );
    }

    #[test]
    fn an_interval_is_counted_from_its_beginning_in_both_directions() {
        let times = Times::Every {
            every_us: 10,
            from_us: 3,
        };
        for (at, until, after) in [(3, 3, 13), (4, 3, 13), (12, 3, 13), (2, -7, 3), (-7, -7, 3)] {
            assert_eq!(times.until(Micros(at)), Some(Micros(until)));
            assert_eq!(times.after(Micros(at)), Some(Micros(after)));
        }
    }

    fn some_times() -> impl Strategy<Value = Times> {
        let crons = [
            "30 2 * * *",
            "*/7 * * * *",
            "0 0 * * *",
            "15,45 1-3 * * SUN",
            "0 3 L * *",
            "*/20 30 2 * * *",
            "0 0 29 2 *",
            "30 23 * * SAT",
            "0 15,45 23 28 3 *",
        ];
        let zones = [
            "Europe/Stockholm",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Beirut",
            "America/Nuuk",
            "UTC",
        ];
        prop_oneof![
            (
                prop::sample::select(crons.to_vec()),
                prop::sample::select(zones.to_vec())
            )
                .prop_map(|(cron, zone)| Times::cron(cron, zone).unwrap()),
            (1i64..100_000_000_000, 0i64..1_000_000_000)
                .prop_map(|(every_us, from_us)| Times::Every { every_us, from_us }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// Hours around the changes of 2026 among them.
        #[test]
        fn looking_forwards_and_backwards_finds_the_same_ticks(
            times in some_times(),
            near in prop::sample::select(vec!["2026-03-29T00:30:00Z", "2026-10-25T00:30:00Z", "2026-11-01T05:30:00Z", "2026-06-01T00:00:00Z"]),
            off in -200_000_000_000i64..200_000_000_000,
        ) {
            let mut last = Micros(at(near).0 + off);
            for _ in 0..20 {
                let Some(next) = times.after(last) else { break };
                prop_assert!(next > last);
                prop_assert_eq!(times.until(next), Some(next));
                prop_assert!(times.until(Micros(next.0 - 1)).is_none_or(|before| before <= last));
                // Whatever lies in between leads to the same one.
                prop_assert_eq!(times.after(Micros(next.0 - 1)), Some(next));
                last = next;
            }
        }
    }
}
