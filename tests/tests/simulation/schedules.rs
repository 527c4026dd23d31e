//! Schedules: a rule that asks again and again, which every worker declares; and what must become of its ticks.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use intendant::{CatchUp, Schedule, TickRecord, TickState, Worker, limits};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::asking::Wish;
use crate::features::Seen;
use crate::judge::must;
use crate::people::ACTOR;
use crate::program::{DEPTH, Hold, Kind, Program, Release, Undo};
use crate::run::{Run, Stop};
use crate::script::Asked;
use crate::world::World;

/// Its name.
const NAME: &str = "again";

/// More ticks than come to pass in a run.
const TICKS: u32 = 1_000;

/// What is asked for again and again.
#[derive(Debug, Clone)]
pub(crate) struct Ticking {
    every_s: u32,
    catch_up: CatchUp,
    overlaps: bool,
    wish: Wish,
}

/// What has become of the ticks so far.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    /// By time, and whether a person has asked for it.
    known: BTreeMap<(DateTime<Utc>, bool), TickState>,
    /// Up to then all are decided, in microseconds.
    last: i64,
    /// When the workers that look, or have looked last, read the clock for it, by their names.
    looked: BTreeMap<String, i64>,
    is_paused: bool,
    /// How often a person has asked for one.
    by_hand: usize,
}

impl Ticking {
    pub(crate) fn random(dice: &mut StdRng) -> Self {
        let every_s = [90, 300, 1_000][dice.random_range(0..3)];
        let catch_up = match dice.random_range(0..3) {
            0 => CatchUp::Skip,
            1 => CatchUp::Latest,
            _ => CatchUp::All(dice.random_range(1..=4)),
        };
        let program = loop {
            // Those of the others are failures enough: whoever fails here stands before all ticks that follow.
            let program = Program::random(dice, DEPTH);
            if program.can_succeed() {
                break program;
            }
        };
        Self {
            every_s,
            catch_up,
            overlaps: dice.random_bool(0.5),
            wish: Wish::new(Kind::ALL[dice.random_range(0..3)], program),
        }
    }

    pub(crate) fn declare(&self, worker: Worker<World>) -> Worker<World> {
        let every = Duration::from_secs(self.every_s.into());
        let mut schedule = Schedule::every(NAME, every).catch_up(self.catch_up);
        if self.overlaps {
            schedule = schedule.overlapping();
        }
        let program = self.wish.program.clone();
        match self.wish.kind {
            Kind::Hold => worker.schedule(schedule, move |_| Hold(program.clone())),
            Kind::Release => worker.schedule(schedule, move |_| Release(program.clone())),
            Kind::Undo => worker.schedule(schedule, move |_| Undo(program.clone())),
        }
    }

    /// The ticks after `last` up to `now`: those that are left out, and those that request an intent, by what the documentation
    /// says of a policy.
    fn decided(&self, last: i64, now: i64) -> (Vec<i64>, Vec<i64>) {
        let every = i64::from(self.every_s) * 1_000_000;
        let ticks = last.div_euclid(every) + 1..=now.div_euclid(every);
        let patience = i64::try_from(limits::TICK_PATIENCE.as_micros()).unwrap();
        let (mut late, on_time): (Vec<i64>, Vec<i64>) = ticks
            .map(|nth| nth * every)
            .partition(|tick| now - tick > patience);
        let caught_up = match self.catch_up {
            CatchUp::Skip => 0,
            CatchUp::Latest => usize::from(on_time.is_empty()),
            CatchUp::All(most) => most as usize,
        };
        let mut requested = late.split_off(late.len().saturating_sub(caught_up));
        requested.extend(on_time);
        (late, requested)
    }
}

impl Run {
    /// The schedule was declared by the first worker, just now.
    pub(crate) fn begin_ticks(&mut self) {
        self.ticks.last = self.troupe.now().timestamp_micros();
    }

    /// A worker looks at its schedule.
    pub(crate) fn note_look(&mut self, worker: usize) {
        let now = self.troupe.now().timestamp_micros();
        self.ticks.looked.insert(self.troupe.name(worker), now);
    }

    /// A person does something about the schedule.
    pub(crate) async fn operate_schedule(&mut self) -> Result<(), Stop> {
        match self.dice.random_range(0..4) {
            0 => {
                let paused = self.troupe.intendant().pause_schedule(NAME, ACTOR, None);
                let paused = paused.await?;
                self.tell(|| format!("pauses the schedule: {paused}"));
                self.ticks.is_paused = true;
                Ok(())
            }
            1 => {
                let asked = self.troupe.intendant().run_schedule(NAME, ACTOR, None);
                let asked = asked.await?;
                self.tell(|| format!("asks for a tick: {asked}"));
                self.ticks.by_hand += 1;
                Ok(())
            }
            _ => self.resume_schedule().await,
        }
    }

