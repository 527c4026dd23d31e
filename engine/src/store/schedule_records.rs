//! Schedules and what came of their ticks, as people see them.

use super::args::Args;
use super::conn::Row;
use super::reading::readable;
use super::schedule::when;
use super::{Store, sql};
use crate::error::Error;
use crate::schedule::{CatchUp, ScheduleRecord, TickRecord, When};

impl Store {
    /// All of them, by name.
    pub(crate) async fn schedules(&self) -> Result<Vec<ScheduleRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn.fetch(&sql::SCHEDULE_LIST, Args::new()).await?;
                Ok(readable(&rows, "schedule", schedule))
            })
        })
        .await
    }

    /// What came of a schedule's ticks, the latest first.
    pub(crate) async fn schedule_ticks(
        &self,
        name: String,
        limit: u32,
    ) -> Result<Vec<TickRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().text(name).int(i64::from(limit));
                let rows = conn.fetch(&sql::TICK_LIST, args).await?;
                Ok(readable(&rows, "schedule_tick", |row| tick(row, 0)))
            })
        })
        .await
    }
}

fn schedule(row: &Row) -> Result<ScheduleRecord, Error> {
    let when = when(row)?;
    let (catch_up, most) = (row.text(6)?, row.small(7)?);
    let latest = match row.opt_text(18)? {
        Some(_) => Some(tick(row, 18)?),
        None => None,
    };
    Ok(ScheduleRecord {
        name: row.text(0)?,
        kind: row.text(1)?,
        when: words(&when),
        catch_up: CatchUp::of(&catch_up, most).word().0.to_owned(),
        catch_up_limit: most,
        overlapping: row.text(8)? == "touched",
        revision: row.small(9)?,
        declared_by: row.text(10)?,
        last_at: row.time(11)?.to_utc(),
        next_at: row.opt_time(12)?.map(|at| at.to_utc()),
        declared_at: row.time(13)?.to_utc(),
        paused_at: row.opt_time(14)?.map(|at| at.to_utc()),
        paused_by: row.opt_text(15)?,
        pause_reason: row.opt_text(16)?,
        workers: row.small(17)?,
        latest,
    })
}

fn words(when: &When) -> String {
    match (when.times(), when) {
        (Ok(times), _) => times.to_string(),
        // By another version of the engine, which reads more.
        (Err(_), When::Cron { cron, zone }) => format!("{cron} ({zone})"),
        (Err(_), When::Every { every_us, .. }) => format!("every {every_us} µs"),
    }
}

fn tick(row: &Row, first: usize) -> Result<TickRecord, Error> {
    Ok(TickRecord {
        schedule: row.text(first)?,
        at: row.time(first + 1)?.to_utc(),
        by_hand: row.bool(first + 2)?,
        state: row.word(first + 3)?,
        intent: row.opt_uuid(first + 4)?,
        error: row.opt_text(first + 5)?,
        count: row.small(first + 6)?,
        since: row.opt_time(first + 7)?.map(|at| at.to_utc()),
        decided_at: row.time(first + 8)?.to_utc(),
        worker: row.opt_text(first + 9)?,
        asked_by: row.opt_text(first + 10)?,
        reason: row.opt_text(first + 11)?,
    })
}
