//! Why: a task in *ready*, and how many go before it.

use super::args::Args;
use super::why::{COUNT, tally};
use super::{Conn, sql};
use crate::error::Error;
use crate::why::{Place, TurnFacts};

/// Where a task stands in its lane.
pub(super) struct Stand {
    pub(super) queue: String,
    pub(super) kind: String,
    pub(super) position: i64,
    pub(super) task: uuid::Uuid,
    pub(super) crashes: u64,
}

/// In line: in the order of its lane, or of its partition.
pub(super) async fn place(conn: &mut Conn<'_>, stand: Stand) -> Result<Place, Error> {
    let args = || {
        let lane = Args::new().text(stand.queue.as_str());
        let lane = lane.text(stand.kind.as_str()).int(stand.position);
        lane.uuid(stand.task).int(COUNT)
    };
    let crashes = stand.crashes;
    if let Some(row) = conn.fetch_one(&sql::WHY_TURN, args()).await? {
        let limit = row.opt_int(1)?.map(i64::unsigned_abs);
        let (partition, lent) = (row.text(2)?, row.int(3)?.unsigned_abs());
        let by = row.opt_text(0)?.filter(|by| by != "none");
        return Ok(Place::Ready {
            crashes,
            ahead: tally(row.int(4)?),
            turn: by.map(|by| TurnFacts {
                by,
                full: limit.filter(|limit| !partition.is_empty() && lent >= *limit),
                partition,
                lent,
            }),
        });
    }
    let ahead = conn.fetch_one(&sql::WHY_AHEAD, args()).await?;
    let ahead = ahead.map_or(Ok(0), |row| row.int(0))?;
    Ok(Place::Ready {
        crashes,
        ahead: tally(ahead),
        turn: None,
    })
}
