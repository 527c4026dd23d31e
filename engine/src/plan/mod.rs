//! Plans: the DAG of steps that carries an intent out, built by plain code from the intent's input.
//!
//! A plan function runs before anything else happens and sees only the input, so running it again after a crash gives
//! the functions and values again. What is kept is its [`shape`](Shape): names and edges. The stored shape wins over
//! the code's (PROTOCOL P4); functions are bound to it by step name.

mod bind;
mod check;
mod erased;
mod graph;
mod input;
mod map;
mod shape;
mod waits;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

pub(crate) use bind::{BindError, BoundPlan, undo_name, undone_of};
pub use check::PlanError;
pub(crate) use check::{check, depth};
pub(crate) use erased::{For, MakePlan, PlanFailure, make_plan, make_single_step, output_of};
use erased::{erase, erase_undo};
pub use graph::{Graph, GraphStep};
pub(crate) use input::{Expr, Wiring};
pub use input::{Input, Value, value};
pub use map::MapBuilder;
pub(crate) use shape::{Form, Shape};

use crate::cx::{Cx, StepContext};
use crate::payload::{Payload, PayloadError};
use crate::retry::{Retry, whole_ms};
use crate::step::{StepError, StepOutput, StepResult};

/// A step's place in the plan that is being built; its output has type `T`.
///
/// It can be given to any number of later steps.
pub struct Node<T> {
    index: u32,
    output: PhantomData<fn() -> T>,
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Node<T> {}

impl<T> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.index).finish()
    }
}

/// A step without its types; the application's state is in it.
pub(crate) type RunStep = Arc<dyn Fn(Arc<StepContext>, Payload) -> Attempt<'static> + Send + Sync>;

/// An undo without its types, given its step's input and, if there is one, its output.
pub(crate) type RunUndo =
    Arc<dyn Fn(Arc<StepContext>, Payload, Option<Payload>) -> Attempt<'static> + Send + Sync>;

/// One attempt at a step that is not over yet, and comes to its output as JSON.
pub(crate) type Attempt<'a> = BoxFuture<'a, Result<StepDone, StepError>>;

/// How an erased step ended well.
pub(crate) enum StepDone {
    /// With this output, which has to be recorded.
    Output(Result<Payload, PayloadError>),
    /// With an output that its own transaction has recorded.
    Recorded,
}

/// One step as the author wrote it.
pub(crate) struct StepDef {
    pub(crate) name: Arc<str>,
    pub(crate) run: RunStep,
    /// Whether this can be read as its output.
    pub(crate) accepts: fn(&Payload) -> Result<(), PayloadError>,
    pub(crate) input: Expr,
    pub(crate) retry: Retry,
    pub(crate) time_limit: Option<Duration>,
    /// Over all attempts.
    pub(crate) total_limit: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) point_of_no_return: bool,
    pub(crate) at_most_once: bool,
    /// Takes back what it did.
    pub(crate) undo: Option<RunUndo>,
    /// Of a map: how many of its elements at once.
    pub(crate) each: Option<usize>,
    /// The queue whose workers carry it out, if that is not its intent's.
    pub(crate) queue: Option<Arc<str>>,
    after: Vec<After>,
}

enum After {
    Node(u32),
    Name(String),
}

/// A plan that is being built. `S` is the application's state, which every step gets.
///
/// ```
/// # use intendant::{Cx, Node, Plan, StepResult, value};
/// # struct Cloud; struct Order { size: u32 }
/// # async fn create_volume(_: Cx<Cloud>, size: u32) -> StepResult<String> { Ok(format!("volume of {size}")) }
/// # async fn boot_server(_: Cx<Cloud>, size: u32) -> StepResult<u16> { Ok(80) }
/// # async fn join(_: Cx<Cloud>, parts: (String, u16)) -> StepResult<String> { Ok(parts.0) }
/// fn add_replica(order: &Order, plan: &mut Plan<Cloud>) -> Node<String> {
///     let volume = plan.step("volume", create_volume).input(value(order.size));
///     let server = plan.step("server", boot_server).attempts(5).input(value(order.size));
///     plan.step("join", join).input((volume, server)) // runs when both are done
/// }
/// ```
///
/// A step that is given something else than it takes does not compile:
///
/// ```compile_fail,E0277
/// # use intendant::{Cx, Node, Plan, StepResult, value};
/// # struct Cloud; struct Order { size: u32 }
/// # async fn create_volume(_: Cx<Cloud>, size: u32) -> StepResult<String> { Ok(format!("volume of {size}")) }
/// # async fn boot_server(_: Cx<Cloud>, size: u32) -> StepResult<u16> { Ok(80) }
/// fn add_replica(order: &Order, plan: &mut Plan<Cloud>) -> Node<u16> {
///     let volume = plan.step("volume", create_volume).input(value(order.size));
///     plan.step("server", boot_server).input(volume) // takes a size, not a volume
/// }
/// ```
pub struct Plan<S> {
    state: Arc<S>,
    steps: Vec<StepDef>,
    errors: Vec<PlanError>,
}

