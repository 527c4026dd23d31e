//! Resources in a tree of intents: what an ancestor holds is no obstacle to its descendants, whoever waits for it.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentId, IntentState, Resources, StepResult};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_child_goes_ahead_of_those_who_wait_for_its_parents_resource;
    a_grandchild_goes_ahead_of_those_who_wait_for_its_grandparents_resource;
    a_child_that_wants_more_than_its_parent_holds_does_not_wait_for_those_who_wait_for_its_parent;
    a_child_waits_its_turn_for_what_its_parent_does_not_hold;
}

/// Holds what it says, and asks for the rest of the chain as children of children.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Link {
    wants: Vec<String>,
    then: Option<Box<Link>>,
}

impl Intent for Link {
    const KIND: &'static str = "link";
    type Output = u64;
    fn resources(&self) -> Resources {
        let none = Resources::touched("environment", 7);
        self.wants
            .iter()
            .fold(none, |all, id| all.and_exclusive("server", id))
    }
}

fn link(wants: &[&str], then: Option<Link>) -> Link {
    Link {
        wants: wants.iter().map(|id| (*id).to_owned()).collect(),
        then: then.map(Box::new),
    }
}

/// Whoever asks for children waits with that until the gate is open.
#[derive(Clone, Default)]
struct Gate {
    open: Counter,
    order: Counter,
}

async fn hold(cx: Cx<Gate>, link: Link) -> StepResult<u64> {
    let Some(then) = link.then else {
        return Ok(cx.state().order.add());
    };
    while cx.state().open.get() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cx.child("then", *then).await?;
    Ok(cx.state().order.add())
}

async fn finishes(bench: &Bench, id: IntentId) -> Result<u64> {
    let record = tokio::time::timeout(Duration::from_secs(20), bench.rest(id)).await??;
    ensure!(record.state == IntentState::Succeeded, "{record:?}");
    let output = record.output.map(|output| output.get().to_owned());
    Ok(output.unwrap_or_default().parse()?)
}

/// While a family holds a server, others come to want it; then the family goes on. It is done before they are, and
/// they go in the order in which they came.
async fn family_first(bench: Bench, family: Link, others: &[Link]) -> Result<()> {
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register_step(hold));
    let head = bench.intendant.request(family).await?;
    bench.reach(head.id(), IntentState::Running).await?;
    let mut waiting = Vec::new();
    for other in others {
        let other = bench.intendant.request(other.clone()).await?;
        bench.reach(other.id(), IntentState::Blocked).await?;
        waiting.push(other);
    }
    // One that goes before them all as far as turns go.
    let urgent = bench.intendant.request(others[0].clone()).priority(100);
    let urgent = urgent.await?;
    bench.reach(urgent.id(), IntentState::Blocked).await?;
    bench.check().await?;
    gate.open.add();
    let family = finishes(&bench, head.id()).await?;
    let mut before = finishes(&bench, urgent.id()).await?;
    ensure!(family < before, "{family} {before}");
    for other in waiting {
        let turn = finishes(&bench, other.id()).await?;
        ensure!(before < turn, "{before} {turn}");
        before = turn;
    }
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn a_child_goes_ahead_of_those_who_wait_for_its_parents_resource(bench: Bench) -> Result<()> {
    let child = link(&["x"], None);
    let others = [link(&["x"], None), link(&["x"], None)];
    family_first(bench, link(&["x"], Some(child)), &others).await
}

async fn a_grandchild_goes_ahead_of_those_who_wait_for_its_grandparents_resource(
    bench: Bench,
) -> Result<()> {
    let grandchild = link(&["x"], None);
    let child = link(&[], Some(grandchild));
    let others = [link(&["x"], None), link(&["x"], None)];
    family_first(bench, link(&["x"], Some(child)), &others).await
}

async fn a_child_that_wants_more_than_its_parent_holds_does_not_wait_for_those_who_wait_for_its_parent(
    bench: Bench,
) -> Result<()> {
    // The others wait for x, which the family holds; they must not keep y from it meanwhile.
    let child = link(&["x", "y"], None);
    let others = [link(&["x", "y"], None), link(&["x", "y"], None)];
    family_first(bench, link(&["x"], Some(child)), &others).await
}

async fn a_child_waits_its_turn_for_what_its_parent_does_not_hold(bench: Bench) -> Result<()> {
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register_step(hold));
    // Holds y until the gate is open.
    let holder = link(&["y"], Some(link(&[], None)));
    let holder = bench.intendant.request(holder).await?;
    bench.reach(holder.id(), IntentState::Running).await?;
    let first = bench.intendant.request(link(&["y"], None)).await?;
    bench.reach(first.id(), IntentState::Blocked).await?;
    let parent = link(&["x"], Some(link(&["x", "y"], None)));
    let parent = bench.intendant.request(parent).await?;
    gate.open.add();
    let turns = [
        finishes(&bench, holder.id()).await?,
        finishes(&bench, first.id()).await?,
        finishes(&bench, parent.id()).await?,
    ];
    ensure!(turns.is_sorted(), "{turns:?}");
    worker.stop().await?;
    bench.check().await
}
