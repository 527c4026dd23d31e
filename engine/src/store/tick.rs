//! Tick: one transaction for everything that a worker has to write and everything that it asks for (DESIGN 4.2).
//!
//! The order of the statements is the lock order: session → queues with a limit or a rate, sorted → resources, sorted → wait rows, sorted → tasks. See
//! ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::args::{Args, Rows};
use super::reading::{Unfit, cause, unfit};
use super::rows::Start;
use super::savepoint::Savepoint;
use super::session::us;
use super::{
    ChildRow, Conn, Flush, Life, ParkRow, StepRow, Store, StoreKind, TickAnswer, TickEnd,
    TickRequest, When,
};
use super::{
    awaited, claim, deadlines, finish, load, notes, partition, queue, rates, request, routed, sql,
    stop, taking_back,
};
use crate::clock::Micros;
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};
use crate::limits;
use crate::state::{IntentState, StepState};

impl Store {
    /// Commits tick number `number` of a session, once: repeating it after a lost answer is refused by the number.
    pub(crate) async fn tick(
        &self,
        session: SessionId,
        number: i64,
        request: Arc<TickRequest>,
    ) -> Result<TickEnd, Error> {
        let flush = match (self.kind(), request.has_writes()) {
            (StoreKind::Postgres, _) => Flush::Said,
            (StoreKind::Sqlite, true) => Flush::Now,
            (StoreKind::Sqlite, false) => Flush::Later,
        };
        let moments = self.moments.clone();
        self.transact_at(flush, move |mut conn, began| {
            let (request, moments) = (request.clone(), moments.clone());
            let at = move |now| moments.instant(now, began);
            Box::pin(async move { tick(&mut conn, (session, number), &request, at).await })
        })
        .await
    }

    /// After a lost answer: the tick was committed, so read what it claimed and what it asked for.
    pub(crate) async fn adopt(
        &self,
        session: SessionId,
        request: Arc<TickRequest>,
    ) -> Result<TickAnswer, Error> {
        self.transact(move |mut conn| {
            let request = request.clone();
            Box::pin(async move {
                let mut answer = TickAnswer::default();
                for lease in request.lease.into_iter().chain(request.suspect_lease) {
                    claim::adopt(&mut conn, lease, request.careful, &mut answer).await?;
                }
                claim::not_parked(&mut conn, &request.parks, &mut answer).await?;
                // What the claim made of others cannot be told any more; the rows say what is left to do.
                answer.superseding = !request.rules.is_empty();
                hear_cancels(&mut conn, session, &request, &mut answer).await?;
                hear(&mut conn, &request, &mut answer).await?;
                // Whether anything was there for those that have begun to wait is looked up again.
                let awaited = request.awaited.iter().map(|row| row.intent);
                let aside = request.set_aside.iter().map(|row| row.intent);
                answer.taken = awaited.chain(aside).collect();
                Ok(answer)
            })
        })
        .await
    }
}

