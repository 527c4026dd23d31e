//! Scheduling: beside the loop, a worker that has schedules decides their ticks as they come due.
//!
//! Every worker that has a schedule does; who is first is decided by the schedule's row
//! ([`Store::decide_ticks`](crate::store::Store::decide_ticks)). So nobody has to be elected, a worker that was paused or cut
//! off decides nothing twice, and it needs no fence. The intent of a tick is made before the transaction, since that is the
//! user's code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::engine::Engine;
use super::runner::panic_message;
use crate::again::Again;
use crate::client::Intendant;
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

impl<S: Send + Sync + 'static> Engine<S> {
    /// Writes down what the code declares, and begins to decide ticks. Called once, before there is a session, which would be
    /// left behind if this failed.
    pub(super) async fn begin_scheduling(&mut self) -> Result<(), Error> {
        let watched = self.store().seam().is_watched();
        if self.schedules.is_empty() || watched {
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
        self.scheduling = Some(Scheduling(tokio::spawn(scheduler.run(look))));
        Ok(())
    }
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
        loop {
            let declaration = Declaration {
                schedule: ours.clone(),
                times: times.clone(),
                kind: declared.kind,
                worker: self.worker.clone(),
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
            self.decide(declared, &theirs).await?;
        }
    }

    async fn run(self, look: Duration) {
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
        for theirs in &loaded {
            let declared = self.declared.iter();
            let mut declared = declared.filter(|declared| {
                declared.schedule.name == theirs.name
                    && declared.schedule.revision == theirs.revision
            });
            let Some(declared) = declared.next() else {
                continue;
            };
            if self.carry_out(declared, theirs).await? {
                soonest = Duration::ZERO;
            }
            if theirs.paused {
                continue;
            }
            self.decide(declared, theirs).await?;
            soonest = soonest.min(wait(theirs.next_at, theirs.now, look));
        }
        Ok(soonest)
    }

    /// Decides the ticks that are due by this declaration, which may be an older one than the code's.
    async fn decide(&self, declared: &Declared, theirs: &ScheduleLoad) -> Result<(), Error> {
        let name = theirs.name.as_str();
        let times = theirs.when.times().map_err(Schedule::refused(name))?;
        let Some(decision) = decide(&times, theirs.last_at, theirs.now, theirs.catch_up) else {
            return Ok(());
        };
        let zone = times.zone();
        let ticks = decision.request.iter().map(|at| Tick {
            at: *at,
            zone,
            by_hand: false,
        });
        let ticks: Vec<NewTick> = ticks
            .map(|tick| declared.tick(&self.intendant, tick, None))
            .collect();
        let store = self.intendant.store();
        let decided = |ticks| {
            let decision = decision.clone();
            let worker = self.worker.clone();
            store.decide_ticks(name.to_owned(), theirs.version, decision, ticks, worker)
        };
        let mine = match decided(ticks.clone()).await {
            Err(error) if error.is_data_error() => decided(refused(ticks, &error)).await?,
            other => other?,
        };
        if mine {
            tracing::debug!(schedule = name, requested = decision.request.len(), left_out = ?decision.left_out, "ticks are decided");
            self.intendant.wake();
        }
        Ok(())
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
        let mine = match carried(tick.clone()).await {
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
