//! Recorded workflows (WfFormat 1.5): a document is read or refused, and what is read can be carried out. The reader is that of
//! the program `wfformat`.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use intendant::{Intendant, Worker, limits};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::changes::{changed, changes, plain, values};
use crate::format::{Workflow, parse};
use crate::graph::critical_path;
use crate::json::Json;
use crate::replay::{Replay, plan};
use crate::text::{edited_text, few_edits, texts};
use crate::tries::{Tally, check, runtime};

/// What the recorded times are divided by.
const SPEEDUPS: &[f64] = &[1.0, 1_000.0, 1e-300, 0.1, f64::MAX, f64::MIN_POSITIVE];

/// A document with these tasks, each of which comes after some others by their places. An edge stands at either of its ends.
fn document(ids: &[String], edges: &[(usize, usize)]) -> Value {
    let of = |wanted: usize, is_parent: bool| {
        let edges = edges.iter().enumerate();
        let edges = edges.filter(|(nth, _)| (nth % 2 == 0) == is_parent);
        let ends = edges.filter_map(move |(_, (from, to))| match is_parent {
            true => (*to == wanted).then_some(*from),
            false => (*from == wanted).then_some(*to),
        });
        ends.map(|end| ids[end].as_str()).collect::<Vec<_>>()
    };
    let specified = ids.iter().enumerate().map(|(nth, id)| {
        json!({"id": id, "name": "same", "parents": of(nth, true), "children": of(nth, false)})
    });
    let specified: Vec<Value> = specified.collect();
    let executed = ids
        .iter()
        .map(|id| json!({"id": id, "runtimeInSeconds": 1.5}));
    let executed: Vec<Value> = executed.collect();
    json!({
        "name": "small",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": specified, "files": []},
            "execution": {"makespanInSeconds": 1.5, "tasks": executed},
        },
    })
}

/// Ids of tasks, most of them different.
fn ids() -> BoxedStrategy<Vec<String>> {
    let odd = prop_oneof![
        select(vec!["undo(a)", "undo()", "a[0]", " a", "é"]).prop_map(str::to_owned),
        texts(),
    ];
    let plain = (0..1_000_u32).prop_map(|nth| format!("task_{nth}"));
    vec(prop_oneof![20 => plain, 1 => odd], 1..12).boxed()
}

fn edges() -> BoxedStrategy<Vec<(Index, Index)>> {
    vec((any::<Index>(), any::<Index>()), 0..16).boxed()
}

/// Where the ends of the edges are, each from the earlier one to the later one.
fn forwards(tasks: usize, edges: &[(Index, Index)]) -> Vec<(usize, usize)> {
    let ends = edges.iter();
    let ends = ends.map(|(one, other)| (one.index(tasks), other.index(tasks)));
    let ends = ends.map(|(one, other)| (one.min(other), one.max(other)));
    ends.filter(|(from, to)| from < to).collect()
}

/// Its order is one of its tasks, parents first, and its numbers are within the limits.
fn check_workflow(workflow: &Workflow) -> Result<()> {
    let (tasks, order) = (&workflow.tasks, &workflow.order);
    let mut places = vec![None; tasks.len()];
    for (place, task) in order.iter().enumerate() {
        let known = places.get_mut(*task).context("a task that is none")?;
        ensure!(known.replace(place).is_none(), "task {task} is there twice");
    }
    for (task, place) in tasks.iter().zip(&places) {
        let place = place.context("a task that is left out")?;
        for parent in &task.after {
            let parent = places.get(*parent as usize).copied().flatten();
            ensure!(
                parent.is_some_and(|parent| parent < place),
                "{task:?} comes too early"
            );
        }
        ensure!(
            u128::from(task.us) <= limits::FUTURE.as_micros(),
            "{task:?} takes too long"
        );
    }
    let ids: HashSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    ensure!(ids.len() == tasks.len(), "two tasks have one id");
    let path = critical_path(tasks, order);
    let is_chain = |pair: &[usize]| {
        tasks[pair[1]]
            .after
            .iter()
            .any(|it| *it as usize == pair[0])
    };
    ensure!(
        !path.tasks.is_empty() && path.tasks.windows(2).all(is_chain),
        "{path:?}"
    );
    Ok(())
}

#[test]
fn what_is_read_can_be_carried_out_whatever_the_document_is() -> Result<()> {
    let runtime = runtime()?;
    let intendant = runtime.block_on(Intendant::open("sqlite::memory:"))?;
    let worker = Worker::new(&intendant, ()).register::<Replay, _>(plan);
    let nearly = (ids(), edges(), changes(plain())).prop_map(|(ids, edges, changes)| {
        let document = document(&ids, &forwards(ids.len(), &edges));
        changed(Json::of(&document), changes).to_string()
    });
    let text =
        prop_oneof![12 => nearly, 1 => values().prop_map(|json| json.to_string()), 1 => texts()];
    let text = (text, few_edits()).prop_map(|(text, edits)| edited_text(text, &edits));
    let tally = Tally::default();
    check(800, &(text, select(SPEEDUPS)), |(text, speedup)| {
        let workflow = match parse(&text, speedup) {
            Ok(workflow) => workflow,
            Err(error) => {
                let said = format!("{error:#}");
                ensure!(!said.is_empty() && said.lines().count() == 1, "{said:?}");
                tally.add("refused");
                return Ok(());
            }
        };
        check_workflow(&workflow)?;
        // The engine takes the plan that is made of it.
        let tasks = workflow.tasks;
        runtime.block_on(worker.plan(&Replay { tasks }))?;
        tally.add("read");
        Ok(())
    })?;
    tally.has(&["read", "refused"])
}

#[test]
fn a_circle_is_refused_and_nothing_else_of_what_is_well_formed() -> Result<()> {
    let ids = |tasks: usize| (0..tasks).map(|nth| format!("t{nth}")).collect::<Vec<_>>();
    let tasks = (1..12_usize).prop_map(ids);
    let back = prop::option::of(any::<Index>());
    let tally = Tally::default();
    check(400, &(tasks, edges(), back), |(ids, edges, back)| {
        let mut edges = forwards(ids.len(), &edges);
        let back = back.filter(|_| !edges.is_empty());
        if let Some(along) = back {
            // From the end of an edge to its beginning.
            let (from, to) = edges[along.index(edges.len())];
            edges.push((to, from));
        }
        let parsed = parse(&document(&ids, &edges).to_string(), 1.0);
        ensure!(parsed.is_ok() != back.is_some(), "{edges:?}: {parsed:?}");
        match parsed {
            Ok(workflow) => {
                check_workflow(&workflow)?;
                tally.add("read");
            }
            Err(error) => {
                let said = error.to_string();
                ensure!(
                    said.starts_with("these tasks wait for each other: "),
                    "{said}"
                );
                tally.add("a circle");
            }
        }
        Ok(())
    })?;
    tally.has(&["read", "a circle"])
}
