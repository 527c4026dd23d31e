//! Backlog: queues with a cap refuse requests when too much is in line (limits of other sorts are in [`queue`](super::queue)).
//!
//! How much is in line is never known exactly without everybody waiting for everybody. So somebody counts, at most twice a
//! second: a process that requests into such a queue, beside its requests, and workers with their heartbeats. Each process
//! goes by what it has read of that in the last half second, so a request costs nothing more. Between two counts a queue takes what
//! comes, so it may hold as much more than its cap.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::args::Args;
use super::queue::{known, note};
use super::{NewChange, NewIntent, Store, sql};
use crate::clock::micros;
use crate::error::Error;
use crate::limits;

/// A queue with a cap, as it was when somebody last counted.
#[derive(Debug, Clone)]
struct Cap {
    queue: String,
    cap: i64,
    room: i64,
}

/// The queues that have a cap; none of them for those who are let in whatever is in line.
#[derive(Debug, Default)]
pub(crate) struct Caps(Vec<Cap>);

impl Caps {
    /// Which queue has too little room for these, if any. One in which nothing is in line takes a batch of any size, which would
    /// otherwise never be taken.
    pub(crate) fn refusal<'a>(
        &self,
        intents: impl Iterator<Item = &'a NewIntent>,
    ) -> Option<Error> {
        if self.0.is_empty() {
            return None;
        }
        let mut asked: BTreeMap<&str, i64> = BTreeMap::new();
        for intent in intents {
            *asked.entry(&intent.queue).or_default() += 1;
        }
        let full = self.0.iter().find(|cap| {
            let asked = asked.get(cap.queue.as_str());
            cap.room < cap.cap && asked.is_some_and(|asked| *asked > cap.room)
        })?;
        Some(Error::QueueFull {
            queue: full.queue.clone(),
            cap: full.cap.unsigned_abs(),
            room: u64::try_from(full.room).unwrap_or(0),
        })
    }
}

/// What this process knows of caps.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauge(Arc<Mutex<Reading>>);

#[derive(Debug, Default)]
struct Reading {
    caps: Arc<Caps>,
    /// When it was read.
    at: Option<Instant>,
    /// Reads, and counts.
    task: Option<JoinHandle<()>>,
}

impl Gauge {
    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its transactions are tasks of their own, which end by themselves.
    pub(super) fn stop(&self) {
        if let Some(task) = self.reading().task.take() {
            task.abort();
        }
    }
}

impl Store {
    /// The caps as they were half a second ago or later, for who asks for something; who asks now and then, in a process that knows of
    /// some, or is the first one, waits until they are read.
    pub(crate) async fn caps(&self) -> Arc<Caps> {
        let (known, age) = self.known_caps();
        let is_old = |age: Duration| age > 2 * limits::BACKLOG_LOOK && !known.0.is_empty();
        if age.is_some_and(|age| !is_old(age)) {
            return known;
        }
        match self.read_caps().await {
            Ok(_) => self.known_caps().0,
            // The request will say what is wrong with the database.
            Err(_) => Arc::default(),
        }
    }

    /// The same for who has a transaction open: nobody waits, and what is not known is let in.
    pub(crate) fn caps_within(&self) -> Arc<Caps> {
        match self.known_caps() {
            (known, Some(age)) if age <= 10 * limits::BACKLOG_LOOK => known,
            _ => Arc::default(),
        }
    }

    /// What is known, and for how long; what is older than half a second is read again beside that.
    fn known_caps(&self) -> (Arc<Caps>, Option<Duration>) {
        let mut reading = self.gauge.reading();
        let now = self.clock.monotonic();
        let age = reading.at.map(|at| now.saturating_duration_since(at));
        let reads = reading
            .task
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        if !reads && age.is_none_or(|age| age >= limits::BACKLOG_LOOK) {
            let store = self.clone();
            reading.task = Some(tokio::spawn(async move {
                if let Err(error) = store.gauge_backlogs().await {
                    tracing::debug!(%error, "counting what is in line in queues with a cap");
                }
            }));
        }
        (reading.caps.clone(), age)
    }

    /// Beside a worker's heartbeat.
    pub(crate) fn watch_backlogs(&self) {
        let _ = self.known_caps();
    }

    /// Reads the caps, and counts where nobody has for a while.
    async fn gauge_backlogs(&self) -> Result<(), Error> {
        if !self.read_caps().await? || self.rehearses {
            return Ok(());
        }
        let due = self.transact(|mut conn| {
            Box::pin(async move {
                let args = Args::new().int(micros(limits::DATABASE_CALL)).now();
                let rows = conn.fetch(&sql::BACKLOG_DUE, args).await?;
                let due = rows.iter();
                let due = due.map(|row| Ok((row.text(0)?, row.int(1)?, row.int(2)?)));
                due.collect::<Result<Vec<(String, i64, i64)>, Error>>()
            })
        });
        for (queue, cap, count) in due.await? {
            if let Err(error) = self.count_backlog(&queue, cap, count).await {
                tracing::debug!(%error, queue, "counting what is in line");
            }
        }
        self.read_caps().await?;
        Ok(())
    }

