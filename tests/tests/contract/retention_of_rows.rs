//! All rows that belong to an intent go with it, whatever table they are in; what stays is named here, with the reason.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Cx, Error, Intent, IntentFilter, IntentId, Resources, Retention, StepResult, StoreKind,
};
use serde::{Deserialize, Serialize};

use crate::retention::{DAY, Job};
use crate::support::{Bench, Gate, on_both, start};

on_both! {
    no_table_remembers_an_intent_that_is_gone;
    a_key_outlives_its_intent_until_its_time_is_over;
    an_input_of_null_is_not_taken_for_one_that_was_removed;
    what_never_ran_goes_too;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Long(String);

impl Intent for Long {
    const KIND: &'static str = "long";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("database", &self.0).and_touched("host", "7")
    }
    const DEADLINE: Option<Duration> = Some(DAY);
}

/// Leaves rows of all sorts.
async fn long(cx: Cx<Gate>, long: Long) -> StepResult<String> {
    cx.measure("rows", 7.0);
    tracing::info!("under way");
    if cx.attempt() == 1 {
        cx.checkpoint(&1).await?;
        return Err(std::io::Error::other("not yet").into());
    }
    let child: String = cx.child("job", Job(long.0)).await?;
    cx.sleep("nap", Duration::from_millis(1)).await?;
    cx.signal::<()>("go").await?;
    if !cx.state().is_open() {
        return Err(intendant::fail("shut"));
    }
    Ok(child)
}

/// The tables that may name an intent after it has gone.
const STAY: &[&str] = &[
    // Until its time is over: nothing is done twice for having been removed.
    "key",
    // What retention has come to.
    "retention_cursor",
    // The last answer of one connection, and what people and alerts were told: with bounds of their own.
    "requested",
    "alert",
    "notice",
];

/// Every table of the engine, with how often a text stands in its rows.
async fn mentions(bench: &Bench, text: &str) -> Result<Vec<(String, i64)>> {
    let tables: Vec<String> = match bench.database.kind {
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            let tables = "select substr(name, 11) from sqlite_schema where type = 'table' and name like 'intendant~_%' escape '~'";
            let tables = sqlx::query_scalar(tables).fetch_all(&pool).await;
            pool.close().await;
            tables?
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            let tables = "select table_name::text from information_schema.tables
                           where table_schema = 'intendant' and table_type = 'BASE TABLE'";
            let tables = sqlx::query_scalar(tables).fetch_all(&pool).await;
            pool.close().await;
            tables?
        }
    };
    ensure!(tables.len() > 40, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let sql = match bench.database.kind {
            StoreKind::Postgres => {
                format!("select count(*) from @{table} t where to_jsonb(t)::text like '%{text}%'")
            }
            StoreKind::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
                let columns = format!("select name from pragma_table_info('intendant_{table}')");
                let columns: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(columns))
                    .fetch_all(&pool)
                    .await?;
                pool.close().await;
                let any = columns
                    .iter()
                    .map(|column| format!("cast(\"{column}\" as text) like '%{text}%'"));
                format!(
                    "select count(*) from @{table} where {}",
                    any.collect::<Vec<_>>().join(" or ")
                )
            }
        };
        let count = bench.number(&sql).await?;
        if count > 0 {
            found.push((table, count));
        }
    }
    Ok(found)
}

