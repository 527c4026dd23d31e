//! Recovery and resume within one process: a worker is dropped in the middle, the code is fixed, the plan changes.

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, StepResult, StepState, fail, value};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    another_worker_goes_on_from_the_recorded_results;
    a_failed_intent_resumes_from_its_failed_step_with_fixed_code;
    a_step_that_the_code_no_longer_has_is_a_clear_error_and_harms_nothing;
    an_intent_goes_on_by_the_plan_that_it_started_with;
    only_a_failed_intent_can_be_resumed;
    plans_whose_shape_depends_on_the_input_run_as_planned;
    a_resumed_intent_is_not_in_its_old_lease_any_more;
    a_row_that_cannot_be_read_fails_its_intent_only;
    a_suspect_that_is_refused_does_not_stop_its_worker;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) steps: u64,
}

impl Intent for Move {
    const KIND: &'static str = "move";
    type Output = u64;
}

async fn count(cx: Cx<Counter>, before: u64) -> StepResult<u64> {
    cx.state().add();
    Ok(before + 1)
}

async fn hang(_: Cx<Counter>, _: u64) -> StepResult<u64> {
    std::future::pending().await
}

async fn breaks(_: Cx<Counter>, _: u64) -> StepResult<u64> {
    Err(fail("broken"))
}

async fn another_worker_goes_on_from_the_recorded_results(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let hanging = |_: &Move, plan: &mut Plan<Counter>| -> Node<u64> {
        let one = plan.step("one", count).input(value(0u64));
        plan.step("two", hang).input(one)
    };
    let sound = |_: &Move, plan: &mut Plan<Counter>| -> Node<u64> {
        let one = plan.step("one", count).input(value(0u64));
        plan.step("two", count).input(one)
    };
    let worker = start(bench.worker(counter.clone()).register::<Move, _>(hanging));
    let handle = bench.intendant.request(Move { steps: 2 }).await?;
    bench
        .until(|| async {
            let steps = bench.intendant.steps(handle.id()).await?;
            Ok(steps.iter().any(|step| step.name == "one").then_some(()))
        })
        .await?;
    // The plan is known while the intent is in its first lease, though only its session has it.
    let steps = bench.intendant.all_steps(handle.id()).await?;
    let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    ensure!(
        names == ["one", "two"] && steps[1].finished_at.is_none(),
        "{steps:?}"
    );
    worker.kill().await;
    let next = start(bench.worker(counter.clone()).register::<Move, _>(sound));
    ensure!(handle.output().await? == 2);
    ensure!(counter.get() == 2, "`one` did not run again");
    let events = bench.intendant.events(handle.id()).await?;
    ensure!(
        events.len() == 1 && events[0].verb == "take over" && events[0].actor == "intendant",
        "{events:?}"
    );
    let (said, detail) = (events[0].reason.as_deref(), events[0].detail.as_ref());
    let detail: serde_json::Value = serde_json::from_str(detail.unwrap().get())?;
    let expected = format!(
        "taken over after a crash of worker {}",
        detail["worker"].as_str().unwrap()
    );
    ensure!(
        said == Some(&expected) && detail["crashes"] == 1,
        "{said:?} {detail}"
    );
    next.stop().await?;
    bench.check().await
}

fn broken_plan(_: &Move, plan: &mut Plan<Counter>) -> Node<u64> {
    let one = plan.step("one", count).input(value(0u64));
    let two = plan.step("two", breaks).input(one);
    plan.step("three", count).input(two)
}

fn mended_plan(_: &Move, plan: &mut Plan<Counter>) -> Node<u64> {
    let one = plan.step("one", count).input(value(0u64));
    let two = plan.step("two", count).input(one);
    plan.step("three", count).input(two)
}

