//! The network between worker and server fails where it hurts most: between a COMMIT and its answer, before a COMMIT,
//! at any message, for longer than a lease.
//!
//! Each test counts what it hit, and fails if that was not enough. By hand, more of it:
//! `INTENDANT_TEST_CUTS=1000 cargo test -p intendant-tests --test cut -- --nocapture`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{
    Committed, Cx, Error, Intendant, Intent, IntentId, Node, Plan, StepResult, StoreKind,
    WorkReport, Worker, snooze, value,
};
use intendant_tests::database::Database;
use intendant_tests::proxy::{Fate, Faults, Proxy, Sort};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How many of each sort of cut there have to be; more by hand.
fn cuts() -> u64 {
    std::env::var("INTENDANT_TEST_CUTS")
        .ok()
        .and_then(|cuts| cuts.parse().ok())
        .unwrap_or(60)
}

/// Two effects in the database, a child, a wait, and a step that fails at first.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    number: u64,
}

impl Intent for Order {
    const KIND: &'static str = "order";
    type Output = u64;
}

/// One effect in the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parcel {
    number: u64,
}

impl Intent for Parcel {
    const KIND: &'static str = "parcel";
    type Output = u64;
}

/// What the steps know: a way to the database past the proxy.
struct Witness {
    direct: PgPool,
    /// Steps that began although their result was on disk.
    again: Mutex<Vec<String>>,
    looks: Mutex<HashMap<IntentId, u32>>,
}

type State = Arc<Witness>;

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

    fn looks(&self, intent: IntentId) -> u32 {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = looks.entry(intent).or_default();
        *looks += 1;
        *looks
    }
}

async fn note(cx: Cx<State>, number: u64) -> StepResult<u64> {
    cx.state().begins(&cx).await?;
    Ok(number)
}

async fn pay(cx: Cx<State>, number: u64) -> StepResult<Committed<u64>> {
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
    let noted = plan.step("note", note).input(value(order.number));
    let paid = plan.step("pay", pay).attempts(100).backoff(least, most);
    let paid = paid.input(noted);
    let shipped = plan.step("ship", ship).input(paid);
    let waited = plan.step("wait", wait).input(paid);
    let stumbled = plan
        .step("stumble", stumble)
        .backoff(least, most)
        .input(paid);
    let closed = plan.step("close", close).attempts(100).backoff(least, most);
    closed.input((shipped, waited, stumbled))
}

fn parcel(parcel: &Parcel, plan: &mut Plan<State>) -> Node<u64> {
    let (least, most) = (Duration::from_millis(1), Duration::from_millis(20));
    let packed = plan.step("pack", pay).attempts(100).backoff(least, most);
    packed.input(value(parcel.number))
}

/// A database behind the proxy, and a way past it.
struct Bench {
    proxy: Proxy,
    database: Database,
    witness: State,
    direct: Intendant,
    workers: Vec<(oneshot::Sender<()>, JoinHandle<Result<WorkReport, Error>>)>,
}

