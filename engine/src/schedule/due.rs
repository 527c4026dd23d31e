//! Which ticks are due, and what becomes of them: one pure function.

use std::time::Duration;

use super::CatchUp;
use super::times::Times;
use crate::clock::{Micros, micros};
use crate::limits;
use crate::planted::{Slip, is_planted};

/// What becomes of the ticks that are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Those that request an intent, in order.
    pub(crate) request: Vec<Micros>,
    /// Those that do not.
    pub(crate) left_out: Option<LeftOut>,
    /// The last one that was due: the next one follows from it.
    pub(crate) last: Micros,
    /// The next one, if there ever is one.
    pub(crate) next: Option<Micros>,
}

impl Decision {
    /// The same, in parts of at most so many requests, one after the other: each says as of when the next one goes on.
    pub(crate) fn parts(&self, most: usize) -> Vec<Decision> {
        let parts: Vec<&[Micros]> = self.request.chunks(most).collect();
        if parts.len() < 2 {
            return vec![self.clone()];
        }
        let nexts = parts.iter().skip(1).map(|part| part.first().copied());
        let nexts: Vec<_> = nexts.collect();
        let parts = parts.iter().enumerate().map(|(nth, part)| {
            let next = nexts.get(nth).copied();
            Decision {
                request: part.to_vec(),
                left_out: self.left_out.filter(|_| nth == 0),
                last: match (next, part.last()) {
                    (Some(_), Some(last)) => *last,
                    _ => self.last,
                },
                next: next.unwrap_or(self.next),
            }
        });
        parts.collect()
    }
}

/// Ticks that came too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// How many, or, from [`limits::DUE_TICKS`] on, at least.
    pub(crate) count: usize,
    pub(crate) first: Micros,
    pub(crate) last: Micros,
}

/// Decides the ticks after `last` up to `now`; none if none is due.
///
/// Those of the last [`limits::TICK_PATIENCE`] are requested in any case, as they are while all goes well. Of those that are later
/// than that (nobody was there to decide them) the policy says which.
pub(crate) fn decide(
    times: &Times,
    last: Micros,
    now: Micros,
    catch_up: CatchUp,
) -> Option<Decision> {
    let last = match is_planted(Slip::ScheduleFromNow) {
        true => last.max(Micros(now.0 - 1_000_000)),
        false => last,
    };
    let first = times.after(last).filter(|tick| *tick <= now)?;
    let due = due(times, first, now);
    let (latest, rest) = (due.latest, due.before);
    let late = |tick: &Micros| Duration::from_micros(now.0.abs_diff(tick.0));
    let on_time = latest
        .iter()
        .rev()
        .take_while(|tick| late(tick) <= limits::TICK_PATIENCE)
        .count();
    let wanted = match catch_up {
        CatchUp::Skip => on_time,
        CatchUp::Latest => on_time.max(1),
        CatchUp::All(most) => on_time + most as usize,
    };
    let from = latest.len().saturating_sub(wanted);
    let (dropped, request) = latest.split_at(from);
    let count = rest + dropped.len();
    let newest = latest.last().copied().unwrap_or(first);
    let left_out = (count > 0).then(|| LeftOut {
        count,
        first,
        last: dropped
            .last()
            .copied()
            .unwrap_or_else(|| latest.first().map_or(first, |tick| Micros(tick.0 - 1))),
    });
    Some(Decision {
        request: request.to_vec(),
        left_out,
        last: newest,
        next: times.after(newest),
    })
}

/// The ticks after `last` up to `now`, all left out: a person has said that the schedule goes on from now.
pub(crate) fn passed_over(times: &Times, last: Micros, now: Micros) -> Option<LeftOut> {
    let first = times.after(last).filter(|tick| *tick <= now)?;
    let due = due(times, first, now);
    Some(LeftOut {
        count: due.before + due.latest.len(),
        first,
        last: due.latest.last().copied().unwrap_or(first),
    })
}

/// Ticks that are due.
struct Due {
    /// The latest of them, in order.
    latest: Vec<Micros>,
    /// How many are known to be before these.
    before: usize,
}

