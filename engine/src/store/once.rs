//! Once: the user's SQL and the step's result in one commit (PROTOCOL P7).

use std::time::Duration;

use super::args::Args;
use super::{Conn, Store, sql};
use crate::clock::micros;
use std::sync::Arc;

use crate::error::Error;
use crate::id::{IntentId, LeaseId, SessionId, TaskId};
use crate::payload::Payload;

/// Whose transaction it is.
#[derive(Debug, Clone)]
pub(crate) struct Once {
    pub(crate) session: SessionId,
    pub(crate) lease: LeaseId,
    /// What the lease holds: the intent's driver, or the step by itself.
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
    pub(crate) worker: Arc<str>,
}

/// Whether the result may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnceAnswer {
    /// It is in the transaction: commit.
    Recorded,
    /// The session is dead, the lease is somebody else's, or there is a result: roll back.
    Refused,
}

/// The session lives and has the task: a reaper waits until this transaction has ended.
pub(super) async fn is_ours(conn: &mut Conn<'_>, once: &Once) -> Result<bool, Error> {
    let fence = Args::new()
        .uuid(once.session.0)
        .uuid(once.lease.0)
        .uuid(once.task.0);
    Ok(conn.fetch_one(&sql::ONCE_FENCE, fence).await?.is_some())
}

/// The last statements of the user's transaction: fence, lease, generation, result.
pub(crate) async fn record(
    conn: &mut Conn<'_>,
    once: &Once,
    output: &Payload,
    started_ago: Duration,
) -> Result<OnceAnswer, Error> {
    if !is_ours(conn, once).await? {
        return Ok(OnceAnswer::Refused);
    }
    let args = Args::new()
        .uuid(once.intent.0)
        .text(once.step.clone())
        .int(i64::from(once.generation))
        .int(i64::from(once.attempt))
        .text(output.get())
        .int(micros(started_ago))
        .text(once.worker.clone())
        .now();
    Ok(match conn.fetch_one(&sql::ONCE_RECORD, args).await? {
        Some(_) => OnceAnswer::Recorded,
        None => OnceAnswer::Refused,
    })
}

impl Store {
    /// After a COMMIT whose answer was lost, or a refusal: the step's result, if there is one.
    pub(crate) async fn recorded(&self, once: &Once) -> Result<Option<Payload>, Error> {
        let once = once.clone();
        self.transact(move |mut conn| {
            let once = once.clone();
            Box::pin(async move {
                // Waits for a commit that is still on its way: it holds a lock on the session's row.
                conn.fetch_one(&sql::TICK_LAST, Args::new().uuid(once.session.0))
                    .await?;
                let args = Args::new()
                    .uuid(once.intent.0)
                    .text(once.step.clone())
                    .int(i64::from(once.generation));
                let row = conn.fetch_one(&sql::ONCE_READ, args).await?;
                Ok(row.map(|row| row.opt_json(0)).transpose()?.flatten())
            })
        })
        .await
    }
}
