//! Reap: a dead session's tasks go back in line as suspects, or are quarantined (PROTOCOL P2, P6).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::args::{Args, Rows};
use super::{
    BacksOff, Claimed, Conn, Finish, RoutedEnd, StepRow, Store, alerts, finish, load, poison,
    routed, sql, tick,
};
use crate::alert::judge;
use crate::clock::{Clock, Micros};
use crate::crash::{Verdict, verdict};
use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};
use crate::limits;
use crate::progress;
use crate::state::{FailureReason, IntentState, StepState};

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
    let (worker, build, leaving) = (row.text(0)?, row.text(1)?, row.bool(2)?);
    let (host, last_beat) = (row.text(3)?, row.time(4)?);
    let mut left = Vec::new();
    for row in conn
        .fetch(&sql::SESSION_LEASES, Args::new().uuid(session.0))
        .await?
    {
        left.push(Left {
            task: row.uuid(0)?,
            claimed: row.time(1)?,
            crashes: row.small(2)?,
            alone: row.bool(3)?,
        });
    }
    let mut reaped = Reaped::default();
    let held = left.len();
    // Which intents they are of, for those that are steps of one.
    let mut of_steps: HashMap<TaskId, IntentId> = HashMap::new();
    if !left.is_empty() {
        mark_started(conn, session, &build, &left).await?;
        let nobody = LeaseId(uuid::Uuid::nil());
        let steps = routed::load(conn, nobody, left.iter().map(|task| task.task)).await?;
        let (stopped, steps): (Vec<_>, Vec<_>) =
            steps.into_iter().partition(|step| step.cancel.is_some());
        let stopped: HashMap<TaskId, IntentId> = stopped
            .iter()
            .map(|step| (step.task, step.intent))
            .collect();
        left.retain(|task| !stopped.contains_key(&task.task));
        let steps: HashMap<TaskId, Claimed> =
            steps.into_iter().map(|step| (step.task, step)).collect();
        of_steps = steps
            .values()
            .map(|step| (step.task, step.intent))
            .collect();
        let (mut suspects, mut quarantined) = (Vec::new(), Vec::new());
        for task in &left {
            match verdict(task.crashes, task.alone, leaving) {
                Verdict::Suspect { crashes } => suspects.push((task.task, crashes)),
                Verdict::Quarantine { crashes } => quarantined.push((task.task, crashes)),
            }
        }
        reaped = Reaped {
            suspects: suspects.len(),
            quarantined: quarantined.len(),
            backs_off: Vec::new(),
        };
        return_suspects(conn, &suspects).await?;
        note_takeover(conn, &suspects, &steps, &worker, leaving).await?;
        quarantine(conn, &quarantined, steps, stopped, &worker).await?;
    }
    end_session(conn, session).await?;
    if !leaving {
        let mut found = vec![judge::gone(session, &worker, &host, last_beat, held)];
        for task in left.iter().filter(|task| task.alone) {
            let intent = of_steps.get(&task.task).copied();
            let intent = intent.unwrap_or(IntentId(task.task.0));
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
        left.iter().map(|task| IntentId(task.task.0)),
        &HashSet::new(),
        usize::MAX,
    )
    .await?;
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
        .opt_texts(intents.iter().map(|_| Some(build)));
    conn.execute(&sql::STARTED_INSERT, Args::new().rows(rows))
        .await
}

async fn return_suspects(conn: &mut Conn<'_>, suspects: &[(TaskId, u32)]) -> Result<(), Error> {
    if suspects.is_empty() {
        return Ok(());
    }
    // One that was claimed only to be refused holds nothing: it asks again.
    let intents = Args::new().ids(suspects.iter().map(|(id, _)| IntentId(id.0)));
    let missing = conn.fetch(&sql::WANT_MISSING, intents).await?;
    let missing = missing.iter().map(|row| row.uuid(0));
    let missing: HashSet<TaskId> = missing.collect::<Result<_, _>>()?;
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
    worker: &str,
    leaving: bool,
) -> Result<(), Error> {
    if suspects.is_empty() {
        return Ok(());
    }
    let mut intents: BTreeMap<IntentId, u32> = BTreeMap::new();
    for (task, crashes) in suspects {
        let intent = steps.get(task).map_or(IntentId(task.0), |step| step.intent);
        let most = intents.entry(intent).or_default();
        *most = (*most).max(*crashes);
    }
    let rows = Rows::new()
        .uuids(intents.keys().copied())
        .ints(intents.values().map(|crashes| i64::from(*crashes)));
    let reason = if leaving {
        format!("taken over from worker {worker}, which stopped and left it running")
    } else {
        format!("taken over after a crash of worker {worker}")
    };
    let args = Args::new().text(worker).text(reason).rows(rows).now();
    conn.execute(&sql::EVENT_TAKEOVER, args).await
}

