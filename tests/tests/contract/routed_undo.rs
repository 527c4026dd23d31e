//! Undo and the operator's verbs for steps in other queues: nothing is taken back while one is under way, what was done in a
//! queue is taken back there, and a step that is tried again is tried there.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cancelled, Committed, Cx, Error, Handle, Intent, IntentId, IntentState, Node, OnFailure, Plan,
    StepResult, StepState, StoreKind, Worker, fail, value,
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::elsewhere::{count, in_network};
use crate::support::{Bench, Counter, Gate, Running, on_both, start};

on_both! {
    a_failure_waits_for_the_step_in_the_other_queue_and_takes_it_back_there;
    a_cancel_waits_for_the_step_in_the_other_queue_and_takes_it_back_there;
    elements_of_a_map_are_taken_back_in_their_queue;
    whoever_takes_over_goes_on_with_an_undo_that_is_under_way_in_another_queue;
    whoever_takes_over_an_undo_in_another_queue_goes_on_with_it;
    a_cancel_while_a_rerun_takes_back_in_another_queue_lets_it_end;
    an_undo_that_fails_in_another_queue_is_gone_on_with_by_a_resume;
    a_failed_step_is_tried_again_in_its_queue_by_retry_and_resume;
    a_failed_step_is_skipped_and_its_intent_discarded;
    a_rerun_runs_the_next_generation_in_its_queue;
    a_stale_worker_can_write_nothing_to_a_generation_that_was_run_again;
    a_step_that_waits_for_its_retry_in_its_queue_is_retried_and_skipped_there;
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Server(u64);

impl Intent for Server {
    const KIND: &'static str = "server";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = u64;
}

/// What the steps and their undos have done, and what they wait for.
#[derive(Debug, Clone, Default)]
struct Place {
    made: Counter,
    broken: Counter,
    undone: Counter,
    late: Counter,
    /// How often `broken` and what takes back fail.
    fails: u64,
    gate: Gate,
    undo_gate: Gate,
    /// What `broken_late` waits for.
    late_gate: Gate,
}

impl Place {
    fn open() -> Self {
        let place = Self::default();
        place.gate.open();
        place.undo_gate.open();
        place
    }
}

async fn attach(cx: Cx<Place>, server: u64) -> StepResult<u64> {
    cx.state().made.add();
    cx.state().gate.pass().await;
    Ok(server + 100)
}

/// Given the wrong input or output it fails for good.
async fn detach(cx: Cx<Place>, server: u64, address: Option<u64>) -> StepResult<()> {
    if address.is_some_and(|address| address != server + 100) {
        return Err(fail(format!("{address:?} is not of {server}")));
    }
    cx.state().undone.add();
    cx.state().undo_gate.pass().await;
    Ok(())
}

async fn broken(cx: Cx<Place>, address: u64) -> StepResult<u64> {
    match cx.state().broken.add() <= cx.state().fails {
        true => Err(fail("broken")),
        false => Ok(address),
    }
}

async fn broken_late(cx: Cx<Place>, address: u64) -> StepResult<u64> {
    cx.state().late_gate.pass().await;
    broken(cx, address).await
}

/// Beside the step in the other queue one fails at home.
fn beside(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    plan.step("broken", broken_late).input(value(server.0));
    plan.step("address", attach)
        .undo(detach)
        .queue("network")
        .input(value(server.0))
}

/// One after the other, both in the other queue.
fn after(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    let address = plan
        .step("address", attach)
        .undo(detach)
        .queue("network")
        .input(value(server.0));
    plan.step("broken", broken).queue("network").input(address)
}

type MakePlan = fn(&Server, &mut Plan<Place>) -> Node<u64>;

/// The same plan, of a kind that stays as it is when it fails.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Held(u64);

impl Intent for Held {
    const KIND: &'static str = "held";
    type Output = u64;
}

fn held(held: &Held, plan: &mut Plan<Place>) -> Node<u64> {
    after(&Server(held.0), plan)
}

fn worker(bench: &Bench, place: &Place, name: &str, plan: MakePlan) -> Worker<Place> {
    let worker = bench.worker(place.clone()).name(name);
    worker
        .cancel_grace(Duration::from_secs(20))
        .register::<Server, _>(plan)
        .register::<Held, _>(held)
}

fn home(bench: &Bench, place: &Place, plan: MakePlan) -> Running {
    start(worker(bench, place, "home", plan))
}

fn network(bench: &Bench, place: &Place, plan: MakePlan) -> Running {
    start(in_network(worker(bench, place, "network", plan)))
}

/// The steps, by name and generation, with their state and queue.
async fn steps(bench: &Bench, id: IntentId) -> Result<Vec<String>> {
    let mut steps = bench.intendant.steps(id).await?;
    steps.sort_by(|a, b| (&a.name, a.generation).cmp(&(&b.name, b.generation)));
    let line = |step: intendant::StepRecord| {
        let queue = step.queue.unwrap_or_else(|| "home".to_owned());
        format!("{} {} {} {queue}", step.name, step.generation, step.state)
    };
    Ok(steps.into_iter().map(line).collect())
}

/// It has ended, the invariants hold, and nothing is left behind.
async fn ended(bench: &Bench, id: IntentId, state: IntentState) -> Result<()> {
    let record = bench.rest(id).await?;
    ensure!(record.state == state, "{record:?}");
    bench.check().await?;
    for table in ["routed", "parked", "ready"] {
        let left = bench
            .number(&format!("select count(*) from @{table}"))
            .await?;
        ensure!(left == 0, "{left} rows of {table} are left");
    }
    Ok(())
}

async fn failed(bench: &Bench, server: u64) -> Result<Handle<Held>> {
    let handle = bench.intendant.request(Held(server)).await?;
    ended(bench, handle.id(), IntentState::Failed).await?;
    Ok(handle)
}

async fn stop(workers: impl IntoIterator<Item = Running>) -> Result<()> {
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}

async fn a_failure_waits_for_the_step_in_the_other_queue_and_takes_it_back_there(
    bench: Bench,
) -> Result<()> {
    let place = Place {
        fails: 9,
        ..Place::default()
    };
    place.undo_gate.open();
    let workers = [
        home(&bench, &place, beside),
        network(&bench, &place, beside),
    ];
    let handle = bench.intendant.request(Server(7)).await?;
    // Before it has begun, it would be recalled.
    count(&bench, &place.made, 1).await?;
    place.late_gate.open();
    count(&bench, &place.broken, 1).await?;
    // Nothing is taken back, and nothing ends, while it is under way.
    bench.reach(handle.id(), IntentState::Waiting).await?;
    ensure!(place.undone.get() == 0);
    place.gate.open();
    ended(&bench, handle.id(), IntentState::Failed).await?;
    let steps = steps(&bench, handle.id()).await?;
    let expected = [
        "address 1 undone network",
        "broken 1 failed home",
        "undo(address) 1 succeeded network",
    ];
    ensure!(steps == expected, "{steps:?}");
    let records = bench.intendant.steps(handle.id()).await?;
    let undo = records.iter().find(|step| step.name == "undo(address)");
    ensure!(undo.is_some_and(|undo| undo.worker.as_deref() == Some("network")));
    ensure!(place.undone.get() == 1);
    stop(workers).await
}

async fn a_cancel_waits_for_the_step_in_the_other_queue_and_takes_it_back_there(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let workers = [home(&bench, &place, after), network(&bench, &place, after)];
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.made, 1).await?;
    let answer = bench.intendant.cancel(handle.id(), "ada", None).await?;
    ensure!(answer == Cancelled::Stopping, "{answer:?}");
    bench.reach(handle.id(), IntentState::Undoing).await?;
    bench.check().await?;
    ensure!(place.undone.get() == 0);
    place.gate.open();
    count(&bench, &place.undone, 1).await?;
    // Asked again, it lets what takes back be.
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench.check().await?;
    place.undo_gate.open();
    ended(&bench, handle.id(), IntentState::Cancelled).await?;
    let steps = steps(&bench, handle.id()).await?;
    let expected = [
        "address 1 undone network",
        "undo(address) 1 succeeded network",
    ];
    ensure!(steps == expected, "{steps:?}");
    ensure!(place.undone.get() == 1 && place.broken.get() == 0);
    stop(workers).await
}