async fn no_table_remembers_an_intent_that_is_gone(bench: Bench) -> Result<()> {
    let request = bench.intendant.request(Long("orders".into()));
    let id = request.key("k").label("team", "dba").await?.id();
    let worker = bench
        .worker(Gate::default())
        .register_step(long)
        .register_step(crate::retention::job);
    let worker = start(worker);
    bench.intendant.signal(id, "go", &()).await?;
    bench.rest(id).await?;
    worker.stop().await?;
    bench
        .intendant
        .amend(id, &Long("orders".into()), "ada", None)
        .await?;
    bench.intendant.discard(id, "ada", Some("no need")).await?;
    let child = bench.intendant.children(id).await?[0].id;
    // What only a moment of its life has, a crash may have left.
    let time = match bench.database.kind {
        StoreKind::Sqlite => "1",
        StoreKind::Postgres => "now()",
    };
    bench
        .run_sql(&format!(
            "insert into @wait (intent_id, arrived) values ('{child}', 0);
             insert into @untold (intent_id) values ('{child}');
             insert into @deadline (intent_id, due_at) values ('{child}', {time});
             insert into @link (intent_id, relation, other_id, resource, at)
             values ('{child}', 'joined', '{id}', 'r:1', {time});
             insert into @awaited (intent_id, step, generation, name, sort, asked_at)
             values ('{child}', 'run', 1, 'go', 'signal', {time});
             insert into @checkpoint (intent_id, step, generation, attempt, value, at, worker)
             values ('{child}', 'run', 1, 1, 'null', {time}, 'w');
             insert into @cancel_request (id, intent_id, actor, asked_at) values ('{id}', '{child}', 'ada', {time});"
        ))
        .await?;
    let before = mentions(&bench, &id.to_string()).await?;
    let before: Vec<&str> = before.iter().map(|(table, _)| table.as_str()).collect();
    for table in [
        "intent", "outcome", "step", "attempt", "event", "child", "label", "resource", "signal",
        "revision", "measure", "log", "started", "key", "deadline", "awaited",
    ] {
        ensure!(
            before.contains(&table),
            "nothing of it in {table}: {before:?}"
        );
    }
    bench.age(&[id], 60 * DAY).await?;
    let rule = Retention::cancelled().rows_for(30 * DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 2);
    for gone in [id, child] {
        let after = mentions(&bench, &gone.to_string()).await?;
        let after: Vec<_> = after
            .iter()
            .filter(|(table, _)| !STAY.contains(&table.as_str()))
            .collect();
        ensure!(after.is_empty(), "{gone} is still in {after:?}");
    }
    bench.check().await
}

async fn a_key_outlives_its_intent_until_its_time_is_over(bench: Bench) -> Result<()> {
    let order = async |what: &str| {
        bench
            .intendant
            .request(Job(what.into()))
            .key("order-7")
            .await
    };
    let first = order("done").await?;
    let by_sql = match bench.database.kind {
        StoreKind::Sqlite => {
            "insert into @request (kind, input, key) values ('job', '\"sql\"', 'order-8')"
        }
        StoreKind::Postgres => "select @request('job', input => '\"sql\"', key => 'order-8')",
    };
    bench.run_sql(by_sql).await?;
    let listed = bench.intendant.list(IntentFilter::default()).await?;
    let ids: Vec<IntentId> = listed.iter().map(|one| one.id).collect();
    bench.carry_out(&ids).await?;
    bench.age(&ids, 2 * DAY).await?;
    let rule = Retention::succeeded().rows_for(DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 2);
    // Asked for again, it is still the same one, which has been done; nothing is done twice.
    let again = order("done").await?;
    ensure!(again.id() == first.id());
    let error = again.output().await.err().context("there is an output")?;
    ensure!(
        matches!(error, Error::NotFound { id } if id == first.id()),
        "{error}"
    );
    let other = order("another").await.err().context("the key is free")?;
    ensure!(matches!(other, Error::KeyConflict { .. }), "{other}");
    bench.run_sql(by_sql).await?;
    let sql = bench
        .intendant
        .request(Job("sql".into()))
        .key("order-8")
        .await?;
    ensure!(ids.contains(&sql.id()));
    ensure!(bench.number("select count(*) from @intent").await? == 0);
    // When its time is over the key is free, and goes.
    let month = match bench.database.kind {
        StoreKind::Sqlite => "2678400000000",
        StoreKind::Postgres => "interval '31 days'",
    };
    bench
        .run_sql(&format!(
            "update @key set expires_at = expires_at - {month}"
        ))
        .await?;
    bench.intendant.remove_old().await?;
    ensure!(bench.number("select count(*) from @key").await? == 0);
    ensure!(order("done").await?.id() != first.id());
    bench.check().await
}

async fn an_input_of_null_is_not_taken_for_one_that_was_removed(bench: Bench) -> Result<()> {
    let ask = |input: &str| match bench.database.kind {
        StoreKind::Sqlite => {
            format!("insert into @request (kind, input, key) values ('job', '{input}', 'k')")
        }
        StoreKind::Postgres => format!("select @request('job', input => '{input}', key => 'k')"),
    };
    bench.run_sql(&ask("null")).await?;
    bench.run_sql(&ask("null")).await?;
    let other = bench.run_sql(&ask("7")).await.err();
    let other = other.context("it is taken for the same")?.to_string();
    ensure!(other.contains("was used for another request"), "{other}");
    Ok(())
}

async fn what_never_ran_goes_too(bench: Bench) -> Result<()> {
    let id = bench.intendant.request(Job("never".into())).await?.id();
    bench.intendant.cancel(id, "ada", None).await?;
    bench.age(&[id], 2 * DAY).await?;
    let rule = Retention::cancelled().rows_for(DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 1);
    ensure!(bench.is_gone(id).await?);
    bench.check().await
}
