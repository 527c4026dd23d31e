//! What runs around steps: order, what it sees, what it can do; metrics and measurements.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    AttemptFailure, Cx, Done, Intent, IntentState, Metrics, Middleware, Next, Node, OnFailure,
    Plan, StepError, StepResult, fail, snooze, value,
};
use serde::{Deserialize, Serialize};

use crate::meters::Meters;
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    middleware_runs_in_its_order_around_steps_and_undos;
    a_middleware_sees_every_end_of_an_attempt;
    a_middleware_can_fail_an_attempt_before_and_after_the_step;
    a_middleware_that_panics_or_hangs_fails_the_attempt;
    what_a_middleware_provides_is_there_for_the_step;
    a_middleware_hears_of_a_cancel_and_is_not_waited_for_for_ever;
    measurements_are_kept_with_their_attempts;
    metrics_are_told_by_kind_and_step;
    measurements_can_be_analysed_in_sql;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    how: String,
}

impl Intent for Job {
    const KIND: &'static str = "job";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Other;

impl Intent for Other {
    const KIND: &'static str = "other";
    type Output = u64;
}

/// What happened, in order.
#[derive(Default)]
struct Diary {
    lines: Mutex<Vec<String>>,
    runs: Counter,
}

type State = Arc<Diary>;

impl Diary {
    fn write(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    fn read(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// Writes down what it is around.
struct Writes(&'static str);

impl Middleware<State> for Writes {
    fn name(&self) -> std::borrow::Cow<'static, str> {
        self.0.into()
    }

    async fn around(&self, cx: &Cx<State>, next: Next<'_, State>) -> StepResult<Done> {
        cx.state().write(format!("{}>{}", self.0, cx.step_name()));
        let ended = next.run().await;
        cx.state().write(format!("{}<{}", self.0, cx.step_name()));
        ended
    }
}

async fn by_word(cx: Cx<State>, job: Job) -> StepResult<u64> {
    let run = cx.state().runs.add();
    match job.how.as_str() {
        "error" => Err(StepError::new("an error")),
        "give up" => Err(fail("no use")),
        "panic" => panic!("a panic"),
        "hang" => std::future::pending().await,
        "snooze" if run == 1 => Err(snooze(Duration::from_millis(1))),
        _ => Ok(run),
    }
}

async fn other(cx: Cx<State>, _: Other) -> StepResult<u64> {
    Ok(cx.state().runs.add())
}

fn plan(job: &Job, plan: &mut Plan<State>) -> Node<u64> {
    let step = plan.step("work", by_word).attempts(1);
    step.time_limit(Duration::from_millis(100))
        .undo(take_back)
        .input(value(job.clone()))
}

async fn take_back(cx: Cx<State>, _: Job, _: Option<u64>) -> StepResult<()> {
    cx.state().write("taken back");
    Ok(())
}

fn job(how: &str) -> Job {
    Job {
        how: how.to_owned(),
    }
}

async fn middleware_runs_in_its_order_around_steps_and_undos(bench: Bench) -> Result<()> {
    let diary = State::default();
    let worker = bench
        .worker(diary.clone())
        .register(plan)
        .register_step(other)
        .middleware_for::<Job>(Writes("inner"))
        .middleware(Writes("outer"));
    ensure!(worker.middleware_table() == "job: outer → inner → step\nother: outer → step\n");
    let worker = start(worker);
    let id = bench.intendant.request(job("give up")).await?.id();
    ensure!(bench.rest(id).await?.state == IntentState::Failed);
    bench.intendant.request(Other).await?.output().await?;
    ensure!(
        diary.read()
            == [
                "outer>work",
                "inner>work",
                "inner<work",
                "outer<work",
                "outer>undo(work)",
                "inner>undo(work)",
                "taken back",
                "inner<undo(work)",
                "outer<undo(work)",
                "outer>run",
                "outer<run",
            ],
        "{:?}",
        diary.read()
    );
    worker.stop().await?;
    bench.check().await
}

/// Reports how attempts end.
struct Reports;

impl Middleware<State> for Reports {
    async fn around(&self, cx: &Cx<State>, next: Next<'_, State>) -> StepResult<Done> {
        let ended = next.run().await;
        if !cx.step_name().starts_with("undo") {
            cx.state().write(match &ended {
                Ok(_) => "well".to_owned(),
                Err(error) => match error.failure() {
                    Some((failure, error)) => format!("{}: {error}", failure.as_str()),
                    None => "not yet".to_owned(),
                },
            });
        }
        ended
    }
}

async fn a_middleware_sees_every_end_of_an_attempt(bench: Bench) -> Result<()> {
    for (how, seen) in [
        ("well", &["well"][..]),
        ("error", &["error: an error"]),
        ("give up", &["gave up: no use"]),
        ("panic", &["panic: panicked: a panic"]),
        (
            "hang",
            &["time-out: ran longer than its time limit of 100ms"],
        ),
        ("snooze", &["not yet", "well"]),
    ] {
        let diary = State::default();
        let worker = bench.worker(diary.clone()).register(plan);
        let worker = start(worker.middleware(Reports));
        let id = bench.intendant.request(job(how)).await?.id();
        bench.rest(id).await?;
        let read: Vec<_> = diary
            .read()
            .into_iter()
            .filter(|line| line != "taken back")
            .collect();
        ensure!(read == seen, "{how}: {read:?}");
        worker.stop().await?;
    }
    bench.check().await
}

/// Fails the first attempt before the step, and the second after it.
struct Fussy;

impl Middleware<State> for Fussy {
    async fn around(&self, cx: &Cx<State>, next: Next<'_, State>) -> StepResult<Done> {
        if cx.attempt() == 1 {
            return Err(StepError::new("nobody may sign in"));
        }
        let done = next.run().await?;
        if cx.attempt() == 2 {
            return Err(StepError::new("the session has ended"));
        }
        Ok(done)
    }
}

fn retried(job: &Job, plan: &mut Plan<State>) -> Node<u64> {
    plan.step("work", by_word)
        .attempts(3)
        .backoff(Duration::from_millis(1), Duration::from_millis(1))
        .input(value(job.clone()))
}

async fn a_middleware_can_fail_an_attempt_before_and_after_the_step(bench: Bench) -> Result<()> {
    let diary = State::default();
    let worker = bench.worker(diary.clone()).register(retried);
    let worker = start(worker.middleware(Fussy));
    let handle = bench.intendant.request(job("well")).await?;
    ensure!(handle.output().await? == 2, "the step has run twice");
    let attempts = bench.intendant.attempts(handle.id()).await?;
    let errors: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt.error.as_str())
        .collect();
    ensure!(
        errors == ["nobody may sign in", "the session has ended"],
        "{errors:?}"
    );
    worker.stop().await?;
    bench.check().await
}

/// Is itself at fault, in the first two attempts.
struct Faulty;

impl Middleware<State> for Faulty {
    async fn around(&self, cx: &Cx<State>, next: Next<'_, State>) -> StepResult<Done> {
        match cx.attempt() {
            1 => panic!("at fault"),
            2 => std::future::pending().await,
            _ => next.run().await,
        }
    }
}

async fn a_middleware_that_panics_or_hangs_fails_the_attempt(bench: Bench) -> Result<()> {
    let diary = State::default();
    let plan = |job: &Job, plan: &mut Plan<State>| -> Node<u64> {
        plan.step("work", by_word)
            .backoff(Duration::from_millis(1), Duration::from_millis(1))
            .time_limit(Duration::from_millis(50))
            .input(value(job.clone()))
    };
    let worker = bench.worker(diary.clone()).register::<Job, _>(plan);
    let worker = start(worker.middleware(Faulty));
    let handle = bench.intendant.request(job("well")).await?;
    ensure!(handle.output().await? == 1);
    let attempts = bench.intendant.attempts(handle.id()).await?;
    let failures: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.failure.as_str(), attempt.error.as_str()))
        .collect();
    ensure!(
        failures
            == [
                (AttemptFailure::Panic.as_str(), "panicked: at fault"),
                (
                    AttemptFailure::TimeOut.as_str(),
                    // And longer than what a middleware may take beyond it.
                    "ran longer than its time limit of 50ms"
                ),
            ],
        "{failures:?}"
    );
    worker.stop().await?;
    bench.check().await
}

struct Token(String);

struct SignIn;

impl Middleware<State> for SignIn {
    async fn around(&self, cx: &Cx<State>, next: Next<'_, State>) -> StepResult<Done> {
        cx.provide(Token(format!("token {}", cx.attempt())));
        next.run().await
    }
}

async fn what_a_middleware_provides_is_there_for_the_step(bench: Bench) -> Result<()> {
    async fn uses(cx: Cx<State>, _: Other) -> StepResult<u64> {
        let Some(token) = cx.provided::<Token>() else {
            return Err(fail("no token"));
        };
        cx.state().write(token.0.clone());
        if cx.provided::<String>().is_some() {
            return Err(fail("nobody has provided that"));
        }
        if cx.attempt() == 1 {
            return Err(StepError::new("once more"));
        }
        Ok(0)
    }
    let plan = |_: &Other, plan: &mut Plan<State>| -> Node<u64> {
        plan.step("work", uses)
            .backoff(Duration::from_millis(1), Duration::from_millis(1))
            .input(value(Other))
    };
    let diary = State::default();
    let worker = bench.worker(diary.clone()).register::<Other, _>(plan);
    let worker = start(worker.middleware(SignIn));
    bench.intendant.request(Other).await?.output().await?;
    ensure!(diary.read() == ["token 1", "token 2"], "{:?}", diary.read());
    worker.stop().await?;
    bench.check().await
}

async fn a_middleware_hears_of_a_cancel_and_is_not_waited_for_for_ever(bench: Bench) -> Result<()> {
    async fn deaf(cx: Cx<State>, _: Other) -> StepResult<u64> {
        cx.state().runs.add();
        std::future::pending().await
    }
    let diary = State::default();
    let worker = bench.worker(diary.clone()).register_step(deaf);
    let worker = worker
        .middleware(Reports)
        .cancel_grace(Duration::from_millis(20));
    let worker = start(worker);
    let id = bench.intendant.request(Other).await?.id();
    bench
        .until(|| async { Ok((diary.runs.get() == 1).then_some(())) })
        .await?;
    bench.intendant.cancel(id, "test", None).await?;
    ensure!(bench.rest(id).await?.state == IntentState::Cancelled);
    let read = diary.read();
    ensure!(
        read.len() == 1 && read[0].starts_with("cancelled: it was stopped"),
        "{read:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn measures(cx: Cx<State>, _: Other) -> StepResult<u64> {
    let run = cx.state().runs.add();
    cx.measure("image_bytes", 1.2e9 + run as f64);
    cx.measure("ratio", 0.1);
    cx.measure("ratio", 1.0 / 3.0);
    cx.measure("no number", f64::NAN);
    if run == 1 {
        return Err(StepError::new("once more"));
    }
    Ok(run)
}

fn measured(_: &Other, plan: &mut Plan<State>) -> Node<u64> {
    plan.step("build", measures)
        .backoff(Duration::from_millis(1), Duration::from_millis(1))
        .input(value(Other))
}

async fn measurements_are_kept_with_their_attempts(bench: Bench) -> Result<()> {
    let diary = State::default();
    // With the metrics, which read them too.
    let worker = start(bench.worker(diary).register(measured).middleware(Metrics));
    let handle = bench.intendant.request(Other).await?;
    handle.output().await?;
    let kept = bench.intendant.measurements(handle.id()).await?;
    let kept: Vec<_> = kept
        .iter()
        .map(|kept| {
            (
                kept.step.as_str(),
                kept.attempt,
                kept.name.as_str(),
                kept.value,
            )
        })
        .collect();
    ensure!(
        kept == [
            ("build", 1, "image_bytes", 1.2e9 + 1.0),
            ("build", 1, "ratio", 1.0 / 3.0),
            ("build", 2, "image_bytes", 1.2e9 + 2.0),
            ("build", 2, "ratio", 1.0 / 3.0),
        ],
        "{kept:?}"
    );
    // Who measures nothing leaves nothing.
    let silent = bench.intendant.request(job("well")).await?;
    let worker_of_job = start(bench.worker(State::default()).register(plan));
    silent.output().await?;
    ensure!(bench.number("select count(*) from @measure").await? == 4);
    ensure!(bench.intendant.logs(silent.id()).await?.is_empty());
    // Of what could not be kept, the step's log tells.
    let logs = bench.intendant.logs(handle.id()).await?;
    ensure!(
        logs.len() == 2 && logs[0].lines[0].text.starts_with("measurement not kept"),
        "{logs:?}"
    );
    worker_of_job.stop().await?;
    worker.stop().await?;
    bench.check().await
}

async fn metrics_are_told_by_kind_and_step(bench: Bench) -> Result<()> {
    let step = format!("metered_{}", bench.database.kind.as_str());
    let meters = Meters::get();
    let name = step.clone();
    let plan = move |list: &Other, plan: &mut Plan<State>| -> Node<u64> {
        let _ = list;
        plan.step(name.clone(), measures)
            .backoff(Duration::from_millis(1), Duration::from_millis(1))
            .input(value(Other))
    };
    let worker = bench.worker(State::default()).middleware(Metrics);
    let worker = start(worker.register::<Other, _>(plan));
    bench.intendant.request(Other).await?.output().await?;
    worker.stop().await?;
    let series = meters.of(&format!("step={step}"));
    let of = |name: &str| -> Result<&Vec<f64>> {
        let name = name.replace("STEP", &step);
        series
            .get(&name)
            .ok_or_else(|| anyhow::anyhow!("no {name} in {series:?}"))
    };
    ensure!(*of("intendant_step_attempts_total{kind=other,step=STEP}")? == [1.0, 1.0]);
    ensure!(*of("intendant_step_retries_total{kind=other,step=STEP}")? == [1.0]);
    ensure!(*of("intendant_step_failures_total{failure=error,kind=other,step=STEP}")? == [1.0]);
    for ended in ["well", "badly"] {
        let seconds = of(&format!(
            "intendant_step_seconds{{ended={ended},kind=other,step=STEP}}"
        ))?;
        ensure!(
            seconds.len() == 1 && (0.0..30.0).contains(&seconds[0]),
            "{seconds:?}"
        );
    }
    let bytes = of("intendant_step_measurement{kind=other,name=image_bytes,step=STEP}")?;
    ensure!(*bytes == [1.2e9 + 1.0, 1.2e9 + 2.0]);
    ensure!(series.len() == 7, "{series:?}");
    bench.check().await
}

async fn measurements_can_be_analysed_in_sql(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(State::default()).register(measured));
    for _ in 0..3 {
        bench.intendant.request(Other).await?.output().await?;
    }
    // The one that failed, and the bytes that were made per second, are to be had from one view.
    let failed = "select count(*) from @measurements where kind = 'other' and failure = 'error'";
    ensure!(bench.number(failed).await? == 2);
    let timed = "select count(*) from @measurements where name = 'image_bytes' and value / (seconds + 1) > 1 and seconds >= 0";
    ensure!(bench.number(timed).await? == 4);
    worker.stop().await?;
    bench.check().await
}