async fn elements_of_a_map_are_taken_back_in_their_queue(bench: Bench) -> Result<()> {
    async fn numbers(_: Cx<Place>, count: u64) -> StepResult<Vec<u64>> {
        Ok((0..count).collect())
    }
    async fn sum(cx: Cx<Place>, made: Vec<u64>) -> StepResult<u64> {
        broken(cx, made.iter().sum()).await
    }
    let plan: MakePlan = |server, plan| {
        let numbers = plan.step("numbers", numbers).input(value(server.0));
        let made = plan
            .map("one", attach)
            .undo(detach)
            .queue("network")
            .input(numbers);
        plan.step("sum", sum).input(made)
    };
    let place = Place {
        fails: 9,
        ..Place::open()
    };
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(3)).await?;
    ended(&bench, handle.id(), IntentState::Failed).await?;
    let steps = steps(&bench, handle.id()).await?;
    for element in 0..3 {
        let undo = format!("undo(one[{element}]) 1 succeeded network");
        ensure!(steps.contains(&undo), "{steps:?}");
        let undone = format!("one[{element}] 1 undone network");
        ensure!(steps.contains(&undone), "{steps:?}");
    }
    ensure!(place.undone.get() == 3);
    stop(workers).await
}

async fn whoever_takes_over_goes_on_with_an_undo_that_is_under_way_in_another_queue(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    place.gate.open();
    let place = Place { fails: 9, ..place };
    let network = network(&bench, &place, after);
    let first = home(&bench, &place, after);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.undone, 1).await?;
    first.kill().await;
    place.undo_gate.open();
    let second = home(&bench, &place, after);
    ended(&bench, handle.id(), IntentState::Failed).await?;
    ensure!(place.undone.get() == 1, "{} undos", place.undone.get());
    let steps = steps(&bench, handle.id()).await?;
    ensure!(steps[0] == "address 1 undone network", "{steps:?}");
    stop([second, network]).await
}

