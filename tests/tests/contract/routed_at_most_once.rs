//! Steps that are not run a second time before a person has looked, in another queue than their intent.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Handle, Intent, IntentState, Node, Plan, StepResult, StepState, Worker, value,
};
use serde::{Deserialize, Serialize};

use crate::at_most_once::{Pay, transfer};
use crate::support::{Bench, Running, on_both, start};
use crate::undo::{Ledger, begun, hang, make, states, unmake};

on_both! {
    one_in_another_queue_whose_worker_died_is_not_run_again_before_a_person_has_looked;
    one_in_another_queue_says_in_its_row_that_it_was_interrupted;
    one_in_another_queue_goes_on_when_its_driver_dies;
    one_in_another_queue_that_a_graceful_stop_has_not_begun_is_begun_by_another_worker;
    one_in_another_queue_that_ran_when_its_worker_died_says_so_where_no_plan_can_be_made;
}

fn plan(_: &Pay, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan.step("first", make).undo(unmake).input(value(1u64));
    let transfer = plan.step("transfer", transfer).queue("network");
    transfer.at_most_once().input(first)
}

fn home(bench: &Bench, ledger: &Ledger) -> Running {
    start(bench.worker(ledger.clone()).name("home").register(plan))
}

/// Serves the other queue only. Its lease is so long that no heartbeat says that the step runs.
fn network(bench: &Bench, ledger: &Ledger) -> Worker<Ledger> {
    let worker = bench.worker(ledger.clone()).name("network");
    let worker = worker.lease(Duration::from_secs(60)).queue("network", 4);
    worker.only_named_queues()
}

/// Its worker dies while it runs, and another one has come.
async fn interrupted(bench: &Bench, ledger: &Ledger) -> Result<(Handle<Pay>, Running)> {
    let doomed = start(network(bench, ledger).register(plan));
    let paid = bench.intendant.request(Pay).await?;
    begun(bench, ledger, 1).await?;
    // It has begun, so its start is on disk.
    let found = states(bench, paid.id()).await?;
    let runs = ("transfer".to_owned(), StepState::Running);
    ensure!(found.contains(&runs), "{found:?}");
    doomed.kill().await;
    Ok((paid, start(network(bench, ledger).register(plan))))
}

