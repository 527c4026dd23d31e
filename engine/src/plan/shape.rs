//! The shape of a plan: what of it is kept as data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{After, PlanError, StepDef};

/// Names and edges of a plan, in the order in which its steps were added.
///
/// Stored once per hash. The indices are those of this list and never leave it as anything durable: results are kept by
/// step name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) steps: Vec<ShapeStep>,
    /// The step whose output is the intent's.
    pub(crate) output: u32,
}

/// One step of a shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShapeStep {
    pub(crate) name: Arc<str>,
    /// Indices of the steps that it comes after, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<u32>,
    #[serde(default, skip_serializing_if = "Form::is_one")]
    pub(crate) form: Form,
    /// The queue whose workers carry it out, if that is not its intent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<Arc<str>>,
    /// It can be taken back. Left out of the JSON where it cannot, as [`Form::One`] is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) undo: bool,
}

/// Whether a step is one, or stands for one for each element of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    #[default]
    One,
    Each,
}

impl Form {
    /// Left out of the JSON then, so that a plan without maps has the hash that it always had.
    fn is_one(&self) -> bool {
        *self == Self::One
    }
}

impl Shape {
    /// The name under which it is stored: half of a SHA-256 of its JSON, in hexadecimal.
    pub(crate) fn hash(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(&json);
        digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// These steps and all that depend on them, by name; an element stands for its map.
    pub(crate) fn with_dependents(&self, names: &[String]) -> Vec<String> {
        let of = |name: &String| {
            let map = name.split_once('[').map_or(name.as_str(), |(map, _)| map);
            self.find(name).or_else(|| self.find(map))
        };
        let from: Vec<usize> = names.iter().filter_map(of).collect();
        let before = self.steps.iter().map(|step| {
            let after = step.after.iter();
            after.map(|&before| before as usize).collect()
        });
        let before: Vec<Vec<usize>> = before.collect();
        let found = crate::undo::closure(&before, &from);
        let steps = self.steps.iter().zip(found);
        let steps = steps.filter(|(_, found)| *found);
        steps.map(|(step, _)| step.name.to_string()).collect()
    }

    /// Whether it is a plan at all: a stored one may have been damaged. Its edges lead to steps of its own, none of which
    /// waits for itself.
    pub(crate) fn is_sound(&self) -> bool {
        let count = self.steps.len();
        let inside = |index: &u32| (*index as usize) < count;
        let edges = self.steps.iter().flat_map(|step| &step.after);
        if !(inside(&self.output) && edges.clone().all(inside)) {
            return false;
        }
        let mut open: Vec<usize> = self.steps.iter().map(|step| step.after.len()).collect();
        let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (index, step) in self.steps.iter().enumerate() {
            for before in &step.after {
                next[*before as usize].push(index);
            }
        }
        let mut free: Vec<usize> = (0..count).filter(|index| open[*index] == 0).collect();
        let mut done = 0;
        while let Some(index) = free.pop() {
            done += 1;
            for after in &next[index] {
                open[*after] -= 1;
                if open[*after] == 0 {
                    free.push(*after);
                }
            }
        }
        done == count
    }

    /// The position of a step, by its name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| &*step.name == name)
    }
}

/// The shape of a list of steps. Names are resolved here, so that an unknown one is an error of the plan.
pub(super) fn of(steps: &[StepDef], output: u32) -> Result<Shape, PlanError> {
    let mut shape = Shape {
        steps: Vec::with_capacity(steps.len()),
        output,
    };
    // A plan that orders by name may have thousands of edges (recorded workflows do); the others never build the map.
    let mut by_name = None;
    for step in steps {
        let mut after = Vec::new();
        step.input.nodes(&mut after);
        for dependency in &step.after {
            match dependency {
                After::Node(index) => after.push(*index),
                After::Name(name) => {
                    let by_name = by_name.get_or_insert_with(|| index_by_name(steps));
                    let index =
                        by_name
                            .get(name.as_str())
                            .ok_or_else(|| PlanError::UnknownName {
                                step: step.name.to_string(),
                                name: name.clone(),
                            })?;
                    after.push(*index);
                }
            }
        }
        after.sort_unstable();
        after.dedup();
        shape.steps.push(ShapeStep {
            name: step.name.clone(),
            after,
            form: match step.each {
                Some(_) => Form::Each,
                None => Form::One,
            },
            queue: step.queue.clone(),
            undo: step.undo.is_some(),
        });
    }
    Ok(shape)
}

fn index_by_name(steps: &[StepDef]) -> std::collections::HashMap<&str, u32> {
    (0u32..)
        .zip(steps)
        .map(|(index, step)| (&*step.name, index))
        .collect()
}
