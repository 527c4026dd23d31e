//! Load: what a worker has to know of the intents that it has claimed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::args::{Args, Rows};
use super::conn::Row;
use super::loaded::{Goal, StartedLoad};
use super::reading::{Reading, Unfit, unfit};
use super::{
    AttemptLoad, CancelLoad, ChildLoad, Claimed, Conn, OutcomeRow, StepLoad, ToStop, awaited, sql,
};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};
use crate::limits;
use crate::payload;
use crate::plan::Shape;
use crate::secret::Mask;
use crate::state::{IntentState, StepState};
use crate::trace::TraceParent;

/// What was found of the intents that were asked for. Of those that are in neither there is no row.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) claimed: Vec<Claimed>,
    /// They do not fit.
    pub(super) left: Vec<TaskId>,
}

/// Loads intents, as many as fit into `bytes` of inputs and one at least; of those that have been in a lease before,
/// everything that is recorded.
pub(super) async fn intents(
    conn: &mut Conn<'_>,
    lease: LeaseId,
    ids: impl Iterator<Item = IntentId>,
    started: &HashSet<IntentId>,
    bytes: usize,
) -> Result<Loaded, Error> {
    let (mut claimed, mut left) = (Vec::<Claimed>::new(), Vec::new());
    let (mut loaded, mut full) = (0, false);
    let load = |row: Row| {
        if !full {
            let task = intent(&row, lease);
            loaded += task.input.get().len();
            full = loaded > bytes;
            if !full || claimed.is_empty() {
                claimed.push(task);
                return Ok(());
            }
        }
        left.push(Reading::of(&row, "intent").uuid(0));
        Ok(())
    };
    conn.fetch_each(&sql::INTENT_LOAD, Args::new().ids(ids), load)
        .await?;
    if !started.is_empty() {
        records(conn, &mut claimed, started).await?;
    }
    for task in claimed.iter_mut().filter(|task| task.unfit.is_some()) {
        if task.parent.is_none() {
            task.parent = parent_of(conn, task.intent).await?;
        }
    }
    Ok(Loaded { claimed, left })
}

/// Whose child an intent is that cannot be read: its parent is to hear of its end all the same.
async fn parent_of(conn: &mut Conn<'_>, child: IntentId) -> Result<Option<IntentId>, Error> {
    let row = conn
        .fetch_one(&sql::CHILD_OF, Args::new().uuid(child.0))
        .await?;
    Ok(row.and_then(|row| Reading::of(&row, "child").opt_uuid(0)))
}

fn intent(row: &Row, lease: LeaseId) -> Claimed {
    let mut row = Reading::of(row, "intent");
    Claimed {
        task: row.uuid(0),
        intent: row.uuid(0),
        lease,
        crashes: 0,
        kind: row.name(1),
        account: row.opt_name(2),
        input: row.opt_json(3).unwrap_or_else(payload::null),
        mask: Mask::default(),
        requested: row.time(4),
        requested_by: row.opt_text(5),
        parent: row.opt_uuid(6),
        root: row.uuid(7),
        correlation_id: row.opt_text(8),
        traceparent: TraceParent::kept(row.opt_text(12)),
        release_on_failure: row.bool(9),
        locks: row.bool(10),
        depth: row.small(11),
        unfit: row.unreadable().as_deref().map(unfit),
        started: None,
        cancel: None,
        steps: Vec::new(),
        attempts: Vec::new(),
        children: Vec::new(),
        arrived: 0,
        awaits: Vec::new(),
        routed: None,
    }
}

