//! Checkpoint: a safe point of a step that goes on, on disk before the step does.

use std::sync::Arc;
use std::time::Duration;

use super::args::{Args, Rows};
use super::{Conn, Once, Store, once, sql};
use crate::clock::micros;
use crate::error::Error;
use crate::id::IntentId;
use crate::payload::Payload;

/// Whether a safe point was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    /// The session is dead, the lease is somebody else's, or the step has a result: nothing was written.
    No,
}

impl Store {
    /// Keeps a safe point, in the place of the last one. Fenced like a result, and as often repeatable: the step that
    /// writes it is the only one that may, and waits for the answer.
    pub(crate) async fn checkpoint(
        &self,
        once: &Once,
        value: Payload,
        started_ago: Duration,
    ) -> Result<Kept, Error> {
        let once = once.clone();
        self.transact(move |mut conn| {
            let (once, value) = (once.clone(), value.clone());
            Box::pin(async move { keep(&mut conn, &once, &value, started_ago).await })
        })
        .await
    }

    /// The step's last safe point.
    pub(crate) async fn last_checkpoint(&self, once: &Once) -> Result<Option<Payload>, Error> {
        let args = Args::new()
            .uuid(once.intent.0)
            .text(once.step.clone())
            .int(i64::from(once.generation));
        self.read(move |mut conn| {
            Box::pin(async move {
                let row = conn.fetch_one(&sql::CHECKPOINT_READ, args).await?;
                Ok(row.map(|row| row.opt_json(0)).transpose()?.flatten())
            })
        })
        .await
    }
}

async fn keep(
    conn: &mut Conn<'_>,
    once: &Once,
    value: &Payload,
    started_ago: Duration,
) -> Result<Kept, Error> {
    if !once::is_ours(conn, once).await? {
        return Ok(Kept::No);
    }
    let of_attempt = || {
        Args::new()
            .uuid(once.intent.0)
            .text(once.step.clone())
            .int(i64::from(once.generation))
            .int(i64::from(once.attempt))
    };
    // The step has a row whenever it has a checkpoint: so whoever loads its row, to go on with it, knows that there is one.
    let row = of_attempt()
        .int(micros(started_ago))
        .text(once.worker.clone())
        .now();
    if conn.fetch_one(&sql::CHECKPOINT_STEP, row).await?.is_none() {
        return Ok(Kept::No);
    }
    let progress = Args::new()
        .uuid(once.intent.0)
        .text(once.step.clone())
        .int(i64::from(once.generation))
        .text(value.text())
        .uuid(once.lease.0);
    conn.execute(&sql::CHECKPOINT_PROGRESS, progress).await?;
    let args = of_attempt()
        .text(value.text())
        .text(once.worker.clone())
        .now();
    conn.execute(&sql::CHECKPOINT_INSERT, args).await?;
    Ok(Kept::Yes)
}

/// These steps have a result, or are in a later generation: their safe points go, and those of earlier generations.
pub(super) async fn forget(
    conn: &mut Conn<'_>,
    steps: impl IntoIterator<Item = (IntentId, Arc<str>, u32)>,
) -> Result<(), Error> {
    let steps: Vec<_> = steps.into_iter().collect();
    if steps.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(steps.iter().map(|(intent, _, _)| *intent))
        .texts(steps.iter().map(|(_, step, _)| step.clone()))
        .ints(
            steps
                .iter()
                .map(|(_, _, generation)| i64::from(*generation)),
        );
    conn.execute(&sql::CHECKPOINT_DELETE, Args::new().rows(rows))
        .await
}
