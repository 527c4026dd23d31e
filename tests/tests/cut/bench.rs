//! What the workers do while the network fails, and how it is judged afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{
    Committed, Cx, Error, Intendant, Intent, IntentId, Node, Plan, StepResult, StoreKind,
    WorkReport, Worker, snooze, value,
};
use intendant_tests::database::Database;
use intendant_tests::proxy::Proxy;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How many of each sort of cut there have to be; more by hand.
pub(crate) fn cuts() -> u64 {
    std::env::var("INTENDANT_TEST_CUTS")
        .ok()
        .and_then(|cuts| cuts.parse().ok())
        .unwrap_or(15)
}

/// Two effects in the database, one of them in another queue, a child, a message, a
/// sleep, a wait, and a step that fails at first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) number: u64,
}

impl Intent for Order {
    const KIND: &'static str = "order";
    type Output = u64;
}

/// One effect in the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parcel {
    pub(crate) number: u64,
}

impl Intent for Parcel {
    const KIND: &'static str = "parcel";
    type Output = u64;
}

/// What the steps know: a way to the database past the proxy.
pub(crate) struct Witness {
    pub(crate) direct: PgPool,
    /// Steps that began although their result was on disk.
    again: Mutex<Vec<String>>,
    looks: Mutex<HashMap<IntentId, u32>>,
}

pub(crate) type State = Arc<Witness>;

impl Witness {
    async fn begins(&self, cx: &Cx<State>) -> Result<(), sqlx::Error> {
        let recorded: bool = sqlx::query_scalar(
            "select exists (select 1 from intendant.step
                             where intent_id = $1::uuid and name = $2 and state = 'succeeded')",
        )
        .bind(cx.intent_id().to_string())
        .bind(cx.step_name())
        .fetch_one(&self.direct)
        .await?;
        if recorded {
            let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
            again.push(format!("{}/{}", cx.intent_id(), cx.step_name()));
        }
        Ok(())
    }

    pub(crate) fn again(&self) -> Vec<String> {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.clone()
    }

    fn looks(&self, intent: IntentId) -> u32 {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = looks.entry(intent).or_default();
        *looks += 1;
        *looks
    }
}

/// Sends the message that the order waits for, once, however often it is asked to.
async fn note(cx: Cx<State>, number: u64) -> StepResult<u64> {
    cx.state().begins(&cx).await?;
    let signal = cx.intendant().signal(cx.intent_id(), "approve", &number);
    signal.key(cx.idempotency_key()).await?;
    Ok(number)
}

pub(crate) async fn pay(cx: Cx<State>, number: u64) -> StepResult<Committed<u64>> {
    cx.state().begins(&cx).await?;
    cx.transaction(async |db: &mut PgConnection| {
        sqlx::query("insert into effect (intent, step) values ($1, $2)")
            .bind(cx.intent_id().to_string())
            .bind(cx.step_name())
            .execute(&mut *db)
            .await?;
        Ok(number)
    })
    .await
}

async fn ship(cx: Cx<State>, number: u64) -> StepResult<u64> {
    cx.state().begins(&cx).await?;
    cx.child("parcel", Parcel { number }).await
}

/// Not ready before the third look.
async fn wait(cx: Cx<State>, number: u64) -> StepResult<u64> {
    cx.state().begins(&cx).await?;
    if cx.state().looks(cx.intent_id()) < 3 {
        return Err(snooze(Duration::from_millis(10)));
    }
    Ok(number)
}

async fn stumble(cx: Cx<State>, number: u64) -> StepResult<u64> {
    cx.state().begins(&cx).await?;
    if cx.attempt() == 1 {
        return Err(std::io::Error::other("it always does at first").into());
    }
    Ok(number)
}

async fn close(cx: Cx<State>, parts: (u64, u64, u64)) -> StepResult<Committed<u64>> {
    pay(cx, parts.0 + parts.1 + parts.2).await
}

fn order(order: &Order, plan: &mut Plan<State>) -> Node<u64> {
    let (least, most) = (Duration::from_millis(1), Duration::from_millis(20));
    let noted = plan.step("note", note).attempts(100).backoff(least, most);
    let noted = noted.input(value(order.number));
    let approved = plan.signal::<u64>("approve").input(());
    let slept = plan.sleep("sleep", most).after(noted).input(());
    let paid = plan.step("pay", pay).attempts(100).backoff(least, most);
    let paid = paid.queue("till").input(noted);
    let shipped = plan.step("ship", ship).input(paid);
    let waited = plan.step("wait", wait).input(paid);
    let stumbled = plan
        .step("stumble", stumble)
        .backoff(least, most)
        .queue("till")
        .input(paid);
    let closed = plan.step("close", close).attempts(100).backoff(least, most);
    let closed = closed.after(approved).after(slept);
    closed.input((shipped, waited, stumbled))
}

