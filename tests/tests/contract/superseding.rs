//! Conflict rules: one intent has others stop, and goes then.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Conflicts, Cx, Error, Handle, Intent, IntentState, Node, Plan, Relation, Resources, Rule,
    StepResult, snooze, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::{Bench, on_both, start};

on_both! {
    what_runs_is_stopped_and_then_the_other_one_goes;
    what_waits_in_line_is_cancelled_and_everybody_behind_it_has_their_turn;
    what_has_not_been_claimed_yet_is_cancelled_before_the_other_one_goes;
    what_is_not_to_start_before_a_time_is_cancelled;
    what_waits_for_a_timer_is_stopped;
    what_cannot_be_stopped_any_more_is_waited_for;
    an_order_that_nobody_has_carried_out_is_carried_out_by_whoever_begins;
    an_order_of_one_that_is_gone_is_not_carried_out;
    who_supersedes_can_be_superseded;
    several_resources_are_freed_by_several_others;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Provision {
    servers: Vec<u32>,
    /// Its second step is not to be stopped.
    for_good: bool,
    /// Its first step snoozes for ever.
    snoozes: bool,
}

impl Intent for Provision {
    const KIND: &'static str = "provision";
    type Output = ();
    fn resources(&self) -> Resources {
        on_servers(&self.servers)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Terminate {
    servers: Vec<u32>,
}

impl Intent for Terminate {
    const KIND: &'static str = "terminate";
    const QUEUE: &'static str = "terminations";
    type Output = ();
    fn resources(&self) -> Resources {
        on_servers(&self.servers)
    }
    fn conflicts() -> Conflicts {
        Conflicts::default()
            .with("provision", Rule::Supersede)
            .with("terminate", Rule::Join)
    }
}

/// Has everything stop, a termination too.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seize {
    servers: Vec<u32>,
}

impl Intent for Seize {
    const KIND: &'static str = "seize";
    type Output = ();
    fn resources(&self) -> Resources {
        on_servers(&self.servers)
    }
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Supersede)
    }
}

fn on_servers(servers: &[u32]) -> Resources {
    let none = Resources::none();
    servers
        .iter()
        .fold(none, |all, server| all.and_exclusive("server", server))
}

type Gate = Arc<Semaphore>;

async fn create(cx: Cx<Gate>, provision: Provision) -> StepResult<Provision> {
    if provision.snoozes {
        return Err(snooze(Duration::from_secs(3600)));
    }
    if !provision.for_good {
        cx.state().acquire().await?.forget();
    }
    Ok(provision)
}

async fn hand_over(cx: Cx<Gate>, provision: Provision) -> StepResult<()> {
    if provision.for_good {
        cx.state().acquire().await?.forget();
    }
    Ok(())
}

fn provision_plan(intent: &Provision, plan: &mut Plan<Gate>) -> Node<()> {
    let created = plan.step("create", create).input(value(intent.clone()));
    plan.step("hand over", hand_over)
        .point_of_no_return()
        .input(created)
}

async fn terminate(_: Cx<Gate>, _: Terminate) -> StepResult<()> {
    Ok(())
}

async fn seize(_: Cx<Gate>, _: Seize) -> StepResult<()> {
    Ok(())
}

fn provision(servers: &[u32]) -> Provision {
    Provision {
        servers: servers.to_vec(),
        for_good: false,
        snoozes: false,
    }
}

fn terminate_all(servers: &[u32]) -> Terminate {
    Terminate {
        servers: servers.to_vec(),
    }
}

fn worker(bench: &Bench, gate: &Gate) -> intendant::Worker<Gate> {
    bench
        .worker(gate.clone())
        .cancel_grace(Duration::from_millis(20))
        .register(provision_plan)
        .register_step(terminate)
        .register_step(seize)
}

fn closed() -> Gate {
    Gate::new(Semaphore::new(0))
}

async fn is_superseded<T: Intent>(
    bench: &Bench,
    old: &Handle<Provision>,
    new: &Handle<T>,
) -> Result<()> {
    let links = bench.intendant.links(old.id()).await?;
    let by = links.iter().any(|link| {
        link.intent == old.id() && link.relation == Relation::SupersededBy && link.other == new.id()
    });
    ensure!(by, "{links:?}");
    let output = old.output().await;
    ensure!(matches!(output, Err(Error::Cancelled { .. })), "{output:?}");
    let events = bench.intendant.events(old.id()).await?;
    let reason = format!(
        "superseded by intent {} (`{}`) on server:",
        new.id(),
        T::KIND
    );
    let said = events.iter().any(|event| {
        event.actor == "rule"
            && event.verb == "cancel"
            && event
                .reason
                .as_ref()
                .is_some_and(|said| said.starts_with(&reason))
    });
    ensure!(said, "{events:?}");
    Ok(())
}

