//! The database that gets a replica when none is given: some 100,000 rows in four tables, written to all the while.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::tables::{BUSY, open_read_only};
use crate::cli::Refusal;

const SCHEMA: &str = "
create table customer (id integer primary key, name text not null, city text, since text not null) strict;
create table product (code text primary key, name text not null, price real not null) strict, without rowid;
create table purchase (id integer primary key, customer_id integer not null references customer,
  product_code text not null references product, quantity integer not null, paid_at text) strict;
create table visit (customer_id integer, page text, cookie blob, seconds)";

/// `?1` rows each. Drawn from the row's number, so that every run fills the same database.
const FILL: [(&str, u64); 4] = [
    (
        "insert into customer select value, 'customer ' || value, case value % 3 when 0 then null else 'city ' || (value % 97) \
         end, date('2015-01-01', '+' || (value % 4000) || ' days') from generate_series",
        10,
    ),
    (
        "insert into product select printf('P%06d', value), 'product ' || value, (value * 7919 % 100000) / 100.0 from generate_series",
        5,
    ),
    (
        "insert into purchase select value, 1 + value * 31 % max(1, ?1 / 6), printf('P%06d', 1 + value * 17 % max(1, ?1 / 12)), \
         1 + value % 5, case value % 11 when 0 then null else datetime('2020-01-01', '+' || value || ' minutes') end \
         from generate_series",
        60,
    ),
    (
        "insert into visit select 1 + value * 13 % max(1, ?1 * 2 / 5), '/p/' || (value % 1000), unhex(printf('%016x', value * 2654435761)), \
         case value % 2 when 0 then value % 600 else (value % 6000) / 10.0 end from generate_series",
        25,
    ),
];

/// Stands for SQLite's table-valued function of that name, which not every build has.
const SERIES: &str = "(with recursive series (value) as (select 1 union all select value + 1 from series where value < ?1) select value from series)";

/// Looks whether that is a database of which a replica can be made, before anything is asked for.
pub(crate) async fn check(path: &Path) -> Result<()> {
    let refuse = |what: String| {
        Refusal::Database(format!(
            "--source {}: {what}; name the file of a SQLite database, or leave it out for one of the demo's own",
            path.display()
        ))
    };
    let about = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refuse("there is no such file".to_owned()),
        _ => refuse(error.to_string()),
    })?;
    if !about.is_file() {
        return Err(refuse("that is no file".to_owned()).into());
    }
    if about.len() == 0 {
        return Err(refuse("the file is empty".to_owned()).into());
    }
    let read = async {
        let mut db = open_read_only(path).await?;
        let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_schema")
            .fetch_one(&mut db)
            .await?;
        db.close().await?;
        Ok::<_, anyhow::Error>(tables)
    };
    match read.await {
        Ok(_) => Ok(()),
        Err(error) => Err(refuse(reason(&error)).into()),
    }
}

/// What the database says, without what sqlx puts around it.
fn reason(error: &anyhow::Error) -> String {
    let database = error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error);
    database.map_or_else(
        || format!("{error:#}"),
        |database| database.message().to_owned(),
    )
}

/// Makes the database unless it is there: under another name first, so that a half-filled one is never taken for it.
pub(crate) async fn fill(path: &Path, rows: u64) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let partial = path.with_extension("partial");
    if partial.exists() {
        std::fs::remove_file(&partial)?;
    }
    let options = SqliteConnectOptions::new()
        .filename(&partial)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Memory)
        .foreign_keys(false);
    let mut db = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut db).await?;
    for (insert, percent) in FILL {
        let insert = insert.replace("from generate_series", &format!("from {SERIES}"));
        let rows = i64::try_from((rows * percent / 100).max(1))?;
        sqlx::query(sqlx::AssertSqlSafe(insert))
            .bind(rows)
            .execute(&mut db)
            .await?;
    }
    db.close().await?;
    std::fs::rename(&partial, path)
        .with_context(|| format!("putting {} in its place", path.display()))
}

/// Writes to the database until it is stopped.
#[derive(Debug)]
pub(crate) struct Writer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<u64>>,
}

impl Writer {
    /// Begins to write: a purchase and a correction of an older one, again and again, each in a transaction.
    pub(crate) async fn start(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY)
            .foreign_keys(false);
        let db = SqliteConnection::connect_with(&options).await?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            stop,
            task: tokio::spawn(write(db, stopped)),
        })
    }

    /// Stops it; returns how many transactions it has committed.
    pub(crate) async fn stop(self) -> Result<u64> {
        self.stop.send(()).ok();
        self.task.await?
    }
}

async fn write(mut db: SqliteConnection, mut stopped: oneshot::Receiver<()>) -> Result<u64> {
    let mut written = 0u64;
    loop {
        let pause = tokio::time::timeout(Duration::from_millis(2), &mut stopped).await;
        if pause.is_ok() {
            db.close().await?;
            return Ok(written);
        }
        let mut tx = db.begin().await?;
        sqlx::query(
            "insert into purchase (customer_id, product_code, quantity) values (1, 'P000001', ?1)",
        )
        .bind(i64::try_from(written % 9 + 1)?)
        .execute(&mut *tx)
        .await?;
        sqlx::query("update purchase set quantity = quantity + 1 where id = 1 + ?1 % (select max(id) from purchase)")
            .bind(i64::try_from(written.wrapping_mul(7919) % 1_000_000)?)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        written += 1;
    }
}
