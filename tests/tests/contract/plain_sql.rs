//! Requests from plain SQL: they write what the library writes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use intendant::{
    Cx, Intent, IntentId, IntentState, OnFailure, Resources, StepResult, StoreKind, Worker,
};
use serde::{Deserialize, Serialize};

use crate::asking::{Call, Client, Parcel, as_told, call, parcel, rows_of};
use crate::support::{Bench, on_both, start};

on_both! {
    plain_sql_and_the_library_write_the_same_rows;
    a_key_made_by_one_is_known_to_the_other;
    a_key_of_plain_sql_is_free_when_it_expires;
    a_request_by_plain_sql_is_there_after_its_commit_only_and_is_heard_of;
    two_requests_by_plain_sql_take_an_exclusive_resource_in_turn;
    a_kind_that_has_been_registered_is_found_in_its_queue;
    ids_of_plain_sql_sort_by_the_order_of_their_requests;
}

async fn deliver(_: Cx<()>, parcel: Parcel) -> StepResult<String> {
    Ok(parcel.what)
}

async fn plain_sql_and_the_library_write_the_same_rows(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    let parcel = Parcel {
        resources: Resources::touched("env", 7)
            .and_exclusive("server", 42)
            .and_shared("env", 7)
            .and_touched("note", "a:b"),
        ..parcel("tea")
    };
    let call = Call {
        priority: Some(-3),
        requested_by: Some("ada@example.com".into()),
        correlation_id: Some("request-9".into()),
        // Printed as the library prints it, so that texts can be compared.
        ..call("tea")
            .input(serde_json::to_string(&parcel)?)
            .resources(&[
                "touched:env:7",
                "exclusive:server:42",
                "shared:env:7",
                "touched:note:a:b",
            ])
    };
    let mut later = Utc::now() + chrono::TimeDelta::hours(1);
    later = DateTime::from_timestamp_millis(later.timestamp_millis()).unwrap();
    let times: [Option<DateTime<Utc>>; 3] =
        [None, Some(later), Some(later - chrono::TimeDelta::hours(3))];
    for (nth, run_at) in times.into_iter().enumerate() {
        let mut request = bench.intendant.request(parcel.clone());
        request = request.by("ada@example.com").correlation_id("request-9");
        request = request.priority(-3).key(format!("library-{nth}"));
        if let Some(run_at) = run_at {
            request = request.start_at(run_at);
        }
        let library = rows_of(&bench, request.await?.id()).await?;
        let call = Call {
            key: Some(format!("sql-{nth}")),
            run_at: run_at.map(|time| time.to_rfc3339()),
            ..call.clone()
        };
        let sql = rows_of(&bench, client.ask(&call).await.unwrap()).await?;
        ensure!(library == sql, "{library:#?}\n{sql:#?}");
        let tables = library.iter().map(|row| row.split(' ').next().unwrap());
        let expected = ["intent", "resource", "resource", "resource"];
        let place = if nth == 1 { "parked" } else { "ready" };
        ensure!(
            tables.eq(expected.into_iter().chain([place, "key"])),
            "{library:#?}"
        );
    }
    // What the rows of one intent say of each other.
    let us = match bench.database.kind {
        StoreKind::Sqlite => "requested_at",
        StoreKind::Postgres => "(extract(epoch from requested_at) * 1000000)::bigint",
    };
    let odd = format!(
        "select count(*) from @intent where root_id <> id or position <> {us} - priority * 60000000"
    );
    ensure!(bench.number(&odd).await? == 0);
    client.close().await?;
    bench.check().await
}

