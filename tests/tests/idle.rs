//! An idle worker leaves its database alone: three looks a second, and a heartbeat now and then. So does one that waits for slots
//! of a queue that has lent all, or for the next step that a queue's rate permits. And of a queue without a rate nothing is asked.
//!
//! Counted where the statements leave the process, by what the database driver logs of them; so these tests have a
//! process to themselves, and take turns.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, Rate, StepResult, StoreKind, Worker};
use intendant_tests::database::Database;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_asks_less_than_five_times_a_second() -> Result<()> {
    let statements = Statements::default();
    tracing_subscriber::registry()
        .with(statements.clone().with_filter(LevelFilter::DEBUG))
        .init();
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let (_database, intendant) = Database::open(kind).await?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = Worker::new(&intendant, ());
        let worker = worker.register_step(ring).register_step(toll);
        let worker = tokio::spawn(worker.run(async move {
            stopped.await.ok();
        }));
        let before = statements.1.load(Ordering::SeqCst);
        for _ in 0..20 {
            intendant.request(Ring {}).await?.output().await?;
        }
        intendant.request_all((0..200).map(|_| Ring {})).await?;
        intendant.request(Ring {}).await?.output().await?;
        let budgets = statements.1.load(Ordering::SeqCst) - before;
        ensure!(budgets == 0, "{budgets} statements about slots and rates");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = statements.0.load(Ordering::SeqCst);
        let seconds = 7;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let asked = statements.0.load(Ordering::SeqCst) - before;
        println!("{}: {asked} statements in {seconds} s", kind.as_str());
        ensure!(
            asked <= 5 * seconds,
            "{}: {asked} in {seconds} s",
            kind.as_str()
        );
        ensure!(asked >= seconds, "the count moves: {asked}");

        // One tolls, and the others wait for the one slot. A look at such a queue is four statements, three or four times a
        // second; housekeeping may fall into the time.
        intendant.request(Toll {}).await?;
        intendant.limit_queue("tower", Some(1), "ada", None).await?;
        intendant.request_all((0..5).map(|_| Toll {})).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = statements.0.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let asked = statements.0.load(Ordering::SeqCst) - before;
        println!("{}: {asked} with a full queue", kind.as_str());
        ensure!(
            asked <= 20 * seconds,
            "{}: {asked} in {seconds} s with a full queue",
            kind.as_str()
        );

        // One may begin in an hour, and one has.
        intendant.limit_queue("tower", None, "ada", None).await?;
        let rate = Rate::per_hour(1);
        intendant
            .rate_queue("tower", Some(rate), "ada", None)
            .await?;
        intendant.request_all((0..5).map(|_| Toll {})).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let before = (load(&statements.0), load(&statements.1));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let asked = load(&statements.0) - before.0;
        let budgets = load(&statements.1) - before.1;
        println!(
            "{}: {asked} with a queue at its rate, {budgets} of them about it",
            kind.as_str()
        );
        ensure!(
            asked <= 8 * seconds && budgets <= 3,
            "{}: {asked} in {seconds} s with a queue at its rate, {budgets} about it",
            kind.as_str()
        );
        ensure!(before.1 > 0, "they are counted");
        stop.send(()).unwrap();
        worker.await??;
    }
    Ok(())
}
