//! What the hook is told: one message with a count for what has one reason, by one worker, at least once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    AlertKind, Cx, Intent, Notice, OnFailure, StepResult, StoreKind, Watch, Worker, fail, snooze,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    hundreds_of_failures_for_one_reason_are_one_message_with_a_count;
    what_comes_within_the_throttle_is_told_with_the_next_message;
    what_the_hook_did_not_take_is_told_again;
    of_many_workers_one_tells;
    alerts_of_one_sort_are_told_together;
    a_failure_that_is_resumed_before_anybody_looked_is_none;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Attach {
    number: u64,
}

impl Intent for Attach {
    const KIND: &'static str = "attach";
    const ON_FAILURE: OnFailure = OnFailure::Release;
    type Output = u64;
}

async fn attach(_: Cx<()>, intent: Attach) -> StepResult<u64> {
    let number = intent.number;
    match number {
        0 => Err(fail("no such volume")),
        _ => Err(fail(format!("connect to 10.0.0.{number}: refused"))),
    }
}

/// What was told, in the order of the calls.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<Vec<Notice>>>>);

impl Told {
    fn calls(&self) -> Vec<Vec<Notice>> {
        self.0.lock().unwrap().clone()
    }

    fn failures(&self) -> u64 {
        let failures = self.calls().into_iter().flatten();
        failures
            .filter(|notice| notice.kind == AlertKind::Failure)
            .map(|notice| notice.count)
            .sum()
    }

    /// A worker that tells this one.
    fn hear<S: Send + Sync + 'static>(&self, worker: Worker<S>) -> Worker<S> {
        let told = self.clone();
        worker.on_alert(move |notices| {
            told.0.lock().unwrap().push(notices);
            async { Ok::<(), std::io::Error>(()) }
        })
    }
}

fn watch(throttle: Duration) -> Watch {
    Watch::default().every(Duration::ZERO).throttle(throttle)
}

fn hourly() -> Watch {
    watch(Duration::from_secs(3_600))
}

/// Lets the time of the throttle pass.
async fn pass(bench: &Bench) -> Result<()> {
    let ago = match bench.database.kind {
        StoreKind::Sqlite => "told_at - 3600000000",
        StoreKind::Postgres => "told_at - interval '1 hour'",
    };
    let sql = format!("update @notice set told_at = {ago}");
    Ok(bench.run_sql(&sql).await?)
}

