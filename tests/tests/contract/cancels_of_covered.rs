//! Cancel and undo of families that share what their parent holds for itself: nobody uses it before whoever had it is taken
//! back, neither a sibling nor anybody else.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Conflicts, Cx, Handle, Intent, IntentState, Node, Plan, Resources, Rule, StepResult, Worker,
    fail, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Gate, on_both, start};

on_both! {
    the_sibling_of_a_cancelled_child_goes_when_that_is_taken_back;
    a_cancelled_family_is_taken_back_before_anybody_else_goes;
    a_superseded_family_is_taken_back_before_its_successor_goes;
    a_failed_family_is_taken_back_with_its_failed_child_and_what_it_held_is_free;
    a_failed_child_of_a_family_that_goes_on_leaves_nothing_to_the_undo_of_its_parent;
}

/// Makes something on the server, has its children do so, and waits for its gate if it has none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct House {
    name: String,
    fails: bool,
    /// What becomes of its children is nothing to it.
    lenient: bool,
    children: Vec<House>,
}

impl Intent for House {
    const KIND: &'static str = "house";
    type Output = ();
    fn resources(&self) -> Resources {
        Resources::exclusive("server", 1)
    }
}

/// Has houses stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Clear;

impl Intent for Clear {
    const KIND: &'static str = "clear";
    type Output = ();
    fn resources(&self) -> Resources {
        Resources::exclusive("server", 1)
    }
    fn conflicts() -> Conflicts {
        Conflicts::default().with("house", Rule::Supersede)
    }
}

/// What was done, in order, and the gate.
#[derive(Clone, Default)]
struct World {
    said: Arc<Mutex<Vec<String>>>,
    gate: Gate,
}

