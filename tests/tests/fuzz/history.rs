//! A history to look at and to change: intents that have succeeded, failed, and wait, with steps, attempts, children, messages
//! and events; a schedule.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::schemars::JsonSchema;
use intendant::{
    About, Cx, Intendant, Intent, IntentId, Node, Plan, Resources, Schedule, StepResult, Worker,
    fail, value,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::document::Known;

const PATIENCE: Duration = Duration::from_secs(30);

/// Has a schema. It fails for every second server.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "intendant::schemars")]
struct Resize {
    account: String,
    server: u64,
    #[serde(default)]
    #[schemars(range(max = 128))]
    cores: u32,
}

impl Intent for Resize {
    const KIND: &'static str = "server.resize";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
    fn about() -> About {
        About::new("Gives a server more cores").schema::<Self>()
    }
}

async fn resize(_: Cx<()>, intent: Resize) -> StepResult<u64> {
    match intent.server % 2 {
        0 => Err(fail(format!("no server {}", intent.server))),
        _ => Ok(intent.server),
    }
}

/// Has no schema, and takes whatever there is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note(pub(crate) Value);

impl Intent for Note {
    const KIND: &'static str = "note";
    type Output = ();
}

pub(crate) async fn note(_: Cx<()>, _: Note) -> StepResult<()> {
    Ok(())
}

/// Fails at first, asks for others, and waits for a message in the end.
#[derive(Serialize, Deserialize)]
struct Build(u64);

impl Intent for Build {
    const KIND: &'static str = "build";
    type Output = u64;
}

fn build(build: &Build, plan: &mut Plan<()>) -> Node<u64> {
    async fn first(_: Cx<()>, n: u64) -> StepResult<u64> {
        Ok(n)
    }
    async fn second(cx: Cx<()>, n: u64) -> StepResult<u64> {
        if cx.attempt() < 3 {
            return Err(std::io::Error::other("not yet").into());
        }
        for part in ["roof", "wall"] {
            cx.child(part, Note(json!({ "part": part }))).await?;
        }
        Ok(n)
    }
    async fn third(cx: Cx<()>, n: u64) -> StepResult<u64> {
        let go: u64 = cx.signal("go").await?;
        Ok(n + go)
    }
    let first = plan.step("first", first).input(value(build.0));
    let second = plan.step("second", second);
    let second = second.backoff(Duration::ZERO, Duration::ZERO).input(first);
    plan.step("third", third).input(second)
}

/// Until an intent waits for its message.
async fn until_waiting(intendant: &Intendant, id: IntentId) -> Result<()> {
    let begun = Instant::now();
    loop {
        let why = intendant.why(id).await?.to_string();
        if why.contains("signal") {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{id} does not wait: {why}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Makes it, and says what there is.
pub(crate) async fn make(intendant: &Intendant) -> Result<Known> {
    let nightly = Schedule::every("nightly", Duration::from_secs(3_600));
    let worker = Worker::new(intendant, ())
        .poll(Duration::from_millis(10))
        .register_step(resize)
        .register_step(note)
        .register::<Build, _>(build)
        .schedule(nightly, |_| Note(json!({})));
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let (mut at_rest, mut waiting) = (Vec::new(), Vec::new());
    for server in 1..=8 {
        let account = if server < 5 { "acme" } else { "other" };
        let request = intendant.request(Resize {
            account: account.to_owned(),
            server,
            cores: 1,
        });
        let request = request
            .by("ada")
            .label("team", "ops")
            .correlation_id("trip-1");
        at_rest.push(request.await?.id());
    }
    for n in 1..=2 {
        waiting.push(intendant.request(Build(n)).await?.id());
    }
    for id in &at_rest {
        intendant.at_rest(*id).await?;
    }
    // The second has failed, and has something done to it.
    for _ in 0..2 {
        intendant
            .resume(at_rest[1], "ada", Some("once more"))
            .await?;
        intendant.at_rest(at_rest[1]).await?;
    }
    for id in &waiting {
        until_waiting(intendant, *id).await?;
        for name in ["other", "another"] {
            intendant.signal(*id, name, &7_u64).await?;
        }
    }
    stop.send(()).ok();
    worker.await??;
    Ok(known(at_rest.into_iter().chain(waiting)))
}

fn known(ids: impl Iterator<Item = IntentId>) -> Known {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    let inputs = [
        r#"{"account": "acme", "server": 1}"#,
        r#"{"account": "acme", "server": 2, "cores": 4}"#,
        "{}",
    ];
    let words: &[(&'static str, &[&str])] = &[
        ("account", &["acme", "other"]),
        ("by", &["account", "resource:server", "input:/a/b", "ada"]),
        ("correlation_id", &["trip-1"]),
        ("error", &["no server", "SERVER 2"]),
        ("from", &["run", "second"]),
        ("input", &inputs),
        ("kind", &["server.resize", "note", "build"]),
        ("label", &["team=ops"]),
        (
            "name",
            &["default", "nightly", "go", "run", "acme", "server.resize"],
        ),
        ("of", &["input", "output"]),
        ("rate", &["5/s", "7/90s", "100/min"]),
        ("requested_by", &["ada"]),
        ("resource", &["server:1", "server:2"]),
        ("since", &["24h", "7d", "2026-11-21T08:00:00Z"]),
        ("state", &["failed", "succeeded", "running"]),
        ("step", &["run", "first", "second", "third"]),
        (
            "verb",
            &["resume", "cancel", "retry", "skip", "pause", "run", "limit"],
        ),
    ];
    let words = words.iter().map(|(name, words)| {
        let words = words.iter().map(|word| (*word).to_owned());
        (*name, words.collect::<Vec<_>>())
    });
    let of_ids = ["id", "before", "after", "intent"].map(|name| (name, ids.clone()));
    words.chain(of_ids).collect()
}
