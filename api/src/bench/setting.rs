//! Under which circumstances a workload is measured: behind a long history, beside a snapshot that somebody holds open,
//! by worker processes of their own. Each is compared with the same workload without it, in turns.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use intendant::{Intendant, Intent as _, IntentState, Partitions, Rate, Retention};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio::process::{Child, Command};

use super::measure::{start_workers, stop_workers};
use super::place::Place;
use super::work::Single;
use super::{BenchOptions, Workload};
use crate::cli::Refusal;

/// Intents of history that are written in one transaction.
const BATCH: usize = 250_000;

/// What is left of the circumstances between the runs.
pub(super) struct Setting {
    pub(super) place: Place,
    /// Held until the end.
    _snapshot: Option<Snapshot>,
}

/// A connection in a transaction that has read something.
enum Snapshot {
    Postgres { _conn: PgConnection },
    Sqlite { _conn: SqliteConnection },
}

impl BenchOptions {
    /// The circumstances, if they are not the usual ones.
    pub(super) async fn setting(&self) -> Result<Option<Setting>> {
        let unusual = self.history > 0 || self.snapshot;
        if !unusual && self.processes == 0 {
            return Ok(None);
        }
        if !matches!(
            self.workload,
            Workload::Single | Workload::Chain | Workload::Fan
        ) {
            let words = "--history, --snapshot and --processes go with `single`, `chain` and `fan`";
            return Err(Refusal::Usage(words.to_owned()).into());
        }
        let place = Place::make(&self.database.database_url).await?;
        Intendant::open(place.url()).await?.close().await;
        for first in (0..self.history).step_by(BATCH) {
            place
                .add_history(first, self.history.min(first + BATCH))
                .await?;
        }
        place.tidy().await?;
        let snapshot = if self.snapshot {
            Some(place.hold_snapshot().await?)
        } else {
            None
        };
        Ok(Some(Setting {
            place,
            _snapshot: snapshot,
        }))
    }

    /// The same without them.
    pub(super) fn usual(&self) -> Self {
        if self.removing {
            return Self {
                removing: false,
                ..self.clone()
            };
        }
        Self {
            history: 0,
            snapshot: false,
            limited: None,
            processes: self.processes.min(1),
            ..self.clone()
        }
    }

    /// Starts the worker processes that are asked for.
    pub(super) fn start_processes(&self, place: &Place) -> Result<Vec<Child>> {
        let start = || {
            Command::new(std::env::current_exe()?)
                .args(["bench", "single", "--worker-of", &place.url()])
                .args(["--concurrency", &self.concurrency.to_string()])
                .args(["--steps", &self.steps.to_string()])
                .args(["--width", &self.width.to_string()])
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .context("starting a worker process")
        };
        (0..self.processes).map(|_| start()).collect()
    }
}

/// A limit of the queue that is never reached: what it costs to have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Limited {
    /// Of how many of its steps run at once
    Slots,
    /// Of how many begin in a second
    Rate,
    /// Tasks take turns by account
    Turns,
    /// Of how many tasks are in line
    Cap,
}

impl Limited {
    pub(super) async fn begin(self, options: &BenchOptions, intendant: &Intendant) -> Result<()> {
        // A queue is known once a worker has served it.
        let (stop, workers, _) = start_workers(options, intendant, &Arc::default());
        while intendant.queues().await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop_workers(stop, workers).await?;
        let (queue, by) = ("default", "bench");
        match self {
            Self::Slots => {
                intendant
                    .limit_queue(queue, Some(1_000_000), by, None)
                    .await?
            }
            Self::Rate => {
                let rate = Rate::per_second(1_000_000);
                intendant.rate_queue(queue, Some(rate), by, None).await?
            }
            Self::Turns => {
                let turns = Partitions::by_account();
                intendant
                    .partition_queue(queue, Some(turns), by, None)
                    .await?
            }
            Self::Cap => {
                intendant
                    .cap_queue(queue, Some(100_000_000), by, None)
                    .await?
            }
        };
        Ok(())
    }
}

/// A rule by which retention removes the history, and how much it had removed before.
pub(super) struct Removing {
    before: u64,
}

impl Removing {
    pub(super) async fn start(intendant: &Intendant) -> Result<Self> {
        let day = Duration::from_secs(24 * 3600);
        let rule = Retention::succeeded().of::<Single>().rows_for(day);
        let before = removed(intendant).await?;
        intendant.retain(rule, "bench", None).await?;
        Ok(Self { before })
    }

    /// How much was removed since it began.
    pub(super) async fn end(self, intendant: &Intendant) -> Result<u64> {
        let (kind, state) = (Some(Single::KIND), IntentState::Succeeded);
        let removed = removed(intendant).await?;
        intendant
            .retain_as_declared(kind, state, "bench", None)
            .await?;
        Ok(removed - self.before)
    }
}

