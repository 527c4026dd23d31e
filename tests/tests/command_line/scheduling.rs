//! `intendant schedule`: what people see of schedules, and do with them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, Schedule, StepResult, TickState, Worker};
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};

use crate::{Via, run, stderr, stdout};

#[derive(Serialize, Deserialize)]
struct CloseMonth;

impl Intent for CloseMonth {
    const KIND: &'static str = "month.close";
    type Output = ();
}

async fn close(_: Cx<()>, _: CloseMonth) -> StepResult<()> {
    Ok(())
}

async fn schedules(via: Via) -> Result<()> {
    let (database, intendant) = Database::open(via.store()).await?;
    let door = &via.door(&database).await?;
    let none = run(door, &["schedule", "list"])?;
    ensure!(
        none.stdout.is_empty() && stderr(&none).starts_with("no schedules"),
        "{none:?}"
    );
    let unknown = run(door, &["schedule", "pause", "nobody"])?;
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

    let list = stdout(&run(door, &["schedule", "list"])?);
    ensure!(
        list.contains("0 6 1 * * (Europe/Stockholm)")
            && list.contains("month.close")
            && list.contains("runs"),
        "{list}"
    );
    let pause = run(
        door,
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
    let again = run(door, &["schedule", "pause", "close", "--by", "bob"])?;
    ensure!(stdout(&again) == "close is paused already\n", "{again:?}");
    let list = stdout(&run(door, &["schedule", "list"])?);
    ensure!(list.contains("paused by ada"), "{list}");
    let asked = run(door, &["schedule", "run", "close", "--by", "ada"])?;
    ensure!(
        stdout(&asked).starts_with("close is asked for, at "),
        "{asked:?}"
    );
    until(TickState::Requested).await?;
    let resumed = run(door, &["schedule", "resume", "close", "--by", "bob"])?;
    ensure!(stdout(&resumed) == "close goes on\n", "{resumed:?}");
    let ticks = stdout(&run(door, &["schedule", "ticks", "close"])?);
    ensure!(
        ticks.contains("requested ")
            && ticks.contains(", for ada")
            && ticks.contains("pause by ada: the books are open"),
        "{ticks}"
    );
    let json = stdout(&run(door, &["schedule", "list", "--json"])?);
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(
        json[0]["name"] == "close" && json[0]["latest"]["state"] == "requested",
        "{json}"
    );
    let early = run(door, &["schedule", "remove", "close"])?;
    ensure!(
        early.status.code() == Some(4) && stderr(&early).contains("a live worker declares it"),
        "{early:?}"
    );
    stop.send(()).ok();
    running.await??;

    let late = run(door, &["schedule", "run", "close"])?;
    ensure!(
        stderr(&late).contains("no live worker declares it"),
        "{late:?}"
    );
    let removed = run(door, &["schedule", "remove", "close"])?;
    ensure!(stdout(&removed) == "close is removed\n", "{removed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_change_schedules_on_sqlite() -> Result<()> {
    schedules(Via::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_change_schedules_on_postgres() -> Result<()> {
    schedules(Via::Postgres).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_change_schedules_at_a_server() -> Result<()> {
    schedules(Via::Server).await
}
