//! Signals: a step waits for a message from outside, typed and checked; one that comes first is kept.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Intent, IntentId, IntentState, Node, Plan, Sent, StepResult, fail, limits, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    a_step_waits_for_a_message_and_takes_it;
    a_message_that_comes_before_anybody_waits_is_kept;
    a_message_that_is_sent_twice_with_one_key_counts_once;
    a_message_to_an_intent_that_is_not_there_or_has_finished_is_an_error;
    a_message_that_does_not_come_in_time_is_not_waited_for;
    a_message_of_another_type_is_set_aside_and_waited_on;
    each_step_takes_a_message_of_its_own;
    a_message_stays_the_steps_in_every_attempt;
    a_message_reaches_an_intent_that_is_in_hand;
    a_message_that_is_there_when_a_branch_begins_to_wait_is_taken_at_once;
    a_message_that_is_taken_as_another_step_ends_is_not_lost;
    a_failure_does_not_wait_for_a_message_and_a_resume_waits_on;
    a_message_nobody_waits_for_does_no_harm;
    more_messages_than_one_tick_counts_all_arrive;
    no_message_is_lost_while_workers_die;
    a_step_in_another_queue_cannot_wait_for_a_message;
    what_cannot_be_kept_is_refused;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invoice(u64);

impl Intent for Invoice {
    const KIND: &'static str = "invoice";
    type Output = u64;
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Approval {
    cents: u64,
}

fn approval(cents: u64) -> Approval {
    Approval { cents }
}

async fn send(cx: Cx<Counter>, (number, approval): (u64, Approval)) -> StepResult<u64> {
    cx.state().add();
    Ok(number * 1_000 + approval.cents)
}

fn approved(invoice: &Invoice, plan: &mut Plan<Counter>) -> Node<u64> {
    let approval = plan.signal::<Approval>("approve").input(());
    plan.step("send", send).input((value(invoice.0), approval))
}

/// Waits until somebody waits for a message.
async fn waits(bench: &Bench, id: IntentId) -> Result<()> {
    bench.reach(id, IntentState::Waiting).await?;
    bench.check().await
}

async fn a_step_waits_for_a_message_and_takes_it(bench: Bench) -> Result<()> {
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(approved));
    let handle = bench.intendant.request(Invoice(7)).await?;
    waits(&bench, handle.id()).await?;
    let why = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(why == "`approve` waits for a signal of its name", "{why}");
    let sent = bench
        .intendant
        .signal(handle.id(), "approve", &approval(50));
    let sent = sent.by("ada").await?;
    ensure!(handle.output().await? == 7_050);
    let signals = bench.intendant.signals(handle.id()).await?;
    ensure!(
        signals.len() == 1
            && sent == Sent::Now(signals[0].id)
            && signals[0].sent_by.as_deref() == Some("ada")
            && signals[0].taken_by.as_deref() == Some("approve"),
        "{signals:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_message_that_comes_before_anybody_waits_is_kept(bench: Bench) -> Result<()> {
    let early = bench.intendant.request(Invoice(7)).await?;
    let sent = bench.intendant.signal(early.id(), "approve", &approval(50));
    sent.await?;
    // Counted while the intent is in line, and while a step before the one that waits runs.
    let gate = Gate::default();
    let begun = Counter::default();
    let plan = |invoice: &Invoice, plan: &mut Plan<(Counter, Gate)>| -> Node<u64> {
        let drafted = plan.step("draft", draft).input(value(invoice.0));
        let approval = plan.signal::<Approval>("approve").after(drafted).input(());
        plan.step("sum", sum).input((drafted, approval))
    };
    async fn draft(cx: Cx<(Counter, Gate)>, number: u64) -> StepResult<u64> {
        cx.state().0.add();
        cx.state().1.pass().await;
        Ok(number)
    }
    async fn sum(_: Cx<(Counter, Gate)>, parts: (u64, Approval)) -> StepResult<u64> {
        Ok(parts.0 + parts.1.cents)
    }
    let worker = bench.worker((begun.clone(), gate.clone()));
    let worker = start(worker.register::<Invoice, _>(plan));
    let late = bench.intendant.request(Invoice(8)).await?;
    bench
        .until(|| async { Ok((begun.get() == 2).then_some(())) })
        .await?;
    bench
        .intendant
        .signal(late.id(), "approve", &approval(60))
        .await?;
    bench
        .until(|| async {
            let new = "select count(*) from @signal where not counted";
            Ok((bench.number(new).await? == 0).then_some(()))
        })
        .await?;
    gate.open();
    ensure!(early.output().await? == 57 && late.output().await? == 68);
    worker.stop().await?;
    bench.check().await
}

async fn a_message_that_is_sent_twice_with_one_key_counts_once(bench: Bench) -> Result<()> {
    async fn two(cx: Cx<Counter>, (): ()) -> StepResult<u64> {
        let first = cx.signal::<Approval>("approve").await?;
        Ok(first.cents)
    }
    async fn sum(_: Cx<Counter>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    // Two steps wait for one each: a message that counted twice would end both.
    let plan = |_: &Invoice, plan: &mut Plan<Counter>| -> Node<u64> {
        let one = plan.step("one", two).input(());
        let other = plan.step("other", two).input(());
        plan.step("sum", sum).input((one, other))
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(plan));
    let handle = bench.intendant.request(Invoice(7)).await?;
    waits(&bench, handle.id()).await?;
    let click = |key: &'static str, cents| {
        let approval = approval(cents);
        let signal = bench.intendant.signal(handle.id(), "approve", &approval);
        signal.key(key)
    };
    let first = click("a", 1).await?;
    let again = click("a", 100).await?;
    ensure!(matches!((first, again), (Sent::Now(first), Sent::Before(again)) if first == again));
    bench
        .until(|| async {
            let done = "select count(*) from @step where state = 'succeeded'";
            Ok((bench.number(done).await? == 1).then_some(()))
        })
        .await?;
    waits(&bench, handle.id()).await?;
    ensure!(matches!(click("b", 20).await?, Sent::Now(_)));
    ensure!(handle.output().await? == 21);
    // Even when the intent has finished, it is known what the key was used for.
    ensure!(click("a", 1).await? == again);
    worker.stop().await?;
    bench.check().await
}

async fn a_message_to_an_intent_that_is_not_there_or_has_finished_is_an_error(
    bench: Bench,
) -> Result<()> {
    let broken = |_: &Invoice, plan: &mut Plan<Counter>| -> Node<u64> {
        async fn breaks(_: Cx<Counter>, (): ()) -> StepResult<u64> {
            Err(fail("broken"))
        }
        plan.step("breaks", breaks).input(())
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(broken));
    let handle = bench.intendant.request(Invoice(7)).await?;
    bench.rest(handle.id()).await?;
    let send = |id| {
        let signal = bench.intendant.signal(id, "approve", &approval(50));
        async move { signal.await.unwrap_err() }
    };
    let error = send(handle.id()).await;
    let expected = format!(
        "signalling intent {}: it is failed; only an unfinished intent takes signals",
        handle.id()
    );
    ensure!(
        error.is_conflict() && error.to_string() == expected,
        "{error}"
    );
    let nobody: IntentId = "01890000-0000-7000-8000-000000000000".parse()?;
    let error = send(nobody).await;
    ensure!(error.is_not_found(), "{error}");
    ensure!(bench.number("select count(*) from @signal").await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn a_message_that_does_not_come_in_time_is_not_waited_for(bench: Bench) -> Result<()> {
    async fn settle(_: Cx<Counter>, answer: Option<Approval>) -> StepResult<u64> {
        Ok(answer.map_or(0, |answer| answer.cents))
    }
    async fn last(cx: Cx<Counter>, before: u64) -> StepResult<u64> {
        let after = cx.signal::<Approval>("late").await?;
        Ok(before + after.cents)
    }
    let plan = |_: &Invoice, plan: &mut Plan<Counter>| -> Node<u64> {
        let soon = Duration::from_millis(40);
        let answer = plan.signal_within::<Approval>("approve", soon).input(());
        let settled = plan.step("settle", settle).input(answer);
        plan.step("last", last).input(settled)
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(plan));
    let handle = bench.intendant.request(Invoice(7)).await?;
    bench
        .until(|| async {
            let why = bench.intendant.why(handle.id()).await?.to_string();
            Ok((why == "`last` waits for a signal `late`").then_some(()))
        })
        .await?;
    // Too late for the first; the other one is still waited for.
    for (name, cents) in [("approve", 500), ("late", 5)] {
        let message = approval(cents);
        bench.intendant.signal(handle.id(), name, &message).await?;
    }
    ensure!(handle.output().await? == 5);
    let signals = bench.intendant.signals(handle.id()).await?;
    ensure!(signals[0].taken_by.is_none() && signals[1].taken_by.as_deref() == Some("last"));
    worker.stop().await?;
    bench.check().await
}

async fn a_message_of_another_type_is_set_aside_and_waited_on(bench: Bench) -> Result<()> {
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(approved));
    let handle = bench.intendant.request(Invoice(7)).await?;
    waits(&bench, handle.id()).await?;
    let signal = bench
        .intendant
        .signal(handle.id(), "approve", "yes, please");
    signal.await?;
    let error = bench
        .until(|| async {
            let signals = bench.intendant.signals(handle.id()).await?;
            Ok(signals[0].refused.clone())
        })
        .await?;
    ensure!(error.contains("Approval"), "{error}");
    waits(&bench, handle.id()).await?;
    ensure!(bench.intendant.attempts(handle.id()).await?.is_empty());
    // Two at once, the first of them wrong again.
    let signal = bench.intendant.signal(handle.id(), "approve", &17);
    signal.await?;
    let signal = bench
        .intendant
        .signal(handle.id(), "approve", &approval(50));
    signal.await?;
    ensure!(handle.output().await? == 7_050);
    let signals = bench.intendant.signals(handle.id()).await?;
    let refused: Vec<_> = signals.iter().map(|s| s.refused.is_some()).collect();
    ensure!(refused == [true, true, false], "{signals:?}");
    worker.stop().await?;
    bench.check().await
}

async fn each_step_takes_a_message_of_its_own(bench: Bench) -> Result<()> {
    async fn both(cx: Cx<Counter>, (): ()) -> StepResult<(u64, u64)> {
        let (debit, credit) = tokio::join!(
            cx.signal::<Approval>("debit"),
            cx.signal::<Approval>("credit")
        );
        Ok((debit?.cents, credit?.cents))
    }
    async fn after(cx: Cx<Counter>, first: (u64, u64)) -> StepResult<u64> {
        let second = cx.signal::<Approval>("debit").await?.cents;
        // Within a step a name stands for one message.
        let again = cx.signal::<Approval>("debit").await?.cents;
        Ok(first.0 * 1_000 + first.1 * 100 + second * 10 + again)
    }
    let plan = |_: &Invoice, plan: &mut Plan<Counter>| -> Node<u64> {
        let first = plan.step("both", both).input(());
        plan.step("after", after).input(first)
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(plan));
    let handle = bench.intendant.request(Invoice(7)).await?;
    for (name, cents) in [("debit", 1), ("debit", 2), ("debit", 3), ("credit", 4)] {
        let message = approval(cents);
        bench.intendant.signal(handle.id(), name, &message).await?;
    }
    ensure!(handle.output().await? == 1_422);
    worker.stop().await?;
    bench.check().await
}

async fn a_message_stays_the_steps_in_every_attempt(bench: Bench) -> Result<()> {
    async fn fickle(cx: Cx<Counter>, (): ()) -> StepResult<u64> {
        let approval = cx.signal::<Approval>("approve").await?;
        if cx.state().add() < 3 {
            return Err(std::io::Error::other("a cold start").into());
        }
        Ok(approval.cents)
    }
    let plan = |_: &Invoice, plan: &mut Plan<Counter>| -> Node<u64> {
        let soon = Duration::from_millis(2);
        plan.step("fickle", fickle).backoff(soon, soon).input(())
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(plan));
    let handle = bench.intendant.request(Invoice(7)).await?;
    for cents in [50, 60] {
        let message = approval(cents);
        let signal = bench.intendant.signal(handle.id(), "approve", &message);
        signal.await?;
    }
    ensure!(handle.output().await? == 50);
    ensure!(bench.intendant.attempts(handle.id()).await?.len() == 2);
    worker.stop().await?;
    bench.check().await
}

/// A branch that runs until it is let go, beside one that waits for a message.
fn beside(_: &Invoice, plan: &mut Plan<(Counter, Gate)>) -> Node<u64> {
    async fn busy(cx: Cx<(Counter, Gate)>, (): ()) -> StepResult<u64> {
        cx.state().0.add();
        cx.state().1.pass().await;
        Ok(1)
    }
    async fn opens(cx: Cx<(Counter, Gate)>, approval: Approval) -> StepResult<u64> {
        cx.state().1.open();
        Ok(approval.cents)
    }
    async fn sum(_: Cx<(Counter, Gate)>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    let busy = plan.step("busy", busy).input(());
    let approval = plan.signal::<Approval>("approve").input(());
    let opened = plan.step("opens", opens).input(approval);
    plan.step("sum", sum).input((busy, opened))
}

async fn a_message_reaches_an_intent_that_is_in_hand(bench: Bench) -> Result<()> {
    let (begun, gate) = (Counter::default(), Gate::default());
    let worker = bench.worker((begun.clone(), gate.clone()));
    let worker = start(worker.register::<Invoice, _>(beside));
    let handle = bench.intendant.request(Invoice(7)).await?;
    bench
        .until(|| async {
            let awaited = bench.number("select count(*) from @awaited").await?;
            Ok((awaited == 1 && begun.get() == 1).then_some(()))
        })
        .await?;
    ensure!(bench.intendant.state(handle.id()).await? == IntentState::Running);
    let signal = bench
        .intendant
        .signal(handle.id(), "approve", &approval(50));
    signal.await?;
    ensure!(handle.output().await? == 51 && begun.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_message_that_is_there_when_a_branch_begins_to_wait_is_taken_at_once(
    bench: Bench,
) -> Result<()> {
    let (begun, gate) = (Counter::default(), Gate::default());
    let handle = bench.intendant.request(Invoice(7)).await?;
    let signal = bench
        .intendant
        .signal(handle.id(), "approve", &approval(50));
    signal.await?;
    let worker = bench.worker((begun.clone(), gate.clone()));
    let worker = start(worker.register::<Invoice, _>(beside));
    ensure!(handle.output().await? == 51 && begun.get() == 1);
    worker.stop().await?;
    bench.check().await
}

/// The message has been counted before its intent goes on from a sleep. While the tick that takes it is on its way to the disk
/// the other results come, after which nothing of the intent runs any more.
async fn a_message_that_is_taken_as_another_step_ends_is_not_lost(bench: Bench) -> Result<()> {
    const COUNT: u64 = 40;
    async fn add(_: Cx<()>, (one, ms): (u64, u64)) -> StepResult<u64> {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(one)
    }
    async fn sum(_: Cx<()>, (ones, approval): (Vec<u64>, Approval)) -> StepResult<u64> {
        Ok(ones.iter().sum::<u64>() + approval.cents)
    }
    let plan = |invoice: &Invoice, plan: &mut Plan<()>| -> Node<u64> {
        let pause = plan.sleep("pause", Duration::from_millis(300));
        let pause = pause.input(value(1u64));
        let approval = plan.signal::<Approval>("approve").after(pause).input(());
        let ones = ["first", "second"].map(|name| {
            let ms = value(invoice.0 % 8);
            plan.step(name, add).input((pause, ms))
        });
        plan.step("sum", sum).input((ones.to_vec(), approval))
    };
    let worker = bench.worker(()).concurrency(200);
    let worker = start(worker.register::<Invoice, _>(plan));
    let ids = bench.intendant.request_all((0..COUNT).map(Invoice)).await?;
    for id in &ids {
        bench.reach(*id, IntentState::Waiting).await?;
        let signal = bench.intendant.signal(*id, "approve", &approval(50));
        signal.await?;
    }
    for id in ids {
        bench.reach(id, IntentState::Succeeded).await?;
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_failure_does_not_wait_for_a_message_and_a_resume_waits_on(bench: Bench) -> Result<()> {
    async fn broken_once(cx: Cx<Counter>, (): ()) -> StepResult<u64> {
        match cx.state().add() {
            1 => Err(fail("out of order")),
            _ => Ok(1),
        }
    }
    async fn sum(_: Cx<Counter>, parts: (u64, Approval)) -> StepResult<u64> {
        Ok(parts.0 + parts.1.cents)
    }
    let plan = |_: &Invoice, plan: &mut Plan<Counter>| -> Node<u64> {
        let approval = plan.signal::<Approval>("approve").input(());
        let pause = plan.sleep("pause", Duration::from_millis(40)).input(());
        let broken = plan.step("broken", broken_once).after(pause).input(());
        plan.step("sum", sum).input((broken, approval))
    };
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(plan));
    let handle = bench.intendant.request(Invoice(7)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.failed_step.as_deref() == Some("broken"));
    bench.intendant.resume(handle.id(), "tests", None).await?;
    bench
        .until(|| async {
            let why = bench.intendant.why(handle.id()).await?.to_string();
            Ok((why == "`approve` waits for a signal of its name").then_some(()))
        })
        .await?;
    waits(&bench, handle.id()).await?;
    let signal = bench
        .intendant
        .signal(handle.id(), "approve", &approval(50));
    signal.await?;
    ensure!(handle.output().await? == 51);
    worker.stop().await?;
    bench.check().await
}

async fn a_message_nobody_waits_for_does_no_harm(bench: Bench) -> Result<()> {
    let handle = bench.intendant.request(Invoice(7)).await?;
    for name in ["hello", "approve"] {
        let message = approval(50);
        bench.intendant.signal(handle.id(), name, &message).await?;
    }
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(approved));
    ensure!(handle.output().await? == 7_050);
    worker.stop().await?;
    bench.check().await
}

async fn more_messages_than_one_tick_counts_all_arrive(bench: Bench) -> Result<()> {
    let count = limits::SIGNALS_PER_TICK as u64 + 30;
    let ids = bench.intendant.request_all((0..count).map(Invoice)).await?;
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(approved));
    bench
        .until(|| async {
            let parked = bench.number("select count(*) from @parked").await?;
            Ok((parked == count as i64).then_some(()))
        })
        .await?;
    worker.stop().await?;
    for id in &ids {
        let message = approval(50);
        bench.intendant.signal(*id, "approve", &message).await?;
    }
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register::<Invoice, _>(approved));
    bench
        .until(|| async {
            let done = bench.number("select count(*) from @outcome").await?;
            Ok((done == count as i64).then_some(()))
        })
        .await?;
    worker.stop().await?;
    bench.check().await
}

async fn no_message_is_lost_while_workers_die(bench: Bench) -> Result<()> {
    let runs = Counter::default();
    let begin = || {
        let worker = bench.worker(runs.clone()).register::<Invoice, _>(approved);
        start(worker)
    };
    let (mut one, other) = (begin(), begin());
    let count = 150;
    let ids = bench.intendant.request_all((0..count).map(Invoice)).await?;
    for (nth, id) in ids.iter().enumerate() {
        let message = approval(nth as u64);
        bench.intendant.signal(*id, "approve", &message).await?;
        // Twice: whoever is hit three times is quarantined.
        if nth % 70 == 20 {
            one.kill().await;
            one = begin();
        }
    }
    for (id, number) in ids.iter().zip(0..) {
        let handle = bench.intendant.handle::<Invoice>(*id);
        bench.rest(*id).await?;
        ensure!(handle.output().await? == number * 1_001);
    }
    let taken = "select count(*) from @awaited where signal_id is not null";
    ensure!(bench.number(taken).await? == count as i64);
    one.stop().await?;
    other.stop().await?;
    bench.check().await
}

async fn a_step_in_another_queue_cannot_wait_for_a_message(bench: Bench) -> Result<()> {
    let plan = |_: &Invoice, plan: &mut Plan<Counter>| -> Node<u64> {
        async fn ask(cx: Cx<Counter>, (): ()) -> StepResult<u64> {
            Ok(cx.signal::<Approval>("approve").await?.cents)
        }
        plan.step("ask", ask).queue("network").input(())
    };
    let worker = bench.worker(Counter::default()).queue("network", 2);
    let worker = start(worker.register::<Invoice, _>(plan));
    let handle = bench.intendant.request(Invoice(7)).await?;
    let error = bench.rest(handle.id()).await?.error.unwrap_or_default();
    let expected = "step `ask` runs in another queue than its intent, where it cannot wait for `approve`; wait for it in a \
                    step without `.queue(…)`";
    ensure!(error == expected, "{error}");
    worker.stop().await?;
    bench.check().await
}

async fn what_cannot_be_kept_is_refused(bench: Bench) -> Result<()> {
    let handle = bench.intendant.request(Invoice(7)).await?;
    let big = "x".repeat(limits::PAYLOAD_BYTES);
    let id = handle.id();
    let errors = [
        bench.intendant.signal(id, "", &1).await,
        bench.intendant.signal(id, "approve", &1).key("").await,
        bench.intendant.signal(id, "approve", &1).by("a\nb").await,
        bench.intendant.signal(id, "approve", &big).await,
        bench.intendant.signal(id, "approve", "a\0b").await,
    ];
    for error in errors {
        let error = error.unwrap_err();
        ensure!(error.is_usage(), "{error}");
    }
    ensure!(bench.number("select count(*) from @signal").await? == 0);
    Ok(())
}
