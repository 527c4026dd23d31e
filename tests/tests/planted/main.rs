//! Planted bugs: for each rule that can be switched off there is a suite that fails without it. One that has never failed shows nothing;
//! here it has to, and if it passes with a bug, this test fails.
//!
//! ```sh
//! cargo test --workspace --test planted -- --nocapture                            # the quickest suite for each bug
//! INTENDANT_TEST_SCALE=full cargo test --workspace --test planted -- --nocapture  # all that are known to find it
//! INTENDANT_PLANTED_BUG=key-checked-then-inserted cargo test --workspace --test planted -- --nocapture   # one
//! ```

mod finders;

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use finders::Finder;
use intendant::testing::planted::{BUGS, Bug, VARIABLE};
use intendant_tests::binary;
use intendant_tests::tell;
use tokio::process::Command;
use tokio::sync::Semaphore;

/// So long may a suite take to find a bug. One that hangs has found nothing.
const PATIENCE: Duration = Duration::from_secs(240);

/// What became of one bug in one suite.
struct Row {
    bug: &'static Bug,
    finder: &'static Finder,
    is_found: bool,
    /// The first test that failed.
    by: Option<String>,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_bug_is_found() -> Result<()> {
    let is_full = std::env::var("INTENDANT_TEST_SCALE").is_ok_and(|scale| scale == "full");
    let one = std::env::var(VARIABLE).ok();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // They mostly wait, as the tests do.
    let turns = Arc::new(Semaphore::new(2 * cores));
    let mut runs = Vec::new();
    for bug in BUGS
        .iter()
        .filter(|bug| one.is_none() || one.as_deref() == Some(bug.name))
    {
        let finders =
            finders::of(bug.name).with_context(|| format!("nobody finds {}", bug.name))?;
        let most = if is_full { finders.len() } else { 1 };
        for finder in &finders[..most] {
            let suite = binary::suite(finder.suite)?;
            let turns = turns.clone();
            runs.push(tokio::spawn(async move {
                let _turn = turns.acquire_owned().await?;
                run(bug, finder, &suite).await
            }));
        }
    }
    let mut missed = Vec::new();
    tell!(
        "{:28} {:14} {:>6}  the first test that fails",
        "bug",
        "suite",
        "after"
    );
    for run in runs {
        let row = run.await??;
        let by = row.by.as_deref().unwrap_or("-");
        let took = format!("{:.1} s", row.took.as_secs_f64());
        tell!(
            "{:28} {:14} {took:>6}  {by}",
            row.bug.name,
            row.finder.suite
        );
        if !row.is_found {
            missed.push(format!(
                "{} by {}: {}",
                row.bug.name, row.finder.suite, row.bug.wrong
            ));
        }
    }
    ensure!(missed.is_empty(), "not found: {missed:#?}");
    Ok(())
}

/// Runs a suite, or a part of it, with a bug.
async fn run(bug: &'static Bug, finder: &'static Finder, suite: &std::path::Path) -> Result<Row> {
    let begun = Instant::now();
    let mut command = Command::new(suite);
    command.args(finder.tests).env(VARIABLE, bug.name);
    command.env("INTENDANT_SIMULATION_FROM", finder.seed.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.with_context(|| format!("{}: {} hangs", bug.name, finder.suite))??;
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = said
        .lines()
        .filter_map(|line| line.strip_suffix(" ... FAILED"));
    let by = failed.filter_map(|line| line.strip_prefix("test ")).next();
    Ok(Row {
        bug,
        finder,
        is_found: by.is_some() && said.contains("test result: FAILED"),
        by: by.map(str::to_owned),
        took: begun.elapsed(),
    })
}
