//! No dead ends: whatever has failed, and wherever it stands, there is a verb by which it goes on, and a verb that says that
//! it did something has done it.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Error, Intent, IntentId, IntentState, Node, OnFailure, Plan, Resources, StepResult,
    StepState, Undone, fail, value,
};
use serde::{Deserialize, Serialize};

use crate::limits::ms;
use crate::support::{Bench, Running, on_both, start};
use crate::undo::{Build, Ledger, begun, make, make_of, unmake};

on_both! {
    a_failed_child_is_resumed_with_the_parent_that_failed_with_it;
    a_step_of_a_failed_child_is_skipped_and_the_parent_goes_on;
    a_failed_child_whose_parent_went_on_is_taken_back_by_itself;
    a_child_of_an_unfinished_parent_is_left_to_it;
    a_retry_of_a_step_that_failed_with_its_child_resumes_the_child;
    a_quarantined_step_is_skipped;
    a_resume_renews_the_limits_of_steps_that_wait;
    an_interrupted_step_is_a_persons_to_judge_whatever_else_has_failed;
    a_rerun_of_what_was_to_be_cancelled_is_refused;
    a_rerun_replaces_an_undo_after_a_failure_that_failed;
    an_undo_that_was_given_up_can_be_asked_for_again;
    what_takes_back_is_not_asked_for_again;
}

#[derive(Debug, Serialize, Deserialize)]
struct Parent {
    tolerant: bool,
}

impl Intent for Parent {
    const KIND: &'static str = "parent";
    type Output = String;
}

/// Its second step fails as long as the ledger says so.
#[derive(Debug, Serialize, Deserialize)]
struct Child;

impl Intent for Child {
    const KIND: &'static str = "child";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("disk", 1)
    }
}

async fn ask(cx: Cx<Ledger>, tolerant: bool) -> StepResult<String> {
    match cx.child("child", Child).await {
        Err(error) if tolerant && error.child_failure().is_some() => {
            while cx.state().begun.get() == 0 {
                tokio::time::sleep(ms(5)).await;
            }
            Ok("alone".to_owned())
        }
        output => output,
    }
}

async fn breaks_once(cx: Cx<Ledger>, _: String) -> StepResult<String> {
    match cx.state().tries.add() {
        1 => Err(fail("broken")),
        _ => Ok("mended".to_owned()),
    }
}

fn parent(parent: &Parent, plan: &mut Plan<Ledger>) -> Node<String> {
    plan.step("ask", ask).input(value(parent.tolerant))
}

fn child(_: &Child, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan.step("first", make).undo(unmake).input(value(1u64));
    plan.step("second", breaks_once).input(first)
}

fn family(bench: &Bench, ledger: &Ledger) -> Running {
    let worker = bench.worker(ledger.clone());
    start(worker.register(parent).register(child))
}

/// A child that has failed, and its parent in `state`.
async fn failed(
    bench: &Bench,
    tolerant: bool,
    state: IntentState,
) -> Result<(intendant::Handle<Parent>, IntentId)> {
    let handle = bench.intendant.request(Parent { tolerant }).await?;
    let child = bench
        .until(|| async {
            let children = bench.intendant.children(handle.id()).await?;
            Ok(children.first().map(|child| child.id))
        })
        .await?;
    bench.reach(child, IntentState::Failed).await?;
    bench.reach(handle.id(), state).await?;
    Ok((handle, child))
}

