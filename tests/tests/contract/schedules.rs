//! Schedules: each tick is one intent, whoever runs the scheduler and whatever happens to it.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, Timelike as _, Utc};
use intendant::{
    CatchUp, Conflicts, Cx, Error, Intent, IntentFilter, IntentId, IntentState, OnFailure, Rule,
    Schedule, ScheduleError, ScheduleRecord, StepResult, StoreKind, Tick, TickRecord, TickState,
    Worker, fail,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Gate, on_both, start};

on_both! {
    a_tick_requests_one_intent_and_says_which;
    what_was_due_while_nobody_was_there_is_requested_as_the_policy_says;
    many_schedulers_request_each_tick_once;
    a_paused_schedule_requests_nothing_and_goes_on_with_its_next_tick;
    a_person_has_one_run_now_and_is_the_requester;
    a_newer_declaration_takes_over_and_an_older_one_changes_nothing;
    what_was_due_by_an_older_declaration_is_decided_by_it;
    the_same_revision_with_another_content_does_not_begin;
    one_that_has_gone_from_the_code_does_not_tick_and_can_be_removed;
    an_intent_waits_for_its_predecessor_and_overlapping_ones_do_not;
    a_tick_that_is_refused_or_joins_says_so_and_the_next_one_comes;
    two_of_one_name_in_one_worker_do_not_begin;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) at: DateTime<Utc>,
}

impl Intent for Report {
    const KIND: &'static str = "report";
    type Output = ();
}

pub(crate) fn report(tick: Tick) -> Report {
    Report { at: tick.at() }
}

pub(crate) async fn print(_: Cx<Gate>, _: Report) -> StepResult<()> {
    Ok(())
}

/// Open: a step of it ends.
pub(crate) fn open() -> Gate {
    let gate = Gate::default();
    gate.open();
    gate
}

/// From where the hours of these tests are counted: half an hour away from the next one.
pub(crate) fn half_an_hour_ago() -> DateTime<Utc> {
    static BEGIN: LazyLock<DateTime<Utc>> = LazyLock::new(|| {
        let begin = Utc::now() - chrono::TimeDelta::minutes(30);
        begin.with_nanosecond(0).unwrap()
    });
    *BEGIN
}

/// Every hour, under this name.
pub(crate) fn every_hour(name: &str) -> Schedule {
    Schedule::every(name, Duration::from_secs(3_600)).starting_at(half_an_hour_ago())
}

pub(crate) fn hourly() -> Schedule {
    every_hour("hourly")
}

/// Whether a time is a whole number of hours from there.
pub(crate) fn is_hour(at: DateTime<Utc>) -> bool {
    (at - half_an_hour_ago())
        .num_microseconds()
        .is_some_and(|us| us % 3_600_000_000 == 0)
}

impl Bench {
    pub(crate) fn reporter(&self, schedule: Schedule) -> Worker<Gate> {
        let worker = self.worker(open()).register_step(print);
        worker.schedule(schedule, report)
    }

    /// Lets time pass for a schedule.
    pub(crate) async fn later(&self, name: &str, hours: i64) -> Result<()> {
        let ago = match self.database.kind {
            StoreKind::Sqlite => format!("{}", hours * 3_600_000_000),
            StoreKind::Postgres => format!("interval '{hours} hours'"),
        };
        let sql = format!(
            "update @schedule set last_at = last_at - {ago}, next_at = next_at - {ago}, version = version + 1 where name = '{name}'"
        );
        Ok(self.run_sql(&sql).await?)
    }

    pub(crate) async fn schedule(&self, name: &str) -> Result<ScheduleRecord> {
        let all = self.intendant.schedules().await?;
        let mut all = all.into_iter();
        all.find(|schedule| schedule.name == name)
            .ok_or_else(|| anyhow::anyhow!("no schedule {name}"))
    }

    pub(crate) async fn ticks(&self, name: &str) -> Result<Vec<TickRecord>> {
        Ok(self.intendant.schedule_ticks(name, 1_000).await?)
    }

