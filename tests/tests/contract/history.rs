//! History: by account and by resource, newest first, in pages; and the views for users' own SQL.

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentFilter, IntentState, Resources, StepResult, StoreKind, fail};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    history_is_by_account_and_resource_newest_first_in_pages;
    the_views_tell_the_state_that_is_true_at_that_moment;
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
