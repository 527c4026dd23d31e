//! Migrations: forward only, in a record of the engine's own.

use sha2::{Digest, Sha256};
use sqlx::Row as _;

use super::transactions::{detached, detached_for};
use super::{Db, Flush, OpenTx, Store, StoreKind};
use crate::again::Again;
use crate::error::Error;
use crate::limits;

struct Migration {
    version: i64,
    name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

impl Migration {
    fn sql(&self, kind: StoreKind) -> &'static str {
        match kind {
            StoreKind::Postgres => self.postgres,
            StoreKind::Sqlite => self.sqlite,
        }
    }

    fn checksum(&self, kind: StoreKind) -> String {
        Sha256::digest(self.sql(kind))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

macro_rules! migrations {
    ($($version:literal $name:ident $file:literal,)*) => {
        &[$(Migration {
            version: $version,
            name: stringify!($name),
            postgres: include_str!(concat!("../../../migrations/postgres/", $file)),
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $file)),
        },)*]
    };
}

static MIGRATIONS: &[Migration] = migrations! {
    1 spine "0001_spine.sql",
    2 find_failures "0002_find_failures.sql",
    3 leaving "0003_leaving.sql",
    4 labels "0004_labels.sql",
    5 request_from_sql "0005_request_from_sql.sql",
    6 child_instead_of "0006_child_instead_of.sql",
    7 cancel "0007_cancel.sql",
    8 conflicts "0008_conflicts.sql",
    9 routed_steps "0009_routed_steps.sql",
    10 long_work "0010_long_work.sql",
    11 waits "0011_waits.sql",
    12 alerts "0012_alerts.sql",
    13 cancel_from_sql "0013_cancel_from_sql.sql",
    14 schedules "0014_schedules.sql",
    15 queues "0015_queues.sql",
    16 kinds "0016_kinds.sql",
    17 tokens "0017_tokens.sql",
    18 slots_in_turn "0018_slots_in_turn.sql",
    19 families "0019_families.sql",
    20 overdue_schedules "0020_overdue_schedules.sql",
    21 long_lines "0021_long_lines.sql",
    22 rates "0022_rates.sql",
    23 retention "0023_retention.sql",
    24 partitions "0024_partitions.sql",
    25 large_removals "0025_large_removals.sql",
    26 backlogs "0026_backlogs.sql",
    27 events_in_order "0027_events_in_order.sql",
    28 secrets "0028_secrets.sql",
    29 traces "0029_traces.sql",
};

const RECORD_POSTGRES: &str = "\
create schema if not exists intendant;
create table if not exists intendant.migration (
  version bigint primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
);";

const RECORD_SQLITE: &str = "\
create table if not exists intendant_migration (
  version integer primary key,
  name text not null,
  checksum text not null,
  applied_at integer not null default (cast((julianday('now') - 2440587.5) * 86400e6 as integer))
) strict;";

/// One migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// What it does.
    pub name: String,
    /// Whether it is in the database.
    pub applied: bool,
}

/// The statements of all migrations, for people with a migration tool of their own.
pub fn migration_sql(kind: StoreKind) -> String {
    let record = match kind {
        StoreKind::Postgres => RECORD_POSTGRES,
        StoreKind::Sqlite => RECORD_SQLITE,
    };
    let table = match kind {
        StoreKind::Postgres => "intendant.migration",
        StoreKind::Sqlite => "intendant_migration",
    };
    let mut sql = format!("begin;\n{record}\n");
    for migration in MIGRATIONS {
        sql.push_str(&format!(
            "\n-- Migration {version}: {name}\n{text}\ninsert into {table} (version, name, checksum) values ({version}, \
             '{name}', '{checksum}');\n",
            version = migration.version,
            name = migration.name,
            text = migration.sql(kind),
            checksum = migration.checksum(kind),
        ));
    }
    sql.push_str("\ncommit;\n");
    sql
}

/// Waits for whoever else migrates. A statement may take long then, but does not wait for long: those who want a table that
/// is waited for stand behind it.
const WAIT_POSTGRES: &str = "set local enable_seqscan = on; set local statement_timeout = 0; set local lock_timeout = 0; \
    select pg_advisory_xact_lock(46001); set local lock_timeout = '5s'";