    /// Waits until a schedule has so many ticks.
    pub(crate) async fn ticked(&self, name: &str, count: usize) -> Result<Vec<TickRecord>> {
        self.until(|| async move {
            let ticks = self.ticks(name).await?;
            let decided = ticks.iter().all(|tick| tick.state != TickState::Asked);
            Ok((ticks.len() >= count && decided).then_some(ticks))
        })
        .await
    }

    pub(crate) async fn declared(&self, name: &str) -> Result<ScheduleRecord> {
        self.until(|| async move {
            let all = self.intendant.schedules().await?;
            let mut all = all.into_iter();
            Ok(all.find(|schedule| schedule.name == name && schedule.workers > 0))
        })
        .await
    }

    pub(crate) async fn count(&self, kind: &str) -> Result<usize> {
        let filter = IntentFilter {
            kind: Some(kind.to_owned()),
            limit: Some(1_000),
            ..IntentFilter::default()
        };
        Ok(self.intendant.list(filter).await?.len())
    }
}

pub(crate) fn intent(tick: &TickRecord) -> Result<IntentId> {
    tick.intent
        .ok_or_else(|| anyhow::anyhow!("no intent: {tick:?}"))
}

async fn a_tick_requests_one_intent_and_says_which(bench: Bench) -> Result<()> {
    let running = start(bench.reporter(hourly()));
    let declared = bench.declared("hourly").await?;
    ensure!(
        declared.kind == "report" && declared.when == "every 3600s" && declared.latest.is_none(),
        "{declared:?}"
    );
    let next = declared.next_at.unwrap();
    ensure!(next > declared.last_at && is_hour(next));
    bench.later("hourly", 1).await?;
    let ticks = bench.ticked("hourly", 1).await?;
    let tick = &ticks[0];
    ensure!(ticks.len() == 1 && tick.state == TickState::Requested && !tick.by_hand);
    let record = bench.rest(intent(tick)?).await?;
    ensure!(record.state == IntentState::Succeeded);
    ensure!(record.requested_by.as_deref() == Some("schedule:hourly"));
    ensure!(
        record.resources[0].resource == "schedule:hourly",
        "{record:?}"
    );
    let input: Report = serde_json::from_str(record.input.get())?;
    ensure!(input.at == tick.at, "{input:?} {tick:?}");
    let after = bench.schedule("hourly").await?;
    // The next one follows from this one.
    ensure!(
        after.last_at == tick.at && after.next_at.unwrap() - tick.at == chrono::TimeDelta::hours(1)
    );
    ensure!(after.latest.as_ref() == Some(tick));
    running.stop().await?;
    bench.check().await
}

async fn what_was_due_while_nobody_was_there_is_requested_as_the_policy_says(
    bench: Bench,
) -> Result<()> {
    for (name, policy, requested, left_out) in [
        ("skip", CatchUp::Skip, 0, 10),
        ("latest", CatchUp::Latest, 1, 9),
        ("all", CatchUp::All(4), 4, 6),
    ] {
        let schedule = || every_hour(name).catch_up(policy);
        let running = start(bench.reporter(schedule()));
        bench.declared(name).await?;
        running.stop().await?;
        bench.later(name, 10).await?;
        let running = start(bench.reporter(schedule()));
        let ticks = bench.ticked(name, requested + 1).await?;
        let of = |state| ticks.iter().filter(move |tick| tick.state == state);
        let found = of(TickState::Requested).count();
        ensure!(found == requested, "{name}: {ticks:?}");
        let skipped: Vec<_> = of(TickState::Skipped).collect();
        ensure!(
            skipped.len() == 1 && skipped[0].count == left_out && skipped[0].intent.is_none(),
            "{name}: {ticks:?}"
        );
        let since = skipped[0].since.unwrap();
        ensure!(skipped[0].at - since == chrono::TimeDelta::hours(i64::from(left_out) - 1));
        // In order, each an hour after the other.
        let pairs = ticks.windows(2);
        let gaps: Vec<_> = pairs
            .map(|pair| (pair[0].at - pair[1].at).num_hours())
            .collect();
        ensure!(gaps.iter().all(|hours| *hours == 1), "{gaps:?}");
        running.stop().await?;
    }
    bench.check().await
}