async fn records(
    conn: &mut Conn<'_>,
    claimed: &mut [Claimed],
    started: &HashSet<IntentId>,
) -> Result<(), Error> {
    let ids = || started.iter().copied();
    let mut corrupt = Unfit::default();
    let (mut starts, mut cancels) = starts(conn, started, &mut corrupt).await?;
    // Counts before what is counted: what comes in between is then counted too little, never too much.
    let counts = counts(conn, ids()).await?;
    let arrived: HashMap<IntentId, i64> = counts.iter().map(|(id, n, _)| (*id, *n)).collect();
    let awaits = counts.iter().filter(|(_, _, awaits)| *awaits);
    let awaits: Vec<IntentId> = awaits.map(|(id, _, _)| *id).collect();
    let mut awaits = awaited::load(conn, &awaits, &mut corrupt).await?;
    let mut steps: HashMap<IntentId, Vec<StepLoad>> = HashMap::new();
    for row in conn
        .fetch(&sql::STEP_LOAD, Args::new().ids(ids()).now())
        .await?
    {
        let (intent, step) = step(&row, &mut corrupt);
        steps.entry(intent).or_default().push(step);
    }
    let mut attempts: HashMap<IntentId, Vec<AttemptLoad>> = HashMap::new();
    for row in conn
        .fetch(&sql::ATTEMPT_LOAD, Args::new().ids(ids()).now())
        .await?
    {
        let mut row = Reading::of(&row, "attempt");
        let intent = row.uuid(0);
        let attempt = AttemptLoad {
            step: row.name(1),
            generation: row.small(2),
            attempt: row.small(3),
            retry_in: row.opt_span(4),
        };
        corrupt.take_of_step(intent, &attempt.step, row);
        attempts.entry(intent).or_default().push(attempt);
    }
    let mut loaded: HashMap<IntentId, Vec<ChildLoad>> = HashMap::new();
    if !arrived.is_empty() {
        for child in children(conn, arrived.keys().copied(), &mut corrupt).await? {
            loaded.entry(child.parent).or_default().push(child);
        }
    }
    for task in claimed {
        let corrupt = corrupt.remove(task.intent);
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

/// A row of `step_load`.
pub(super) fn step(row: &Row, corrupt: &mut Unfit) -> (IntentId, StepLoad) {
    let mut row = Reading::of(row, "step");
    let step = StepLoad {
        name: row.text(1),
        generation: row.small(2),
        state: row.word(3, StepState::Failed),
        attempt: row.small(4),
        forgiven: row.small(5),
        output: row.opt_json(6),
        due_in: row.opt_span(7),
        error: row.opt_text(8),
        reason: row.reason(9),
        queue: row.opt_name(10),
        away: row.bool(11),
        spare: row.opt_int(12).and_then(|spare| spare.try_into().ok()),
        waits: row.opt_value(13).unwrap_or_default(),
        checkpoint: row.bool(14),
        begun_ago: row.opt_span(15),
    };
    let intent = row.uuid(0);
    corrupt.take_of_step(intent, &step.name, row);
    (intent, step)
}

async fn starts(
    conn: &mut Conn<'_>,
    ids: &HashSet<IntentId>,
    corrupt: &mut Unfit,
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
    let hashes = rows
        .iter()
        .filter_map(|row| Reading::of(row, "started").opt_text(2));
    let shapes = shapes(conn, hashes.collect()).await?;
    let mut starts = HashMap::with_capacity(rows.len());
    let mut cancels = HashMap::new();
    for row in &rows {
        let mut order = Reading::of(row, "cancel");
        let intent = order.uuid(0);
        let cancel = order.opt_text(4).map(|actor| CancelLoad {
            actor,
            reason: order.opt_text(5),
            goal: goal(&mut order, 6),
        });
        match (cancel, order.unreadable()) {
            (Some(cancel), None) => {
                cancels.insert(intent, cancel);
            }
            // What it is to come to is not known: it fails, and may be told again.
            (_, Some(unreadable)) => corrupt.add(intent, unreadable),
            (None, None) => {}
        }
        let mut row = Reading::of(row, "started");
        let (started, hash) = (row.opt_time(1), row.opt_text(2));
        let (assumed_build, ago) = (row.opt_text(3), row.opt_span(7).unwrap_or_default());
        corrupt.take(intent, row);
        let Some(started) = started else {
            continue;
        };
        let plan = hash.and_then(|hash| match shapes.get_key_value(hash.as_str()) {
            Some((hash, Ok(shape))) => Some((hash.clone(), shape.clone())),
            Some((_, Err(unreadable))) => {
                corrupt.add(intent, unreadable.clone());
                None
            }
            None => {
                corrupt.add(intent, format!("its plan `{hash}` is not in *plan*"));
                None
            }
        });
        let started = StartedLoad {
            started,
            plan,
            assumed_build,
            ago,
        };
        starts.insert(intent, started);
    }
    Ok((starts, cancels))
}

/// Shapes by their hashes, or why one cannot be read.
async fn shapes(
    conn: &mut Conn<'_>,
    hashes: HashSet<String>,
) -> Result<HashMap<Arc<str>, Result<Arc<Shape>, String>>, Error> {
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let mut shapes = HashMap::with_capacity(hashes.len());
    for row in conn
        .fetch(&sql::PLAN_LOAD, Args::new().rows(Rows::new().texts(hashes)))
        .await?
    {
        let mut row = Reading::of(&row, "plan");
        let (hash, shape) = (row.name(0), row.opt_value::<Shape>(1));
        let sound = match (shape, row.unreadable()) {
            (Some(shape), None) if shape.is_sound() => Ok(Arc::new(shape)),
            (_, Some(unreadable)) => Err(unreadable),
            (_, None) => Err(format!("`shape` of plan `{hash}` in *plan*: it is no plan")),
        };
        shapes.insert(hash, sound);
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
    let count = |row: &Row| {
        let mut row = Reading::of(row, "wait");
        (row.uuid(0), row.int(1), row.bool(2))
    };
    Ok(rows.iter().map(count).collect())
}

/// Children of these intents, with what came of them. Outputs beyond what a worker keeps in memory are left out: who
/// asks for them is told.
pub(super) async fn children(
    conn: &mut Conn<'_>,
    parents: impl Iterator<Item = IntentId>,
    corrupt: &mut Unfit,
) -> Result<Vec<ChildLoad>, Error> {
    let mut children = Vec::new();
    let mut bytes: HashMap<IntentId, usize> = HashMap::new();
    let load = |row: Row| {
        let mut child = child(&row, corrupt);
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

fn child(row: &Row, corrupt: &mut Unfit) -> ChildLoad {
    let mut row = Reading::of(row, "child");
    let mut child = ChildLoad {
        parent: row.uuid(0),
        step: row.name(1),
        generation: row.small(2),
        name: row.text(3),
        child: row.uuid(4),
        input_hash: row.bytes(5),
        outcome: None,
    };
    row.table("outcome");
    child.outcome = row.opt_text(6).is_some().then(|| outcome(&mut row, 6));
    if let Some(unreadable) = row.unreadable() {
        let (name, id) = (&child.name, child.child);
        let unreadable = format!("of its child `{name}` ({id}), {unreadable}");
        corrupt.add(child.parent, unreadable);
    }
    child
}

/// What came of an intent, in five columns from `first` on.
pub(super) fn outcome(row: &mut Reading<'_>, first: usize) -> OutcomeRow {
    OutcomeRow {
        state: row.word(first, IntentState::Failed),
        output: row.opt_json(first + 1),
        reason: row.reason(first + 2),
        error: row.opt_text(first + 3),
        step: row.opt_text(first + 4),
        payload_removed_at: None,
    }
}

/// Which of a session's tasks are to stop. An order of which it cannot be read what it is for is left out: one that has
/// just been given says nothing of it, so it is an older one, which the worker knows, or reads when it claims the intent.
pub(super) async fn cancels(conn: &mut Conn<'_>, session: SessionId) -> Result<Vec<ToStop>, Error> {
    let rows = conn
        .fetch(&sql::CANCEL_OF_SESSION, Args::new().uuid(session.0))
        .await?;
    let mut to_stop = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut order = Reading::of(row, "cancel");
        let goal = goal(&mut order, 4);
        let (task, intent): (TaskId, IntentId) = (order.uuid(0), order.uuid(1));
        if let Some(unreadable) = order.unreadable() {
            tracing::error!(%intent, unreadable, "an order to stop cannot be read");
            continue;
        }
        let mut row = Reading::of(row, "cancel");
        let by = CancelLoad {
            actor: row.text(2),
            reason: row.opt_text(3),
            goal,
        };
        to_stop.push(ToStop { task, intent, by });
    }
    Ok(to_stop)
}

/// What an order to stop is for. Nothing stands for the most frequent one.
pub(super) fn goal(row: &mut Reading<'_>, index: usize) -> Goal {
    row.opt_value(index).unwrap_or(Goal::Cancel)
}

/// Whether an intent lets go of its resources when it fails.
pub(super) async fn release_on_failure(conn: &mut Conn<'_>, id: IntentId) -> Result<bool, Error> {
    let none = HashSet::new();
    let ids = std::iter::once(id);
    let loaded = intents(conn, LeaseId(uuid::Uuid::nil()), ids, &none, usize::MAX).await?;
    Ok(loaded
        .claimed
        .first()
        .is_some_and(|intent| intent.release_on_failure))
}
