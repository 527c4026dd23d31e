//! What has been told, and from where on to look for more.
//!
//! What has its time from when it was written is not committed in that order on PostgreSQL: a transaction may take long, and what
//! others wrote after it is there before it. So a pass over what occurred does not go on where the last one ended. It goes back to
//! the time at which the oldest transaction that was still writing can have begun to, and leaves out what it has seen there. The
//! database tells the numbers of transactions, which they get when they first write, and its clock. Each reading says: who has this
//! number or a larger one, has it since then at the earliest.
//!
//! SQLite has one writer, which reads the clock when the one before it has committed: what is there is all there was before it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Micros, micros};
use crate::id::IntentId;

/// How far back a pass goes at most. A transaction of the engine is given up within seconds; longer ones are those of others in
/// the same PostgreSQL, in which nothing of the engine's occurs.
const FARTHEST: Duration = Duration::from_secs(120);

/// How far back the first pass goes, which tells nothing: whoever was writing then, and commits later, is to be told of. Longer than
/// a call of the engine's may take.
const FIRST: Duration = Duration::from_secs(12);

/// Something that occurred to an intent, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    pub(crate) at: Micros,
    pub(crate) intent: IntentId,
    /// An event's number; 0 is the intent's end.
    pub(crate) seq: i64,
}

impl Occurrence {
    /// Before everything that occurred at this time.
    pub(crate) const fn before(at: Micros) -> Self {
        Self {
            at,
            intent: IntentId(Uuid::nil()),
            seq: 0,
        }
    }
}

/// The database's clock and transactions, as they were before a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) now: Micros,
    /// None where transactions are committed in the order of their times.
    pub(crate) writers: Option<Writers>,
}

/// Numbers of transactions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writers {
    /// The oldest that was writing; the next one if there was none.
    pub(crate) oldest: i64,
    pub(crate) next: i64,
}

/// Where a subscription is.
#[derive(Debug)]
pub(crate) struct Window {
    /// All up to here has been told.
    from: Occurrence,
    /// Up to where this pass has come.
    cursor: Occurrence,
    /// Nothing that occurred before this can come any more.
    horizon: Micros,
    /// What has been seen after the horizon.
    seen: Arc<BTreeSet<Occurrence>>,
    /// When which number was the next.
    readings: VecDeque<(Micros, i64)>,
    is_in_order: bool,
}

impl Window {
    /// From somewhere on; or from where the first pass, of which nothing is to be told, has to begin.
    pub(crate) fn new(from: Option<Occurrence>, reading: Reading) -> Self {
        let first = Micros(reading.now.0.saturating_sub(micros(FIRST)));
        let from = from.unwrap_or(Occurrence::before(first));
        let mut window = Self {
            from,
            cursor: from,
            horizon: from.at,
            seen: Arc::default(),
            readings: VecDeque::new(),
            is_in_order: reading.writers.is_none(),
        };
        window.begin(reading);
        window
    }

    /// Where a page of this pass begins.
    pub(crate) fn cursor(&self) -> Occurrence {
        self.cursor
    }

    /// What is left out.
    pub(crate) fn seen(&self) -> Arc<BTreeSet<Occurrence>> {
        self.seen.clone()
    }

    /// Another pass, with a reading from before it.
    pub(crate) fn begin(&mut self, reading: Reading) {
        if reading.now < self.from.at {
            // The clock was set back, and goes over this once more.
            self.from = Occurrence::before(reading.now);
            self.readings.clear();
        }
        if let Some(Writers { oldest, next }) = reading.writers {
            self.readings.push_back((reading.now, next));
            // Who was writing has a number that was not given before one of these.
            let known = self.readings.iter().rposition(|(_, next)| *next <= oldest);
            if let Some(known) = known {
                self.readings.drain(..known);
                self.horizon = self.readings[0].0;
            }
            let farthest = Micros(reading.now.0.saturating_sub(micros(FARTHEST)));
            self.horizon = self.horizon.clamp(farthest, reading.now);
            self.readings.retain(|(at, _)| *at >= farthest);
        }
        self.cursor = self.from;
    }

    /// The pass has come so far.
    pub(crate) fn pass(&mut self, occurrence: Occurrence) {
        self.cursor = occurrence;
        if self.is_in_order && occurrence.at > self.horizon {
            self.horizon = occurrence.at;
            self.seen = Arc::default();
        }
        if occurrence.at >= self.horizon {
            Arc::make_mut(&mut self.seen).insert(occurrence);
        }
    }

    /// The pass has come to the end.
    pub(crate) fn end(&mut self) {
        self.from = self.from.max(Occurrence::before(self.horizon));
        let told = Arc::make_mut(&mut self.seen);
        *told = told.split_off(&self.from);
        self.cursor = self.from;
    }

