//! No page's cost grows with history: each of them, and each list of the API, over a long one.
//!
//! By hand over 2,000,000 intents, where the median of each is held to 50 ms, and printed:
//! `INTENDANT_TEST_SCALE=full cargo test --release -p intendant-tests --test http pages_large -- --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::IntentId;
use intendant_tests::size;

use crate::pages::Browser;
use crate::support::{Resize, Server, on_both};

on_both! {
    pages_and_lists_answer_at_once_over_a_long_history;
}

const LONG: usize = 2_000_000;
/// How often each is asked for.
const TIMES: usize = 15;
/// What the median of each may be, by hand.
const MEDIAN: Duration = Duration::from_millis(50);
/// One in so many has failed.
const FAILED: usize = 1_000;
const ACCOUNTS: usize = 1_000;

/// Asks for them and has them carried out.
async fn with_long_history(server: &Server, count: usize) -> Result<Vec<IntentId>> {
    let worker = server.worker();
    let intents = (0..count).map(|nth| Resize {
        account: format!("customer-{}", nth % ACCOUNTS),
        // Those with an even number fail.
        server: if nth % FAILED == 0 {
            2 * nth as u64
        } else {
            2 * nth as u64 + 1
        },
        cores: 1,
    });
    let ids = server.intendant.request_all(intents).await?;
    loop {
        let left = server.intendant.unfinished().await?;
        if left.total() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    worker.stop().await?;
    Ok(ids)
}

fn paths(ids: &[IntentId]) -> Vec<String> {
    let (old, failed) = (
        ids[ids.len() / 2 + 1],
        ids[FAILED * (ids.len() / FAILED / 2)],
    );
    let searches = [
        "",
        "?state=failed",
        "?state=succeeded",
        "?state=running",
        "?account=customer-7",
        "?account=customer-7&state=failed",
        "?kind=server.resize",
        "?kind=nobody.knows",
        "?resource=server:2001",
        "?requested_by=nobody",
        "?correlation_id=none",
        "?error=no%20server",
    ];
    let list = |of: &str| searches.map(|search| format!("{of}{search}"));
    let mut paths = Vec::new();
    paths.extend(list("/intents").map(|path| path.replace("requested_by=", "by=")));
    paths.extend(list("/api/v1/intents"));
    paths.extend([
        format!("/intents?before={old}"),
        format!("/intents/{old}"),
        format!("/intents/{failed}"),
        format!("/intents/{old}/step?name=run"),
        format!("/api/v1/intents/{old}"),
        format!("/api/v1/intents/{old}/steps"),
        format!("/api/v1/intents/{old}/attempts"),
        format!("/api/v1/intents/{old}/events"),
        format!("/api/v1/intents/{failed}/why"),
        format!("/api/v1/intents?before={old}"),
    ]);
    let others = [
        "/",
        "/account?name=customer-7",
        "/failures",
        "/workers",
        "/queues",
        "/schedules",
        "/kinds",
        "/kind?name=server.resize",
        "/audit",
        "/api/v1/failures",
        "/api/v1/queues",
        "/api/v1/workers",
        "/api/v1/alerts",
        "/metrics",
        "/readyz",
    ];
    paths.extend(others.map(str::to_owned));
    paths
}

async fn pages_and_lists_answer_at_once_over_a_long_history(server: Server) -> Result<()> {
    let full = size(0, 1) == 1;
    let ids = with_long_history(&server, size(2_000, LONG)).await?;
    let browser = Browser::new(&server, &server.admin);
    let mut slow = Vec::new();
    for path in paths(&ids) {
        let mut took = Vec::with_capacity(TIMES);
        for _ in 0..if full { TIMES } else { 1 } {
            let start = Instant::now();
            let status = if path.starts_with("/api/") || path == "/metrics" || path == "/readyz" {
                server.get(&path).await?.status
            } else {
                browser.get(&path).await?.status
            };
            took.push(start.elapsed());
            ensure!(status == 200, "{path}: {status}");
        }
        took.sort();
        let median = took[took.len() / 2];
        if full {
            println!("{:8.1} ms  {path}", median.as_secs_f64() * 1e3);
        }
        if full && median > MEDIAN {
            slow.push((path, median));
        }
    }
    ensure!(slow.is_empty(), "{slow:?}");
    Ok(())
}