async fn a_key_made_by_one_is_known_to_the_other(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    let with_key = |call: Call, key: &str| Call {
        key: Some(key.into()),
        ..call
    };
    let by_library = async |what: &str, key: &str| {
        let asked = bench.intendant.request(parcel(what)).key(key).await;
        asked.map(|handle| handle.id()).map_err(as_told)
    };
    let by_sql = client.ask(&with_key(call("tea"), "sql")).await.unwrap();
    let by_rust = by_library("tea", "library").await.unwrap();

    let worker = start(bench.worker(()).register_step(deliver));
    for key in ["sql", "library"] {
        let first = if key == "sql" { by_sql } else { by_rust };
        // Before it has finished and after.
        for _ in 0..2 {
            let other = r#" {"account": "\u0061da", "what": "tea", "weight": 1.00} "#;
            let again = [
                by_library("tea", key).await,
                client.ask(&with_key(call("tea"), key)).await,
                client.ask(&with_key(call("tea").input(other), key)).await,
            ];
            for again in again {
                ensure!(again == Ok(first), "{key}: {again:?}");
            }
            let different = [
                by_library("coffee", key).await,
                client.ask(&with_key(call("coffee"), key)).await,
                client
                    .ask(&with_key(
                        Call {
                            kind: "letter".into(),
                            ..call("tea")
                        },
                        key,
                    ))
                    .await,
                client.ask(&with_key(call("tea").input("[]"), key)).await,
            ];
            for different in different {
                let told = different.unwrap_err();
                ensure!(
                    told.starts_with(&expected_conflict(&bench, key, first)),
                    "{told}"
                );
            }
            bench.rest(first).await?;
        }
    }
    // Keys are per account.
    let bob = Call {
        account: Some("bob".into()),
        ..call("tea")
    };
    let nobody = Call {
        account: None,
        ..call("tea")
    };
    for other in [bob, nobody] {
        let id = client.ask(&with_key(other.clone(), "sql")).await.unwrap();
        ensure!(id != by_sql);
        ensure!(client.ask(&with_key(other, "sql")).await == Ok(id));
    }
    ensure!(bench.number("select count(*) from @intent").await? == 4);
    worker.stop().await?;
    client.close().await?;
    bench.check().await
}

fn expected_conflict(bench: &Bench, key: &str, first: IntentId) -> String {
    match bench.database.kind {
        StoreKind::Postgres => format!(
            "IN409: the key `{key}` was used for another request, intent {first}; use a new"
        ),
        StoreKind::Sqlite => "IN409: the key ".to_owned(),
    }
}

async fn a_key_of_plain_sql_is_free_when_it_expires(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    let days = match bench.database.kind {
        StoreKind::Sqlite => {
            "select round((max(expires_at) - (julianday('now') - 2440587.5) * 86400e6) / 86400e4) / 1 from @key"
        }
        StoreKind::Postgres => {
            "select round(extract(epoch from max(expires_at) - now()) / 864)::bigint from intendant.key"
        }
    };
    let call = Call {
        key: Some("k".into()),
        ..call("tea")
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let id = client.ask(&call).await.unwrap();
        ensure!(client.ask(&call).await == Ok(id), "within its time");
        // In hundredths of a day, as SQLite has no time of its own.
        let kept = bench
            .number(&format!("select cast(({days}) as bigint)"))
            .await?;
        ensure!(kept == 3_000, "{kept}");
        seen.push(id);
        let past = match bench.database.kind {
            StoreKind::Sqlite => "update @key set expires_at = expires_at - 30 * 86400000000",
            StoreKind::Postgres => "update @key set expires_at = expires_at - interval '720 hours'",
        };
        bench.run_sql(past).await?;
        if seen.len() == 2 {
            let next = bench.intendant.request(parcel("tea")).key("k").await?.id();
            seen.push(next);
            bench.run_sql(past).await?;
        }
    }
    let asked = seen.len();
    seen.sort();
    seen.dedup();
    ensure!(seen.len() == asked);
    client.close().await?;
    bench.check().await
}

