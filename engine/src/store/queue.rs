//! Queue: what people have said of queues, and how workers hear of it.
//!
//! The row *control* counts what was said. A tick's fence and an idle worker's look return the count, and who finds another
//! one than it knows reads what was said, in the same transaction and before it claims.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::args::{Args, Rows};
use super::conn::Row;
use super::rates::{self, Rated};
use super::{Actor, Conn, Lane, NewChange, Store, TickRequest, change, sql};
use crate::clock::Micros;
use crate::error::Error;
use crate::id::SessionId;
use crate::limits;
use crate::queue::QueueRecord;
use crate::slots::{Budget, Holder, Hunger, SlotAsk, SlotsHeld, grant, settled};
use crate::why::QueueFacts;

/// What people have said of queues, as of a count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) version: i64,
    pub(crate) paused: Vec<Arc<str>>,
    /// Those that have a limit on how many of their steps run at once.
    pub(crate) limited: Vec<Arc<str>>,
    /// Those that have a limit on how many begin within a time.
    pub(crate) rated: Vec<Arc<str>>,
    /// Those whose tasks take turns.
    pub(crate) partitioned: HashMap<Arc<str>, Partitioned>,
    /// Some queue has a cap on what is in line.
    pub(crate) capped: bool,
}

/// How a queue is partitioned, as its workers know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partitioned {
    /// What comes is filed; otherwise it was partitioned once.
    pub(crate) files: bool,
    /// Each partition has a limit.
    pub(crate) limited: bool,
}

impl Control {
    pub(crate) fn is_paused(&self, queue: &str) -> bool {
        self.paused.iter().any(|paused| **paused == *queue)
    }

    pub(crate) fn is_limited(&self, queue: &str) -> bool {
        self.limited.iter().any(|limited| **limited == *queue)
    }

    pub(crate) fn is_rated(&self, queue: &str) -> bool {
        self.rated.iter().any(|rated| **rated == *queue)
    }

    /// The same request, without what is paused, and without claims from queues that have a limit or a rate of which the worker
    /// has not known: it would hold what it has no slots or permits for. Nor are tasks claimed in their order of which it has
    /// not known that they take turns.
    pub(super) fn without(&self, request: &TickRequest) -> TickRequest {
        let goes = |lane: &Lane| !self.is_paused(&lane.queue);
        let asked = |lane: &Lane| request.slots.iter().any(|ask| ask.queue == lane.queue);
        let paced = |lane: &Lane| request.permits.iter().any(|ask| ask.queue == lane.queue);
        let in_turn = |lane: &Lane| {
            let partitioned = self.partitioned.get(&lane.queue);
            partitioned.map(|how| how.files) == lane.turns.as_ref().map(|turns| turns.files)
                && partitioned.is_some_and(|how| how.limited)
                    == request.partitioned.contains(&lane.queue)
        };
        let known = |lane: &Lane| {
            (!self.is_limited(&lane.queue) || asked(lane))
                && (!self.is_rated(&lane.queue) || paced(lane))
                && in_turn(lane)
        };
        let mut request = request.clone();
        request.claim.retain(|lane| goes(lane) && known(lane));
        request
            .claim_suspect
            .retain(|lane| goes(lane) && known(lane));
        request
            .probes
            .retain(|probe| goes(&probe.lane) && known(&probe.lane));
        request
    }
}

/// What people have said, of which this is the count.
pub(super) async fn load(conn: &mut Conn<'_>, version: i64) -> Result<Control, Error> {
    let mut control = Control {
        version,
        ..Control::default()
    };
    for row in conn.fetch(&sql::QUEUE_LOAD, Args::new()).await? {
        if row.bool(1)? {
            control.paused.push(row.name(0)?);
        }
        if row.opt_int(2)?.is_some() {
            control.limited.push(row.name(0)?);
        }
        if row.bool(3)? {
            control.rated.push(row.name(0)?);
        }
        if let Some(by) = row.opt_text(4)? {
            let how = Partitioned {
                files: by != "none",
                limited: row.bool(5)?,
            };
            control.partitioned.insert(row.name(0)?, how);
        }
        control.capped |= row.bool(6)?;
    }
    Ok(control)
}

