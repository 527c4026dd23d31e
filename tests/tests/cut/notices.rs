//! Notifications are hints: whoever hears none of them finds its work by itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant_tests::proxy::Faults;

use crate::bench::{Bench, Parcel};

/// Every notification is lost: each request is carried out all the same, by the worker's poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hears_of_nothing_looks_by_itself() -> Result<()> {
    const PARCELS: u64 = 20;
    let mut bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    bench.proxy.disturb(Faults {
        notification_lost: 1.0,
        ..Faults::default()
    });
    bench.work(&intendant, Duration::from_secs(2));
    // The first one waits for the worker to begin.
    bench.direct.request(Parcel { number: 0 }).await?;
    bench.drain().await?;
    let begun = Instant::now();
    for number in 1..PARCELS {
        // Asked for elsewhere, while nobody works.
        bench.direct.request(Parcel { number }).await?;
        bench.drain().await?;
    }
    let took = begun.elapsed();
    let lost = bench.proxy.counts().notifications_lost;
    println!("{PARCELS} parcels in {took:?}, {lost} notifications lost");
    bench.stop().await?;
    bench.check().await?;
    let effects = bench.count("select count(*) from effect").await?;
    ensure!(effects == PARCELS, "{effects} effects");
    ensure!(
        lost >= PARCELS / 4,
        "only {lost} notifications were there to be lost"
    );
    // Its poll is 20 ms.
    let limit = Duration::from_secs(1) * u32::try_from(PARCELS)?;
    ensure!(took < limit, "{took:?}");
    Ok(())
}
