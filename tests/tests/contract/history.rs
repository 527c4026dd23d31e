//! History: by account and by resource, newest first, in pages; and the views for users' own SQL.

use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use intendant::{
    Cx, Intent, IntentFilter, IntentId, IntentRecord, IntentState, Resources, StepResult,
    StoreKind, fail,
};
use serde::{Deserialize, Serialize};

use crate::asking::{Call, Client};
use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    history_is_by_account_and_resource_newest_first_in_pages;
    the_views_tell_the_state_that_is_true_at_that_moment;
    a_list_by_state_is_what_the_whole_list_says;
    what_has_not_started_has_no_start;
    a_step_ends_when_it_does_however_late_that_is_written;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Op {
    account: String,
    server: u64,
}

impl Intent for Op {
    const KIND: &'static str = "op";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
    fn resources(&self) -> Resources {
        Resources::touched("server", self.server).and_touched("environment", 7)
    }
}

async fn run(_: Cx<()>, op: Op) -> StepResult<u64> {
    if op.server == 3 {
        Err(fail("no such server"))
    } else {
        Ok(op.server)
    }
}

async fn history_is_by_account_and_resource_newest_first_in_pages(bench: Bench) -> Result<()> {
    let ops = (0..30).map(|n| Op {
        account: if n % 3 == 0 { "ada" } else { "bob" }.into(),
        server: n % 5,
    });
    let ids = bench.intendant.request_all(ops).await?;
    let worker = start(bench.worker(()).register_step(run));
    for id in &ids {
        bench.rest(*id).await?;
    }
    let list = async |filter: IntentFilter| bench.intendant.list(filter).await;
    let ada = IntentFilter {
        account: Some("ada".into()),
        limit: Some(4),
        ..Default::default()
    };
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = list(IntentFilter {
            before,
            ..ada.clone()
        })
        .await?;
        before = page.last().map(|record| record.id);
        seen.extend(page.iter().map(|record| record.id));
        if page.len() < 4 {
            break;
        }
    }
    let mut expected: Vec<_> = ids.iter().copied().step_by(3).collect();
    expected.reverse();
    ensure!(
        seen == expected,
        "newest first, without gaps or repetitions"
    );
    let server = IntentFilter {
        resource: Some("server:3".into()),
        ..Default::default()
    };
    ensure!(
        list(server.clone())
            .await?
            .iter()
            .all(|record| record.state == IntentState::Failed)
    );
    ensure!(list(server.clone()).await?.len() == 6);
    let both = IntentFilter {
        account: Some("ada".into()),
        ..server
    };
    ensure!(list(both).await?.len() == 2);
    let failed = IntentFilter {
        state: Some(IntentState::Failed),
        kind: Some("op".into()),
        ..Default::default()
    };
    ensure!(list(failed).await?.len() == 6);
    ensure!(
        list(IntentFilter {
            kind: Some("other".into()),
            ..Default::default()
        })
        .await?
        .is_empty()
    );
    worker.stop().await?;
    bench.check().await
}

async fn the_views_tell_the_state_that_is_true_at_that_moment(bench: Bench) -> Result<()> {
    let ready = bench
        .intendant
        .request(Op {
            account: "ada".into(),
            server: 1,
        })
        .await?
        .id();
    let later = bench
        .intendant
        .request(Op {
            account: "ada".into(),
            server: 2,
        })
        .start_in(std::time::Duration::from_secs(3600))
        .await?
        .id();
    let states = async || -> Result<Vec<(String, String)>> {
        let (sqlite, postgres) = (
            "select id, state from intendant_intents order by id",
            "select id::text, state from intendant.intents order by id",
        );
        Ok(match bench.database.kind {
            StoreKind::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
                let rows = sqlx::query_as(sqlite).fetch_all(&pool).await?;
                pool.close().await;
                rows
            }
            StoreKind::Postgres => {
                let pool = sqlx::PgPool::connect(&bench.database.url).await?;
                let rows = sqlx::query_as(postgres).fetch_all(&pool).await?;
                pool.close().await;
                rows
            }
        })
    };
    ensure!(
        states().await?
            == [
                (ready.to_string(), "ready".to_owned()),
                (later.to_string(), "waiting".to_owned())
            ]
    );
    let worker = start(bench.worker(()).register_step(run));
    bench.rest(ready).await?;
    ensure!(states().await?[0].1 == "succeeded");
    worker.stop().await?;
    bench.check().await
}

