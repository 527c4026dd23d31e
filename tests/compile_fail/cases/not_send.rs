//! A step whose future cannot move between threads.

use std::rc::Rc;

use intendant::{Cx, Node, Plan, StepResult};

async fn count(cx: Cx<()>, (): ()) -> StepResult<usize> {
    let shared = Rc::new(1);
    cx.exit_point().await?;
    Ok(Rc::strong_count(&shared))
}

fn plan(_: &(), plan: &mut Plan<()>) -> Node<usize> {
    plan.step("count", count).input(())
}

fn main() {
    let _ = plan;
}
