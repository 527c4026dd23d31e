//! A worker that has nothing to do, and counts what it asks its database meanwhile: by what the database driver logs of it, so it has
//! a process to itself. Prints what it has counted, as JSON.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use intendant::{Cx, Intendant, Intent, Rate, StepResult, StoreOptions, Worker};
use intendant_tests::idle::Counted;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Counts statements; looks at SQLite's change counter are none. And those that have to do with slots or rates of queues.
#[derive(Clone, Default)]
struct Statements(Arc<AtomicU64>, Arc<AtomicU64>);

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" && *event.metadata().level() == Level::DEBUG {
            let mut what = What::default();
            event.record(&mut what);
            self.0.fetch_add(u64::from(!what.is_look), Ordering::SeqCst);
            self.1
                .fetch_add(u64::from(what.is_budget), Ordering::SeqCst);
        }
    }
}

#[derive(Default)]
struct What {
    is_look: bool,
    is_budget: bool,
}

impl Visit for What {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        self.is_look |= text.contains("pragma data_version");
        self.is_budget |= text.contains("rate_tat") || text.contains("hungry_at");
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ring {}

impl Intent for Ring {
    const KIND: &'static str = "ring";
    type Output = ();
}

async fn ring(_: Cx<()>, _: Ring) -> StepResult<()> {
    Ok(())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Toll {}

impl Intent for Toll {
    const KIND: &'static str = "toll";
    const QUEUE: &'static str = "tower";
    type Output = ();
}

/// Goes on until its worker stops.
async fn toll(cx: Cx<()>, _: Toll) -> StepResult<()> {
    cx.stopping().await;
    Ok(())
}

/// For how long it counts.
const SECONDS: u64 = 7;

impl Statements {
    /// How many there are in a while, and how many of them have to do with slots or rates.
    async fn in_a_while(&self) -> (u64, u64) {
        // What has led here is over by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = self.now();
        tokio::time::sleep(Duration::from_secs(SECONDS)).await;
        let now = self.now();
        (now.0 - before.0, now.1 - before.1)
    }

    fn now(&self) -> (u64, u64) {
        (self.0.load(Ordering::SeqCst), self.1.load(Ordering::SeqCst))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("the URL of a database")?;
    let statements = Statements::default();
    tracing_subscriber::registry()
        .with(statements.clone().with_filter(LevelFilter::DEBUG))
        .init();
    let intendant = Intendant::connect(StoreOptions {
        sync_every_commit: false,
        ..StoreOptions::new(&url)
    })
    .await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ());
    let worker = worker.register_step(ring).register_step(toll);
    let worker = tokio::spawn(worker.run(async move {
        stopped.await.ok();
    }));

    let (_, before) = statements.now();
    for _ in 0..20 {
        intendant.request(Ring {}).await?.output().await?;
    }
    intendant.request_all((0..200).map(|_| Ring {})).await?;
    intendant.request(Ring {}).await?.output().await?;
    let unlimited_budgets = statements.now().1 - before;
    let (idle, _) = statements.in_a_while().await;

    // One tolls, and the others wait for the one slot.
    intendant.request(Toll {}).await?;
    intendant.limit_queue("tower", Some(1), "ada", None).await?;
    intendant.request_all((0..5).map(|_| Toll {})).await?;
    let (full, full_budgets) = statements.in_a_while().await;

    // One may begin in an hour, and one has.
    intendant.limit_queue("tower", None, "ada", None).await?;
    let rate = Some(Rate::per_hour(1));
    intendant.rate_queue("tower", rate, "ada", None).await?;
    intendant.request_all((0..5).map(|_| Toll {})).await?;
    let (at_rate, at_rate_budgets) = statements.in_a_while().await;

    let counted = Counted {
        seconds: SECONDS,
        unlimited_budgets,
        idle,
        full,
        full_budgets,
        at_rate,
        at_rate_budgets,
    };
    println!("{}", serde_json::to_string(&counted)?);
    stop.send(()).ok();
    worker.await??;
    Ok(())
}
