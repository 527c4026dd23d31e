//! `worker`: runs the workers of this program until a signal.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use intendant::{Stopped, WorkReport, WorkerRecord};
use tokio::sync::watch;

use super::args::{Database, Place};
use super::exit::Refusal;
use super::program::{Program, Settings};
use super::values::{slots, span_of_time};
use crate::hook::{WebHook, WebHookError};
use crate::net::Hidden;
use crate::output::table::{Fit, Table};
use crate::output::words::{age, one_line, span};

/// `worker`, or something about workers.
#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The workers that have not been found dead, and what they serve
    #[command(after_help = "Example:\n  intendant worker list --json")]
    List(List),
}

/// How to list them.
#[derive(Debug, Args)]
struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Worker {
    /// Whether it is to work.
    pub(super) fn runs(&self) -> bool {
        self.action.is_none()
    }
}

/// Options of `worker`.
#[derive(Debug, Args)]
struct Options {
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
    /// Send notices of what fails and what is wrong to this URL, signed (see docs/OPERATING.md)
    #[arg(long, value_name = "URL", requires = "notify_secret")]
    notify: Option<String>,
    /// With --notify: what the receiver knows us by, `whsec_` and the base64 of 24 to 64 random bytes
    #[arg(
        long,
        env = "INTENDANT_NOTIFY_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    notify_secret: Option<Hidden>,
    /// With --notify: to an address within the network, which is refused otherwise
    #[arg(long, requires = "notify")]
    notify_within_network: bool,
    #[command(flatten)]
    database: Database,
}

impl Options {
    /// Where notices go, if anywhere.
    fn notify(&self) -> Result<Option<WebHook>> {
        let Some((url, secret)) = self.notify.as_ref().zip(self.notify_secret.as_ref()) else {
            return Ok(None);
        };
        let usage = |error: WebHookError| Refusal::Usage(error.to_string());
        let hook = WebHook::new(url, &secret.0).map_err(usage)?;
        let hook = match self.notify_within_network {
            true => hook.within_network(),
            false => hook,
        };
        hook.check().map_err(usage)?;
        Ok(Some(hook))
    }
}

pub(super) async fn worker(worker: Worker, program: Program) -> Result<ExitCode> {
    match worker.action {
        Some(Action::List(options)) => list(options).await,
        None => work(worker.options, program).await,
    }
}

async fn list(options: List) -> Result<ExitCode> {
    let workers = options.place.connect().await?.workers().await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&workers)?);
        return Ok(ExitCode::SUCCESS);
    }
    if workers.is_empty() {
        eprintln!("no worker is alive");
        return Ok(ExitCode::SUCCESS);
    }
    table(&workers).print();
    Ok(ExitCode::SUCCESS)
}

/// Workers, a line each.
pub(super) fn table(workers: &[WorkerRecord]) -> Table {
    let mut table = Table::new([
        ("worker", Fit::Whole),
        ("since", Fit::Optional(1)),
        ("heard of", Fit::Whole),
        ("free", Fit::Whole),
        ("serves", Fit::Cut(20)),
    ]);
    for worker in workers {
        let mut queues: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for served in &worker.serves {
            queues.entry(&served.queue).or_default().push(&served.kind);
        }
        let serves = queues.iter();
        let serves = serves.map(|(queue, kinds)| format!("{queue}: {}", kinds.join(", ")));
        let heard = match worker.silent_ms > worker.lease_ms {
            true => format!(
                "silent for {}",
                span(TimeDelta::milliseconds(worker.silent_ms))
            ),
            false if worker.leaving => "leaving".to_owned(),
            false => "alive".to_owned(),
        };
        table.row([
            one_line(&worker.worker),
            age(worker.started_at),
            heard,
            worker.free.to_string(),
            one_line(&serves.collect::<Vec<_>>().join("; ")),
        ]);
    }
    table
}

async fn work(options: Options, program: Program) -> Result<ExitCode> {
    if !program.has_code() {
        return Err(Refusal::Usage(format!(
            "`{}` has no code to run: use the program of the worker, which has this command line if its `main` calls \
             `intendant_api::Cli::new`",
            program.name
        ))
        .into());
    }
    let notify = options.notify()?;
    let intendant = options.database.connect().await?;
    let workers = program.code(&intendant).await?;
    if notify.is_some() && workers.iter().any(|worker| worker.has_alert_hook()) {
        let why = "this program says itself who is told of alerts: leave --notify out";
        return Err(Refusal::Usage(why.to_owned()).into());
    }
    let settings = Settings {
        name: options.name,
        concurrency: options.concurrency,
        queues: options.queues,
        max_age: options.max_age,
        notify,
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
