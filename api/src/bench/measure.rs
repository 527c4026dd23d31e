//! One run of one workload.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use intendant::{Intendant, Intent, Request, Worker, shutdown_signal};
use tokio::sync::{mpsc, watch};

use super::place::{Counters, Place};
use super::setting::Removing;
use super::work::{Chain, Exclusive, Fan, Shared, Single};
use super::work::{chain, exclusive, fan, payload, single, told};
use super::{BenchOptions, Percentiles, Report, Workload, floor, latency};

/// Tasks, or clients, that ask at the same time.
const TASKS: usize = 8;

/// What a run came to.
pub(super) struct Run {
    seconds: f64,
    latencies: Option<Vec<Duration>>,
    before: Option<Counters>,
    bytes_before: u64,
    removed: Option<u64>,
}

/// What the database's counters were when the clock started.
pub(super) struct Watch {
    before: Option<Counters>,
    bytes_before: u64,
}

impl Watch {
    pub(super) async fn start(place: &Place) -> Result<Self> {
        // What the preparation has left in memory is the preparation's to write.
        place.settle().await?;
        Ok(Self {
            bytes_before: place.bytes().await?,
            before: place.counters().await?,
        })
    }

    pub(super) fn run(self, took: Duration, latencies: Option<Vec<Duration>>) -> Run {
        Run {
            seconds: took.as_secs_f64(),
            latencies,
            before: self.before,
            bytes_before: self.bytes_before,
            removed: None,
        }
    }
}

/// Measures once, in this place or on a database made for it.
pub(super) async fn measure(
    options: &BenchOptions,
    workload: Workload,
    place: Option<&Place>,
) -> Result<Report> {
    if let Some(place) = place {
        return measure_in(options, workload, place).await;
    }
    let place = Place::make(&options.database.database_url).await?;
    let measured = measure_in(options, workload, &place).await;
    place.remove().await?;
    measured
}

async fn measure_in(options: &BenchOptions, workload: Workload, place: &Place) -> Result<Report> {
    let intendant = Intendant::open(place.url()).await?;
    let durability = place.durability().await?;
    let run = match workload {
        Workload::Single | Workload::Chain | Workload::Fan | Workload::Exclusive => {
            drain(options, workload, place, &intendant).await?
        }
        Workload::Latency if options.apart => latency::apart(options, place, &intendant).await?,
        Workload::Latency => latency::within(options, place, &intendant).await?,
        Workload::Request => requests(options, place, &intendant).await?,
        Workload::Bulk => bulk(options, place, &intendant).await?,
        Workload::Floor => {
            floor::bulk(place, options.intents, Chain::KIND).await?;
            let watch = Watch::start(place).await?;
            let took = floor::chain(place, options.steps, Chain::KIND).await?;
            watch.run(took, None)
        }
        Workload::Insert => {
            let watch = Watch::start(place).await?;
            let clients = if options.workload == Workload::Latency {
                1
            } else {
                TASKS
            };
            let (latencies, took) = floor::inserts(place, options.intents, clients).await?;
            watch.run(took, Some(latencies))
        }
        Workload::Load => {
            let watch = Watch::start(place).await?;
            let took = floor::bulk(place, options.intents, Single::KIND).await?;
            watch.run(took, None)
        }
    };
    // A server's connection adds its share to the counters when it ends.
    intendant.close().await;
    let after = place.counters().await?;
    place.settle().await?;
    let bytes = place.bytes().await?;
    let count = options.intents as f64;
    let steps = options.intents * steps_per_intent(options, workload);
    let per_intent = |of: fn(&Counters) -> f64| {
        run.before
            .zip(after)
            .map(|(before, after)| (of(&after) - of(&before)) / count)
    };
    Ok(Report {
        workload,
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
        removed: run.removed,
        removed_in_all: None,
        compared: None,
    })
}

fn steps_per_intent(options: &BenchOptions, workload: Workload) -> usize {
    match workload {
        Workload::Single | Workload::Latency | Workload::Exclusive => 1,
        Workload::Chain | Workload::Floor => options.steps,
        Workload::Fan => options.width + 2,
        Workload::Request | Workload::Bulk | Workload::Insert | Workload::Load => 0,
    }
}

