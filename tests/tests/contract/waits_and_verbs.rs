//! Intents that wait for a time or a message, and what an operator does to them: they are cancelled, taken back, run again.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Intent, IntentId, IntentState, Node, OnFailure, Plan, StepResult, StepState, StoreKind,
    fail, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Running, on_both, start};
use crate::undo::{Build, Ledger, make, make_of, states, unmake};

on_both! {
    a_cancelled_intent_waits_for_nothing_any_more;
    a_cancel_takes_back_what_was_done_before_a_wait;
    a_failure_that_is_taken_back_does_not_wait_for_a_message;
    a_failed_undo_of_an_intent_that_waited_is_resumed_past_the_wait;
    a_rerun_from_before_a_wait_waits_again;
    a_message_after_a_rerun_is_not_for_what_waited_before_it;
    a_wait_that_is_skipped_is_over;
    a_sleep_that_is_retried_sleeps_on;
    what_is_discarded_waits_for_nothing_any_more;
    an_undo_can_wait_for_a_message;
    a_step_that_is_done_takes_no_message_of_another;
}

const LONG: Duration = Duration::from_secs(3_600);

/// A step, and after it two that wait side by side.
fn waiting(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan
        .step("first", make)
        .undo(unmake)
        .input(value(build.server));
    let pause = plan.sleep("pause", LONG).input(first);
    let asked = plan.signal::<String>("approve").after(first).input(());
    plan.step("last", both).undo(unmake).input((pause, asked))
}

async fn both(_: Cx<Ledger>, parts: (String, String)) -> StepResult<String> {
    Ok(parts.1)
}

/// Waits until so many waits are on disk, and their intent is in nobody's hands.
async fn asked(bench: &Bench, id: IntentId, waits: i64) -> Result<()> {
    bench
        .until(|| async {
            let found = bench.number("select count(*) from @awaited").await?;
            Ok((found >= waits).then_some(()))
        })
        .await?;
    bench.reach(id, IntentState::Waiting).await
}

async fn open(bench: &Bench) -> Result<i64> {
    bench
        .number("select count(*) from @awaited where signal_id is null")
        .await
}

fn worker<I: Intent>(
    bench: &Bench,
    ledger: &Ledger,
    plan: fn(&I, &mut Plan<Ledger>) -> Node<I::Output>,
) -> Running {
    start(bench.worker(ledger.clone()).register::<I, _>(plan))
}

