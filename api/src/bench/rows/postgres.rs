//! The floor's rows on PostgreSQL: arrays and `unnest`.

use anyhow::Result;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bench::floor::{self, BATCH, Held};

/// The planner settings of the engine's ticks.
pub(in crate::bench) const BEGIN: &str =
    "begin; set local enable_seqscan = off; set local jit = off";

pub(in crate::bench) async fn ask(
    tx: &mut PgConnection,
    kind: &str,
    batch: &[(Uuid, String)],
) -> Result<()> {
    let ids: Vec<Uuid> = batch.iter().map(|(id, _)| *id).collect();
    let inputs: Vec<&str> = batch.iter().map(|(_, input)| input.as_str()).collect();
    sqlx::query(
        "with new as (
           insert into intendant.intent (id, kind, queue, input, position, requested_at, root_id)
           select n.id, $3, 'default', n.input::json, (extract(epoch from clock_timestamp()) * 1000000)::bigint,
                  clock_timestamp(), n.id
             from unnest($1::uuid[], $2::text[]) as n (id, input)
           returning id, position
         )
         insert into intendant.ready (queue, kind, position, intent_id, started, locks)
         select 'default', $3, position, id, false, false from new",
    )
    .bind(ids)
    .bind(inputs)
    .bind(kind)
    .execute(tx)
    .await?;
    Ok(())
}

pub(in crate::bench) async fn session(conn: &mut PgConnection, session: Uuid) -> Result<()> {
    sqlx::query(
        "insert into intendant.session (id, worker, host, pid, build, lease_ms, started_at, beat_at)
         values ($1, 'floor', 'floor', 0, 'floor', 3600000, now(), now())",
    )
    .bind(session)
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims a batch: the tasks leave *ready*, a lease is made, the inputs are read.
pub(in crate::bench) async fn claim(
    tx: &mut PgConnection,
    session: Uuid,
    kind: &str,
) -> Result<Vec<Held>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "delete from intendant.ready d where d.ctid = any (array (
           select r.ctid from intendant.ready r where r.queue = 'default' and r.kind = $1 and r.crashes = 0
            order by r.position, r.intent_id limit $2 for update skip locked))
         returning d.intent_id",
    )
    .bind(kind)
    .bind(i64::try_from(BATCH)?)
    .fetch_all(&mut *tx)
    .await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(
        "insert into intendant.lease (id, session_id, claimed_at, tasks) values ($1, $2, now(), $3)",
    )
    .bind(Uuid::now_v7())
    .bind(session)
    .bind(&ids)
    .execute(&mut *tx)
    .await?;
    let rows =
        sqlx::query("select id::text, input::text from intendant.intent where id = any ($1)")
            .bind(ids)
            .fetch_all(tx)
            .await?;
    floor::held(&rows, |row| Ok(sqlx::Row::try_get(row, 0)?))
}

pub(in crate::bench) async fn results(
    tx: &mut PgConnection,
    step: usize,
    held: &[Held],
) -> Result<()> {
    sqlx::query(
        "insert into intendant.step (intent_id, name, state, attempt, output, started_at, finished_at, worker)
         select n.id::uuid, $3, 'succeeded', 1, n.output::json, now(), now(), 'floor'
           from unnest($1::text[], $2::text[]) as n (id, output)",
    )
    .bind(ids(held))
    .bind(outputs(held))
    .bind(format!("step-{step}"))
    .execute(tx)
    .await?;
    Ok(())
}

/// The outcomes; and the lease goes.
pub(in crate::bench) async fn finish(
    tx: &mut PgConnection,
    kind: &str,
    held: &[Held],
) -> Result<()> {
    sqlx::query(
        "insert into intendant.outcome (intent_id, kind, state, requested_at, started_at, finished_at, output)
         select n.id::uuid, $3, 'succeeded', now(), now(), now(), n.output::json
           from unnest($1::text[], $2::text[]) as n (id, output)",
    )
    .bind(ids(held))
    .bind(outputs(held))
    .bind(kind)
    .execute(&mut *tx)
    .await?;
    sqlx::query("delete from intendant.lease")
        .execute(tx)
        .await?;
    Ok(())
}

fn ids(held: &[Held]) -> Vec<&str> {
    held.iter().map(|(id, _)| id.as_str()).collect()
}

fn outputs(held: &[Held]) -> Vec<&str> {
    held.iter().map(|(_, output)| output.as_str()).collect()
}
