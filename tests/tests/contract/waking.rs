//! Waking: what is asked for somewhere else is found without waiting for the poll.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{Cx, Intendant, Intent, StepResult, StoreKind, Worker};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    a_worker_hears_of_requests_that_others_make;
    a_worker_hears_of_a_request_within_a_transaction_when_it_commits;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ring {}

impl Intent for Ring {
    const KIND: &'static str = "ring";
    type Output = ();
}

async fn ring(_: Cx<()>, _: Ring) -> StepResult<()> {
    Ok(())
}

/// A worker that looks by itself once a minute.
fn deaf(intendant: &Intendant) -> Worker<()> {
    Worker::new(intendant, ())
        .poll(Duration::from_secs(60))
        .register_step(ring)
}

async fn a_worker_hears_of_requests_that_others_make(bench: Bench) -> Result<()> {
    let worker = start(deaf(&bench.intendant));
    let elsewhere = Intendant::connect(&bench.database.url).await?;
    // The first one may come before the worker listens.
    let mut slow = 0;
    for _ in 0..10 {
        let asked = Instant::now();
        let handle = elsewhere.request(Ring {}).await?;
        bench.rest(handle.id()).await?;
        slow += u32::from(asked.elapsed() > Duration::from_secs(1));
    }
    ensure!(slow <= 1, "{slow} of 10 requests waited for a poll");
    elsewhere.close().await;
    worker.stop().await?;
    bench.check().await
}

async fn a_worker_hears_of_a_request_within_a_transaction_when_it_commits(
    bench: Bench,
) -> Result<()> {
    let worker = start(deaf(&bench.intendant));
    // It listens and is idle.
    let first = bench.intendant.request(Ring {}).await?;
    bench.rest(first.id()).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    let id = match bench.database.kind {
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            let mut tx = pool.begin_with("begin immediate").await?;
            let handle = bench.intendant.request(Ring {}).within(&mut tx).await?;
            tx.commit().await?;
            pool.close().await;
            handle.id()
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            let mut tx = pool.begin().await?;
            let handle = bench.intendant.request(Ring {}).within(&mut tx).await?;
            tx.commit().await?;
            pool.close().await;
            handle.id()
        }
    };
    bench.rest(id).await?;
    ensure!(
        asked.elapsed() < Duration::from_secs(5),
        "it waited for a poll"
    );
    worker.stop().await?;
    bench.check().await
}
