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
    if !withdraw(conn, id, actor, reason).await? {
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
        let mut next = Vec::new();
        for row in conn
            .fetch(&sql::CHILD_FAILED, Args::new().ids(level.iter().copied()))
            .await?
        {
            let child = row.uuid(1)?;
            if withdraw(conn, child, actor, Some("resumed with its parent")).await? {
                next.push(child);
            }
        }
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

/// Takes a failed outcome (compare-and-set) and keeps it as an event. False: there is none.
async fn withdraw(
    conn: &mut Conn<'_>,
    id: IntentId,
    actor: &str,
    reason: Option<&str>,
) -> Result<bool, Error> {
    let Some(row) = conn
        .fetch_one(&sql::OUTCOME_WITHDRAW, Args::new().uuid(id.0))
        .await?
    else {
        return Ok(false);
    };
    let detail = json!({
        "reason": row.opt_text(0)?,
        "error": row.opt_text(1)?,
        "step": row.opt_text(2)?,
        "started_at": row.opt_time(4)?.map(|time| time.to_utc()),
        "finished_at": row.opt_time(5)?.map(|time| time.to_utc()),
    });
    let (started, plan) = (row.opt_time(4)?, row.opt_text(3)?);
    if let Some(started) = started {
        let rows = Rows::new()
            .uuids([id])
            .ints([started.0])
            .opt_texts([plan])
            .opt_texts([None::<String>]);
        conn.execute(&sql::STARTED_INSERT, Args::new().rows(rows))
            .await?;
    }
    let args = Args::new()
        .uuid(id.0)
        .text(actor)
        .text("resume")
        .opt_text(reason)
        .text(detail.to_string())
        .now();
    conn.execute(&sql::EVENT_INSERT, args).await?;
    Ok(true)
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
