//! The command line, as a process: what it prints, and its exit codes.

mod alerts;
mod looking;
mod measuring;
mod naming;
mod programs;
mod queueing;
mod refusals;
mod remote;
mod retaining;
mod scheduling;
mod seeing;
mod signalling;
mod tables;
mod verbs;
mod via;

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use intendant::{Cx, Intendant, Intent, Resources, StepResult, StoreKind, Worker, fail};
use intendant_tests::binary;
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};

use via::{At, Door, Via};

#[derive(Serialize, Deserialize)]
struct Resize {
    account: String,
    server: u64,
}

impl Intent for Resize {
    const KIND: &'static str = "server.resize";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

/// Longer than a line of a terminal.
const NO_SERVER: &str = "no such server: it was looked for in the rooms of Amsterdam, Bergen and Cádiz,\nand in the \
                         cellar, where there is only the old one that nobody dares to switch off; \u{1b}[2J name another one";

async fn resize(_: Cx<()>, intent: Resize) -> StepResult<u64> {
    if intent.server == 2 {
        Err(fail(NO_SERVER))
    } else {
        Ok(intent.server)
    }
}

fn run(at: &(impl At + ?Sized), words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary::path("intendant")?);
    command.env("RUST_BACKTRACE", "0");
    at.say(&mut command, words);
    Ok(command.output()?)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A database with one intent that succeeded and one that failed.
async fn with_history(kind: StoreKind) -> Result<(Database, String, String)> {
    let (database, intendant) = Database::open(kind).await?;
    let ask = async |server| {
        let request = intendant.request(Resize {
            account: "acme".into(),
            server,
        });
        request.by("ada").await
    };
    let (good, bad) = (ask(1).await?, ask(2).await?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).register_step(resize);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    good.output().await?;
    ensure!(bad.output().await.is_err());
    stop.send(()).ok();
    worker.await??;
    Ok((database, good.id().to_string(), bad.id().to_string()))
}

async fn looks_and_resumes(via: Via) -> Result<()> {
    let (database, good, bad) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;

    let list = run(door, &["list", "--state", "failed", "-o", "id"])?;
    ensure!(
        list.status.success() && stdout(&list) == format!("{bad}\n"),
        "{list:?}"
    );
    let table = stdout(&run(
        door,
        &["list", "--kind", "server.resize", "--account", "acme"],
    )?);
    ensure!(
        table.contains(&good) && table.contains("step failed in `run`: no such server"),
        "{table}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(door, &["list", "-o", "json"])?.stdout)?;
    ensure!(
        json.as_array()
            .is_some_and(|list| list.len() == 2 && list[0]["state"] == "failed")
    );

    let show = stdout(&run(door, &["show", &bad])?);
    ensure!(
        show.contains("resource     server:2 (exclusive)") && show.contains("requested by ada"),
        "{show}"
    );
    let shown: serde_json::Value =
        serde_json::from_slice(&run(door, &["show", &good, "-o", "json"])?.stdout)?;
    ensure!(
        shown["steps"][0]["name"] == "run" && shown["intent"]["output"] == 1,
        "{shown}"
    );
    let history = stdout(&run(door, &["history", "--account", "acme"])?);
    ensure!(
        history.lines().count() == 3 && history.contains("server.resize on server:1"),
        "{history}"
    );
    for (format, is_it) in [("json", bad.as_str()), ("jsonl", &bad), ("id", &bad)] {
        let history = stdout(&run(door, &["history", "--account", "acme", "-o", format])?);
        let first = history.find(is_it).unwrap_or(usize::MAX);
        ensure!(history.find(&good) > Some(first), "{format}: {history}");
    }
    let older = run(door, &["history", "--account", "acme", "--before", &good])?;
    ensure!(
        older.status.success() && older.stdout.is_empty() && stderr(&older) == "no older ones\n",
        "{older:?}"
    );
    let nobody = run(door, &["history", "--account", "nobody", "-o", "json"])?;
    ensure!(
        nobody.status.code() == Some(3)
            && nobody.stdout.is_empty()
            && stderr(&nobody) == "intendant: account `nobody` has no operations\n",
        "{nobody:?}"
    );

    let resume = run(
        door,
        &["resume", &bad, "--reason", "server made", "--by", "ada"],
    )?;
    ensure!(
        stdout(&resume) == format!("{bad} is back in line\n"),
        "{resume:?}"
    );
    ensure!(stdout(&run(door, &["show", &bad])?).contains("resume by ada: server made"));
    let again = run(door, &["resume", &good])?;
    ensure!(again.status.code() == Some(4), "{again:?}");
    let cancel = run(
        door,
        &["cancel", &bad, "--reason", "not needed", "--by", "ada"],
    )?;
    let expected = format!("{bad} is asked to stop, and will not succeed any more\n");
    ensure!(stdout(&cancel) == expected, "{cancel:?}");
    ensure!(stdout(&run(door, &["show", &bad])?).contains("cancel by ada: not needed"));
    ensure!(stdout(&run(door, &["why", &bad])?).contains("asked to stop by ada at "));
    let undoing = run(door, &["list", "--state", "undoing", "-o", "id"])?;
    ensure!(stdout(&undoing) == format!("{bad}\n"), "{undoing:?}");
    let both = run(door, &["cancel", &good, &bad])?;
    ensure!(
        both.status.code() == Some(4)
            && stdout(&both) == expected
            && stderr(&both).contains("only an unfinished intent can be cancelled"),
        "{both:?}"
    );
    let nobody = run(door, &["show", "01890000-0000-7000-8000-000000000000"])?;
    ensure!(nobody.status.code() == Some(3), "{nobody:?}");
    ensure!(run(&database.url, &["migrate", "status"])?.status.success());
    Ok(())
}

#[tokio::test]
async fn one_looks_at_history_and_resumes_on_sqlite() -> Result<()> {
    looks_and_resumes(Via::Sqlite).await
}

#[tokio::test]
async fn one_looks_at_history_and_resumes_on_postgres() -> Result<()> {
    looks_and_resumes(Via::Postgres).await
}

#[tokio::test]
async fn one_looks_at_history_and_resumes_at_a_server() -> Result<()> {
    looks_and_resumes(Via::Server).await
}

#[tokio::test]
async fn the_printed_statements_make_the_schema() -> Result<()> {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let database = Database::new(kind).await?;
        let flag: &[&str] = if kind == StoreKind::Postgres {
            &["--postgres"]
        } else {
            &[]
        };
        let output = Command::new(binary::path("intendant")?)
            .args(["migrate", "sql"])
            .args(flag)
            .output()?;
        let sql = sqlx::AssertSqlSafe(stdout(&output));
        match kind {
            StoreKind::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&format!("{}?mode=rwc", database.url)).await?;
                sqlx::raw_sql(sql).execute(&pool).await?;
                pool.close().await;
            }
            StoreKind::Postgres => {
                let pool = sqlx::PgPool::connect(&database.url).await?;
                sqlx::raw_sql(sql).execute(&pool).await?;
                pool.close().await;
            }
        }
        Intendant::connect(&database.url)
            .await?
            .request(Resize {
                account: "acme".into(),
                server: 1,
            })
            .await?;
    }
    Ok(())
}
