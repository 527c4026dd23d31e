//! Conflict rules: a server is terminated while it is being provisioned. Whenever the termination comes, one clean outcome:
//! the provisioning had finished, or it is stopped and taken back; then the termination goes, and nothing is left over.
//!
//! ```text
//! server.provision  volume ── boot ── address      each with its undo
//! server.terminate  delete                         supersedes a provisioning, joins another termination
//! ```
//!
//! `cargo run -p intendant-examples --bin terminate -- 30` races them for thirty servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Conflicts, Cx, Intendant, Intent, Node, Plan, Resources, Rule, StepResult, Worker, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What there is of each server. Made and deleted things are named, so doing either twice is doing it once.
#[derive(Clone, Default)]
struct Cloud(Arc<Mutex<BTreeMap<u32, BTreeSet<&'static str>>>>);

impl Cloud {
    fn make(&self, server: u32, thing: &'static str) {
        self.change(|servers| {
            servers.entry(server).or_default().insert(thing);
        });
    }

    fn delete(&self, server: u32, thing: &str) {
        self.change(|servers| {
            if let Some(things) = servers.get_mut(&server) {
                things.remove(thing);
                if things.is_empty() {
                    servers.remove(&server);
                }
            }
        });
    }

    fn delete_all(&self, server: u32) {
        self.change(|servers| {
            servers.remove(&server);
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<u32, BTreeSet<&'static str>>) -> T) -> T {
        change(
            &mut self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Provision {
    server: u32,
}

impl Intent for Provision {
    const KIND: &'static str = "server.provision";
    type Output = ();

    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
}

#[derive(Serialize, Deserialize)]
struct Terminate {
    server: u32,
}

impl Intent for Terminate {
    const KIND: &'static str = "server.terminate";
    type Output = ();

    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }

    fn conflicts() -> Conflicts {
        Conflicts::default()
            .with("server.provision", Rule::Supersede)
            .with("server.terminate", Rule::Join)
    }
}

fn provision(intent: &Provision, plan: &mut Plan<Cloud>) -> Node<()> {
    let server = value(intent.server);
    let volume = plan.step("volume", volume).undo(no_volume).input(server);
    let booted = plan.step("boot", boot).undo(no_boot).input(volume);
    plan.step("address", address).undo(no_address).input(booted)
}

async fn volume(cx: Cx<Cloud>, server: u32) -> StepResult<u32> {
    slowly().await;
    cx.state().make(server, "volume");
    Ok(server)
}

async fn no_volume(cx: Cx<Cloud>, server: u32, _: Option<u32>) -> StepResult<()> {
    cx.state().delete(server, "volume");
    Ok(())
}

async fn boot(cx: Cx<Cloud>, server: u32) -> StepResult<u32> {
    slowly().await;
    cx.state().make(server, "machine");
    slowly().await;
    Ok(server)
}

/// It may have been stopped before the machine was there, or after.
async fn no_boot(cx: Cx<Cloud>, server: u32, _: Option<u32>) -> StepResult<()> {
    cx.state().delete(server, "machine");
    Ok(())
}

async fn address(cx: Cx<Cloud>, server: u32) -> StepResult<()> {
    slowly().await;
    cx.state().make(server, "address");
    Ok(())
}

async fn no_address(cx: Cx<Cloud>, server: u32, _: Option<()>) -> StepResult<()> {
    cx.state().delete(server, "address");
    Ok(())
}

async fn terminate(cx: Cx<Cloud>, intent: Terminate) -> StepResult<()> {
    cx.state().delete_all(intent.server);
    Ok(())
}

async fn slowly() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[tokio::main]
async fn main() -> Result<()> {
    let servers: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(20), |count| count.parse())?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("terminate.db");
    let intendant = Intendant::open(format!("sqlite://{}", file.display())).await?;

    let (stop, stopped) = oneshot::channel::<()>();
    let cloud = Cloud::default();
    let worker = Worker::new(&intendant, cloud.clone())
        .cancel_grace(Duration::from_millis(50))
        .register(provision)
        .register_step(terminate);
    print!("{}", worker.conflict_table());
    let running = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));

    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for server in 0..servers {
        let provisioned = intendant.request(Provision { server }).by("ada").await?;
        // Each a millisecond later than the one before: at some server every moment is hit.
        tokio::time::sleep(Duration::from_millis(u64::from(server))).await;
        let terminated = intendant.request(Terminate { server }).by("grace").await?;
        let again = intendant.request(Terminate { server }).by("grace").await?;
        terminated.output().await?;
        again.output().await?;
        // A person's impatience is no second termination, as long as the first has not begun.
        let end = provisioned.state().await?;
        ensure!(
            end.is_finished(),
            "{server} is terminated, and its provisioning goes on: {end}"
        );
        *outcomes.entry(end.as_str()).or_default() += 1;
    }
    stop.send(()).ok();
    running.await??;

    let left = cloud.change(|servers| servers.len());
    for (state, count) in outcomes {
        println!("{count} of {servers} provisionings {state}");
    }
    println!("{left} servers left over");
    ensure!(left == 0, "something is left over");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::testing::{Fault, Kit};

    fn kit() -> Kit<Cloud> {
        Kit::new(Cloud::default, |worker| {
            worker.register(provision).register_step(terminate)
        })
    }

    async fn servers(cloud: &Cloud) -> BTreeMap<u32, Vec<String>> {
        let named =
            |things: &BTreeSet<&str>| things.iter().map(|&thing| thing.to_owned()).collect();
        cloud.change(|servers| {
            servers
                .iter()
                .map(|(id, things)| (*id, named(things)))
                .collect()
        })
    }

    #[tokio::test]
    async fn a_server_is_there_once_or_not_at_all_whatever_happens() -> Result<()> {
        let (kit, order) = (kit(), || Provision { server: 7 });
        let look = async |cloud: &Cloud| servers(cloud).await;
        let report = kit.check_idempotent(order, look).await?;
        report.assert_clean();
        ensure!(report.cancels > 0, "{report}");
        kit.check_recovery(order, look).await?.assert_clean();
        Ok(())
    }

    #[tokio::test]
    async fn a_termination_leaves_nothing_of_a_provisioning_whose_worker_died() -> Result<()> {
        for step in ["volume", "boot", "address"] {
            let mut stage = kit().stage().await?;
            stage.state().make(7, "volume");
            let provision = stage.intendant().request(Provision { server: 7 }).await?;
            let terminate = stage.intendant().request(Terminate { server: 7 }).await?;
            stage.fault_after(step, Fault::Crash);
            let terminated = stage.rest(terminate.id()).await?;
            ensure!(terminated.state().as_str() == "succeeded", "{terminated}");
            ensure!(provision.state().await?.is_finished());
            ensure!(servers(stage.state()).await.is_empty());
        }
        Ok(())
    }
}
