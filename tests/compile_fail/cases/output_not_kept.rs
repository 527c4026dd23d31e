//! A step whose output does not go to JSON.

use intendant::{Cx, Node, Plan, StepResult};

struct Socket;

async fn connect(_: Cx<()>, (): ()) -> StepResult<Socket> {
    Ok(Socket)
}

fn plan(_: &(), plan: &mut Plan<()>) -> Node<Socket> {
    plan.step("connect", connect).input(())
}

fn main() {
    let _ = plan;
}
