//! Where a run takes place: a database of its own, removed afterwards.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::cli::Refusal;

/// A database made for one run.
pub(super) enum Place {
    Sqlite {
        path: PathBuf,
    },
    Postgres {
        server: String,
        name: String,
        url: String,
    },
}

/// Counters of the server that a run moves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) wal_bytes: f64,
    pub(super) commits: f64,
}

impl Place {
    pub(super) async fn make(url: &str) -> Result<Self> {
        let name = format!("intendant_bench_{}", uuid::Uuid::new_v4().simple());
        if let Some(path) = url.strip_prefix("sqlite://") {
            let path = Path::new(path).with_file_name(format!("{name}.db"));
            return Ok(Self::Sqlite { path });
        }
        if !url.starts_with("postgres") {
            return Err(Refusal::Usage(format!(
                "`{url}` names no database to measure on; expected sqlite://PATH or postgres://…"
            ))
            .into());
        }
        let mut server = PgConnection::connect(url)
            .await
            .context("connecting to the server")?;
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut server)
            .await?;
        server.close().await?;
        let (base, query) = url
            .split_once('?')
            .map_or((url, String::new()), |(base, query)| {
                (base, format!("?{query}"))
            });
        let (base, _) = base.rsplit_once('/').context("the URL names no database")?;
        Ok(Self::Postgres {
            server: url.to_owned(),
            url: format!("{base}/{name}{query}"),
            name,
        })
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Sqlite { path } => format!("sqlite://{}", path.display()),
            Self::Postgres { url, .. } => url.clone(),
        }
    }

    /// Gets to the disk what has been written so far.
    pub(super) async fn settle(&self) -> Result<()> {
        match self {
            Self::Postgres { url, .. } => {
                let mut conn = PgConnection::connect(url).await?;
                sqlx::raw_sql("checkpoint").execute(&mut conn).await?;
                conn.close().await?;
            }
            Self::Sqlite { path } => {
                let mut conn = super::setting::sqlite(path).await?;
                // Passive: a snapshot that is held open is not waited for.
                let checkpoint = "pragma wal_checkpoint(passive)";
                sqlx::raw_sql(checkpoint).execute(&mut conn).await?;
                conn.close().await?;
            }
        }
        Ok(())
    }

    /// Whether a commit waits for the disk.
    pub(super) async fn durability(&self) -> Result<String> {
        match self {
            Self::Sqlite { .. } => Ok("WAL, synchronous=FULL".to_owned()),
            Self::Postgres { url, .. } => {
                let mut conn = PgConnection::connect(url).await?;
                let row: (String, String, String) = sqlx::query_as(
                    "select current_setting('server_version'), current_setting('fsync'), \
                     current_setting('synchronous_commit')",
                )
                .fetch_one(&mut conn)
                .await?;
                conn.close().await?;
                Ok(format!(
                    "{}, fsync={}, synchronous_commit={}",
                    row.0, row.1, row.2
                ))
            }
        }
    }

    /// WAL written and transactions committed so far. SQLite keeps no such counters.
    pub(super) async fn counters(&self) -> Result<Option<Counters>> {
        let Self::Postgres { url, name, .. } = self else {
            return Ok(None);
        };
        let mut conn = PgConnection::connect(url).await?;
        let (wal_bytes, commits): (f64, f64) = sqlx::query_as(
            "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8, \
                    (select xact_commit::float8 from pg_stat_database where datname = $1)",
        )
        .bind(name)
        .fetch_one(&mut conn)
        .await?;
        conn.close().await?;
        Ok(Some(Counters { wal_bytes, commits }))
    }

    pub(super) async fn bytes(&self) -> Result<u64> {
        match self {
            Self::Sqlite { path } => {
                let wal = PathBuf::from(format!("{}-wal", path.display()));
                Ok(std::fs::metadata(path)?.len()
                    + std::fs::metadata(wal).map_or(0, |wal| wal.len()))
            }
            Self::Postgres { url, .. } => {
                let mut conn = PgConnection::connect(url).await?;
                let bytes: i64 = sqlx::query_scalar("select pg_database_size(current_database())")
                    .fetch_one(&mut conn)
                    .await?;
                conn.close().await?;
                Ok(u64::try_from(bytes).unwrap_or(0))
            }
        }
    }

    pub(super) async fn remove(self) -> Result<()> {
        match self {
            Self::Sqlite { path } => {
                for suffix in ["", "-wal", "-shm"] {
                    std::fs::remove_file(format!("{}{suffix}", path.display())).ok();
                }
                std::fs::remove_dir_all(format!("{}-sessions", path.display())).ok();
            }
            Self::Postgres { server, name, .. } => {
                let mut conn = PgConnection::connect(&server).await?;
                let drop = format!("drop database {name} with (force)");
                sqlx::raw_sql(AssertSqlSafe(drop))
                    .execute(&mut conn)
                    .await?;
                conn.close().await?;
            }
        }
        Ok(())
    }
}
