//! Cancel and steps in other queues: those that nobody has begun with are taken back, the others are stopped by whoever runs
//! them, and the intent has its outcome when none is under way any more, whoever dies meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::why::Reason;
use intendant::{
    Cancelled, Cx, Error, Intent, IntentState, Node, Plan, StepResult, StepState, snooze, value,
};
use serde::{Deserialize, Serialize};

use crate::elsewhere::{MakePlan, Server, away, count, home, network, worker};
use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    a_step_that_nobody_has_come_for_is_taken_back;
    a_step_that_waits_in_its_queue_is_taken_back_and_its_attempts_are_kept;
    a_step_that_runs_in_another_queue_hears_of_it_and_its_result_is_kept;
    a_step_in_another_queue_that_does_not_listen_is_stopped_after_a_grace_time;
    a_driver_that_runs_something_beside_waits_for_its_step_in_the_other_queue;
    past_the_point_of_no_return_in_another_queue_it_is_refused;
    a_child_with_a_step_in_another_queue_is_cancelled_with_its_parent;
    elements_of_a_map_in_another_queue_are_taken_back_and_stopped;
    when_the_worker_of_the_queue_dies_nobody_has_to_come_for_its_step;
    when_the_driver_dies_another_one_finishes_it;
    when_both_die_the_next_driver_finishes_it;
    a_cancel_of_what_waits_for_a_step_says_what_it_waits_for;
    cancels_and_ends_at_the_same_time_have_one_winner_each;
}

/// What the steps have done, and what they wait for.
#[derive(Debug, Clone, Default)]
struct Place {
    here: Counter,
    there: Counter,
    told: Counter,
    home_gate: Gate,
    network_gate: Gate,
}

/// Runs at home until it is told to stop.
async fn stay(cx: Cx<Place>, number: u64) -> StepResult<u64> {
    cx.state().here.add();
    tokio::select! {
        () = cx.state().home_gate.pass() => {}
        () = cx.cancelled() => {}
    }
    Ok(number)
}

/// Runs in the other queue until the gate opens, whatever it is told.
async fn attach(cx: Cx<Place>, server: u64) -> StepResult<u64> {
    cx.state().there.add();
    cx.state().network_gate.pass().await;
    Ok(server + 100)
}

/// Runs in the other queue until the gate opens after it was told to stop.
async fn listen(cx: Cx<Place>, server: u64) -> StepResult<u64> {
    cx.state().there.add();
    cx.cancelled().await;
    cx.state().told.add();
    cx.state().network_gate.pass().await;
    Ok(server + 100)
}

async fn sum(_: Cx<Place>, parts: (u64, u64)) -> StepResult<u64> {
    Ok(parts.0 + parts.1)
}

fn deaf(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    plan.step("address", attach)
        .queue("network")
        .input(value(server.0))
}

fn listening(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    plan.step("address", listen)
        .queue("network")
        .input(value(server.0))
}

/// Beside it something runs at home.
fn both(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    let address = listening(server, plan);
    let stays = plan.step("stay", stay).input(value(1_000u64));
    plan.step("sum", sum).input((address, stays))
}

async fn cancel(bench: &Bench, id: intendant::IntentId) -> Result<()> {
    let answer = bench.intendant.cancel(id, "ada", None).await?;
    ensure!(answer == Cancelled::Stopping, "{answer:?}");
    bench.check().await
}

/// It ends as cancelled, and nothing of it is left anywhere.
async fn cancelled(bench: &Bench, id: intendant::IntentId) -> Result<()> {
    let record = bench.rest(id).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    ensure!(
        record.error.as_deref() == Some("cancelled by ada"),
        "{record:?}"
    );
    bench.check().await?;
    for table in ["routed", "wait", "parked", "ready", "cancel"] {
        let left = bench
            .number(&format!("select count(*) from @{table}"))
            .await?;
        ensure!(left == 0, "{left} rows of {table} are left");
    }
    Ok(())
}

/// The state, the worker and the error of its only step.
async fn step(bench: &Bench, id: intendant::IntentId) -> Result<(StepState, Option<String>)> {
    let steps = bench.intendant.steps(id).await?;
    let step = steps.first().cloned();
    Ok(step.map_or((StepState::Pending, None), |step| (step.state, step.error)))
}