/// It has stopped, and asks a person.
async fn asks(bench: &Bench, ledger: &Ledger, paid: &Handle<Pay>) -> Result<()> {
    let record = bench.rest(paid.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    let why = (record.reason.as_deref(), record.failed_step.as_deref());
    ensure!(why == (Some("interrupted"), Some("transfer")), "{record:?}");
    // Nothing is taken back, and it keeps what it holds, whatever its kind says: nobody knows what is the case.
    ensure!(ledger.lines() == ["made first"] && ledger.begun.get() == 1);
    ensure!(bench.number("select count(*) from @holder").await? == 1);
    ensure!(bench.number("select count(*) from @routed").await? == 0);
    let why = bench.intendant.why(paid.id()).await?.to_string();
    ensure!(why.contains("find out whether it took effect"), "{why}");
    bench.check().await
}

async fn one_in_another_queue_whose_worker_died_is_not_run_again_before_a_person_has_looked(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let home = home(&bench, &ledger);
    let (paid, network) = interrupted(&bench, &ledger).await?;
    asks(&bench, &ledger, &paid).await?;
    let reason = Some("the bank knows nothing of it");
    bench.intendant.resume(paid.id(), "ada", reason).await?;
    ensure!(paid.output().await? == "paid the 2. time");
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn one_in_another_queue_says_in_its_row_that_it_was_interrupted(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let first = home(&bench, &ledger);
    // Once the step is under way, its intent has no worker.
    let doomed = start(network(&bench, &ledger).register(plan));
    let paid = bench.intendant.request(Pay).await?;
    begun(&bench, &ledger, 1).await?;
    bench.reach(paid.id(), IntentState::Waiting).await?;
    first.stop().await?;
    doomed.kill().await;
    let network = start(network(&bench, &ledger).register(plan));
    bench.reach(paid.id(), IntentState::Ready).await?;
    bench.check().await?;
    // Whoever drives it next knows what has become of the step from its row only.
    let second = home(&bench, &ledger);
    asks(&bench, &ledger, &paid).await?;
    let output = "paid, says the bank";
    bench
        .intendant
        .skip(paid.id(), "transfer", output, "ada", None)
        .await?;
    ensure!(paid.output().await? == output && ledger.begun.get() == 1);
    second.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn one_in_another_queue_goes_on_when_its_driver_dies(bench: Bench) -> Result<()> {
    fn plan(_: &Pay, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan.step("first", make).input(value(1u64));
        let away = plan.step("transfer", hang).queue("network");
        let away = away.at_most_once().input(first);
        // Its driver has something in hand of it meanwhile.
        let stays = plan.step("stays", hang).input(first);
        plan.step("last", last).input((away, stays))
    }
    async fn last(_: Cx<Ledger>, both: (String, String)) -> StepResult<String> {
        Ok(both.0)
    }
    let ledger = Ledger::new(&bench);
    let network = start(network(&bench, &ledger).register(plan));
    let doomed = start(bench.worker(ledger.clone()).register(plan));
    let paid = bench.intendant.request(Pay).await?;
    begun(&bench, &ledger, 2).await?;
    doomed.kill().await;
    let home = start(bench.worker(ledger.clone()).register(plan));
    begun(&bench, &ledger, 3).await?;
    bench
        .until(|| async {
            ledger.open.notify_waiters();
            Ok(bench
                .intendant
                .state(paid.id())
                .await?
                .is_finished()
                .then_some(()))
        })
        .await?;
    ensure!(paid.output().await? == "first");
    ensure!(ledger.begun.get() == 3);
    ensure!(bench.intendant.attempts(paid.id()).await?.is_empty());
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn one_in_another_queue_that_a_graceful_stop_has_not_begun_is_begun_by_another_worker(
    bench: Bench,
) -> Result<()> {
    #[derive(Debug, Serialize, Deserialize)]
    struct Free;
    impl Intent for Free {
        const KIND: &'static str = "free";
        type Output = String;
    }
    async fn once(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        cx.state().begun.add();
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok("paid".to_owned())
    }
    fn plan(_: &Free, plan: &mut Plan<Ledger>) -> Node<String> {
        let step = plan.step("transfer", once).queue("network");
        step.at_most_once().input(value(1u64))
    }
    let ledger = Ledger::new(&bench);
    let home = start(bench.worker(ledger.clone()).register(plan));
    let mut paid = Vec::new();
    for _ in 0..60 {
        paid.push(bench.intendant.request(Free).await?);
    }
    // Workers come and go while steps are about to begin; what has begun is waited for.
    for ms in [5, 11, 17, 23, 29] {
        let worker = start(network(&bench, &ledger).register(plan));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        worker.stop().await?;
        bench.check().await?;
    }
    let worker = start(network(&bench, &ledger).register(plan));
    for paid in paid {
        ensure!(paid.output().await? == "paid");
    }
    ensure!(ledger.begun.get() == 60, "{} times", ledger.begun.get());
    home.stop().await?;
    worker.stop().await?;
    bench.check().await
}

async fn one_in_another_queue_that_ran_when_its_worker_died_says_so_where_no_plan_can_be_made(
    bench: Bench,
) -> Result<()> {
    fn broken(_: &Pay, _: &mut Plan<Ledger>) -> Result<Node<String>, String> {
        Err("no bank today".to_owned())
    }
    let ledger = Ledger::new(&bench);
    let home = home(&bench, &ledger);
    let doomed = start(network(&bench, &ledger).register(plan));
    let paid = bench.intendant.request(Pay).await?;
    begun(&bench, &ledger, 1).await?;
    doomed.kill().await;
    let network = start(network(&bench, &ledger).register(broken));
    let record = bench.rest(paid.id()).await?;
    let error = record.error.unwrap_or_default();
    ensure!(error.contains("no bank today"), "{error}");
    ensure!(
        error.contains("before a resume, find out whether it took effect"),
        "{error}"
    );
    ensure!(ledger.begun.get() == 1);
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}
