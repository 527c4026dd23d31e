//! A cancel of which the answer is lost, and workers that do not hear what they have committed as they are told to stop.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cancelled, Error, IntentState};
use intendant_tests::proxy::{Fate, Sort};

use crate::bench::{Bench, Order, Parcel};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_of_which_the_answer_was_lost_can_be_repeated() -> Result<()> {
    let bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    for (fate, then) in [
        (Fate::NeverSent, Cancelled::Now),
        (Fate::AnswerLost, Cancelled::Before),
    ] {
        let order = bench.direct.request(Order { number: 1 }).await?;
        bench.proxy.choose(Sort::Cancel, 1, fate);
        let lost = intendant.cancel(order.id(), "ada", None).await;
        ensure!(lost.as_ref().is_err_and(Error::is_retryable), "{lost:?}");
        let answer = intendant.cancel(order.id(), "ada", None).await?;
        ensure!(answer == then, "{fate:?}: {answer:?}");
        ensure!(order.state().await? == IntentState::Cancelled);
        ensure!(bench.direct.events(order.id()).await?.len() == 1);
    }
    bench.check().await
}

/// What is cancelled while its worker hears of no commit: the answer to the cancel is what happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hears_of_no_commit_of_its_ticks_carries_cancels_out() -> Result<()> {
    const ORDERS: u64 = 40;
    let mut bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    for nth in 1..=4_000 {
        bench.proxy.choose(Sort::Tick, nth, Fate::AnswerLost);
    }
    bench.work(&intendant, Duration::from_secs(2));
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        orders.push(bench.direct.request(Order { number }).await?.id());
        orders.push(bench.direct.request(Parcel { number }).await?.id());
    }
    let mut answers = Vec::new();
    for (nth, id) in orders.into_iter().enumerate() {
        // At all times of their lives.
        tokio::time::sleep(Duration::from_millis(nth as u64 % 7)).await;
        answers.push((id, bench.direct.cancel(id, "ada", None).await));
    }
    bench.drain().await?;
    let report = bench.stop().await?[0];
    println!("{report:?}");
    ensure!(report.adopted == report.ticks && report.fenced == 0);
    let (mut now, mut stopped, mut late) = (0, 0, 0);
    for (id, answer) in answers {
        let state = bench.direct.state(id).await?;
        match answer {
            Ok(Cancelled::Now) => now += 1,
            Ok(Cancelled::Stopping) => stopped += 1,
            Err(Error::WrongState { .. }) => {
                ensure!(state == IntentState::Succeeded, "{id} {state}");
                late += 1;
                continue;
            }
            other => anyhow::bail!("{other:?}"),
        }
        ensure!(state == IntentState::Cancelled, "{id} {state}");
    }
    println!("{now} before they began, {stopped} on their way, {late} too late");
    ensure!(stopped > 5, "{stopped} were on their way");
    bench.check().await
}