/// The limited queues that a tick has locked.
#[derive(Default)]
pub(super) struct Locks {
    pub(super) slots: Vec<Locked>,
    /// Those with a rate.
    pub(super) rated: Vec<Rated>,
    /// How many tasks of one partition may be in hand, of those that have a limit on that.
    pub(super) partitions: HashMap<Arc<str>, i64>,
}

/// A limited queue that is locked, and what the session may have of it.
pub(super) struct Locked {
    queue: Arc<str>,
    budget: Budget,
    granted: i64,
}

/// Locks queues with a limit or a rate, all together, and finds out how many slots the session may have, and what there is of
/// permits.
pub(super) async fn lock(
    conn: &mut Conn<'_>,
    session: SessionId,
    request: &TickRequest,
) -> Result<Locks, Error> {
    let asks = &request.slots;
    let permits = request.permits.iter().map(|ask| &ask.queue);
    let queues = asks.iter().map(|ask| &ask.queue).chain(permits);
    let queues: BTreeSet<Arc<str>> = queues.chain(&request.partitioned).cloned().collect();
    let args = Args::new().rows(Rows::new().texts(queues));
    let rows = conn.fetch(&sql::SLOT_LOCK, args.now()).await?;
    let mut locks = Locks {
        rated: rates::rated(&rows, &request.permits)?,
        ..Locks::default()
    };
    for row in &rows {
        if let Some(limit) = row.opt_int(8)? {
            locks.partitions.insert(row.name(0)?, limit);
        }
    }
    let limited = asks.iter().map(|ask| &ask.queue);
    for (queue, budget) in budgets(conn, &rows, session, limited).await? {
        if let Some(ask) = asks.iter().find(|ask| ask.queue == queue) {
            let granted = grant(&budget, ask);
            locks.slots.push(Locked {
                queue,
                budget,
                granted,
            });
        }
    }
    Ok(locks)
}

/// What limited queues may lend, by their rows, and who has how much of them.
pub(super) async fn budgets<'a>(
    conn: &mut Conn<'_>,
    rows: &[Row],
    session: SessionId,
    queues: impl Iterator<Item = &'a Arc<str>>,
) -> Result<Vec<(Arc<str>, Budget)>, Error> {
    let names: Vec<Arc<str>> = queues.cloned().collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // A statement after that which has brought the rows: it sees what whoever held the locks before has written.
    let args = Args::new().rows(Rows::new().texts(names.iter().cloned()));
    let slots = conn.fetch(&sql::SLOT_LOAD, args).await?;
    let mut budgets = Vec::with_capacity(rows.len());
    for row in rows {
        let queue = row.name(0)?;
        if !names.contains(&queue) {
            continue;
        }
        let mut budget = Budget {
            limit: row.opt_int(1)?,
            lent: row.int(2)?,
            own: Holder {
                session,
                held: 0,
                hungry_at: None,
            },
            others: Vec::new(),
        };
        for row in slots.iter() {
            if row.name(0)? != queue {
                continue;
            }
            let holder = Holder {
                session: row.uuid(1)?,
                held: row.int(2)?,
                hungry_at: row.opt_time(3)?,
            };
            match holder.session == session {
                true => budget.own = holder,
                false => budget.others.push(holder),
            }
        }
        budgets.push((queue, budget));
    }
    Ok(budgets)
}

