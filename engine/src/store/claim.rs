//! Claim: a batch of tasks becomes a lease, and the worker gets all that it needs to go on with them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::admit::{Asking, admit_claimed, circular};
use super::args::{Args, Rows};
use super::{
    Claimed, Conn, Lane, ParkRow, Probe, TickAnswer, TickRequest, load, poison, routed, sql,
};
use crate::clock::Micros;
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};
use crate::state::FailureReason;

/// A task as it comes out of *ready*.
struct Taken {
    task: TaskId,
    position: i64,
    /// A step that runs in a queue of its own; the others are intents to drive.
    routed: bool,
    started: bool,
    locks: bool,
    crashes: u32,
}

/// Claims what the request asks for.
pub(super) async fn claim(
    conn: &mut Conn<'_>,
    session: SessionId,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    if let Some(lease) = request.suspect_lease {
        for lane in &request.claim_suspect {
            let rows = Rows::new().texts(lane.kinds.iter().cloned());
            let args = Args::new().text(lane.queue.clone()).rows(rows);
            let taken = read_taken(conn.fetch(&sql::CLAIM_SUSPECT, args).await?)?;
            if !taken.is_empty() {
                let alone = Beside::of(request);
                took(request, answer, &lane.queue, taken.len());
                make_lease(conn, session, (lease, alone), taken, request, answer).await?;
                // By itself: nothing else is claimed beside it.
                return Ok(());
            }
        }
        for probe in &request.probes {
            let taken = try_kind(conn, probe).await?;
            if !taken.is_empty() {
                let alone = Beside::of(request);
                took(request, answer, &probe.lane.queue, taken.len());
                make_lease(conn, session, (lease, alone), taken, request, answer).await?;
                answer.probed = true;
                return Ok(());
            }
        }
    }
    let Some(lease) = request.lease else {
        return Ok(());
    };
    let mut taken = Vec::new();
    for lane in &request.claim {
        let more = take(conn, lane).await?;
        if more.len() < lane.room {
            answer.drained.push(lane.queue.clone());
        }
        took(request, answer, &lane.queue, more.len());
        taken.extend(more);
    }
    if !taken.is_empty() {
        let lease = (lease, Beside::Others);
        make_lease(conn, session, lease, taken, request, answer).await?;
    }
    Ok(())
}

/// What was taken is what there are slots for, of a limited queue.
fn took(request: &TickRequest, answer: &mut TickAnswer, queue: &Arc<str>, tasks: usize) {
    if !request.slots.is_empty() {
        answer.took.push((queue.clone(), tasks));
    }
}

/// Whether a lease is made beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Others,
    Nothing,
}

impl Beside {
    /// Of a task that is claimed by itself.
    fn of(request: &TickRequest) -> Self {
        match request.alone {
            true => Self::Nothing,
            false => Self::Others,
        }
    }
}

/// Takes one task of a kind that backs off, if it is due and nobody else tries it.
async fn try_kind(conn: &mut Conn<'_>, probe: &Probe) -> Result<Vec<Taken>, Error> {
    let lane = &probe.lane;
    for kind in lane.kinds.iter() {
        if !poison::may_try(conn, kind, probe.intents).await? {
            return Ok(Vec::new());
        }
    }
    let rows = Rows::new().texts(lane.kinds.iter().cloned());
    let args = Args::new().text(lane.queue.clone()).rows(rows);
    let taken = read_taken(conn.fetch(&sql::CLAIM_SUSPECT, args).await?)?;
    if taken.is_empty() {
        return take(conn, lane).await;
    }
    Ok(taken)
}

async fn take(conn: &mut Conn<'_>, lane: &Lane) -> Result<Vec<Taken>, Error> {
    let queue = Args::new().text(lane.queue.clone());
    let (statement, args) = match &*lane.kinds {
        [kind] if !conn.is_pg() => (&sql::CLAIM_TAKE_KIND, queue.text(kind.clone())),
        kinds => {
            let rows = Rows::new().texts(kinds.iter().cloned());
            (&sql::CLAIM_TAKE, queue.rows(rows))
        }
    };
    read_taken(conn.fetch(statement, args.int(lane.room as i64)).await?)
}

fn read_taken(rows: Vec<super::conn::Row>) -> Result<Vec<Taken>, Error> {
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        taken.push(Taken {
            task: row.uuid(0)?,
            routed: row.bool(5)?,
            position: row.int(1)?,
            started: row.bool(2)?,
            locks: row.bool(3)?,
            crashes: row.small(4)?,
        });
    }
    taken.sort_by_key(|task| (task.position, task.task));
    Ok(taken)
}

