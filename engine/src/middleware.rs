//! Middleware: what runs around steps. Around those of every kind of a worker, or of one.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::cx::{Cx, StepContext};
use crate::plan::{Attempt, StepDone};
use crate::step::StepResult;

/// That a step ended well. Only the step itself can say so, so a middleware can pass it on or fail the attempt instead, and
/// cannot make an output up.
pub struct Done(pub(crate) StepDone);

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

/// Something that runs around every attempt at a step: signs in to a cloud first, reports errors, measures.
///
/// [`Worker::middleware`](crate::Worker::middleware) adds one for all kinds, and
/// [`middleware_for`](crate::Worker::middleware_for) for one kind; the first one added is the outermost, those of one kind
/// are inside those of all. They run around undo functions too. What is on record of a step goes by what the outermost
/// returns, unless the step's own [transaction](Cx::transaction) has recorded its result already.
///
/// A time-out, a panic of the step and the end of a cancel's grace time come back from [`Next::run`] as errors, so a
/// middleware sees all ends of an attempt, except that of its worker. What it does itself may take five seconds more than
/// the step's time limit.
///
/// ```
/// use intendant::{Cx, Done, Middleware, Next, StepResult};
///
/// struct Cloud;
/// struct Token(String);
///
/// struct SignIn;
///
/// impl Middleware<Cloud> for SignIn {
///     async fn around(&self, cx: &Cx<Cloud>, next: Next<'_, Cloud>) -> StepResult<Done> {
///         // An error here is an error of the attempt, which is tried again.
///         cx.provide(Token(format!("token for {}", cx.account().unwrap_or("nobody"))));
///         let ended = next.run().await;
///         if let Err(error) = &ended
///             && let Some((failure, message)) = error.failure()
///         {
///             eprintln!("{} of {}: {failure:?}: {message}", cx.step_name(), cx.intent_id());
///         }
///         ended
///     }
/// }
///
/// async fn create_volume(cx: Cx<Cloud>, size: u32) -> StepResult<String> {
///     let token = cx.provided::<Token>().ok_or_else(|| intendant::fail("nobody has signed in"))?;
///     Ok(format!("volume of {size} with {}", token.0))
/// }
/// ```
pub trait Middleware<S>: Send + Sync + 'static {
    /// Its name in [`Worker::middleware_table`](crate::Worker::middleware_table): the type's unless said.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(short(std::any::type_name::<Self>()))
    }

    /// Runs around one attempt; [`next.run()`](Next::run) is the attempt itself, or the next middleware.
    fn around(
        &self,
        cx: &Cx<S>,
        next: Next<'_, S>,
    ) -> impl Future<Output = StepResult<Done>> + Send;
}

/// A type's name without its path and its parameters.
fn short(name: &str) -> &str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

/// A middleware without its type.
pub(crate) trait Layer<S>: Send + Sync {
    fn name(&self) -> Cow<'static, str>;
    fn around<'a>(&'a self, cx: &'a Cx<S>, next: Next<'a, S>) -> BoxFuture<'a, StepResult<Done>>;
}

impl<S: Send + Sync + 'static, M: Middleware<S>> Layer<S> for M {
    fn name(&self) -> Cow<'static, str> {
        Middleware::name(self)
    }

    fn around<'a>(&'a self, cx: &'a Cx<S>, next: Next<'a, S>) -> BoxFuture<'a, StepResult<Done>> {
        Box::pin(Middleware::around(self, cx, next))
    }
}

/// All that runs around the steps of one kind, without the application's types.
pub(crate) trait Around: Send + Sync {
    fn run<'a>(&'a self, context: Arc<StepContext>, step: Attempt<'a>) -> Attempt<'a>;
}

/// With them: the outermost first.
struct Layers<S> {
    state: Arc<S>,
    layers: Vec<Arc<dyn Layer<S>>>,
}

impl<S: Send + Sync + 'static> Around for Layers<S> {
    fn run<'a>(&'a self, context: Arc<StepContext>, step: Attempt<'a>) -> Attempt<'a> {
        Box::pin(async move {
            let next = Next {
                cx: &Cx::new(self.state.clone(), context),
                layers: &self.layers,
                step,
            };
            next.run().await.map(|Done(done)| done)
        })
    }
}

