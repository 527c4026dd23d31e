//! Load: what a worker has to know of the intents that it has claimed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::args::{Args, Rows};
use super::conn::Row;
use super::loaded::{Goal, StartedLoad};
use super::{
    AttemptLoad, CancelLoad, ChildLoad, Claimed, Conn, OutcomeRow, StepLoad, ToStop, awaited, sql,
};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId};
use crate::limits;
use crate::payload;
use crate::plan::Shape;
use crate::state::FailureReason;

/// Loads intents, as many as fit into `bytes` of inputs and one at least; of those that have been in a lease before,
/// everything that is recorded.
pub(super) async fn intents(
    conn: &mut Conn<'_>,
    lease: LeaseId,
    ids: impl Iterator<Item = IntentId>,
    started: &HashSet<IntentId>,
    bytes: usize,
) -> Result<Vec<Claimed>, Error> {
    let mut claimed: Vec<Claimed> = Vec::new();
    let (mut loaded, mut full) = (0, false);
    let load = |row: Row| {
        if !full {
            let task = intent(&row, lease)?;
            loaded += task.input.get().len();
            full = loaded > bytes;
            if !full || claimed.is_empty() {
                claimed.push(task);
            }
        }
        Ok(())
    };
    conn.fetch_each(&sql::INTENT_LOAD, Args::new().ids(ids), load)
        .await?;
    if !started.is_empty() {
        records(conn, &mut claimed, started).await?;
    }
    Ok(claimed)
}

fn intent(row: &Row, lease: LeaseId) -> Result<Claimed, Error> {
    let mut corrupt = None;
    Ok(Claimed {
        task: row.uuid(0)?,
        intent: row.uuid(0)?,
        lease,
        crashes: 0,
        kind: row.name(1)?,
        account: row.opt_name(2)?,
        input: row
            .stored_json(3, &mut corrupt)?
            .unwrap_or_else(payload::null),
        requested: row.time(4)?,
        requested_by: row.opt_text(5)?,
        parent: row.opt_uuid(6)?,
        root: row.uuid(7)?,
        correlation_id: row.opt_text(8)?,
        release_on_failure: row.bool(9)?,
        locks: row.bool(10)?,
        depth: row.small(11)?,
        unfit: corrupt.map(unreadable),
        started: None,
        cancel: None,
        steps: Vec::new(),
        attempts: Vec::new(),
        children: Vec::new(),
        arrived: 0,
        awaits: Vec::new(),
        routed: None,
    })
}

async fn records(
    conn: &mut Conn<'_>,
    claimed: &mut [Claimed],
    started: &HashSet<IntentId>,
) -> Result<(), Error> {
    let ids = || started.iter().copied();
    let (mut starts, mut cancels) = starts(conn, started).await?;
    // Counts before what is counted: what comes in between is then counted too little, never too much.
    let counts = counts(conn, ids()).await?;
    let arrived: HashMap<IntentId, i64> = counts.iter().map(|(id, n, _)| (*id, *n)).collect();
    let awaits = counts.iter().filter(|(_, _, awaits)| *awaits);
    let awaits: Vec<IntentId> = awaits.map(|(id, _, _)| *id).collect();
    let mut awaits = awaited::load(conn, &awaits).await?;
    let mut corrupted: HashMap<IntentId, String> = HashMap::new();
    let mut steps: HashMap<IntentId, Vec<StepLoad>> = HashMap::new();
    for row in conn
        .fetch(&sql::STEP_LOAD, Args::new().ids(ids()).now())
        .await?
    {
        let (intent, step, corrupt) = step(&row)?;
        corrupted.extend(corrupt.map(|error| (intent, error)));
        steps.entry(intent).or_default().push(step);
    }
    let mut attempts: HashMap<IntentId, Vec<AttemptLoad>> = HashMap::new();
    for row in conn
        .fetch(&sql::ATTEMPT_LOAD, Args::new().ids(ids()).now())
        .await?
    {
        attempts.entry(row.uuid(0)?).or_default().push(AttemptLoad {
            step: row.name(1)?,
            generation: row.small(2)?,
            attempt: row.small(3)?,
            retry_in: row.opt_int(4)?.map(from_us),
        });
    }
    let mut loaded: HashMap<IntentId, Vec<ChildLoad>> = HashMap::new();
    if !arrived.is_empty() {
        for child in children(conn, arrived.keys().copied()).await? {
            loaded.entry(child.parent).or_default().push(child);
        }
    }
    for task in claimed {
        let corrupt = corrupted.remove(&task.intent).map(unreadable);
        task.unfit = task.unfit.take().or(corrupt);
        task.started = starts.remove(&task.intent);
        task.cancel = cancels.remove(&task.intent);
        task.steps = steps.remove(&task.intent).unwrap_or_default();
        task.attempts = attempts.remove(&task.intent).unwrap_or_default();
        task.children = loaded.remove(&task.intent).unwrap_or_default();
        task.awaits = awaits.remove(&task.intent).unwrap_or_default();
        task.arrived = arrived.get(&task.intent).copied().unwrap_or_default();
    }
    Ok(())
}