impl Store {
    /// Brings the database up to this program's schema. Safe to call from many processes at once, and again: one is at it,
    /// the others wait.
    pub(crate) async fn migrate(&self) -> Result<Vec<MigrationStatus>, Error> {
        let store = self.clone();
        detached_for(limits::MIGRATION, async move {
            let mut tx = store.begin_to_migrate().await?;
            let kind = store.kind();
            match &mut tx {
                OpenTx::Pg(tx) => {
                    sqlx::raw_sql(WAIT_POSTGRES).execute(&mut **tx).await?;
                    sqlx::raw_sql(RECORD_POSTGRES).execute(&mut **tx).await?;
                }
                OpenTx::Sqlite(tx, ..) => {
                    sqlx::raw_sql(RECORD_SQLITE).execute(&mut **tx).await?;
                }
            }
            let applied = applied(&mut tx).await?;
            let newest = check(&applied, kind)?;
            for migration in MIGRATIONS.iter().filter(|migration| migration.version > newest) {
                let sql = migration.sql(kind);
                match &mut tx {
                    OpenTx::Pg(tx) => {
                        sqlx::raw_sql(sql).execute(&mut **tx).await?;
                        sqlx::query("insert into intendant.migration (version, name, checksum) values ($1, $2, $3)")
                            .bind(migration.version)
                            .bind(migration.name)
                            .bind(migration.checksum(kind))
                            .execute(&mut **tx)
                            .await?;
                    }
                    OpenTx::Sqlite(tx, ..) => {
                        sqlx::raw_sql(sql).execute(&mut **tx).await?;
                        sqlx::query("insert into intendant_migration (version, name, checksum) values (?1, ?2, ?3)")
                            .bind(migration.version)
                            .bind(migration.name)
                            .bind(migration.checksum(kind))
                            .execute(&mut **tx)
                            .await?;
                    }
                }
            }
            tx.commit().await?;
            Ok(MIGRATIONS
                .iter()
                .filter(|m| m.version > newest)
                .map(|m| MigrationStatus { version: m.version, name: m.name.to_owned(), applied: true })
                .collect())
        })
        .await
    }

    /// SQLite waits for its writer for some seconds only, and whoever is at a migration has it for as long as that takes.
    async fn begin_to_migrate(&self) -> Result<OpenTx, Error> {
        let mut again = Again::new();
        loop {
            match (self.begin(Flush::Now).await, &self.db) {
                (Err(error), Db::Sqlite { writer, .. })
                    if error.is_retryable() && !writer.is_closed() =>
                {
                    again.wait().await;
                }
                (begun, _) => return begun,
            }
        }
    }

    /// Which migrations the database has. Fails if it has one that this program does not know.
    pub(crate) async fn migration_status(&self) -> Result<Vec<MigrationStatus>, Error> {
        let store = self.clone();
        detached(async move {
            let applied = store.applied_migrations().await?;
            let newest = check(&applied, store.kind())?;
            Ok(MIGRATIONS
                .iter()
                .map(|m| MigrationStatus {
                    version: m.version,
                    name: m.name.to_owned(),
                    applied: m.version <= newest,
                })
                .collect())
        })
        .await
    }

    /// Refuses a database that this program cannot work with.
    pub(crate) async fn check_schema(&self) -> Result<(), Error> {
        let status = self.migration_status().await?;
        match status.iter().find(|migration| !migration.applied) {
            None => Ok(()),
            Some(missing) => Err(Error::OlderSchema {
                found: missing.version - 1,
                known: MIGRATIONS.last().map_or(0, |migration| migration.version),
            }),
        }
    }

    async fn applied_migrations(&self) -> Result<Vec<(i64, String)>, Error> {
        // Reading must not need a transaction that writes: the file may be read-only.
        match &self.db {
            Db::Pg { pool, .. } => {
                let there: Option<String> =
                    sqlx::query_scalar("select to_regclass('intendant.migration')::text")
                        .fetch_one(pool)
                        .await?;
                if there.is_none() {
                    return Ok(Vec::new());
                }
                let rows = sqlx::query(
                    "select version, checksum from intendant.migration order by version",
                )
                .fetch_all(pool)
                .await?;
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                    .collect()
            }
            Db::Sqlite { writer, .. } => {
                let there: i64 = sqlx::query_scalar(
                    "select count(*) from sqlite_schema where name = 'intendant_migration'",
                )
                .fetch_one(writer)
                .await?;
                if there == 0 {
                    return Ok(Vec::new());
                }
                let rows = sqlx::query(
                    "select version, checksum from intendant_migration order by version",
                )
                .fetch_all(writer)
                .await?;
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                    .collect()
            }
        }
    }
}

async fn applied(tx: &mut OpenTx) -> Result<Vec<(i64, String)>, Error> {
    match tx {
        OpenTx::Pg(tx) => {
            let rows =
                sqlx::query("select version, checksum from intendant.migration order by version")
                    .fetch_all(&mut **tx)
                    .await?;
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect()
        }
        OpenTx::Sqlite(tx, ..) => {
            let rows =
                sqlx::query("select version, checksum from intendant_migration order by version")
                    .fetch_all(&mut **tx)
                    .await?;
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect()
        }
    }
}

/// The newest version that is applied; an error if it is not one of ours.
fn check(applied: &[(i64, String)], kind: StoreKind) -> Result<i64, Error> {
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    let newest = applied.last().map_or(0, |(version, _)| *version);
    for (version, checksum) in applied {
        match MIGRATIONS
            .iter()
            .find(|migration| migration.version == *version)
        {
            None => {
                return Err(Error::NewerSchema {
                    found: newest,
                    known,
                });
            }
            Some(migration) if migration.checksum(kind) != *checksum => {
                return Err(Error::ChangedMigration { version: *version });
            }
            Some(_) => {}
        }
    }
    Ok(newest)
}
