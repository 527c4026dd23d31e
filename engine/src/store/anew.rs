//! Anew: what has finished never changes, so a rerun of it, and the undo of what succeeded, are new intents that are linked
//! with it.

use serde_json::json;

use super::args::{Args, Rows};
use super::resume::{Actor, UNDONE_FROM, place};
use super::rows::Start;
use super::secrets::Copying;
use super::verbs::note;
use super::{Conn, IntentRecord, NewIntent, Store, history, load, request, retention, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::payload;
use crate::state::IntentState;

impl Store {
    /// Asks for a finished intent again, as a new one with this id; each has an event that names the other.
    pub(crate) async fn again(
        &self,
        id: IntentId,
        new: IntentId,
        actor: Actor,
    ) -> Result<(), Error> {
        let keys = self.copying().await;
        self.transact(move |mut conn| {
            let (actor, keys) = (actor.clone(), keys.clone());
            Box::pin(async move { again(&mut conn, &keys, id, new, &actor).await })
        })
        .await
    }

    /// Asks for the undo of an intent that succeeded, as a new one with this id; each has an event that names the other.
    /// Returns which one it is: the same one, however often it is asked for.
    pub(crate) async fn undo_succeeded(
        &self,
        id: IntentId,
        new: IntentId,
        actor: Actor,
    ) -> Result<IntentId, Error> {
        let keys = self.copying().await;
        self.transact(move |mut conn| {
            let (actor, keys) = (actor.clone(), keys.clone());
            Box::pin(async move { undo_succeeded(&mut conn, &keys, id, new, &actor).await })
        })
        .await
    }
}

async fn again(
    conn: &mut Conn<'_>,
    keys: &Copying,
    id: IntentId,
    new: IntentId,
    actor: &Actor,
) -> Result<(), Error> {
    retention::hold(conn, "rerunning", id).await?;
    let record = history::records(conn, &[id]).await?.pop();
    let record = record.ok_or(Error::NotFound { id })?;
    let undoes = conn
        .fetch_one(&sql::EVENT_UNDO_OF, Args::new().uuid(id.0))
        .await?;
    match record.state {
        state if undoes.is_some() => {
            return Err(Error::WrongState {
                verb: "rerunning",
                id,
                state,
                expected: "it takes another intent back, and is no operation of its own",
            });
        }
        IntentState::Succeeded | IntentState::Cancelled => {}
        state => {
            return Err(Error::WrongState {
                verb: "rerunning",
                id,
                state,
                expected: "only what succeeded or was cancelled is asked for again; a failed one is resumed, or rerun from \
                           a step",
            });
        }
    }
    request_copy(conn, keys, record, new, actor).await?;
    note(conn, id, "rerun", actor, &json!({ "as": new })).await?;
    note(conn, new, "rerun", actor, &json!({ "of": id })).await
}

/// The new one begins where the old one ended, with all its results, and is asked to stop at once: whoever takes it carries
/// that out, as with any intent that is to be taken back.
async fn undo_succeeded(
    conn: &mut Conn<'_>,
    keys: &Copying,
    id: IntentId,
    new: IntentId,
    actor: &Actor,
) -> Result<IntentId, Error> {
    retention::hold(conn, "undoing", id).await?;
    // The lock under which nobody else does the same.
    let locked = conn
        .fetch_one(&sql::OUTCOME_LOCK, Args::new().uuid(id.0))
        .await?;
    let state = locked.map(|row| row.word(0)).transpose()?;
    if state != Some(IntentState::Succeeded) {
        let state = place(conn, id).await?.0;
        return Err(Error::WrongState {
            verb: "undoing",
            id,
            state,
            expected: UNDONE_FROM,
        });
    }
    let by = conn
        .fetch_one(&sql::EVENT_UNDONE_BY, Args::new().uuid(id.0))
        .await?;
    if let Some(row) = by {
        return row.uuid(0);
    }
    if let Some(row) = conn
        .fetch_one(&sql::STEP_FINAL, Args::new().ids([id]))
        .await?
    {
        return Err(Error::PastReturn {
            verb: "undoing",
            id,
            intent: row.uuid(0)?,
            step: row.text(1)?,
        });
    }
    let record = history::whole(conn, id).await?;
    request_copy(conn, keys, record, new, actor).await?;
    for copy in [&sql::STARTED_COPY, &sql::STEP_COPY] {
        conn.execute(copy, Args::new().uuid(id.0).uuid(new.0))
            .await?;
    }
    conn.execute(&sql::READY_STARTED, Args::new().uuid(new.0))
        .await?;
    let rows = Rows::new().uuids([new]).opt_texts([actor.reason.clone()]);
    let args = Args::new().text(actor.name.as_str()).rows(rows).now();
    conn.execute(&sql::CANCEL_INSERT, args).await?;
    note(conn, id, "undo", actor, &json!({ "by": new })).await?;
    note(conn, new, "undo", actor, &json!({ "of": id })).await?;
    Ok(new)
}

/// Asks for the same operation, as another intent, by somebody else, as nobody's child.
async fn request_copy(
    conn: &mut Conn<'_>,
    keys: &Copying,
    record: IntentRecord,
    id: IntentId,
    actor: &Actor,
) -> Result<(), Error> {
    let release_on_failure = load::release_on_failure(conn, record.id).await?;
    let input = payload::trusted(record.input.get());
    let input = keys.resealed(&input, record.account.as_deref(), record.id, id)?;
    let resources = record.resources.into_iter();
    let intent = NewIntent {
        id,
        kind: record.kind,
        queue: record.queue,
        account: record.account,
        input,
        priority: i32::try_from(record.priority).unwrap_or_default(),
        release_on_failure,
        start: Start::Now,
        requested_by: Some(actor.name.clone()),
        parent: None,
        root: id,
        depth: 0,
        correlation_id: record.correlation_id,
        // Whoever asks again is another caller.
        traceparent: None,
        resources: resources.map(|used| (used.resource, used.mode)).collect(),
        labels: record.labels.into_iter().collect(),
        key: None,
        conflicts: None,
        deadline: None,
    };
    request::insert_requests(conn, vec![intent]).await?;
    Ok(())
}
