//! Scheduling: beside the loop, a worker that has schedules decides their ticks as they come due.
//!
//! Every worker that has a schedule does; who is first is decided by the schedule's row
//! ([`Store::decide_ticks`](crate::store::Store::decide_ticks)). So nobody has to be elected, a worker that was paused or cut
//! off decides nothing twice, and it needs no fence. The intent of a tick is made before the transaction, since that is the
//! user's code.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use super::engine::Engine;
use super::runner::panic_message;
use crate::again::Again;
use crate::client::Intendant;
use crate::clock::Micros;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::Intent;
use crate::limits;
use crate::payload;
use crate::request::describe;
use crate::schedule::due::{decide, wait};
use crate::schedule::times::Times;
use crate::schedule::{CatchUp, RESOURCE, Schedule, ScheduleError, Tick};
use crate::store::{Declaration, NewIntent, NewTick, ScheduleLoad, Standing};

/// Makes the intent of a tick, with this id.
type MakeIntent = dyn Fn(Tick, IntentId) -> Result<NewIntent, Error> + Send + Sync;

/// A schedule that this worker's code declares.
pub(super) struct Declared {
    pub(super) schedule: Schedule,
    kind: &'static str,
    make: Box<MakeIntent>,
}

impl Declared {
    pub(super) fn new<T: Intent>(
        schedule: Schedule,
        intent: impl Fn(Tick) -> T + Send + Sync + 'static,
    ) -> Self {
        let make = move |tick, id| {
            let intent = intent(tick);
            let input = payload::encode(&intent).map_err(Error::payload("the input"))?;
            describe(&intent, id, input)
        };
        Self {
            schedule,
            kind: T::KIND,
            make: Box::new(make),
        }
    }

    /// Its name and revision.
    pub(super) fn named(&self) -> (String, u32) {
        (self.schedule.name.clone(), self.schedule.revision)
    }

    /// The intent of a tick, or why there is none: the tick is decided all the same, so that one that cannot be carried out
    /// does not stop those after it.
    fn tick(&self, intendant: &Intendant, tick: Tick, by: Option<&str>) -> NewTick {
        let name = &self.schedule.name;
        let id = IntentId(intendant.store().clock().ordered_id());
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)(tick, id)));
        let made = match made {
            Ok(Ok(mut new)) => {
                let resource = format!("{RESOURCE}:{name}");
                let known = new.resources.iter().any(|(name, _)| *name == resource);
                if !known {
                    new.resources.push((resource, self.schedule.overlap));
                }
                let requester = || {
                    format!("{RESOURCE}:{name}")
                        .chars()
                        .take(limits::NAME_CHARS)
                        .collect()
                };
                new.requested_by = Some(by.map_or_else(requester, str::to_owned));
                Ok(new)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(panic) => Err(format!("making its intent {}", panic_message(&*panic))),
        };
        if let Err(error) = &made {
            tracing::error!(schedule = name, tick = %tick.at(), error, "a tick of a schedule has no intent");
        }
        (tick.at, made)
    }
}

/// Checks everything that can be checked before a database is asked.
pub(super) fn check(schedules: &[Declared]) -> Result<(), Error> {
    for (nth, declared) in schedules.iter().enumerate() {
        let name = &declared.schedule.name;
        let refused = Schedule::refused(name);
        declared.schedule.check().map_err(refused)?;
        if schedules[..nth]
            .iter()
            .any(|other| other.schedule.name == *name)
        {
            return Err(Error::Setup(format!(
                "the schedule `{name}` is declared twice with one worker"
            )));
        }
    }
    Ok(())
}

/// The schedules of one worker, being looked at; ends with it.
pub(super) struct Scheduling(JoinHandle<()>);

impl Drop for Scheduling {
    fn drop(&mut self) {
        // Its transactions are tasks of their own, which end by themselves.
        self.0.abort();
    }
}

