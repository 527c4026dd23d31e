//! `kinds`: the sorts of operations that there are.

use anyhow::Result;
use clap::Args;

use super::args::Place;
use super::program::Program;
use crate::output::table::{Fit, Table};
use crate::output::words::one_line;

/// Options of `kinds`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// This one only, with the schema of its input
    kind: Option<String>,
    /// Those of this program, whether or not they have been registered
    #[arg(long, conflicts_with_all = ["kind", "json"])]
    own: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn kinds(options: Options, program: Program) -> Result<()> {
    if options.own {
        let engine = options.place.connect_database().await?;
        for worker in program.code(&engine).await? {
            for kind in worker.kinds() {
                println!("{kind}");
            }
        }
        return Ok(());
    }
    let site = options.place.connect().await?;
    if let Some(kind) = &options.kind {
        let record = site.kind(kind).await?;
        let schema = match &record.input_schema {
            Some(schema) if !options.json => serde_json::from_str(schema.get())?,
            _ => serde_json::to_value(&record)?,
        };
        if !options.json {
            let queue = &record.queue;
            let description = record.description.unwrap_or_default();
            eprintln!("{kind}, in queue `{queue}`: {description}");
            if record.input_schema.is_none() {
                eprintln!("its code says nothing of its input");
                return Ok(());
            }
        }
        println!("{schema:#}");
        return Ok(());
    }
    let known = site.kinds().await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&known)?);
        return Ok(());
    }
    let mut table = Table::new([
        ("kind", Fit::Whole),
        ("queue", Fit::Whole),
        ("sessions", Fit::Whole),
        ("what it does", Fit::Cut(20)),
    ]);
    for kind in &known {
        table.row([
            kind.kind.clone(),
            kind.queue.clone(),
            kind.sessions.to_string(),
            one_line(kind.description.as_deref().unwrap_or_default()),
        ]);
    }
    if known.is_empty() {
        eprintln!("no worker has registered a kind yet");
        return Ok(());
    }
    table.print();
    Ok(())
}
