//! Resume, undo, rerun: a failed intent goes back in line, to go on with everything that succeeded kept, to be taken back,
//! or to run some of its steps again (PROTOCOL P7).

use std::collections::HashMap;

use serde_json::json;

use super::args::{Args, Rows};
use super::events::{self, Event};
use super::{Conn, Goal, Store, history, retention, sql, taking_back};
use crate::error::Error;
use crate::id::IntentId;
use crate::state::{IntentState, StepState};

/// Who does it, and why.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) reason: Option<String>,
}

/// What a failed intent goes back in line for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revival {
    /// To go on: what succeeded is kept.
    Resume,
    /// To be taken back; then it is cancelled.
    Undo,
    /// To run this step again, and all that depend on it.
    Rerun { from: String },
}

/// From where an intent can be undone.
pub(super) const UNDONE_FROM: &str = "only a failed intent can be taken back, or, by a new intent, one that succeeded; an unfinished one is cancelled";

impl Revival {
    fn verb(&self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Undo => "undo",
            Self::Rerun { .. } => "rerun",
        }
    }

    fn trying(&self) -> &'static str {
        match self {
            Self::Resume => "resuming",
            Self::Undo => "undoing",
            Self::Rerun { .. } => "rerunning",
        }
    }
}

impl Store {
    /// Puts a failed intent back in line, and with it those of its children whose failure it failed with. Returns how
    /// many intents that were.
    pub(crate) async fn revive(
        &self,
        id: IntentId,
        revival: Revival,
        actor: Actor,
    ) -> Result<usize, Error> {
        self.transact(move |mut conn| {
            let (revival, actor) = (revival.clone(), actor.clone());
            Box::pin(async move { revive(&mut conn, id, &revival, &actor).await })
        })
        .await
    }

    /// Where an intent is.
    pub(crate) async fn state(&self, id: IntentId) -> Result<IntentState, Error> {
        self.read(move |mut conn| Box::pin(async move { Ok(place(&mut conn, id).await?.0) }))
            .await
    }
}

async fn revive(
    conn: &mut Conn<'_>,
    id: IntentId,
    revival: &Revival,
    actor: &Actor,
) -> Result<usize, Error> {
    let detail = match revival {
        Revival::Rerun { from } => json!({ "step": from }),
        Revival::Resume | Revival::Undo => json!({}),
    };
    retention::hold(conn, revival.trying(), id).await?;
    withdraw_one(conn, id, revival.verb(), revival.trying(), actor, detail).await?;
    let parents = failed_parents(conn, id, revival.trying()).await?;
    if let (Revival::Undo, Some(&parent)) = (revival, parents.first()) {
        let verb = revival.trying();
        return Err(Error::ResumeParent { verb, id, parent });
    }
    let revived = revive_family(conn, id, vec![(id, revival.clone())], actor).await?;
    into_line(conn, &revived).await?;
    Ok(revived.len() + resume_parents(conn, parents, actor).await?)
}

/// The ancestors that have failed with this one, the nearest first, which go on when it does. What becomes of the child of an
/// unfinished intent is up to that one, unless the step that asked for it is done. Not to be called before the child's outcome is taken: that is the lock under which the
/// answer stays true.
pub(super) async fn failed_parents(
    conn: &mut Conn<'_>,
    id: IntentId,
    verb: &'static str,
) -> Result<Vec<IntentId>, Error> {
    let mut failed = Vec::new();
    let mut below = id;
    while let Some(row) = conn
        .fetch_one(&sql::CHILD_OF, Args::new().uuid(below.0))
        .await?
    {
        let parent = row.uuid(0)?;
        let step = row.word::<StepState>(1)?;
        if matches!(step, StepState::Succeeded | StepState::Skipped) {
            // It has gone on without it.
            break;
        }
        match place(conn, parent).await?.0 {
            IntentState::Failed => failed.push(parent),
            IntentState::Succeeded | IntentState::Cancelled => break,
            _ => return Err(Error::ResumeParent { verb, id, parent }),
        }
        below = parent;
    }
    Ok(failed)
}