async fn a_failed_child_is_resumed_with_the_parent_that_failed_with_it(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = family(&bench, &ledger);
    let (handle, child) = failed(&bench, false, IntentState::Failed).await?;
    let why = bench.intendant.why(child).await?.to_string();
    ensure!(why.contains(&format!("intendant resume {child}")), "{why}");
    ensure!(bench.intendant.resume(child, "ada", None).await? == 2);
    ensure!(handle.output().await? == "mended");
    let events = bench.intendant.events(handle.id()).await?;
    let reason = events[0].reason.as_deref();
    ensure!(reason == Some("resumed with its child"), "{events:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_step_of_a_failed_child_is_skipped_and_the_parent_goes_on(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = family(&bench, &ledger);
    let (handle, child) = failed(&bench, false, IntentState::Failed).await?;
    bench
        .intendant
        .skip(child, "second", "by hand", "ada", None)
        .await?;
    ensure!(handle.output().await? == "by hand");
    ensure!(ledger.tries.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_failed_child_whose_parent_went_on_is_taken_back_by_itself(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    ledger.begun.add();
    let worker = family(&bench, &ledger);
    let (handle, child) = failed(&bench, true, IntentState::Succeeded).await?;
    ensure!(bench.number("select count(*) from @holder").await? == 1);
    let undone = bench.intendant.undo(child, "ada", None).await?;
    ensure!(undone == Undone::Itself { intents: 1 }, "{undone:?}");
    bench.reach(child, IntentState::Cancelled).await?;
    ledger.place("undo(first): first");
    ensure!(bench.number("select count(*) from @holder").await? == 0);
    ensure!(handle.output().await? == "alone");
    worker.stop().await?;
    bench.check().await
}

async fn a_child_of_an_unfinished_parent_is_left_to_it(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = family(&bench, &ledger);
    let (handle, child) = failed(&bench, true, IntentState::Running).await?;
    let refused = bench.intendant.resume(child, "ada", None).await;
    ensure!(
        matches!(&refused, Err(Error::ResumeParent { parent, .. }) if *parent == handle.id()),
        "{refused:?}"
    );
    ensure!(bench.intendant.state(child).await? == IntentState::Failed);
    ensure!(bench.intendant.events(child).await?.is_empty());
    ledger.begun.add();
    ensure!(handle.output().await? == "alone");
    worker.stop().await?;
    bench.check().await
}

async fn a_retry_of_a_step_that_failed_with_its_child_resumes_the_child(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = family(&bench, &ledger);
    let (handle, child) = failed(&bench, false, IntentState::Failed).await?;
    bench
        .intendant
        .retry(handle.id(), "ask", "ada", None)
        .await?;
    ensure!(handle.output().await? == "mended");
    let events = bench.intendant.events(child).await?;
    let reason = events[0].reason.as_deref();
    ensure!(reason == Some("resumed with its parent"), "{events:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_quarantined_step_is_skipped(bench: Bench) -> Result<()> {
    async fn deadly(cx: Cx<Ledger>, _: String) -> StepResult<String> {
        cx.state().begun.add();
        std::future::pending().await
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan.step("first", make).input(value(build.server));
        let deadly = plan.step("deadly", deadly).input(first);
        plan.step("last", make_of).input(deadly)
    }
    let ledger = Ledger::new(&bench);
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    for time in 1..=3 {
        let worker = start(bench.worker(ledger.clone()).register(plan));
        begun(&bench, &ledger, time).await?;
        worker.kill().await;
    }
    let worker = start(bench.worker(ledger.clone()).register(plan));
    bench.reach(handle.id(), IntentState::Failed).await?;
    let record = bench.intendant.get(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("quarantined"),
        "{record:?}"
    );
    ensure!(record.failed_step.as_deref() == Some("deadly"));
    let steps = bench.intendant.steps(handle.id()).await?;
    let deadly = steps.iter().find(|step| step.name == "deadly");
    let deadly = deadly.map(|step| (step.state, step.error.clone().unwrap_or_default()));
    let Some((StepState::Failed, error)) = deadly else {
        anyhow::bail!("{deadly:?}");
    };
    ensure!(error.contains("died 3 times"), "{error}");
    bench
        .intendant
        .skip(handle.id(), "deadly", "by hand", "ada", None)
        .await?;
    ensure!(handle.output().await? == "last");
    ensure!(ledger.begun.get() == 3);
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Serialize, Deserialize)]
struct Slow;

impl Intent for Slow {
    const KIND: &'static str = "slow";
    type Output = String;
}

async fn a_resume_renews_the_limits_of_steps_that_wait(bench: Bench) -> Result<()> {
    async fn polls(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        // Until the other one has been mended, it is not ready, for an hour.
        match cx.state().begun.add() {
            1 => Err(intendant::snooze(Duration::from_secs(3600))),
            _ => Ok("ready".to_owned()),
        }
    }
    fn plan(_: &Slow, plan: &mut Plan<Ledger>) -> Node<String> {
        let polled = plan.step("poll", polls).total_limit(ms(60_000));
        let polled = polled.input(value(1u64));
        let first = plan.step("first", make).input(value(1u64));
        let broken = plan.step("broken", breaks_once).input(first);
        plan.step("last", make_of).after(polled).input(broken)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Slow).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    // Two hours pass before somebody looks.
    let hours = match bench.database.kind {
        intendant::StoreKind::Sqlite => "7200000000",
        intendant::StoreKind::Postgres => "interval '2 hours'",
    };
    let late = format!(
        "update @step set begun_at = begun_at - {hours}, due_at = due_at - {hours} where name = 'poll'"
    );
    bench.run_sql(&late).await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == "last");
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Serialize, Deserialize)]
struct Pay;

impl Intent for Pay {
    const KIND: &'static str = "pay";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = String;
}

async fn an_interrupted_step_is_a_persons_to_judge_whatever_else_has_failed(
    bench: Bench,
) -> Result<()> {
    async fn transfer(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        cx.state().begun.add();
        std::future::pending().await
    }
    async fn broken(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        // Not before the other one runs.
        while cx.state().begun.get() == 0 {
            tokio::time::sleep(ms(5)).await;
        }
        cx.state().tries.add();
        Err(fail("broken"))
    }
    fn plan(_: &Pay, plan: &mut Plan<Ledger>) -> Node<String> {
        let broken = plan.step("broken", broken).undo(unmake).input(value(1u64));
        let paid = plan.step("transfer", transfer).at_most_once();
        let paid = paid.input(value(1u64));
        plan.step("last", make_of).after(broken).input(paid)
    }
    let ledger = Ledger::new(&bench);
    let doomed = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Pay).await?;
    let failed = "select count(*) from @step where name = 'broken' and state = 'failed'";
    bench
        .until(|| async { Ok((bench.number(failed).await? == 1).then_some(())) })
        .await?;
    doomed.kill().await;
    let worker = start(bench.worker(ledger.clone()).register(plan));
    bench.reach(handle.id(), IntentState::Failed).await?;
    let record = bench.intendant.get(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("interrupted"),
        "{record:?}"
    );
    ensure!(record.failed_step.as_deref() == Some("transfer"));
    ensure!(ledger.lines().is_empty(), "{:?}", ledger.lines());
    worker.stop().await?;
    bench.check().await
}

