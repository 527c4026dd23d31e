//! Families and their locks: siblings exclude each other, a wait that would close a circle is an error, and what a failed
//! child holds goes to the one that is asked for in its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, FailureReason, Handle, Intent, IntentFilter, IntentState, Resources, StepResult, Watch,
    Worker, fail,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Gate, on_both, start};

on_both! {
    siblings_exclude_each_other_under_a_parent_that_holds_what_they_want;
    a_childs_own_children_use_what_it_uses;
    two_families_that_would_wait_for_each_other_are_told;
    three_families_in_a_circle_are_told_and_the_others_go_on;
    children_that_stand_before_each_other_in_two_lines_go_on;
    siblings_that_pass_a_place_in_line_wait_for_each_other;
    a_failed_child_hands_what_it_holds_to_the_one_in_its_place;
    what_a_failed_child_used_of_its_parents_is_free_for_its_siblings;
    a_circle_that_nobody_saw_is_found_later;
    who_was_claimed_without_what_it_wants_asks_again_after_a_crash;
}

/// An intent of a tree: what it holds while its children work, one after the other or all at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Member {
    name: String,
    holds: Vec<String>,
    reads: Vec<String>,
    /// Waits for its gate before it goes on.
    gate: bool,
    /// So often it fails.
    fails: u64,
    attempts: u32,
    children: Vec<Member>,
}

impl Intent for Member {
    const KIND: &'static str = "member";
    type Output = ();
    fn resources(&self) -> Resources {
        let held = self.holds.iter();
        let held = held.fold(Resources::none(), |all, name| all.and_exclusive("r", name));
        let read = self.reads.iter();
        read.fold(held, |all, name| all.and_shared("r", name))
    }
}

pub(crate) fn member(name: &str, holds: &[&str]) -> Member {
    Member {
        name: name.to_owned(),
        holds: holds.iter().map(|name| (*name).to_owned()).collect(),
        attempts: 1,
        ..Member::default()
    }
}

impl Member {
    pub(crate) fn with(mut self, children: impl IntoIterator<Item = Member>) -> Self {
        self.children.extend(children);
        self
    }

    pub(crate) fn gated(self) -> Self {
        Self { gate: true, ..self }
    }

    pub(crate) fn reading(self, name: &str) -> Self {
        Self {
            reads: vec![name.to_owned()],
            ..self
        }
    }

    fn failing(self, fails: u64) -> Self {
        Self { fails, ..self }
    }
}

/// What happened, in order, and the gates.
#[derive(Clone, Default)]
pub(crate) struct World {
    said: Arc<Mutex<Vec<String>>>,
    tries: Arc<Mutex<BTreeMap<String, u64>>>,
    pub(crate) gate: Gate,
}

impl World {
    pub(crate) fn say(&self, what: String) {
        self.said.lock().unwrap().push(what);
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    pub(crate) async fn heard(&self, bench: &Bench, what: &str) -> Result<()> {
        bench
            .until(|| async move { Ok(self.said().iter().any(|said| said == what).then_some(())) })
            .await
    }
}

async fn live(cx: Cx<World>, member: Member) -> StepResult<()> {
    let world = cx.state();
    let name = &member.name;
    if member.children.is_empty() {
        world.say(format!("{name} in"));
    }
    if member.gate {
        world.say(format!("{name} waits"));
        world.gate.pass().await;
    }
    if !member.children.is_empty() {
        let attempts = member.attempts;
        let children = member.children.into_iter();
        let children = children.map(|child| (child.name.clone(), child));
        for ended in cx.named_children(children).attempts(attempts).await? {
            ended?;
        }
        return Ok(());
    }
    // Others would meet it here.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let tries = {
        let mut tries = world.tries.lock().unwrap();
        let tries = tries.entry(name.clone()).or_default();
        *tries += 1;
        *tries
    };
    world.say(format!("{name} out"));
    match tries <= member.fails {
        true => Err(fail("broken")),
        false => Ok(()),
    }
}

pub(crate) fn worker(bench: &Bench, world: &World) -> Worker<World> {
    let worker = bench.worker(world.clone()).concurrency(16);
    worker.register_step(live)
}

/// `a in`, then `a out`, and nobody between.
pub(crate) fn one_by_one(said: &[String]) -> Result<()> {
    for pair in said.chunks(2) {
        let [enters, leaves] = pair else {
            anyhow::bail!("{said:?}");
        };
        ensure!(
            enters.strip_suffix(" in") == leaves.strip_suffix(" out"),
            "{said:?}"
        );
    }
    Ok(())
}

async fn siblings_exclude_each_other_under_a_parent_that_holds_what_they_want(
    bench: Bench,
) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let names = ["one", "two", "three", "four", "five"];
    let children = names.map(|name| member(name, &["a"]));
    let parent = bench
        .intendant
        .request(member("parent", &["a"]).with(children));
    let parent = parent.await?;
    // Somebody else wants it, too, and comes after the family.
    let other = bench.intendant.request(member("other", &["a"])).await?;
    parent.output().await?;
    other.output().await?;
    let said = world.said();
    ensure!(said.len() == 12 && said[10] == "other in", "{said:?}");
    one_by_one(&said)?;
    worker.stop().await?;
    bench.check().await
}

