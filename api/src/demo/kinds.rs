//! The two kinds of intents that the demo asks for: adding a replica and removing it.

use std::path::PathBuf;

use intendant::{Intent, IntentId, Resources};
use serde::{Deserialize, Serialize};

use super::tables::TableSum;

/// Names of the steps, one list for both kinds, so that `--kill-at` and `--fail-at` can name any of them.
pub(crate) mod step {
    pub(crate) const SNAPSHOT: &str = "snapshot";
    pub(crate) const VOLUME: &str = "volume";
    pub(crate) const SERVER: &str = "server";
    pub(crate) const ADDRESS: &str = "address";
    pub(crate) const JOIN: &str = "join";
    pub(crate) const UNPUBLISH: &str = "unpublish";
    pub(crate) const STOP: &str = "stop";
    pub(crate) const RELEASE: &str = "release";
    pub(crate) const DELETE_VOLUME: &str = "delete-volume";
    pub(crate) const DELETE_SNAPSHOT: &str = "delete-snapshot";
    pub(crate) const VERIFY: &str = "verify";

    /// Of `replica.add`, in the order of the display.
    pub(crate) const ADD: [&str; 5] = [SNAPSHOT, VOLUME, SERVER, ADDRESS, JOIN];
    /// Of `replica.remove`.
    pub(crate) const REMOVE: [&str; 6] = [
        UNPUBLISH,
        STOP,
        RELEASE,
        DELETE_VOLUME,
        DELETE_SNAPSHOT,
        VERIFY,
    ];
    /// All of them.
    pub(crate) const ALL: [&str; 11] = [
        SNAPSHOT,
        VOLUME,
        SERVER,
        ADDRESS,
        JOIN,
        UNPUBLISH,
        STOP,
        RELEASE,
        DELETE_VOLUME,
        DELETE_SNAPSHOT,
        VERIFY,
    ];
}

/// Adds a read replica to a database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReplicaAdd {
    /// The customer.
    pub(crate) account: String,
    /// The database's file.
    pub(crate) database: PathBuf,
    /// Where snapshots, volumes and servers are. Part of the input, so that whichever worker carries the intent out
    /// puts things where they are looked for.
    pub(crate) directory: PathBuf,
}

impl Intent for ReplicaAdd {
    const KIND: &'static str = "replica.add";
    type Output = Replica;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }

    fn resources(&self) -> Resources {
        Resources::exclusive("database", self.database.display())
    }
}

/// Takes away what a [`ReplicaAdd`] has made, however far it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReplicaRemove {
    /// The customer.
    pub(crate) account: String,
    /// The database's file.
    pub(crate) database: PathBuf,
    /// Where snapshots, volumes and servers are.
    pub(crate) directory: PathBuf,
    /// The replica, by the id of the intent that added it.
    pub(crate) replica: IntentId,
}

impl Intent for ReplicaRemove {
    const KIND: &'static str = "replica.remove";
    type Output = Removed;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }

    fn resources(&self) -> Resources {
        Resources::exclusive("database", self.database.display())
            .and_touched("replica", self.replica)
    }
}

/// A replica that serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Replica {
    /// Where it answers.
    pub(crate) url: String,
    /// How many tables were compared with the snapshot.
    pub(crate) tables: usize,
    /// How many rows.
    pub(crate) rows: u64,
}

/// What was taken away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// The replica, by the id of the intent that added it.
    pub(crate) replica: IntentId,
}

/// A consistent copy of the database, and what was in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) tables: Vec<TableSum>,
}

/// A directory with a restored and checked database in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) database: PathBuf,
    pub(crate) bytes: u64,
}

/// A server process that answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) pid: u32,
}

/// Where the replica is to be found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) url: String,
}
