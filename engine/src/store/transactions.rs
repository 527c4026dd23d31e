//! How a transaction begins and ends on either database, and how long a call may take.

use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{Postgres, Sqlite, Transaction};

use super::moments::Began;
use super::writers::WriterTurn;
use super::{Conn, Db, Store, StoreKind};
use crate::clock::Micros;
use crate::error::Error;
use crate::limits;
use crate::planted::{Slip, is_planted};
use crate::seam::{self, Seam};

/// What a connection outside a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Beat,
    /// What goes with a heartbeat, and only reads.
    Watch,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// It does, so what is committed is not lost.
    Now,
    /// It does not. For what may be lost with the machine because nobody has been told of it, and what comes after it
    /// finds out: a claim by itself. Its session's next tick has the next number, so it is refused if the claim is gone.
    Later,
    /// As the first statement says, which sets everything else for the transaction as well: a tick on PostgreSQL.
    Said,
}

const BEGIN_POSTGRES: &str = "begin; \
    set local idle_in_transaction_session_timeout = '10s'; set local statement_timeout = '10s'; \
    set local lock_timeout = '5s'; set local enable_seqscan = off; set local jit = off";

const BEGIN_POSTGRES_LATER: &str = "begin; set local synchronous_commit = off; \
    set local idle_in_transaction_session_timeout = '10s'; set local statement_timeout = '10s'; \
    set local lock_timeout = '5s'; set local enable_seqscan = off; set local jit = off";

/// Reads in one moment. The settings pin the plans: what is to be found by a key is found by it, whatever the statistics
/// say or do not say yet (DESIGN 4.3), so that no look at history can turn into a walk through it.
const BEGIN_SNAPSHOT: &str = "begin isolation level repeatable read read only; \
    set local idle_in_transaction_session_timeout = '10s'; set local statement_timeout = '10s'; \
    set local plan_cache_mode = force_custom_plan; set local enable_seqscan = off; \
    set local enable_bitmapscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; \
    set local jit = off";

/// An open transaction. Dropped without a commit, it is rolled back.
pub(crate) enum OpenTx {
    Pg(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>, Micros, Seam, WriterTurn),
}

impl OpenTx {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Pg(tx) => Conn::Pg(tx),
            Self::Sqlite(tx, now, ..) => Conn::Sqlite(tx, *now),
        }
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        match self.try_commit().await {
            Err(_) if is_planted(Slip::CommitTakenForGranted) => Ok(()),
            committed => committed,
        }
    }

    async fn try_commit(self) -> Result<(), Error> {
        seam::before("commit").await;
        match self {
            Self::Pg(tx) => tx.commit().await?,
            Self::Sqlite(tx, _, seam, _turn) => {
                if let Err(dead) = seam.before_commit() {
                    tx.rollback().await?;
                    return Err(dead);
                }
                tx.commit().await?;
                seam.after_commit()?;
            }
        }
        Ok(())
    }

    pub(crate) async fn rollback(self) -> Result<(), Error> {
        match self {
            Self::Pg(tx) => tx.rollback().await?,
            Self::Sqlite(tx, ..) => tx.rollback().await?,
        }
        Ok(())
    }
}

/// Runs a database call in a task of its own, which nobody drops half way (sqlx 0.9.0 can put an open transaction back
/// into its pool when that happens), and within a time limit.
pub(super) async fn detached<T: Send + 'static>(
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    detached_for(limits::DATABASE_CALL, call).await
}

pub(super) async fn detached_for<T: Send + 'static>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let limited = seam::paused_alike(tokio::time::timeout(limit, call));
    match tokio::spawn(limited).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Unreachable(format!("no answer within {limit:?}"))),
        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Err(_) => Err(Error::Unreachable(
            "the runtime is shutting down".to_owned(),
        )),
    }
}

impl Store {
    /// Begins a transaction that writes. On SQLite it has the writer from its first statement, so that it cannot find
    /// later that somebody else was faster. On PostgreSQL its limits and its planner settings are local to it: nothing
    /// stays on the connection, so a pooler may hand it to anybody afterwards.
    pub(crate) async fn begin(&self, flush: Flush) -> Result<OpenTx, Error> {
        Ok(self.begin_at(flush).await?.0)
    }