async fn a_step_that_nobody_has_come_for_is_taken_back(bench: Bench) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, deaf);
    let handle = bench.intendant.request(Server(7)).await?;
    away(&bench, 1).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    cancel(&bench, handle.id()).await?;
    // Nobody serves the queue, and nobody has to.
    cancelled(&bench, handle.id()).await?;
    let found = step(&bench, handle.id()).await?;
    ensure!(found == (StepState::Pending, None), "{found:?}");
    let network = network(&bench, &place, deaf);
    ensure!(matches!(
        handle.output().await,
        Err(Error::Cancelled { .. })
    ));
    network.stop().await?;
    home.stop().await?;
    ensure!(place.there.get() == 0);
    bench.check().await
}

async fn a_step_that_waits_in_its_queue_is_taken_back_and_its_attempts_are_kept(
    bench: Bench,
) -> Result<()> {
    async fn attempt(cx: Cx<Place>, server: u64) -> StepResult<u64> {
        match cx.state().there.add() {
            1 => Err(std::io::Error::other("the switch is busy").into()),
            2 => Err(snooze(Duration::from_secs(3600))),
            _ => Ok(server),
        }
    }
    let plan: MakePlan<Place> = |server, plan| {
        plan.step("address", attempt)
            .queue("network")
            .attempts(3)
            .backoff(Duration::from_millis(1), Duration::from_millis(2))
            .input(value(server.0))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    bench
        .until(|| async {
            let snoozed = "select count(*) from @parked where reason = 'snooze'";
            Ok((bench.number(snoozed).await? == 1).then_some(()))
        })
        .await?;
    cancel(&bench, handle.id()).await?;
    cancelled(&bench, handle.id()).await?;
    let found = step(&bench, handle.id()).await?;
    ensure!(
        found
            == (
                StepState::Failed,
                Some("the intent was cancelled".to_owned())
            ),
        "{found:?}"
    );
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 1 && attempts[0].error == "the switch is busy",
        "{attempts:?}"
    );
    for worker in workers {
        worker.stop().await?;
    }
    ensure!(place.there.get() == 2, "it was not begun again");
    bench.check().await
}

async fn a_step_that_runs_in_another_queue_hears_of_it_and_its_result_is_kept(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, listening);
    let network = network(&bench, &place, listening);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.there, 1).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    cancel(&bench, handle.id()).await?;
    count(&bench, &place.told, 1).await?;
    // It runs still: there is no outcome yet, whoever has the intent in hand.
    bench.reach(handle.id(), IntentState::Undoing).await?;
    ensure!(bench.number("select count(*) from @outcome").await? == 0);
    place.network_gate.open();
    cancelled(&bench, handle.id()).await?;
    let found = step(&bench, handle.id()).await?;
    ensure!(found == (StepState::Succeeded, None), "{found:?}");
    home.stop().await?;
    network.stop().await?;
    ensure!(place.there.get() == 1);
    bench.check().await
}

