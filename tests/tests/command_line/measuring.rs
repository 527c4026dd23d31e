//! The benchmark runs, every workload on both stores, and leaves nothing behind. What it measures is for other days.

use anyhow::{Context, Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;

use crate::{run, stderr, stdout};

async fn every_workload_is_measured(kind: StoreKind) -> Result<()> {
    let (database, intendant) = Database::open(kind).await?;
    intendant.close().await;
    for (workload, steps) in [
        ("single", 50),
        ("chain", 150),
        ("fan", 600),
        ("exclusive", 50),
        ("request", 0),
        ("bulk", 0),
        ("latency", 50),
        ("floor", 150),
    ] {
        let words = [
            "bench",
            workload,
            "--intents",
            "50",
            "--runs",
            "1",
            "--json",
        ];
        let output = run(&database.url, &words)?;
        ensure!(output.status.success(), "{workload}: {}", stderr(&output));
        let report: serde_json::Value = serde_json::from_str(&stdout(&output))?;
        ensure!(
            report["workload"] == workload && report["store"] == kind.as_str(),
            "{report}"
        );
        ensure!(report["steps"] == steps, "{report}");
        ensure!(
            report["intents_per_s"].as_f64().context("a rate")? > 0.0,
            "{report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_workload_is_measured_on_sqlite() -> Result<()> {
    every_workload_is_measured(StoreKind::Sqlite).await
}

#[tokio::test]
async fn every_workload_is_measured_on_postgres() -> Result<()> {
    every_workload_is_measured(StoreKind::Postgres).await
}

async fn other_circumstances_are_measured(kind: StoreKind) -> Result<()> {
    let (database, intendant) = Database::open(kind).await?;
    intendant.close().await;
    for more in [
        ["--history", "300"],
        ["--processes", "2"],
        ["--snapshot", "--workers=2"],
        ["--limited", "slots"],
        ["--limited", "rate"],
        ["--limited", "turns"],
        ["--limited", "cap"],
    ] {
        let mut words = vec![
            "bench",
            "single",
            "--intents",
            "50",
            "--runs",
            "1",
            "--json",
        ];
        words.extend(more);
        let output = run(&database.url, &words)?;
        ensure!(output.status.success(), "{more:?}: {}", stderr(&output));
        let report: serde_json::Value = serde_json::from_str(&stdout(&output))?;
        ensure!(report["compared"]["with"] == "single", "{report}");
        ensure!(
            report["compared"]["ratio"].as_f64().context("a ratio")? > 0.0,
            "{report}"
        );
    }
    let output = run(&database.url, &["bench", "bulk", "--snapshot"])?;
    ensure!(output.status.code() == Some(2), "{}", stderr(&output));
    Ok(())
}

#[tokio::test]
async fn other_circumstances_are_measured_on_sqlite() -> Result<()> {
    other_circumstances_are_measured(StoreKind::Sqlite).await
}

#[tokio::test]
async fn other_circumstances_are_measured_on_postgres() -> Result<()> {
    other_circumstances_are_measured(StoreKind::Postgres).await
}

#[tokio::test]
async fn the_latency_between_two_processes_is_measured() -> Result<()> {
    let (database, intendant) = Database::open(StoreKind::Sqlite).await?;
    intendant.close().await;
    let words = [
        "bench",
        "latency",
        "--apart",
        "--intents",
        "5",
        "--runs",
        "1",
        "--json",
    ];
    let output = run(&database.url, &words)?;
    ensure!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(&stdout(&output))?;
    ensure!(
        report["latency_ms"]["p50"].as_f64().context("a latency")? > 0.0,
        "{report}"
    );
    Ok(())
}
