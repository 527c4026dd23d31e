//! A worker process whose steps run programs: `program-worker URL`. The input of a `job` is a script for the shell; its output
//! says how many bytes that has written.

use std::time::Duration;

use anyhow::{Context, Result};
use intendant::{Command, Cx, Intendant, Intent, StepResult, Worker};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    text: String,
}

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = String;
}

async fn run(cx: Cx<()>, job: Job) -> StepResult<String> {
    let run = cx.run(Command::new("sh").args(["-c", &job.text])).await?;
    let stdout = run.stdout;
    Ok((stdout.bytes().len() as u64 + stdout.left_out()).to_string())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("a URL")?;
    let intendant = Intendant::connect(&url).await?;
    let worker = Worker::new(&intendant, ())
        .register_step(run)
        .lease(Duration::from_secs(1))
        .poll(Duration::from_millis(20));
    worker.run(intendant::shutdown_signal()).await?;
    Ok(())
}
