//! Children: the intents that a step asks for and waits for.
//!
//! Nothing here waits. A child whose end is known is looked up; one that is not there or not done yet is put on a list,
//! and the step ends with it. Its driver asks for those that are new, all in one commit, and parks the step until the
//! last of them has finished.

use std::collections::HashSet;
use std::fmt;
use std::future::{IntoFuture, Ready, ready};
use std::sync::Arc;

use crate::cx::{Cx, StepContext};
use crate::error::Error;
use crate::handle::output_of;
use crate::id::IntentId;
use crate::intent::{Intent, check_name};
use crate::limits;
use crate::payload::Payload;
use crate::request::{ChildRequest, child_hash, new_child};
use crate::state::{FailureReason, IntentState};
use crate::step::{Ending, StepError, fail};
use crate::store::ChildLoad;
use crate::trace;

/// How a child ended that did not succeed. The parent decides what that means: it may go on without the child, ask for
/// another one under another name, or fail.
///
/// Passed on by `?` it fails the step for good, since asking again under the same name would give the same answer; for
/// that reason it is not an [`Error`](std::error::Error), which a step would be tried again for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildFailed {
    /// The child.
    pub id: IntentId,
    /// The name under which the step asked for it.
    pub name: String,
    /// Why it failed, in a word; none if it was cancelled.
    pub reason: Option<FailureReason>,
    /// In which of its steps.
    pub step: Option<String>,
    /// Why, in a line.
    pub error: String,
}

impl fmt::Display for ChildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => {
                let (id, step, error) = (self.id, self.step.clone(), self.error.clone());
                Error::Failed {
                    id,
                    reason,
                    step,
                    error,
                }
                .fmt(f)
            }
            None => write!(f, "intent {} was {}", self.id, self.error),
        }
    }
}

impl ChildFailed {
    /// It was cancelled, by whom and why is said in [`error`](Self::error); otherwise it failed.
    pub fn is_cancelled(&self) -> bool {
        self.reason.is_none()
    }
}

impl From<ChildFailed> for StepError {
    fn from(failed: ChildFailed) -> Self {
        Self(Box::new(Ending::ChildFailed(failed)))
    }
}

impl<S> Cx<S> {
    /// Asks for another intent and waits for it, as a child: the first time, this step is parked (through `?`) and holds
    /// no worker; when the child has finished, the step runs **again from the top**, and this call returns the child's
    /// output. So put effects into steps of their own, not before this call.
    ///
    /// What a name meant the first time wins; another input under the same name is an error. A failed child is an error
    /// that [`StepError::child_failure`] tells apart; passed on by `?`, it fails the step for good.
    ///
    /// A step that names another queue (`.queue(…)`) cannot ask for children: its intent's own workers wait for them.
    ///
    /// Children of different kinds are asked for together by `tokio::join!`: the step is parked once, for all of them.
    ///
    /// What this intent or an ancestor holds exclusively it holds for the child, too; children of one parent that want the
    /// same wait for each other. A child that would wait for what can only be let go of after it has ended fails at once,
    /// for [`FailureReason::CircularWait`].
    pub async fn child<T: Intent>(&self, name: &str, intent: T) -> Result<T::Output, StepError> {
        match look(self.step(), name, &intent, 1)? {
            Known::Ended(ended) => return Ok(ended?),
            Known::UnderWay(name, input_hash) => wait_for(self.step(), name, input_hash),
            Known::New(child) => ask(self.step(), &intent, child)?,
        }
        Err(StepError(Box::new(Ending::Awaits)))
    }

    /// Asks for many intents at once and waits for all of them, as children: they are asked for in one commit, the step is
    /// parked once, and is put back in line in the commit in which the last of them finishes. It then runs **again from
    /// the top**, and this call returns what came of each, in the order given.
    ///
    /// They are named `group[0]`, `group[1]` and so on, by their place in the list; so the list has to be the same every
    /// time: take it from the step's input, or from the output of an earlier step.
    /// [`named_children`](Self::named_children) gives each a name of its own.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, StepResult};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Invoice { customer: u64 }
    /// # impl Intent for Invoice { const KIND: &'static str = "invoice"; type Output = u64; }
    /// async fn close_month(cx: Cx<()>, customers: Vec<u64>) -> StepResult<u64> {
    ///     let invoices = customers.into_iter().map(|customer| Invoice { customer });
    ///     let mut total = 0;
    ///     for cents in cx.children("invoice", invoices).attempts(2).await? {
    ///         match cents {
    ///             Ok(cents) => total += cents,
    ///             Err(failed) => eprintln!("no invoice: {failed}"), // or: return Err(failed.into())
    ///         }
    ///     }
    ///     Ok(total)
    /// }
    /// ```
    pub fn children<T: Intent>(
        &self,
        group: &str,
        intents: impl IntoIterator<Item = T>,
    ) -> Children<T> {
        let named = intents.into_iter().enumerate();
        self.named_children(named.map(|(index, intent)| (format!("{group}[{index}]"), intent)))
    }