async fn a_childs_own_children_use_what_it_uses(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let house = |name: &str| {
        let rooms = ["left", "right"];
        let rooms = rooms.map(|room| member(&format!("{name} {room}"), &["a"]));
        member(name, &["a"]).with(rooms)
    };
    let street = member("street", &["a"]).with([house("first"), house("second")]);
    bench.intendant.request(street).await?.output().await?;
    let said = world.said();
    one_by_one(&said)?;
    // The rooms of one house come together: the other house waits for the whole of it.
    ensure!(said.len() == 8, "{said:?}");
    let house = |at: usize| said[at].split(' ').next();
    ensure!(house(0) == house(2) && house(4) == house(6), "{said:?}");
    worker.stop().await?;
    bench.check().await
}

/// One of the two children is told; the other one has its turn when a person has seen to the failed family.
async fn two_families_that_would_wait_for_each_other_are_told(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let first = member("first", &["a"])
        .gated()
        .with([member("child of first", &["b"])]);
    let second = member("second", &["b"])
        .gated()
        .with([member("child of second", &["a"])]);
    let first = bench.intendant.request(first).await?;
    let second = bench.intendant.request(second).await?;
    world.heard(&bench, "first waits").await?;
    world.heard(&bench, "second waits").await?;
    world.gate.open();
    let failed = bench
        .until(|| async {
            let failed = IntentFilter {
                state: Some(IntentState::Failed),
                ..IntentFilter::default()
            };
            let failed = bench.intendant.list(failed).await?;
            Ok((failed.len() == 2).then_some(failed))
        })
        .await?;
    let child = failed.iter().find(|record| record.parent_id.is_some());
    let child = child.ok_or_else(|| anyhow::anyhow!("{failed:?}"))?;
    let word = FailureReason::CircularWait.as_str();
    ensure!(child.reason.as_deref() == Some(word), "{child:?}");
    let error = child.error.clone().unwrap_or_default();
    ensure!(error.contains("waits for r:"), "{error}");
    // What the failed family holds is let go of by a person; then the other one goes on.
    let parent = failed.iter().find(|record| record.parent_id.is_none());
    let parent = parent.ok_or_else(|| anyhow::anyhow!("{failed:?}"))?.id;
    ensure!([first.id(), second.id()].contains(&parent), "{failed:?}");
    bench.intendant.discard(parent, "ada", None).await?;
    let other = match parent == first.id() {
        true => second,
        false => first,
    };
    other.output().await?;
    worker.stop().await?;
    bench.check().await
}

async fn three_families_in_a_circle_are_told_and_the_others_go_on(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let ring = [("a", "b"), ("b", "c"), ("c", "a")];
    let mut handles = Vec::new();
    for (holds, wants) in ring {
        let child = member(&format!("child of {holds}"), &[wants]);
        let family = member(holds, &[holds]).gated().with([child]);
        handles.push(bench.intendant.request(family).await?);
        world.heard(&bench, &format!("{holds} waits")).await?;
    }
    // Somebody who is not in the circle, but waits for one who is.
    let behind = bench.intendant.request(member("behind", &["a"])).await?;
    world.gate.open();
    all_but_one_go_on(&bench, handles).await?;
    behind.output().await?;
    worker.stop().await?;
    bench.check().await
}

/// Two children of two families want b and c, and stand in both lines; what the one of them waits for besides is held by
/// the family of the other one. So the other one goes first, whoever came first.
async fn children_that_stand_before_each_other_in_two_lines_go_on(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let holder = bench
        .intendant
        .request(member("holder", &["c"]).gated())
        .await?;
    world.heard(&bench, "holder waits").await?;
    let first = member("first", &["a"]).with([member("child of first", &["b", "c"])]);
    let second = member("second", &["b"]).with([member("child of second", &["c"])]);
    let second = bench.intendant.request(second);
    let second = second.priority(-5).await?;
    blocked(&bench, 1).await?;
    // It has the better place in the line for c, but cannot go before the second family is done.
    let first = bench.intendant.request(first).priority(5).await?;
    blocked(&bench, 2).await?;
    world.gate.open();
    holder.output().await?;
    second.output().await?;
    first.output().await?;
    worker.stop().await?;
    bench.check().await
}

