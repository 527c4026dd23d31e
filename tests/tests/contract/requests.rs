//! Asking: keys, the caller's own transaction, start times, priorities, bad input.
//!
//! By hand, 10,000 dropped requests: `INTENDANT_TEST_SCALE=full cargo test -p intendant-tests --test contract dropped`.

use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::Utc;
use intendant::{Cx, Intendant, Intent, IntentState, StepResult, StoreKind, StoreOptions};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_key_asks_once;
    a_key_with_another_body_is_an_error;
    keys_are_per_account;
    one_key_asked_for_at_once_is_one_intent;
    a_request_in_a_transaction_is_there_after_its_commit_only;
    a_start_time_is_waited_for;
    a_higher_priority_goes_first;
    a_low_priority_goes_when_it_has_waited_for_what_it_is_worth;
    what_cannot_be_kept_is_refused_and_leaves_nothing;
    a_database_of_a_newer_schema_is_refused;
    dropped_requests_leave_no_transaction_open;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    account: Option<String>,
    what: String,
}

impl Intent for Order {
    const KIND: &'static str = "order";
    type Output = String;
    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
}

fn order(account: &str, what: &str) -> Order {
    Order {
        account: Some(account.into()),
        what: what.into(),
    }
}

async fn deliver(_: Cx<()>, order: Order) -> StepResult<String> {
    Ok(order.what)
}

/// The how manyth it is.
async fn which(cx: Cx<Counter>, _: Order) -> StepResult<String> {
    Ok(cx.state().add().to_string())
}

async fn a_key_asks_once(bench: Bench) -> Result<()> {
    let first = bench
        .intendant
        .request(order("ada", "tea"))
        .key("k1")
        .await?;
    let again = bench
        .intendant
        .request(order("ada", "tea"))
        .key("k1")
        .await?;
    ensure!(first.id() == again.id());
    let worker = start(bench.worker(()).register_step(deliver));
    first.output().await?;
    // Finished or not makes no difference.
    ensure!(
        bench
            .intendant
            .request(order("ada", "tea"))
            .key("k1")
            .await?
            .id()
            == first.id()
    );
    worker.stop().await?;
    ensure!(bench.intendant.list(Default::default()).await?.len() == 1);
    bench.check().await
}

async fn a_key_with_another_body_is_an_error(bench: Bench) -> Result<()> {
    let first = bench
        .intendant
        .request(order("ada", "tea"))
        .key("k1")
        .await?;
    let error = bench
        .intendant
        .request(order("ada", "coffee"))
        .key("k1")
        .await
        .unwrap_err();
    ensure!(error.is_conflict(), "{error}");
    let expected = format!(
        "the key `k1` was used for another request, intent {}; use a new key for a new request",
        first.id()
    );
    ensure!(error.to_string() == expected, "{error}");
    ensure!(bench.intendant.unfinished().await?.total() == 1);
    bench.check().await
}

async fn keys_are_per_account(bench: Bench) -> Result<()> {
    let ada = bench.intendant.request(order("ada", "tea")).key(7).await?;
    let bob = bench.intendant.request(order("bob", "tea")).key(7).await?;
    let nobody = bench
        .intendant
        .request(Order {
            account: None,
            what: "tea".into(),
        })
        .key(7)
        .await?;
    ensure!(ada.id() != bob.id() && bob.id() != nobody.id());
    bench.check().await
}

async fn one_key_asked_for_at_once_is_one_intent(bench: Bench) -> Result<()> {
    let mut asking = Vec::new();
    for _ in 0..40 {
        let intendant = bench.intendant.clone();
        asking.push(tokio::spawn(async move {
            Ok::<_, intendant::Error>(intendant.request(order("ada", "tea")).key("k").await?.id())
        }));
    }
    let mut ids = Vec::new();
    for task in asking {
        ids.push(task.await??);
    }
    ids.dedup();
    ensure!(ids.len() == 1, "{ids:?}");
    bench.check().await
}

