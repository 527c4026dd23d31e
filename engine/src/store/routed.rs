//! Routed: steps that run in another queue than their intent. Each is a task with a token like any other; what it is
//! stands in a row of its own from the commit that sends it off to the one in which it ends (PROTOCOL P1, P3).

use std::collections::{BTreeMap, HashMap};

use super::args::{Args, Rows};
use super::conn::Row;
use super::loaded::RoutedLoad;
use super::reading::{Reading, Unfit, unfit};
use super::{AttemptLoad, CancelLoad, Claimed, Conn, RoutedEnd, RoutedRow, StepLoad, load, sql};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, TaskId};
use crate::limits;
use crate::payload;
use crate::secret::Mask;
use crate::state::StepState;
use crate::trace::TraceParent;

/// Sends steps off: a row and a token for each. Their intents' wait rows are opened by the caller.
pub(super) async fn send(conn: &mut Conn<'_>, routed: &[RoutedRow]) -> Result<(), Error> {
    for batch in routed.chunks(limits::STATEMENT_ROWS) {
        let rows = Rows::new()
            .uuids(batch.iter().map(|row| row.task))
            .uuids(batch.iter().map(|row| row.intent))
            .texts(batch.iter().map(|row| row.step.clone()))
            .ints(batch.iter().map(|row| i64::from(row.generation)))
            .texts(batch.iter().map(|row| row.queue.clone()))
            .texts(batch.iter().map(|row| row.input.get()));
        let args = Args::new().rows(rows).now();
        conn.execute(&sql::ROUTED_INSERT, args).await?;
    }
    Ok(())
}

/// Takes back the steps of these intents that nobody has in hand. What is under way ends by itself.
pub(super) async fn recall(conn: &mut Conn<'_>, intents: &[IntentId]) -> Result<(), Error> {
    if intents.is_empty() {
        return Ok(());
    }
    let args = Args::new().ids(intents.iter().copied());
    conn.execute(&sql::ROUTED_RECALL, args).await
}

/// Ends routed steps. The deletion of its row is what lets each be counted, once. Returns how many have ended of which
/// intents. The locks of their wait rows come before.
pub(super) async fn end(
    conn: &mut Conn<'_>,
    ends: &[RoutedEnd],
) -> Result<BTreeMap<IntentId, i64>, Error> {
    let mut ended = BTreeMap::new();
    if ends.is_empty() {
        return Ok(ended);
    }
    let args = Args::new().ids(ends.iter().map(|end| end.task));
    for row in conn.fetch(&sql::ROUTED_DELETE, args).await? {
        *ended.entry(row.uuid(1)?).or_default() += 1;
    }
    Ok(ended)
}

/// The task of a step that is under way in another queue.
pub(super) async fn task_of(
    conn: &mut Conn<'_>,
    intent: IntentId,
    step: &str,
) -> Result<Option<TaskId>, Error> {
    let args = Args::new().uuid(intent.0).text(step);
    let row = conn.fetch_one(&sql::ROUTED_OF, args).await?;
    row.map(|row| row.uuid(0)).transpose()
}

/// What a worker has to know of routed steps that it has claimed. An id that is no routed step's is left out.
pub(super) async fn load(
    conn: &mut Conn<'_>,
    lease: LeaseId,
    tasks: impl Iterator<Item = TaskId>,
) -> Result<Vec<Claimed>, Error> {
    let rows = conn
        .fetch(&sql::ROUTED_LOAD, Args::new().ids(tasks).now())
        .await?;
    Ok(rows.iter().map(|row| step_of(row, lease)).collect())
}

fn step_of(row: &Row, lease: LeaseId) -> Claimed {
    let mut row = Reading::of(row, "routed");
    let (task, intent) = (row.uuid(0), row.uuid(1));
    let (name, generation) = (row.name(2), row.small(3));
    let (queue, input) = (row.opt_name(4), row.opt_json(5));
    let routed = RoutedLoad {
        queue: queue.clone().unwrap_or_default(),
        step: name.clone(),
        generation,
        input: input.unwrap_or_else(payload::null),
        intent_ago: row.opt_span(24).unwrap_or_default(),
    };
    row.table("step");
    let step = StepLoad {
        name: name.to_string(),
        generation,
        state: row.word(14, StepState::Failed),
        attempt: row.small(15),
        forgiven: row.small(16),
        output: row.opt_json(17),
        // Whoever has it in hand need not wait: it was parked for that long.
        due_in: None,
        error: row.opt_text(18),
        reason: None,
        queue,
        away: false,
        spare: None,
        waits: Vec::new(),
        checkpoint: row.bool(25),
        begun_ago: row.opt_span(23),
    };
    let attempt = |attempt: i64| AttemptLoad {
        step: name.clone(),
        generation,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        retry_in: None,
    };
    let attempts = row.opt_int(19).map(attempt).into_iter().collect();
    row.table("intent");
    let mut claimed = Claimed {
        task,
        intent,
        lease,
        crashes: 0,
        kind: row.name(6),
        account: row.opt_name(7),
        input: row.opt_json(8).unwrap_or_else(payload::null),
        mask: Mask::default(),
        requested: row.time(9),
        requested_by: row.opt_text(10),
        parent: None,
        root: row.uuid(11),
        depth: row.small(13),
        correlation_id: row.opt_text(12),
        traceparent: TraceParent::kept(row.opt_text(26)),
        release_on_failure: false,
        locks: false,
        unfit: None,
        started: None,
        cancel: None,
        attempts,
        children: Vec::new(),
        arrived: 0,
        awaits: Vec::new(),
        routed: Some(routed),
        steps: vec![step],
    };
    row.table("cancel");
    // A step of one that is to stop need not know more than that.
    claimed.cancel = row.opt_text(20).map(|actor| CancelLoad {
        actor,
        reason: row.opt_text(21),
        goal: load::goal(&mut row, 22),
    });
    claimed.unfit = row.unreadable().as_deref().map(unfit);
    claimed
}

/// What has become of the steps that these intents have sent to other queues. The counts are read before, never after.
pub(super) async fn sent(
    conn: &mut Conn<'_>,
    intents: &[IntentId],
    corrupt: &mut Unfit,
) -> Result<HashMap<IntentId, Vec<StepLoad>>, Error> {
    let mut sent: HashMap<IntentId, Vec<StepLoad>> = HashMap::new();
    let args = Args::new().ids(intents.iter().copied()).now();
    for row in conn.fetch(&sql::STEP_SENT, args).await? {
        let (intent, step) = load::step(&row, corrupt);
        sent.entry(intent).or_default().push(step);
    }
    Ok(sent)
}
