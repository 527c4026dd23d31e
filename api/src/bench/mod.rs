//! `intendant bench`: measures the engine through its public API, every result recorded, on a database of its own.
//!
//! On PostgreSQL it makes a database beside the one that is named and drops it; on SQLite a file beside the one that is
//! named, which it removes.

mod floor;
mod latency;
mod measure;
mod place;
mod rows;
mod setting;
mod work;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use self::setting::Limited;

/// What to measure, and where.
#[derive(Debug, Clone, Args)]
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
    /// On how many resources, for `exclusive` [default: a quarter as many as intents]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    resources: Option<usize>,
    /// How often to measure; the median run is told
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one)]
    runs: usize,
    /// `latency`: the worker is another process
    #[arg(long)]
    apart: bool,
    /// Finished intents in the database beforehand; compared with an empty database
    #[arg(long, value_name = "N", default_value_t = 0)]
    history: usize,
    /// Retention removes the history meanwhile; compared with a history that stays
    #[arg(long, requires = "history")]
    removing: bool,
    /// Somebody holds a snapshot open from before the first run to the end of the last; compared with nobody
    #[arg(long)]
    snapshot: bool,
    /// Work in so many other processes instead of this one; compared with one
    #[arg(long, value_name = "N", default_value_t = 0)]
    processes: usize,
    /// Be such a process
    #[arg(long, hide = true, value_name = "URL")]
    worker_of: Option<String>,
    /// The queue has a limit that is never reached; compared with a queue without one
    #[arg(long, value_name = "slots|rate|turns|cap", hide_possible_values = true)]
    limited: Option<Limited>,
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
    /// Requests only, one by one from eight tasks; compared with bare inserts by eight clients
    Request,
    /// Requests only, all in one call; compared with bare SQL
    Bulk,
    /// One step each, for an account, with a key and one exclusive resource; compared with `single`
    Exclusive,
    /// The rows of a chain by bare SQL, without the engine; and the engine beside it
    Floor,
    /// Bare inserts
    #[value(skip)]
    Insert,
    /// Bare requests in bulk
    #[value(skip)]
    Load,
}

impl Workload {
    /// What is measured in turn with it.
    fn beside(self) -> Option<Self> {
        match self {
            Self::Request | Self::Latency => Some(Self::Insert),
            Self::Bulk => Some(Self::Load),
            Self::Exclusive => Some(Self::Single),
            Self::Floor => Some(Self::Chain),
            Self::Single | Self::Chain | Self::Fan | Self::Insert | Self::Load => None,
        }
    }
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
    /// By retention, meanwhile.
    removed: Option<u64>,
    /// In all runs, the first one too.
    removed_in_all: Option<u64>,
    compared: Option<Compared>,
}

/// What was measured in turn, in the same run.
#[derive(Debug, Clone, Serialize)]
struct Compared {
    with: Workload,
    intents_per_s: f64,
    latency_ms: Option<Percentiles>,
    /// The engine divided by what it is compared with; of `exclusive`, divided by `single`.
    ratio: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Percentiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Runs a benchmark and prints its figures.
pub async fn run(options: BenchOptions) -> Result<()> {
    if let Some(url) = &options.worker_of {
        return measure::worker(&options, url).await;
    }
    let setting = options.setting().await?;
    let place = setting.as_ref().map(|setting| &setting.place);
    // In other circumstances, the same in the usual ones; otherwise what the workload is to be compared with.
    let usual = options.usual();
    let beside = match setting {
        Some(_) => Some(options.workload),
        None if options.limited.is_some() => Some(options.workload),
        None => options.workload.beside(),
    };
    let (mut reports, mut others) = (Vec::new(), Vec::new());
    let mut removed_in_all = 0;
    // The first run warms up caches and the allocator, and is not counted.
    for run in 0..=options.runs {
        let report = measure::measure(&options, options.workload, place).await?;
        let other = match beside {
            Some(beside) => {
                // The same history, if it is to stay.
                let place = place.filter(|_| options.removing);
                Some(measure::measure(&usual, beside, place).await?)
            }
            None => None,
        };
        removed_in_all += report.removed.unwrap_or_default();
        if run > 0 {
            reports.push(report);
            others.extend(other);
        }
    }
    if let Some(setting) = setting {
        setting.place.remove().await?;
    }
    let Some(mut report) = median(reports) else {
        return Ok(());
    };
    report.compared = median(others).map(|other| compare(&report, other));
    report.peak_rss_bytes = measure::peak_rss();
    report.removed_in_all = report.removed.map(|_| removed_in_all);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        tell(&report);
    }
    Ok(())
}

fn median(mut reports: Vec<Report>) -> Option<Report> {
    reports.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = reports.len() / 2;
    reports.into_iter().nth(middle)
}

fn compare(report: &Report, other: Report) -> Compared {
    let ratio = report.intents_per_s / other.intents_per_s;
    Compared {
        with: other.workload,
        intents_per_s: other.intents_per_s,
        latency_ms: other.latency_ms,
        ratio: if report.workload == Workload::Floor {
            1.0 / ratio
        } else {
            ratio
        },
    }
}

fn tell(report: &Report) {
    println!(
        "{:?} on {} ({}): {} intents, {} steps in {:.2} s: {:.0} intents/s, {:.0} steps/s (median of {} runs)",
        report.workload,
        report.store,
        report.durability,
        report.intents,
        report.steps,
        report.seconds,
        report.intents_per_s,
        report.steps_per_s,
        report.runs,
    );
    if let Some(latency) = report.latency_ms {
        println!(
            "latency: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms",
            latency.p50, latency.p95, latency.p99
        );
    }
    if let Some(compared) = &report.compared {
        print!(
            "{:?} in the same run: {:.0}/s; ratio {:.2}",
            compared.with, compared.intents_per_s, compared.ratio
        );
        match compared.latency_ms {
            Some(bare) => println!(
                "; latency: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms",
                bare.p50, bare.p95, bare.p99
            ),
            None => println!(),
        }
    }
    if let (Some(wal), Some(commits)) = (report.wal_bytes_per_intent, report.commits_per_intent) {
        println!("{wal:.0} bytes of WAL and {commits:.3} commits an intent");
    }
    match report.removed {
        Some(0) if report.removed_in_all == Some(0) => {
            println!("nothing of the history was left to be removed: take more of it")
        }
        Some(removed) => println!(
            "{removed} of the history were removed meanwhile, {} in all runs",
            report.removed_in_all.unwrap_or_default()
        ),
        None => println!(
            "{:.0} bytes of database an intent",
            report.db_bytes_per_intent
        ),
    }
}