/// Asks for one, and waits until it cannot be stopped any more.
async fn past_return(bench: &Bench, servers: &[u32]) -> Result<Handle<Provision>> {
    let provision = Provision {
        for_good: true,
        ..provision(servers)
    };
    let handle = bench.intendant.request(provision).await?;
    bench
        .until(|| async {
            let steps = bench.intendant.steps(handle.id()).await?;
            let is_there = steps.iter().any(|step| step.name == "hand over");
            Ok(is_there.then_some(()))
        })
        .await?;
    Ok(handle)
}

async fn what_runs_is_stopped_and_then_the_other_one_goes(bench: Bench) -> Result<()> {
    let gate = closed();
    let running = start(worker(&bench, &gate));
    let old = bench.intendant.request(provision(&[1])).await?;
    bench.reach(old.id(), IntentState::Running).await?;
    let new = bench.intendant.request(terminate_all(&[1])).await?;
    bench.rest(new.id()).await?;
    new.output().await?;
    is_superseded(&bench, &old, &new).await?;
    let (old, new) = (
        bench.intendant.get(old.id()).await?,
        bench.intendant.get(new.id()).await?,
    );
    ensure!(old.finished_at <= new.started_at, "{old:?} {new:?}");
    running.stop().await?;
    bench.check().await
}

