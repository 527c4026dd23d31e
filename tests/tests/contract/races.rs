//! A provisioning and a termination of the same server, in whatever order and at whatever moment, with workers that die: one
//! clean outcome for each server, and nothing is left over.
//!
//! By hand with 1,000 servers: `INTENDANT_TEST_SCALE=full cargo test --release -p intendant-tests --test contract races`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Conflicts, Cx, Intent, IntentId, IntentState, Node, Plan, Resources, Rule, StepResult, value,
};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Running, on_both, start};

on_both! {
    a_termination_and_a_provisioning_of_one_server_have_one_clean_outcome;
}

/// What there is of each server, outside the engine's database. To do anything twice is to do it once.
#[derive(Clone, Default)]
struct Cloud(Arc<Mutex<BTreeMap<u32, BTreeSet<&'static str>>>>);

impl Cloud {
    fn of(&self, server: u32) -> BTreeSet<&'static str> {
        self.0
            .lock()
            .unwrap()
            .get(&server)
            .cloned()
            .unwrap_or_default()
    }

    /// A call to a cloud takes its time, and has its effect somewhere in between.
    async fn make(&self, server: u32, thing: &'static str) {
        slowly().await;
        self.0
            .lock()
            .unwrap()
            .entry(server)
            .or_default()
            .insert(thing);
        slowly().await;
    }

    async fn delete(&self, server: u32, things: &[&'static str]) {
        slowly().await;
        let gone =
            |there: &mut BTreeSet<&'static str>| there.retain(|thing| !things.contains(thing));
        self.0.lock().unwrap().entry(server).and_modify(gone);
        slowly().await;
    }
}

async fn slowly() {
    let ms = rand::rng().random_range(0..4);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

const ALL: [&str; 3] = ["volume", "machine", "address"];

macro_rules! on_a_server {
    ($name:ident, $kind:literal, $conflicts:expr) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name {
            server: u32,
        }

        impl Intent for $name {
            const KIND: &'static str = $kind;
            type Output = ();
            fn resources(&self) -> Resources {
                Resources::exclusive("server", self.server)
            }
            fn conflicts() -> Conflicts {
                $conflicts
            }
        }
    };
}

on_a_server!(Provision, "server.provision", Conflicts::default());
on_a_server!(
    Terminate,
    "server.terminate",
    Conflicts::default().with("server.provision", Rule::Supersede)
);

fn provision(intent: &Provision, plan: &mut Plan<Cloud>) -> Node<()> {
    let server = value(intent.server);
    let volume = plan.step("volume", volume).undo(no_volume).input(server);
    let machine = plan.step("machine", machine).undo(no_machine).input(volume);
    plan.step("address", address)
        .undo(no_address)
        .input(machine)
}

async fn volume(cx: Cx<Cloud>, server: u32) -> StepResult<u32> {
    cx.state().make(server, ALL[0]).await;
    Ok(server)
}

async fn no_volume(cx: Cx<Cloud>, server: u32, _: Option<u32>) -> StepResult<()> {
    cx.state().delete(server, &ALL[..1]).await;
    Ok(())
}

async fn machine(cx: Cx<Cloud>, server: u32) -> StepResult<u32> {
    cx.state().make(server, ALL[1]).await;
    Ok(server)
}

async fn no_machine(cx: Cx<Cloud>, server: u32, _: Option<u32>) -> StepResult<()> {
    cx.state().delete(server, &ALL[1..2]).await;
    Ok(())
}

async fn address(cx: Cx<Cloud>, server: u32) -> StepResult<()> {
    cx.state().make(server, ALL[2]).await;
    Ok(())
}

async fn no_address(cx: Cx<Cloud>, server: u32, _: Option<()>) -> StepResult<()> {
    cx.state().delete(server, &ALL[2..]).await;
    Ok(())
}

async fn terminate(cx: Cx<Cloud>, intent: Terminate) -> StepResult<()> {
    cx.state().delete(intent.server, &ALL).await;
    Ok(())
}

fn worker(bench: &Bench, cloud: &Cloud) -> Running {
    start(
        bench
            .worker(cloud.clone())
            .concurrency(16)
            .cancel_grace(Duration::from_millis(2))
            .register(provision)
            .register_step(terminate),
    )
}

/// Asks for both, one some milliseconds after the other.
async fn race(bench: &Bench, server: u32) -> Result<(IntentId, IntentId)> {
    let intendant = &bench.intendant;
    let head_start = Duration::from_millis(rand::rng().random_range(0..25));
    if rand::rng().random_range(0..5) == 0 {
        let terminated = intendant.request(Terminate { server }).await?.id();
        tokio::time::sleep(head_start / 5).await;
        let provisioned = intendant.request(Provision { server }).await?.id();
        return Ok((provisioned, terminated));
    }
    let provisioned = intendant.request(Provision { server }).await?.id();
    tokio::time::sleep(head_start).await;
    let terminated = intendant.request(Terminate { server }).await?.id();
    Ok((provisioned, terminated))
}

async fn a_termination_and_a_provisioning_of_one_server_have_one_clean_outcome(
    bench: Bench,
) -> Result<()> {
    let servers = u32::try_from(intendant_tests::size(60, 1_000))?;
    let cloud = Cloud::default();
    let mut workers = [worker(&bench, &cloud), worker(&bench, &cloud)];
    let mut pairs = Vec::new();
    for round in 0..servers / 10 {
        let races = (0..10).map(|nth| race(&bench, round * 10 + nth));
        pairs.extend(futures_util::future::try_join_all(races).await?);
        if round % 3 == 1 {
            let which = rand::rng().random_range(0..2);
            let successor = worker(&bench, &cloud);
            std::mem::replace(&mut workers[which], successor)
                .kill()
                .await;
        }
    }
    let mut counts: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for (server, (provisioned, terminated)) in pairs.into_iter().enumerate() {
        let provisioned = bench.rest(provisioned).await?;
        ensure!(provisioned.state != IntentState::Failed, "{provisioned:?}");
        let terminated = bench.rest(terminated).await?;
        let left = cloud.of(u32::try_from(server)?);
        ensure!(terminated.state == IntentState::Succeeded, "{terminated:?}");
        let gone = match provisioned.state {
            // Stopped and taken back before the termination went.
            IntentState::Cancelled => {
                ensure!(provisioned.finished_at <= terminated.started_at);
                true
            }
            IntentState::Succeeded => provisioned.finished_at <= terminated.started_at,
            other => anyhow::bail!("{server}: {other}: {provisioned:?}"),
        };
        let expected = if gone { 0 } else { ALL.len() };
        let why = || format!("{server} was {}: {left:?} is left", provisioned.state);
        ensure!(left.len() == expected, "{}", why());
        *counts
            .entry((provisioned.state.as_str(), left.len()))
            .or_default() += 1;
    }
    for worker in workers {
        worker.stop().await?;
    }
    // A race that is always won by the same one is none.
    counts
        .get(&("cancelled", 0))
        .context("nobody was stopped")?;
    counts
        .get(&("succeeded", 0))
        .context("nobody had finished before")?;
    println!("{}: {counts:?}", bench.database.kind.as_str());
    bench.check().await
}
