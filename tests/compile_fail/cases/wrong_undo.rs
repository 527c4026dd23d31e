//! An undo takes a snapshot, and its step's output is a volume.

use intendant::{Cx, Node, Plan, StepResult, value};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Snapshot(String);

#[derive(Serialize, Deserialize)]
struct Volume(String);

async fn create_volume(_: Cx<()>, size: String) -> StepResult<Volume> {
    Ok(Volume(size))
}

async fn delete_volume(_: Cx<()>, _: String, _: Option<Snapshot>) -> StepResult<()> {
    Ok(())
}

async fn not_the_input(_: Cx<()>, _: u64, _: Option<Volume>) -> StepResult<()> {
    Ok(())
}

fn plan(size: &String, plan: &mut Plan<()>) -> Node<Volume> {
    plan.step("volume", create_volume).undo(delete_volume).input(value(size));
    plan.step("other", create_volume).undo(not_the_input).input(value(size))
}

fn main() {
    let _ = plan;
}
