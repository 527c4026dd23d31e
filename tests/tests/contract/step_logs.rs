//! What steps log is kept with their attempts.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, LogRecord, Node, Plan, StepError, StepResult, limits, snooze, value};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    what_a_step_logs_is_kept_with_its_attempt;
    a_long_log_is_cut_and_says_how_much;
    of_an_attempt_that_is_taken_up_again_the_last_run_is_kept;
    what_is_stopped_at_the_time_limit_keeps_its_log;
    logs_can_be_read_in_sql;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    lines: usize,
}

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = u64;
}

/// Where a test is with its steps.
#[derive(Debug, Clone, Default)]
struct Turns {
    runs: Counter,
}

fn texts(log: &LogRecord) -> Vec<&str> {
    log.lines.iter().map(|line| line.text.as_str()).collect()
}

fn plan<F, Fut>(step: F) -> impl Fn(&Job, &mut Plan<Turns>) -> Node<u64>
where
    F: Fn(Cx<Turns>, Job) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StepResult<u64>> + Send + 'static,
{
    move |job, plan| {
        plan.step("work", step.clone())
            .attempts(3)
            .backoff(Duration::from_millis(1), Duration::from_millis(1))
            .input(value(job.clone()))
    }
}

async fn what_a_step_logs_is_kept_with_its_attempt(bench: Bench) -> Result<()> {
    async fn talks(cx: Cx<Turns>, job: Job) -> StepResult<u64> {
        tracing::info!(rows = job.lines, table = "orders", "copying");
        tracing::debug!("not kept");
        let inner = tracing::info_span!("inner");
        inner.in_scope(|| tracing::warn!(target: "disk", "nearly full"));
        if cx.state().runs.add() == 1 {
            return Err(StepError::new("disk full"));
        }
        // A task of the step's own, in its span.
        let own = async { tracing::error!("from a task") }.in_current_span();
        tokio::spawn(own).await?;
        // And one that is not: nobody knows whose it is.
        tokio::spawn(async { tracing::error!("nobody's") }).await?;
        Ok(1)
    }
    let plan = plan(talks);
    let worker = start(bench.worker(Turns::default()).register::<Job, _>(plan));
    let handle = bench.intendant.request(Job { lines: 3 }).await?;
    handle.output().await?;
    tracing::info!("no step's");
    let logs = bench.intendant.logs(handle.id()).await?;
    ensure!(logs.len() == 2 && logs[0].step == "work", "{logs:?}");
    ensure!((logs[0].attempt, logs[1].attempt) == (1, 2), "{logs:?}");
    let first = ["copying rows=3 table=\"orders\"", "nearly full"];
    ensure!(texts(&logs[0]) == first, "{logs:?}");
    ensure!(
        texts(&logs[1]) == [first[0], first[1], "from a task"],
        "{logs:?}"
    );
    let last = &logs[1].lines[1];
    ensure!(
        (last.level.as_str(), last.target.as_str()) == ("WARN", "disk"),
        "{last:?}"
    );
    ensure!((logs[0].cut_lines, logs[0].cut_bytes) == (0, 0), "{logs:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_long_log_is_cut_and_says_how_much(bench: Bench) -> Result<()> {
    async fn babbles(_: Cx<Turns>, job: Job) -> StepResult<u64> {
        for line in 0..job.lines {
            tracing::info!("line {line:06}");
        }
        tracing::info!("{}", "x\0".repeat(limits::LOG_LINE_BYTES));
        Ok(0)
    }
    let worker = bench.worker(Turns::default()).register_step(babbles);
    let worker = start(worker);
    let lines = limits::LOG_LINES + 1_000;
    let handle = bench.intendant.request(Job { lines }).await?;
    handle.output().await?;
    let logs = bench.intendant.logs(handle.id()).await?;
    ensure!(logs.len() == 1 && logs[0].lines.len() == limits::LOG_LINES);
    ensure!(logs[0].cut_lines == 1_001, "{}", logs[0].cut_lines);
    ensure!(logs[0].cut_bytes > 1_001 * 11, "{}", logs[0].cut_bytes);
    ensure!(
        logs[0].lines[0].text == "line 001001",
        "{:?}",
        logs[0].lines[0]
    );
    let long = &logs[0].lines[limits::LOG_LINES - 1].text;
    ensure!(long.len() <= limits::LOG_LINE_BYTES + 3 && long.starts_with("x\u{fffd}x"));
    worker.stop().await?;
    bench.check().await
}

async fn of_an_attempt_that_is_taken_up_again_the_last_run_is_kept(bench: Bench) -> Result<()> {
    async fn polls(cx: Cx<Turns>, _: Job) -> StepResult<u64> {
        let run = cx.state().runs.add();
        tracing::info!("look {run}");
        if run < 4 {
            return Err(snooze(Duration::from_millis(1)));
        }
        Ok(run)
    }
    let worker = start(bench.worker(Turns::default()).register_step(polls));
    let handle = bench.intendant.request(Job { lines: 0 }).await?;
    handle.output().await?;
    let logs = bench.intendant.logs(handle.id()).await?;
    ensure!(logs.len() == 1 && texts(&logs[0]) == ["look 4"], "{logs:?}");
    ensure!(logs[0].cut_lines == 3 && logs[0].cut_bytes > 0, "{logs:?}");
    worker.stop().await?;
    bench.check().await
}

async fn what_is_stopped_at_the_time_limit_keeps_its_log(bench: Bench) -> Result<()> {
    async fn hangs(cx: Cx<Turns>, _: Job) -> StepResult<u64> {
        tracing::info!("waiting for nothing");
        cx.state().runs.add();
        std::future::pending().await
    }
    let turns = Turns::default();
    let worker = bench.worker(turns.clone()).register_step(hangs);
    let worker = start(worker.grace(Duration::from_millis(20)));
    let id = bench.intendant.request(Job { lines: 0 }).await?.id();
    bench
        .until(|| async { Ok((turns.runs.get() == 1).then_some(())) })
        .await?;
    worker.stop().await?;
    let logs = bench.intendant.logs(id).await?;
    ensure!(texts(&logs[0]) == ["waiting for nothing"], "{logs:?}");
    bench.check().await
}

async fn logs_can_be_read_in_sql(bench: Bench) -> Result<()> {
    async fn talks(_: Cx<Turns>, job: Job) -> StepResult<u64> {
        for line in 1..=job.lines {
            tracing::info!("line {line}");
        }
        Ok(0)
    }
    let worker = start(bench.worker(Turns::default()).register_step(talks));
    let handle = bench.intendant.request(Job { lines: 3 }).await?;
    handle.output().await?;
    let found =
        "select count(*) from @logs where text like 'line %' and level = 'INFO' and seconds >= 0";
    ensure!(bench.number(found).await? == 3);
    let last = "select count(*) from @logs where line = 3 and text = 'line 3' and step = 'run' and cut_lines = 0";
    ensure!(bench.number(last).await? == 1);
    worker.stop().await?;
    bench.check().await
}