/// What does not go back in line: intents and steps that are quarantined, and steps of intents that are to stop, `stopped`,
/// for which nobody shall have to come.
async fn quarantine(
    conn: &mut Conn<'_>,
    tasks: &[(TaskId, u32)],
    mut steps: HashMap<TaskId, Claimed>,
    stopped: HashMap<TaskId, IntentId>,
    worker: &str,
) -> Result<(), Error> {
    if tasks.is_empty() && stopped.is_empty() {
        return Ok(());
    }
    let crashes: HashMap<TaskId, u32> = tasks.iter().copied().collect();
    steps.retain(|task, _| crashes.contains_key(task));
    let away = steps.values().map(|step| step.intent);
    let driven = tasks.iter().map(|(task, _)| IntentId(task.0));
    let running = running(conn, driven.chain(away)).await?;
    let says = |task: TaskId, intent: IntentId, step: Option<&str>| {
        let crashes = crashes.get(&task).copied().unwrap_or_default();
        let place = step.map_or_else(String::new, |step| format!(" in step `{step}`"));
        let mut ran = running.iter();
        let ran = ran.find(|ran| ran.intent == intent && Some(&*ran.name) == step);
        let said = ran.and_then(|ran| ran.said.as_ref());
        let said = said.map_or_else(String::new, |said| {
            format!(", which had last said `{said}`")
        });
        format!(
            "its worker died {crashes} times while it ran, the last time `{worker}`{place}{said}; mend it, then resume"
        )
    };
    let (finishes, mut rows) = quarantined_intents(conn, tasks, &running, &says).await?;
    let ends = steps.values().map(|step| (step.task, step.intent));
    let ends: Vec<RoutedEnd> = ends
        .chain(stopped)
        .map(|(task, intent)| RoutedEnd {
            task,
            intent,
            lease: None,
        })
        .collect();
    rows.extend(
        steps
            .values()
            .flat_map(|step| quarantined_step(step, &says)),
    );
    let waits = ends.iter().map(|end| end.intent);
    finish::lock(conn, &finishes, std::iter::empty(), waits).await?;
    tick::record_steps(conn, &Arc::from(worker), &rows.iter().collect::<Vec<_>>()).await?;
    let ended = routed::end(conn, &ends).await?;
    finish::finish(conn, &finishes, true, ended).await?;
    Ok(())
}

/// A step that is said to run.
struct Ran {
    intent: IntentId,
    name: Arc<str>,
    /// How far it said that it was.
    said: Option<String>,
    /// In the queue of its intent, and not in one of its own.
    with_intent: bool,
}

async fn running(
    conn: &mut Conn<'_>,
    intents: impl Iterator<Item = IntentId>,
) -> Result<Vec<Ran>, Error> {
    let intents: HashSet<IntentId> = intents.collect();
    let rows = conn
        .fetch(&sql::STEP_RUNNING, Args::new().ids(intents))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Ran {
                intent: row.uuid(0)?,
                name: row.name(1)?,
                said: row.opt_json(2)?.map(|said| progress::words(said.get())),
                with_intent: row.bool(3)?,
            })
        })
        .collect()
}

