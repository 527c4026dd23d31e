//! A worker process for the chaos tests: `chaos-worker URL LEDGER CONCURRENCY`. Prints, when it has stopped, how many
//! of its ticks were refused. Its clock may be a wrong one ([`clock::AHEAD_S`]).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use intendant::{Intendant, StoreOptions, Worker};
use intendant_tests::chaos::{Effects, lease_of_this_process, plan, poison};
use intendant_tests::clock;
use intendant_tests::long::count;
use intendant_tests::rounds::round;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut args = std::env::args().skip(1);
    let (url, ledger) = (
        args.next().context("a URL")?,
        args.next().context("a ledger")?,
    );
    let concurrency = args.next().context("a concurrency")?.parse()?;
    let options = StoreOptions::new(url);
    let intendant = Intendant::with_clock(&options, clock::of_this_process()?).await?;
    let effects = Effects {
        ledger: PathBuf::from(ledger),
        kind: intendant.store_kind(),
    };
    let report = Worker::new(&intendant, effects)
        .register(plan)
        .register(round)
        .register_step(poison)
        .register_step(count)
        .concurrency(concurrency)
        .queue("inside", concurrency)
        .lease(lease_of_this_process()?)
        .poll(Duration::from_millis(20))
        .run(intendant::shutdown_signal())
        .await?;
    println!("{}", report.fenced);
    Ok(())
}