/// After the claim: takes the slots that there is use for, and gives back the others. Returns what the session has then.
pub(super) async fn settle(
    conn: &mut Conn<'_>,
    session: SessionId,
    (locked, asks): (Vec<Locked>, &[SlotAsk]),
    took: &[(Arc<str>, usize)],
) -> Result<Vec<SlotsHeld>, Error> {
    let mut moved = Vec::new();
    let mut has = Vec::with_capacity(locked.len());
    for lock in locked {
        let Some(ask) = asks.iter().find(|ask| ask.queue == lock.queue) else {
            continue;
        };
        let of_queue = took.iter().filter(|(queue, _)| *queue == lock.queue);
        let took = of_queue.map(|(_, count)| count).sum();
        let settled = settled(&lock.budget, lock.granted, ask, took);
        let own = &lock.budget.own;
        let same_hunger = match settled.hunger {
            Hunger::No => own.hungry_at.is_none(),
            Hunger::Waits => own.hungry_at.is_some(),
            Hunger::Anew => false,
        };
        if lock.budget.limit.is_some() && !(settled.held == own.held && same_hunger) {
            moved.push(Moved {
                queue: lock.queue.clone(),
                more: settled.held - own.held,
                held: settled.held,
                hunger: settled.hunger,
                behind: lock.budget.last_in_line(),
            });
        }
        has.push(SlotsHeld {
            queue: lock.queue,
            held: usize::try_from(settled.held).unwrap_or_default(),
            usable: usize::try_from(settled.usable).unwrap_or_default(),
            denied: settled.hunger != Hunger::No,
            awaited: settled.awaited,
        });
    }
    if !moved.is_empty() {
        let rows = Rows::new()
            .texts(moved.iter().map(|moved| moved.queue.clone()))
            .ints(moved.iter().map(|moved| moved.more))
            .ints(moved.iter().map(|moved| moved.held))
            .bools(moved.iter().map(|moved| moved.hunger != Hunger::No))
            .bools(moved.iter().map(|moved| moved.hunger == Hunger::Anew))
            .opt_ints(
                moved
                    .iter()
                    .map(|moved| moved.behind.map(|behind| behind.0)),
            );
        let args = Args::new().uuid(session.0).rows(rows).now();
        conn.execute(&sql::SLOT_MOVE, args).await?;
    }
    Ok(has)
}

/// Slots that go from a queue to a session, or back, and whether it waits for more.
struct Moved {
    queue: Arc<str>,
    more: i64,
    held: i64,
    hunger: Hunger,
    /// Who begins to wait now does so behind these, whatever the clock says.
    behind: Option<Micros>,
}

/// The same request, which claims no more of limited queues than there are slots for, of those with a rate than there are
/// permits for, and of no partition more than it may.
pub(super) fn within(request: &TickRequest, locks: &mut Locks) -> TickRequest {
    let mut request = request.clone();
    let asks = std::mem::take(&mut request.slots);
    let room = |queue: &Arc<str>| {
        let ask = asks.iter().find(|ask| ask.queue == *queue);
        let lock = locks.slots.iter().find(|lock| lock.queue == *queue);
        // Of a queue that has no limit any more the worker hears with this tick.
        let lock = lock.filter(|lock| lock.budget.limit.is_some());
        match (ask, lock) {
            (Some(ask), Some(lock)) => {
                let granted = usize::try_from(lock.granted).unwrap_or_default();
                granted.saturating_sub(ask.in_hand)
            }
            _ => usize::MAX,
        }
    };
    let probes = request.probes.iter_mut().map(|probe| &mut probe.lane);
    for lane in request.claim.iter_mut().chain(probes) {
        lane.room = lane.room.min(room(&lane.queue));
        if let Some(turns) = &mut lane.turns {
            turns.limit = locks.partitions.get(&lane.queue).copied();
        }
    }
    request.claim.retain(|lane| lane.room > 0);
    request.claim_suspect.retain(|lane| room(&lane.queue) > 0);
    request.probes.retain(|probe| room(&probe.lane.queue) > 0);
    request.slots = asks;
    rates::within(&mut request, &mut locks.rated);
    request
}

/// What people have said of a queue, if anything.
pub(super) async fn facts(conn: &mut Conn<'_>, queue: &str) -> Result<QueueFacts, Error> {
    let args = Args::new().text(queue).now();
    let Some(row) = conn.fetch_one(&sql::WHY_QUEUE, args).await? else {
        return Ok(QueueFacts::default());
    };
    let paused = match row.opt_text(0)? {
        Some(by) => Some((by, row.opt_text(1)?, row.time(2)?.to_utc())),
        None => None,
    };
    let lent = row.int(4)?;
    let full = row.opt_int(3)?.filter(|slots| lent >= *slots);
    Ok(QueueFacts {
        paused,
        full: full.map(|slots| (slots.unsigned_abs(), lent.unsigned_abs())),
        paced: rates::paced(&row)?,
    })
}

