//! Schedules in trouble: what is refused, removed, late, unreadable or decided by nobody stops nothing else, and is told.

use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::Utc;
use intendant::{AlertFilter, AlertKind, CatchUp, IntentState, StoreKind, Tick, TickState, Watch};

use crate::schedules::{Text, every_hour, hourly, intent, is_hour, nothing, open, print, report};
use crate::support::{Bench, on_both, start};

on_both! {
    a_tick_of_which_no_intent_can_be_made_fails_alone;
    a_schedule_that_nobody_decides_has_an_alert_until_somebody_does;
    a_tick_that_the_database_refuses_fails_alone_among_many;
    a_schedule_that_was_removed_while_its_worker_was_away_is_declared_again;
    a_large_catch_up_is_requested_in_parts;
    one_that_cannot_be_looked_at_stops_no_other;
    what_was_due_before_a_pause_is_told_of_when_it_ends;
    a_declaration_takes_over_although_the_row_says_that_something_is_due;
}

async fn a_tick_of_which_no_intent_can_be_made_fails_alone(bench: Bench) -> Result<()> {
    let panics = |tick: Tick| {
        assert!(tick.is_by_hand(), "there is no report of {}", tick.at());
        report(tick)
    };
    let worker = bench
        .worker(open())
        .register_step(print)
        .register_step(nothing);
    let nul = every_hour("nul");
    let worker = worker
        .schedule(hourly(), panics)
        .schedule(nul, |_| Text("a\0b".to_owned()));
    let running = start(worker);
    for (name, says) in [("hourly", "there is no report of "), ("nul", "U+0000")] {
        bench.declared(name).await?;
        bench.later(name, 1).await?;
        let ticks = bench.ticked(name, 1).await?;
        let error = ticks[0].error.as_deref().unwrap_or_default();
        ensure!(
            ticks[0].state == TickState::Failed && error.contains(says),
            "{ticks:?}"
        );
        let schedule = bench.schedule(name).await?;
        ensure!(schedule.last_at == ticks[0].at && schedule.next_at.is_some());
    }
    // By hand there is one.
    bench.intendant.run_schedule("hourly", "ada", None).await?;
    let ticks = bench.ticked("hourly", 2).await?;
    let by_hand = ticks.iter().find(|tick| tick.by_hand).unwrap();
    ensure!(bench.rest(intent(by_hand)?).await?.state == IntentState::Succeeded);
    running.stop().await?;
    bench.check().await
}

async fn a_schedule_that_nobody_decides_has_an_alert_until_somebody_does(
    bench: Bench,
) -> Result<()> {
    let open = || async {
        let open = bench.intendant.alerts(AlertFilter::default()).await?;
        let mut open = open.into_iter();
        Ok::<_, anyhow::Error>(open.find(|alert| alert.kind == AlertKind::ScheduleOverdue))
    };
    let newer = start(bench.reporter(hourly().revision(2)));
    bench.declared("hourly").await?;
    newer.stop().await?;
    bench.later("hourly", 2).await?;
    // The code was rolled back.
    let watch = Watch::default().every(Duration::ZERO);
    let older = start(bench.reporter(hourly()).watch(watch));
    let alert = bench.until(open).await?;
    ensure!(
        alert.intent_kind.as_deref() == Some("report")
            && alert.text.starts_with("schedule `hourly` was to tick at ")
            && alert.text.ends_with(
                "live workers declare another revision of it than 2, which is in force: was the code rolled back?"
            ),
        "{alert:?}"
    );
    // A pause is no trouble.
    bench
        .intendant
        .pause_schedule("hourly", "ada", None)
        .await?;
    let resolved = || async { Ok(open().await?.is_none().then_some(())) };
    bench.until(resolved).await?;
    bench
        .intendant
        .resume_schedule("hourly", "ada", None)
        .await?;
    // The same time comes again, so its record makes room.
    bench.run_sql("delete from @schedule_tick").await?;
    bench.later("hourly", 2).await?;
    bench.until(open).await?;
    let newer = start(bench.reporter(hourly().revision(2)));
    bench.until(resolved).await?;
    newer.stop().await?;
    older.stop().await?;
    bench.check().await
}

async fn a_tick_that_the_database_refuses_fails_alone_among_many(bench: Bench) -> Result<()> {
    let running = start(bench.reporter(hourly().catch_up(CatchUp::All(100))));
    bench.declared("hourly").await?;
    running.stop().await?;
    bench.later("hourly", 5).await?;
    let schedule = bench.schedule("hourly").await?;
    let third = schedule.next_at.unwrap() + chrono::TimeDelta::hours(2);
    let refuse = match bench.database.kind {
        StoreKind::Sqlite => format!(
            "create trigger no_third before insert on intendant_intent when new.input like '%{}%'
             begin select raise(abort, 'no third'); end",
            third.format("%Y-%m-%dT%H")
        ),
        StoreKind::Postgres => format!(
            "alter table intendant.intent add constraint no_third check (input::text not like '%{}%')",
            third.format("%Y-%m-%dT%H")
        ),
    };
    bench.run_sql(&refuse).await?;
    let running = start(bench.reporter(hourly().catch_up(CatchUp::All(100))));
    let mut ticks = bench.ticked("hourly", 5).await?;
    ticks.sort_by_key(|tick| tick.at);
    let states: Vec<_> = ticks.iter().map(|tick| tick.state).collect();
    let mut expected = [TickState::Requested; 5];
    expected[2] = TickState::Failed;
    ensure!(
        states == expected && ticks[2].at.timestamp() == third.timestamp(),
        "{ticks:?}"
    );
    let error = ticks[2].error.as_deref().unwrap_or_default();
    ensure!(
        error.contains("no_third") || error.contains("no third"),
        "{error}"
    );
    running.stop().await?;
    bench.check().await
}

