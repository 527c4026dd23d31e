//! The intent: a recorded workflow, carried out again as one plan.

use std::time::Duration;

use indicatif::ProgressBar;
use intendant::{Cx, Intent, Node, Plan, StepResult, value};
use serde::{Deserialize, Serialize};

/// A workflow to carry out again.
///
/// A plan function sees nothing but this, so it is all of the file that the plan needs. Parents are indices: a workflow
/// of thousands of tasks has several times as many edges, and the input of an intent has to stay under 1 MiB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) tasks: Vec<Task>,
}

/// One task of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Its id in the file, and the name of its step.
    pub(crate) id: String,
    /// How long it takes, in microseconds.
    pub(crate) us: u64,
    /// The tasks that it comes after, by their place in the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<u32>,
}

impl Intent for Replay {
    const KIND: &'static str = "workflow.replay";
    type Output = ();
}

/// A step for every task.
pub(crate) fn plan(replay: &Replay, plan: &mut Plan<ProgressBar>) -> Result<Node<()>, String> {
    let mut last = None;
    for task in &replay.tasks {
        let mut step = plan.step(task.id.as_str(), carry_out);
        for &parent in &task.after {
            // By name and not by node: the parent may stand further down in the list.
            let parent = replay
                .tasks
                .get(parent as usize)
                .ok_or_else(|| format!("there is no task {parent}"))?;
            step = step.after(parent.id.as_str());
        }
        last = Some(step.input(value(task.us)));
    }
    // Any step's output would do, since none has one; the intent succeeds when all of them have.
    last.ok_or_else(|| "the workflow has no tasks".to_owned())
}

/// Stands for the task: takes as long.
async fn carry_out(cx: Cx<ProgressBar>, us: u64) -> StepResult<()> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_micros(us)) => {}
        // Begun again from the start by whoever comes next: there is no harm in that, so a stop need not wait.
        () = cx.stopping() => cx.exit_point().await?,
    }
    cx.state().inc(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kit() -> intendant::testing::Kit<ProgressBar> {
        intendant::testing::Kit::new(ProgressBar::hidden, |worker| worker.register(plan))
    }

    fn survey() -> Replay {
        let text = include_str!("../../../data/survey.json");
        let tasks = crate::format::parse(text, 1e6).unwrap().tasks;
        Replay { tasks }
    }

    #[tokio::test]
    async fn a_recorded_workflow_comes_to_its_end_whatever_happens() {
        let report = kit().check_idempotent(survey, async |_| ()).await.unwrap();
        report.assert_clean();
        assert_eq!(report.repeats, survey().tasks.len());
    }

    #[tokio::test]
    async fn a_recorded_workflow_comes_to_its_end_whatever_fails_on_the_way() {
        let report = kit().check_recovery(survey, async |_| ()).await.unwrap();
        report.assert_clean();
    }

    #[test]
    fn a_workflow_of_thousands_of_tasks_fits_into_an_input() {
        let task = |index: u32| Task {
            id: format!("mProject_ID{index:07}"),
            us: 12_345_678,
            after: vec![index; 5],
        };
        let replay = Replay {
            tasks: (1_000..6_000).map(task).collect(),
        };
        assert!(serde_json::to_vec(&replay).unwrap().len() < intendant::limits::PAYLOAD_BYTES);
    }
}