impl Engine {
    /// Writes down what the code declares, and begins to decide ticks. Called once, before there is a session, which would be
    /// left behind if this failed.
    pub(super) async fn begin_scheduling(&mut self) -> Result<(), Error> {
        let seam = self.store().seam().clone();
        if self.schedules.is_empty() || !seam.schedules() {
            // The test kit's workers do nothing by themselves.
            return Ok(());
        }
        let scheduler = Scheduler {
            intendant: self.intendant.clone(),
            worker: self.settings.name.to_string(),
            declared: self.schedules.clone(),
        };
        scheduler.declare_all().await?;
        let look = (self.settings.poll * 3).min(limits::SCHEDULE_LOOK);
        let scheduler = Arc::new(scheduler);
        let task = match seam.is_watched() {
            true => tokio::spawn(scheduler.run_when_told(look)),
            false => tokio::spawn(again_and_again(move || scheduler.clone().run(look), look)),
        };
        self.scheduling = Some(Scheduling(task));
        Ok(())
    }
}

/// Runs something that never ends, and begins anew where it panics: a schedule does not stop for that, and the log says so.
async fn again_and_again<F>(run: impl Fn() -> F, pause: Duration)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        // It ends with this task.
        let mut rounds = JoinSet::new();
        rounds.spawn(run());
        if let Some(Err(join)) = rounds.join_next().await
            && let Ok(panic) = join.try_into_panic()
        {
            let said = panic_message(&*panic);
            tracing::error!(said, "looking at the schedules panicked; it begins anew");
        }
        tokio::time::sleep(pause).await;
    }
}

/// What there was to decide of a schedule.
enum Decided {
    /// Nothing, and the next tick is then.
    Nothing { next: Option<Micros> },
    /// Something is on disk, by whoever was first.
    Some,
}

struct Scheduler {
    intendant: Intendant,
    worker: String,
    declared: Arc<[Declared]>,
}

impl Scheduler {
    async fn declare_all(&self) -> Result<(), Error> {
        for declared in &*self.declared {
            let times = declared.schedule.check();
            let times = times.map_err(Schedule::refused(&declared.schedule.name))?;
            let mut again = Again::new();
            let begun = tokio::time::Instant::now();
            while let Err(error) = self.declare(declared, &times).await {
                // The database was there just now: it may be locked by another process, or restart.
                if !error.is_retryable() || begun.elapsed() >= limits::DATABASE_CALL {
                    return Err(error);
                }
                tracing::warn!(%error, schedule = declared.schedule.name, "declaring a schedule is tried again");
                again.wait().await;
            }
        }
        Ok(())
    }

    async fn declare(&self, declared: &Declared, times: &Times) -> Result<(), Error> {
        let ours = &declared.schedule;
        let mut nothing_due = None;
        loop {
            let declaration = Declaration {
                schedule: ours.clone(),
                times: times.clone(),
                kind: declared.kind,
                worker: self.worker.clone(),
                nothing_due,
            };
            let theirs = match self.intendant.store().declare_schedule(declaration).await? {
                Standing::Ours => return Ok(()),
                Standing::Theirs(theirs) => theirs,
            };
            if theirs.revision > ours.revision {
                tracing::info!(
                    schedule = ours.name,
                    ours = ours.revision,
                    theirs = theirs.revision,
                    "a newer declaration of this schedule is in force; this worker leaves it alone"
                );
                return Ok(());
            }
            if theirs.revision == ours.revision {
                let error = ScheduleError::Differs {
                    revision: ours.revision,
                    by: theirs.declared_by.clone(),
                    theirs: said(
                        &theirs.kind,
                        theirs.when.times().as_ref().ok(),
                        theirs.catch_up,
                        &theirs.overlap,
                    ),
                    ours: said(
                        declared.kind,
                        Some(times),
                        ours.catch_up,
                        ours.overlap.as_str(),
                    ),
                };
                return Err(Schedule::refused(&ours.name)(error));
            }
            // What is due by the older declaration is decided by it, since that is what was in force then.
            match self.decide(declared, &theirs).await? {
                Decided::Some => {}
                Decided::Nothing { .. } => nothing_due = Some(theirs.version),
            }
        }
    }