/// Puts those that had failed with a child back in line, as it is. Returns how many intents that were.
pub(super) async fn resume_parents(
    conn: &mut Conn<'_>,
    parents: Vec<IntentId>,
    actor: &Actor,
) -> Result<usize, Error> {
    let mut resumed = 0;
    let with = Actor {
        name: actor.name.clone(),
        reason: Some("resumed with its child".to_owned()),
    };
    for parent in parents {
        let verb = Revival::Resume;
        withdraw_one(conn, parent, verb.verb(), verb.trying(), &with, json!({})).await?;
        let family = revive_family(conn, parent, vec![(parent, verb)], actor).await?;
        into_line(conn, &family).await?;
        resumed += family.len();
    }
    Ok(resumed)
}

/// Prepares intents whose failures have been withdrawn, and their failed children, and theirs. Returns all of them.
pub(super) async fn revive_family(
    conn: &mut Conn<'_>,
    id: IntentId,
    mut level: Vec<(IntentId, Revival)>,
    actor: &Actor,
) -> Result<Vec<IntentId>, Error> {
    let mut revived: Vec<IntentId> = level.iter().map(|(id, _)| *id).collect();
    while !level.is_empty() {
        let next = revive_level(conn, id, &level, actor).await?;
        let mut withdrawn: Vec<(IntentId, Revival)> = Vec::new();
        for (verb, reason) in [
            (Revival::Resume, "resumed with its parent"),
            (Revival::Undo, "taken back with its parent"),
        ] {
            let ids: Vec<IntentId> = next
                .iter()
                .filter(|(_, revival)| *revival == verb)
                .map(|(id, _)| *id)
                .collect();
            let actor = Actor {
                name: actor.name.clone(),
                reason: Some(reason.to_owned()),
            };
            let ids = withdraw(conn, &ids, verb.verb(), &actor, &json!({})).await?;
            withdrawn.extend(ids.into_iter().map(|id| (id, verb.clone())));
        }
        let ids = level.iter().map(|(id, _)| *id);
        conn.execute(&sql::WAIT_REOPEN, Args::new().ids(ids))
            .await?;
        revived.extend(withdrawn.iter().map(|(id, _)| *id));
        level = withdrawn;
    }
    Ok(revived)
}

