//! Dry runs: what an intent would be if it were asked for now; and the drawing of a plan that there is.

use anyhow::{Context, Result, ensure};
use expect_test::expect;
use intendant::{
    Cx, Error, Intent, IntentState, Node, Plan, Resources, StepResult, StoreKind, Worker, fail,
    value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    a_dry_run_tells_the_plan_and_whom_it_would_wait_for;
    a_dry_run_writes_nothing;
    what_has_no_plan_is_told_by_a_dry_run;
    the_plan_of_an_intent_is_drawn_with_its_states;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Resize {
    server: u64,
    sound: bool,
}

impl Intent for Resize {
    const KIND: &'static str = "server.resize";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some("acme")
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
            .and_shared("rack", 3)
            .and_touched("environment", 7)
    }
}

async fn stop(_: Cx<()>, server: u64) -> StepResult<u64> {
    Err(fail(format!("server {server} does not stop")))
}

async fn resize(_: Cx<()>, server: u64) -> StepResult<u64> {
    Ok(server)
}

fn plan(intent: &Resize, plan: &mut Plan<()>) -> Result<Node<u64>, String> {
    if intent.server == 0 {
        return Err("there is no server 0".to_owned());
    }
    let stopped = plan.step("stop", stop).input(value(intent.server));
    let copied = plan.step("copy", resize).input(value(intent.server));
    if !intent.sound {
        plan.step("circle", resize)
            .after("circle")
            .input(value(1u64));
    }
    Ok(plan.step("start", resize).after(copied).input(stopped))
}

fn on(server: u64) -> Resize {
    Resize {
        server,
        sound: true,
    }
}

/// One that has failed and keeps `server:42`, and one that waits for it.
async fn in_each_others_way(bench: &Bench) -> Result<Vec<(&'static str, String)>> {
    let worker = start(bench.worker(()).register(plan));
    let broken = bench.intendant.request(on(42)).by("ada").await?.id();
    bench.rest(broken).await?;
    let next = bench.intendant.request(on(42)).by("bob").await?.id();
    bench.reach(next, IntentState::Blocked).await?;
    worker.stop().await?;
    Ok(vec![
        ("BROKEN", broken.to_string()),
        ("NEXT", next.to_string()),
    ])
}

fn planner(bench: &Bench) -> Worker<()> {
    bench.worker(()).register(plan)
}

async fn a_dry_run_tells_the_plan_and_whom_it_would_wait_for(bench: Bench) -> Result<()> {
    let names = in_each_others_way(&bench).await?;
    let dry_run = planner(&bench).plan(&on(42)).await?;
    let mut told = dry_run.to_string();
    for (name, id) in &names {
        told = told.replace(id, name);
    }
    let told = mask_times(&told);
    expect![[r#"
        server.resize for acme, in queue `default`

        plan
          stop
          copy
          start  after stop, copy  (its output is the intent's)

        resources
          server:42 (exclusive): would be 2nd in line for server:42; held by server.resize BROKEN (failed since TIME, by ada); before it: server.resize NEXT (blocked, requested TIME, by bob)
          rack:3 (shared): free
          environment:7 (touched): only recorded

        now
          no live worker serves queue `default`

        limits
          3 of 10000 steps
          2 of 1000 steps one after the other
          3 of 100 resources
          26 of 1048576 bytes of input
    "#]]
    .assert_eq(&told);
    let json = serde_json::to_value(&dry_run)?;
    ensure!(json["graph"]["steps"][2]["after"][1] == "copy", "{json:#}");
    ensure!(
        json["resources"][0]["behind"]["reason"] == "in_line",
        "{json:#}"
    );
    ensure!(json["resources"][1]["behind"].is_null(), "{json:#}");
    // Another server is free, and with a worker there is nothing to wait for.
    let worker = start(bench.worker(()).register(plan));
    bench
        .until(|| async {
            let dry_run = planner(&bench).plan(&on(7)).await?;
            let free = dry_run
                .resources
                .iter()
                .all(|wanted| wanted.behind.is_none());
            Ok((free && dry_run.waits.is_empty()).then_some(()))
        })
        .await?;
    worker.stop().await?;
    Ok(())
}

/// `TIME` for every time to the second.
fn mask_times(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        masked.push_str(before);
        let is_time = from
            .get(..20)
            .is_some_and(|time| chrono::DateTime::parse_from_rfc3339(time).is_ok());
        let (said, taken) = if is_time { ("TIME", 20) } else { ("20", 2) };
        masked.push_str(said);
        rest = &from[taken..];
    }
    masked + rest
}

/// Every row of every table of the engine.
async fn everything(bench: &Bench) -> Result<Vec<(String, String)>> {
    let mut tables = Vec::new();
    match bench.database.kind {
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            let names: Vec<String> = sqlx::query_scalar(
                "select tablename::text from pg_tables where schemaname = 'intendant' order by 1",
            )
            .fetch_all(&pool)
            .await?;
            for name in names {
                let rows = format!(
                    "select coalesce(string_agg(t::text, ';' order by t::text), '') from intendant.{name} t"
                );
                let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(rows))
                    .fetch_one(&pool)
                    .await?;
                tables.push((name, rows));
            }
            pool.close().await;
        }
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            let names: Vec<String> = sqlx::query_scalar(
                "select name from sqlite_master where type = 'table' and name like 'intendant%' order by 1",
            )
            .fetch_all(&pool)
            .await?;
            for name in names {
                let columns: Vec<String> = sqlx::query_scalar(
                    "select 'quote(\"' || name || '\")' from pragma_table_info(?)",
                )
                .bind(&name)
                .fetch_all(&pool)
                .await?;
                let row = columns.join(" || ',' || ");
                let rows = format!(
                    "select coalesce(group_concat(r, ';'), '') from (select {row} as r from {name} order by r)"
                );
                let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(rows))
                    .fetch_one(&pool)
                    .await?;
                tables.push((name, rows));
            }
            pool.close().await;
        }
    }
    Ok(tables)
}

