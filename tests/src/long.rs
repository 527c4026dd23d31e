//! Long work for the chaos tests: a step that counts its rows, with a checkpoint after each, and a ledger of what it did.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use intendant::{Cx, Intent, StepResult};
use serde::{Deserialize, Serialize};

use crate::chaos::Effects;

/// An operation of one long step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Count {
    /// So many rows.
    pub rows: u64,
    /// How long each takes.
    pub row_ms: u64,
}

impl Intent for Count {
    const KIND: &'static str = "chaos.count";
    type Output = u64;
}

/// Counts, and writes into the ledger beside the one of effects: each row as it is done, and each checkpoint when it is
/// known to be kept.
pub async fn count(cx: Cx<Effects>, count: Count) -> StepResult<u64> {
    let (path, id) = (rows_of(&cx.state().ledger), cx.intent_id());
    let note = |word: &str, row: u64| -> std::io::Result<()> {
        // One write a line, so that lines of several processes do not mix.
        let line = format!("{word} {id} {row} {}\n", std::process::id());
        let mut options = std::fs::OpenOptions::new();
        let mut ledger = options.append(true).create(true).open(&path)?;
        ledger.write_all(line.as_bytes())
    };
    let mut done = cx.last_checkpoint::<u64>().await?.unwrap_or(0);
    while done < count.rows {
        done += 1;
        note("row", done)?;
        tokio::time::sleep(Duration::from_millis(count.row_ms)).await;
        cx.checkpoint(&done).await?;
        note("kept", done)?;
    }
    Ok(done)
}

fn rows_of(ledger: &Path) -> PathBuf {
    ledger.with_extension("rows")
}

/// What the ledger says.
#[derive(Debug, Default)]
pub struct Counted {
    /// Times that a row was begun.
    pub begun: usize,
    /// Intents that more than one process worked on.
    pub handed_over: usize,
    /// Rows that were begun again, since they had not been kept.
    pub repeated: usize,
}

/// Judges by the ledger: every row of every intent was done, and none that was known to be kept was done again.
pub fn judge(ledger: &Path, intents: usize, rows: u64) -> Result<Counted> {
    let text = std::fs::read_to_string(rows_of(ledger))?;
    let mut kept: HashMap<&str, u64> = HashMap::new();
    let mut seen: HashMap<&str, HashSet<u64>> = HashMap::new();
    let mut pids: HashMap<&str, HashSet<&str>> = HashMap::new();
    let mut counted = Counted::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [word, intent, row, pid] = words[..] else {
            anyhow::bail!("a torn line in the ledger: {line:?}");
        };
        let row: u64 = row.parse().context("a row")?;
        let last = kept.entry(intent).or_default();
        if word == "kept" {
            *last = row.max(*last);
            continue;
        }
        ensure!(
            row > *last,
            "row {row} of {intent} was done again, and {last} were kept"
        );
        ensure!(
            row <= *last + 2,
            "row {row} of {intent} was done, and only {last} were kept"
        );
        counted.begun += 1;
        counted.repeated += usize::from(!seen.entry(intent).or_default().insert(row));
        pids.entry(intent).or_default().insert(pid);
    }
    ensure!(seen.len() == intents, "{} of {intents} ran", seen.len());
    for (intent, seen) in seen {
        ensure!(
            seen.len() as u64 == rows,
            "{} of {rows} rows of {intent}",
            seen.len()
        );
    }
    counted.handed_over = pids.values().filter(|pids| pids.len() > 1).count();
    Ok(counted)
}
