//! The kinds that the benchmark asks for: payloads of about a hundred bytes, steps that do nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use intendant::{Cx, Intent, Node, Plan, StepResult, value};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What steps share: where to say when they started.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) started: mpsc::UnboundedSender<Instant>,
    /// Steps that have run.
    pub(super) ran: Arc<AtomicUsize>,
}

impl Shared {
    fn ran(&self) {
        self.ran.fetch_add(1, Ordering::Relaxed);
    }
}

/// About a hundred bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payload {
    number: usize,
    text: String,
}

pub(super) fn payload(number: usize) -> Payload {
    Payload {
        number,
        text: "seventy characters of text that stand for what an operation is about…".to_owned(),
    }
}

macro_rules! kind {
    ($name:ident, $kind:literal) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub(super) struct $name(pub(super) Payload);

        impl Intent for $name {
            const KIND: &'static str = $kind;
            type Output = Payload;
        }
    };
}

kind!(Single, "bench.single");
kind!(Chain, "bench.chain");
kind!(Fan, "bench.fan");

pub(super) async fn single(cx: Cx<Shared>, intent: Single) -> StepResult<Payload> {
    cx.state().started.send(Instant::now()).ok();
    cx.state().ran();
    Ok(intent.0)
}

async fn link(cx: Cx<Shared>, mut payload: Payload) -> StepResult<Payload> {
    cx.state().ran();
    payload.number += 1;
    Ok(payload)
}

async fn join(cx: Cx<Shared>, payloads: Vec<Payload>) -> StepResult<Payload> {
    cx.state().ran();
    payloads
        .into_iter()
        .next_back()
        .ok_or_else(|| intendant::fail("nothing to join"))
}

/// One step after the other.
pub(super) fn chain(steps: usize) -> impl Fn(&Chain, &mut Plan<Shared>) -> Node<Payload> {
    move |intent, plan| {
        let mut node = plan.step("step-1", link).input(value(intent.0.clone()));
        for number in 2..=steps {
            node = plan.step(format!("step-{number}"), link).input(node);
        }
        node
    }
}

/// One, many side by side, one.
pub(super) fn fan(width: usize) -> impl Fn(&Fan, &mut Plan<Shared>) -> Node<Payload> {
    move |intent, plan| {
        let first = plan.step("first", link).input(value(intent.0.clone()));
        let many: Vec<_> = (1..=width)
            .map(|number| plan.step(format!("side-{number}"), link).input(first))
            .collect();
        plan.step("join", join).input(many)
    }
}
