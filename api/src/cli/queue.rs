//! `intendant queue`: the lanes that workers serve.

use std::io::Write as _;

use anyhow::Result;
use clap::{Args, Subcommand};
use intendant::{Partitions, QueueRecord, Rate};

use super::args::Place;
use super::named::Act;
use crate::output::table::{Fit, Table};
use crate::output::words::one_line;

/// What is done with queues.
#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// All of them: what waits in each, who serves it, whether it is paused
    #[command(after_help = "Examples:\n  intendant queue list\n  intendant queue list --json")]
    List(List),
    /// Begin with nothing more of it, anywhere, until it is resumed; what has begun goes on
    #[command(
        after_help = "Example:\n  intendant queue pause mail --reason 'the provider is down'"
    )]
    Pause(Act),
    /// Go on with it
    #[command(after_help = "Example:\n  intendant queue resume mail")]
    Resume(Act),
    /// Say how many of its steps may run at once, across all workers
    #[command(
        after_help = "Examples:\n  intendant queue limit mail --slots 8 --reason 'the provider bears eight'\n  \
                      intendant queue limit mail --none"
    )]
    Limit(Limit),
    /// Say how many of its steps may begin within a time, across all workers; retries are counted, too
    #[command(
        after_help = "Examples:\n  intendant queue rate mail 100/s --reason 'the provider takes no more'\n  \
                      intendant queue rate mail 500/h --burst 10\n  intendant queue rate mail --none"
    )]
    Rate(NewRate),
    /// Have its tasks take turns, one account's (or whatever they are told apart by) after another's
    #[command(
        after_help = "Examples:\n  intendant queue partition mail account --reason 'one of them floods us'\n  \
                      intendant queue partition mail resource:server --at-once 2\n  \
                      intendant queue partition mail input:/customer/id\n  intendant queue partition mail --none"
    )]
    Partition(Partition),
    /// Say how many of its tasks may be in line before it refuses requests; somebody counts twice a second
    #[command(
        after_help = "Examples:\n  intendant queue cap mail --waiting 100000 --reason 'the disk is small'\n  \
                      intendant queue cap mail --none"
    )]
    Cap(Cap),
    /// What people did to it, the latest first
    #[command(after_help = "Example:\n  intendant queue changes mail")]
    Changes(Named),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Limit {
    /// As many as this
    #[arg(long, value_name = "N", required_unless_present = "none")]
    slots: Option<u32>,
    /// No limit
    #[arg(long, conflicts_with = "slots")]
    none: bool,
    #[command(flatten)]
    act: Act,
}

#[derive(Debug, Args)]
pub(super) struct NewRate {
    #[command(flatten)]
    act: Act,
    /// Steps in a time: `100/s`, `30/min`, `500/h`, `7/90s`
    #[arg(required_unless_present = "none")]
    rate: Option<Rate>,
    /// So many of them at once after a pause; as many as the rate allows in a tenth of a second, and one at least, unless said
    #[arg(long, value_name = "N", conflicts_with = "none")]
    burst: Option<u32>,
    /// At any rate
    #[arg(long, conflicts_with = "rate")]
    none: bool,
}

#[derive(Debug, Args)]
pub(super) struct Partition {
    #[command(flatten)]
    act: Act,
    /// By what they are told apart: `account`, `resource:TYPE`, `input:/FIELD/FIELD`
    #[arg(required_unless_present = "none")]
    what: Option<Partitions>,
    /// So many of one partition are in the hands of workers at once, and no more
    #[arg(long, value_name = "N", conflicts_with = "none")]
    at_once: Option<u32>,
    /// They are served in the order of requests
    #[arg(long, conflicts_with = "what")]
    none: bool,
}

#[derive(Debug, Args)]
pub(super) struct Cap {
    /// As many as this
    #[arg(long, value_name = "N", required_unless_present = "none")]
    waiting: Option<u64>,
    /// Any number
    #[arg(long, conflicts_with = "waiting")]
    none: bool,
    #[command(flatten)]
    act: Act,
}

