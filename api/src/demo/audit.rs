//! The account of what there is: every file, directory, process, address and registry entry of a demo's directory. After
//! a replica was removed there is nothing; after one was added there is one of each.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use intendant::IntentId;
use serde::{Deserialize, Serialize};

use super::cloud::Cloud;
use super::server;

/// What there is in a demo's directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Files in `snapshots/`, unfinished ones included.
    pub snapshots: usize,
    /// Entries of `volumes/`.
    pub volumes: usize,
    /// Entries of `servers/`.
    pub server_directories: usize,
    /// Server processes, by the system's own list.
    pub processes: usize,
    /// Server processes that the registry knows.
    pub servers: usize,
    /// Addresses of the pool that are taken.
    pub addresses: usize,
    /// Published replicas.
    pub endpoints: usize,
}

impl Audit {
    /// Nothing is left over.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What there is when so many replicas serve.
    pub fn of_replicas(count: usize) -> Self {
        Self {
            snapshots: count,
            volumes: count,
            server_directories: count,
            processes: count,
            servers: count,
            addresses: count,
            endpoints: count,
        }
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "snapshots {}, volumes {}, server processes {} (registered {}, directories {}), addresses {}, endpoints {}",
            self.snapshots,
            self.volumes,
            self.processes,
            self.servers,
            self.server_directories,
            self.addresses,
            self.endpoints
        )
    }
}

/// Accounts for everything in a demo's directory.
pub async fn audit(directory: &Path) -> Result<Audit> {
    let directory = super::absolute(directory)?;
    account(&mut Cloud::open(&directory).await?, "").await
}

/// Accounts for what belongs to one replica.
pub(crate) async fn audit_replica(cloud: &mut Cloud, replica: IntentId) -> Result<Audit> {
    account(cloud, &replica.to_string()).await
}

/// What has this in its name.
async fn account(cloud: &mut Cloud, name: &str) -> Result<Audit> {
    let directory = cloud.directory().to_owned();
    let rows: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from server where instr(replica, ?1)), \
                (select count(*) from address where instr(owner, ?1)), \
                (select count(*) from endpoint where instr(replica, ?1))",
    )
    .bind(name)
    .fetch_one(&mut cloud.db)
    .await?;
    Ok(Audit {
        snapshots: entries(&directory.join("snapshots"), name)?,
        volumes: entries(&directory.join("volumes"), name)?,
        server_directories: entries(&directory.join("servers"), name)?,
        processes: server::processes(&directory, name)?.len(),
        servers: usize::try_from(rows.0)?,
        addresses: usize::try_from(rows.1)?,
        endpoints: usize::try_from(rows.2)?,
    })
}

fn entries(directory: &Path, name: &str) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(directory)? {
        count += usize::from(entry?.file_name().to_string_lossy().contains(name));
    }
    Ok(count)
}
