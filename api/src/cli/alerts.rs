//! `intendant alerts`: what people should know of.

use std::io::Write as _;

use anyhow::Result;
use clap::{Args, value_parser};
use intendant::{Alert, AlertFilter, AlertKind, Which, limits};

use super::args::{IntentArg, Place};

/// Options of `intendant alerts`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Resolved ones, too
    #[arg(long)]
    all: bool,
    /// Of this kind: 'intent deadline', 'step deadline', 'slow step', 'queue too old', 'no worker', 'worker gone' or 'kind
    /// backs off'
    #[arg(long)]
    kind: Option<AlertKind>,
    /// About this intent
    #[arg(long, value_name = "ID")]
    intent: Option<IntentArg>,
    /// Most of them
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(limits::PAGE)))]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn alerts(options: Options) -> Result<()> {
    let site = options.place.connect().await?;
    let filter = AlertFilter {
        which: match options.all {
            true => Which::All,
            false => Which::Open,
        },
        kind: options.kind,
        intent: match options.intent {
            Some(intent) => Some(intent.resolve(&site).await?),
            None => None,
        },
        limit: Some(options.limit),
    };
    let alerts = site.alerts(filter).await?;
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&alerts)?)?;
        return Ok(());
    }
    for alert in &alerts {
        writeln!(out, "{}", line(alert))?;
    }
    if alerts.is_empty() {
        eprintln!("no alerts");
    } else if alerts.len() == options.limit as usize {
        eprintln!("there may be more: --limit");
    }
    Ok(())
}

/// `queue too old since 2026-11-21 08:12:00: the oldest task of queue `mail`… (resolved 2026-11-21 08:20:00)`
fn line(alert: &Alert) -> String {
    // One line, and nothing in it that a terminal would act on.
    let text = alert.text.chars();
    let text: String = text.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let time = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M:%S").to_string();
    let intent = match alert.intent {
        Some(intent) => format!(", {intent}"),
        None => String::new(),
    };
    let resolved = match alert.resolved_at {
        Some(at) => format!(", resolved {}", time(at)),
        None => String::new(),
    };
    format!(
        "{}: {text} (since {}{resolved}{intent})",
        alert.kind,
        time(alert.since)
    )
}
