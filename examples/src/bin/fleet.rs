//! A program that is its own command line: servers that are resized, in a directory with a file for each.
//!
//! ```text
//! server.resize  stop ── set ── start      by itself on the server, which other resizes wait for
//! ```
//!
//! ```sh
//! cargo build -p intendant-examples --bin fleet && cd target/debug
//! ./fleet migrate up
//! ./fleet worker &
//! ./fleet plan server.resize --input '{"account":"acme","server":42,"cores":8}'
//! ./fleet request server.resize --input '{"account":"acme","server":42,"cores":8}' --wait
//! ./fleet request server.resize --input '{"account":"acme","server":42,"cores":800}'      # refused by its schema
//! ./fleet history --account acme
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use intendant::{
    About, Cx, Intendant, Intent, Node, Plan, Resources, StepResult, Worker, schemars, value,
};
use intendant_api::Cli;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked for; its fields' comments stand in the schema, and so in forms.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "intendant::schemars")]
#[serde(deny_unknown_fields)]
struct Resize {
    /// Whose server it is.
    account: String,
    /// Its number.
    server: u32,
    /// How many cores it is to have.
    #[schemars(range(min = 1, max = 128))]
    cores: u32,
}

impl Intent for Resize {
    const KIND: &'static str = "server.resize";
    type Output = u32;
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
    fn about() -> About {
        About::new("Gives a server more or fewer cores").schema::<Self>()
    }
}

/// Where the servers are.
struct Fleet(PathBuf);

impl Fleet {
    /// Writes a server's file. Doing it twice is doing it once.
    async fn set(&self, server: u32, is: &str) -> std::io::Result<()> {
        tokio::fs::create_dir_all(&self.0).await?;
        tokio::fs::write(self.0.join(format!("server-{server}")), is).await
    }
}

async fn stop(cx: Cx<Fleet>, server: u32) -> StepResult<u32> {
    cx.state().set(server, "stopped").await?;
    Ok(server)
}

async fn set(cx: Cx<Fleet>, (server, cores): (u32, u32)) -> StepResult<u32> {
    let is = format!("stopped, {cores} cores");
    cx.state().set(server, &is).await?;
    Ok(cores)
}

async fn start(cx: Cx<Fleet>, (server, cores): (u32, u32)) -> StepResult<u32> {
    let is = format!("running, {cores} cores");
    cx.state().set(server, &is).await?;
    tracing::info!(server, cores, "resized");
    Ok(cores)
}

fn resize(intent: &Resize, plan: &mut Plan<Fleet>) -> Node<u32> {
    let stopped = plan.step("stop", stop).input(value(intent.server));
    let set = plan.step("set", set).input((stopped, value(intent.cores)));
    plan.step("start", start).input((stopped, set))
}

fn worker(intendant: &Intendant) -> Worker<Fleet> {
    let directory = std::env::var_os("FLEET_DIRECTORY").unwrap_or_else(|| "fleet".into());
    Worker::new(intendant, Fleet(directory.into())).register(resize)
}

#[tokio::main]
async fn main() -> ExitCode {
    Cli::new(worker).run().await
}
