//! What an operator does to one step of an intent, or to an intent as a whole: retry, skip, discard, amend.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::{Args, Rows};
use super::events::{self, Event};
use super::resume::{
    Actor, Revival, failed_parents, into_line, place, resume_parents, revive_family, withdraw,
    withdraw_one,
};
use super::secrets::Copying;
use super::{Conn, RoutedEnd, Store, checkpoint, finish, history, kinds, retention, routed, sql};
use crate::error::Error;
use crate::id::{IntentId, TaskId};
use crate::payload::{self, Payload};
use crate::secret;
use crate::state::StepState;

/// What is done to a step that has failed, or waits for its retry.
#[derive(Debug, Clone)]
pub(crate) enum StepVerb {
    /// It is tried again now, with a fresh attempt budget.
    Retry,
    /// It has this output.
    Skip(Payload),
}

/// What an input is replaced by.
#[derive(Debug, Clone)]
pub(crate) enum Amendment {
    /// This.
    Whole(Payload),
    /// Itself, with these changes (RFC 7386).
    Part(Value),
}

impl StepVerb {
    fn verb(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip(_) => "skip",
        }
    }

    fn trying(&self) -> &'static str {
        match self {
            Self::Retry => "retrying a step of",
            Self::Skip(_) => "skipping a step of",
        }
    }
}

impl Store {
    /// Retries or skips a step; its intent goes back in line.
    pub(crate) async fn on_step(
        &self,
        id: IntentId,
        step: String,
        verb: StepVerb,
        actor: Actor,
    ) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let (step, verb, actor) = (step.clone(), verb.clone(), actor.clone());
            Box::pin(async move { on_step(&mut conn, id, &step, &verb, &actor).await })
        })
        .await
    }

    /// Gives a failed intent up, and its failed descendants: cancelled, nothing taken back. Returns how many these are.
    pub(crate) async fn discard(&self, id: IntentId, actor: Actor) -> Result<usize, Error> {
        self.transact(move |mut conn| {
            let actor = actor.clone();
            Box::pin(async move { discard(&mut conn, id, &actor).await })
        })
        .await
    }

    /// Replaces the input of a failed intent, or some of it.
    pub(crate) async fn amend(
        &self,
        id: IntentId,
        amendment: Amendment,
        actor: Actor,
    ) -> Result<(), Error> {
        let keys = self.copying().await;
        self.transact(move |mut conn| {
            let (amendment, actor, keys) = (amendment.clone(), actor.clone(), keys.clone());
            Box::pin(async move { amend(&mut conn, &keys, id, &amendment, &actor).await })
        })
        .await
    }
}

async fn on_step(
    conn: &mut Conn<'_>,
    id: IntentId,
    step: &str,
    verb: &StepVerb,
    actor: &Actor,
) -> Result<(), Error> {
    retention::hold(conn, verb.trying(), id).await?;
    let detail = json!({ "step": step });
    let failed = withdraw(conn, &[id], verb.verb(), actor, &detail).await?;
    if failed.is_empty() {
        if let Some(task) = routed::task_of(conn, id, step).await? {
            note(conn, id, verb.verb(), actor, &detail).await?;
            return on_routed(conn, (id, task), step, verb).await;
        }
        // Taken out of *parked*, so that nobody goes on with it meanwhile.
        let parked = Args::new().ids([id]);
        if conn.fetch_one(&sql::PARKED_TAKE, parked).await?.is_none() {
            let (state, _) = place(conn, id).await?;
            return Err(Error::WrongState {
                verb: verb.trying(),
                id,
                state,
                expected: "it has to have failed, or to wait, with nothing of it in a worker's hands",
            });
        }
        note(conn, id, verb.verb(), actor, &detail).await?;
    }
    let parents = match failed.is_empty() {
        true => Vec::new(),
        false => failed_parents(conn, id, verb.trying()).await?,
    };
    let (generation, state, waits) = step_of(conn, id, step).await?;
    // One that waits for children goes on by them.
    if state != StepState::Failed && !waits {
        return Err(wrong_step(verb, id, step, state));
    }
    let args = Args::new().uuid(id.0).text(step).int(generation);
    match verb {
        StepVerb::Retry => {
            resume_children(conn, (id, step), actor).await?;
            conn.execute(&sql::STEP_RETRY, args).await?;
        }
        StepVerb::Skip(output) => {
            skip(conn, (id, step, generation), output).await?;
        }
    }
    conn.execute(&sql::WAIT_REOPEN, Args::new().ids([id]))
        .await?;
    into_line(conn, &[id]).await?;
    resume_parents(conn, parents, actor).await?;
    Ok(())
}

