//! What the documentation promises in passing, each with a test of its own.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{
    Committed, Cx, Intendant, Intent, IntentState, Node, Plan, StepResult, StoreKind, StoreOptions,
    limits,
};
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, SqliteConnection};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_database_that_many_open_at_once_is_made_once;
    a_batch_that_fails_half_way_has_asked_for_the_thousands_before;
    a_key_is_forgotten_after_its_time;
    a_key_of_a_transaction_that_was_rolled_back_is_free;
    a_resumed_step_has_all_its_attempts_again;
    a_suspect_that_is_handed_back_gracefully_is_none_any_more;
    a_process_that_is_gone_is_noticed_at_once_on_its_own_host;
    a_worker_that_is_dropped_takes_its_steps_with_it;
    a_transaction_that_takes_too_long_leaves_nothing;
}

/// Does as its number says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Act {
    number: u64,
    note: String,
}

impl Intent for Act {
    const KIND: &'static str = "act";
    type Output = u64;
}

fn act(number: u64) -> Act {
    Act {
        number,
        note: String::new(),
    }
}

async fn a_database_that_many_open_at_once_is_made_once(bench: Bench) -> Result<()> {
    let database = Database::new(bench.database.kind).await?;
    let options = StoreOptions {
        create: true,
        ..StoreOptions::new(&database.url)
    };
    let done = Intendant::with_options(&options).await?.migrate().await?;
    ensure!(!done.is_empty() && done.iter().all(|migration| migration.applied));

    let database = Database::new(bench.database.kind).await?;
    let opening: Vec<_> = (0..8)
        .map(|_| tokio::spawn(Intendant::open(database.url.clone())))
        .collect();
    for opened in opening {
        let intendant = opened.await??;
        let known = intendant.migration_status().await?;
        ensure!(!known.is_empty() && known.iter().all(|migration| migration.applied));
        ensure!(
            intendant.migrate().await?.is_empty(),
            "nothing is left to do"
        );
        intendant.request(act(1)).await?;
    }
    Ok(())
}

async fn a_batch_that_fails_half_way_has_asked_for_the_thousands_before(
    bench: Bench,
) -> Result<()> {
    let acts = (0..2_500).map(|number| match number {
        1_700 => Act {
            number,
            note: "\0".to_owned(),
        },
        _ => act(number),
    });
    let error = bench.intendant.request_all(acts).await.unwrap_err();
    ensure!(error.is_usage(), "{error}");
    ensure!(bench.intendant.unfinished().await?.ready == 1_000);
    bench.check().await
}

async fn a_key_is_forgotten_after_its_time(bench: Bench) -> Result<()> {
    let ask = |number| bench.intendant.request(act(number)).key("k");
    let first = ask(1).await?.id();
    ensure!(ask(1).await?.id() == first);
    bench
        .run_sql("update @key set expires_at = (select requested_at from @intent)")
        .await?;
    let second = ask(2).await?.id();
    ensure!(second != first && ask(2).await?.id() == second);
    ensure!(ask(1).await.unwrap_err().is_conflict());
    bench.check().await
}

async fn a_key_of_a_transaction_that_was_rolled_back_is_free(bench: Bench) -> Result<()> {
    let ask = |number| bench.intendant.request(act(number)).key("k");
    match bench.database.kind {
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            let mut tx = pool.begin().await?;
            ask(1).within(&mut tx).await?;
            tx.rollback().await?;
            pool.close().await;
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            let mut tx = pool.begin().await?;
            ask(1).within(&mut tx).await?;
            tx.rollback().await?;
            pool.close().await;
        }
    }
    let id = ask(2).await?.id();
    ensure!(ask(2).await?.id() == id);
    bench.check().await
}