/// The outcomes of those that were to be driven, and the last words of what ran of them last: what ran beside that, in the
/// first crash, is not to blame.
async fn quarantined_intents(
    conn: &mut Conn<'_>,
    tasks: &[(TaskId, u32)],
    running: &[Ran],
    says: &impl Fn(TaskId, IntentId, Option<&str>) -> String,
) -> Result<(Vec<Finish>, Vec<StepRow>), Error> {
    let ids: HashSet<IntentId> = tasks.iter().map(|(task, _)| IntentId(task.0)).collect();
    let here = running.iter().filter(|ran| ran.with_intent);
    let mut steps: HashMap<IntentId, Arc<str>> =
        here.map(|ran| (ran.intent, ran.name.clone())).collect();
    let nobody = LeaseId(uuid::Uuid::nil());
    let intents = load::intents(conn, nobody, ids.iter().copied(), &ids, usize::MAX).await?;
    // No outcome while a child or a step in another queue is unfinished (I2): such a one goes back as a suspect, and is
    // judged again.
    let (waiting, intents): (Vec<_>, Vec<_>) = intents.into_iter().partition(|intent| {
        intent.away() > 0 || intent.children.iter().any(|child| child.outcome.is_none())
    });
    let again: Vec<_> = waiting
        .iter()
        .map(|intent| (intent.task, limits::CRASHES))
        .collect();
    return_suspects(conn, &again).await?;
    let ran = |intent: &Claimed| -> Vec<StepRow> {
        let blamed = steps.get(&intent.intent).map(|step| &**step);
        let ran = intent.steps.iter();
        let ran = ran
            .filter(|step| step.state == StepState::Running && Some(step.name.as_str()) == blamed);
        ran.map(|step| StepRow {
            attempt: step.attempt,
            ..last_word(
                (intent.task, intent.intent),
                (Arc::from(step.name.as_str()), step.generation),
                says(intent.task, intent.intent, Some(&step.name)),
            )
        })
        .collect()
    };
    let rows = intents.iter().flat_map(ran).collect();
    let finish = |intent: Claimed| {
        let step = steps.remove(&intent.intent);
        Finish {
            waits: intent.waits(),
            intent: intent.intent,
            lease: None,
            state: IntentState::Failed,
            requested: intent.requested,
            started: intent
                .started
                .as_ref()
                .map_or(intent.requested, |started| started.started),
            output: None,
            reason: Some(FailureReason::Quarantined),
            error: Some(says(intent.task, intent.intent, step.as_deref())),
            step,
            plan: intent
                .started
                .and_then(|started| started.plan)
                .map(|(hash, _)| hash),
            parent: intent.parent,
            frees: intent.locks && intent.release_on_failure,
            taken_back: false,
            kind: intent.kind,
            account: intent.account,
        }
    };
    Ok((intents.into_iter().map(finish).collect(), rows))
}

/// The last word of a routed step: its driver makes the outcome.
fn quarantined_step(
    task: &Claimed,
    says: &impl Fn(TaskId, IntentId, Option<&str>) -> String,
) -> Option<StepRow> {
    let routed = task.routed.as_ref()?;
    let error = says(task.task, task.intent, Some(&routed.step));
    Some(StepRow {
        attempt: task.steps.first().map_or(1, |step| step.attempt),
        ..last_word(
            (task.task, task.intent),
            (routed.step.clone(), routed.generation),
            error,
        )
    })
}

/// A step fails, since it is what killed its workers.
fn last_word(
    (task, intent): (TaskId, IntentId),
    (name, generation): (Arc<str>, u32),
    error: String,
) -> StepRow {
    StepRow {
        point_of_no_return: false,
        first: false,
        task,
        intent,
        name,
        generation,
        state: StepState::Failed,
        attempt: 1,
        output: None,
        error: Some(error),
        progress: None,
        due_in: None,
        started_ago: None,
        finished_ago: Some(std::time::Duration::ZERO),
        queue: None,
        reason: Some(FailureReason::Quarantined),
        spare: None,
        waits: None,
    }
}

/// What the session has of limited queues, others may have.
async fn return_slots(conn: &mut Conn<'_>, session: SessionId) -> Result<(), Error> {
    conn.execute(&sql::SLOT_HOLD, Args::new().uuid(session.0))
        .await?;
    conn.execute(&sql::SLOT_RETURN, Args::new().uuid(session.0))
        .await
}

async fn end_session(conn: &mut Conn<'_>, session: SessionId) -> Result<(), Error> {
    conn.execute(&sql::SESSION_LEASES_DELETE, Args::new().uuid(session.0))
        .await?;
    conn.execute(&sql::SESSION_DELETE, Args::new().uuid(session.0))
        .await
}
