//! Queue: what people have said of queues, and how workers hear of it.
//!
//! The row *control* counts what was said. A tick's fence and an idle worker's look return the count, and who finds another
//! one than it knows reads what was said, in the same transaction and before it claims.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::args::Args;
use super::{Actor, Conn, Lane, NewChange, Store, TickRequest, change, sql};
use crate::error::Error;
use crate::limits;
use crate::queue::QueueRecord;

/// What people have said of queues, as of a count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) version: i64,
    pub(crate) paused: Vec<Arc<str>>,
}

impl Control {
    pub(crate) fn is_paused(&self, queue: &str) -> bool {
        self.paused.iter().any(|paused| **paused == *queue)
    }

    /// The same request, without what is paused.
    pub(super) fn without(&self, request: &TickRequest) -> TickRequest {
        let goes = |lane: &Lane| !self.is_paused(&lane.queue);
        let mut request = request.clone();
        request.claim.retain(goes);
        request.claim_suspect.retain(goes);
        request.probes.retain(|probe| goes(&probe.lane));
        request
    }
}

/// What people have said, of which this is the count.
pub(super) async fn load(conn: &mut Conn<'_>, version: i64) -> Result<Control, Error> {
    let mut control = Control {
        version,
        ..Control::default()
    };
    for row in conn.fetch(&sql::QUEUE_LOAD, Args::new()).await? {
        if row.bool(1)? {
            control.paused.push(row.name(0)?);
        }
    }
    Ok(control)
}

/// Of a paused queue: by whom, why, when.
pub(super) async fn paused(
    conn: &mut Conn<'_>,
    queue: &str,
) -> Result<Option<(String, Option<String>, DateTime<Utc>)>, Error> {
    let args = Args::new().text(queue);
    let row = conn.fetch_one(&sql::QUEUE_PAUSED, args).await?;
    row.map(|row| Ok((row.text(0)?, row.opt_text(1)?, row.time(2)?.to_utc())))
        .transpose()
}

impl Store {
    /// Returns false if it is paused already.
    pub(crate) async fn pause_queue(&self, change: NewChange) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let Actor { name, reason } = &change.by;
                let args = Args::new().text(change.name.as_str()).text(name.as_str());
                let args = args.opt_text(reason.as_deref()).now();
                let paused = conn.fetch_one(&sql::QUEUE_PAUSE, args).await?.is_some();
                if paused {
                    note(&mut conn, &change).await?;
                }
                Ok(paused)
            })
        })
        .await
    }

    /// Returns false if it was not paused.
    pub(crate) async fn resume_queue(&self, change: NewChange) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let args = Args::new().text(change.name.as_str());
                let resumed = conn.fetch_one(&sql::QUEUE_RESUME, args).await?.is_some();
                if resumed {
                    note(&mut conn, &change).await?;
                }
                Ok(resumed)
            })
        })
        .await
    }

    /// All that anybody has named.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueRecord>, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let mut queues: BTreeMap<String, QueueRecord> = BTreeMap::new();
                for row in conn.fetch(&sql::QUEUE_LIST, Args::new()).await? {
                    let record = QueueRecord {
                        name: row.text(0)?,
                        paused_at: row.opt_time(1)?.map(|at| at.to_utc()),
                        paused_by: row.opt_text(2)?,
                        pause_reason: row.opt_text(3)?,
                        workers: row.small(4)?,
                        ready: 0,
                        oldest_s: None,
                    };
                    queues.insert(record.name.clone(), record);
                }
                let args = Args::new()
                    .int(i64::from(limits::PAGE))
                    .int(limits::LANES as i64)
                    .now();
                for row in conn.fetch(&sql::LANE_LOOK, args).await? {
                    let name = row.text(0)?;
                    let record = queues.entry(name.clone()).or_insert(QueueRecord {
                        name,
                        paused_at: None,
                        paused_by: None,
                        pause_reason: None,
                        workers: 0,
                        ready: 0,
                        oldest_s: None,
                    });
                    record.ready += row.small::<u64>(2)?;
                    let oldest = row.opt_int(3)?;
                    let oldest = oldest.map(|us| (us.max(0) / 1_000_000).unsigned_abs());
                    record.oldest_s = record.oldest_s.max(oldest);
                }
                Ok(queues.into_values().collect())
            })
        })
        .await
    }
}

/// The change, and the count by which workers hear of it.
async fn note(conn: &mut Conn<'_>, change: &NewChange) -> Result<(), Error> {
    change::insert(conn, change).await?;
    conn.execute(&sql::CONTROL_BUMP, Args::new()).await
}

/// A name that nobody has ever used is a slip of the pen.
async fn known(conn: &mut Conn<'_>, name: &str) -> Result<(), Error> {
    let row = conn
        .fetch_one(&sql::QUEUE_KNOWN, Args::new().text(name))
        .await?;
    match row.map(|row| row.bool(0)).transpose()? {
        Some(true) => Ok(()),
        Some(false) | None => Err(Error::NoQueue {
            name: name.to_owned(),
        }),
    }
}
