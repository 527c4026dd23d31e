//! A step that takes a volume is given a snapshot.

use intendant::{Cx, Node, Plan, StepResult, value};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Snapshot(String);

#[derive(Serialize, Deserialize)]
struct Volume(String);

async fn take_snapshot(_: Cx<()>, database: String) -> StepResult<Snapshot> {
    Ok(Snapshot(database))
}

async fn attach(_: Cx<()>, volume: Volume) -> StepResult<String> {
    Ok(volume.0)
}

fn plan(database: &String, plan: &mut Plan<()>) -> Node<String> {
    let snapshot = plan.step("snapshot", take_snapshot).input(value(database));
    plan.step("attach", attach).input(snapshot)
}

fn main() {
    let _ = plan;
}
