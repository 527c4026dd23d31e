//! What the storm runs: an operation of five steps, two of them side by side, one with an effect in the database.

use std::time::Duration;

use intendant::{Committed, Cx, Intent, Node, Plan, StepResult, value};
use serde::{Deserialize, Serialize};

use crate::chaos::{Effects, Steps, effect};

/// A round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// Its number, which is what it comes to.
    pub number: usize,
    /// How long each step takes that has its effect outside.
    pub step_ms: u64,
}

impl Intent for Round {
    const KIND: &'static str = "chaos.round";
    type Output = usize;
}

/// The steps, and those that each has to wait for.
pub const STEPS: Steps = &[
    ("first", &[]),
    ("left", &["first"]),
    ("right", &["first"]),
    ("pay", &["left", "right"]),
    ("last", &["pay"]),
];

/// The one that has its effect in the database: it writes into the ledger that it has ended when its result is on disk, and the
/// others before.
pub const INSIDE: &str = "pay";

async fn outside(cx: Cx<Effects>, round: Round) -> StepResult<Round> {
    cx.state().note("start", &cx)?;
    tokio::time::sleep(Duration::from_millis(round.step_ms)).await;
    cx.state().note("end", &cx)?;
    Ok(round)
}

async fn pay(cx: Cx<Effects>, (round, _): (Round, Round)) -> StepResult<Committed<Round>> {
    cx.state().note("start", &cx)?;
    let paid = effect(&cx, round).await?;
    cx.state().note("end", &cx)?;
    Ok(paid)
}

async fn last(cx: Cx<Effects>, round: Round) -> StepResult<usize> {
    outside(cx, round).await.map(|round| round.number)
}

/// The plan of [`Round`].
pub fn round(round: &Round, plan: &mut Plan<Effects>) -> Node<usize> {
    let first = plan.step("first", outside).input(value(round.clone()));
    let left = plan.step("left", outside).input(first);
    let right = plan.step("right", outside).input(first);
    let mut paid = plan
        .step(INSIDE, pay)
        .backoff(Duration::from_millis(5), Duration::from_millis(50));
    if round.number.is_multiple_of(4) {
        paid = paid.queue("inside");
    }
    let paid = paid.input((left, right));
    plan.step("last", last).input(paid)
}
