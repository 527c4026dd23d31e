//! What a plan must be before anything of it runs: names in order, no cycle, within the limits.

use std::collections::HashSet;

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Form, Shape};
use crate::intent::{NameError, check_name};
use crate::limits;
use crate::payload::PayloadError;

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It has no steps.
    #[error("the plan has no steps")]
    Empty,
    /// More steps than [`limits::PLAN_STEPS`].
    #[error("the plan has {steps} steps, the limit is {limit}")]
    TooManySteps {
        /// How many it has.
        steps: usize,
        /// The limit.
        limit: usize,
    },
    /// A chain of dependencies longer than [`limits::PLAN_DEPTH`].
    #[error("the plan's longest chain has {depth} steps, the limit is {limit}")]
    TooDeep {
        /// Its length.
        depth: usize,
        /// The limit.
        limit: usize,
    },
    /// Two steps have one name.
    #[error("two steps are named `{name}`; a step's result is kept under its name")]
    DoubledName {
        /// The name.
        name: String,
    },
    /// A step is named as an element of a map would be.
    #[error("step `{step}` is named like an element of the map `{map}`; give it another name")]
    NamedLikeElement {
        /// The step.
        step: String,
        /// The map.
        map: String,
    },
    /// A step is named as the taking back of another one would be.
    #[error("step `{step}` is named like the undo of another step; give it another name")]
    NamedLikeUndo {
        /// The step.
        step: String,
    },
    /// A step comes after one that is not in the plan.
    #[error("step `{step}` comes after `{name}`, and the plan has no step of that name")]
    UnknownName {
        /// The step.
        step: String,
        /// The name that nobody has.
        name: String,
    },
    /// A step's name, or that of its queue, cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Steps wait for each other.
    #[error("these steps wait for each other: {}", .steps.join(", "))]
    Cycle {
        /// Their names.
        steps: Vec<String>,
    },
    /// A node of another plan was used.
    #[error("step `{step}` uses a node of another plan")]
    ForeignNode {
        /// The step, or the plan's output.
        step: String,
    },
    /// A value given to a step cannot be kept.
    #[error("the value given to step `{step}` cannot be kept: {error}")]
    Value {
        /// The step.
        step: String,
        /// Why.
        error: PayloadError,
    },
}

/// Checks a shape. Pure; costs one pass over its edges.
pub(crate) fn check(shape: &Shape) -> Result<(), PlanError> {
    let steps = shape.steps.len();
    if steps == 0 {
        return Err(PlanError::Empty);
    }
    if steps > limits::PLAN_STEPS {
        return Err(PlanError::TooManySteps {
            steps,
            limit: limits::PLAN_STEPS,
        });
    }
    let mut names = HashSet::with_capacity(steps);
    for step in &shape.steps {
        check_name("step", &step.name)?;
        if let Some(queue) = &step.queue {
            check_name("queue", queue)?;
        }
        if step.name.starts_with("undo(") && step.name.ends_with(')') {
            return Err(PlanError::NamedLikeUndo {
                step: step.name.to_string(),
            });
        }
        if !names.insert(&*step.name) {
            return Err(PlanError::DoubledName {
                name: step.name.to_string(),
            });
        }
        if step.after.iter().any(|&index| index as usize >= steps) {
            return Err(PlanError::ForeignNode {
                step: step.name.to_string(),
            });
        }
    }
    if shape.output as usize >= steps {
        return Err(PlanError::ForeignNode {
            step: "the plan's output".to_owned(),
        });
    }
    for map in shape.steps.iter().filter(|step| step.form == Form::Each) {
        let like = |name: &str| {
            let rest = name.strip_prefix(&*map.name);
            rest.is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'))
        };
        if let Some(step) = shape.steps.iter().find(|step| like(&step.name)) {
            return Err(PlanError::NamedLikeElement {
                step: step.name.to_string(),
                map: map.name.to_string(),
            });
        }
    }
    match depth(shape)? {
        depth if depth > limits::PLAN_DEPTH => Err(PlanError::TooDeep {
            depth,
            limit: limits::PLAN_DEPTH,
        }),
        _ => Ok(()),
    }
}

