//! Tables fit the terminal that they are on, and are whole where there is none.

use anyhow::{Context, Result, ensure};
use intendant::{Cx, Intent, Node, Plan, StepResult, StoreKind, Worker, fail, value};
use intendant_tests::database::Database;
use intendant_tests::{binary, terminal};
use serde::{Deserialize, Serialize};

use crate::{Via, run, stdout, with_history};

const COLUMNS: usize = 80;

#[tokio::test]
async fn a_table_fits_its_terminal_and_is_whole_elsewhere() -> Result<()> {
    let (database, good, bad) = with_history(StoreKind::Sqlite).await?;
    let url = database.url.as_str();
    let intendant = binary::path("intendant")?;
    for words in [vec!["list"], vec!["history", "--account", "acme"]] {
        let words: Vec<_> = words.into_iter().chain(["--database-url", url]).collect();
        let shown = terminal::run(COLUMNS, &intendant, &words)?;
        let rows: Vec<_> = shown
            .lines()
            .filter(|line| line.contains("acme") || line.contains("server"))
            .collect();
        ensure!(rows.len() == 2, "one line a row:\n{shown}");
        for line in shown.lines() {
            ensure!(line.chars().count() <= COLUMNS, "{line}");
            let is_rule = line
                .chars()
                .any(|c| "─═-+|".contains(c) && line.matches(c).count() > 8);
            ensure!(!is_rule, "{line}");
        }
        ensure!(!shown.contains(&bad) && shown.contains('…'), "{shown}");

        // What is shown of an id is enough to name it.
        let short = bad.get(..13).context("an id")?;
        if shown.matches(short).count() == 1 {
            let show = run(url, &["show", short, "-o", "id"])?;
            ensure!(stdout(&show) == format!("{bad}\n"), "{show:?}");
        }

        let whole = stdout(&run(url, &words[..words.len() - 2])?);
        ensure!(
            whole.contains(&good) && whole.contains(&bad) && whole.contains("name another one"),
            "{whole}"
        );
        ensure!(
            whole.lines().count() == 3 && !whole.contains('…'),
            "{whole}"
        );
        // What a step said is text, and clears nobody's screen.
        ensure!(
            !whole.contains('\u{1b}') && !shown.contains("\u{1b}[2J"),
            "{whole}"
        );
    }
    let show = terminal::run(COLUMNS, &intendant, &["show", &bad, "--database-url", url])?;
    let steps: Vec<_> = show
        .lines()
        .skip_while(|line| !line.starts_with("step "))
        .collect();
    ensure!(steps.len() > 1, "{show}");
    ensure!(
        steps
            .iter()
            .take(2)
            .all(|line| line.chars().count() <= COLUMNS),
        "{show}"
    );
    Ok(())
}

#[tokio::test]
async fn ages_are_for_people_and_times_for_programs() -> Result<()> {
    let (database, good, _) = with_history(StoreKind::Sqlite).await?;
    let url = database.url.as_str();
    let table = stdout(&run(url, &["list"])?);
    ensure!(
        table
            .lines()
            .skip(1)
            .all(|line| line.contains(" ago ") || line.contains("just now")),
        "{table}"
    );
    let document: serde_json::Value =
        serde_json::from_slice(&run(url, &["show", &good, "-o", "json"])?.stdout)?;
    for at in [
        &document["intent"]["requested_at"],
        &document["steps"][0]["started_at"],
    ] {
        let at = at.as_str().context("a time")?;
        ensure!(
            at.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(at).is_ok(),
            "{at}"
        );
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Migrate;

impl Intent for Migrate {
    const KIND: &'static str = "database.migrate";
    type Output = u64;
}

async fn copy(_: Cx<()>, rows: u64) -> StepResult<u64> {
    Ok(rows)
}

async fn switch(_: Cx<()>, _: u64) -> StepResult<u64> {
    Err(fail("the replica lags behind"))
}

fn migrate(_: &Migrate, plan: &mut Plan<()>) -> Node<u64> {
    let copied = plan.step("copy", copy).input(value(7u64));
    let switched = plan.step("switch", switch).input(copied);
    plan.step("drop", copy).input(switched)
}

/// What has not begun is part of the plan as well; what failed before a resume is not failing now.
async fn show_tells_the_whole_plan(via: Via) -> Result<()> {
    let (database, intendant) = Database::open(via.store()).await?;
    let handle = intendant.request(Migrate).await?;
    let id = handle.id().to_string();
    let door = &via.door(&database).await?;
    let told = || -> Result<Vec<(String, String, bool)>> {
        let output = run(door, &["show", &id, "-o", "json"])?;
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let steps = document["steps"].as_array().context("steps")?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        Ok(steps
            .iter()
            .map(|step| {
                (
                    text(&step["name"]),
                    text(&step["state"]),
                    step["error"].is_null(),
                )
            })
            .collect())
    };
    ensure!(told()?.is_empty(), "nobody has planned it yet");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).register(migrate);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    ensure!(handle.output().await.is_err());
    stop.send(()).ok();
    worker.await??;

    let step = |name: &str, state: &str, is_well| (name.to_owned(), state.to_owned(), is_well);
    let (copied, dropped) = (
        step("copy", "succeeded", true),
        step("drop", "pending", true),
    );
    ensure!(
        told()?
            == [
                copied.clone(),
                step("switch", "failed", false),
                dropped.clone()
            ]
    );
    let table = stdout(&run(door, &["show", &id])?);
    ensure!(
        table
            .lines()
            .any(|line| line.split_whitespace().eq(["drop", "pending"])),
        "{table}"
    );
    ensure!(run(door, &["resume", &id])?.status.success());
    let steps = told()?;
    ensure!(
        steps == [copied, step("switch", "pending", true), dropped],
        "{steps:?}"
    );
    let table = stdout(&run(door, &["show", &id])?);
    let attempt =
        "attempt 1 at `switch` failed (gave up): the replica lags behind; not tried again";
    ensure!(
        table.matches("lags behind").count() == 1 && table.contains(attempt),
        "{table}"
    );
    Ok(())
}

#[tokio::test]
async fn show_tells_the_whole_plan_on_sqlite() -> Result<()> {
    show_tells_the_whole_plan(Via::Sqlite).await
}

#[tokio::test]
async fn show_tells_the_whole_plan_on_postgres() -> Result<()> {
    show_tells_the_whole_plan(Via::Postgres).await
}

#[tokio::test]
async fn show_tells_the_whole_plan_at_a_server() -> Result<()> {
    show_tells_the_whole_plan(Via::Server).await
}
