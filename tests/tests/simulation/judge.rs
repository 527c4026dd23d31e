//! What must be true of a run: of each event, and when all is over.

use std::collections::{BTreeMap, BTreeSet};

use intendant::testing::troupe::Attempt;
use intendant::{IntentFilter, IntentId, IntentRecord, IntentState, StepState};

use crate::program::{Does, Kind, Program};
use crate::run::{Run, Stop};
use crate::world::Deed;

pub(crate) fn must(is_so: bool, breach: impl FnOnce() -> String) -> Result<(), Stop> {
    if is_so {
        return Ok(());
    }
    Err(Stop::Breach(breach()))
}

/// All intents, children too, newest first.
pub(crate) async fn everything(run: &Run) -> Result<Vec<IntentRecord>, Stop> {
    let filter = IntentFilter {
        limit: Some(1_000),
        ..IntentFilter::default()
    };
    Ok(run.troupe.intendant().list(filter).await?)
}

pub(crate) fn program_of(record: &IntentRecord) -> Result<Program, Stop> {
    let program = serde_json::from_str(record.input.get());
    program
        .map_err(|error| Stop::Breach(format!("the input of {} has changed: {error}", record.id)))
}

/// What a step of a program does.
pub(crate) fn does<'p>(program: &'p Program, step: &str) -> Option<&'p Does> {
    let nth = step.strip_prefix('s')?.parse::<usize>().ok()?;
    program.steps.get(nth).map(|step| &step.does)
}

/// A step with a result does not begin again in a worker that has the intent.
pub(crate) async fn not_recorded(run: &Run, attempt: &Attempt) -> Result<(), Stop> {
    if attempt.step().starts_with("undo(") {
        return Ok(());
    }
    let steps = run.troupe.intendant().steps(attempt.intent()).await?;
    let own = steps.iter().filter(|step| step.name == attempt.step());
    let newest = own.max_by_key(|step| step.generation);
    let recorded = newest.is_some_and(|step| step.state == StepState::Succeeded);
    must(!recorded, || {
        format!(
            "{} of {} has a result and begins again",
            attempt.step(),
            attempt.intent()
        )
    })
}

/// Everything that was asked for is at rest.
pub(crate) async fn is_over(run: &Run) -> Result<bool, Stop> {
    let all = everything(run).await?;
    Ok(all.iter().all(|record| record.state.is_finished()))
}

/// What everything that is not over waits for.
pub(crate) async fn stuck(run: &Run) -> Result<String, Stop> {
    let mut stuck = Vec::new();
    for record in everything(run).await? {
        if !matches!(
            record.state,
            IntentState::Succeeded | IntentState::Cancelled
        ) {
            let why = run.troupe.intendant().why(record.id).await?;
            stuck.push(format!("{} is {}: {why}", record.id, record.state));
        }
    }
    Ok(stuck.join("; "))
}

/// When all is over.
pub(crate) async fn judge(run: &Run) -> Result<(), Stop> {
    let all = everything(run).await?;
    for asked in &run.asked {
        let found = all.iter().find(|record| record.id == asked.id);
        must(found.is_some(), || format!("{} is lost", asked.id))?;
        let is_cancelled = found.is_some_and(|it| it.state == IntentState::Cancelled);
        // One that holds is superseded by one that releases.
        let may_be = asked.is_stopped || asked.wish.kind == Kind::Hold;
        must(!is_cancelled || may_be, || {
            format!("{} is cancelled, and nobody has stopped it", asked.id)
        })?;
        let priority = found.map(|it| it.priority);
        must(priority == Some(i64::from(asked.wish.priority)), || {
            format!("{} has the priority {priority:?}: {asked:?}", asked.id)
        })?;
    }
    nothing_else(run, &all)?;
    run.judge_cancels().await?;
    let given_up = run.asked.iter().filter(|asked| asked.is_discarded);
    let given_up: BTreeSet<IntentId> = given_up.map(|asked| asked.id).collect();
    let written = run.effects().await?;
    for record in &all {
        must(record.state.is_finished(), || {
            format!("{} is {}", record.id, record.state)
        })?;
        let program = program_of(record)?;
        match record.state {
            IntentState::Succeeded => {
                let output = record.output.as_ref().map(|it| it.get().to_owned());
                let expected = program.output().to_string();
                must(program.can_succeed(), || {
                    format!("{} cannot have succeeded", record.id)
                })?;
                must(output == Some(expected.clone()), || {
                    format!("{} came to {output:?} and not to {expected}", record.id)
                })?;
            }
            IntentState::Cancelled if given_up.contains(&record.root_id) => {}
            IntentState::Cancelled => taken_back(run, &written, record, &program)?,
            _ => must(!program.can_succeed(), || {
                format!(
                    "{} has failed for no reason of its own: {:?}",
                    record.id, record.error
                )
            })?,
        }
    }
    effects(run, written, &all).await
}

/// What nobody asked for is not there: what was asked for once, however often somebody has tried, is there once.
fn nothing_else(run: &Run, all: &[IntentRecord]) -> Result<(), Stop> {
    let asked: BTreeSet<IntentId> = run.asked.iter().map(|it| it.id).collect();
    let roots = all.iter().filter(|it| it.parent_id.is_none());
    let others: Vec<IntentId> = roots
        .map(|it| it.id)
        .filter(|id| !asked.contains(id))
        .collect();
    must(others.is_empty(), || {
        format!("nobody has asked for {others:?}")
    })
}

/// What a cancelled intent did has been taken back, as far as it can be.
fn taken_back(
    run: &Run,
    written: &BTreeMap<String, i64>,
    record: &IntentRecord,
    program: &Program,
) -> Result<(), Stop> {
    let ledger = run.troupe.state().ledger();
    for (nth, _) in program
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.undo)
    {
        let name = crate::program::name(nth);
        let deeds = ledger.deeds.get(&(record.id, name.clone()));
        let last = deeds.and_then(|deeds| deeds.last());
        // What died with the worker that wrote it is in no ledger.
        let key = format!("{}/{name}/", record.id);
        let writes = written.keys().any(|it| it.starts_with(&key));
        let stands = last == Some(&Deed::Done) || writes && last.is_none();
        must(!stands, || {
            format!(
                "{name} of {}, which is cancelled, was not taken back",
                record.id
            )
        })?;
    }
    Ok(())
}

/// What is written with a result is there once for each result, and not at all without one.
async fn effects(
    run: &Run,
    found: BTreeMap<String, i64>,
    all: &[IntentRecord],
) -> Result<(), Stop> {
    let mut results = BTreeMap::new();
    for record in all {
        let program = program_of(record)?;
        for step in run.troupe.intendant().steps(record.id).await? {
            let nth = step
                .name
                .strip_prefix('s')
                .and_then(|nth| nth.parse::<usize>().ok());
            let spec = nth.and_then(|nth| program.steps.get(nth));
            if spec.is_some_and(|spec| spec.does == Does::Writes) && step.output.is_some() {
                let key = format!("{}/{}/{}", record.id, step.name, step.generation);
                results.insert(key, 1);
            }
        }
    }
    must(found == results, || {
        format!("effects: {found:?}, results: {results:?}")
    })
}
