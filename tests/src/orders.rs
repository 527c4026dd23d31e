//! Two transactions, or three, statement by statement, in every order.
//!
//! On PostgreSQL these are all orders of their turns. SQLite has one writer, which takes its turn before its first
//! statement: whoever comes second waits until the first has ended, so what is left there are the places of the first one
//! at which the second may come ([`orders_on`]).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use intendant::StoreKind;
use intendant::testing::turns::{self, Pause, paused};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long a statement may take before it counts as waiting for the other transaction. If it was only slow, the order is
/// one of the others, which is no harm, as long as it is not always so.
const BLOCKED: Duration = Duration::from_millis(8);

/// How long a turn may take while the other one has not begun, or has ended.
const SLOW: Duration = Duration::from_secs(10);

/// The engine's own statement of that name, for PostgreSQL.
pub fn statement(name: &str) -> Result<&'static str> {
    turns::statement(name).with_context(|| format!("the engine has no statement `{name}`"))
}

/// A worker's session, as the engine begins one.
pub async fn insert_session(pool: &PgPool) -> Result<Uuid> {
    let session = Uuid::now_v7();
    sqlx::query(statement("session_insert")?)
        .bind(session)
        .bind("worker")
        .bind("host")
        .bind(1i64)
        .bind("build")
        .bind(None::<&str>)
        .bind(1_000i64)
        .bind(1i64)
        .execute(pool)
        .await?;
    Ok(session)
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

/// Those of them that a database admits: on SQLite the second one comes somewhere in the first one's turns, or after them,
/// and then waits for its end.
pub fn orders_on(kind: StoreKind, turns: usize) -> Vec<u32> {
    let mut all: Vec<u32> = orders(turns).collect();
    if kind == StoreKind::Sqlite {
        let second = |bits: u32| if bits & 1 == 0 { bits } else { !bits };
        // One turn of the second, then the rest of the first: no other way round than that.
        let one_by_one = |bits: u32| {
            let second = second(bits) & ((1 << (2 * turns)) - 1);
            let comes = second.trailing_zeros() as usize;
            let rest = ((1u32 << (turns - 1)) - 1) << (turns + 1);
            second == (1 << comes) | rest
        };
        all.retain(|bits| one_by_one(*bits));
    }
    all
}

/// One of them, waiting for its turns.
#[derive(Debug)]
pub struct Turns {
    go: mpsc::UnboundedReceiver<()>,
    done: mpsc::UnboundedSender<()>,
    begun: bool,
}

impl Turns {
    /// Its turn is over; completes when the next one comes.
    pub async fn next(&mut self) {
        if self.begun {
            self.done.send(()).ok();
        }
        self.begun = true;
        // Where nobody gives turns any more, it goes on.
        self.go.recv().await;
    }
}

/// Who gives one of them its turns.
struct Reins {
    go: mpsc::UnboundedSender<()>,
    told: mpsc::UnboundedReceiver<()>,
    is_on: bool,
    has_begun: bool,
    is_over: bool,
    /// It has not come to the end of a turn in time: it waits for another one, as far as anybody can see.
    is_blocked: bool,
}

impl Reins {
    fn new() -> (Self, Turns) {
        let (go, gone) = mpsc::unbounded_channel();
        let (done, told) = mpsc::unbounded_channel();
        let reins = Self {
            go,
            told,
            is_on: false,
            has_begun: false,
            is_over: false,
            is_blocked: false,
        };
        let turns = Turns {
            go: gone,
            done,
            begun: false,
        };
        (reins, turns)
    }

    /// Gives it a turn; one that is still at its last one, since it waits for another one or is slow, goes on with that.
    async fn turn(&mut self, patience: Duration) {
        if self.is_over {
            return;
        }
        self.has_begun = true;
        if !self.is_on {
            // One that has failed is told of by its task.
            self.go.send(()).ok();
            self.is_on = true;
        }
        let told = tokio::time::timeout(patience, self.told.recv()).await;
        self.is_blocked = told.is_err();
        match told {
            Ok(Some(())) => self.is_on = false,
            Ok(None) => self.is_over = true,
            Err(_) => {}
        }
    }
}

/// So many of them, and who gives them their turns.
fn sides<const N: usize>() -> (Vec<Reins>, [Turns; N]) {
    let mut reins = Vec::with_capacity(N);
    let turns = std::array::from_fn(|_| {
        let (own, turns) = Reins::new();
        reins.push(own);
        turns
    });
    (reins, turns)
}

/// How long one of them may take for its turn.
fn patience(reins: &[Reins], side: usize, blocked: Duration) -> Duration {
    let others = reins.iter().enumerate().filter(|(nth, _)| *nth != side);
    let others: Vec<&Reins> = others
        .map(|(_, other)| other)
        .filter(|other| other.has_begun && !other.is_over)
        .collect();
    if others.is_empty() {
        // There is nobody to wait for.
        SLOW
    } else if reins[side].is_blocked && others.iter().any(|other| !other.is_blocked) {
        // What it waits for is the end of another one, so until then it is only looked whether it was slow.
        Duration::ZERO
    } else {
        blocked
    }
}

/// Gives them their turns in this order, until all have come to their end.
async fn give_turns(mut reins: Vec<Reins>, order: impl Iterator<Item = usize>, blocked: Duration) {
    let sides = reins.len();
    // Those who were blocked, or slow, or have more turns, go on at the end, in turn.
    let rest = (0..10_000).map(|turn| turn % sides);
    for side in order.chain(rest) {
        if reins.iter().all(|reins| reins.is_over) {
            break;
        }
        let patience = patience(&reins, side, blocked);
        reins[side].turn(patience).await;
    }
}

/// Whose each turn of two is, in an order of so many turns each.
fn whose(order: u32, turns: usize) -> impl Iterator<Item = usize> {
    (0..2 * turns).map(move |turn| ((order >> turn) & 1) as usize)
}

async fn ended<T>(side: JoinHandle<Result<T>>) -> Result<T> {
    tokio::time::timeout(Duration::from_secs(60), side).await??
}

/// Runs both in one order of so many turns each. One that waits for the other, which it is taken to do when a turn takes
/// longer than `blocked`, loses its turns until that one has gone on.
pub async fn take_turns<A, B, FutA, FutB>(
    first: impl FnOnce(Turns) -> FutA,
    second: impl FnOnce(Turns) -> FutB,
    (order, turns): (u32, usize),
    blocked: Duration,
) -> Result<(A, B)>
where
    A: Send + 'static,
    B: Send + 'static,
    FutA: Future<Output = Result<A>> + Send + 'static,
    FutB: Future<Output = Result<B>> + Send + 'static,
{
    let (reins, [one, other]) = sides::<2>();
    let first = tokio::spawn(first(one));
    let second = tokio::spawn(second(other));
    give_turns(reins, whose(order, turns), blocked).await;
    Ok((ended(first).await?, ended(second).await?))
}

/// The same, and a third one, which has its only turn at this place among theirs: 0 is before the first of them.
pub async fn take_turns_of_three<A, B, C, FutA, FutB, FutC>(
    first: impl FnOnce(Turns) -> FutA,
    second: impl FnOnce(Turns) -> FutB,
    third: impl FnOnce(Turns) -> FutC,
    (order, turns, place): (u32, usize, usize),
    blocked: Duration,
) -> Result<(A, B, C)>
where
    A: Send + 'static,
    B: Send + 'static,
    C: Send + 'static,
    FutA: Future<Output = Result<A>> + Send + 'static,
    FutB: Future<Output = Result<B>> + Send + 'static,
    FutC: Future<Output = Result<C>> + Send + 'static,
{
    let (reins, [one, other, last]) = sides::<3>();
    let first = tokio::spawn(first(one));
    let second = tokio::spawn(second(other));
    let third = tokio::spawn(third(last));
    let mut order: Vec<usize> = whose(order, turns).collect();
    order.insert(place, 2);
    give_turns(reins, order.into_iter(), blocked).await;
    Ok((
        ended(first).await?,
        ended(second).await?,
        ended(third).await?,
    ))
}

/// Runs two transactions on PostgreSQL in one order.
pub async fn race<A: Side, B: Side>(
    pool: &PgPool,
    sides: (A, B),
    turns: usize,
    order: u32,
) -> Result<(A, B)> {
    let first = |own| run(pool.clone(), sides.0, turns, own);
    let second = |own| run(pool.clone(), sides.1, turns, own);
    take_turns(first, second, (order, turns), BLOCKED).await
}

async fn run<S: Side>(pool: PgPool, mut side: S, turns: usize, mut own: Turns) -> Result<S> {
    let mut tx = pool.begin().await?;
    for nth in 0..turns - 1 {
        own.next().await;
        side.step(&mut tx, nth).await?;
    }
    own.next().await;
    tx.commit().await?;
    Ok(side)
}

/// Something that the engine does to a database, on either store, whose turns end before these statements of it: before
/// each of them where it runs for the first time, so that there are no more turns than names.
pub async fn by_turns<T>(
    mut own: Turns,
    before: &'static [&'static str],
    does: impl Future<Output = Result<T>>,
) -> Result<T> {
    own.next().await;
    let own = Arc::new(Mutex::new((own, before.to_vec())));
    let pause: Pause = Arc::new(move |statement| {
        let own = own.clone();
        Box::pin(async move {
            let (own, before) = &mut *own.lock().await;
            if let Some(place) = before.iter().position(|name| *name == statement) {
                before.swap_remove(place);
                own.next().await;
            }
        })
    });
    paused(pause, does).await.context("by turns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writer_admits_the_places_at_which_the_other_one_comes() {
        let two: Vec<String> = orders_on(StoreKind::Sqlite, 2)
            .into_iter()
            .map(|bits| format!("{bits:04b}"))
            .collect();
        // From the right: whose turn it is.
        assert_eq!(two, ["0011", "0101", "1010", "1100"]);
        assert_eq!(orders_on(StoreKind::Sqlite, 5).len(), 10);
        assert_eq!(orders_on(StoreKind::Postgres, 5).len(), 252);
    }

    #[tokio::test]
    async fn a_third_one_has_its_turn_at_its_place() -> Result<()> {
        let said = Arc::new(std::sync::Mutex::new(String::new()));
        let says = |who: char, turns: usize| {
            let said = said.clone();
            move |mut own: Turns| async move {
                for _ in 0..turns {
                    own.next().await;
                    said.lock().expect("nobody panics").push(who);
                }
                Ok(())
            }
        };
        let (first, second, third) = (says('a', 2), says('b', 2), says('c', 1));
        // Nobody waits for anybody.
        take_turns_of_three(first, second, third, (0b0110, 2, 3), SLOW).await?;
        assert_eq!(*said.lock().expect("nobody panics"), "abbca");
        Ok(())
    }
}
