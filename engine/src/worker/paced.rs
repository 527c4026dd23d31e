//! Paced: what a worker has of the permits of a queue with a rate, and when it asks again.
//!
//! A permit is for an attempt that begins, and is used at once: it is asked for with the tick that claims what it is for, or for
//! steps in hand that could begin. One that is not used within a short time of its ask is void, so that what was permitted begins
//! about when it was permitted; it is given back then, as far as it is worth anything. Who gets fewer than it has use for is told
//! when there is another one, and neither asks nor claims before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Micros;
use crate::limits;
use crate::rate::{GivenBack, PermitAsk, PermitsGiven, Rate, is_worth};

/// What a worker has of a queue with a rate.
#[derive(Debug, Default)]
pub(super) struct Paced {
    /// Permits that were not used yet, oldest first.
    held: VecDeque<Held>,
    /// It is to ask no earlier.
    wait_until: Option<Duration>,
    /// When to look next whether there are any, if that is long before.
    look_at: Duration,
}

/// Permits of one answer.
#[derive(Debug)]
struct Held {
    count: usize,
    /// When they were given, by the database's clock.
    at: Micros,
    /// When they were asked for, here.
    asked: Duration,
    rate: Rate,
}

impl Held {
    fn until(&self) -> Duration {
        self.asked + limits::PERMIT_TERM
    }
}

impl Paced {
    /// People have said something new: what it was told does not count any more.
    pub(super) fn doubt(&mut self) {
        self.wait_until = None;
    }

    /// It waits for its next permit.
    pub(super) fn waits(&self) -> bool {
        self.wait_until.is_some()
    }

    /// Whether to look now for what somebody has given back: from time to time, if the wait is long.
    pub(super) fn is_to_look(&mut self, now: Duration) -> bool {
        let is_far = self.wait_until > Some(now + limits::PERMIT_LOOK);
        let looks = is_far && self.look_at <= now;
        if looks {
            self.look_at = now + limits::PERMIT_LOOK;
        }
        looks
    }

    pub(super) fn wait_until(&self) -> Option<Duration> {
        self.wait_until
    }

    /// The time has come to ask again, perhaps: also if permits are void and about to be given back, which may be used anew.
    pub(super) fn wake(&mut self, now: Duration) {
        let gives_back = self.void_at().is_some_and(|at| at <= now);
        self.wait_until.take_if(|until| *until <= now || gives_back);
    }

    /// A look has found when the next permit comes: much sooner than it was told if somebody has given one back.
    pub(super) fn seen(&mut self, next_in: Duration, now: Duration) {
        if let Some(until) = &mut self.wait_until
            && now + next_in + limits::PERMIT_LOOK < *until
        {
            *until = now + next_in;
        }
    }

    /// Permits that it may use.
    pub(super) fn usable(&self, now: Duration) -> usize {
        let usable = self.held.iter().filter(|held| now < held.until());
        usable.map(|held| held.count).sum()
    }

    /// Uses a permit. Returns until when that is one.
    pub(super) fn take(&mut self, now: Duration) -> Option<Duration> {
        let held = self.held.iter_mut().find(|held| now < held.until())?;
        held.count -= 1;
        let until = held.until();
        self.held.retain(|held| held.count > 0);
        Some(until)
    }

    /// What to ask, if anything. `can_begin`: steps in hand that could begin now; `claims`: there may be more to claim; `stops`:
    /// nothing is begun any more.
    pub(super) fn ask(
        &mut self,
        queue: &Arc<str>,
        can_begin: usize,
        claims: bool,
        stops: bool,
        now: Duration,
    ) -> Option<PermitAsk> {
        let given_back = self.give_back(stops, now);
        let usable = self.usable(now);
        let open = !self.waits() && !stops;
        let in_hand = match open {
            true => can_begin.saturating_sub(usable),
            false => 0,
        };
        let asks = in_hand > 0 || (claims && open) || given_back.is_some();
        asks.then(|| PermitAsk {
            queue: queue.clone(),
            in_hand,
            spare: usable.saturating_sub(can_begin),
            given_back,
        })
    }

    /// Takes out what is void. Returns what of it is worth giving back.
    fn give_back(&mut self, stops: bool, now: Duration) -> Option<GivenBack> {
        let mut back: Option<GivenBack> = None;
        while let Some(held) = self.held.pop_front_if(|held| stops || held.until() <= now) {
            if is_worth(&held.rate, held.count, now.saturating_sub(held.asked)) {
                let before = back.map_or((0, held.at), |back| (back.count, back.since));
                back = Some(GivenBack {
                    count: before.0 + held.count,
                    since: before.1.min(held.at),
                });
            }
        }
        back
    }

    /// What has come of an ask that was made at `asked`.
    pub(super) fn answered(&mut self, given: &PermitsGiven, asked: Duration, random: u64) {
        let Some(rate) = given.rate else { return };
        if given.given > 0 {
            self.held.push_back(Held {
                count: given.given,
                at: given.at,
                asked,
                rate,
            });
        }
        if given.missing > 0 {
            let pause = rate.pause(given.missing, given.next_in);
            // From when it was asked, since the next ask takes as long to get there.
            self.wait_until = Some(asked + pause + jitter(pause.max(rate.interval()), random));
        }
    }

    /// When permits that are held become void, and are to be given back.
    pub(super) fn void_at(&self) -> Option<Duration> {
        self.held.front().map(Held::until)
    }
}

/// A part of a time, by chance; in whole microseconds, as all times are.
fn jitter(of: Duration, random: u64) -> Duration {
    let most = (of / limits::PERMIT_JITTER).min(limits::PERMIT_JITTER_CAP);
    let most = u64::try_from(most.as_micros()).unwrap_or_default();
    Duration::from_micros(random % (most + 1))
}

#[cfg(test)]
mod tests;
