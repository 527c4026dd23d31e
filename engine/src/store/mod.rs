//! The store: every way in which the engine touches a database.
//!
//! One type with a verb for each move of PROTOCOL.md, each verb one transaction. The verbs are written once; the two
//! databases differ in their `.sql` files ([`sql`]), in how arguments are packed ([`args`]) and in how a transaction
//! begins (here).

mod admit;
mod alerts;
mod anew;
mod args;
mod awaited;
mod backlog;
mod cancel;
mod cancel_asked;
mod change;
mod checkpoint;
mod circle;
mod claim;
mod conflict;
mod conn;
mod deadlines;
mod find;
mod finish;
mod history;
mod kinds;
mod line;
mod load;
mod loaded;
mod migrate;
mod notes;
mod once;
mod open;
mod overdue;
mod partition;
mod parts;
mod poison;
mod quarantine;
mod queue;
mod rates;
mod reading;
mod reap;
mod recorded;
mod records;
mod removing;
mod removing_large;
mod request;
mod resume;
mod retention;
mod routed;
mod rows;
mod savepoint;
mod schedule;
mod schedule_records;
mod session;
mod sharing;
mod signal;
mod sql;
mod stop;
mod taking_back;
mod tick;
mod tick_rows;
mod token;
mod verbs;
mod versions;
mod wake;
mod why;
mod why_ready;
mod why_routed;
mod workers;
mod writers;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{Postgres, Sqlite, Transaction};

use self::backlog::Gauge;
use self::writers::{WriterTurn, Writers};
use crate::clock::{Clock, Micros};
use crate::error::Error;
use crate::limits;
use crate::seam::{self, Seam};

pub(crate) use alerts::{Due, Turn};
pub(crate) use cancel::CancelBy;
pub(crate) use cancel_asked::CancelAsked;
pub(crate) use change::NewChange;
pub(crate) use checkpoint::Kept;
pub(crate) use circle::Round;
pub(crate) use conflict::Superseded;
pub(crate) use conn::Conn;
pub(crate) use loaded::{
    AttemptLoad, AwaitedLoad, CancelLoad, ChildLoad, Claimed, Failure, Goal, OutcomeRow,
    RoutedLoad, StepLoad, ToStop,
};
pub use migrate::{MigrationStatus, migration_sql};
pub(crate) use notes::{NoteRow, write as write_notes};
pub(crate) use once::{Once, OnceAnswer, record as record_once};
pub(crate) use overdue::Overdue;
pub(crate) use partition::Turns;
pub(crate) use poison::BacksOff;
pub(crate) use queue::{Control, Partitioned};
pub(crate) use reap::Reaped;
pub use records::{
    AttemptRecord, ChildRecord, EventRecord, IntentFilter, IntentPage, IntentRecord, LinkRecord,
    LogLine, LogRecord, MeasureRecord, Relation, ResourceRecord, SignalRecord, StepRecord,
    Unfinished, UnknownRelation,
};
pub(crate) use removing::{Removal, Remover, Target, ToRemove};
pub(crate) use removing_large::{LargeNext, LargeTree, Looked, Walk};
pub(crate) use request::{insert_asked, insert_requests};
pub(crate) use resume::{Actor, Revival};
pub(crate) use retention::RuleStanding;
pub(crate) use rows::{
    AttemptRow, AwaitedRow, ChildRow, Deadline, DeadlineRow, Finish, KindRow, NewIntent,
    ParkReason, ParkRow, Peek, Ran, Requested, RoutedEnd, RoutedRow, SessionRow, SessionSeen,
    SetAsideRow, Start, StartedRow, StepAt, StepRow, UndoRow, When,
};
pub(crate) use schedule::{Declaration, NewTick, ScheduleLoad, Standing};
pub(crate) use signal::NewSignal;
pub(crate) use tick_rows::{KindRules, Lane, Life, Probe, TickAnswer, TickEnd, TickRequest};
pub(crate) use token::NewTokenRow;
pub(crate) use verbs::{Amendment, StepVerb};
pub use versions::{Version, Versions};
pub(crate) use wake::{CANCEL, Listening, nudge_within};

/// Which database an engine is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// Embedded, one file.
    Sqlite,
    /// A server.
    Postgres,
}

impl StoreKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite://PATH`, `sqlite::memory:` or `postgres://…`.
    pub url: String,
    /// Make the SQLite file if it is not there.
    pub create: bool,
    /// SQLite: wait for the disk at every commit (`synchronous=FULL`). Without it (`NORMAL`) the last commits can be
    /// lost when the machine loses power, and none when only the process dies.
    pub sync_every_commit: bool,
    /// PostgreSQL: most connections for requests, transactions of steps and ticks.
    pub connections: u32,
}

impl StoreOptions {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            create: false,
            sync_every_commit: true,
            connections: 10,
        }
    }
}

/// A handle on the database, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
    clock: Arc<dyn Clock>,
    seam: Seam,
    /// Everything is done, and rolled back.
    rehearses: bool,
    gauge: Gauge,
}

#[derive(Clone, Debug)]
enum Db {
    Pg {
        pool: PgPool,
        beats: PgPool,
        listeners: PgPool,
    },
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        beats: SqlitePool,
        writers: Writers,
        path: Option<PathBuf>,
        /// Commits wait for the disk.
        full: bool,
    },
}