async fn a_step_in_another_queue_that_does_not_listen_is_stopped_after_a_grace_time(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, deaf);
    let network = worker(&bench, &place, "network", deaf)
        .cancel_grace(Duration::from_millis(50))
        .queue("network", 4)
        .only_named_queues();
    let network = start(network);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.there, 1).await?;
    cancel(&bench, handle.id()).await?;
    cancelled(&bench, handle.id()).await?;
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 1 && attempts[0].failure == "cancelled",
        "{attempts:?}"
    );
    let (state, error) = step(&bench, handle.id()).await?;
    ensure!(state == StepState::Failed);
    ensure!(error.is_some_and(|error| error.contains("what it had done is unknown")));
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn a_driver_that_runs_something_beside_waits_for_its_step_in_the_other_queue(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, both);
    let network = network(&bench, &place, both);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.here, 1).await?;
    count(&bench, &place.there, 1).await?;
    cancel(&bench, handle.id()).await?;
    count(&bench, &place.told, 1).await?;
    // What ran at home has ended, so the driver is parked for the other one.
    bench
        .until(|| async {
            let parked = bench.number("select count(*) from @parked").await?;
            Ok((parked == 1).then_some(()))
        })
        .await?;
    bench.check().await?;
    place.network_gate.open();
    cancelled(&bench, handle.id()).await?;
    let steps = bench.intendant.steps(handle.id()).await?;
    let states: Vec<_> = steps.iter().map(|step| step.state).collect();
    ensure!(
        states == [StepState::Succeeded, StepState::Succeeded],
        "{steps:?}"
    );
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn past_the_point_of_no_return_in_another_queue_it_is_refused(bench: Bench) -> Result<()> {
    let plan: MakePlan<Place> = |server, plan| {
        plan.step("pay", attach)
            .queue("network")
            .point_of_no_return()
            .input(value(server.0))
    };
    let place = Place::default();
    let home = home(&bench, &place, plan);
    // Sent off is not started: it can still be cancelled.
    let early = bench.intendant.request(Server(1)).await?;
    away(&bench, 1).await?;
    cancel(&bench, early.id()).await?;
    cancelled(&bench, early.id()).await?;

    let network = network(&bench, &place, plan);
    let late = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.there, 1).await?;
    let marked = "select count(*) from @step where name = 'pay' and point_of_no_return and state = 'running'";
    ensure!(bench.number(marked).await? == 1, "its start is on disk");
    let refused = bench.intendant.cancel(late.id(), "ada", None).await;
    let Err(Error::PastReturn { intent, step, .. }) = &refused else {
        anyhow::bail!("{refused:?}");
    };
    ensure!(*intent == late.id() && step == "pay", "{refused:?}");
    place.network_gate.open();
    ensure!(late.output().await? == 107);
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Parent;

impl Intent for Parent {
    const KIND: &'static str = "parent";
    type Output = u64;
}

async fn ask(cx: Cx<Place>, _: Parent) -> StepResult<u64> {
    cx.child("server", Server(7)).await
}

async fn a_child_with_a_step_in_another_queue_is_cancelled_with_its_parent(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = start(worker(&bench, &place, "home", listening).register_step(ask));
    let network = network(&bench, &place, listening);
    let parent = bench.intendant.request(Parent).await?;
    count(&bench, &place.there, 1).await?;
    cancel(&bench, parent.id()).await?;
    count(&bench, &place.told, 1).await?;
    ensure!(bench.number("select count(*) from @outcome").await? == 0);
    place.network_gate.open();
    cancelled(&bench, parent.id()).await?;
    let states = "select count(*) from @outcome where state = 'cancelled'";
    ensure!(bench.number(states).await? == 2);
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn numbers(_: Cx<Place>, count: u64) -> StepResult<Vec<u64>> {
    Ok((0..count).collect())
}

async fn elements_of_a_map_in_another_queue_are_taken_back_and_stopped(bench: Bench) -> Result<()> {
    let plan: MakePlan<Place> = |server, plan| {
        let list = plan.step("list", numbers).input(value(server.0));
        let all = plan.map("address", listen).queue("network").input(list);
        plan.step("total", total).input(all)
    };
    async fn total(_: Cx<Place>, all: Vec<u64>) -> StepResult<u64> {
        Ok(all.into_iter().sum())
    }
    let place = Place::default();
    let home = home(&bench, &place, plan);
    let network = network(&bench, &place, plan);
    // Four of the ten run, the others wait in the queue or for a slot.
    let handle = bench.intendant.request(Server(10)).await?;
    away(&bench, 10).await?;
    count(&bench, &place.there, 4).await?;
    cancel(&bench, handle.id()).await?;
    count(&bench, &place.told, 4).await?;
    place.network_gate.open();
    cancelled(&bench, handle.id()).await?;
    ensure!(place.there.get() == 4, "{} were begun", place.there.get());
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn when_the_worker_of_the_queue_dies_nobody_has_to_come_for_its_step(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, listening);
    let network = network(&bench, &place, listening);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.there, 1).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    cancel(&bench, handle.id()).await?;
    count(&bench, &place.told, 1).await?;
    network.kill().await;
    cancelled(&bench, handle.id()).await?;
    // Its queue has no worker any more, so nobody has begun again; and one that comes finds nothing.
    let network = self::network(&bench, &place, listening);
    home.stop().await?;
    network.stop().await?;
    ensure!(place.there.get() == 1);
    bench.check().await
}

