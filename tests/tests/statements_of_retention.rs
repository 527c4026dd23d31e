//! Retention's statements: they forget no table, and what they cost is what they remove, however long the history is.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

/// What names an intent and does not go with it.
const STAY: &[&str] = &[
    // Goes when its time is over: nothing is done twice for having been removed.
    "key",
    // How far retention has come.
    "retention_cursor",
    // Tell of something else, and have bounds of their own.
    "alert",
    "poison",
    "schedule_tick",
    // A finished intent has no task (I2).
    "ready",
];

fn text(dialect: &str, name: &str) -> Result<String> {
    let path = format!("../engine/sql/{dialect}/{name}.sql");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    Ok(std::fs::read_to_string(path)?)
}

/// Every table with a column that names an intent is one from which retention deletes, or stands above with the reason.
#[tokio::test]
async fn no_table_is_forgotten() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let postgres: Vec<String> = sqlx::query_scalar(
        "select distinct c.table_name::text from information_schema.columns c
           join information_schema.tables t using (table_schema, table_name)
          where c.table_schema = 'intendant' and t.table_type = 'BASE TABLE'
            and (c.column_name like '%intent_id' or c.column_name in ('parent_id', 'child_id'))",
    )
    .fetch_all(&pool)
    .await?;
    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = SqlitePool::connect(&database.url).await?;
    let sqlite: Vec<String> = sqlx::query_scalar(
        "select distinct substr(t.name, 11) from sqlite_schema t, pragma_table_info(t.name) c
          where t.type = 'table' and t.name like 'intendant~_%' escape '~'
            and (c.name like '%intent~_id' escape '~' or c.name in ('parent_id', 'child_id'))",
    )
    .fetch_all(&pool)
    .await?;
    for (dialect, tables, prefix) in [
        ("postgres", postgres, "intendant."),
        ("sqlite", sqlite, "intendant_"),
    ] {
        ensure!(tables.len() > 25, "{dialect}: {tables:?}");
        let removes = text(dialect, "retention_remove")?;
        let gone = |table: &String| removes.contains(&format!("delete from {prefix}{table} "));
        let forgotten: BTreeSet<&String> = tables
            .iter()
            .filter(|table| !gone(table) && !STAY.contains(&table.as_str()))
            .collect();
        ensure!(forgotten.is_empty(), "{dialect}: {forgotten:?}");
        let known = |stays: &&&str| !tables.iter().any(|table| table == **stays);
        let needless: Vec<_> = STAY.iter().filter(known).collect();
        ensure!(
            needless.is_empty(),
            "{dialect}: {needless:?} names no intent"
        );
    }
    Ok(())
}

#[tokio::test]
async fn all_of_them_go_by_an_index_on_sqlite() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = SqlitePool::connect(&database.url).await?;
    for (name, index) in [
        (
            "retention_roots",
            "intendant_outcome_finished (kind=? AND state=?",
        ),
        (
            "finished_kinds",
            "COVERING INDEX intendant_outcome_finished",
        ),
        ("retention_below", "intendant_intent_by_parent (parent_id=?"),
        (
            "retention_behind",
            "intendant_intent_by_parent (parent_id=?",
        ),
        ("retention_stays", "intendant_holder_by_intent (intent_id=?"),
        (
            "retention_again",
            "intendant_retention_kept_look (looked_at<?",
        ),
        ("key_purge", "intendant_key_expired (expires_at<?"),
        ("retention_remove", "USING"),
        ("retention_blank", "USING"),
    ] {
        let code = text("sqlite", name)?;
        let code: Vec<&str> = code
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect();
        for statement in code.join("\n").split(";\n") {
            let explain = AssertSqlSafe(format!("explain query plan {statement}"));
            let query = sqlx::query_as::<_, (i64, i64, i64, String)>(explain);
            let plan: Vec<_> = query
                .fetch_all(&pool)
                .await?
                .into_iter()
                .map(|line| line.3)
                .collect();
            let scans = plan.iter().filter(|line| {
                let small = [
                    "SCAN n ",
                    "SCAN k",
                    "SCAN known",
                    "SCAN f",
                    "SCAN (subquery",
                    "SCAN CONSTANT",
                    "SCAN l",
                    "SCAN t ",
                ];
                let ordered =
                    line.contains("SCAN o USING COVERING INDEX intendant_outcome_finished");
                line.starts_with("SCAN ")
                    && !ordered
                    && !small.iter().any(|small| line.starts_with(small))
            });
            let scans: Vec<_> = scans.collect();
            ensure!(scans.is_empty(), "{name}: {plan:#?}");
            ensure!(
                plan.iter().any(|line| line.contains(index)),
                "{name}: {plan:#?}"
            );
            ensure!(
                !plan.iter().any(|line| line.contains("TEMP B-TREE")),
                "{name}: {plan:#?}"
            );
        }
    }
    Ok(())
}

/// Among a hundred times as much that is kept, what is read to find what is old enough stays the same.
#[tokio::test]
async fn what_is_read_to_find_it_does_not_grow_with_the_history_on_postgres() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut read = Vec::new();
    for (from, to) in [(1, 500), (501, 50_000)] {
        sqlx::query(
            "insert into intendant.outcome (intent_id, kind, state, requested_at, started_at, finished_at)
             select gen_random_uuid(), case when n % 2 = 0 then 'mail' else 'bill' end, 'succeeded', t.at, t.at, t.at
               from generate_series($1::int, $2::int) n,
                    lateral (select now() - interval '1 hour' * (n % 24) as at) t",
        )
        .bind(from)
        .bind(to)
        .execute(&pool)
        .await?;
        // Five of them are old.
        sqlx::query(
            "insert into intendant.outcome (intent_id, kind, state, requested_at, started_at, finished_at)
             select gen_random_uuid(), 'mail', 'succeeded', now() - interval '40 days', now() - interval '40 days',
                    now() - interval '40 days' from generate_series(1, 5)
              where not exists (select from intendant.outcome where finished_at < now() - interval '30 days')",
        )
        .execute(&pool)
        .await?;
        let mut pages = Vec::new();
        for name in ["retention_roots", "finished_kinds"] {
            let mut tx = pool
                .begin_with("begin; set local enable_seqscan = off; set local jit = off")
                .await?;
            let explain = format!(
                "explain (analyze, buffers, timing off, format text) {}",
                text("postgres", name)?
            );
            let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(explain));
            let plan = match name {
                "retention_roots" => {
                    let days = 30 * 86_400 * 1_000_000_i64;
                    let query = query.bind("mail").bind("succeeded").bind("rows").bind(days);
                    query.bind(2_000_i64).fetch_all(&mut *tx).await?
                }
                _ => query.bind(1_000_i64).fetch_all(&mut *tx).await?,
            };
            tx.rollback().await?;
            ensure!(
                plan.iter().any(|line| line.contains("outcome_finished")),
                "{plan:#?}"
            );
            ensure!(
                !plan
                    .iter()
                    .any(|line| line.contains("Sort") || line.contains("Seq Scan on outcome")),
                "{plan:#?}"
            );
            let buffers = plan
                .iter()
                .find(|line| line.contains("Buffers:"))
                .context("no buffers")?;
            let sum = buffers
                .split(['=', ' '])
                .filter_map(|word| word.parse::<u64>().ok())
                .sum::<u64>();
            pages.push(sum);
        }
        read.push(pages);
    }
    // A taller tree has a page more for each look; the range is the same.
    ensure!(
        read[1][0] <= read[0][0] + 30 && read[1][1] <= read[0][1] + 30,
        "{read:?}"
    );
    Ok(())
}
