//! Steps that block their thread, and workers that stop by themselves to be started anew.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, StepResult, Stopped, WorkReport, value};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::meters::Meters;
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_worker_with_a_step_that_blocks_claims_nothing_until_it_comes_back;
    a_worker_with_a_step_that_blocks_for_good_stops_and_another_goes_on;
    a_runtime_that_is_blocked_as_a_whole_is_seen;
    a_worker_stops_at_its_age_to_be_started_anew;
    a_worker_stops_at_its_memory_to_be_started_anew;
    a_worker_without_bounds_goes_on;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    blocks: bool,
}

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = u64;
}

/// What holds a step up in blocking code.
#[derive(Default)]
struct Dam {
    entered: Counter,
    opened: Counter,
    runs: Counter,
}

type State = Arc<Dam>;

async fn work(cx: Cx<State>, job: Job) -> StepResult<u64> {
    if job.blocks && cx.state().entered.add() == 1 {
        while cx.state().opened.get() == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(cx.state().runs.add())
}

/// A plan whose step has this name.
fn plan(step: String) -> impl Fn(&Job, &mut Plan<State>) -> Node<u64> {
    move |job, plan| plan.step(step.clone(), work).input(value(job.clone()))
}

async fn entered(bench: &Bench, dam: &Dam) -> Result<()> {
    bench
        .until(|| async { Ok((dam.entered.get() >= 1).then_some(())) })
        .await
}

/// How often the metrics say that this step was stuck.
fn stuck(step: &str) -> usize {
    let series = Meters::get().of(&format!("step={step}"));
    let stuck = series
        .iter()
        .filter(|(name, _)| name.starts_with("intendant_step_stuck_total"));
    stuck.map(|(_, counts)| counts.len()).sum()
}

async fn a_worker_with_a_step_that_blocks_claims_nothing_until_it_comes_back(
    bench: Bench,
) -> Result<()> {
    let step = format!("comes_back_{}", bench.database.kind.as_str());
    // Before the watchdog tells of anything.
    ensure!(stuck(&step) == 0);
    let dam = State::default();
    let worker = bench
        .worker(dam.clone())
        .register::<Job, _>(plan(step.clone()));
    // Patient enough that it does not stop meanwhile.
    let worker = start(worker.watchdog(Duration::from_secs(1)));
    let blocked = bench.intendant.request(Job { blocks: true }).await?;
    entered(&bench, &dam).await?;
    bench
        .until(|| async { Ok((stuck(&step) == 1).then_some(())) })
        .await?;
    // The others see no free slot here any more once the worker knows.
    bench
        .until(|| async {
            Ok((bench
                .number("select count(*) from @session where free = 0")
                .await?
                == 1)
                .then_some(()))
        })
        .await?;
    let waits = bench.intendant.request(Job { blocks: false }).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_millis(300);
    while tokio::time::Instant::now() < deadline {
        ensure!(
            waits.state().await? == IntentState::Ready,
            "it is not claimed"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    dam.opened.add();
    blocked.output().await?;
    waits.output().await?;
    ensure!(stuck(&step) == 1, "told once");
    worker.stop().await?;
    bench.check().await
}

async fn a_worker_with_a_step_that_blocks_for_good_stops_and_another_goes_on(
    bench: Bench,
) -> Result<()> {
    let dam = State::default();
    let worker = bench
        .worker(dam.clone())
        .register::<Job, _>(plan("work".to_owned()))
        .watchdog(Duration::from_millis(50))
        .grace(Duration::from_millis(50));
    let running = tokio::spawn(worker.run(std::future::pending()));
    let job = bench.intendant.request(Job { blocks: true }).await?;
    entered(&bench, &dam).await?;
    // Nobody has asked it to.
    let report = tokio::time::timeout(Duration::from_secs(20), running).await???;
    ensure!(
        report.stopped == Stopped::Stuck && report.stopped.exit_code() == 75,
        "{report:?}"
    );
    bench.check().await?;
    let next = start(
        bench
            .worker(dam.clone())
            .register::<Job, _>(plan("work".to_owned())),
    );
    job.output().await?;
    ensure!(dam.runs.get() == 1 && bench.intendant.attempts(job.id()).await?.is_empty());
    dam.opened.add();
    next.stop().await?;
    bench.check().await
}

async fn a_runtime_that_is_blocked_as_a_whole_is_seen(bench: Bench) -> Result<()> {
    let step = format!("alone_{}", bench.database.kind.as_str());
    let dam = State::default();
    let seen = || {
        let series = Meters::get().of("intendant_runtime_stuck_total");
        series.values().map(Vec::len).sum::<usize>()
    };
    let before = seen();
    let (stop, stopped) = oneshot::channel::<()>();
    let url = bench.database.url.clone();
    // A runtime with one thread, in a thread of its own.
    let of_worker = dam.clone();
    let thread = std::thread::spawn(move || -> Result<WorkReport> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let intendant = intendant::Intendant::connect(&url).await?;
            let worker = intendant::Worker::new(&intendant, of_worker)
                .register::<Job, _>(plan(step))
                .watchdog(Duration::from_millis(100))
                // Its heartbeat goes on for so long.
                .lease(Duration::from_secs(30));
            let report = worker.run(async { drop(stopped.await) }).await?;
            intendant.close().await;
            Ok(report)
        })
    });
    let job = bench.intendant.request(Job { blocks: true }).await?;
    entered(&bench, &dam).await?;
    bench
        .until(|| async { Ok((seen() > before).then_some(())) })
        .await?;
    dam.opened.add();
    job.output().await?;
    drop(stop);
    let report = tokio::task::spawn_blocking(move || thread.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the worker's thread has panicked"))??;
    ensure!(report.finished == 1, "{report:?}");
    bench.check().await
}

async fn a_worker_stops_at_its_age_to_be_started_anew(bench: Bench) -> Result<()> {
    let dam = State::default();
    let mut ran = 0;
    for number in 1..=2 {
        let worker = bench.worker(dam.clone()).register_step(work);
        let worker = worker.max_age(Duration::from_millis(300));
        let running = tokio::spawn(worker.run(std::future::pending()));
        let job = bench.intendant.request(Job { blocks: false }).await?;
        job.output().await?;
        let report = tokio::time::timeout(Duration::from_secs(20), running).await???;
        ensure!(report.stopped == Stopped::Age, "{report:?}");
        ran += report.finished;
        ensure!(ran == number, "{report:?}");
        ensure!(bench.number("select count(*) from @session").await? == 0);
        bench.check().await?;
    }
    Ok(())
}

async fn a_worker_stops_at_its_memory_to_be_started_anew(bench: Bench) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let worker = bench.worker(State::default()).register_step(work);
    let running = tokio::spawn(worker.max_memory(1).run(std::future::pending()));
    let report = tokio::time::timeout(Duration::from_secs(20), running).await???;
    ensure!(report.stopped == Stopped::Memory, "{report:?}");
    bench.check().await
}

async fn a_worker_without_bounds_goes_on(bench: Bench) -> Result<()> {
    let worker = bench.worker(State::default()).register_step(work);
    let worker = worker
        .no_watchdog()
        .max_memory(u64::MAX)
        .max_age(Duration::from_secs(3_600));
    let running = start(worker);
    let beats = "select count(*) from @session where beat >= 3";
    bench
        .until(|| async { Ok((bench.number(beats).await? == 1).then_some(())) })
        .await?;
    let job = bench.intendant.request(Job { blocks: false }).await?;
    job.output().await?;
    let report = running.stop().await?;
    ensure!(report.stopped == Stopped::Asked, "{report:?}");
    bench.check().await
}
