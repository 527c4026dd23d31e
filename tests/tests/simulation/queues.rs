//! Queues: what people have said of them before anything was asked for holds after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use intendant::testing::troupe::Attempt;
use intendant::{IntentId, limits};
use sqlx::SqliteConnection;

use crate::features::Seen;
use crate::judge::{must, program_of};
use crate::mishaps::Mishap;
use crate::program::{ANNEX, DEFAULT};
use crate::run::{Run, Stop};

/// What is known of attempts.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// Those under way in the queue with a rate when this was looked at last: by worker, intent, step and number.
    known: BTreeSet<(String, IntentId, String, u32)>,
    /// When each of them has begun, and all that have ended.
    begun: Vec<Duration>,
    /// Who is whose.
    customers: BTreeMap<IntentId, u8>,
    /// For what no call of the engine tells.
    db: Option<SqliteConnection>,
}

/// In which queue it runs.
fn queue(attempt: &Attempt) -> &'static str {
    match attempt.is_routed() {
        true => ANNEX,
        false => DEFAULT,
    }
}

impl Run {
    /// No more attempts are under way, and no more have begun, than may be.
    pub(crate) async fn check_attempts(&mut self) -> Result<(), Stop> {
        let features = &self.features;
        let limited = features.slots.is_some() || features.partition_limit.is_some();
        if !limited && features.rate.is_none() {
            return Ok(());
        }
        let under_way = self.troupe.under_way();
        self.check_slots(&under_way).await?;
        self.check_rate(&under_way)?;
        self.check_customers(&under_way).await
    }

    /// Of a queue with slots no more steps run than it has, all workers together. What those run who were taken for dead is not
    /// counted: they may not know it yet.
    async fn check_slots(&mut self, under_way: &[(usize, Attempt)]) -> Result<(), Stop> {
        let Some((limited, slots)) = self.features.slots else {
            return Ok(());
        };
        let slots = slots as usize;
        let of_queue = under_way.iter().filter(|(_, it)| queue(it) == limited);
        let of_queue: Vec<String> = of_queue.map(|(it, _)| self.troupe.name(*it)).collect();
        if of_queue.len() < slots {
            return Ok(());
        }
        let sessions = self.troupe.sessions().await?;
        let running = of_queue.iter().filter(|it| sessions.contains(it)).count();
        must(running <= slots, || {
            format!("{running} steps of `{limited}` run, which has {slots} slots: {under_way:?}")
        })?;
        if running == slots {
            self.see(Seen::SlotsFull);
        }
        Ok(())
    }

    /// In no time more attempts have begun than were permitted in it and in the half second before it, by whose end a permit is
    /// void. A permit is used where an attempt begins to wait for its turn in the simulation.
    fn check_rate(&mut self, under_way: &[(usize, Attempt)]) -> Result<(), Stop> {
        let Some((rated, rate)) = self.features.rate else {
            return Ok(());
        };
        let of_queue = under_way.iter().filter(|(_, it)| queue(it) == rated);
        let now_known: BTreeSet<_> = of_queue
            .map(|(worker, it)| {
                let worker = self.troupe.name(*worker);
                (worker, it.intent(), it.step().to_owned(), it.number())
            })
            .collect();
        let new = now_known.difference(&self.queues.known).count();
        self.queues.known = now_known;
        let now = self.troupe.passed();
        self.queues.begun.extend(std::iter::repeat_n(now, new));
        if new == 0 {
            return Ok(());
        }
        let interval = rate.period() / rate.steps();
        let begun = &self.queues.begun;
        let mut reached = false;
        for (nth, from) in begun.iter().enumerate() {
            let (count, time) = ((begun.len() - nth) as u128, now - *from);
            let permitted = (time + limits::PERMIT_TERM).as_micros() / interval.as_micros();
            let most = u128::from(rate.at_once()) + permitted;
            must(count <= most, || {
                format!(
                    "{count} attempts of `{rated}` have begun within {time:?}, at {rate}: {begun:?}"
                )
            })?;
            reached |= count == most;
        }
        if reached {
            self.see(Seen::RateReached);
        }
        Ok(())
    }

    /// Of a customer no more intents are in hand than may be. Suspects are not counted, so this is known of intents only as long
    /// as no worker has died.
    async fn check_customers(&mut self, under_way: &[(usize, Attempt)]) -> Result<(), Stop> {
        let Some(limit) = self.features.partition_limit else {
            return Ok(());
        };
        let is_deadly = |mishap: &Mishap| match mishap {
            Mishap::Killed
            | Mishap::ReapedAlive
            | Mishap::DiedBeforeCommit
            | Mishap::DiedAfterCommit
            | Mishap::StepDied => true,
            Mishap::Paused
            | Mishap::CommitNotSent
            | Mishap::AnswerLost
            | Mishap::StepErred
            | Mishap::StepPanicked
            | Mishap::StepRepeated
            | Mishap::StaleAttempt
            | Mishap::ClockSet => false,
        };
        if self.played.mishaps.iter().any(|(_, it)| is_deadly(it)) {
            return Ok(());
        }
        let mut in_hand: BTreeMap<u8, BTreeSet<IntentId>> = BTreeMap::new();
        for (_, attempt) in under_way.iter().filter(|(_, it)| queue(it) == DEFAULT) {
            let customer = self.customer(attempt.intent()).await?;
            in_hand
                .entry(customer)
                .or_default()
                .insert(attempt.intent());
        }
        for (customer, intents) in in_hand {
            must(intents.len() <= limit as usize, || {
                format!("{intents:?} of customer {customer} are in hand, of whom {limit} may be")
            })?;
        }
        Ok(())
    }

    async fn customer(&mut self, id: IntentId) -> Result<u8, Stop> {
        if let Some(customer) = self.queues.customers.get(&id) {
            return Ok(*customer);
        }
        let record = self.troupe.intendant().get(id).await?;
        let customer = program_of(&record)?.customer;
        self.queues.customers.insert(id, customer);
        Ok(customer)
    }

    /// Nor is more counted as in hand; that this is what is in hand, suspects apart, is I14. Looked at after every event that has
    /// written something.
    pub(crate) async fn check_partitions(&mut self) -> Result<(), Stop> {
        let Some(limit) = self.features.partition_limit.map(i64::from) else {
            return Ok(());
        };
        let mut db = match self.queues.db.take() {
            Some(db) => db,
            None => self.connect().await?,
        };
        let most = sqlx::query_scalar("select coalesce(max(lent), 0) from intendant_partition");
        let most: i64 = most.fetch_one(&mut db).await.unwrap();
        self.queues.db = Some(db);
        must(most <= limit, || {
            format!("{most} tasks of one customer are in hand, of whom {limit} may be")
        })?;
        if most == limit {
            self.see(Seen::PartitionFull);
        }
        Ok(())
    }
}
