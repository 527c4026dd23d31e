//! Claim: a batch of tasks becomes a lease, and the worker gets all that it needs to go on with them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::admit::{Admitted, Asking, admit_claimed, circular};
use super::args::{Args, Rows};
use super::conn::Row;
use super::load::Loaded;
use super::partition::{self, Counted};
use super::reading::{Reading, Unfit, cause, unfit};
use super::savepoint::Savepoint;
use super::{
    Conn, Lane, ParkReason, ParkRow, Probed, TickAnswer, TickRequest, load, poison, routed, sql,
};
use crate::clock::Micros;
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};
use crate::state::FailureReason;

/// A task as it comes out of *ready*.
pub(super) struct Taken {
    pub(super) task: TaskId,
    position: i64,
    /// A step that runs in a queue of its own; the others are intents to drive.
    routed: bool,
    started: bool,
    locks: bool,
    crashes: u32,
    /// It is counted in a partition that has a limit.
    pub(super) counted: Option<Counted>,
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
            let taken = take_suspect(conn, lane).await?;
            if !taken.is_empty() {
                let alone = Beside::of(request);
                took(request, answer, &lane.queue, taken.len());
                make_lease(conn, session, (lease, alone), taken, request, answer).await?;
                // By itself: nothing else is claimed beside it.
                return Ok(());
            }
        }
        for probe in &request.probes {
            let kind = &probe.kind;
            if !poison::may_try(conn, kind).await? {
                answer.probed.push((kind.clone(), Probed::Refused));
                continue;
            }
            let taken = take_one(conn, &probe.lane, answer).await?;
            if !taken.is_empty() {
                let alone = Beside::of(request);
                took(request, answer, &probe.lane.queue, taken.len());
                make_lease(conn, session, (lease, alone), taken, request, answer).await?;
            }
            if !answer.claimed.is_empty() {
                poison::tries(conn, kind, probe.intents).await?;
                answer.probed.push((kind.clone(), Probed::Took));
                return Ok(());
            }
            answer.probed.push((kind.clone(), Probed::Nothing));
        }
    }
    let Some(lease) = request.lease else {
        return Ok(());
    };
    let mut taken = Vec::new();
    for lane in &request.claim {
        let more = take(conn, lane, answer).await?;
        // Where tasks take turns, what comes back is what those gave who were looked at, and others may have more.
        let is_less = more.len() < lane.room;
        if is_less && (lane.turns.is_none() || more.is_empty()) {
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

/// What was taken is what there are slots and permits for, of a queue with a limit or a rate.
fn took(request: &TickRequest, answer: &mut TickAnswer, queue: &Arc<str>, tasks: usize) {
    if !(request.slots.is_empty() && request.permits.is_empty()) {
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

/// Takes one task of a kind that is tried: a suspect, if there is one.
async fn take_one(
    conn: &mut Conn<'_>,
    lane: &Lane,
    answer: &mut TickAnswer,
) -> Result<Vec<Taken>, Error> {
    let taken = take_suspect(conn, lane).await?;
    match taken.is_empty() {
        true => take(conn, lane, answer).await,
        false => Ok(taken),
    }
}

async fn take_suspect(conn: &mut Conn<'_>, lane: &Lane) -> Result<Vec<Taken>, Error> {
    let rows = Rows::new().texts(lane.kinds.iter().cloned());
    let args = Args::new().text(lane.queue.clone()).rows(rows);
    Ok(read_taken(conn.fetch(&sql::CLAIM_SUSPECT, args).await?))
}

async fn take(
    conn: &mut Conn<'_>,
    lane: &Lane,
    answer: &mut TickAnswer,
) -> Result<Vec<Taken>, Error> {
    let Some(turns) = &lane.turns else {
        return take_first(conn, lane, lane.room).await;
    };
    let (mut taken, from) = partition::take(conn, lane, turns).await?;
    answer.turns.push((lane.queue.clone(), from));
    if !turns.files && taken.len() < lane.room {
        taken.extend(take_first(conn, lane, lane.room - taken.len()).await?);
    }
    Ok(taken)
}

/// In the order of requests.
async fn take_first(conn: &mut Conn<'_>, lane: &Lane, room: usize) -> Result<Vec<Taken>, Error> {
    let queue = Args::new().text(lane.queue.clone());
    let (statement, args) = match &*lane.kinds {
        [kind] if !conn.is_pg() => (&sql::CLAIM_TAKE_KIND, queue.text(kind.clone())),
        kinds => {
            let rows = Rows::new().texts(kinds.iter().cloned());
            (&sql::CLAIM_TAKE, queue.rows(rows))
        }
    };
    Ok(read_taken(
        conn.fetch(statement, args.int(room as i64)).await?,
    ))
}

/// A row that does not say whose it is has left *ready* with this tick, and is told: nothing else can be done with it, and
/// left where it is it would be claimed again and again.
pub(super) fn read_taken(rows: Vec<Row>) -> Vec<Taken> {
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut row = Reading::of(row, "ready");
        let task = Taken {
            task: row.uuid(0),
            routed: row.bool(5),
            position: row.int(1),
            started: row.bool(2),
            locks: row.bool(3),
            crashes: row.small(4),
            counted: None,
        };
        match row.unreadable() {
            Some(unreadable) if task.task.0.is_nil() => {
                tracing::error!(
                    unreadable,
                    "a task that was in line is nobody's: put its intent back by hand"
                );
            }
            Some(_) | None => taken.push(task),
        }
    }
    taken.sort_by_key(|task| (task.position, task.task));
    taken
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
    let (admitted, mut unfit) = admit(conn, &wanting, request).await?;
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
    let Loaded { mut claimed, left } = load_taken(conn, lease, &taken, request).await?;
    if claimed.len() < taken.len() {
        let left: HashSet<TaskId> = left.into_iter().collect();
        let loaded: HashSet<TaskId> = claimed.iter().map(|task| task.task).collect();
        put_back(conn, &taken, |task| left.contains(task)).await?;
        let missing = taken.iter().map(|task| task.task);
        let missing = missing.filter(|task| !left.contains(task) && !loaded.contains(task));
        set_aside(conn, missing.collect()).await?;
        taken.retain(|task| loaded.contains(&task.task));
        if taken.is_empty() {
            return Ok(());
        }
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
    partition::lend(conn, session, &taken).await?;
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
        if task.unfit.is_none() && task.routed.is_none() {
            task.unfit = unfit.remove(task.intent);
        }
        task.crashes = order.get(&task.task).map_or(0, |(_, crashes)| *crashes);
    }
    answer.claimed.append(&mut claimed);
    Ok(())
}

/// Lets those in that want resources. If the database, or what it says, has refused them together, one by one: of whom it
/// cannot be read what it wants fails with that, and nobody else does.
async fn admit(
    conn: &mut Conn<'_>,
    wanting: &[Asking],
    request: &TickRequest,
) -> Result<(Admitted, Unfit), Error> {
    let mut unfit = Unfit::default();
    if !request.careful || wanting.is_empty() {
        let admitted = admit_claimed(conn, wanting, &request.rules).await?;
        return Ok((admitted, unfit));
    }
    let mut all = Admitted::default();
    for asking in wanting {
        let save = Savepoint::set(conn).await?;
        match admit_claimed(conn, std::slice::from_ref(asking), &request.rules).await {
            Ok(one) => {
                save.keep(conn).await?;
                all.add(one);
            }
            Err(error) if error.is_data_error() => {
                save.go_back(conn).await?;
                let intent = Args::new().ids([asking.intent]);
                conn.fetch(&sql::LINE_LEAVE, intent).await?;
                unfit.add(
                    asking.intent,
                    format!("what it wants to hold: {}", cause(&error)),
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok((all, unfit))
}

/// Loads what was taken, as far as the inputs of the intents fit; routed steps are few and are all loaded. If the database
/// has refused to, one by one: of whom it does fails with that.
async fn load_taken(
    conn: &mut Conn<'_>,
    lease: LeaseId,
    taken: &[Taken],
    request: &TickRequest,
) -> Result<Loaded, Error> {
    let bytes = request.claim_bytes;
    if !request.careful {
        return load_together(conn, lease, taken, bytes).await;
    }
    let (mut all, mut loaded) = (Loaded::default(), 0);
    for task in taken {
        if loaded > bytes {
            all.left.push(task.task);
            continue;
        }
        let one = load_one(conn, lease, task).await?;
        let inputs = one.claimed.iter().map(|task| task.input.get().len());
        loaded += inputs.sum::<usize>();
        all.claimed.extend(one.claimed);
    }
    Ok(all)
}

async fn load_together(
    conn: &mut Conn<'_>,
    lease: LeaseId,
    taken: &[Taken],
    bytes: usize,
) -> Result<Loaded, Error> {
    let (steps, intents): (Vec<&Taken>, Vec<&Taken>) = taken.iter().partition(|task| task.routed);
    let mut loaded = Loaded::default();
    if !intents.is_empty() {
        let started = intents.iter().filter(|task| task.started);
        let started: HashSet<IntentId> = started.map(|task| IntentId(task.task.0)).collect();
        let ids = intents.iter().map(|task| IntentId(task.task.0));
        loaded = load::intents(conn, lease, ids, &started, bytes).await?;
    }
    if !steps.is_empty() {
        let steps = routed::load(conn, lease, steps.iter().map(|task| task.task)).await?;
        loaded.claimed.extend(steps);
    }
    Ok(loaded)
}

/// Loads one. If the database refuses to read what is recorded of it, it is what its own row says, and unfit; nothing, if
/// that is refused, too.
async fn load_one(conn: &mut Conn<'_>, lease: LeaseId, task: &Taken) -> Result<Loaded, Error> {
    let save = Savepoint::set(conn).await?;
    let error = match load_together(conn, lease, std::slice::from_ref(task), usize::MAX).await {
        Ok(loaded) => {
            save.keep(conn).await?;
            return Ok(loaded);
        }
        Err(error) if error.is_data_error() => error,
        Err(error) => return Err(error),
    };
    save.go_back(conn).await?;
    tracing::error!(task = %task.task, %error, "what is recorded of a task cannot be read");
    let save = Savepoint::set(conn).await?;
    let (none, id) = (HashSet::new(), IntentId(task.task.0));
    match load::intents(conn, lease, std::iter::once(id), &none, usize::MAX).await {
        Ok(mut loaded) => {
            save.keep(conn).await?;
            for intent in &mut loaded.claimed {
                let what = unfit(&format!("what is recorded of it: {}", cause(&error)));
                intent.unfit.get_or_insert(what);
            }
            Ok(loaded)
        }
        Err(error) if error.is_data_error() => {
            save.go_back(conn).await?;
            Ok(Loaded::default())
        }
        Err(error) => Err(error),
    }
}

/// Tasks of which there is no row that says what they are: nobody can carry them out or say why not. They are parked
/// without a time, so that their tokens are kept for whoever mends the row, and nobody claims them again and again.
async fn set_aside(conn: &mut Conn<'_>, missing: Vec<TaskId>) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    for task in &missing {
        tracing::error!(%task, "a task in line has no row in *intent*, or *routed* and *step*: parked until that is mended");
    }
    let rows = Rows::new()
        .uuids(missing.iter().copied())
        .texts(missing.iter().map(|_| ParkReason::Handler.as_str()))
        .opt_ints(missing.iter().map(|_| None));
    conn.execute(&sql::PARKED_INSERT, Args::new().rows(rows).now())
        .await
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
    careful: bool,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    let mut tasks: Vec<TaskId> = Vec::new();
    let (mut claimed_at, mut crashes) = (Micros::default(), 0);
    for row in conn
        .fetch(&sql::LEASE_READ, Args::new().uuid(lease.0))
        .await?
    {
        let mut row = Reading::of(&row, "lease");
        claimed_at = row.time(0);
        tasks.extend(row.opt_uuid::<TaskId>(1));
        crashes = row.small(2);
    }
    if tasks.is_empty() {
        return Ok(());
    }
    answer.claimed_at = claimed_at;
    let intents: Vec<IntentId> = tasks.iter().map(|task| IntentId(task.0)).collect();
    let (mut circular, mut unfit) = circular_of(conn, &intents).await?;
    let mut claimed = Vec::new();
    if careful {
        // What is no intent is a routed step.
        for task in tasks {
            for routed in [false, true] {
                let task = Taken {
                    task,
                    position: 0,
                    routed,
                    started: true,
                    locks: false,
                    crashes,
                    counted: None,
                };
                claimed.extend(load_one(conn, lease, &task).await?.claimed);
            }
        }
    } else {
        let all: HashSet<IntentId> = intents.iter().copied().collect();
        let ids = intents.into_iter();
        claimed = load::intents(conn, lease, ids, &all, usize::MAX)
            .await?
            .claimed;
        if claimed.len() < tasks.len() {
            claimed.extend(routed::load(conn, lease, tasks.into_iter()).await?);
        }
    }
    for task in &mut claimed {
        task.crashes = crashes;
        if task.routed.is_none()
            && let Some(error) = circular.remove(&task.intent)
        {
            task.unfit = Some((FailureReason::CircularWait, error));
        }
        if task.unfit.is_none() && task.routed.is_none() {
            task.unfit = unfit.remove(task.intent);
        }
    }
    answer.claimed.append(&mut claimed);
    Ok(())
}

/// After a lost answer: who was claimed only to be refused; one by one if that cannot be read of somebody.
async fn circular_of(
    conn: &mut Conn<'_>,
    intents: &[IntentId],
) -> Result<(HashMap<IntentId, String>, Unfit), Error> {
    let mut unfit = Unfit::default();
    match circular(conn, intents).await {
        Err(error) if error.is_data_error() => {}
        other => return Ok((other?, unfit)),
    }
    let mut all = HashMap::new();
    for intent in intents {
        match circular(conn, &[*intent]).await {
            Ok(one) => all.extend(one),
            Err(error) if error.is_data_error() => {
                unfit.add(*intent, format!("what it wants to hold: {}", cause(&error)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((all, unfit))
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
