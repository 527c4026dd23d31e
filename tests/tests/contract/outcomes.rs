//! How steps and intents end.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Committed, Cx, Error, FailureReason, Intent, IntentState, Node, Plan, StepResult, StepState,
    StoreKind, fail, snooze, value,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, SqliteConnection};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_plan_runs_in_the_order_of_its_dependencies;
    a_single_step_needs_no_plan;
    an_error_is_tried_again_and_then_fails_the_intent;
    giving_up_fails_at_once;
    a_snooze_uses_up_no_attempt;
    a_panic_and_a_time_out_are_failed_attempts;
    an_intent_fails_only_when_nothing_of_it_runs;
    a_transaction_and_its_result_commit_together;
    a_transaction_that_fails_leaves_nothing;
    an_input_that_does_not_decode_fails_its_intent_only;
    a_plan_that_is_not_sound_fails_its_intent_only;
    an_output_over_the_limit_fails_the_step;
}

#[derive(Serialize, Deserialize)]
struct Sandwich {
    guest: String,
}

impl Intent for Sandwich {
    const KIND: &'static str = "sandwich.make";
    type Output = String;
    fn account(&self) -> Option<&str> {
        Some(&self.guest)
    }
}

async fn toast(_: Cx<Counter>, slices: u32) -> StepResult<Vec<String>> {
    Ok((0..slices).map(|slice| format!("toast {slice}")).collect())
}

async fn fry(_: Cx<Counter>, eggs: u32) -> StepResult<String> {
    Ok(format!("{eggs} eggs"))
}

async fn stack(cx: Cx<Counter>, (toast, eggs): (Vec<String>, String)) -> StepResult<String> {
    cx.state().add();
    Ok(format!(
        "{} + {eggs} + {} for {}",
        toast[0],
        toast[1],
        cx.account().unwrap_or("nobody")
    ))
}

fn sandwich(_: &Sandwich, plan: &mut Plan<Counter>) -> Node<String> {
    let toast = plan.step("toast", toast).input(value(2u32));
    let eggs = plan.step("fry", fry).input(value(3u32));
    plan.step("stack", stack).input((toast, eggs))
}

async fn a_plan_runs_in_the_order_of_its_dependencies(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Counter::default()).register(sandwich));
    let handle = bench
        .intendant
        .request(Sandwich {
            guest: "ada".into(),
        })
        .by("tests")
        .await?;
    ensure!(handle.output().await? == "toast 0 + 3 eggs + toast 1 for ada");
    let record = bench.intendant.get(handle.id()).await?;
    ensure!(
        record.state == IntentState::Succeeded && record.requested_by.as_deref() == Some("tests")
    );
    let (started, finished) = (record.started_at.unwrap(), record.finished_at.unwrap());
    ensure!(record.requested_at <= started && started <= finished);
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(steps.len() == 3 && steps.iter().all(|step| step.state == StepState::Succeeded));
    let stack = steps.iter().find(|step| step.name == "stack").unwrap();
    ensure!(
        steps
            .iter()
            .all(|step| step.name == "stack" || step.finished_at <= stack.started_at)
    );
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

#[derive(Serialize, Deserialize)]
struct Do(String);

impl Intent for Do {
    const KIND: &'static str = "do";
    type Output = String;
}

async fn a_single_step_needs_no_plan(bench: Bench) -> Result<()> {
    let step = async |_: Cx<()>, intent: Do| Ok(intent.0.to_uppercase());
    let worker = start(bench.worker(()).register_step::<Do, String, _>(step));
    let handle = bench.intendant.request(Do("this".into())).await?;
    ensure!(handle.output().await? == "THIS");
    ensure!(bench.intendant.steps(handle.id()).await?[0].name == "run");
    worker.stop().await?;
    bench.check().await
}