async fn a_request_by_plain_sql_is_there_after_its_commit_only_and_is_heard_of(
    bench: Bench,
) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    // A worker that looks by itself once a minute, and is idle.
    let worker = Worker::new(&bench.intendant, ()).poll(Duration::from_secs(60));
    let worker = start(worker.register_step(deliver));
    let first = bench.intendant.request(parcel("tea")).await?;
    bench.rest(first.id()).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;

    client.run("begin").await?;
    let gone = client.ask(&call("gone")).await.unwrap();
    ensure!(
        bench
            .intendant
            .state(gone)
            .await
            .unwrap_err()
            .is_not_found()
    );
    client.run("rollback").await?;
    ensure!(
        bench
            .intendant
            .state(gone)
            .await
            .unwrap_err()
            .is_not_found()
    );

    client.run("begin").await?;
    let kept = client.ask(&call("kept")).await.unwrap();
    ensure!(
        bench
            .intendant
            .state(kept)
            .await
            .unwrap_err()
            .is_not_found()
    );
    let asked = Instant::now();
    client.run("commit").await?;
    let record = bench.rest(kept).await?;
    let output = record.output.as_ref().map(|json| json.get());
    ensure!(output == Some(r#""kept""#), "{record:?}");
    ensure!(
        asked.elapsed() < Duration::from_secs(5),
        "it waited for a poll"
    );
    worker.stop().await?;
    client.close().await?;
    bench.check().await
}

async fn two_requests_by_plain_sql_take_an_exclusive_resource_in_turn(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    client.run("begin").await?;
    let mut asked = Vec::new();
    for what in ["first", "second", "third"] {
        let call = call(what).resources(&["exclusive:door:1"]);
        asked.push(client.ask(&call).await.unwrap());
    }
    client.run("commit").await?;
    let slowly = async |_: Cx<()>, parcel: Parcel| {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok(parcel.what)
    };
    let worker = start(bench.worker(()).register_step(slowly));
    let mut before = None;
    for id in asked {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
        let step = bench.intendant.steps(id).await?.remove(0);
        ensure!(
            step.started_at >= before,
            "{step:?} began before {before:?}"
        );
        before = step.finished_at;
    }
    worker.stop().await?;
    client.close().await?;
    bench.check().await
}

/// A kind whose workers are elsewhere, and which lets go of what it holds when it fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {}

impl Intent for Letter {
    const KIND: &'static str = "letter";
    const QUEUE: &'static str = "post";
    const ON_FAILURE: OnFailure = OnFailure::Release;
    type Output = ();
}

async fn a_kind_that_has_been_registered_is_found_in_its_queue(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    let known = async |id: IntentId| -> Result<bool> {
        let all = rows_of(&bench, bench.intendant.request(Letter {}).await?.id()).await?;
        Ok(all == rows_of(&bench, id).await?)
    };
    // Nobody has said where its workers are.
    let early = client.ask(&Call::new("letter")).await.unwrap();
    ensure!(bench.intendant.get(early).await?.queue == "default");
    let told = Call {
        queue: Some("post".into()),
        ..Call::new("letter")
    };
    let told = client.ask(&told).await.unwrap();

    let post = async |_: Cx<()>, _: Letter| -> StepResult<()> { Ok(()) };
    let worker = start(bench.worker(()).register_step(post).register_step(deliver));
    bench.rest(told).await?;
    worker.stop().await?;
    // No worker is there any more, but one was.
    let id = client.ask(&Call::new("letter")).await.unwrap();
    ensure!(known(id).await?, "{:?}", rows_of(&bench, id).await?);
    let worker = start(bench.worker(()).register_step(post));
    bench.rest(id).await?;
    worker.stop().await?;
    client.close().await?;
    bench.check().await
}

async fn ids_of_plain_sql_sort_by_the_order_of_their_requests(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    let before = Utc::now();
    client.run("begin").await?;
    let mut ids = Vec::new();
    for nth in 0..300 {
        ids.push(client.ask(&Call::new("parcel")).await.unwrap());
        if nth == 150 {
            // The library's are among them.
            ids.push(
                client
                    .ask_within(bench.intendant.request(parcel("tea")))
                    .await?,
            );
        }
    }
    client.run("commit").await?;
    for (first, second) in ids.iter().zip(&ids[1..]) {
        // Two programs' ids of one millisecond have no order.
        let library = ids[151];
        let apart = ![first, second].contains(&&library) || time_of(*first) != time_of(*second);
        ensure!(!apart || first < second, "{first} is not before {second}");
    }
    for id in ids {
        ensure!(id.0.get_version_num() == 7, "{id}");
        ensure!(id.0.get_variant() == uuid::Variant::RFC4122, "{id}");
        let ms = before.timestamp_millis()..=Utc::now().timestamp_millis();
        ensure!(ms.contains(&time_of(id)), "{id} is not of this time");
    }
    client.close().await?;
    bench.check().await
}

/// Milliseconds since 1970.
fn time_of(id: IntentId) -> i64 {
    (id.0.as_u128() >> 80) as i64
}
