//! One run: the seed decides who moves, who dies, whose answer is lost, who sleeps beyond its lease, and what people do
//! meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use intendant::Error;
use intendant::testing::troupe::{Fate, Move, Troupe};
use intendant::testing::{Kit, TestError};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::features::Features;
use crate::judge;
use crate::mishaps::Mishap;
use crate::program::{self, ANNEX, Kind, Program};
use crate::queues::Queues;
use crate::schedules::Ticks;
use crate::script::{Asked, Played, Script, Telling};
use crate::world::World;

/// Events with faults in them, per intent.
const EVENTS: u64 = 60;

/// Most time that passes at once. Leases last for years here, and so does a worker's wait for a task that has killed others: keys
/// are over by then.
const MOST: Duration = Duration::from_secs(3_600);

/// How many of the faults that the dice deal take place, from one seed to another.
const ROUGHNESS: [f64; 3] = [0.1, 0.4, 1.0];

pub(crate) struct Run {
    pub(crate) script: Script,
    pub(crate) features: Features,
    pub(crate) troupe: Troupe<World>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) to_ask: Vec<(Kind, Program)>,
    pub(crate) ticks: Ticks,
    pub(crate) queues: Queues,
    /// Workers that stand still, until this event.
    pub(crate) paused: BTreeMap<usize, u64>,
    pub(crate) event: u64,
    pub(crate) dice: StdRng,
    /// How many of the faults that the dice say take place: where hardly anything goes wrong, more is under way when it does.
    pub(crate) roughness: f64,
    pub(crate) is_healed: bool,
    /// Since the invariants were looked at.
    pub(crate) has_written: bool,
    pub(crate) played: Played,
}

/// Why a run ended early: the engine, or what must not be.
pub(crate) enum Stop {
    Breach(String),
    Broken(TestError),
}

impl From<TestError> for Stop {
    fn from(error: TestError) -> Self {
        Self::Broken(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Broken(error.into())
    }
}

pub(crate) async fn play(script: Script) -> Played {
    let mut run = match Run::new(script).await {
        Ok(run) => run,
        Err(error) => panic!("a run could not be begun: {error}"),
    };
    let breach = match run.go().await {
        Ok(()) => None,
        Err(Stop::Breach(breach)) => Some(breach),
        Err(Stop::Broken(error)) => Some(format!("{error}")),
    };
    if let Ok(path) = std::env::var("INTENDANT_SIMULATION_KEEP")
        && breach.is_some()
    {
        run.keep(&path).await;
    }
    Played {
        breach,
        intents: run.asked.len(),
        events: run.event,
        ..run.played
    }
}

impl Run {
    pub(crate) async fn new(script: Script) -> Result<Self, TestError> {
        let mut dice = StdRng::seed_from_u64(script.seed);
        let features = Features::of(script.seed);
        let ticking = features.ticking.clone();
        let kit = Kit::new(World::default, move |worker| {
            let worker = worker.concurrency(6).queue(ANNEX, 2);
            let worker = worker.register(program::hold);
            let worker = worker.register(program::release).register(program::undo);
            match &ticking {
                Some(ticking) => ticking.declare(worker),
                None => worker,
            }
        });
        let roughness = dice.random_range(0..ROUGHNESS.len());
        let workers = dice.random_range(2..=3);
        let to_ask = (0..dice.random_range(1..=4)).map(|_| {
            let kind = Kind::ALL[dice.random_range(0..3)];
            (kind, Program::random(&mut dice, 0))
        });
        let to_ask = to_ask.collect();
        let mut troupe = kit.troupe(workers).await?;
        for worker in 0..workers {
            troupe.start(worker).await?;
        }
        features.say(troupe.intendant()).await?;
        let mut run = Self {
            script,
            features,
            troupe,
            asked: Vec::new(),
            to_ask,
            ticks: Ticks::default(),
            queues: Queues::default(),
            paused: BTreeMap::new(),
            event: 0,
            dice,
            roughness: ROUGHNESS[roughness],
            is_healed: false,
            has_written: false,
            played: Played::default(),
        };
        run.begin_ticks();
        Ok(run)
    }

    pub(crate) async fn go(&mut self) -> Result<(), Stop> {
        let features = format!("{:?}", self.features);
        self.tell(|| features);
        let events = EVENTS * self.to_ask.len() as u64;
        while self.event < events {
            self.next_event();
            self.happen().await?;
            self.check().await?;
        }
        self.heal().await?;
        judge::judge(self).await?;
        match self.features.retention {
            true => self.age().await,
            false => Ok(()),
        }
    }

    pub(crate) fn next_event(&mut self) {
        self.event += 1;
        // Each event has dice of its own: what is left out changes nothing else by itself.
        let seed = self.script.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.event;
        self.dice = StdRng::seed_from_u64(seed);
        let event = self.event;
        self.paused.retain(|_, until| *until > event);
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.script.telling == Telling::Printed {
            println!("{:5} {}", self.event, what());
        }
    }

