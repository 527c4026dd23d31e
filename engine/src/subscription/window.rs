//! What has been told, and from where on to look for more.
//!
//! What has its time from when it was written is not committed in that order on PostgreSQL: a transaction may take long, and what
//! others wrote after it is there before it. So a pass over what occurred does not go on where the last one ended. It goes back to
//! the time at which the oldest transaction that was still writing can have begun to, and leaves out what it has seen there. The
//! database tells the numbers of transactions, which they get when they first write, and its clock. Each reading says: who has this
//! number or a larger one, got it after that.
//!
//! SQLite has one writer, which reads the clock when the one before it has committed: what is there is all there was before it.
//!
//! A pass ends at the time of its reading, however much is written meanwhile. It goes back a second further than it has to, for
//! times that were read shortly before a number was given. A clock that is set back is found out by this process's own, and gone
//! after.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::clock::{Micros, micros};
use crate::id::IntentId;

/// How much further back a pass goes than it has to.
const MARGIN: Duration = Duration::from_secs(1);

/// How far back a pass goes at most, while the clock runs evenly. A transaction of the engine is given up within seconds; longer
/// ones are those of others in the same PostgreSQL, in which nothing of the engine's occurs.
const FARTHEST: Duration = Duration::from_secs(120);

/// How far back the first pass goes, which tells nothing: whoever was writing then, and commits later, is to be told of. Longer than
/// a call of the engine's may take.
const FIRST: Duration = Duration::from_secs(30);

/// Something that occurred to an intent, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    pub(crate) at: Micros,
    pub(crate) intent: IntentId,
    /// An event's number. The intent's end comes after all that was written with it.
    pub(crate) seq: i64,
}

impl Occurrence {
    /// The number of an end.
    pub(crate) const END: i64 = i64::MAX;

    /// Before everything that occurred at this time.
    pub(crate) fn before(at: Micros) -> Self {
        /// From the year 1970 to the year 9999: times that every database can compare with.
        const CALENDAR: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_000_000;
        Self {
            at: Micros(at.0.clamp(*CALENDAR.start(), *CALENDAR.end())),
            intent: IntentId(Uuid::nil()),
            seq: 0,
        }
    }
}

/// The database's clock and transactions, as they were before a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) now: Micros,
    /// By this process's clock.
    pub(crate) at: Instant,
    /// None where transactions are committed in the order of their times.
    pub(crate) writers: Option<Writers>,
}

/// Numbers of transactions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writers {
    /// All before this one have ended.
    pub(crate) oldest: i64,
    /// Nobody had this one or a larger one.
    pub(crate) next: i64,
}

/// Where a subscription is.
#[derive(Debug)]
pub(crate) struct Window {
    /// All up to here has been told.
    from: Occurrence,
    /// Up to where this pass has come.
    cursor: Occurrence,
    /// The reading before this pass.
    reading: Reading,
    /// Nothing that occurred before this can come any more, but for the margin.
    horizon: Micros,
    /// What has been seen after the horizon.
    seen: Arc<BTreeSet<Occurrence>>,
    /// When which number was nobody's.
    numbers: VecDeque<(Micros, i64)>,
    /// Since when the two clocks have run alike.
    steady: Instant,
}

impl Window {
    /// From somewhere on; or from where the first pass, of which nothing is to be told, has to begin.
    pub(crate) fn new(from: Option<Occurrence>, reading: Reading) -> Self {
        let now = Occurrence::before(reading.now);
        let from = match from {
            Some(from) => from.min(now).max(Occurrence::before(Micros(0))),
            None => Occurrence::before(back(reading.now, FIRST)),
        };
        let mut window = Self {
            from,
            cursor: from,
            reading,
            horizon: from.at,
            seen: Arc::default(),
            numbers: VecDeque::new(),
            steady: reading.at,
        };
        window.begin(reading);
        window
    }