    async fn run(self: Arc<Self>, look: Duration) {
        let mut again = Again::new();
        loop {
            match self.round(look).await {
                Ok(wait) => {
                    again = Again::new();
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "looking at the schedules");
                    again.wait().await;
                }
            }
        }
    }

    /// In the simulation it looks when it is told to.
    async fn run_when_told(self: Arc<Self>, look: Duration) {
        let seam = self.intendant.store().seam().clone();
        while let Some(_busy) = seam.look_at_schedules().await {
            if let Err(error) = self.round(look).await {
                tracing::warn!(%error, "looking at the schedules");
            }
        }
    }

    /// Decides what there is to be decided. Returns when to look again.
    async fn round(&self, look: Duration) -> Result<Duration, Error> {
        let names = self.declared.iter();
        let names = names.map(|declared| declared.schedule.name.clone());
        let loaded = self
            .intendant
            .store()
            .schedules_load(names.collect())
            .await?;
        let mut soonest = look;
        for declared in &*self.declared {
            let name = &declared.schedule.name;
            let theirs = loaded.iter().find(|theirs| theirs.name == *name);
            let wait = match theirs {
                Some(theirs) => self.look_at(declared, theirs, look).await,
                None => self.declare_again(declared).await,
            };
            match wait {
                Ok(wait) => soonest = soonest.min(wait),
                // The others go on.
                Err(error) => tracing::warn!(%error, schedule = name, "looking at a schedule"),
            }
        }
        Ok(soonest)
    }

    /// Carries out and decides what there is of one schedule. Returns when to look again.
    async fn look_at(
        &self,
        declared: &Declared,
        theirs: &ScheduleLoad,
        look: Duration,
    ) -> Result<Duration, Error> {
        if declared.schedule.revision != theirs.revision {
            return Ok(look);
        }
        let carried = self.carry_out(declared, theirs).await?;
        if theirs.paused {
            return Ok(if carried { Duration::ZERO } else { look });
        }
        Ok(match self.decide(declared, theirs).await? {
            Decided::Some => Duration::ZERO,
            Decided::Nothing { .. } if carried => Duration::ZERO,
            // By our own reckoning: by that of whoever wrote the row it may be due already.
            Decided::Nothing { next } => wait(next, theirs.now, look),
        })
    }

    /// It was removed while this worker had no session, in which it would have been seen to declare it: it does so again.
    async fn declare_again(&self, declared: &Declared) -> Result<Duration, Error> {
        let name = &declared.schedule.name;
        tracing::warn!(
            schedule = name,
            "a schedule was removed that this worker declares; it declares it again"
        );
        let times = declared.schedule.check().map_err(Schedule::refused(name))?;
        self.declare(declared, &times).await?;
        Ok(Duration::ZERO)
    }

    /// Decides the ticks that are due by this declaration, which may be an older one than the code's.
    async fn decide(&self, declared: &Declared, theirs: &ScheduleLoad) -> Result<Decided, Error> {
        let name = theirs.name.as_str();
        let times = theirs.when.times().map_err(Schedule::refused(name))?;
        let Some(decision) = decide(&times, theirs.last_at, theirs.now, theirs.catch_up) else {
            let next = times.after(theirs.last_at);
            return Ok(Decided::Nothing { next });
        };
        let store = self.intendant.store();
        let mut version = theirs.version;
        let mut parts = VecDeque::from(decision.parts(limits::TICKS_AT_ONCE));
        while let Some(part) = parts.pop_front() {
            let tick = |at: &Micros| Tick {
                at: *at,
                zone: times.zone(),
                by_hand: false,
            };
            let ticks = part.request.iter().map(tick);
            let ticks = ticks.map(|tick| declared.tick(&self.intendant, tick, None));
            let ticks: Vec<NewTick> = ticks.collect();
            let decided = |ticks| {
                let (part, worker) = (part.clone(), self.worker.clone());
                store.decide_ticks(name.to_owned(), version, part, ticks, worker)
            };
            let mine = match twice(|| decided(ticks.clone())).await {
                Err(error) if error.is_data_error() && ticks.len() > 1 => {
                    // One of them is at fault, and the others are not.
                    let singly = part.parts(1).into_iter().rev();
                    singly.for_each(|part| parts.push_front(part));
                    continue;
                }
                Err(error) if error.is_data_error() => decided(refused(ticks, &error)).await?,
                other => other?,
            };
            if !mine {
                // Somebody was faster, or has changed it: what is left is looked at anew.
                break;
            }
            version += 1;
            tracing::debug!(schedule = name, requested = part.request.len(), left_out = ?part.left_out, "ticks are decided");
            self.intendant.wake();
        }
        Ok(Decided::Some)
    }

    /// Requests an intent that a person has asked for. Returns true if there was one.
    async fn carry_out(&self, declared: &Declared, theirs: &ScheduleLoad) -> Result<bool, Error> {
        let Some((at, by)) = &theirs.asked else {
            return Ok(false);
        };
        let times = theirs.when.times();
        let times = times.map_err(Schedule::refused(&theirs.name))?;
        let tick = Tick {
            at: *at,
            zone: times.zone(),
            by_hand: true,
        };
        let tick = declared.tick(&self.intendant, tick, Some(by));
        let store = self.intendant.store();
        let carried = |tick| store.carry_out_tick(theirs.name.clone(), tick, self.worker.clone());
        let mine = match twice(|| carried(tick.clone())).await {
            Err(error) if error.is_data_error() => {
                let mut refused = refused(vec![tick], &error);
                carried(refused.remove(0)).await?
            }
            other => other?,
        };
        if mine {
            self.intendant.wake();
        }
        Ok(true)
    }
}

