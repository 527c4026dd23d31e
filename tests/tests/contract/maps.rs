//! Maps: a step for each element of what an earlier step has come to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, StepResult, StepState, fail, limits, value};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    each_element_is_a_step_and_the_results_are_in_order;
    a_list_without_elements_comes_to_one_without_results;
    a_map_of_a_map_takes_its_results;
    no_more_elements_run_at_once_than_allowed;
    an_element_is_retried_by_itself;
    a_failed_element_is_resumed_and_the_others_are_kept;
    elements_that_are_recorded_do_not_run_again_after_a_crash;
    plans_of_lists_of_any_length_have_one_shape;
    more_elements_than_a_plan_has_steps_are_a_clear_error;
    an_element_can_wait_for_children;
}

/// Numbers from one on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Numbers(u64);

impl Intent for Numbers {
    const KIND: &'static str = "numbers";
    type Output = Vec<u64>;
}

async fn list<S>(_: Cx<S>, count: u64) -> StepResult<Vec<u64>> {
    Ok((1..=count).collect())
}

async fn double<S>(_: Cx<S>, number: u64) -> StepResult<u64> {
    Ok(number * 2)
}

fn doubled(count: u64) -> Vec<u64> {
    (1..=count).map(|number| number * 2).collect()
}

fn doubles<S: Send + Sync + 'static>(numbers: &Numbers, plan: &mut Plan<S>) -> Node<Vec<u64>> {
    let numbers = plan.step("list", list::<S>).input(value(numbers.0));
    plan.map("double", double::<S>).input(numbers)
}

async fn each_element_is_a_step_and_the_results_are_in_order(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register::<Numbers, _>(doubles));
    let handle = bench.intendant.request(Numbers(25)).await?;
    ensure!(handle.output().await? == doubled(25));
    let steps = bench.intendant.all_steps(handle.id()).await?;
    ensure!(steps.len() == 27 && steps.iter().all(|step| step.state == StepState::Succeeded));
    let output = |name: &str| {
        let step = steps.iter().find(|step| step.name == name);
        step.and_then(|step| step.output.as_ref().map(|output| output.get().to_owned()))
    };
    ensure!(output("double[0]").as_deref() == Some("2"));
    ensure!(output("double[24]").as_deref() == Some("50"));
    ensure!(output("double").is_some_and(|list| list.starts_with("[2,4,")));
    worker.stop().await?;
    bench.check().await
}

async fn a_list_without_elements_comes_to_one_without_results(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register::<Numbers, _>(doubles));
    let handle = bench.intendant.request(Numbers(0)).await?;
    ensure!(handle.output().await? == Vec::<u64>::new());
    worker.stop().await?;
    bench.check().await
}

async fn a_map_of_a_map_takes_its_results(bench: Bench) -> Result<()> {
    let plan = |numbers: &Numbers, plan: &mut Plan<()>| -> Node<Vec<u64>> {
        // The first list is a value, so it is known from the beginning.
        let numbers: Vec<u64> = (1..=numbers.0).collect();
        let once = plan.map("once", double).input(value(numbers));
        plan.map("twice", double).input(once)
    };
    let worker = start(bench.worker(()).register::<Numbers, _>(plan));
    let handle = bench.intendant.request(Numbers(5)).await?;
    ensure!(handle.output().await? == [4, 8, 12, 16, 20]);
    worker.stop().await?;
    bench.check().await
}

#[derive(Clone, Default)]
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

async fn crowd(cx: Cx<Crowd>, number: u64) -> StepResult<u64> {
    let now = cx.state().now.fetch_add(1, Ordering::SeqCst) + 1;
    cx.state().most.fetch_max(now, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(3)).await;
    cx.state().now.fetch_sub(1, Ordering::SeqCst);
    Ok(number)
}

async fn no_more_elements_run_at_once_than_allowed(bench: Bench) -> Result<()> {
    let plan = |numbers: &Numbers, plan: &mut Plan<Crowd>| -> Node<Vec<u64>> {
        let numbers = plan.step("list", list).input(value(numbers.0));
        plan.map("crowd", crowd).at_most(3).input(numbers)
    };
    let crowd = Crowd::default();
    let worker = bench.worker(crowd.clone()).register::<Numbers, _>(plan);
    let worker = start(worker);
    let handle = bench.intendant.request(Numbers(40)).await?;
    ensure!(handle.output().await?.len() == 40);
    ensure!(crowd.most.load(Ordering::SeqCst) == 3, "{:?}", crowd.most);
    worker.stop().await?;
    bench.check().await
}