    /// Where somebody goes on who has been told of everything up to this one, in this pass.
    pub(crate) fn position(&self, occurrence: Occurrence) -> Occurrence {
        match self.is_in_order {
            true => occurrence,
            false => occurrence
                .min(Occurrence::before(self.horizon))
                .max(self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(now: i64, oldest: i64, next: i64) -> Reading {
        Reading {
            now: Micros(now),
            writers: Some(Writers { oldest, next }),
        }
    }

    fn in_order(now: i64) -> Reading {
        Reading {
            now: Micros(now),
            writers: None,
        }
    }

    fn end(at: i64, id: u128) -> Occurrence {
        Occurrence {
            at: Micros(at),
            intent: IntentId(Uuid::from_u128(id)),
            seq: 0,
        }
    }

    /// A pass over what is there. Returns what is new.
    fn pass(window: &mut Window, reading: Reading, there: &[Occurrence]) -> Vec<Occurrence> {
        window.begin(reading);
        let mut there = there.to_vec();
        there.sort_unstable();
        let mut new = Vec::new();
        for occurrence in there {
            if occurrence > window.cursor() {
                if !window.seen().contains(&occurrence) {
                    new.push(occurrence);
                }
                window.pass(occurrence);
            }
        }
        window.end();
        new
    }

    #[test]
    fn what_is_committed_late_is_told() {
        let mut window = Window::new(Some(end(100, 0)), reading(100, 7, 7));
        // Transaction 7 writes at 110 and stays open; 8 writes at 120.
        let told = pass(&mut window, reading(130, 7, 9), &[end(120, 8)]);
        assert_eq!(told, [end(120, 8)]);
        let told = pass(&mut window, reading(230, 7, 9), &[end(120, 8)]);
        assert_eq!(told, []);
        let both = [end(110, 7), end(120, 8)];
        assert_eq!(pass(&mut window, reading(330, 9, 9), &both), [end(110, 7)]);
        assert_eq!(pass(&mut window, reading(430, 9, 9), &both), []);
        assert!(window.seen().is_empty() && window.cursor() == Occurrence::before(Micros(430)));
    }

    #[test]
    fn a_transaction_that_began_between_two_readings_is_as_old_as_the_first_of_them() {
        let mut window = Window::new(Some(end(100, 0)), reading(100, 7, 7));
        pass(&mut window, reading(200, 7, 7), &[]);
        // Now 7 has begun to write, after 200.
        pass(&mut window, reading(300, 7, 8), &[]);
        assert_eq!(window.cursor(), Occurrence::before(Micros(200)));
        pass(&mut window, reading(400, 9, 9), &[]);
        assert_eq!(window.cursor(), Occurrence::before(Micros(400)));
    }

    #[test]
    fn whoever_else_writes_for_hours_does_not_hold_it_back_for_ever() {
        let second = 1_000_000;
        let mut window = Window::new(Some(end(0, 0)), reading(0, 7, 8));
        for now in 1..1_000 {
            pass(
                &mut window,
                reading(now * second, 7, 8 + now),
                &[end(now * second, 1)],
            );
        }
        assert_eq!(
            window.cursor(),
            Occurrence::before(Micros((999 - 120) * second))
        );
        assert!(window.seen().len() <= 121 && window.readings.len() <= 122);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let mut window = Window::new(Some(end(1_000, 0)), reading(1_000, 0, 0));
        pass(&mut window, reading(2_000, 0, 0), &[end(1_500, 1)]);
        let told = pass(
            &mut window,
            reading(500, 0, 0),
            &[end(450, 2), end(1_500, 1)],
        );
        // Twice, rather than never.
        assert_eq!(told, [end(1_500, 1)]);
        let told = pass(
            &mut window,
            reading(600, 0, 0),
            &[end(550, 3), end(1_500, 1)],
        );
        assert_eq!(told, [end(550, 3)]);
    }

    #[test]
    fn what_was_being_written_when_it_began_is_told() {
        let second = 1_000_000;
        let at = |seconds: i64| reading(seconds * second, 7, 8);
        // Transaction 7 has written at 95; what is there already is seen by the first pass.
        let mut window = Window::new(None, at(100));
        let there = end(97 * second, 1);
        pass(&mut window, at(100), &[there]);
        let told = pass(&mut window, at(101), &[end(95 * second, 7), there]);
        assert_eq!(told, [end(95 * second, 7)]);
    }

    #[test]
    fn where_commits_are_in_order_a_pass_goes_on_where_the_last_one_ended() {
        let mut window = Window::new(Some(end(100, 0)), in_order(100));
        let there = [end(200, 1), end(300, 2)];
        assert_eq!(pass(&mut window, in_order(500), &there), there);
        assert_eq!(window.position(end(300, 2)), end(300, 2));
        // It took its time from the clock before that reading.
        let more = [end(300, 2), end(400, 3)];
        assert_eq!(pass(&mut window, in_order(600), &more), [end(400, 3)]);
        assert!(window.seen().len() == 1);
    }

    #[test]
    fn a_position_is_the_last_that_was_told_where_nothing_can_come_before_it() {
        let mut window = Window::new(Some(end(100, 1)), reading(500, 7, 7));
        window.begin(reading(500, 7, 7));
        assert_eq!(window.position(end(300, 2)), end(300, 2));
        // What comes after the reading may come in another order.
        assert_eq!(
            window.position(end(600, 2)),
            Occurrence::before(Micros(500))
        );
    }
}
