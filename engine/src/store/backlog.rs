//! Backlog: queues with a cap refuse requests when too much is in line (limits of other sorts are in [`queue`](super::queue)).
//!
//! How much is in line is never known exactly without everybody waiting for everybody. So somebody counts, at most twice a
//! second: whoever requests into such a queue, once it has its answer, and workers with their heartbeats. A request reads what
//! was counted last. Between two counts a queue takes what comes, so it may hold as much more than its cap.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::args::{Args, Rows};
use super::queue::{known, note};
use super::{Conn, NewChange, NewIntent, Store, sql};
use crate::clock::micros;
use crate::error::Error;
use crate::limits;

/// Whether a queue that is full refuses intents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Somebody asks for them, who can ask again later.
    Watched,
    /// They come of what was accepted before: children, ticks of schedules, what steps ask for, what people have done again.
    Open,
}

/// When this process last counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauge(Arc<Mutex<Reading>>);

#[derive(Debug, Default)]
struct Reading {
    begun: Option<Instant>,
    /// It is counting.
    busy: bool,
}

impl Gauge {
    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue with a cap.
pub(super) struct Capped {
    queue: String,
    cap: i64,
    room: i64,
}

/// How many are asked for, of each queue that may refuse them.
pub(super) struct Asked<'a>(BTreeMap<&'a str, i64>);

impl<'a> Asked<'a> {
    pub(super) fn of(intents: impl Iterator<Item = &'a NewIntent>, door: Door) -> Self {
        let mut queues = BTreeMap::new();
        for intent in intents.filter(|_| door == Door::Watched) {
            *queues.entry(intent.queue.as_str()).or_default() += 1;
        }
        Self(queues)
    }

    pub(super) fn rows(&self) -> Rows {
        Rows::new()
            .texts(self.0.keys().copied())
            .ints(self.0.values().copied())
    }

    /// Whether some queue has a cap; if one of them has too little room, that is an error.
    pub(super) fn admitted(&self, capped: &[Capped]) -> Result<bool, Error> {
        let full = |queue: &&Capped| {
            let asked = self.0.get(queue.queue.as_str());
            asked.is_some_and(|asked| *asked > queue.room)
        };
        match capped.iter().find(full) {
            Some(full) => Err(Error::QueueFull {
                queue: full.queue.clone(),
                cap: full.cap.unsigned_abs(),
                room: u64::try_from(full.room).unwrap_or(0),
            }),
            None => Ok(!capped.is_empty()),
        }
    }
}

/// Those of the queues that have a cap. PostgreSQL tells of them in the statement that writes the requests.
pub(super) async fn look(conn: &mut Conn<'_>, asked: &Asked<'_>) -> Result<Vec<Capped>, Error> {
    if conn.is_pg() || asked.0.is_empty() {
        return Ok(Vec::new());
    }
    let queues = Rows::new().texts(asked.0.keys().copied());
    let rows = conn.fetch(&sql::BACKLOG_LOOK, Args::new().rows(queues));
    rows.await?.iter().map(read).collect()
}

pub(super) fn read(row: &super::conn::Row) -> Result<Capped, Error> {
    Ok(Capped {
        queue: row.text(0)?,
        cap: row.int(1)?,
        room: row.int(2)?,
    })
}

impl Store {
    /// Has somebody count what is in line in queues with a cap, if nobody has for a while; does not wait for it.
    pub(crate) fn gauge_backlogs(&self) {
        {
            let mut reading = self.gauge.reading();
            let now = self.clock.monotonic();
            let counted =
                |begun: Instant| now.saturating_duration_since(begun) < limits::BACKLOG_LOOK;
            if self.rehearses || reading.busy || reading.begun.is_some_and(counted) {
                return;
            }
            *reading = Reading {
                begun: Some(now),
                busy: true,
            };
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.count_backlogs().await {
                tracing::warn!(%error, "counting what is in line in queues with a cap");
            }
            store.gauge.reading().busy = false;
        });
    }

    /// Counts what is in line in queues with a cap, where nobody has for a while.
    async fn count_backlogs(&self) -> Result<(), Error> {
        let due = self.transact(|mut conn| {
            Box::pin(async move {
                let args = Args::new().int(micros(limits::DATABASE_CALL)).now();
                let rows = conn.fetch(&sql::BACKLOG_DUE, args).await?;
                let due = rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?)));
                due.collect::<Result<Vec<(String, i64)>, Error>>()
            })
        });
        for (queue, cap) in due.await? {
            let begun = self.clock.monotonic();
            let args = Args::new().text(queue.as_str()).int(cap);
            let waiting = self.read(move |mut conn| {
                Box::pin(async move {
                    let row = conn.fetch_one(&sql::BACKLOG_COUNT, args).await?;
                    row.map_or(Ok(0), |row| row.int(0))
                })
            });
            let room = cap - waiting.await?;
            let took = self.clock.monotonic().saturating_duration_since(begun);
            let pause = micros(until_next_look(took));
            self.transact(move |mut conn| {
                let args = Args::new().text(queue.as_str()).int(cap).int(room);
                let args = args.int(pause).now();
                Box::pin(async move { conn.execute(&sql::BACKLOG_SEEN, args).await })
            })
            .await?;
        }
        Ok(())
    }

    /// Says how many tasks of a queue may be in line before it refuses requests; with none, any number. Returns false if it is
    /// so already.
    pub(crate) async fn cap_queue(
        &self,
        change: NewChange,
        cap: Option<i64>,
    ) -> Result<bool, Error> {
        let changed = self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let name = || Args::new().text(change.name.as_str());
                let row = match cap {
                    Some(cap) => {
                        conn.fetch_one(&sql::QUEUE_CAP, name().int(cap).now())
                            .await?
                    }
                    None => conn.fetch_one(&sql::QUEUE_UNCAP, name()).await?,
                };
                if row.is_none() {
                    return Ok(false);
                }
                conn.execute(&sql::QUEUE_NAME, name()).await?;
                note(&mut conn, &change).await?;
                Ok(true)
            })
        });
        let changed = changed.await?;
        if changed && cap.is_some() && !self.rehearses {
            self.count_backlogs().await?;
        }
        Ok(changed)
    }
}

/// In how long somebody is to count again: who counts is at work a twentieth of the time at most.
fn until_next_look(took: Duration) -> Duration {
    limits::BACKLOG_LOOK.max(took * 20)
}
