//! Workers, as people look at them.

use std::collections::HashMap;

use super::args::Args;
use super::{Store, sql};
use crate::error::Error;
use crate::id::SessionId;
use crate::workers::{Listed, Served, WorkerRecord};

impl Store {
    pub(crate) async fn workers(&self, limit: u32) -> Result<Vec<WorkerRecord>, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().int(i64::from(limit)).now();
                let rows = conn.fetch(&sql::WORKER_LIST, args).await?;
                let listed: Vec<Listed> = rows
                    .iter()
                    .map(|row| {
                        let record = WorkerRecord {
                            worker: row.text(1)?,
                            host: row.text(2)?,
                            pid: row.int(3)?,
                            build: row.text(4)?,
                            started_at: row.time(5)?.to_utc(),
                            lease_ms: row.int(6)?,
                            // Its clock may be ahead of this process's.
                            silent_ms: row.int(7)?.max(0),
                            free: row.int(8)?,
                            leaving: row.bool(9)?,
                            serves: Vec::new(),
                        };
                        Ok((row.uuid(0)?, record))
                    })
                    .collect::<Result<_, Error>>()?;
                let args = Args::new().ids(listed.iter().map(|(id, _)| id.0));
                let mut served: HashMap<SessionId, Vec<Served>> = HashMap::new();
                for row in conn.fetch(&sql::WORKER_KINDS, args).await? {
                    let queue = row.text(1)?;
                    let kind = row.text(2)?;
                    let of_one = served.entry(row.uuid(0)?).or_default();
                    of_one.push(Served { queue, kind });
                }
                let listed = listed.into_iter().map(|(id, record)| WorkerRecord {
                    serves: served.remove(&id).unwrap_or_default(),
                    ..record
                });
                Ok(listed.collect())
            })
        })
        .await
    }
}
