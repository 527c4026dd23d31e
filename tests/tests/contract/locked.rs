//! A database that somebody else holds: whoever comes meanwhile waits for it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{Cx, Intendant, Intent, IntentState, Node, Plan, StepResult, StoreKind, value};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    a_worker_that_begins_while_somebody_holds_the_database_waits_for_it;
    who_opens_a_database_while_somebody_migrates_it_waits_for_that;
    a_step_that_is_stopped_while_its_checkpoints_wait_for_each_other_ends;
    who_writes_without_a_pause_leaves_the_others_their_turn;
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Job;

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = ();
}

async fn work(_: Cx<()>, _: Job) -> StepResult<()> {
    Ok(())
}

/// Longer than SQLite waits for a lock before it says that the database is busy.
const HELD: Duration = Duration::from_secs(6);

/// Keeps a lock on PostgreSQL for a while, and the writer on SQLite; the future that it returns does.
async fn hold(
    bench: &Bench,
    lock: &str,
    time: Duration,
) -> Result<impl Future<Output = Result<()>> + use<>> {
    let url = &bench.database.url;
    let (mut sqlite, mut postgres) = (None, None);
    match bench.database.kind {
        StoreKind::Sqlite => {
            let mut conn = sqlx::SqliteConnection::connect(url).await?;
            sqlx::raw_sql("begin immediate").execute(&mut conn).await?;
            sqlite = Some(conn);
        }
        StoreKind::Postgres => {
            let mut conn = sqlx::PgConnection::connect(url).await?;
            sqlx::raw_sql(AssertSqlSafe(format!("begin; {lock}")))
                .execute(&mut conn)
                .await?;
            postgres = Some(conn);
        }
    }
    Ok(async move {
        tokio::time::sleep(time).await;
        if let Some(conn) = sqlite {
            conn.close().await?;
        }
        if let Some(conn) = postgres {
            conn.close().await?;
        }
        Ok(())
    })
}

/// Keeps everybody from a table.
fn table(name: &str) -> String {
    format!("lock table intendant.{name} in access exclusive mode")
}

async fn a_worker_that_begins_while_somebody_holds_the_database_waits_for_it(
    bench: Bench,
) -> Result<()> {
    let handle = bench.intendant.request(Job).await?;
    let held = hold(&bench, &table("session"), HELD).await?;
    let worker = start(bench.worker(()).register_step(work));
    held.await?;
    handle.output().await?;
    let report = worker.stop().await?;
    ensure!(report.finished == 1, "{report:?}");
    bench.check().await
}

async fn who_opens_a_database_while_somebody_migrates_it_waits_for_that(
    bench: Bench,
) -> Result<()> {
    let migrating = "select pg_advisory_xact_lock(46001)";
    let held = tokio::spawn(hold(&bench, migrating, HELD).await?);
    let since = Instant::now();
    let opened = Intendant::open(bench.database.url.as_str()).await?;
    ensure!(since.elapsed() >= HELD - Duration::from_secs(1));
    held.await??;
    opened.request(Job).await?;
    bench.check().await
}

/// Where a test is with its step.
#[derive(Debug, Clone, Default)]
struct Turns {
    begun: Counter,
    go_on: Gate,
}

/// One of its checkpoints waits for the database, the other one for the first.
async fn write_twice(cx: Cx<Turns>, _: Job) -> StepResult<()> {
    cx.state().begun.add();
    cx.state().go_on.pass().await;
    let (first, second) = tokio::join!(cx.checkpoint(&1), cx.checkpoint(&2));
    first.and(second)
}

async fn a_step_that_is_stopped_while_its_checkpoints_wait_for_each_other_ends(
    bench: Bench,
) -> Result<()> {
    let plan = |_: &Job, plan: &mut Plan<Turns>| -> Node<()> {
        plan.step("write", write_twice)
            .attempts(1)
            .time_limit(Duration::from_millis(500))
            .input(value(Job))
    };
    let turns = Turns::default();
    let worker = start(bench.worker(turns.clone()).register::<Job, _>(plan));
    let handle = bench.intendant.request(Job).await?;
    bench
        .until(|| async { Ok((turns.begun.get() == 1).then_some(())) })
        .await?;
    let held = hold(&bench, &table("checkpoint"), Duration::from_millis(1_200)).await?;
    turns.go_on.open();
    held.await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(attempts[0].failure == "time-out", "{attempts:?}");
    worker.stop().await?;
    bench.check().await
}

/// Nobody asks for it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Rare;

impl Intent for Rare {
    const KIND: &'static str = "rare";
    type Output = ();
}

async fn rest(_: Cx<()>, _: Rare) -> StepResult<()> {
    Ok(())
}

async fn who_writes_without_a_pause_leaves_the_others_their_turn(bench: Bench) -> Result<()> {
    // A worker with nothing to do but its heartbeats, and somebody else who asks now and then.
    let idle = start(bench.worker(()).register_step(rest));
    let elsewhere = bench.database.connect().await?;
    let until = Instant::now() + Duration::from_secs(3);
    let flooded = Counter::default();
    let mut floods = Vec::new();
    for _ in 0..8 {
        let (intendant, flooded) = (bench.intendant.clone(), flooded.clone());
        floods.push(tokio::spawn(async move {
            while Instant::now() < until {
                intendant.request(Job).await?;
                flooded.add();
            }
            anyhow::Ok(())
        }));
    }
    let beats = "select coalesce(max(beat), 0) from @session";
    let before = bench.number(beats).await?;
    let mut passed = Vec::new();
    while Instant::now() < until {
        let before = flooded.get();
        elsewhere.request(Job).await?;
        passed.push(flooded.get() - before);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let beaten = bench.number(beats).await? - before;
    for flood in floods {
        flood.await??;
    }
    passed.sort_unstable();
    // On PostgreSQL they go beside each other. On SQLite, who looks again after a pause of its own is passed by hundreds.
    let most = match bench.database.kind {
        StoreKind::Sqlite => 100,
        StoreKind::Postgres => 1_000,
    };
    ensure!(passed.last() < Some(&most), "{passed:?} passed them");
    ensure!(
        beaten >= 5,
        "{beaten} heartbeats in three seconds, of fifteen"
    );
    idle.stop().await?;
    bench.check().await
}
