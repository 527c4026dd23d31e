//! Every statement of the engine is one that its database takes, and there is one for each of the two.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use sqlx::{AssertSqlSafe, Column, Executor, SqlSafeStr as _, Statement as _};

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
    // SQLite has one writer, which needs no locks within its transaction; PostgreSQL writes a whole request at once, and
    // claims from one lane as from many.
    let expected = [
        "cancel_hold",
        "cancel_resource",
        "claim_take_kind",
        "data_version",
        "nudge",
        "nudge_cancel",
        "request_lease",
        "request_parked",
        "request_ready",
        "request_resource",
        "resource_lock",
        "resource_try",
        "slot_hold",
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

/// They are read by place, by the same code.
#[tokio::test]
async fn all_claims_of_a_database_return_the_same_columns() -> Result<()> {
    fn same(claims: &[(String, Vec<String>)]) -> Result<()> {
        ensure!(claims.len() > 1, "{claims:?}");
        ensure!(
            claims.windows(2).all(|pair| pair[0].1 == pair[1].1),
            "{claims:?}"
        );
        Ok(())
    }
    fn names<C: Column>(columns: &[C]) -> Vec<String> {
        columns
            .iter()
            .map(|column| column.name().to_owned())
            .collect()
    }
    let claims = |dialect| -> Result<_> {
        let claims = statements(dialect)?.into_iter();
        Ok(claims.filter(|(name, _)| name.starts_with("claim_")))
    };

    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = sqlx::PgPool::connect(&database.url).await?;
    let mut returned = Vec::new();
    for (name, text) in claims("postgres")? {
        let claim = pool.prepare(AssertSqlSafe(text).into_sql_str()).await?;
        returned.push((name, names(claim.columns())));
    }
    same(&returned)?;

    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = sqlx::SqlitePool::connect(&database.url).await?;
    let mut returned = Vec::new();
    for (name, text) in claims("sqlite")? {
        let claim = pool.prepare(AssertSqlSafe(text).into_sql_str()).await?;
        returned.push((name, names(claim.columns())));
    }
    same(&returned)
}

/// What drives a look back through history, and which index that is on SQLite.
const LOOKS: [(&str, &str); 7] = [
    ("all", "i USING PRIMARY KEY"),
    ("account", "i USING INDEX intendant_intent_by_account"),
    (
        "resource",
        "d USING COVERING INDEX intendant_resource_history",
    ),
    ("label", "d USING COVERING INDEX intendant_label_history"),
    (
        "unsuccessful",
        "o USING INDEX intendant_outcome_unsuccessful",
    ),
    (
        "trouble",
        "o USING INDEX intendant_outcome_unsuccessful_of_account",
    ),
    ("live", ""),
];

/// What only drives one of them, after what all of them take.
fn driven_by(look: &str) -> &'static [&'static str] {
    match look {
        "account" => &["acme"],
        "resource" => &["environment:7"],
        "label" => &["team", "billing"],
        "unsuccessful" => &["failed"],
        "trouble" => &["acme", "failed"],
        _ => &[],
    }
}

fn explained(dialect: &str, explain: &str, name: &str) -> Result<AssertSqlSafe<String>> {
    let path = directory(dialect).join(format!("{name}.sql"));
    Ok(AssertSqlSafe(format!(
        "{explain} {}",
        std::fs::read_to_string(path)?
    )))
}

/// How SQLite goes about a statement, a line for each of its steps.
async fn plan_on_sqlite(pool: &sqlx::SqlitePool, name: &str) -> Result<Vec<String>> {
    let plan = explained("sqlite", "explain query plan", name)?;
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(plan).fetch_all(pool).await?;
    Ok(plan.into_iter().map(|(.., line)| line).collect())
}

/// The arguments of a look that has to compare everything and finds nothing.
macro_rules! bind_look {
    ($query:expr, $look:expr, $before:expr, $down_to:expr) => {{
        let given = |look: &[&str], text: &'static str| look.contains(&$look).then_some(text);
        let state = match $look {
            "unsuccessful" | "trouble" => "failed",
            "live" => "ready",
            _ => "cancelled",
        };
        let none = None::<i64>;
        $query
            .bind(50i64)
            .bind($before)
            .bind($down_to)
            .bind("no such kind")
            .bind(state)
            .bind("nobody")
            .bind(none)
            .bind(none)
            .bind(none)
            .bind(None::<&str>)
            .bind(given(&["label"], "team"))
            .bind(given(&["label"], "billing"))
            .bind(given(&["account", "trouble"], "acme"))
            .bind(given(&["resource"], "environment:7"))
            .bind(None::<&str>)
    }};
}

