//! Queues: what people say of them, while everything runs.
//!
//! What is said is kept in the database, with who and why. Workers hear of it with their next tick, or when they next look for
//! work, which a live worker does three times a second unless told otherwise ([`Worker::poll`](crate::Worker::poll)); a queue of
//! which nobody has said anything costs them nothing.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::ChangeRecord;
use crate::client::Intendant;
use crate::error::Error;
use crate::partitions::Partitions;
use crate::rate::Rate;

/// A queue: what people have said of it, who serves it, and what waits in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct QueueRecord {
    /// Its name.
    pub name: String,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// By whom.
    pub paused_by: Option<String>,
    /// Why.
    pub pause_reason: Option<String>,
    /// How many of its steps may run at once, across all workers.
    pub slots: Option<u64>,
    /// How many slots workers have of these.
    pub lent: u64,
    /// How many attempts at its steps may begin within a time, across all workers.
    pub rate: Option<Rate>,
    /// By what its tasks are told apart, which take turns: `account`, `resource:server`, `input:/customer/id`.
    pub partition_by: Option<String>,
    /// How many tasks of one partition workers may have in hand at once.
    pub partition_limit: Option<u64>,
    /// How many of its tasks may be in line before it refuses requests.
    pub cap: Option<u64>,
    /// It refused them when somebody last counted.
    pub full: bool,
    /// Live workers that serve it.
    pub workers: u64,
    /// Tasks that are ready, counted up to a thousand for each kind.
    pub ready: u64,
    /// How long the oldest of them has been ready, in seconds.
    pub oldest_s: Option<u64>,
}

impl Intendant {
    /// All queues that anybody has named, by name.
    pub async fn queues(&self) -> Result<Vec<QueueRecord>, Error> {
        self.store().queues().await
    }

    /// What people did to a queue, the latest first.
    pub async fn queue_changes(&self, name: &str) -> Result<Vec<ChangeRecord>, Error> {
        self.store().changes("queue", name.to_owned()).await
    }

    /// Has no worker begin with anything more of a queue, until it is resumed: within a second everywhere, or within a worker's
    /// [`poll`](crate::Worker::poll) if that is longer. Returns false if it is paused already.
    ///
    /// What a worker has begun with goes on until it ends or parks; what it holds and has not begun with goes back in line.
    /// Requests are taken as ever, and wait. The queue may be one in which steps of other intents run
    /// ([`StepBuilder::queue`](crate::StepBuilder::queue)): those wait too.
    ///
    /// ```
    /// # use intendant::{Intent, Intendant};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// let greeting = intendant.request(Greet { name: "Ada".into() }).await?;
    /// intendant.pause_queue("default", "ada", Some("the printer is on fire")).await?;
    /// let why = intendant.why(greeting.id()).await?.to_string();
    /// assert!(why.contains("queue `default` is paused by ada"), "{why}");
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn pause_queue(
        &self,
        name: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let paused = self
            .store()
            .pause_queue(self.change("queue", name, "pause", actor, reason)?);
        let paused = paused.await?;
        // Workers that wait for nothing else hear of it at once.
        self.wake();
        Ok(paused)
    }

    /// Has the workers go on with a paused queue. Returns false if it was not paused.
    pub async fn resume_queue(
        &self,
        name: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let resumed = self
            .store()
            .resume_queue(self.change("queue", name, "resume", actor, reason)?);
        let resumed = resumed.await?;
        self.wake();
        Ok(resumed)
    }

    /// Says how many steps of a queue may run at once, across all workers; with none, as many as the workers of themselves
    /// would. Returns false if it is so already, so a program may say it whenever it begins.
    ///
    /// A limit that is set or lowered stops nothing: nothing new begins before fewer run, once the workers have heard of it
    /// ([`pause_queue`](Self::pause_queue)). A worker that dies gives its slots back when it is taken for dead; what it may still run
    /// by then is not counted. Workers that wait for slots have them in turn: one with more than an equal share gives some up as
    /// its steps end, about once a second, so an endless backlog of one kind keeps no other from its turn.
    ///
    /// ```
    /// # use intendant::{Intent, Intendant};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// intendant.request(Greet { name: "Ada".into() }).await?;
    /// assert!(intendant.limit_queue("default", Some(8), "deploy", Some("the database bears eight")).await?);
    /// assert!(!intendant.limit_queue("default", Some(8), "deploy", None).await?);
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn limit_queue(
        &self,
        name: &str,
        slots: Option<u32>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        if slots == Some(0) {
            return Err(Error::Limit {
                what: "the limit of a queue",
                found: "0".to_owned(),
                limit: "1 or more; pause the queue instead".to_owned(),
            });
        }
        let change = self.change("queue", name, "limit", actor, reason)?;
        let limited = self
            .store()
            .limit_queue(change, slots.map(i64::from))
            .await?;
        self.wake();
        Ok(limited)
    }