async fn tick(
    conn: &mut Conn<'_>,
    (session, number): (SessionId, i64),
    request: &TickRequest,
    instant: impl FnOnce(Micros) -> Instant,
) -> Result<TickEnd, Error> {
    let later = !request.has_writes();
    let fence = Args::new().uuid(session.0).int(number).bool(later).now();
    let Some(fence) = conn.fetch_one(&sql::TICK_FENCE, fence).await? else {
        return Ok(TickEnd::Fenced);
    };
    let now = instant(Micros(fence.int(2)?));
    let mut answer = TickAnswer {
        cancels: fence.int(0)?,
        ..TickAnswer::default()
    };
    // A cancel locks the session's row before it asks an intent of it to stop. So either it comes after this tick, or this
    // tick sees it here and does not finish the intent.
    let stopped;
    let request = if answer.cancels > request.cancels {
        answer.to_stop = load::cancels(conn, session).await?;
        stopped = stop::without(request, &mut answer);
        &stopped
    } else {
        request
    };

    // Before the claim, so that nothing is taken from a queue that was paused before this tick.
    let version = fence.int(1)?;
    let unpaused;
    let request = if version > request.control {
        let control = queue::load(conn, version).await?;
        unpaused = control.without(request);
        answer.control = Some(control);
        &unpaused
    } else {
        request
    };

    // Of queues with a limit or a rate no more is claimed than there are slots and permits for.
    let limited;
    let mut locks = queue::Locks::default();
    let unlimited =
        request.slots.is_empty() && request.permits.is_empty() && request.partitioned.is_empty();
    let request = if unlimited {
        request
    } else {
        locks = queue::lock(conn, session, request).await?;
        limited = queue::within(request, &mut locks);
        &limited
    };

    let messages = if request.deliver {
        awaited::deliver(conn).await?
    } else {
        BTreeMap::new()
    };
    answer.delivered = usize::try_from(messages.values().sum::<i64>()).unwrap_or_default();
    let parking = request.parks.iter().filter_map(ParkRow::waits);
    let ending = request.ends.iter().map(|end| end.intent);
    let waits = parking.map(|(intent, _)| intent).chain(ending);
    let waits = waits.chain(messages.keys().copied());
    let replaced = request.children.iter().filter_map(|child| child.instead_of);
    finish::lock(conn, &request.finishes, replaced, waits).await?;
    let woken = awaited::count(conn, &messages).await?;
    write_plans(conn, session, request).await?;
    write_steps(conn, request, now).await?;
    answer.readied += notes::write(conn, &request.worker, &request.notes).await?;
    write_children(conn, request, &mut answer).await?;
    send_routed(conn, request, &mut answer).await?;
    open_waits(conn, request).await?;
    answer.taken = awaited::write(conn, request).await?;
    let ended = routed::end(conn, &request.ends).await?;
    answer.readied += finish::finish(conn, &request.finishes, request.careful, ended).await?;
    let stays = park(conn, request, &mut answer).await?;
    answer.readied += finish::ready(conn, woken).await?;
    hand_back(conn, request).await?;
    leave_leases(conn, session, request, &stays).await?;
    if !request.partitioned.is_empty() {
        let left = request.leaves().filter(|task| !stays.contains(task));
        answer.freed = partition::give_back(conn, left, &locks.partitions).await?;
    }

    if request.promote {
        let args = Args::new().int(limits::TIMERS_PER_TICK as i64).now();
        answer.promoted = conn.fetch(&sql::PARKED_DUE, args).await?.len();
        answer.readied += answer.promoted;
    }
    claim::claim(conn, session, request, &mut answer).await?;
    if !request.slots.is_empty() {
        let asks = (locks.slots, request.slots.as_slice());
        answer.slots = queue::settle(conn, session, asks, &answer.took).await?;
    }
    answer.permits = rates::settle(conn, locks.rated, &request.permits, &answer.took).await?;
    hear(conn, request, &mut answer).await?;
    Ok(TickEnd::Done(Box::new(answer)))
}

/// After a lost answer: what is to stop. Whose outcome is not there was not finished by the tick.
async fn hear_cancels(
    conn: &mut Conn<'_>,
    session: SessionId,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    // The number first: a cancel that comes in between is heard of again.
    let count = Args::new().uuid(session.0);
    let row = conn.fetch_one(&sql::CANCEL_COUNT, count).await?;
    answer.cancels = row.map_or(Ok(0), |row| row.int(0))?;
    if answer.cancels > request.cancels {
        answer.to_stop = load::cancels(conn, session).await?;
        answer.not_finished = stop::not_finished(request, &answer.to_stop);
    }
    Ok(())
}

