//! `intendant alerts`, as somebody on call reads it.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{AlertFilter, Cx, StepResult, Watch, Worker, snooze};
use intendant_tests::database::Database;

use crate::{Resize, Via, run, stderr, stdout};

async fn alerts(via: Via) -> Result<()> {
    let (database, intendant) = Database::open(via.store()).await?;
    let door = &via.door(&database).await?;
    let none = run(door, &["alerts"])?;
    ensure!(
        none.status.success() && none.stdout.is_empty() && stderr(&none) == "no alerts\n",
        "{none:?}"
    );
    let request = intendant.request(Resize {
        account: "acme".into(),
        server: 1,
    });
    let late = request.deadline_in(Duration::from_millis(1)).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let step =
        async |_: Cx<()>, _: Resize| -> StepResult<u64> { Err(snooze(Duration::from_secs(60))) };
    let worker = Worker::new(&intendant, ())
        .lease(Duration::from_secs(1))
        .watch(Watch::default().every(Duration::ZERO))
        .register_step::<Resize, u64, _>(step);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    while intendant.alerts(AlertFilter::default()).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send(()).ok();
    worker.await??;

    let id = late.id().to_string();
    let said = stdout(&run(door, &["alerts"])?);
    ensure!(
        said.starts_with("intent deadline: `server.resize` was to be done by ")
            && said.lines().count() == 1
            && said.contains(&id),
        "{said}"
    );
    let words = [
        "alerts",
        "--intent",
        &id,
        "--kind",
        "intent deadline",
        "--json",
    ];
    let json: serde_json::Value = serde_json::from_slice(&run(door, &words)?.stdout)?;
    ensure!(
        json[0]["kind"] == "intent deadline" && json[0]["intent"] == id.as_str(),
        "{json}"
    );
    ensure!(
        json[0]["resolved_at"].is_null() && json[0]["count"] == 1,
        "{json}"
    );
    let other = run(door, &["alerts", "--kind", "worker gone", "--json"])?;
    ensure!(stdout(&other) == "[]\n", "{other:?}");
    let wrong = run(door, &["alerts", "--kind", "trouble"])?;
    ensure!(
        wrong.status.code() == Some(2) && stderr(&wrong).contains("is not a kind of alerts"),
        "{wrong:?}"
    );
    intendant.cancel(late.id(), "ada", None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_listed_on_sqlite() -> Result<()> {
    alerts(Via::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_listed_on_postgres() -> Result<()> {
    alerts(Via::Postgres).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_listed_at_a_server() -> Result<()> {
    alerts(Via::Server).await
}
