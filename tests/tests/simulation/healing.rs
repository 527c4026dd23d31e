//! Healing: nothing goes wrong any more, and everything that was asked for comes to its end.

use std::time::Duration;

use intendant::limits;
use intendant::testing::troupe::Move;
use rand::RngExt as _;

use crate::judge;
use crate::run::{Run, Stop, is_idle};

/// Events until all that is left to do is done, once nothing goes wrong any more.
const PATIENCE: u64 = 40_000;
/// Most commits between two moments in which time passes.
const VAIN: u64 = 5_000;
/// How often each worker looks without an attempt beginning anywhere, until time has to pass: a look at a queue that has
/// nothing to give is a commit.
const LOOKS: usize = 3;
/// How often time passes without an attempt beginning, before anything else is tried; then as often again, with that.
const IN_VAIN: u32 = 8;
/// Twice as much, each time.
const MOMENT: Duration = Duration::from_secs(2);
/// Of so many moments there is one at which hearts beat: each is several commits.
const BEATS: u32 = 4;

impl Run {
    /// Nothing goes wrong any more: everything that was asked for comes to its end.
    pub(crate) async fn heal(&mut self) -> Result<(), Stop> {
        self.is_healed = true;
        self.paused.clear();
        self.tell(|| "nothing goes wrong any more".to_owned());
        while !self.to_ask.is_empty() {
            self.next_event();
            self.ask().await?;
        }
        self.let_tick().await?;
        let (mut helped, mut in_vain, mut attempts) = (0, 0, self.played.attempts);
        let until = self.event + PATIENCE;
        for round in 0.. {
            if self.event > until {
                break;
            }
            self.recover().await?;
            if round % BEATS == 0 {
                self.hear().await?;
            }
            self.look().await?;
            in_vain = match self.played.attempts == attempts {
                true => in_vain + 1,
                false => 0,
            };
            attempts = self.played.attempts;
            // A queue that has nothing to give is asked again after a moment, for as long as there is something in it: so more
            // and more passes.
            if let Some(due) = self.troupe.next_due().filter(|_| in_vain < IN_VAIN) {
                self.next_event();
                let moment = MOMENT * (1 << in_vain);
                self.pass(moment.max(due + Duration::from_millis(1)));
                continue;
            }
            if self.signal().await? > 0 {
                continue;
            }
            helped += 1;
            if self.help(helped).await? {
                continue;
            }
            if judge::is_over(self).await? {
                return self.check().await;
            }
            if in_vain > 2 * IN_VAIN {
                return Err(Stop::Breach(judge::stuck(self).await?));
            }
            // Nobody says when a kind that backs off is tried again: whoever looks by then finds that it is time.
            self.pass(limits::BACK_OFF_CAP);
        }
        Err(Stop::Breach(format!(
            "it is never quiet: {}",
            judge::stuck(self).await?
        )))
    }

    /// All workers are there, and nobody else is taken to be.
    async fn recover(&mut self) -> Result<(), Stop> {
        for worker in 0..self.troupe.len() {
            self.troupe.start(worker).await?;
        }
        self.end_dead_sessions().await
    }

    /// What the schedule has come to is decided, and then no more of it comes: each pause would bring more.
    async fn let_tick(&mut self) -> Result<(), Stop> {
        self.resume_schedule().await?;
        self.recover().await?;
        self.settle().await?;
        self.judge_ticks()?;
        self.stop_schedule().await
    }

    pub(crate) async fn end_dead_sessions(&mut self) -> Result<(), Stop> {
        let living: Vec<String> = (0..self.troupe.len())
            .map(|it| self.troupe.name(it))
            .collect();
        for name in self.troupe.sessions().await? {
            if !living.contains(&name) {
                self.next_event();
                self.tell(|| format!("worker 0 ends the session of {name}"));
                self.troupe.reap(0, &name).await?;
            }
        }
        Ok(())
    }

    /// All that can be done before time passes.
    pub(crate) async fn settle(&mut self) -> Result<(), Stop> {
        self.hear().await?;
        self.look().await
    }

    /// Everybody is told whatever there is to be told, and its heart beats.
    async fn hear(&mut self) -> Result<(), Stop> {
        for worker in 0..self.troupe.len() {
            for told in [Move::Beat(worker), Move::Hear(worker)] {
                self.next_event();
                self.make(&told).await?;
                self.check().await?;
                self.work_off().await?;
            }
        }
        Ok(())
    }

    /// Everybody looks, until nobody finds anything to do before time passes.
    async fn look(&mut self) -> Result<(), Stop> {
        let commits = self.played.commits;
        let mut in_vain = 0;
        loop {
            let (before, attempts) = (self.played.commits, self.played.attempts);
            for worker in 0..self.troupe.len() {
                self.next_event();
                self.make(&Move::Look(worker)).await?;
                self.check().await?;
                self.work_off().await?;
                if self.troupe.looks_at_schedules(worker) {
                    self.next_event();
                    self.make(&Move::Schedule(worker)).await?;
                    self.check().await?;
                    self.work_off().await?;
                }
            }
            in_vain = match self.played.attempts == attempts {
                true => in_vain + 1,
                false => 0,
            };
            if self.played.commits == before || in_vain == LOOKS {
                return Ok(());
            }
            if before > commits + VAIN {
                let what = judge::stuck(self).await?;
                return Err(Stop::Breach(format!("workers go on and on: {what}")));
            }
        }
    }

    /// Everything that can happen without a look and before time passes.
    pub(crate) async fn work_off(&mut self) -> Result<(), Stop> {
        loop {
            let moves: Vec<_> = self
                .troupe
                .moves()
                .into_iter()
                .filter(|it| !is_idle(it))
                .collect();
            if moves.is_empty() {
                return self.check().await;
            }
            self.next_event();
            let chosen = &moves[self.dice.random_range(0..moves.len())];
            self.make(chosen).await?;
            self.check().await?;
        }
    }
}
