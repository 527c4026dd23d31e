//! Three workers with schedules in processes of their own, one of which is killed again and again: every tick is one intent.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use intendant::{Intendant, IntentState, StoreKind, TickState};
use intendant_tests::binary;
use intendant_tests::database::Database;

const SCHEDULES: usize = 10;

/// Ticks of each schedule, at least.
const TICKS: usize = 10;

const KILLS: u32 = 3;

/// Killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn spawn(database: &Database, name: &str) -> Result<Process> {
    let child = Command::new(binary::path("schedule-worker")?)
        .args([&database.url, name, &SCHEDULES.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .context("starting a worker process")?;
    Ok(Process(child))
}

/// The fewest ticks of any schedule.
async fn fewest(intendant: &Intendant) -> Result<usize> {
    let mut fewest = usize::MAX;
    for nth in 0..SCHEDULES {
        let ticks = intendant
            .schedule_ticks(&format!("beat-{nth}"), 1_000)
            .await?;
        fewest = fewest.min(ticks.len());
    }
    Ok(fewest)
}

async fn until(intendant: &Intendant, ticks: usize) -> Result<()> {
    let start = Instant::now();
    while fewest(intendant).await? < ticks {
        ensure!(
            start.elapsed() < Duration::from_secs(120),
            "no {ticks} ticks in two minutes"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn every_tick_is_one_intent(kind: StoreKind) -> Result<()> {
    let (database, intendant) = Database::open(kind).await?;
    let steady = spawn(&database, "steady")?;
    let third = spawn(&database, "third")?;
    let mut killed = spawn(&database, "killed")?;
    until(&intendant, 1).await?;
    for nth in 1..=KILLS {
        drop(killed);
        killed = spawn(&database, "killed")?;
        until(&intendant, TICKS * nth as usize / KILLS as usize).await?;
    }
    // Nobody is there for a while: what comes meanwhile is caught up with.
    drop((steady, third, killed));
    let before = fewest(&intendant).await?;
    let last = spawn(&database, "last")?;
    until(&intendant, before + 2).await?;
    drop(last);

    let (mut intents, mut workers) = (BTreeSet::new(), BTreeSet::new());
    for nth in 0..SCHEDULES {
        let name = format!("beat-{nth}");
        let ticks = intendant.schedule_ticks(&name, 1_000).await?;
        for pair in ticks.windows(2) {
            let gap = pair[0].at - pair[1].at;
            ensure!(gap == chrono::TimeDelta::seconds(1), "{name}: {pair:?}");
        }
        for tick in &ticks {
            ensure!(tick.state == TickState::Requested, "{tick:?}");
            let intent = tick.intent.context("an intent")?;
            ensure!(intents.insert(intent), "{intent} is of two ticks");
            workers.extend(tick.worker.clone());
            let input = intendant.get(intent).await?.input;
            ensure!(
                input.get() == format!("{{\"at\":{}}}", tick.at.timestamp()),
                "{input}"
            );
        }
    }
    let made = count(&database).await?;
    ensure!(
        made == intents.len(),
        "{made} intents of {} ticks",
        intents.len()
    );
    ensure!(
        workers.contains("last") && workers.len() >= 3,
        "{workers:?}"
    );
    // Whatever a killed worker had in hand is done by somebody.
    let end = spawn(&database, "end")?;
    let start = Instant::now();
    for id in &intents {
        while intendant.state(*id).await? != IntentState::Succeeded {
            ensure!(
                start.elapsed() < Duration::from_secs(60),
                "{}",
                intendant.why(*id).await?
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    drop(end);
    let breaches = intendant.invariant_breaches().await?;
    ensure!(breaches.is_empty(), "{breaches:?}");
    Ok(())
}

async fn count(database: &Database) -> Result<usize> {
    let count: i64 = match database.kind {
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&database.url).await?;
            let count = sqlx::query_scalar("select count(*) from intendant_intent");
            count.fetch_one(&pool).await?
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&database.url).await?;
            let count = sqlx::query_scalar("select count(*) from intendant.intent");
            count.fetch_one(&pool).await?
        }
    };
    Ok(count.try_into()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_schedulers_that_are_killed_every_tick_is_one_intent_on_sqlite() -> Result<()> {
    every_tick_is_one_intent(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_schedulers_that_are_killed_every_tick_is_one_intent_on_postgres() -> Result<()> {
    every_tick_is_one_intent(StoreKind::Postgres).await
}
