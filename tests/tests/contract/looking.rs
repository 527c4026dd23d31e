//! Looking back: every filter finds what it says, and no look's cost grows with history.
//!
//! By hand, on 2,000,000 intents: `INTENDANT_TEST_SCALE=full cargo test --release -p intendant-tests --test contract long --
//! --nocapture`; it prints what each look took.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use intendant::{IntentFilter, IntentId, IntentState, StoreKind};
use intendant_tests::size;

use crate::support::{Bench, on_both};

on_both! {
    every_filter_finds_what_it_says_on_every_page;
    a_long_history_is_looked_through_in_short_looks;
    what_runs_on_a_resource_and_what_failed_of_an_account_are_one_call_each;
}

/// The first intent is requested at this time, in milliseconds since 1970, each of the others a millisecond later.
const BEGIN: i64 = 1_763_700_000_000;

/// Intents by bare SQL, `:n` of them. `@` is the schema or prefix.
const POSTGRES: &str = "
create temporary table made as
select n, (lpad(to_hex(1763700000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid as id,
       timestamptz 'epoch' + (1763700000000 + n) * interval '1 millisecond' as at,
       'kind.' || (n % 7) as kind, case when n % 10 = 0 then 'acme' when n % 3 = 0 then 'bolt' end as account,
       case when n % 1000 = 1 then 'ada' else 'web' end as requested_by,
       case when n > :n - 100 then 'ready' when n % 200 = 0 then 'failed' when n % 1000 = 3 then 'cancelled'
            else 'succeeded' end as state
  from generate_series(1::bigint, :n) as n;
insert into @intent (id, kind, queue, account, input, position, requested_at, requested_by, root_id)
select id, kind, 'default', account, '{}', n, at, requested_by, id from made;
insert into @outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, reason, error)
select id, kind, account, state, at, at, at, '1', case when state = 'failed' then 'step failed' end,
       case when state <> 'failed' then null when n % 400 = 0 then 'Connection refused by 10.0.0.7' else 'disk full' end
  from made where state <> 'ready';
insert into @ready (queue, kind, position, intent_id, started, locks)
select 'default', kind, n, id, false, false from made where state = 'ready';
insert into @resource (intent_id, resource, mode) select id, 'server:' || (n % 500), 'touched' from made;
insert into @resource (intent_id, resource, mode) select id, 'environment:7', 'touched' from made where n % 2 = 0;
insert into @label (intent_id, name, value) select id, 'team', 'billing' from made where n % 20 = 0;
drop table made;";

const SQLITE: &str = "
create table made as
with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < :n)
select n, printf('%08x-%04x-7000-8000-%012x', (1763700000000 + n) >> 16, (1763700000000 + n) & 65535, n) as id,
       (1763700000000 + n) * 1000 as at,
       'kind.' || (n % 7) as kind, case when n % 10 = 0 then 'acme' when n % 3 = 0 then 'bolt' end as account,
       case when n % 1000 = 1 then 'ada' else 'web' end as requested_by,
       case when n > :n - 100 then 'ready' when n % 200 = 0 then 'failed' when n % 1000 = 3 then 'cancelled'
            else 'succeeded' end as state
  from numbers;
insert into @intent (id, kind, queue, account, input, position, requested_at, requested_by, root_id)
select id, kind, 'default', account, '{}', n, at, requested_by, id from made;
insert into @outcome (intent_id, kind, account, state, requested_at, started_at, finished_at, output, reason, error)
select id, kind, account, state, at, at, at, '1', case when state = 'failed' then 'step failed' end,
       case when state <> 'failed' then null when n % 400 = 0 then 'Connection refused by 10.0.0.7' else 'disk full' end
  from made where state <> 'ready';
insert into @ready (queue, kind, position, intent_id, started, locks)
select 'default', kind, n, id, 0, 0 from made where state = 'ready';
insert into @resource (intent_id, resource, mode) select id, 'server:' || (n % 500), 'touched' from made;
insert into @resource (intent_id, resource, mode) select id, 'environment:7', 'touched' from made where n % 2 = 0;
insert into @label (intent_id, name, value) select id, 'team', 'billing' from made where n % 20 = 0;
drop table made;";

/// A history of that many intents; the last hundred are unfinished.
async fn make(bench: &Bench, number: usize) -> Result<()> {
    let sql = match bench.database.kind {
        StoreKind::Postgres => POSTGRES,
        StoreKind::Sqlite => SQLITE,
    };
    let sql = sql.replace(":n", &number.to_string());
    Ok(bench.run_sql(&format!("begin; {sql} commit;")).await?)
}

fn at(number: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(BEGIN + number).unwrap()
}

/// The id of one of them.
fn id(number: i64) -> IntentId {
    let ms = u128::try_from(BEGIN + number).unwrap_or_default() << 80;
    let number = u128::try_from(number).unwrap_or_default();
    uuid::Uuid::from_u128(ms | (0x7000_8000_u128 << 48) | number).into()
}

/// Which filter, in words, and for which numbers it holds.
type Case = (&'static str, IntentFilter, fn(i64, i64) -> bool);

fn is_failed(number: i64, all: i64) -> bool {
    number % 200 == 0 && number <= all - 100
}

fn cases(all: i64) -> Vec<Case> {
    let text = |text: &str| Some(text.to_owned());
    let none = IntentFilter::default;
    let label = || Some(("team".to_owned(), "billing".to_owned()));
    vec![
        ("all", none(), |_, _| true),
        (
            "account",
            IntentFilter {
                account: text("acme"),
                ..none()
            },
            |n, _| n % 10 == 0,
        ),
        (
            "resource",
            IntentFilter {
                resource: text("server:7"),
                ..none()
            },
            |n, _| n % 500 == 7,
        ),
        (
            "a resource that everything uses",
            IntentFilter {
                resource: text("environment:7"),
                ..none()
            },
            |n, _| n % 2 == 0,
        ),
        (
            "kind",
            IntentFilter {
                kind: text("kind.3"),
                ..none()
            },
            |n, _| n % 7 == 3,
        ),
        (
            "requester",
            IntentFilter {
                requested_by: text("ada"),
                ..none()
            },
            |n, _| n % 1_000 == 1,
        ),
        (
            "label",
            IntentFilter {
                label: label(),
                ..none()
            },
            |n, _| n % 20 == 0,
        ),
        (
            "label and account",
            IntentFilter {
                label: label(),
                account: text("acme"),
                ..none()
            },
            |n, _| n % 20 == 0,
        ),
        (
            "failed",
            IntentFilter {
                state: Some(IntentState::Failed),
                ..none()
            },
            is_failed,
        ),
        (
            "cancelled of an account",
            IntentFilter {
                state: Some(IntentState::Cancelled),
                account: text("bolt"),
                ..none()
            },
            |n, all| n % 1_000 == 3 && n % 3 == 0 && n <= all - 100,
        ),
        (
            "succeeded",
            IntentFilter {
                state: Some(IntentState::Succeeded),
                ..none()
            },
            |n, all| !is_failed(n, all) && n % 1_000 != 3 && n <= all - 100,
        ),
        (
            "ready",
            IntentFilter {
                state: Some(IntentState::Ready),
                account: text("acme"),
                ..none()
            },
            |n, all| n > all - 100 && n % 10 == 0,
        ),
        (
            "text in the error",
            IntentFilter {
                error: text("connection REFUSED"),
                ..none()
            },
            |n, all| n % 400 == 0 && n <= all - 100,
        ),
        (
            "failed of an account since",
            IntentFilter {
                state: Some(IntentState::Failed),
                account: text("acme"),
                finished_since: Some(at(all / 2)),
                ..none()
            },
            |n, all| is_failed(n, all) && n >= all / 2,
        ),
        (
            "requested between",
            IntentFilter {
                requested_since: Some(at(all / 4)),
                requested_until: Some(at(all / 2)),
                kind: text("kind.3"),
                ..none()
            },
            |n, all| n % 7 == 3 && n >= all / 4 && n < all / 2,
        ),
        (
            "after",
            IntentFilter {
                after: Some(id(all - 5)),
                ..none()
            },
            |n, all| n > all - 5,
        ),
    ]
}

async fn every_filter_finds_what_it_says_on_every_page(bench: Bench) -> Result<()> {
    let all = 3_500;
    make(&bench, all as usize).await?;
    for (name, filter, holds) in cases(all) {
        let mut filter = IntentFilter {
            limit: Some(97),
            ..filter
        };
        let (mut found, mut looks) = (Vec::new(), 0);
        loop {
            let page = bench.intendant.page(filter.clone()).await?;
            ensure!(page.intents.len() <= 97, "{name}");
            found.extend(page.intents.iter().map(|intent| intent.id));
            looks += 1;
            match page.next {
                Some(next) => filter.before = Some(next),
                None => break,
            }
        }
        let expected: Vec<_> = (1..=all).rev().filter(|n| holds(*n, all)).map(id).collect();
        ensure!(
            !expected.is_empty() && found == expected,
            "{name}: {} of {}",
            found.len(),
            expected.len()
        );
        ensure!(looks <= expected.len() / 97 + 6, "{name}: {looks} looks");
        let list = IntentFilter {
            limit: Some(1_000),
            before: None,
            ..filter
        };
        let list = bench.intendant.list(list).await?;
        let list: Vec<_> = list.iter().map(|intent| intent.id).collect();
        ensure!(list == expected[..expected.len().min(1_000)], "{name}");
    }
    bench.check().await
}

async fn a_long_history_is_looked_through_in_short_looks(bench: Bench) -> Result<()> {
    let all = size(20_000, 2_000_000) as i64;
    make(&bench, all as usize).await?;
    if bench.database.kind == StoreKind::Postgres {
        bench.run_sql("vacuum analyze").await?;
    }
    let mut slow = Vec::new();
    for (name, filter, _) in cases(all) {
        let mut took = Vec::new();
        for before in [None, Some(id(all / 10))] {
            let filter = IntentFilter {
                before,
                ..filter.clone()
            };
            let mut times = Vec::new();
            for _ in 0..15 {
                let start = Instant::now();
                bench.intendant.page(filter.clone()).await?;
                times.push(start.elapsed());
            }
            times.sort_unstable();
            took.push(times[7]);
        }
        println!(
            "{:?} {name}: first {:.1?}, deep {:.1?}",
            bench.database.kind, took[0], took[1]
        );
        if took.iter().any(|time| *time > Duration::from_millis(20)) {
            slow.push(format!("{name}: {took:.1?}"));
        }
    }
    let start = Instant::now();
    let running = bench.intendant.unfinished_on("environment:7").await?;
    println!(
        "{:?} unfinished on a resource: {:.1?}",
        bench.database.kind,
        start.elapsed()
    );
    ensure!(running.len() == 50, "{}", running.len());
    // A small history proves nothing by its times, and a test machine may be busy.
    ensure!(slow.is_empty() || all < 2_000_000, "{slow:#?}");
    Ok(())
}

async fn what_runs_on_a_resource_and_what_failed_of_an_account_are_one_call_each(
    bench: Bench,
) -> Result<()> {
    let all = 3_500;
    make(&bench, all as usize).await?;
    // A resource of few intents, and one that has more than one look goes back.
    for (resource, every) in [("server:7", 500), ("environment:7", 2)] {
        let found = bench.intendant.unfinished_on(resource).await?;
        let found: Vec<_> = found.iter().map(|intent| intent.id).collect();
        let rest = if every == 500 { 7 } else { 0 };
        let expected = (all - 99..=all).rev().filter(|n| n % every == rest).map(id);
        ensure!(
            found == expected.collect::<Vec<_>>(),
            "{resource}: {found:?}"
        );
    }
    ensure!(
        bench
            .intendant
            .unfinished_on("server:9999")
            .await?
            .is_empty()
    );
    ensure!(bench.intendant.unfinished_on("server").await.is_err());
    let since = at(all) - TimeDelta::milliseconds(1_000);
    let failed = bench.intendant.failed_since("acme", since).await?;
    let newest = failed.first().context("one that failed")?;
    ensure!(failed.len() == 5 && newest.id == id(3_400), "{failed:?}");
    ensure!(newest.error.as_deref() == Some("disk full"), "{newest:?}");
    ensure!(
        bench
            .intendant
            .failed_since("bolt", since)
            .await?
            .is_empty()
    );
    Ok(())
}