    /// The ticks that it had meanwhile are left out, and nobody decides them any more.
    pub(crate) async fn resume_schedule(&mut self) -> Result<(), Stop> {
        let Some(ticking) = self.features.ticking.clone() else {
            return Ok(());
        };
        self.has_written = true;
        let resumed = self.troupe.intendant().resume_schedule(NAME, ACTOR, None);
        let resumed = resumed.await?;
        self.tell(|| format!("resumes the schedule: {resumed}"));
        must(resumed == self.ticks.is_paused, || {
            "the schedule is not paused as it was said to be".to_owned()
        })?;
        self.ticks.is_paused = false;
        if resumed {
            let now = self.troupe.now().timestamp_micros();
            self.check_ticks().await?;
            let (late, due) = ticking.decided(self.ticks.last, now);
            must(late.is_empty() && due.is_empty(), || {
                format!("nobody says what has become of the ticks {late:?} and {due:?}")
            })?;
            self.ticks.last = self.ticks.last.max(now);
        }
        Ok(())
    }

    /// From here on nothing is to come.
    pub(crate) async fn stop_schedule(&mut self) -> Result<(), Stop> {
        if self.features.ticking.is_some() {
            self.has_written = true;
            let paused = self.troupe.intendant().pause_schedule(NAME, ACTOR, None);
            paused.await?;
            self.ticks.is_paused = true;
        }
        Ok(())
    }

    /// What has become of ticks since this was looked at is what the policy says, at the time at which whoever decided it has
    /// looked. One decision at most has been made meanwhile: it is a commit.
    pub(crate) async fn check_ticks(&mut self) -> Result<(), Stop> {
        let Some(ticking) = self.features.ticking.clone() else {
            return Ok(());
        };
        let records = self.troupe.intendant().schedule_ticks(NAME, TICKS).await?;
        let (mut left_out, mut requested, mut decided_at) = (None, Vec::new(), None);
        for record in records {
            let place = (record.at, record.by_hand);
            if self.ticks.known.insert(place, record.state) == Some(record.state) {
                continue;
            }
            match (record.by_hand, record.state) {
                (true, TickState::Asked) => continue,
                (true, TickState::Requested) => self.see(Seen::TickByHand),
                (false, TickState::Requested) => requested.push(record.at.timestamp_micros()),
                (false, TickState::Skipped) => left_out = Some(range(&record)),
                _ => return Err(Stop::Breach(format!("a tick came to {record:?}"))),
            }
            if !record.by_hand {
                decided_at = Some(self.looked_at(&record)?);
            }
            if let Some(id) = record.intent {
                self.asked.push(Asked::new(id, ticking.wish.clone()));
            }
        }
        let Some((now, by_person)) = decided_at else {
            return Ok(());
        };
        let last = self.ticks.last;
        let (mut late, mut due) = ticking.decided(last, now);
        if by_person {
            late.append(&mut due);
        }
        requested.sort_unstable();
        let late_range = late
            .first()
            .map(|first| (counted(late.len()), *first, late[late.len() - 1]));
        must((&left_out, &requested) == (&late_range, &due), || {
            format!(
                "of the ticks of {ticking:?} from {last} to {now} {left_out:?} are left out and {requested:?} requested; \
                 expected {late_range:?} and {due:?}"
            )
        })?;
        self.ticks.last = late.last().max(due.last()).copied().unwrap_or(last);
        for _ in &requested {
            self.see(Seen::TickRequested);
        }
        if left_out.is_some() {
            self.see(Seen::TickLeftOut);
        }
        Ok(())
    }

    /// By which time a tick was decided, and whether by a person, who has resumed the schedule and looks at the same moment.
    fn looked_at(&self, record: &TickRecord) -> Result<(i64, bool), Stop> {
        let Some(worker) = &record.worker else {
            return Ok((self.troupe.now().timestamp_micros(), true));
        };
        let looked = self.ticks.looked.get(worker);
        let looked =
            looked.ok_or_else(|| Stop::Breach(format!("nobody has decided {record:?}")))?;
        Ok((*looked, false))
    }

    /// When nothing goes wrong any more, and all have looked.
    pub(crate) fn judge_ticks(&self) -> Result<(), Stop> {
        let Some(ticking) = &self.features.ticking else {
            return Ok(());
        };
        let now = self.troupe.now().timestamp_micros();
        let (late, due) = ticking.decided(self.ticks.last, now);
        must(late.is_empty() && due.is_empty(), || {
            format!("nobody has decided the ticks {late:?} and {due:?} of {ticking:?}")
        })?;
        let by_hand = self.ticks.known.iter().filter(|((_, by_hand), _)| *by_hand);
        let carried_out = by_hand.filter(|(_, state)| **state == TickState::Requested);
        let (carried_out, asked) = (carried_out.count(), self.ticks.by_hand);
        must(carried_out == asked, || {
            format!("of {asked} ticks that people have asked for {carried_out} were carried out")
        })
    }
}

/// How many ticks were left out together, the first and the last of them.
fn range(record: &TickRecord) -> (usize, i64, i64) {
    let last = record.at.timestamp_micros();
    let first = record.since.map_or(last, |since| since.timestamp_micros());
    (counted(record.count as usize), first, last)
}

/// So many are told as they are; of more it is said only that they are not fewer.
fn counted(ticks: usize) -> usize {
    ticks.min(limits::DUE_TICKS)
}
