//! What came of it, from the engine's record alone: how long it took, and whether the order was kept.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use intendant::{IntentRecord, StepRecord, StepState};

use crate::format::Workflow;
use crate::graph::{CriticalPath, critical_path};

/// Most violations that are named one by one.
const NAMED: usize = 5;

/// The report on one workflow.
#[derive(Debug)]
pub(crate) struct Report {
    workflow: String,
    tasks: usize,
    dependencies: usize,
    critical: CriticalPath,
    /// From the first task's start to the last one's end.
    makespan: Duration,
    /// From the request to the outcome.
    elapsed: Duration,
    violations: Vec<String>,
}

impl Report {
    /// Draws it up. Fails when the record lacks a task's result, which a succeeded intent's never does.
    pub(crate) fn new(workflow: &Workflow, intent: &IntentRecord, steps: &[StepRecord]) -> Result<Self> {
        let spans = spans(steps);
        let mut first = None;
        let mut last = None;
        let mut violations = Vec::new();
        for task in &workflow.tasks {
            let (started, finished) = *spans.get(task.id.as_str()).with_context(|| missing(&task.id))?;
            first = first.min(Some(started)).or(Some(started));
            last = last.max(Some(finished));
            for parent in task.after.iter().map(|&parent| &workflow.tasks[parent as usize].id) {
                let (_, ended) = *spans.get(parent.as_str()).with_context(|| missing(parent))?;
                if ended > started {
                    violations.push(format!("{} started at {started}, its parent {parent} ended at {ended}", task.id));
                }
            }
        }
        ensure!(steps.len() == workflow.tasks.len(), "{} steps are recorded", steps.len());
        let finished_at = intent.finished_at.context("the record does not say when the intent finished")?;
        Ok(Self {
            workflow: workflow.name.clone(),
            tasks: workflow.tasks.len(),
            dependencies: workflow.tasks.iter().map(|task| task.after.len()).sum(),
            critical: critical_path(&workflow.tasks, &workflow.order),
            makespan: first.zip(last).map_or(Ok(Duration::ZERO), |(first, last)| (last - first).to_std())?,
            elapsed: (finished_at - intent.requested_at).to_std()?,
            violations,
        })
    }

    /// No task started before its parents had finished.
    pub(crate) fn is_in_order(&self) -> bool {
        self.violations.is_empty()
    }
}

fn missing(task: &str) -> String {
    format!("the record lacks the result of task {task:?}")
}

/// When each step that succeeded started and finished, by name.
fn spans<T: Copy>(steps: &[StepRecord]) -> HashMap<&str, (T, T)>
where
    StepRecord: Times<T>,
{
    let done = steps.iter().filter(|step| step.state == StepState::Succeeded);
    done.filter_map(|step| Some((step.name.as_str(), step.times()?))).collect()
}
