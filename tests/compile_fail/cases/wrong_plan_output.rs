//! A plan that ends in another type than its kind's output.

use intendant::{Cx, Intent, Intendant, Node, Plan, StepResult, Worker};

#[derive(serde::Serialize, serde::Deserialize)]
struct Count;

impl Intent for Count {
    const KIND: &'static str = "count";
    type Output = u64;
}

async fn name(_: Cx<()>, (): ()) -> StepResult<String> {
    Ok("seven".into())
}

fn plan(_: &Count, plan: &mut Plan<()>) -> Node<String> {
    plan.step("name", name).input(())
}

fn register(intendant: &Intendant) -> Worker<()> {
    Worker::new(intendant, ()).register(plan)
}

fn main() {
    let _ = register;
}