/// Prepares the steps of intents whose failures have been withdrawn, says what they go back in line for, and finds the
/// failed children that go with them.
async fn revive_level(
    conn: &mut Conn<'_>,
    asked: IntentId,
    level: &[(IntentId, Revival)],
    actor: &Actor,
) -> Result<Vec<(IntentId, Revival)>, Error> {
    let ids = || Args::new().ids(level.iter().map(|(id, _)| *id));
    let undoing: Vec<IntentId> = level
        .iter()
        .filter(|(_, revival)| *revival == Revival::Undo)
        .map(|(id, _)| *id)
        .collect();
    if !undoing.is_empty() {
        let rows = conn
            .fetch(&sql::STEP_FINAL, Args::new().ids(undoing.iter().copied()))
            .await?;
        if let Some(row) = rows.first() {
            return Err(Error::PastReturn {
                verb: "undoing",
                id: asked,
                intent: row.uuid(0)?,
                step: row.text(1)?,
            });
        }
    }
    let again = again(conn, level).await?;
    conn.execute(&sql::STEP_FORGIVE, ids()).await?;
    let mut next = Vec::new();
    for row in conn.fetch(&sql::CHILD_FAILED, ids()).await? {
        let (parent, child): (IntentId, IntentId) = (row.uuid(0)?, row.uuid(1)?);
        let (step, state): (String, StepState) = (row.text(2)?, row.word(3)?);
        let is_again = again.get(&parent).is_some_and(|again| again.covers(&step));
        if undoing.contains(&parent) || is_again || state == StepState::Undone {
            // Nobody will ask for it any more: it must not keep what it holds.
            next.push((child, Revival::Undo));
        } else if state != StepState::Succeeded {
            next.push((child, Revival::Resume));
        }
    }
    if !undoing.is_empty() {
        let rows = Rows::new()
            .uuids(undoing.iter().copied())
            .opt_texts(undoing.iter().map(|_| actor.reason.clone()));
        let args = Args::new().text(actor.name.as_str()).rows(rows).now();
        conn.execute(&sql::CANCEL_INSERT, args).await?;
    }
    let goals = again.into_iter().map(|(id, again)| {
        let goal = Goal::Rerun { from: again.from };
        (id, actor.reason.clone(), goal)
    });
    let is_rerun = |id: IntentId| {
        let asked = |revival: &Revival| matches!(revival, Revival::Rerun { .. });
        level
            .iter()
            .any(|(other, revival)| *other == id && asked(revival))
    };
    let (reruns, others): (Vec<_>, Vec<_>) = goals.partition(|(id, ..)| is_rerun(*id));
    let asked_for: Vec<IntentId> = reruns.iter().map(|(id, ..)| *id).collect();
    let replaced = taking_back::replace_goals(conn, &actor.name, reruns).await?;
    if let Some(id) = asked_for.into_iter().find(|id| !replaced.contains(id)) {
        return Err(Error::WrongState {
            verb: "rerunning",
            id,
            state: IntentState::Failed,
            expected: "it was to be cancelled, and what takes it back has failed: resume goes on with that, skip gives a step \
                       of it up",
        });
    }
    taking_back::insert_goals(conn, &actor.name, others).await?;
    Ok(next)
}

/// Steps of an intent that run again, and all that depend on them.
struct Again {
    from: Vec<String>,
    all: Vec<String>,
}

