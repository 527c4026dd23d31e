//! Functions of plans, steps and undos without their types, as a worker keeps them side by side.

use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Expr, Plan, PlanError, PlanOutput, RunStep, RunUndo, Shape, StepDef, StepDone};
use crate::cx::Cx;
use crate::intent::{Intent, OtherAccount, check_account};
use crate::payload::{self, Payload, PayloadError};
use crate::retry::Retry;
use crate::step::{StepError, StepOutput, StepResult};

/// A plan function without its types; the application's state is in it.
pub(crate) type MakePlan =
    Arc<dyn Fn(&Payload, For<'_>) -> Result<(Vec<StepDef>, Shape), PlanFailure> + Send + Sync>;

/// Whom a plan is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum For<'a> {
    /// The intent of a request, by its account: what its input says must be the same.
    Request(Option<&'a str>),
    /// Nobody: it is only looked at.
    Nobody,
}

/// Why an intent has no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanFailure {
    #[error("the intent's input cannot be read: {0}")]
    Input(PayloadError),
    #[error(transparent)]
    Account(#[from] OtherAccount),
    #[error("the plan function failed: {0}")]
    Function(String),
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Hides the types of a plan function.
pub(crate) fn make_plan<S, T, R, F>(function: F, state: &Arc<S>) -> MakePlan
where
    S: Send + Sync + 'static,
    T: Intent,
    R: PlanOutput<T::Output>,
    F: Fn(&T, &mut Plan<S>) -> R + Send + Sync + 'static,
{
    let state = state.clone();
    Arc::new(move |input, for_whom| {
        let intent: T = payload::decode(input).map_err(PlanFailure::Input)?;
        if let For::Request(account) = for_whom {
            check_account(&intent, account)?;
        }
        let mut plan = Plan::new(state.clone());
        let node = function(&intent, &mut plan)
            .into_node()
            .map_err(PlanFailure::Function)?;
        plan.stay_in(T::QUEUE);
        Ok(plan.finish(node.index)?)
    })
}

/// The plan of a kind that is a single step: it takes the intent's input as it is, so that it is decoded once, by the step.
pub(crate) fn make_single_step<S, I, R, F, Fut>(step: F, state: &Arc<S>) -> MakePlan
where
    S: Send + Sync + 'static,
    I: Intent,
    R: StepOutput,
    F: Fn(Cx<S>, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<R>> + Send + 'static,
{
    let check = |cx: &Cx<S>, intent: &I| check_account(intent, cx.account());
    let run = erase_checked(step, state, check);
    let state = state.clone();
    Arc::new(move |input, _| {
        let mut plan = Plan::new(state.clone());
        plan.steps.push(StepDef {
            name: Arc::from("run"),
            run: run.clone(),
            accepts: R::accepts,
            input: Expr::Value(input.clone()),
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
        });
        Ok(plan.finish(0)?)
    })
}

/// Hides the types of a step function.
pub(super) fn erase<S, I, R, F, Fut>(run: F, state: &Arc<S>) -> RunStep
where
    S: Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    R: StepOutput,
    F: Fn(Cx<S>, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<R>> + Send + 'static,
{
    erase_checked(run, state, |_, _| Ok(()))
}

/// The same for one whose input is looked at before it begins.
fn erase_checked<S, I, R, F, Fut>(
    run: F,
    state: &Arc<S>,
    check: impl Fn(&Cx<S>, &I) -> Result<(), OtherAccount> + Send + Sync + 'static,
) -> RunStep
where
    S: Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    R: StepOutput,
    F: Fn(Cx<S>, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<R>> + Send + 'static,
{
    let state = state.clone();
    Arc::new(move |context, input| {
        let cx = Cx::new(state.clone(), context);
        let input = payload::decode::<I>(&input).map_err(|error| StepError::undecodable(&error));
        let input = input.and_then(|input| {
            check(&cx, &input).map_err(|error| StepError::undecodable(&error))?;
            Ok(input)
        });
        match input {
            Ok(input) => {
                let step = run(cx, input);
                Box::pin(async move { step.await.map(StepOutput::into_done) })
            }
            Err(error) => Box::pin(async move { Err(error) }),
        }
    })
}

/// Hides the types of an undo.
pub(super) fn erase_undo<S, I, O, R, F, Fut>(undo: F, state: &Arc<S>) -> RunUndo
where
    S: Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: DeserializeOwned + Send + 'static,
    R: StepOutput<Value = ()>,
    F: Fn(Cx<S>, I, Option<O>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<R>> + Send + 'static,
{
    let state = state.clone();
    Arc::new(move |context, input, output| {
        let input = payload::decode::<I>(&input);
        let output = output.as_ref().map(payload::decode::<O>).transpose();
        match (input, output) {
            (Ok(input), Ok(output)) => {
                let undo = undo(Cx::new(state.clone(), context), input, output);
                Box::pin(async move { undo.await.map(StepOutput::into_done) })
            }
            (Err(error), _) | (_, Err(error)) => {
                Box::pin(async move { Err(StepError::undecodable(&error)) })
            }
        }
    })
}

/// Serializes an output for the record.
pub(crate) fn output_of<T: Serialize>(value: &T) -> StepDone {
    StepDone::Output(payload::encode(value))
}