async fn what_waits_in_line_is_cancelled_and_everybody_behind_it_has_their_turn(
    bench: Bench,
) -> Result<()> {
    let gate = closed();
    let running = start(worker(&bench, &gate));
    let first = past_return(&bench, &[1]).await?;
    let second = bench.intendant.request(provision(&[1, 2])).await?;
    bench.reach(second.id(), IntentState::Blocked).await?;
    let behind = bench.intendant.request(terminate_all(&[2])).await?;
    bench.rest(behind.id()).await?;
    behind.output().await?;
    is_superseded(&bench, &second, &behind).await?;
    gate.add_permits(1);
    first.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn what_has_not_been_claimed_yet_is_cancelled_before_the_other_one_goes(
    bench: Bench,
) -> Result<()> {
    // Nobody serves the first one's queue yet.
    let old = bench.intendant.request(provision(&[1])).await?;
    let gate = closed();
    let terminator = start(bench.worker(gate.clone()).register_step(terminate));
    let new = bench.intendant.request(terminate_all(&[1])).await?;
    bench.rest(new.id()).await?;
    new.output().await?;
    is_superseded(&bench, &old, &new).await?;
    let (old, new) = (
        bench.intendant.get(old.id()).await?,
        bench.intendant.get(new.id()).await?,
    );
    ensure!(old.started_at.is_none() && old.finished_at <= new.started_at);
    terminator.stop().await?;
    bench.check().await
}

async fn what_is_not_to_start_before_a_time_is_cancelled(bench: Bench) -> Result<()> {
    let tomorrow = Duration::from_secs(24 * 3600);
    let old = bench
        .intendant
        .request(provision(&[1]))
        .start_in(tomorrow)
        .await?;
    let running = start(worker(&bench, &closed()));
    let new = bench.intendant.request(terminate_all(&[1])).await?;
    bench.rest(new.id()).await?;
    new.output().await?;
    is_superseded(&bench, &old, &new).await?;
    running.stop().await?;
    bench.check().await
}

async fn what_waits_for_a_timer_is_stopped(bench: Bench) -> Result<()> {
    let running = start(worker(&bench, &closed()));
    let old = bench
        .intendant
        .request(Provision {
            snoozes: true,
            ..provision(&[1])
        })
        .await?;
    bench.reach(old.id(), IntentState::Waiting).await?;
    let new = bench.intendant.request(terminate_all(&[1])).await?;
    bench.rest(new.id()).await?;
    new.output().await?;
    is_superseded(&bench, &old, &new).await?;
    running.stop().await?;
    bench.check().await
}

async fn what_cannot_be_stopped_any_more_is_waited_for(bench: Bench) -> Result<()> {
    let gate = closed();
    let running = start(worker(&bench, &gate));
    let old = past_return(&bench, &[1]).await?;
    let new = bench.intendant.request(terminate_all(&[1])).await?;
    bench.reach(new.id(), IntentState::Blocked).await?;
    bench
        .until(|| async {
            let open = "select count(*) from @link where asked_at is null";
            Ok((bench.number(open).await? == 0).then_some(()))
        })
        .await?;
    ensure!(bench.intendant.state(old.id()).await? == IntentState::Running);
    gate.add_permits(1);
    old.output().await?;
    bench.rest(new.id()).await?;
    new.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn an_order_that_nobody_has_carried_out_is_carried_out_by_whoever_begins(
    bench: Bench,
) -> Result<()> {
    let gate = closed();
    // Its step does not listen, and is dropped.
    let provisioner = bench.worker(gate.clone()).register(provision_plan);
    let provisioner = start(provisioner.cancel_grace(Duration::from_millis(20)));
    let old = bench.intendant.request(provision(&[1])).await?;
    bench.reach(old.id(), IntentState::Running).await?;
    let terminator = start(bench.worker(gate.clone()).register_step(terminate));
    let new = bench.intendant.request(terminate_all(&[1])).await?;
    bench.reach(new.id(), IntentState::Blocked).await?;
    terminator.kill().await;
    // As if it had died before it could give the order: the row is all that there is of it.
    bench
        .until(|| async {
            let open = "select count(*) from @link where asked_at is null";
            Ok((bench.number(open).await? == 0).then_some(()))
        })
        .await?;
    bench.rest(old.id()).await?;
    let third = bench.intendant.request(provision(&[2])).await?;
    bench.reach(third.id(), IntentState::Running).await?;
    let order = format!(
        "insert into @link (intent_id, relation, other_id, resource, at) select '{}', 'superseded by', '{}', \
         'server:2', at from @link limit 1",
        third.id(),
        new.id()
    );
    bench.run_sql(&order).await?;
    let successor = start(bench.worker(gate.clone()).register_step(terminate));
    let output = third.output().await;
    ensure!(matches!(output, Err(Error::Cancelled { .. })), "{output:?}");
    new.output().await?;
    successor.stop().await?;
    provisioner.stop().await?;
    bench.check().await
}

async fn an_order_of_one_that_is_gone_is_not_carried_out(bench: Bench) -> Result<()> {
    let gate = closed();
    let provisioner = start(bench.worker(gate.clone()).register(provision_plan));
    let runs = bench.intendant.request(provision(&[1])).await?;
    bench.reach(runs.id(), IntentState::Running).await?;
    let gone = bench.intendant.request(terminate_all(&[2])).await?;
    bench.intendant.cancel(gone.id(), "ada", None).await?;
    let order = format!(
        "insert into @link (intent_id, relation, other_id, resource, at) select '{}', 'superseded by', '{}', \
         'server:1', requested_at from @intent limit 1",
        runs.id(),
        gone.id()
    );
    bench.run_sql(&order).await?;
    // Whoever looks finds it, without a session that begins.
    bench
        .until(|| async {
            let open = "select count(*) from @link where asked_at is null";
            Ok((bench.number(open).await? == 0).then_some(()))
        })
        .await?;
    ensure!(bench.intendant.events(runs.id()).await?.is_empty());
    ensure!(runs.state().await? == IntentState::Running);
    gate.add_permits(1);
    runs.output().await?;
    provisioner.stop().await?;
    bench.check().await
}

async fn who_supersedes_can_be_superseded(bench: Bench) -> Result<()> {
    let gate = closed();
    let old = bench.intendant.request(provision(&[1])).await?;
    let running = start(bench.worker(gate.clone()).register(provision_plan));
    bench.reach(old.id(), IntentState::Running).await?;
    running.kill().await;
    let middle = bench.intendant.request(terminate_all(&[1])).await?;
    let last = bench.intendant.request(Seize { servers: vec![1] }).await?;
    let running = start(worker(&bench, &gate));
    bench.rest(last.id()).await?;
    last.output().await?;
    let end = bench.rest(middle.id()).await?.state;
    ensure!(
        end == IntentState::Cancelled || end == IntentState::Succeeded,
        "{end}"
    );
    ensure!(bench.rest(old.id()).await?.state == IntentState::Cancelled);
    running.stop().await?;
    bench.check().await
}

async fn several_resources_are_freed_by_several_others(bench: Bench) -> Result<()> {
    let gate = closed();
    let running = start(worker(&bench, &gate));
    let first = bench.intendant.request(provision(&[1])).await?;
    let second = bench.intendant.request(provision(&[2, 3])).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    bench.reach(second.id(), IntentState::Running).await?;
    let third = bench.intendant.request(provision(&[3])).await?;
    bench.reach(third.id(), IntentState::Blocked).await?;
    let new = bench
        .intendant
        .request(terminate_all(&[1, 2, 3, 4]))
        .await?;
    bench.rest(new.id()).await?;
    new.output().await?;
    for old in [&first, &second, &third] {
        is_superseded(&bench, old, &new).await?;
    }
    running.stop().await?;
    bench.check().await
}
