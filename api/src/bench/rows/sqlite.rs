//! The floor's rows on SQLite: multi-row `values`, the quickest way that a client has.

use anyhow::Result;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::bench::floor::{self, BATCH, Held};

/// Rows in one statement.
const ROWS: usize = 250;

pub(in crate::bench) async fn ask(
    tx: &mut SqliteConnection,
    kind: &str,
    batch: &[(Uuid, String)],
) -> Result<()> {
    let now = chrono::Utc::now().timestamp_micros();
    for batch in batch.chunks(ROWS) {
        let mut intents = QueryBuilder::<Sqlite>::new(
            "insert into intendant_intent (id, kind, queue, input, position, requested_at, root_id) ",
        );
        intents.push_values(batch, |mut row, (id, input)| {
            let id = id.to_string();
            row.push_bind(id.clone()).push_bind(kind.to_owned());
            row.push_bind("default").push_bind(input.clone());
            row.push_bind(now).push_bind(now).push_bind(id);
        });
        intents.build().execute(&mut *tx).await?;
        let mut tasks = QueryBuilder::<Sqlite>::new(
            "insert into intendant_ready (queue, kind, position, intent_id, started, locks) ",
        );
        tasks.push_values(batch, |mut row, (id, _)| {
            row.push_bind("default").push_bind(kind.to_owned());
            row.push_bind(now).push_bind(id.to_string());
            row.push_bind(false).push_bind(false);
        });
        tasks.build().execute(&mut *tx).await?;
    }
    Ok(())
}

pub(in crate::bench) async fn session(conn: &mut SqliteConnection, session: Uuid) -> Result<()> {
    sqlx::query(
        "insert into intendant_session (id, worker, host, pid, build, lease_ms, started_at, beat_at)
         values (?, 'floor', 'floor', 0, 'floor', 3600000, 0, 0)",
    )
    .bind(session.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims a batch: the inputs are read, the tasks leave *ready*, a lease is made.
pub(in crate::bench) async fn claim(
    tx: &mut SqliteConnection,
    session: Uuid,
    kind: &str,
) -> Result<Vec<Held>> {
    let rows = sqlx::query(
        "select i.id, i.input, r.position from intendant_ready r join intendant_intent i on i.id = r.intent_id
          where r.queue = 'default' and r.kind = ? and r.crashes = 0 order by r.position, r.intent_id limit ?",
    )
    .bind(kind)
    .bind(i64::try_from(BATCH)?)
    .fetch_all(&mut *tx)
    .await?;
    let Some(last) = rows.last() else {
        return Ok(Vec::new());
    };
    let held = floor::held(&rows, |row| Ok(sqlx::Row::try_get(row, 0)?))?;
    sqlx::query(
        "delete from intendant_ready where queue = 'default' and kind = ? and crashes = 0
            and (position, intent_id) <= (?, ?)",
    )
    .bind(kind)
    .bind(sqlx::Row::try_get::<i64, _>(last, 2)?)
    .bind(sqlx::Row::try_get::<String, _>(last, 0)?)
    .execute(&mut *tx)
    .await?;
    let ids: Vec<&str> = held.iter().map(|(id, _)| id.as_str()).collect();
    sqlx::query(
        "insert into intendant_lease (id, session_id, claimed_at, tasks) values (?, ?, 0, ?)",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(session.to_string())
    .bind(serde_json::to_string(&ids)?)
    .execute(tx)
    .await?;
    Ok(held)
}

pub(in crate::bench) async fn results(
    tx: &mut SqliteConnection,
    step: usize,
    held: &[Held],
) -> Result<()> {
    for held in held.chunks(ROWS) {
        let mut steps = QueryBuilder::<Sqlite>::new(
            "insert into intendant_step (intent_id, name, state, attempt, output, started_at, finished_at, worker) ",
        );
        steps.push_values(held, |mut row, (id, output)| {
            row.push_bind(id.clone()).push_bind(format!("step-{step}"));
            row.push_bind("succeeded").push_bind(1);
            row.push_bind(output.clone()).push_bind(0).push_bind(0);
            row.push_bind("floor");
        });
        steps.build().execute(&mut *tx).await?;
    }
    Ok(())
}

/// The outcomes; and the lease goes.
pub(in crate::bench) async fn finish(
    tx: &mut SqliteConnection,
    kind: &str,
    held: &[Held],
) -> Result<()> {
    for held in held.chunks(ROWS) {
        let mut outcomes = QueryBuilder::<Sqlite>::new(
            "insert into intendant_outcome (intent_id, kind, state, requested_at, started_at, finished_at, output) ",
        );
        outcomes.push_values(held, |mut row, (id, output)| {
            row.push_bind(id.clone()).push_bind(kind.to_owned());
            row.push_bind("succeeded").push_bind(0).push_bind(0);
            row.push_bind(0).push_bind(output.clone());
        });
        outcomes.build().execute(&mut *tx).await?;
    }
    sqlx::query("delete from intendant_lease")
        .execute(tx)
        .await?;
    Ok(())
}
