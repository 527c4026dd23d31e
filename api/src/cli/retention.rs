//! `intendant retention`: how long what has finished is kept, and what was removed.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use intendant::{IntentState, RetentionRecord};

use super::args::Place;
use super::values::span_of_time;
use super::verbs::Actor;
use crate::http::RetentionRule;
use crate::output::table::{Fit, Table};

/// What is done about what is old.
#[derive(Debug, Subcommand)]
pub(super) enum Retention {
    /// The rules: what goes when, and who says so; without any, everything is kept
    #[command(
        after_help = "Examples:\n  intendant retention list\n  intendant retention list --json"
    )]
    List(Look),
    /// Say how long what ended in a state is kept; this counts before what the code declares
    #[command(
        after_help = "Examples:\n  intendant retention set succeeded --rows 30d --payloads 7d --reason 'as the law has it'\n  \
                      intendant retention set failed --kind mail.send --rows 90d\n  \
                      intendant retention set cancelled --for-ever"
    )]
    Set(Set),
    /// Take back what a person has said: what the code declares counts again
    #[command(after_help = "Example:\n  intendant retention unset succeeded")]
    Unset(Unset),
    /// How much was removed, by day and kind
    #[command(after_help = "Example:\n  intendant retention removed")]
    Removed(Look),
    /// What is old enough and had to stay, and why
    #[command(after_help = "Example:\n  intendant retention kept")]
    Kept(Look),
    /// Remove what is old enough now, without waiting for a worker
    #[command(after_help = "Example:\n  intendant retention run")]
    Run(Look),
    /// What people have said before, the latest first
    #[command(after_help = "Example:\n  intendant retention changes --kind mail.send")]
    Changes(Changes),
}