/// A look back through history is driven by one index in the order of the page, and sorts nothing.
#[tokio::test]
async fn a_look_back_is_driven_by_one_index_on_sqlite() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = sqlx::SqlitePool::connect(&database.url).await?;
    let (newest, oldest) = (uuid::Uuid::max().to_string(), uuid::Uuid::nil().to_string());
    for (look, index) in LOOKS {
        let find = explained("sqlite", "explain query plan", &format!("find_{look}"))?;
        let query = bind_look!(sqlx::query_as(find), look, newest.as_str(), oldest.as_str());
        let plan: Vec<(i64, i64, i64, String)> = query.fetch_all(&pool).await?;
        let plan: Vec<String> = plan.into_iter().map(|(.., line)| line).collect();
        let walks = |line: &String| ["SCAN i", "SCAN o", "SCAN d"].contains(&line.as_str());
        ensure!(!plan.iter().any(walks), "{look}: {plan:#?}");
        if look == "live" {
            continue;
        }
        ensure!(
            !plan.iter().any(|line| line.contains("TEMP B-TREE")),
            "{look}: {plan:#?}"
        );
        ensure!(
            plan[0].starts_with(&format!("SEARCH {index} (")),
            "{look}: {plan:#?}"
        );
        let floor = explained("sqlite", "explain query plan", &format!("floor_{look}"))?;
        let mut query = sqlx::query_as(floor).bind(newest.as_str()).bind(1_000i64);
        for text in driven_by(look) {
            query = query.bind(*text);
        }
        let plan: Vec<(i64, i64, i64, String)> = query.fetch_all(&pool).await?;
        ensure!(
            plan.len() == 1 && plan[0].3.starts_with("SEARCH "),
            "{look}: {plan:#?}"
        );
    }
    pool.close().await;
    Ok(())
}

/// The same on PostgreSQL, where it is counted: however deep in a history of twenty thousand, and with fresh statistics or
/// none, a look reads the thousand rows that it may, and what is unfinished.
#[tokio::test]
async fn a_look_back_reads_no_more_than_it_may_on_postgres() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = sqlx::PgPool::connect(&database.url).await?;
    sqlx::raw_sql(HISTORY).execute(&pool).await?;
    for statistics in ["select 1", "analyze"] {
        sqlx::raw_sql(statistics).execute(&pool).await?;
        for (look, _) in LOOKS {
            for before in [uuid::Uuid::max(), numbered(3_000)] {
                let mut tx = pool.begin().await?;
                // As the engine reads (`BEGIN_SNAPSHOT`).
                sqlx::raw_sql(
                    "set local plan_cache_mode = force_custom_plan; set local enable_seqscan = off; \
                     set local enable_bitmapscan = off; set local enable_hashjoin = off; \
                     set local enable_mergejoin = off; set local jit = off",
                )
                .execute(&mut *tx)
                .await?;
                let mut down_to = uuid::Uuid::nil();
                if look != "live" {
                    let name = format!("floor_{look}");
                    let explain = "explain (analyze, timing off)";
                    let mut query = sqlx::query_scalar(explained("postgres", explain, &name)?)
                        .bind(before)
                        .bind(1_000i64);
                    for text in driven_by(look) {
                        query = query.bind(*text);
                    }
                    let plan: Vec<String> = query.fetch_all(&mut *tx).await?;
                    let most = plan.iter().map(|line| rows(line)).max();
                    ensure!(most <= Some(1_000), "{name} before {before}: {plan:#?}");
                    let mut query = sqlx::query_scalar(explained("postgres", "", &name)?)
                        .bind(before)
                        .bind(1_000i64);
                    for text in driven_by(look) {
                        query = query.bind(*text);
                    }
                    down_to = query.fetch_optional(&mut *tx).await?.unwrap_or_default();
                }
                let name = format!("find_{look}");
                let query = sqlx::query_scalar(explained(
                    "postgres",
                    "explain (analyze, timing off)",
                    &name,
                )?);
                let query = bind_look!(query, look, before, down_to);
                let plan: Vec<String> = query.fetch_all(&mut *tx).await?;
                let most = plan.iter().map(|line| rows(line)).max();
                ensure!(most <= Some(1_000), "{name} before {before}: {plan:#?}");
                ensure!(
                    look == "live" || !plan.iter().any(|line| line.contains("Sort")),
                    "{name}: {plan:#?}"
                );
            }
        }
    }
    Ok(())
}

