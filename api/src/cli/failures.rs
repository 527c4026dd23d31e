//! `intendant failures`: what has failed, in groups.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use intendant::{FailureGroup, IntentFilter};

use super::args::{Place, label, resource, when};

/// Options of `intendant failures`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Of this account
    #[arg(long)]
    account: Option<String>,
    /// On this resource, `type:id`
    #[arg(long, value_name = "TYPE:ID", value_parser = resource)]
    resource: Option<String>,
    /// With this label
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Option<(String, String)>,
    /// Failed since then: a time, or how long ago, as in `2h`, `3d`
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<chrono::DateTime<chrono::Utc>>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn failures(options: Options) -> Result<()> {
    let site = options.place.connect().await?;
    let filter = IntentFilter {
        kind: options.kind,
        account: options.account,
        resource: options.resource,
        label: options.label,
        finished_since: options.since,
        ..IntentFilter::default()
    };
    let failures = site.failures(filter).await?;
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&failures)?)?;
        return Ok(());
    }
    for group in &failures.groups {
        writeln!(out, "{}", line(group))?;
    }
    if let [most, _, ..] = failures.kinds.as_slice() {
        let since = most.since.format("%Y-%m-%d %H:%M:%S");
        eprintln!(
            "most failures: {} of {}, since {since}",
            most.count, most.kind
        );
    }
    if failures.more {
        eprintln!("there are older ones");
    } else if failures.groups.is_empty() {
        eprintln!("nothing is failed");
    }
    Ok(())
}

/// `214 × replica.add in attach: connection refused (since 2026-11-21 08:12:00, last 09:40:11, 01a1fc69-…)`
fn line(group: &FailureGroup) -> String {
    let place = match &group.step {
        Some(step) => format!(" in {step}"),
        None => String::new(),
    };
    // One line, and nothing in it that a terminal would act on.
    let error = group.error.lines().next().unwrap_or_default();
    let error: String = error
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let times = match group.count {
        1 => format!("at {}", group.last.format("%Y-%m-%d %H:%M:%S")),
        _ => format!(
            "since {}, last {}",
            group.since.format("%Y-%m-%d %H:%M:%S"),
            group.last.format("%Y-%m-%d %H:%M:%S")
        ),
    };
    let FailureGroup {
        count,
        kind,
        reason,
        newest,
        ..
    } = group;
    format!("{count} × {kind}{place}: {error} ({reason}, {times}, {newest})")
}