/// Two in this process, one as another process would be, all looking all the time, and time that jumps.
async fn many_schedulers_request_each_tick_once(bench: Bench) -> Result<()> {
    const ROUNDS: usize = 40;
    let elsewhere = bench.database.connect().await?;
    let other = Worker::new(&elsewhere, open())
        .poll(Duration::from_millis(1))
        .lease(Duration::from_secs(1))
        .register_step(print);
    let busy = || bench.reporter(hourly()).poll(Duration::from_millis(1));
    let running = [
        start(busy()),
        start(busy()),
        start(other.schedule(hourly(), report)),
    ];
    bench.declared("hourly").await?;
    for round in 1..=ROUNDS {
        bench.later("hourly", 1).await?;
        bench
            .until(|| async {
                let due = bench.schedule("hourly").await?.next_at.unwrap() <= Utc::now();
                Ok((!due).then_some(()))
            })
            .await?;
        let left = bench.ticks("hourly").await?.len();
        ensure!(left == 1, "round {round}: {left}");
        // The same tick comes again next time, as far as the clock tells: its record makes room.
        bench.run_sql("delete from @schedule_tick").await?;
    }
    let made = bench.count("report").await?;
    ensure!(made == ROUNDS, "{made} intents in {ROUNDS} rounds");
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

async fn a_paused_schedule_requests_nothing_and_goes_on_with_its_next_tick(
    bench: Bench,
) -> Result<()> {
    let running = start(bench.reporter(hourly().catch_up(CatchUp::All(100))));
    bench.declared("hourly").await?;
    let pause = bench
        .intendant
        .pause_schedule("hourly", "ada", Some("the books are open"));
    ensure!(pause.await?);
    ensure!(
        !bench
            .intendant
            .pause_schedule("hourly", "bob", None)
            .await?
    );
    let paused = bench.schedule("hourly").await?;
    ensure!(
        paused.paused_by.as_deref() == Some("ada")
            && paused.pause_reason.as_deref() == Some("the books are open")
    );
    bench.later("hourly", 5).await?;
    // By hand it does, so the worker has looked meanwhile.
    bench.intendant.run_schedule("hourly", "ada", None).await?;
    let ticks = bench.ticked("hourly", 1).await?;
    ensure!(ticks.len() == 1 && ticks[0].by_hand, "{ticks:?}");
    ensure!(
        bench
            .intendant
            .resume_schedule("hourly", "bob", Some("closed"))
            .await?
    );
    ensure!(
        !bench
            .intendant
            .resume_schedule("hourly", "bob", None)
            .await?
    );
    let resumed = bench.schedule("hourly").await?;
    ensure!(
        resumed.paused_at.is_none()
            && resumed.next_at.unwrap() > Utc::now() - chrono::TimeDelta::minutes(1)
    );
    // What it had in the meantime is left out: not even those hundred that it would catch up with.
    bench.intendant.run_schedule("hourly", "ada", None).await?;
    let ticks = bench.ticked("hourly", 2).await?;
    let due: Vec<_> = ticks.iter().filter(|tick| !tick.by_hand).collect();
    ensure!(
        due.len() == 1 && due[0].state == TickState::Skipped && due[0].count == 5,
        "{ticks:?}"
    );
    let changes = bench.intendant.schedule_changes("hourly").await?;
    let said: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.verb.as_str(),
                change.actor.as_str(),
                change.reason.as_deref(),
            )
        })
        .collect();
    ensure!(
        said == [
            ("run", "ada", None),
            ("resume", "bob", Some("closed")),
            ("run", "ada", None),
            ("pause", "ada", Some("the books are open")),
        ],
        "{said:?}"
    );
    running.stop().await?;
    let nobody = bench.intendant.pause_schedule("nobody", "ada", None).await;
    ensure!(
        nobody.as_ref().is_err_and(Error::is_not_found),
        "{nobody:?}"
    );
    bench.check().await
}