/// The id of one of `HISTORY`.
fn numbered(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128((0x0189_0000_0000_7000_8000_u128 << 48) | number)
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
insert into intendant.intent (id, kind, queue, account, input, position, requested_at, root_id)
select id, 'op', 'default', 'acme', '{}', n, now(), id
  from (select n, ('01890000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id
          from generate_series(1, 20200) as n) i;
insert into intendant.outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, reason,
                               error)
select id, 'op', 'acme', case when position % 200 = 0 then 'failed' else 'succeeded' end, requested_at, requested_at,
       requested_at, '1', case when position % 200 = 0 then 'step failed' end,
       case when position % 200 = 0 then 'broken' end
  from intendant.intent where position <= 20000;
insert into intendant.resource (intent_id, resource, mode) select id, 'environment:7', 'touched' from intendant.intent;
insert into intendant.label (intent_id, name, value) select id, 'team', 'billing' from intendant.intent;
insert into intendant.ready (queue, kind, position, intent_id, started, locks)
select queue, kind, position, id, false, false from intendant.intent where position > 20100;
insert into intendant.blocked (intent_id, position)
select id, position from intendant.intent where position between 20001 and 20100;";

/// Twenty thousand in one line: readers before writers, all of one sort, and the resource is held.
const LONG_LINE: &str = "insert into intendant.line (resource, position, intent_id, mode, sharing, among) \
    select 'r:1', n, gen_random_uuid(), case when n <= 10000 then 'shared' else 'exclusive' end, false, 'all' \
      from generate_series(1, 20000) n";

/// What is read of a line is what is asked for, whether its statistics are fresh or there are none.
#[tokio::test]
async fn what_is_read_of_a_line_does_not_grow_with_it_on_postgres() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = sqlx::PgPool::connect(&database.url).await?;
    sqlx::raw_sql(LONG_LINE).execute(&pool).await?;
    for statistics in ["select 1", "analyze"] {
        sqlx::raw_sql(statistics).execute(&pool).await?;
        let mut tx = pool.begin().await?;
        // As a tick reads.
        sqlx::raw_sql(
            "set local plan_cache_mode = force_custom_plan; set local enable_seqscan = off",
        )
        .execute(&mut *tx)
        .await?;
        let explain = "explain (analyze, timing off)";
        let front = explained("postgres", explain, "line_front")?;
        let front = sqlx::query_scalar(front)
            .bind(vec!["r:1"])
            .bind(16i64)
            .bind(vec![uuid::Uuid::nil()]);
        let among = explained("postgres", explain, "line_among")?;
        let among = sqlx::query_scalar(among)
            .bind(vec!["r:1", "r:1"])
            .bind(vec!["all", "kin"])
            .bind(16i64);
        let sharing = explained("postgres", explain, "line_sharing")?;
        let sharing = sqlx::query_scalar(sharing).bind(vec!["r:1"]);
        let plain = explained("postgres", explain, "line_plain")?;
        let plain = sqlx::query_scalar(plain)
            .bind(vec!["r:1", "r:1"])
            .bind(vec!["all", "kin"])
            .bind(16i64);
        for query in [front, among, sharing, plain] {
            let plan: Vec<String> = query.fetch_all(&mut *tx).await?;
            let most = plan.iter().map(|line| rows(line)).max();
            ensure!(most <= Some(4 * 16), "{statistics}: {plan:#?}");
        }
    }
    Ok(())
}

/// The same on SQLite: by index, in its order, nothing sorted.
#[tokio::test]
async fn what_is_read_of_a_line_is_read_by_index_on_sqlite() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = sqlx::SqlitePool::connect(&database.url).await?;
    for (name, index) in [
        ("line_front", "x USING PRIMARY KEY (resource=?)"),
        (
            "line_among",
            "x USING COVERING INDEX intendant_line_among (resource=? AND among=? AND mode=?)",
        ),
        (
            "line_sharing",
            "l USING INDEX intendant_line_sharing (resource=?)",
        ),
        (
            "line_plain",
            "x USING INDEX intendant_line_among (resource=? AND among=? AND mode=?)",
        ),
    ] {
        let plan = plan_on_sqlite(&pool, name).await?;
        let searched = plan.iter().any(|line| *line == format!("SEARCH {index}"));
        let walked = |line: &String| {
            line.contains("TEMP B-TREE")
                || ["SCAN l", "SCAN x", "SCAN intendant_line"].contains(&line.as_str())
        };
        ensure!(searched && !plan.iter().any(walked), "{name}: {plan:#?}");
    }
    pool.close().await;
    Ok(())
}

/// However long the history is: what it goes on from is a place in an index.
#[tokio::test]
async fn a_subscription_reads_by_index_on_sqlite() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Sqlite).await?;
    let pool = sqlx::SqlitePool::connect(&database.url).await?;
    for (name, index) in [
        (
            "ended_page",
            "e USING COVERING INDEX intendant_outcome_finished (kind=? AND state=? AND (finished_at,intent_id)>(?,?) AND finished_at<?)",
        ),
        (
            "event_since",
            "intendant_event USING INDEX intendant_event_at ((at,intent_id,seq)>(?,?,?) AND at<?)",
        ),
    ] {
        let plan = plan_on_sqlite(&pool, name).await?;
        let searched = plan.iter().any(|line| *line == format!("SEARCH {index}"));
        ensure!(searched, "{name}: {plan:#?}");
    }
    pool.close().await;
    Ok(())
}
