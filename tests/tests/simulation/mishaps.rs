//! Mishaps: what goes wrong, and when.

use intendant::testing::Fault;
use intendant::testing::troupe::Fate;
use rand::RngExt as _;

use crate::run::{Run, Stop};

/// How far the clock may be set, in either direction.
const SKEW_US: i64 = 300_000_000;

/// What has gone wrong, as the seed wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mishap {
    Killed,
    /// A worker stands still for a while.
    Paused,
    /// One that lives has been taken for dead.
    ReapedAlive,
    DiedBeforeCommit,
    DiedAfterCommit,
    CommitNotSent,
    AnswerLost,
    StepErred,
    StepPanicked,
    StepDied,
    StepRepeated,
    /// A worker begins a step although its session is gone: whatever it does counts for nothing.
    StaleAttempt,
    ClockSet,
}

impl Mishap {
    pub(crate) const ALL: [Self; 13] = [
        Self::Killed,
        Self::Paused,
        Self::ReapedAlive,
        Self::DiedBeforeCommit,
        Self::DiedAfterCommit,
        Self::CommitNotSent,
        Self::AnswerLost,
        Self::StepErred,
        Self::StepPanicked,
        Self::StepDied,
        Self::StepRepeated,
        Self::StaleAttempt,
        Self::ClockSet,
    ];
}

impl Run {
    pub(crate) async fn take_a_life(&mut self) -> Result<(), Stop> {
        let worker = self.dice.random_range(0..self.troupe.len());
        if !self.troupe.is_alive(worker) {
            self.tell(|| format!("worker {worker} starts"));
            self.paused.remove(&worker);
            return Ok(self.troupe.start(worker).await?);
        }
        if self.strikes(Mishap::Killed) {
            self.tell(|| format!("worker {worker} is killed"));
            self.troupe.kill(worker).await;
        }
        Ok(())
    }

    pub(crate) fn pause(&mut self) -> Result<(), Stop> {
        let worker = self.dice.random_range(0..self.troupe.len());
        let until = self.event + self.dice.random_range(5..60);
        if self.troupe.is_alive(worker) && self.strikes(Mishap::Paused) {
            self.tell(|| format!("worker {worker} stands still until {until}"));
            self.paused.insert(worker, until);
        }
        Ok(())
    }

    /// One that can tell finds a session of another one silent, rightly or not.
    pub(crate) async fn look_at_sessions(&mut self) -> Result<(), Stop> {
        let Some(worker) = self.one_that_moves() else {
            return Ok(());
        };
        let own = self.troupe.name(worker);
        let sessions = self.troupe.sessions().await?;
        let others: Vec<_> = sessions.into_iter().filter(|name| *name != own).collect();
        if others.is_empty() {
            return Ok(());
        }
        let other = &others[self.dice.random_range(0..others.len())];
        let moving = |of: &usize| self.troupe.is_alive(*of) && self.troupe.name(*of) == *other;
        let alive = (0..self.troupe.len()).find(moving);
        // Of a session that is well nobody thinks so as a rule.
        let well = alive.filter(|it| !self.paused.contains_key(it)).is_some();
        let wrongly = self.dice.random_bool(0.1);
        if well && !wrongly || alive.is_some() && !self.strikes(Mishap::ReapedAlive) {
            return Ok(());
        }
        self.tell(|| format!("worker {worker} ends the session of {other}"));
        Ok(self.troupe.reap(worker, other).await?)
    }

    pub(crate) fn one_that_moves(&mut self) -> Option<usize> {
        let moving = |it: &usize| self.troupe.is_alive(*it) && !self.paused.contains_key(it);
        let moving: Vec<_> = (0..self.troupe.len()).filter(moving).collect();
        let nth = self.dice.random_range(0..moving.len().max(1));
        moving.get(nth).copied()
    }

    pub(crate) fn set_clock(&mut self) -> Result<(), Stop> {
        let ahead = self.dice.random_range(-SKEW_US..=SKEW_US);
        // A rate is of the clock's time, and one that is set gives or takes some of it.
        if self.features.rate.is_some() {
            return Ok(());
        }
        if self.strikes(Mishap::ClockSet) {
            self.tell(|| format!("the clock is set to {ahead} µs from the time"));
            self.troupe.set_clock(ahead);
        }
        Ok(())
    }

    pub(crate) fn fate(&mut self) -> Fate {
        let (fate, mishap) = match self.dice.random_range(0..100) {
            0..2 => (Fate::DiesBefore, Mishap::DiedBeforeCommit),
            2..4 => (Fate::DiesAfter, Mishap::DiedAfterCommit),
            4..7 => (Fate::NotSent, Mishap::CommitNotSent),
            7..11 => (Fate::AnswerLost, Mishap::AnswerLost),
            _ => return Fate::Done,
        };
        if self.strikes(mishap) {
            fate
        } else {
            Fate::Done
        }
    }

    pub(crate) fn fault(&mut self) -> Option<(Fault, bool)> {
        let (fault, mishap) = match self.dice.random_range(0..100) {
            0..2 => (Fault::Error, Mishap::StepErred),
            2..4 => (Fault::Panic, Mishap::StepPanicked),
            4..6 => (Fault::Crash, Mishap::StepDied),
            6..8 => (Fault::Repeat, Mishap::StepRepeated),
            _ => return None,
        };
        let is_after = self.dice.random_bool(0.5);
        self.strikes(mishap).then_some((fault, is_after))
    }
}