/// The rest of an attempt, as a [`Middleware`] sees it.
#[must_use = "the step runs only if `run` is awaited"]
pub struct Next<'a, S> {
    cx: &'a Cx<S>,
    layers: &'a [Arc<dyn Layer<S>>],
    step: Attempt<'a>,
}

impl<S: Send + Sync + 'static> Next<'_, S> {
    /// Runs what is inside: the next middleware, or the step.
    pub async fn run(self) -> StepResult<Done> {
        let Self { cx, layers, step } = self;
        match layers.split_first() {
            Some((layer, layers)) => layer.around(cx, Next { cx, layers, step }).await,
            None => step.await.map(Done),
        }
    }
}

impl<S> fmt::Debug for Next<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.layers.iter().map(|layer| layer.name());
        f.debug_list().entries(layers).finish()
    }
}

/// A worker's middleware, in the order in which it was added.
pub(crate) struct Stack<S> {
    added: Vec<Added<S>>,
}

/// Of which kind, if not of all, and what.
type Added<S> = (Option<&'static str>, Arc<dyn Layer<S>>);

impl<S> Default for Stack<S> {
    fn default() -> Self {
        Self { added: Vec::new() }
    }
}

impl<S: Send + Sync + 'static> Stack<S> {
    /// Adds one inside those that are there, for a kind or for all.
    pub(crate) fn add(&mut self, kind: Option<&'static str>, middleware: impl Middleware<S>) {
        self.added.push((kind, Arc::new(middleware)));
    }

    /// What runs around the steps of a kind; nothing where there is nothing.
    pub(crate) fn around(&self, kind: &str, state: &Arc<S>) -> Option<Arc<dyn Around>> {
        let layers = Layers {
            state: state.clone(),
            layers: self.of(kind).cloned().collect(),
        };
        let is_needed = !layers.layers.is_empty();
        is_needed.then(|| Arc::new(layers) as Arc<dyn Around>)
    }

    /// Those around the steps of a kind, the outermost first.
    fn of(&self, kind: &str) -> impl Iterator<Item = &Arc<dyn Layer<S>>> {
        let of_all = self.added.iter().filter(|(of, _)| of.is_none());
        let of_one = self.added.iter().filter(move |(of, _)| *of == Some(kind));
        of_all.chain(of_one).map(|(_, layer)| layer)
    }

    /// What runs around the steps of each of these kinds, a line for each.
    pub(crate) fn table<'k>(&self, kinds: impl Iterator<Item = &'k str>) -> String {
        let mut table = String::new();
        for kind in kinds {
            table.push_str(kind);
            table.push_str(": ");
            for layer in self.of(kind) {
                table.push_str(&layer.name());
                table.push_str(" → ");
            }
            table.push_str("step\n");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    struct Named(&'static str);

    impl Middleware<()> for Named {
        fn name(&self) -> Cow<'static, str> {
            self.0.into()
        }

        async fn around(&self, _: &Cx<()>, next: Next<'_, ()>) -> StepResult<Done> {
            next.run().await
        }
    }

    struct Plain<T>(T);

    impl<T: Send + Sync + 'static> Middleware<()> for Plain<T> {
        async fn around(&self, _: &Cx<()>, next: Next<'_, ()>) -> StepResult<Done> {
            next.run().await
        }
    }

    #[test]
    fn those_of_one_kind_are_inside_those_of_all_each_in_the_order_of_being_added() {
        let mut stack = Stack::<()>::default();
        assert!(stack.around("a", &Arc::new(())).is_none());
        stack.add(Some("b"), Named("third"));
        stack.add(None, Named("first"));
        stack.add(Some("b"), Plain::<String>(String::new()));
        stack.add(None, Named("second"));
        expect![[r#"
            a: first → second → step
            b: first → second → third → Plain → step
        "#]]
        .assert_eq(&stack.table(["a", "b"].into_iter()));
        expect![[r#"
            a: step
        "#]]
        .assert_eq(&Stack::<()>::default().table(["a"].into_iter()));
    }
}