async fn whoever_takes_over_an_undo_in_another_queue_goes_on_with_it(bench: Bench) -> Result<()> {
    let place = Place::default();
    place.gate.open();
    let place = Place { fails: 9, ..place };
    let first = network(&bench, &place, after);
    let home = home(&bench, &place, after);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.undone, 1).await?;
    // Though its intent has something that asks it to stop, it is not dropped with its worker.
    first.kill().await;
    let second = network(&bench, &place, after);
    count(&bench, &place.undone, 2).await?;
    place.undo_gate.open();
    ended(&bench, handle.id(), IntentState::Failed).await?;
    let steps = steps(&bench, handle.id()).await?;
    ensure!(steps[0] == "address 1 undone network", "{steps:?}");
    stop([home, second]).await
}

async fn a_cancel_while_a_rerun_takes_back_in_another_queue_lets_it_end(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    place.gate.open();
    let place = Place { fails: 9, ..place };
    let workers = [home(&bench, &place, after), network(&bench, &place, after)];
    let handle = failed(&bench, 7).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "address", "ada", None)
        .await?;
    count(&bench, &place.undone, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench.check().await?;
    place.undo_gate.open();
    ended(&bench, handle.id(), IntentState::Cancelled).await?;
    ensure!(
        (place.undone.get(), place.made.get()) == (1, 1),
        "{} undos",
        place.undone.get()
    );
    stop(workers).await
}

