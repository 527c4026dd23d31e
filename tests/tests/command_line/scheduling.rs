//! `intendant schedule`: what people see of schedules, and do with them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, Schedule, StepResult, StoreKind, TickState, Worker};
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};

use crate::{run, stderr, stdout};

#[derive(Serialize, Deserialize)]
struct CloseMonth;

impl Intent for CloseMonth {
    const KIND: &'static str = "month.close";
    type Output = ();
}

async fn close(_: Cx<()>, _: CloseMonth) -> StepResult<()> {
    Ok(())
}

async fn schedules(kind: StoreKind) -> Result<()> {
    let (database, intendant) = Database::open(kind).await?;
    let url = database.url.as_str();
    let none = run(url, &["schedule", "list"])?;
    ensure!(
        none.stdout.is_empty() && stderr(&none).starts_with("no schedules"),
        "{none:?}"
    );
    let unknown = run(url, &["schedule", "pause", "nobody"])?;
    ensure!(unknown.status.code() == Some(3), "{unknown:?}");

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let first = Schedule::cron("close", "0 6 1 * *").in_zone("Europe/Stockholm");
    let worker = Worker::new(&intendant, ())
        .poll(Duration::from_millis(10))
        .register_step(close)
        .schedule(first, |_| CloseMonth);
    let running = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let until = async |state: TickState| -> Result<()> {
        let start = Instant::now();
        loop {
            let known = intendant.schedules().await?;
            let ready = known.first().is_some_and(|schedule| {
                schedule.workers == 1
                    && (state == TickState::Asked
                        || schedule
                            .latest
                            .as_ref()
                            .is_some_and(|tick| tick.state == state))
            });
            if ready {
                return Ok(());
            }
            ensure!(start.elapsed() < Duration::from_secs(30), "{known:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(TickState::Asked).await?;

    let list = stdout(&run(url, &["schedule", "list"])?);
    ensure!(
        list.contains("0 6 1 * * (Europe/Stockholm)")
            && list.contains("month.close")
            && list.contains("runs"),
        "{list}"
    );
    let pause = run(
        url,
        &[
            "schedule",
            "pause",
            "close",
            "--by",
            "ada",
            "--reason",
            "the books\nare open",
        ],
    )?;
    ensure!(stdout(&pause) == "close is paused\n", "{pause:?}");
    let again = run(url, &["schedule", "pause", "close", "--by", "bob"])?;
    ensure!(stdout(&again) == "close is paused already\n", "{again:?}");
    let list = stdout(&run(url, &["schedule", "list"])?);
    ensure!(list.contains("paused by ada"), "{list}");
    let asked = run(url, &["schedule", "run", "close", "--by", "ada"])?;
    ensure!(
        stdout(&asked).starts_with("close is asked for, at "),
        "{asked:?}"
    );
    until(TickState::Requested).await?;
    let resumed = run(url, &["schedule", "resume", "close", "--by", "bob"])?;
    ensure!(stdout(&resumed) == "close goes on\n", "{resumed:?}");
    let ticks = stdout(&run(url, &["schedule", "ticks", "close"])?);
    ensure!(
        ticks.contains("requested ")
            && ticks.contains(", for ada")
            && ticks.contains("pause by ada: the books are open"),
        "{ticks}"
    );
    let json = stdout(&run(url, &["schedule", "list", "--json"])?);
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(
        json[0]["name"] == "close" && json[0]["latest"]["state"] == "requested",
        "{json}"
    );
    let early = run(url, &["schedule", "remove", "close"])?;
    ensure!(
        early.status.code() == Some(4) && stderr(&early).contains("a live worker declares it"),
        "{early:?}"
    );
    stop.send(()).ok();
    running.await??;

    let late = run(url, &["schedule", "run", "close"])?;
    ensure!(
        stderr(&late).contains("no live worker declares it"),
        "{late:?}"
    );
    let removed = run(url, &["schedule", "remove", "close"])?;
    ensure!(stdout(&removed) == "close is removed\n", "{removed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_change_schedules_on_sqlite() -> Result<()> {
    schedules(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_change_schedules_on_postgres() -> Result<()> {
    schedules(StoreKind::Postgres).await
}
