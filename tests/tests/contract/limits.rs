//! Limits of a step over all its attempts, and of an intent from its start: what reaches one fails with a reason that says
//! which, whoever drives it by then.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Intent, IntentState, Node, OnFailure, Plan, StepResult, StepState, fail, snooze, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_step_that_is_tried_for_longer_than_its_limit_fails_with_that_reason;
    a_step_that_polls_for_ever_ends_at_its_limit;
    a_limit_survives_a_take_over;
    a_resume_begins_the_limits_anew;
    an_intent_at_its_limit_stops_what_runs_and_says_so;
    an_intent_at_its_limit_cancels_the_children_that_it_waits_for;
    an_intent_at_its_limit_is_taken_back_where_its_kind_wants_that;
    what_is_done_in_time_knows_nothing_of_limits;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Poll {}

impl Intent for Poll {
    const KIND: &'static str = "poll";
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Short {}

impl Intent for Short {
    const KIND: &'static str = "short";
    const TIME_LIMIT: Option<Duration> = Some(Duration::from_millis(2_000));
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Undone {}

impl Intent for Undone {
    const KIND: &'static str = "undone";
    const TIME_LIMIT: Option<Duration> = Some(Duration::from_millis(2_000));
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hourly {}

impl Intent for Hourly {
    const KIND: &'static str = "hourly";
    const TIME_LIMIT: Option<Duration> = Some(Duration::from_secs(3_600));
    type Output = u64;
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) async fn refuses(cx: Cx<Counter>, _: u64) -> StepResult<u64> {
    cx.state().add();
    Err(std::io::Error::other("connection refused").into())
}

pub(crate) async fn not_ready(cx: Cx<Counter>, _: u64) -> StepResult<u64> {
    cx.state().add();
    Err(snooze(ms(30)))
}

pub(crate) async fn hangs(cx: Cx<Counter>, _: u64) -> StepResult<u64> {
    cx.state().add();
    std::future::pending().await
}

pub(crate) async fn counts(cx: Cx<Counter>, before: u64) -> StepResult<u64> {
    cx.state().add();
    Ok(before + 1)
}

pub(crate) async fn uncounts(cx: Cx<Counter>, _: u64, _: Option<u64>) -> StepResult<()> {
    cx.state().add();
    Ok(())
}

fn tries(_: &Poll, plan: &mut Plan<Counter>) -> Node<u64> {
    plan.step("try", refuses)
        .attempts(1_000_000)
        .backoff(ms(10), ms(50))
        .total_limit(ms(400))
        .input(value(0u64))
}

fn polls(_: &Poll, plan: &mut Plan<Counter>) -> Node<u64> {
    plan.step("poll", not_ready)
        .total_limit(ms(400))
        .input(value(0u64))
}

async fn a_step_that_is_tried_for_longer_than_its_limit_fails_with_that_reason(
    bench: Bench,
) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(tries));
    let handle = bench.intendant.request(Poll {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.reason.as_deref() == Some("step limit"), "{record:?}");
    ensure!(record.failed_step.as_deref() == Some("try"));
    let error = record.error.unwrap_or_default();
    ensure!(error.contains("limit of 400ms for all attempts"), "{error}");
    ensure!(counter.get() > 1, "it was tried more than once");
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(attempts.iter().all(|a| a.error == "connection refused") || error.contains("result"));
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_polls_for_ever_ends_at_its_limit(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(polls));
    let handle = bench.intendant.request(Poll {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.reason.as_deref() == Some("step limit"), "{record:?}");
    let expected = "it has no result within its limit of 400ms for all attempts";
    ensure!(record.error.as_deref() == Some(expected), "{record:?}");
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(steps[0].state == StepState::Failed, "{steps:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_limit_survives_a_take_over(bench: Bench) -> Result<()> {
    // Each worker has it for less than the limit, all together for longer.
    let plan = |_: &Poll, plan: &mut Plan<Counter>| -> Node<u64> {
        plan.step("poll", not_ready)
            .total_limit(Duration::from_secs(3_600))
            .input(value(0u64))
    };
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register::<Poll, _>(plan));
    let handle = bench.intendant.request(Poll {}).await?;
    bench
        .until(|| async { Ok((counter.get() > 1).then_some(())) })
        .await?;
    worker.kill().await;
    // The hour passes.
    let hour = match bench.database.kind {
        intendant::StoreKind::Sqlite => "begun_at - 3600000000",
        intendant::StoreKind::Postgres => "begun_at - interval '1 hour'",
    };
    bench
        .run_sql(&format!("update @step set begun_at = {hour}"))
        .await?;
    let tried = counter.get();
    let worker = start(bench.worker(counter.clone()).register::<Poll, _>(plan));
    let record = bench.rest(handle.id()).await?;
    ensure!(record.reason.as_deref() == Some("step limit"), "{record:?}");
    ensure!(counter.get() == tried, "it did not run again");
    worker.stop().await?;
    bench.check().await
}

async fn a_resume_begins_the_limits_anew(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let plan = |_: &Hourly, plan: &mut Plan<Counter>| -> Node<u64> {
        // The first time, it hangs until the step's limit; after the resume it has time.
        let run = async |cx: Cx<Counter>, n: u64| -> StepResult<u64> {
            if cx.state().add() == 1 {
                return std::future::pending().await;
            }
            Ok(n)
        };
        plan.step("run", run)
            .attempts(1)
            .total_limit(ms(300))
            .input(value(7u64))
    };
    let worker = start(bench.worker(counter.clone()).register::<Hourly, _>(plan));
    let handle = bench.intendant.request(Hourly {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.reason.as_deref() == Some("step limit"), "{record:?}");
    // Long ago, as far as the limits go.
    let hours = match bench.database.kind {
        intendant::StoreKind::Sqlite => "7200000000",
        intendant::StoreKind::Postgres => "interval '2 hours'",
    };
    let back = format!(
        "update @outcome set requested_at = requested_at - {hours}, started_at = started_at - {hours}; \
         update @intent set requested_at = requested_at - {hours}"
    );
    bench.run_sql(&back).await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == 7);
    worker.stop().await?;
    bench.check().await
}

async fn an_intent_at_its_limit_stops_what_runs_and_says_so(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(
        bench
            .worker(counter.clone())
            .register_step::<Short, u64, _>(async |cx: Cx<Counter>, _: Short| hangs(cx, 0).await),
    );
    let handle = bench.intendant.request(Short {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("intent limit") && record.failed_step.is_none(),
        "{record:?}"
    );
    let expected = "it was not done within its limit of 2s, counted from its start";
    ensure!(record.error.as_deref() == Some(expected), "{record:?}");
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 1 && attempts[0].error == "was stopped at the intent's limit of 2s",
        "{attempts:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn an_intent_at_its_limit_cancels_the_children_that_it_waits_for(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let asks =
        async |cx: Cx<Counter>, _: Short| -> StepResult<u64> { cx.child("poll", Poll {}).await };
    let endless = |_: &Poll, plan: &mut Plan<Counter>| -> Node<u64> {
        plan.step("poll", not_ready).input(value(0u64))
    };
    let worker = start(
        bench
            .worker(counter.clone())
            .register_step::<Short, u64, _>(asks)
            .register::<Poll, _>(endless),
    );
    let handle = bench.intendant.request(Short {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("intent limit"),
        "{record:?}"
    );
    let children = bench.intendant.children(handle.id()).await?;
    let child = bench.intendant.get(children[0].id).await?;
    ensure!(child.state == IntentState::Cancelled, "{child:?}");
    let error = child.error.unwrap_or_default();
    ensure!(
        error.contains("its parent") && error.contains("limit of 2s"),
        "{error}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn an_intent_at_its_limit_is_taken_back_where_its_kind_wants_that(
    bench: Bench,
) -> Result<()> {
    let counter = Counter::default();
    let plan = |_: &Undone, plan: &mut Plan<Counter>| -> Node<u64> {
        let one = plan.step("one", counts).undo(uncounts).input(value(0u64));
        plan.step("two", not_ready).input(one)
    };
    let worker = start(bench.worker(counter.clone()).register::<Undone, _>(plan));
    let handle = bench.intendant.request(Undone {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("intent limit"),
        "{record:?}"
    );
    let steps = bench.intendant.steps(handle.id()).await?;
    let one = steps.iter().find(|step| step.name == "one");
    ensure!(
        one.is_some_and(|one| one.state == StepState::Undone),
        "{steps:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn what_is_done_in_time_knows_nothing_of_limits(bench: Bench) -> Result<()> {
    let plan = |_: &Poll, plan: &mut Plan<Counter>| -> Node<u64> {
        let one = plan
            .step("one", counts)
            .total_limit(Duration::from_secs(60))
            .input(value(0u64));
        plan.step("two", async |cx: Cx<Counter>, n: u64| -> StepResult<u64> {
            match cx.state().add() {
                2 => Err(fail("broken")),
                _ => Ok(n + 1),
            }
        })
        .total_limit(Duration::from_secs(60))
        .input(one)
    };
    let worker = start(bench.worker(Counter::default()).register::<Poll, _>(plan));
    let handle = bench.intendant.request(Poll {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("step failed")
            && record.error.as_deref() == Some("broken"),
        "{record:?}"
    );
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == 2);
    worker.stop().await?;
    bench.check().await
}
