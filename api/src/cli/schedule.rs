//! `intendant schedule`: rules that request an intent again and again.

use std::io::Write as _;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, value_parser};
use intendant::{ScheduleRecord, TickRecord, limits};
use serde::Serialize;

use super::args::Place;
use super::named::Act;
use crate::output::table::{Fit, Table};
use crate::output::words::one_line;

/// What is done with schedules.
#[derive(Debug, Subcommand)]
pub(super) enum Schedule {
    /// All of them: when they are next, whether a worker runs them, what came of the latest tick
    #[command(
        after_help = "Examples:\n  intendant schedule list\n  intendant schedule list --json"
    )]
    List(List),
    /// What came of one's ticks, and what people did to it, the latest first
    #[command(after_help = "Example:\n  intendant schedule ticks month.close --limit 20")]
    Ticks(Ticks),
    /// Request nothing more, until it is resumed
    #[command(
        after_help = "Example:\n  intendant schedule pause month.close --reason 'the books are open again'"
    )]
    Pause(Act),
    /// Go on with the next tick; those of the meantime are left out
    #[command(after_help = "Example:\n  intendant schedule resume month.close")]
    Resume(Act),
    /// Request an intent now, beside its ticks; a worker that declares it does so within a second
    #[command(
        after_help = "Example:\n  intendant schedule run month.close --reason 'ordered by ada'"
    )]
    Run(Act),
    /// Remove one that no worker declares any more
    #[command(after_help = "Example:\n  intendant schedule remove month.close")]
    Remove(Act),
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
pub(super) struct Ticks {
    /// Its name
    name: String,
    /// Most of them
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(limits::PAGE)))]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn schedule(action: Schedule) -> Result<()> {
    match action {
        Schedule::List(options) => list(options).await,
        Schedule::Ticks(options) => ticks(options).await,
        Schedule::Pause(act) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            match site.pause_schedule(name, &actor).await? {
                true => println!("{name} is paused"),
                false => println!("{name} is paused already"),
            }
            Ok(())
        }
        Schedule::Resume(act) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            match site.resume_schedule(name, &actor).await? {
                true => println!("{name} goes on"),
                false => println!("{name} is not paused"),
            }
            Ok(())
        }
        Schedule::Run(act) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            let at = site.run_schedule(name, &actor).await?;
            println!("{name} is asked for, at {}", at.format("%FT%T%.6fZ"));
            let schedules = site.schedules().await?;
            if schedules.iter().any(|s| s.name == *name && s.workers == 0) {
                eprintln!("no live worker declares it; the next one that does requests the intent");
            }
            Ok(())
        }
        Schedule::Remove(act) => {
            let (site, actor) = act.begin().await?;
            let name = &act.name;
            site.remove_schedule(name, &actor).await?;
            println!("{name} is removed");
            Ok(())
        }
    }
}

async fn list(options: List) -> Result<()> {
    let schedules = options.place.connect().await?.schedules().await?;
    if options.json {
        return json(&schedules);
    }
    let mut table = Table::new([
        ("NAME", Fit::Whole),
        ("WHEN", Fit::Cut(12)),
        ("KIND", Fit::Optional(2)),
        ("NEXT", Fit::Whole),
        ("STATE", Fit::Whole),
        ("LATEST", Fit::Cut(20)),
    ]);
    for schedule in &schedules {
        table.row([
            schedule.name.clone(),
            schedule.when.clone(),
            schedule.kind.clone(),
            schedule.next_at.map_or_else(|| "never".to_owned(), time),
            state(schedule),
            schedule.latest.as_ref().map(came).unwrap_or_default(),
        ]);
    }
    table.print();
    if schedules.is_empty() {
        eprintln!("no schedules: a worker that has some writes them down when it begins");
    }
    Ok(())
}

async fn ticks(options: Ticks) -> Result<()> {
    let site = options.place.connect().await?;
    let ticks = site.schedule_ticks(&options.name, options.limit).await?;
    let changes = site.schedule_changes(&options.name).await?;
    if options.json {
        return json(&serde_json::json!({ "ticks": ticks, "changes": changes }));
    }
    let mut out = std::io::stdout().lock();
    for tick in &ticks {
        writeln!(out, "{}  {}", time(tick.at), one_line(&came(tick)))?;
    }
    for change in &changes {
        let reason = change.reason.as_deref().map(|why| format!(": {why}"));
        let text = format!(
            "{} by {}{}",
            change.verb,
            change.actor,
            reason.unwrap_or_default()
        );
        writeln!(out, "{}  {}", time(change.at), one_line(&text))?;
    }
    if ticks.is_empty() {
        eprintln!("nothing has come of `{}` yet", options.name);
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%F %T").to_string()
}

fn state(schedule: &ScheduleRecord) -> String {
    match (&schedule.paused_by, schedule.workers) {
        (Some(by), _) => format!("paused by {by}"),
        (None, 0) => "no worker".to_owned(),
        (None, _) => "runs".to_owned(),
    }
}

/// What came of a tick, in words.
fn came(tick: &TickRecord) -> String {
    let mut text = tick.state.to_string();
    if tick.count > 1 {
        text.push_str(&format!(" {} times", tick.count));
    }
    if let Some(intent) = tick.intent {
        text.push_str(&format!(" {intent}"));
    }
    if let Some(by) = &tick.asked_by {
        text.push_str(&format!(", for {by}"));
    }
    if let Some(error) = &tick.error {
        text.push_str(&format!(": {error}"));
    }
    text
}