    /// Where a page of this pass begins.
    pub(crate) fn cursor(&self) -> Occurrence {
        self.cursor
    }

    /// Up to where everything had been told before this pass.
    pub(crate) fn from(&self) -> Occurrence {
        self.from
    }

    /// Where this pass ends.
    pub(crate) fn until(&self) -> Micros {
        self.reading.now
    }

    /// What is left out.
    pub(crate) fn seen(&self) -> Arc<BTreeSet<Occurrence>> {
        self.seen.clone()
    }

    /// Another pass, with a reading from before it.
    pub(crate) fn begin(&mut self, reading: Reading) {
        self.follow(reading);
        if let Some(Writers { oldest, next }) = reading.writers {
            self.numbers.push_back((reading.now, next));
            // Who is writing has a number that was nobody's then.
            let known = self.numbers.iter().rposition(|(_, next)| *next <= oldest);
            if let Some(known) = known {
                self.numbers.drain(..known);
                self.horizon = self.numbers[0].0;
            }
            if reading.at.saturating_duration_since(self.steady) >= FARTHEST {
                self.horizon = self.horizon.max(back(reading.now, FARTHEST));
                self.numbers.retain(|(at, _)| *at >= self.horizon);
            }
        }
        self.horizon = self.horizon.min(reading.now);
        self.reading = reading;
        self.cursor = self.from;
    }

    /// Finds out whether the database's clock was set.
    fn follow(&mut self, reading: Reading) {
        let elapsed = reading.at.saturating_duration_since(self.reading.at);
        let moved = reading.now.0.saturating_sub(self.reading.now.0);
        let ahead = moved.saturating_sub(micros(elapsed));
        // Clocks differ by less than a thousandth.
        let tolerance = micros(MARGIN / 2 + elapsed / 1_000);
        if ahead.saturating_abs() <= tolerance {
            return;
        }
        self.steady = reading.at;
        if ahead < 0 {
            // Whatever was written since has been written after this.
            let earliest = Micros(self.reading.now.0.saturating_add(ahead));
            self.from = self.from.min(Occurrence::before(back(earliest, MARGIN)));
            self.horizon = self.from.at;
            self.numbers.clear();
        }
    }

    /// The pass has come so far.
    pub(crate) fn pass(&mut self, occurrence: Occurrence) {
        self.cursor = occurrence;
        if self.reading.writers.is_none() {
            self.horizon = self.horizon.max(occurrence.at);
        }
        let floor = self.floor();
        let seen = Arc::make_mut(&mut self.seen);
        if occurrence >= floor {
            seen.insert(occurrence);
        }
        while seen
            .first()
            .is_some_and(|first| *first < self.from && *first < floor)
        {
            seen.pop_first();
        }
    }

    /// The pass has come to its end.
    pub(crate) fn end(&mut self) {
        self.from = self.from.max(self.floor());
        let seen = Arc::make_mut(&mut self.seen);
        *seen = seen.split_off(&self.from);
        self.cursor = self.from;
    }

    /// What is before this cannot come any more.
    fn floor(&self) -> Occurrence {
        Occurrence::before(back(self.horizon, MARGIN))
    }

    /// Where somebody goes on who has been told of everything up to this one, in this pass.
    pub(crate) fn position(&self, occurrence: Occurrence) -> Occurrence {
        match self.reading.writers {
            Some(_) => occurrence.min(self.floor()).max(self.from),
            None => occurrence,
        }
    }
}

