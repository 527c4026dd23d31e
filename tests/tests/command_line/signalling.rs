//! `intendant signal`: a message for a step that waits.

use anyhow::{Result, ensure};
use intendant::{Cx, Intendant, Intent, Node, Plan, StepResult, Worker};
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};

use crate::{Via, run, stderr, stdout};

#[derive(Serialize, Deserialize)]
struct Invoice;

impl Intent for Invoice {
    const KIND: &'static str = "invoice";
    type Output = u64;
}

#[derive(Serialize, Deserialize)]
struct Approval {
    cents: u64,
}

async fn cents(_: Cx<()>, approval: Approval) -> StepResult<u64> {
    Ok(approval.cents)
}

fn approved(_: &Invoice, plan: &mut Plan<()>) -> Node<u64> {
    let approval = plan.signal::<Approval>("approve").input(());
    plan.step("cents", cents).input(approval)
}

async fn signals(via: Via) -> Result<()> {
    let (database, intendant): (Database, Intendant) = Database::open(via.store()).await?;
    let door = &via.door(&database).await?;
    let handle = intendant.request(Invoice).await?;
    let id = handle.id().to_string();
    let send = |json: &str, more: &[&str]| {
        let words = [&["signal", id.as_str(), "approve", json], more].concat();
        run(door, &words)
    };
    let sent = send(r#"{"cents": 50}"#, &["--key", "click", "--by", "ada"])?;
    ensure!(
        stdout(&sent) == format!("{id}  `approve` is sent\n"),
        "{sent:?}"
    );
    let again = send(r#"{"cents": 50}"#, &["--key", "click"])?;
    let expected = format!("{id}  `approve` was sent with this key before; it counts once\n");
    ensure!(stdout(&again) == expected, "{again:?}");
    let shown = stdout(&run(door, &["show", &id])?);
    ensure!(shown.contains("`approve` by ada: not taken yet"), "{shown}");
    let garbage = send("{cents", &[])?;
    ensure!(
        garbage.status.code() == Some(2) && stderr(&garbage).contains("not JSON"),
        "{garbage:?}"
    );

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).register(approved);
    let running = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    ensure!(handle.output().await? == 50);
    let shown = stdout(&run(door, &["show", &id])?);
    ensure!(
        shown.contains("`approve` by ada: taken by `approve`"),
        "{shown}"
    );
    let late = send("1", &[])?;
    ensure!(
        !late.status.success() && stderr(&late).contains("it is succeeded"),
        "{late:?}"
    );
    stop.send(()).ok();
    running.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sends_a_message_on_sqlite() -> Result<()> {
    signals(Via::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sends_a_message_on_postgres() -> Result<()> {
    signals(Via::Postgres).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sends_a_message_at_a_server() -> Result<()> {
    signals(Via::Server).await
}
