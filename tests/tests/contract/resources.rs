//! Resources: exclusive ones are waited for in line, shared ones are not.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, OnFailure, Resources, StepResult, fail};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    exclusive_intents_on_one_resource_run_one_after_the_other_in_order;
    shared_intents_run_side_by_side_and_an_exclusive_one_waits_its_turn;
    several_resources_are_taken_at_once_without_deadlock;
    a_failed_intent_keeps_its_resource_until_it_is_resumed;
    a_kind_can_let_go_of_its_resources_when_it_fails;
    a_resumed_holder_does_not_wait_for_those_who_wait_for_it;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Touch {
    exclusive: Vec<String>,
    shared: Vec<String>,
    ms: u64,
}

impl Intent for Touch {
    const KIND: &'static str = "touch";
    type Output = ();
    fn resources(&self) -> Resources {
        let resources = self
            .exclusive
            .iter()
            .fold(Resources::touched("environment", 7), |all, id| {
                all.and_exclusive("server", id)
            });
        self.shared
            .iter()
            .fold(resources, |all, id| all.and_shared("server", id))
    }
}

fn exclusive(ids: &[&str], ms: u64) -> Touch {
    Touch {
        exclusive: ids.iter().map(|id| (*id).to_owned()).collect(),
        shared: vec![],
        ms,
    }
}

fn shared(ids: &[&str], ms: u64) -> Touch {
    Touch {
        exclusive: vec![],
        shared: ids.iter().map(|id| (*id).to_owned()).collect(),
        ms,
    }
}

/// Says in the resource's own state whether somebody else is there.
#[derive(Default)]
struct Servers(std::sync::Mutex<std::collections::HashMap<String, (u32, u32)>>);

impl Servers {
    /// Exclusive and shared users of each; an error if they exclude each other (I4).
    fn enter(&self, touch: &Touch) -> Result<(), String> {
        let mut users = self.0.lock().unwrap();
        for id in &touch.exclusive {
            let user = users.entry(id.clone()).or_default();
            if *user != (0, 0) {
                return Err(format!("{id} has {user:?} users already"));
            }
            user.0 += 1;
        }
        for id in &touch.shared {
            let user = users.entry(id.clone()).or_default();
            if user.0 > 0 {
                return Err(format!("{id} has {user:?} users already"));
            }
            user.1 += 1;
        }
        Ok(())
    }

    fn leave(&self, touch: &Touch) {
        let mut users = self.0.lock().unwrap();
        touch
            .exclusive
            .iter()
            .for_each(|id| users.get_mut(id).unwrap().0 -= 1);
        touch
            .shared
            .iter()
            .for_each(|id| users.get_mut(id).unwrap().1 -= 1);
    }
}

async fn touch(cx: Cx<Servers>, touch: Touch) -> StepResult<()> {
    cx.state().enter(&touch).map_err(fail)?;
    tokio::time::sleep(Duration::from_millis(touch.ms)).await;
    cx.state().leave(&touch);
    Ok(())
}

async fn exclusive_intents_on_one_resource_run_one_after_the_other_in_order(
    bench: Bench,
) -> Result<()> {
    let mut handles = Vec::new();
    for _ in 0..12 {
        handles.push(bench.intendant.request(exclusive(&["42"], 5)).await?);
    }
    let workers = [(), ()].map(|()| start(bench.worker(Servers::default()).register_step(touch)));
    let mut starts = Vec::new();
    for handle in &handles {
        handle.output().await?;
        starts.push(
            bench.intendant.steps(handle.id()).await?[0]
                .started_at
                .unwrap(),
        );
    }
    ensure!(starts.is_sorted(), "first come, first served: {starts:?}");
    for worker in workers {
        worker.stop().await?;
    }
    let first = bench.intendant.get(handles[0].id()).await?;
    ensure!(first.resources.len() == 2, "{:?}", first.resources);
    bench.check().await
}

async fn shared_intents_run_side_by_side_and_an_exclusive_one_waits_its_turn(
    bench: Bench,
) -> Result<()> {
    let worker = start(bench.worker(Servers::default()).register_step(touch));
    let readers = [
        bench.intendant.request(shared(&["42"], 300)).await?,
        bench.intendant.request(shared(&["42"], 300)).await?,
    ];
    for reader in &readers {
        bench.reach(reader.id(), IntentState::Running).await?;
    }
    let writer = bench.intendant.request(exclusive(&["42"], 1)).await?;
    bench.reach(writer.id(), IntentState::Blocked).await?;
    // Comes after the writer, so it does not overtake it although it would go along with the readers.
    let late = bench.intendant.request(shared(&["42"], 1)).await?;
    bench.reach(late.id(), IntentState::Blocked).await?;
    late.output().await?;
    let start_of = async |id| anyhow::Ok(bench.intendant.steps(id).await?[0].started_at.unwrap());
    ensure!(start_of(writer.id()).await? < start_of(late.id()).await?);
    worker.stop().await?;
    bench.check().await
}

