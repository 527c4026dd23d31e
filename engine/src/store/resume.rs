//! Resume: a failed intent goes back in line with everything that succeeded kept (PROTOCOL P7).

use serde_json::json;

use super::args::{Args, Rows};
use super::{Conn, Store, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::state::IntentState;

impl Store {
    /// Puts a failed intent back in line, and with it those of its children whose failure it failed with. Returns how
    /// many intents that were.
    pub(crate) async fn resume(
        &self,
        id: IntentId,
        actor: String,
        reason: Option<String>,
    ) -> Result<usize, Error> {
        self.transact(move |mut conn| {
            let (actor, reason) = (actor.clone(), reason.clone());
            Box::pin(async move { resume(&mut conn, id, &actor, reason.as_deref()).await })
        })
        .await
    }

    /// Where an intent is.
    pub(crate) async fn state(&self, id: IntentId) -> Result<IntentState, Error> {
        self.read(move |mut conn| Box::pin(async move { Ok(place(&mut conn, id).await?.0) }))
            .await
    }
}

async fn resume(
    conn: &mut Conn<'_>,
    id: IntentId,
    actor: &str,
    reason: Option<&str>,
) -> Result<usize, Error> {
    if withdraw(conn, &[id], actor, reason).await?.is_empty() {
        let (state, _) = place(conn, id).await?;
        let expected = "only a failed intent can be resumed";
        return Err(Error::WrongState {
            verb: "resuming",
            id,
            state,
            expected,
        });
    }
    // Not before the outcome is taken: that is the lock under which the answer stays true.
    if let (_, Some(parent)) = place(conn, id).await? {
        return Err(Error::ResumeParent { id, parent });
    }
    let mut resumed = vec![id];
    let mut level = vec![id];
    while !level.is_empty() {
        conn.execute(&sql::STEP_FORGIVE, Args::new().ids(level.iter().copied()))
            .await?;
        let failed = conn
            .fetch(&sql::CHILD_FAILED, Args::new().ids(level.iter().copied()))
            .await?;
        let failed: Vec<IntentId> = failed
            .iter()
            .map(|row| row.uuid(1))
            .collect::<Result<_, _>>()?;
        let next = withdraw(conn, &failed, actor, Some("resumed with its parent")).await?;
        conn.execute(&sql::WAIT_REOPEN, Args::new().ids(level.iter().copied()))
            .await?;
        resumed.extend(&next);
        level = next;
    }
    let rows = Rows::new()
        .uuids(resumed.iter().copied())
        .ints(resumed.iter().map(|_| 0))
        .bools(resumed.iter().map(|_| true))
        .bools(resumed.iter().map(|_| true));
    conn.execute(&sql::READY_INSERT, Args::new().rows(rows))
        .await?;
    Ok(resumed.len())
}

/// Takes failed outcomes (compare-and-set) and keeps them as events. Returns whose they were; there may be ten thousand,
/// and it is three statements.
async fn withdraw(
    conn: &mut Conn<'_>,
    ids: &[IntentId],
    actor: &str,
    reason: Option<&str>,
) -> Result<Vec<IntentId>, Error> {
    let mut withdrawn: Vec<IntentId> = Vec::new();
    let mut details = Vec::new();
    let mut starts = Vec::new();
    let args = Args::new().ids(ids.iter().copied());
    for row in conn.fetch(&sql::OUTCOME_WITHDRAW, args).await? {
        let (id, started) = (row.uuid(0)?, row.opt_time(5)?);
        let detail = json!({
            "reason": row.opt_text(1)?,
            "error": row.opt_text(2)?,
            "step": row.opt_text(3)?,
            "started_at": started.map(|time| time.to_utc()),
            "finished_at": row.opt_time(6)?.map(|time| time.to_utc()),
        });
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
    let rows = Rows::new().uuids(withdrawn.iter().copied()).texts(details);
    let args = Args::new().text(actor).text("resume").opt_text(reason);
    conn.execute(&sql::EVENT_INSERT, args.rows(rows).now())
        .await?;
    Ok(withdrawn)
}

/// State and parent of an intent.
async fn place(
    conn: &mut Conn<'_>,
    id: IntentId,
) -> Result<(IntentState, Option<IntentId>), Error> {
    let row = conn
        .fetch_one(&sql::PLACE_READ, Args::new().ids([id]))
        .await?
        .ok_or(Error::NotFound { id })?;
    Ok((row.word(2)?, row.opt_uuid(1)?))
}
