//! Reap: a dead session's tasks go back in line as suspects, or are quarantined (PROTOCOL P2, P6).

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;

use super::args::{Args, Rows};
use super::events::{self, Event};
use super::quarantine::quarantine;
use super::reading::{Reading, readable};
use super::savepoint::Savepoint;
use super::{BacksOff, Claimed, Conn, Store, alerts, load, partition, poison, routed, sql};
use crate::alert::judge;
use crate::clock::{Clock, Micros};
use crate::crash::{Verdict, verdict};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};

/// What a reaper found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reaped {
    pub(crate) suspects: usize,
    pub(crate) quarantined: usize,
    /// Kinds that are tried one at a time from now on.
    pub(crate) backs_off: Vec<BacksOff>,
}

/// A session that is dead.
struct Dead {
    session: SessionId,
    worker: String,
    build: String,
    leaving: bool,
}

/// How its tasks are taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Together,
    /// Something about one of them is refused, and the others are not to stay leased for that.
    OneByOne,
}

/// What has been taken from it.
#[derive(Default)]
struct Taken {
    reaped: Reaped,
    /// Intents that were alone when it died.
    alone: Vec<IntentId>,
}

impl Taken {
    fn add(&mut self, more: Self) {
        self.reaped.suspects += more.reaped.suspects;
        self.reaped.quarantined += more.reaped.quarantined;
        self.alone.extend(more.alone);
    }
}

/// A task that is left in a dead session's lease.
struct Left {
    task: TaskId,
    claimed: Micros,
    crashes: u32,
    alone: bool,
}

impl Store {
    /// Takes a dead session's tasks from it and ends the session. `beat`: only if its heartbeat is still where it was
    /// last seen; none when its process is known to be gone. Returns nothing if it lives or if somebody else was
    /// faster.
    pub(crate) async fn reap(
        &self,
        session: SessionId,
        beat: Option<i64>,
    ) -> Result<Option<Reaped>, Error> {
        match self.reap_so(session, beat, How::Together).await {
            Err(error) if error.is_data_error() => {
                tracing::warn!(%session, %error, "a dead session's tasks are refused together, and taken one by one");
                self.reap_so(session, beat, How::OneByOne).await
            }
            other => other,
        }
    }

    async fn reap_so(
        &self,
        session: SessionId,
        beat: Option<i64>,
        how: How,
    ) -> Result<Option<Reaped>, Error> {
        let (clock, beat) = (self.clock().clone(), beat.unwrap_or(-1));
        self.transact(move |mut conn| {
            let clock = clock.clone();
            Box::pin(async move { reap(&mut conn, session, beat, how, &*clock).await })
        })
        .await
    }

    /// Says of a session, its own, that it stops with steps that cannot be stopped.
    pub(crate) async fn leave_session(&self, session: SessionId) -> Result<(), Error> {
        self.transact(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(session.0);
                conn.execute(&sql::SESSION_LEAVE, args).await
            })
        })
        .await
    }

    /// Ends a session that has nothing in hand any more, its own.
    pub(crate) async fn close_session(&self, session: SessionId) -> Result<(), Error> {
        self.transact(move |mut conn| {
            Box::pin(async move {
                return_slots(&mut conn, session).await?;
                end_session(&mut conn, session).await
            })
        })
        .await
    }
}

async fn reap(
    conn: &mut Conn<'_>,
    session: SessionId,
    beat: i64,
    how: How,
    clock: &dyn Clock,
) -> Result<Option<Reaped>, Error> {
    let Some(row) = conn
        .fetch_one(&sql::SESSION_LOCK, Args::new().uuid(session.0).int(beat))
        .await?
    else {
        return Ok(None);
    };
    // Queues are locked before everything that comes now.
    return_slots(conn, session).await?;
    let mut row = Reading::of(&row, "session");
    let dead = Dead {
        session,
        worker: row.text(0),
        build: row.text(1),
        leaving: row.bool(2),
    };
    let (host, last_beat) = (row.text(3), row.time(4));
    let left = left(conn, session).await?;
    let held = left.len();
    let mut taken = Taken::default();
    match how {
        How::Together if left.is_empty() => {}
        How::Together => taken = take(conn, &dead, left).await?,
        How::OneByOne => {
            for task in left {
                taken.add(take_one(conn, &dead, task).await?);
            }
        }
    }
    end_session(conn, session).await?;
    let mut reaped = taken.reaped;
    if !dead.leaving {
        let mut found = vec![judge::gone(session, &dead.worker, &host, last_beat, held)];
        for intent in taken.alone {
            if let Some((backs_off, alert)) = poison::blame(conn, intent).await? {
                reaped.backs_off.push(backs_off);
                // Once: the alert is open until one of the kind has succeeded.
                if !alerts::is_open(conn, &alert).await? {
                    found.push(alert);
                }
            }
        }
        alerts::raise(conn, &found, Vec::new(), clock).await?;
    }
    Ok(Some(reaped))
}