async fn a_failed_intent_resumes_from_its_failed_step_with_fixed_code(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(broken_plan));
    let handle = bench.intendant.request(Move { steps: 3 }).await?;
    ensure!(bench.rest(handle.id()).await?.failed_step.as_deref() == Some("two"));
    let before = bench.intendant.get(handle.id()).await?;
    worker.stop().await?;
    let told = async || -> Result<Vec<_>> {
        let steps = bench.intendant.all_steps(handle.id()).await?;
        let told = steps
            .into_iter()
            .map(|step| (step.name, step.state, step.error));
        Ok(told.collect())
    };
    let (one, three) = (
        ("one".to_owned(), StepState::Succeeded, None),
        ("three".to_owned(), StepState::Pending, None),
    );
    let failed = (
        "two".to_owned(),
        StepState::Failed,
        Some("broken".to_owned()),
    );
    ensure!(told().await? == [one.clone(), failed, three.clone()]);
    bench
        .intendant
        .resume(handle.id(), "ada", Some("deployed the fix"))
        .await?;
    // What it has failed with is over; its attempt keeps it.
    let pending = ("two".to_owned(), StepState::Pending, None);
    ensure!(told().await? == [one, pending, three]);
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(attempts.len() == 1 && attempts[0].error == "broken");
    let worker = start(bench.worker(counter.clone()).register(mended_plan));
    ensure!(handle.output().await? == 3);
    ensure!(counter.get() == 3, "`one` was kept");
    let after = bench.intendant.get(handle.id()).await?;
    ensure!(after.started_at == before.started_at && after.error.is_none());
    let events = bench.intendant.events(handle.id()).await?;
    ensure!(
        events[0].verb == "resume" && events[0].detail.as_ref().unwrap().get().contains("broken")
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_the_code_no_longer_has_is_a_clear_error_and_harms_nothing(
    bench: Bench,
) -> Result<()> {
    let renamed = |_: &Move, plan: &mut Plan<Counter>| -> Node<u64> {
        let one = plan.step("one", count).input(value(0u64));
        let two = plan.step("zwei", count).input(one);
        plan.step("three", count).input(two)
    };
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(broken_plan));
    let handle = bench.intendant.request(Move { steps: 3 }).await?;
    bench.rest(handle.id()).await?;
    worker.stop().await?;

    bench.intendant.resume(handle.id(), "ada", None).await?;
    let worker = start(bench.worker(counter.clone()).register::<Move, _>(renamed));
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("plan refused"),
        "{record:?}"
    );
    let expected = "the plan that this intent started with has a step `two`, and the code has none of that name; bring \
                    it back, and resume";
    ensure!(
        record.error.as_deref() == Some(expected),
        "{:?}",
        record.error
    );
    worker.stop().await?;

    bench.intendant.resume(handle.id(), "ada", None).await?;
    let worker = start(bench.worker(counter.clone()).register(mended_plan));
    ensure!(handle.output().await? == 3 && counter.get() == 3);
    worker.stop().await?;
    bench.check().await
}

async fn an_intent_goes_on_by_the_plan_that_it_started_with(bench: Bench) -> Result<()> {
    let longer = |_: &Move, plan: &mut Plan<Counter>| -> Node<u64> {
        let zero = plan.step("zero", count).input(value(10u64));
        let one = plan.step("one", count).after(zero).input(value(0u64));
        let two = plan.step("two", count).input(one);
        plan.step("three", count).input(two)
    };
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(broken_plan));
    let handle = bench.intendant.request(Move { steps: 3 }).await?;
    bench.rest(handle.id()).await?;
    worker.stop().await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    let worker = start(bench.worker(counter.clone()).register::<Move, _>(longer));
    ensure!(handle.output().await? == 3);
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(
        steps.len() == 3,
        "the new step `zero` is not part of it: {steps:?}"
    );
    // A new intent goes by the new plan.
    let new = bench.intendant.request(Move { steps: 3 }).await?;
    new.output().await?;
    ensure!(bench.intendant.steps(new.id()).await?.len() == 4);
    worker.stop().await?;
    bench.check().await
}

async fn only_a_failed_intent_can_be_resumed(bench: Bench) -> Result<()> {
    let handle = bench.intendant.request(Move { steps: 3 }).await?;
    let error = bench
        .intendant
        .resume(handle.id(), "ada", None)
        .await
        .unwrap_err();
    let expected = format!(
        "resuming intent {}: it is ready; only a failed intent can be resumed",
        handle.id()
    );
    ensure!(
        error.to_string() == expected && error.is_conflict(),
        "{error}"
    );
    let nobody = "01890000-0000-7000-8000-000000000000".parse()?;
    let error = bench
        .intendant
        .resume(nobody, "ada", None)
        .await
        .unwrap_err();
    ensure!(error.is_not_found(), "{error}");
    let worker = start(bench.worker(Counter::default()).register(mended_plan));
    handle.output().await?;
    ensure!(
        bench
            .intendant
            .resume(handle.id(), "ada", None)
            .await
            .unwrap_err()
            .is_conflict()
    );
    ensure!(
        handle.state().await? == IntentState::Succeeded
            && bench.intendant.events(handle.id()).await?.is_empty()
    );
    worker.stop().await?;
    bench.check().await
}

