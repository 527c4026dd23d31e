//! Binding: the stored shape of a plan and the functions of the code that runs now.
//!
//! After a deploy the two may differ. The stored shape says what there is to do and in which order; the code says how,
//! by step name (PROTOCOL P4).

use std::sync::Arc;

use super::{Shape, StepDef};
use crate::payload::Payload;

/// A shape with the functions for its steps.
pub(crate) struct BoundPlan<S> {
    pub(crate) shape: Arc<Shape>,
    pub(crate) hash: Arc<str>,
    /// As the code has them, in the code's order.
    defs: Vec<StepDef<S>>,
    /// For each step of the shape, its place in `defs`; empty where the two are the same.
    by_shape: Vec<usize>,
}

/// Why stored shape and code do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindError {
    #[error(
        "the plan that this intent started with has a step `{step}`, and the code has none of that name; bring it back, \
         and resume"
    )]
    Gone { step: String },
}

impl<S> BoundPlan<S> {
    /// The code's own shape: nothing to look up.
    pub(crate) fn own(shape: Arc<Shape>, hash: Arc<str>, defs: Vec<StepDef<S>>) -> Self {
        Self {
            shape,
            hash,
            defs,
            by_shape: Vec::new(),
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
                Some(found) => by_shape.push(found),
                None if is_done(&step.name) => by_shape.push(usize::MAX),
                None => {
                    return Err(BindError::Gone {
                        step: step.name.to_string(),
                    });
                }
            }
        }
        Ok(Self {
            shape,
            hash,
            defs,
            by_shape,
        })
    }

    /// The code of a step; none for one that is done and gone from the code.
    pub(crate) fn def(&self, step: usize) -> Option<&StepDef<S>> {
        self.defs
            .get(self.by_shape.get(step).copied().unwrap_or(step))
    }

    /// The input of a step, from the outputs of the steps of the shape.
    pub(crate) fn input<'a>(
        &'a self,
        step: usize,
        output: &impl Fn(usize) -> Option<&'a Payload>,
    ) -> Result<Payload, String> {
        let def = self
            .def(step)
            .ok_or_else(|| "the code has no such step".to_owned())?;
        let by_def = |index: u32| -> Option<&'a Payload> {
            if self.by_shape.is_empty() {
                return output(index as usize);
            }
            output(self.shape.find(&self.defs.get(index as usize)?.name)?)
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