/// What a connection outside a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
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
async fn detached<T: Send + 'static>(
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    detached_for(limits::DATABASE_CALL, call).await
}

async fn detached_for<T: Send + 'static>(
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
    pub(crate) async fn connect(
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let url = options.url.as_str();
        let db = if url.starts_with("sqlite:") {
            open::sqlite(options).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            open::postgres(options).await?
        } else {
            return Err(Error::url(url));
        };
        Ok(Self {
            db,
            clock,
            seam: Seam::default(),
            rehearses: false,
            gauge: Gauge::default(),
        })
    }

    pub(crate) fn kind(&self) -> StoreKind {
        match self.db {
            Db::Pg { .. } => StoreKind::Postgres,
            Db::Sqlite { .. } => StoreKind::Sqlite,
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whoever watches what this process does.
    pub(crate) fn seam(&self) -> &Seam {
        &self.seam
    }

    /// The same database, for a process that is watched.
    pub(crate) fn watched(&self, seam: Seam) -> Self {
        Self {
            seam,
            ..self.clone()
        }
    }

    /// The same database, of which nothing is changed: each transaction is carried out, and rolled back.
    pub(crate) fn rehearsing(&self) -> Self {
        Self {
            rehearses: true,
            ..self.clone()
        }
    }

    /// The SQLite file, if there is one.
    pub(crate) fn path(&self) -> Option<&std::path::Path> {
        match &self.db {
            Db::Pg { .. } => None,
            Db::Sqlite { path, .. } => path.as_deref(),
        }
    }

    fn now(&self) -> Micros {
        Micros(self.clock.wall_us())
    }

    /// Begins a transaction that writes. On SQLite it has the writer from its first statement, so that it cannot find
    /// later that somebody else was faster. On PostgreSQL its limits and its planner settings are local to it: nothing
    /// stays on the connection, so a pooler may hand it to anybody afterwards.
    pub(crate) async fn begin(&self, flush: Flush) -> Result<OpenTx, Error> {
        self.seam.alive()?;
        match &self.db {
            Db::Pg { pool, .. } => {
                let begin = match flush {
                    Flush::Now => BEGIN_POSTGRES,
                    Flush::Later => BEGIN_POSTGRES_LATER,
                    Flush::Said => "begin",
                };
                Ok(OpenTx::Pg(pool.begin_with(begin).await?))
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
                Ok(OpenTx::Sqlite(tx, self.now(), self.seam.clone(), turn))
            }
        }
    }

    /// Runs `work` in a transaction of its own, again if the database asks for that.
    async fn transact<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.transact_with(Flush::Now, work).await
    }

    async fn transact_with<T, W>(&self, flush: Flush, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        self.transact_at(flush, move |conn, _| work(conn)).await
    }

    /// The same, for work that has to say how long ago something was: as of a moment that is no later than the transaction's own time,
    /// so that by the database's clock nothing is earlier than it was, and what came after a commit is later than what was in it.
    async fn transact_at<T, W>(&self, flush: Flush, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(Conn<'c>, Instant) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        let store = self.clone();
        detached(async move {
            let mut replays = 0;
            loop {
                let asked = store.clock.monotonic();
                let mut tx = store.begin(flush).await?;
                let at = match tx {
                    // The server says what time it is, at some moment since.
                    OpenTx::Pg(_) => asked,
                    // The time was read when the writer was free.
                    OpenTx::Sqlite(..) => store.clock.monotonic(),
                };
                match work(tx.conn(), at).await {
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
    async fn alone<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        debug_assert_eq!(self.kind(), StoreKind::Postgres, "SQLite has one writer");
        self.on(Purpose::Read, work).await
    }

    /// Runs `work` on a connection that reads.
    async fn read<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.on(Purpose::Read, work).await
    }

    /// Runs `work`, which only reads, in one transaction: all its statements see the same moment.
    async fn snapshot<T, W>(&self, work: W) -> Result<T, Error>
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
    async fn beat<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.on(Purpose::Beat, work).await
    }

    /// Runs `work`, which only reads, on the same connection.
    async fn watch<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.on(Purpose::Watch, work).await
    }

    async fn on<T, W>(&self, purpose: Purpose, work: W) -> Result<T, Error>
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

    /// The same, with a connection for heartbeats that belongs to the runtime of the caller: a connection does not
    /// outlive the runtime in which it was made, and a heartbeat has one to itself.
    pub(crate) fn for_heartbeat(&self, lease: Duration) -> Self {
        let mut own = self.clone();
        if let Db::Pg { beats, .. } = &mut own.db {
            let options = beats.connect_options().as_ref().clone();
            let pool = beats.options().clone();
            let wait = limits::BEAT_CONNECT.min(lease);
            *beats = pool.acquire_timeout(wait).connect_lazy_with(options);
        }
        own
    }

    pub(crate) async fn close(&self) {
        self.gauge.stop();
        match &self.db {
            Db::Pg {
                pool,
                beats,
                listeners,
            } => {
                listeners.close().await;
                pool.close().await;
                beats.close().await;
            }
            Db::Sqlite {
                writer,
                readers,
                beats,
                ..
            } => {
                readers.close().await;
                beats.close().await;
                writer.close().await;
            }
        }
    }
}
