//! How records are printed: tables for people, JSON for programs.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use intendant::{Intendant, IntentId, IntentRecord, IntentState, StepRecord};
use serde_json::json;

/// How to print.
#[derive(Debug, Clone, Args)]
pub struct Format {
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t = Kind::Table)]
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

/// Prints a page of intents.
pub fn list(records: &[IntentRecord], format: &Format) -> Result<()> {
    match format.output {
        Kind::Table => {
            let mut table = table([
                "id",
                "kind",
                "account",
                "state",
                "requested",
                "took",
                "what",
            ]);
            for record in records {
                table.add_row([
                    record.id.to_string(),
                    record.kind.clone(),
                    record.account.clone().unwrap_or_default(),
                    record.state.to_string(),
                    age(record.requested_at),
                    took(record),
                    what(record),
                ]);
            }
            println!("{table}");
            eprintln!("{} intents", records.len());
        }
        Kind::Json => println!("{}", serde_json::to_string_pretty(records)?),
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

/// Prints one intent with everything that is known of it.
pub async fn show(intendant: &Intendant, id: IntentId, format: &Format) -> Result<()> {
    let record = intendant.get(id).await?;
    let (steps, attempts) = (intendant.steps(id).await?, intendant.attempts(id).await?);
    let (events, children) = (intendant.events(id).await?, intendant.children(id).await?);
    match format.output {
        Kind::Id => println!("{id}"),
        Kind::Json | Kind::Jsonl => {
            let document = json!({
                "intent": record, "steps": steps, "attempts": attempts, "events": events, "children": children,
            });
            let text = if format.output == Kind::Json {
                format!("{document:#}")
            } else {
                document.to_string()
            };
            println!("{text}");
        }
        Kind::Table => {
            print_record(&record);
            print_steps(&steps);
            for attempt in attempts {
                let retry = attempt.retry_at.map_or("not tried again".to_owned(), |at| {
                    format!("tried again at {}", time(at))
                });
                println!(
                    "attempt {} at `{}` failed ({}): {}; {retry}",
                    attempt.attempt, attempt.step, attempt.failure, attempt.error
                );
            }
            for child in children {
                println!(
                    "`{}` asked for child `{}`: {}",
                    child.step, child.name, child.id
                );
            }
            for event in events {
                let reason = event
                    .reason
                    .map_or(String::new(), |reason| format!(": {reason}"));
                println!(
                    "{} {} by {}{reason}",
                    time(event.at),
                    event.verb,
                    event.actor
                );
            }
        }
    }
    Ok(())
}

/// Prints an intent's record.
pub fn print_record(record: &IntentRecord) {
    println!("{}  {}  {}", record.id, record.kind, record.state);
    let resources: Vec<_> = record
        .resources
        .iter()
        .map(|r| format!("{} ({})", r.resource, r.mode.as_str()))
        .collect();
    let optional = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            println!("  {name:<10} {value}");
        }
    };
    optional("account", record.account.clone());
    optional("resources", Some(resources.join(", ")));
    optional("asked by", record.requested_by.clone());
    optional("requested", Some(time(record.requested_at)));
    optional("started", record.started_at.map(time));
    optional("finished", record.finished_at.map(time));
    optional("took", Some(took(record)));
    let due = record
        .due_at
        .map_or(String::new(), |due| format!(", until {}", time(due)));
    optional(
        "waits for",
        record.waiting_for.clone().map(|what| what + &due),
    );
    optional("input", Some(record.input.get().to_owned()));
    optional(
        "output",
        record.output.as_ref().map(|output| output.get().to_owned()),
    );
    optional("parent", record.parent_id.map(|parent| parent.to_string()));
    if record.state == IntentState::Failed {
        optional("failed", Some(what(record)));
    }
}

