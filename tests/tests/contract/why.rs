//! Why: every reason for which an intent can wait is told, in words that are the same on both stores.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use expect_test::{Expect, expect};
use intendant::why::Reason;
use intendant::{
    Cx, Intent, IntentId, IntentState, Node, Plan, Resources, StepResult, fail, snooze, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::{Bench, on_both, start};

on_both! {
    nobody_serves_its_queue;
    a_worker_that_did_serve_its_queue_is_silent;
    nobody_knows_its_kind;
    others_are_before_it;
    all_slots_are_taken;
    others_hold_its_resource_or_stand_before_it;
    a_failed_intent_holds_its_resource;
    a_step_waits_for_its_retry;
    a_step_is_not_ready_yet;
    it_is_not_to_start_yet;
    its_children_are_unfinished;
    it_runs;
    its_worker_is_silent;
    its_worker_died;
    nobody_knows_its_steps;
    it_has_failed_or_is_done;
    an_intent_that_is_not_there_is_not_found;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Op {
    does: String,
    server: Option<u64>,
    shares: bool,
}

impl Intent for Op {
    const KIND: &'static str = "op";
    type Output = ();
    fn resources(&self) -> Resources {
        match self.server {
            Some(server) if self.shares => Resources::shared("server", server),
            Some(server) => Resources::exclusive("server", server),
            None => Resources::none(),
        }
    }
}

fn op(does: &str) -> Op {
    Op {
        does: does.into(),
        server: None,
        shares: false,
    }
}

pub(crate) fn on_server(does: &str) -> Op {
    Op {
        server: Some(42),
        ..op(does)
    }
}

/// Closed until the test opens it.
pub(crate) type Gate = Arc<Semaphore>;

pub(crate) fn gate() -> Gate {
    Arc::new(Semaphore::new(0))
}

async fn run(cx: Cx<Gate>, op: Op) -> StepResult<()> {
    match op.does.as_str() {
        "break" => Err(fail("the disk is full")),
        "retry" => Err(std::io::Error::other("no route to host"))?,
        "snooze" => Err(snooze(Duration::from_secs(3600))),
        "pass" => Ok(()),
        _ => {
            let _ = cx.state().acquire().await;
            Ok(())
        }
    }
}

pub(crate) fn plan(op: &Op, plan: &mut Plan<Gate>) -> Node<()> {
    let hour = Duration::from_secs(3600);
    plan.step("work", run)
        .backoff(hour, hour)
        .input(value(op.clone()))
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Family;

impl Intent for Family {
    const KIND: &'static str = "family";
    type Output = ();
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Far(u64);

impl Intent for Far {
    const KIND: &'static str = "far";
    const QUEUE: &'static str = "ssh";
    type Output = ();
}

async fn raise(cx: Cx<Gate>, _: Family) -> StepResult<()> {
    cx.child("first", Far(1)).await
}

/// What is said of an intent, with names for ids and without times and hosts.
pub(crate) async fn told(
    bench: &Bench,
    id: IntentId,
    names: &[(&str, IntentId)],
) -> Result<String> {
    let why = bench.intendant.why(id).await?;
    ensure!(why.state == bench.intendant.state(id).await? && why.intent == id);
    ensure!(!why.reasons.is_empty() && serde_json::to_value(&why)?["reasons"].is_array());
    let mut text = why.to_string();
    for (name, id) in names {
        text = text.replace(&id.to_string(), name);
    }
    let is_time = |part: &str| {
        part.len() == 20
            && part
                .bytes()
                .zip(b"dddd-dd-ddTdd:dd:ddZ")
                .all(|(found, form)| found == *form || (*form == b'd' && found.is_ascii_digit()))
    };
    let words = text.split_inclusive([' ', '\n', ';', ',', ')']);
    let words = words.map(|word| {
        let time = word.get(..20).filter(|part| is_time(part));
        time.map_or(word.to_owned(), |time| word.replace(time, "TIME"))
    });
    Ok(words.collect::<String>().replace(&hostname(), "HOST"))
}

fn hostname() -> String {
    let name = std::process::Command::new("uname").arg("-n").output();
    let name = name.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    name.unwrap_or_default()
}

async fn check(bench: &Bench, id: IntentId, expected: Expect) -> Result<()> {
    expected.assert_eq(&told(bench, id, &[("ID", id)]).await?);
    Ok(())
}

/// Waits until a reason is told.
async fn until(bench: &Bench, id: IntentId, is_it: impl Fn(&Reason) -> bool) -> Result<()> {
    bench
        .until(|| async {
            let why = bench.intendant.why(id).await?;
            Ok(why.reasons.iter().any(&is_it).then_some(()))
        })
        .await
}

async fn nobody_serves_its_queue(bench: Bench) -> Result<()> {
    let id = bench.intendant.request(op("pass")).await?.id();
    check(
        &bench,
        id,
        expect![[r#"
            no live worker serves queue `default`
            next in line for a worker of queue `default` that knows `op`"#]],
    )
    .await
}

async fn a_worker_that_did_serve_its_queue_is_silent(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let served = bench.intendant.request(op("pass")).await?.id();
    bench.rest(served).await?;
    worker.kill().await;
    let id = bench.intendant.request(op("pass")).await?.id();
    until(
        &bench,
        id,
        |reason| matches!(reason, Reason::NoWorker { silent, .. } if silent == &["w1"]),
    )
    .await?;
    check(
        &bench,
        id,
        expect![[r#"
            no live worker serves queue `default`; w1 did, and is silent or leaving
            next in line for a worker of queue `default` that knows `op`"#]],
    )
    .await
}

async fn nobody_knows_its_kind(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register_step(raise));
    let id = bench.intendant.request(op("pass")).await?.id();
    until(&bench, id, |reason| {
        matches!(reason, Reason::UnknownKind { .. })
    })
    .await?;
    check(
        &bench,
        id,
        expect![[r#"
            no live worker knows kind `op`; queue `default` is served by w1
            next in line for a worker of queue `default` that knows `op`"#]],
    )
    .await?;
    worker.stop().await?;
    Ok(())
}

async fn others_are_before_it(bench: Bench) -> Result<()> {
    let ids = bench
        .intendant
        .request_all((0..1_002).map(|_| op("pass")))
        .await?;
    let urgent = bench.intendant.request(op("pass")).priority(10).await?;
    let ahead = async |id| -> Result<String> {
        let text = told(&bench, id, &[]).await?;
        Ok(text.lines().last().unwrap_or_default().to_owned())
    };
    let place = |text: String| text.split(" in line").next().unwrap_or_default().to_owned();
    ensure!(place(ahead(urgent.id()).await?) == "next");
    ensure!(place(ahead(ids[2]).await?) == "behind 3");
    ensure!(place(ahead(ids[999]).await?) == "behind 1,000");
    ensure!(place(ahead(ids[1_000]).await?) == "behind more than 1,000");
    ensure!(place(ahead(ids[1_001]).await?) == "behind more than 1,000");
    Ok(())
}

async fn all_slots_are_taken(bench: Bench) -> Result<()> {
    let gate = gate();
    let worker = start(
        bench
            .worker(gate.clone())
            .name("w1")
            .register(plan)
            .concurrency(1),
    );
    let first = bench.intendant.request(op("wait")).await?.id();
    bench.reach(first, IntentState::Running).await?;
    let ids = bench
        .intendant
        .request_all((0..50).map(|_| op("wait")))
        .await?;
    let last = ids[ids.len() - 1];
    until(&bench, last, |reason| {
        matches!(reason, Reason::Busy { workers: 1, .. })
    })
    .await?;
    let text = told(&bench, last, &[]).await?;
    ensure!(
        text.starts_with("all slots of queue `default` are taken at its only worker\nbehind "),
        "{text}"
    );
    gate.add_permits(1_000);
    bench.rest(last).await?;
    worker.stop().await?;
    Ok(())
}

async fn others_hold_its_resource_or_stand_before_it(bench: Bench) -> Result<()> {
    let gate = gate();
    let worker = start(bench.worker(gate.clone()).name("w1").register(plan));
    let ask = async |op: Op, who: &str| -> Result<IntentId> {
        Ok(bench.intendant.request(op).by(who).await?.id())
    };
    let holder = ask(on_server("wait"), "ada").await?;
    bench.reach(holder, IntentState::Running).await?;
    let shared = Op {
        shares: true,
        ..on_server("pass")
    };
    let mut line = Vec::new();
    for (op, who) in [
        (shared.clone(), "bob"),
        (on_server("pass"), "cai"),
        (shared, "dan"),
    ] {
        let id = ask(op, who).await?;
        bench.reach(id, IntentState::Blocked).await?;
        line.push(id);
    }
    let names = [("HOLDER", holder), ("FIRST", line[0]), ("SECOND", line[1])];
    let told = async |id| told(&bench, id, &names).await;
    expect!["1st in line to share for server:42; held by op HOLDER (running since TIME, by ada)"]
        .assert_eq(&told(line[0]).await?);
    expect!["2nd in line for server:42; held by op HOLDER (running since TIME, by ada); before it: op FIRST (blocked, requested TIME, by bob)"]
        .assert_eq(&told(line[1]).await?);
    // It would go along with the first, who is before it all the same.
    expect!["3rd in line to share for server:42; held by op HOLDER (running since TIME, by ada); before it: op SECOND (blocked, requested TIME, by cai)"]
        .assert_eq(&told(line[2]).await?);
    gate.add_permits(10);
    bench.rest(line[2]).await?;
    worker.stop().await?;
    Ok(())
}

async fn a_failed_intent_holds_its_resource(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let broken = bench.intendant.request(on_server("break")).await?.id();
    bench.rest(broken).await?;
    let id = bench.intendant.request(on_server("pass")).await?.id();
    bench.reach(id, IntentState::Blocked).await?;
    expect!["1st in line for server:42; held by op BROKEN (failed since TIME)"]
        .assert_eq(&told(&bench, id, &[("BROKEN", broken)]).await?);
    expect!["failed at TIME (step failed in `work`): the disk is full; it keeps server:42 from others; mend the cause, then: intendant resume BROKEN"]
        .assert_eq(&told(&bench, broken, &[("BROKEN", broken)]).await?);
    worker.stop().await?;
    Ok(())
}

async fn a_step_waits_for_its_retry(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let id = bench.intendant.request(op("retry")).await?.id();
    bench.reach(id, IntentState::Waiting).await?;
    check(
        &bench,
        id,
        expect!["`work` is tried again at TIME, after attempt 1 failed: no route to host"],
    )
    .await?;
    worker.stop().await?;
    Ok(())
}

async fn a_step_is_not_ready_yet(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let id = bench.intendant.request(op("snooze")).await?.id();
    bench.reach(id, IntentState::Waiting).await?;
    worker.stop().await?;
    // Nobody would take it up when it is due, and that is told as well.
    check(
        &bench,
        id,
        expect![[r#"
            `work` was not ready to go on, and looks again at TIME
            no live worker serves queue `default`"#]],
    )
    .await
}

async fn it_is_not_to_start_yet(bench: Bench) -> Result<()> {
    let hour = Duration::from_secs(3600);
    let id = bench
        .intendant
        .request(op("pass"))
        .start_in(hour)
        .await?
        .id();
    check(
        &bench,
        id,
        expect![[r#"
            not to start before TIME
            no live worker serves queue `default`"#]],
    )
    .await
}

async fn its_children_are_unfinished(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register_step(raise));
    let id = bench.intendant.request(Family).by("ada").await?.id();
    bench.reach(id, IntentState::Waiting).await?;
    let child = bench.intendant.children(id).await?[0].id;
    expect!["a child is unfinished: `first` of `run`, far CHILD (ready, requested TIME, by ada): no live worker serves queue `ssh`; next in line for a worker of queue `ssh` that knows `far`"]
        .assert_eq(&told(&bench, id, &[("CHILD", child)]).await?);
    worker.stop().await?;
    Ok(())
}

async fn it_runs(bench: Bench) -> Result<()> {
    let gate = gate();
    let worker = start(bench.worker(gate.clone()).name("w1").register(plan));
    let id = bench.intendant.request(op("wait")).await?.id();
    until(
        &bench,
        id,
        |reason| matches!(reason, Reason::Running { steps, .. } if !steps.is_empty()),
    )
    .await?;
    check(
        &bench,
        id,
        expect!["held by w1 on HOST since TIME; runs `work` (attempt 1, since TIME)"],
    )
    .await?;
    gate.add_permits(1);
    worker.stop().await?;
    Ok(())
}

async fn its_worker_is_silent(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let id = bench.intendant.request(op("wait")).await?.id();
    until(
        &bench,
        id,
        |reason| matches!(reason, Reason::Running { steps, .. } if !steps.is_empty()),
    )
    .await?;
    worker.kill().await;
    until(&bench, id, |reason| matches!(reason, Reason::Silent { .. })).await?;
    check(
        &bench,
        id,
        expect![[r#"
            held by w1 on HOST since TIME; runs `work` (attempt 1, since TIME)
            w1 was last heard of at TIME, longer ago than its lease of 1000 ms: another worker will take this over"#]],
    )
    .await
}

async fn its_worker_died(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let id = bench.intendant.request(op("wait")).await?.id();
    bench.reach(id, IntentState::Running).await?;
    worker.kill().await;
    // It takes the dead worker's intents from it, and knows nothing of them.
    let other = start(bench.worker(gate()).name("w2").register_step(raise));
    until(&bench, id, |reason| {
        matches!(reason, Reason::Suspect { .. })
    })
    .await?;
    check(
        &bench,
        id,
        expect![[r#"
            a worker died with it in hand: it waits for a worker that can take it by itself
            no live worker knows kind `op`; queue `default` is served by w2
            next in line for a worker of queue `default` that knows `op`"#]],
    )
    .await?;
    other.stop().await?;
    Ok(())
}

async fn nobody_knows_its_steps(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let id = bench.intendant.request(op("snooze")).await?.id();
    bench.reach(id, IntentState::Waiting).await?;
    bench
        .run_sql("update @parked set reason = 'handler', due_at = null")
        .await?;
    check(&bench, id, expect!["no live worker knows its steps"]).await?;
    worker.stop().await?;
    Ok(())
}

async fn it_has_failed_or_is_done(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(gate()).name("w1").register(plan));
    let done = bench.intendant.request(op("pass")).await?.id();
    let broken = bench.intendant.request(op("break")).await?.id();
    bench.rest(done).await?;
    bench.rest(broken).await?;
    check(
        &bench,
        done,
        expect!["succeeded at TIME: there is nothing to wait for"],
    )
    .await?;
    check(
        &bench,
        broken,
        expect!["failed at TIME (step failed in `work`): the disk is full; mend the cause, then: intendant resume ID"],
    )
    .await?;
    worker.stop().await?;
    Ok(())
}

async fn an_intent_that_is_not_there_is_not_found(bench: Bench) -> Result<()> {
    let nobody: IntentId = "01890000-0000-7000-8000-000000000000".parse()?;
    let error = bench.intendant.why(nobody).await.err();
    ensure!(error.is_some_and(|error| error.is_not_found()));
    Ok(())
}