async fn when_the_driver_dies_another_one_finishes_it(bench: Bench) -> Result<()> {
    let place = Place::default();
    let first = home(&bench, &place, both);
    let network = network(&bench, &place, both);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.here, 1).await?;
    count(&bench, &place.there, 1).await?;
    cancel(&bench, handle.id()).await?;
    first.kill().await;
    count(&bench, &place.told, 1).await?;
    let second = home(&bench, &place, both);
    place.network_gate.open();
    cancelled(&bench, handle.id()).await?;
    second.stop().await?;
    network.stop().await?;
    ensure!((place.here.get(), place.there.get()) == (1, 1));
    bench.check().await
}

async fn when_both_die_the_next_driver_finishes_it(bench: Bench) -> Result<()> {
    let place = Place::default();
    let first = home(&bench, &place, both);
    let network = network(&bench, &place, both);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.here, 1).await?;
    count(&bench, &place.there, 1).await?;
    cancel(&bench, handle.id()).await?;
    network.kill().await;
    first.kill().await;
    let second = home(&bench, &place, both);
    cancelled(&bench, handle.id()).await?;
    second.stop().await?;
    ensure!((place.here.get(), place.there.get()) == (1, 1));
    bench.check().await
}

async fn a_cancel_of_what_waits_for_a_step_says_what_it_waits_for(bench: Bench) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, listening);
    let network = network(&bench, &place, listening);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.there, 1).await?;
    cancel(&bench, handle.id()).await?;
    count(&bench, &place.told, 1).await?;
    bench
        .until(|| async {
            let parked = bench.number("select count(*) from @parked").await?;
            Ok((parked == 1).then_some(()))
        })
        .await?;
    let why = bench.intendant.why(handle.id()).await?;
    ensure!(why.state == IntentState::Undoing, "{why:?}");
    let [
        Reason::Stopping { .. },
        Reason::Routed { step, reasons, .. },
        ..,
    ] = &why.reasons[..]
    else {
        anyhow::bail!("{why:?}");
    };
    ensure!(step == "address", "{why:?}");
    let stopping = |reason: &Reason| matches!(reason, Reason::Stopping { .. });
    ensure!(!reasons.iter().any(stopping), "{why:?}");
    let words = why.to_string();
    ensure!(words.contains("asked to stop by ada"), "{words}");
    ensure!(
        words.contains("`address`") && words.contains("network"),
        "{words}"
    );
    place.network_gate.open();
    cancelled(&bench, handle.id()).await?;
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn cancels_and_ends_at_the_same_time_have_one_winner_each(bench: Bench) -> Result<()> {
    async fn quick(_: Cx<Place>, server: u64) -> StepResult<u64> {
        Ok(server)
    }
    let plan: MakePlan<Place> = |server, plan| {
        let first = plan
            .step("first", quick)
            .queue("network")
            .input(value(server.0));
        let second = plan.step("second", quick).input(first);
        plan.step("third", quick).queue("network").input(second)
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let (mut succeeded, mut stopped) = (0, 0);
    for round in 0..40 {
        let handle = bench.intendant.request(Server(round)).await?;
        // Each time somewhat later on its way.
        for _ in 0..round {
            tokio::task::yield_now().await;
            bench.intendant.state(handle.id()).await?;
        }
        let answer = bench.intendant.cancel(handle.id(), "ada", None).await;
        let record = bench.rest(handle.id()).await?;
        match answer {
            Ok(_) => {
                ensure!(record.state == IntentState::Cancelled, "{record:?}");
                stopped += 1;
            }
            Err(Error::WrongState { .. }) => {
                ensure!(record.state == IntentState::Succeeded, "{record:?}");
                succeeded += 1;
            }
            Err(error) => return Err(error.into()),
        }
        bench.check().await?;
    }
    ensure!(
        stopped > 0,
        "{stopped} of 40 were cancelled, {succeeded} succeeded"
    );
    for worker in workers {
        worker.stop().await?;
    }
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}