async fn a_person_has_one_run_now_and_is_the_requester(bench: Bench) -> Result<()> {
    let running = start(bench.reporter(hourly()));
    bench.declared("hourly").await?;
    running.stop().await?;
    // Kept until somebody is there who can.
    let at = bench
        .intendant
        .run_schedule("hourly", "ada", Some("now"))
        .await?;
    let again = bench.intendant.run_schedule("hourly", "bob", None).await?;
    ensure!(again > at);
    let asked = bench.ticks("hourly").await?;
    ensure!(asked.len() == 2 && asked.iter().all(|tick| tick.state == TickState::Asked));
    let running = [
        start(bench.reporter(hourly())),
        start(bench.reporter(hourly())),
    ];
    let ticks = bench.ticked("hourly", 2).await?;
    for (tick, by) in ticks.iter().zip(["bob", "ada"]) {
        ensure!(
            tick.by_hand
                && tick.state == TickState::Requested
                && tick.asked_by.as_deref() == Some(by)
        );
        let record = bench.rest(intent(tick)?).await?;
        ensure!(record.requested_by.as_deref() == Some(by), "{record:?}");
    }
    ensure!(ticks[1].reason.as_deref() == Some("now") && ticks[1].at == at);
    for running in running {
        running.stop().await?;
    }
    ensure!(bench.count("report").await? == 2);
    bench.check().await
}

async fn a_newer_declaration_takes_over_and_an_older_one_changes_nothing(
    bench: Bench,
) -> Result<()> {
    let old = start(bench.reporter(hourly()));
    bench.declared("hourly").await?;
    let daily = || {
        Schedule::cron("hourly", "0 6 * * *")
            .in_zone("Europe/Stockholm")
            .revision(2)
    };
    let new = start(bench.reporter(daily()));
    let is_new = || async {
        let schedule = bench.schedule("hourly").await?;
        Ok((schedule.revision == 2 && schedule.workers == 1).then_some(schedule))
    };
    let changed = bench.until(is_new).await?;
    ensure!(
        changed.when == "0 6 * * * (Europe/Stockholm)",
        "{changed:?}"
    );
    // One of the older code begins again: nothing changes, and it leaves the schedule to the others.
    old.stop().await?;
    let old = start(bench.reporter(hourly()));
    new.stop().await?;
    bench
        .until(|| async {
            let sessions = bench
                .number("select count(*) from @session_schedule where revision = 1")
                .await?;
            Ok((sessions == 1).then_some(()))
        })
        .await?;
    bench.later("hourly", 48).await?;
    bench.intendant.run_schedule("hourly", "ada", None).await?;
    let schedule = bench.schedule("hourly").await?;
    ensure!(
        schedule.revision == 2 && schedule.workers == 0,
        "{schedule:?}"
    );
    let new = start(bench.reporter(daily()));
    let ticks = bench.ticked("hourly", 3).await?;
    let worker = ticks
        .iter()
        .filter(|tick| tick.state == TickState::Requested)
        .count();
    ensure!(worker == 2, "{ticks:?}");
    old.stop().await?;
    new.stop().await?;
    bench.check().await
}

async fn what_was_due_by_an_older_declaration_is_decided_by_it(bench: Bench) -> Result<()> {
    let old = start(bench.reporter(hourly().catch_up(CatchUp::All(100))));
    bench.declared("hourly").await?;
    old.stop().await?;
    bench.later("hourly", 3).await?;
    // Ten minutes would have been eighteen.
    let shorter = Schedule::every("hourly", Duration::from_secs(600)).revision(2);
    let new = start(bench.reporter(shorter.catch_up(CatchUp::All(100))));
    let ticks = bench.ticked("hourly", 3).await?;
    ensure!(
        ticks.len() == 3 && ticks.iter().all(|tick| is_hour(tick.at)),
        "{ticks:?}"
    );
    // Then it is the newer one's turn.
    let newer = bench
        .until(|| async {
            let schedule = bench.schedule("hourly").await?;
            Ok((schedule.when == "every 600s").then_some(schedule))
        })
        .await?;
    ensure!(newer.next_at.unwrap() > Utc::now() - chrono::TimeDelta::minutes(1));
    new.stop().await?;
    bench.check().await
}