/// What has become of children and of steps in other queues, as far as the worker asks for it. If the database has refused
/// to say so of all of them, one by one: of whom it does fails with that.
async fn hear(
    conn: &mut Conn<'_>,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    if request.watch.is_empty() && request.reload.is_empty() {
        return Ok(());
    }
    if !request.careful {
        return hear_of(conn, request, answer).await;
    }
    for intent in request.watch.iter().chain(&request.reload) {
        let only = |asked: &[IntentId]| {
            let asked = asked.iter().filter(|asked| *asked == intent);
            asked.copied().collect::<Vec<_>>()
        };
        let one = TickRequest {
            watch: only(&request.watch),
            reload: only(&request.reload),
            recall: only(&request.recall),
            listen: only(&request.listen),
            ..TickRequest::default()
        };
        let save = Savepoint::set(conn).await?;
        match hear_of(conn, &one, answer).await {
            Ok(()) => save.keep(conn).await?,
            Err(error) if error.is_data_error() => {
                save.go_back(conn).await?;
                let what = format!("what is recorded of it: {}", cause(&error));
                answer.unreadable.insert(*intent, unfit(&what).1);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn hear_of(
    conn: &mut Conn<'_>,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    let watched = request.watch.iter().chain(&request.reload).copied();
    let arrived = load::arrived(conn, watched).await?;
    let mut corrupt = Unfit::default();
    let parents = request.reload.iter().copied();
    let children = load::children(conn, parents, &mut corrupt).await?;
    if !request.recall.is_empty() {
        let sent = routed::sent(conn, &request.recall, &mut corrupt).await?;
        answer.sent.extend(sent);
    }
    let awaited = awaited::load(conn, &request.listen, &mut corrupt).await?;
    answer.awaited.extend(awaited);
    answer.children.extend(children);
    answer.arrived.extend(arrived);
    for intent in &request.reload {
        // One that has no children after all.
        answer.arrived.entry(*intent).or_insert(0);
    }
    answer.unreadable.extend(corrupt.into_words());
    Ok(())
}

async fn write_plans(
    conn: &mut Conn<'_>,
    session: SessionId,
    request: &TickRequest,
) -> Result<(), Error> {
    if !request.plans.is_empty() {
        let mut shapes = Vec::with_capacity(request.plans.len());
        for (_, shape) in &request.plans {
            shapes.push(
                serde_json::to_string(&**shape)
                    .map_err(|error| sqlx::Error::Encode(Box::new(error)))?,
            );
        }
        let rows = Rows::new()
            .texts(request.plans.iter().map(|(hash, _)| hash.clone()))
            .texts(shapes);
        conn.execute(&sql::PLAN_INSERT, Args::new().rows(rows).now())
            .await?;
    }
    if !request.session_plans.is_empty() {
        let rows = Rows::new()
            .texts(request.session_plans.iter().map(|(kind, _)| kind.clone()))
            .texts(request.session_plans.iter().map(|(_, hash)| hash.clone()));
        conn.execute(&sql::SESSION_PLAN, Args::new().uuid(session.0).rows(rows))
            .await?;
    }
    if !request.started.is_empty() {
        let rows = Rows::new()
            .uuids(request.started.iter().map(|s| s.intent))
            .ints(request.started.iter().map(|s| s.started.0))
            .opt_texts(request.started.iter().map(|s| s.plan.clone()))
            .opt_texts(request.started.iter().map(|_| None::<Arc<str>>));
        conn.execute(&sql::STARTED_INSERT, Args::new().rows(rows))
            .await?;
    }
    Ok(())
}

async fn write_steps(
    conn: &mut Conn<'_>,
    request: &TickRequest,
    now: Instant,
) -> Result<(), Error> {
    let ago = |when: When| when.us_ago(now);
    let (results, steps): (Vec<_>, Vec<_>) = request
        .steps
        .iter()
        .partition(|step| step.first && step.state == StepState::Succeeded && !request.careful);
    if !results.is_empty() {
        let rows = Rows::new()
            .uuids(results.iter().map(|s| s.intent))
            .texts(results.iter().map(|s| s.name.clone()))
            .ints(results.iter().map(|s| i64::from(s.generation)))
            .ints(results.iter().map(|s| i64::from(s.attempt)))
            .jsons(results.iter().map(|s| s.output.clone()))
            .opt_ints(results.iter().map(|s| s.started.map(ago)))
            .opt_ints(results.iter().map(|s| s.finished.map(ago)));
        let args = Args::new().text(request.worker.clone()).now().rows(rows);
        conn.execute(&sql::RESULT_INSERT, args).await?;
    }
    record_steps(conn, &request.worker, &steps, ago).await?;
    taking_back::write(conn, request).await?;
    deadlines::of_steps(conn, &request.deadlines).await?;
    write_attempts(conn, request, now).await
}

/// What steps have to say that have a row already, or whose word is no result. `ago`: how many microseconds ago something took place.
pub(super) async fn record_steps(
    conn: &mut Conn<'_>,
    worker: &Arc<str>,
    steps: &[&StepRow],
    ago: impl Fn(When) -> i64 + Copy,
) -> Result<(), Error> {
    if !steps.is_empty() {
        let rows = Rows::new()
            .uuids(steps.iter().map(|s| s.intent))
            .texts(steps.iter().map(|s| s.name.clone()))
            .ints(steps.iter().map(|s| i64::from(s.generation)))
            .texts(steps.iter().map(|s| s.state.as_str()))
            .ints(steps.iter().map(|s| i64::from(s.attempt)))
            .jsons(steps.iter().map(|s| s.output.clone()))
            .opt_texts(steps.iter().map(|s| s.error.as_deref()))
            .jsons(steps.iter().map(|s| s.progress.clone()))
            .opt_ints(steps.iter().map(|s| us(s.due_in)))
            .opt_ints(steps.iter().map(|s| s.started.map(ago)))
            .opt_ints(steps.iter().map(|s| s.finished.map(ago)))
            .bools(steps.iter().map(|s| s.point_of_no_return))
            .opt_texts(steps.iter().map(|s| s.queue.clone()))
            .opt_texts(steps.iter().map(|s| s.reason.map(|reason| reason.as_str())))
            .opt_ints(steps.iter().map(|s| s.spare.map(i64::from)))
            .jsons(steps.iter().map(|s| s.waits.clone()));
        let args = Args::new().text(worker.clone()).now().rows(rows);
        conn.execute(&sql::STEP_RECORD, args).await?;
    }
    Ok(())
}

async fn write_attempts(
    conn: &mut Conn<'_>,
    request: &TickRequest,
    now: Instant,
) -> Result<(), Error> {
    let attempts = &request.attempts;
    if !attempts.is_empty() {
        let rows = Rows::new()
            .uuids(attempts.iter().map(|a| a.intent))
            .texts(attempts.iter().map(|a| a.step.clone()))
            .ints(attempts.iter().map(|a| i64::from(a.generation)))
            .ints(attempts.iter().map(|a| i64::from(a.attempt)))
            .texts(attempts.iter().map(|a| a.failure.as_str()))
            .texts(attempts.iter().map(|a| a.error.as_str()))
            .ints(attempts.iter().map(|a| a.ran.from.us_ago(now)))
            .ints(attempts.iter().map(|a| a.ran.to.us_ago(now)))
            .opt_ints(attempts.iter().map(|a| us(a.retry_in)));
        conn.execute(
            &sql::ATTEMPT_INSERT,
            Args::new().text(request.worker.clone()).rows(rows).now(),
        )
        .await?;
    }
    Ok(())
}

/// Children before parks: a parent is parked for children that are there.
async fn write_children(
    conn: &mut Conn<'_>,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    let mut rest = request.children.as_slice();
    if rest.is_empty() {
        return Ok(());
    }
    answer.readied += rest.len();
    while !rest.is_empty() {
        let (batch, more) = rest.split_at(statement_len(rest));
        insert_children(conn, batch).await?;
        rest = more;
    }
    let children = request.children.iter();
    let replaced = children.filter_map(|child| Some((child.instead_of?, child.intent.id)));
    answer.readied += finish::hand_over(conn, &replaced.collect::<Vec<_>>()).await?;
    Ok(())
}

async fn send_routed(
    conn: &mut Conn<'_>,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<(), Error> {
    answer.readied += request.routed.len();
    routed::send(conn, &request.routed).await?;
    routed::recall(conn, &request.recalls).await
}

/// Intents that ask for something have a wait row from then on.
async fn open_waits(conn: &mut Conn<'_>, request: &TickRequest) -> Result<(), Error> {
    let parents = request.children.iter().filter_map(parent);
    let senders = request.routed.iter().map(|row| row.intent);
    let sleepers = request.awaited.iter().map(|row| row.intent);
    let waits: BTreeSet<IntentId> = parents.chain(senders).chain(sleepers).collect();
    if waits.is_empty() {
        return Ok(());
    }
    conn.execute(&sql::WAIT_OPEN, Args::new().ids(waits)).await
}

fn parent(child: &ChildRow) -> Option<IntentId> {
    child.intent.parent.as_ref().map(|(parent, _)| *parent)
}

/// How many of these go into one statement: one at least.
fn statement_len(children: &[ChildRow]) -> usize {
    let mut bytes = 0;
    let fits = |child: &&ChildRow| {
        bytes += child.intent.input.get().len();
        bytes <= limits::STATEMENT_BYTES
    };
    let first = children.iter().take(limits::STATEMENT_ROWS);
    first.take_while(fits).count().max(1)
}

async fn insert_children(conn: &mut Conn<'_>, children: &[ChildRow]) -> Result<(), Error> {
    debug_assert!(
        children
            .iter()
            .all(|child| child.intent.start == Start::Now)
    );
    let intents = children.iter().map(|child| child.intent.clone()).collect();
    request::insert_requests(conn, intents).await?;
    let rows = Rows::new()
        .uuids(children.iter().filter_map(parent))
        .texts(children.iter().map(|c| c.step.clone()))
        .ints(children.iter().map(|c| i64::from(c.generation)))
        .texts(children.iter().map(|c| c.name.as_str()))
        .uuids(children.iter().map(|c| c.intent.id))
        .bytes(children.iter().map(|c| c.input_hash.clone()))
        .opt_uuids(children.iter().map(|c| c.instead_of.map(|id| id.0)));
    conn.execute(&sql::CHILD_INSERT, Args::new().rows(rows))
        .await
}

/// Parks tasks, except those for which what they wait for has come already (P3): these stay leased. Returns them.
async fn park(
    conn: &mut Conn<'_>,
    request: &TickRequest,
    answer: &mut TickAnswer,
) -> Result<HashSet<TaskId>, Error> {
    let waiting: Vec<(IntentId, i64)> = request.parks.iter().filter_map(ParkRow::waits).collect();
    // What they wait for was there, and is theirs now.
    let parks = request.parks.iter().map(|park| park.task);
    let mut stays: HashSet<TaskId> = parks
        .filter(|task| answer.taken.contains(&IntentId(task.0)))
        .collect();
    if !waiting.is_empty() {
        let rows = Rows::new()
            .uuids(waiting.iter().map(|(intent, _)| *intent))
            .ints(waiting.iter().map(|(_, wake_at)| *wake_at));
        for row in conn.fetch(&sql::WAIT_SET, Args::new().rows(rows)).await? {
            if row.bool(1)? {
                stays.insert(row.uuid(0)?);
            }
        }
    }
    let parks: Vec<&ParkRow> = request
        .parks
        .iter()
        .filter(|park| !stays.contains(&park.task))
        .collect();
    if !parks.is_empty() {
        let rows = Rows::new()
            .uuids(parks.iter().map(|p| p.task))
            .texts(parks.iter().map(|p| p.reason.as_str()))
            .opt_ints(parks.iter().map(|p| us(p.due_in)));
        conn.execute(&sql::PARKED_INSERT, Args::new().rows(rows).now())
            .await?;
    }
    answer.not_parked.extend(stays.iter().copied());
    Ok(stays)
}

async fn hand_back(conn: &mut Conn<'_>, request: &TickRequest) -> Result<(), Error> {
    if request.hand_backs.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(request.hand_backs.iter().map(|(task, _, _)| *task))
        .ints(request.hand_backs.iter().map(|_| 0))
        .bools(
            request
                .hand_backs
                .iter()
                .map(|(_, _, life)| *life == Life::Started),
        )
        .bools(request.hand_backs.iter().map(|_| false));
    conn.execute(&sql::READY_INSERT, Args::new().rows(rows))
        .await
}

/// Takes what was let go of out of the leases (P1), and drops the leases that are done.
async fn leave_leases(
    conn: &mut Conn<'_>,
    session: SessionId,
    request: &TickRequest,
    stays: &HashSet<TaskId>,
) -> Result<(), Error> {
    let parked = request.parks.iter().map(|park| (park.lease, park.task));
    let handed = request
        .hand_backs
        .iter()
        .map(|(task, lease, _)| (*lease, *task));
    // A lease of which a task stays after all is not done.
    let kept: HashSet<LeaseId> = request
        .parks
        .iter()
        .filter(|park| stays.contains(&park.task))
        .map(|park| park.lease)
        .collect();
    let done: HashSet<LeaseId> = request
        .leases_done
        .iter()
        .copied()
        .filter(|lease| !kept.contains(lease))
        .collect();
    // A failed intent leaves its lease by name: resumed, it would otherwise be in two places. The outcome of the others
    // is for good, and is what takes them out.
    let failed = request
        .finishes
        .iter()
        .filter(|finish| finish.state == IntentState::Failed);
    let failed = failed.filter_map(|finish| Some((finish.lease?, finish.intent.into())));
    // A routed step has no outcome of its own.
    let ended = request.ends.iter();
    let ended = ended.filter_map(|end| Some((end.lease?, end.task)));
    let gone: Vec<(LeaseId, TaskId)> = parked
        .chain(handed)
        .chain(failed)
        .chain(ended)
        .filter(|(lease, task)| !stays.contains(task) && !done.contains(lease))
        .collect();
    if !gone.is_empty() {
        let rows = Rows::new()
            .uuids(gone.iter().map(|(lease, _)| *lease))
            .uuids(gone.iter().map(|(_, id)| *id));
        conn.execute(&sql::LEASE_REMOVE, Args::new().uuid(session.0).rows(rows))
            .await?;
    }
    if !done.is_empty() {
        conn.execute(&sql::LEASE_DELETE, Args::new().uuid(session.0).ids(done))
            .await?;
    }
    if !request.leases_beside.is_empty() {
        conn.execute(
            &sql::LEASE_BESIDE,
            Args::new()
                .uuid(session.0)
                .ids(request.leases_beside.iter().copied()),
        )
        .await?;
    }
    if !request.leases_cleared.is_empty() {
        conn.execute(
            &sql::LEASE_CLEAR,
            Args::new()
                .uuid(session.0)
                .ids(request.leases_cleared.iter().copied()),
        )
        .await?;
    }
    Ok(())
}
