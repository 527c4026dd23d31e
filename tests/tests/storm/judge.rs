//! What the ledger and the history have to show beside what all chaos tests judge.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use intendant::{IntentFilter, IntentId, IntentRecord, IntentState};
use intendant_tests::chaos::{Chaos, Line};
use intendant_tests::rounds::{INSIDE, Round, STEPS};

use crate::asking::Asked;

/// No time in the history is further than this from those between which the storm took place; wrong clocks are off by five minutes.
const NEAR: Duration = Duration::from_secs(60);

/// No step begins before those before it have come to their end.
///
/// A step writes its end before its result goes anywhere, so what waits for it has to find that in the ledger. The one whose
/// effect is in the database writes its own after its result is on disk, and may be killed in between: its start has to be there.
pub(crate) fn no_early_steps(lines: &[Line]) -> Result<()> {
    let mut seen: HashMap<&str, HashSet<(&str, bool)>> = HashMap::new();
    for line in lines {
        let seen = seen.entry(&line.intent).or_default();
        if line.started {
            let step = STEPS.iter().find(|(name, _)| *name == line.step);
            let (_, before) = step.context("a step")?;
            for name in *before {
                let is_there = seen.contains(&(*name, *name == INSIDE));
                ensure!(is_there, "too early: {line:?} after {seen:?}");
            }
        }
        seen.insert((line.step.as_str(), line.started));
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

/// How many attempts these processes have begun.
pub(crate) fn begun_by(lines: &[Line], processes: &[String]) -> u64 {
    let processes: HashSet<&str> = processes.iter().map(String::as_str).collect();
    let begun = lines.iter().filter(|line| line.started);
    begun
        .filter(|line| processes.contains(line.pid.as_str()))
        .count() as u64
}

/// What a server has acknowledged is in the history, once each, with the input that was sent, the output that belongs to it, and
/// times of the database's.
pub(crate) async fn nothing_acknowledged_is_lost(
    chaos: &Chaos,
    asked: &Asked,
    begun_at: SystemTime,
) -> Result<()> {
    let mut seen = HashSet::new();
    for (number, id) in &asked.acknowledged {
        ensure!(seen.insert(id), "{id} was acknowledged twice");
        let record = chaos.intendant.get(id.parse::<IntentId>()?).await?;
        let input: Round = serde_json::from_str(record.input.get())?;
        let output = record.output.as_ref().context("an output")?;
        let output: usize = serde_json::from_str(output.get())?;
        ensure!(
            record.state == IntentState::Succeeded && (input.number, output) == (*number, *number),
            "{number} was acknowledged as {id}: {record:?}"
        );
        ensure!(
            is_of_the_time(&record, begun_at),
            "{id} has times of nobody's here: {record:?}"
        );
    }
    Ok(())
}

fn is_of_the_time(record: &IntentRecord, begun_at: SystemTime) -> bool {
    let times = [
        Some(begun_at - NEAR),
        Some(SystemTime::from(record.requested_at)),
        record.started_at.map(SystemTime::from),
        record.finished_at.map(SystemTime::from),
        Some(SystemTime::now() + NEAR),
    ];
    times.iter().all(Option::is_some) && times.is_sorted()
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