/// Fails, panics, snoozes… as its input says, until the third attempt.
async fn act(cx: Cx<Counter>, how: String) -> StepResult<String> {
    let turn = cx.state().add();
    match (how.as_str(), turn) {
        (_, 3..) => Ok(format!(
            "done at turn {turn}, attempt {}, key {}",
            cx.attempt(),
            cx.idempotency_key()
        )),
        ("error", _) => Err(std::io::Error::other("connection refused").into()),
        ("give up", _) => Err(fail("no such image")),
        ("snooze", _) => Err(snooze(Duration::from_millis(20))),
        ("panic", _) => panic!("off by one"),
        ("hang", _) => std::future::pending().await,
        (how, _) => Err(fail(format!("what is {how}?"))),
    }
}

fn acting(attempts: u32) -> impl Fn(&Do, &mut Plan<Counter>) -> Node<String> {
    move |intent, plan| {
        plan.step("act", act)
            .attempts(attempts)
            .backoff(Duration::from_millis(2), Duration::from_millis(10))
            .time_limit(Duration::from_millis(200))
            .input(value(&intent.0))
    }
}

async fn an_error_is_tried_again_and_then_fails_the_intent(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Counter::default()).register(acting(5)));
    let handle = bench.intendant.request(Do("error".into())).await?;
    let output = handle.output().await?;
    ensure!(
        output == format!("done at turn 3, attempt 3, key {}/act/1", handle.id()),
        "{output}"
    );
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 2
            && attempts[1].error == "connection refused"
            && attempts[1].retry_at.is_some()
    );
    worker.stop().await?;

    let worker = start(bench.worker(Counter::default()).register(acting(2)));
    let handle = bench.intendant.request(Do("error".into())).await?;
    let error = handle.output().await.unwrap_err();
    ensure!(
        matches!(&error, Error::Failed { reason: FailureReason::StepFailed, step: Some(step), .. } if step == "act"),
        "{error}"
    );
    ensure!(
        error
            .to_string()
            .ends_with("failed (step failed) in `act`: connection refused"),
        "{error}"
    );
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(attempts.len() == 2 && attempts[1].retry_at.is_none());
    worker.stop().await?;
    bench.check().await
}

async fn giving_up_fails_at_once(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Counter::default()).register(acting(5)));
    let handle = bench.intendant.request(Do("give up".into())).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.state == IntentState::Failed && record.error.as_deref() == Some("no such image")
    );
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(attempts.len() == 1 && attempts[0].failure == "gave up");
    worker.stop().await?;
    bench.check().await
}

async fn a_snooze_uses_up_no_attempt(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Counter::default()).register(acting(1)));
    let handle = bench.intendant.request(Do("snooze".into())).await?;
    ensure!(
        handle
            .output()
            .await?
            .starts_with("done at turn 3, attempt 1,")
    );
    ensure!(bench.intendant.attempts(handle.id()).await?.is_empty());
    worker.stop().await?;
    bench.check().await
}

async fn a_panic_and_a_time_out_are_failed_attempts(bench: Bench) -> Result<()> {
    for (how, failure, error) in [
        ("panic", "panic", "panicked: off by one"),
        (
            "hang",
            "time-out",
            "ran longer than its time limit of 200ms",
        ),
    ] {
        let worker = start(bench.worker(Counter::default()).register(acting(5)));
        let handle = bench.intendant.request(Do(how.into())).await?;
        ensure!(
            handle
                .output()
                .await?
                .starts_with("done at turn 3, attempt 3,")
        );
        let attempts = bench.intendant.attempts(handle.id()).await?;
        ensure!(
            attempts.len() == 2 && attempts[0].failure == failure && attempts[0].error == error,
            "{attempts:?}"
        );
        worker.stop().await?;
    }
    bench.check().await
}

