//! Map: a step for each element of what earlier steps have come to.
//!
//! The plan's shape has one step for all of them, whatever their number, so it is known before anything runs. Its elements
//! become steps of their own in the worker that drives the intent, once the list is on record (`worker/elements.rs`); the
//! list is the same whoever takes the intent over, so its elements are too.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Dependency, Input, Node, Plan, StepBuilder};
use crate::cx::Cx;
use crate::step::{StepOutput, StepResult};

impl<S: Send + Sync + 'static> Plan<S> {
    /// Adds a step for each element of a list that earlier steps come to: `resize[0]`, `resize[1]` and so on, each with its
    /// own result, its own attempts and its own retries. When all are done, what they have come to is the output, in the
    /// order of the list.
    ///
    /// A plan has no more than 10,000 steps, the elements of its maps counted, and the outputs of a map's elements are
    /// kept together as its own, so they have a payload's limit together.
    ///
    /// ```
    /// # use intendant::{Cx, Node, Plan, StepResult, value};
    /// # struct Album { name: String }
    /// # async fn list(_: Cx<()>, album: String) -> StepResult<Vec<String>> { Ok(vec![album]) }
    /// # async fn resize(_: Cx<()>, picture: String) -> StepResult<u32> { Ok(picture.len() as u32) }
    /// # async fn publish(_: Cx<()>, widths: Vec<u32>) -> StepResult<u32> { Ok(widths.into_iter().sum()) }
    /// fn publish_album(album: &Album, plan: &mut Plan<()>) -> Node<u32> {
    ///     let pictures = plan.step("list", list).input(value(album.name.clone()));
    ///     let widths = plan.map("resize", resize).at_most(8).attempts(3).input(pictures);
    ///     plan.step("publish", publish).input(widths)
    /// }
    /// ```
    pub fn map<I, R, F, Fut>(
        &mut self,
        name: impl Into<std::sync::Arc<str>>,
        run: F,
    ) -> MapBuilder<'_, S, I, R::Value>
    where
        I: DeserializeOwned + Send + 'static,
        R: StepOutput,
        F: Fn(Cx<S>, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<R>> + Send + 'static,
    {
        let mut step = self.step(name, run);
        step.each = Some(usize::MAX);
        MapBuilder { step }
    }
}

/// A map that is being added: [`input`](Self::input) ends it.
#[must_use = "a map is part of the plan only once its `input` is given"]
pub struct MapBuilder<'p, S, I, O> {
    step: StepBuilder<'p, S, I, O>,
}

impl<S, I, O> fmt::Debug for MapBuilder<'_, S, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapBuilder")
            .field("step", &self.step)
            .finish()
    }
}

impl<S: Send + Sync + 'static, I, O> MapBuilder<'_, S, I, O> {
    /// No more than so many elements at once; zero counts as one. Unless said, as many as the worker has slots.
    pub fn at_most(mut self, elements: usize) -> Self {
        self.step.each = Some(elements.max(1));
        self
    }

    /// How often each element is tried: see [`StepBuilder::attempts`].
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.step = self.step.attempts(attempts);
        self
    }

    /// Bounds of the wait between two attempts at an element: see [`StepBuilder::backoff`].
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.step = self.step.backoff(base, cap);
        self
    }

    /// Longest time that one attempt at an element may take: see [`StepBuilder::time_limit`].
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.step = self.step.time_limit(limit);
        self
    }

    /// Longest time that all attempts at an element may take together: see [`StepBuilder::total_limit`].
    pub fn total_limit(mut self, limit: Duration) -> Self {
        self.step = self.step.total_limit(limit);
        self
    }

    /// By when an element is to be done: see [`StepBuilder::deadline`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.step = self.step.deadline(deadline);
        self
    }

    /// Its elements run on the workers of that queue: see [`StepBuilder::queue`].
    pub fn queue(mut self, queue: impl Into<std::sync::Arc<str>>) -> Self {
        self.step = self.step.queue(queue);
        self
    }

    /// How to take back what an element did: see [`StepBuilder::undo`].
    pub fn undo<R, F, Fut>(mut self, undo: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: DeserializeOwned + Send + 'static,
        R: StepOutput<Value = ()>,
        F: Fn(Cx<S>, I, Option<O>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<R>> + Send + 'static,
    {
        self.step = self.step.undo(undo);
        self
    }

    /// Starts only after that step too: see [`StepBuilder::after`].
    pub fn after(mut self, step: impl Into<Dependency>) -> Self {
        self.step = self.step.after(step);
        self
    }

    /// Gives the map its list and adds it to the plan.
    pub fn input(self, list: impl Input<Vec<I>>) -> Node<Vec<O>> {
        self.step.wire(list)
    }
}