/// What is in a dead session's leases and has not come to its end.
async fn left(conn: &mut Conn<'_>, session: SessionId) -> Result<Vec<Left>, Error> {
    let args = Args::new().uuid(session.0);
    let rows = conn.fetch(&sql::SESSION_LEASES, args).await?;
    Ok(readable(&rows, "lease", |row| {
        Ok(Left {
            task: row.uuid(0)?,
            claimed: row.time(1)?,
            crashes: row.small(2)?,
            alone: row.bool(3)?,
        })
    }))
}

/// The database refuses something about one of them: it goes back in line with nothing but its token; whoever claims it
/// next finds out what is wrong with it, and fails it with that.
async fn take_one(conn: &mut Conn<'_>, dead: &Dead, left: Left) -> Result<Taken, Error> {
    let token = (left.task, left.crashes.saturating_add(1));
    let save = Savepoint::set(conn).await?;
    let error = match take(conn, dead, vec![left]).await {
        Ok(taken) => {
            save.keep(conn).await?;
            return Ok(taken);
        }
        Err(error) if error.is_data_error() => error,
        Err(error) => return Err(error),
    };
    save.go_back(conn).await?;
    tracing::error!(task = %token.0, %error, "what belongs to a dead session's task is refused");
    let save = Savepoint::set(conn).await?;
    match return_suspects(conn, &[token]).await {
        Ok(()) => save.keep(conn).await?,
        Err(error) if error.is_data_error() => {
            save.go_back(conn).await?;
            tracing::error!(task = %token.0, %error, "a dead session's task cannot go back in line; put it there by hand");
            return Ok(Taken::default());
        }
        Err(error) => return Err(error),
    }
    let mut taken = Taken::default();
    taken.reaped.suspects = 1;
    Ok(taken)
}

/// Takes tasks from a dead session: back in line, or into quarantine.
async fn take(conn: &mut Conn<'_>, dead: &Dead, mut left: Vec<Left>) -> Result<Taken, Error> {
    mark_started(conn, dead, &left).await?;
    let nobody = LeaseId(uuid::Uuid::nil());
    let steps = routed::load(conn, nobody, left.iter().map(|task| task.task)).await?;
    let (stopped, steps): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|step| step.cancel.is_some());
    let stopped: HashMap<TaskId, IntentId> = stopped
        .iter()
        .map(|step| (step.task, step.intent))
        .collect();
    left.retain(|task| !stopped.contains_key(&task.task));
    let steps: HashMap<TaskId, Claimed> = steps.into_iter().map(|step| (step.task, step)).collect();
    // Of those that are steps of an intent, it is the intent.
    let of = |task: TaskId| {
        steps
            .get(&task)
            .map_or(IntentId(task.0), |step| step.intent)
    };
    let alone = left.iter().filter(|task| task.alone);
    let alone = alone.map(|task| of(task.task)).collect();
    let (mut suspects, mut quarantined) = (Vec::new(), Vec::new());
    for task in &left {
        match verdict(task.crashes, task.alone, dead.leaving) {
            Verdict::Suspect { crashes } => suspects.push((task.task, crashes)),
            Verdict::Quarantine { crashes } => quarantined.push((task.task, crashes)),
        }
    }
    let reaped = Reaped {
        suspects: suspects.len(),
        quarantined: quarantined.len(),
        backs_off: Vec::new(),
    };
    return_suspects(conn, &suspects).await?;
    note_takeover(conn, &suspects, &steps, dead).await?;
    quarantine(conn, &quarantined, steps, stopped, &dead.worker).await?;
    Ok(Taken { reaped, alone })
}

