//! Binding: the stored shape of a plan and the functions of the code that runs now.
//!
//! After a deploy the two may differ. The stored shape says what there is to do and in which order; the code says how,
//! by step name (PROTOCOL P4).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::shape::ShapeStep;
use super::{Expr, Form, RunStep, Shape, StepDef};
use crate::payload::Payload;

/// A shape with the functions for its steps.
pub(crate) struct BoundPlan {
    /// With the elements of the maps whose lists are known, after the steps of the stored shape.
    pub(crate) shape: Arc<Shape>,
    /// As it is stored.
    pub(crate) stored: Arc<Shape>,
    pub(crate) hash: Arc<str>,
    /// As the code has them, in the code's order.
    defs: Vec<StepDef>,
    /// For each step of the shape, its place in `defs`; empty where the two are the same.
    by_shape: Vec<usize>,
    /// Which map an element belongs to, and what it is.
    elements: Vec<(usize, Payload)>,
    /// Where in `shape` a map's elements are.
    maps: HashMap<usize, Range<usize>>,
    /// Where in `shape` the steps begin that take back, and which step each of them takes back.
    undos: Option<(usize, Vec<usize>)>,
}

/// Why stored shape and code do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindError {
    #[error(
        "the plan that this intent started with has a step `{step}`, and the code has none of that name; bring it back, \
         and resume"
    )]
    Gone { step: String },
    #[error(
        "step `{step}` of the plan that this intent started with is a map in one of the two, stored plan and code, and a \
         single step in the other; bring the old one back, and resume"
    )]
    Changed { step: String },
}

impl BoundPlan {
    /// The code's own shape: nothing to look up.
    pub(crate) fn own(shape: Arc<Shape>, hash: Arc<str>, defs: Vec<StepDef>) -> Self {
        Self::new(shape, hash, defs, Vec::new())
    }

    /// A step by itself, with the input that its driver has put together, and what runs it: its function, or what takes it
    /// back.
    pub(crate) fn alone(name: Arc<str>, def: &StepDef, run: RunStep, input: Payload) -> Self {
        let step = ShapeStep {
            name: name.clone(),
            after: Vec::new(),
            form: Form::One,
            queue: None,
            undo: false,
        };
        let shape = Shape {
            steps: vec![step],
            output: 0,
        };
        let is_undo = undone_of(&name).is_some();
        let def = StepDef {
            name,
            run,
            accepts: def.accepts,
            input: Expr::Value(input),
            retry: def.retry,
            time_limit: def.time_limit,
            total_limit: def.total_limit.filter(|_| !is_undo),
            deadline: def.deadline,
            point_of_no_return: def.point_of_no_return && !is_undo,
            at_most_once: def.at_most_once && !is_undo,
            undo: None,
            each: None,
            queue: None,
            after: Vec::new(),
        };
        // Its hash is nobody's: it is never stored.
        Self::own(Arc::new(shape), Arc::from(""), vec![def])
    }

    fn new(shape: Arc<Shape>, hash: Arc<str>, defs: Vec<StepDef>, by_shape: Vec<usize>) -> Self {
        Self {
            stored: shape.clone(),
            shape,
            hash,
            defs,
            by_shape,
            elements: Vec::new(),
            maps: HashMap::new(),
            undos: None,
        }
    }

    /// A stored shape, which differs from the code's. Steps for which `is_done` says yes need no function any more.
    pub(crate) fn stored(
        shape: Arc<Shape>,
        hash: Arc<str>,
        defs: Vec<StepDef>,
        is_done: impl Fn(&str) -> bool,
    ) -> Result<Self, BindError> {
        let mut by_shape = Vec::with_capacity(shape.steps.len());
        for step in &shape.steps {
            match defs.iter().position(|def| def.name == step.name) {
                Some(found)
                    if defs[found].each.is_some() != (step.form == Form::Each)
                        && !is_done(&step.name) =>
                {
                    return Err(BindError::Changed {
                        step: step.name.to_string(),
                    });
                }
                Some(found) => by_shape.push(found),
                None if is_done(&step.name) => by_shape.push(usize::MAX),
                None => {
                    return Err(BindError::Gone {
                        step: step.name.to_string(),
                    });
                }
            }
        }
        Ok(Self::new(shape, hash, defs, by_shape))
    }

    /// Whether a step stands for one for each element of a list.
    pub(crate) fn is_map(&self, step: usize) -> bool {
        let step = self.stored.steps.get(step);
        step.is_some_and(|step| step.form == Form::Each)
    }

    /// The map that a step is an element of.
    pub(crate) fn map_of(&self, step: usize) -> Option<usize> {
        let element = step.checked_sub(self.stored.steps.len())?;
        self.elements.get(element).map(|(map, _)| *map)
    }

    /// Some maps have their elements.
    pub(crate) fn has_elements(&self) -> bool {
        !self.elements.is_empty()
    }

    /// The steps for a map's elements, if they have been made.
    pub(crate) fn elements_of(&self, map: usize) -> Option<Range<usize>> {
        self.maps.get(&map).cloned()
    }