    /// Says how many attempts at steps of a queue may begin within a time, across all workers; with none, as many as the workers
    /// of themselves would. Returns false if it is so already, so a program may say it whenever it begins.
    ///
    /// Every attempt is counted that begins, a retry too, as an outside service would count it. They are spread evenly: after a
    /// pause as many as the rate's [`burst`](Rate::burst) may begin at once, and from then on one at a time. So within any time
    /// as long as the period no more than `steps + burst - 1` are permitted, by the database's clock, whoever runs them. What is
    /// permitted begins within half a second or not at all, so no more begin than are permitted in the period and half a second
    /// before it. What a worker has been permitted when it dies is lost.
    ///
    /// A rate that is set or changed counts for every attempt that begins once the workers have heard of it
    /// ([`pause_queue`](Self::pause_queue)); what runs goes on. Workers that wait for the same permit have equal chances. A clock
    /// of the database that is set back keeps nobody for longer than the time between two steps.
    ///
    /// ```
    /// # use intendant::{Intent, Intendant, Rate};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// intendant.request(Greet { name: "Ada".into() }).await?;
    /// let rate = Rate::per_minute(100);
    /// assert!(intendant.rate_queue("default", Some(rate), "deploy", Some("their quota")).await?);
    /// assert!(!intendant.rate_queue("default", Some(rate), "deploy", None).await?);
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn rate_queue(
        &self,
        name: &str,
        rate: Option<Rate>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        if let Some(rate) = &rate {
            rate.check()?;
        }
        let change = self.change("queue", name, "rate", actor, reason)?;
        let rated = self.store().rate_queue(change, rate).await?;
        self.wake();
        Ok(rated)
    }

    /// Has the tasks of a queue take turns: those of one account, say, after those of another, each in their order. With none,
    /// they go in the order of requests again. Returns false if it is so already, so a program may say it whenever it begins.
    ///
    /// In the order of requests, who asks for a hundred thousand intents has everybody else wait behind them. Where tasks take
    /// turns, one of another account starts with the next claim. What one does not use goes to the others. Priorities and the
    /// time of the request count within a partition. With [`at_once`](Partitions::at_once), each has a limit, too; one that is
    /// set later stops nothing, and what is in hand by then is not counted. A suspect, which has crashed a worker, is tried
    /// by itself and is not counted either.
    ///
    /// What is in line when this is said is filed as workers claim, some tens of thousands a second; what was filed by something
    /// else before keeps the partition that it has. A queue of which nobody has said this pays nothing for it.
    ///
    /// ```
    /// # use intendant::{Intent, Intendant, Partitions};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// intendant.request(Greet { name: "Ada".into() }).await?;
    /// let turns = Partitions::by_account().at_once(3);
    /// assert!(intendant.partition_queue("default", Some(turns), "deploy", None).await?);
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn partition_queue(
        &self,
        name: &str,
        partitions: Option<Partitions>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let (by, limit) = match &partitions {
            Some(partitions) => partitions.checked()?,
            None => ("none".into(), None),
        };
        let change = self.change("queue", name, "partition", actor, reason)?;
        let changed = self.store().partition_queue(change, by, limit).await?;
        self.wake();
        Ok(changed)
    }

    /// Says how many tasks of a queue may be in line before it refuses requests ([`Error::QueueFull`]), so that what nobody
    /// carries out does not grow without end; with none, any number. Returns false if it is so already, so a program may say
    /// it whenever it begins.
    ///
    /// What is in line is what a worker could claim. What waits for a time, a lock or a message is not counted, nor what is asked for to
    /// start later, though a full queue refuses that, too.
    ///
    /// Somebody counts, twice a second where that is quick and every five seconds at least, and each process that requests goes by what it
    /// has read in the last half second. So a queue may come to hold more than its cap, by as much as is asked for meanwhile, and takes
    /// requests again that long after there is room. A batch for which there is too little room is refused as a whole, unless nothing is
    /// in line; [`request_all`](Self::request_all) asks in batches of a thousand, so it may be refused half way: give each a
    /// [`key`](crate::Request::key), and asking again makes none twice.
    ///
    /// Nothing is refused that comes of what was accepted before: children, steps of other queues, what a step asks for
    /// ([`Cx::request`](crate::Cx::request)), ticks of schedules, what is resumed or asked for again; nor what has the key of an earlier
    /// request, or joins another intent. A request within a transaction of the caller's is let in by a process that has not asked for
    /// anything in the last five seconds.
    ///
    /// ```
    /// # use intendant::{Error, Intent, Intendant};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// intendant.request(Greet { name: "Ada".into() }).await?;
    /// assert!(intendant.cap_queue("default", Some(1), "deploy", Some("the disk is small")).await?);
    /// let refused = intendant.request(Greet { name: "Bob".into() }).await;
    /// assert!(matches!(refused, Err(Error::QueueFull { cap: 1, room: 0, .. })));
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn cap_queue(
        &self,
        name: &str,
        cap: Option<u64>,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let limit = |found: u64| Error::Limit {
            what: "the cap of a queue",
            found: found.to_string(),
            limit: "1 to 1000000000; pause the queue to have nothing begin".to_owned(),
        };
        let cap = match cap {
            Some(cap @ 1..=1_000_000_000) => Some(cap.cast_signed()),
            Some(cap) => return Err(limit(cap)),
            None => None,
        };
        let change = self.change("queue", name, "cap", actor, reason)?;
        let changed = self.store().cap_queue(change, cap).await?;
        // Workers hear that there is something to count.
        self.wake();
        Ok(changed)
    }
}
