//! Features: what a world has besides plans and people. Each seed says which.

use std::time::Duration;

use intendant::{Error, Intendant, Partitions, Rate};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::people::ACTOR;
use crate::program::{ANNEX, DEFAULT};
use crate::run::Run;
use crate::schedules::Ticking;

/// How often each is there, in a world that is not plain.
const OFTEN: f64 = 0.35;

/// Customers by whom intents are told apart.
pub(crate) const CUSTOMERS: u8 = 3;

/// What a world has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Features {
    /// A schedule, which every worker declares.
    pub ticking: Option<Ticking>,
    /// A queue has so many slots.
    pub slots: Option<(&'static str, u32)>,
    /// A queue has a rate.
    pub rate: Option<(&'static str, Rate)>,
    /// Intents take turns by their customers, of each of whom workers have no more in hand than this.
    pub partition_limit: Option<u32>,
    /// People ask with keys, and ask again.
    pub keys: bool,
    /// Some ask and cancel by plain SQL.
    pub sql: bool,
    /// Some are more urgent than others. Who goes first is judged by nobody.
    pub priorities: bool,
    /// At the end hours pass, and what has finished goes.
    pub retention: bool,
}

impl Features {
    /// Those of a seed. Half of all worlds are plain: where little else is the matter, plans go further.
    pub(crate) fn of(seed: u64) -> Self {
        if matches!(seed % 4, 0 | 3) {
            return Self::default();
        }
        // Dice of their own, so that a world has the plans that it would have without them.
        let dice = &mut StdRng::seed_from_u64(!seed);
        Self {
            ticking: has(dice).then(|| Ticking::random(dice)),
            slots: has(dice).then(|| (queue(dice), dice.random_range(1..=3))),
            rate: has(dice).then(|| (queue(dice), rate(dice))),
            partition_limit: has(dice).then(|| dice.random_range(1..=2)),
            keys: has(dice),
            sql: has(dice),
            priorities: has(dice),
            retention: has(dice),
        }
    }

    /// Says of the queues what is to hold of them: when there is somebody who serves them, and before anything is asked for, since
    /// what is said later stops nothing.
    pub(crate) async fn say(&self, intendant: &Intendant) -> Result<(), Error> {
        if let Some((queue, slots)) = self.slots {
            let limit = intendant.limit_queue(queue, Some(slots), ACTOR, None);
            limit.await?;
        }
        if let Some((queue, rate)) = self.rate {
            intendant.rate_queue(queue, Some(rate), ACTOR, None).await?;
        }
        if let Some(limit) = self.partition_limit {
            let turns = Partitions::by_input("/customer").at_once(limit);
            let turns = intendant.partition_queue(DEFAULT, Some(turns), ACTOR, None);
            turns.await?;
        }
        Ok(())
    }
}

fn has(dice: &mut StdRng) -> bool {
    dice.random_bool(OFTEN)
}

fn queue(dice: &mut StdRng) -> &'static str {
    [DEFAULT, ANNEX][dice.random_range(0..2)]
}

fn rate(dice: &mut StdRng) -> Rate {
    let period = Duration::from_secs(dice.random_range(1..=5));
    Rate::new(dice.random_range(2..=6), period).burst(dice.random_range(1..=4))
}

/// What of them has come to bear: a feature that never did shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// A tick has requested an intent.
    TickRequested,
    /// Ticks were late, and were left out.
    TickLeftOut,
    /// A person has asked for a tick, and it was carried out.
    TickByHand,
    /// As many steps of a queue ran as it has slots.
    SlotsFull,
    /// As many attempts began as a rate permits.
    RateReached,
    /// As many tasks of a customer were in hand as may be.
    PartitionFull,
    /// Somebody has asked again, and was told of the same intent.
    AskedAgain,
    /// A key was refused that had been used for something else.
    KeyRefused,
    AskedBySql,
    CancelledBySql,
    /// An intent has gone that was old enough.
    Removed,
    /// One had to stay, since it held something.
    Kept,
}

impl Seen {
    pub(crate) const ALL: [Self; 12] = [
        Self::TickRequested,
        Self::TickLeftOut,
        Self::TickByHand,
        Self::SlotsFull,
        Self::RateReached,
        Self::PartitionFull,
        Self::AskedAgain,
        Self::KeyRefused,
        Self::AskedBySql,
        Self::CancelledBySql,
        Self::Removed,
        Self::Kept,
    ];
}

impl Run {
    pub(crate) fn see(&mut self, seen: Seen) {
        *self.played.seen.entry(seen).or_default() += 1;
    }
}
