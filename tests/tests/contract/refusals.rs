//! What the database refuses fails the intent that it belongs to, and nobody else, though they are in one transaction.

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentId, IntentRecord, IntentState, Node, Plan, StepResult, value};
use intendant::{StepState, StoreKind, fail};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_result_that_the_database_refuses_fails_its_intent_only;
    an_outcome_that_the_database_refuses_fails_its_intent_only;
    a_child_that_the_database_refuses_fails_its_parent_only;
    a_failed_attempt_that_the_database_refuses_fails_its_intent_only;
    an_outcome_that_is_refused_whatever_it_says_stops_nobody_else;
    an_intent_is_not_failed_by_a_refusal_while_another_step_of_it_runs;
    an_intent_is_not_failed_by_a_refusal_while_a_child_of_it_is_unfinished;
}

const INTENTS: usize = 400;

/// Says one thing in its first step and another one as its output.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Say {
    first: String,
    last: String,
}

impl Intent for Say {
    const KIND: &'static str = "say";
    type Output = String;
}

fn say(first: &str, last: &str) -> Say {
    Say {
        first: first.to_owned(),
        last: last.to_owned(),
    }
}

async fn repeat(cx: Cx<Counter>, words: String) -> StepResult<String> {
    cx.state().add();
    match words.strip_prefix("error: ") {
        Some(error) => Err(fail(error.to_owned())),
        None => Ok(words),
    }
}

fn say_both(intent: &Say, plan: &mut Plan<Counter>) -> Node<String> {
    let first = plan.step("first", repeat).input(value(&intent.first));
    plan.step("last", repeat)
        .after(first)
        .input(value(&intent.last))
}

/// Makes the database refuse rows in which `column` holds the word `spoiled`.
async fn refuse(bench: &Bench, table: &str, column: &str) -> Result<()> {
    let sql = match bench.database.kind {
        StoreKind::Sqlite => format!(
            "create trigger no_spoiled before insert on @{table} when new.{column} like '%spoiled%'
             begin select raise(abort, 'no_spoiled'); end"
        ),
        StoreKind::Postgres => format!(
            "alter table @{table} add constraint no_spoiled
             check (coalesce({column}::text, '') not like '%spoiled%') not valid"
        ),
    };
    Ok(bench.run_sql(&sql).await?)
}

/// Lets it take them again.
async fn relent(bench: &Bench, table: &str) -> Result<()> {
    let sql = match bench.database.kind {
        StoreKind::Sqlite => "drop trigger no_spoiled".to_owned(),
        StoreKind::Postgres => format!("alter table @{table} drop constraint no_spoiled"),
    };
    Ok(bench.run_sql(&sql).await?)
}

fn ensure_refused(record: &IntentRecord) -> Result<()> {
    let error = record.error.as_deref().unwrap_or_default();
    ensure!(
        record.state == IntentState::Failed
            && record.reason.as_deref() == Some("data refused")
            && error.contains("no_spoiled"),
        "{record:?}"
    );
    Ok(())
}

/// Hundreds of intents in the same ticks, of which the database refuses something for some: these fail, and can be
/// resumed when it does not any more; all others succeed.
async fn some_are_refused(bench: &Bench, table: &str, column: &str, spoiled: Say) -> Result<()> {
    refuse(bench, table, column).await?;
    let is_spoiled = |n: usize| matches!(n, 0 | 137 | 138 | 399);
    let intents = (0..INTENTS).map(|n| match is_spoiled(n) {
        true => spoiled.clone(),
        false => say("one", &format!("two {n}")),
    });
    let ids = bench.intendant.request_all(intents).await?;
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register(say_both));
    for (n, id) in ids.iter().enumerate() {
        let record = bench.rest(*id).await?;
        if is_spoiled(n) {
            ensure_refused(&record)?;
        } else {
            ensure!(record.state == IntentState::Succeeded, "{n}: {record:?}");
        }
    }
    bench.check().await?;
    let report = worker.stop().await?;
    ensure!(
        report.ticks < INTENTS as u64 / 2,
        "a tick has less than two intents: {report:?}"
    );
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await?;

    relent(bench, table).await?;
    let before = counter.get();
    let worker = start(bench.worker(counter.clone()).register(say_both));
    let spoiled: Vec<IntentId> = (0..INTENTS)
        .filter(|n| is_spoiled(*n))
        .map(|n| ids[n])
        .collect();
    for id in &spoiled {
        bench.intendant.resume(*id, "tests", None).await?;
    }
    for id in &spoiled {
        bench.rest(*id).await?;
    }
    ensure!(counter.get() - before <= 2 * spoiled.len() as u64);
    worker.stop().await?;
    bench.check().await
}