    /// The same; also between which moments the transaction's time was taken.
    async fn begin_at(&self, flush: Flush) -> Result<(OpenTx, Began), Error> {
        self.seam.begin().await;
        self.seam.alive()?;
        match &self.db {
            Db::Pg { pool, .. } => {
                let asked = self.clock.monotonic();
                let begin = match flush {
                    Flush::Now => BEGIN_POSTGRES,
                    Flush::Later => BEGIN_POSTGRES_LATER,
                    Flush::Said => "begin",
                };
                let tx = OpenTx::Pg(pool.begin_with(begin).await?);
                let answered = self.clock.monotonic();
                Ok((tx, Began { asked, answered }))
            }
            Db::Sqlite {
                writer,
                writers,
                full,
                ..
            } => {
                let begin = match flush {
                    Flush::Now if *full => "pragma synchronous = full; begin immediate",
                    Flush::Now | Flush::Later | Flush::Said => {
                        "pragma synchronous = normal; begin immediate"
                    }
                };
                let turn = writers.turn().await;
                let tx = writer.begin_with(begin).await?;
                // The time is that of this process, when the writer is free.
                let asked = self.clock.monotonic();
                let now = self.now();
                let answered = self.clock.monotonic();
                let tx = OpenTx::Sqlite(tx, now, self.seam.clone(), turn);
                Ok((tx, Began { asked, answered }))
            }
        }
    }

    /// Runs `work` in a transaction of its own, again if the database asks for that.
    pub(crate) async fn transact<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.transact_with(Flush::Now, work).await
    }

    pub(super) async fn transact_with<T, W>(&self, flush: Flush, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.transact_at(flush, move |conn, _| work(conn)).await
    }

    /// The same, for work that has to say how long ago something was: it is told between which moments the transaction's time was taken.
    pub(super) async fn transact_at<T, W>(&self, flush: Flush, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(Conn<'c>, Began) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        let store = self.clone();
        // Who is watched waits for leave as long as the test wants, however slow the machine is.
        let limit = match store.seam.is_watched() {
            true => limits::FUTURE,
            false => limits::DATABASE_CALL,
        };
        detached_for(limit, async move {
            let mut replays = 0;
            loop {
                let (mut tx, began) = store.begin_at(flush).await?;
                match work(tx.conn(), began).await {
                    Ok(value) => {
                        match store.rehearses {
                            true => tx.rollback().await?,
                            false => tx.commit().await?,
                        }
                        return Ok(value);
                    }
                    Err(error) if error.is_replayable() && replays < 10 => {
                        replays += 1;
                        tx.rollback().await?;
                    }
                    Err(error) => {
                        tx.rollback().await.ok();
                        return Err(error);
                    }
                }
            }
        })
        .await
    }

    /// Runs `work`, one statement on PostgreSQL, which is a transaction by itself.
    pub(super) async fn alone<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        debug_assert_eq!(self.kind(), StoreKind::Postgres, "SQLite has one writer");
        self.on(Purpose::Read, work).await
    }

    /// Runs `work` on a connection that reads.
    pub(super) async fn read<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.on(Purpose::Read, work).await
    }

    /// Runs `work`, which only reads, in one transaction: all its statements see the same moment.
    pub(super) async fn snapshot<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let store = self.clone();
        detached(async move {
            store.seam.alive()?;
            let mut tx = match &store.db {
                Db::Pg { pool, .. } => OpenTx::Pg(pool.begin_with(BEGIN_SNAPSHOT).await?),
                Db::Sqlite { readers, .. } => {
                    let tx = readers.begin_with("begin").await?;
                    OpenTx::Sqlite(tx, store.now(), Seam::default(), WriterTurn::default())
                }
            };
            let value = work(tx.conn()).await;
            let end = tx.rollback().await;
            value.and_then(|value| end.map(|()| value))
        })
        .await
    }

    /// Runs `work` on the connection that is kept for heartbeats.
    pub(super) async fn beat<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.on(Purpose::Beat, work).await
    }

    /// Runs `work`, which only reads, on the same connection.
    pub(super) async fn watch<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.on(Purpose::Watch, work).await
    }

    pub(super) async fn on<T, W>(&self, purpose: Purpose, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let store = self.clone();
        detached(async move {
            store.seam.alive()?;
            match (&store.db, purpose) {
                (Db::Pg { pool, .. }, Purpose::Read)
                | (Db::Pg { beats: pool, .. }, Purpose::Beat | Purpose::Watch) => {
                    let mut conn = pool.acquire().await?;
                    work(Conn::Pg(&mut conn)).await
                }
                (Db::Sqlite { readers: pool, .. }, Purpose::Read)
                | (Db::Sqlite { beats: pool, .. }, Purpose::Watch) => {
                    let now = store.now();
                    let mut conn = pool.acquire().await?;
                    work(Conn::Sqlite(&mut conn, now)).await
                }
                (Db::Sqlite { beats, writers, .. }, Purpose::Beat) => {
                    let _turn = writers.turn_of_heartbeat().await;
                    let now = store.now();
                    let mut conn = beats.acquire().await?;
                    work(Conn::Sqlite(&mut conn, now)).await
                }
            }
        })
        .await
    }
}