async fn a_schedule_that_was_removed_while_its_worker_was_away_is_declared_again(
    bench: Bench,
) -> Result<()> {
    let running = start(bench.reporter(hourly()));
    bench.declared("hourly").await?;
    // As a person does for whom no session declares it.
    bench.run_sql("delete from @schedule").await?;
    let again = bench.declared("hourly").await?;
    ensure!(again.next_at.unwrap() > Utc::now() - chrono::TimeDelta::minutes(1));
    bench.later("hourly", 1).await?;
    let ticks = bench.ticked("hourly", 1).await?;
    ensure!(ticks[0].state == TickState::Requested, "{ticks:?}");
    running.stop().await?;
    bench.check().await
}

async fn a_large_catch_up_is_requested_in_parts(bench: Bench) -> Result<()> {
    let all = || hourly().catch_up(CatchUp::All(120));
    let running = start(bench.reporter(all()));
    bench.declared("hourly").await?;
    running.stop().await?;
    bench.later("hourly", 130).await?;
    let before = bench.number("select version from @schedule").await?;
    let running = start(bench.reporter(all()));
    let ticks = bench.ticked("hourly", 121).await?;
    let requested = ticks
        .iter()
        .filter(|tick| tick.state == TickState::Requested);
    ensure!(requested.count() == 120);
    let left_out = ticks.iter().find(|tick| tick.state == TickState::Skipped);
    ensure!(
        left_out.is_some_and(|tick| tick.count == 10),
        "{left_out:?}"
    );
    let commits = bench.number("select version from @schedule").await? - before;
    ensure!(commits == 3, "{commits} commits");
    ensure!(bench.count("report").await? == 120);
    running.stop().await?;
    bench.check().await
}

async fn one_that_cannot_be_looked_at_stops_no_other(bench: Bench) -> Result<()> {
    let worker = || {
        let worker = bench.reporter(every_hour("broken"));
        worker.schedule(hourly(), report)
    };
    let running = start(worker());
    bench.declared("hourly").await?;
    // What no parser understands, in a row that a person has changed by hand.
    bench
        .run_sql(
            "update @schedule set every_us = null, cron = 'never', zone = 'UTC' where name = 'broken'",
        )
        .await?;
    bench.later("hourly", 1).await?;
    let ticks = bench.ticked("hourly", 1).await?;
    ensure!(ticks[0].state == TickState::Requested, "{ticks:?}");
    running.stop().await?;
    bench.check().await
}

async fn what_was_due_before_a_pause_is_told_of_when_it_ends(bench: Bench) -> Result<()> {
    let all = || hourly().catch_up(CatchUp::All(100));
    let running = start(bench.reporter(all()));
    bench.declared("hourly").await?;
    running.stop().await?;
    // Nobody is there for three days, and when it is found out, it is paused and resumed.
    bench.later("hourly", 72).await?;
    bench
        .intendant
        .pause_schedule("hourly", "ada", None)
        .await?;
    bench
        .intendant
        .resume_schedule("hourly", "bob", Some("all is well"))
        .await?;
    let ticks = bench.ticks("hourly").await?;
    ensure!(
        ticks.len() == 1
            && ticks[0].state == TickState::Skipped
            && ticks[0].count == 72
            && ticks[0].since.is_some_and(is_hour)
            && is_hour(ticks[0].at),
        "{ticks:?}"
    );
    // And where a newer declaration takes over. The same time comes again, so its record makes room.
    bench.run_sql("delete from @schedule_tick").await?;
    bench
        .intendant
        .pause_schedule("hourly", "ada", None)
        .await?;
    bench.later("hourly", 72).await?;
    let running = start(bench.reporter(all().revision(2)));
    let newer = bench
        .until(|| async {
            let schedule = bench.schedule("hourly").await?;
            Ok((schedule.revision == 2).then_some(schedule))
        })
        .await?;
    ensure!(newer.paused_at.is_some());
    let ticks = bench.ticks("hourly").await?;
    ensure!(
        ticks.len() == 1 && ticks[0].state == TickState::Skipped && ticks[0].count == 72,
        "{ticks:?}"
    );
    running.stop().await?;
    bench.check().await
}

/// Whoever wrote the row has reckoned with another history of the time zone.
async fn a_declaration_takes_over_although_the_row_says_that_something_is_due(
    bench: Bench,
) -> Result<()> {
    let running = start(bench.reporter(hourly()));
    bench.declared("hourly").await?;
    running.stop().await?;
    let (last, next) = match bench.database.kind {
        StoreKind::Sqlite => {
            let now = Utc::now().timestamp_micros();
            (format!("{}", now - 2), format!("{}", now - 1))
        }
        StoreKind::Postgres => (
            "clock_timestamp() - interval '2 microseconds'".to_owned(),
            "clock_timestamp() - interval '1 microsecond'".to_owned(),
        ),
    };
    let sql =
        format!("update @schedule set last_at = {last}, next_at = {next}, version = version + 1");
    bench.run_sql(&sql).await?;
    let running = start(bench.reporter(hourly().revision(2)));
    bench
        .until(|| async {
            let schedule = bench.schedule("hourly").await?;
            let next = schedule.next_at.unwrap();
            Ok((schedule.revision == 2 && next > Utc::now()).then_some(()))
        })
        .await?;
    ensure!(bench.ticks("hourly").await?.is_empty());
    running.stop().await?;
    bench.check().await
}