impl<S: Send + Sync + 'static> Plan<S> {
    fn new(state: Arc<S>) -> Self {
        Self {
            state,
            steps: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Adds a step. It is part of the plan once its [`input`](StepBuilder::input) is given.
    ///
    /// The name is what its result is kept under: renaming a step makes it another one.
    pub fn step<I, R, F, Fut>(
        &mut self,
        name: impl Into<Arc<str>>,
        run: F,
    ) -> StepBuilder<'_, S, I, R::Value>
    where
        I: DeserializeOwned + Send + 'static,
        R: StepOutput,
        F: Fn(Cx<S>, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<R>> + Send + 'static,
    {
        StepBuilder {
            name: name.into(),
            run: erase(run, &self.state),
            plan: self,
            accepts: R::accepts,
            retry: Retry::default(),
            time_limit: None,
            total_limit: None,
            deadline: None,
            point_of_no_return: false,
            at_most_once: false,
            undo: None,
            each: None,
            queue: None,
            after: Vec::new(),
            types: PhantomData,
        }
    }

    /// Steps that name the intent's own queue are ordinary ones.
    fn stay_in(&mut self, own: &str) {
        for step in &mut self.steps {
            step.queue.take_if(|queue| **queue == *own);
        }
    }

    /// The finished plan, or what is wrong with it.
    pub(crate) fn finish(mut self, output: u32) -> Result<(Vec<StepDef>, Shape), PlanError> {
        if !self.errors.is_empty() {
            return Err(self.errors.swap_remove(0));
        }
        let shape = shape::of(&self.steps, output)?;
        Ok((self.steps, shape))
    }
}

impl<S> fmt::Debug for Plan<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.steps.iter().map(|step| &step.name))
            .finish()
    }
}

/// A step that is being added: [`input`](Self::input) ends it.
#[must_use = "a step is part of the plan only once its `input` is given"]
pub struct StepBuilder<'p, S, I, O> {
    plan: &'p mut Plan<S>,
    name: Arc<str>,
    run: RunStep,
    accepts: fn(&Payload) -> Result<(), PayloadError>,
    retry: Retry,
    time_limit: Option<Duration>,
    total_limit: Option<Duration>,
    deadline: Option<Duration>,
    point_of_no_return: bool,
    at_most_once: bool,
    undo: Option<RunUndo>,
    each: Option<usize>,
    queue: Option<Arc<str>>,
    after: Vec<After>,
    types: PhantomData<fn(I) -> O>,
}