pub(super) async fn queue(action: Queue) -> Result<()> {
    match action {
        Queue::List(options) => list(options).await,
        Queue::Changes(options) => changes(options).await,
        Queue::Pause(act) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            match site.pause_queue(name, &actor).await? {
                true => println!("{name} is paused"),
                false => println!("{name} is paused already"),
            }
            Ok(())
        }
        Queue::Limit(Limit { slots, act, .. }) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            let changed = site.limit_queue(name, slots, &actor);
            match (changed.await?, slots) {
                (true, Some(slots)) => {
                    println!("{name}: no more than {slots} of its steps run at once")
                }
                (true, None) => println!("{name} has no limit any more"),
                (false, _) => println!("{name}: it is so already"),
            }
            Ok(())
        }
        Queue::Rate(NewRate {
            act, rate, burst, ..
        }) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            let rate = rate.map(|rate| burst.map_or(rate, |burst| rate.burst(burst)));
            let changed = site.rate_queue(name, rate, &actor);
            match (changed.await?, rate) {
                (true, Some(rate)) => println!(
                    "{name}: no more than {rate} of its steps begin, {} at once",
                    rate.at_once()
                ),
                (true, None) => println!("{name} has no rate any more"),
                (false, _) => println!("{name}: it is so already"),
            }
            Ok(())
        }
        Queue::Partition(Partition {
            what, at_once, act, ..
        }) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            let turns = what.map(|what| at_once.into_iter().fold(what, Partitions::at_once));
            let changed = site.partition_queue(name, turns.clone(), &actor);
            match (changed.await?, turns) {
                (true, Some(turns)) => println!("{name}: {}", takes_turns(&turns)),
                (true, None) => println!("{name}: its tasks take no turns any more"),
                (false, _) => println!("{name}: it is so already"),
            }
            Ok(())
        }
        Queue::Cap(Cap { waiting, act, .. }) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            let changed = site.cap_queue(name, waiting, &actor);
            match (changed.await?, waiting) {
                (true, Some(cap)) => {
                    println!("{name}: it refuses requests while {cap} of its tasks are in line")
                }
                (true, None) => println!("{name} has no cap any more"),
                (false, _) => println!("{name}: it is so already"),
            }
            Ok(())
        }
        Queue::Resume(act) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            match site.resume_queue(name, &actor).await? {
                true => println!("{name} goes on"),
                false => println!("{name} is not paused"),
            }
            Ok(())
        }
    }
}

fn takes_turns(turns: &Partitions) -> String {
    match turns.limit() {
        Some(limit) => {
            format!("its tasks take turns by {turns}, no more than {limit} of one at once")
        }
        None => format!("its tasks take turns by {turns}"),
    }
}

async fn list(options: List) -> Result<()> {
    let queues = options.place.connect().await?.queues().await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&queues)?);
        return Ok(());
    }
    table(&queues).print();
    if queues.is_empty() {
        eprintln!("no queues: a worker that serves some writes them down when it begins");
    }
    Ok(())
}

/// Queues, a line each.
pub(super) fn table(queues: &[QueueRecord]) -> Table {
    let mut table = Table::new([
        ("QUEUE", Fit::Whole),
        ("WORKERS", Fit::Whole),
        ("READY", Fit::Whole),
        ("OLDEST", Fit::Whole),
        ("SLOTS", Fit::Whole),
        ("RATE", Fit::Whole),
        ("TURNS", Fit::Whole),
        ("CAP", Fit::Whole),
        ("STATE", Fit::Cut(20)),
    ]);
    for queue in queues {
        let oldest = queue.oldest_s.map(|s| format!("{s} s"));
        table.row([
            queue.name.clone(),
            queue.workers.to_string(),
            queue.ready.to_string(),
            oldest.unwrap_or_default(),
            queue.slots.map_or_else(
                || "-".to_owned(),
                |slots| format!("{} of {slots}", queue.lent),
            ),
            queue
                .rate
                .map_or_else(|| "-".to_owned(), |rate| rate.to_string()),
            turns(queue),
            queue
                .cap
                .map_or_else(|| "-".to_owned(), |cap| cap.to_string()),
            state(queue),
        ]);
    }
    table
}

fn turns(queue: &QueueRecord) -> String {
    match (&queue.partition_by, queue.partition_limit) {
        (Some(by), Some(limit)) => format!("{by}, {limit}"),
        (Some(by), None) => by.clone(),
        (None, _) => "-".to_owned(),
    }
}

fn state(queue: &QueueRecord) -> String {
    match (&queue.paused_by, &queue.pause_reason) {
        (Some(by), Some(reason)) => format!("paused by {by}: {reason}"),
        (Some(by), None) => format!("paused by {by}"),
        (None, _) if queue.full => "full".to_owned(),
        (None, _) if queue.workers == 0 => "no worker".to_owned(),
        (None, _) => "open".to_owned(),
    }
}

async fn changes(options: Named) -> Result<()> {
    let site = options.place.connect().await?;
    let changes = site.queue_changes(&options.name).await?;
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&changes)?)?;
        return Ok(());
    }
    for change in &changes {
        let reason = change.reason.as_deref().map(|why| format!(": {why}"));
        let reason = reason.unwrap_or_default();
        let text = format!("{} by {}{reason}", change.verb, change.actor);
        writeln!(out, "{}  {}", change.at.format("%F %T"), one_line(&text))?;
    }
    if changes.is_empty() {
        eprintln!("nobody has changed `{}`", options.name);
    }
    Ok(())
}