fn back(at: Micros, by: Duration) -> Micros {
    Micros(at.0.saturating_sub(micros(by)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times here are milliseconds after some day.
    const DAY: i64 = 1_795_000_000_000;

    fn at(ms: i64) -> Micros {
        Micros((DAY + ms) * 1_000)
    }

    /// The database's clock, and how long this process has run.
    fn reading_at(ms: i64, runs: u64, writers: Option<Writers>) -> Reading {
        static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        Reading {
            now: at(ms),
            at: *BEGAN + Duration::from_millis(runs),
            writers,
        }
    }

    fn reading(ms: i64, oldest: i64, next: i64) -> Reading {
        reading_at(ms, ms as u64, Some(Writers { oldest, next }))
    }

    fn in_order(ms: i64) -> Reading {
        reading_at(ms, ms as u64, None)
    }

    fn end(ms: i64, id: u128) -> Occurrence {
        Occurrence {
            at: at(ms),
            intent: IntentId(Uuid::from_u128(id)),
            seq: Occurrence::END,
        }
    }

    fn since(ms: i64, reading: Reading) -> Window {
        Window::new(Some(Occurrence::before(at(ms))), reading)
    }

    /// A pass over what is there. Returns what is new, as ids.
    fn pass(window: &mut Window, reading: Reading, there: &[Occurrence]) -> Vec<u128> {
        window.begin(reading);
        let mut there = there.to_vec();
        there.sort_unstable();
        let mut new = Vec::new();
        for occurrence in there {
            if occurrence > window.cursor() && occurrence.at <= window.until() {
                if !window.seen().contains(&occurrence) {
                    new.push(occurrence.intent.0.as_u128());
                }
                window.pass(occurrence);
            }
        }
        window.end();
        new
    }

    #[test]
    fn what_is_committed_late_is_told() {
        let mut window = since(10_000, reading(10_000, 7, 7));
        // Transaction 7 writes at 11,000 and stays open; 8 writes at 12,000.
        assert_eq!(
            pass(&mut window, reading(13_000, 7, 9), &[end(12_000, 8)]),
            [8]
        );
        assert!(pass(&mut window, reading(23_000, 7, 9), &[end(12_000, 8)]).is_empty());
        let both = [end(11_000, 7), end(12_000, 8)];
        assert_eq!(pass(&mut window, reading(33_000, 9, 9), &both), [7]);
        assert!(pass(&mut window, reading(43_000, 9, 9), &both).is_empty());
        assert!(window.seen().is_empty() && window.from.at == at(42_000));
    }

    #[test]
    fn whoever_writes_alone_is_the_newest_number_and_no_ended_one() {
        // 7 has written, and nobody else has since: the oldest that has not ended is 7 itself, and 8 is the next.
        let mut window = since(10_000, reading(10_000, 7, 7));
        pass(&mut window, reading(20_000, 7, 8), &[]);
        pass(&mut window, reading(30_000, 7, 8), &[]);
        assert_eq!(
            pass(&mut window, reading(40_000, 8, 8), &[end(11_000, 7)]),
            [7]
        );
    }

    #[test]
    fn a_transaction_that_began_between_two_readings_is_as_old_as_the_first_of_them() {
        let mut window = since(10_000, reading(10_000, 7, 7));
        pass(&mut window, reading(20_000, 7, 7), &[]);
        // Now 7 has begun to write, after 20,000.
        pass(&mut window, reading(30_000, 7, 8), &[]);
        assert_eq!(window.from.at, at(19_000));
        pass(&mut window, reading(40_000, 9, 9), &[]);
        assert_eq!(window.from.at, at(39_000));
    }

    #[test]
    fn whoever_else_writes_for_hours_does_not_hold_it_back_for_ever() {
        let mut window = since(0, reading(0, 7, 8));
        for second in 1..1_000 {
            let there = [end(second * 1_000, 1)];
            pass(&mut window, reading(second * 1_000, 7, 8 + second), &there);
        }
        assert_eq!(window.from.at, at((999 - 121) * 1_000));
        assert!(window.seen().len() <= 122 && window.numbers.len() <= 121);
    }

    #[test]
    fn a_pass_ends_although_more_is_written_all_the_time() {
        let mut window = since(0, reading(10_000, 7, 8));
        let later = end(10_001, 2);
        assert_eq!(
            pass(&mut window, reading(10_000, 7, 8), &[end(9_000, 1), later]),
            [1]
        );
        assert_eq!(pass(&mut window, reading(20_000, 9, 9), &[later]), [2]);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        for numbered in [true, false] {
            let reading = |ms, runs| {
                let numbers = Writers { oldest: 7, next: 7 };
                reading_at(ms, runs, numbered.then_some(numbers))
            };
            let mut window = since(50_000, reading(50_000, 50_000));
            assert_eq!(
                pass(&mut window, reading(60_000, 60_000), &[end(59_500, 1)]),
                [1]
            );
            // By 40 seconds, five seconds after that; 2 ends one second later, 3 before the next pass but one.
            let there = [end(26_000, 2), end(59_500, 1)];
            assert_eq!(pass(&mut window, reading(30_000, 70_000), &there), [2]);
            let there = [end(26_000, 2), end(31_000, 3), end(59_500, 1)];
            assert_eq!(pass(&mut window, reading(32_000, 72_000), &there), [3]);
            // What was told comes again when its time does, rather than never.
            let again = pass(&mut window, reading(62_000, 102_000), &there);
            assert!(again.is_empty() || again == [1], "{again:?}");
        }
    }

    #[test]
    fn a_clock_that_leaps_forward_leaves_nobody_behind_who_is_writing() {
        let writing = |ms, runs| reading_at(ms, runs, Some(Writers { oldest: 7, next: 8 }));
        let mut window = since(10_000, reading(10_000, 7, 7));
        for second in 10..200 {
            pass(&mut window, reading(second * 1_000, 7, 7), &[]);
        }
        // 7 begins to write; the clock goes ten minutes ahead.
        pass(&mut window, writing(200_000, 200_000), &[]);
        pass(&mut window, writing(801_000, 201_000), &[]);
        let ended = reading_at(802_000, 202_000, Some(Writers { oldest: 8, next: 8 }));
        assert_eq!(pass(&mut window, ended, &[end(199_500, 7)]), [7]);
    }

    #[test]
    fn what_was_being_written_when_it_began_is_told() {
        // Transaction 7 has written at 95,000; what is there already is seen by the first pass.
        let mut window = Window::new(None, reading(100_000, 7, 8));
        let there = end(97_000, 1);
        pass(&mut window, reading(100_000, 7, 8), &[there]);
        let told = pass(
            &mut window,
            reading(101_000, 8, 8),
            &[end(95_000, 7), there],
        );
        assert_eq!(told, [7]);
    }

    #[test]
    fn where_commits_are_in_order_a_pass_goes_on_where_the_last_one_ended() {
        let mut window = since(10_000, in_order(10_000));
        let there = [end(20_000, 1), end(30_000, 2)];
        assert_eq!(pass(&mut window, in_order(50_000), &there), [1, 2]);
        // It has its time from before that reading.
        let more = [end(30_000, 2), end(40_000, 3)];
        assert_eq!(pass(&mut window, in_order(60_000), &more), [3]);
        assert!(window.seen().len() == 1);
    }

    #[test]
    fn a_position_is_the_last_that_was_told_where_nothing_can_come_before_it() {
        let window = since(10_000, reading(50_000, 7, 7));
        assert_eq!(window.position(end(30_000, 2)), end(30_000, 2));
        // What comes about the time of the reading may come in another order.
        assert_eq!(
            window.position(end(49_500, 2)),
            Occurrence::before(at(49_000))
        );
    }

    #[test]
    fn a_position_is_a_time_that_a_database_has() {
        let now = reading(0, 7, 7);
        for wrong in [i64::MIN, i64::MAX] {
            let from = Occurrence {
                at: Micros(wrong),
                ..end(0, 1)
            };
            let window = Window::new(Some(from), now);
            assert!(window.cursor().at.0 >= 0 && window.cursor().at <= at(0));
        }
    }
}
