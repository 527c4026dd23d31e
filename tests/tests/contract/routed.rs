//! Routed steps: a step that names another queue runs on the workers of that queue, and its intent goes on when it is done.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, StepResult, StepState, fail, value};
use serde::{Deserialize, Serialize};

use crate::elsewhere::{MakePlan, Server, home, network, worker};
use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    a_step_that_names_a_queue_runs_on_a_worker_of_that_queue;
    one_worker_that_serves_both_queues_carries_out_everything;
    a_step_that_names_the_queue_of_its_intent_is_an_ordinary_one;
    branches_in_other_queues_and_at_home_run_side_by_side;
    without_a_worker_for_the_queue_it_waits_for_one;
    a_failed_attempt_is_tried_again_in_the_queue;
    a_step_that_fails_for_good_fails_its_intent_and_is_sent_again_when_that_is_resumed;
    an_intent_that_fails_has_no_outcome_before_its_routed_steps_have_ended;
    an_intent_that_fails_takes_back_what_nobody_has_begun_and_a_resume_sends_it_anew;
    an_intent_that_fails_does_not_wait_for_a_retry_in_another_queue;
    the_elements_of_a_map_run_in_its_queue;
    more_elements_than_may_be_away_are_sent_as_others_end;
    a_routed_step_cannot_ask_for_children;
}

/// What the steps of a test have done, and what they wait for.
#[derive(Debug, Clone, Default)]
struct Place {
    runs: Counter,
    gate: Gate,
}

async fn boot<S>(_: Cx<S>, server: u64) -> StepResult<u64> {
    Ok(server)
}

async fn attach(cx: Cx<Place>, server: u64) -> StepResult<u64> {
    cx.state().runs.add();
    Ok(server + 100)
}

async fn join<S>(_: Cx<S>, address: u64) -> StepResult<u64> {
    Ok(address + 1_000)
}

fn plan(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    let booted = plan.step("boot", boot).input(value(server.0));
    let address = plan.step("address", attach).queue("network").input(booted);
    plan.step("join", join).input(address)
}

