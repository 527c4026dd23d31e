//! A recorded workflow as an intent, as the program `wfformat` has it.

use intendant::{Cx, Intent, Node, Plan, StepResult, value};
use serde::{Deserialize, Serialize};

/// A workflow to carry out again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) tasks: Vec<Task>,
}

/// One task of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) us: u64,
    pub(crate) after: Vec<u32>,
}

impl Intent for Replay {
    const KIND: &'static str = "workflow.replay";
    type Output = ();
}

/// A step for every task.
pub(crate) fn plan(replay: &Replay, plan: &mut Plan<()>) -> Result<Node<()>, String> {
    let mut last = None;
    for task in &replay.tasks {
        let mut step = plan.step(task.id.as_str(), carry_out);
        for &parent in &task.after {
            let parent = replay.tasks.get(parent as usize);
            let parent = parent.ok_or_else(|| "there is no such task".to_owned())?;
            step = step.after(parent.id.as_str());
        }
        last = Some(step.input(value(task.us)));
    }
    last.ok_or_else(|| "the workflow has no tasks".to_owned())
}

async fn carry_out(_: Cx<()>, _: u64) -> StepResult<()> {
    Ok(())
}
