//! Why: where the steps of an intent are that run in other queues, each with what it waits for itself.

use super::args::Args;
use super::conn::Row;
use super::why::workers;
use super::why_ready::{self, Stand};
use super::{Conn, sql};
use crate::error::Error;
use crate::limits;
use crate::why::{Facts, LeaseFacts, Place, RoutedFacts, StepFacts, Tally};

/// The first of the steps of an intent that are under way in other queues.
pub(super) async fn load(conn: &mut Conn<'_>, intent: &Facts) -> Result<Vec<RoutedFacts>, Error> {
    let args = Args::new().uuid(intent.intent.0);
    let args = args.int(limits::WHY_OTHERS as i64);
    let mut routed = Vec::new();
    for row in conn.fetch(&sql::WHY_ROUTED, args).await? {
        let queue = row.text(1)?;
        let facts = Facts {
            place: place(conn, intent, &row).await?,
            workers: workers(conn, &queue, &intent.kind).await?,
            said: super::queue::facts(conn, &queue).await?,
            queue,
            steps: vec![step(&row)?],
            children: Vec::new(),
            routed: Vec::new(),
            awaited: Vec::new(),
            // Said of its intent.
            cancel: None,
            asked: None,
            unfinished: Tally {
                count: 0,
                more: false,
            },
            ..intent.clone()
        };
        routed.push(RoutedFacts {
            step: row.text(0)?,
            since: row.time(2)?.to_utc(),
            facts: Box::new(facts),
        });
    }
    Ok(routed)
}

async fn place(conn: &mut Conn<'_>, intent: &Facts, row: &Row) -> Result<Place, Error> {
    if let Some(reason) = row.opt_text(5)? {
        let due_at = row.opt_time(6)?.map(|time| time.to_utc());
        return Ok(Place::Parked { reason, due_at });
    }
    if let Some(claimed) = row.opt_time(8)? {
        return Ok(Place::Leased(LeaseFacts {
            worker: row.text(9)?,
            host: row.text(10)?,
            since: claimed.to_utc(),
            beat_at: row.time(11)?.to_utc(),
            lease_ms: row.small(12)?,
            free: row.small(13)?,
        }));
    }
    let stand = Stand {
        queue: row.text(1)?,
        kind: intent.kind.clone(),
        position: row.int(4)?,
        task: row.uuid(3)?,
        crashes: row.small(7)?,
    };
    why_ready::place(conn, stand).await
}

fn step(row: &Row) -> Result<StepFacts, Error> {
    Ok(StepFacts {
        name: row.text(0)?,
        runs: row.text(14)? == "running",
        attempt: row.small(15)?,
        error: row.opt_text(16)?,
        due_at: row.opt_time(17)?.map(|time| time.to_utc()),
        started_at: row.opt_time(18)?.map(|time| time.to_utc()),
        progress: row.opt_json(19)?.map(|progress| progress.get().to_owned()),
    })
}