/// Prints the steps of an intent.
pub fn print_steps(steps: &[StepRecord]) {
    if steps.is_empty() {
        return;
    }
    let mut table = table(["step", "state", "attempt", "started", "took", "says"]);
    for step in steps {
        let took = step
            .started_at
            .zip(step.finished_at)
            .map(|(start, end)| span(end - start));
        let progress = step
            .progress
            .as_ref()
            .map(|progress| progress.get().to_owned());
        let output = step.output.as_ref().map(|output| output.get().to_owned());
        table.add_row([
            step.name.clone(),
            step.state.to_string(),
            step.attempt.to_string(),
            step.started_at.map(time).unwrap_or_default(),
            took.unwrap_or_default(),
            shorten(
                &step
                    .error
                    .clone()
                    .or(output)
                    .or(progress)
                    .unwrap_or_default(),
            ),
        ]);
    }
    println!("{table}");
}

/// Prints an account's operations in plain words.
pub fn history(records: &[IntentRecord]) {
    for record in records {
        let resources: Vec<_> = record
            .resources
            .iter()
            .map(|r| r.resource.as_str())
            .collect();
        let on = if resources.is_empty() {
            String::new()
        } else {
            format!(" on {}", resources.join(", "))
        };
        let by = record
            .requested_by
            .as_ref()
            .map_or(String::new(), |who| format!(", asked for by {who}"));
        let came = match record.state {
            IntentState::Succeeded => format!("done, took {}", took(record)),
            IntentState::Failed => format!("failed: {}", what(record)),
            IntentState::Cancelled => "cancelled".to_owned(),
            IntentState::Running => "being worked on".to_owned(),
            IntentState::Ready => "waits for a worker".to_owned(),
            IntentState::Blocked => "waits for another operation on the same resource".to_owned(),
            IntentState::Waiting => format!(
                "waits for {}",
                record.waiting_for.as_deref().unwrap_or("something")
            ),
            IntentState::Undoing => "being taken back".to_owned(),
        };
        println!(
            "{}  {}{on}{by}: {came}  [{}]",
            time(record.requested_at),
            record.kind,
            record.id
        );
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// What there is to say about an intent in a line.
fn what(record: &IntentRecord) -> String {
    match (record.state, &record.error) {
        (IntentState::Failed, Some(error)) => {
            let step = record
                .failed_step
                .as_ref()
                .map_or(String::new(), |step| format!(" in `{step}`"));
            shorten(&format!(
                "{}{step}: {error}",
                record.reason.as_deref().unwrap_or("failed")
            ))
        }
        (IntentState::Waiting, _) => format!(
            "waits for {}",
            record.waiting_for.as_deref().unwrap_or("something")
        ),
        _ => String::new(),
    }
}

fn took(record: &IntentRecord) -> String {
    record
        .started_at
        .zip(record.finished_at)
        .map(|(start, end)| span(end - start))
        .unwrap_or_default()
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

fn age(since: DateTime<Utc>) -> String {
    format!("{} ago", span(Utc::now() - since))
}

/// A span of time, in the unit that fits.
fn span(span: chrono::TimeDelta) -> String {
    let ms = span.num_milliseconds().max(0);
    match ms {
        0..=9 => format!(
            "{:.1} ms",
            span.num_microseconds().unwrap_or(0).max(0) as f64 / 1000.0
        ),
        10..=999 => format!("{ms} ms"),
        1_000..=59_999 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..=3_599_999 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        3_600_000..=86_399_999 => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{} d {} h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// A text that fits a table's cell.
fn shorten(text: &str) -> String {
    const CHARS: usize = 100;
    let line = text.replace('\n', " ");
    if line.chars().count() <= CHARS {
        return line;
    }
    let start: String = line.chars().take(CHARS).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_span_is_told_in_the_unit_that_fits() {
        let told: Vec<_> = [500, 45_000, 900_000, 5_400_000, 125_000_000, 90_061_000_000]
            .into_iter()
            .map(|us| span(TimeDelta::microseconds(us)))
            .collect();
        assert_eq!(
            told,
            ["0.5 ms", "45 ms", "900 ms", "5.4 s", "2 min 5 s", "1 d 1 h"]
        );
    }
}