async fn succeeded(bench: &Bench) -> Result<usize> {
    let filter = intendant::IntentFilter {
        state: Some(IntentState::Succeeded),
        limit: Some(1_000),
        ..Default::default()
    };
    Ok(bench.intendant.list(filter).await?.len())
}

async fn a_result_that_the_database_refuses_fails_its_intent_only(bench: Bench) -> Result<()> {
    some_are_refused(&bench, "step", "output", say("spoiled", "two")).await?;
    ensure!(succeeded(&bench).await? == INTENTS);
    Ok(())
}

async fn an_outcome_that_the_database_refuses_fails_its_intent_only(bench: Bench) -> Result<()> {
    some_are_refused(&bench, "outcome", "output", say("one", "spoiled")).await?;
    ensure!(succeeded(&bench).await? == INTENTS);
    Ok(())
}

async fn a_failed_attempt_that_the_database_refuses_fails_its_intent_only(
    bench: Bench,
) -> Result<()> {
    let spoiled = say("error: spoiled", "two");
    some_are_refused(&bench, "attempt", "error", spoiled).await?;
    ensure!(succeeded(&bench).await? == INTENTS - 4);
    Ok(())
}

/// Whatever is to be said of the end of one intent, the database takes none of it: that one waits for better days, and
/// everybody else goes on.
async fn an_outcome_that_is_refused_whatever_it_says_stops_nobody_else(bench: Bench) -> Result<()> {
    let stuck = bench.intendant.request(say("one", "two")).await?;
    let sql = match bench.database.kind {
        StoreKind::Sqlite => format!(
            "create trigger no_spoiled before insert on @outcome when new.intent_id = '{}'
             begin select raise(abort, 'no_spoiled'); end",
            stuck.id()
        ),
        StoreKind::Postgres => format!(
            "alter table @outcome add constraint no_spoiled check (intent_id <> '{}')",
            stuck.id()
        ),
    };
    bench.run_sql(&sql).await?;
    let worker = start(bench.worker(Counter::default()).register(say_both));
    let others = bench
        .intendant
        .request_all((0..INTENTS).map(|_| say("one", "two")))
        .await?;
    for id in others {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    ensure!(stuck.state().await? == IntentState::Running);
    bench.check().await?;
    relent(&bench, "outcome").await?;
    ensure_refused(&bench.rest(stuck.id()).await?)?;
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ask(String);

impl Intent for Ask {
    const KIND: &'static str = "ask";
    type Output = String;
}

async fn a_child_that_the_database_refuses_fails_its_parent_only(bench: Bench) -> Result<()> {
    let ask = async |cx: Cx<Counter>, ask: Ask| cx.child("only", say("one", &ask.0)).await;
    // The parents are there before the database turns choosy; their children have the same correlation.
    let mut parents = Vec::new();
    for n in 0..60 {
        let correlation = if n == 30 { "spoiled" } else { "sound" };
        let parent = bench.intendant.request(Ask(format!("two {n}")));
        parents.push(parent.correlation_id(correlation).await?);
    }
    refuse(&bench, "intent", "correlation_id").await?;
    let worker = bench.worker(Counter::default()).register(say_both);
    let worker = start(worker.register_step::<Ask, String, _>(ask));
    for (n, parent) in parents.iter().enumerate() {
        let record = bench.rest(parent.id()).await?;
        if n == 30 {
            ensure_refused(&record)?;
        } else {
            ensure!(record.state == IntentState::Succeeded, "{n}: {record:?}");
        }
    }
    ensure!(bench.intendant.children(parents[30].id()).await?.is_empty());
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    relent(&bench, "intent").await?;
    bench
        .intendant
        .resume(parents[30].id(), "tests", None)
        .await?;
    ensure!(parents[30].output().await? == "two 30");
    worker.stop().await?;
    bench.check().await
}

/// What some steps wait for, and what they did.
#[derive(Default, Clone)]
struct Gate {
    open: Counter,
    refused: Counter,
    passed: Counter,
}

impl Gate {
    async fn pass(&self) {
        while self.open.get() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        self.passed.add();
    }
}

/// When this has come back, a result that was handed in before is refused: two ticks have come and gone.
async fn two_ticks(bench: &Bench) -> Result<()> {
    let innocent = bench.intendant.request(say("one", "two")).await?;
    let record = bench.rest(innocent.id()).await?;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    Ok(())
}

async fn gated_repeat(cx: Cx<Gate>, words: String) -> StepResult<String> {
    if words.contains("spoiled") {
        cx.state().refused.add();
    }
    Ok(words)
}

async fn an_intent_is_not_failed_by_a_refusal_while_another_step_of_it_runs(
    bench: Bench,
) -> Result<()> {
    async fn slow(cx: Cx<Gate>, (): ()) -> StepResult<String> {
        cx.state().pass().await;
        Ok("slow".into())
    }
    async fn join(_: Cx<Gate>, parts: (String, String)) -> StepResult<String> {
        Ok(format!("{} {}", parts.0, parts.1))
    }
    let both = |ask: &Ask, plan: &mut Plan<Gate>| -> Node<String> {
        let spoiled = plan.step("spoiled", gated_repeat).input(value(&ask.0));
        let slow = plan.step("slow", slow).input(());
        plan.step("join", join).input((spoiled, slow))
    };
    let one = |say: &Say, plan: &mut Plan<Gate>| -> Node<String> {
        plan.step("one", gated_repeat).input(value(&say.first))
    };
    refuse(&bench, "step", "output").await?;
    let gate = Gate::default();
    let worker = bench.worker(gate.clone()).register::<Say, _>(one);
    let worker = start(worker.register::<Ask, _>(both));
    let ask = bench.intendant.request(Ask("spoiled".into())).await?;
    bench
        .until(|| async { Ok((gate.refused.get() > 0).then_some(())) })
        .await?;
    two_ticks(&bench).await?;
    ensure!(ask.state().await? == IntentState::Running && gate.passed.get() == 0);
    bench.check().await?;
    gate.open.add();
    let record = bench.rest(ask.id()).await?;
    ensure_refused(&record)?;
    let steps = bench.intendant.steps(ask.id()).await?;
    let slow = steps.iter().find(|step| step.name == "slow").unwrap();
    ensure!(gate.passed.get() == 1 && slow.state == StepState::Succeeded);
    ensure!(slow.finished_at <= record.finished_at, "{slow:?}");

    relent(&bench, "step").await?;
    bench.intendant.resume(ask.id(), "tests", None).await?;
    ensure!(ask.output().await? == "spoiled slow");
    ensure!(gate.passed.get() == 1, "what was recorded is kept");
    worker.stop().await?;
    bench.check().await
}

async fn an_intent_is_not_failed_by_a_refusal_while_a_child_of_it_is_unfinished(
    bench: Bench,
) -> Result<()> {
    async fn ask_child(cx: Cx<Gate>, (): ()) -> StepResult<String> {
        cx.child("only", Slow).await
    }
    #[derive(Serialize, Deserialize)]
    struct Slow;
    impl Intent for Slow {
        const KIND: &'static str = "slow";
        type Output = String;
    }
    /// Waits until its sibling has its child.
    async fn spoiled(cx: Cx<Gate>, words: String) -> StepResult<String> {
        while cx.intendant().children(cx.intent_id()).await?.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        gated_repeat(cx, words).await
    }
    async fn join(_: Cx<Gate>, parts: (String, String)) -> StepResult<String> {
        Ok(format!("{} {}", parts.0, parts.1))
    }
    let both = |ask: &Ask, plan: &mut Plan<Gate>| -> Node<String> {
        let spoiled = plan.step("spoiled", spoiled).input(value(&ask.0));
        let child = plan.step("child", ask_child).input(());
        plan.step("join", join).input((spoiled, child))
    };
    let one = |say: &Say, plan: &mut Plan<Gate>| -> Node<String> {
        plan.step("one", gated_repeat).input(value(&say.first))
    };
    let slow = async |cx: Cx<Gate>, _: Slow| -> StepResult<String> {
        cx.state().pass().await;
        Ok("slow".into())
    };
    refuse(&bench, "step", "output").await?;
    let gate = Gate::default();
    let worker = bench.worker(gate.clone()).register::<Say, _>(one);
    let worker = worker.register_step::<Slow, String, _>(slow);
    let worker = start(worker.register::<Ask, _>(both));
    let ask = bench.intendant.request(Ask("spoiled".into())).await?;
    bench
        .until(|| async { Ok((gate.refused.get() > 0).then_some(())) })
        .await?;
    two_ticks(&bench).await?;
    ensure!(!ask.state().await?.is_finished() && gate.passed.get() == 0);
    bench.check().await?;
    gate.open.add();
    ensure_refused(&bench.rest(ask.id()).await?)?;
    bench.check().await?;

    relent(&bench, "step").await?;
    bench.intendant.resume(ask.id(), "tests", None).await?;
    ensure!(ask.output().await? == "spoiled slow" && gate.passed.get() == 1);
    worker.stop().await?;
    bench.check().await
}
