//! The demo's cloud: a directory with snapshots, volumes and servers in it, and a registry that says whose they are.
//!
//! Everything is named by the intent that made it, so a step that is carried out again finds what it made before. What
//! there is only so much of (addresses) is claimed in the registry, before anything is made there.

use std::fs::{File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use intendant::IntentId;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};

use super::tables::BUSY;
use crate::cli::Refusal;

/// Addresses in a directory's pool.
const POOL: u16 = 8;

/// How long a demo that was killed may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Pools lie in this range, below the ports that systems give to outgoing connections.
const PORTS: std::ops::Range<u16> = 21_000..31_000;

const SCHEMA: &str = "
create table if not exists run (id integer primary key, key text not null unique, account text not null, database text not null,
  add_id text, remove_id text, finished_at text) strict;
create table if not exists address (port integer primary key, owner text unique, refused integer not null default 0) strict;
create table if not exists server (replica text primary key, port integer not null unique references address,
  pid integer not null, spawned_at integer not null) strict;
create table if not exists endpoint (replica text primary key, account text not null, url text not null unique) strict";

/// The directory and its registry.
#[derive(Debug)]
pub(crate) struct Cloud {
    directory: PathBuf,
    pub(super) db: SqliteConnection,
}

/// A server process as the registry knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerRow {
    pub(crate) pid: u32,
    pub(crate) age_seconds: i64,
}

impl Cloud {
    /// Opens the directory; makes it and its registry if they are not there.
    pub(crate) async fn open(directory: &Path) -> Result<Self> {
        for part in ["snapshots", "volumes", "servers"] {
            let path = directory.join(part);
            std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(registry(directory))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY);
        let mut db = SqliteConnection::connect_with(&options)
            .await
            .context("opening the registry")?;
        sqlx::raw_sql(SCHEMA).execute(&mut db).await?;
        let mut cloud = Self {
            directory: directory.to_owned(),
            db,
        };
        cloud.fill_pool().await?;
        Ok(cloud)
    }