impl Store {
    /// Returns false if it is paused already.
    pub(crate) async fn pause_queue(&self, change: NewChange) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let Actor { name, reason } = &change.by;
                let args = Args::new().text(change.name.as_str()).text(name.as_str());
                let args = args.opt_text(reason.as_deref()).now();
                let paused = conn.fetch_one(&sql::QUEUE_PAUSE, args).await?.is_some();
                if paused {
                    note(&mut conn, &change).await?;
                }
                Ok(paused)
            })
        })
        .await
    }

    /// Returns false if it was not paused.
    pub(crate) async fn resume_queue(&self, change: NewChange) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let args = Args::new().text(change.name.as_str());
                let resumed = conn.fetch_one(&sql::QUEUE_RESUME, args).await?.is_some();
                if resumed {
                    note(&mut conn, &change).await?;
                }
                Ok(resumed)
            })
        })
        .await
    }

    /// Sets how many steps of a queue may run at once, or that there is no limit. Returns false if it is so already.
    pub(crate) async fn limit_queue(
        &self,
        change: NewChange,
        slots: Option<i64>,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let args = Args::new().text(change.name.as_str()).int(slots);
                let changed = conn.fetch_one(&sql::QUEUE_LIMIT, args).await?.is_some();
                if changed {
                    if slots.is_none() {
                        let args = Args::new().text(change.name.as_str());
                        conn.execute(&sql::SLOT_FORGET, args).await?;
                    }
                    note(&mut conn, &change).await?;
                }
                Ok(changed)
            })
        })
        .await
    }

    /// All that anybody has named.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueRecord>, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let mut queues: BTreeMap<String, QueueRecord> = BTreeMap::new();
                for row in conn.fetch(&sql::QUEUE_LIST, Args::new()).await? {
                    let record = QueueRecord {
                        name: row.text(0)?,
                        paused_at: row.opt_time(1)?.map(|at| at.to_utc()),
                        paused_by: row.opt_text(2)?,
                        pause_reason: row.opt_text(3)?,
                        slots: row.opt_int(4)?.map(i64::unsigned_abs),
                        lent: row.opt_int(5)?.unwrap_or_default().unsigned_abs(),
                        rate: rates::read(&row, 7)?,
                        partition_by: row.opt_text(10)?.filter(|by| by != "none"),
                        partition_limit: row.opt_int(11)?.map(i64::unsigned_abs),
                        cap: row.opt_int(12)?.map(i64::unsigned_abs),
                        full: row.opt_int(13)?.is_some_and(|room| room <= 0),
                        workers: row.small(6)?,
                        ready: 0,
                        oldest_s: None,
                    };
                    queues.insert(record.name.clone(), record);
                }
                let args = Args::new()
                    .int(i64::from(limits::PAGE))
                    .int(limits::LANES as i64)
                    .now();
                for row in conn.fetch(&sql::LANE_LOOK, args).await? {
                    let name = row.text(0)?;
                    let record = queues.entry(name.clone()).or_insert(QueueRecord {
                        name,
                        paused_at: None,
                        paused_by: None,
                        pause_reason: None,
                        slots: None,
                        lent: 0,
                        partition_by: None,
                        partition_limit: None,
                        cap: None,
                        full: false,
                        rate: None,
                        workers: 0,
                        ready: 0,
                        oldest_s: None,
                    });
                    record.ready += row.small::<u64>(2)?;
                    let oldest = row.opt_int(3)?;
                    let oldest = oldest.map(|us| (us.max(0) / 1_000_000).unsigned_abs());
                    record.oldest_s = record.oldest_s.max(oldest);
                }
                Ok(queues.into_values().collect())
            })
        })
        .await
    }
}

/// The change, and the count by which workers hear of it.
pub(super) async fn note(conn: &mut Conn<'_>, change: &NewChange) -> Result<(), Error> {
    change::insert(conn, change).await?;
    conn.execute(&sql::CONTROL_BUMP, Args::new()).await
}

/// A name that nobody has ever used is a slip of the pen.
pub(super) async fn known(conn: &mut Conn<'_>, name: &str) -> Result<(), Error> {
    let row = conn
        .fetch_one(&sql::QUEUE_KNOWN, Args::new().text(name))
        .await?;
    match row.map(|row| row.bool(0)).transpose()? {
        Some(true) => Ok(()),
        Some(false) | None => Err(Error::NoQueue {
            name: name.to_owned(),
        }),
    }
}
