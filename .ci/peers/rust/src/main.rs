//! Measures a peer of Intendant: `peers PEER URL WORKLOAD COUNT WARM_UP`, prints `{"seconds": …}`.

mod apalis;
mod awa;
mod dbos;
mod graphile;
mod underway;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Steps that have run.
static RAN: AtomicUsize = AtomicUsize::new(0);

/// About a hundred bytes, the same as in `intendant bench`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Payload {
    number: usize,
    text: String,
}

fn payload(number: usize) -> Payload {
    Payload {
        number,
        text: "seventy characters of text that stand for what an operation is about…".to_owned(),
    }
}

/// The step that everybody runs.
fn step(mut payload: Payload) -> Payload {
    RAN.fetch_add(1, Ordering::Relaxed);
    payload.number += 1;
    payload
}

/// A number from the environment, to try other settings out.
fn setting(name: &str, fallback: u32) -> u32 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(fallback)
}

/// A peer: how a backlog gets there, how its worker starts, and what counts as unfinished.
trait Peer {
    type Running;
    fn steps(&self) -> usize;
    /// SQL that counts what is not done.
    fn unfinished(&self) -> &'static str;
    async fn load(&mut self, jobs: usize) -> Result<()>;
    async fn start(&mut self) -> Result<Self::Running>;
    async fn stop(&mut self, running: Self::Running) -> Result<()>;
}

/// From before the worker's start until nothing of the backlog is unfinished; first a small one that is not counted.
async fn measure<P: Peer>(mut peer: P, url: &str, count: usize, warm_up: usize) -> Result<f64> {
    let mut conn = PgConnection::connect(url).await?;
    let mut seconds = 0.0;
    for jobs in [warm_up, count] {
        peer.load(jobs).await?;
        sqlx::raw_sql("vacuum analyze").execute(&mut conn).await?;
        RAN.store(0, Ordering::Relaxed);
        let began = Instant::now();
        let running = peer.start().await?;
        // The database is asked only when every step has run, as `intendant bench` does.
        let steps = jobs * peer.steps();
        while RAN.load(Ordering::Relaxed) < steps {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        loop {
            let left: i64 = sqlx::query_scalar(AssertSqlSafe(peer.unfinished()))
                .fetch_one(&mut conn)
                .await?;
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        seconds = began.elapsed().as_secs_f64();
        peer.stop(running).await?;
    }
    Ok(seconds)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [peer, url, workload, count, warm_up] = arguments.as_slice() else {
        bail!("usage: peers PEER URL single|chain COUNT WARM_UP");
    };
    let chain = workload == "chain";
    let count = count.parse().context("COUNT")?;
    let warm_up = warm_up.parse().context("WARM_UP")?;
    let seconds = match (peer.as_str(), chain) {
        ("apalis", false) => measure(apalis::Single::new(url).await?, url, count, warm_up).await?,
        ("apalis", true) => measure(apalis::Chain::new(url).await?, url, count, warm_up).await?,
        ("awa", false) => measure(awa::Awa::new(url).await?, url, count, warm_up).await?,
        ("dbos", _) => measure(dbos::Dbos::new(url, chain).await?, url, count, warm_up).await?,
        ("graphile", false) => {
            measure(graphile::Graphile::new(url).await?, url, count, warm_up).await?
        }
        ("underway", _) => {
            measure(
                underway::Underway::new(url, chain).await?,
                url,
                count,
                warm_up,
            )
            .await?
        }
        _ => bail!("no such peer, or not this workload"),
    };
    println!("{}", serde_json::json!({ "seconds": seconds }));
    // Some peers leave tasks behind that never end.
    std::process::exit(0);
}
