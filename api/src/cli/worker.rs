//! `worker`: runs the workers of this program until a signal.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use intendant::{Stopped, WorkReport};
use tokio::sync::watch;

use super::args::Database;
use super::exit::Refusal;
use super::program::{Program, Settings};
use super::values::{slots, span_of_time};

/// Options of `worker`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Its name in the history [default: host and process]
    #[arg(long)]
    name: Option<String>,
    /// Most steps at once, in each queue that is not named by --queue
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Serve this queue, with so many steps at once at most
    #[arg(long = "queue", value_name = "NAME=N", value_parser = slots)]
    queues: Vec<(String, usize)>,
    /// Stop gracefully at this age, as in `6h`, with exit code 75, so that it is started anew
    #[arg(long, value_name = "TIME", value_parser = span_of_time)]
    max_age: Option<Duration>,
    #[command(flatten)]
    database: Database,
}

pub(super) async fn worker(options: Options, program: Program) -> Result<ExitCode> {
    if !program.has_code() {
        return Err(Refusal::Usage(format!(
            "`{}` has no code to run: use the program of the worker, which has this command line if its `main` calls \
             `intendant_api::Cli::new`",
            program.name
        ))
        .into());
    }
    let intendant = options.database.connect().await?;
    let workers = program.code(&intendant).await?;
    let settings = Settings {
        name: options.name,
        concurrency: options.concurrency,
        queues: options.queues,
        max_age: options.max_age,
    };
    let (stop, _) = watch::channel(false);
    let kinds: Vec<&str> = workers.iter().flat_map(|worker| worker.kinds()).collect();
    eprintln!(
        "carries out {}; SIGTERM or SIGINT ends it",
        kinds.join(", ")
    );
    let running = workers.into_iter().map(|worker| {
        let (settings, mut stopped) = (settings.clone(), stop.subscribe());
        let shutdown = async move {
            stopped.wait_for(|stop| *stop).await.ok();
        };
        let running = worker.run(settings, shutdown.boxed());
        let stop = &stop;
        async move {
            let report = running.await;
            // One that stops by itself, or cannot begin, is a reason to start the whole process anew.
            stop.send_replace(true);
            report
        }
    });
    let all = join_all(running);
    tokio::pin!(all);
    let reports = tokio::select! {
        reports = &mut all => reports,
        () = intendant::shutdown_signal() => {
            stop.send_replace(true);
            all.await
        }
    };
    let reports = reports.into_iter().collect::<Result<Vec<_>, _>>()?;
    for report in &reports {
        eprintln!("{}", told(report));
    }
    let code = reports.iter().map(|report| report.stopped.exit_code());
    let code = code.max().unwrap_or_default();
    // To leave `main` would wait for threads that are blocked.
    std::io::stderr().flush().ok();
    std::process::exit(code)
}

fn told(report: &WorkReport) -> String {
    let why = match report.stopped {
        Stopped::Asked => "stopped",
        Stopped::Age => "stopped at its maximum age",
        Stopped::Memory => "stopped at its maximum of memory",
        Stopped::Stuck => "stopped: a step kept a thread for too long",
        _ => "stopped by itself",
    };
    let WorkReport {
        finished,
        steps,
        handed_back,
        ..
    } = report;
    format!("{why}: {finished} finished, {steps} steps recorded, {handed_back} handed back")
}
