//! Undo: what steps did is taken back, in the reverse order of their dependencies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Committed, Cx, Handle, Intent, IntentId, IntentState, Node, Plan, Resources, StepResult,
    StepState, StoreKind, fail, snooze, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_cancel_takes_back_what_has_started_after_all_that_depends_on_it;
    one_without_an_undo_stands_in_the_order_all_the_same;
    an_undo_is_retried_snoozes_and_asks_for_children_as_a_step_does;
    the_elements_of_a_map_are_taken_back_each;
    whoever_takes_over_in_the_middle_goes_on_with_the_undo;
    a_step_that_was_running_when_its_worker_died_counts_as_started;
    an_undo_in_its_own_transaction_is_recorded_with_its_effect;
    what_is_being_taken_back_shows_as_undoing;
}

/// What was done and taken back, in its order, outside the engine.
#[derive(Clone)]
pub(crate) struct Ledger {
    lines: Arc<Mutex<Vec<String>>>,
    pub(crate) begun: Counter,
    pub(crate) tries: Counter,
    pub(crate) open: Arc<Notify>,
    pub(crate) kind: StoreKind,
}

impl Ledger {
    pub(crate) fn new(bench: &Bench) -> Self {
        Self {
            lines: Arc::default(),
            begun: Counter::default(),
            tries: Counter::default(),
            open: Arc::default(),
            kind: bench.database.kind,
        }
    }

