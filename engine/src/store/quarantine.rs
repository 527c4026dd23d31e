//! Quarantine: what has killed its workers once too often comes to its end as failed, with the step in which it did
//! (PROTOCOL P6).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::args::Args;
use super::conn::Row;
use super::reading::Reading;
use super::reap::return_suspects;
use super::{Claimed, Conn, Finish, RoutedEnd, StepRow, When, finish, load, routed, sql, tick};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, TaskId};
use crate::limits;
use crate::progress;
use crate::state::{FailureReason, IntentState, StepState};

/// What does not go back in line: intents and steps that are quarantined, and steps of intents that are to stop, `stopped`,
/// for which nobody shall have to come.
pub(super) async fn quarantine(
    conn: &mut Conn<'_>,
    tasks: &[(TaskId, u32)],
    mut steps: HashMap<TaskId, Claimed>,
    stopped: HashMap<TaskId, IntentId>,
    worker: &str,
) -> Result<(), Error> {
    if tasks.is_empty() && stopped.is_empty() {
        return Ok(());
    }
    let crashes: HashMap<TaskId, u32> = tasks.iter().copied().collect();
    steps.retain(|task, _| crashes.contains_key(task));
    let away = steps.values().map(|step| step.intent);
    let driven = tasks.iter().map(|(task, _)| IntentId(task.0));
    let running = running(conn, driven.chain(away)).await?;
    let says = |task: TaskId, intent: IntentId, step: Option<&str>| {
        let crashes = crashes.get(&task).copied().unwrap_or_default();
        let place = step.map_or_else(String::new, |step| format!(" in step `{step}`"));
        let mut ran = running.iter();
        let ran = ran.find(|ran| ran.intent == intent && Some(&*ran.name) == step);
        let said = ran.and_then(|ran| ran.said.as_ref());
        let said = said.map_or_else(String::new, |said| {
            format!(", which had last said `{said}`")
        });
        format!(
            "its worker died {crashes} times while it ran, the last time `{worker}`{place}{said}; mend it, then resume"
        )
    };
    let (finishes, mut rows) = quarantined_intents(conn, tasks, &running, &says).await?;
    let ends = steps.values().map(|step| (step.task, step.intent));
    let ends: Vec<RoutedEnd> = ends
        .chain(stopped)
        .map(|(task, intent)| RoutedEnd {
            task,
            intent,
            lease: None,
        })
        .collect();
    rows.extend(
        steps
            .values()
            .flat_map(|step| quarantined_step(step, &says)),
    );
    let waits = ends.iter().map(|end| end.intent);
    finish::lock(conn, &finishes, std::iter::empty(), waits).await?;
    let rows: Vec<&StepRow> = rows.iter().collect();
    // All of them end with these rows.
    tick::record_steps(conn, &Arc::from(worker), &rows, |_| 0).await?;
    let ended = routed::end(conn, &ends).await?;
    finish::finish(conn, &finishes, true, ended).await?;
    Ok(())
}

/// A step that is said to run.
struct Ran {
    intent: IntentId,
    name: Arc<str>,
    /// How far it said that it was.
    said: Option<String>,
    /// In the queue of its intent, and not in one of its own.
    with_intent: bool,
}

async fn running(
    conn: &mut Conn<'_>,
    intents: impl Iterator<Item = IntentId>,
) -> Result<Vec<Ran>, Error> {
    let intents: HashSet<IntentId> = intents.collect();
    let rows = conn
        .fetch(&sql::STEP_RUNNING, Args::new().ids(intents))
        .await?;
    let ran = |row: &Row| {
        let mut row = Reading::of(row, "step");
        Ran {
            intent: row.uuid(0),
            name: row.name(1),
            said: row.opt_json(2).map(|said| progress::words(said.get())),
            with_intent: row.bool(3),
        }
    };
    Ok(rows.iter().map(ran).collect())
}