async fn an_undo_that_fails_in_another_queue_is_gone_on_with_by_a_resume(
    bench: Bench,
) -> Result<()> {
    async fn reluctant(cx: Cx<Place>, _: u64, _: Option<u64>) -> StepResult<()> {
        match cx.state().undone.add() {
            1 => Err(std::io::Error::other("the switch is busy").into()),
            2 => Err(fail("the switch is gone")),
            _ => Ok(()),
        }
    }
    let plan: MakePlan = |server, plan| {
        let address = plan
            .step("address", attach)
            .backoff(Duration::from_millis(1), Duration::from_millis(5))
            .undo(reluctant)
            .queue("network")
            .input(value(server.0));
        plan.step("broken", broken).input(address)
    };
    let place = Place {
        fails: 9,
        ..Place::open()
    };
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let handle = bench.intendant.request(Server(7)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("undo failed"),
        "{record:?}"
    );
    ensure!(
        record.error.as_deref() == Some("taking back `address`: the switch is gone"),
        "{record:?}"
    );
    bench.check().await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    bench
        .until(|| async { Ok((place.undone.get() == 3).then_some(())) })
        .await?;
    ended(&bench, handle.id(), IntentState::Failed).await?;
    let steps = steps(&bench, handle.id()).await?;
    ensure!(steps[0] == "address 1 undone network", "{steps:?}");
    ensure!(steps[2] == "undo(address) 1 succeeded network", "{steps:?}");
    stop(workers).await
}

async fn a_failed_step_is_tried_again_in_its_queue_by_retry_and_resume(bench: Bench) -> Result<()> {
    let place = Place {
        fails: 2,
        ..Place::open()
    };
    let workers = [home(&bench, &place, after), network(&bench, &place, after)];
    let handle = failed(&bench, 7).await?;
    bench
        .intendant
        .retry(handle.id(), "broken", "ada", None)
        .await?;
    count(&bench, &place.broken, 2).await?;
    ended(&bench, handle.id(), IntentState::Failed).await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == 107);
    let steps = steps(&bench, handle.id()).await?;
    let expected = ["address 1 succeeded network", "broken 1 succeeded network"];
    ensure!(steps == expected, "{steps:?}");
    ensure!((place.made.get(), place.broken.get()) == (1, 3));
    stop(workers).await?;
    bench.check().await
}

async fn a_failed_step_is_skipped_and_its_intent_discarded(bench: Bench) -> Result<()> {
    let place = Place {
        fails: 9,
        ..Place::open()
    };
    let workers = [home(&bench, &place, after), network(&bench, &place, after)];
    let (skipped, discarded) = (failed(&bench, 1).await?, failed(&bench, 2).await?);
    bench
        .intendant
        .skip(skipped.id(), "broken", &55, "ada", None)
        .await?;
    ensure!(skipped.output().await? == 55);
    bench.intendant.discard(discarded.id(), "ada", None).await?;
    ended(&bench, discarded.id(), IntentState::Cancelled).await?;
    ensure!(place.undone.get() == 0);
    stop(workers).await?;
    bench.check().await
}

async fn a_rerun_runs_the_next_generation_in_its_queue(bench: Bench) -> Result<()> {
    let place = Place {
        fails: 1,
        ..Place::open()
    };
    let workers = [home(&bench, &place, after), network(&bench, &place, after)];
    let handle = failed(&bench, 7).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "address", "ada", None)
        .await?;
    ensure!(handle.output().await? == 107);
    let steps = steps(&bench, handle.id()).await?;
    let expected = [
        "address 1 undone network",
        "address 2 succeeded network",
        "broken 1 pending network",
        "broken 2 succeeded network",
        "undo(address) 1 succeeded network",
    ];
    ensure!(steps == expected, "{steps:?}");
    stop(workers).await?;
    bench.check().await
}

/// The first to come waits until all is over, and then wants to write; the others fail once.
async fn stale_or_not(cx: &Cx<Place>) -> Option<StepResult<u64>> {
    match cx.state().made.add() {
        1 => {
            cx.state().gate.pass().await;
            None
        }
        2 => Some(Err(fail("the switch is busy"))),
        _ => Some(Ok(2)),
    }
}

/// Goes on when its worker is gone.
async fn outlive<T: Send + 'static>(
    step: impl Future<Output = StepResult<T>> + Send + 'static,
) -> StepResult<T> {
    tokio::spawn(step).await?
}

