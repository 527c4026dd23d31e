//! `intendant bench`: measures the engine through its public API, every result recorded, on a database of its own.
//!
//! On PostgreSQL it makes a database beside the one that is named and drops it; on SQLite a file beside the one that is
//! named, which it removes.

mod measure;
mod place;
mod work;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

/// What to measure, and where.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// What to measure
    #[arg(value_enum)]
    workload: Workload,
    /// How many intents
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = at_least_one)]
    intents: usize,
    /// Most steps at once in each worker
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = at_least_one)]
    concurrency: usize,
    /// Workers, all in this process
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    workers: usize,
    /// Steps of a chain
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one)]
    steps: usize,
    /// Width of a fan
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    width: usize,
    /// How often to measure; the median run is told
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one)]
    runs: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: crate::cli::Database,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        Ok(_) | Err(_) => Err("expected a whole number from 1 up".to_owned()),
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Workload {
    /// One step each, all waiting when the clock starts
    Single,
    /// Steps one after the other, all intents waiting when the clock starts
    Chain,
    /// One step, many side by side, one that joins them; all intents waiting when the clock starts
    Fan,
    /// One at a time on an idle system: from the request to the start of its step
    Latency,
    /// Requests only, one by one from eight tasks
    Request,
}

/// The figures of the median run.
#[derive(Debug, Clone, Serialize)]
struct Report {
    workload: Workload,
    store: &'static str,
    durability: String,
    intents: usize,
    steps: usize,
    concurrency: usize,
    workers: usize,
    runs: usize,
    seconds: f64,
    intents_per_s: f64,
    steps_per_s: f64,
    latency_ms: Option<Percentiles>,
    wal_bytes_per_intent: Option<f64>,
    commits_per_intent: Option<f64>,
    peak_rss_bytes: Option<u64>,
    db_bytes_per_intent: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Percentiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Runs a benchmark and prints its figures.
pub async fn run(options: BenchOptions) -> Result<()> {
    let mut reports = Vec::new();
    // The first run warms up caches and the allocator, and is not counted.
    for run in 0..=options.runs {
        let report = measure::measure(&options).await?;
        if run > 0 {
            reports.push(report);
        }
    }
    reports.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let mut median = reports.swap_remove(reports.len() / 2);
    median.peak_rss_bytes = measure::peak_rss();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&median)?);
        return Ok(());
    }
    println!(
        "{:?} on {} ({}): {} intents, {} steps in {:.2} s: {:.0} intents/s, {:.0} steps/s (median of {} runs)",
        median.workload,
        median.store,
        median.durability,
        median.intents,
        median.steps,
        median.seconds,
        median.intents_per_s,
        median.steps_per_s,
        median.runs,
    );
    if let Some(latency) = median.latency_ms {
        println!(
            "latency: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms",
            latency.p50, latency.p95, latency.p99
        );
    }
    if let (Some(wal), Some(commits)) = (median.wal_bytes_per_intent, median.commits_per_intent) {
        println!("{wal:.0} bytes of WAL and {commits:.3} commits an intent");
    }
    println!(
        "{:.0} bytes of database an intent",
        median.db_bytes_per_intent
    );
    Ok(())
}
