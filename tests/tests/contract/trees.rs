//! Children: a parent waits for them without holding a worker, and goes on in the commit in which they finish.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, Resources, StepResult, fail, value};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_parent_gets_its_childs_output;
    one_correlation_id_runs_through_a_tree_to_the_last_grandchild;
    a_parent_holds_no_slot_while_it_waits;
    a_failed_child_fails_its_parent_and_is_resumed_with_it;
    a_parent_can_go_on_without_a_failed_child;
    a_childs_resource_is_covered_by_its_parents_lock;
    another_input_under_the_same_name_is_an_error;
    a_child_that_would_wait_for_its_own_parent_is_a_clear_error;
    a_tree_of_intents_has_a_depth_limit;
    many_parents_and_children_leave_nothing_behind;
    a_parent_that_failed_after_its_child_is_resumed_with_the_child_kept;
    a_child_that_ends_while_another_step_runs_for_long_is_heard_of;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parent {
    name: String,
}

impl Intent for Parent {
    const KIND: &'static str = "parent";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("family", &self.name)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Child {
    name: String,
}

impl Intent for Child {
    const KIND: &'static str = "child";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("family", &self.name)
    }
}

async fn raise(cx: Cx<Counter>, parent: Parent) -> StepResult<String> {
    let child = cx
        .child(
            "first",
            Child {
                name: parent.name.clone(),
            },
        )
        .await?;
    Ok(format!("{} of {}", child, parent.name))
}

async fn grow(_: Cx<Counter>, child: Child) -> StepResult<String> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(format!("child {}", child.name))
}

