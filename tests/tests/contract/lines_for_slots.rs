//! Workers that stand in line for slots of a queue: who is first, and who leaves.

use anyhow::{Result, ensure};
use intendant::{Intent as _, StoreKind};

use crate::at_the_limit::{Desk, Errand, Parcel, Post, run_errand, send, send_parcel};
use crate::support::{Bench, Running, on_both, start};

on_both! {
    who_comes_later_stands_behind_the_others_whatever_the_clock_says;
    a_worker_that_stops_stands_in_no_line;
}

/// A worker that has use for one slot, and whose step holds the only one until the gate of its desk is opened.
async fn holder(bench: &Bench) -> Result<(Running, Desk)> {
    let desk = Desk::default();
    bench.backlog(1).await?;
    bench.slots(1).await?;
    let worker = bench.desk(&desk).concurrency(1);
    let running = start(worker.register_step(send));
    bench
        .until(|| async { Ok((desk.begun.get() == 1).then_some(())) })
        .await?;
    Ok((running, desk))
}

/// Waits until so many workers stand in line for a slot.
async fn in_line(bench: &Bench, workers: i64) -> Result<()> {
    bench
        .until(|| async {
            let hungry = "select count(*) from @slot where hungry_at is not null";
            Ok((bench.number(hungry).await? == workers).then_some(()))
        })
        .await
}

async fn who_comes_later_stands_behind_the_others_whatever_the_clock_says(
    bench: Bench,
) -> Result<()> {
    let (first, holding) = holder(&bench).await?;
    bench.backlog(2).await?;
    let post = Post::open();
    let second = start(bench.desk(&post).register_step(send));
    in_line(&bench, 1).await?;
    // The clock by which it came was an hour ahead.
    let hour = match bench.database.kind {
        StoreKind::Sqlite => "3600000000",
        StoreKind::Postgres => "interval '1 hour'",
    };
    let sql =
        format!("update @slot set hungry_at = hungry_at + {hour} where hungry_at is not null");
    bench.run_sql(&sql).await?;
    let third = start(bench.desk(&post).register_step(send).name("third"));
    in_line(&bench, 2).await?;
    let behind = "select count(*) from @slot s join @session t on t.id = s.session_id \
                  where t.worker = 'third' and s.hungry_at > \
                  (select max(o.hungry_at) from @slot o where o.session_id <> s.session_id)";
    ensure!(bench.number(behind).await? == 1);
    holding.gate.open();
    bench
        .until(|| async { Ok((holding.begun.get() + post.begun.get() == 3).then_some(())) })
        .await?;
    for running in [first, second, third] {
        running.stop().await?;
    }
    bench.check().await
}

async fn a_worker_that_stops_stands_in_no_line(bench: Bench) -> Result<()> {
    let (first, holding) = holder(&bench).await?;
    bench.is_tried(Parcel::KIND).await?;
    let busy = Desk::default();
    let second = bench.desk(&busy).register_step(run_errand);
    let second = start(second.register_step(send_parcel));
    bench.intendant.request(Errand).await?;
    let parcel = bench.intendant.request(Parcel).await?;
    in_line(&bench, 1).await?;
    bench
        .until(|| async { Ok((busy.begun.get() == 1).then_some(())) })
        .await?;
    // It waits for its errand, and the parcel is others' by then.
    let stopping = tokio::spawn(second.stop());
    in_line(&bench, 0).await?;
    ensure!(!stopping.is_finished());
    busy.gate.open();
    stopping.await??;
    holding.gate.open();
    let third = start(bench.desk(&busy).register_step(send_parcel));
    parcel.output().await?;
    first.stop().await?;
    third.stop().await?;
    bench.check().await
}