async fn the_same_revision_with_another_content_does_not_begin(bench: Bench) -> Result<()> {
    let running = start(bench.reporter(hourly()));
    bench.declared("hourly").await?;
    let other = bench
        .reporter(hourly().catch_up(CatchUp::Skip))
        .name("second");
    let refused = other.run(std::future::pending()).await;
    let error = refused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    ensure!(
        error.contains("catch-up skip") && error.contains("higher `revision`"),
        "{error}"
    );
    // It has left nothing behind.
    ensure!(bench.number("select count(*) from @session").await? == 1);
    running.stop().await?;
    bench.check().await
}

async fn one_that_has_gone_from_the_code_does_not_tick_and_can_be_removed(
    bench: Bench,
) -> Result<()> {
    let running = start(bench.reporter(hourly()));
    bench.declared("hourly").await?;
    let early = bench.intendant.remove_schedule("hourly", "ada", None).await;
    ensure!(
        matches!(early, Err(Error::ScheduleDeclared { .. })),
        "{early:?}"
    );
    running.stop().await?;
    bench.later("hourly", 2).await?;
    let other = every_hour("other");
    let running = start(bench.reporter(other));
    bench.declared("other").await?;
    bench.later("other", 1).await?;
    bench.ticked("other", 1).await?;
    let gone = bench.schedule("hourly").await?;
    ensure!(gone.workers == 0 && gone.latest.is_none() && gone.next_at.unwrap() < Utc::now());
    bench.intendant.run_schedule("hourly", "ada", None).await?;
    bench
        .intendant
        .remove_schedule("hourly", "ada", Some("no more"))
        .await?;
    let nobody = bench.intendant.remove_schedule("hourly", "ada", None).await;
    ensure!(
        matches!(nobody, Err(Error::NoSchedule { .. })),
        "{nobody:?}"
    );
    ensure!(bench.ticks("hourly").await?.is_empty());
    running.stop().await?;
    // Declared again, it begins anew.
    let running = start(bench.reporter(hourly()));
    let again = bench.declared("hourly").await?;
    ensure!(again.next_at.unwrap() > Utc::now() - chrono::TimeDelta::minutes(1));
    running.stop().await?;
    bench.check().await
}

/// Ends when its gate is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slow;

impl Intent for Slow {
    const KIND: &'static str = "slow";
    const ON_FAILURE: OnFailure = OnFailure::Release;
    type Output = ();
}

async fn slow(cx: Cx<Gate>, _: Slow) -> StepResult<()> {
    cx.state().pass().await;
    Ok(())
}

async fn an_intent_waits_for_its_predecessor_and_overlapping_ones_do_not(
    bench: Bench,
) -> Result<()> {
    let gate = Gate::default();
    let (one, two) = (every_hour("one"), every_hour("two").overlapping());
    let worker = bench.worker(gate.clone()).register_step(slow);
    let worker = worker.schedule(one, |_| Slow).schedule(two, |_| Slow);
    let running = start(worker);
    for name in ["one", "two"] {
        bench.declared(name).await?;
        for _ in 0..2 {
            bench.intendant.run_schedule(name, "ada", None).await?;
        }
    }
    let one = bench.ticked("one", 2).await?;
    let two = bench.ticked("two", 2).await?;
    for tick in &two {
        bench.reach(intent(tick)?, IntentState::Running).await?;
    }
    bench.reach(intent(&one[1])?, IntentState::Running).await?;
    bench.reach(intent(&one[0])?, IntentState::Blocked).await?;
    let why = bench.intendant.why(intent(&one[0])?).await?.to_string();
    ensure!(why.contains("schedule:one"), "{why}");
    gate.open();
    for tick in one.iter().chain(&two) {
        ensure!(bench.rest(intent(tick)?).await?.state == IntentState::Succeeded);
    }
    running.stop().await?;
    bench.check().await
}

