//! Two that count the backlog of one queue: what is known is what was counted last, whoever comes back first. The statements are
//! the engine's own.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::statement;
use sqlx::PgPool;

/// Within which somebody who counts is to come back, in microseconds.
const SOON: i64 = 10_000_000;

async fn begin_to_count(pool: &PgPool) -> Result<Option<i64>> {
    let due = sqlx::query_as::<_, (String, i64, i64)>(statement("backlog_due")?);
    let due = due.bind(SOON).fetch_optional(pool).await?;
    Ok(due.map(|(_, _, count)| count))
}

async fn counted(pool: &PgPool, count: i64, room: i64) -> Result<()> {
    let seen = sqlx::query(statement("backlog_seen")?).bind("mail");
    seen.bind(count).bind(room).bind(SOON).execute(pool).await?;
    Ok(())
}

#[tokio::test]
async fn a_count_that_was_held_up_is_not_taken_for_the_newest() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    for first_comes_last in [false, true] {
        sqlx::raw_sql("delete from intendant.backlog; insert into intendant.backlog (queue, cap, room, due_at) values ('mail', 10, 10, now())")
            .execute(&pool)
            .await?;
        let first = begin_to_count(&pool).await?.expect("one is due");
        // Nobody else counts, until the first one has not come back for too long.
        ensure!(begin_to_count(&pool).await?.is_none());
        sqlx::raw_sql("update intendant.backlog set due_at = now() - interval '1 second'")
            .execute(&pool)
            .await?;
        let second = begin_to_count(&pool).await?.expect("one is due again");
        let mut back = [(first, 3), (second, 7)];
        if first_comes_last {
            back.reverse();
        }
        for (count, room) in back {
            counted(&pool, count, room).await?;
        }
        let room: i64 = sqlx::query_scalar("select room from intendant.backlog")
            .fetch_one(&pool)
            .await?;
        ensure!(room == 7, "room for {room}");
    }
    Ok(())
}
