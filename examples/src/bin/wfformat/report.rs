//! What came of it, from the engine's record alone: how long it took, and whether the order was kept.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use intendant::{StepRecord, StepState};

use crate::format::Workflow;
use crate::graph::{CriticalPath, critical_path};
use crate::replay::Task;

/// Most violations that are named one by one.
const NAMED: usize = 5;

/// When a step started and finished.
type Span = (DateTime<Utc>, DateTime<Utc>);

/// The report on one workflow.
#[derive(Debug)]
pub(crate) struct Report<'w> {
    workflow: &'w Workflow,
    critical: CriticalPath,
    /// From the first task's start to the last one's end.
    makespan: Duration,
    violations: Vec<String>,
}

impl<'w> Report<'w> {
    /// Draws it up. Fails when the record lacks a task's result, which that of a succeeded intent never does.
    pub(crate) fn new(workflow: &'w Workflow, steps: &[StepRecord]) -> Result<Self> {
        let done = steps
            .iter()
            .filter(|step| step.state == StepState::Succeeded);
        let spans = done
            .filter_map(|step| Some((step.name.as_str(), (step.started_at?, step.finished_at?))));
        let spans = in_list(&workflow.tasks, &spans.collect())?;
        let first = spans
            .iter()
            .map(|span| span.0)
            .min()
            .context("the record has no steps")?;
        let last = spans
            .iter()
            .map(|span| span.1)
            .max()
            .context("the record has no steps")?;
        Ok(Self {
            workflow,
            critical: critical_path(&workflow.tasks, &workflow.order),
            makespan: (last - first)
                .to_std()
                .context("the workflow ended before it began")?,
            violations: violations(&workflow.tasks, &spans),
        })
    }

    /// No task started before its parents had finished.
    pub(crate) fn is_in_order(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Each task's span, in the order of the tasks.
fn in_list(tasks: &[Task], spans: &HashMap<&str, Span>) -> Result<Vec<Span>> {
    let find = |task: &Task| spans.get(task.id.as_str()).copied();
    tasks
        .iter()
        .map(|task| find(task).with_context(|| format!("the record lacks task {:?}", task.id)))
        .collect()
}

/// Tasks that started before a parent of theirs had finished, by the times on record.
fn violations(tasks: &[Task], spans: &[Span]) -> Vec<String> {
    let mut found = Vec::new();
    for (task, (started, _)) in tasks.iter().zip(spans) {
        for parent in task.after.iter().map(|&parent| parent as usize) {
            let finished = &spans[parent].1;
            if finished > started {
                found.push(format!(
                    "{} started at {started}, {} finished at {finished}",
                    task.id, tasks[parent].id
                ));
            }
        }
    }
    found
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = &self.workflow.tasks;
        let edges: usize = tasks.iter().map(|task| task.after.len()).sum();
        let (makespan, critical) = (
            self.makespan.as_secs_f64(),
            self.critical.time.as_secs_f64(),
        );
        writeln!(f, "workflow       {}", self.workflow.name)?;
        writeln!(
            f,
            "tasks          {}, with {edges} dependencies",
            tasks.len()
        )?;
        writeln!(
            f,
            "critical path  {critical:.3} s, through {} tasks",
            self.critical.tasks.len()
        )?;
        write!(f, "makespan       {makespan:.3} s")?;
        if critical > 0.0 {
            write!(f, ", {:.3} of the critical path", makespan / critical)?;
        }
        writeln!(f)?;
        if self.is_in_order() {
            return write!(
                f,
                "order          kept: no task started before its parents had finished"
            );
        }
        write!(f, "order          VIOLATED {} times", self.violations.len())?;
        self.violations
            .iter()
            .take(NAMED)
            .try_for_each(|violation| write!(f, "\n               {violation}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_starts_before_its_parent_has_finished_is_a_violation() {
        let task = |id: &str, after: &[u32]| Task {
            id: id.to_owned(),
            us: 0,
            after: after.to_vec(),
        };
        let tasks = [task("a", &[]), task("b", &[0]), task("c", &[0, 1])];
        let span = |from: i64, to: i64| {
            (
                DateTime::from_timestamp_micros(from).unwrap(),
                DateTime::from_timestamp_micros(to).unwrap(),
            )
        };
        assert!(violations(&tasks, &[span(0, 5), span(5, 6), span(6, 6)]).is_empty());
        let found = violations(&tasks, &[span(0, 5), span(4, 6), span(6, 6)]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("b started at 1970-01-01 00:00:00.000004 UTC, a finished at ")
        );
    }

    #[test]
    fn a_task_without_a_result_is_missed() {
        let tasks = [Task {
            id: "a".to_owned(),
            us: 0,
            after: Vec::new(),
        }];
        let error = in_list(&tasks, &HashMap::new()).unwrap_err();
        assert_eq!(error.to_string(), r#"the record lacks task "a""#);
    }
}
