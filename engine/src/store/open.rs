//! Opening a store: pools, and what is set on every connection.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use super::writers::Writers;
use super::{Db, StoreOptions};
use crate::error::Error;
use crate::limits;

pub(super) async fn postgres(options: &StoreOptions) -> Result<Db, Error> {
    let connect = PgConnectOptions::from_str(&options.url)
        .map_err(|_| Error::url(&options.url))?
        .application_name("intendant")
        .statement_cache_capacity(200);
    // A pool would try for its whole time and then say that the time is up; a connection says what is wrong.
    connect.connect().await?.close().await?;
    // A connection that has just been used is not asked first whether it lives: that would be a round trip for every
    // transaction.
    let pool = PgPoolOptions::new()
        .max_connections(options.connections.max(2))
        .acquire_timeout(limits::DATABASE_CALL)
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for > limits::FRESH_CONNECTION {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(connect.clone())
        .await?;
    let beats = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(limits::BEAT_CONNECT)
        .connect_lazy_with(connect.clone());
    let listeners = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(limits::DATABASE_CALL)
        .connect_lazy_with(connect);
    Ok(Db::Pg {
        pool,
        beats,
        listeners,
    })
}

pub(super) async fn sqlite(options: &StoreOptions) -> Result<Db, Error> {
    let connect = SqliteConnectOptions::from_str(&options.url)
        .map_err(|_| Error::url(&options.url))?
        .create_if_missing(options.create)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        // Rows come from a thread of the connection's own; with room for a whole claim it is not woken in between.
        .row_buffer_size(limits::CLAIM)
        .statement_cache_capacity(200);
    let memory = options.url.contains(":memory:");
    let one = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(limits::DATABASE_CALL)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None);
    if memory {
        // The database lives as long as its only connection.
        let writer = one.connect_with(connect).await?;
        check_sqlite(&writer).await?;
        return Ok(Db::Sqlite {
            readers: writer.clone(),
            beats: writer.clone(),
            writer,
            writers: Writers::of_memory(),
            path: None,
            full: false,
        });
    }
    // A COMMIT that finds the disk full has rolled back, so the ROLLBACK after it is refused; sqlx 0.9.0 then counts a
    // transaction as open for ever, and begins no other. Such a connection is not used again. (A rollback of what was
    // dropped is on its way still; the ping waits for it.)
    let one = one.after_release(|conn, _| {
        Box::pin(async move {
            if conn.is_in_transaction() {
                conn.ping().await?;
            }
            Ok(!conn.is_in_transaction())
        })
    });
    let path = Some(connect.get_filename().to_owned());
    if !options.create && !connect.get_filename().exists() {
        let path = connect.get_filename().display().to_string();
        return Err(Error::NoFile { path });
    }
    let synchronous = if options.sync_every_commit {
        SqliteSynchronous::Full
    } else {
        SqliteSynchronous::Normal
    };
    let writing = connect
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        // A checkpoint every 64 MB instead of every 4: they are what a busy writer waits for most (docs/PERFORMANCE.md).
        .pragma("wal_autocheckpoint", "16000")
        .pragma("cache_size", "-16000");
    let writer = match one.clone().connect_with(writing.clone()).await {
        Ok(writer) => writer,
        // Turning the journal to WAL is the first write; a file that takes none can still be read.
        Err(error) => match Error::from(error) {
            Error::ReadOnly(_) => {
                one.clone()
                    .connect_with(connect.clone().read_only(true))
                    .await?
            }
            other => return Err(other),
        },
    };
    check_sqlite(&writer).await?;
    let writers = Writers::of_file(connect.get_filename());
    // A heartbeat that is lost with the machine was of no use any more.
    let beats = one.connect_lazy_with(writing.synchronous(SqliteSynchronous::Normal));
    let readers = SqlitePoolOptions::new()
        .max_connections(5)
        .acquire_timeout(limits::DATABASE_CALL)
        .test_before_acquire(false)
        .connect_lazy_with(connect.read_only(true));
    Ok(Db::Sqlite {
        writer,
        readers,
        beats,
        writers,
        path,
        full: options.sync_every_commit,
    })
}

/// SQLite before 3.51.3 can corrupt a write-ahead log on reset: <https://sqlite.org/wal.html#walresetbug>.
async fn check_sqlite(pool: &SqlitePool) -> Result<(), Error> {
    let version: String = sqlx::query_scalar("select sqlite_version()")
        .fetch_one(pool)
        .await?;
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let parts = [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
    if parts < [3, 51, 3] {
        return Err(Error::OldSqlite { found: version });
    }
    Ok(())
}