    /// Whether a fault takes place, which the dice have said.
    pub(crate) fn strikes(&mut self, mishap: Mishap) -> bool {
        let calm = !self.dice.random_bool(self.roughness);
        if calm || self.is_healed || self.script.without.contains(&self.event) {
            return false;
        }
        self.played.mishaps.push((self.event, mishap));
        self.tell(|| format!("{mishap:?}"));
        true
    }

    /// Nothing is broken: looked at after every event that has written something.
    pub(crate) async fn check(&mut self) -> Result<(), Stop> {
        if let Some(breach) = self.troupe.state().ledger().breaches.pop() {
            return Err(Stop::Breach(breach));
        }
        self.check_attempts().await?;
        if !std::mem::take(&mut self.has_written) {
            return Ok(());
        }
        self.check_partitions().await?;
        self.check_ticks().await?;
        let breaches = self.troupe.intendant().invariant_breaches().await?;
        match breaches.is_empty() {
            true => Ok(()),
            false => Err(Stop::Breach(format!("invariants: {breaches:?}"))),
        }
    }

    pub(crate) async fn happen(&mut self) -> Result<(), Stop> {
        match self.dice.random_range(0..100) {
            0..6 => self.ask().await,
            6..9 => self.operate().await,
            9..13 => self.take_a_life().await,
            13..17 => self.pause(),
            17..25 => self.look_at_sessions().await,
            25..31 => self.pass_time(),
            31 => self.set_clock(),
            _ => self.move_one().await,
        }
    }

    pub(crate) fn pass_time(&mut self) -> Result<(), Stop> {
        let due = match self.troupe.next_due() {
            Some(due) => due,
            // A tick may come.
            None if self.features.ticking.is_some() => {
                Duration::from_secs(self.dice.random_range(0..600))
            }
            None => return Ok(()),
        };
        let time = due + Duration::from_millis(self.dice.random_range(0..2_000));
        self.pass(time);
        Ok(())
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let time = time.min(MOST);
        self.tell(|| format!("{time:?} pass"));
        self.troupe.advance(time);
    }

    /// Something that can happen, of workers that do not stand still. Looks, which are always possible, are rarer than all else.
    pub(crate) async fn move_one(&mut self) -> Result<(), Stop> {
        let moves = self.troupe.moves().into_iter();
        let moves = moves.filter(|it| !self.paused.contains_key(&worker(it)));
        let (looks, others): (Vec<_>, Vec<_>) = moves.partition(is_idle);
        let look = others.is_empty() || self.dice.random_bool(0.2);
        let moves = if look { looks } else { others };
        if moves.is_empty() {
            return Ok(());
        }
        let chosen = &moves[self.dice.random_range(0..moves.len())];
        self.make(chosen).await
    }

    pub(crate) async fn make(&mut self, chosen: &Move) -> Result<(), Stop> {
        let is_stale = matches!(chosen, Move::Begin(..) | Move::Commit(..)) && {
            let own = self.troupe.name(worker(chosen));
            !self.troupe.sessions().await?.contains(&own)
        };
        self.has_written |= matches!(chosen, Move::Commit(..) | Move::Beat(_));
        let (mut fate, mut fault) = (Fate::Done, None);
        match chosen {
            Move::Commit(..) => {
                self.played.commits += 1;
                fate = self.fate();
            }
            Move::Begin(_, attempt) => {
                self.played.attempts += 1;
                if is_stale {
                    self.played.mishaps.push((self.event, Mishap::StaleAttempt));
                } else {
                    judge::not_recorded(self, attempt).await?;
                }
                fault = self.fault();
            }
            Move::Schedule(worker) => self.note_look(*worker),
            Move::Look(_) | Move::Hear(_) | Move::Beat(_) | Move::Due(_) => {}
        }
        self.tell(|| {
            format!(
                "{chosen:?} {fate:?} {fault:?}{}",
                if is_stale { ", stale" } else { "" }
            )
        });
        self.troupe.state().ledger().is_stale = is_stale;
        Ok(self.troupe.make(chosen, fate, fault).await?)
    }
}

/// It can be made whenever a worker has nothing to do.
pub(crate) fn is_idle(it: &Move) -> bool {
    match it {
        Move::Look(_) | Move::Hear(_) | Move::Beat(_) | Move::Schedule(_) => true,
        Move::Due(_) | Move::Begin(..) | Move::Commit(..) => false,
    }
}

fn worker(of: &Move) -> usize {
    match of {
        Move::Look(worker) | Move::Hear(worker) | Move::Beat(worker) => *worker,
        Move::Due(worker) | Move::Schedule(worker) => *worker,
        Move::Begin(worker, _) | Move::Commit(worker, _) => *worker,
    }
}
