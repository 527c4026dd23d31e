//! Somebody who asks for intents through the server, and takes nothing for asked for before it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use intendant::Intent as _;
use intendant_tests::rounds::Round;

use crate::server::Server;
use crate::site::round;
use crate::{PATIENCE, STEP_MS};

/// The first number of those that are asked for here; the others begin with 0.
const FIRST: usize = 1_000_000_000;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(20);

/// What was acknowledged: numbers and ids.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) acknowledged: Vec<(usize, String)>,
    /// How many of them had been asked for already, by a request that was not answered.
    pub(crate) found: u64,
}

/// What is known of it meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) stop: AtomicBool,
    pub(crate) acknowledged: AtomicU64,
}

/// Asks for one after the other until it is told to stop, and reads each.
pub(crate) async fn ask(server: Arc<Server>, talk: Arc<Talk>) -> Result<Asked> {
    until_known(&server).await?;
    let mut asked = Asked::default();
    while !talk.stop.load(Ordering::Relaxed) {
        let number = FIRST + asked.acknowledged.len();
        let id = ask_for(&server, number, &mut asked.found).await?;
        read(&server, number, &id).await?;
        asked.acknowledged.push((number, id));
        talk.acknowledged.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(asked)
}

/// Waits until a worker has said what can be asked for.
async fn until_known(server: &Arc<Server>) -> Result<()> {
    let what = format!("GET /api/v1/kinds/{}", Round::KIND);
    let begun = Instant::now();
    while server.until_answered(&what, "\r\n").await?.status != 200 {
        ensure!(
            begun.elapsed() < PATIENCE,
            "no worker has registered `{}`",
            Round::KIND
        );
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Asks until it is acknowledged. The key makes one intent of all that is asked meanwhile.
async fn ask_for(server: &Arc<Server>, number: usize, found: &mut u64) -> Result<String> {
    let body = serde_json::json!({ "kind": Round::KIND, "input": round(number) }).to_string();
    let rest = format!(
        "Content-Type: application/json\r\nIdempotency-Key: storm-{number}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let said = server.until_answered("POST /api/v1/intents", &rest).await?;
    ensure!(matches!(said.status, 200 | 201), "{number}: {said:?}");
    *found += u64::from(said.status == 200);
    let id = said.body["id"].as_str().context("an id")?;
    Ok(id.to_owned())
}

/// What was acknowledged is there, whichever server is asked.
async fn read(server: &Arc<Server>, number: usize, id: &str) -> Result<()> {
    let what = format!("GET /api/v1/intents/{id}");
    let said = server.until_answered(&what, "\r\n").await?;
    ensure!(
        said.status == 200
            && said.body["id"] == id
            && said.body["input"]["number"] == number
            && said.body["input"]["step_ms"] == STEP_MS,
        "{number} was acknowledged as {id}: {said:?}"
    );
    Ok(())
}
