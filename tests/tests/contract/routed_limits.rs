//! Limits, deadlines and alerts of steps in other queues: who runs one minds the limits of its step and of its intent; the
//! driver minds its intent's while the step is away.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    AlertFilter, AlertKind, Cx, Intent, IntentState, Node, Plan, StepResult, StepState, StoreKind,
    Watch, Which, Worker, value,
};

use crate::limits::{Hourly, Short, Undone, counts, hangs, ms, not_ready, refuses, uncounts};
use crate::support::{Bench, Counter, Running, on_both, start};

on_both! {
    a_routed_step_that_is_tried_for_longer_than_its_limit_fails_with_that_reason;
    a_routed_step_that_polls_for_ever_ends_at_its_limit;
    a_routed_steps_limit_survives_a_take_over;
    an_attempt_in_another_queue_ends_at_the_limit_of_its_intent;
    while_its_driver_is_busy_a_routed_step_knows_how_much_is_left;
    a_step_in_a_queue_that_nobody_serves_does_not_keep_its_intent_past_the_limit;
    what_takes_back_in_another_queue_is_not_stopped_by_the_limit;
    a_late_routed_step_has_an_alert_until_it_is_done;
    a_routed_step_that_runs_far_longer_than_usual_has_an_alert_until_it_ends;
    a_routed_step_that_nobody_begins_makes_its_queue_too_old;
    routed_steps_that_kill_their_workers_make_the_kind_of_their_intents_back_off;
}

type MakePlan<T> = fn(&T, &mut Plan<Counter>) -> Node<u64>;

/// A worker for the intents.
fn home<T: Intent<Output = u64>>(
    bench: &Bench,
    runs: &Counter,
    plan: MakePlan<T>,
) -> Worker<Counter> {
    bench
        .worker(runs.clone())
        .name("home")
        .watch(Watch::default().every(Duration::ZERO))
        .register::<T, _>(plan)
}

/// A worker for the queue alone.
fn network<T: Intent<Output = u64>>(
    bench: &Bench,
    runs: &Counter,
    plan: MakePlan<T>,
) -> Worker<Counter> {
    let worker = home(bench, runs, plan).name("network");
    worker.queue("network", 4).only_named_queues()
}

fn both<T: Intent<Output = u64>>(bench: &Bench, runs: &Counter, plan: MakePlan<T>) -> [Running; 2] {
    [
        start(home(bench, runs, plan)),
        start(network(bench, runs, plan)),
    ]
}

async fn stop(bench: &Bench, workers: impl IntoIterator<Item = Running>) -> Result<()> {
    for worker in workers {
        worker.stop().await?;
    }
    ensure!(bench.number("select count(*) from @routed").await? == 0);
    bench.check().await
}

/// Lets an hour pass in a column.
async fn an_hour_ago(bench: &Bench, table: &str, column: &str) -> Result<()> {
    let hour = match bench.database.kind {
        StoreKind::Sqlite => "3600000000",
        StoreKind::Postgres => "interval '1 hour'",
    };
    let sql = format!("update @{table} set {column} = {column} - {hour}");
    Ok(bench.run_sql(&sql).await?)
}