    /// [`children`](Self::children) with a name for each, by which it is known whatever its place in the list.
    pub fn named_children<T: Intent, N: Into<String>>(
        &self,
        children: impl IntoIterator<Item = (N, T)>,
    ) -> Children<T> {
        let named = children.into_iter();
        Children {
            step: self.step().clone(),
            // One more than there may be is enough to know that there are too many.
            wanted: named
                .take(limits::CHILDREN_PER_STEP + 1)
                .map(|(name, intent)| (name.into(), intent))
                .collect(),
            attempts: 1,
            at_most: usize::MAX,
        }
    }
}

/// Children that a step waits for together: see [`Cx::children`]. Awaiting it asks for them, or returns what came of each.
#[must_use = "children are asked for when this is awaited"]
pub struct Children<T> {
    step: Arc<StepContext>,
    wanted: Vec<(String, T)>,
    attempts: u32,
    at_most: usize,
}

impl<T> fmt::Debug for Children<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.wanted.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

impl<T> Children<T> {
    /// How often each is asked for in all, when it fails; once unless said. What asks again is a new intent with the same
    /// input, under the name with `#2`, `#3`… after it; all that have failed are asked for again together, when the
    /// last of the others has finished. One that was cancelled is not asked for again. When the step fails in the end and
    /// is resumed, a child in whose place another one was asked for stays as it is.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// No more than so many under way at once; zero counts as one. The rest are asked for, in the order given, as earlier ones
    /// finish: the step runs again from the top for that, whenever a quarter of those under way have finished.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, StepResult};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Invoice { customer: u64 }
    /// # impl Intent for Invoice { const KIND: &'static str = "invoice"; type Output = u64; }
    /// # async fn close_month(cx: Cx<()>, customers: Vec<u64>) -> StepResult<usize> {
    /// let invoices = customers.into_iter().map(|customer| Invoice { customer });
    /// let ended = cx.children("invoice", invoices).at_most(100).await?;
    /// # Ok(ended.len()) }
    /// ```
    pub fn at_most(mut self, children: usize) -> Self {
        self.at_most = children.max(1);
        self
    }
}

impl<T: Intent> IntoFuture for Children<T> {
    type Output = Result<Vec<Result<T::Output, ChildFailed>>, StepError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(self.ended())
    }
}

impl<T: Intent> Children<T> {
    /// What came of all of them, if all have ended.
    fn ended(self) -> Result<Vec<Result<T::Output, ChildFailed>>, StepError> {
        if self.wanted.len() > limits::CHILDREN_PER_STEP {
            return Err(too_many());
        }
        let mut names = HashSet::with_capacity(self.wanted.len());
        if let Some((name, _)) = self.wanted.iter().find(|(name, _)| !names.insert(name)) {
            return Err(fail(format!(
                "two children are named `{name}`; give each child a name of its own"
            )));
        }
        let mut ended = Vec::with_capacity(self.wanted.len());
        let (mut under_way, mut new) = (0, Vec::new());
        for (name, intent) in &self.wanted {
            match look(&self.step, name, intent, self.attempts)? {
                Known::Ended(end) => ended.push(end),
                Known::UnderWay(name, input_hash) => {
                    wait_for(&self.step, name, input_hash);
                    under_way += 1;
                }
                Known::New(child) => new.push((intent, child)),
            }
        }
        if ended.len() == self.wanted.len() {
            return Ok(ended);
        }
        let room = self.at_most.saturating_sub(under_way);
        if new.len() > room {
            new.truncate(room);
            self.step.await_some(refill(under_way + room));
        }
        for (intent, child) in new {
            ask(&self.step, intent, child)?;
        }
        Err(StepError(Box::new(Ending::Awaits)))
    }
}

/// Of so many children under way, how many have to finish before the next are asked for: a quarter. Whenever the step goes on
/// it looks at all its children, so going on for each single one would cost the square of their number; and as long as
/// three quarters are under way, nobody waits for the step.
fn refill(under_way: usize) -> usize {
    (under_way / 4).max(1)
}

