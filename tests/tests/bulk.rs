//! Requests in bulk: however many there are in one call, memory holds a batch of them. In a process of its own, since it is
//! the process's memory that is looked at.
//!
//! By hand with 100,000: `INTENDANT_TEST_SCALE=full cargo test -p intendant-tests --test bulk -- --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use intendant::{Intent, StoreKind};
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};

/// How much each input takes.
const BYTES: usize = 4_000;

/// What the process may grow by, in the worst moment. All inputs together take a multiple of it.
const GROWTH: usize = 30 << 20;

/// How many are there at a time.
#[derive(Debug, Clone, Default)]
struct Alive {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// There is one more as long as it is there.
#[derive(Debug, Default)]
struct Counted(Alive);

impl Alive {
    fn count(&self) -> Counted {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    text: String,
    #[serde(skip)]
    _counted: Counted,
}

impl Intent for Line {
    const KIND: &'static str = "line";
    type Output = ();
}

/// The most memory that this process has had since it was last asked, in bytes (Linux). What it has now is the new mark.
fn most_memory() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    // "5": the high-water mark begins anew (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5")?;
    Ok(kilobytes.context("VmHWM")?.parse::<usize>()? * 1024)
}

async fn in_one_call(kind: StoreKind, many: usize) -> Result<()> {
    let (database, intendant) = Database::open(kind).await?;
    let line = |alive: &Alive| Line {
        text: "x".repeat(BYTES),
        _counted: alive.count(),
    };
    // Connections, caches and the like are there.
    let alive = Alive::default();
    intendant
        .request_all((0..2_000).map(|_| line(&alive)))
        .await?;
    most_memory()?;
    let before = most_memory()?;
    let alive = Alive::default();
    let asked = intendant
        .request_all((0..many).map(|_| line(&alive)))
        .await?;
    let grown = most_memory()?.saturating_sub(before);
    let most = alive.most.load(Ordering::SeqCst);
    println!(
        "{}: {many} requests of {BYTES} bytes: {} MB more, {most} of them at a time",
        kind.as_str(),
        grown >> 20
    );
    ensure!(asked.len() == many);
    let there = intendant.unfinished().await?.total();
    ensure!(there == i64::try_from(many)? + 2_000, "{there} are there");
    ensure!(most <= 1_000, "{most} were there at a time");
    ensure!(grown < GROWTH, "{grown} bytes more");
    drop(database);
    Ok(())
}

#[test]
fn requests_in_one_call_take_the_memory_of_a_batch_however_many_they_are() -> Result<()> {
    let many = intendant_tests::size(25_000, 100_000);
    // Otherwise it would show nothing.
    ensure!(many * BYTES > 3 * GROWTH);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(in_one_call(StoreKind::Sqlite, many))?;
    runtime.block_on(in_one_call(StoreKind::Postgres, many))
}
