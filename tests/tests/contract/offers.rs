//! What is asked for in the process of an idle worker is leased to it at once, and goes through the line when that
//! cannot be.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, StepResult, StoreKind};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_request_to_an_idle_worker_stands_in_no_line;
    a_request_to_a_worker_that_was_found_dead_goes_through_the_line;
    a_worker_that_stops_loses_nothing_of_what_is_asked_for_meanwhile;
    a_key_seen_before_is_not_leased_again;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note(u64);

impl Intent for Note {
    const KIND: &'static str = "note";
    type Output = u64;
}

async fn note(cx: Cx<Counter>, note: Note) -> StepResult<u64> {
    cx.state().add();
    Ok(note.0)
}

/// Nothing gets into *ready* from now on.
async fn close_the_line(bench: &Bench) -> Result<()> {
    let sql = match bench.database.kind {
        StoreKind::Sqlite => {
            "create trigger no_ready before insert on @ready begin select raise(abort, 'closed'); end"
        }
        StoreKind::Postgres => "alter table @ready add constraint no_ready check (false) not valid",
    };
    Ok(bench.run_sql(sql).await?)
}

async fn a_request_to_an_idle_worker_stands_in_no_line(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register_step(note));
    // It has looked, and found nobody in line, when this is done.
    bench.intendant.request(Note(0)).await?.output().await?;
    close_the_line(&bench).await?;
    for number in 1..=20 {
        let handle = bench.intendant.request(Note(number)).await?;
        ensure!(handle.output().await? == number);
    }
    let mut together = tokio::task::JoinSet::new();
    for number in 0..8 {
        let intendant = bench.intendant.clone();
        together.spawn(async move { intendant.request(Note(number)).await?.output().await });
    }
    for output in together.join_all().await {
        output?;
    }
    worker.stop().await?;
    ensure!(counter.get() == 29);
    bench.check().await
}

async fn a_request_to_a_worker_that_was_found_dead_goes_through_the_line(
    bench: Bench,
) -> Result<()> {
    let counter = Counter::default();
    // Its heartbeat does not tell it for a while.
    let worker = bench.worker(counter.clone()).lease(Duration::from_secs(20));
    let worker = start(worker.register_step(note));
    bench.intendant.request(Note(0)).await?.output().await?;
    // As a reaper would, but for its leases: it has none.
    bench
        .until(|| async {
            Ok((bench.number("select count(*) from @lease").await? == 0).then_some(()))
        })
        .await?;
    bench
        .run_sql("delete from @session_kind; delete from @session")
        .await?;
    let handle = bench.intendant.request(Note(1)).await?;
    ensure!(handle.output().await? == 1);
    ensure!(counter.get() == 2);
    let report = worker.stop().await?;
    ensure!(report.finished == 2, "{report:?}");
    bench.check().await
}

async fn a_worker_that_stops_loses_nothing_of_what_is_asked_for_meanwhile(
    bench: Bench,
) -> Result<()> {
    let counter = Counter::default();
    let mut handles = Vec::new();
    for _ in 0..10 {
        let worker = start(bench.worker(counter.clone()).register_step(note));
        let first = bench.intendant.request(Note(0)).await?;
        first.output().await?;
        let asking = async {
            let mut handles = Vec::new();
            for number in 0..30 {
                handles.push(bench.intendant.request(Note(number)).await?);
            }
            Ok::<_, anyhow::Error>(handles)
        };
        let stopping = async {
            tokio::task::yield_now().await;
            worker.stop().await
        };
        let (asked, stopped) = tokio::join!(asking, stopping);
        stopped?;
        handles.extend(asked?);
        ensure!(bench.number("select count(*) from @lease").await? == 0);
        bench.check().await?;
    }
    let last = start(bench.worker(counter.clone()).register_step(note));
    for handle in handles {
        handle.output().await?;
    }
    last.stop().await?;
    ensure!(counter.get() == 310, "{} instead of 310", counter.get());
    bench.check().await
}

async fn a_key_seen_before_is_not_leased_again(bench: Bench) -> Result<()> {
    let counter = Counter::default();
    let worker = start(bench.worker(counter.clone()).register_step(note));
    let first = bench.intendant.request(Note(7)).key("seven").await?;
    first.output().await?;
    for _ in 0..5 {
        let again = bench.intendant.request(Note(7)).key("seven").await?;
        ensure!(again.id() == first.id());
    }
    let other = bench.intendant.request(Note(8)).key("seven").await;
    ensure!(other.is_err_and(|error| error.is_conflict()));
    worker.stop().await?;
    ensure!(counter.get() == 1);
    ensure!(bench.number("select count(*) from @lease").await? == 0);
    bench.check().await
}