async fn a_routed_step_that_is_tried_for_longer_than_its_limit_fails_with_that_reason(
    bench: Bench,
) -> Result<()> {
    let plan: MakePlan<Hourly> = |_, plan| {
        plan.step("try", refuses)
            .attempts(1_000_000)
            .backoff(ms(10), ms(50))
            .total_limit(ms(400))
            .queue("network")
            .input(value(0u64))
    };
    let runs = Counter::default();
    let workers = both(&bench, &runs, plan);
    let handle = bench.intendant.request(Hourly {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.reason.as_deref() == Some("step limit"), "{record:?}");
    ensure!(
        record.failed_step.as_deref() == Some("try"),
        "the driver says which: {record:?}"
    );
    let error = record.error.unwrap_or_default();
    ensure!(error.contains("limit of 400ms for all attempts"), "{error}");
    ensure!(runs.get() > 0);
    stop(&bench, workers).await
}

async fn a_routed_step_that_polls_for_ever_ends_at_its_limit(bench: Bench) -> Result<()> {
    let plan: MakePlan<Hourly> = |_, plan| {
        plan.step("poll", not_ready)
            .total_limit(ms(400))
            .queue("network")
            .input(value(0u64))
    };
    let workers = both(&bench, &Counter::default(), plan);
    let handle = bench.intendant.request(Hourly {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.reason.as_deref() == Some("step limit"), "{record:?}");
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(steps[0].state == StepState::Failed, "{steps:?}");
    stop(&bench, workers).await
}

fn polls_for_an_hour(_: &Hourly, plan: &mut Plan<Counter>) -> Node<u64> {
    plan.step("poll", not_ready)
        .total_limit(Duration::from_secs(3_600))
        .queue("network")
        .input(value(0u64))
}

async fn a_routed_steps_limit_survives_a_take_over(bench: Bench) -> Result<()> {
    let runs = Counter::default();
    let [at_home, worker] = both(&bench, &runs, polls_for_an_hour);
    let handle = bench.intendant.request(Hourly {}).await?;
    bench
        .until(|| async { Ok((runs.get() > 1).then_some(())) })
        .await?;
    worker.kill().await;
    // The hour passes, for the step alone.
    an_hour_ago(&bench, "step", "begun_at").await?;
    let tried = runs.get();
    let worker = start(network(&bench, &runs, polls_for_an_hour));
    let record = bench.rest(handle.id()).await?;
    ensure!(record.reason.as_deref() == Some("step limit"), "{record:?}");
    ensure!(runs.get() == tried, "it did not run again");
    stop(&bench, [at_home, worker]).await
}

async fn an_attempt_in_another_queue_ends_at_the_limit_of_its_intent(bench: Bench) -> Result<()> {
    let plan: MakePlan<Short> =
        |_, plan| plan.step("hang", hangs).queue("network").input(value(0u64));
    let workers = both(&bench, &Counter::default(), plan);
    let handle = bench.intendant.request(Short {}).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("intent limit"),
        "{record:?}"
    );
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 1 && attempts[0].error == "was stopped at the intent's limit of 2s",
        "{attempts:?}"
    );
    stop(&bench, workers).await
}

async fn while_its_driver_is_busy_a_routed_step_knows_how_much_is_left(bench: Bench) -> Result<()> {
    let plan: MakePlan<Hourly> = |_, plan| {
        let one = plan.step("one", counts).input(value(0u64));
        let away = plan.step("away", hangs).queue("network").input(one);
        let stays = plan.step("stay", hangs).input(one);
        plan.step("sum", async |_: Cx<Counter>, parts: (u64, u64)| {
            StepResult::Ok(parts.0 + parts.1)
        })
        .input((away, stays))
    };
    let runs = Counter::default();
    let at_home = start(home(&bench, &runs, plan));
    let handle = bench.intendant.request(Hourly {}).await?;
    bench
        .until(|| async {
            let sent = bench.number("select count(*) from @routed").await?;
            Ok((sent == 1 && runs.get() == 2).then_some(()))
        })
        .await?;
    // It has not left its driver's hands, and all but its start is an hour later.
    an_hour_ago(&bench, "started", "started_at").await?;
    let worker = start(network(&bench, &runs, plan));
    bench
        .until(|| async {
            let left = bench.number("select count(*) from @routed").await?;
            Ok((left == 0).then_some(()))
        })
        .await?;
    let steps = bench.intendant.steps(handle.id()).await?;
    let away = steps.iter().find(|step| step.name == "away");
    ensure!(
        away.is_some_and(|away| away.state == StepState::Failed) && runs.get() == 2,
        "it has not been begun: {steps:?}"
    );
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench.rest(handle.id()).await?;
    stop(&bench, [at_home, worker]).await
}

