//! What the ledger and the history have to show beside what all chaos tests judge.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, ensure};
use intendant::{IntentFilter, IntentId, IntentState};
use intendant_tests::chaos::{Chaos, Line, Work};

use crate::asking::Asked;

/// How far an intent had come, by the lines before.
#[derive(Debug, Default)]
struct Reached {
    first_ended: bool,
    second_started: bool,
}

/// No step begins before the one before it has come to its end.
///
/// `first` writes its end before its result goes anywhere, so `second` has to find it in the ledger. `second` writes its own
/// after its result is on disk, and may be killed in between: `third` has to find its start.
pub(crate) fn no_early_steps(lines: &[Line]) -> Result<()> {
    let mut reached: HashMap<&str, Reached> = HashMap::new();
    for line in lines {
        let reached = reached.entry(&line.intent).or_default();
        let early = match (line.step.as_str(), line.started) {
            ("second", true) => !reached.first_ended,
            ("third", true) => !reached.second_started,
            _ => false,
        };
        ensure!(!early, "too early: {line:?} after {reached:?}");
        reached.first_ended |= line.step == "first" && !line.started;
        reached.second_started |= line.step == "second" && line.started;
    }
    Ok(())
}

/// How many of these processes have begun a step that they have not ended. An attempt that failed has no end in the ledger; the
/// next one's will do.
pub(crate) fn amid_a_step(lines: &[Line], killed: &[String]) -> u64 {
    let killed: HashSet<&str> = killed.iter().map(String::as_str).collect();
    let mut open: HashMap<&str, HashSet<(&str, &str)>> = HashMap::new();
    for line in lines {
        if !killed.contains(line.pid.as_str()) {
            continue;
        }
        let steps = open.entry(&line.pid).or_default();
        let step = (line.intent.as_str(), line.step.as_str());
        match line.started {
            true => steps.insert(step),
            false => steps.remove(&step),
        };
    }
    open.values().filter(|steps| !steps.is_empty()).count() as u64
}

/// What a server has acknowledged is in the history, once each, with the input that was sent and the output that belongs to it.
pub(crate) async fn nothing_acknowledged_is_lost(chaos: &Chaos, asked: &Asked) -> Result<()> {
    let mut seen = HashSet::new();
    for (number, id) in &asked.acknowledged {
        ensure!(seen.insert(id), "{id} was acknowledged twice");
        let record = chaos.intendant.get(id.parse::<IntentId>()?).await?;
        let input: Work = serde_json::from_str(record.input.get())?;
        let output = record.output.as_ref().context("an output")?;
        let output: usize = serde_json::from_str(output.get())?;
        ensure!(
            record.state == IntentState::Succeeded && (input.number, output) == (*number, *number),
            "{number} was acknowledged as {id}: {record:?}"
        );
    }
    Ok(())
}

/// Whoever is hit by three kills looks like a poison, and is resumed; nothing fails otherwise. Returns how many there were.
pub(crate) async fn resume_quarantined(chaos: &Chaos) -> Result<u64> {
    let filter = IntentFilter {
        state: Some(IntentState::Failed),
        limit: Some(1_000),
        ..IntentFilter::default()
    };
    for record in chaos.intendant.list(filter).await? {
        ensure!(
            record.reason.as_deref() == Some("quarantined"),
            "{} has failed: {:?}",
            record.id,
            record.error
        );
    }
    Ok(chaos.resume_failed().await? as u64)
}