/// From here on these intents have started, by the plan that the dead session would have used.
async fn mark_started(conn: &mut Conn<'_>, dead: &Dead, left: &[Left]) -> Result<(), Error> {
    let args = Args::new().uuid(dead.session.0);
    let rows = conn.fetch(&sql::SESSION_KINDS, args).await?;
    let plans = readable(&rows, "session_kind", |row| {
        Ok((row.text(0)?, row.opt_text(1)?))
    });
    let plans: HashMap<String, Option<String>> = plans.into_iter().collect();
    let loaded = load::intents(
        conn,
        LeaseId(dead.session.0),
        left.iter().map(|task| IntentId(task.task.0)),
        &HashSet::new(),
        usize::MAX,
    )
    .await?;
    let intents = loaded.claimed;
    let claimed: HashMap<TaskId, Micros> =
        left.iter().map(|task| (task.task, task.claimed)).collect();
    let started = |intent: &Claimed| {
        claimed
            .get(&intent.task)
            .copied()
            .unwrap_or_default()
            .max(intent.requested)
    };
    let rows = Rows::new()
        .uuids(intents.iter().map(|intent| intent.intent))
        .ints(intents.iter().map(|intent| started(intent).0))
        .opt_texts(
            intents
                .iter()
                .map(|intent| plans.get(&*intent.kind).cloned().flatten()),
        )
        .opt_texts(intents.iter().map(|_| Some(dead.build.as_str())));
    conn.execute(&sql::STARTED_INSERT, Args::new().rows(rows))
        .await
}

pub(super) async fn return_suspects(
    conn: &mut Conn<'_>,
    suspects: &[(TaskId, u32)],
) -> Result<(), Error> {
    if suspects.is_empty() {
        return Ok(());
    }
    // One that was claimed only to be refused holds nothing: it asks again.
    let intents = Args::new().ids(suspects.iter().map(|(id, _)| IntentId(id.0)));
    let missing = conn.fetch(&sql::WANT_MISSING, intents).await?;
    let missing = readable(&missing, "resource", |row| row.uuid(0));
    let missing: HashSet<TaskId> = missing.into_iter().collect();
    let rows = Rows::new()
        .uuids(suspects.iter().map(|(id, _)| *id))
        .ints(suspects.iter().map(|(_, crashes)| i64::from(*crashes)))
        .bools(suspects.iter().map(|_| true))
        .bools(suspects.iter().map(|(id, _)| missing.contains(id)));
    conn.execute(&sql::READY_INSERT, Args::new().rows(rows))
        .await
}

/// Whoever looks at one of these intents later shall see that a worker died with it, or left it: once, however many of
/// its tasks the worker had.
async fn note_takeover(
    conn: &mut Conn<'_>,
    suspects: &[(TaskId, u32)],
    steps: &HashMap<TaskId, Claimed>,
    dead: &Dead,
) -> Result<(), Error> {
    let (worker, leaving) = (dead.worker.as_str(), dead.leaving);
    if suspects.is_empty() {
        return Ok(());
    }
    let mut intents: BTreeMap<IntentId, u32> = BTreeMap::new();
    for (task, crashes) in suspects {
        let intent = steps.get(task).map_or(IntentId(task.0), |step| step.intent);
        let most = intents.entry(intent).or_default();
        *most = (*most).max(*crashes);
    }
    let reason = if leaving {
        format!("taken over from worker {worker}, which stopped and left it running")
    } else {
        format!("taken over after a crash of worker {worker}")
    };
    let noted = intents.into_iter().map(|(intent, crashes)| Event {
        intent,
        reason: Some(reason.clone()),
        detail: Some(json!({ "worker": worker, "crashes": crashes }).to_string()),
    });
    events::write(conn, "intendant", "take over", noted.collect()).await
}

/// What the session has of limited queues, others may have.
async fn return_slots(conn: &mut Conn<'_>, session: SessionId) -> Result<(), Error> {
    conn.execute(&sql::SLOT_HOLD, Args::new().uuid(session.0))
        .await?;
    partition::give_back_all(conn, session).await?;
    conn.execute(&sql::SLOT_RETURN, Args::new().uuid(session.0))
        .await
}

async fn end_session(conn: &mut Conn<'_>, session: SessionId) -> Result<(), Error> {
    conn.execute(&sql::SESSION_LEASES_DELETE, Args::new().uuid(session.0))
        .await?;
    conn.execute(&sql::SESSION_DELETE, Args::new().uuid(session.0))
        .await
}
