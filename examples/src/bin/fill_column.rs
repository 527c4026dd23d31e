//! A map: a column of a large table is filled, a batch of rows at a time, on all cores.
//!
//! Each batch is a step of its own. What it writes is committed with its result, so it is written exactly once, whatever
//! dies meanwhile; a batch that fails is tried again by itself.
//!
//! ```sh
//! cargo run --release --bin fill_column -- 1000000
//! ```

use std::time::Instant;

use anyhow::{Context, Result};
use intendant::{Committed, Cx, Intendant, Intent, Node, Plan, StepResult, Worker, value};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::oneshot;

/// Fills `person.code`, which an earlier release did not have.
#[derive(Serialize, Deserialize)]
struct FillCodes {
    cores: usize,
    /// So many rows in one step.
    batch: i64,
}

impl Intent for FillCodes {
    const KIND: &'static str = "codes.fill";
    /// Rows that had no code, by batch.
    type Output = Vec<i64>;
}

/// ```text
/// batches ── fill[0], fill[1], fill[2] …
/// ```
fn fill_codes(intent: &FillCodes, plan: &mut Plan<SqlitePool>) -> Node<Vec<i64>> {
    let batches = plan.step("batches", batches).input(value(intent.batch));
    plan.map("fill", fill)
        .at_most(intent.cores)
        .attempts(3)
        .input(batches)
}

#[derive(Serialize, Deserialize)]
struct Batch {
    first: i64,
    last: i64,
}

/// The list is recorded: rows that come later belong to no batch, whoever takes the intent over.
async fn batches(cx: Cx<SqlitePool>, size: i64) -> StepResult<Vec<Batch>> {
    let last: i64 = sqlx::query_scalar("select coalesce(max(id), 0) from person")
        .fetch_one(cx.state())
        .await?;
    let firsts = (1..=last).step_by(usize::try_from(size)?);
    let batch = |first| Batch {
        first,
        last: last.min(first + size - 1),
    };
    Ok(firsts.map(batch).collect())
}

async fn fill(cx: Cx<SqlitePool>, batch: Batch) -> StepResult<Committed<i64>> {
    let names: Vec<(i64, String)> =
        sqlx::query_as("select id, name from person where id between ?1 and ?2 and code is null")
            .bind(batch.first)
            .bind(batch.last)
            .fetch_all(cx.state())
            .await?;
    // Reading and reckoning go on side by side. Only the writing is one after the other, so it is short.
    let codes = cx.blocking(move || {
        let codes = names.into_iter().map(|(id, name)| (id, code(&name)));
        serde_json::to_string(&codes.collect::<Vec<_>>())
    });
    let codes = codes.await??;
    cx.transaction(async |db: &mut SqliteConnection| {
        let filled = sqlx::query(
            "update person set code = n.value ->> 1 from json_each(?1) n where person.id = n.value ->> 0",
        );
        let filled = filled.bind(codes).execute(&mut *db).await?;
        Ok(i64::try_from(filled.rows_affected())?)
    })
    .await
}

/// Something that takes its time: ten rounds of FNV-1a.
fn code(name: &str) -> String {
    let round = |hash: u64| {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        name.bytes().fold(hash, step)
    };
    format!(
        "{:016x}",
        (0..10).fold(0xcbf2_9ce4_8422_2325, |hash, _| round(hash))
    )
}

#[tokio::main]
async fn main() -> Result<()> {
    let rows = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |rows| rows.parse::<i64>());
    let rows = rows.context("how many rows there are to be, as a number")?;
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}/people.db", directory.path().display());
    let intendant = Intendant::open(&url).await?;
    let people = SqlitePool::connect(&url).await?;
    sqlx::query("create table person (id integer primary key, name text not null, code text)")
        .execute(&people)
        .await?;
    sqlx::query(
        "with recursive n (id) as (select 1 where ?1 > 0 union all select id + 1 from n where id < ?1)
         insert into person (id, name) select id, 'person ' || id from n",
    )
    .bind(rows)
    .execute(&people)
    .await?;

    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(&intendant, people.clone()).register(fill_codes);
    let working = tokio::spawn(worker.run(async { stopped.await.unwrap_or(()) }));
    let start = Instant::now();
    let cores = std::thread::available_parallelism()?.get();
    let batch = 10_000;
    let filled = intendant
        .request(FillCodes { cores, batch })
        .by("release-2")
        .await?
        .output()
        .await?;
    let left: i64 = sqlx::query_scalar("select count(*) from person where code is null")
        .fetch_one(&people)
        .await?;
    println!(
        "{} rows in {} batches, {left} left over, in {:.1?} on {cores} cores",
        filled.iter().sum::<i64>(),
        filled.len(),
        start.elapsed()
    );

    stop.send(()).ok();
    working.await??;
    people.close().await;
    intendant.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::testing::Kit;

    const ROWS: i64 = 250;

    /// People without codes, in the run's own database.
    async fn people(url: String) -> SqlitePool {
        let people = SqlitePool::connect_lazy(&url).expect("the kit's own URL");
        let sql = "create table person (id integer primary key, name text not null, code text);
            with recursive n (id) as (select 1 union all select id + 1 from n where id < 250)
            insert into person (id, name) select id, 'person ' || id from n";
        sqlx::raw_sql(sql)
            .execute(&people)
            .await
            .expect("an empty database");
        people
    }

    fn kit() -> Kit<SqlitePool> {
        Kit::with_database(people, |worker| worker.register(fill_codes))
    }

    fn three_batches() -> FillCodes {
        FillCodes {
            cores: 2,
            batch: 100,
        }
    }

    async fn filled(people: &SqlitePool) -> i64 {
        let sql = "select count(code) from person where code is not null";
        let count = sqlx::query_scalar::<_, i64>(sql).fetch_one(people).await;
        count.expect("a table")
    }

    #[tokio::test]
    async fn every_row_is_filled_once_whatever_happens() -> Result<()> {
        let ended = kit().run(three_batches()).await?;
        assert_eq!(ended.output::<Vec<i64>>()?.iter().sum::<i64>(), ROWS);
        // A batch's rows are told with its commit: whoever runs it again fills none, and is not asked.
        let report = kit().check_idempotent(three_batches, filled).await?;
        report.assert_clean();
        Ok(())
    }

    #[tokio::test]
    async fn every_row_is_filled_at_last_whatever_fails_on_the_way() -> Result<()> {
        let report = kit().check_recovery(three_batches, filled).await?;
        report.assert_clean();
        Ok(())
    }
}
