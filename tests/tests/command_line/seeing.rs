//! `intendant top` and `intendant doctor`: what there is to do, and whether all is well.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, StepResult, Worker, snooze};
use intendant_tests::database::Database;
use intendant_tests::{binary, terminal};

use crate::{Resize, Via, run, stderr, stdout, with_history};

async fn tops(via: Via) -> Result<()> {
    let (database, intendant) = Database::open(via.store()).await?;
    let door = &via.door(&database).await?;
    let empty = run(door, &["top"])?;
    ensure!(
        stdout(&empty).ends_with("tasks: 0 ready, 0 running, 0 blocked, 0 parked; 0 workers\n"),
        "{empty:?}"
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let naps =
        async |_: Cx<()>, _: Resize| -> StepResult<u64> { Err(snooze(Duration::from_secs(60))) };
    let worker = Worker::new(&intendant, ())
        .name("w")
        .register_step::<Resize, u64, _>(naps);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let resize = Resize {
        account: "acme".into(),
        server: 1,
    };
    intendant.request(resize).await?;
    let parked = async {
        while intendant.unfinished().await?.parked == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), parked).await??;
    let top = stdout(&run(door, &["top", "--once"])?);
    ensure!(top.contains("1 parked; 1 worker\n"), "{top}");
    ensure!(
        top.contains("\nqueues\n") && top.contains("default: server.resize"),
        "{top}"
    );
    stop.send(()).ok();
    worker.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_what_there_is_to_do_on_sqlite() -> Result<()> {
    tops(Via::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_what_there_is_to_do_on_postgres() -> Result<()> {
    tops(Via::Postgres).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_what_there_is_to_do_at_a_server() -> Result<()> {
    tops(Via::Server).await
}

#[tokio::test]
async fn on_a_terminal_it_is_seen_again_and_again() -> Result<()> {
    let (database, _, bad) = with_history(Via::Sqlite.store()).await?;
    let program = binary::path("intendant")?;
    let top = [
        &program.to_string_lossy(),
        "top",
        "--every",
        "1s",
        "--database-url",
        &database.url,
    ];
    let ends = ["--foreground", "--preserve-status", "-s", "INT", "8"];
    let shown = terminal::run(100, "timeout".as_ref(), &[&ends[..], &top].concat())?;
    // The other screen and back; in between it is drawn several times, each time in place.
    ensure!(
        shown.contains("\u{1b}[?1049h") && shown.contains("\u{1b}[?1049l"),
        "{shown:?}"
    );
    ensure!(shown.matches("\u{1b}[H").count() >= 3, "{shown:?}");
    ensure!(
        shown.contains(&bad[..13]) && shown.contains("Ctrl-C ends it"),
        "{shown:?}"
    );
    Ok(())
}

async fn doctors(via: Via) -> Result<()> {
    let (database, ..) = with_history(via.store()).await?;
    let url = database.url.as_str();
    let well = run(url, &["doctor", "--rows"])?;
    let said = stdout(&well);
    // The tests' PostgreSQL is not to survive anything, and that is found out.
    let is_durable = via == Via::Sqlite;
    ensure!(well.status.success() == is_durable, "{well:?}");
    ensure!(said.contains("set fsync to on") != is_durable, "{said}");
    for line in [
        "well",
        "all in place",
        "none, and nothing to do",
        "nothing is there that must never be",
    ] {
        ensure!(said.contains(line), "{line}: {said}");
    }
    ensure!(said.contains("1 failed, 1 of them server.resize"), "{said}");
    let intendant = database.connect().await?;
    let resize = Resize {
        account: "acme".into(),
        server: 3,
    };
    intendant.request(resize).await?;
    let sick = run(url, &["doctor"])?;
    ensure!(
        sick.status.code() == Some(1)
            && stdout(&sick).contains("none is alive, and 1 task to be done"),
        "{sick:?}"
    );
    let json: serde_json::Value = serde_json::from_slice(&run(url, &["doctor", "--json"])?.stdout)?;
    let found = json.as_array().into_iter().flatten();
    ensure!(
        found
            .filter(|finding| finding["level"] == "trouble" && finding["subject"] != "durability")
            .count()
            == 2,
        "{json:#}"
    );
    let bare = Database::new(via.store()).await?;
    if via == Via::Sqlite {
        let none = run(bare.url.as_str(), &["doctor"])?;
        ensure!(none.status.code() == Some(5), "{none:?}");
        let path = bare.url.trim_start_matches("sqlite://");
        std::fs::write(path, "")?;
    }
    let bare = run(bare.url.as_str(), &["doctor"])?;
    ensure!(
        bare.status.code() == Some(1) && stdout(&bare).contains("intendant migrate up"),
        "{bare:?}"
    );
    let nowhere = run("postgres://nobody@127.0.0.1:1/none", &["doctor"])?;
    ensure!(
        nowhere.status.code() == Some(5) && !stderr(&nowhere).is_empty(),
        "{nowhere:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_doctor_says_what_is_wrong_on_sqlite() -> Result<()> {
    doctors(Via::Sqlite).await
}

#[tokio::test]
async fn a_doctor_says_what_is_wrong_on_postgres() -> Result<()> {
    doctors(Via::Postgres).await
}
