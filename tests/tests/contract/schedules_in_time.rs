//! Schedules in a time that the test moves: both changes to and from daylight saving, and a clock that goes wrong. On SQLite,
//! where the time is the process's; on PostgreSQL it is the database's, which no test can move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use expect_test::{Expect, expect};
use intendant::{
    Clock, Cx, Intendant, Intent, Schedule, StepResult, StoreKind, StoreOptions, SystemClock,
    Worker,
};
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::support::{Bench, Running, start};

/// The machine's clock, but for the time of day.
#[derive(Debug)]
struct MovedClock(AtomicI64);

impl MovedClock {
    fn set(&self, at: DateTime<Utc>) {
        self.0.store(at.timestamp_micros(), Ordering::SeqCst);
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.wall_us()).unwrap()
    }
}

impl Clock for MovedClock {
    fn wall_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }

    fn ordered_id(&self) -> Uuid {
        SystemClock.ordered_id()
    }

    fn secret_id(&self) -> Uuid {
        SystemClock.secret_id()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    local: String,
}

impl Intent for Note {
    const KIND: &'static str = "note";
    type Output = ();
}

async fn note(_: Cx<()>, _: Note) -> StepResult<()> {
    Ok(())
}

/// A schedule that a worker runs at a time of its own.
struct Era {
    bench: Bench,
    clock: Arc<MovedClock>,
    running: Running,
}

impl Era {
    async fn begin(from: &str, cron: &str, zone: &str) -> Result<Self> {
        let clock = Arc::new(MovedClock(AtomicI64::new(0)));
        clock.set(from.parse()?);
        let database = Database::new(StoreKind::Sqlite).await?;
        let options = StoreOptions {
            create: true,
            ..StoreOptions::new(&database.url)
        };
        let intendant = Intendant::with_clock(&options, clock.clone()).await?;
        intendant.migrate().await?;
        let bench = Bench {
            database,
            intendant,
        };
        let schedule = Schedule::cron("note", cron).in_zone(zone);
        let worker = Worker::new(&bench.intendant, ())
            .register_step(note)
            .poll(Duration::from_millis(1))
            .schedule(schedule, |tick| Note {
                local: tick.local().format("%a %m-%d %H:%M %z").to_string(),
            });
        let running = start(worker);
        let era = Self {
            bench,
            clock,
            running,
        };
        era.settle().await?;
        Ok(era)
    }

    /// Waits until nothing is due any more.
    async fn settle(&self) -> Result<()> {
        let now = self.clock.now();
        let settled = || async move {
            let schedules = self.bench.intendant.schedules().await?;
            let next = schedules.first().and_then(|schedule| schedule.next_at);
            Ok(next.filter(|next| *next > now).map(|_| ()))
        };
        self.bench.until(settled).await
    }

    /// Lets time pass, in steps.
    async fn pass(&self, until: &str, step: TimeDelta) -> Result<()> {
        let until: DateTime<Utc> = until.parse()?;
        while self.clock.now() < until {
            self.clock.set(self.clock.now() + step);
            self.settle().await?;
        }
        Ok(())
    }

    /// What was requested, in the zone's own time.
    async fn notes(&self) -> Result<String> {
        let mut ticks = self.bench.intendant.schedule_ticks("note", 1_000).await?;
        ticks.reverse();
        let mut notes = String::new();
        for tick in ticks {
            let id = tick.intent.unwrap();
            let note: Note = serde_json::from_str(self.bench.intendant.get(id).await?.input.get())?;
            notes.push_str(&note.local);
            notes.push('\n');
        }
        Ok(notes)
    }

    async fn end(self) -> Result<()> {
        self.running.stop().await?;
        self.bench.check().await
    }
}

async fn weekend(cron: &str, (from, until): (&str, &str), expected: Expect) -> Result<()> {
    let era = Era::begin(from, cron, "Europe/Stockholm").await?;
    era.pass(until, TimeDelta::minutes(10)).await?;
    expected.assert_eq(&era.notes().await?);
    era.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_night_without_half_past_two_it_comes_at_three() -> Result<()> {
    let nights = ("2026-03-28T00:00:00Z", "2026-03-30T02:00:00Z");
    let expected = expect![[r#"
        Sat 03-28 02:30 +0100
        Sun 03-29 03:00 +0200
        Mon 03-30 02:30 +0200
    "#]];
    weekend("30 2 * * *", nights, expected).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_night_with_two_half_past_two_it_comes_once() -> Result<()> {
    let nights = ("2026-10-24T00:00:00Z", "2026-10-26T02:00:00Z");
    let expected = expect![[r#"
        Sat 10-24 02:30 +0200
        Sun 10-25 02:30 +0200
        Mon 10-26 02:30 +0100
    "#]];
    weekend("30 2 * * *", nights, expected).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_or_leaps_doubles_nothing() -> Result<()> {
    let era = Era::begin("2026-10-24T22:10:00Z", "0 * * * *", "Europe/Stockholm").await?;
    era.pass("2026-10-25T00:10:00Z", TimeDelta::minutes(10))
        .await?;
    // An hour back, and over the same hours again.
    era.clock.set("2026-10-24T23:05:00Z".parse()?);
    era.pass("2026-10-25T02:10:00Z", TimeDelta::minutes(10))
        .await?;
    // Ten hours at once: of what is late the latest comes.
    era.clock.set("2026-10-25T12:10:00Z".parse()?);
    era.settle().await?;
    let ticks = era.bench.intendant.schedule_ticks("note", 100).await?;
    let skipped: u32 = ticks
        .iter()
        .filter(|tick| tick.intent.is_none())
        .map(|tick| tick.count)
        .sum();
    ensure!(skipped == 9, "{ticks:?}");
    era.bench
        .run_sql("delete from @schedule_tick where intent_id is null")
        .await?;
    expect![[r#"
        Sun 10-25 01:00 +0200
        Sun 10-25 02:00 +0200
        Sun 10-25 02:00 +0100
        Sun 10-25 03:00 +0100
        Sun 10-25 13:00 +0100
    "#]]
    .assert_eq(&era.notes().await?);
    era.end().await
}
