//! Workers: queues, graceful stops, hand-over, unknown kinds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, StepResult, Worker, value};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    a_graceful_stop_finishes_running_steps_and_hands_back_the_rest;
    a_graceful_stop_at_its_time_limit_uses_up_no_attempt;
    a_step_can_be_left_at_a_safe_exit_point;
    a_step_that_does_not_let_go_is_left_to_be_taken_over;
    what_ends_at_the_time_limit_of_a_stop_is_kept_and_what_does_not_is_not_handed_back;
    queues_have_slots_of_their_own;
    a_worker_that_does_not_know_a_kind_never_claims_it;
    what_waits_behind_a_long_step_goes_to_an_idle_worker;
    progress_of_a_running_step_can_be_seen;
    inputs_in_hand_are_bounded_by_their_bytes;
    what_a_leaving_worker_leaves_behind_has_not_crashed;
    a_kind_registered_twice_is_refused;
    a_worker_that_is_taken_for_dead_while_it_stops_ends_all_the_same;
    an_idle_worker_that_was_taken_for_dead_begins_anew;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    ms: u64,
}

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = u64;
}

async fn sleep(cx: Cx<Counter>, ms: u64) -> StepResult<u64> {
    let turn = cx.state().add();
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(turn)
}

fn two_steps(job: &Job, plan: &mut Plan<Counter>) -> Node<u64> {
    let first = plan.step("first", sleep).attempts(1).input(value(job.ms));
    plan.step("second", sleep)
        .attempts(1)
        .after(first)
        .input(value(job.ms))
}

