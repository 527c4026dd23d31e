//! How records are printed: tables for people, JSON for programs.

pub mod logs;
pub mod show;
pub(crate) mod table;
pub(crate) mod words;

use anyhow::Result;
use clap::{Args, ValueEnum};
use intendant::{Intendant, IntentId, IntentRecord, IntentState, Why};
use serde_json::json;

use table::{Fit, Table};
use words::{age, took, what};

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
    table.print();
    Ok(())
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
pub async fn show(intendant: &Intendant, id: IntentId, format: Format) -> Result<()> {
    let record = intendant.get(id).await?;
    if format.is_table() {
        return show::intent(intendant, &record).await;
    }
    let document = json!({
        "intent": record,
        "why": intendant.why(id).await?.reasons,
        "steps": intendant.all_steps(id).await?,
        "attempts": intendant.attempts(id).await?,
        "measurements": intendant.measurements(id).await?,
        "logs": intendant.logs(id).await?,
        "events": intendant.events(id).await?,
        "children": intendant.children(id).await?,
    });
    match format.output {
        Kind::Id => println!("{id}"),
        Kind::Jsonl => println!("{document}"),
        Kind::Table | Kind::Json => println!("{document:#}"),
    }
    Ok(())
}

/// Prints what an intent waits for.
pub fn why(why: &Why, format: Format) -> Result<()> {
    match format.output {
        Kind::Table => {
            let id = why.intent;
            println!("{id}  {}  {}", why.kind, why.state);
            for reason in &why.reasons {
                println!("  {}", words::one_line(&reason.to_string()));
            }
        }
        Kind::Json => println!("{}", serde_json::to_string_pretty(why)?),
        Kind::Jsonl => println!("{}", serde_json::to_string(why)?),
        Kind::Id => println!("{}", why.intent),
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