async fn several_resources_are_taken_at_once_without_deadlock(bench: Bench) -> Result<()> {
    let servers = std::sync::Arc::new(Servers::default());
    let step = async |cx: Cx<std::sync::Arc<Servers>>, touch: Touch| -> StepResult<()> {
        cx.state().enter(&touch).map_err(fail)?;
        tokio::time::sleep(Duration::from_millis(touch.ms)).await;
        cx.state().leave(&touch);
        Ok(())
    };
    let ids = ["1", "2", "3", "4"];
    let requests = (0..120usize).map(|n| {
        let pair = [ids[n % 4], ids[(n + 1 + n / 4 % 3) % 4]];
        if n % 5 == 0 {
            shared(&pair, 2)
        } else {
            exclusive(&pair, 2)
        }
    });
    let all = bench.intendant.request_all(requests).await?;
    let workers = [(), (), ()].map(|()| {
        start(
            bench
                .worker(servers.clone())
                .register_step::<Touch, (), _>(step)
                .concurrency(8),
        )
    });
    for id in all {
        let record = bench.rest(id).await?;
        ensure!(record.state == IntentState::Succeeded, "{:?}", record.error);
    }
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

async fn a_failed_intent_keeps_its_resource_until_it_is_resumed(bench: Bench) -> Result<()> {
    let step = async |cx: Cx<Counter>, touch: Touch| match (touch.ms, cx.state().add()) {
        (13, 1) => Err(fail("half built")),
        _ => Ok(()),
    };
    let worker = start(
        bench
            .worker(Counter::default())
            .register_step::<Touch, (), _>(step),
    );
    let broken = bench.intendant.request(exclusive(&["42"], 13)).await?;
    bench.rest(broken.id()).await?;
    let next = bench.intendant.request(exclusive(&["42"], 1)).await?;
    bench.reach(next.id(), IntentState::Blocked).await?;
    bench.check().await?;
    bench.intendant.resume(broken.id(), "tests", None).await?;
    broken.output().await?;
    next.output().await?;
    worker.stop().await?;
    bench.check().await
}

#[derive(Serialize, Deserialize)]
struct Try(u64);

impl Intent for Try {
    const KIND: &'static str = "try";
    const ON_FAILURE: OnFailure = OnFailure::Release;
    type Output = ();
    fn resources(&self) -> Resources {
        Resources::exclusive("server", 42)
    }
}

async fn a_kind_can_let_go_of_its_resources_when_it_fails(bench: Bench) -> Result<()> {
    let step = async |_: Cx<()>, intent: Try| match intent.0 {
        0 => Err(fail("no")),
        _ => Ok(()),
    };
    let worker = start(bench.worker(()).register_step::<Try, (), _>(step));
    let broken = bench.intendant.request(Try(0)).await?;
    let next = bench.intendant.request(Try(1)).await?;
    next.output().await?;
    ensure!(broken.state().await? == IntentState::Failed);
    worker.stop().await?;
    bench.check().await
}

async fn a_resumed_holder_does_not_wait_for_those_who_wait_for_it(bench: Bench) -> Result<()> {
    let step = async |cx: Cx<Counter>, touch: Touch| match (touch.ms, cx.state().add()) {
        (13, 1) => Err(fail("half built")),
        _ => Ok(()),
    };
    let worker = start(
        bench
            .worker(Counter::default())
            .register_step::<Touch, (), _>(step),
    );
    let broken = bench.intendant.request(exclusive(&["42"], 13)).await?;
    bench.rest(broken.id()).await?;
    // Its place in line is before the holder's own.
    let urgent = bench
        .intendant
        .request(exclusive(&["42"], 1))
        .priority(100)
        .await?;
    bench.reach(urgent.id(), IntentState::Blocked).await?;
    bench.intendant.resume(broken.id(), "tests", None).await?;
    tokio::time::timeout(Duration::from_secs(20), broken.output()).await??;
    urgent.output().await?;
    worker.stop().await?;
    bench.check().await
}