/// The children with whose failure a step has failed go on when it is tried again.
async fn resume_children(
    conn: &mut Conn<'_>,
    (id, step): (IntentId, &str),
    actor: &Actor,
) -> Result<(), Error> {
    let mut failed: Vec<IntentId> = Vec::new();
    for row in conn
        .fetch(&sql::CHILD_FAILED, Args::new().ids([id]))
        .await?
    {
        if row.text(2)? == step {
            failed.push(row.uuid(1)?);
        }
    }
    let with = Actor {
        name: actor.name.clone(),
        reason: Some("resumed with its parent".to_owned()),
    };
    let children = withdraw(conn, &failed, "resume", &with, &json!({})).await?;
    let level = children.into_iter().map(|child| (child, Revival::Resume));
    let revived = revive_family(conn, id, level.collect(), actor).await?;
    into_line(conn, &revived).await
}

fn wrong_step(verb: &StepVerb, id: IntentId, step: &str, state: StepState) -> Error {
    Error::WrongStep {
        verb: verb.verb(),
        id,
        step: step.to_owned(),
        state,
    }
}

/// A step's last generation, its state, and whether it waits until a time or for a message.
async fn step_of(
    conn: &mut Conn<'_>,
    id: IntentId,
    step: &str,
) -> Result<(i64, StepState, bool), Error> {
    for row in conn.fetch(&sql::STEP_OF, Args::new().ids([id])).await? {
        if row.text(1)? == step {
            let state = row.word::<StepState>(3)?;
            let waits =
                state == StepState::Waiting && (row.opt_time(4)?.is_some() || row.bool(5)?);
            return Ok((row.int(2)?, state, waits));
        }
    }
    let step = step.to_owned();
    Err(Error::NoStep { id, step })
}

/// Gives a step its output; where it had got to by itself is of no use any more.
async fn skip(
    conn: &mut Conn<'_>,
    (id, step, generation): (IntentId, &str, i64),
    output: &Payload,
) -> Result<(), Error> {
    let args = Args::new().uuid(id.0).text(step).int(generation);
    let args = args.text(output.text()).now();
    conn.execute(&sql::STEP_SKIP, args).await?;
    let generation = u32::try_from(generation).unwrap_or(u32::MAX);
    checkpoint::forget(conn, [(id, Arc::from(step), generation)]).await
}

/// The same, of one that waits in another queue. Its own token is what is taken out of *parked*; its intent hears of it like
/// of any end of a step, wherever it is.
async fn on_routed(
    conn: &mut Conn<'_>,
    (id, task): (IntentId, TaskId),
    step: &str,
    verb: &StepVerb,
) -> Result<(), Error> {
    finish::lock(conn, &[], std::iter::empty(), [id].into_iter()).await?;
    let parked = Args::new().ids([task]);
    if conn.fetch_one(&sql::PARKED_TAKE, parked).await?.is_none() {
        let (state, _) = place(conn, id).await?;
        return Err(Error::WrongState {
            verb: verb.trying(),
            id,
            state,
            expected: "the step is in line, or in a worker's hands, in its queue; it has to wait for its retry, or its \
                       intent to have failed",
        });
    }
    let (generation, state, _) = step_of(conn, id, step).await?;
    // One whose worker died in it may be parked since nobody knows it: nobody can say that it waits for its retry.
    if state != StepState::Waiting {
        return Err(wrong_step(verb, id, step, state));
    }
    let args = Args::new().uuid(id.0).text(step).int(generation);
    match verb {
        StepVerb::Retry => {
            conn.execute(&sql::STEP_RETRY, args).await?;
            let rows = Rows::new().uuids([task]).ints([0]).bools([true]);
            let args = Args::new().rows(rows.bools([false]));
            conn.execute(&sql::READY_INSERT, args).await
        }
        StepVerb::Skip(output) => {
            skip(conn, (id, step, generation), output).await?;
            let end = RoutedEnd {
                task,
                intent: id,
                lease: None,
            };
            let ended = routed::end(conn, &[end]).await?;
            finish::finish(conn, &[], true, ended).await?;
            Ok(())
        }
    }
}

