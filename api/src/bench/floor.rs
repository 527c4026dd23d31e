//! The floor: the rows that the engine writes, in the engine's own tables, by bare SQL and no engine.
//!
//! The same client library, the same batches, the same payloads read and written, as few statements as will do. What the
//! engine makes of the same work, divided by this, says what the engine itself costs on whatever machine it is measured.

use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

use super::place::Place;
use super::rows;
use super::work::payload;

/// Intents in one batch: what the engine claims at most.
pub(super) const BATCH: usize = 1_000;

/// A connection to measure with.
pub(super) enum Bare {
    Postgres(Box<PgPool>),
    Sqlite(Box<SqliteConnection>),
}

impl Bare {
    pub(super) async fn connect(place: &Place, connections: u32) -> Result<Self> {
        match place {
            Place::Postgres { .. } => {
                let options: PgConnectOptions = place.url().parse()?;
                let pool = PgPoolOptions::new().max_connections(connections);
                Ok(Self::Postgres(Box::new(pool.connect_with(options).await?)))
            }
            Place::Sqlite { path } => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    // As the engine's writer has them.
                    .pragma("wal_autocheckpoint", "16000")
                    .pragma("cache_size", "-16000")
                    .busy_timeout(Duration::from_secs(30))
                    .row_buffer_size(BATCH);
                let conn = SqliteConnection::connect_with(&options).await?;
                Ok(Self::Sqlite(Box::new(conn)))
            }
        }
    }
}

/// Asks for intents, a batch in a transaction. Returns how long it took.
pub(super) async fn bulk(place: &Place, intents: usize, kind: &str) -> Result<Duration> {
    let mut bare = Bare::connect(place, 1).await?;
    let start = Instant::now();
    for first in (0..intents).step_by(BATCH) {
        let numbers = first..intents.min(first + BATCH);
        let batch: Vec<(Uuid, String)> = numbers.map(new).collect::<Result<_>>()?;
        match &mut bare {
            Bare::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                rows::postgres::ask(&mut tx, kind, &batch).await?;
                tx.commit().await?;
            }
            Bare::Sqlite(conn) => {
                let mut tx = conn.begin_with("begin immediate").await?;
                rows::sqlite::ask(&mut tx, kind, &batch).await?;
                tx.commit().await?;
            }
        }
    }
    Ok(start.elapsed())
}

/// Carries out what [`bulk`] has asked for: claims a batch, writes a result for each of its steps, step after step, and
/// the outcomes with the last. Returns how long it took.
pub(super) async fn chain(place: &Place, steps: usize, kind: &str) -> Result<Duration> {
    let mut bare = Bare::connect(place, 1).await?;
    let start = Instant::now();
    match &mut bare {
        Bare::Postgres(pool) => {
            let session = Uuid::now_v7();
            rows::postgres::session(&mut *pool.acquire().await?, session).await?;
            let mut held = Vec::new();
            loop {
                let mut tx = pool.begin_with(rows::postgres::BEGIN).await?;
                if !held.is_empty() {
                    rows::postgres::results(&mut tx, steps, &held).await?;
                    rows::postgres::finish(&mut tx, kind, &held).await?;
                }
                held = rows::postgres::claim(&mut tx, session, kind).await?;
                tx.commit().await?;
                if held.is_empty() {
                    return Ok(start.elapsed());
                }
                for step in 1..steps {
                    let mut tx = pool.begin_with(rows::postgres::BEGIN).await?;
                    rows::postgres::results(&mut tx, step, &held).await?;
                    tx.commit().await?;
                }
            }
        }
        Bare::Sqlite(conn) => {
            let session = Uuid::now_v7();
            rows::sqlite::session(conn, session).await?;
            let mut held = Vec::new();
            loop {
                let mut tx = conn.begin_with("begin immediate").await?;
                if !held.is_empty() {
                    rows::sqlite::results(&mut tx, steps, &held).await?;
                    rows::sqlite::finish(&mut tx, kind, &held).await?;
                }
                held = rows::sqlite::claim(&mut tx, session, kind).await?;
                tx.commit().await?;
                if held.is_empty() {
                    return Ok(start.elapsed());
                }
                for step in 1..steps {
                    let mut tx = conn.begin_with("begin immediate").await?;
                    rows::sqlite::results(&mut tx, step, &held).await?;
                    tx.commit().await?;
                }
            }
        }
    }
}

/// Inserts of one row, each in a transaction of its own, by `clients` connections at once. Returns how long each took,
/// and all.
pub(super) async fn inserts(
    place: &Place,
    count: usize,
    clients: usize,
) -> Result<(Vec<Duration>, Duration)> {
    let mut bares = Vec::new();
    for _ in 0..clients {
        bares.push(Bare::connect(place, 1).await?);
    }
    match &mut bares[0] {
        Bare::Postgres(pool) => {
            sqlx::query("create table bare (id uuid primary key, body json not null)")
                .execute(&**pool)
                .await?;
        }
        Bare::Sqlite(conn) => {
            sqlx::query(
                "create table bare (id text primary key, body text not null) without rowid",
            )
            .execute(&mut **conn)
            .await?;
        }
    }
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (client, mut bare) in bares.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            for number in (client..count).step_by(clients) {
                let (id, body) = new(number)?;
                let asked = Instant::now();
                match &mut bare {
                    Bare::Postgres(pool) => {
                        sqlx::query("insert into bare (id, body) values ($1, $2::json)")
                            .bind(id)
                            .bind(body)
                            .execute(&**pool)
                            .await?;
                    }
                    Bare::Sqlite(conn) => {
                        sqlx::query("insert into bare (id, body) values (?, ?)")
                            .bind(id.to_string())
                            .bind(body)
                            .execute(&mut **conn)
                            .await?;
                    }
                }
                took.push(asked.elapsed());
            }
            anyhow::Ok(took)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok((all, start.elapsed()))
}

fn new(number: usize) -> Result<(Uuid, String)> {
    Ok((Uuid::now_v7(), serde_json::to_string(&payload(number))?))
}

/// A claimed intent: its id and its input.
pub(super) type Held = (String, String);

/// Reads claimed intents.
pub(super) fn held<R: sqlx::Row>(rows: &[R], id: impl Fn(&R) -> Result<String>) -> Result<Vec<Held>>
where
    usize: sqlx::ColumnIndex<R>,
    String: for<'r> sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    rows.iter()
        .map(|row| Ok((id(row)?, row.try_get_unchecked(1)?)))
        .collect()
}
