//! Sessions: a worker's life, its heartbeat, and what others see of it (PROTOCOL P2).

use std::time::Duration;

use super::args::{Args, Rows};
use super::conn::Row;
use super::reading::Reading;
use super::{KindRow, SessionRow, SessionSeen, Store, sql};
use crate::clock::micros;
use crate::conflict::Conflicts;
use crate::error::Error;
use crate::id::SessionId;
use crate::intent::OnFailure;

/// The rules of a kind, if it does anything but wait. A table of names and words is always JSON.
fn conflicts_json(conflicts: &Conflicts) -> Option<String> {
    (!conflicts.is_default()).then(|| serde_json::json!(conflicts).to_string())
}

impl Store {
    pub(crate) async fn open_session(&self, session: SessionRow) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let session = session.clone();
            Box::pin(async move {
                let args = Args::new()
                    .uuid(session.id.0)
                    .text(session.worker)
                    .text(session.host)
                    .int(i64::from(session.pid))
                    .text(session.build)
                    .opt_text(session.lock_file)
                    .int(i64::try_from(session.lease.as_millis()).unwrap_or(i64::MAX))
                    .int(session.free as i64)
                    .now();
                conn.execute(&sql::SESSION_INSERT, args).await?;
                let kinds = || session.kinds.iter();
                let schema = |kind: &KindRow| Some(kind.about.input_schema.as_ref()?.text());
                let lanes = Rows::new()
                    .texts(session.lanes.iter().map(|(kind, _)| kind.clone()))
                    .texts(session.lanes.iter().map(|(_, queue)| queue.clone()));
                let args = Args::new().uuid(session.id.0).rows(lanes);
                conn.execute(&sql::SESSION_KIND_INSERT, args).await?;
                let release = kinds().map(|kind| kind.on_failure == OnFailure::Release);
                let conflicts = kinds().map(|kind| conflicts_json(&kind.conflicts));
                let known = Rows::new()
                    .texts(kinds().map(|kind| kind.kind.clone()))
                    .texts(kinds().map(|kind| kind.queue.clone()))
                    .bools(release)
                    .opt_texts(conflicts)
                    .opt_texts(kinds().map(|kind| kind.about.description.clone()))
                    .opt_texts(kinds().map(schema))
                    .opt_ints(kinds().map(|kind| kind.deadline.map(micros)));
                conn.execute(&sql::KIND_INSERT, Args::new().rows(known))
                    .await?;
                let schedules = || session.schedules.iter();
                if session.schedules.is_empty() {
                    return Ok(());
                }
                let declared = Rows::new()
                    .texts(schedules().map(|(name, _)| name.as_str()))
                    .ints(schedules().map(|(_, revision)| i64::from(*revision)));
                let args = Args::new().uuid(session.id.0).rows(declared);
                conn.execute(&sql::SESSION_SCHEDULE_INSERT, args).await
            })
        })
        .await
    }

    /// One heartbeat. Returns how often the session has been told to stop something; none: it is dead.
    pub(crate) async fn heartbeat(
        &self,
        session: SessionId,
        free: usize,
    ) -> Result<Option<i64>, Error> {
        self.beat(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(session.0).int(free as i64).now();
                let row = conn.fetch_one(&sql::SESSION_BEAT, args).await?;
                row.map(|row| row.int(0)).transpose()
            })
        })
        .await
    }

    /// Everybody's sessions.
    pub(crate) async fn sessions(&self) -> Result<Vec<SessionSeen>, Error> {
        self.watch(move |mut conn| {
            Box::pin(async move {
                let rows = conn.fetch(&sql::SESSION_LIST, Args::new()).await?;
                let seen = |row: &Row| {
                    let mut row = Reading::of(row, "session");
                    SessionSeen {
                        id: row.uuid(0),
                        worker: row.text(1),
                        host: row.text(2),
                        lock_file: row.opt_text(3),
                        lease: Duration::from_millis(row.small(4)),
                        beat: row.int(5),
                        free: row.int(6),
                    }
                };
                Ok(rows.iter().map(seen).collect())
            })
        })
        .await
    }

    /// The number of the session's last committed tick; none if the session is gone. Waits for a tick that is still on
    /// its way, so that the answer is final.
    pub(crate) async fn last_tick(&self, session: SessionId) -> Result<Option<i64>, Error> {
        self.transact(move |mut conn| {
            Box::pin(async move {
                let row = conn
                    .fetch_one(&sql::TICK_LAST, Args::new().uuid(session.0))
                    .await?;
                row.map(|row| row.int(0)).transpose()
            })
        })
        .await
    }
}

/// A duration for a `…_ago` or `…_in` column.
pub(super) fn us(time: Option<Duration>) -> Option<i64> {
    time.map(micros)
}