async fn an_intent_fails_only_when_nothing_of_it_runs(bench: Bench) -> Result<()> {
    async fn breaks(_: Cx<Counter>, (): ()) -> StepResult<()> {
        Err(fail("broken"))
    }
    async fn takes_a_while(cx: Cx<Counter>, (): ()) -> StepResult<u64> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(cx.state().add())
    }
    async fn never(cx: Cx<Counter>, _: ((), u64)) -> StepResult<String> {
        cx.state().add();
        Ok("never".into())
    }
    let counter = Counter::default();
    let plan = |_: &Do, plan: &mut Plan<Counter>| {
        let one = plan.step("breaks", breaks).input(());
        let two = plan.step("takes_a_while", takes_a_while).input(());
        plan.step("never", never).input((one, two))
    };
    let worker = start(bench.worker(counter.clone()).register::<Do, _>(plan));
    let handle = bench.intendant.request(Do(String::new())).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.failed_step.as_deref() == Some("breaks") && counter.get() == 1);
    let steps = bench.intendant.steps(handle.id()).await?;
    let finished = steps
        .iter()
        .find(|step| step.name == "takes_a_while")
        .unwrap();
    ensure!(finished.state == StepState::Succeeded && finished.finished_at <= record.finished_at);
    worker.stop().await?;
    bench.check().await
}

/// One row in a table of the user's own, in the step's transaction.
async fn deposit_sqlite(cx: Cx<Counter>, intent: Do) -> StepResult<Committed<String>> {
    cx.transaction(async |db: &mut SqliteConnection| {
        sqlx::query("insert into deposit (note) values (?1)")
            .bind(&intent.0)
            .execute(&mut *db)
            .await?;
        if cx.state().add() == 1 {
            return Err(std::io::Error::other("first time").into());
        }
        Ok(
            sqlx::query_scalar("select count(*) || ' deposit' from deposit")
                .fetch_one(&mut *db)
                .await?,
        )
    })
    .await
}

async fn deposit_postgres(cx: Cx<Counter>, intent: Do) -> StepResult<Committed<String>> {
    cx.transaction(async |db: &mut PgConnection| {
        sqlx::query("insert into deposit (note) values ($1)")
            .bind(&intent.0)
            .execute(&mut *db)
            .await?;
        if cx.state().add() == 1 {
            return Err(std::io::Error::other("first time").into());
        }
        Ok(
            sqlx::query_scalar("select count(*) || ' deposit' from deposit")
                .fetch_one(&mut *db)
                .await?,
        )
    })
    .await
}

async fn make_deposits(bench: &Bench) -> Result<()> {
    let create = "create table deposit (note text)";
    match bench.database.kind {
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            sqlx::raw_sql(create).execute(&pool).await?;
            pool.close().await;
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            sqlx::raw_sql(create).execute(&pool).await?;
            pool.close().await;
        }
    }
    Ok(())
}