/// A row of `step_load`, and why its output cannot be read any more.
pub(super) fn step(row: &Row) -> Result<(IntentId, StepLoad, Option<String>), Error> {
    let mut corrupt = None;
    let output = row.stored_json(6, &mut corrupt)?;
    let step = StepLoad {
        name: row.text(1)?,
        generation: row.small(2)?,
        state: row.word(3)?,
        attempt: row.small(4)?,
        forgiven: row.small(5)?,
        output,
        due_in: row.opt_int(7)?.map(from_us),
        error: row.opt_text(8)?,
        reason: row
            .opt_text(9)?
            .as_deref()
            .and_then(FailureReason::from_word),
        queue: row.opt_name(10)?,
        away: row.bool(11)?,
        spare: row.opt_int(12)?.and_then(|spare| spare.try_into().ok()),
        waits: row
            .opt_json(13)?
            .and_then(|waits| payload::decode(&waits).ok())
            .unwrap_or_default(),
        checkpoint: row.bool(14)?,
        begun_ago: row.opt_int(15)?.map(from_us),
    };
    Ok((row.uuid(0)?, step, corrupt))
}

async fn starts(
    conn: &mut Conn<'_>,
    ids: &HashSet<IntentId>,
) -> Result<
    (
        HashMap<IntentId, StartedLoad>,
        HashMap<IntentId, CancelLoad>,
    ),
    Error,
> {
    let rows = conn
        .fetch(
            &sql::STARTED_LOAD,
            Args::new().ids(ids.iter().copied()).now(),
        )
        .await?;
    let mut hashes = HashSet::new();
    for row in &rows {
        hashes.extend(row.opt_text(2)?);
    }
    let shapes = shapes(conn, hashes).await?;
    let mut starts = HashMap::with_capacity(rows.len());
    let mut cancels = HashMap::new();
    for row in rows {
        if let Some(actor) = row.opt_text(4)? {
            let cancel = CancelLoad {
                actor,
                reason: row.opt_text(5)?,
                goal: goal(&row, 6)?,
            };
            cancels.insert(row.uuid(0)?, cancel);
        }
        let Some(started) = row.opt_time(1)? else {
            continue;
        };
        let plan = row
            .opt_text(2)?
            .and_then(|hash| shapes.get_key_value(hash.as_str()));
        starts.insert(
            row.uuid(0)?,
            StartedLoad {
                started,
                plan: plan.map(|(hash, shape)| (hash.clone(), shape.clone())),
                assumed_build: row.opt_text(3)?,
                ago: row.opt_int(7)?.map(from_us).unwrap_or_default(),
            },
        );
    }
    Ok((starts, cancels))
}

async fn shapes(
    conn: &mut Conn<'_>,
    hashes: HashSet<String>,
) -> Result<HashMap<Arc<str>, Arc<Shape>>, Error> {
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let mut shapes = HashMap::with_capacity(hashes.len());
    for row in conn
        .fetch(&sql::PLAN_LOAD, Args::new().rows(Rows::new().texts(hashes)))
        .await?
    {
        let json = row.opt_json(1)?.ok_or(sqlx::Error::RowNotFound)?;
        let shape: Shape = serde_json::from_str(json.get())
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        shapes.insert(Arc::from(row.text(0)?), Arc::new(shape));
    }
    Ok(shapes)
}

