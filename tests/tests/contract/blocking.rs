//! Closures of steps that block their thread.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use intendant::{Cx, IntentState, Node, Plan, StepResult, Stopped, value};

use crate::programs::{Job, plan};
use crate::support::{Bench, Counter, Running, on_both, start};

on_both! {
    no_more_of_them_run_at_once_than_there_are_places_and_nobody_else_waits;
    a_panic_in_one_is_the_steps_and_so_is_what_it_logs;
    an_attempt_has_not_ended_before_its_closure_has;
    one_that_has_not_begun_never_does;
    one_that_does_not_end_makes_the_worker_stop;
    one_that_is_at_work_when_the_worker_stops_is_left_to_be_taken_over;
}

/// Holds closures up.
#[derive(Default)]
struct Dam {
    begun: Counter,
    ended: Counter,
    open: Counter,
    /// How many are in it now, and how many were at most.
    inside: Mutex<(u64, u64)>,
}

type State = Arc<Dam>;

/// Opens it when a test is over, whatever that comes to: a runtime does not end before its closures have.
struct Opens(State);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open.add();
    }
}

impl Dam {
    fn hold(&self) {
        {
            let mut inside = self.inside.lock().unwrap();
            inside.0 += 1;
            inside.1 = inside.1.max(inside.0);
        }
        self.begun.add();
        while self.open.get() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inside.lock().unwrap().0 -= 1;
        self.ended.add();
    }

    async fn begun(&self, bench: &Bench, closures: u64) -> Result<()> {
        bench
            .until(|| async { Ok((self.begun.get() >= closures).then_some(())) })
            .await
    }
}

fn job(text: &str) -> Job {
    let text = text.to_owned();
    Job { text }
}

/// Blocks, if it is told to.
async fn blocks(cx: Cx<State>, text: String) -> StepResult<String> {
    if text == "blocks" {
        let dam = cx.state().clone();
        let context = cx.clone();
        cx.blocking(move || {
            let _whose = context;
            dam.hold();
        })
        .await?;
    }
    Ok(text)
}

/// The first time, with a limit.
fn limited(job: &Job, plan: &mut Plan<State>) -> Node<String> {
    let step = plan.step("work", blocks).attempts(1);
    let step = step.time_limit(Duration::from_millis(500));
    step.input(value(job.text.clone()))
}

async fn no_more_of_them_run_at_once_than_there_are_places_and_nobody_else_waits(
    bench: Bench,
) -> Result<()> {
    let dam = State::default();
    let _opens = Opens(dam.clone());
    let worker = bench.worker(dam.clone()).register::<Job, _>(plan(blocks));
    let worker = start(worker.blocking(2).concurrency(8));
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(bench.intendant.request(job("blocks")).await?);
    }
    dam.begun(&bench, 2).await?;
    // Others go on: more of them than the runtime has threads, while two block and three wait for a place.
    for _ in 0..20 {
        let quick = bench.intendant.request(job("quick")).await?;
        tokio::time::timeout(Duration::from_secs(5), quick.output()).await??;
    }
    ensure!(dam.begun.get() == 2 && dam.ended.get() == 0);
    for handle in &held {
        ensure!(handle.state().await? == IntentState::Running);
    }
    dam.open.add();
    for handle in held {
        handle.output().await?;
    }
    ensure!(dam.ended.get() == 5 && dam.inside.lock().unwrap().1 == 2);
    worker.stop().await?;
    bench.check().await
}

async fn a_panic_in_one_is_the_steps_and_so_is_what_it_logs(bench: Bench) -> Result<()> {
    async fn panics(cx: Cx<State>, _: String) -> StepResult<String> {
        let text = cx
            .blocking(|| {
                tracing::warn!("on thin ice");
                if true {
                    std::panic::resume_unwind(Box::new("it broke"));
                }
                String::new()
            })
            .await?;
        Ok(text)
    }
    let worker = start(
        bench
            .worker(State::default())
            .register::<Job, _>(plan(panics)),
    );
    let handle = bench.intendant.request(job("")).await?;
    bench.rest(handle.id()).await?;
    let attempts = bench.intendant.attempts(handle.id()).await?;
    let first = attempts.first().context("an attempt")?;
    ensure!(
        first.failure == "panic" && first.error == "panicked: it broke",
        "{first:?}"
    );
    let logs = bench.intendant.logs(handle.id()).await?;
    ensure!(logs[0].lines[0].text == "on thin ice", "{logs:?}");
    worker.stop().await?;
    bench.check().await
}

