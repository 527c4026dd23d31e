//! A database that somebody else holds: whoever comes meanwhile waits for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, StepResult, StoreKind};
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;

use crate::support::{Bench, on_both, start};

on_both! {
    a_worker_that_begins_while_somebody_holds_the_database_waits_for_it;
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

/// Keeps everybody from beginning a session for a while; the future that it returns does.
async fn hold(bench: &Bench) -> Result<impl Future<Output = Result<()>> + use<>> {
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
            sqlx::raw_sql("begin; lock table intendant.session in access exclusive mode")
                .execute(&mut conn)
                .await?;
            postgres = Some(conn);
        }
    }
    Ok(async move {
        tokio::time::sleep(HELD).await;
        if let Some(conn) = sqlite {
            conn.close().await?;
        }
        if let Some(conn) = postgres {
            conn.close().await?;
        }
        Ok(())
    })
}

async fn a_worker_that_begins_while_somebody_holds_the_database_waits_for_it(
    bench: Bench,
) -> Result<()> {
    let handle = bench.intendant.request(Job).await?;
    let held = hold(&bench).await?;
    let worker = start(bench.worker(()).register_step(work));
    held.await?;
    handle.output().await?;
    let report = worker.stop().await?;
    ensure!(report.finished == 1, "{report:?}");
    bench.check().await
}