async fn a_stale_worker_can_write_nothing_to_a_generation_that_was_run_again(
    bench: Bench,
) -> Result<()> {
    const INSERT: &str = "insert into note (text) values ('stale')";
    async fn on_sqlite(cx: Cx<Place>, _: u64) -> StepResult<Committed<u64>> {
        let late = cx.state().late.clone();
        let found = stale_or_not(&cx).await;
        let written = cx
            .transaction(async |db: &mut SqliteConnection| {
                if found.is_none() {
                    sqlx::query(INSERT).execute(&mut *db).await?;
                }
                found.unwrap_or(Ok(1))
            })
            .await;
        late.add();
        written
    }
    async fn on_postgres(cx: Cx<Place>, _: u64) -> StepResult<Committed<u64>> {
        let late = cx.state().late.clone();
        let found = stale_or_not(&cx).await;
        let written = cx
            .transaction(async |db: &mut PgConnection| {
                if found.is_none() {
                    sqlx::query(INSERT).execute(&mut *db).await?;
                }
                found.unwrap_or(Ok(1))
            })
            .await;
        late.add();
        written
    }
    bench.run_sql("create table note (text text)").await?;
    let plan: MakePlan = match bench.database.kind {
        StoreKind::Sqlite => |server, plan| {
            plan.step("note", |cx, server| outlive(on_sqlite(cx, server)))
                .queue("network")
                .input(value(server.0))
        },
        StoreKind::Postgres => |server, plan| {
            plan.step("note", |cx, server| outlive(on_postgres(cx, server)))
                .queue("network")
                .input(value(server.0))
        },
    };
    let place = Place::default();
    let home = home(&bench, &place, plan);
    let first = network(&bench, &place, plan);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.made, 1).await?;
    // Its session ends; the step itself is still running.
    first.kill().await;
    let second = network(&bench, &place, plan);
    bench.reach(handle.id(), IntentState::Failed).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "note", "ada", None)
        .await?;
    ensure!(handle.output().await? == 2);
    let before = steps(&bench, handle.id()).await?;
    ensure!(
        before == ["note 1 pending network", "note 2 succeeded network"],
        "{before:?}"
    );
    let late = place.late.get();
    place.gate.open();
    count(&bench, &place.late, late + 1).await?;
    ensure!(bench.number("select count(*) from note").await? == 0);
    ensure!(steps(&bench, handle.id()).await? == before);
    stop([home, second]).await?;
    bench.check().await
}

async fn a_step_that_waits_for_its_retry_in_its_queue_is_retried_and_skipped_there(
    bench: Bench,
) -> Result<()> {
    async fn busy(cx: Cx<Place>, server: u64) -> StepResult<u64> {
        let tries = cx.state().made.add();
        if tries == 2 {
            cx.state().gate.pass().await;
        }
        match tries {
            1 | 3 => Err(std::io::Error::other("the switch is busy").into()),
            _ => Ok(server),
        }
    }
    let plan: MakePlan = |server, plan| {
        plan.step("address", busy)
            .backoff(Duration::from_secs(3600), Duration::from_secs(3600))
            .queue("network")
            .input(value(server.0))
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let waits = async |id: IntentId| {
        bench
            .until(|| async {
                let steps = bench.intendant.steps(id).await?;
                let waits = |step: &intendant::StepRecord| {
                    step.state == StepState::Waiting && step.due_at.is_some()
                };
                Ok(steps.iter().any(waits).then_some(()))
            })
            .await
    };
    let handle = bench.intendant.request(Server(7)).await?;
    waits(handle.id()).await?;
    bench
        .intendant
        .retry(handle.id(), "address", "ada", None)
        .await?;
    count(&bench, &place.made, 2).await?;
    bench.check().await?;
    // In a worker's hands it is not.
    let running = bench
        .intendant
        .retry(handle.id(), "address", "ada", None)
        .await;
    ensure!(
        matches!(running, Err(Error::WrongState { .. })),
        "{running:?}"
    );
    place.gate.open();
    ensure!(handle.output().await? == 7);
    let handle = bench.intendant.request(Server(8)).await?;
    waits(handle.id()).await?;
    bench
        .intendant
        .skip(handle.id(), "address", &88, "ada", None)
        .await?;
    ensure!(handle.output().await? == 88);
    ended(&bench, handle.id(), IntentState::Succeeded).await?;
    ensure!(place.made.get() == 3);
    stop(workers).await
}