async fn a_step_that_names_a_queue_runs_on_a_worker_of_that_queue(bench: Bench) -> Result<()> {
    let (here, there) = (Place::default(), Place::default());
    let workers = [home(&bench, &here, plan), network(&bench, &there, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    ensure!(handle.output().await? == 1_107);
    ensure!((here.runs.get(), there.runs.get()) == (0, 1));
    let steps = bench.intendant.steps(handle.id()).await?;
    let by: Vec<_> = steps
        .iter()
        .map(|step| {
            (
                step.name.as_str(),
                step.worker.as_deref(),
                step.queue.as_deref(),
            )
        })
        .collect();
    ensure!(
        by == [
            ("boot", Some("home"), None),
            ("address", Some("network"), Some("network")),
            ("join", Some("home"), None),
        ],
        "{by:?}"
    );
    for worker in workers {
        worker.stop().await?;
    }
    ensure!(bench.number("select count(*) from @routed").await? == 0);
    ensure!(bench.number("select count(*) from @wait").await? == 0);
    bench.check().await
}

async fn one_worker_that_serves_both_queues_carries_out_everything(bench: Bench) -> Result<()> {
    let place = Place::default();
    let worker = worker(&bench, &place, "both", plan).queue("network", 2);
    let worker = start(worker);
    let mut handles = Vec::new();
    for number in 0..50 {
        handles.push(bench.intendant.request(Server(number)).await?);
    }
    for (handle, number) in handles.into_iter().zip(0..) {
        ensure!(handle.output().await? == 1_100 + number);
    }
    ensure!(place.runs.get() == 50);
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_names_the_queue_of_its_intent_is_an_ordinary_one(bench: Bench) -> Result<()> {
    let plan: MakePlan<Place> = |server, plan| {
        plan.step("address", attach)
            .queue("default")
            .input(value(server.0))
    };
    let place = Place::default();
    let worker = home(&bench, &place, plan);
    let handle = bench.intendant.request(Server(7)).await?;
    ensure!(handle.output().await? == 107);
    ensure!(
        bench
            .number("select count(*) from @step where queue is not null")
            .await?
            == 0
    );
    worker.stop().await?;
    bench.check().await
}

async fn branches_in_other_queues_and_at_home_run_side_by_side(bench: Bench) -> Result<()> {
    async fn gated(cx: Cx<Place>, number: u64) -> StepResult<u64> {
        // Nobody gets on before all three are there.
        if cx.state().runs.add() == 3 {
            cx.state().gate.open();
        }
        cx.state().gate.pass().await;
        Ok(number)
    }
    async fn sum(_: Cx<Place>, parts: (u64, u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1 + parts.2)
    }
    let plan: MakePlan<Place> = |server, plan| {
        let one = plan
            .step("one", gated)
            .queue("network")
            .input(value(server.0));
        let two = plan.step("two", gated).queue("network").input(value(20u64));
        let here = plan.step("here", gated).input(value(300u64));
        plan.step("sum", sum).input((one, two, here))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(1)).await?;
    ensure!(handle.output().await? == 321 && place.runs.get() == 3);
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

async fn without_a_worker_for_the_queue_it_waits_for_one(bench: Bench) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, plan);
    let handle = bench.intendant.request(Server(7)).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let why = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(
        why.starts_with("`address` is in queue `network` since ")
            && why.contains(
                ": no live worker serves queue `network`; next in line for a worker of queue"
            ),
        "{why}"
    );
    bench.check().await?;
    let network = network(&bench, &place, plan);
    ensure!(handle.output().await? == 1_107);
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn a_failed_attempt_is_tried_again_in_the_queue(bench: Bench) -> Result<()> {
    async fn fickle(cx: Cx<Place>, server: u64) -> StepResult<u64> {
        match (cx.state().runs.add(), cx.attempt()) {
            (1, 1) | (2, 2) => Err(std::io::Error::other("a cold start").into()),
            (3, 3) => Ok(server),
            other => Err(fail(format!("{other:?}"))),
        }
    }
    let plan: MakePlan<Place> = |server, plan| {
        let soon = Duration::from_millis(5);
        plan.step("address", fickle)
            .queue("network")
            .backoff(soon, soon)
            .input(value(server.0))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    ensure!(handle.output().await? == 7 && place.runs.get() == 3);
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(attempts.len() == 2 && attempts.iter().all(|attempt| attempt.worker == "network"));
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

async fn a_step_that_fails_for_good_fails_its_intent_and_is_sent_again_when_that_is_resumed(
    bench: Bench,
) -> Result<()> {
    async fn picky(cx: Cx<Place>, server: u64) -> StepResult<u64> {
        match cx.state().runs.add() {
            1 => Err(fail("no address is left")),
            _ => Ok(server),
        }
    }
    let plan: MakePlan<Place> = |server, plan| {
        let booted = plan.step("boot", boot).input(value(server.0));
        plan.step("address", picky).queue("network").input(booted)
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(record.failed_step.as_deref() == Some("address"));
    ensure!(record.error.as_deref() == Some("no address is left"));
    bench.check().await?;
    bench.intendant.resume(handle.id(), "tests", None).await?;
    ensure!(handle.output().await? == 7 && place.runs.get() == 2);
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

async fn an_intent_that_fails_has_no_outcome_before_its_routed_steps_have_ended(
    bench: Bench,
) -> Result<()> {
    async fn slow(cx: Cx<Place>, server: u64) -> StepResult<u64> {
        cx.state().runs.add();
        cx.state().gate.pass().await;
        Ok(server)
    }
    async fn broken(cx: Cx<Place>, _: u64) -> StepResult<u64> {
        // What nobody has begun would be taken back.
        while cx.state().runs.get() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(fail("out of order"))
    }
    async fn sum(_: Cx<Place>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    let plan: MakePlan<Place> = |server, plan| {
        let away = plan
            .step("away", slow)
            .queue("network")
            .input(value(server.0));
        let here = plan.step("here", broken).input(value(1u64));
        plan.step("sum", sum).input((away, here))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    bench
        .until(|| async { Ok((place.runs.get() == 1).then_some(())) })
        .await?;
    let failed = "select count(*) from @step where state = 'failed'";
    ensure!(bench.number(failed).await? == 1);
    ensure!(bench.intendant.state(handle.id()).await? == IntentState::Waiting);
    place.gate.open();
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed && record.failed_step.as_deref() == Some("here"));
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

async fn an_intent_that_fails_takes_back_what_nobody_has_begun_and_a_resume_sends_it_anew(
    bench: Bench,
) -> Result<()> {
    async fn broken_once(cx: Cx<Place>, number: u64) -> StepResult<u64> {
        match cx.state().runs.add() {
            1 => Err(fail("out of order")),
            _ => Ok(number),
        }
    }
    async fn add(_: Cx<Place>, number: u64) -> StepResult<u64> {
        Ok(number + 100)
    }
    async fn sum(_: Cx<Place>, parts: (u64, u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1 + parts.2)
    }
    let plan: MakePlan<Place> = |server, plan| {
        let one = plan
            .step("one", add)
            .queue("network")
            .input(value(server.0));
        let two = plan
            .step("two", add)
            .queue("nowhere")
            .input(value(1_000u64));
        let paused = plan
            .sleep("pause", Duration::from_millis(30))
            .input(value(0u64));
        let here = plan.step("here", broken_once).input(paused);
        plan.step("sum", sum).input((one, two, here))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    // Nobody serves one of the queues, and nobody waits for that.
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed && record.failed_step.as_deref() == Some("here"));
    ensure!(bench.number("select count(*) from @routed").await? == 0);
    let pending = "select count(*) from @step where name = 'two' and state = 'pending'";
    ensure!(bench.number(pending).await? == 1);
    bench.check().await?;
    bench.intendant.resume(handle.id(), "tests", None).await?;
    let nowhere = worker(&bench, &place, "nowhere", plan).queue("nowhere", 1);
    let nowhere = start(nowhere.only_named_queues());
    ensure!(handle.output().await? == 1_207);
    for worker in workers {
        worker.stop().await?;
    }
    nowhere.stop().await?;
    bench.check().await
}

async fn an_intent_that_fails_does_not_wait_for_a_retry_in_another_queue(
    bench: Bench,
) -> Result<()> {
    async fn never(cx: Cx<Place>, _: u64) -> StepResult<u64> {
        cx.state().gate.open();
        Err(std::io::Error::other("not today").into())
    }
    async fn broken(cx: Cx<Place>, _: u64) -> StepResult<u64> {
        cx.state().gate.pass().await;
        Err(fail("out of order"))
    }
    async fn sum(_: Cx<Place>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    let plan: MakePlan<Place> = |server, plan| {
        let hour = Duration::from_secs(3_600 * 1_000);
        let never = plan.step("never", never).queue("network");
        let away = never.backoff(hour, hour).input(value(server.0));
        let here = plan.step("here", broken).input(value(1u64));
        plan.step("sum", sum).input((away, here))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.failed_step.as_deref() == Some("here"), "{record:?}");
    ensure!(bench.intendant.attempts(handle.id()).await?.len() == 2);
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

/// Numbers from one on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Numbers(u64);

impl Intent for Numbers {
    const KIND: &'static str = "numbers";
    type Output = Vec<u64>;
}

async fn list(_: Cx<Counter>, count: u64) -> StepResult<Vec<u64>> {
    Ok((1..=count).collect())
}

async fn double(cx: Cx<Counter>, number: u64) -> StepResult<u64> {
    cx.state().add();
    Ok(number * 2)
}

fn doubles(numbers: &Numbers, plan: &mut Plan<Counter>) -> Node<Vec<u64>> {
    let numbers = plan.step("list", list).input(value(numbers.0));
    plan.map("double", double)
        .queue("sums")
        .at_most(7)
        .input(numbers)
}

async fn the_elements_of_a_map_run_in_its_queue(bench: Bench) -> Result<()> {
    let (here, there) = (Counter::default(), Counter::default());
    let home = start(bench.worker(here.clone()).register::<Numbers, _>(doubles));
    let sums = bench.worker(there.clone()).name("sums").queue("sums", 4);
    let sums = start(sums.only_named_queues().register::<Numbers, _>(doubles));
    let handle = bench.intendant.request(Numbers(30)).await?;
    bench
        .until(|| async {
            let away = bench.number("select count(*) from @routed").await?;
            ensure!(away <= 7, "{away} at once");
            let state = bench.intendant.state(handle.id()).await?;
            Ok((state == IntentState::Succeeded).then_some(()))
        })
        .await?;
    let expected: Vec<u64> = (1..=30).map(|number| number * 2).collect();
    ensure!(handle.output().await? == expected);
    ensure!((here.get(), there.get()) == (0, 30));
    let steps = bench.intendant.steps(handle.id()).await?;
    let element = steps.iter().find(|step| step.name == "double[29]");
    ensure!(element.is_some_and(|step| {
        step.state == StepState::Succeeded && step.worker.as_deref() == Some("sums")
    }));
    home.stop().await?;
    sums.stop().await?;
    bench.check().await
}

async fn more_elements_than_may_be_away_are_sent_as_others_end(bench: Bench) -> Result<()> {
    let plan = |numbers: &Numbers, plan: &mut Plan<Counter>| -> Node<Vec<u64>> {
        let numbers = plan.step("list", list).input(value(numbers.0));
        plan.map("double", double).queue("sums").input(numbers)
    };
    let runs = Counter::default();
    let count = intendant::limits::ROUTED_AT_ONCE as u64 + 50;
    let home = start(bench.worker(runs.clone()).register::<Numbers, _>(plan));
    let handle = bench.intendant.request(Numbers(count)).await?;
    // Nobody serves the queue yet: no more than the limit are sent.
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let away = bench.number("select count(*) from @routed").await?;
    ensure!(away == intendant::limits::ROUTED_AT_ONCE as i64, "{away}");
    let sums = bench.worker(runs.clone()).queue("sums", 64);
    let sums = start(sums.only_named_queues().register::<Numbers, _>(plan));
    ensure!(handle.output().await?.len() as u64 == count && runs.get() == count);
    home.stop().await?;
    sums.stop().await?;
    bench.check().await
}

async fn a_routed_step_cannot_ask_for_children(bench: Bench) -> Result<()> {
    async fn ask(cx: Cx<Place>, server: u64) -> StepResult<u64> {
        cx.child("below", Server(server)).await
    }
    let plan: MakePlan<Place> = |server, plan| {
        plan.step("ask", ask)
            .queue("network")
            .input(value(server.0))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed);
    let error = record.error.unwrap_or_default();
    let expected = "step `ask` runs in another queue than its intent, where it cannot ask for children; ask for `below` \
                    in a step without `.queue(…)`";
    ensure!(error == expected, "{error}");
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}
