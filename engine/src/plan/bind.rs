//! Binding: the stored shape of a plan and the functions of the code that runs now.
//!
//! After a deploy the two may differ. The stored shape says what there is to do and in which order; the code says how,
//! by step name (PROTOCOL P4).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::shape::ShapeStep;
use super::{Expr, Form, Shape, StepDef};
use crate::payload::Payload;

/// A shape with the functions for its steps.
pub(crate) struct BoundPlan<S> {
    /// With the elements of the maps whose lists are known, after the steps of the stored shape.
    pub(crate) shape: Arc<Shape>,
    /// As it is stored.
    pub(crate) stored: Arc<Shape>,
    pub(crate) hash: Arc<str>,
    /// As the code has them, in the code's order.
    defs: Vec<StepDef<S>>,
    /// For each step of the shape, its place in `defs`; empty where the two are the same.
    by_shape: Vec<usize>,
    /// Which map an element belongs to, and what it is.
    elements: Vec<(usize, Payload)>,
    /// Where in `shape` a map's elements are.
    maps: HashMap<usize, Range<usize>>,
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

impl<S> BoundPlan<S> {
    /// The code's own shape: nothing to look up.
    pub(crate) fn own(shape: Arc<Shape>, hash: Arc<str>, defs: Vec<StepDef<S>>) -> Self {
        Self::new(shape, hash, defs, Vec::new())
    }

    /// A step by itself, with the input that its driver has put together.
    pub(crate) fn alone(name: Arc<str>, def: &StepDef<S>, input: Payload) -> Self {
        let step = ShapeStep {
            name: name.clone(),
            after: Vec::new(),
            form: Form::One,
            queue: None,
        };
        let shape = Shape {
            steps: vec![step],
            output: 0,
        };
        let def = StepDef {
            name,
            run: def.run.clone(),
            input: Expr::Value(input),
            retry: def.retry,
            time_limit: def.time_limit,
            point_of_no_return: def.point_of_no_return,
            each: None,
            queue: None,
            after: Vec::new(),
        };
        // Its hash is nobody's: it is never stored.
        Self::own(Arc::new(shape), Arc::from(""), vec![def])
    }

    fn new(shape: Arc<Shape>, hash: Arc<str>, defs: Vec<StepDef<S>>, by_shape: Vec<usize>) -> Self {
        Self {
            stored: shape.clone(),
            shape,
            hash,
            defs,
            by_shape,
            elements: Vec::new(),
            maps: HashMap::new(),
        }
    }

    /// A stored shape, which differs from the code's. Steps for which `is_done` says yes need no function any more.
    pub(crate) fn stored(
        shape: Arc<Shape>,
        hash: Arc<str>,
        defs: Vec<StepDef<S>>,
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
        let (name, queue) = (
            shape.steps[map].name.clone(),
            shape.steps[map].queue.clone(),
        );
        for index in 0..elements.len() {
            shape.steps.push(ShapeStep {
                name: Arc::from(format!("{name}[{index}]")),
                after: Vec::new(),
                form: Form::One,
                queue: queue.clone(),
            });
        }
        let after = range.clone().filter_map(|index| u32::try_from(index).ok());
        shape.steps[map].after.extend(after);
        self.elements
            .extend(elements.into_iter().map(|element| (map, element)));
        self.maps.insert(map, range.clone());
        range
    }

    /// The code of a step; none for one that is done and gone from the code.
    pub(crate) fn def(&self, step: usize) -> Option<&StepDef<S>> {
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
