//! Two PostgreSQL transactions, statement by statement, in every order in which they can take their turns.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::mpsc;

/// How long a turn may take before it counts as waiting for the other transaction. If it was only slow, the order is one of
/// the others, which is no harm.
const BLOCKED: Duration = Duration::from_millis(8);

/// One of the two.
pub trait Side: Send + Sized + 'static {
    /// Takes one turn.
    fn turn(
        &mut self,
        tx: &mut Transaction<'static, Postgres>,
        nth: usize,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// Every order of two sides with so many turns each, and their commits: a bit for each turn, whose it is.
pub fn orders(turns: usize) -> impl Iterator<Item = u32> {
    let turns = turns + 1;
    (0u32..1 << (2 * turns)).filter(move |bits| bits.count_ones() as usize == turns)
}

/// Runs both in one order, with a commit at the end of each. One that waits for the other loses its turns until that one
/// has gone on.
pub async fn interleave<S: Side>(
    pool: &PgPool,
    both: [S; 2],
    turns: usize,
    order: u32,
) -> Result<[S; 2]> {
    let all = turns + 1;
    let mut sides = Vec::new();
    let mut tasks = Vec::new();
    for side in both {
        let (go, gone) = mpsc::unbounded_channel();
        let (done, told) = mpsc::unbounded_channel();
        tasks.push(tokio::spawn(run(pool.clone(), side, turns, gone, done)));
        sides.push((go, told, 0usize, 0usize));
    }
    let given = (0..2 * all).map(|turn| ((order >> turn) & 1) as usize);
    // Those who were blocked, or slow, go on at the end, in turn; after a minute something is stuck.
    let rest = (0..10_000).map(|turn| turn % 2);
    for side in given.chain(rest) {
        if sides.iter().all(|(_, _, _, heard)| *heard == all) {
            break;
        }
        let (go, told, sent, heard) = &mut sides[side];
        if sent == heard && *sent < all {
            go.send(()).context("a side has failed")?;
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
    let mut ended = Vec::new();
    for task in tasks {
        ended.push(tokio::time::timeout(Duration::from_secs(30), task).await???);
    }
    let ended: Result<[S; 2], _> = ended.try_into();
    ended.ok().context("two sides")
}

async fn run<S: Side>(
    pool: PgPool,
    mut side: S,
    turns: usize,
    mut go: mpsc::UnboundedReceiver<()>,
    done: mpsc::UnboundedSender<()>,
) -> Result<S> {
    let mut tx = pool.begin().await?;
    for nth in 0..turns {
        go.recv().await.context("an order that is complete")?;
        side.turn(&mut tx, nth).await?;
        done.send(())?;
    }
    go.recv().await.context("an order that is complete")?;
    tx.commit().await?;
    done.send(())?;
    Ok(side)
}
