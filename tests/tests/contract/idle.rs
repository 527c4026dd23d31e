//! An idle worker leaves its database alone: three looks a second, and a heartbeat now and then. So does one that waits for slots
//! of a queue that has lent all, or for the next step that a queue's rate permits. And of a queue without a rate nothing is asked.

use anyhow::{Result, ensure};
use intendant_tests::binary;
use intendant_tests::idle::Counted;
use tokio::process::Command;

use crate::support::{Bench, on_both};

on_both! {
    an_idle_worker_asks_less_than_five_times_a_second;
}

async fn an_idle_worker_asks_less_than_five_times_a_second(bench: Bench) -> Result<()> {
    let mut worker = Command::new(binary::path("idle-worker")?);
    let output = worker.arg(&bench.database.url).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{output:?}");
    println!("{}: {said}", bench.database.kind.as_str());
    let counted: Counted = serde_json::from_str(&said)?;
    let seconds = counted.seconds;
    ensure!(counted.unlimited_budgets == 0, "{counted:?}");
    ensure!(counted.idle <= 5 * seconds, "{counted:?}");
    ensure!(counted.idle >= seconds, "the count moves: {counted:?}");
    // A look at a full queue is four statements, three or four times a second; housekeeping may fall into the time.
    ensure!(counted.full <= 20 * seconds, "{counted:?}");
    ensure!(counted.full_budgets > 0, "they are counted: {counted:?}");
    ensure!(counted.at_rate <= 8 * seconds, "{counted:?}");
    ensure!(counted.at_rate_budgets <= 3, "{counted:?}");
    bench.check().await
}
