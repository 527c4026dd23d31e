//! Cut at a COMMIT: before it, or between it and its answer.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intendant, Intent, Node, Plan, Resources, StepResult, Worker, value};
use intendant_tests::proxy::{Fate, Faults, Sort};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::bench::{Bench, Order, Parcel, State, cuts, pay};

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
    // The same seed throws the same dice; which message meets which is the scheduler's.
    let seed = std::env::var("INTENDANT_TEST_SEED");
    let seed = seed.ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("INTENDANT_TEST_SEED={seed}");
    let mut bench = Bench::new(seed).await?;
    let asking = bench.through().await?;
    for _ in 0..4 {
        let intendant = bench.through().await?;
        bench.work(&intendant, Duration::from_secs(2));
    }
    ask(&asking, 0).await?;
    bench.drain().await?;

    // The till has fewer slots than its workers, so they take and give back some all the time.
    bench
        .direct
        .limit_queue("till", Some(3), "ada", None)
        .await?;

    bench.proxy.disturb(Faults {
        answer_lost: 0.15,
        never_sent: 0.15,
        reset: 0.0005,
        ..Faults::default()
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

/// What is leased to the worker of the same process in the commit that makes it: the answer to that may be lost as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_its_lease_of_which_the_answer_was_lost_is_carried_out_by_its_worker()
-> Result<()> {
    let mut bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    bench.work(&intendant, Duration::from_secs(2));
    intendant
        .request(Parcel { number: 0 })
        .await?
        .output()
        .await?;
    // Nobody can stand in line: what is carried out was leased.
    let close = "alter table intendant.ready add constraint no_ready check (false) not valid";
    sqlx::raw_sql(close).execute(&bench.witness.direct).await?;
    let effects = "select count(*) from effect";
    let mut made = 1;
    for (fate, more) in [
        (Fate::AnswerLost, 1),
        (Fate::NeverSent, 0),
        (Fate::AnswerLost, 1),
    ] {
        bench.proxy.choose(Sort::Request, 1, fate);
        let request = intendant.request(Parcel { number: made });
        let error = request.await.unwrap_err();
        ensure!(error.is_retryable() && error.is_database(), "{error}");
        made += more;
        // The worker finds out, and then has room for the next one.
        intendant
            .request(Parcel { number: made })
            .await?
            .output()
            .await?;
        made += 1;
        bench
            .until(async |bench| Ok(bench.count(effects).await? == made))
            .await?;
        bench.drain().await?;
    }
    bench.stop().await?;
    bench.check().await?;
    ensure!(
        bench
            .count("select count(*) from intendant.outcome")
            .await?
            == made
    );
    ensure!(bench.count("select count(*) from intendant.lease").await? == 0);
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Reader;

impl Intent for Reader {
    const KIND: &'static str = "reader";
    type Output = u64;
    fn resources(&self) -> Resources {
        Resources::shared("shelf", 1)
    }
}

#[derive(Serialize, Deserialize)]
struct Writer;

impl Intent for Writer {
    const KIND: &'static str = "writer";
    type Output = u64;
    fn resources(&self) -> Resources {
        Resources::exclusive("shelf", 1)
    }
}

/// Not one tick's answer arrives: what a tick has claimed, refused, parked and readied is found out afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hears_of_no_commit_of_its_ticks_comes_to_the_same() -> Result<()> {
    const ORDERS: u64 = 25;
    let mut bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    for nth in 1..=2_000 {
        bench.proxy.choose(Sort::Tick, nth, Fate::AnswerLost);
    }
    bench.work(&intendant, Duration::from_secs(2));
    let orders = (0..ORDERS).map(|number| Order { number });
    bench.direct.request_all(orders).await?;
    bench.drain().await?;
    let report = bench.stop().await?[0];
    println!("{report:?}");
    ensure!(report.adopted == report.ticks && report.fenced == 0);
    bench.judge(ORDERS).await?;

    // A child that can never be let in, since its parent is inside: also when the refusal itself was not heard of.
    let read = async |cx: Cx<()>, _: Reader| cx.child("writer", Writer).await;
    let write = async |_: Cx<()>, _: Writer| -> StepResult<u64> { Ok(1) };
    let worker = Worker::new(&intendant, ()).register_step::<Reader, u64, _>(read);
    let worker = worker.register_step::<Writer, u64, _>(write);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let reader = bench.direct.request(Reader).await?;
    let error = reader.output().await.unwrap_err().to_string();
    ensure!(error.contains("(circular wait)"), "{error}");
    stop.send(()).ok();
    let report = running.await??;
    ensure!(report.adopted == report.ticks && report.fenced == 0);
    bench.check().await
}

/// The answer to a step's COMMIT comes after the step's time limit: it is waited for, since the step must not run again
/// if it did take place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limit_that_is_over_during_a_commit_does_not_run_the_step_again() -> Result<()> {
    const LIMIT: Duration = Duration::from_millis(500);
    let limited = |parcel: &Parcel, plan: &mut Plan<State>| -> Node<u64> {
        let least = Duration::from_millis(1);
        let packed = plan.step("pack", pay).time_limit(LIMIT);
        packed.backoff(least, least).input(value(parcel.number))
    };
    for fate in [Fate::ThenSilence, Fate::AnswerLost] {
        let bench = Bench::new(0).await?;
        let intendant = bench.through().await?;
        let worker = Worker::new(&intendant, bench.witness.clone()).register::<Parcel, _>(limited);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(worker.run(async {
            stopped.await.ok();
        }));
        bench.proxy.choose(Sort::Step, 1, fate);
        if fate == Fate::AnswerLost {
            // What became of it is not heard of before the limit is over either.
            bench.proxy.choose(Sort::Look, 1, Fate::ThenSilence);
        }
        let parcel = bench.direct.request(Parcel { number: 7 }).await?;
        bench
            .until(async |bench| Ok(bench.count("select count(*) from effect").await? == 1))
            .await?;
        // The limit itself is what is tested.
        tokio::time::sleep(LIMIT * 2).await;
        bench.proxy.release();
        ensure!(parcel.output().await? == 7);
        stop.send(()).ok();
        running.await??;
        let again = bench.witness.again();
        ensure!(again.is_empty(), "recorded, and begun again: {again:?}");
        ensure!(bench.count("select count(*) from effect").await? == 1);
        ensure!(bench.direct.attempts(parcel.id()).await?.is_empty());
    }
    Ok(())
}