/// How many steps the longest chain of dependencies has; an error where steps wait for each other.
pub(crate) fn depth(shape: &Shape) -> Result<usize, PlanError> {
    let edges = shape
        .steps
        .iter()
        .zip(0u32..)
        .flat_map(|(step, to)| step.after.iter().map(move |&from| (from, to)));
    let mut graph = DiGraph::<(), (), u32>::from_edges(edges);
    while graph.node_count() < shape.steps.len() {
        graph.add_node(());
    }
    let Ok(order) = toposort(&graph, None) else {
        return Err(PlanError::Cycle {
            steps: cycle(shape, &graph),
        });
    };
    let mut depth = vec![1usize; shape.steps.len()];
    for node in order {
        for &before in &shape.steps[node.index()].after {
            depth[node.index()] = depth[node.index()].max(depth[before as usize] + 1);
        }
    }
    Ok(depth.into_iter().max().unwrap_or_default())
}

/// The names of steps that wait for each other, in the plan's order.
fn cycle(shape: &Shape, graph: &DiGraph<(), (), u32>) -> Vec<String> {
    let is_cycle = |nodes: &Vec<NodeIndex<u32>>| {
        nodes.len() > 1 || nodes.iter().any(|&n| graph.contains_edge(n, n))
    };
    // Not Tarjan's, which is recursive here: a plan may be deep.
    let mut nodes = kosaraju_scc(graph)
        .into_iter()
        .find(is_cycle)
        .unwrap_or_default();
    nodes.sort_unstable();
    nodes
        .into_iter()
        .map(|node| shape.steps[node.index()].name.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::shape::{Form, ShapeStep};
    use expect_test::{Expect, expect};

    /// One step a line, `name: dependencies by position`.
    fn verdict(text: &str, expected: Expect) {
        let steps = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (name, after) = line.split_once(':').unwrap();
                let after = after
                    .split_whitespace()
                    .map(|index| index.parse().unwrap())
                    .collect();
                let (name, form) = match name.strip_prefix("each ") {
                    Some(name) => (name, Form::Each),
                    None => (name, Form::One),
                };
                ShapeStep {
                    name: name.into(),
                    after,
                    form,
                    queue: None,
                    undo: false,
                }
            })
            .collect();
        let text = match check(&Shape { steps, output: 0 }) {
            Ok(()) => "sound".to_owned(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&text);
    }

    fn chain(length: usize) -> Shape {
        let step = |index: usize| ShapeStep {
            name: format!("s{index}").into(),
            after: (index > 0).then(|| index as u32 - 1).into_iter().collect(),
            form: Form::One,
            queue: None,
            undo: false,
        };
        Shape {
            steps: (0..length).map(step).collect(),
            output: 0,
        }
    }

    #[test]
    fn a_plan_is_checked_before_anything_runs() {
        verdict("a:\nb: 0\nc: 0 1", expect!["sound"]);
        verdict("", expect!["the plan has no steps"]);
        verdict(
            "a:\na: 0",
            expect!["two steps are named `a`; a step's result is kept under its name"],
        );
        verdict(
            "a: 2\nb: 0\nc: 1\nd:",
            expect!["these steps wait for each other: a, b, c"],
        );
        verdict("a:\nb: 1", expect!["these steps wait for each other: b"]);
        verdict("a: 7", expect!["step `a` uses a node of another plan"]);
        verdict("a:\neach m: 0\nm[x: 1", expect!["sound"]);
        verdict(
            "a:\neach m: 0\nm[1]: 0",
            expect!["step `m[1]` is named like an element of the map `m`; give it another name"],
        );
    }

    #[test]
    fn size_and_depth_are_limits_at_minus_one_zero_and_plus_one() {
        for (length, sound) in [
            (limits::PLAN_DEPTH - 1, true),
            (limits::PLAN_DEPTH, true),
            (limits::PLAN_DEPTH + 1, false),
        ] {
            assert_eq!(check(&chain(length)).is_ok(), sound, "{length}");
        }
        for (size, sound) in [
            (limits::PLAN_STEPS - 1, true),
            (limits::PLAN_STEPS, true),
            (limits::PLAN_STEPS + 1, false),
        ] {
            let mut shape = chain(size);
            shape.steps.iter_mut().for_each(|step| step.after.clear());
            assert_eq!(check(&shape).is_ok(), sound, "{size}");
        }
    }
}