/// Admits, loads and leases what was taken. What cannot be had now goes back: tasks at whose resources somebody else is
/// just now, and those whose inputs are too much for the worker's memory.
async fn make_lease(
    conn: &mut Conn<'_>,
    session: SessionId,
    (lease, beside): (LeaseId, Beside),
    mut taken: Vec<Taken>,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    let wanting: Vec<_> = taken
        .iter()
        .filter(|task| task.locks)
        .map(|task| Asking {
            intent: IntentId(task.task.0),
            position: task.position,
            started: task.started || task.crashes > 0,
        })
        .collect();
    let admitted = admit_claimed(conn, &wanting, &request.rules).await?;
    answer.losers += admitted.losers.len();
    answer.superseding |= admitted.superseding;
    answer.readied += admitted.readied;
    put_back(conn, &taken, |task| {
        admitted.deferred.contains(&IntentId(task.0))
    })
    .await?;
    taken.retain(|task| {
        let stays = [&admitted.blocked, &admitted.deferred, &admitted.losers];
        !stays.iter().any(|set| set.contains(&IntentId(task.task.0)))
    });
    if taken.is_empty() {
        return Ok(());
    }
    let mut claimed = load_taken(conn, lease, &taken, request.claim_bytes).await?;
    if claimed.len() < taken.len() {
        let loaded: HashSet<TaskId> = claimed.iter().map(|task| task.task).collect();
        put_back(conn, &taken, |task| !loaded.contains(task)).await?;
        taken.retain(|task| loaded.contains(&task.task));
    }
    let crashes = taken.iter().map(|task| task.crashes).max();
    let crashes = crashes.unwrap_or_default();
    let args = Args::new()
        .uuid(lease.0)
        .uuid(session.0)
        .int(i64::from(crashes))
        .bool(beside == Beside::Nothing)
        .ids(taken.iter().map(|task| task.task))
        .now();
    let row = conn
        .fetch_one(&sql::LEASE_INSERT, args)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    answer.claimed_at = row.time(0)?;
    let order: HashMap<TaskId, (usize, u32)> = taken
        .iter()
        .enumerate()
        .map(|(index, task)| (task.task, (index, task.crashes)))
        .collect();
    claimed.sort_by_key(|task| order.get(&task.task).map_or(0, |(index, _)| *index));
    for task in &mut claimed {
        if let Some(error) = admitted.circular.get(&task.intent)
            && task.routed.is_none()
        {
            task.unfit = Some((FailureReason::CircularWait, error.clone()));
        }
        task.crashes = order.get(&task.task).map_or(0, |(_, crashes)| *crashes);
    }
    answer.claimed.append(&mut claimed);
    Ok(())
}

/// Loads what was taken, as far as the inputs of the intents fit into `bytes`; routed steps are few and are all loaded.
async fn load_taken(
    conn: &mut Conn<'_>,
    lease: LeaseId,
    taken: &[Taken],
    bytes: usize,
) -> Result<Vec<Claimed>, Error> {
    let (steps, intents): (Vec<&Taken>, Vec<&Taken>) = taken.iter().partition(|task| task.routed);
    let mut claimed = Vec::new();
    if !intents.is_empty() {
        let started = intents.iter().filter(|task| task.started);
        let started: HashSet<IntentId> = started.map(|task| IntentId(task.task.0)).collect();
        let ids = intents.iter().map(|task| IntentId(task.task.0));
        claimed = load::intents(conn, lease, ids, &started, bytes).await?;
    }
    if !steps.is_empty() {
        claimed.extend(routed::load(conn, lease, steps.iter().map(|task| task.task)).await?);
    }
    Ok(claimed)
}

/// Some of the tasks that were taken go back where they were.
async fn put_back(
    conn: &mut Conn<'_>,
    taken: &[Taken],
    goes: impl Fn(&TaskId) -> bool,
) -> Result<(), Error> {
    let back: Vec<&Taken> = taken.iter().filter(|task| goes(&task.task)).collect();
    if back.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(back.iter().map(|task| task.task))
        .ints(back.iter().map(|task| i64::from(task.crashes)))
        .bools(back.iter().map(|task| task.started))
        .bools(back.iter().map(|_| true));
    conn.execute(&sql::READY_INSERT, Args::new().rows(rows))
        .await
}

/// After a lost answer: loads the tasks of a lease that was made, as if they had just been claimed.
pub(super) async fn adopt(
    conn: &mut Conn<'_>,
    lease: LeaseId,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    let mut tasks: Vec<TaskId> = Vec::new();
    let (mut claimed_at, mut crashes) = (Micros::default(), 0);
    for row in conn
        .fetch(&sql::LEASE_READ, Args::new().uuid(lease.0))
        .await?
    {
        claimed_at = row.time(0)?;
        tasks.extend(row.opt_uuid::<TaskId>(1)?);
        crashes = row.small(2)?;
    }
    if tasks.is_empty() {
        return Ok(());
    }
    answer.claimed_at = claimed_at;
    let intents: Vec<IntentId> = tasks.iter().map(|task| IntentId(task.0)).collect();
    let all: HashSet<IntentId> = intents.iter().copied().collect();
    let mut circular = circular(conn, &intents).await?;
    let ids = intents.into_iter();
    let mut claimed: Vec<Claimed> = load::intents(conn, lease, ids, &all, usize::MAX).await?;
    if claimed.len() < tasks.len() {
        // What is no intent is a routed step.
        claimed.extend(routed::load(conn, lease, tasks.into_iter()).await?);
    }
    for task in &mut claimed {
        task.crashes = crashes;
        if task.routed.is_none()
            && let Some(error) = circular.remove(&task.intent)
        {
            task.unfit = Some((FailureReason::CircularWait, error));
        }
    }
    answer.claimed.append(&mut claimed);
    Ok(())
}

/// After a lost answer: which of the tasks that were to be parked have stayed in their lease.
pub(super) async fn not_parked(
    conn: &mut Conn<'_>,
    parks: &[ParkRow],
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    let waiting = parks.iter().filter(|park| park.wake_at.is_some());
    let leases: HashSet<LeaseId> = waiting.clone().map(|park| park.lease).collect();
    let mut held: HashSet<TaskId> = HashSet::new();
    for lease in leases {
        for row in conn
            .fetch(&sql::LEASE_READ, Args::new().uuid(lease.0))
            .await?
        {
            held.extend(row.opt_uuid::<TaskId>(1)?);
        }
    }
    answer.not_parked = waiting
        .map(|park| park.task)
        .filter(|task| held.contains(task))
        .collect();
    Ok(())
}
