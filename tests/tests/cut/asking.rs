//! What steps ask for without waiting for it, where the answers to the commits that write it are lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Committed, Cx, Intent, Node, Plan, StepResult, Worker, value};
use intendant_tests::proxy::{Fate, Sort};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::sync::oneshot;

use crate::bench::{Bench, Parcel, State, parcel};

/// Asks for two parcels: one with a result, one in a transaction of its step.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Announce {
    number: u64,
}

impl Intent for Announce {
    const KIND: &'static str = "announce";
    type Output = u64;
}

async fn tell(cx: Cx<State>, number: u64) -> StepResult<u64> {
    cx.request(Parcel { number }).await?;
    Ok(number)
}

async fn post(cx: Cx<State>, number: u64) -> StepResult<Committed<u64>> {
    cx.request(Parcel {
        number: number + 1_000,
    })
    .await?;
    cx.transaction(async |_: &mut PgConnection| Ok(number))
        .await
}

fn announce(announce: &Announce, plan: &mut Plan<State>) -> Node<u64> {
    let (least, most) = (Duration::from_millis(1), Duration::from_millis(20));
    let told = plan.step("tell", tell).input(value(announce.number));
    let posted = plan.step("post", post).attempts(100).backoff(least, most);
    posted.input(told)
}

/// Of every other commit the answer is lost, and the others are never sent the first time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_ask_for_nothing_twice_and_for_nothing_in_vain() -> Result<()> {
    const INTENTS: u64 = 20;
    let bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    for nth in 1..=2_000 {
        let fate = match nth % 2 {
            0 => Fate::AnswerLost,
            _ => Fate::NeverSent,
        };
        bench.proxy.choose(Sort::Tick, nth, fate);
        if nth <= 2 * INTENTS {
            bench.proxy.choose(Sort::Step, nth, fate);
        }
    }
    let worker = Worker::new(&intendant, bench.witness.clone())
        .register(announce)
        .register(parcel)
        .concurrency(4)
        .lease(Duration::from_secs(2))
        .poll(Duration::from_millis(20));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let announces = (0..INTENTS).map(|number| Announce { number });
    bench.direct.request_all(announces).await?;
    bench.drain().await?;
    stop.send(()).ok();
    let report = running.await??;
    let counts = bench.proxy.counts();
    println!("{report:?} {counts:?}");
    ensure!(report.adopted == counts.of(Sort::Tick, Fate::AnswerLost) && report.fenced == 0);
    for sort in [Sort::Tick, Sort::Step] {
        for fate in [Fate::AnswerLost, Fate::NeverSent] {
            let cut = counts.of(sort, fate);
            ensure!(cut >= 5, "{cut} of {sort:?} {fate:?}");
        }
    }
    for (expected, sql) in [
        (
            INTENTS,
            "select count(*) from intendant.outcome where kind = 'announce' and state = 'succeeded'",
        ),
        (
            2 * INTENTS,
            "select count(*) from intendant.outcome where kind = 'parcel' and state = 'succeeded'",
        ),
        (
            2 * INTENTS,
            "select count(*) from intendant.intent where kind = 'parcel'",
        ),
        (
            2 * INTENTS,
            "select count(distinct input ->> 'number') from intendant.intent where kind = 'parcel'",
        ),
        (
            2 * INTENTS,
            "select count(*) from intendant.event where verb = 'request'",
        ),
        (2 * INTENTS, "select count(*) from effect"),
    ] {
        let found = bench.count(sql).await?;
        ensure!(found == expected, "{found} instead of {expected}: {sql}");
    }
    bench.check().await
}
