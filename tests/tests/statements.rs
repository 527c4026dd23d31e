//! Every statement of the engine is one that its database takes, and there is one for each of the two.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

fn directory(dialect: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../engine/sql")
        .join(dialect)
}

fn statements(dialect: &str) -> Result<Vec<(String, String)>> {
    let mut statements = Vec::new();
    for entry in std::fs::read_dir(directory(dialect))? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .context("a name")?
            .to_owned();
        statements.push((name, std::fs::read_to_string(&path)?));
    }
    ensure!(
        statements.len() > 60,
        "only {} statements",
        statements.len()
    );
    Ok(statements)
}

#[test]
fn both_dialects_have_the_same_statements() -> Result<()> {
    let names = |dialect| -> Result<BTreeSet<String>> {
        Ok(statements(dialect)?
            .into_iter()
            .map(|(name, _)| name)
            .collect())
    };
    let (postgres, sqlite) = (names("postgres")?, names("sqlite")?);
    let missing: Vec<_> = postgres.symmetric_difference(&sqlite).collect();
    // SQLite has one writer, which needs no locks within its transaction; PostgreSQL writes a whole request at once.
    let expected = [
        "data_version",
        "nudge",
        "request_lease",
        "request_parked",
        "request_ready",
        "request_resource",
        "resource_lock",
        "resource_try",
        "wait_lock",
    ];
    ensure!(missing == expected, "{missing:?}");
    Ok(())
}

#[test]
fn every_statement_says_who_calls_it() -> Result<()> {
    for dialect in ["postgres", "sqlite"] {
        for (name, text) in statements(dialect)? {
            ensure!(
                text.starts_with("-- "),
                "{dialect}/{name}.sql has no comment on top"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn postgres_takes_every_statement() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = sqlx::PgPool::connect(&database.url).await?;
    for (name, text) in statements("postgres")? {
        pool.prepare(AssertSqlSafe(text).into_sql_str())
            .await
            .with_context(|| format!("postgres/{name}.sql"))?;
    }
    Ok(())
}

#[tokio::test]
async fn sqlite_takes_every_statement() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = sqlx::SqlitePool::connect(&database.url).await?;
    for (name, text) in statements("sqlite")? {
        // Some files have several statements, which are always run together.
        let code: String = text
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect::<Vec<_>>()
            .join("\n");
        for statement in code
            .split(";\n")
            .filter(|statement| !statement.trim().is_empty())
        {
            let statement = AssertSqlSafe(statement.to_owned()).into_sql_str();
            pool.prepare(statement)
                .await
                .with_context(|| format!("sqlite/{name}.sql"))?;
        }
    }
    Ok(())
}

/// A list by state costs what is unfinished, or what failed, and not what has ever succeeded: what the planner reads of
/// history is found by a key.
#[tokio::test]
async fn a_list_by_state_does_not_walk_through_history() -> Result<()> {
    const STATES: [(&str, &str); 5] = [
        ("history_live", "ready"),
        ("history_live", "waiting"),
        ("history_live", "blocked"),
        ("history_live", "running"),
        ("history_unsuccessful", "failed"),
    ];
    let read = |dialect, name| -> Result<AssertSqlSafe<String>> {
        let path = directory(dialect).join(format!("{name}.sql"));
        let explain = if dialect == "postgres" {
            "explain (analyze, timing off)"
        } else {
            "explain query plan"
        };
        let text = std::fs::read_to_string(path)?;
        Ok(AssertSqlSafe(format!("{explain} {text}")))
    };

    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = sqlx::SqlitePool::connect(&database.url).await?;
    for (name, state) in STATES {
        let mut query = sqlx::query_as(read("sqlite", name)?)
            .bind(50i64)
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(state);
        if name == "history_live" {
            query = query.bind(None::<String>).bind(None::<String>);
        }
        let plan: Vec<(i64, i64, i64, String)> = query.fetch_all(&pool).await?;
        let plan: Vec<String> = plan.into_iter().map(|(.., line)| line).collect();
        let walks = |line: &String| line == "SCAN i" || line == "SCAN o" || line == "SCAN s";
        ensure!(!plan.iter().any(walks), "{name} of {state}: {plan:#?}");
        let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE"));
        ensure!(name == "history_live" || !sorts, "{plan:#?}");
    }
    pool.close().await;

    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = sqlx::PgPool::connect(&database.url).await?;
    sqlx::raw_sql(HISTORY).execute(&pool).await?;
    for (name, state) in STATES {
        let mut query = sqlx::query_scalar(read("postgres", name)?)
            .bind(50i64)
            .bind(None::<uuid::Uuid>)
            .bind(None::<String>)
            .bind(state);
        if name == "history_live" {
            query = query.bind(None::<String>).bind(None::<String>);
        }
        let plan: Vec<String> = query.fetch_all(&pool).await?;
        let most = plan.iter().map(|line| rows(line)).max();
        ensure!(most < Some(1_000), "{name} of {state}: {plan:#?}");
    }
    Ok(())
}

/// How many rows one line of a plan of PostgreSQL's says were read.
fn rows(line: &str) -> u64 {
    let number = |mark: &str, text: &str| -> Option<f64> {
        let (_, text) = text.split_once(mark)?;
        let end = text.find([' ', ')']).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let (_, actual) = line.split_once("(actual ").unwrap_or_default();
    let read =
        number("rows=", actual).unwrap_or_default() * number("loops=", actual).unwrap_or_default();
    let removed = number("Removed by Filter: ", line).unwrap_or_default();
    (read + removed) as u64
}

/// Twenty thousand that succeeded, a hundred that failed, a hundred that wait for a worker.
const HISTORY: &str = "
insert into intendant.intent (id, kind, queue, input, position, requested_at, root_id)
select id, 'op', 'default', '{}', n, now(), id
  from (select n, ('01890000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id
          from generate_series(1, 20200) as n) i;
insert into intendant.outcome (intent_id, kind, state, requested_at, started_at, finished_at, output, reason, error)
select id, 'op', case when position % 200 = 0 then 'failed' else 'succeeded' end, requested_at, requested_at, requested_at,
       '1', case when position % 200 = 0 then 'step failed' end, case when position % 200 = 0 then 'broken' end
  from intendant.intent where position <= 20000;
insert into intendant.ready (queue, kind, position, intent_id, started, locks)
select queue, kind, position, id, false, false from intendant.intent where position > 20100;
insert into intendant.blocked (intent_id, position)
select id, position from intendant.intent where position between 20001 and 20100;
analyze intendant.intent, intendant.outcome, intendant.ready, intendant.blocked, intendant.parked, intendant.lease;";
