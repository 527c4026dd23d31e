//! What people do with schedules: look, pause, resume, run now, remove. Each change is kept with who and why (I9).

use chrono::{DateTime, Utc};

use super::due::passed_over;
use super::{Schedule, ScheduleRecord, TickRecord};
use crate::change::ChangeRecord;
use crate::client::Intendant;
use crate::error::Error;
use crate::limits;

impl Intendant {
    /// All schedules that the database has, by name.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRecord>, Error> {
        self.store().schedules().await
    }

    /// What came of a schedule's ticks, the latest first, a thousand at most.
    pub async fn schedule_ticks(&self, name: &str, limit: u32) -> Result<Vec<TickRecord>, Error> {
        let limit = limit.clamp(1, limits::PAGE);
        self.store().schedule_ticks(name.to_owned(), limit).await
    }

    /// What people did to a schedule, the latest first.
    pub async fn schedule_changes(&self, name: &str) -> Result<Vec<ChangeRecord>, Error> {
        self.store().changes("schedule", name.to_owned()).await
    }

    /// Has a schedule request nothing more, until it is resumed; one by hand it still does. Returns false if it is paused
    /// already.
    ///
    /// What its earlier ticks have requested goes on.
    pub async fn pause_schedule(
        &self,
        name: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let change = self.change("schedule", name, "pause", actor, reason)?;
        self.store().pause_schedule(change).await
    }

    /// Has a paused schedule go on, with the next tick from now: those that it had while it was paused, and those that were due
    /// before and nobody had decided, are left out, and one of [`schedule_ticks`](Self::schedule_ticks) says so. Returns false if
    /// it was not paused.
    pub async fn resume_schedule(
        &self,
        name: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<bool, Error> {
        let change = self.change("schedule", name, "resume", actor, reason)?;
        loop {
            let loaded = self.store().schedule_load(name).await?;
            let times = loaded.when.times().map_err(Schedule::refused(name))?;
            let last = loaded.now.max(loaded.last_at);
            let resume = (loaded.version, last, times.after(last));
            let passed_over = passed_over(&times, loaded.last_at, last);
            if !loaded.paused {
                return Ok(false);
            }
            // Somebody may have changed it in between; then what it says now counts.
            if self
                .store()
                .resume_schedule(change.clone(), resume, passed_over)
                .await?
            {
                return Ok(true);
            }
        }
    }

    /// Asks for an intent of a schedule now, beside its ticks, paused or not. Returns the time by which it is found among
    /// [`schedule_ticks`](Self::schedule_ticks): it is kept there until a worker whose code declares the schedule has requested
    /// the intent, which happens within a second if there is one.
    pub async fn run_schedule(
        &self,
        name: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<DateTime<Utc>, Error> {
        let change = self.change("schedule", name, "run", actor, reason)?;
        let at = self.store().ask_schedule(change).await?;
        Ok(at.to_utc())
    }

    /// Removes a schedule that no live worker declares any more: one that has gone from the code stays, and does not tick,
    /// until somebody does this. What came of its ticks is kept for its time.
    pub async fn remove_schedule(
        &self,
        name: &str,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let change = self.change("schedule", name, "remove", actor, reason)?;
        self.store().remove_schedule(change).await
    }
}