/// What the database refuses once it may take the next time: a key that somebody else has just written, for one.
async fn twice<F>(run: impl Fn() -> F) -> Result<bool, Error>
where
    F: Future<Output = Result<bool, Error>>,
{
    match run().await {
        Err(error) if error.is_data_error() => run().await,
        other => other,
    }
}

/// The same ticks, of which the database takes no intent.
fn refused(ticks: Vec<NewTick>, error: &Error) -> Vec<NewTick> {
    let ticks = ticks.into_iter();
    let refused = ticks.map(|(at, made)| match made {
        Ok(_) => (at, Err(error.to_string())),
        Err(before) => (at, Err(before)),
    });
    refused.collect()
}

/// A declaration, in words.
fn said(kind: &str, times: Option<&Times>, catch_up: CatchUp, overlap: &str) -> String {
    let times = times.map_or_else(
        || "at times that are not understood here".to_owned(),
        ToString::to_string,
    );
    let (word, most) = catch_up.word();
    format!("`{kind}` {times}, catch-up {word} {most}, {overlap}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn what_panics_begins_anew_and_ends_with_who_watches_it() {
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        struct End(Arc<Notify>);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let (third, run) = (Arc::new(Notify::new()), begun.clone());
        let (reached, end) = (third.clone(), ended.clone());
        let watched = again_and_again(
            move || {
                let (nth, third) = (run.fetch_add(1, Ordering::SeqCst), third.clone());
                let end = end.clone();
                async move {
                    assert!(nth >= 2, "the {nth}th time");
                    let _end = End(end);
                    third.notify_one();
                    std::future::pending::<()>().await;
                }
            },
            Duration::ZERO,
        );
        let watched = tokio::spawn(watched);
        reached.notified().await;
        assert_eq!(begun.load(Ordering::SeqCst), 3);
        watched.abort();
        ended.notified().await;
    }
}
