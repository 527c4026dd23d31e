//! Healing: nothing goes wrong any more, and everything that was asked for comes to its end.

use std::time::Duration;

use intendant::limits;
use intendant::testing::troupe::Move;
use rand::RngExt as _;

use crate::judge;
use crate::run::{Run, Stop, is_idle};

/// Events until all that is left to do is done, once nothing goes wrong any more.
const PATIENCE: u64 = 20_000;
/// Most commits between two moments in which time passes.
const VAIN: u64 = 5_000;
/// How often a person looks after what has failed.
const HELPED: usize = 10;

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
        let mut helped = 0;
        let until = self.event + PATIENCE;
        while self.event < until {
            for worker in 0..self.troupe.len() {
                self.troupe.start(worker).await?;
            }
            self.end_dead_sessions().await?;
            self.settle().await?;
            if let Some(due) = self.troupe.next_due() {
                self.next_event();
                self.tell(|| format!("{due:?} pass"));
                self.troupe.advance(due + Duration::from_millis(1));
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
            if helped > HELPED {
                return Err(Stop::Breach(judge::stuck(self).await?));
            }
            // Nobody says when a kind that backs off is tried again: whoever looks by then finds that it is time.
            self.tell(|| format!("{:?} pass", limits::BACK_OFF_CAP));
            self.troupe.advance(limits::BACK_OFF_CAP);
        }
        Err(Stop::Breach(format!(
            "it is never quiet: {}",
            judge::stuck(self).await?
        )))
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

    /// Until nobody finds anything to do before time passes.
    pub(crate) async fn settle(&mut self) -> Result<(), Stop> {
        let commits = self.played.commits;
        for worker in 0..self.troupe.len() {
            for told in [Move::Beat(worker), Move::Hear(worker)] {
                self.next_event();
                self.make(&told).await?;
                self.work_off().await?;
            }
        }
        loop {
            let before = self.played.commits;
            for worker in 0..self.troupe.len() {
                self.next_event();
                self.make(&Move::Look(worker)).await?;
                self.work_off().await?;
            }
            if self.played.commits == before {
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