/// Lists by state are read from other tables than the whole list; they must not tell anything else.
async fn a_list_by_state_is_what_the_whole_list_says(bench: Bench) -> Result<()> {
    let op = |account: &str, server| Op {
        account: account.into(),
        server,
    };
    let done = bench
        .intendant
        .request_all((0..20).map(|n| op(if n % 3 == 0 { "ada" } else { "bob" }, n % 4)))
        .await?;
    let worker = start(bench.worker(()).register_step(run));
    for id in &done {
        bench.rest(*id).await?;
    }
    worker.stop().await?;
    for n in 0..6 {
        let hour = std::time::Duration::from_secs(3600);
        bench.intendant.request(op("ada", n)).start_in(hour).await?;
        bench.intendant.request(op("bob", n)).await?;
    }
    let all = bench.intendant.list(IntentFilter::default()).await?;
    ensure!(all.len() == 32);
    for &state in IntentState::ALL {
        for account in [None, Some("ada"), Some("bob")] {
            for resource in [None, Some("server:3"), Some("server:1")] {
                let filter = IntentFilter {
                    account: account.map(str::to_owned),
                    resource: resource.map(str::to_owned),
                    state: Some(state),
                    limit: Some(3),
                    ..Default::default()
                };
                let mut found: Vec<(IntentId, String)> = Vec::new();
                loop {
                    let before = found.last().map(|(id, ..)| *id);
                    let page = bench
                        .intendant
                        .list(IntentFilter {
                            before,
                            ..filter.clone()
                        })
                        .await?;
                    found.extend(page.iter().map(told));
                    if page.len() < 3 {
                        break;
                    }
                }
                let is_meant = |record: &&IntentRecord| {
                    record.state == state
                        && account.is_none_or(|name| record.account.as_deref() == Some(name))
                        && resource.is_none_or(|name| {
                            record.resources.iter().any(|used| used.resource == name)
                        })
                };
                let expected: Vec<_> = all.iter().filter(is_meant).map(told).collect();
                ensure!(
                    found == expected,
                    "{state} of {account:?} on {resource:?}: {found:?}, expected {expected:?}"
                );
            }
        }
    }
    let failed = IntentFilter {
        state: Some(IntentState::Failed),
        kind: Some("other".into()),
        ..Default::default()
    };
    ensure!(bench.intendant.list(failed).await?.is_empty());
    bench.check().await
}

fn told(record: &IntentRecord) -> (IntentId, String) {
    (record.id, serde_json::to_string(record).unwrap_or_default())
}

async fn what_has_not_started_has_no_start(bench: Bench) -> Result<()> {
    let op = Op {
        account: "ada".into(),
        server: 1,
    };
    let id = bench.intendant.request(op).await?.id();
    let record = bench.intendant.get(id).await?;
    ensure!(
        record.state == IntentState::Ready && record.started_at.is_none(),
        "{record:?}"
    );
    ensure!(
        bench.intendant.list(IntentFilter::default()).await?[0]
            .started_at
            .is_none()
    );
    Ok(())
}

/// Who is at the gate, and the gate.
#[derive(Clone, Default)]
struct Held {
    begun: Counter,
    gate: Gate,
}

/// Waits in the first of two attempts, and fails then.
async fn second_time(cx: Cx<Held>, op: Op) -> StepResult<u64> {
    cx.state().begun.add();
    cx.state().gate.pass().await;
    match cx.attempt() {
        1 => Err(intendant::StepError::new("not yet")),
        _ => Ok(op.server),
    }
}

async fn a_step_ends_when_it_does_however_late_that_is_written(bench: Bench) -> Result<()> {
    let held = Held::default();
    // Longer than nobody can write, or the attempt would be a successor's.
    let worker = bench.worker(held.clone()).lease(Duration::from_secs(30));
    let worker = start(worker.register_step(second_time));
    let op = Op {
        account: "ada".into(),
        server: 1,
    };
    let op = bench.intendant.request(op).await?;
    // That it is running is committed a moment before the attempt begins.
    bench
        .until(|| async { Ok((held.begun.get() == 1).then_some(())) })
        .await?;
    // Nobody can write for a while, and the attempt ends meanwhile.
    let mut client = Client::connect(&bench).await?;
    if bench.database.kind == StoreKind::Sqlite {
        client.run("begin immediate").await?;
    } else {
        client
            .run("begin; select from intendant.session for update")
            .await?;
        // A tick is on its way, which claims another one; the next one has to wait for it.
        let mut other = Client::connect(&bench).await?;
        let call = Call::new("op").input(r#"{"account": "ada", "server": 2}"#);
        other.ask(&call).await.map_err(anyhow::Error::msg)?;
        other.close().await?;
        bench
            .until(|| async {
                let waiting = bench.number("select count(*) from pg_locks where not granted");
                Ok((waiting.await? > 0).then_some(()))
            })
            .await?;
    }
    held.gate.open();
    // Time passes, which is what this is about.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(bench.intendant.attempts(op.id()).await?.is_empty());
    let writable = Utc::now();
    client.run("commit").await?;
    client.close().await?;
    op.output().await?;
    let attempt = &bench.intendant.attempts(op.id()).await?[0];
    let early = writable - attempt.finished_at;
    ensure!(early > TimeDelta::zero(), "{early}");
    worker.stop().await?;
    bench.check().await
}