/// Everything waits; the clock starts with the workers and stops when the last intent is at rest.
async fn drain(
    options: &BenchOptions,
    workload: Workload,
    place: &Place,
    intendant: &Intendant,
) -> Result<Run> {
    if let Some(limited) = options.limited {
        limited.begin(options, intendant).await?;
    }
    let numbers = 0..options.intents;
    match workload {
        Workload::Chain => {
            ask(intendant, numbers, |n| intendant.request(Chain(payload(n)))).await?
        }
        Workload::Fan => ask(intendant, numbers, |n| intendant.request(Fan(payload(n)))).await?,
        Workload::Exclusive => {
            // So that most have somebody in front of them.
            let quarter = (options.intents / 4).max(1);
            let resources = options.resources.unwrap_or(quarter);
            let request = |n| intendant.request(Exclusive::new(n, resources)).key(n);
            ask(intendant, numbers, request).await?
        }
        _ => {
            ask(intendant, numbers, |n| {
                intendant.request(Single(payload(n)))
            })
            .await?
        }
    };
    let watch = Watch::start(place).await?;
    if options.processes > 0 {
        let took = drain_elsewhere(options, place, intendant).await?;
        return Ok(watch.run(took, None));
    }
    let removing = match options.removing {
        true => Some(Removing::start(intendant).await?),
        false => None,
    };
    let ran = Arc::new(AtomicUsize::new(0));
    let (stop, workers, _) = start_workers(options, intendant, &ran);
    let start = Instant::now();
    // The database is asked only when every step has run: counting the backlog meanwhile would cost what is measured.
    let steps = options.intents * steps_per_intent(options, workload);
    while ran.load(Ordering::Relaxed) < steps || intendant.unfinished().await?.total() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    let removed = match removing {
        Some(removing) => Some(removing.end(intendant).await?),
        None => None,
    };
    stop_workers(stop, workers).await?;
    Ok(Run {
        removed,
        ..watch.run(took, None)
    })
}

/// Asks in calls of ten thousand: the ids of a million would be counted as the worker's memory.
async fn ask<'i, T: Intent>(
    intendant: &Intendant,
    numbers: Range<usize>,
    request: impl Fn(usize) -> Request<'i, T>,
) -> Result<()> {
    for from in numbers.clone().step_by(10_000) {
        let some = from..numbers.end.min(from + 10_000);
        intendant.request_each(some.map(&request)).await?;
    }
    Ok(())
}

/// Other processes do the work.
async fn drain_elsewhere(
    options: &BenchOptions,
    place: &Place,
    intendant: &Intendant,
) -> Result<Duration> {
    let start = Instant::now();
    let mut processes = options.start_processes(place)?;
    loop {
        let left = intendant.unfinished().await?.total();
        if left == 0 {
            break;
        }
        // Counting costs what is measured: seldom at first, often at the end.
        let wait = Duration::from_secs_f64(left as f64 / 200_000.0);
        tokio::time::sleep(wait.clamp(Duration::from_millis(2), Duration::from_secs(1))).await;
    }
    let took = start.elapsed();
    for process in &mut processes {
        process.kill().await?;
    }
    Ok(took)
}

/// Such a process.
pub(super) async fn worker(options: &BenchOptions, url: &str) -> Result<()> {
    let intendant = Intendant::connect(url).await?;
    let (_stop, workers, _) = start_workers(options, &intendant, &Arc::default());
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// Eight tasks that ask, one request after the other.
async fn requests(options: &BenchOptions, place: &Place, intendant: &Intendant) -> Result<Run> {
    let watch = Watch::start(place).await?;
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
    Ok(watch.run(start.elapsed(), Some(latencies)))
}

/// All requests in one call.
async fn bulk(options: &BenchOptions, place: &Place, intendant: &Intendant) -> Result<Run> {
    let watch = Watch::start(place).await?;
    let start = Instant::now();
    let all = (0..options.intents).map(|n| Single(payload(n)));
    intendant.request_all(all).await?;
    Ok(watch.run(start.elapsed(), None))
}

pub(super) type Workers =
    Vec<tokio::task::JoinHandle<Result<intendant::WorkReport, intendant::Error>>>;

pub(super) fn start_workers(
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
                .register_step(exclusive)
                .register_step(told)
                .register(chain(options.steps))
                .register(fan(options.width));
            let mut stopped = stop.subscribe();
            tokio::spawn(worker.run(async move {
                tokio::select! {
                    // An error means that the benchmark is gone.
                    _ = stopped.wait_for(|stop| *stop) => {}
                    () = shutdown_signal() => {}
                }
            }))
        })
        .collect();
    (stop, workers, starts)
}

pub(super) async fn stop_workers(stop: watch::Sender<bool>, workers: Workers) -> Result<()> {
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