/// What is known of a child, or of the last one that was asked for in its place.
enum Known<T> {
    Ended(Result<T, ChildFailed>),
    /// It was asked for under this name.
    UnderWay(String, Vec<u8>),
    /// Nobody has asked for it yet.
    New(NewChild),
}

/// A child that has to be asked for.
struct NewChild {
    name: String,
    input: Payload,
    input_hash: Vec<u8>,
    instead_of: Option<IntentId>,
}

fn look<T: Intent>(
    step: &StepContext,
    name: &str,
    intent: &T,
    attempts: u32,
) -> Result<Known<T::Output>, StepError> {
    if step.is_routed() {
        return Err(fail(format!(
            "step `{}` runs in another queue than its intent, where it cannot ask for children; ask for `{name}` in a step \
             without `.queue(…)`",
            step.once.step
        )));
    }
    let (input, input_hash) = child_hash(intent).map_err(fail)?;
    let mut instead_of = None;
    let mut attempt = 1;
    loop {
        let name = match attempt {
            1 => name.to_owned(),
            _ => format!("{name}#{attempt}"),
        };
        let Some(known) = step.children.get(&name) else {
            check_name("child", &name).map_err(fail)?;
            return Ok(Known::New(NewChild {
                name,
                input,
                input_hash,
                instead_of,
            }));
        };
        if known.input_hash != input_hash {
            return Err(fail(format!(
                "child `{name}` was asked for with another kind or input before (intent {}); give each child a name of \
                 its own",
                known.child
            )));
        }
        match end_of::<T>(known)? {
            None => return Ok(Known::UnderWay(name, input_hash)),
            Some(Err(failed)) if failed.reason.is_some() && attempt < attempts => {
                instead_of = Some(known.child);
            }
            Some(ended) => return Ok(Known::Ended(ended)),
        }
        attempt += 1;
    }
}

/// Puts a child that is under way on the list of those that the step waits for.
fn wait_for(step: &StepContext, name: String, input_hash: Vec<u8>) {
    step.await_child(ChildRequest {
        name,
        input_hash,
        instead_of: None,
        new: None,
    });
}

/// Puts a new child on the list of those that the step asks for.
fn ask<T: Intent>(step: &StepContext, intent: &T, child: NewChild) -> Result<(), StepError> {
    let id = IntentId(step.intendant.store().clock().ordered_id());
    let mut new = new_child(intent, id, child.input).map_err(fail)?;
    step.intendant.store().seal_now(&mut new).map_err(fail)?;
    new.traceparent = trace::here();
    let asked = step.await_child(ChildRequest {
        name: child.name,
        input_hash: child.input_hash,
        instead_of: child.instead_of,
        new: Some(new),
    });
    if step.children.len() + asked.children > limits::CHILDREN_PER_STEP {
        return Err(too_many());
    }
    if asked.bytes > limits::CHILDREN_BYTES {
        return Err(fail(format!(
            "the inputs of the children that the step asks for together have more than {} bytes, which is the limit; \
             keep big things elsewhere and pass their name",
            limits::CHILDREN_BYTES
        )));
    }
    Ok(())
}

fn too_many() -> StepError {
    fail(format!(
        "the step has asked for {} children, which is the limit",
        limits::CHILDREN_PER_STEP
    ))
}

/// How a child ended, if it has.
fn end_of<T: Intent>(
    known: &ChildLoad,
) -> Result<Option<Result<T::Output, ChildFailed>>, StepError> {
    let Some(outcome) = &known.outcome else {
        return Ok(None);
    };
    if outcome.state == IntentState::Succeeded && outcome.output.is_none() {
        return Err(fail(format!(
            "the outputs of the intent's children have more than {} bytes together, which is the limit; keep big \
             things elsewhere and return their name",
            limits::CHILDREN_BYTES
        )));
    }
    let failed = |reason, step, error| ChildFailed {
        id: known.child,
        name: known.name.clone(),
        reason,
        step,
        error,
    };
    if outcome.state == IntentState::Cancelled {
        let error = outcome.error.clone();
        let error = error.unwrap_or_else(|| "cancelled".to_owned());
        return Ok(Some(Err(failed(None, None, error))));
    }
    match output_of::<T>(known.child, outcome.clone()) {
        Ok(output) => Ok(Some(Ok(output))),
        Err(Error::Failed {
            reason,
            step,
            error,
            ..
        }) => Ok(Some(Err(failed(Some(reason), step, error)))),
        Err(Error::Payload { error, .. }) => Err(StepError::undecodable(&error)),
        Err(error) => Ok(Some(Err(failed(None, None, error.to_string())))),
    }
}
