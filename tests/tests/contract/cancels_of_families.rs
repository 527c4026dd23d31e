//! Cancel: it reaches children and theirs, and parents see what became of them.

use anyhow::{Result, ensure};
use intendant::{Cancelled, Cx, Intent, IntentFilter, StepResult, fail};
use serde::{Deserialize, Serialize};

use crate::cancels::{Gate, Job, begun, cancelled, job};
use crate::support::{Bench, on_both, start};

on_both! {
    a_cancel_reaches_descendants_at_three_levels;
    a_parent_sees_that_its_child_was_cancelled;
    a_step_that_asks_for_children_as_it_is_cancelled_gets_none;
}

/// A tree: each asks for the next level, the last one waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Level {
    depth: u32,
    children: u32,
}

impl Intent for Level {
    const KIND: &'static str = "level";
    type Output = u32;
}

async fn level(cx: Cx<Gate>, level: Level) -> StepResult<u32> {
    if level.depth == 0 {
        cx.state().begun.add();
        tokio::select! {
            () = cx.state().open.notified() => return Ok(1),
            () = cx.cancelled() => return Err(fail("given up")),
        }
    }
    let below = (0..level.children).map(|_| Level {
        depth: level.depth - 1,
        children: level.children,
    });
    let mut sum = 1;
    for child in cx.children("below", below).await? {
        match child {
            Ok(below) => sum += below,
            Err(failed) if failed.is_cancelled() => {
                cx.state().done.add();
                let by = failed.to_string();
                if !by.ends_with("was cancelled by ada: enough") {
                    return Err(fail(by));
                }
            }
            Err(failed) => return Err(failed.into()),
        }
    }
    Ok(sum)
}

async fn a_cancel_reaches_descendants_at_three_levels(bench: Bench) -> Result<()> {
    let gate = Gate::default();
    // Four of the nine leaves run, the others wait for a slot, or in line.
    let worker = bench
        .worker(gate.clone())
        .concurrency(4)
        .register_step(level);
    let worker = start(worker);
    let root = Level {
        depth: 2,
        children: 3,
    };
    let root = bench.intendant.request(root).await?;
    begun(&bench, &gate, 4).await?;
    bench
        .until(|| async {
            let filter = IntentFilter::default();
            Ok((bench.intendant.list(filter).await?.len() == 13).then_some(()))
        })
        .await?;
    let answer = bench
        .intendant
        .cancel(root.id(), "ada", Some("enough"))
        .await?;
    ensure!(answer == Cancelled::Stopping, "{answer:?}");
    for record in bench.intendant.list(IntentFilter::default()).await? {
        cancelled(&bench, record.id).await?;
        let events = bench.intendant.events(record.id).await?;
        let reason = events[0].reason.clone().unwrap_or_default();
        let expected = match record.id == root.id() {
            true => "enough".to_owned(),
            false => format!("cancelled with intent {}: enough", root.id()),
        };
        ensure!(reason == expected, "{reason}");
    }
    worker.stop().await?;
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

async fn a_parent_sees_that_its_child_was_cancelled(bench: Bench) -> Result<()> {
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register_step(level));
    let parent = Level {
        depth: 1,
        children: 2,
    };
    let parent = bench.intendant.request(parent).await?;
    begun(&bench, &gate, 2).await?;
    let children = bench.intendant.children(parent.id()).await?;
    let child = children[0].id;
    bench.intendant.cancel(child, "ada", Some("enough")).await?;
    cancelled(&bench, child).await?;
    gate.open.notify_one();
    ensure!(parent.output().await? == 2, "itself and one child");
    ensure!(gate.done.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_asks_for_children_as_it_is_cancelled_gets_none(bench: Bench) -> Result<()> {
    async fn late(cx: Cx<Gate>, job: Job) -> StepResult<String> {
        cx.state().begun.add();
        cx.cancelled().await;
        let child = Level {
            depth: 0,
            children: 0,
        };
        cx.child("late", child).await?;
        Ok(job.name)
    }
    let gate = Gate::default();
    let worker = bench
        .worker(gate.clone())
        .register_step(late)
        .register_step(level);
    let worker = start(worker);
    let handle = bench.intendant.request(job("late")).await?;
    begun(&bench, &gate, 1).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    cancelled(&bench, handle.id()).await?;
    ensure!(bench.intendant.children(handle.id()).await?.is_empty());
    worker.stop().await?;
    bench.check().await
}