async fn removed(intendant: &Intendant) -> Result<u64> {
    let removals = intendant.removals().await?;
    Ok(removals.iter().map(|removal| removal.intents).sum())
}

/// Ids in the order of time, long ago; one outcome and one result each.
const POSTGRES_HISTORY: [&str; 3] = [
    "insert into intendant.intent (id, kind, queue, account, input, position, requested_at, root_id)
     select n.id, 'bench.single', 'default', 'account-' || n.number % 100, n.text, 0, n.at, n.id from",
    "insert into intendant.outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output)
     select n.id, 'bench.single', 'account-' || n.number % 100, 'succeeded', n.at, n.at, n.at, n.text from",
    "insert into intendant.step (intent_id, name, state, attempt, output, started_at, finished_at, worker)
     select n.id, 'bench.single', 'succeeded', 1, n.text, n.at, n.at, 'history' from",
];

const SQLITE_HISTORY: [&str; 3] = [
    "insert into intendant_intent (id, kind, queue, account, input, position, requested_at, root_id)
     select n.id, 'bench.single', 'default', 'account-' || n.number % 100, n.text, 0, n.at, n.id from",
    "insert into intendant_outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output)
     select n.id, 'bench.single', 'account-' || n.number % 100, 'succeeded', n.at, n.at, n.at, n.text from",
    "insert into intendant_step (intent_id, name, state, attempt, output, started_at, finished_at, worker)
     select n.id, 'bench.single', 'succeeded', 1, n.text, n.at, n.at, 'history' from",
];

impl Place {
    async fn add_history(&self, first: usize, end: usize) -> Result<()> {
        let text = serde_json::to_string(&super::work::payload(first))?;
        match self {
            Self::Postgres { url, .. } => {
                let mut conn = PgConnection::connect(url).await?;
                let mut tx = conn.begin().await?;
                let rows = format!(
                    "(select number, '{text}'::json as text, to_timestamp(1600000000 + number / 1000.0) as at,
                             (lpad(to_hex(1600000000000 + number), 12, '0') || '70008000'
                              || lpad(to_hex(number), 12, '0'))::uuid as id
                        from generate_series({first}::bigint, {end} - 1) number) n"
                );
                for insert in POSTGRES_HISTORY {
                    let sql = AssertSqlSafe(format!("{insert} {rows}"));
                    sqlx::raw_sql(sql).execute(&mut *tx).await?;
                }
                tx.commit().await?;
                conn.close().await?;
            }
            Self::Sqlite { path } => {
                let mut conn = sqlite(path).await?;
                let mut tx = conn.begin_with("begin immediate").await?;
                let rows = format!(
                    "(with recursive series (number) as (
                        values ({first}) union all select number + 1 from series where number < {end} - 1)
                      select number, '{text}' as text, (1600000000000 + number) * 1000 as at,
                             printf('%08x-%04x-7000-8000-%012x', (1600000000000 + number) >> 16,
                                    (1600000000000 + number) & 65535, number) as id
                        from series) n"
                );
                for insert in SQLITE_HISTORY {
                    let sql = AssertSqlSafe(format!("{insert} {rows}"));
                    sqlx::raw_sql(sql).execute(&mut *tx).await?;
                }
                tx.commit().await?;
                conn.close().await?;
            }
        }
        Ok(())
    }

    /// As a database is that has grown slowly.
    async fn tidy(&self) -> Result<()> {
        match self {
            Self::Postgres { url, .. } => {
                let mut conn = PgConnection::connect(url).await?;
                sqlx::raw_sql("vacuum analyze").execute(&mut conn).await?;
                conn.close().await?;
            }
            Self::Sqlite { path } => {
                let mut conn = sqlite(path).await?;
                let checkpoint = "pragma wal_checkpoint(truncate)";
                sqlx::raw_sql(checkpoint).execute(&mut conn).await?;
                conn.close().await?;
            }
        }
        self.settle().await
    }

    async fn hold_snapshot(&self) -> Result<Snapshot> {
        match self {
            Self::Postgres { url, .. } => {
                let mut conn = PgConnection::connect(url).await?;
                let begin =
                    "begin isolation level repeatable read; select count(*) from intendant.ready";
                sqlx::raw_sql(begin).execute(&mut conn).await?;
                Ok(Snapshot::Postgres { _conn: conn })
            }
            Self::Sqlite { path } => {
                let mut conn = sqlite(path).await?;
                let begin = "begin; select count(*) from intendant_ready";
                sqlx::raw_sql(begin).execute(&mut conn).await?;
                Ok(Snapshot::Sqlite { _conn: conn })
            }
        }
    }
}

pub(super) async fn sqlite(path: &std::path::Path) -> Result<SqliteConnection> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    Ok(SqliteConnection::connect_with(&options).await?)
}