    /// Every directory has a pool of its own, so that two demos seldom meet on a port.
    async fn fill_pool(&mut self) -> Result<()> {
        let mut hash = DefaultHasher::new();
        self.directory.hash(&mut hash);
        let pools = u64::from((PORTS.end - PORTS.start) / POOL);
        let first = u64::from(PORTS.start) + hash.finish() % pools * u64::from(POOL);
        sqlx::query(
            "with recursive pool (port) as (select ?1 union all select port + 1 from pool where port < ?1 + ?2 - 1) \
             insert into address (port) select port from pool where not exists (select 1 from address) order by port",
        )
        .bind(i64::try_from(first)?)
        .bind(i64::from(POOL))
        .execute(&mut self.db)
        .await?;
        Ok(())
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a replica's snapshot is.
    pub(crate) fn snapshot(&self, replica: IntentId) -> PathBuf {
        self.directory
            .join("snapshots")
            .join(format!("{replica}.db"))
    }

    /// Where a replica's volume is.
    pub(crate) fn volume(&self, replica: IntentId) -> PathBuf {
        self.directory.join("volumes").join(replica.to_string())
    }

    /// Where a replica's server keeps its pid file and its log.
    pub(crate) fn server_directory(&self, replica: IntentId) -> PathBuf {
        server_directory(&self.directory, replica)
    }

    /// The address that a replica has claimed.
    pub(crate) async fn address(&mut self, replica: IntentId) -> Result<Option<u16>> {
        let port = sqlx::query_scalar("select port from address where owner = ?1")
            .bind(replica.to_string())
            .fetch_optional(&mut self.db)
            .await?;
        Ok(port)
    }

    /// The replica's address: the one that it has, or a free one of the pool.
    pub(crate) async fn claim_address(&mut self, replica: IntentId) -> Result<u16> {
        if let Some(port) = self.address(replica).await? {
            return Ok(port);
        }
        let free: Vec<u16> = sqlx::query_scalar(
            "select port from address where owner is null order by refused, port",
        )
        .fetch_all(&mut self.db)
        .await?;
        for port in free.into_iter().filter(|port| is_free(*port)) {
            let claimed = sqlx::query(
                "update or ignore address set owner = ?1 where port = ?2 and owner is null",
            )
            .bind(replica.to_string())
            .bind(port)
            .execute(&mut self.db)
            .await?;
            if claimed.rows_affected() == 1 {
                return Ok(port);
            }
            // Taken meanwhile, by another replica or by another attempt at this step.
            if let Some(port) = self.address(replica).await? {
                return Ok(port);
            }
        }
        bail!(
            "no address of the pool is free; `select * from address` in {}",
            registry(&self.directory).display()
        )
    }

    /// Gives the replica's address back to the pool.
    pub(crate) async fn release_address(&mut self, replica: IntentId) -> Result<()> {
        sqlx::query("update address set owner = null where owner = ?1")
            .bind(replica.to_string())
            .execute(&mut self.db)
            .await?;
        Ok(())
    }

    /// Somebody who is none of ours answers at the replica's address: gives it back, to be taken last of all.
    pub(crate) async fn refuse_address(&mut self, replica: IntentId) -> Result<()> {
        self.forget_server(replica).await?;
        sqlx::query("update address set owner = null, refused = refused + 1 where owner = ?1")
            .bind(replica.to_string())
            .execute(&mut self.db)
            .await?;
        Ok(())
    }

    /// The process that was last spawned for a replica.
    pub(crate) async fn server(&mut self, replica: IntentId) -> Result<Option<ServerRow>> {
        let row: Option<(u32, i64)> =
            sqlx::query_as("select pid, unixepoch() - spawned_at from server where replica = ?1")
                .bind(replica.to_string())
                .fetch_optional(&mut self.db)
                .await?;
        Ok(row.map(|(pid, age_seconds)| ServerRow { pid, age_seconds }))
    }

    /// Notes the process that serves a replica.
    pub(crate) async fn record_server(
        &mut self,
        replica: IntentId,
        port: u16,
        pid: u32,
    ) -> Result<()> {
        sqlx::query("insert or replace into server (replica, port, pid, spawned_at) values (?1, ?2, ?3, unixepoch())")
            .bind(replica.to_string())
            .bind(port)
            .bind(pid)
            .execute(&mut self.db)
            .await?;
        Ok(())
    }

    /// A replica has no process any more.
    pub(crate) async fn forget_server(&mut self, replica: IntentId) -> Result<()> {
        sqlx::query("delete from server where replica = ?1")
            .bind(replica.to_string())
            .execute(&mut self.db)
            .await?;
        Ok(())
    }

    /// Makes a replica known; returns where it is known to be, which is what was published first.
    pub(crate) async fn publish(
        &mut self,
        replica: IntentId,
        account: &str,
        url: &str,
    ) -> Result<String> {
        sqlx::query(
            "insert into endpoint (replica, account, url) values (?1, ?2, ?3) on conflict (replica) do nothing",
        )
        .bind(replica.to_string())
        .bind(account)
        .bind(url)
        .execute(&mut self.db)
        .await?;
        let published = sqlx::query_scalar("select url from endpoint where replica = ?1");
        Ok(published
            .bind(replica.to_string())
            .fetch_one(&mut self.db)
            .await?)
    }

    /// Makes a replica unknown.
    pub(crate) async fn unpublish(&mut self, replica: IntentId) -> Result<()> {
        sqlx::query("delete from endpoint where replica = ?1")
            .bind(replica.to_string())
            .execute(&mut self.db)
            .await?;
        Ok(())
    }
}

/// One demo at a time in a directory. The system lets go of the lock when the process dies, in whatever way.
pub(crate) async fn lock(directory: &Path) -> Result<File> {
    let file = File::create(directory.join("lock"))?;
    let asked = tokio::time::Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Whoever was killed just now may still be on its way out.
            Err(TryLockError::WouldBlock) if asked.elapsed() < LAST_BREATH => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Refusal::WrongState(format!(
                    "another demo is running in {}; wait for it, or name another directory with --directory",
                    directory.display()
                ))
                .into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).context("locking the demo's directory");
            }
        }
    }
}

/// The registry's file.
pub(crate) fn registry(directory: &Path) -> PathBuf {
    directory.join("registry.db")
}

/// Where a replica's server keeps its pid file and its log.
pub(crate) fn server_directory(directory: &Path, replica: IntentId) -> PathBuf {
    directory.join("servers").join(replica.to_string())
}

/// Whether an address belongs to a replica: what its server asks, to end when it does not any more.
pub(crate) async fn owns(directory: &Path, replica: IntentId, port: u16) -> Result<bool> {
    let mut db = super::tables::open_read_only(&registry(directory)).await?;
    let owner: Option<Option<String>> =
        sqlx::query_scalar("select owner from address where port = ?1")
            .bind(port)
            .fetch_optional(&mut db)
            .await?;
    db.close().await?;
    Ok(owner.flatten() == Some(replica.to_string()))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
}