async fn plans_whose_shape_depends_on_the_input_run_as_planned(bench: Bench) -> Result<()> {
    let chain = |intent: &Move, plan: &mut Plan<Counter>| -> Node<u64> {
        let mut node = plan.step("step-0", count).input(value(0u64));
        for step in 1..intent.steps {
            node = plan.step(format!("step-{step}"), count).input(node);
        }
        node
    };
    let ids = bench
        .intendant
        .request_all((0..60).map(|n| Move { steps: n % 4 + 1 }))
        .await?;
    // Killed in the middle, so that reaped intents of every shape are taken over.
    let first = start(
        bench
            .worker(Counter::default())
            .register::<Move, _>(chain)
            .concurrency(8),
    );
    bench.rest(ids[5]).await?;
    first.kill().await;
    let worker = start(bench.worker(Counter::default()).register::<Move, _>(chain));
    for (id, n) in ids.into_iter().zip(0u64..) {
        let record = bench.rest(id).await?;
        let output = record.output.map(|output| output.get().to_owned());
        ensure!(
            output == Some((n % 4 + 1).to_string()),
            "{output:?} {:?}",
            record.error
        );
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_resumed_intent_is_not_in_its_old_lease_any_more(bench: Bench) -> Result<()> {
    // One claim takes both; the one that fails is resumed while the other keeps the lease.
    let step = async |cx: Cx<Counter>, intent: Move| -> StepResult<u64> {
        if intent.steps == 1 {
            return if cx.state().add() == 1 {
                Err(fail("first time"))
            } else {
                Ok(1)
            };
        }
        cx.stopping().await;
        cx.exit_point().await?;
        Ok(2)
    };
    let ids = bench
        .intendant
        .request_all([Move { steps: 1 }, Move { steps: 2 }])
        .await?;
    let worker = start(
        bench
            .worker(Counter::default())
            .register_step::<Move, u64, _>(step),
    );
    bench.rest(ids[0]).await?;
    worker.kill().await;
    bench.intendant.resume(ids[0], "tests", None).await?;
    bench.check().await?;
    let next = start(
        bench
            .worker(Counter::default())
            .register_step::<Move, u64, _>(step),
    );
    bench.reach(ids[1], IntentState::Running).await?;
    bench.rest(ids[0]).await?;
    next.stop().await?;
    bench.check().await
}

async fn a_row_that_cannot_be_read_fails_its_intent_only(bench: Bench) -> Result<()> {
    let ids = bench
        .intendant
        .request_all((0..20).map(|_| Move { steps: 3 }))
        .await?;
    // PostgreSQL keeps JSON that is not JSON out by itself; there it is JSON of another shape.
    let spoiled = match bench.database.kind {
        intendant::StoreKind::Sqlite => "{\"steps",
        intendant::StoreKind::Postgres => "[]",
    };
    let spoil = format!(
        "update @intent set input = '{spoiled}' where id = '{}'",
        ids[7]
    );
    bench.run_sql(&spoil).await?;
    let worker = start(bench.worker(Counter::default()).register(mended_plan));
    for (id, n) in ids.iter().zip(0..) {
        let state = bench
            .until(|| async {
                Ok(Some(bench.intendant.state(*id).await?).filter(|s| s.is_finished()))
            })
            .await?;
        ensure!(
            state
                == if n == 7 {
                    IntentState::Failed
                } else {
                    IntentState::Succeeded
                },
            "{n} is {state}"
        );
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_suspect_that_is_refused_does_not_stop_its_worker(bench: Bench) -> Result<()> {
    // After three crashes a suspect is watched until it makes progress; this one never runs at all.
    let suspect = bench.intendant.request(Move { steps: 3 }).await?;
    let spoil = format!(
        "update @intent set input = '[]' where id = '{}'",
        suspect.id()
    );
    bench.run_sql(&spoil).await?;
    bench.run_sql("update @ready set crashes = 3").await?;
    let worker = start(bench.worker(Counter::default()).register(mended_plan));
    ensure!(bench.rest(suspect.id()).await?.reason.as_deref() == Some("undecodable"));
    let next = bench.intendant.request(Move { steps: 3 }).await?;
    ensure!(bench.rest(next.id()).await?.state == IntentState::Succeeded);
    worker.stop().await?;
    bench.check().await
}