async fn a_step_in_a_queue_that_nobody_serves_does_not_keep_its_intent_past_the_limit(
    bench: Bench,
) -> Result<()> {
    let plan: MakePlan<Hourly> = |_, plan| {
        plan.step("away", counts)
            .queue("network")
            .input(value(6u64))
    };
    let runs = Counter::default();
    let at_home = start(home(&bench, &runs, plan));
    let handle = bench.intendant.request(Hourly {}).await?;
    bench
        .until(|| async {
            let sent = bench.number("select count(*) from @routed").await?;
            let parked = bench.number("select count(*) from @parked").await?;
            Ok((sent == 1 && parked == 1).then_some(()))
        })
        .await?;
    an_hour_ago(&bench, "started", "started_at").await?;
    an_hour_ago(&bench, "parked", "due_at").await?;
    // Whoever begins a session looks for what is due.
    at_home.kill().await;
    let at_home = start(home(&bench, &runs, plan));
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("intent limit") && runs.get() == 0,
        "{record:?}"
    );
    for place in ["routed", "ready", "parked"] {
        let left = format!("select count(*) from @{place}");
        ensure!(bench.number(&left).await? == 0, "left in {place}");
    }
    bench.check().await?;
    // A resume begins the limit anew, and sends the step again.
    let worker = start(network(&bench, &runs, plan));
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == 7);
    stop(&bench, [at_home, worker]).await
}

async fn what_takes_back_in_another_queue_is_not_stopped_by_the_limit(bench: Bench) -> Result<()> {
    let plan: MakePlan<Undone> = |_, plan| {
        let one = plan.step("one", counts).undo(uncounts).queue("network");
        let one = one.total_limit(ms(1_500)).input(value(0u64));
        plan.step("two", not_ready).queue("network").input(one)
    };
    let workers = both(&bench, &Counter::default(), plan);
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
    stop(&bench, workers).await
}

/// Waits until an alert of this kind was raised, and is open or not.
async fn alert(bench: &Bench, kind: AlertKind, open: bool) -> Result<intendant::Alert> {
    let filter = AlertFilter {
        which: Which::All,
        kind: Some(kind),
        ..AlertFilter::default()
    };
    bench
        .until(|| {
            let filter = filter.clone();
            async move {
                let all = bench.intendant.alerts(filter).await?;
                ensure!(all.len() < 2, "it is raised once: {all:?}");
                let found = all.into_iter().next();
                Ok(found.filter(|alert| alert.resolved_at.is_none() == open))
            }
        })
        .await
}

async fn a_late_routed_step_has_an_alert_until_it_is_done(bench: Bench) -> Result<()> {
    let plan: MakePlan<Hourly> = |_, plan| {
        plan.step("away", counts)
            .deadline(ms(50))
            .queue("network")
            .input(value(0u64))
    };
    let runs = Counter::default();
    let at_home = start(home(&bench, &runs, plan));
    let handle = bench.intendant.request(Hourly {}).await?;
    let late = alert(&bench, AlertKind::StepDeadline, true).await?;
    ensure!(
        late.step.as_deref() == Some("away") && late.intent == Some(handle.id()),
        "{late:?}"
    );
    let worker = start(network(&bench, &runs, plan));
    handle.output().await?;
    alert(&bench, AlertKind::StepDeadline, false).await?;
    ensure!(bench.number("select count(*) from @deadline").await? == 0);
    stop(&bench, [at_home, worker]).await
}