async fn a_parent_gets_its_childs_output(bench: Bench) -> Result<()> {
    let worker = start(
        bench
            .worker(Counter::default())
            .register_step(raise)
            .register_step(grow),
    );
    let parent = bench
        .intendant
        .request(Parent { name: "x".into() })
        .by("ada")
        .correlation_id("web-7")
        .await?;
    ensure!(parent.output().await? == "child x of x");
    let children = bench.intendant.children(parent.id()).await?;
    ensure!(children.len() == 1 && children[0].name == "first" && children[0].step == "run");
    let child = bench.intendant.get(children[0].id).await?;
    ensure!(child.parent_id == Some(parent.id()) && child.root_id == parent.id());
    ensure!(
        child.correlation_id.as_deref() == Some("web-7")
            && child.requested_by.as_deref() == Some("ada")
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_parent_holds_no_slot_while_it_waits(bench: Bench) -> Result<()> {
    // One slot: if the parent kept it, its child would never run.
    let worker = start(
        bench
            .worker(Counter::default())
            .register_step(raise)
            .register_step(grow)
            .concurrency(1),
    );
    for name in ["x", "y", "z"] {
        bench
            .intendant
            .request(Parent { name: name.into() })
            .await?
            .output()
            .await?;
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_failed_child_fails_its_parent_and_is_resumed_with_it(bench: Bench) -> Result<()> {
    let break_once = async |cx: Cx<Counter>, child: Child| match cx.state().add() {
        1 => Err(fail("fell over")),
        _ => Ok(child.name),
    };
    let worker = start(
        bench
            .worker(Counter::default())
            .register_step(raise)
            .register_step::<Child, String, _>(break_once),
    );
    let parent = bench.intendant.request(Parent { name: "x".into() }).await?;
    let record = bench.rest(parent.id()).await?;
    let child = bench.intendant.children(parent.id()).await?[0].id;
    let expected = format!("intent {child} failed (step failed) in `run`: fell over");
    ensure!(
        record.error.as_deref() == Some(expected.as_str()),
        "{:?}",
        record.error
    );
    ensure!(
        bench
            .intendant
            .resume(parent.id(), "tests", Some("mended"))
            .await?
            == 2
    );
    ensure!(parent.output().await? == "x of x");
    let events = bench.intendant.events(parent.id()).await?;
    ensure!(
        events.len() == 1
            && events[0].actor == "tests"
            && events[0].reason.as_deref() == Some("mended")
    );
    ensure!(bench.intendant.events(child).await?.len() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_parent_can_go_on_without_a_failed_child(bench: Bench) -> Result<()> {
    let tolerant = async |cx: Cx<()>, parent: Parent| -> StepResult<String> {
        match cx.child("first", Child { name: parent.name }).await {
            Err(error) if error.child_failure().is_some() => Ok("alone".to_owned()),
            other => other,
        }
    };
    let broken = async |_: Cx<()>, _: Child| -> StepResult<String> { Err(fail("no")) };
    let worker = bench
        .worker(())
        .register_step::<Parent, String, _>(tolerant);
    let worker = start(worker.register_step::<Child, String, _>(broken));
    ensure!(
        bench
            .intendant
            .request(Parent { name: "x".into() })
            .await?
            .output()
            .await?
            == "alone"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_childs_resource_is_covered_by_its_parents_lock(bench: Bench) -> Result<()> {
    // Parent and child want the same family exclusively; another parent of that family waits for both.
    let worker = start(
        bench
            .worker(Counter::default())
            .register_step(raise)
            .register_step(grow),
    );
    let first = bench.intendant.request(Parent { name: "x".into() }).await?;
    let second = bench.intendant.request(Parent { name: "x".into() }).await?;
    second.output().await?;
    let (first, second) = (
        bench.intendant.get(first.id()).await?,
        bench.intendant.get(second.id()).await?,
    );
    ensure!(first.finished_at <= bench.intendant.steps(second.id).await?[0].started_at);
    worker.stop().await?;
    bench.check().await
}

async fn another_input_under_the_same_name_is_an_error(bench: Bench) -> Result<()> {
    let fickle = async |cx: Cx<Counter>, _: Parent| {
        cx.child(
            "first",
            Child {
                name: cx.state().add().to_string(),
            },
        )
        .await
    };
    let worker = bench
        .worker(Counter::default())
        .register_step::<Parent, String, _>(fickle);
    let worker = start(worker.register_step(grow));
    let parent = bench.intendant.request(Parent { name: "x".into() }).await?;
    let record = bench.rest(parent.id()).await?;
    let error = record.error.unwrap_or_default();
    ensure!(
        error.starts_with("child `first` was asked for with another kind or input before"),
        "{error}"
    );
    worker.stop().await?;
    bench.check().await
}

#[derive(Serialize, Deserialize)]
struct Deeper(u64);

impl Intent for Deeper {
    const KIND: &'static str = "deeper";
    type Output = u64;
}

async fn a_tree_of_intents_has_a_depth_limit(bench: Bench) -> Result<()> {
    let dig = async |cx: Cx<u64>, deeper: Deeper| -> StepResult<u64> {
        if deeper.0 == *cx.state() {
            Ok(deeper.0)
        } else {
            cx.child("next", Deeper(deeper.0 + 1)).await
        }
    };
    let limit = intendant::limits::TREE_DEPTH as u64;
    let worker = start(bench.worker(limit).register_step::<Deeper, u64, _>(dig));
    // From 1, the deepest is as many levels down as are allowed; from 0, one too many.
    ensure!(bench.intendant.request(Deeper(1)).await?.output().await? == limit);
    let error = bench
        .intendant
        .request(Deeper(0))
        .await?
        .output()
        .await
        .unwrap_err()
        .to_string();
    ensure!(
        error.ends_with("the tree of intents is 32 levels deep, which is the limit"),
        "{error}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn one_correlation_id_runs_through_a_tree_to_the_last_grandchild(bench: Bench) -> Result<()> {
    let dig = async |cx: Cx<()>, deeper: Deeper| -> StepResult<u64> {
        let below = match deeper.0 {
            0 => Vec::new(),
            above => vec![Deeper(above - 1), Deeper(above - 1)],
        };
        let below = cx.children("below", below).await?;
        Ok(1 + below.into_iter().sum::<Result<u64, _>>()?)
    };
    let worker = start(bench.worker(()).register_step::<Deeper, u64, _>(dig));
    let root = bench.intendant.request(Deeper(3));
    let root = root.by("ada").correlation_id("web-7").await?;
    ensure!(root.output().await? == 15);
    let mut level = vec![root.id()];
    for generation in 1..=3 {
        let mut next = Vec::new();
        for parent in level {
            for child in bench.intendant.children(parent).await? {
                let record = bench.intendant.get(child.id).await?;
                ensure!(record.parent_id == Some(parent) && record.root_id == root.id());
                ensure!(record.correlation_id.as_deref() == Some("web-7"));
                ensure!(record.requested_by.as_deref() == Some("ada"));
                next.push(child.id);
            }
        }
        ensure!(next.len() == 1 << generation);
        level = next;
    }
    worker.stop().await?;
    bench.check().await
}

async fn many_parents_and_children_leave_nothing_behind(bench: Bench) -> Result<()> {
    async fn ask(cx: Cx<()>, name: String) -> StepResult<String> {
        cx.child("only", Child { name }).await
    }
    async fn slow(_: Cx<()>, ms: u64) -> StepResult<u64> {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    }
    async fn join(_: Cx<()>, parts: (String, String, u64)) -> StepResult<String> {
        Ok(format!("{}, {}", parts.0, parts.1))
    }
    async fn grow(_: Cx<()>, child: Child) -> StepResult<String> {
        Ok(child.name)
    }
    // Two branches that wait for a child each, beside one that runs: children finish while their parent is in hand,
    // while it parks, and while it is parked.
    let family = |parent: &Parent, plan: &mut Plan<()>| -> Node<String> {
        let one = plan
            .step("one", ask)
            .input(value(format!("{}-1", parent.name)));
        let two = plan
            .step("two", ask)
            .input(value(format!("{}-2", parent.name)));
        let slow = plan
            .step("slow", slow)
            .input(value(parent.name.len() as u64));
        plan.step("join", join).input((one, two, slow))
    };
    let parents = (0..150).map(|n| Parent {
        name: format!("{n}{}", "x".repeat(n % 9)),
    });
    let ids = bench.intendant.request_all(parents).await?;
    let workers = [(), ()].map(|()| {
        start(
            bench
                .worker(())
                .register::<Parent, _>(family)
                .register_step(grow),
        )
    });
    for id in ids {
        let record = bench.rest(id).await?;
        ensure!(record.state == IntentState::Succeeded, "{:?}", record.error);
    }
    for worker in workers {
        worker.stop().await?;
    }
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn a_parent_that_failed_after_its_child_is_resumed_with_the_child_kept(
    bench: Bench,
) -> Result<()> {
    let late = async |cx: Cx<Counter>, parent: Parent| -> StepResult<String> {
        let child = cx.child("first", Child { name: parent.name }).await?;
        if cx.state().add() == 1 {
            return Err(fail("after the child"));
        }
        Ok(child)
    };
    let grown = Counter::default();
    let count = grown.clone();
    let grow = move |_: Cx<Counter>, child: Child| {
        count.add();
        std::future::ready(Ok::<_, intendant::StepError>(child.name))
    };
    let worker = bench
        .worker(Counter::default())
        .register_step::<Parent, String, _>(late);
    let worker = start(worker.register_step::<Child, String, _>(grow));
    let parent = bench.intendant.request(Parent { name: "x".into() }).await?;
    bench.rest(parent.id()).await?;
    bench.intendant.resume(parent.id(), "tests", None).await?;
    ensure!(
        parent.output().await? == "x" && grown.get() == 1,
        "the child ran once"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_child_that_ends_while_another_step_runs_for_long_is_heard_of(
    bench: Bench,
) -> Result<()> {
    async fn ask(cx: Cx<Counter>, name: String) -> StepResult<String> {
        let child = cx.child("only", Child { name }).await?;
        cx.state().add();
        Ok(child)
    }
    async fn long(cx: Cx<Counter>, (): ()) -> StepResult<u64> {
        // Ends only when the other branch has gone on.
        while cx.state().get() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(cx.state().get())
    }
    async fn join(_: Cx<Counter>, parts: (String, u64)) -> StepResult<String> {
        Ok(parts.0)
    }
    let family = |parent: &Parent, plan: &mut Plan<Counter>| -> Node<String> {
        let asked = plan.step("ask", ask).input(value(parent.name.clone()));
        let long = plan.step("long", long).input(());
        plan.step("join", join).input((asked, long))
    };
    // The child is carried out by another worker, on another connection, as in another process.
    let elsewhere = bench.database.connect().await?;
    let parents = start(
        bench
            .worker(Counter::default())
            .register::<Parent, _>(family),
    );
    let children = intendant::Worker::new(&elsewhere, Counter::default()).register_step(grow);
    let children = start(children.poll(Duration::from_millis(20)));
    let parent = bench.intendant.request(Parent { name: "x".into() }).await?;
    let output = tokio::time::timeout(Duration::from_secs(20), parent.output()).await??;
    ensure!(output == "child x", "{output}");
    parents.stop().await?;
    children.stop().await?;
    bench.check().await
}

#[derive(Serialize, Deserialize)]
struct Reader;

impl Intent for Reader {
    const KIND: &'static str = "reader";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::shared("family", "x")
    }
}

async fn a_child_that_would_wait_for_its_own_parent_is_a_clear_error(bench: Bench) -> Result<()> {
    let read =
        async |cx: Cx<Counter>, _: Reader| cx.child("only", Child { name: "x".into() }).await;
    let worker = bench
        .worker(Counter::default())
        .register_step::<Reader, String, _>(read);
    let worker = start(worker.register_step(grow));
    let reader = bench.intendant.request(Reader).await?;
    let error = reader.output().await.unwrap_err().to_string();
    let expected = "it wants family:x for itself, which an intent that waits for it shares; neither could ever go on";
    ensure!(
        error.contains("(circular wait)") && error.ends_with(expected),
        "{error}"
    );
    worker.stop().await?;
    bench.check().await
}
