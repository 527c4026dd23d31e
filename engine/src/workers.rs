//! Workers as others see them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::Intendant;
use crate::error::Error;
use crate::id::SessionId;
use crate::limits;

/// One life of a worker that has not been found dead, for people: who is dead is decided by others' observation, not by this
/// row's times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct WorkerRecord {
    /// Its name: host and process unless it was given one. Two may have the same.
    pub worker: String,
    /// The machine, and the boot that it is in.
    pub host: String,
    /// Its process.
    pub pid: i64,
    /// What tells its program from another build.
    pub build: String,
    /// Since when it lives.
    pub started_at: DateTime<Utc>,
    /// Silence after which others take it for dead, in milliseconds.
    pub lease_ms: i64,
    /// How long it has been silent, in milliseconds.
    pub silent_ms: i64,
    /// Steps that it could start at once.
    pub free: i64,
    /// It is about to end.
    pub leaving: bool,
    /// What it serves: queue and kind.
    pub serves: Vec<Served>,
}

/// A kind that a worker carries out, in one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Served {
    /// The queue.
    pub queue: String,
    /// The kind.
    pub kind: String,
}

impl Intendant {
    /// The workers, in the order of their names; at most a page ([`limits::PAGE`]).
    ///
    /// ```
    /// # use intendant::Intendant;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// for worker in intendant.workers().await? {
    ///     println!("{} on {}, silent for {} ms", worker.worker, worker.host, worker.silent_ms);
    /// }
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, Error> {
        self.store().workers(limits::PAGE).await
    }
}

/// A session and its record.
pub(crate) type Listed = (SessionId, WorkerRecord);
