//! `doctor`: whether all is well, and what to do where it is not.

mod findings;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use intendant::{AlertFilter, Intendant, IntentFilter};

use self::findings::{Facts, Finding, Level, findings};
use super::args::Database;
use super::exit;
use crate::output::table::{Fit, Table};
use crate::output::words::one_line;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Look at every row for what must never be; takes longer with a longer history
    #[arg(long)]
    rows: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: Database,
}

pub(super) async fn doctor(options: Options) -> Result<ExitCode> {
    // A database without its tables is looked at as well.
    let engine = Intendant::with_options(&options.database.options()?).await?;
    let found = findings(&facts(&engine, options.rows).await?);
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&found)?),
        false => tell(&found),
    }
    let is_well = found.iter().all(|finding| finding.level != Level::Trouble);
    Ok(match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}

async fn facts(engine: &Intendant, rows: bool) -> Result<Facts> {
    let mut facts = Facts::new(engine.checkup().await?);
    if facts.checkup.is_migrated() {
        facts.unfinished = engine.unfinished().await?.total();
        facts.workers = engine.workers().await?;
        facts.queues = engine.queues().await?;
        facts.alerts = engine.alerts(AlertFilter::default()).await?;
        facts.failures = Some(engine.failures(IntentFilter::default()).await?);
        if rows {
            facts.breaches = Some(engine.invariant_breaches().await?);
        }
    }
    Ok(facts)
}

fn tell(found: &[Finding]) {
    let mut table = Table::new([
        ("", Fit::Whole),
        ("what", Fit::Whole),
        ("found", Fit::Cut(30)),
    ]);
    for finding in found {
        let level = finding.level.word().to_owned();
        table.row([level, finding.subject.to_owned(), finding.found.clone()]);
    }
    table.print();
    let advice = found.iter().filter_map(|finding| {
        let advice = finding.advice.as_ref()?;
        Some(format!("{}: {}", finding.subject, one_line(advice)))
    });
    let advice: Vec<_> = advice.collect();
    if !advice.is_empty() {
        println!("\nwhat to do");
        for line in advice {
            println!("  {line}");
        }
    }
}
