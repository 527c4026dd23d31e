//! Limits of what sleeps or waits for a message: nobody holds it, and it ends all the same.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentRecord, IntentState, Node, Plan, StepResult, StepState, value};
use serde::{Deserialize, Serialize};

use crate::limits::Short;
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    an_intent_that_sleeps_ends_at_its_limit;
    an_intent_that_waits_for_a_message_ends_at_its_limit;
    a_step_that_waits_for_a_message_ends_at_its_limit;
    a_resume_waits_again_for_the_message_with_a_fresh_limit;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asks {}

impl Intent for Asks {
    const KIND: &'static str = "asks";
    type Output = u64;
}

const HOUR: Duration = Duration::from_secs(3_600);

fn sleeps(_: &Short, plan: &mut Plan<Counter>) -> Node<u64> {
    plan.sleep("rest", HOUR).input(value(1u64))
}

fn listens(_: &Short, plan: &mut Plan<Counter>) -> Node<u64> {
    plan.signal::<u64>("answer").input(())
}

/// Two waits by names, with a limit over both.
async fn asks(cx: Cx<Counter>, _: ()) -> StepResult<u64> {
    cx.state().add();
    let first = cx.signal::<u64>("first").within(HOUR).await?;
    let second = cx.signal::<u64>("second").await?;
    Ok(first.unwrap_or_default() + second)
}

fn limited(_: &Asks, plan: &mut Plan<Counter>) -> Node<u64> {
    plan.step("ask", asks)
        .total_limit(Duration::from_millis(700))
        .input(())
}

async fn ends(bench: &Bench, id: intendant::IntentId, reason: &str) -> Result<IntentRecord> {
    let record = bench.rest(id).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(record.reason.as_deref() == Some(reason), "{record:?}");
    Ok(record)
}

async fn an_intent_that_sleeps_ends_at_its_limit(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Counter::default()).register(sleeps));
    let handle = bench.intendant.request(Short {}).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    ends(&bench, handle.id(), "intent limit").await?;
    worker.stop().await?;
    bench.check().await
}

async fn an_intent_that_waits_for_a_message_ends_at_its_limit(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Counter::default()).register(listens));
    let handle = bench.intendant.request(Short {}).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    ends(&bench, handle.id(), "intent limit").await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_waits_for_a_message_ends_at_its_limit(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(limited));
    let handle = bench.intendant.request(Asks {}).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    bench.intendant.signal(handle.id(), "first", &1u64).await?;
    let record = ends(&bench, handle.id(), "step limit").await?;
    ensure!(record.failed_step.as_deref() == Some("ask"), "{record:?}");
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(steps[0].state == StepState::Failed, "{steps:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_resume_waits_again_for_the_message_with_a_fresh_limit(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(limited));
    let handle = bench.intendant.request(Asks {}).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    ends(&bench, handle.id(), "step limit").await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    for (name, number) in [("first", 1u64), ("second", 2)] {
        bench.intendant.signal(handle.id(), name, &number).await?;
    }
    ensure!(handle.output().await? == 3);
    worker.stop().await?;
    bench.check().await
}
