//! Undo: a worker dies while it takes back, and another one goes on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, StepResult};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::{Bench, on_both, start};

on_both! {
    what_was_stopped_without_a_result_and_taken_back_does_not_count_as_done_to_a_successor;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Provision;

impl Intent for Provision {
    const KIND: &'static str = "provision";
    type Output = ();
}

/// The volume can be deleted when there is a permit.
type Gate = Arc<Semaphore>;

fn provision(_: &Provision, plan: &mut Plan<Gate>) -> Node<()> {
    let volume = plan.step("volume", volume).undo(no_volume).input(());
    let machine = plan.step("machine", machine).undo(no_machine).input(volume);
    plan.step("address", address)
        .undo(no_address)
        .input(machine)
}

async fn volume(_: Cx<Gate>, (): ()) -> StepResult<u32> {
    Ok(1)
}

async fn no_volume(cx: Cx<Gate>, (): (), _: Option<u32>) -> StepResult<()> {
    cx.state().acquire().await?.forget();
    Ok(())
}

/// Has no result: it is stopped.
async fn machine(_: Cx<Gate>, _: u32) -> StepResult<u32> {
    std::future::pending().await
}

async fn no_machine(_: Cx<Gate>, _: u32, _: Option<u32>) -> StepResult<()> {
    Ok(())
}

async fn address(_: Cx<Gate>, _: u32) -> StepResult<()> {
    Ok(())
}

async fn no_address(_: Cx<Gate>, _: u32, _: Option<()>) -> StepResult<()> {
    Ok(())
}

async fn what_was_stopped_without_a_result_and_taken_back_does_not_count_as_done_to_a_successor(
    bench: Bench,
) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let worker = || {
        let worker = bench
            .worker(gate.clone())
            .cancel_grace(Duration::from_millis(5));
        start(worker.register(provision))
    };
    let first = worker();
    let order = bench.intendant.request(Provision).await?;
    let state_of = async |name: &str| -> Result<Option<String>> {
        let steps = bench.intendant.steps(order.id()).await?;
        let step = steps.iter().find(|step| step.name == name);
        Ok(step.map(|step| step.state.to_string()))
    };
    bench
        .until(|| async {
            Ok((state_of("volume").await?.as_deref() == Some("succeeded")).then_some(()))
        })
        .await?;
    bench.intendant.cancel(order.id(), "ada", None).await?;
    bench
        .until(|| async {
            Ok((state_of("machine").await?.as_deref() == Some("undone")).then_some(()))
        })
        .await?;
    first.kill().await;
    // It does not know whether the address was asked for; but that would have been taken back before the machine.
    let second = worker();
    gate.add_permits(2);
    let record = bench.rest(order.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    second.stop().await?;
    bench.check().await
}