/// Counts of what has come (finished children, steps of other queues, messages), of those that have a wait row.
pub(super) async fn arrived(
    conn: &mut Conn<'_>,
    ids: impl Iterator<Item = IntentId>,
) -> Result<HashMap<IntentId, i64>, Error> {
    let counts = counts(conn, ids).await?;
    Ok(counts.into_iter().map(|(id, n, _)| (id, n)).collect())
}

/// The same, and whether steps of them wait by names.
async fn counts(
    conn: &mut Conn<'_>,
    ids: impl Iterator<Item = IntentId>,
) -> Result<Vec<(IntentId, i64, bool)>, Error> {
    let rows = conn.fetch(&sql::WAIT_READ, Args::new().ids(ids)).await?;
    rows.iter()
        .map(|row| Ok((row.uuid(0)?, row.int(1)?, row.bool(2)?)))
        .collect()
}

/// Children of these intents, with what came of them. Outputs beyond what a worker keeps in memory are left out: who
/// asks for them is told.
pub(super) async fn children(
    conn: &mut Conn<'_>,
    parents: impl Iterator<Item = IntentId>,
) -> Result<Vec<ChildLoad>, Error> {
    let mut children = Vec::new();
    let mut bytes: HashMap<IntentId, usize> = HashMap::new();
    let load = |row: Row| {
        let mut child = child(&row)?;
        if let Some(outcome) = &mut child.outcome {
            let bytes = bytes.entry(child.parent).or_default();
            *bytes += outcome.output.as_ref().map_or(0, |json| json.get().len());
            outcome.output.take_if(|_| *bytes > limits::CHILDREN_BYTES);
        }
        children.push(child);
        Ok(())
    };
    conn.fetch_each(&sql::CHILD_LOAD, Args::new().ids(parents), load)
        .await?;
    Ok(children)
}

fn child(row: &Row) -> Result<ChildLoad, Error> {
    let outcome = match row.opt_text(6)? {
        None => None,
        Some(_) => Some(OutcomeRow {
            state: row.word(6)?,
            output: row.opt_json(7)?,
            reason: row
                .opt_text(8)?
                .as_deref()
                .and_then(FailureReason::from_word),
            error: row.opt_text(9)?,
            step: row.opt_text(10)?,
        }),
    };
    Ok(ChildLoad {
        parent: row.uuid(0)?,
        step: row.name(1)?,
        generation: row.small(2)?,
        name: row.text(3)?,
        child: row.uuid(4)?,
        input_hash: row.bytes(5)?,
        outcome,
    })
}

/// Which of a session's tasks are to stop.
pub(super) async fn cancels(conn: &mut Conn<'_>, session: SessionId) -> Result<Vec<ToStop>, Error> {
    let rows = conn
        .fetch(&sql::CANCEL_OF_SESSION, Args::new().uuid(session.0))
        .await?;
    rows.iter()
        .map(|row| {
            let by = CancelLoad {
                actor: row.text(2)?,
                reason: row.opt_text(3)?,
                goal: goal(row, 4)?,
            };
            Ok(ToStop {
                task: row.uuid(0)?,
                intent: row.uuid(1)?,
                by,
            })
        })
        .collect()
}

pub(super) fn goal(row: &Row, index: usize) -> Result<Goal, Error> {
    match row.opt_json(index)? {
        None => Ok(Goal::Cancel),
        Some(json) => serde_json::from_str(json.get())
            .map_err(|error| sqlx::Error::Decode(Box::new(error)).into()),
    }
}

/// Whether an intent lets go of its resources when it fails.
pub(super) async fn release_on_failure(conn: &mut Conn<'_>, id: IntentId) -> Result<bool, Error> {
    let none = HashSet::new();
    let ids = std::iter::once(id);
    let loaded = intents(conn, LeaseId(uuid::Uuid::nil()), ids, &none, usize::MAX).await?;
    Ok(loaded
        .first()
        .is_some_and(|intent| intent.release_on_failure))
}

/// A time that may have passed already.
pub(super) fn from_us(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

pub(super) fn unreadable(error: String) -> (FailureReason, String) {
    let error = format!("what is stored for it is no JSON any more: {error}");
    (FailureReason::Undecodable, error)
}