async fn a_resumed_step_has_all_its_attempts_again(bench: Bench) -> Result<()> {
    async fn fifth_time(cx: Cx<Counter>, (): ()) -> StepResult<u64> {
        match cx.state().add() {
            5 => Ok(5),
            turn => Err(std::io::Error::other(format!("turn {turn}")).into()),
        }
    }
    let plan = |_: &Act, plan: &mut Plan<Counter>| -> Node<u64> {
        let least = Duration::from_millis(1);
        let step = plan.step("fifth_time", fifth_time).attempts(3);
        step.backoff(least, least).input(())
    };
    let worker = start(bench.worker(Counter::default()).register::<Act, _>(plan));
    let handle = bench.intendant.request(act(1)).await?;
    ensure!(bench.rest(handle.id()).await?.error.as_deref() == Some("turn 3"));
    bench.intendant.resume(handle.id(), "tests", None).await?;
    ensure!(handle.output().await? == 5);
    // The count of attempts goes on all the same.
    let attempts = bench.intendant.attempts(handle.id()).await?;
    let numbers: Vec<i64> = attempts.iter().map(|attempt| attempt.attempt).collect();
    ensure!(numbers == [1, 2, 3, 4], "{numbers:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_suspect_that_is_handed_back_gracefully_is_none_any_more(bench: Bench) -> Result<()> {
    let leave = async |cx: Cx<Counter>, _: Act| -> StepResult<u64> {
        cx.state().add();
        cx.stopping().await;
        cx.exit_point().await?;
        Ok(0)
    };
    let handle = bench.intendant.request(act(1)).await?;
    bench.run_sql("update @ready set crashes = 2").await?;
    let counter = Counter::default();
    let worker = bench.worker(counter.clone());
    let worker = start(worker.register_step::<Act, u64, _>(leave));
    bench
        .until(|| async { Ok((counter.get() == 1).then_some(())) })
        .await?;
    ensure!(
        bench
            .number("select count(*) from @lease where crashes = 2")
            .await?
            == 1
    );
    ensure!(worker.stop().await?.handed_back == 1);
    ensure!(handle.state().await? == IntentState::Ready);
    ensure!(
        bench
            .number("select count(*) from @ready where crashes = 0")
            .await?
            == 1
    );
    bench.check().await
}

async fn a_process_that_is_gone_is_noticed_at_once_on_its_own_host(bench: Bench) -> Result<()> {
    let hang_once = async |cx: Cx<Counter>, _: Act| -> StepResult<u64> {
        if cx.state().add() == 1 {
            std::future::pending::<()>().await;
        }
        Ok(cx.state().get())
    };
    let counter = Counter::default();
    let lease = Duration::from_secs(3_600);
    let worker = || {
        let worker = bench.worker(counter.clone()).lease(lease);
        start(worker.register_step::<Act, u64, _>(hang_once))
    };
    let first = worker();
    let handle = bench.intendant.request(act(1)).await?;
    bench
        .until(|| async { Ok((counter.get() == 1).then_some(())) })
        .await?;
    first.kill().await;
    let killed = Instant::now();
    let second = worker();
    // It beats every twelve minutes, and nobody waits for that.
    ensure!(tokio::time::timeout(Duration::from_secs(20), handle.output()).await?? == 2);
    println!(
        "{}: taken over after {:?}",
        bench.database.kind.as_str(),
        killed.elapsed()
    );
    ensure!(second.stop().await?.reaped == 1);
    bench.check().await
}

async fn a_worker_that_is_dropped_takes_its_steps_with_it(bench: Bench) -> Result<()> {
    struct Guard(Counter);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let (begun, ended) = (Counter::default(), Counter::default());
    let guarded = async |cx: Cx<(Counter, Counter)>, _: Act| -> StepResult<u64> {
        let _guard = Guard(cx.state().1.clone());
        cx.state().0.add();
        std::future::pending().await
    };
    let worker = bench.worker((begun.clone(), ended.clone()));
    let worker = start(worker.register_step::<Act, u64, _>(guarded));
    bench.intendant.request_all((0..5).map(act)).await?;
    bench
        .until(|| async { Ok((begun.get() == 5).then_some(())) })
        .await?;
    worker.kill().await;
    bench
        .until(|| async { Ok((ended.get() == 5).then_some(())) })
        .await?;
    bench.check().await
}

/// Writes, and then does not come to an end, the first time.
async fn a_transaction_that_takes_too_long_leaves_nothing(bench: Bench) -> Result<()> {
    async fn hang_once(turn: u64) {
        if turn == 1 {
            std::future::pending::<()>().await;
        }
    }
    const INSERT: &str = "insert into note (text) values ('x')";
    async fn on_sqlite(cx: Cx<Counter>, (): ()) -> StepResult<Committed<u64>> {
        let turn = cx.state().add();
        cx.transaction(async |db: &mut SqliteConnection| {
            sqlx::query(INSERT).execute(&mut *db).await?;
            hang_once(turn).await;
            Ok(turn)
        })
        .await
    }
    async fn on_postgres(cx: Cx<Counter>, (): ()) -> StepResult<Committed<u64>> {
        let turn = cx.state().add();
        cx.transaction(async |db: &mut PgConnection| {
            sqlx::query(INSERT).execute(&mut *db).await?;
            hang_once(turn).await;
            Ok(turn)
        })
        .await
    }
    bench.run_sql("create table note (text text)").await?;
    let kind = bench.database.kind;
    let plan = move |_: &Act, plan: &mut Plan<Counter>| -> Node<u64> {
        let least = Duration::from_millis(1);
        match kind {
            StoreKind::Sqlite => plan.step("note", on_sqlite).backoff(least, least).input(()),
            StoreKind::Postgres => {
                let step = plan.step("note", on_postgres);
                step.backoff(least, least).input(())
            }
        }
    };
    let worker = bench.worker(Counter::default()).register::<Act, _>(plan);
    let worker = start(worker.lease(limits::TRANSACTION * 3));
    let handle = bench.intendant.request(act(1)).await?;
    ensure!(handle.output().await? == 2);
    ensure!(bench.number("select count(*) from note").await? == 1);
    let attempts = bench.intendant.attempts(handle.id()).await?;
    ensure!(
        attempts.len() == 1 && attempts[0].failure == "time-out",
        "{attempts:?}"
    );
    worker.stop().await?;
    bench.check().await
}
