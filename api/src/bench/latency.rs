//! Latency: one intent at a time on an idle system, from before the request to the first line of its step.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use intendant::Intendant;
use tokio::process::Command;

use super::BenchOptions;
use super::measure::{Run, Watch, start_workers, stop_workers};
use super::place::Place;
use super::work::{Single, Told, now_us, payload};

/// The worker is in this process.
pub(super) async fn within(
    options: &BenchOptions,
    place: &Place,
    intendant: &Intendant,
) -> Result<Run> {
    let (stop, workers, mut started) = start_workers(options, intendant, &Arc::default());
    let watch = Watch::start(place).await?;
    let mut latencies = Vec::with_capacity(options.intents);
    let start = Instant::now();
    for number in 0..options.intents {
        let asked = Instant::now();
        let handle = intendant.request(Single(payload(number))).await?;
        let began = started.recv().await.context("the worker is gone")?;
        latencies.push(began.saturating_duration_since(asked));
        handle.output().await?;
    }
    let took = start.elapsed();
    stop_workers(stop, workers).await?;
    Ok(watch.run(took, Some(latencies)))
}

/// The worker is in another process of this machine. Its steps say when they began, by the clock that both have.
pub(super) async fn apart(
    options: &BenchOptions,
    place: &Place,
    intendant: &Intendant,
) -> Result<Run> {
    let mut worker = Command::new(std::env::current_exe()?)
        .args(["bench", "latency", "--worker-of", &place.url()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting a worker process")?;
    // It is there when it has carried out something.
    intendant.request(Told(payload(0))).await?.output().await?;
    let watch = Watch::start(place).await?;
    let mut latencies = Vec::with_capacity(options.intents);
    let start = Instant::now();
    for number in 0..options.intents {
        let asked = now_us();
        let handle = intendant.request(Told(payload(number))).await?;
        let began = handle.output().await?;
        latencies.push(Duration::from_micros(began.saturating_sub(asked)));
        // Nothing of the last one shall help the next.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = start.elapsed();
    worker.kill().await?;
    Ok(watch.run(took, Some(latencies)))
}
