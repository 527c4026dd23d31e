//! One run: what can be made to happen to a step, and what is seen of it afterwards.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::testing::{Fault, Kit, TestError};
use intendant::{Cx, Intent, IntentState, Node, Plan, Resources, StepResult, snooze, value};
use serde::{Deserialize, Serialize};

/// What steps did, in their order.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Vec<String>>>);

impl World {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Build {
    server: u32,
}

impl Intent for Build {
    const KIND: &'static str = "build";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

fn build(build: &Build, plan: &mut Plan<World>) -> Node<String> {
    let server = value(build.server);
    let volume = plan.step("volume", make).undo(unmake).input(server);
    let machine = plan.step("machine", make_of).undo(unmake).input(volume);
    let address = plan.step("address", make_of).undo(unmake).input(volume);
    plan.step("join", join).input((machine, address))
}

async fn make(cx: Cx<World>, _: u32) -> StepResult<String> {
    cx.state().note(cx.step_name());
    Ok(cx.step_name().to_owned())
}

async fn make_of(cx: Cx<World>, _: String) -> StepResult<String> {
    make(cx, 0).await
}

async fn unmake<I>(cx: Cx<World>, _: I, made: Option<String>) -> StepResult<()> {
    let made = made.unwrap_or_else(|| "nothing".to_owned());
    cx.state().note(format!("{}: {made}", cx.step_name()));
    Ok(())
}

async fn join(cx: Cx<World>, (machine, address): (String, String)) -> StepResult<String> {
    cx.state().note("join");
    Ok(format!("{machine} at {address}"))
}

fn kit() -> Kit<World> {
    Kit::new(World::default, |worker| worker.register(build))
}

#[tokio::test]
async fn an_intent_is_carried_out_one_step_after_the_other_in_the_order_of_the_plan() -> Result<()>
{
    let mut stage = kit().stage().await?;
    let ended = stage.run(Build { server: 1 }).await?;
    ensure!(ended.output::<String>()? == "machine at address");
    ensure!(ended.output_of::<String>("volume")? == "volume");
    ensure!(stage.state().lines() == ["volume", "machine", "address", "join"]);
    let ran: Vec<_> = stage.ran().into_iter().map(|ran| ran.step).collect();
    ensure!(ran == ["volume", "machine", "address", "join"]);
    ensure!(stage.passed() == Duration::ZERO);
    Ok(())
}

#[tokio::test]
async fn errors_panics_and_time_limits_are_tried_again_without_waiting_for_it() -> Result<()> {
    let start = Instant::now();
    let mut stage = kit().stage().await?;
    for fault in [Fault::Error, Fault::Panic, Fault::TimeOut, Fault::Error] {
        stage.fault("machine", fault);
    }
    stage.fault_after("machine", Fault::Error);
    let ended = stage.run(Build { server: 1 }).await?;
    ensure!(ended.state() == IntentState::Succeeded, "{ended}");
    let failures = ended.failures("machine");
    let sorts: Vec<_> = failures.iter().map(|failed| &*failed.failure).collect();
    ensure!(
        sorts == ["error", "panic", "time-out", "error", "error"],
        "{sorts:?}"
    );
    ensure!(
        stage.state().lines() == ["volume", "address", "machine", "machine", "join"],
        "{:?}",
        stage.state().lines()
    );
    ensure!(
        stage.passed() > Duration::from_secs(3),
        "{:?}",
        stage.passed()
    );
    ensure!(start.elapsed() < stage.passed());
    ensure!(stage.unmet_faults().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_dead_worker_is_succeeded_by_another_that_goes_on_from_what_is_recorded() -> Result<()> {
    let mut stage = kit().stage().await?;
    stage
        .fault("machine", Fault::Crash)
        .fault_after("address", Fault::Crash);
    let ended = stage.run(Build { server: 1 }).await?;
    ensure!(ended.state() == IntentState::Succeeded, "{ended}");
    ensure!(stage.crashes() == 2);
    ensure!(
        stage.state().lines() == ["volume", "machine", "address", "address", "join"],
        "{:?}",
        stage.state().lines()
    );
    let worker = |step: &str| ended.step(step).and_then(|step| step.worker.clone());
    ensure!(worker("volume").as_deref() == Some("worker-1"), "{ended:?}");
    ensure!(worker("join").as_deref() == Some("worker-3"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn what_failed_can_be_resumed_undone_and_skipped_by_an_operator() -> Result<()> {
    let mut stage = kit().stage().await?;
    stage
        .fault("machine", Fault::Fail)
        .fault("join", Fault::Fail);
    let ended = stage.run(Build { server: 1 }).await?;
    ensure!(ended.state() == IntentState::Failed);
    ensure!(
        ended.record.failed_step.as_deref() == Some("machine"),
        "{ended}"
    );
    stage.intendant().resume(ended.id(), "ada", None).await?;
    let ended = stage.rest(ended.id()).await?;
    ensure!(
        ended.record.failed_step.as_deref() == Some("join"),
        "{ended}"
    );
    stage.intendant().undo(ended.id(), "ada", None).await?;
    let ended = stage.rest(ended.id()).await?;
    ensure!(ended.state() == IntentState::Cancelled, "{ended}");
    ensure!(
        ended.undone() == ["volume", "machine", "address"],
        "{:?}",
        ended.undone()
    );
    Ok(())
}

#[tokio::test]
async fn a_step_that_is_run_twice_says_the_second_time_what_counts() -> Result<()> {
    let mut stage = kit().stage().await?;
    stage.fault("join", Fault::Repeat);
    let ended = stage.run(Build { server: 1 }).await?;
    ensure!(ended.state() == IntentState::Succeeded, "{ended}");
    ensure!(stage.state().lines() == ["volume", "machine", "address", "join", "join"]);
    ensure!(ended.failures("join").is_empty());
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Poll;

impl Intent for Poll {
    const KIND: &'static str = "poll";
    type Output = usize;
}

async fn poll(cx: Cx<World>, _: Poll) -> StepResult<usize> {
    cx.state().note("looked");
    match cx.state().lines().len() {
        looks @ 24.. => Ok(looks),
        _ => Err(snooze(Duration::from_secs(3600))),
    }
}

#[tokio::test]
async fn a_day_of_snoozes_is_over_at_once() -> Result<()> {
    let kit = Kit::new(World::default, |worker| worker.register_step(poll));
    let mut stage = kit.stage().await?;
    let ended = stage.run(Poll).await?;
    ensure!(ended.output::<usize>()? == 24);
    ensure!(
        stage.passed() == Duration::from_secs(23 * 3600),
        "{:?}",
        stage.passed()
    );
    Ok(())
}

#[tokio::test]
async fn one_that_would_wait_for_ever_says_what_for() -> Result<()> {
    let mut stage = kit().stage().await?;
    stage.fault("machine", Fault::Fail);
    let first = stage.run(Build { server: 1 }).await?;
    ensure!(first.state() == IntentState::Failed);
    let Err(stuck) = stage.run(Build { server: 1 }).await else {
        anyhow::bail!("the server is held by the one that failed");
    };
    ensure!(matches!(stuck, TestError::Stuck { .. }), "{stuck}");
    ensure!(
        stuck.to_string().contains(&first.id().to_string()),
        "{stuck}"
    );
    Ok(())
}

#[tokio::test]
async fn a_misspelt_step_is_seen() -> Result<()> {
    let mut stage = kit().stage().await?;
    stage.fault("volum", Fault::Fail);
    stage.run(Build { server: 1 }).await?;
    ensure!(stage.unmet_faults() == ["volum"]);
    Ok(())
}