async fn an_attempt_has_not_ended_before_its_closure_has(bench: Bench) -> Result<()> {
    let dam = State::default();
    let _opens = Opens(dam.clone());
    let worker = start(bench.worker(dam.clone()).register::<Job, _>(limited));
    let handle = bench.intendant.request(job("blocks")).await?;
    dam.begun(&bench, 1).await?;
    // Its time is over when another one's is that began later; it has not ended, and does not count as if it had.
    let quick = bench.intendant.request(job("quick")).await?;
    quick.output().await?;
    let over = tokio::time::Instant::now() + Duration::from_millis(900);
    while tokio::time::Instant::now() < over {
        ensure!(handle.state().await? == IntentState::Running);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ensure!(bench.intendant.attempts(handle.id()).await?.is_empty());
    dam.open.add();
    bench.rest(handle.id()).await?;
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 1 && attempts[0].failure == "time-out",
        "{attempts:?}"
    );
    ensure!(dam.ended.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn one_that_has_not_begun_never_does(bench: Bench) -> Result<()> {
    let dam = State::default();
    let _opens = Opens(dam.clone());
    let worker = bench.worker(dam.clone()).register::<Job, _>(limited);
    let worker = start(worker.blocking(1));
    let first = bench.intendant.request(job("blocks")).await?;
    dam.begun(&bench, 1).await?;
    // It waits for a place until its time is over.
    let second = bench.intendant.request(job("blocks")).await?;
    let record = bench.rest(second.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(first.state().await? == IntentState::Running);
    dam.open.add();
    bench.rest(first.id()).await?;
    worker.stop().await?;
    ensure!(dam.begun.get() == 1);
    bench.check().await
}

async fn one_that_does_not_end_makes_the_worker_stop(bench: Bench) -> Result<()> {
    let dam = State::default();
    let _opens = Opens(dam.clone());
    let worker = bench
        .worker(dam.clone())
        .register::<Job, _>(limited)
        .watchdog(Duration::from_millis(50))
        .grace(Duration::from_millis(50));
    let running = tokio::spawn(worker.run(std::future::pending()));
    let handle = bench.intendant.request(job("blocks")).await?;
    dam.begun(&bench, 1).await?;
    // Nobody has asked it to.
    let report = tokio::time::timeout(Duration::from_secs(20), running).await???;
    ensure!(report.stopped == Stopped::Stuck, "{report:?}");
    ensure!(dam.ended.get() == 0 && handle.state().await? == IntentState::Running);
    dam.open.add();
    bench.check().await
}

async fn one_that_is_at_work_when_the_worker_stops_is_left_to_be_taken_over(
    bench: Bench,
) -> Result<()> {
    async fn first_blocks(cx: Cx<State>, _: String) -> StepResult<String> {
        if cx.state().begun.get() > 0 {
            return Ok("taken over".to_owned());
        }
        let dam = cx.state().clone();
        cx.blocking(move || dam.hold()).await?;
        Ok("blocked".to_owned())
    }
    let dam = State::default();
    let _opens = Opens(dam.clone());
    let worker = bench
        .worker(dam.clone())
        .register::<Job, _>(plan(first_blocks));
    let running: Running = start(worker.grace(Duration::from_millis(50)));
    let handle = bench.intendant.request(job("")).await?;
    dam.begun(&bench, 1).await?;
    let report = tokio::time::timeout(Duration::from_secs(10), running.stop()).await??;
    ensure!(
        report.handed_back == 0 && report.finished == 0,
        "{report:?}"
    );
    ensure!(dam.ended.get() == 0 && handle.state().await? == IntentState::Running);
    let next = bench.worker(dam.clone());
    let next = start(next.register::<Job, _>(plan(first_blocks)));
    ensure!(handle.output().await? == "taken over" && dam.ended.get() == 0);
    // Not a crash: it does not count towards a quarantine.
    let events = bench.intendant.events(handle.id()).await?;
    let taken_over = events.iter().find(|event| event.verb == "take over");
    let detail = taken_over.and_then(|event| event.detail.as_ref());
    let detail: serde_json::Value = serde_json::from_str(detail.context("a take-over")?.get())?;
    ensure!(detail["crashes"] == 0, "{detail}");
    dam.open.add();
    let report = next.stop().await?;
    ensure!(report.reaped == 1, "{report:?}");
    bench.check().await
}