impl Bench {
    async fn new(seed: u64) -> Result<Self> {
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
    async fn through(&self) -> Result<Intendant> {
        Ok(Intendant::connect(self.proxy.url(&self.database.url)?).await?)
    }

    /// Starts a worker.
    fn work(&mut self, intendant: &Intendant, lease: Duration) {
        let worker = Worker::new(intendant, self.witness.clone())
            .register(order)
            .register(parcel)
            .concurrency(8)
            .lease(lease)
            .poll(Duration::from_millis(20));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(worker.run(async {
            stopped.await.ok();
        }));
        self.workers.push((stop, task));
    }

    async fn stop(&mut self) -> Result<Vec<WorkReport>> {
        let mut reports = Vec::new();
        for (stop, task) in std::mem::take(&mut self.workers) {
            stop.send(()).ok();
            reports.push(task.await??);
        }
        Ok(reports)
    }

    async fn count(&self, sql: &'static str) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&self.witness.direct)
            .await?;
        Ok(count.try_into()?)
    }

    /// Waits until something is so; fails after two minutes.
    async fn until(&self, mut look: impl AsyncFnMut(&Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !look(self).await? {
            ensure!(
                start.elapsed() < Duration::from_secs(120),
                "not in two minutes: {:?}, {:?}",
                self.direct.unfinished().await?,
                self.proxy.counts()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        self.until(async |bench| Ok(bench.direct.unfinished().await?.total() == 0))
            .await
    }

    /// Everything has succeeded; every effect is there once; nothing recorded was begun again.
    async fn judge(&self, orders: u64) -> Result<()> {
        let breaches = self.direct.invariant_breaches().await?;
        ensure!(breaches.is_empty(), "{breaches:?}");
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
        let again = self
            .witness
            .again
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(again.is_empty(), "recorded, and begun again: {again:?}");
        Ok(())
    }
}

/// Asks until it is told that it is on disk. Returns how often it was told otherwise.
async fn ask(intendant: &Intendant, number: u64) -> Result<u64> {
    let mut errors = 0;
    loop {
        match intendant.request(Order { number }).key(number).await {
            Ok(_) => return Ok(errors),
            Err(error) => {
                ensure!(error.is_retryable() && error.is_database(), "{error}");
                errors += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_lose_nothing_and_double_nothing() -> Result<()> {
    let seed = rand::random();
    println!("seed {seed}");
    let mut bench = Bench::new(seed).await?;
    let asking = bench.through().await?;
    for _ in 0..4 {
        let intendant = bench.through().await?;
        bench.work(&intendant, Duration::from_secs(2));
    }
    ask(&asking, 0).await?;
    bench.drain().await?;

    bench.proxy.disturb(Faults {
        answer_lost: 0.15,
        never_sent: 0.15,
        reset: 0.0005,
    });
    let (mut orders, mut errors) = (1, 0);
    let sorts = [Sort::Tick, Sort::Step, Sort::Request];
    bench
        .until(async |bench| {
            let counts = bench.proxy.counts();
            let missing = sorts.iter().any(|sort| {
                counts.of(*sort, Fate::AnswerLost) < cuts()
                    || counts.of(*sort, Fate::NeverSent) < cuts()
            });
            while missing && bench.direct.unfinished().await?.total() < 80 {
                errors += ask(&asking, orders).await?;
                orders += 1;
            }
            Ok(!missing)
        })
        .await?;
    bench.proxy.calm();
    bench.drain().await?;
    let counts = bench.proxy.counts();
    let reports = bench.stop().await?;
    println!("{orders} orders, {counts:?}");
    println!("{errors} requests failed and were repeated; {reports:?}");

    bench.judge(orders).await?;
    let cut = |sort| {
        (
            counts.of(sort, Fate::AnswerLost),
            counts.of(sort, Fate::NeverSent),
        )
    };
    let (lost, never_sent) = cut(Sort::Request);
    ensure!(
        errors >= lost + never_sent,
        "{errors} requests failed, {lost} + {never_sent} were cut"
    );
    let adopted: u64 = reports.iter().map(|report| report.adopted).sum();
    ensure!(
        adopted == cut(Sort::Tick).0,
        "{adopted} ticks were adopted, of {} the answer was lost",
        cut(Sort::Tick).0
    );
    ensure!(
        reports
            .iter()
            .all(|report| report.fenced == 0 && report.reaped == 0),
        "a live worker was taken for dead: {reports:?}"
    );
    // Whose transaction did take place has not failed.
    let failed = "select count(*) from intendant.attempt where error like '%was not committed%'";
    let failed = bench.count(failed).await?;
    ensure!(failed <= cut(Sort::Step).1, "{failed} attempts failed");
    Ok(())
}

/// Without a key nobody can tell whether it was the answer that was lost; with one, asking again tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_which_the_answer_was_lost_is_an_error_and_its_key_finds_it() -> Result<()> {
    let bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    let asked = "select count(*) from intendant.intent";
    for (fate, there) in [(Fate::NeverSent, 0), (Fate::AnswerLost, 1)] {
        bench.proxy.choose(Sort::Request, 1, fate);
        let error = intendant.request(Order { number: 1 }).await.unwrap_err();
        ensure!(error.is_retryable() && error.is_database(), "{error}");
        let message = error.to_string();
        ensure!(
            message.starts_with("the database cannot be reached: "),
            "{message}"
        );
        ensure!(bench.count(asked).await? == there, "{fate:?}");
    }

    bench.proxy.choose(Sort::Request, 1, Fate::AnswerLost);
    let order = || intendant.request(Order { number: 2 }).key("two");
    ensure!(order().await.is_err());
    let sql = "select intent_id::text from intendant.key where key = 'two'";
    let there: String = sqlx::query_scalar(sql)
        .fetch_one(&bench.witness.direct)
        .await?;
    // Looking it up is a request as well, and its answer may be lost as well.
    bench.proxy.choose(Sort::Look, 1, Fate::AnswerLost);
    for _ in 0..3 {
        let found = order().await?.id().to_string();
        ensure!(found == there, "{found} instead of {there}");
    }
    ensure!(bench.count(asked).await? == 2);
    ensure!(bench.proxy.counts().of(Sort::Request, Fate::AnswerLost) == 2);
    Ok(())
}

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
