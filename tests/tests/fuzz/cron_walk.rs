//! Ticks: whatever expression or interval is taken ticks forwards only, from one tick to the next, wherever the clock goes. On
//! SQLite, where the time is the process's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use intendant::{
    CatchUp, Clock, Intendant, ScheduleRecord, StoreKind, StoreOptions, SystemClock, TickRecord,
    TickState, Worker,
};
use intendant_tests::database::Database;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::cron::{When, verdict, whens};
use crate::history::{Note, note};
use crate::tries::{Tally, check, runtime};

const PATIENCE: Duration = Duration::from_secs(30);

/// How often the clock is moved.
const MOVES: usize = 3;

/// Around changes of daylight saving, a day that Samoa left out, and a day like any other; in seconds since 1970.
const BEGINS: &[i64] = &[
    1_774_744_200,
    1_792_888_200,
    1_793_511_000,
    1_325_203_200,
    1_780_272_000,
];

/// The machine's clock, but for the time of day.
#[derive(Debug)]
struct MovedClock(AtomicI64);

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

fn time(us: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(us).context("a time")
}

/// Until nothing of so many schedules is due any more.
async fn settle(intendant: &Intendant, count: usize, now: i64) -> Result<Vec<ScheduleRecord>> {
    let (begun, now) = (Instant::now(), time(now)?);
    loop {
        let all = intendant.schedules().await?;
        let is_over = |it: &ScheduleRecord| it.next_at.is_none_or(|next| next > now);
        if all.len() == count && all.iter().all(is_over) {
            return Ok(all);
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "it is {now}, and something is due: {all:?}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What came of a schedule, the latest first: each tick is after the one before it, and none is left out without a word.
fn check_ticks(
    first: &ScheduleRecord,
    ticks: &[TickRecord],
    (begin, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<()> {
    for tick in ticks {
        ensure!(
            begin < tick.at && tick.at <= now,
            "{tick:?} is not in its time"
        );
        let is_decided = matches!(tick.state, TickState::Requested | TickState::Skipped);
        ensure!(is_decided, "{tick:?}");
    }
    for pair in ticks.windows(2) {
        let before = pair[0].since.unwrap_or(pair[0].at);
        ensure!(before > pair[1].at, "{pair:?} are not one after the other");
    }
    let oldest = ticks.last().map(|tick| tick.since.unwrap_or(tick.at));
    let foretold = first.next_at.filter(|next| *next <= now);
    ensure!(
        oldest == foretold,
        "{foretold:?} was to come, and {oldest:?} came: {first:?}"
    );
    Ok(())
}

async fn walk(whens: &[When], begin: i64, step: i64) -> Result<usize> {
    let clock = Arc::new(MovedClock(AtomicI64::new(begin)));
    let database = Database::new(StoreKind::Sqlite).await?;
    let options = StoreOptions {
        create: true,
        sync_every_commit: false,
        ..StoreOptions::new(&database.url)
    };
    let intendant = Intendant::with_clock(&options, clock.clone()).await?;
    intendant.migrate().await?;
    let mut worker = Worker::new(&intendant, ())
        .poll(Duration::from_millis(1))
        .register_step(note);
    for (nth, when) in whens.iter().enumerate() {
        let schedule = when.schedule(&format!("s{nth}")).overlapping();
        let schedule = schedule.catch_up(CatchUp::All(3));
        worker = worker.schedule(schedule, |tick| Note(json!(tick.at())));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let first = settle(&intendant, whens.len(), begin).await?;
    let mut now = begin;
    for _ in 0..MOVES {
        now += step;
        clock.0.store(now, Ordering::SeqCst);
        settle(&intendant, whens.len(), now).await?;
    }
    let mut count = 0;
    for schedule in &first {
        let ticks = intendant.schedule_ticks(&schedule.name, 1_000).await?;
        check_ticks(schedule, &ticks, (time(begin)?, time(now)?))?;
        count += ticks.len();
    }
    stop.send(()).ok();
    worker.await??;
    Ok(count)
}

#[test]
fn whatever_ticks_ticks_forwards() -> Result<()> {
    let runtime = runtime()?;
    let intendant = runtime.block_on(Intendant::open("sqlite::memory:"))?;
    let begin = (select(BEGINS), -200_000..200_000_i64).prop_map(|(begin, off)| begin + off);
    // A minute to six hours.
    let values = (vec(whens(), 8), begin, 60..21_600_i64);
    let tally = Tally::default();
    check(10, &values, |(whens, begin, step)| {
        let mut taken = Vec::new();
        for when in whens {
            if verdict(&runtime, &intendant, &when)?.is_ok() {
                taken.push(when);
            }
        }
        let ticks = runtime.block_on(walk(&taken, begin * 1_000_000, step * 1_000_000))?;
        tally.add(if ticks > 0 { "ticked" } else { "silent" });
        Ok(())
    })?;
    tally.has(&["ticked"])
}