async fn a_dry_run_writes_nothing(bench: Bench) -> Result<()> {
    in_each_others_way(&bench).await?;
    let before = everything(&bench).await?;
    let filled = before.iter().filter(|(_, rows)| !rows.is_empty()).count();
    ensure!(
        before.len() >= 18 && filled >= 6,
        "{filled} of {}",
        before.len()
    );
    let worker = planner(&bench);
    for server in [42, 7, 42] {
        worker.plan(&on(server)).await?;
    }
    ensure!(worker.plan(&on(0)).await.is_err());
    ensure!(everything(&bench).await? == before);
    Ok(())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Other;

impl Intent for Other {
    const KIND: &'static str = "other";
    type Output = ();
}

async fn what_has_no_plan_is_told_by_a_dry_run(bench: Bench) -> Result<()> {
    let worker = planner(&bench);
    let error = worker.plan(&Other).await.err().context("an error")?;
    ensure!(
        matches!(error, Error::Setup(_))
            && error.to_string() == "this worker has no plan for kind `other`; register one",
        "{error}"
    );
    let error = worker.plan(&on(0)).await.err().context("an error")?;
    ensure!(error.is_usage(), "{error:?}");
    expect!["kind `server.resize` has no plan for this input: the plan function failed: there is no server 0"]
        .assert_eq(&error.to_string());
    let circle = Resize {
        server: 1,
        sound: false,
    };
    let error = worker.plan(&circle).await.err().context("an error")?;
    expect![
        "kind `server.resize` has no plan for this input: these steps wait for each other: circle"
    ]
    .assert_eq(&error.to_string());
    Ok(())
}

async fn the_plan_of_an_intent_is_drawn_with_its_states(bench: Bench) -> Result<()> {
    let id = bench.intendant.request(on(1)).await?.id();
    ensure!(
        bench.intendant.graph(id).await?.is_none(),
        "nobody has planned it yet"
    );
    let worker = start(bench.worker(()).register(plan));
    bench.rest(id).await?;
    worker.stop().await?;
    let graph = bench.intendant.graph(id).await?.context("a plan")?;
    expect![[r#"
        stop   failed
        copy   succeeded
        start  pending    after stop, copy  (its output is the intent's)
    "#]]
    .assert_eq(&graph.text());
    let nobody = "01890000-0000-7000-8000-000000000000".parse()?;
    let error = bench.intendant.graph(nobody).await.err();
    ensure!(error.is_some_and(|error| error.is_not_found()));
    Ok(())
}
