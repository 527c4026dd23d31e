//! Two transactions on PostgreSQL, statement by statement, in every order.
//!
//! SQLite has one writer, which takes its turn before its first statement, so there are no other orders there than one after
//! the other.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use tokio::sync::mpsc;

/// How long a statement may take before it counts as waiting for the other transaction. If it was only slow, the order is
/// one of the others, which is no harm.
const BLOCKED: Duration = Duration::from_millis(8);

/// The engine's own statement of that name, for PostgreSQL.
pub fn statement(name: &str) -> Result<AssertSqlSafe<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join(format!("../engine/sql/postgres/{name}.sql"));
    Ok(AssertSqlSafe(std::fs::read_to_string(path)?))
}

/// One of the two: what it does at each of its turns but the last, which is its COMMIT.
pub trait Side: Send + 'static {
    /// Its turn, counted from 0.
    fn step(
        &mut self,
        tx: &mut Transaction<'static, Postgres>,
        nth: usize,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// Every order in which two transactions can take `turns` turns each: a bit for each turn, whose it is.
pub fn orders(turns: usize) -> impl Iterator<Item = u32> {
    (0u32..1 << (2 * turns)).filter(move |bits| bits.count_ones() as usize == turns)
}

/// Runs both in one order. One that waits for the other loses its turns until that one has gone on.
pub async fn race<A: Side, B: Side>(
    pool: &PgPool,
    sides: (A, B),
    turns: usize,
    order: u32,
) -> Result<(A, B)> {
    let mut ends = Vec::new();
    let mut begin = || {
        let (go, gone) = mpsc::unbounded_channel();
        let (done, told) = mpsc::unbounded_channel();
        ends.push((go, told, 0usize, 0usize));
        (gone, done)
    };
    let (first, second) = (begin(), begin());
    let first = tokio::spawn(run(pool.clone(), sides.0, turns, first.0, first.1));
    let second = tokio::spawn(run(pool.clone(), sides.1, turns, second.0, second.1));
    let whose = (0..2 * turns).map(|turn| ((order >> turn) & 1) as usize);
    // Those who were blocked, or slow, go on at the end, in turn.
    let rest = (0..10_000).map(|turn| turn % 2);
    for side in whose.chain(rest) {
        if ends.iter().all(|(.., heard)| *heard == turns) {
            break;
        }
        let (go, told, sent, heard) = &mut ends[side];
        if sent == heard && *sent < turns {
            // One that has failed is told of by its task.
            go.send(()).ok();
            *sent += 1;
        }
        if *heard < *sent
            && tokio::time::timeout(BLOCKED, told.recv())
                .await
                .is_ok_and(|told| told.is_some())
        {
            *heard += 1;
        }
    }
    let limit = Duration::from_secs(60);
    let first = tokio::time::timeout(limit, first).await???;
    let second = tokio::time::timeout(limit, second).await???;
    Ok((first, second))
}

async fn run<S: Side>(
    pool: PgPool,
    mut side: S,
    turns: usize,
    mut go: mpsc::UnboundedReceiver<()>,
    done: mpsc::UnboundedSender<()>,
) -> Result<S> {
    let mut tx = pool.begin().await?;
    for nth in 0..turns - 1 {
        go.recv().await.context("an order that is complete")?;
        side.step(&mut tx, nth).await?;
        done.send(())?;
    }
    go.recv().await.context("an order that is complete")?;
    tx.commit().await?;
    done.send(())?;
    Ok(side)
}