impl World {
    fn say(&self, what: String) {
        self.said.lock().unwrap().push(what);
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    async fn heard(&self, bench: &Bench, what: &str) -> Result<()> {
        let found = async || Ok(self.said().iter().any(|said| said == what).then_some(()));
        bench.until(found).await
    }

    /// Of these, each was said once, in this order.
    fn in_order(&self, expected: &[&str]) -> Result<()> {
        let said = self.said();
        let mut places = Vec::new();
        for what in expected {
            let all = said.iter().enumerate().filter(|(_, said)| said == what);
            let all: Vec<usize> = all.map(|(place, _)| place).collect();
            ensure!(all.len() == 1, "`{what}` in {said:?}");
            places.extend(all);
        }
        ensure!(places.is_sorted(), "{expected:?} in {said:?}");
        Ok(())
    }

    /// Who has made something but `these` has taken it back, and nobody made anything while others had.
    fn is_clean_but_for(&self, these: &[&str]) -> Result<()> {
        let said = self.said();
        for made in said.iter().filter_map(|said| said.strip_prefix('+')) {
            let back = said.contains(&format!("-{made}"));
            ensure!(back != these.contains(&made), "{made} in {said:?}");
        }
        Ok(())
    }
}

async fn make(cx: Cx<World>, name: String) -> StepResult<String> {
    cx.state().say(format!("+{name}"));
    Ok(name)
}

async fn unmake(cx: Cx<World>, name: String, _: Option<String>) -> StepResult<()> {
    // Whoever does not wait for this would be there before it.
    tokio::time::sleep(Duration::from_millis(20)).await;
    cx.state().say(format!("-{name}"));
    Ok(())
}

async fn live(cx: Cx<World>, (house, _): (House, String)) -> StepResult<()> {
    if house.children.is_empty() {
        tokio::select! {
            () = cx.state().gate.pass() => {}
            () = cx.cancelled() => return Err(fail("given up")),
        }
    }
    let children = house.children.iter();
    let children = children.map(|child| (child.name.clone(), child.clone()));
    for ended in cx.named_children(children).attempts(1).await? {
        match ended {
            Err(failed) if !house.lenient => return Err(failed.into()),
            Ok(()) | Err(_) => {}
        }
    }
    match house.fails {
        true => Err(fail("broken")),
        false => Ok(()),
    }
}

fn plan(house: &House, plan: &mut Plan<World>) -> Node<()> {
    let name = value(house.name.clone());
    let made = plan.step("make", make).undo(unmake).input(name);
    plan.step("live", live).input((value(house.clone()), made))
}

async fn clear(cx: Cx<World>, _: Clear) -> StepResult<()> {
    cx.state().say("cleared".to_owned());
    Ok(())
}

fn worker(bench: &Bench, world: &World) -> Worker<World> {
    let worker = bench.worker(world.clone()).concurrency(8);
    worker.register(plan).register_step(clear)
}

fn house(name: &str, children: &[&str]) -> House {
    House {
        name: name.to_owned(),
        lenient: true,
        children: children.iter().map(|name| house(name, &[])).collect(),
        ..House::default()
    }
}

/// A family of which the first child has what they share, and waits.
async fn family(bench: &Bench, world: &World, of: House) -> Result<Handle<House>> {
    let first = of.children[0].name.clone();
    let family = bench.intendant.request(of).await?;
    world.heard(bench, &format!("+{first}")).await?;
    Ok(family)
}

/// Nobody holds anything.
async fn all_is_free(bench: &Bench) -> Result<()> {
    for table in ["holder", "line", "blocked"] {
        let left = format!("select count(*) from @{table}");
        ensure!(bench.number(&left).await? == 0, "{table}");
    }
    Ok(())
}

async fn the_sibling_of_a_cancelled_child_goes_when_that_is_taken_back(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let parent = family(&bench, &world, house("parent", &["one", "two", "three"])).await?;
    let children = bench.intendant.children(parent.id()).await?;
    let named = |name: &str| children.iter().find(|child| child.name == name);
    // One that waits for its turn is cancelled there and then; one that has it is taken back first.
    let waits = named("three").context("a child")?.id;
    bench.reach(waits, IntentState::Blocked).await?;
    bench.intendant.cancel(waits, "ada", None).await?;
    let runs = named("one").context("a child")?.id;
    bench.intendant.cancel(runs, "ada", None).await?;
    world.heard(&bench, "+two").await?;
    world.in_order(&["+parent", "+one", "-one", "+two"])?;
    world.gate.open();
    parent.output().await?;
    world.is_clean_but_for(&["parent", "two"])?;
    worker.stop().await?;
    all_is_free(&bench).await?;
    bench.check().await
}

async fn a_cancelled_family_is_taken_back_before_anybody_else_goes(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let parent = family(&bench, &world, house("parent", &["one", "two"])).await?;
    let other = bench.intendant.request(house("other", &[])).await?;
    bench.reach(other.id(), IntentState::Blocked).await?;
    bench.intendant.cancel(parent.id(), "ada", None).await?;
    world.heard(&bench, "+other").await?;
    world.in_order(&["+parent", "+one", "-one", "-parent", "+other"])?;
    world.gate.open();
    other.output().await?;
    world.is_clean_but_for(&["other"])?;
    ensure!(!world.said().contains(&"+two".to_owned()));
    worker.stop().await?;
    all_is_free(&bench).await?;
    bench.check().await
}

async fn a_superseded_family_is_taken_back_before_its_successor_goes(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let parent = family(&bench, &world, house("parent", &["one", "two"])).await?;
    bench.intendant.request(Clear).await?.output().await?;
    world.in_order(&["+parent", "+one", "-one", "-parent", "cleared"])?;
    world.is_clean_but_for(&[])?;
    let record = bench.rest(parent.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    worker.stop().await?;
    all_is_free(&bench).await?;
    bench.check().await
}

async fn a_failed_family_is_taken_back_with_its_failed_child_and_what_it_held_is_free(
    bench: Bench,
) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let mut of = house("parent", &["one", "two"]);
    (of.lenient, of.children[0].fails) = (false, true);
    let parent = family(&bench, &world, of).await?;
    world.gate.open();
    let record = bench.rest(parent.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    let other = bench.intendant.request(house("other", &[])).await?;
    bench.reach(other.id(), IntentState::Blocked).await?;
    // The child has let go of what its parent holds; its undo is as good as covered again.
    bench.intendant.undo(parent.id(), "ada", None).await?;
    other.output().await?;
    world.in_order(&["+parent", "+one", "-one", "+other"])?;
    world.in_order(&["-parent", "+other"])?;
    // What another child has done is up to the step that asked for it.
    world.is_clean_but_for(&["two", "other"])?;
    let record = bench.rest(parent.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    worker.stop().await?;
    all_is_free(&bench).await?;
    bench.check().await
}

async fn a_failed_child_of_a_family_that_goes_on_leaves_nothing_to_the_undo_of_its_parent(
    bench: Bench,
) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let mut of = house("parent", &["one", "two"]);
    of.children[0].fails = true;
    let parent = family(&bench, &world, of).await?;
    world.gate.open();
    parent.output().await?;
    // The child holds nothing: neither its parent's, which has gone on without it, nor anything by itself.
    all_is_free(&bench).await?;
    let undone = bench.intendant.undo(parent.id(), "ada", None).await?;
    let intendant::Undone::By(by) = undone else {
        anyhow::bail!("{undone:?}");
    };
    bench.rest(by).await?;
    world.in_order(&["+parent", "+one", "+two", "-parent"])?;
    // A child that failed by itself is a person's to take back: it stands in line for what it wants as anybody does.
    let children = bench.intendant.children(parent.id()).await?;
    let failed = children.iter().find(|child| child.name == "one");
    let failed = failed.context("a child")?.id;
    bench.intendant.undo(failed, "ada", None).await?;
    let record = bench.rest(failed).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    world.is_clean_but_for(&["two"])?;
    worker.stop().await?;
    all_is_free(&bench).await?;
    bench.check().await
}