async fn a_transaction_and_its_result_commit_together(bench: Bench) -> Result<()> {
    make_deposits(&bench).await?;
    let plan = |intent: &Do, plan: &mut Plan<Counter>| -> Node<String> {
        let input = value::<Do>(Do(intent.0.clone()));
        let backoff = Duration::from_millis(1);
        if intent.0 == "sqlite" {
            plan.step("deposit", deposit_sqlite)
                .backoff(backoff, backoff)
                .input(input)
        } else {
            plan.step("deposit", deposit_postgres)
                .backoff(backoff, backoff)
                .input(input)
        }
    };
    let name = if bench.database.kind == StoreKind::Sqlite {
        "sqlite"
    } else {
        "postgres"
    };
    let worker = start(bench.worker(Counter::default()).register::<Do, _>(plan));
    let handle = bench.intendant.request(Do(name.into())).await?;
    // The first attempt rolled back; the second is the only one that left a row.
    ensure!(handle.output().await? == "1 deposit");
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(
        steps[0].state == StepState::Succeeded && steps[0].attempt == 2 && steps[0].error.is_none(),
        "{steps:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_transaction_that_fails_leaves_nothing(bench: Bench) -> Result<()> {
    make_deposits(&bench).await?;
    let step = async |cx: Cx<StoreKind>, intent: Do| -> StepResult<Committed<String>> {
        // The wrong sort of connection: refused before anything runs.
        match *cx.state() {
            StoreKind::Sqlite => {
                cx.transaction(async |_: &mut PgConnection| Ok(intent.0.clone()))
                    .await
            }
            StoreKind::Postgres => {
                cx.transaction(async |_: &mut SqliteConnection| Ok(intent.0.clone()))
                    .await
            }
        }
    };
    let worker = start(
        bench
            .worker(bench.database.kind)
            .register_step::<Do, Committed<String>, _>(step),
    );
    let handle = bench.intendant.request(Do("x".into())).await?;
    let record = bench.rest(handle.id()).await?;
    let error = record.error.unwrap_or_default();
    ensure!(
        error == "the transaction's connection is not of the engine's database",
        "{error}"
    );
    worker.stop().await?;
    bench.check().await
}

/// The same kind as [`Do`], with another input.
#[derive(Serialize, Deserialize)]
struct DoNumber(u64);

impl Intent for DoNumber {
    const KIND: &'static str = "do";
    type Output = String;
}

async fn an_input_that_does_not_decode_fails_its_intent_only(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(acting(5)));
    let wrong = bench.intendant.request(DoNumber(7)).await?;
    let right = bench.intendant.request(Do("error".into())).await?;
    let error = wrong.output().await.unwrap_err();
    ensure!(
        matches!(
            &error,
            Error::Failed {
                reason: FailureReason::Undecodable,
                ..
            }
        ),
        "{error}"
    );
    ensure!(
        error
            .to_string()
            .contains("invalid type: integer `7`, expected a string"),
        "{error}"
    );
    right.output().await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_plan_that_is_not_sound_fails_its_intent_only(bench: Bench) -> Result<()> {
    let plan = |intent: &Do, plan: &mut Plan<Counter>| -> Result<Node<String>, String> {
        match intent.0.as_str() {
            "cycle" => {
                plan.step("a", act).after("b").input(value("error"));
                Ok(plan.step("b", act).after("a").input(value("error")))
            }
            "panic" => panic!("no plan today"),
            "refuse" => Err("not on a Sunday".to_owned()),
            _ => Ok(plan
                .step("act", act)
                .backoff(Duration::ZERO, Duration::ZERO)
                .input(value("error"))),
        }
    };
    let worker = start(bench.worker(Counter::default()).register::<Do, _>(plan));
    for (how, expected) in [
        ("cycle", "these steps wait for each other: a, b"),
        ("panic", "the plan function failed: panicked: no plan today"),
        ("refuse", "the plan function failed: not on a Sunday"),
    ] {
        let handle = bench.intendant.request(Do(how.into())).await?;
        let record = bench.rest(handle.id()).await?;
        ensure!(
            record.reason.as_deref() == Some("plan refused"),
            "{:?}",
            record.reason
        );
        ensure!(
            record.error.as_deref() == Some(expected),
            "{:?}",
            record.error
        );
    }
    bench
        .intendant
        .request(Do("sound".into()))
        .await?
        .output()
        .await?;
    worker.stop().await?;
    bench.check().await
}

async fn an_output_over_the_limit_fails_the_step(bench: Bench) -> Result<()> {
    let step = async |_: Cx<()>, intent: Do| Ok(intent.0.repeat(intendant::limits::PAYLOAD_BYTES));
    let worker = start(bench.worker(()).register_step::<Do, String, _>(step));
    let handle = bench.intendant.request(Do("xy".into())).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record
            .error
            .as_deref()
            .unwrap_or_default()
            .starts_with("the payload has 2097154 bytes, the limit is")
    );
    let nul = bench.intendant.request(Do("\0".into())).await;
    ensure!(
        nul.unwrap_err().to_string()
            == "the input: a string in the payload has the character U+0000, which a database cannot keep"
    );
    worker.stop().await?;
    bench.check().await
}