async fn an_element_is_retried_by_itself(bench: Bench) -> Result<()> {
    async fn fickle(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
        cx.state().add();
        if number == 3 && cx.attempt() < 3 {
            return Err(std::io::Error::other("a cold start").into());
        }
        Ok(number)
    }
    let plan = |numbers: &Numbers, plan: &mut Plan<Counter>| -> Node<Vec<u64>> {
        let numbers = plan.step("list", list).input(value(numbers.0));
        let soon = Duration::from_millis(5);
        plan.map("fickle", fickle)
            .at_most(2)
            .backoff(soon, soon)
            .input(numbers)
    };
    let runs = Counter::default();
    let worker = bench.worker(runs.clone()).register::<Numbers, _>(plan);
    let worker = start(worker);
    let handle = bench.intendant.request(Numbers(6)).await?;
    ensure!(handle.output().await? == [1, 2, 3, 4, 5, 6] && runs.get() == 8);
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(attempts.len() == 2 && attempts.iter().all(|attempt| attempt.step == "fickle[2]"));
    worker.stop().await?;
    bench.check().await
}

async fn a_failed_element_is_resumed_and_the_others_are_kept(bench: Bench) -> Result<()> {
    async fn broken(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
        match (number, cx.state().add()) {
            // The last one starts when the others are done, and fails the first time.
            (5, 5) => Err(fail("out of paper")),
            _ => Ok(number),
        }
    }
    let plan = |numbers: &Numbers, plan: &mut Plan<Counter>| -> Node<Vec<u64>> {
        let numbers = plan.step("list", list).input(value(numbers.0));
        plan.map("print", broken).at_most(1).input(numbers)
    };
    let runs = Counter::default();
    let worker = start(bench.worker(runs.clone()).register::<Numbers, _>(plan));
    let handle = bench.intendant.request(Numbers(5)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.failed_step.as_deref() == Some("print[4]"),
        "{record:?}"
    );
    ensure!(record.error.as_deref() == Some("out of paper"));
    bench.intendant.resume(handle.id(), "tests", None).await?;
    ensure!(handle.output().await? == [1, 2, 3, 4, 5] && runs.get() == 6);
    worker.stop().await?;
    bench.check().await
}

async fn elements_that_are_recorded_do_not_run_again_after_a_crash(bench: Bench) -> Result<()> {
    async fn slow(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
        cx.state().add();
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(number)
    }
    let plan = |numbers: &Numbers, plan: &mut Plan<Counter>| -> Node<Vec<u64>> {
        let numbers = plan.step("list", list).input(value(numbers.0));
        plan.map("slow", slow).at_most(4).input(numbers)
    };
    let runs = Counter::default();
    let begin = || start(bench.worker(runs.clone()).register::<Numbers, _>(plan));
    let handle = bench.intendant.request(Numbers(120)).await?;
    let mut worker = begin();
    for recorded in [1, 40, 90] {
        bench
            .until(|| async {
                let steps = bench.number("select count(*) from @step").await?;
                Ok((steps >= recorded).then_some(()))
            })
            .await?;
        worker.kill().await;
        worker = begin();
    }
    bench.rest(handle.id()).await?;
    ensure!(handle.output().await? == (1..=120).collect::<Vec<_>>());
    // What ran when its worker was killed, and what had not been written yet, ran again; nothing else did.
    ensure!((120..180).contains(&runs.get()), "{} runs", runs.get());
    worker.stop().await?;
    bench.check().await
}

async fn plans_of_lists_of_any_length_have_one_shape(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register::<Numbers, _>(doubles));
    for count in [0, 1, 7, 40] {
        bench
            .intendant
            .request(Numbers(count))
            .await?
            .output()
            .await?;
    }
    ensure!(bench.number("select count(*) from @plan").await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn more_elements_than_a_plan_has_steps_are_a_clear_error(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register::<Numbers, _>(doubles));
    // Beside `list` and `double`.
    let most = limits::PLAN_STEPS as u64 - 2;
    let handle = bench.intendant.request(Numbers(most + 1)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed && record.failed_step.as_deref() == Some("double"));
    let error = record.error.unwrap_or_default();
    let expected = "the list has 9999 elements, which makes 10001 steps; the limit is 10000";
    ensure!(error.starts_with(expected), "{error}");
    worker.stop().await?;
    bench.check().await
}

async fn an_element_can_wait_for_children(bench: Bench) -> Result<()> {
    async fn ask(cx: Cx<()>, number: u64) -> StepResult<u64> {
        let below = cx.child("below", Numbers(number)).await?;
        Ok(below.into_iter().sum())
    }
    #[derive(Serialize, Deserialize)]
    struct Sums(u64);
    impl Intent for Sums {
        const KIND: &'static str = "sums";
        type Output = Vec<u64>;
    }
    let sums = |sums: &Sums, plan: &mut Plan<()>| -> Node<Vec<u64>> {
        let numbers = plan.step("list", list).input(value(sums.0));
        plan.map("sum", ask).at_most(5).input(numbers)
    };
    let worker = bench.worker(()).register::<Numbers, _>(doubles);
    let worker = start(worker.register::<Sums, _>(sums));
    let handle = bench.intendant.request(Sums(12)).await?;
    let expected: Vec<u64> = (1..=12).map(|n| n * (n + 1)).collect();
    ensure!(handle.output().await? == expected);
    let children = bench.intendant.children(handle.id()).await?;
    ensure!(children.len() == 12 && children.iter().any(|child| child.step == "sum[11]"));
    worker.stop().await?;
    bench.check().await
}
