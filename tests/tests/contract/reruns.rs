//! Reruns: from a step, which takes back and runs the next generation, and of what has finished, as a new intent.

use anyhow::{Result, ensure};
use intendant::{Cx, Error, IntentState, Node, Plan, StepResult, Verb, fail, value};

use crate::support::{Bench, on_both, start};
use crate::undo::{Ledger, begun, unmake};
use crate::verbs::{Work, broken, failed, make, plan, verbs, work};

on_both! {
    a_rerun_from_a_step_takes_back_what_depends_on_it_and_runs_the_next_generation;
    a_rerun_from_a_map_runs_its_elements_again;
    a_rerun_that_cannot_take_back_fails_and_a_resume_goes_on_with_it;
    a_rerun_of_what_has_finished_is_a_new_intent_that_is_linked;
    a_cancel_while_a_rerun_takes_back_makes_it_cancelled;
}

async fn a_rerun_from_a_step_takes_back_what_depends_on_it_and_runs_the_next_generation(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(1)).await?;
    let from = Verb::RerunFrom {
        step: "second".to_owned(),
    };
    let preview = bench
        .intendant
        .preview(handle.id(), &from)
        .await?
        .to_string();
    let expected = "takes back second; runs second, third, broken; keeps first, side";
    ensure!(preview == expected, "{preview}");
    let nobody = bench
        .intendant
        .rerun_from(handle.id(), "nobody", "ada", None)
        .await;
    ensure!(matches!(nobody, Err(Error::NoStep { .. })), "{nobody:?}");
    ensure!(handle.state().await? == IntentState::Failed);
    bench
        .intendant
        .rerun_from(handle.id(), "second", "ada", None)
        .await?;
    ensure!(handle.output().await? == "mended after third 2");
    let lines = ledger.lines();
    let undone = ledger.place("undo(second): second 1");
    ensure!(undone < ledger.place("made second 2"), "{lines:?}");
    ensure!(
        lines
            .iter()
            .filter(|line| line.starts_with("made first"))
            .count()
            == 1
    );
    ensure!(
        lines
            .iter()
            .filter(|line| line.starts_with("made side"))
            .count()
            == 1
    );
    // The old generation stays to be seen.
    let mut steps = bench.intendant.steps(handle.id()).await?;
    steps.sort_by(|a, b| (&a.name, a.generation).cmp(&(&b.name, b.generation)));
    let steps: Vec<_> = steps
        .iter()
        .map(|step| format!("{} {} {}", step.name, step.generation, step.state))
        .collect();
    let expected = [
        "broken 1 pending",
        "broken 2 succeeded",
        "first 1 succeeded",
        "second 1 undone",
        "second 2 succeeded",
        "side 1 succeeded",
        "third 1 succeeded",
        "third 2 succeeded",
        "undo(second) 1 succeeded",
    ];
    ensure!(steps == expected, "{steps:?}");
    ensure!(verbs(&bench, handle.id()).await? == ["rerun by ada"]);
    worker.stop().await?;
    ensure!(bench.number("select count(*) from @cancel").await? == 0);
    bench.check().await
}

async fn a_rerun_from_a_map_runs_its_elements_again(bench: Bench) -> Result<()> {
    async fn list(_: Cx<Ledger>, _: u64) -> StepResult<Vec<u64>> {
        Ok(vec![1, 2])
    }
    async fn sum(cx: Cx<Ledger>, (made, fails): (Vec<String>, u64)) -> StepResult<String> {
        broken(cx, (made.join(", "), fails)).await
    }
    fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
        let list = plan.step("list", list).input(value(work.server));
        let made = plan.map("one", make).undo(unmake).input(list);
        plan.step("sum", sum).input((made, value(work.fails)))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(2)).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "one[1]", "ada", None)
        .await?;
    bench.reach(handle.id(), IntentState::Failed).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "one", "ada", None)
        .await?;
    ensure!(handle.output().await? == "mended after one[0] 2, one[1] 3");
    ledger.place("undo(one[0]): one[0] 1");
    ensure!(ledger.place("undo(one[1]): one[1] 1") < ledger.place("undo(one[1]): one[1] 2"));
    worker.stop().await?;
    bench.check().await
}

async fn a_rerun_that_cannot_take_back_fails_and_a_resume_goes_on_with_it(
    bench: Bench,
) -> Result<()> {
    async fn hard(cx: Cx<Ledger>, _: u64, _: Option<String>) -> StepResult<()> {
        match cx.state().begun.add() {
            1 => Err(fail("stuck")),
            _ => Ok(()),
        }
    }
    fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(hard)
            .input(value(work.server));
        plan.step("broken", broken)
            .input((first, value(work.fails)))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(1)).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "first", "ada", None)
        .await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("undo failed"),
        "{record:?}"
    );
    bench.intendant.resume(handle.id(), "ada", None).await?;
    ensure!(handle.output().await? == "mended after first 2");
    worker.stop().await?;
    bench.check().await
}

async fn a_rerun_of_what_has_finished_is_a_new_intent_that_is_linked(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let handle = bench.intendant.request(work(0)).label("team", "billing");
    let handle = handle.correlation_id("web-7").await?;
    let early = bench.intendant.rerun(handle.id(), "ada", None).await;
    ensure!(matches!(early, Err(Error::WrongState { .. })), "{early:?}");
    let worker = start(bench.worker(ledger.clone()).register(plan));
    handle.output().await?;
    let new = bench
        .intendant
        .rerun(handle.id(), "ada", Some("once more"))
        .await?;
    let record = bench.rest(new).await?;
    let old = bench.intendant.get(handle.id()).await?;
    ensure!(record.state == IntentState::Succeeded && new != old.id);
    ensure!(record.input.get() == old.input.get() && record.labels == old.labels);
    ensure!(record.resources == old.resources && record.account == old.account);
    ensure!(record.requested_by.as_deref() == Some("ada"));
    ensure!(record.correlation_id.as_deref() == Some("web-7"));
    for (id, other) in [(handle.id(), new), (new, handle.id())] {
        let events = bench.intendant.events(id).await?;
        let detail = events[0]
            .detail
            .as_ref()
            .map(|detail| detail.get().to_owned());
        let detail = detail.unwrap_or_default();
        ensure!(detail.contains(&other.to_string()), "{detail}");
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_while_a_rerun_takes_back_makes_it_cancelled(bench: Bench) -> Result<()> {
    async fn slow(cx: Cx<Ledger>, _: u64, _: Option<String>) -> StepResult<()> {
        cx.state().begun.add();
        cx.state().open.notified().await;
        Ok(())
    }
    fn plan(work: &Work, plan: &mut Plan<Ledger>) -> Node<String> {
        let before = plan
            .step("before", make)
            .undo(unmake)
            .input(value(work.server));
        let first = plan.step("first", make).undo(slow).after(before);
        let first = first.input(value(work.server));
        plan.step("broken", broken)
            .input((first, value(work.fails)))
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = failed(&bench, work(1)).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "first", "ada", None)
        .await?;
    begun(&bench, &ledger, 1).await?;
    let why = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(
        why.contains("steps that are to run again, asked for by ada"),
        "{why}"
    );
    bench.intendant.cancel(handle.id(), "bob", None).await?;
    ledger.open.notify_one();
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    let lines = ["made before 1", "made first 1", "undo(before): before 1"];
    ensure!(ledger.lines() == lines, "{:?}", ledger.lines());
    worker.stop().await?;
    bench.check().await
}
