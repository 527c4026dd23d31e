//! How records are printed: tables for people, JSON for programs.

pub mod logs;
pub(crate) mod screen;
pub mod show;
pub(crate) mod table;
pub(crate) mod words;

use anyhow::Result;
use clap::{Args, ValueEnum};
use intendant::{IntentId, IntentRecord, IntentState};

use table::{Fit, Table, width_of_stdout};
use words::{age, took, what};

use crate::site::{self, Explained, Site};

/// How to print.
#[derive(Debug, Clone, Copy, Args)]
pub struct Format {
    /// How to print
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value_t = Kind::Table,
        hide_possible_values = true,
        value_name = "table|json|jsonl|id"
    )]
    output: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
    /// The ids, one a line
    Id,
}

impl Format {
    /// Whether it is people who read it.
    pub fn is_table(self) -> bool {
        self.output == Kind::Table
    }
}

/// Prints a page of intents.
pub fn list(records: &[IntentRecord], format: Format) -> Result<()> {
    if !format.is_table() {
        return print_documents(records, format);
    }
    table_of(records).print();
    Ok(())
}

/// Intents, a line each.
pub(crate) fn table_of(records: &[IntentRecord]) -> Table {
    let mut table = Table::new([
        ("id", Fit::Id),
        ("kind", Fit::Whole),
        ("account", Fit::Optional(1)),
        ("state", Fit::Whole),
        ("requested", Fit::Whole),
        ("took", Fit::Optional(2)),
        ("what", Fit::Cut(20)),
    ]);
    for record in records {
        table.row([
            record.id.to_string(),
            record.kind.clone(),
            record.account.clone().unwrap_or_default(),
            record.state.to_string(),
            age(record.requested_at),
            took(record),
            what(record),
        ]);
    }
    table
}

/// Prints an account's operations in plain words.
pub fn history(records: &[IntentRecord], format: Format) -> Result<()> {
    if !format.is_table() {
        return print_documents(records, format);
    }
    let mut table = Table::new([
        ("requested", Fit::Whole),
        ("operation", Fit::Cut(20)),
        ("requested by", Fit::Optional(1)),
        ("what came of it", Fit::Cut(20)),
        ("id", Fit::Id),
    ]);
    for record in records {
        let resources: Vec<_> = record
            .resources
            .iter()
            .map(|used| used.resource.as_str())
            .collect();
        let on = if resources.is_empty() {
            String::new()
        } else {
            format!(" on {}", resources.join(", "))
        };
        table.row([
            age(record.requested_at),
            format!("{}{on}", record.kind),
            record.requested_by.clone().unwrap_or_default(),
            came_of(record),
            record.id.to_string(),
        ]);
    }
    table.print();
    Ok(())
}

fn came_of(record: &IntentRecord) -> String {
    match record.state {
        IntentState::Succeeded => format!("done, took {}", took(record)),
        IntentState::Failed => format!("failed: {}", what(record)),
        IntentState::Cancelled => "cancelled".to_owned(),
        IntentState::Running => "being worked on".to_owned(),
        IntentState::Ready => "waits for a worker".to_owned(),
        IntentState::Blocked => "waits for another operation on the same resource".to_owned(),
        IntentState::Waiting => what(record),
        IntentState::Undoing => "being taken back".to_owned(),
    }
}

/// Prints one intent with everything that is known of it.
pub(crate) async fn show(site: &Site, id: IntentId, format: Format) -> Result<()> {
    if format.is_table() {
        print!("{}", picture(site, id, width_of_stdout()).await?);
        return Ok(());
    }
    let document = site::document(site, id).await?;
    match format.output {
        Kind::Id => println!("{id}"),
        Kind::Jsonl => println!("{document}"),
        Kind::Table | Kind::Json => println!("{document:#}"),
    }
    Ok(())
}

/// The same, for people, on a terminal so wide.
pub(crate) async fn picture(site: &Site, id: IntentId, width: Option<usize>) -> Result<String> {
    show::intent(site, &site.get(id).await?, width).await
}

/// Prints what an intent waits for.
pub(crate) fn why(why: &Explained, format: Format) -> Result<()> {
    let Explained { words, facts } = why;
    let said = |name: &str| facts[name].as_str().unwrap_or_default();
    match format.output {
        Kind::Table => {
            println!("{}  {}  {}", said("intent"), said("kind"), said("state"));
            for reason in words {
                println!("  {}", words::one_line(reason));
            }
        }
        Kind::Json => println!("{}", serde_json::to_string_pretty(facts)?),
        Kind::Jsonl => println!("{}", serde_json::to_string(facts)?),
        Kind::Id => println!("{}", said("intent")),
    }
    Ok(())
}

fn print_documents(records: &[IntentRecord], format: Format) -> Result<()> {
    match format.output {
        Kind::Table | Kind::Json => println!("{}", serde_json::to_string_pretty(records)?),
        Kind::Jsonl => {
            for record in records {
                println!("{}", serde_json::to_string(record)?);
            }
        }
        Kind::Id => {
            for record in records {
                println!("{}", record.id);
            }
        }
    }
    Ok(())
}
