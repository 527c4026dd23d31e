//! What an intent's steps have logged, and what they have measured.

use anyhow::Result;
use intendant::{IntentId, LogRecord, MeasureRecord};

use super::words::{count, one_line, time};
use super::{Format, Kind};

/// Prints what an intent's attempts have logged.
pub fn print(id: IntentId, logs: &[LogRecord], format: Format) -> Result<()> {
    match format.output {
        Kind::Table => {
            for (nth, log) in logs.iter().enumerate() {
                if nth > 0 {
                    println!();
                }
                println!("{}", title(log));
                for line in lines(log) {
                    println!("  {}", one_line(&line));
                }
            }
        }
        Kind::Json => println!("{}", serde_json::to_string_pretty(logs)?),
        Kind::Jsonl => {
            for log in logs {
                println!("{}", serde_json::to_string(log)?);
            }
        }
        Kind::Id => println!("{id}"),
    }
    Ok(())
}

fn title(log: &LogRecord) -> String {
    let round = match log.generation {
        1 => String::new(),
        generation => format!(" (time round {generation})"),
    };
    format!(
        "`{}`{round}, attempt {}, ended {} on {}",
        one_line(&log.step),
        log.attempt,
        time(log.at),
        one_line(&log.worker)
    )
}

fn lines(log: &LogRecord) -> Vec<String> {
    let cut = match (log.cut_lines, log.cut_bytes) {
        (0, 0) => None,
        (0, bytes) => Some(format!("… {bytes} bytes of long lines are cut")),
        (lines, bytes) => {
            let lines = count(usize::try_from(lines).unwrap_or(usize::MAX), "line");
            Some(format!("… {lines} before these, {bytes} bytes, are cut"))
        }
    };
    let lines = log.lines.iter().map(|line| {
        let seconds = line.us as f64 / 1e6;
        format!(
            "{seconds:>10.3} s  {:<5} {}: {}",
            line.level, line.target, line.text
        )
    });
    cut.into_iter().chain(lines).collect()
}

/// What an attempt has measured, in a line.
pub(super) fn measured(measure: &MeasureRecord) -> String {
    let MeasureRecord {
        step,
        attempt,
        name,
        value,
        ..
    } = measure;
    format!("attempt {attempt} at `{step}`: {name} = {value}")
}

/// What attempts have logged, in a line each.
pub(super) fn summary(log: &LogRecord) -> String {
    let lines = count(log.lines.len(), "line");
    format!("attempt {} at `{}`: {lines}", log.attempt, log.step)
}