/// Refuses to begin while its predecessor is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Picky;

impl Intent for Picky {
    const KIND: &'static str = "picky";
    type Output = ();
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Reject)
    }
}

async fn picky(cx: Cx<Gate>, _: Picky) -> StepResult<()> {
    cx.state().pass().await;
    Ok(())
}

/// Is the same as its predecessor.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Same;

impl Intent for Same {
    const KIND: &'static str = "same";
    type Output = ();
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Wait)
            .with("same", Rule::Join)
            .once_started("same", Rule::Join)
    }
}

async fn same(cx: Cx<Gate>, _: Same) -> StepResult<()> {
    cx.state().pass().await;
    Ok(())
}

async fn a_tick_that_is_refused_or_joins_says_so_and_the_next_one_comes(
    bench: Bench,
) -> Result<()> {
    let gate = Gate::default();
    let (refused, joined) = (every_hour("refused"), every_hour("joined"));
    let worker = bench.worker(gate.clone());
    let worker = worker.register_step(picky).register_step(same);
    let worker = worker
        .schedule(refused, |_| Picky)
        .schedule(joined, |_| Same);
    let running = start(worker);
    for (name, state) in [
        ("refused", TickState::Rejected),
        ("joined", TickState::Joined),
    ] {
        bench.declared(name).await?;
        bench.later(name, 1).await?;
        let first = intent(&bench.ticked(name, 1).await?[0])?;
        bench.reach(first, IntentState::Running).await?;
        // Of a tick that is due, and of one by hand.
        bench.intendant.run_schedule(name, "ada", None).await?;
        let ticks = bench.ticked(name, 2).await?;
        let ours = ticks.iter().filter(|tick| tick.by_hand);
        let ours: Vec<_> = ours.collect();
        ensure!(
            ours.len() == 1 && ours[0].state == state && ours[0].intent == Some(first),
            "{ticks:?}"
        );
        let says = ours[0]
            .error
            .as_deref()
            .is_some_and(|error| error.contains("in use by"));
        ensure!(says == (state == TickState::Rejected), "{ours:?}");
        bench
            .run_sql(&format!(
                "delete from @schedule_tick where sort = 'due' and schedule = '{name}'"
            ))
            .await?;
        bench.later(name, 1).await?;
        let ticks = bench.ticked(name, 2).await?;
        ensure!(
            ticks
                .iter()
                .all(|tick| tick.state == state && tick.intent == Some(first)),
            "{ticks:?}"
        );
        // The next tick is set.
        ensure!(
            bench.schedule(name).await?.next_at.unwrap()
                > Utc::now() - chrono::TimeDelta::minutes(1)
        );
    }
    gate.open();
    bench.intendant.run_schedule("refused", "ada", None).await?;
    bench
        .until(|| async {
            let ticks = bench.ticks("refused").await?;
            Ok((ticks[0].state != TickState::Asked).then_some(()))
        })
        .await?;
    running.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Text(pub(crate) String);

impl Intent for Text {
    const KIND: &'static str = "text";
    type Output = ();
}

pub(crate) async fn nothing(_: Cx<Gate>, _: Text) -> StepResult<()> {
    Err(fail("nobody should come here"))
}

async fn two_of_one_name_in_one_worker_do_not_begin(bench: Bench) -> Result<()> {
    let twice = bench.reporter(hourly()).schedule(hourly(), report);
    let error = twice.run(std::future::pending()).await.unwrap_err();
    ensure!(error.to_string().contains("declared twice"), "{error}");
    let wrong = bench.reporter(Schedule::cron("wrong", "* * *"));
    let error = wrong.run(std::future::pending()).await;
    ensure!(
        matches!(
            &error,
            Err(Error::Schedule {
                error: ScheduleError::Cron { .. },
                ..
            })
        ),
        "{error:?}"
    );
    bench.check().await
}