    pub(crate) fn note(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The place of a line; it is there once.
    pub(crate) fn place(&self, line: &str) -> usize {
        let lines = self.lines();
        let places: Vec<_> = (0..lines.len())
            .filter(|&place| lines[place] == line)
            .collect();
        assert_eq!(places.len(), 1, "{line} in {lines:?}");
        places[0]
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Build {
    pub(crate) server: u64,
}

impl Intent for Build {
    const KIND: &'static str = "build";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

/// Does `name`, whatever it is given.
pub(crate) async fn make(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
    cx.state().note(format!("made {}", cx.step_name()));
    Ok(cx.step_name().to_owned())
}

pub(crate) async fn make_of(cx: Cx<Ledger>, _: String) -> StepResult<String> {
    make(cx, 0).await
}

/// Begins, and waits.
pub(crate) async fn hang(cx: Cx<Ledger>, from: String) -> StepResult<String> {
    cx.state().note(format!("began {}", cx.step_name()));
    cx.state().begun.add();
    tokio::select! {
        () = cx.state().open.notified() => Ok(from),
        () = cx.cancelled() => Err(fail("given up")),
    }
}

pub(crate) async fn unmake<I>(cx: Cx<Ledger>, _: I, made: Option<String>) -> StepResult<()> {
    let made = made.unwrap_or_else(|| "nothing".to_owned());
    cx.state().note(format!("{}: {made}", cx.step_name()));
    Ok(())
}

pub(crate) async fn begun(bench: &Bench, ledger: &Ledger, steps: u64) -> Result<()> {
    bench
        .until(|| async { Ok((ledger.begun.get() >= steps).then_some(())) })
        .await
}

pub(crate) async fn states(bench: &Bench, id: IntentId) -> Result<Vec<(String, StepState)>> {
    let steps = bench.intendant.steps(id).await?;
    let mut states: Vec<_> = steps
        .into_iter()
        .map(|step| (step.name, step.state))
        .collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(states)
}

async fn cancel(bench: &Bench, handle: &Handle<Build>) -> Result<()> {
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    Ok(())
}

/// A diamond of which the last step hangs, and a step after it that is never begun.
fn diamond(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
    let snapshot = plan
        .step("snapshot", make)
        .undo(unmake)
        .input(value(build.server));
    let volume = plan.step("volume", make_of).undo(unmake).input(snapshot);
    let server = plan.step("server", make_of).undo(unmake).input(snapshot);
    let hung = plan
        .step("join", hang)
        .after(server)
        .undo(unmake)
        .input(volume);
    plan.step("never", make_of).undo(unmake).input(hung)
}

async fn a_cancel_takes_back_what_has_started_after_all_that_depends_on_it(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(diamond));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    let next = bench.intendant.request(Build { server: 1 }).await?;
    bench.reach(next.id(), IntentState::Blocked).await?;
    cancel(&bench, &handle).await?;
    let join = ledger.place("undo(join): nothing");
    let volume = ledger.place("undo(volume): volume");
    let server = ledger.place("undo(server): server");
    let snapshot = ledger.place("undo(snapshot): snapshot");
    ensure!(
        join < volume.min(server) && volume.max(server) < snapshot,
        "{:?}",
        ledger.lines()
    );
    let undone = ["join", "server", "snapshot", "volume"];
    let expected = undone.map(|name| (name.to_owned(), StepState::Undone));
    let undos = undone.map(|name| (format!("undo({name})"), StepState::Succeeded));
    let found = states(&bench, handle.id()).await?;
    let mut expected = [expected, undos].concat();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    ensure!(found == expected, "{found:?}");
    // The resource is free when all is taken back, and not before.
    begun(&bench, &ledger, 2).await?;
    ensure!(
        ledger
            .lines()
            .iter()
            .rposition(|line| line == "made snapshot")
            > Some(snapshot)
    );
    ledger.open.notify_one();
    ensure!(next.output().await? == "never");
    worker.stop().await?;
    bench.check().await
}

async fn one_without_an_undo_stands_in_the_order_all_the_same(bench: Bench) -> Result<()> {
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(unmake)
            .input(value(build.server));
        let plain = plan.step("plain", make_of).input(first);
        let last = plan.step("last", make_of).undo(unmake).input(plain);
        plan.step("hang", hang).input(last)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    cancel(&bench, &handle).await?;
    ensure!(ledger.place("undo(last): last") < ledger.place("undo(first): first"));
    let found = states(&bench, handle.id()).await?;
    ensure!(
        found[3] == ("plain".to_owned(), StepState::Succeeded),
        "{found:?}"
    );
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Serialize, Deserialize)]
struct Destroy {
    server: u64,
}

impl Intent for Destroy {
    const KIND: &'static str = "destroy";
    type Output = u64;
    // Covered by its parent's lock.
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

async fn an_undo_is_retried_snoozes_and_asks_for_children_as_a_step_does(
    bench: Bench,
) -> Result<()> {
    async fn destroy(cx: Cx<Ledger>, destroy: Destroy) -> StepResult<u64> {
        cx.state().note("destroyed");
        Ok(destroy.server)
    }
    async fn hard(cx: Cx<Ledger>, server: u64, _: Option<String>) -> StepResult<()> {
        match cx.state().tries.add() {
            1 => return Err(std::io::Error::other("not yet").into()),
            2 => return Err(snooze(Duration::from_millis(5))),
            _ => {}
        }
        let destroyed = cx.child("destroy", Destroy { server }).await?;
        cx.state()
            .note(format!("gone {destroyed} in attempt {}", cx.attempt()));
        Ok(())
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let step = plan.step("server", make).undo(hard);
        let step = step.backoff(Duration::from_millis(1), Duration::from_millis(5));
        let server = step.input(value(build.server));
        plan.step("hang", hang).input(server)
    }
    let ledger = Ledger::new(&bench);
    let worker = bench
        .worker(ledger.clone())
        .register(plan)
        .register_step(destroy);
    let worker = start(worker);
    let handle = bench.intendant.request(Build { server: 7 }).await?;
    begun(&bench, &ledger, 1).await?;
    cancel(&bench, &handle).await?;
    ensure!(ledger.place("destroyed") < ledger.place("gone 7 in attempt 2"));
    let attempts = bench.intendant.attempts(handle.id()).await?;
    let undo = attempts
        .iter()
        .find(|attempt| attempt.step == "undo(server)");
    ensure!(
        undo.is_some_and(|attempt| attempt.error == "not yet"),
        "{attempts:?}"
    );
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn the_elements_of_a_map_are_taken_back_each(bench: Bench) -> Result<()> {
    async fn list(cx: Cx<Ledger>, servers: u64) -> StepResult<Vec<u64>> {
        cx.state().note("listed");
        Ok((0..servers).collect())
    }
    async fn one(cx: Cx<Ledger>, server: u64) -> StepResult<String> {
        match server {
            2 => hang(cx, String::new()).await,
            _ => make(cx, server).await,
        }
    }
    async fn unlist(cx: Cx<Ledger>, _: u64, list: Option<Vec<u64>>) -> StepResult<()> {
        cx.state().note(format!("unlisted {list:?}"));
        Ok(())
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let servers = plan
            .step("list", list)
            .undo(unlist)
            .input(value(build.server));
        let made = plan.map("server", one).undo(unmake).input(servers);
        plan.step("never", first).input(made)
    }
    async fn first(_: Cx<Ledger>, made: Vec<String>) -> StepResult<String> {
        Ok(made.concat())
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Build { server: 4 }).await?;
    begun(&bench, &ledger, 1).await?;
    bench
        .until(|| async { Ok((states(&bench, handle.id()).await?.len() >= 4).then_some(())) })
        .await?;
    cancel(&bench, &handle).await?;
    let last = ledger.place("unlisted Some([0, 1, 2, 3])");
    for (element, made) in [
        (0, "server[0]"),
        (1, "server[1]"),
        (2, "nothing"),
        (3, "server[3]"),
    ] {
        ensure!(ledger.place(&format!("undo(server[{element}]): {made}")) < last);
    }
    worker.stop().await?;
    bench.check().await
}

async fn whoever_takes_over_in_the_middle_goes_on_with_the_undo(bench: Bench) -> Result<()> {
    async fn slow(cx: Cx<Ledger>, _: String, _: Option<String>) -> StepResult<()> {
        cx.state().note(cx.step_name());
        if cx.state().tries.add() == 1 {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let first = plan
            .step("first", make)
            .undo(unmake)
            .input(value(build.server));
        let second = plan.step("second", make_of).undo(slow).input(first);
        let third = plan.step("third", make_of).undo(unmake).input(second);
        plan.step("hang", hang).input(third)
    }
    let ledger = Ledger::new(&bench);
    let doomed = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    bench
        .until(|| async { Ok((ledger.tries.get() == 1).then_some(())) })
        .await?;
    doomed.kill().await;
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    // What was recorded was not taken back again; what was not, was.
    ensure!(ledger.place("undo(third): third") < ledger.place("undo(first): first"));
    let tries = ledger
        .lines()
        .iter()
        .filter(|line| *line == "undo(second)")
        .count();
    ensure!(tries == 2, "{:?}", ledger.lines());
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_was_running_when_its_worker_died_counts_as_started(
    bench: Bench,
) -> Result<()> {
    async fn stuck(cx: Cx<Ledger>, _: u64) -> StepResult<String> {
        cx.state().begun.add();
        std::future::pending().await
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let stuck = plan
            .step("stuck", stuck)
            .undo(unmake)
            .input(value(build.server));
        plan.step("after", make_of).undo(unmake).input(stuck)
    }
    let ledger = Ledger::new(&bench);
    // Long enough that nothing is written about the step before it dies.
    let doomed = bench.worker(ledger.clone()).lease(Duration::from_secs(60));
    let doomed = start(doomed.register(plan));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    doomed.kill().await;
    ensure!(bench.intendant.steps(handle.id()).await?.is_empty());
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    ensure!(
        ledger.lines() == ["undo(stuck): nothing"],
        "{:?}",
        ledger.lines()
    );
    let found = states(&bench, handle.id()).await?;
    ensure!(
        found[0] == ("stuck".to_owned(), StepState::Undone),
        "{found:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn an_undo_in_its_own_transaction_is_recorded_with_its_effect(bench: Bench) -> Result<()> {
    async fn erase(cx: Cx<Ledger>, _: u64, _: Option<String>) -> StepResult<Committed<()>> {
        let sql = "update effect set undone = undone + 1";
        match cx.state().kind {
            StoreKind::Sqlite => {
                cx.transaction(async |db: &mut sqlx::SqliteConnection| {
                    sqlx::query(sql).execute(&mut *db).await?;
                    Ok(())
                })
                .await
            }
            StoreKind::Postgres => {
                cx.transaction(async |db: &mut sqlx::PgConnection| {
                    sqlx::query(sql).execute(&mut *db).await?;
                    Ok(())
                })
                .await
            }
        }
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let made = plan
            .step("made", make)
            .undo(erase)
            .input(value(build.server));
        plan.step("hang", hang).input(made)
    }
    let create = "create table effect (undone integer); insert into effect values (0)";
    bench.run_sql(create).await?;
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    cancel(&bench, &handle).await?;
    ensure!(
        bench
            .number("select cast(undone as bigint) from effect")
            .await?
            == 1
    );
    let found = states(&bench, handle.id()).await?;
    ensure!(
        found[1] == ("made".to_owned(), StepState::Undone),
        "{found:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn what_is_being_taken_back_shows_as_undoing(bench: Bench) -> Result<()> {
    async fn slow(cx: Cx<Ledger>, _: u64, _: Option<String>) -> StepResult<()> {
        cx.state().begun.add();
        cx.state().open.notified().await;
        Ok(())
    }
    fn plan(build: &Build, plan: &mut Plan<Ledger>) -> Node<String> {
        let made = plan
            .step("made", make)
            .undo(slow)
            .input(value(build.server));
        plan.step("hang", hang).input(made)
    }
    let ledger = Ledger::new(&bench);
    let worker = start(bench.worker(ledger.clone()).register(plan));
    let handle = bench.intendant.request(Build { server: 1 }).await?;
    begun(&bench, &ledger, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    begun(&bench, &ledger, 2).await?;
    ensure!(handle.state().await? == IntentState::Undoing);
    // Its row comes with a heartbeat.
    bench
        .until(|| async {
            let why = bench.intendant.why(handle.id()).await?.to_string();
            Ok(why.contains("undo(made)").then_some(()))
        })
        .await?;
    ledger.open.notify_one();
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    worker.stop().await?;
    bench.check().await
}
