//! Reap: a dead session's tasks go back in line as suspects, or are quarantined (PROTOCOL P2, P6).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::args::{Args, Rows};
use super::{BacksOff, Conn, Finish, Store, alerts, finish, load, poison, sql};
use crate::alert::judge;
use crate::clock::{Clock, Micros};
use crate::crash::{Verdict, verdict};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId};
use crate::limits;
use crate::state::{FailureReason, IntentState};

/// What a reaper found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reaped {
    pub(crate) suspects: usize,
    pub(crate) quarantined: usize,
    /// Kinds that are tried one at a time from now on.
    pub(crate) backs_off: Vec<BacksOff>,
}

/// A task that is left in a dead session's lease.
struct Left {
    intent: IntentId,
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
        let clock = self.clock().clone();
        self.transact(move |mut conn| {
            let clock = clock.clone();
            Box::pin(async move { reap(&mut conn, session, beat.unwrap_or(-1), &*clock).await })
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
            Box::pin(async move { end_session(&mut conn, session).await })
        })
        .await
    }
}

async fn reap(
    conn: &mut Conn<'_>,
    session: SessionId,
    beat: i64,
    clock: &dyn Clock,
) -> Result<Option<Reaped>, Error> {
    let Some(row) = conn
        .fetch_one(&sql::SESSION_LOCK, Args::new().uuid(session.0).int(beat))
        .await?
    else {
        return Ok(None);
    };
    let (worker, build, leaving) = (row.text(0)?, row.text(1)?, row.bool(2)?);
    let (host, last_beat) = (row.text(3)?, row.time(4)?);
    let mut left = Vec::new();
    for row in conn
        .fetch(&sql::SESSION_LEASES, Args::new().uuid(session.0))
        .await?
    {
        left.push(Left {
            intent: row.uuid(0)?,
            claimed: row.time(1)?,
            crashes: row.small(2)?,
            alone: row.bool(3)?,
        });
    }
    let mut reaped = Reaped::default();
    if !left.is_empty() {
        mark_started(conn, session, &build, &left).await?;
        let (mut suspects, mut quarantined) = (Vec::new(), Vec::new());
        for task in &left {
            match verdict(task.crashes, task.alone, leaving) {
                Verdict::Suspect { crashes } => suspects.push((task.intent, crashes)),
                Verdict::Quarantine { crashes } => quarantined.push((task, crashes)),
            }
        }
        reaped = Reaped {
            suspects: suspects.len(),
            quarantined: quarantined.len(),
            backs_off: Vec::new(),
        };
        return_suspects(conn, &suspects).await?;
        note_takeover(conn, &suspects, &worker, leaving).await?;
        quarantine(conn, &quarantined, &worker).await?;
    }
    end_session(conn, session).await?;
    if !leaving {
        let mut found = vec![judge::gone(session, &worker, &host, last_beat, left.len())];
        for task in left.iter().filter(|task| task.alone) {
            if let Some((backs_off, alert)) = poison::blame(conn, task.intent).await? {
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

/// From here on these intents have started, by the plan that the dead session would have used.
async fn mark_started(
    conn: &mut Conn<'_>,
    session: SessionId,
    build: &str,
    left: &[Left],
) -> Result<(), Error> {
    let mut plans: HashMap<String, Option<String>> = HashMap::new();
    for row in conn
        .fetch(&sql::SESSION_KINDS, Args::new().uuid(session.0))
        .await?
    {
        plans.insert(row.text(0)?, row.opt_text(1)?);
    }
    let intents = load::intents(
        conn,
        LeaseId(session.0),
        left.iter().map(|task| task.intent),
        &HashSet::new(),
        usize::MAX,
    )
    .await?;
    let claimed: HashMap<IntentId, Micros> = left
        .iter()
        .map(|task| (task.intent, task.claimed))
        .collect();
    let started = |intent: &super::Claimed| {
        claimed
            .get(&intent.intent)
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
        .opt_texts(intents.iter().map(|_| Some(build)));
    conn.execute(&sql::STARTED_INSERT, Args::new().rows(rows))
        .await
}

async fn return_suspects(conn: &mut Conn<'_>, suspects: &[(IntentId, u32)]) -> Result<(), Error> {
    if suspects.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(suspects.iter().map(|(id, _)| *id))
        .ints(suspects.iter().map(|(_, crashes)| i64::from(*crashes)))
        .bools(suspects.iter().map(|_| true))
        .bools(suspects.iter().map(|_| false));
    conn.execute(&sql::READY_INSERT, Args::new().rows(rows))
        .await
}

/// Whoever looks at one of these intents later shall see that a worker died with it, or left it.
async fn note_takeover(
    conn: &mut Conn<'_>,
    suspects: &[(IntentId, u32)],
    worker: &str,
    leaving: bool,
) -> Result<(), Error> {
    if suspects.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(suspects.iter().map(|(id, _)| *id))
        .ints(suspects.iter().map(|(_, crashes)| i64::from(*crashes)));
    let reason = if leaving {
        format!("taken over from worker {worker}, which stopped and left it running")
    } else {
        format!("taken over after a crash of worker {worker}")
    };
    let args = Args::new().text(worker).text(reason).rows(rows).now();
    conn.execute(&sql::EVENT_TAKEOVER, args).await
}

async fn quarantine(
    conn: &mut Conn<'_>,
    tasks: &[(&Left, u32)],
    worker: &str,
) -> Result<(), Error> {
    if tasks.is_empty() {
        return Ok(());
    }
    let ids: HashSet<IntentId> = tasks.iter().map(|(task, _)| task.intent).collect();
    let mut steps: HashMap<IntentId, Arc<str>> = HashMap::new();
    for row in conn
        .fetch(&sql::STEP_RUNNING, Args::new().ids(ids.iter().copied()))
        .await?
    {
        steps.insert(row.uuid(0)?, row.name(1)?);
    }
    let crashes: HashMap<IntentId, u32> = tasks
        .iter()
        .map(|(task, crashes)| (task.intent, *crashes))
        .collect();
    let intents = load::intents(
        conn,
        LeaseId(uuid::Uuid::nil()),
        ids.iter().copied(),
        &ids,
        usize::MAX,
    )
    .await?;
    // No outcome while a child is unfinished (I2): such a one goes back as a suspect, and is judged again.
    let (waiting, intents): (Vec<_>, Vec<_>) = intents
        .into_iter()
        .partition(|intent| intent.children.iter().any(|child| child.outcome.is_none()));
    let again: Vec<_> = waiting
        .iter()
        .map(|intent| (intent.intent, limits::CRASHES))
        .collect();
    return_suspects(conn, &again).await?;
    let finishes: Vec<Finish> = intents
        .into_iter()
        .map(|intent| {
            let step = steps.remove(&intent.intent);
            let crashes = crashes.get(&intent.intent).copied().unwrap_or_default();
            let place = step.as_ref().map_or_else(String::new, |step| format!(" in step `{step}`"));
            Finish {
                intent: intent.intent,
                lease: None,
                state: IntentState::Failed,
                requested: intent.requested,
                started: intent.started.as_ref().map_or(intent.requested, |started| started.started),
                output: None,
                reason: Some(FailureReason::Quarantined),
                error: Some(format!(
                    "its worker died {crashes} times while it ran, the last time `{worker}`{place}; mend it, then resume"
                )),
                step,
                plan: intent.started.and_then(|started| started.plan).map(|(hash, _)| hash),
                parent: intent.parent,
                frees: intent.locks && intent.release_on_failure,
                waits: !intent.children.is_empty(),
                taken_back: false,
                kind: intent.kind,
                account: intent.account,
            }
        })
        .collect();
    finish::lock(conn, &finishes, std::iter::empty()).await?;
    finish::finish(conn, &finishes, true).await?;
    Ok(())
}

async fn end_session(conn: &mut Conn<'_>, session: SessionId) -> Result<(), Error> {
    conn.execute(&sql::SESSION_LEASES_DELETE, Args::new().uuid(session.0))
        .await?;
    conn.execute(&sql::SESSION_DELETE, Args::new().uuid(session.0))
        .await
}
