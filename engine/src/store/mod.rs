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
mod checkup;
mod circle;
mod claim;
mod conflict;
mod conn;
mod deadlines;
mod events;
mod find;
mod finish;
mod history;
mod kinds;
mod line;
mod load;
mod loaded;
mod look;
mod migrate;
mod moments;
mod notes;
mod occurrences;
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
mod secrets;
mod session;
mod sharing;
mod signal;
mod sql;
mod stop;
mod taking_back;
mod tick;
mod tick_rows;
mod token;
mod transactions;
mod verbs;
mod versions;
mod wake;
mod why;
mod why_ready;
mod why_routed;
mod workers;
mod writers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

use self::backlog::Gauge;
use self::moments::Moments;
use self::secrets::Secrets;
use self::writers::Writers;
use crate::clock::{Clock, Micros};
use crate::error::Error;
use crate::limits;
use crate::seam::Seam;
use crate::secret::SecretKey;

pub(crate) use alerts::{Due, Turn};
pub(crate) use cancel::CancelBy;
pub(crate) use cancel_asked::CancelAsked;
pub(crate) use change::NewChange;
pub(crate) use checkpoint::Kept;
pub(crate) use circle::Round;
pub(crate) use conflict::Superseded;
pub(crate) use conn::Conn;
pub(crate) use find::Failed;
pub(crate) use loaded::{
    AttemptLoad, AwaitedLoad, CancelLoad, ChildLoad, Claimed, Failure, Goal, OutcomeRow,
    RoutedLoad, StepLoad, ToStop,
};
pub(crate) use look::{Look, Peek, QueueSeen};
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
    ParkReason, ParkRow, Ran, Requested, RoutedEnd, RoutedRow, SessionRow, SessionSeen,
    SetAsideRow, Start, StartedRow, StepAt, StepRow, UndoRow, When,
};
pub(crate) use schedule::{Declaration, NewTick, ScheduleLoad, Standing};
pub(crate) use signal::NewSignal;
pub(crate) use sql::text_of;
#[cfg(all(test, feature = "planted-bugs"))]
pub(crate) use sql::texts_of;
pub(crate) use tick_rows::{
    KindRules, Lane, Life, Probe, Probed, TickAnswer, TickEnd, TickRequest,
};
pub(crate) use token::NewTokenRow;
pub(crate) use transactions::{Flush, OpenTx};
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
    /// What the secrets of inputs are sealed with ([`Secret`](crate::Secret)): the first seals, all of them open, so a key
    /// is changed by putting the new one first. None: a key seals that the database has itself.
    pub secret_keys: Vec<SecretKey>,
}

impl StoreOptions {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            create: false,
            sync_every_commit: true,
            connections: 10,
            secret_keys: Vec::new(),
        }
    }
}

/// The defaults, for this URL.
macro_rules! from_url {
    ($($url:ty),*) => {$(
        impl From<$url> for StoreOptions {
            fn from(url: $url) -> Self {
                Self::new(url)
            }
        }
    )*};
}
from_url!(String, &String, &str);

/// A handle on the database, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
    clock: Arc<dyn Clock>,
    seam: Seam,
    /// Everything is done, and rolled back.
    rehearses: bool,
    gauge: Gauge,
    moments: Moments,
    secrets: Secrets,
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
            moments: Moments::new(clock.monotonic()),
            clock,
            seam: Seam::default(),
            rehearses: false,
            gauge: Gauge::default(),
            secrets: Secrets::new(options.secret_keys.clone()),
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
            moments: Moments::new(self.clock.monotonic()),
            gauge: Gauge::default(),
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
