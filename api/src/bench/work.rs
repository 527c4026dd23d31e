//! The kinds that the benchmark asks for: payloads of about a hundred bytes, steps that do nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use intendant::{Cx, Intent, Node, Plan, Resources, StepResult, value};
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

/// For an account, on one resource, which only one at a time may have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Exclusive {
    payload: Payload,
    account: String,
    resource: usize,
}

impl Exclusive {
    pub(super) fn new(number: usize, resources: usize) -> Self {
        Self {
            payload: payload(number),
            account: format!("account-{}", number % 100),
            resource: number % resources,
        }
    }
}

impl Intent for Exclusive {
    const KIND: &'static str = "bench.exclusive";
    type Output = Payload;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }

    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.resource)
    }
}

pub(super) async fn exclusive(cx: Cx<Shared>, intent: Exclusive) -> StepResult<Payload> {
    cx.state().ran();
    Ok(intent.payload)
}

/// Its step says when it began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told(pub(super) Payload);

impl Intent for Told {
    const KIND: &'static str = "bench.told";
    type Output = u64;
}

pub(super) async fn told(_: Cx<Shared>, _: Told) -> StepResult<u64> {
    Ok(now_us())
}

/// The system's clock, which two processes share.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(0)
}

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
