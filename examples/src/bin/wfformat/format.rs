//! Reads WfFormat 1.5, the file format of recorded workflow executions (<https://wfcommons.org/format>): which tasks
//! there were, what each came after, and how long it took.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use intendant::limits;
use serde::Deserialize;

use crate::graph;
use crate::replay::Task;

/// The one version whose files this reads: 1.4 and older have another structure.
const VERSION: &str = "1.5";

/// What is read first, so that a file of another version is called that, and not broken.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    schema_version: Option<String>,
}

#[derive(Deserialize)]
struct File {
    name: Option<String>,
    workflow: FileWorkflow,
}

#[derive(Deserialize)]
struct FileWorkflow {
    specification: Specification,
    execution: Option<Execution>,
}

#[derive(Deserialize)]
struct Specification {
    tasks: Vec<SpecifiedTask>,
}

#[derive(Deserialize)]
struct SpecifiedTask {
    id: String,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    children: Vec<String>,
}

#[derive(Deserialize)]
struct Execution {
    tasks: Vec<ExecutedTask>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecutedTask {
    id: String,
    runtime_in_seconds: f64,
}

/// A workflow as it will be carried out.
#[derive(Debug)]
pub(crate) struct Workflow {
    pub(crate) name: String,
    pub(crate) tasks: Vec<Task>,
    /// Indices of the tasks, parents before children.
    pub(crate) order: Vec<usize>,
}

/// Reads a file's text. Whatever comes back can be carried out: what the engine would refuse is an error here.
pub(crate) fn parse(text: &str, speedup: f64) -> Result<Workflow> {
    let header: Header = serde_json::from_str(text).context("not a WfFormat file")?;
    let version = header
        .schema_version
        .context("not a WfFormat file: there is no schemaVersion")?;
    ensure!(
        version == VERSION,
        "schemaVersion is {version:?}, expected {VERSION:?}"
    );
    let file: File = serde_json::from_str(text).context("not a WfFormat file")?;
    let specified = file.workflow.specification.tasks;
    ensure!(!specified.is_empty(), "the workflow has no tasks");
    ensure!(
        specified.len() <= limits::PLAN_STEPS,
        "the workflow has {} tasks, the limit is {}",
        specified.len(),
        limits::PLAN_STEPS
    );

    let runtimes = runtimes(file.workflow.execution)?;
    let mut tasks = Vec::with_capacity(specified.len());
    for task in &specified {
        check_id(&task.id)?;
        let runtime = runtimes
            .get(&task.id)
            .with_context(|| format!("task {:?} has no runtime", task.id))?;
        tasks.push(Task {
            id: task.id.clone(),
            us: scaled_us(&task.id, *runtime, speedup)?,
            after: Vec::new(),
        });
    }
    link(&specified, &mut tasks)?;
    let order = graph::order(&tasks)?;
    let depth = graph::depth(&tasks, &order);
    ensure!(
        depth <= limits::PLAN_DEPTH,
        "the longest chain of tasks has {depth}, the limit is {}",
        limits::PLAN_DEPTH
    );
    Ok(Workflow {
        name: file.name.unwrap_or_else(|| "unnamed".to_owned()),
        tasks,
        order,
    })
}

fn runtimes(execution: Option<Execution>) -> Result<HashMap<String, f64>> {
    let execution =
        execution.context("the workflow was specified but not executed: there are no runtimes")?;
    Ok(execution
        .tasks
        .into_iter()
        .map(|task| (task.id, task.runtime_in_seconds))
        .collect())
}

/// Ids become the names of steps, so that the history speaks of tasks as the file does.
fn check_id(id: &str) -> Result<()> {
    let chars = id.chars().count();
    ensure!(chars > 0, "a task has an empty id");
    ensure!(
        chars <= limits::NAME_CHARS,
        "the id of a task has {chars} characters, the limit is {}: {:?}…",
        limits::NAME_CHARS,
        id.chars().take(20).collect::<String>()
    );
    ensure!(
        !id.chars().any(char::is_control),
        "the id of a task has a control character: {id:?}"
    );
    ensure!(
        !(id.starts_with("undo(") && id.ends_with(')')),
        "the id of a task is named like what takes a step back: {id:?}"
    );
    Ok(())
}

fn scaled_us(id: &str, runtime: f64, speedup: f64) -> Result<u64> {
    let time = Duration::try_from_secs_f64(runtime / speedup)
        .ok()
        .filter(|time| *time <= limits::FUTURE);
    let time =
        time.with_context(|| format!("task {id:?} cannot run for {runtime} s / {speedup}"))?;
    Ok(u64::try_from(time.as_micros())?)
}

/// Fills in what each task comes after. An edge stands in the file at both its ends; one of them is enough.
fn link(specified: &[SpecifiedTask], tasks: &mut [Task]) -> Result<()> {
    let mut indices: HashMap<&str, u32> = HashMap::with_capacity(specified.len());
    for (index, task) in (0..).zip(specified) {
        if indices.insert(&task.id, index).is_some() {
            bail!("two tasks have the id {:?}", task.id);
        }
    }
    let find = |task: &SpecifiedTask, what: &str, id: &str| {
        indices
            .get(id)
            .copied()
            .with_context(|| format!("task {:?} has an unknown {what} {id:?}", task.id))
    };
    for (index, task) in (0..).zip(specified) {
        for parent in &task.parents {
            tasks[index as usize]
                .after
                .push(find(task, "parent", parent)?);
        }
        for child in &task.children {
            tasks[find(task, "child", child)? as usize]
                .after
                .push(index);
        }
    }
    for task in tasks {
        task.after.sort_unstable();
        task.after.dedup();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURVEY: &str = include_str!("../../../data/survey.json");

    /// A file with these tasks: id, runtime, parents.
    fn file(tasks: &[(&str, f64, &[&str])]) -> String {
        let specified: Vec<_> = tasks
            .iter()
            .map(|(id, _, parents)| serde_json::json!({"id": id, "name": "same", "parents": parents}))
            .collect();
        let executed: Vec<_> = tasks
            .iter()
            .map(|(id, runtime, _)| serde_json::json!({"id": id, "runtimeInSeconds": runtime}))
            .collect();
        serde_json::json!({"schemaVersion": "1.5", "workflow": {
            "specification": {"tasks": specified}, "execution": {"tasks": executed}
        }})
        .to_string()
    }

    fn error(text: &str) -> String {
        format!("{:#}", parse(text, 1.0).unwrap_err())
    }

    #[test]
    fn the_file_gives_tasks_with_scaled_runtimes_and_parents_by_index() {
        let workflow = parse(SURVEY, 10.0).unwrap();
        assert_eq!(
            (workflow.name.as_str(), workflow.tasks.len()),
            ("survey", 12)
        );
        assert_eq!(
            workflow.tasks[0],
            Task {
                id: "report_10".into(),
                us: 400_000,
                after: vec![8, 9, 10]
            }
        );
        assert_eq!(
            workflow.tasks[1],
            Task {
                id: "fetch_07".into(),
                us: 300_000,
                after: vec![]
            }
        );
        assert_eq!(
            workflow.order[0], 1,
            "fetch has no parents and comes first, wherever it stands in the file"
        );
    }

    #[test]
    fn an_edge_may_stand_at_either_end() {
        let by_child = r#"{"schemaVersion": "1.5", "workflow": {
            "specification": {"tasks": [{"id": "a", "children": ["b"]}, {"id": "b"}]},
            "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 1}, {"id": "b", "runtimeInSeconds": 0}]}}}"#;
        assert_eq!(parse(by_child, 1.0).unwrap().tasks[1].after, [0]);
        assert_eq!(
            parse(&file(&[("a", 1.0, &[]), ("b", 0.0, &["a", "a"])]), 1.0)
                .unwrap()
                .tasks[1]
                .after,
            [0]
        );
    }

    #[test]
    fn other_versions_are_refused_before_anything_else_is_looked_at() {
        assert_eq!(
            error(r#"{"schemaVersion": "1.4", "workflow": {"tasks": []}}"#),
            r#"schemaVersion is "1.4", expected "1.5""#
        );
        assert_eq!(
            error("{}"),
            "not a WfFormat file: there is no schemaVersion"
        );
        assert!(error("# notes").starts_with("not a WfFormat file: expected value at line 1"));
        assert!(
            error(r#"{"schemaVersion": "1.5"}"#)
                .starts_with("not a WfFormat file: missing field `workflow`")
        );
    }

    #[test]
    fn what_cannot_be_carried_out_is_said_in_one_line() {
        assert_eq!(error(&file(&[])), "the workflow has no tasks");
        assert_eq!(
            error(&file(&[("a", 1.0, &["b"])])),
            r#"task "a" has an unknown parent "b""#
        );
        assert_eq!(
            error(&file(&[("a", 1.0, &[]), ("a", 1.0, &[])])),
            r#"two tasks have the id "a""#
        );
        assert_eq!(error(&file(&[("", 1.0, &[])])), "a task has an empty id");
        assert_eq!(
            error(&file(&[("a\n", 1.0, &[])])),
            r#"the id of a task has a control character: "a\n""#
        );
        assert!(
            error(&file(&[(&"x".repeat(201), 1.0, &[])]))
                .contains("201 characters, the limit is 200")
        );
        assert_eq!(
            error(&file(&[("a", -1.0, &[])])),
            r#"task "a" cannot run for -1 s / 1"#
        );
        assert_eq!(
            error(&file(&[
                ("a", 1.0, &["c"]),
                ("b", 1.0, &["a"]),
                ("c", 1.0, &["b"]),
                ("d", 1.0, &["c"])
            ])),
            "these tasks wait for each other: a, b, c"
        );
        assert_eq!(
            error(&file(&[("a", 1.0, &["a"])])),
            "these tasks wait for each other: a"
        );
        let no_runtime = file(&[("a", 1.0, &[])]).replace(
            r#""id":"a","runtimeInSeconds""#,
            r#""id":"b","runtimeInSeconds""#,
        );
        assert_eq!(error(&no_runtime), r#"task "a" has no runtime"#);
    }
}
