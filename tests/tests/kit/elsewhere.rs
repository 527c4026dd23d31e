//! The check on plans whose steps run in other queues, and that rest in between.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::testing::Kit;
use intendant::{Cx, Intent, Node, Plan, StepResult, value};
use serde::{Deserialize, Serialize};

/// What there is.
#[derive(Clone, Default)]
struct Racks {
    things: Arc<Mutex<BTreeSet<String>>>,
    /// Taking back a cable leaves it where it is.
    leaks: bool,
}

impl Racks {
    fn seen(&self) -> BTreeSet<String> {
        self.things.lock().unwrap().clone()
    }
}

#[derive(Serialize, Deserialize)]
struct Connect {
    ports: u32,
}

impl Intent for Connect {
    const KIND: &'static str = "connect";
    type Output = usize;
}

/// ```text
/// ports ── cable[…] (network) ── settle (an hour) ── light (network)
/// ```
fn connect(order: &Connect, plan: &mut Plan<Racks>) -> Node<usize> {
    let ports = plan.step("ports", ports).input(value(order.ports));
    let cables = plan.map("cable", cable).queue("network").undo(uncable);
    let cables = cables.input(ports);
    let settled = plan
        .sleep("settle", Duration::from_secs(3600))
        .input(cables);
    plan.step("light", light)
        .queue("network")
        .undo(dark)
        .input(settled)
}

async fn ports(_: Cx<Racks>, ports: u32) -> StepResult<Vec<u32>> {
    Ok((0..ports).collect())
}

async fn cable(cx: Cx<Racks>, port: u32) -> StepResult<String> {
    let cable = format!("cable {port}");
    cx.state().things.lock().unwrap().insert(cable.clone());
    Ok(cable)
}

async fn uncable(cx: Cx<Racks>, port: u32, _: Option<String>) -> StepResult<()> {
    if !cx.state().leaks {
        let mut things = cx.state().things.lock().unwrap();
        things.remove(&format!("cable {port}"));
    }
    Ok(())
}

async fn light(cx: Cx<Racks>, cables: Vec<String>) -> StepResult<usize> {
    cx.state().things.lock().unwrap().insert("light".to_owned());
    Ok(cables.len())
}

async fn dark(cx: Cx<Racks>, _: Vec<String>, _: Option<usize>) -> StepResult<()> {
    cx.state().things.lock().unwrap().remove("light");
    Ok(())
}

fn kit(leaks: bool) -> Kit<Racks> {
    let racks = move || Racks {
        leaks,
        ..Racks::default()
    };
    Kit::new(racks, |worker| worker.queue("network", 2).register(connect))
}

fn order() -> Connect {
    Connect { ports: 2 }
}

#[tokio::test]
async fn steps_in_another_queue_are_checked_as_well() -> Result<()> {
    let look = async |racks: &Racks| racks.seen();
    let ended = kit(false).run(order()).await?;
    ensure!(ended.output::<usize>()? == 2);
    let report = kit(false).check_idempotent(order, look).await?;
    report.assert_clean();
    ensure!(
        report.repeats >= 4 && report.cancels > 8 && report.crashes > 20,
        "{report}"
    );
    let report = kit(false).check_recovery(order, look).await?;
    report.assert_clean();
    Ok(())
}

#[tokio::test]
async fn what_is_not_taken_back_in_another_queue_is_found() -> Result<()> {
    let look = async |racks: &Racks| racks.seen();
    let report = kit(true).check_idempotent(order, look).await?;
    ensure!(report.to_string().contains("cable"), "{report}");
    let report = kit(true).check_recovery(order, look).await?;
    ensure!(report.to_string().contains("then undone"), "{report}");
    Ok(())
}