async fn a_cancelled_intent_waits_for_nothing_any_more(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker::<Build>(&bench, &ledger, waiting);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    asked(&bench, handle.id(), 2).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    ensure!(open(&bench).await? == 0);
    ensure!(bench.number("select count(*) from @parked").await? == 0);
    ensure!(bench.number("select count(*) from @wait").await? == 0);
    let late = bench.intendant.signal(handle.id(), "approve", "yes").await;
    ensure!(late.is_err_and(|error| error.is_conflict()));
    let late = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(
        !late.contains("waits") && !late.contains("sleeps"),
        "{late}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_takes_back_what_was_done_before_a_wait(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let first = worker::<Build>(&bench, &ledger, waiting);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    asked(&bench, handle.id(), 2).await?;
    // By another worker than the one that parked it.
    first.stop().await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    let second = worker::<Build>(&bench, &ledger, waiting);
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    ensure!(
        ledger.lines() == ["made first", "undo(first): first"],
        "{:?}",
        ledger.lines()
    );
    second.stop().await?;
    bench.check().await
}

/// Fails with one branch, while the other waits.
#[derive(Debug, Serialize, Deserialize)]
struct Careful;

impl Intent for Careful {
    const KIND: &'static str = "careful";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = String;
}

async fn refuse_first(cx: Cx<Ledger>, _: String) -> StepResult<String> {
    // Not before the other branch waits.
    cx.state().open.notified().await;
    match cx.state().tries.add() {
        1 => Err(fail("no")),
        _ => Ok("yes".to_owned()),
    }
}

fn careful(_: &Careful, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan.step("first", make).undo(unmake).input(value(1u64));
    let asked = plan.signal::<String>("approve").after(first).input(());
    let fails = plan.step("fails", refuse_first).input(first);
    plan.step("last", both).input((asked, fails))
}

async fn a_failure_that_is_taken_back_does_not_wait_for_a_message(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker::<Careful>(&bench, &ledger, careful);
    let handle = bench.intendant.request(Careful).await?;
    one_waits(&bench).await?;
    ledger.open.notify_one();
    let record = bench.rest(handle.id()).await?;
    ensure!(record.failed_step.as_deref() == Some("fails"), "{record:?}");
    ensure!(ledger.lines() == ["made first", "undo(first): first"]);
    ensure!(open(&bench).await? == 0);
    bench.check().await?;
    // Everything anew: what was taken back runs again, and what waited waits again.
    bench.intendant.resume(handle.id(), "ada", None).await?;
    one_waits(&bench).await?;
    ledger.open.notify_one();
    bench
        .intendant
        .signal(handle.id(), "approve", "granted")
        .await?;
    ensure!(handle.output().await? == "yes");
    worker.stop().await?;
    bench.check().await
}

/// A branch waits for a message, whoever has the intent in hand.
async fn one_waits(bench: &Bench) -> Result<()> {
    bench
        .until(|| async { Ok((open(bench).await? == 1).then_some(())) })
        .await
}

/// The same, of a kind that stays failed.
#[derive(Debug, Serialize, Deserialize)]
struct Bold;

impl Intent for Bold {
    const KIND: &'static str = "bold";
    type Output = String;
}

fn bold(_: &Bold, plan: &mut Plan<Ledger>) -> Node<String> {
    careful(&Careful, plan)
}

/// It has failed, while a branch of it waits.
async fn failed(bench: &Bench, ledger: &Ledger) -> Result<intendant::Handle<Bold>> {
    let handle = bench.intendant.request(Bold).await?;
    one_waits(bench).await?;
    ledger.open.notify_one();
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    bench.check().await?;
    Ok(handle)
}

async fn a_failed_undo_of_an_intent_that_waited_is_resumed_past_the_wait(
    bench: Bench,
) -> Result<()> {
    async fn hard(cx: Cx<Ledger>, _: u64, _: Option<String>) -> StepResult<()> {
        match cx.state().begun.add() {
            1 => Err(fail("locked")),
            _ => {
                cx.state().note("taken back");
                Ok(())
            }
        }
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(hard)
            .input(value(build.server));
        let asked = plan.signal::<String>("approve").after(first).input(());
        plan.step("last", make_of).input(asked)
    }
    let ledger = Ledger::new(&bench);
    let worker = worker::<Build>(&bench, &ledger, plan);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    asked(&bench, handle.id(), 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("undo failed"),
        "{record:?}"
    );
    bench.check().await?;
    bench.intendant.resume(handle.id(), "ada", None).await?;
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    ensure!(ledger.lines() == ["made first", "taken back"]);
    ensure!(open(&bench).await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn a_rerun_from_before_a_wait_waits_again(bench: Bench) -> Result<()> {
    async fn last(cx: Cx<Ledger>, (said, _): (String, ())) -> StepResult<String> {
        match cx.state().tries.add() {
            1 => Err(fail("not like that")),
            _ => Ok(said),
        }
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan.step("first", make).input(value(build.server));
        let asked = plan.signal::<String>("approve").after(first).input(());
        let pause = plan.sleep("pause", LONG).after(asked).input(());
        plan.step("last", last).input((asked, pause))
    }
    let ledger = Ledger::new(&bench);
    let worker = worker::<Build>(&bench, &ledger, plan);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    bench
        .intendant
        .signal(handle.id(), "approve", "yes")
        .await?;
    asked(&bench, handle.id(), 2).await?;
    let_pass(&bench).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.failed_step.as_deref() == Some("last"), "{record:?}");

    bench
        .intendant
        .rerun_from(handle.id(), "first", "ada", None)
        .await?;
    asked(&bench, handle.id(), 2).await?;
    // The message has been used up, and the sleep begins anew.
    bench
        .until(|| async {
            let again = "select count(*) from @awaited where generation = 2";
            Ok((bench.number(again).await? == 1).then_some(()))
        })
        .await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let why = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(why == "`approve` waits for a signal of its name", "{why}");
    bench.check().await?;
    bench
        .intendant
        .signal(handle.id(), "approve", "once more")
        .await?;
    bench
        .until(|| async {
            let slept = "select count(*) from @awaited where generation = 2 and sort = 'sleep'";
            Ok((bench.number(slept).await? == 1).then_some(()))
        })
        .await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let_pass(&bench).await?;
    ensure!(handle.output().await? == "once more");
    worker.stop().await?;
    bench.check().await
}

/// Brings the end of every wait nearer, in rows.
async fn let_pass(bench: &Bench) -> Result<()> {
    let earlier = match bench.database.kind {
        StoreKind::Sqlite => format!("due_at - {}", LONG.as_micros()),
        StoreKind::Postgres => format!("due_at - interval '{} seconds'", LONG.as_secs()),
    };
    for table in ["@awaited", "@parked", "@step"] {
        let sql = format!("update {table} set due_at = {earlier} where due_at is not null");
        bench.run_sql(&sql).await?;
    }
    Ok(())
}

async fn a_message_after_a_rerun_is_not_for_what_waited_before_it(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker::<Bold>(&bench, &ledger, bold);
    let handle = failed(&bench, &ledger).await?;
    bench
        .intendant
        .rerun_from(handle.id(), "first", "ada", None)
        .await?;
    bench
        .until(|| async {
            let again = "select count(*) from @awaited where generation = 2";
            Ok((bench.number(again).await? == 1).then_some(()))
        })
        .await?;
    ensure!(
        open(&bench).await? == 1,
        "what waited before the rerun waits on"
    );
    ledger.open.notify_one();
    bench
        .intendant
        .signal(handle.id(), "approve", "granted")
        .await?;
    ensure!(handle.output().await? == "yes");
    worker.stop().await?;
    bench.check().await
}

async fn a_wait_that_is_skipped_is_over(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker::<Build>(&bench, &ledger, waiting);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    asked(&bench, handle.id(), 2).await?;
    for (step, output) in [("approve", "by hand"), ("pause", "")] {
        bench.reach(handle.id(), IntentState::Waiting).await?;
        bench
            .intendant
            .skip(handle.id(), step, output, "ada", None)
            .await?;
    }
    ensure!(handle.output().await? == "by hand");
    let found = states(&bench, handle.id()).await?;
    ensure!(
        found[0] == ("approve".to_owned(), StepState::Skipped),
        "{found:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_sleep_that_is_retried_sleeps_on(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker::<Build>(&bench, &ledger, waiting);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    asked(&bench, handle.id(), 2).await?;
    bench
        .intendant
        .retry(handle.id(), "pause", "ada", None)
        .await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let why = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(why.contains("`pause` sleeps until"), "{why}");
    bench.check().await?;
    // Before the message, while nobody has the intent in hand.
    let_pass(&bench).await?;
    bench
        .intendant
        .signal(handle.id(), "approve", "granted")
        .await?;
    ensure!(handle.output().await? == "granted");
    worker.stop().await?;
    bench.check().await
}

async fn what_is_discarded_waits_for_nothing_any_more(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker::<Bold>(&bench, &ledger, bold);
    let handle = failed(&bench, &ledger).await?;
    ensure!(open(&bench).await? == 1, "a resume would wait on");
    bench.intendant.discard(handle.id(), "ada", None).await?;
    ensure!(open(&bench).await? == 0);
    ensure!(ledger.lines() == ["made first"]);
    worker.stop().await?;
    bench.check().await
}

async fn an_undo_can_wait_for_a_message(bench: Bench) -> Result<()> {
    async fn ask(cx: Cx<Ledger>, _: u64, _: Option<String>) -> StepResult<()> {
        let said = cx.signal::<String>("take it back").await?;
        cx.state().note(said);
        Ok(())
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(ask)
            .input(value(build.server));
        let asked = plan.signal::<String>("approve").after(first).input(());
        plan.step("last", make_of).input(asked)
    }
    let ledger = Ledger::new(&bench);
    let first = worker::<Build>(&bench, &ledger, plan);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    asked(&bench, handle.id(), 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench
        .until(|| async {
            let undo = "select count(*) from @awaited where step = 'undo(first)'";
            Ok((bench.number(undo).await? == 1).then_some(()))
        })
        .await?;
    // Whoever takes it over finds what the undo waits for.
    first.stop().await?;
    ensure!(bench.intendant.state(handle.id()).await? == IntentState::Undoing);
    bench.check().await?;
    let second = worker::<Build>(&bench, &ledger, plan);
    bench
        .intendant
        .signal(handle.id(), "take it back", "with care")
        .await?;
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    ensure!(
        ledger.lines() == ["made first", "with care"],
        "{:?}",
        ledger.lines()
    );
    second.stop().await?;
    bench.check().await
}

async fn a_step_that_is_done_takes_no_message_of_another(bench: Bench) -> Result<()> {
    async fn either(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        // Whichever comes first.
        let signal = async { cx.signal::<String>("approve").await };
        let sleep = async { cx.sleep("a moment", Duration::from_millis(5)).await };
        let (signal, sleep) = tokio::join!(signal, sleep);
        sleep?;
        signal.or(Ok("nobody".to_owned()))
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan.step("first", either).input(value(build.server));
        let asked = plan.signal::<String>("approve").after(first).input(());
        plan.step("last", both).input((first, asked))
    }
    let ledger = Ledger::new(&bench);
    let worker = worker::<Build>(&bench, &ledger, plan);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    asked(&bench, handle.id(), 3).await?;
    bench
        .intendant
        .signal(handle.id(), "approve", "granted")
        .await?;
    ensure!(handle.output().await? == "granted");
    let signals = bench.intendant.signals(handle.id()).await?;
    ensure!(
        signals[0].taken_by.as_deref() == Some("approve"),
        "{signals:?}"
    );
    worker.stop().await?;
    bench.check().await
}
