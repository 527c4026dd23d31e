//! Each test is an `async fn(Bench)`, run on both stores by `on_both!`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{Intendant, IntentId, IntentRecord, IntentState, StoreKind, WorkReport, Worker};
use intendant_tests::Given;
use intendant_tests::database::Database;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tracing_subscriber::prelude::*;

pub(crate) use intendant_tests::on_both;

impl Given for Bench {
    async fn given(store: StoreKind) -> Result<Self> {
        Self::open(store).await
    }
}

/// A database of the test's own, and the engine on it.
pub(crate) struct Bench {
    pub(crate) database: Database,
    pub(crate) intendant: Intendant,
}

/// A worker that is running.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<WorkReport, intendant::Error>>,
}

impl Running {
    /// Stops it gracefully.
    pub(crate) async fn stop(self) -> Result<WorkReport> {
        self.stop.send(()).ok();
        Ok(self.task.await??)
    }

    /// Drops it in the middle of whatever it does, as a killed process would.
    pub(crate) async fn kill(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

impl Bench {
    pub(crate) async fn open(kind: intendant::StoreKind) -> Result<Self> {
        // `RUST_LOG=intendant=debug cargo test …` shows what the engine does.
        let said = tracing_subscriber::fmt::layer()
            .with_test_writer()
            .with_filter(tracing_subscriber::EnvFilter::from_default_env());
        tracing_subscriber::registry()
            .with(intendant::StepLogs::new())
            .with(crate::telling::Spans)
            .with(said)
            .try_init()
            .ok();
        let (database, intendant) = Database::open(kind).await?;
        Ok(Self {
            database,
            intendant,
        })
    }

    /// A worker with settings for tests: short leases and polls.
    pub(crate) fn worker<S: Send + Sync + 'static>(&self, state: S) -> Worker<S> {
        Worker::new(&self.intendant, state)
            .lease(Duration::from_secs(1))
            .poll(Duration::from_millis(20))
            .grace(Duration::from_secs(5))
    }

    /// Waits until an intent is at rest; fails after half a minute.
    pub(crate) async fn rest(&self, id: IntentId) -> Result<IntentRecord> {
        let rested = self
            .until(|| async move {
                let record = self.intendant.get(id).await?;
                Ok(record.state.is_finished().then_some(record))
            })
            .await;
        match rested {
            Ok(record) => Ok(record),
            Err(error) => {
                let why = self.intendant.why(id).await?;
                Err(error.context(format!("{id} is {}: {why}", why.state)))
            }
        }
    }

    /// Waits until an intent is in a state.
    pub(crate) async fn reach(&self, id: IntentId, state: IntentState) -> Result<()> {
        self.until(|| async move { Ok((self.intendant.state(id).await? == state).then_some(())) })
            .await
    }

    /// Waits until `look` finds something. Meanwhile the invariants hold at any time.
    pub(crate) async fn until<T, F: Future<Output = Result<Option<T>>>>(
        &self,
        look: impl Fn() -> F,
    ) -> Result<T> {
        let start = Instant::now();
        for nth in 1.. {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if nth % 20 == 0 {
                self.check().await?;
            }
            ensure!(
                start.elapsed() < Duration::from_secs(30),
                "nothing came of it in half a minute"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        unreachable!("it is found, or it fails")
    }

    /// Runs statements past the engine. `@` stands for its schema or prefix.
    pub(crate) async fn run_sql(&self, sql: &str) -> Result<(), sqlx::Error> {
        self.database.run_sql(sql).await
    }

    /// Reads one number past the engine. `@` stands for its schema or prefix.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64> {
        Ok(self.database.number(sql).await?)
    }

    /// The invariants hold, and nothing is left over.
    pub(crate) async fn check(&self) -> Result<()> {
        let breaches = self.intendant.invariant_breaches().await?;
        ensure!(breaches.is_empty(), "{breaches:?}");
        Ok(())
    }
}

/// Starts a worker.
pub(crate) fn start<S: Send + Sync + 'static>(worker: Worker<S>) -> Running {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(worker.run(async move {
        stopped.await.ok();
    }));
    Running { stop, task }
}

/// Counts what steps really did, outside the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Lets through who comes once it is open.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    pub(crate) fn open(&self) {
        self.0.close();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_closed()
    }

    /// Lets this many pass, and then nobody again.
    pub(crate) fn let_pass(&self, count: usize) {
        self.0.add_permits(count);
    }

    pub(crate) async fn pass(&self) {
        if let Ok(passed) = self.0.acquire().await {
            passed.forget();
        }
    }
}
