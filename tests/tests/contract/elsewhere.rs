//! For tests of steps in another queue: an intent, a worker at home, and one that serves the queue `network` alone.

use std::time::Duration;

use anyhow::Result;
use intendant::{Intent, Node, Plan, Worker};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, Running, start};

/// A server that gets an address.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Server(pub(crate) u64);

impl Intent for Server {
    const KIND: &'static str = "server";
    type Output = u64;
}

pub(crate) type MakePlan<S> = fn(&Server, &mut Plan<S>) -> Node<u64>;

/// A worker of this name that knows the plan. A cancel's grace time is nothing that a test has to wait for.
pub(crate) fn worker<S>(bench: &Bench, state: &S, name: &str, plan: MakePlan<S>) -> Worker<S>
where
    S: Clone + Send + Sync + 'static,
{
    let worker = bench.worker(state.clone()).name(name);
    worker
        .cancel_grace(Duration::from_secs(20))
        .register::<Server, _>(plan)
}

/// The worker that drives the intents.
pub(crate) fn home<S>(bench: &Bench, state: &S, plan: MakePlan<S>) -> Running
where
    S: Clone + Send + Sync + 'static,
{
    start(worker(bench, state, "home", plan))
}

/// The worker of the other queue.
pub(crate) fn network<S>(bench: &Bench, state: &S, plan: MakePlan<S>) -> Running
where
    S: Clone + Send + Sync + 'static,
{
    start(in_network(worker(bench, state, "network", plan)))
}

/// Serves that queue and no other one.
pub(crate) fn in_network<S: Send + Sync + 'static>(worker: Worker<S>) -> Worker<S> {
    worker.queue("network", 4).only_named_queues()
}

/// Waits until a count is reached.
pub(crate) async fn count(bench: &Bench, counter: &Counter, runs: u64) -> Result<()> {
    bench
        .until(|| async { Ok((counter.get() >= runs).then_some(())) })
        .await
}

/// Waits until so many steps are away.
pub(crate) async fn away(bench: &Bench, steps: i64) -> Result<()> {
    bench
        .until(|| async {
            let away = bench.number("select count(*) from @routed").await?;
            Ok((away == steps).then_some(()))
        })
        .await
}
