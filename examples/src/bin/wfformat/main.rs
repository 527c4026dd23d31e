//! Carries out a recorded workflow (a WfFormat 1.5 file) as one intent: every task is a step that takes as long as the
//! task did, divided by a speed-up. Then checks against the record that no task started before its parents had
//! finished.
//!
//! It shows a plan that is made from data, not written down in code, and it measures what the engine adds: with a slot
//! for every task, the makespan would be the critical path if recording results took no time.
//!
//! ```text
//! wfformat examples/data/survey.json --speedup 10
//! ```
//!
//! Exits with 0 when all went well, 1 when the order was violated or the intent did not succeed, 2 when the file or the
//! arguments cannot be used.

mod format;
mod graph;
mod replay;
mod report;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use format::Workflow;
use indicatif::{ProgressBar, ProgressStyle};
use intendant::{Handle, Intendant, Worker, shutdown_signal};
use replay::Replay;
use report::Report;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// Carry out a recorded workflow (WfFormat 1.5) as one intent.
#[derive(Parser, Debug)]
struct Args {
    /// The file.
    file: PathBuf,
    /// What the recorded runtimes are divided by.
    #[arg(long, value_name = "X", default_value = "1", value_parser = speedup)]
    speedup: f64,
    /// The engine's database: sqlite://PATH or postgres://… [default: a temporary SQLite file]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Most tasks that run at once [default: as many as there are]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
}

fn speedup(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speedup) if speedup > 0.0 && f64::is_finite(speedup) => Ok(speedup),
        _ => Err("expected a number above 0".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    let workflow = match read(&args).await {
        Ok(workflow) => workflow,
        Err(error) => return complain(&error, 2),
    };
    match run(&args, &workflow).await {
        Ok(in_order) => ExitCode::from(u8::from(!in_order)),
        // An input that the engine does not take, or a URL that names no database.
        Err(error) => {
            let usage = error
                .downcast_ref::<intendant::Error>()
                .is_some_and(intendant::Error::is_usage);
            complain(&error, if usage { 2 } else { 1 })
        }
    }
}

fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("wfformat: {error:#}");
    ExitCode::from(code)
}

async fn read(args: &Args) -> Result<Workflow> {
    let name = args.file.display();
    let text = tokio::fs::read_to_string(&args.file)
        .await
        .with_context(|| format!("cannot read {name}"))?;
    format::parse(&text, args.speedup).with_context(|| name.to_string())
}

/// Carries it out and reports; true when the order was kept.
async fn run(args: &Args, workflow: &Workflow) -> Result<bool> {
    // Removed with all that is in it when this function returns.
    let directory = tempfile::tempdir().context("making a temporary directory")?;
    let url = match &args.database_url {
        Some(url) => url.clone(),
        None => format!("sqlite://{}/wfformat.db", directory.path().display()),
    };
    let intendant = Intendant::open(url).await?;
    let in_order = replay(args, workflow, &intendant).await;
    intendant.close().await;
    in_order
}

async fn replay(args: &Args, workflow: &Workflow, intendant: &Intendant) -> Result<bool> {
    let handle = intendant
        .request(Replay {
            tasks: workflow.tasks.clone(),
        })
        .by("wfformat")
        .await?;
    let bar = progress_bar(workflow.tasks.len());
    // Sleeping costs nothing, so every task may have a slot: what is measured then is the engine and not a queue.
    let concurrency = args
        .concurrency
        .map_or(workflow.tasks.len(), |steps| steps as usize);
    let worker = Worker::new(intendant, bar.clone())
        .concurrency(concurrency)
        .register(replay::plan);
    let outcome = work(worker, &handle).await;
    bar.finish_and_clear();
    outcome?;

    let report = Report::new(workflow, &intendant.steps(handle.id()).await?)?;
    println!("intent         {}", handle.id());
    println!("{report}");
    Ok(report.is_in_order())
}

/// Runs the worker until the intent has come to its end.
async fn work(worker: Worker<ProgressBar>, handle: &Handle<Replay>) -> Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let mut working = tokio::spawn(worker.run(async move {
        // Either way it is a stop: asked for, or the sender is gone.
        stopped.await.ok();
    }));
    let outcome = tokio::select! {
        outcome = handle.output() => outcome.map_err(anyhow::Error::from),
        () = shutdown_signal() => Err(anyhow::anyhow!("interrupted; intent {} is unfinished", handle.id())),
        // A worker ends by itself only when it cannot begin.
        ended = &mut working => {
            ended??;
            bail!("the worker ended before the intent did")
        }
    };
    stop.send(()).ok();
    working.await??;
    outcome
}

/// On a terminal a bar, elsewhere nothing: a log has no use for one.
fn progress_bar(tasks: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} tasks, {elapsed}");
    ProgressBar::new(tasks as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