/// The outcomes of those that were to be driven, and the last words of what ran of them last: what ran beside that, in the
/// first crash, is not to blame.
async fn quarantined_intents(
    conn: &mut Conn<'_>,
    tasks: &[(TaskId, u32)],
    running: &[Ran],
    says: &impl Fn(TaskId, IntentId, Option<&str>) -> String,
) -> Result<(Vec<Finish>, Vec<StepRow>), Error> {
    let ids: HashSet<IntentId> = tasks.iter().map(|(task, _)| IntentId(task.0)).collect();
    let here = running.iter().filter(|ran| ran.with_intent);
    let mut steps: HashMap<IntentId, Arc<str>> =
        here.map(|ran| (ran.intent, ran.name.clone())).collect();
    let nobody = LeaseId(uuid::Uuid::nil());
    let loaded = load::intents(conn, nobody, ids.iter().copied(), &ids, usize::MAX).await?;
    let intents = loaded.claimed;
    // No outcome while a child or a step in another queue is unfinished (I2): such a one goes back as a suspect, and is
    // judged again.
    let (waiting, intents): (Vec<_>, Vec<_>) = intents.into_iter().partition(|intent| {
        intent.away() > 0 || intent.children.iter().any(|child| child.outcome.is_none())
    });
    let again: Vec<_> = waiting
        .iter()
        .map(|intent| (intent.task, limits::CRASHES))
        .collect();
    return_suspects(conn, &again).await?;
    let ran = |intent: &Claimed| -> Vec<StepRow> {
        let blamed = steps.get(&intent.intent).map(|step| &**step);
        let ran = intent.steps.iter();
        let ran = ran
            .filter(|step| step.state == StepState::Running && Some(step.name.as_str()) == blamed);
        ran.map(|step| StepRow {
            attempt: step.attempt,
            ..last_word(
                (intent.task, intent.intent),
                (Arc::from(step.name.as_str()), step.generation),
                says(intent.task, intent.intent, Some(&step.name)),
            )
        })
        .collect()
    };
    let rows = intents.iter().flat_map(ran).collect();
    let finish = |intent: Claimed| {
        let step = steps.remove(&intent.intent);
        Finish {
            waits: intent.waits(),
            intent: intent.intent,
            lease: None,
            state: IntentState::Failed,
            requested: intent.requested,
            started: intent
                .started
                .as_ref()
                .map_or(intent.requested, |started| started.started),
            output: None,
            reason: Some(FailureReason::Quarantined),
            error: Some(says(intent.task, intent.intent, step.as_deref())),
            step,
            plan: intent
                .started
                .and_then(|started| started.plan)
                .map(|(hash, _)| hash),
            parent: intent.parent,
            frees: intent.locks && intent.release_on_failure,
            taken_back: false,
            kind: intent.kind,
            account: intent.account,
        }
    };
    Ok((intents.into_iter().map(finish).collect(), rows))
}

/// The last word of a routed step: its driver makes the outcome.
fn quarantined_step(
    task: &Claimed,
    says: &impl Fn(TaskId, IntentId, Option<&str>) -> String,
) -> Option<StepRow> {
    let routed = task.routed.as_ref()?;
    let error = says(task.task, task.intent, Some(&routed.step));
    Some(StepRow {
        attempt: task.steps.first().map_or(1, |step| step.attempt),
        ..last_word(
            (task.task, task.intent),
            (routed.step.clone(), routed.generation),
            error,
        )
    })
}

/// A step fails, since it is what killed its workers.
fn last_word(
    (task, intent): (TaskId, IntentId),
    (name, generation): (Arc<str>, u32),
    error: String,
) -> StepRow {
    StepRow {
        point_of_no_return: false,
        first: false,
        task,
        intent,
        name,
        generation,
        state: StepState::Failed,
        attempt: 1,
        output: None,
        error: Some(error),
        progress: None,
        due_in: None,
        started: None,
        finished: Some(When::Now),
        queue: None,
        reason: Some(FailureReason::Quarantined),
        spare: None,
        waits: None,
    }
}
