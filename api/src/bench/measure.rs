//! One run of one workload.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use intendant::{Intendant, Worker};
use tokio::sync::{mpsc, watch};

use super::place::{Counters, Place};
use super::work::{Chain, Fan, Shared, Single, chain, fan, payload, single};
use super::{BenchOptions, Percentiles, Report, Workload};

/// What a run came to.
struct Run {
    seconds: f64,
    latencies: Option<Vec<Duration>>,
    before: Option<Counters>,
    bytes_before: u64,
}

/// Measures once, on a database made for it.
pub(super) async fn measure(options: &BenchOptions) -> Result<Report> {
    let place = Place::make(&options.database.database_url).await?;
    let measured = measure_in(options, &place).await;
    place.remove().await?;
    measured
}

async fn measure_in(options: &BenchOptions, place: &Place) -> Result<Report> {
    let intendant = Intendant::open(place.url()).await?;
    let durability = place.durability().await?;
    let run = match options.workload {
        Workload::Single | Workload::Chain | Workload::Fan => {
            drain(options, place, &intendant).await?
        }
        Workload::Latency => latency(options, place, &intendant).await?,
        Workload::Request => requests(options, place, &intendant).await?,
    };
    // A server's connection adds its share to the counters when it ends.
    intendant.close().await;
    let after = place.counters().await?;
    let bytes = place.bytes().await?;
    let count = options.intents as f64;
    let steps = options.intents * steps_per_intent(options);
    let per_intent = |of: fn(&Counters) -> f64| {
        run.before
            .zip(after)
            .map(|(before, after)| (of(&after) - of(&before)) / count)
    };
    Ok(Report {
        workload: options.workload,
        store: intendant.store_kind().as_str(),
        durability,
        intents: options.intents,
        steps,
        concurrency: options.concurrency,
        workers: options.workers,
        runs: options.runs,
        seconds: run.seconds,
        intents_per_s: count / run.seconds,
        steps_per_s: steps as f64 / run.seconds,
        latency_ms: run.latencies.map(percentiles),
        wal_bytes_per_intent: per_intent(|counters| counters.wal_bytes),
        commits_per_intent: per_intent(|counters| counters.commits),
        peak_rss_bytes: None,
        db_bytes_per_intent: bytes.saturating_sub(run.bytes_before) as f64 / count,
    })
}

fn steps_per_intent(options: &BenchOptions) -> usize {
    match options.workload {
        Workload::Single | Workload::Latency => 1,
        Workload::Chain => options.steps,
        Workload::Fan => options.width + 2,
        Workload::Request => 0,
    }
}

/// Everything waits; the clock starts with the workers and stops when the last intent is at rest.
async fn drain(options: &BenchOptions, place: &Place, intendant: &Intendant) -> Result<Run> {
    let bytes_before = place.bytes().await?;
    let numbers = 0..options.intents;
    match options.workload {
        Workload::Chain => {
            intendant
                .request_all(numbers.map(|n| Chain(payload(n))))
                .await?
        }
        Workload::Fan => {
            intendant
                .request_all(numbers.map(|n| Fan(payload(n))))
                .await?
        }
        Workload::Single | Workload::Latency | Workload::Request => {
            intendant
                .request_all(numbers.map(|n| Single(payload(n))))
                .await?
        }
    };
    let before = place.counters().await?;
    let ran = Arc::new(AtomicUsize::new(0));
    let (stop, workers, _) = start_workers(options, intendant, &ran);
    let start = Instant::now();
    // The database is asked only when every step has run: counting the backlog meanwhile would cost what is measured.
    let steps = options.intents * steps_per_intent(options);
    while ran.load(Ordering::Relaxed) < steps || intendant.unfinished().await?.total() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    stop_workers(stop, workers).await?;
    Ok(Run {
        seconds,
        latencies: None,
        before,
        bytes_before,
    })
}

/// One at a time: from before the request to the first line of its step.
async fn latency(options: &BenchOptions, place: &Place, intendant: &Intendant) -> Result<Run> {
    let bytes_before = place.bytes().await?;
    let (stop, workers, mut started) = start_workers(options, intendant, &Arc::default());
    let before = place.counters().await?;
    let mut latencies = Vec::with_capacity(options.intents);
    let start = Instant::now();
    for number in 0..options.intents {
        let asked = Instant::now();
        let handle = intendant.request(Single(payload(number))).await?;
        let began = started.recv().await.context("the worker is gone")?;
        latencies.push(began.saturating_duration_since(asked));
        handle.output().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    stop_workers(stop, workers).await?;
    Ok(Run {
        seconds,
        latencies: Some(latencies),
        before,
        bytes_before,
    })
}

/// Eight tasks that ask, one request after the other, each in a transaction of its own.
async fn requests(options: &BenchOptions, place: &Place, intendant: &Intendant) -> Result<Run> {
    const TASKS: usize = 8;
    let bytes_before = place.bytes().await?;
    let before = place.counters().await?;
    let start = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let intendant = intendant.clone();
        let numbers = (task..options.intents).step_by(TASKS);
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            for number in numbers {
                let asked = Instant::now();
                intendant.request(Single(payload(number))).await?;
                latencies.push(asked.elapsed());
            }
            Ok::<_, intendant::Error>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(Run {
        seconds: start.elapsed().as_secs_f64(),
        latencies: Some(latencies),
        before,
        bytes_before,
    })
}

type Workers = Vec<tokio::task::JoinHandle<Result<intendant::WorkReport, intendant::Error>>>;

fn start_workers(
    options: &BenchOptions,
    intendant: &Intendant,
    ran: &Arc<AtomicUsize>,
) -> (
    watch::Sender<bool>,
    Workers,
    mpsc::UnboundedReceiver<Instant>,
) {
    let (started, starts) = mpsc::unbounded_channel();
    let stop = watch::Sender::new(false);
    let workers = (0..options.workers)
        .map(|_| {
            let shared = Shared {
                started: started.clone(),
                ran: ran.clone(),
            };
            let worker = Worker::new(intendant, shared)
                .concurrency(options.concurrency)
                .register_step(single)
                .register(chain(options.steps))
                .register(fan(options.width));
            let mut stopped = stop.subscribe();
            tokio::spawn(worker.run(async move {
                // An error means that the benchmark is gone.
                let _ = stopped.wait_for(|stop| *stop).await;
            }))
        })
        .collect();
    (stop, workers, starts)
}

async fn stop_workers(stop: watch::Sender<bool>, workers: Workers) -> Result<()> {
    stop.send_replace(true);
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

fn percentiles(mut latencies: Vec<Duration>) -> Percentiles {
    latencies.sort_unstable();
    let at = |part: f64| {
        let index =
            ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
        latencies
            .get(index)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    };
    Percentiles {
        p50: at(0.50),
        p95: at(0.95),
        p99: at(0.99),
    }
}

/// The most memory that this process has had, where the system tells.
pub(super) fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
