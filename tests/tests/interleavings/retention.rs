//! Retention against those who would run something again, or ask for it again, statement by statement, in every order: either it
//! stays and runs, or it has gone and they are told so.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use intendant::testing::turns::{Session, Tick, Wish, ask};
use intendant::{Error, Intendant, IntentId, IntentState, Retention, StoreKind, Undone};
use intendant_tests::database::Database;
use intendant_tests::orders::{by_turns, orders_on, take_turns};

use crate::on_both;

on_both! {
    what_is_resumed_while_it_is_removed_runs_or_is_gone;
    what_is_resumed_while_its_payload_is_removed_runs_or_says_so;
    what_is_taken_back_while_it_is_removed_is_taken_back_or_gone;
    a_request_with_the_key_of_what_is_removed_is_the_same_one;
    two_who_remove_the_same_count_it_once;
}

const TURNS: usize = 4;
const REMOVE: &[&str] = &["retention_lock", "retention_stays", "retention_remove"];
const BLANK: &[&str] = &["retention_lock", "retention_stays", "retention_blank"];
const HOUR: Duration = Duration::from_secs(3600);
const BLOCKED: Duration = Duration::from_millis(12);

/// One database, in which every order has an intent of its own.
struct Stage {
    database: Database,
    processes: [Intendant; 2],
    nth: usize,
}

impl Stage {
    async fn open(kind: StoreKind, rule: Retention) -> Result<Self> {
        let (database, intendant) = Database::open(kind).await?;
        intendant.retain(rule, "ada", None).await?;
        Ok(Self {
            processes: [database.connect().await?, intendant],
            database,
            nth: 0,
        })
    }

    fn wish(&self) -> Wish {
        Wish {
            kind: "k",
            queue: self.queue(),
            key: Some((format!("key {}", self.nth), 1)),
            ..Wish::default()
        }
    }

    fn queue(&self) -> String {
        format!("queue {}", self.nth)
    }

    async fn run_sql(&self, sql: String) -> Result<()> {
        Ok(self.database.run_sql(&sql).await?)
    }

    /// An intent that has ended so two days ago.
    async fn old(&mut self, state: IntentState) -> Result<IntentId> {
        self.nth += 1;
        let id = ask(&self.processes[1], vec![self.wish()]).await?[0];
        let mut session = Session::open(&self.processes[1]).await?;
        let held = session
            .tick(Tick::default().claim(&self.queue(), "k", 9))
            .await?;
        let held = held.held.into_iter().next().context("nobody was let in")?;
        let tick = match state {
            IntentState::Failed => Tick::default().fail(&held),
            _ => Tick::default().succeed(&held),
        };
        session.tick(tick).await?;
        // Nobody has it in a lease any more.
        session.die().await?;
        self.run_sql(match self.database.kind {
            StoreKind::Sqlite => format!(
                "update intendant_outcome set requested_at = requested_at - 172800000000,
                        started_at = started_at - 172800000000, finished_at = finished_at - 172800000000
                  where intent_id = '{id}';
                 update intendant_intent set requested_at = requested_at - 172800000000 where id = '{id}'"
            ),
            StoreKind::Postgres => format!(
                "update intendant.outcome set requested_at = requested_at - interval '2 days',
                        started_at = started_at - interval '2 days', finished_at = finished_at - interval '2 days'
                  where intent_id = '{id}';
                 update intendant.intent set requested_at = requested_at - interval '2 days' where id = '{id}'"
            ),
        })
        .await?;
        Ok(id)
    }

    /// Both in one order. Returns how many intents retention has counted, and what came of the other.
    async fn race<T: Send + 'static, F>(
        &self,
        order: u32,
        (removes, before): (&'static [&'static str], &'static [&'static str]),
        does: impl FnOnce(Intendant) -> F + Send + 'static,
    ) -> Result<(u64, T)>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let [remover, other] = self.processes.clone();
        let first = |turns| {
            by_turns(turns, removes, async move {
                let removed = remover.remove_old().await?;
                Ok(removed.intents + removed.payloads)
            })
        };
        let second = |turns| by_turns(turns, before, async move { Ok(does(other).await) });
        let raced = take_turns(first, second, (order, TURNS), BLOCKED).await?;
        let breaches = self.processes[1].invariant_breaches().await?;
        ensure!(breaches.is_empty(), "{order:b}: {breaches:?}");
        Ok(raced)
    }

    /// What was put back in line is claimed, with all that it needs.
    async fn is_claimed(&self, id: IntentId) -> Result<()> {
        let mut session = Session::open(&self.processes[1]).await?;
        let ticked = session
            .tick(Tick::default().claim(&self.queue(), "k", 9))
            .await?;
        let held = ticked.held.iter().find(|held| held.intent() == id);
        let held = held.context("it is not in line")?;
        ensure!(held.unfit().is_none(), "{:?}", held.unfit());
        session.die().await?;
        Ok(())
    }

    /// The same, and it comes to its end.
    async fn goes_on(&self, id: IntentId) -> Result<()> {
        let mut session = Session::open(&self.processes[1]).await?;
        let ticked = session
            .tick(Tick::default().claim(&self.queue(), "k", 9))
            .await?;
        let held = ticked.held.iter().find(|held| held.intent() == id);
        let held = held.context("it is not in line")?;
        ensure!(held.unfit().is_none(), "{:?}", held.unfit());
        session.tick(Tick::default().succeed(held)).await?;
        session.die().await?;
        let record = self.processes[1].get(id).await?;
        ensure!(record.state == IntentState::Succeeded && record.payload_removed_at.is_none());
        Ok(())
    }
}

fn both_ways(ways: &[bool]) -> Result<()> {
    let first = ways.iter().filter(|way| **way).count();
    ensure!(first > 0 && first < ways.len(), "{first} of {}", ways.len());
    Ok(())
}

