//! A storm: three workers, and a server that is asked for intents, at once under every fault that can be made here. Workers
//! and the server are killed, workers are stopped for longer than their leases; on PostgreSQL the database crashes as well and
//! falls silent or is late, connections are reset, COMMITs, the answers to them and notifications are lost, and of three workers
//! one's clock is five minutes behind and one's five minutes ahead. Then all is calm, and the ledger judges.
//!
//! ```sh
//! cargo test --workspace --test storm -- --nocapture                                        # 90 seconds on each
//! INTENDANT_STORM_MINUTES=120 cargo test --release --workspace --test storm -- --nocapture   # by hand: a soak
//! INTENDANT_STORM_SEED=17 cargo test --workspace --test storm -- --nocapture                 # the same faults again
//! ```
//!
//! The same seed deals the same faults in the same order. What they hit is the scheduler's.

mod asking;
mod counts;
mod crew;
mod faults;
mod judge;
mod network;
mod server;
mod site;

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Result;
use faults::Deck;
use intendant::StoreKind;
use intendant_tests::tell;
use site::Site;
use tokio::sync::Mutex;

/// How many workers there are at any time.
pub(crate) const WORKERS: usize = 3;

/// Of each worker; and as many again for steps of the queue `inside`.
pub(crate) const SLOTS: usize = 32;

/// How long a step takes, in milliseconds.
pub(crate) const STEP_MS: u64 = 4;

/// A worker's, as `chaos-worker` has it.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// How long anything may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How long the faults last, on each database.
const USUAL: Duration = Duration::from_secs(90);

/// The databases take turns: with the processes of both at once, two cores would be measured.
static TURN: Mutex<()> = Mutex::const_new(());

fn by_hand<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

async fn storm(kind: StoreKind) -> Result<()> {
    let _turn = TURN.lock().await;
    let seed: u64 = by_hand("INTENDANT_STORM_SEED").unwrap_or_else(rand::random);
    tell!("INTENDANT_STORM_SEED={seed}");
    let minutes = by_hand::<f64>("INTENDANT_STORM_MINUTES");
    let lasts = minutes.map_or(USUAL, |minutes| Duration::from_secs_f64(60.0 * minutes));

    let begun = Instant::now();
    let mut site = Site::new(kind, seed).await?;
    let lasted = site.storm(&mut Deck::new(kind, seed), lasts).await?;
    let ended = site.end().await?;
    tell!(
        "{}: faults for {lasted:?}, all in all {:?}: {} steps ran again, {} workers and {} servers found no database as they \
         began, {} intents quarantined and resumed",
        kind.as_str(),
        begun.elapsed(),
        ended.repeated,
        ended.workers_without_database,
        ended.servers_without_database,
        ended.quarantined
    );
    ended.counts.check(kind, lasts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_in_a_storm_on_sqlite() -> Result<()> {
    storm(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_in_a_storm_on_postgres() -> Result<()> {
    storm(StoreKind::Postgres).await
}
