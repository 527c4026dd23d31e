//! Steps that are not run a second time before a person has looked.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Intent, IntentState, Node, OnFailure, Plan, Resources, StepResult, StepState, snooze, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};
use crate::undo::{Ledger, begun, make, states, unmake};

on_both! {
    one_whose_worker_died_is_not_run_again_before_a_person_has_looked;
    one_that_failed_is_not_tried_again;
    one_that_says_so_runs_again;
    one_that_a_graceful_stop_has_not_begun_is_begun_by_another_worker;
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pay;

impl Intent for Pay {
    const KIND: &'static str = "pay";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("account", 7)
    }
}

pub(crate) async fn transfer(cx: Cx<Ledger>, _: String) -> StepResult<String> {
    match cx.state().begun.add() {
        1 => std::future::pending().await,
        time => Ok(format!("paid the {time}. time")),
    }
}

fn plan(_: &Pay, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan.step("first", make).undo(unmake).input(value(1u64));
    plan.step("transfer", transfer).at_most_once().input(first)
}

async fn one_whose_worker_died_is_not_run_again_before_a_person_has_looked(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    // Long enough that no heartbeat says that the step runs.
    let doomed = bench.worker(ledger.clone()).lease(Duration::from_secs(60));
    let doomed = start(doomed.register(plan));
    let paid = bench.intendant.request(Pay).await?;
    begun(&bench, &ledger, 1).await?;
    doomed.kill().await;
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let record = bench.rest(paid.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(
        record.reason.as_deref() == Some("interrupted"),
        "{record:?}"
    );
    ensure!(
        record.failed_step.as_deref() == Some("transfer"),
        "{record:?}"
    );
    // Nothing is taken back, and it keeps what it holds, whatever its kind says: nobody knows what is the case.
    ensure!(ledger.lines() == ["made first"] && ledger.begun.get() == 1);
    ensure!(bench.number("select count(*) from @holder").await? == 1);
    let why = bench.intendant.why(paid.id()).await?.to_string();
    ensure!(why.contains("find out whether it took effect"), "{why}");
    bench.check().await?;

    bench
        .intendant
        .skip(paid.id(), "transfer", "paid, says the bank", "ada", None)
        .await?;
    ensure!(paid.output().await? == "paid, says the bank");
    ensure!(ledger.begun.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn one_that_failed_is_not_tried_again(bench: Bench) -> Result<()> {
    async fn refused(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        match cx.state().begun.add() {
            1 => Err(std::io::Error::other("no answer").into()),
            _ => Ok("paid".to_owned()),
        }
    }
    fn plan(_: &Pay, plan: &mut Plan<Ledger>) -> Node<String> {
        let step = plan.step("transfer", refused).at_most_once().attempts(5);
        step.input(value(1u64))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let paid = bench.intendant.request(Pay).await?;
    bench.reach(paid.id(), IntentState::Failed).await?;
    ensure!(ledger.begun.get() == 1);
    bench
        .intendant
        .resume(paid.id(), "ada", Some("the bank knows nothing of it"))
        .await?;
    ensure!(paid.output().await? == "paid");
    worker.stop().await?;
    bench.check().await
}

async fn one_that_says_so_runs_again(bench: Bench) -> Result<()> {
    async fn polite(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        if cx.state().begun.add() == 1 {
            return Err(snooze(Duration::from_millis(5)));
        }
        // Until the first worker stops.
        while cx.state().tries.get() == 0 {
            cx.exit_point().await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok("paid".to_owned())
    }
    fn plan(_: &Pay, plan: &mut Plan<Ledger>) -> Node<String> {
        plan.step("transfer", polite)
            .at_most_once()
            .input(value(1u64))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let paid = bench.intendant.request(Pay).await?;
    begun(&bench, &ledger, 2).await?;
    worker.stop().await?;
    let found = states(&bench, paid.id()).await?;
    ensure!(
        found == [("transfer".to_owned(), StepState::Pending)],
        "{found:?}"
    );
    ledger.tries.add();
    let worker = start(bench.worker(ledger.clone()).register(plan));
    ensure!(paid.output().await? == "paid");
    worker.stop().await?;
    bench.check().await
}

async fn one_that_a_graceful_stop_has_not_begun_is_begun_by_another_worker(
    bench: Bench,
) -> Result<()> {
    async fn once(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        cx.state().begun.add();
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok("paid".to_owned())
    }
    fn plan(_: &Free, plan: &mut Plan<Ledger>) -> Node<String> {
        plan.step("transfer", once)
            .at_most_once()
            .input(value(1u64))
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Free;
    impl Intent for Free {
        const KIND: &'static str = "free";
        type Output = String;
    }
    let ledger = Ledger::new(&bench);
    let mut paid = Vec::new();
    for _ in 0..60 {
        paid.push(bench.intendant.request(Free).await?);
    }
    // Workers come and go while steps are about to begin; what has begun is waited for.
    for ms in [5, 11, 17, 23, 29] {
        let worker = start(bench.worker(ledger.clone()).concurrency(4).register(plan));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        worker.stop().await?;
        bench.check().await?;
    }
    let worker = start(bench.worker(ledger.clone()).register(plan));
    for paid in paid {
        ensure!(paid.output().await? == "paid");
    }
    ensure!(ledger.begun.get() == 60, "{} times", ledger.begun.get());
    worker.stop().await?;
    bench.check().await
}
