//! One connection, whichever database it is to: runs a statement, reads its rows.

use std::iter;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::future;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Postgres, Row as _, Sqlite, ValueRef as _};
use uuid::Uuid;

use super::args::{Arg, Args, Column};
use super::sql::Statement;
use crate::clock::Micros;
use crate::error::Error;
use crate::payload::{self, Payload};
use crate::seam;

/// A borrowed connection. On SQLite it carries the time, read once per transaction.
pub(crate) enum Conn<'c> {
    Pg(&'c mut PgConnection),
    Sqlite(&'c mut SqliteConnection, Micros),
}

impl Conn<'_> {
    pub(super) fn is_pg(&self) -> bool {
        matches!(self, Self::Pg(_))
    }

    /// Runs a statement and returns its rows.
    pub(super) async fn fetch(
        &mut self,
        statement: &'static Statement,
        args: Args,
    ) -> Result<Vec<Row>, Error> {
        seam::before(statement.name).await;
        match self {
            Self::Pg(conn) => {
                let rows = bind_pg(statement.postgres(), args)
                    .fetch_all(&mut **conn)
                    .await;
                Ok(rows
                    .map_err(|e| named(e, statement))?
                    .into_iter()
                    .map(Row::Pg)
                    .collect())
            }
            Self::Sqlite(conn, now) => {
                let mut all = Vec::new();
                for query in sqlite_queries(statement, args, *now) {
                    let rows = query.fetch_all(&mut **conn).await;
                    let rows = rows.map_err(|e| named(e, statement))?;
                    all.extend(rows.into_iter().map(Row::Sqlite));
                }
                Ok(all)
            }
        }
    }

    /// Runs a statement and hands its rows over one by one, so that what is not kept takes no memory.
    pub(super) async fn fetch_each(
        &mut self,
        statement: &'static Statement,
        args: Args,
        mut each: impl FnMut(Row) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        seam::before(statement.name).await;
        match self {
            Self::Pg(conn) => {
                let mut rows = bind_pg(statement.postgres(), args).fetch(&mut **conn);
                while let Some(row) = rows.try_next().await.map_err(|e| named(e, statement))? {
                    each(Row::Pg(row))?;
                }
            }
            Self::Sqlite(conn, now) => {
                for query in sqlite_queries(statement, args, *now) {
                    let mut rows = query.fetch(&mut **conn);
                    while let Some(row) = rows.try_next().await.map_err(|e| named(e, statement))? {
                        each(Row::Sqlite(row))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Runs a statement for its effect.
    pub(super) async fn execute(
        &mut self,
        statement: &'static Statement,
        args: Args,
    ) -> Result<(), Error> {
        seam::before(statement.name).await;
        match self {
            Self::Pg(conn) => {
                bind_pg(statement.postgres(), args)
                    .execute(&mut **conn)
                    .await
                    .map_err(|e| named(e, statement))?;
            }
            Self::Sqlite(conn, now) => {
                // The next query is built while SQLite's thread works on this one.
                let mut queries = sqlite_queries(statement, args, *now);
                let mut next = queries.next();
                while let Some(query) = next {
                    let build = async { queries.next() };
                    let (done, following) = future::join(query.execute(&mut **conn), build).await;
                    done.map_err(|e| named(e, statement))?;
                    next = following;
                }
            }
        }
        Ok(())
    }

    /// Runs a statement and returns its first row.
    pub(super) async fn fetch_one(
        &mut self,
        statement: &'static Statement,
        args: Args,
    ) -> Result<Option<Row>, Error> {
        Ok(self.fetch(statement, args).await?.into_iter().next())
    }
}

fn named(error: sqlx::Error, statement: &Statement) -> Error {
    tracing::debug!(statement = statement.name, %error, "a statement failed");
    error.into()
}

type PgQuery = sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>;
type SqliteQuery = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind_pg(sql: &'static str, args: Args) -> PgQuery {
    let mut query = sqlx::query(sql);
    for arg in args.list {
        query = match arg {
            Arg::Uuid(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::Int(value) => query.bind(value),
            Arg::Bool(value) => query.bind(value),
            Arg::Rows(rows) => rows
                .columns
                .into_iter()
                .fold(query, |query, column| match column {
                    Column::Uuid(values) => query.bind(values),
                    Column::Text(values) => {
                        query.bind(values.iter().map(Option::as_deref).collect::<Vec<_>>())
                    }
                    Column::Int(values) => query.bind(values),
                    Column::Bool(values) => query.bind(values),
                    Column::Bytes(values) => query.bind(values),
                    Column::Json(values) => query.bind(
                        values
                            .iter()
                            .map(|value| value.as_ref().map(Payload::get))
                            .collect::<Vec<_>>(),
                    ),
                }),
        };
    }
    query
}

/// A statement with its set of rows: one query, with the rows as JSON; or, where the statement takes them as values, as
/// many as are needed, each built when it is asked for.
fn sqlite_queries(
    statement: &'static Statement,
    args: Args,
    now: Micros,
) -> Box<dyn Iterator<Item = SqliteQuery> + Send> {
    let Args {
        mut list,
        now: timed,
    } = args;
    let now = timed.then_some(now.0);
    let sql = statement.sqlite();
    if !statement.takes_values() {
        let query = list.iter().fold(sqlx::query(sql), bind_sqlite);
        let query = now.into_iter().fold(query, |query, now| query.bind(now));
        return Box::new(iter::once(query));
    }
    let rows = match list.pop() {
        Some(Arg::Rows(rows)) => rows,
        _ => unreachable!("a statement that takes values is given its rows last"),
    };
    let (total, columns) = (rows.len(), rows.columns.len());
    let chunks = (0..total).step_by(VALUES_ROWS[0]);
    Box::new(chunks.map(move |first| {
        let count = VALUES_ROWS[0].min(total - first);
        let sizes = VALUES_ROWS.iter().copied();
        let size = sizes.filter(|size| *size >= count).min().unwrap_or(count);
        let query = sqlx::query(AssertSqlSafe(statement.with_rows(size, columns)));
        let query = list.iter().fold(query, bind_sqlite);
        let mut query = now.into_iter().fold(query, |query, now| query.bind(now));
        for row in first..first + count {
            for column in &rows.columns {
                query = bind_value(query, column, row);
            }
        }
        for _ in 0..(size - count) * columns {
            query = query.bind(None::<i64>);
        }
        query
    }))
}

/// Statements that take their rows as values exist for these numbers of rows; a set is filled up with nulls to the next
/// of them.
const VALUES_ROWS: [usize; 5] = [256, 64, 16, 4, 1];

fn bind_sqlite(query: SqliteQuery, arg: &Arg) -> SqliteQuery {
    match arg {
        Arg::Uuid(value) => query.bind(value.map(id_text)),
        Arg::Text(value) => query.bind(value.clone()),
        Arg::Int(value) => query.bind(*value),
        Arg::Bool(value) => query.bind(*value),
        Arg::Rows(rows) => query.bind(rows.to_json()),
    }
}

/// An id as SQLite keeps it.
fn id_text(id: Uuid) -> Arc<str> {
    let mut buffer = Uuid::encode_buffer();
    Arc::from(&*id.hyphenated().encode_lower(&mut buffer))
}

fn bind_value(query: SqliteQuery, column: &Column, row: usize) -> SqliteQuery {
    match column {
        Column::Uuid(values) => query.bind(values[row].map(id_text)),
        Column::Text(values) => query.bind(values[row].clone()),
        Column::Int(values) => query.bind(values[row]),
        Column::Bool(values) => query.bind(values[row]),
        Column::Bytes(values) => query.bind(values[row].clone()),
        Column::Json(values) => query.bind(values[row].as_ref().map(Payload::text)),
    }
}

/// One row of an answer, read by position.
pub(super) enum Row {
    Pg(PgRow),
    Sqlite(SqliteRow),
}

macro_rules! read {
    ($row:expr, $index:expr, $type:ty) => {
        match $row {
            Row::Pg(row) => row.try_get::<$type, _>($index)?,
            Row::Sqlite(row) => row.try_get::<$type, _>($index)?,
        }
    };
}

fn is_name(column: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    column.chars().all(is_part)
}

/// A time of PostgreSQL's: microseconds since 2000, as it is sent. One that no calendar has (`infinity`) would make
/// chrono panic.
fn pg_time(row: &PgRow, index: usize) -> Result<Option<Micros>, sqlx::Error> {
    const FROM_1970_TO_2000_US: i64 = 946_684_800_000_000;
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(None);
    }
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    let us = bytes.try_into().map(i64::from_be_bytes);
    let us = us.map_err(|_| sqlx::Error::Decode("not the eight bytes of a time".into()))?;
    us.checked_add(FROM_1970_TO_2000_US)
        .filter(|us| us.unsigned_abs() < Micros::FARTHEST)
        .map(|us| Some(Micros(us)))
        .ok_or_else(|| sqlx::Error::Decode("a time that no calendar has".into()))
}

impl Row {
    /// The name of a column, or where it is where it has none.
    pub(super) fn column(&self, index: usize) -> String {
        let name = match self {
            Self::Pg(row) => row.columns().get(index).map(|column| column.name()),
            Self::Sqlite(row) => row.columns().get(index).map(|column| column.name()),
        };
        match name {
            Some(name) if is_name(name) => name.to_owned(),
            // What is computed has none, or its whole expression.
            Some(_) | None => format!("column {}", index + 1),
        }
    }

    /// What is no text, as text: with a sign in place of what cannot be read.
    pub(super) fn as_text(&self, index: usize) -> String {
        let bytes = match self {
            Self::Pg(row) => row.try_get_unchecked::<&[u8], _>(index),
            Self::Sqlite(row) => row.try_get_unchecked::<&[u8], _>(index),
        };
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }

    pub(super) fn uuid<I: From<Uuid>>(&self, index: usize) -> Result<I, Error> {
        self.opt_uuid(index)?
            .ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// An id: PostgreSQL's own type, text on SQLite.
    pub(super) fn opt_uuid<I: From<Uuid>>(&self, index: usize) -> Result<Option<I>, Error> {
        let id = match self {
            Self::Pg(row) => row.try_get::<Option<Uuid>, _>(index)?,
            Self::Sqlite(row) => row
                .try_get::<Option<&str>, _>(index)?
                .map(Uuid::parse_str)
                .transpose()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        };
        Ok(id.map(I::from))
    }

    pub(super) fn text(&self, index: usize) -> Result<String, Error> {
        Ok(read!(self, index, String))
    }

    /// A text, as names are kept in memory.
    pub(super) fn name(&self, index: usize) -> Result<Arc<str>, Error> {
        Ok(Arc::from(read!(self, index, &str)))
    }

    pub(super) fn opt_text(&self, index: usize) -> Result<Option<String>, Error> {
        Ok(read!(self, index, Option<String>))
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        Ok(read!(self, index, Vec<u8>))
    }

    pub(super) fn int(&self, index: usize) -> Result<i64, Error> {
        Ok(read!(self, index, i64))
    }

    pub(super) fn opt_int(&self, index: usize) -> Result<Option<i64>, Error> {
        Ok(read!(self, index, Option<i64>))
    }

    pub(super) fn float(&self, index: usize) -> Result<f64, Error> {
        Ok(read!(self, index, f64))
    }

    pub(super) fn small<T: TryFrom<i64> + Default>(&self, index: usize) -> Result<T, Error> {
        Ok(T::try_from(self.int(index)?).unwrap_or_default())
    }

    pub(super) fn bool(&self, index: usize) -> Result<bool, Error> {
        Ok(read!(self, index, bool))
    }

    pub(super) fn opt_bool(&self, index: usize) -> Result<Option<bool>, Error> {
        Ok(read!(self, index, Option<bool>))
    }

    pub(super) fn time(&self, index: usize) -> Result<Micros, Error> {
        self.opt_time(index).map(Option::unwrap_or_default)
    }

    pub(super) fn opt_time(&self, index: usize) -> Result<Option<Micros>, Error> {
        Ok(match self {
            Self::Pg(row) => pg_time(row, index)?,
            Self::Sqlite(row) => row.try_get::<Option<i64>, _>(index)?.map(Micros),
        })
    }

    /// A word of a closed set.
    pub(super) fn word<T: std::str::FromStr>(&self, index: usize) -> Result<T, Error>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text(index)?
            .parse()
            .map_err(|error: T::Err| sqlx::Error::Decode(Box::new(error)).into())
    }

    /// A payload. PostgreSQL's are selected as `json`, SQLite's are text.
    pub(super) fn opt_json(&self, index: usize) -> Result<Option<Payload>, Error> {
        match self {
            Self::Pg(row) => Ok(row
                .try_get_unchecked::<Option<&str>, _>(index)?
                .map(payload::trusted)),
            // A text column may hold anything.
            Self::Sqlite(row) => row
                .try_get::<Option<&str>, _>(index)?
                .map(payload::stored)
                .transpose()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)).into()),
        }
    }
}
