//! Undo after a failure, as the kind wants it; undos that fail themselves.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Error, FailureReason, Intent, IntentState, Node, OnFailure, Plan, Resources, StepResult,
    StepState, fail, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};
use crate::undo::{Build, Ledger, begun, hang, make, make_of, states, unmake};

on_both! {
    a_kind_that_wants_it_is_taken_back_when_it_fails_and_lets_go;
    past_a_point_of_no_return_a_failure_takes_nothing_back;
    whoever_takes_over_after_the_failure_takes_it_back;
    a_cancel_while_a_failure_is_taken_back_makes_it_cancelled;
    an_undo_that_fails_keeps_the_resources_and_a_resume_goes_on_with_it;
    an_undo_that_is_gone_from_the_code_fails_and_says_so;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tidy {
    server: u64,
    no_return: bool,
}

impl Intent for Tidy {
    const KIND: &'static str = "tidy";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

fn tidy() -> Tidy {
    Tidy {
        server: 1,
        no_return: false,
    }
}

async fn broken(cx: Cx<Ledger>, _: String) -> StepResult<String> {
    cx.state().note(format!("began {}", cx.step_name()));
    Err(fail("broken"))
}

fn failing(tidy: &Tidy, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan
        .step("first", make)
        .undo(unmake)
        .input(value(tidy.server));
    let second = plan.step("second", make_of).undo(unmake);
    let second = match tidy.no_return {
        true => second.point_of_no_return().input(first),
        false => second.input(first),
    };
    plan.step("third", broken).undo(unmake).input(second)
}

async fn a_kind_that_wants_it_is_taken_back_when_it_fails_and_lets_go(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(failing));
    let handle = bench.intendant.request(tidy()).await?;
    let error = handle.output().await;
    let Err(Error::Failed {
        reason,
        step,
        error,
        ..
    }) = error
    else {
        anyhow::bail!("{error:?}");
    };
    ensure!(
        reason == FailureReason::StepFailed && error == "broken",
        "{error}"
    );
    ensure!(step.as_deref() == Some("third"), "{step:?}");
    let lines = ledger.lines();
    let undos = [
        "undo(third): nothing",
        "undo(second): second",
        "undo(first): first",
    ];
    ensure!(lines[3..] == undos, "{lines:?}");
    let events = bench.intendant.events(handle.id()).await?;
    ensure!(events.len() == 1 && events[0].verb == "undo", "{events:?}");
    ensure!(
        events[0].reason.as_deref() == Some("step `third` has failed: broken"),
        "{events:?}"
    );
    ensure!(
        bench.number("select count(*) from @holder").await? == 0,
        "it lets go"
    );
    ensure!(bench.number("select count(*) from @cancel").await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn past_a_point_of_no_return_a_failure_takes_nothing_back(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(failing));
    let handle = bench
        .intendant
        .request(Tidy {
            no_return: true,
            ..tidy()
        })
        .await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    ensure!(ledger.lines().len() == 3, "{:?}", ledger.lines());
    ensure!(
        bench.number("select count(*) from @holder").await? == 1,
        "it holds"
    );
    worker.stop().await?;
    bench.check().await
}

async fn whoever_takes_over_after_the_failure_takes_it_back(bench: Bench) -> Result<()> {
    async fn stuck(cx: Cx<Ledger>, _: String, _: Option<String>) -> StepResult<()> {
        cx.state().note(cx.step_name());
        match cx.state().begun.add() {
            1 => std::future::pending().await,
            _ => Ok(()),
        }
    }
    fn plan(tidy: &Tidy, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(unmake)
            .input(value(tidy.server));
        plan.step("second", broken).undo(stuck).input(first)
    }
    let ledger = Ledger::new(&bench);
    let doomed = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(tidy()).await?;
    begun(&bench, &ledger, 1).await?;
    bench.reach(handle.id(), IntentState::Undoing).await?;
    doomed.kill().await;
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(record.error.as_deref() == Some("broken"), "{record:?}");
    let lines = ledger.lines();
    let expected = [
        "made first",
        "began second",
        "undo(second)",
        "undo(second)",
        "undo(first): first",
    ];
    ensure!(lines == expected, "{lines:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_while_a_failure_is_taken_back_makes_it_cancelled(bench: Bench) -> Result<()> {
    async fn slow(cx: Cx<Ledger>, _: String, _: Option<String>) -> StepResult<()> {
        cx.state().begun.add();
        cx.state().open.notified().await;
        if cx.is_cancelled() {
            return Err(fail("an undo is not cancelled"));
        }
        Ok(())
    }
    fn plan(tidy: &Tidy, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(unmake)
            .input(value(tidy.server));
        plan.step("second", broken).undo(slow).input(first)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(tidy()).await?;
    begun(&bench, &ledger, 1).await?;
    bench.reach(handle.id(), IntentState::Undoing).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    ledger.open.notify_one();
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    ensure!(
        ledger
            .lines()
            .last()
            .is_some_and(|line| line == "undo(first): first")
    );
    worker.stop().await?;
    bench.check().await
}

async fn an_undo_that_fails_keeps_the_resources_and_a_resume_goes_on_with_it(
    bench: Bench,
) -> Result<()> {
    async fn hard(cx: Cx<Ledger>, _: String, _: Option<String>) -> StepResult<()> {
        match cx.state().tries.add() {
            1 | 2 => Err(std::io::Error::other("no such volume").into()),
            _ => unmake(cx, (), None).await,
        }
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(unmake)
            .input(value(build.server));
        let volume = plan.step("volume", make_of).undo(hard).attempts(2);
        let volume = volume.backoff(Duration::from_millis(1), Duration::from_millis(2));
        let volume = volume.input(first);
        let last = plan.step("last", make_of).undo(unmake).input(volume);
        plan.step("hang", hang).input(last)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(
        record.reason.as_deref() == Some("undo failed"),
        "{record:?}"
    );
    ensure!(
        record.failed_step.as_deref() == Some("volume"),
        "{record:?}"
    );
    ensure!(
        record.error.as_deref() == Some("taking back `volume`: no such volume"),
        "{record:?}"
    );
    ensure!(
        bench.number("select count(*) from @holder").await? == 1,
        "it holds"
    );
    let found = states(&bench, handle.id()).await?;
    let state = |name: &str| {
        found
            .iter()
            .find(|(step, _)| step == name)
            .map(|(_, state)| *state)
    };
    ensure!(state("last") == Some(StepState::Undone), "{found:?}");
    ensure!(
        state("undo(volume)") == Some(StepState::Failed),
        "{found:?}"
    );
    ensure!(state("first") == Some(StepState::Succeeded), "{found:?}");
    bench.check().await?;

    bench.intendant.resume(handle.id(), "ada", None).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    ensure!(ledger.place("undo(volume): nothing") < ledger.place("undo(first): first"));
    ensure!(ledger.place("undo(last): last") < ledger.place("undo(volume): nothing"));
    ensure!(bench.number("select count(*) from @holder").await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn an_undo_that_is_gone_from_the_code_fails_and_says_so(bench: Bench) -> Result<()> {
    fn before(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(unmake)
            .input(value(build.server));
        plan.step("hang", hang).input(first)
    }
    fn after(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan.step("first", make).input(value(build.server));
        plan.step("hang", hang).input(first)
    }
    let ledger = Ledger::new(&bench);
    let old = start(bench.worker(ledger.clone()).register(before));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    old.kill().await;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    let new = start(bench.worker(ledger.clone()).register(after));
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("undo failed"),
        "{record:?}"
    );
    let error = record.error.unwrap_or_default();
    ensure!(
        error.contains("can take back step `first`, and the code has nothing"),
        "{error}"
    );
    new.stop().await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    let old = start(bench.worker(ledger.clone()).register(before));
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    ledger.place("undo(first): first");
    old.stop().await?;
    bench.check().await
}