async fn a_request_in_a_transaction_is_there_after_its_commit_only(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register_step(deliver));
    match bench.database.kind {
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            let mut tx = pool.begin().await?;
            let gone = bench
                .intendant
                .request(order("ada", "tea"))
                .within(&mut tx)
                .await?;
            tx.rollback().await?;
            ensure!(gone.state().await.unwrap_err().is_not_found());
            let mut tx = pool.begin().await?;
            let kept = bench
                .intendant
                .request(order("ada", "tea"))
                .within(&mut tx)
                .await?;
            ensure!(kept.state().await.unwrap_err().is_not_found());
            tx.commit().await?;
            ensure!(kept.output().await? == "tea");
            pool.close().await;
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            let mut tx = pool.begin().await?;
            let gone = bench
                .intendant
                .request(order("ada", "tea"))
                .within(&mut tx)
                .await?;
            tx.rollback().await?;
            ensure!(gone.state().await.unwrap_err().is_not_found());
            let mut tx = pool.begin().await?;
            let kept = bench
                .intendant
                .request(order("ada", "tea"))
                .within(&mut tx)
                .await?;
            // The engine goes on meanwhile: a request takes no lock that a tick waits for.
            bench
                .intendant
                .request(order("bob", "coffee"))
                .await?
                .output()
                .await?;
            ensure!(kept.state().await.unwrap_err().is_not_found());
            tx.commit().await?;
            ensure!(kept.output().await? == "tea");
            pool.close().await;
        }
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_start_time_is_waited_for(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register_step(deliver));
    let later = bench
        .intendant
        .request(order("ada", "tea"))
        .start_in(Duration::from_millis(300))
        .await?;
    let past = bench
        .intendant
        .request(order("ada", "old tea"))
        .start_at(Utc::now() - chrono::TimeDelta::hours(1))
        .await?;
    past.output().await?;
    ensure!(later.state().await? == IntentState::Waiting);
    later.output().await?;
    let record = bench.intendant.get(later.id()).await?;
    let waited = record.started_at.unwrap() - record.requested_at;
    ensure!(waited >= chrono::TimeDelta::milliseconds(300), "{waited}");
    worker.stop().await?;
    bench.check().await
}

async fn a_higher_priority_goes_first(bench: Bench) -> Result<()> {
    let low = bench
        .intendant
        .request(order("ada", "low"))
        .priority(-1)
        .await?;
    let middle = bench.intendant.request(order("ada", "middle")).await?;
    let high = bench
        .intendant
        .request(order("ada", "high"))
        .priority(5)
        .await?;
    let worker = bench.worker(Counter::default());
    let worker = start(worker.register_step(which).concurrency(1));
    for (handle, nth) in [(&high, "1"), (&middle, "2"), (&low, "3")] {
        let output = handle.output().await?;
        ensure!(output == nth, "{output} instead of {nth}");
    }
    worker.stop().await?;
    bench.check().await
}

async fn a_low_priority_goes_when_it_has_waited_for_what_it_is_worth(bench: Bench) -> Result<()> {
    // Two points are two minutes: after one the others still go first, after three they do not, however many come.
    for (minutes, nth) in [(1, "6"), (3, "1")] {
        let low = bench.intendant.request(order("ada", "low")).priority(-2);
        let low = low.await?;
        for table in ["intent", "ready"] {
            let column = if table == "intent" { "id" } else { "intent_id" };
            let (us, id) = (minutes * 60_000_000_i64, low.id());
            let older =
                format!("update @{table} set position = position - {us} where {column} = '{id}'");
            bench.run_sql(&older).await?;
        }
        let others = (0..5).map(|_| order("bob", "middle"));
        let others = bench.intendant.request_all(others).await?;
        let worker = bench.worker(Counter::default());
        let worker = start(worker.register_step(which).concurrency(1));
        let output = low.output().await?;
        ensure!(output == nth, "after {minutes} minutes as number {output}");
        for other in others {
            bench.rest(other).await?;
        }
        worker.stop().await?;
    }
    bench.check().await
}

/// A kind whose name cannot be used.
#[derive(Serialize, Deserialize)]
struct Nameless;

impl Intent for Nameless {
    const KIND: &'static str = "";
    type Output = ();
}

async fn what_cannot_be_kept_is_refused_and_leaves_nothing(bench: Bench) -> Result<()> {
    let error = async |account: &str, what: &str| {
        bench
            .intendant
            .request(order(account, what))
            .await
            .unwrap_err()
            .to_string()
    };
    let big = "x".repeat(intendant::limits::PAYLOAD_BYTES);
    ensure!(
        error("ada", &big)
            .await
            .starts_with("the input: the payload has 1048"),
        "size"
    );
    ensure!(error("ada", "a\0b").await.contains("U+0000"), "nul");
    ensure!(
        error(&"a".repeat(201), "tea")
            .await
            .starts_with("the name of the account has 201 characters"),
        "name"
    );
    let nameless = bench.intendant.request(Nameless).await.unwrap_err();
    ensure!(
        nameless.to_string() == "the name of the kind is empty",
        "{nameless}"
    );
    let priority = bench
        .intendant
        .request(order("ada", "tea"))
        .priority(1_001)
        .await
        .unwrap_err();
    ensure!(
        priority.to_string() == "the priority is 1001, the limit is -1000 to 1000",
        "{priority}"
    );
    ensure!(priority.is_usage());
    ensure!(bench.intendant.unfinished().await?.total() == 0);
    bench.check().await
}

