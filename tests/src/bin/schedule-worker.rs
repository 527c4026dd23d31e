//! A worker process that has schedules: `schedule-worker URL NAME SCHEDULES`. Each of them ticks every second.

use std::time::Duration;

use anyhow::{Context, Result};
use intendant::{CatchUp, Cx, Intendant, Intent, Schedule, StepResult, Worker};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Beat {
    at: i64,
}

impl Intent for Beat {
    const KIND: &'static str = "beat";
    type Output = i64;
}

async fn beat(_: Cx<()>, beat: Beat) -> StepResult<i64> {
    Ok(beat.at)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut args = std::env::args().skip(1);
    let url = args.next().context("a URL")?;
    let name = args.next().context("a name")?;
    let schedules: u32 = args.next().context("a number of schedules")?.parse()?;
    let intendant = Intendant::connect(&url).await?;
    let mut worker = Worker::new(&intendant, ())
        .register_step(beat)
        .name(name)
        .lease(Duration::from_secs(1))
        .poll(Duration::from_millis(20));
    for nth in 0..schedules {
        let every = Schedule::every(format!("beat-{nth}"), Duration::from_secs(1));
        let every = every.catch_up(CatchUp::All(500));
        worker = worker.schedule(every, |tick| Beat {
            at: tick.at().timestamp(),
        });
    }
    worker.run(intendant::shutdown_signal()).await?;
    Ok(())
}