impl Again {
    /// Whether this step, or the map that it is an element of, is among them.
    fn covers(&self, step: &str) -> bool {
        self.all.iter().any(|again| {
            let rest = step.strip_prefix(again.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        })
    }
}

/// Which of these have steps to run again: as a person says, or since they were taken back when the intent failed.
async fn again(
    conn: &mut Conn<'_>,
    level: &[(IntentId, Revival)],
) -> Result<HashMap<IntentId, Again>, Error> {
    let mut from: HashMap<IntentId, Vec<String>> = HashMap::new();
    let forward = level
        .iter()
        .filter(|(_, revival)| *revival != Revival::Undo);
    let forward: Vec<IntentId> = forward.map(|(id, _)| *id).collect();
    if forward.is_empty() {
        return Ok(HashMap::new());
    }
    for row in conn.fetch(&sql::STEP_OF, Args::new().ids(forward)).await? {
        if row.word::<StepState>(3)? == StepState::Undone {
            from.entry(row.uuid(0)?).or_default().push(row.text(1)?);
        }
    }
    for (id, revival) in level {
        if let Revival::Rerun { from: step } = revival {
            from.entry(*id).or_default().push(step.clone());
        }
    }
    let mut again = HashMap::with_capacity(from.len());
    for (id, from) in from {
        let all = match history::plan(conn, id).await? {
            Some(shape) => shape.with_dependents(&from),
            None => Vec::new(),
        };
        for (_, revival) in level.iter().filter(|(other, _)| *other == id) {
            if let Revival::Rerun { from: step } = revival {
                let known = |name: &String| {
                    let rest = step.strip_prefix(name.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
                };
                if !all.iter().any(known) {
                    let step = step.clone();
                    return Err(Error::NoStep { id, step });
                }
            }
        }
        again.insert(id, Again { from, all });
    }
    Ok(again)
}

/// Into *ready*, with something to load, and with locks to take.
pub(super) async fn into_line(conn: &mut Conn<'_>, ids: &[IntentId]) -> Result<(), Error> {
    // With a fresh limit, as its failed steps have fresh attempts.
    let again = Args::new().ids(ids.iter().copied()).now();
    conn.execute(&sql::STARTED_AGAIN, again).await?;
    let steps = Args::new().ids(ids.iter().copied());
    conn.execute(&sql::STEP_AGAIN, steps).await?;
    let rows = Rows::new()
        .uuids(ids.iter().copied())
        .ints(ids.iter().map(|_| 0))
        .bools(ids.iter().map(|_| true))
        .bools(ids.iter().map(|_| true));
    conn.execute(&sql::READY_INSERT, Args::new().rows(rows))
        .await
}

/// Takes the failed outcome of one intent, or says where it is instead.
pub(super) async fn withdraw_one(
    conn: &mut Conn<'_>,
    id: IntentId,
    verb: &'static str,
    trying: &'static str,
    actor: &Actor,
    detail: serde_json::Value,
) -> Result<(), Error> {
    if withdraw(conn, &[id], verb, actor, &detail)
        .await?
        .is_empty()
    {
        let (state, _) = place(conn, id).await?;
        let expected = match verb {
            "resume" => "only a failed intent can be resumed",
            "undo" => UNDONE_FROM,
            "discard" => "only a failed intent can be discarded",
            _ => "only a failed intent has steps that can be run again",
        };
        return Err(Error::WrongState {
            verb: trying,
            id,
            state,
            expected,
        });
    }
    Ok(())
}

/// Takes failed outcomes (compare-and-set) and keeps them as events. Returns whose they were; there may be ten thousand,
/// and it is three statements.
pub(super) async fn withdraw(
    conn: &mut Conn<'_>,
    ids: &[IntentId],
    verb: &'static str,
    actor: &Actor,
    more: &serde_json::Value,
) -> Result<Vec<IntentId>, Error> {
    let mut withdrawn: Vec<IntentId> = Vec::new();
    let mut details = Vec::new();
    let mut starts = Vec::new();
    if ids.is_empty() {
        return Ok(withdrawn);
    }
    let args = Args::new().ids(ids.iter().copied());
    for row in conn.fetch(&sql::OUTCOME_WITHDRAW, args).await? {
        let (id, started) = (row.uuid(0)?, row.opt_time(5)?);
        let mut detail = json!({
            "reason": row.opt_text(1)?,
            "error": row.opt_text(2)?,
            "step": row.opt_text(3)?,
            "started_at": started.map(|time| time.to_utc()),
            "finished_at": row.opt_time(6)?.map(|time| time.to_utc()),
        });
        if let Some(step) = more.get("step") {
            detail[verb] = step.clone();
        }
        let plan = row.opt_text(4)?;
        starts.extend(started.map(|started| (id, started.0, plan)));
        withdrawn.push(id);
        details.push(detail.to_string());
    }
    if withdrawn.is_empty() {
        return Ok(withdrawn);
    }
    if !starts.is_empty() {
        let rows = Rows::new()
            .uuids(starts.iter().map(|(id, _, _)| *id))
            .ints(starts.iter().map(|(_, started, _)| *started))
            .opt_texts(starts.iter().map(|(_, _, plan)| plan.clone()))
            .opt_texts(starts.iter().map(|_| None::<String>));
        conn.execute(&sql::STARTED_INSERT, Args::new().rows(rows))
            .await?;
    }
    let noted = withdrawn.iter().zip(details);
    let noted = noted.map(|(id, detail)| Event {
        intent: *id,
        reason: actor.reason.clone(),
        detail: Some(detail),
    });
    events::write(conn, &actor.name, verb, noted.collect()).await?;
    Ok(withdrawn)
}

/// State and parent of an intent.
pub(super) async fn place(
    conn: &mut Conn<'_>,
    id: IntentId,
) -> Result<(IntentState, Option<IntentId>), Error> {
    let row = conn
        .fetch_one(&sql::PLACE_READ, Args::new().ids([id]))
        .await?
        .ok_or(Error::NotFound { id })?;
    Ok((row.word(2)?, row.opt_uuid(1)?))
}
