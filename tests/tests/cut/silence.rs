//! Silence: nothing comes through, and nobody is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{Cx, Node, Plan, StepResult, Worker};
use tokio::sync::oneshot;

use crate::bench::{Bench, Order, Parcel};

/// The network is gone for two and a half leases, for all workers: they wait, and nobody takes anybody for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_silent_for_all_kills_nobody() -> Result<()> {
    let mut bench = Bench::new(0).await?;
    let lease = Duration::from_secs(1);
    for _ in 0..2 {
        let intendant = bench.through().await?;
        bench.work(&intendant, lease);
    }
    const ORDERS: u64 = 300;
    bench
        .direct
        .request_all((0..ORDERS).map(|number| Order { number }))
        .await?;
    for round in 1..=2 {
        let before = bench.count("select count(*) from effect").await?;
        bench
            .until(async |bench| {
                Ok(bench.count("select count(*) from effect").await? >= before + 30)
            })
            .await?;
        bench.proxy.hold();
        // The silence itself is what is tested.
        tokio::time::sleep(lease * 5 / 2).await;
        let left = bench.direct.unfinished().await?.total();
        ensure!(left > 0, "all was done before silence {round}");
        bench.proxy.release();
    }
    bench.drain().await?;
    let reports = bench.stop().await?;
    println!("{reports:?}");
    bench.judge(ORDERS).await?;
    ensure!(
        reports
            .iter()
            .all(|report| report.fenced == 0 && report.reaped == 0),
        "a live worker was taken for dead: {reports:?}"
    );
    Ok(())
}

/// One worker is cut off for longer than a lease while the other one is not: its work is taken over, and what it writes
/// when it comes back is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_cut_off_is_taken_over_and_writes_nothing_afterwards() -> Result<()> {
    let mut bench = Bench::new(0).await?;
    let lease = Duration::from_secs(1);
    let (through, direct) = (bench.through().await?, bench.direct.clone());
    bench.work(&through, lease);
    const ORDERS: u64 = 300;
    bench
        .direct
        .request_all((0..ORDERS).map(|number| Order { number }))
        .await?;
    bench
        .until(async |bench| Ok(bench.count("select count(*) from effect").await? >= 30))
        .await?;
    bench.proxy.hold();
    bench.work(&direct, lease);
    bench.drain().await?;
    bench.proxy.release();
    // Its new session shows that it has heard of the end of the old one.
    bench
        .until(async |bench| {
            Ok(bench
                .count("select count(*) from intendant.session")
                .await?
                == 2)
        })
        .await?;
    direct.request(Order { number: ORDERS }).await?;
    bench.drain().await?;
    let reports = bench.stop().await?;
    println!("{reports:?}");
    let (cut_off, other) = (reports[0], reports[1]);
    ensure!(other.reaped == 1 && cut_off.reaped == 0, "{reports:?}");
    bench.judge(ORDERS + 1).await
}

/// A worker that has not heard from its database for a lease may be dead without knowing: it starts no step before it
/// has been told that it lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_has_heard_nothing_for_a_lease_starts_no_step() -> Result<()> {
    const STEPS: usize = 400;
    const LEASE: Duration = Duration::from_secs(1);
    type Starts = Arc<Mutex<Vec<Instant>>>;
    async fn short(cx: Cx<Starts>, (): ()) -> StepResult<u64> {
        cx.state()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Instant::now());
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(1)
    }
    async fn sum(_: Cx<Starts>, parts: Vec<u64>) -> StepResult<u64> {
        Ok(parts.into_iter().sum())
    }
    // None of these waits for another one, so nothing but the silence keeps them from starting.
    let many = |_: &Parcel, plan: &mut Plan<Starts>| -> Node<u64> {
        let parts: Vec<Node<u64>> = (0..STEPS)
            .map(|n| plan.step(format!("short-{n}"), short).input(()))
            .collect();
        plan.step("sum", sum).input(parts)
    };
    let bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    let starts = Starts::default();
    let worker = Worker::new(&intendant, starts.clone()).register::<Parcel, _>(many);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.concurrency(1).lease(LEASE).run(async {
        stopped.await.ok();
    }));
    let started = || starts.lock().unwrap_or_else(PoisonError::into_inner).len();
    let parcel = bench.direct.request(Parcel { number: 7 }).await?;
    bench.until(async |_| Ok(started() >= 20)).await?;
    bench.proxy.hold();
    let held = Instant::now();
    // Without this rule one would start every ten milliseconds.
    tokio::time::sleep(LEASE * 5 / 2).await;
    let before = started();
    bench.proxy.release();
    ensure!(parcel.output().await? == STEPS as u64);
    stop.send(()).ok();
    running.await??;
    let starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(starts.len() == STEPS, "{} starts", starts.len());
    // The last it heard was before the silence began.
    let late = |start: &&Instant| **start > held + LEASE + Duration::from_millis(100);
    let late = starts[..before].iter().filter(late).count();
    println!("{before} steps had started in the end of the silence, {late} too late");
    ensure!(late == 0 && before < STEPS);
    Ok(())
}
