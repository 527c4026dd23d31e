//! A worker that dies between the refusal of somebody who would close a circle and its outcome.

use anyhow::{Result, ensure};
use intendant::testing::turns::{Session, Tick};
use intendant::{Cx, FailureReason, Intent, IntentState, OnFailure, Resources, StepResult};
use serde::{Deserialize, Serialize};

use crate::circles::{World, blocked, member, worker};
use crate::support::{Bench, on_both, start};

on_both! {
    who_was_refused_for_a_circle_and_not_told_is_told_by_the_next_worker;
}

/// A child that closes a circle when it is let in; in a queue of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Closer;

impl Intent for Closer {
    const KIND: &'static str = "closer";
    const QUEUE: &'static str = "closers";
    type Output = ();
    fn resources(&self) -> Resources {
        Resources::exclusive("r", "a")
    }
}

/// Has a closer for a child, and holds b.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Closing;

impl Intent for Closing {
    const KIND: &'static str = "closing";
    type Output = ();
    const ON_FAILURE: OnFailure = OnFailure::Release;
    fn resources(&self) -> Resources {
        Resources::exclusive("r", "b")
    }
}

async fn close(cx: Cx<World>, _: Closer) -> StepResult<()> {
    cx.state().say("closed".to_owned());
    Ok(())
}

async fn closing(cx: Cx<World>, _: Closing) -> StepResult<()> {
    cx.state().gate.pass().await;
    cx.child("closer", Closer).await
}

/// A worker claims it, hears that it is refused, and dies before that is on disk.
async fn who_was_refused_for_a_circle_and_not_told_is_told_by_the_next_worker(
    bench: Bench,
) -> Result<()> {
    let world = World::default();
    let families = start(worker(&bench, &world).register_step(closing));
    let second = bench.intendant.request(Closing).await?;
    bench.reach(second.id(), IntentState::Running).await?;
    let first = member("first", &["a"]).with([member("child of first", &["b"])]);
    let first = bench.intendant.request(first).await?;
    blocked(&bench, 1).await?;
    world.gate.open();
    let asked = "select count(*) from @ready where queue = 'closers'";
    bench
        .until(|| async { Ok((bench.number(asked).await? == 1).then_some(())) })
        .await?;
    // Whoever dies here has it in a lease and nothing else.
    let mut dying = Session::open(&bench.intendant).await?;
    let claim = Tick::default().claim(Closer::QUEUE, Closer::KIND, 1);
    let held = dying.tick(claim).await?.held;
    let [refused] = &held[..] else {
        anyhow::bail!("{held:?}");
    };
    let closer = refused.intent();
    let error = refused.unfit().unwrap_or_default().to_owned();
    ensure!(
        error.contains("so none of them could ever go on"),
        "{error}"
    );
    ensure!(bench.intendant.state(closer).await? == IntentState::Running);
    bench.check().await?;
    dying.die().await?;
    bench.check().await?;
    let next = start(bench.worker(world.clone()).register_step(close));
    let record = bench.rest(closer).await?;
    let word = FailureReason::CircularWait.as_str();
    ensure!(record.state == IntentState::Failed, "{record:?}");
    ensure!(record.reason.as_deref() == Some(word), "{record:?}");
    ensure!(
        !world.said().contains(&"closed".to_owned()),
        "it was let in"
    );
    // Its parent lets go when it fails; so the other family goes on.
    first.output().await?;
    let record = bench.rest(second.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    families.stop().await?;
    next.stop().await?;
    bench.check().await
}