    /// Makes a step for each element of a map's list; the map itself comes after all of them.
    pub(crate) fn expand(&mut self, map: usize, elements: Vec<Payload>) -> Range<usize> {
        let first = self.shape.steps.len();
        let range = first..first + elements.len();
        let shape = Arc::make_mut(&mut self.shape);
        let ShapeStep {
            name, queue, undo, ..
        } = shape.steps[map].clone();
        for index in 0..elements.len() {
            shape.steps.push(ShapeStep {
                name: Arc::from(format!("{name}[{index}]")),
                after: Vec::new(),
                form: Form::One,
                queue: queue.clone(),
                undo,
            });
        }
        let after = range.clone().filter_map(|index| u32::try_from(index).ok());
        shape.steps[map].after.extend(after);
        self.elements
            .extend(elements.into_iter().map(|element| (map, element)));
        self.maps.insert(map, range.clone());
        range
    }

    /// The steps that take back have been made.
    pub(crate) fn has_undos(&self) -> bool {
        self.undos.is_some()
    }

    /// The steps of the shape that are no undos.
    pub(crate) fn forward(&self) -> usize {
        self.undos
            .as_ref()
            .map_or(self.shape.steps.len(), |(first, _)| *first)
    }

    /// The step that an undo takes back.
    pub(crate) fn undoes(&self, step: usize) -> Option<usize> {
        let (first, undos) = self.undos.as_ref()?;
        undos.get(step.checked_sub(*first)?).copied()
    }

    /// Whether a step stands for something that can be taken back. A map has its elements for that.
    pub(crate) fn can_undo(&self, step: usize) -> bool {
        self.shape.steps[step].undo && !self.is_map(step)
    }

    /// What each step comes after; elements of a map after what their map comes after.
    fn before(&self) -> Vec<Vec<usize>> {
        let before = (0..self.forward()).map(|step| {
            let after = match self.map_of(step) {
                Some(map) => &self.stored.steps[map].after,
                None => &self.shape.steps[step].after,
            };
            after.iter().map(|&before| before as usize).collect()
        });
        before.collect()
    }

    /// These steps, by their names, and all that depend on them; with a map its elements.
    pub(crate) fn from(&self, names: &[String]) -> Vec<bool> {
        let mut from = Vec::new();
        for name in names {
            let found = self.shape.find(name);
            from.extend(found);
            from.extend(
                found
                    .and_then(|map| self.elements_of(map))
                    .into_iter()
                    .flatten(),
            );
        }
        crate::undo::closure(&self.before(), &from)
    }

    /// Adds a step for each step of the shape that takes it back, in the order in which that is done. All maps that shall
    /// be taken back have their elements.
    pub(crate) fn add_undos(&mut self) -> Range<usize> {
        let first = self.shape.steps.len();
        let order = crate::undo::order(&self.before());
        let queue = |step: usize| {
            let queue = self.shape.steps[step].queue.clone();
            queue.filter(|_| !self.is_map(step))
        };
        let queues: Vec<_> = (0..first).map(queue).collect();
        let shape = Arc::make_mut(&mut self.shape);
        let mut undos = Vec::with_capacity(order.len());
        for (step, after) in order {
            let places = after.into_iter().map(|place| first + place);
            shape.steps.push(ShapeStep {
                name: undo_name(&shape.steps[step].name),
                after: places
                    .filter_map(|place| u32::try_from(place).ok())
                    .collect(),
                form: Form::One,
                // What can reach the thing to make it can take it back.
                queue: queues[step].clone(),
                undo: false,
            });
            undos.push(step);
        }
        self.undos = Some((first, undos));
        first..self.shape.steps.len()
    }

    /// The code of a step; none for one that is done and gone from the code.
    pub(crate) fn def(&self, step: usize) -> Option<&StepDef> {
        let step = self.undoes(step).unwrap_or(step);
        let step = self.map_of(step).unwrap_or(step);
        self.defs
            .get(self.by_shape.get(step).copied().unwrap_or(step))
    }

    /// The input of a step, from the outputs of the steps of the shape.
    pub(crate) fn input<'a>(
        &'a self,
        step: usize,
        output: &impl Fn(usize) -> Option<&'a Payload>,
    ) -> Result<Payload, String> {
        let step = self.undoes(step).unwrap_or(step);
        let element = step.checked_sub(self.stored.steps.len());
        if let Some((_, element)) = element.and_then(|element| self.elements.get(element)) {
            return Ok(element.clone());
        }
        let def = self
            .def(step)
            .ok_or_else(|| "the code has no such step".to_owned())?;
        let by_def = |index: u32| -> Option<&'a Payload> {
            if self.by_shape.is_empty() {
                return output(index as usize);
            }
            output(self.stored.find(&self.defs.get(index as usize)?.name)?)
        };
        def.input.resolve(&by_def).ok_or_else(|| {
            format!(
                "step `{}` now takes the output of a step that the plan which this intent started with does not have \
                 or has not done before it",
                def.name
            )
        })
    }
}

/// The name under which it is kept what came of taking a step back.
pub(crate) fn undo_name(step: &str) -> Arc<str> {
    Arc::from(format!("undo({step})"))
}

/// The step that is taken back under this name.
pub(crate) fn undone_of(name: &str) -> Option<&str> {
    name.strip_prefix("undo(")?.strip_suffix(')')
}
