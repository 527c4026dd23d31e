//! The rule `share`: side by side with some kinds, from a stage on; and "why?" names only those whom one waits for.

use std::sync::Arc;

use anyhow::{Result, ensure};
use intendant::{Conflicts, Cx, Intent, IntentState, Resources, Rule, StepResult, why::Reason};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::{Bench, on_both, start};

on_both! {
    who_shares_with_what_has_started_goes_when_that_starts;
    why_does_not_name_those_with_whom_one_goes_side_by_side;
}

#[derive(Debug, Serialize, Deserialize)]
struct Boot(Vec<u32>);

/// Goes beside a boot that has started.
#[derive(Debug, Serialize, Deserialize)]
struct Watch(Vec<u32>);

macro_rules! servers {
    ($name:ident, $kind:literal, $conflicts:expr) => {
        impl Intent for $name {
            const KIND: &'static str = $kind;
            type Output = ();
            fn resources(&self) -> Resources {
                let servers = self.0.iter();
                servers.fold(Resources::none(), |all, n| all.and_exclusive("server", n))
            }
            fn conflicts() -> Conflicts {
                $conflicts
            }
        }
    };
}

servers!(Boot, "boot", Conflicts::default());
servers!(
    Watch,
    "watch",
    Conflicts::default().once_started("boot", Rule::Share)
);

type Gate = Arc<Semaphore>;

async fn hold<T: Intent<Output = ()>>(cx: Cx<Gate>, _: T) -> StepResult<()> {
    cx.state().acquire().await?.forget();
    Ok(())
}

async fn who_shares_with_what_has_started_goes_when_that_starts(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let boots = bench.worker(gate.clone()).register_step(hold::<Boot>);
    let boots = start(boots.concurrency(1));
    let watching = start(bench.worker(gate.clone()).register_step(hold::<Watch>));
    let first = bench.intendant.request(Boot(vec![1])).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    // It has a place in the line for 2 since it waits for 1; the one slot of its worker is taken besides.
    let both = bench.intendant.request(Boot(vec![1, 2])).priority(1);
    let other = start(bench.worker(gate.clone()).register_step(hold::<Boot>));
    let both = both.await?;
    bench.reach(both.id(), IntentState::Blocked).await?;
    other.stop().await?;
    let watch = bench.intendant.request(Watch(vec![2])).await?;
    bench.reach(watch.id(), IntentState::Blocked).await?;
    gate.add_permits(1);
    first.output().await?;
    // Now it has started, and the other one goes beside it.
    bench.reach(both.id(), IntentState::Running).await?;
    bench.reach(watch.id(), IntentState::Running).await?;
    gate.add_permits(2);
    both.output().await?;
    watch.output().await?;
    boots.stop().await?;
    watching.stop().await?;
    bench.check().await
}

async fn why_does_not_name_those_with_whom_one_goes_side_by_side(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let worker = bench.worker(gate.clone()).register_step(hold::<Boot>);
    let worker = start(worker.register_step(hold::<Watch>));
    let boot = bench.intendant.request(Boot(vec![1])).await?;
    bench.reach(boot.id(), IntentState::Running).await?;
    let first = bench.intendant.request(Watch(vec![2])).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    // It would go beside the boot, but not beside its like.
    let second = bench.intendant.request(Watch(vec![1, 2])).await?;
    bench.reach(second.id(), IntentState::Blocked).await?;
    let why = bench.intendant.why(second.id()).await?;
    let named = why.reasons.iter().filter_map(|reason| match reason {
        Reason::InLine { holders, .. } => Some(holders.iter().map(|rival| rival.other.id)),
        _ => None,
    });
    let named: Vec<_> = named.flatten().collect();
    ensure!(named == [first.id()], "{why}");
    gate.add_permits(3);
    for handle in [first, second] {
        handle.output().await?;
    }
    boot.output().await?;
    worker.stop().await?;
    bench.check().await
}