/// At most so many steps of thought in each direction, however long nobody looked: a schedule of every second that was away
/// for a year has thirty million ticks.
fn due(times: &Times, first: Micros, now: Micros) -> Due {
    let next = |tick: &Micros| times.after(*tick).filter(|next| *next <= now);
    let mut forwards: Vec<Micros> = std::iter::successors(Some(first), next)
        .take(limits::DUE_TICKS)
        .collect();
    let end = forwards.last().copied().unwrap_or(first);
    if next(&end).is_none() {
        return Due {
            latest: forwards,
            before: 0,
        };
    }
    let previous = |tick: &Micros| times.until(Micros(tick.0 - 1)).filter(|tick| *tick > end);
    let newest = times.until(now).filter(|tick| *tick > end);
    let mut latest: Vec<Micros> = std::iter::successors(newest, previous)
        .take(limits::DUE_TICKS)
        .collect();
    latest.reverse();
    match latest.first() {
        // They meet: all are known.
        Some(tick) if previous(tick).is_none() => {
            forwards.extend(latest);
            Due {
                latest: forwards,
                before: 0,
            }
        }
        Some(_) => Due {
            latest,
            before: forwards.len(),
        },
        None => Due {
            latest: forwards,
            before: 0,
        },
    }
}

/// How long to wait for the next tick.
pub(crate) fn wait(next: Option<Micros>, now: Micros, at_most: Duration) -> Duration {
    let wait = next.map_or(micros(at_most), |next| next.0.saturating_sub(now.0));
    Duration::from_micros(wait.max(0).unsigned_abs()).min(at_most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    fn every(seconds: i64) -> Times {
        Times::Every {
            every_us: seconds * SECOND,
            from_us: 0,
        }
    }

    fn s(seconds: i64) -> Micros {
        Micros(seconds * SECOND)
    }

    #[test]
    fn nothing_is_due_before_the_next_tick_not_even_when_the_clock_goes_back() {
        for now in [100, 159, 50, -1_000] {
            assert_eq!(decide(&every(60), s(120), s(now), CatchUp::Latest), None);
        }
    }

    #[test]
    fn a_tick_is_requested_once_and_the_next_follows_from_it() {
        for catch_up in [CatchUp::Skip, CatchUp::Latest, CatchUp::All(5)] {
            let decided = decide(&every(60), s(60), s(171), catch_up).unwrap();
            assert_eq!((decided.request, decided.left_out), (vec![s(120)], None));
            // A late decision puts nothing off.
            assert_eq!((decided.last, decided.next), (s(120), Some(s(180))));
        }
    }

    #[test]
    fn of_those_that_are_late_the_policy_says_which_are_requested() {
        let decide = |catch_up| {
            let decided = decide(&every(3_600), Micros(0), s(36_100), catch_up).unwrap();
            assert_eq!((decided.last, decided.next), (s(36_000), Some(s(39_600))));
            let hours = decided.request.iter().map(|tick| tick.0 / HOUR);
            let left_out = decided
                .left_out
                .map(|out| (out.count, out.first.0 / HOUR, out.last.0 / HOUR));
            (hours.collect::<Vec<_>>(), left_out)
        };
        assert_eq!(decide(CatchUp::Skip), (vec![], Some((10, 1, 10))));
        assert_eq!(decide(CatchUp::Latest), (vec![10], Some((9, 1, 9))));
        assert_eq!(decide(CatchUp::All(3)), (vec![8, 9, 10], Some((7, 1, 7))));
        assert_eq!(decide(CatchUp::All(10)), ((1..=10).collect(), None));
    }

    #[test]
    fn what_is_on_time_is_requested_whatever_the_policy() {
        let decided = decide(&every(20), Micros(0), s(201), CatchUp::Skip).unwrap();
        assert_eq!(decided.request, [s(160), s(180), s(200)]);
        let left_out = decided.left_out.unwrap();
        assert_eq!((left_out.count, left_out.last), (7, s(140)));
        // The latest is on time: there is nothing to catch up with.
        let latest = decide(&every(20), Micros(0), s(201), CatchUp::Latest).unwrap();
        assert_eq!(latest.request, decided.request);
        let all = decide(&every(20), Micros(0), s(201), CatchUp::All(2)).unwrap();
        assert_eq!(all.request[..2], [s(120), s(140)]);
    }

    #[test]
    fn many_ticks_are_decided_in_parts_each_of_which_follows_from_the_one_before() {
        let decided = decide(&every(3_600), Micros(0), s(36_100), CatchUp::All(7)).unwrap();
        let parts = decided.parts(3);
        let hours = |at: Micros| at.0 / HOUR;
        let said: Vec<_> = parts
            .iter()
            .map(|part| {
                let left_out = part.left_out.map_or(0, |out| out.count);
                (
                    part.request.len(),
                    left_out,
                    hours(part.last),
                    part.next.map(hours),
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                (3, 3, 6, Some(7)),
                (3, 0, 9, Some(10)),
                (1, 0, 10, Some(11))
            ]
        );
        // Who dies in between leaves the others to be decided as they would have been.
        let rest = decide(&every(3_600), parts[0].last, s(36_200), CatchUp::All(7)).unwrap();
        assert_eq!(rest.request, decided.request[3..]);
        assert_eq!(decided.parts(7), std::slice::from_ref(&decided));
        let none = decide(&every(3_600), Micros(0), s(36_100), CatchUp::Skip).unwrap();
        assert_eq!(none.parts(3), std::slice::from_ref(&none));
    }

    #[test]
    fn what_is_passed_over_is_counted() {
        let out = passed_over(&every(60), s(60), s(250)).unwrap();
        assert_eq!((out.count, out.first, out.last), (3, s(120), s(240)));
        assert_eq!(passed_over(&every(60), s(60), s(119)), None);
        let year = passed_over(&every(1), s(0), s(365 * 24 * 3_600)).unwrap();
        assert!(year.count >= limits::DUE_TICKS && year.last == s(365 * 24 * 3_600));
    }

    #[test]
    fn years_without_anybody_are_decided_at_once() {
        for times in [every(1), Times::cron("* * * * * *", "UTC").unwrap()] {
            let years = s(3 * 365 * 24 * 3_600);
            let decided = decide(&times, Micros(0), years, CatchUp::All(500)).unwrap();
            assert_eq!((decided.last, decided.request.len()), (years, 561));
            let left_out = decided.left_out.unwrap();
            assert!(left_out.count >= limits::DUE_TICKS);
            assert_eq!(left_out.first, s(1));
            assert!(left_out.last < decided.request[0]);
        }
    }

    #[test]
    fn the_wait_is_no_longer_than_it_may_be_and_never_negative() {
        let at_most = Duration::from_secs(1);
        let wait = |next, now| wait(next, now, at_most);
        assert_eq!(wait(Some(s(5)), s(4)), at_most);
        assert_eq!(
            wait(Some(s(5)), Micros(4_999_000)),
            Duration::from_millis(1)
        );
        assert_eq!(wait(Some(s(5)), s(6)), Duration::ZERO);
        assert_eq!(wait(None, s(6)), at_most);
    }

    fn policies() -> impl Strategy<Value = CatchUp> {
        prop_oneof![
            Just(CatchUp::Skip),
            Just(CatchUp::Latest),
            (1u32..500).prop_map(CatchUp::All),
        ]
    }

    proptest! {
        /// However often and irregularly somebody looks: no tick twice, none out of order, and each is either requested or
        /// left out.
        #[test]
        fn every_tick_is_decided_once(
            seconds in 1i64..7_200,
            looks in prop::collection::vec(0i64..20_000, 1..20),
            catch_up in policies(),
        ) {
            let times = every(seconds);
            let (mut last, mut now) = (Micros(0), 0);
            let mut known: Vec<Micros> = Vec::new();
            let mut left_out = 0;
            for look in looks {
                now += look;
                let Some(decided) = decide(&times, last, s(now), catch_up) else { continue };
                left_out += decided.left_out.map_or(0, |out| out.count);
                prop_assert!(decided.request.iter().all(|tick| *tick > last && *tick <= s(now)));
                known.extend(&decided.request);
                last = decided.last;
                prop_assert_eq!(decided.next, times.after(last));
                prop_assert!(decide(&times, last, s(now), catch_up).is_none());
            }
            prop_assert!(known.is_sorted_by(|a, b| a < b));
            // More than can be counted happens only to those of few seconds.
            if seconds > 40 {
                prop_assert_eq!(known.len() + left_out, usize::try_from(now / seconds).unwrap());
            }
        }
    }
}