async fn hundreds_of_failures_for_one_reason_are_one_message_with_a_count(
    bench: Bench,
) -> Result<()> {
    let failures = intendant_tests::size(900, 9_000) as u64;
    // All fail before anybody tells.
    let quiet = bench.worker(()).watch(hourly());
    let quiet = start(quiet.register_step(attach));
    let ids = bench
        .intendant
        .request_all((0..=failures).map(|number| Attach { number }));
    for id in ids.await? {
        bench.rest(id).await?;
    }
    quiet.stop().await?;
    let told = Told::default();
    let worker = told.hear(bench.worker(()).watch(hourly()));
    let worker = start(worker.register_step(attach));
    bench
        .until(|| async { Ok((told.failures() == failures + 1).then_some(())) })
        .await?;
    let calls = told.calls();
    ensure!(calls.len() == 1, "{} calls", calls.len());
    let mut notices = calls[0].clone();
    notices.sort_by_key(|notice| std::cmp::Reverse(notice.count));
    ensure!(notices.len() == 2, "{notices:?}");
    ensure!(
        notices[0].count == failures && notices[0].text.starts_with("connect to 10.0.0."),
        "{notices:?}"
    );
    ensure!(
        notices[0].intent_kind.as_deref() == Some("attach")
            && notices[0].step.as_deref() == Some("run")
            && notices[0].newest.is_some()
            && notices[0].since <= notices[0].last,
        "{notices:?}"
    );
    ensure!(
        notices[1].count == 1 && notices[1].text == "no such volume",
        "{notices:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn what_comes_within_the_throttle_is_told_with_the_next_message(bench: Bench) -> Result<()> {
    let told = Told::default();
    let worker = told.hear(bench.worker(()).watch(hourly()));
    let worker = start(worker.register_step(attach));
    let first = bench.intendant.request(Attach { number: 1 }).await?;
    bench.rest(first.id()).await?;
    bench
        .until(|| async { Ok((told.failures() == 1).then_some(())) })
        .await?;
    for number in 2..=7 {
        let next = bench.intendant.request(Attach { number }).await?;
        bench.rest(next.id()).await?;
    }
    // All six are counted, and not told.
    bench
        .until(|| async {
            let count = "select cast(coalesce(sum(count), 0) as bigint) from @notice";
            Ok((bench.number(count).await? == 6).then_some(()))
        })
        .await?;
    ensure!(told.failures() == 1);
    pass(&bench).await?;
    bench
        .until(|| async { Ok((told.failures() == 7).then_some(())) })
        .await?;
    let calls = told.calls();
    ensure!(calls.len() == 2 && calls[1][0].count == 6, "{calls:?}");
    worker.stop().await?;
    bench.check().await
}

async fn what_the_hook_did_not_take_is_told_again(bench: Bench) -> Result<()> {
    let told = Told::default();
    let own = told.clone();
    let worker = bench.worker(()).watch(hourly()).on_alert(move |notices| {
        let nth = {
            let mut calls = own.0.lock().unwrap();
            calls.push(notices);
            calls.len()
        };
        async move {
            match nth {
                1 => Err(std::io::Error::other("the pager is down")),
                2 => panic!("the pager is broken"),
                _ => Ok(()),
            }
        }
    });
    let worker = start(worker.register_step(attach));
    let intent = bench.intendant.request(Attach { number: 1 }).await?;
    bench.rest(intent.id()).await?;
    bench
        .until(|| async { Ok((told.calls().len() == 3).then_some(())) })
        .await?;
    bench
        .until(|| async {
            let left = bench.number("select cast(sum(count) as bigint) from @notice");
            Ok((left.await? == 0).then_some(()))
        })
        .await?;
    ensure!(told.calls().iter().all(|call| call[0].count == 1));
    worker.stop().await?;
    bench.check().await
}

async fn of_many_workers_one_tells(bench: Bench) -> Result<()> {
    let told = Told::default();
    let mut workers = Vec::new();
    for _ in 0..4 {
        let worker = told.hear(bench.worker(()).watch(watch(Duration::ZERO)));
        workers.push(start(worker.register_step(attach)));
    }
    let ids = bench
        .intendant
        .request_all((1..=200).map(|number| Attach { number }));
    for id in ids.await? {
        bench.rest(id).await?;
    }
    bench
        .until(|| async { Ok((told.failures() >= 200).then_some(())) })
        .await?;
    for worker in workers {
        worker.stop().await?;
    }
    ensure!(told.failures() == 200, "{} were told", told.failures());
    ensure!(
        bench
            .number("select count(*) from @notice where told_by is not null")
            .await?
            == 1
    );
    bench.check().await
}

async fn alerts_of_one_sort_are_told_together(bench: Bench) -> Result<()> {
    let told = Told::default();
    let mut late = Vec::new();
    for number in 0..30 {
        let intent = bench.intendant.request(Attach { number });
        late.push(intent.deadline_in(Duration::from_millis(1)).await?);
    }
    let step =
        async |_: Cx<()>, _: Attach| -> StepResult<u64> { Err(snooze(Duration::from_secs(60))) };
    let worker = told.hear(bench.worker(()).watch(hourly()));
    let worker = start(worker.register_step::<Attach, u64, _>(step));
    bench
        .until(|| async {
            let counts = told.calls().into_iter().flatten();
            let all: u64 = counts.map(|notice| notice.count).sum();
            Ok((all >= 30).then_some(()))
        })
        .await?;
    let calls = told.calls();
    let notices: Vec<_> = calls.into_iter().flatten().collect();
    ensure!(
        notices.len() == 1
            && notices[0].kind == AlertKind::IntentDeadline
            && notices[0].count == 30
            && notices[0].intent_kind.as_deref() == Some("attach"),
        "{notices:?}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn a_failure_that_is_resumed_before_anybody_looked_is_none(bench: Bench) -> Result<()> {
    let never = Watch::default().every(Duration::from_secs(3_600));
    // Whoever has the first look has it before anything has failed.
    let worker = start(bench.worker(()).watch(never).register_step(attach));
    bench
        .until(|| async {
            let looked = "select count(*) from @turn where duty = 'look' and worker is not null";
            Ok((bench.number(looked).await? == 1).then_some(()))
        })
        .await?;
    let intent = bench.intendant.request(Attach { number: 1 }).await?;
    bench.rest(intent.id()).await?;
    worker.stop().await?;
    bench.intendant.resume(intent.id(), "ada", None).await?;
    let told = Told::default();
    let worker = told.hear(bench.worker(()).watch(hourly()));
    let worker = start(worker.register_step(async |_: Cx<()>, _: Attach| Ok(1)));
    intent.output().await?;
    bench
        .until(|| async {
            Ok((bench.number("select count(*) from @untold").await? == 0).then_some(()))
        })
        .await?;
    ensure!(told.failures() == 0);
    worker.stop().await?;
    bench.check().await
}