async fn a_graceful_stop_finishes_running_steps_and_hands_back_the_rest(
    bench: Bench,
) -> Result<()> {
    let counter = Counter::default();
    let running = start(
        bench
            .worker(counter.clone())
            .register(two_steps)
            .concurrency(2),
    );
    let ids = bench
        .intendant
        .request_all((0..6).map(|_| Job { ms: 200 }))
        .await?;
    bench
        .until(|| async { Ok((counter.get() >= 2).then_some(())) })
        .await?;
    let report = running.stop().await?;
    // What ran was recorded, nothing more was begun, and everything is back in line.
    ensure!(
        counter.get() == 2 && report.steps == 2 && report.finished == 0,
        "{report:?}"
    );
    let unfinished = bench.intendant.unfinished().await?;
    ensure!(
        unfinished.ready == 6 && unfinished.total() == 6,
        "{unfinished:?}"
    );
    bench.check().await?;
    let next = start(bench.worker(counter.clone()).register(two_steps));
    for id in ids {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    ensure!(counter.get() == 12, "no step ran twice");
    next.stop().await?;
    bench.check().await
}

async fn a_graceful_stop_at_its_time_limit_uses_up_no_attempt(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = bench
        .worker(counter.clone())
        .register(two_steps)
        .grace(Duration::from_millis(50));
    let running = start(worker);
    let job = bench.intendant.request(Job { ms: 1_000 }).await?;
    bench
        .until(|| async { Ok((counter.get() >= 1).then_some(())) })
        .await?;
    running.stop().await?;
    ensure!(job.state().await? == IntentState::Ready);
    let next = start(bench.worker(counter.clone()).register(two_steps));
    // Each step may be tried once only, and the first has been interrupted once.
    job.output().await?;
    ensure!(bench.intendant.attempts(job.id()).await?.is_empty());
    next.stop().await?;
    bench.check().await
}

async fn a_step_can_be_left_at_a_safe_exit_point(bench: Bench) -> Result<()> {
    let patient = async |cx: Cx<Counter>, _: Job| -> StepResult<u64> {
        let turn = cx.state().add();
        if turn > 1 {
            return Ok(turn);
        }
        loop {
            cx.exit_point().await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let counter = Counter::default();
    let running = start(
        bench
            .worker(counter.clone())
            .register_step::<Job, u64, _>(patient),
    );
    let job = bench.intendant.request(Job { ms: 0 }).await?;
    bench
        .until(|| async { Ok((counter.get() >= 1).then_some(())) })
        .await?;
    running.stop().await?;
    let next = start(
        bench
            .worker(counter.clone())
            .register_step::<Job, u64, _>(patient),
    );
    ensure!(job.output().await? == 2);
    ensure!(bench.intendant.attempts(job.id()).await?.is_empty());
    next.stop().await?;
    bench.check().await
}

/// A step that blocks its thread, which nothing can stop.
#[derive(Default)]
struct Stuck {
    entered: Counter,
    released: Counter,
    left: Counter,
}

impl Stuck {
    fn block(&self) {
        while self.released.get() == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.left.add();
    }
}

async fn a_step_that_does_not_let_go_is_left_to_be_taken_over(bench: Bench) -> Result<()> {
    let block_at_first = async |cx: Cx<Arc<Stuck>>, _: Job| -> StepResult<u64> {
        let turn = cx.state().entered.add();
        if turn == 1 {
            cx.state().block();
        }
        Ok(turn)
    };
    let stuck = Arc::new(Stuck::default());
    let worker = bench
        .worker(stuck.clone())
        .register_step::<Job, u64, _>(block_at_first)
        .concurrency(1)
        .grace(Duration::from_millis(50));
    let running = start(worker);
    let job = bench.intendant.request(Job { ms: 0 }).await?;
    bench
        .until(|| async { Ok((stuck.entered.get() == 1).then_some(())) })
        .await?;
    let report = tokio::time::timeout(Duration::from_secs(10), running.stop()).await??;
    ensure!(
        report.handed_back == 0 && report.finished == 0,
        "{report:?}"
    );
    ensure!(stuck.left.get() == 0 && job.state().await? == IntentState::Running);
    ensure!(bench.intendant.unfinished().await?.ready == 0);
    bench.check().await?;

    // Nothing is heard of the session any more: another worker takes over, and what the blocked code comes to is nobody's.
    let next = bench
        .worker(stuck.clone())
        .register_step::<Job, u64, _>(block_at_first);
    let next = start(next);
    ensure!(job.output().await? == 2 && stuck.left.get() == 0);
    stuck.released.add();
    bench
        .until(|| async { Ok((stuck.left.get() == 1).then_some(())) })
        .await?;
    let report = next.stop().await?;
    ensure!(report.reaped == 1 && report.finished == 1, "{report:?}");
    ensure!(job.output().await? == 2 && bench.intendant.attempts(job.id()).await?.is_empty());
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn what_ends_at_the_time_limit_of_a_stop_is_kept_and_what_does_not_is_not_handed_back(
    bench: Bench,
) -> Result<()> {
    async fn quick(cx: Cx<Arc<Stuck>>, (): ()) -> StepResult<u64> {
        cx.stopping().await;
        Ok(7)
    }
    async fn blocks(cx: Cx<Arc<Stuck>>, (): ()) -> StepResult<u64> {
        if cx.state().entered.add() == 1 {
            cx.state().block();
        }
        Ok(1)
    }
    async fn join(_: Cx<Arc<Stuck>>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    let plan = |_: &Job, plan: &mut Plan<Arc<Stuck>>| -> Node<u64> {
        let quick = plan.step("quick", quick).input(());
        let blocks = plan.step("blocks", blocks).input(());
        plan.step("join", join).input((quick, blocks))
    };
    let stuck = Arc::new(Stuck::default());
    let worker = bench.worker(stuck.clone()).register::<Job, _>(plan);
    let running = start(worker.grace(Duration::from_millis(50)));
    let job = bench.intendant.request(Job { ms: 0 }).await?;
    bench
        .until(|| async { Ok((stuck.entered.get() == 1).then_some(())) })
        .await?;
    let report = tokio::time::timeout(Duration::from_secs(10), running.stop()).await??;
    ensure!(report.steps == 1 && report.handed_back == 0, "{report:?}");
    let steps = bench.intendant.steps(job.id()).await?;
    let done = |step: &intendant::StepRecord| step.state == intendant::StepState::Succeeded;
    let done: Vec<_> = steps.iter().filter(|step| done(step)).collect();
    ensure!(done.len() == 1 && done[0].name == "quick", "{steps:?}");
    ensure!(job.state().await? == IntentState::Running);
    bench.check().await?;
    let next = start(bench.worker(stuck.clone()).register::<Job, _>(plan));
    ensure!(job.output().await? == 8 && stuck.left.get() == 0);
    stuck.released.add();
    next.stop().await?;
    bench.check().await
}

#[derive(Serialize, Deserialize)]
struct Mail;

impl Intent for Mail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = "mail";
    type Output = u64;
}

async fn queues_have_slots_of_their_own(bench: Bench) -> Result<()> {
    let long = async |_: Cx<()>, job: Job| -> StepResult<u64> {
        tokio::time::sleep(Duration::from_millis(job.ms)).await;
        Ok(0)
    };
    let mail = async |_: Cx<()>, _: Mail| -> StepResult<u64> { Ok(1) };
    let worker = bench
        .worker(())
        .register_step::<Job, u64, _>(long)
        .register_step::<Mail, u64, _>(mail);
    let worker = start(worker.concurrency(1).queue("mail", 2));
    let job = bench.intendant.request(Job { ms: 1_500 }).await?;
    bench.reach(job.id(), IntentState::Running).await?;
    // The only slot of the other queue is taken for a while; mail is not held up.
    bench.intendant.request(Mail).await?.output().await?;
    ensure!(job.state().await? == IntentState::Running);
    ensure!(bench.intendant.get(job.id()).await?.queue == "default");
    worker.stop().await?;
    bench.check().await
}

async fn a_worker_that_does_not_know_a_kind_never_claims_it(bench: Bench) -> Result<()> {
    let mail = bench.intendant.request(Mail).await?;
    let worker = start(bench.worker(Counter::default()).register(two_steps));
    bench
        .intendant
        .request(Job { ms: 1 })
        .await?
        .output()
        .await?;
    ensure!(mail.state().await? == IntentState::Ready);
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.ready == 1);
    bench.check().await
}

async fn what_waits_behind_a_long_step_goes_to_an_idle_worker(bench: Bench) -> Result<()> {
    async fn work(cx: Cx<Counter>, ms: u64) -> StepResult<u64> {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(cx.state().add())
    }
    let single = |job: &Job, plan: &mut Plan<Counter>| -> Node<u64> {
        plan.step("work", work).input(value(job.ms))
    };
    // Short steps first, so that the worker claims ahead; then long ones take both of its slots.
    let mut jobs = vec![1; 60];
    jobs.extend([4_000, 4_000]);
    jobs.extend([1; 40]);
    let ids = bench
        .intendant
        .request_all(jobs.into_iter().map(|ms| Job { ms }))
        .await?;
    let busy_counter = Counter::default();
    let busy = start(
        bench
            .worker(busy_counter.clone())
            .register::<Job, _>(single)
            .concurrency(2),
    );
    bench
        .until(|| async { Ok((busy_counter.get() >= 60).then_some(())) })
        .await?;
    let idle = start(
        bench
            .worker(Counter::default())
            .register::<Job, _>(single)
            .concurrency(2),
    );
    for id in &ids[62..] {
        bench.rest(*id).await?;
    }
    // All the short ones are done while the long ones still run.
    ensure!(bench.intendant.state(ids[60]).await? == IntentState::Running);
    idle.stop().await?;
    busy.stop().await?;
    bench.check().await
}

async fn progress_of_a_running_step_can_be_seen(bench: Bench) -> Result<()> {
    let report = async |cx: Cx<()>, _: Job| -> StepResult<u64> {
        cx.progress(serde_json::json!({"copied": 7, "of": 10}));
        cx.stopping().await;
        cx.exit_point().await?;
        Ok(0)
    };
    let worker = start(bench.worker(()).register_step::<Job, u64, _>(report));
    let job = bench.intendant.request(Job { ms: 0 }).await?;
    let progress = bench
        .until(|| async {
            let steps = bench.intendant.steps(job.id()).await?;
            Ok(steps.into_iter().find_map(|step| step.progress))
        })
        .await?;
    ensure!(progress.get() == r#"{"copied":7,"of":10}"#);
    worker.stop().await?;
    bench.check().await
}

async fn a_worker_that_is_taken_for_dead_while_it_stops_ends_all_the_same(
    bench: Bench,
) -> Result<()> {
    let (heard, gate) = (Counter::default(), Gate::default());
    let step = {
        let (heard, gate) = (heard.clone(), gate.clone());
        move |cx: Cx<()>, _: Job| {
            let (heard, gate) = (heard.clone(), gate.clone());
            async move {
                heard.add();
                cx.stopping().await;
                heard.add();
                gate.pass().await;
                StepResult::Ok(0_u64)
            }
        }
    };
    let worker = bench.worker(()).register_step::<Job, u64, _>(step);
    let running = start(worker.grace(Duration::from_secs(60)));
    let job = bench.intendant.request(Job { ms: 0 }).await?;
    bench
        .until(|| async { Ok((heard.get() == 1).then_some(())) })
        .await?;
    let stopping = tokio::spawn(running.stop());
    bench
        .until(|| async { Ok((heard.get() == 2).then_some(())) })
        .await?;
    // As whoever takes it for dead leaves it, with nothing of its own.
    for table in ["lease", "session_kind", "session"] {
        bench.run_sql(&format!("delete from @{table}")).await?;
    }
    gate.open();
    let report = stopping.await??;
    ensure!(report.finished == 0, "{report:?}");
    ensure!(!bench.intendant.state(job.id()).await?.is_finished());
    Ok(())
}

/// It has nothing to write, so it is its heartbeat that tells it.
async fn an_idle_worker_that_was_taken_for_dead_begins_anew(bench: Bench) -> Result<()> {
    let running = start(bench.worker(Counter::default()).register(two_steps));
    let is_there = || async {
        let sessions = bench.number("select count(*) from @session").await?;
        Ok((sessions == 1).then_some(()))
    };
    bench.until(is_there).await?;
    let ended = "delete from @session_kind; delete from @session";
    bench.run_sql(ended).await?;
    bench.until(is_there).await?;
    let job = bench.intendant.request(Job { ms: 1 }).await?;
    ensure!(job.output().await? == 2);
    running.stop().await?;
    bench.check().await
}

async fn a_kind_registered_twice_is_refused(bench: Bench) -> Result<()> {
    let worker = Worker::new(&bench.intendant, Counter::default())
        .register(two_steps)
        .register(two_steps);
    let error = worker.run(std::future::pending()).await.unwrap_err();
    ensure!(
        error.to_string() == "the kind `job` is registered twice with one worker",
        "{error}"
    );
    Ok(())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Large {
    text: String,
}

impl Intent for Large {
    const KIND: &'static str = "large";
    type Output = usize;
}

/// Waits at a gate that the test opens.
async fn weigh(cx: Cx<watch::Sender<bool>>, large: Large) -> StepResult<usize> {
    let mut gate = cx.state().subscribe();
    gate.wait_for(|open| *open).await?;
    Ok(large.text.len())
}

async fn inputs_in_hand_are_bounded_by_their_bytes(bench: Bench) -> Result<()> {
    let large = || Large {
        text: "x".repeat(1_000_000),
    };
    let ids = bench
        .intendant
        .request_all((0..40).map(|_| large()))
        .await?;
    let gate = watch::Sender::new(false);
    let worker = start(bench.worker(gate.clone()).register_step(weigh));
    let held = || async { anyhow::Ok(bench.intendant.unfinished().await?.running) };
    bench
        .until(|| async { Ok((held().await? > 0).then_some(())) })
        .await?;
    // It has 64 slots, and memory for 16 inputs. A few polls later it has not taken more.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let in_hand = held().await?;
    ensure!((1..=17).contains(&in_hand), "{in_hand} MB in hand");
    gate.send_replace(true);
    for id in ids {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {}

impl Intent for Held {
    const KIND: &'static str = "held";
    type Output = u64;
}

/// The first time it holds its thread, where nothing can stop it.
async fn held(cx: Cx<Counter>, _: Held) -> StepResult<u64> {
    let turn = cx.state().add();
    if turn == 1 {
        std::thread::sleep(Duration::from_secs(3));
    }
    Ok(turn)
}

async fn what_a_leaving_worker_leaves_behind_has_not_crashed(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(
        bench
            .worker(counter.clone())
            .grace(Duration::from_millis(50))
            .register_step(held),
    );
    let handle = bench.intendant.request(Held {}).await?;
    bench
        .until(|| async { Ok((counter.get() == 1).then_some(())) })
        .await?;
    worker.stop().await?;
    // Not handed back while its code may be running.
    ensure!(bench.intendant.unfinished().await?.running == 1);
    // Somebody who does not know the kind finds the session dead.
    let other = start(bench.worker(counter.clone()).register(two_steps));
    bench.reach(handle.id(), IntentState::Ready).await?;
    ensure!(
        bench
            .number("select cast(crashes as bigint) from @ready")
            .await?
            == 0
    );
    other.stop().await?;
    let next = start(bench.worker(counter.clone()).register_step(held));
    ensure!(handle.output().await? == 2);
    next.stop().await?;
    bench.check().await
}