pub(crate) fn parcel(parcel: &Parcel, plan: &mut Plan<State>) -> Node<u64> {
    let (least, most) = (Duration::from_millis(1), Duration::from_millis(20));
    let packed = plan.step("pack", pay).attempts(100).backoff(least, most);
    packed.input(value(parcel.number))
}

/// How a worker is stopped, and what it says then.
type Running = (oneshot::Sender<()>, JoinHandle<Result<WorkReport, Error>>);

/// A database behind the proxy, and a way past it.
pub(crate) struct Bench {
    pub(crate) proxy: Proxy,
    pub(crate) database: Database,
    pub(crate) witness: State,
    pub(crate) direct: Intendant,
    workers: Vec<Running>,
}

impl Bench {
    pub(crate) async fn new(seed: u64) -> Result<Self> {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt().with_env_filter(filter);
        log.with_test_writer().try_init().ok();
        let (database, direct) = Database::open(StoreKind::Postgres).await?;
        let pool = PgPool::connect(&database.url).await?;
        sqlx::raw_sql("create table effect (intent text not null, step text not null)")
            .execute(&pool)
            .await?;
        let witness = Witness {
            direct: pool,
            again: Mutex::default(),
            looks: Mutex::default(),
        };
        Ok(Self {
            proxy: Proxy::start(&database.url, seed).await?,
            database,
            witness: Arc::new(witness),
            direct,
            workers: Vec::new(),
        })
    }

    /// The engine, through the proxy.
    pub(crate) async fn through(&self) -> Result<Intendant> {
        Ok(Intendant::connect(self.proxy.url(&self.database.url)?).await?)
    }

    /// Starts a worker.
    pub(crate) fn work(&mut self, intendant: &Intendant, lease: Duration) {
        let worker = Worker::new(intendant, self.witness.clone())
            .register(order)
            .register(parcel)
            .concurrency(8)
            .queue("till", 8)
            .lease(lease)
            .poll(Duration::from_millis(20));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(worker.run(async {
            stopped.await.ok();
        }));
        self.workers.push((stop, task));
    }

    pub(crate) async fn stop(&mut self) -> Result<Vec<WorkReport>> {
        let mut reports = Vec::new();
        for (stop, task) in std::mem::take(&mut self.workers) {
            stop.send(()).ok();
            reports.push(task.await??);
        }
        Ok(reports)
    }

    pub(crate) async fn count(&self, sql: &'static str) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&self.witness.direct)
            .await?;
        Ok(count.try_into()?)
    }

    /// Waits until something is so; fails after five minutes, or more if there is more to cut. Meanwhile the invariants
    /// hold at any time.
    pub(crate) async fn until(
        &self,
        mut look: impl AsyncFnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let start = Instant::now();
        let limit = Duration::from_secs(300.max(5 * cuts()));
        let mut checked = start;
        while !look(self).await? {
            if checked.elapsed() > Duration::from_millis(250) {
                self.check().await?;
                checked = Instant::now();
            }
            ensure!(
                start.elapsed() < limit,
                "not in {limit:?}: {:?}, {:?}",
                self.direct.unfinished().await?,
                self.proxy.counts()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The invariants hold.
    pub(crate) async fn check(&self) -> Result<()> {
        let breaches = self.direct.invariant_breaches().await?;
        ensure!(breaches.is_empty(), "{breaches:?}");
        Ok(())
    }

    pub(crate) async fn drain(&self) -> Result<()> {
        self.until(async |bench| Ok(bench.direct.unfinished().await?.total() == 0))
            .await
    }

    /// Everything has succeeded; every effect is there once; nothing recorded was begun again.
    pub(crate) async fn judge(&self, orders: u64) -> Result<()> {
        self.check().await?;
        let asked = "select count(*) from intendant.intent where kind = 'order'";
        let succeeded = "select count(*) from intendant.outcome where state = 'succeeded'";
        let effects = "select count(*) from effect";
        let distinct = "select count(*) from (select distinct intent, step from effect) e";
        let found = (
            self.count(asked).await?,
            self.count(succeeded).await?,
            self.count(effects).await?,
            self.count(distinct).await?,
        );
        let expected = (orders, 2 * orders, 3 * orders, 3 * orders);
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        let again = self.witness.again();
        ensure!(again.is_empty(), "recorded, and begun again: {again:?}");
        Ok(())
    }
}