/// The child of another family stands before them, and waits for their parent: both may pass it, but not together.
async fn siblings_that_pass_a_place_in_line_wait_for_each_other(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let siblings = ["one", "two", "three"].map(|name| member(name, &["r"]));
    let parent = member("parent", &["a"]).gated().with(siblings);
    let parent = bench.intendant.request(parent).await?;
    world.heard(&bench, "parent waits").await?;
    let other = member("other", &["q"]).with([member("child of other", &["a", "r"])]);
    let other = bench.intendant.request(other).await?;
    blocked(&bench, 1).await?;
    world.gate.open();
    parent.output().await?;
    other.output().await?;
    let said = world.said();
    let said: Vec<String> = said
        .into_iter()
        .filter(|said| !said.ends_with("waits"))
        .collect();
    ensure!(
        said.len() == 8 && said[6] == "child of other in",
        "{said:?}"
    );
    one_by_one(&said)?;
    worker.stop().await?;
    bench.check().await
}

async fn a_failed_child_hands_what_it_holds_to_the_one_in_its_place(bench: Bench) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let child = member("child", &["b"]).failing(2);
    let parent = Member {
        attempts: 3,
        ..member("parent", &["a"]).with([child])
    };
    bench.intendant.request(parent).await?.output().await?;
    let tries = world
        .said()
        .iter()
        .filter(|said| *said == "child in")
        .count();
    ensure!(tries == 3, "{:?}", world.said());
    // The failed ones hold nothing any more.
    ensure!(bench.number("select count(*) from @holder").await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn what_a_failed_child_used_of_its_parents_is_free_for_its_siblings(
    bench: Bench,
) -> Result<()> {
    let world = World::default();
    let worker = start(worker(&bench, &world));
    let children = [
        member("good", &["a"]),
        member("bad", &["a"]).failing(1),
        member("best", &["a"]),
    ];
    let parent = bench
        .intendant
        .request(member("parent", &["a"]).with(children))
        .await?;
    let record = bench.rest(parent.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(world.said().len() == 6, "{:?}", world.said());
    // The parent keeps what it holds; the child has none of it any more.
    ensure!(bench.number("select count(*) from @holder").await? == 1);
    bench.intendant.resume(parent.id(), "ada", None).await?;
    parent.output().await?;
    one_by_one(&world.said())?;
    worker.stop().await?;
    bench.check().await
}

/// Two commits at the same time, neither of which sees the other's: a look from time to time finds what they have done.
async fn a_circle_that_nobody_saw_is_found_later(bench: Bench) -> Result<()> {
    let world = World::default();
    let watch = Watch::default().every(Duration::from_millis(50));
    let worker = start(worker(&bench, &world).watch(watch));
    let holder = member("holder", &["c"]).gated();
    let holder = bench.intendant.request(holder).await?;
    world.heard(&bench, "holder waits").await?;
    let mut families = Vec::new();
    for (at, name, holds, wants) in [(1, "second", "b", "c"), (2, "first", "a", "b")] {
        let child = member(&format!("child of {name}"), &[wants]);
        let family = member(name, &[holds]).with([child]);
        families.push(bench.intendant.request(family).await?);
        blocked(&bench, at).await?;
    }
    // As if the second family's child had wanted a, and been put in line beside that of the other one.
    let wants = "update @resource set resource = 'r:a' where resource = 'r:c'
          and intent_id in (select intent_id from @line where resource = 'r:c')";
    let line = "update @line set resource = 'r:a' where resource = 'r:c'";
    bench.run_sql(&format!("{wants}; {line};")).await?;
    all_but_one_go_on(&bench, families).await?;
    world.gate.open();
    holder.output().await?;
    worker.stop().await?;
    bench.check().await
}

/// Whoever is refused for a circle is claimed, and holds nothing until its outcome is written: the worker may die before.
async fn who_was_claimed_without_what_it_wants_asks_again_after_a_crash(
    bench: Bench,
) -> Result<()> {
    let world = World::default();
    let dying = start(worker(&bench, &world));
    let first = bench
        .intendant
        .request(member("first", &["a"]).gated())
        .await?;
    world.heard(&bench, "first waits").await?;
    bench.run_sql("delete from @holder").await?;
    let second = bench
        .intendant
        .request(member("second", &["a"]).gated())
        .await?;
    world.heard(&bench, "second waits").await?;
    dying.kill().await;
    let worker = start(worker(&bench, &world));
    bench.reach(first.id(), IntentState::Blocked).await?;
    world.gate.open();
    second.output().await?;
    first.output().await?;
    worker.stop().await?;
    bench.check().await
}

/// One of them fails; when a person has given it up, the others succeed.
async fn all_but_one_go_on(bench: &Bench, families: Vec<Handle<Member>>) -> Result<()> {
    let failed = bench
        .until(|| async {
            for family in &families {
                if bench.intendant.state(family.id()).await? == IntentState::Failed {
                    return Ok(Some(family.id()));
                }
            }
            Ok(None)
        })
        .await?;
    bench.intendant.discard(failed, "ada", None).await?;
    for family in families {
        if family.id() != failed {
            family.output().await?;
        }
    }
    Ok(())
}

/// So many wait in line.
pub(crate) async fn blocked(bench: &Bench, many: i64) -> Result<()> {
    bench
        .until(|| async {
            let blocked = bench.number("select count(*) from @blocked").await?;
            Ok((blocked == many).then_some(()))
        })
        .await
}