async fn discard(conn: &mut Conn<'_>, id: IntentId, actor: &Actor) -> Result<usize, Error> {
    let rows = conn
        .fetch(&sql::FAMILY_FAILED, Args::new().ids([id]))
        .await?;
    let mut family: Vec<IntentId> = Vec::new();
    for row in rows {
        family.push(row.uuid(0)?);
    }
    family.retain(|member| *member != id);
    let everybody = || family.iter().copied().chain([id]);
    if conn.is_pg() {
        conn.fetch(&sql::RESOURCE_LOCK, Args::new().ids(everybody()))
            .await?;
    }
    retention::hold(conn, "discarding", id).await?;
    withdraw_one(conn, id, "discard", "discarding", actor, json!({})).await?;
    let with = Actor {
        name: actor.name.clone(),
        reason: Some(format!("discarded with intent {id}")),
    };
    let mut discarded = withdraw(conn, &family, "discard", &with, &json!({})).await?;
    discarded.push(id);
    let error = match &actor.reason {
        Some(reason) => format!("discarded by {}: {reason}", actor.name),
        None => format!("discarded by {}", actor.name),
    };
    let rows = Rows::new()
        .uuids(discarded.iter().copied())
        .texts(discarded.iter().map(|_| error.as_str()));
    conn.execute(&sql::OUTCOME_DISCARD, Args::new().rows(rows).now())
        .await?;
    let ids = || Args::new().ids(discarded.iter().copied());
    conn.execute(&sql::CANCEL_DELETE, ids()).await?;
    conn.execute(&sql::STEP_STOP, ids().now()).await?;
    conn.execute(&sql::AWAITED_DELETE, ids()).await?;
    // Their parents were told when they failed.
    finish::release(conn, discarded.clone(), HashSet::new(), BTreeMap::new()).await?;
    Ok(discarded.len())
}

async fn amend(
    conn: &mut Conn<'_>,
    keys: &Copying,
    id: IntentId,
    amendment: &Amendment,
    actor: &Actor,
) -> Result<(), Error> {
    retention::hold(conn, "amending", id).await?;
    let held = conn
        .fetch_one(&sql::OUTCOME_HOLD, Args::new().uuid(id.0))
        .await?;
    if held.is_none() {
        let (state, _) = place(conn, id).await?;
        return Err(Error::WrongState {
            verb: "amending",
            id,
            state,
            expected: "only a failed intent's input can be amended",
        });
    }
    // Not before the outcome is held: two people may change different parts at the same time.
    let record = history::whole(conn, id).await?;
    let what = "the input";
    let input = match amendment {
        Amendment::Whole(input) => input.clone(),
        Amendment::Part(changes) => {
            let before = payload::trusted(record.input.get());
            payload::merged(&before, changes).map_err(Error::payload(what))?
        }
    };
    let input = match kinds::of(conn, &record.kind).await? {
        Some(kind) => kind.marked(&input).map_err(Error::payload(what))?,
        None => input,
    };
    // What was secret stays so, whether a schema says it or not.
    let before = secret::sealed_at(record.input.get());
    let input = secret::marked_at(input.get(), &mut String::new(), &before);
    let input = payload::parse(&input).map_err(Error::payload(what))?;
    let input = keys.amended(&input, record.account.as_deref(), id)?;
    let args = Args::new().uuid(id.0).text(actor.name.as_str());
    let args = args.opt_text(actor.reason.as_deref()).now();
    conn.execute(&sql::REVISION_INSERT, args).await?;
    let args = Args::new().uuid(id.0).text(input.text());
    conn.execute(&sql::INPUT_AMEND, args).await?;
    note(conn, id, "amend", actor, &json!({})).await
}

pub(super) async fn note(
    conn: &mut Conn<'_>,
    id: IntentId,
    verb: &'static str,
    actor: &Actor,
    detail: &serde_json::Value,
) -> Result<(), Error> {
    let event = Event {
        intent: id,
        reason: actor.reason.clone(),
        detail: Some(detail.to_string()),
    };
    events::write(conn, &actor.name, verb, vec![event]).await
}