/// The highest number of a file with migrations.
fn newest_migration() -> Result<u32> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/sqlite");
    let mut newest = 0;
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.get(..4)?.parse().ok());
        newest = newest.max(number.unwrap_or(0));
    }
    Ok(newest)
}

async fn a_database_of_a_newer_schema_is_refused(bench: Bench) -> Result<()> {
    let insert = |table: &str| {
        format!("insert into {table} (version, name, checksum) values (999, 'later', '')")
    };
    match bench.database.kind {
        StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            sqlx::raw_sql(sqlx::AssertSqlSafe(insert("intendant_migration")))
                .execute(&pool)
                .await?;
            pool.close().await;
        }
        StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            sqlx::raw_sql(sqlx::AssertSqlSafe(insert("intendant.migration")))
                .execute(&pool)
                .await?;
            pool.close().await;
        }
    }
    let newest = newest_migration()?;
    let expected = format!(
        "the database has schema version 999, this program knows up to {newest}; run a newer version of it"
    );
    for opened in [
        Intendant::connect(&bench.database.url).await,
        Intendant::open(&bench.database.url).await,
    ] {
        ensure!(opened.unwrap_err().to_string() == expected);
    }
    Ok(())
}

async fn dropped_requests_leave_no_transaction_open(bench: Bench) -> Result<()> {
    let rounds = intendant_tests::size(2_000, 10_000);
    let mut dropped = 0;
    for round in 0..rounds as u64 {
        let request = bench.intendant.request(order("ada", "tea"));
        tokio::select! {
            biased;
            done = request.into_future() => { done?; }
            () = yields(round % 7) => dropped += 1,
        }
    }
    // If one of the pool's connections were inside a transaction, these would hang or be lost.
    for _ in 0..30 {
        bench.intendant.request(order("ada", "tea")).await?;
    }
    if bench.database.kind == StoreKind::Postgres {
        let pool = sqlx::PgPool::connect(&bench.database.url).await?;
        let open = "select count(*) from pg_stat_activity
                     where datname = current_database() and state like 'idle in transaction%'";
        bench
            .until(|| async {
                let open: i64 = sqlx::query_scalar(open).fetch_one(&pool).await?;
                Ok((open == 0).then_some(()))
            })
            .await?;
        pool.close().await;
    }
    println!(
        "{}: {dropped} of {rounds} requests dropped half way, {} carried out all the same",
        bench.database.kind.as_str(),
        bench.intendant.unfinished().await?.total() - 30
    );
    ensure!(dropped > rounds / 2, "{dropped} were dropped");
    bench.check().await
}

async fn yields(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_one_clear_line() {
    let message = async |url: &str| Intendant::connect(url).await.unwrap_err().to_string();
    assert_eq!(
        message("mysql://localhost").await,
        "`mysql://localhost` names no database; expected sqlite://PATH, sqlite::memory: or postgres://…"
    );
    assert!(
        message("sqlite:///nowhere/at/all.db")
            .await
            .starts_with("there is no database at /nowhere/at/all.db; name another one")
    );
    assert!(
        message("postgres://127.0.0.1:1/none")
            .await
            .starts_with("the database cannot be reached: ")
    );
}

#[tokio::test]
async fn a_file_without_the_engines_tables_says_what_to_run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}/empty.db", directory.path().display());
    let options = StoreOptions {
        create: true,
        ..StoreOptions::new(&url)
    };
    Intendant::with_options(&options).await?.close().await;
    let error = Intendant::connect(&url).await.unwrap_err().to_string();
    let newest = newest_migration()?;
    let expected = format!(
        "the database has schema version 0, this program needs {newest}; run `intendant migrate up`"
    );
    ensure!(error == expected, "{error}");
    Ok(())
}

#[tokio::test]
async fn a_read_only_file_can_be_read_and_takes_no_request() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("app.db");
    let url = format!("sqlite://{}", path.display());
    let intendant = Intendant::open(&url).await?;
    let id = intendant.request(order("ada", "tea")).await?.id();
    intendant.close().await;
    // By the URL, since root may write to any file.
    let intendant = Intendant::connect(format!("{url}?mode=ro")).await?;
    ensure!(intendant.get(id).await?.state == IntentState::Ready);
    let error = intendant
        .request(order("ada", "tea"))
        .await
        .unwrap_err()
        .to_string();
    ensure!(
        error == "the database is read-only: attempt to write a readonly database",
        "{error}"
    );
    Ok(())
}
