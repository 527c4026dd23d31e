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