/// Takes back the second time it is tried.
async fn reluctant(cx: Cx<Ledger>, _: u64, made: Option<String>) -> StepResult<()> {
    match cx.state().begun.add() {
        1 => Err(fail("the cloud says no")),
        _ => {
            cx.state().note(format!("gone: {made:?}"));
            Ok(())
        }
    }
}

fn stubborn<T: Intent>(_: &T, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan.step("first", make).undo(reluctant);
    let first = first.input(value(1u64));
    plan.step("second", breaks_once).input(first)
}

async fn a_rerun_of_what_was_to_be_cancelled_is_refused(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register::<Build, _>(stubborn));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    bench.intendant.undo(handle.id(), "ada", None).await?;
    bench
        .until(|| async {
            let record = bench.intendant.get(handle.id()).await?;
            Ok((record.reason.as_deref() == Some("undo failed")).then_some(()))
        })
        .await?;
    let refused = bench
        .intendant
        .rerun_from(handle.id(), "second", "ada", None)
        .await;
    let error = refused.expect_err("it was to be cancelled");
    ensure!(error.to_string().contains("resume goes on"), "{error}");
    ensure!(handle.state().await? == IntentState::Failed);
    bench.intendant.resume(handle.id(), "ada", None).await?;
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_rerun_replaces_an_undo_after_a_failure_that_failed(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register::<Pay, _>(stubborn));
    let handle = bench.intendant.request(Pay).await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    let record = bench.intendant.get(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("undo failed"),
        "{record:?}"
    );
    bench
        .intendant
        .rerun_from(handle.id(), "first", "ada", None)
        .await?;
    ensure!(handle.output().await? == "mended");
    let lines = ["made first", "gone: Some(\"first\")", "made first"];
    ensure!(ledger.lines() == lines, "{:?}", ledger.lines());
    worker.stop().await?;
    bench.check().await
}

/// An intent that succeeded, and the one that takes it back, which has failed.
async fn half_undone(bench: &Bench, ledger: &Ledger) -> Result<(IntentId, IntentId)> {
    ledger.tries.add();
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    ensure!(handle.output().await? == "mended");
    let Undone::By(undo) = bench.intendant.undo(handle.id(), "ada", None).await? else {
        anyhow::bail!("it had succeeded");
    };
    bench.reach(undo, IntentState::Failed).await?;
    Ok((handle.id(), undo))
}

async fn an_undo_that_was_given_up_can_be_asked_for_again(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register::<Build, _>(stubborn));
    let (id, given_up) = half_undone(&bench, &ledger).await?;
    bench.intendant.discard(given_up, "ada", None).await?;
    let again = bench.intendant.undo(id, "ada", None).await?;
    let Undone::By(again) = again else {
        anyhow::bail!("{again:?}");
    };
    ensure!(again != given_up);
    bench.reach(again, IntentState::Cancelled).await?;
    ledger.place("gone: Some(\"first\")");
    worker.stop().await?;
    bench.check().await
}

async fn what_takes_back_is_not_asked_for_again(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register::<Build, _>(stubborn));
    let (_, undo) = half_undone(&bench, &ledger).await?;
    bench.intendant.resume(undo, "ada", None).await?;
    bench.reach(undo, IntentState::Cancelled).await?;
    let refused = bench.intendant.rerun(undo, "ada", None).await;
    let error = refused.expect_err("it is no operation of its own");
    ensure!(error.is_conflict(), "{error}");
    ensure!(bench.number("select count(*) from @intent").await? == 2);
    worker.stop().await?;
    bench.check().await
}