impl<S, I, O> fmt::Debug for StepBuilder<'_, S, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static, I, O> StepBuilder<'_, S, I, O> {
    /// How often it is tried in all, the first attempt counted; ten times unless said. Zero counts as one.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.retry.attempts = attempts.max(1);
        self
    }

    /// Bounds of the wait between two attempts: it is drawn evenly from zero to `base`, doubled with every further
    /// attempt, and never longer than `cap`. One second and one hour unless said.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.retry.base_ms = whole_ms(base);
        self.retry.cap_ms = whole_ms(cap);
        self
    }

    /// Longest time that one attempt may take. When it is over, the attempt's future is dropped and counts as failed
    /// with unknown effect. No limit unless said.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Longest time that all attempts may take together, with the waits between them, for children and by `snooze`, counted
    /// from the beginning of the first. When it is over, or the next attempt would be later, the step has failed, and the
    /// intent with it, as `step limit`; children that it still waits for are cancelled. A step that waits in another
    /// queue is found over its limit by whoever claims it there. A resume begins anew. No limit unless said. For the
    /// intent as a whole: [`Intent::TIME_LIMIT`](crate::Intent::TIME_LIMIT).
    pub fn total_limit(mut self, limit: Duration) -> Self {
        self.total_limit = Some(limit);
        self
    }

    /// By when it is to be done, counted from when all that it depends on is. It is not stopped when it is late: an alert
    /// says so ([`AlertKind::StepDeadline`](crate::AlertKind::StepDeadline)), until it is done after all. A step with a
    /// deadline costs a row.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// From when this step has started, its intent is not cancelled any more: a cancel is refused
    /// ([`Error::PastReturn`](crate::Error::PastReturn)), also that of an ancestor. Its start is on disk before it runs,
    /// which is one commit more.
    pub fn point_of_no_return(mut self) -> Self {
        self.point_of_no_return = true;
        self
    }

    /// Runs on the workers of that queue which know the kind (see [`Worker::queue`](crate::Worker::queue)), and its intent
    /// goes on when it is done. Meanwhile the intent holds no worker, unless something else of it runs. The queue of the
    /// intent itself makes it an ordinary step.
    ///
    /// Everything but [`cx.child`](crate::Cx::child) works as in any other step: a step away from its intent cannot ask for
    /// children. What the plan says at its first start holds: an intent that is on its way keeps the queue.
    /// Its [`undo`](Self::undo) runs in the same queue, which has to be served for that.
    ///
    /// ```
    /// # use intendant::{Cx, Node, Plan, StepResult, value};
    /// # struct Order { server: u32 }
    /// # async fn boot(_: Cx<()>, server: u32) -> StepResult<u32> { Ok(server) }
    /// # async fn attach_address(_: Cx<()>, server: u32) -> StepResult<String> { Ok(format!("10.0.0.{server}")) }
    /// fn add_server(order: &Order, plan: &mut Plan<()>) -> Node<String> {
    ///     let server = plan.step("boot", boot).input(value(order.server));
    ///     plan.step("address", attach_address).queue("network").input(server)
    /// }
    /// ```
    pub fn queue(mut self, queue: impl Into<Arc<str>>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Is not run a second time before a person has looked: for effects that must not be doubled, on systems that take no
    /// idempotency key. Its start is on disk before it runs, which is one commit more. If its worker dies while it runs, or
    /// has to stop it, the intent fails as `interrupted`; a person finds out whether it took effect, and skips the step with
    /// its output, or resumes. A failed attempt, a time-out or a panic is not tried again either. A `snooze`, a wait (for
    /// children, a time, a message) and a safe exit point say that it may run again. In another [`queue`](Self::queue) all this is the same.
    pub fn at_most_once(mut self) -> Self {
        self.at_most_once = true;
        self
    }

    /// How to take back what this step did: when the intent is cancelled, or fails and its kind says so
    /// ([`OnFailure::Undo`](crate::OnFailure::Undo)).
    ///
    /// It is called if the step has started, and gets the step's input and its output, if there is one. A step that has
    /// failed, was stopped, or was running when its worker died, may or may not have had an effect: then there is no
    /// output, and the undo has to bear that there is nothing to take back. Steps are taken back after all that depend on
    /// them. An undo is a step itself, named `undo(…)`: it is tried as often as its step, may `snooze`, and can be seen; if
    /// it fails in the end, the intent has failed, and a resume goes on with it. Children that its step has asked for, and
    /// that succeeded, are its to take back. What ran in another [`queue`](Self::queue) is taken back there; as soon as it has
    /// been sent there it counts as started. What succeeded is taken back by a new intent
    /// ([`Intendant::undo`](crate::Intendant::undo)), whose id is another one: what is to be found again belongs into the
    /// output.
    ///
    /// ```
    /// # use intendant::{Cx, Node, Plan, StepResult, value};
    /// # struct Order { size: u32 }
    /// async fn create_volume(cx: Cx<()>, size: u32) -> StepResult<String> {
    ///     Ok(format!("volume-{size}-{}", cx.idempotency_key()))
    /// }
    ///
    /// async fn delete_volume(_: Cx<()>, _size: u32, volume: Option<String>) -> StepResult<()> {
    ///     match volume {
    ///         Some(volume) => println!("deleting {volume}"),
    ///         None => println!("deleting what may have been left behind"),
    ///     }
    ///     Ok(())
    /// }
    ///
    /// fn plan(order: &Order, plan: &mut Plan<()>) -> Node<String> {
    ///     plan.step("volume", create_volume).undo(delete_volume).input(value(order.size))
    /// }
    /// ```
    ///
    /// One that takes back something else than its step makes does not compile:
    ///
    /// ```compile_fail,E0631
    /// # use intendant::{Cx, Node, Plan, StepResult, value};
    /// # struct Order { size: u32 }
    /// # async fn create_volume(cx: Cx<()>, size: u32) -> StepResult<String> { Ok(format!("volume-{size}")) }
    /// async fn delete_server(_: Cx<()>, _size: u32, server: Option<u64>) -> StepResult<()> {
    ///     Ok(())
    /// }
    ///
    /// fn plan(order: &Order, plan: &mut Plan<()>) -> Node<String> {
    ///     plan.step("volume", create_volume).undo(delete_server).input(value(order.size))
    /// }
    /// ```
    pub fn undo<R, F, Fut>(mut self, undo: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: DeserializeOwned + Send + 'static,
        R: StepOutput<Value = ()>,
        F: Fn(Cx<S>, I, Option<O>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<R>> + Send + 'static,
    {
        self.undo = Some(erase_undo(undo, &self.plan.state));
        self
    }

    /// Starts only after that step too, without taking its output. A step can be named before it is added.
    pub fn after(mut self, step: impl Into<Dependency>) -> Self {
        self.after.push(step.into().0);
        self
    }

    /// Gives the step its input and adds it to the plan: nodes of other steps, a [`value`], or tuples and vectors of
    /// these.
    pub fn input(self, input: impl Input<I>) -> Node<O> {
        self.wire(input)
    }

    /// Adds the step. What its input and its output are is the caller's to know.
    fn wire<T, U>(self, input: impl Input<T>) -> Node<U> {
        let mut wiring = Wiring::default();
        let expr = input.wire(&mut wiring);
        if let Some(error) = wiring.error {
            self.plan.errors.push(PlanError::Value {
                step: self.name.to_string(),
                error,
            });
        }
        let index = u32::try_from(self.plan.steps.len()).unwrap_or(u32::MAX);
        self.plan.steps.push(StepDef {
            name: self.name,
            run: self.run,
            accepts: self.accepts,
            input: expr,
            retry: self.retry,
            time_limit: self.time_limit,
            total_limit: self.total_limit,
            deadline: self.deadline,
            point_of_no_return: self.point_of_no_return,
            at_most_once: self.at_most_once,
            undo: self.undo,
            each: self.each,
            queue: self.queue,
            after: self.after,
        });
        Node {
            index,
            output: PhantomData,
        }
    }
}

/// A step that another one comes after: its [`Node`] or its name.
#[derive(Debug)]
pub struct Dependency(After);

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(index) => write!(f, "Node({index})"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

impl<T> From<Node<T>> for Dependency {
    fn from(node: Node<T>) -> Self {
        Self(After::Node(node.index))
    }
}

impl From<&str> for Dependency {
    fn from(name: &str) -> Self {
        Self(After::Name(name.to_owned()))
    }
}

/// What a plan function may return: the node whose output is the intent's, or an error instead.
#[diagnostic::on_unimplemented(
    message = "a plan function for this kind returns `Node<{T}>`, or a `Result` of it",
    label = "this returns `{Self}`"
)]
pub trait PlanOutput<T> {
    /// The node, or why there is no plan.
    #[doc(hidden)]
    fn into_node(self) -> Result<Node<T>, String>;
}

impl<T> PlanOutput<T> for Node<T> {
    fn into_node(self) -> Result<Node<T>, String> {
        Ok(self)
    }
}

impl<T, E: fmt::Display> PlanOutput<T> for Result<Node<T>, E> {
    fn into_node(self) -> Result<Node<T>, String> {
        self.map_err(|error| error.to_string())
    }
}
