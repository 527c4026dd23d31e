//! Claim: a batch of tasks becomes a lease, and the worker gets all that it needs to go on with them.

use std::collections::{HashMap, HashSet};

use super::admit::{Asking, admit_claimed, circular};
use super::args::{Args, Rows};
use super::{Claimed, Conn, Lane, ParkRow, Probe, TickAnswer, TickRequest, load, poison, sql};
use crate::clock::Micros;
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId};
use crate::state::FailureReason;

/// A task as it comes out of *ready*.
struct Taken {
    intent: IntentId,
    position: i64,
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
                make_lease(conn, session, (lease, alone), taken, request, answer).await?;
                // By itself: nothing else is claimed beside it.
                return Ok(());
            }
        }
        for probe in &request.probes {
            let taken = try_kind(conn, probe).await?;
            if !taken.is_empty() {
                let alone = Beside::of(request);
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
        taken.extend(more);
    }
    if !taken.is_empty() {
        let lease = (lease, Beside::Others);
        make_lease(conn, session, lease, taken, request, answer).await?;
    }
    Ok(())
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
    let rows = Rows::new().texts(lane.kinds.iter().cloned());
    let args = Args::new()
        .text(lane.queue.clone())
        .rows(rows)
        .int(lane.room as i64);
    read_taken(conn.fetch(&sql::CLAIM_TAKE, args).await?)
}

fn read_taken(rows: Vec<super::conn::Row>) -> Result<Vec<Taken>, Error> {
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        taken.push(Taken {
            intent: row.uuid(0)?,
            position: row.int(1)?,
            started: row.bool(2)?,
            locks: row.bool(3)?,
            crashes: row.small(4)?,
        });
    }
    taken.sort_by_key(|task| (task.position, task.intent));
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
            intent: task.intent,
            position: task.position,
            started: task.started || task.crashes > 0,
        })
        .collect();
    let admitted = admit_claimed(conn, &wanting, &request.rules).await?;
    answer.losers += admitted.losers.len();
    answer.superseding |= admitted.superseding;
    put_back(conn, &taken, |task| admitted.deferred.contains(task)).await?;
    taken.retain(|task| {
        let stays = [&admitted.blocked, &admitted.deferred, &admitted.losers];
        !stays.iter().any(|set| set.contains(&task.intent))
    });
    if taken.is_empty() {
        return Ok(());
    }
    let started: HashSet<IntentId> = taken
        .iter()
        .filter(|task| task.started)
        .map(|task| task.intent)
        .collect();
    let ids = taken.iter().map(|task| task.intent);
    let mut claimed = load::intents(conn, lease, ids, &started, request.claim_bytes).await?;
    if claimed.len() < taken.len() {
        let loaded: HashSet<IntentId> = claimed.iter().map(|task| task.intent).collect();
        put_back(conn, &taken, |task| !loaded.contains(task)).await?;
        taken.retain(|task| loaded.contains(&task.intent));
    }
    let crashes = taken.iter().map(|task| task.crashes).max();
    let crashes = crashes.unwrap_or_default();
    let args = Args::new()
        .uuid(lease.0)
        .uuid(session.0)
        .int(i64::from(crashes))
        .bool(beside == Beside::Nothing)
        .ids(taken.iter().map(|task| task.intent))
        .now();
    let row = conn
        .fetch_one(&sql::LEASE_INSERT, args)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    answer.claimed_at = row.time(0)?;
    let order: HashMap<IntentId, (usize, u32)> = taken
        .iter()
        .enumerate()
        .map(|(index, task)| (task.intent, (index, task.crashes)))
        .collect();
    claimed.sort_by_key(|task| order.get(&task.intent).map_or(0, |(index, _)| *index));
    for task in &mut claimed {
        if let Some(error) = admitted.circular.get(&task.intent) {
            task.unfit = Some((FailureReason::CircularWait, error.clone()));
        }
        task.crashes = order.get(&task.intent).map_or(0, |(_, crashes)| *crashes);
    }
    answer.claimed.append(&mut claimed);
    Ok(())
}

/// Some of the tasks that were taken go back where they were.
async fn put_back(
    conn: &mut Conn<'_>,
    taken: &[Taken],
    goes: impl Fn(&IntentId) -> bool,
) -> Result<(), Error> {
    let back: Vec<&Taken> = taken.iter().filter(|task| goes(&task.intent)).collect();
    if back.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(back.iter().map(|task| task.intent))
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
    let mut tasks: Vec<IntentId> = Vec::new();
    let (mut claimed_at, mut crashes) = (Micros::default(), 0);
    for row in conn
        .fetch(&sql::LEASE_READ, Args::new().uuid(lease.0))
        .await?
    {
        claimed_at = row.time(0)?;
        tasks.extend(row.opt_uuid::<IntentId>(1)?);
        crashes = row.small(2)?;
    }
    if tasks.is_empty() {
        return Ok(());
    }
    answer.claimed_at = claimed_at;
    let all: HashSet<IntentId> = tasks.iter().copied().collect();
    let mut circular = circular(conn, &tasks).await?;
    let mut claimed: Vec<Claimed> =
        load::intents(conn, lease, tasks.into_iter(), &all, usize::MAX).await?;
    for task in &mut claimed {
        task.crashes = crashes;
        if let Some(error) = circular.remove(&task.intent) {
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
    let mut held: HashSet<IntentId> = HashSet::new();
    for lease in leases {
        for row in conn
            .fetch(&sql::LEASE_READ, Args::new().uuid(lease.0))
            .await?
        {
            held.extend(row.opt_uuid::<IntentId>(1)?);
        }
    }
    answer.not_parked = waiting
        .map(|park| park.intent)
        .filter(|intent| held.contains(intent))
        .collect();
    Ok(())
}