    /// Returns whether somebody is to count.
    async fn read_caps(&self) -> Result<bool, Error> {
        let at = self.clock.monotonic();
        let rows = self.read(|mut conn| {
            Box::pin(async move {
                let args = Args::new().int(micros(limits::DATABASE_CALL)).now();
                conn.fetch(&sql::BACKLOG_READ, args).await
            })
        });
        let (mut caps, mut is_due) = (Vec::new(), false);
        for row in rows.await? {
            is_due |= row.bool(3)?;
            caps.push(Cap {
                queue: row.text(0)?,
                cap: row.int(1)?,
                room: row.int(2)?,
            });
        }
        let mut reading = self.gauge.reading();
        if reading.at.is_none_or(|last| last <= at) {
            (reading.caps, reading.at) = (Arc::new(Caps(caps)), Some(at));
        }
        Ok(is_due)
    }

    async fn count_backlog(&self, queue: &str, cap: i64, count: i64) -> Result<(), Error> {
        let (name, clock) = (Arc::<str>::from(queue), self.clock.clone());
        let args = Args::new().text(name.clone()).int(cap);
        let counted = self.snapshot(move |mut conn| {
            Box::pin(async move {
                let begun = clock.monotonic();
                let row = conn.fetch_one(&sql::BACKLOG_COUNT, args).await?;
                let waiting = row.map_or(Ok(0), |row| row.int(0))?;
                Ok((waiting, clock.monotonic().saturating_duration_since(begun)))
            })
        });
        let (waiting, took) = counted.await?;
        let pause = micros(until_next_count(took));
        self.transact(move |mut conn| {
            let args = Args::new().text(name.clone()).int(count);
            let args = args.int(cap - waiting).int(pause).now();
            Box::pin(async move { conn.execute(&sql::BACKLOG_SEEN, args).await })
        })
        .await
    }

    /// Says how many tasks of a queue may be in line before it refuses requests; with none, any number. Returns false if it is
    /// so already.
    pub(crate) async fn cap_queue(
        &self,
        change: NewChange,
        cap: Option<i64>,
    ) -> Result<bool, Error> {
        let queue = change.name.clone();
        let changed = self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let name = || Args::new().text(change.name.as_str());
                let row = match cap {
                    Some(cap) => {
                        let args = name().int(cap).int(micros(limits::DATABASE_CALL));
                        conn.fetch_one(&sql::QUEUE_CAP, args.now()).await?
                    }
                    None => conn.fetch_one(&sql::QUEUE_UNCAP, name()).await?,
                };
                let Some(row) = row else {
                    return Ok(None);
                };
                conn.execute(&sql::QUEUE_NAME, name()).await?;
                note(&mut conn, &change).await?;
                Ok(Some(row.int(0)?))
            })
        });
        let Some(count) = changed.await? else {
            return Ok(false);
        };
        if !self.rehearses {
            // It is said; whoever counts next makes good what goes wrong here.
            let counted = match cap {
                Some(cap) => self.count_backlog(&queue, cap, count).await,
                None => Ok(()),
            };
            if let Err(error) = counted.and(self.read_caps().await) {
                tracing::debug!(%error, queue, "counting what is in line");
            }
        }
        Ok(true)
    }
}

/// In how long somebody is to count again: who counts is at work a twentieth of the time at most, and room is seen soon.
fn until_next_count(took: Duration) -> Duration {
    (took * 20).clamp(limits::BACKLOG_LOOK, 10 * limits::BACKLOG_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IntentId;
    use crate::intent::Resources;
    use crate::payload;
    use crate::request::bare;

    fn caps(cap: i64, room: i64) -> Caps {
        Caps(vec![Cap {
            queue: "mail".to_owned(),
            cap,
            room,
        }])
    }

    fn letters(queue: &str, count: usize) -> Vec<NewIntent> {
        let letter = || {
            let id = IntentId(uuid::Uuid::nil());
            let input = payload::trusted("null");
            bare(id, "letter", queue, None, input, &Resources::none())
        };
        (0..count).map(|_| letter()).collect()
    }

    #[test]
    fn a_queue_takes_what_it_has_room_for() {
        for (cap, room, asked, refuses) in [
            (10, 3, 3, false),
            (10, 3, 4, true),
            (10, 0, 1, true),
            (10, -5, 1, true),
            // Nothing is in line: a batch of any size is taken, or it never would be.
            (10, 10, 25, false),
            (10, 9, 25, true),
        ] {
            let said = caps(cap, room).refusal(letters("mail", asked).iter());
            assert_eq!(said.is_some(), refuses, "{cap}, {room}, {asked}: {said:?}");
        }
        assert!(caps(10, 0).refusal(letters("ssh", 5).iter()).is_none());
        assert!(Caps::default().refusal(letters("mail", 5).iter()).is_none());
    }

    #[test]
    fn who_counts_is_at_work_a_twentieth_of_the_time_and_room_is_seen_soon() {
        let ms = Duration::from_millis;
        assert_eq!(until_next_count(ms(1)), ms(500));
        assert_eq!(until_next_count(ms(100)), ms(2_000));
        assert_eq!(until_next_count(ms(60_000)), ms(5_000));
    }
}
