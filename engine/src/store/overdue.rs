//! Overdue: the limit of an intent is over, and steps of it are in other queues. Those that somebody has in hand end at that
//! limit; for those at rest nobody may ever come, so they are taken back, as a cancel takes them back.

use std::collections::HashSet;
use std::time::Duration;

use super::args::Args;
use super::{Conn, RoutedEnd, Store, finish, routed, sql};
use crate::clock::micros;
use crate::error::Error;
use crate::id::{IntentId, TaskId};

/// Whether all that was at rest has been taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It has.
    Settled,
    /// Something moved just then: look again.
    Moving,
}

impl Store {
    /// Takes back the steps that an intent has in other queues and nobody holds, if its limit is over by the database's
    /// clock: after a resume, which begins the limit anew, it is not. Repeating it changes nothing.
    pub(crate) async fn take_back_overdue(
        &self,
        intent: IntentId,
        limit: Duration,
    ) -> Result<Overdue, Error> {
        self.transact(move |mut conn| {
            Box::pin(async move { take_back(&mut conn, intent, limit).await })
        })
        .await
    }
}

async fn take_back(
    conn: &mut Conn<'_>,
    intent: IntentId,
    limit: Duration,
) -> Result<Overdue, Error> {
    let args = Args::new().uuid(intent.0).int(micros(limit)).now();
    let rows = conn.fetch(&sql::OVERDUE_LOOK, args).await?;
    let at_rest = rows.iter().map(|row| row.uuid(0));
    let at_rest: Vec<TaskId> = at_rest.collect::<Result<_, _>>()?;
    if at_rest.is_empty() {
        return Ok(Overdue::Settled);
    }
    let held = hold(conn, intent, &at_rest).await?;
    let of = |tasks: &[TaskId]| Args::new().ids(tasks.iter().copied());
    if !held.is_empty() {
        conn.fetch(&sql::READY_TAKE, of(&held)).await?;
        conn.fetch(&sql::PARKED_TAKE, of(&held)).await?;
        let ends = held.iter().map(|task| RoutedEnd {
            task: *task,
            intent,
            lease: None,
        });
        let ended = routed::end(conn, &ends.collect::<Vec<_>>()).await?;
        finish::release(conn, Vec::new(), HashSet::new(), ended).await?;
    }
    match held.len() < at_rest.len() {
        true => Ok(Overdue::Moving),
        false => Ok(Overdue::Settled),
    }
}

/// Locks the wait row, then the tokens: those of them that are still at rest.
async fn hold(
    conn: &mut Conn<'_>,
    intent: IntentId,
    tasks: &[TaskId],
) -> Result<Vec<TaskId>, Error> {
    if !conn.is_pg() {
        return Ok(tasks.to_vec());
    }
    conn.fetch(&sql::WAIT_LOCK, Args::new().ids([intent]))
        .await?;
    let held = conn
        .fetch(&sql::CANCEL_HOLD, Args::new().ids(tasks.iter().copied()))
        .await?;
    held.iter().map(|row| row.uuid(0)).collect()
}
