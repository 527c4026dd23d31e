//! Rates: the budget of queues with a rate, as a tick takes from it, and what people say of it.
//!
//! The budget is one time in the queue's row ([`rate`](crate::rate)). A tick locks the row with those for slots, takes as many
//! permits as there is use for, claims no more than that, and writes what was used for what was there.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::args::{Args, Rows};
use super::conn::Row;
use super::queue::{known, note};
use super::{Conn, NewChange, Store, TickRequest, sql};
use crate::clock::Micros;
use crate::error::Error;
use crate::rate::{PermitAsk, PermitsGiven, Rate, given_back, permits, until};

/// A queue whose row is locked, and what there is to be had of it.
#[derive(Debug)]
pub(super) struct Rated {
    queue: Arc<str>,
    /// None: it has no rate any more.
    rate: Option<Rate>,
    /// As it is in the row.
    found: Option<Micros>,
    /// With what was given back.
    tat: Option<Micros>,
    now: Micros,
    /// What there is use for.
    wanted: usize,
}

impl Rated {
    /// How many permits there are, of as many.
    fn granted(&self, wanted: usize) -> usize {
        let granted = |rate| permits(self.tat, self.now, rate, wanted).granted;
        self.rate.as_ref().map_or(wanted, granted)
    }
}

/// A rate that a row says from this column on.
pub(super) fn read(row: &Row, column: usize) -> Result<Option<Rate>, Error> {
    let steps = row.opt_int(column)?;
    let (period_ms, burst) = (row.opt_int(column + 1)?, row.opt_int(column + 2)?);
    let rate = steps.zip(period_ms).zip(burst);
    Ok(rate.map(|((steps, period_ms), burst)| Rate::of_row(steps, period_ms, burst)))
}

/// Of the rows that `slot_lock` has brought, those that permits are asked of.
pub(super) fn rated(rows: &[Row], asks: &[PermitAsk]) -> Result<Vec<Rated>, Error> {
    let mut all = Vec::with_capacity(asks.len());
    for row in rows {
        let queue = row.name(0)?;
        let Some(ask) = asks.iter().find(|ask| ask.queue == queue) else {
            continue;
        };
        let (rate, found, now) = (read(row, 3)?, row.opt_time(6)?, row.time(7)?);
        let back = rate.as_ref().zip(ask.given_back);
        let tat = back.map(|(rate, back)| given_back(found, now, rate, back));
        all.push(Rated {
            queue,
            rate,
            found,
            tat: tat.unwrap_or(found),
            now,
            wanted: 0,
        });
    }
    Ok(all)
}

/// Has the request claim no more of queues with a rate than there are permits for. What is in hand goes before what is in line.
pub(super) fn within(request: &mut TickRequest, all: &mut [Rated]) {
    for rated in all {
        let asks = request.permits.iter();
        let Some(ask) = asks.into_iter().find(|ask| ask.queue == rated.queue) else {
            continue;
        };
        let of_claim = request.claim.iter();
        let of_claim = of_claim.filter(|lane| lane.queue == rated.queue);
        let room: usize = of_claim.map(|lane| lane.room).sum();
        let suspects = request.claim_suspect.iter();
        let singles = suspects.chain(request.probes.iter().map(|probe| &probe.lane));
        let single = usize::from(singles.into_iter().any(|lane| lane.queue == rated.queue));
        let to_claim = room.max(single).saturating_sub(ask.spare);
        rated.wanted = ask.in_hand + to_claim;
        let left = rated.granted(rated.wanted).saturating_sub(ask.in_hand) + ask.spare;
        for lane in &mut request.claim {
            if lane.queue == rated.queue {
                lane.room = lane.room.min(left);
            }
        }
        let goes = |queue: &Arc<str>| left > 0 || *queue != rated.queue;
        request.claim_suspect.retain(|lane| goes(&lane.queue));
        request.probes.retain(|probe| goes(&probe.lane.queue));
    }
    request.claim.retain(|lane| lane.room > 0);
}

/// After the claim: takes permits for what was there, and leaves the others.
pub(super) async fn settle(
    conn: &mut Conn<'_>,
    all: Vec<Rated>,
    asks: &[PermitAsk],
    took: &[(Arc<str>, usize)],
) -> Result<Vec<PermitsGiven>, Error> {
    let mut taken: Vec<(Arc<str>, i64)> = Vec::new();
    let mut given = Vec::with_capacity(all.len());
    for rated in all {
        let asked = |ask: &&PermitAsk| ask.queue == rated.queue;
        let (Some(ask), Some(rate)) = (asks.iter().find(asked), rated.rate) else {
            continue;
        };
        let of_queue = took.iter().filter(|(queue, _)| *queue == rated.queue);
        let took: usize = of_queue.map(|(_, count)| count).sum();
        let granted = rated.granted(rated.wanted);
        let used = granted.min(ask.in_hand + took.saturating_sub(ask.spare));
        let after = permits(rated.tat, rated.now, &rate, used);
        // Nothing is written where nobody has taken anything.
        if let Some(tat) = after.tat.filter(|_| after.tat != rated.found) {
            taken.push((rated.queue.clone(), tat.0));
        }
        // Had there been more in line, it would have been taken.
        let missing = match used == granted {
            true => rated.wanted - granted,
            false => 0,
        };
        given.push(PermitsGiven {
            queue: rated.queue,
            given: used,
            at: rated.now,
            rate: Some(rate),
            missing,
            next_in: until(rated.now, after.next_at),
        });
    }
    if !taken.is_empty() {
        let rows = Rows::new()
            .texts(taken.iter().map(|(queue, _)| queue.clone()))
            .ints(taken.iter().map(|(_, tat)| *tat));
        conn.execute(&sql::RATE_TAKE, Args::new().rows(rows))
            .await?;
    }
    Ok(given)
}

/// Of a queue that was at its rate of late: the rate, and when the next step may begin.
pub(super) fn paced(row: &Row) -> Result<Option<(Rate, DateTime<Utc>)>, Error> {
    let (rate, tat, now) = (read(row, 5)?, row.opt_time(8)?, row.time(9)?);
    let Some((rate, tat)) = rate.zip(tat) else {
        return Ok(None);
    };
    let next = permits(Some(tat), now, &rate, 0);
    // Who waits for a permit takes it when it comes, so of a queue that is at its rate the last one is no older than that.
    let of_late = tat.0.saturating_add(OF_LATE_US) >= now.0;
    Ok(of_late.then(|| (rate, next.next_at.to_utc())))
}

/// A second, in microseconds.
const OF_LATE_US: i64 = Duration::from_secs(1).as_micros() as i64;

impl Store {
    /// Sets how many attempts at steps of a queue may begin within a time, or that they may at any rate. Returns false if it is so
    /// already.
    pub(crate) async fn rate_queue(
        &self,
        change: NewChange,
        rate: Option<Rate>,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let change = change.clone();
            Box::pin(async move {
                known(&mut conn, &change.name).await?;
                let said = rate.map(Rate::to_row);
                let args = Args::new()
                    .text(change.name.as_str())
                    .int(said.map(|(steps, _, _)| steps))
                    .int(said.map(|(_, period_ms, _)| period_ms))
                    .int(said.map(|(_, _, burst)| burst));
                let changed = conn.fetch_one(&sql::QUEUE_RATE, args).await?.is_some();
                if changed {
                    note(&mut conn, &change).await?;
                }
                Ok(changed)
            })
        })
        .await
    }
}