async fn a_routed_step_that_runs_far_longer_than_usual_has_an_alert_until_it_ends(
    bench: Bench,
) -> Result<()> {
    // The first one that runs stays until the counter says that it may go.
    let plan: MakePlan<Hourly> = |_, plan| {
        let stays = async |cx: Cx<Counter>, number: u64| -> StepResult<u64> {
            if cx.state().add() == 1 {
                while cx.state().get() < 100 {
                    tokio::time::sleep(ms(5)).await;
                }
            }
            Ok(number)
        };
        plan.step("away", stays).queue("network").input(value(0u64))
    };
    let runs = Counter::default();
    let watch = Watch::default().every(Duration::ZERO);
    let there = network(&bench, &runs, plan).watch(watch.slow_step(ms(300), 3));
    let workers = [start(home(&bench, &runs, plan)), start(there)];
    let slow = bench.intendant.request(Hourly {}).await?;
    bench
        .until(|| async { Ok((runs.get() == 1).then_some(())) })
        .await?;
    let usual = bench.intendant.request_all((0..20).map(|_| Hourly {}));
    for id in usual.await? {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    let found = alert(&bench, AlertKind::SlowStep, true).await?;
    ensure!(
        found.step.as_deref() == Some("away")
            && found.intent == Some(slow.id())
            && found.worker.as_deref() == Some("network"),
        "{found:?}"
    );
    for _ in 0..100 {
        runs.add();
    }
    slow.output().await?;
    alert(&bench, AlertKind::SlowStep, false).await?;
    stop(&bench, workers).await
}

async fn a_routed_step_that_nobody_begins_makes_its_queue_too_old(bench: Bench) -> Result<()> {
    // The first one that runs keeps the only slot until the counter says that it may go.
    let plan: MakePlan<Hourly> = |_, plan| {
        let stays = async |cx: Cx<Counter>, number: u64| -> StepResult<u64> {
            cx.state().add();
            while cx.state().get() < 100 {
                tokio::time::sleep(ms(5)).await;
            }
            Ok(number)
        };
        plan.step("away", stays).queue("network").input(value(0u64))
    };
    let runs = Counter::default();
    let worker = network(&bench, &runs, plan).queue("network", 1);
    let workers = [start(home(&bench, &runs, plan)), start(worker)];
    let all = (0..4).map(|_| Hourly {});
    let all = bench.intendant.request_all(all).await?;
    bench
        .until(|| async {
            let sent = bench.number("select count(*) from @routed").await?;
            Ok((sent == 4 && runs.get() == 1).then_some(()))
        })
        .await?;
    an_hour_ago(&bench, "routed", "sent_at").await?;
    let old = alert(&bench, AlertKind::QueueTooOld, true).await?;
    ensure!(
        old.queue.as_deref() == Some("network")
            && old.text.contains("for 1 h 0 min")
            && (2..=3).contains(&old.count),
        "{old:?}"
    );
    for _ in 0..100 {
        runs.add();
    }
    for id in all {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    alert(&bench, AlertKind::QueueTooOld, false).await?;
    stop(&bench, workers).await
}

async fn routed_steps_that_kill_their_workers_make_the_kind_of_their_intents_back_off(
    bench: Bench,
) -> Result<()> {
    let deadly: MakePlan<Hourly> =
        |_, plan| plan.step("away", hangs).queue("network").input(value(0u64));
    let mended: MakePlan<Hourly> = |_, plan| {
        plan.step("away", counts)
            .queue("network")
            .input(value(0u64))
    };
    let runs = Counter::default();
    let at_home = start(home(&bench, &Counter::default(), mended));
    let all = bench
        .intendant
        .request_all((0..2).map(|_| Hourly {}))
        .await?;
    bench
        .until(|| async {
            let sent = bench.number("select count(*) from @routed").await?;
            Ok((sent == 2).then_some(()))
        })
        .await?;
    // The first has both in hand; each of the others has one by itself.
    for running in [2, 3, 4] {
        // One that stands still for a moment is not to be taken for dead before it is.
        let worker = network(&bench, &runs, deadly).lease(Duration::from_secs(15));
        let worker = start(worker);
        bench
            .until(|| async { Ok((runs.get() >= running).then_some(())) })
            .await?;
        worker.kill().await;
    }
    let found = alert(&bench, AlertKind::KindBacksOff, true).await?;
    ensure!(
        found.intent_kind.as_deref() == Some("hourly") && found.count == 2,
        "{found:?}"
    );
    let worker = start(network(&bench, &runs, mended));
    for id in all {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    alert(&bench, AlertKind::KindBacksOff, false).await?;
    ensure!(bench.number("select count(*) from @poison").await? == 0);
    stop(&bench, [at_home, worker]).await
}