#[derive(Debug, Args)]
pub(super) struct Look {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Which intents.
#[derive(Debug, Args)]
struct Of {
    /// What ended like this: succeeded, failed or cancelled
    state: IntentState,
    /// Only of this kind; otherwise of all that have no rule of their own
    #[arg(long)]
    kind: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    of: Of,
    /// Everything of it is kept so long, as in `30d`, from when its tree's root finished
    #[arg(long, value_name = "TIME", value_parser = span_of_time)]
    rows: Option<Duration>,
    /// Inputs, outputs and results of steps are kept so long, if that is shorter
    #[arg(long, value_name = "TIME", value_parser = span_of_time)]
    payloads: Option<Duration>,
    /// It is kept for ever
    #[arg(long, conflicts_with_all = ["rows", "payloads"], required_unless_present_any = ["rows", "payloads"])]
    for_ever: bool,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Unset {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Changes {
    /// Of the rules of this kind; otherwise of those for all kinds
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    look: Look,
}

pub(super) async fn retention(action: Retention) -> Result<()> {
    match action {
        Retention::List(look) => list(look).await,
        Retention::Set(set) => say(set).await,
        Retention::Unset(Unset { of, actor, place }) => {
            let site = place.connect().await?;
            let actor = actor.at(&site)?;
            let unsaid = site.retain_as_declared(of.kind.as_deref(), of.state, &actor);
            match unsaid.await? {
                true => println!("what the code declares counts again"),
                false => println!("nobody has said anything of that"),
            }
            Ok(())
        }
        Retention::Removed(look) => removed(look).await,
        Retention::Kept(look) => kept(look).await,
        Retention::Run(look) => {
            let removed = look.place.connect_database().await?.remove_old().await?;
            match look.json {
                true => println!("{}", serde_json::to_string_pretty(&removed)?),
                false => println!(
                    "removed {} intents, and the payloads of {}",
                    removed.intents, removed.payloads
                ),
            }
            Ok(())
        }
        Retention::Changes(Changes { kind, look }) => {
            let site = look.place.connect().await?;
            let changes = site.retention_changes(kind.as_deref()).await?;
            if look.json {
                println!("{}", serde_json::to_string_pretty(&changes)?);
                return Ok(());
            }
            let mut table = Table::new([
                ("AT", Fit::Whole),
                ("WHAT", Fit::Whole),
                ("BY", Fit::Whole),
                ("WHY", Fit::Cut(20)),
            ]);
            for change in changes {
                table.row([
                    change.at.format("%F %T").to_string(),
                    change.verb,
                    change.actor,
                    change.reason.unwrap_or_default(),
                ]);
            }
            table.print();
            Ok(())
        }
    }
}

async fn say(set: Set) -> Result<()> {
    let rule = RetentionRule {
        kind: set.of.kind,
        state: set.of.state,
        rows_s: set.rows.map(|span| span.as_secs()),
        payloads_s: set.payloads.map(|span| span.as_secs()),
        reason: None,
    };
    let site = set.place.connect().await?;
    let actor = set.actor.at(&site)?;
    match site.retain(&rule, &actor).await? {
        true => println!("said; it counts from now on"),
        false => println!("it is so already"),
    }
    Ok(())
}

async fn list(look: Look) -> Result<()> {
    let rules = look.place.connect().await?.retentions().await?;
    if look.json {
        println!("{}", serde_json::to_string_pretty(&rules)?);
        return Ok(());
    }
    let mut table = Table::new([
        ("KIND", Fit::Whole),
        ("STATE", Fit::Whole),
        ("ROWS", Fit::Whole),
        ("PAYLOADS", Fit::Whole),
        ("SAID BY", Fit::Cut(20)),
    ]);
    for rule in &rules {
        table.row([
            rule.kind.clone().unwrap_or_else(|| "all others".to_owned()),
            rule.state.to_string(),
            time(rule.rows_s, "for ever"),
            time(rule.payloads_s, "as long"),
            said(rule),
        ]);
    }
    table.print();
    if rules.is_empty() {
        eprintln!("no rules: everything is kept");
    }
    Ok(())
}

fn said(rule: &RetentionRecord) -> String {
    let by = match rule.revision {
        Some(revision) => format!("code of {}, revision {revision}", rule.said_by),
        None => rule.said_by.clone(),
    };
    let reason = rule.reason.as_deref();
    let by = reason.map_or_else(|| by.clone(), |why| format!("{by}: {why}"));
    match rule.counts {
        true => by,
        false => format!("{by} (a person says otherwise)"),
    }
}

fn time(seconds: Option<u64>, none: &str) -> String {
    match seconds {
        None => none.to_owned(),
        Some(seconds) if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        Some(seconds) if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        Some(seconds) => format!("{seconds} s"),
    }
}

async fn removed(look: Look) -> Result<()> {
    let removals = look.place.connect().await?.removals().await?;
    if look.json {
        println!("{}", serde_json::to_string_pretty(&removals)?);
        return Ok(());
    }
    let mut table = Table::new([
        ("DAY", Fit::Whole),
        ("KIND", Fit::Whole),
        ("WHAT", Fit::Whole),
        ("INTENTS", Fit::Whole),
    ]);
    for gone in &removals {
        table.row([
            gone.day.to_string(),
            gone.kind.clone(),
            gone.what.clone(),
            gone.intents.to_string(),
        ]);
    }
    table.print();
    if removals.is_empty() {
        eprintln!("nothing was ever removed");
    }
    Ok(())
}

async fn kept(look: Look) -> Result<()> {
    let kept = look.place.connect().await?.kept_by_retention().await?;
    if look.json {
        println!("{}", serde_json::to_string_pretty(&kept)?);
        return Ok(());
    }
    let mut table = Table::new([
        ("INTENT", Fit::Whole),
        ("WHAT", Fit::Whole),
        ("WHY", Fit::Cut(20)),
    ]);
    for kept in &kept {
        table.row([
            kept.intent.to_string(),
            kept.what.clone(),
            kept.reason.clone(),
        ]);
    }
    table.print();
    if kept.is_empty() {
        eprintln!("nothing that is old enough had to stay");
    }
    Ok(())
}