async fn what_is_resumed_while_it_is_removed_runs_or_is_gone(kind: StoreKind) -> Result<()> {
    let mut stage = Stage::open(kind, Retention::failed().rows_for(HOUR)).await?;
    let mut ways = Vec::new();
    for order in orders_on(kind, TURNS) {
        let id = stage.old(IntentState::Failed).await?;
        let resume = async move |process: Intendant| process.resume(id, "ada", None).await;
        let before: &[&str] = &["outcome_keep", "outcome_withdraw", "ready_insert"];
        let (removed, resumed) = stage.race(order, (REMOVE, before), resume).await?;
        match resumed {
            Ok(_) => {
                ensure!(removed == 0, "{order:b}: it runs and is removed");
                stage
                    .goes_on(id)
                    .await
                    .with_context(|| format!("{order:b}"))?;
            }
            Err(Error::NotFound { .. }) => ensure!(removed == 1, "{order:b}: {removed}"),
            Err(error) => return Err(error).with_context(|| format!("{order:b}")),
        }
        ways.push(removed == 0);
    }
    both_ways(&ways)
}

async fn what_is_resumed_while_its_payload_is_removed_runs_or_says_so(
    kind: StoreKind,
) -> Result<()> {
    let mut stage = Stage::open(kind, Retention::failed().payloads_for(HOUR)).await?;
    let mut ways = Vec::new();
    for order in orders_on(kind, TURNS) {
        let id = stage.old(IntentState::Failed).await?;
        let resume = async move |process: Intendant| process.resume(id, "ada", None).await;
        let before: &[&str] = &["outcome_keep", "outcome_withdraw", "ready_insert"];
        let (removed, resumed) = stage.race(order, (BLANK, before), resume).await?;
        match resumed {
            Ok(_) => {
                ensure!(removed == 0, "{order:b}: it runs without its input");
                stage
                    .goes_on(id)
                    .await
                    .with_context(|| format!("{order:b}"))?;
            }
            Err(Error::PayloadRemoved { .. }) => {
                ensure!(removed == 1, "{order:b}: {removed}");
                let state = stage.processes[1].state(id).await?;
                ensure!(state == IntentState::Failed, "{order:b}: {state}");
            }
            Err(error) => return Err(error).with_context(|| format!("{order:b}")),
        }
        ways.push(removed == 0);
    }
    both_ways(&ways)
}

async fn what_is_taken_back_while_it_is_removed_is_taken_back_or_gone(
    kind: StoreKind,
) -> Result<()> {
    let mut stage = Stage::open(kind, Retention::succeeded().rows_for(HOUR)).await?;
    let mut ways = Vec::new();
    for order in orders_on(kind, TURNS) {
        let id = stage.old(IntentState::Succeeded).await?;
        let undo = async move |process: Intendant| process.undo(id, "ada", None).await;
        let before: &[&str] = &["outcome_keep", "step_copy", "cancel_insert"];
        let (removed, undone) = stage.race(order, (REMOVE, before), undo).await?;
        let gone = stage.processes[1].get(id).await.is_err();
        match undone {
            Ok(Undone::By(new)) => {
                // The new one has all that it needs, whether the old one is still there or not.
                let record = stage.processes[1].get(new).await?;
                ensure!(record.payload_removed_at.is_none());
                ensure!(gone == (removed == 1), "{order:b}: {removed}");
                ways.push(true);
                stage
                    .is_claimed(new)
                    .await
                    .with_context(|| format!("{order:b}"))?;
            }
            Ok(_) => anyhow::bail!("{order:b}: it had succeeded"),
            Err(Error::NotFound { .. }) => {
                ensure!(gone && removed == 1, "{order:b}: {removed}");
                ways.push(false);
            }
            Err(error) => return Err(error).with_context(|| format!("{order:b}")),
        }
    }
    both_ways(&ways)
}

async fn a_request_with_the_key_of_what_is_removed_is_the_same_one(kind: StoreKind) -> Result<()> {
    let mut stage = Stage::open(kind, Retention::succeeded().rows_for(HOUR)).await?;
    for order in orders_on(kind, TURNS) {
        let id = stage.old(IntentState::Succeeded).await?;
        let wish = stage.wish();
        let asks = async move |process: Intendant| ask(&process, vec![wish]).await;
        let before: &[&str] = &["key_claim", "key_read", "commit"];
        let (removed, asked) = stage.race(order, (REMOVE, before), asks).await?;
        ensure!(removed == 1, "{order:b}: {removed}");
        ensure!(asked? == [id], "{order:b}: another one");
        let unfinished = stage.processes[1].unfinished().await?;
        ensure!(unfinished.ready == 0, "{order:b}: it is done a second time");
    }
    Ok(())
}

async fn two_who_remove_the_same_count_it_once(kind: StoreKind) -> Result<()> {
    let mut stage = Stage::open(kind, Retention::succeeded().rows_for(HOUR)).await?;
    for order in orders_on(kind, TURNS) {
        let id = stage.old(IntentState::Succeeded).await?;
        let too = async move |process: Intendant| process.remove_old().await;
        let (removed, also) = stage.race(order, (REMOVE, REMOVE), too).await?;
        // Whoever finds the other one at it leaves it to that one.
        ensure!(removed + also?.intents == 1, "{order:b}");
        ensure!(stage.processes[1].get(id).await.is_err(), "{order:b}");
    }
    let counted = stage.processes[1].removals().await?;
    let counted: u64 = counted.iter().map(|gone| gone.intents).sum();
    ensure!(counted == stage.nth as u64, "{counted} of {}", stage.nth);
    Ok(())
}
