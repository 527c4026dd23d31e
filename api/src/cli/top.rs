//! `top`: what there is to do and who does it, again and again, on a terminal.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use console::truncate_str;
use intendant::{
    Alert, AlertFilter, IntentFilter, IntentRecord, IntentState, QueueRecord, Unfinished,
    WorkerRecord,
};

use super::args::Place;
use super::values::span_of_time;
use super::{queue, worker};
use crate::output;
use crate::output::screen::again;
use crate::output::table::width_of_stdout;
use crate::output::words::{count, one_line};
use crate::site::Site;

/// Most intents that are shown of a sort.
const INTENTS: u32 = 10;

/// Most alerts that are shown.
const ALERTS: u32 = 5;

/// Options of `top`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = pause)]
    every: Duration,
    /// Print it once, as it does where there is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    place: Place,
}

/// Not all the time.
fn pause(text: &str) -> Result<Duration, String> {
    let pause = span_of_time(text)?;
    match pause.is_zero() {
        true => Err("expected a second or more".to_owned()),
        false => Ok(pause),
    }
}

/// What is seen at once.
struct Seen {
    at: DateTime<Utc>,
    unfinished: Unfinished,
    alerts: Vec<Alert>,
    queues: Vec<QueueRecord>,
    workers: Vec<WorkerRecord>,
    running: Vec<IntentRecord>,
    failed: Vec<IntentRecord>,
}

pub(super) async fn top(options: Options) -> Result<()> {
    let site = options.place.connect().await?;
    if options.once {
        print!("{}", look(&site).await?.picture(width_of_stdout()));
        return Ok(());
    }
    again(options.every, async |width| {
        Ok(look(&site).await?.picture(width))
    })
    .await
}

async fn look(site: &Site) -> Result<Seen> {
    let latest = async |state: IntentState| {
        let filter = IntentFilter {
            state: Some(state),
            limit: Some(INTENTS),
            ..IntentFilter::default()
        };
        site.list(filter).await
    };
    let alerts = AlertFilter {
        limit: Some(ALERTS),
        ..AlertFilter::default()
    };
    Ok(Seen {
        at: Utc::now(),
        unfinished: site.unfinished().await?,
        alerts: site.alerts(alerts).await?,
        queues: site.queues().await?,
        workers: site.workers().await?,
        running: latest(IntentState::Running).await?,
        failed: latest(IntentState::Failed).await?,
    })
}

impl Seen {
    fn picture(&self, width: Option<usize>) -> String {
        let Unfinished {
            ready,
            parked,
            blocked,
            running,
        } = self.unfinished;
        let mut text = format!(
            "{}  tasks: {ready} ready, {running} running, {blocked} blocked, {parked} parked; {}\n",
            self.at.format("%F %T"),
            count(self.workers.len(), "worker")
        );
        for alert in &self.alerts {
            let line = one_line(&format!("{}: {}", alert.kind, alert.text));
            let line = match width {
                Some(width) => truncate_str(&line, width, "…").into_owned(),
                None => line,
            };
            text.push_str(&format!("{line}\n"));
        }
        let mut part = |title: &str, table: String| {
            if !table.is_empty() {
                text.push_str(&format!("\n{title}\n{table}"));
            }
        };
        part("queues", queue::table(&self.queues).render(width));
        part("workers", worker::table(&self.workers).render(width));
        part(
            "running, the newest",
            output::table_of(&self.running).render(width),
        );
        part(
            "failed, the newest",
            output::table_of(&self.failed).render(width),
        );
        text
    }
}
