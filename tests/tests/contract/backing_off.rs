//! A kind whose intents crash their workers one after the other is tried one at a time and ever more rarely; the others do
//! not notice.

use anyhow::{Result, ensure};
use intendant::{
    AlertFilter, AlertKind, Cx, Intent, IntentState, StepResult, StoreKind, Watch, Which,
    why::Reason,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_kind_that_backs_off_is_left_in_line_and_says_so_and_the_others_go_on;
    what_is_tried_and_succeeds_is_trusted_again;
    what_backs_off_is_tried_in_the_queue_in_which_it_waits;
    two_poisons_in_a_row_make_their_kind_back_off_and_one_does_not;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Good {}

impl Intent for Good {
    const KIND: &'static str = "good";
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bad {}

impl Intent for Bad {
    const KIND: &'static str = "bad";
    type Output = u64;
}

async fn good(_: Cx<Counter>, _: Good) -> StepResult<u64> {
    Ok(1)
}

async fn mended(cx: Cx<Counter>, _: Bad) -> StepResult<u64> {
    Ok(cx.state().add())
}

/// The worker is killed while this runs.
async fn deadly(cx: Cx<Counter>, _: Bad) -> StepResult<u64> {
    cx.state().add();
    std::future::pending().await
}

/// Has the kind back off for an hour from now; or to be tried now.
async fn mark(bench: &Bench, due: &str) -> Result<()> {
    let (id, now, hour) = match bench.database.kind {
        StoreKind::Sqlite => (
            "'01890000-0000-7000-8000-000000000000'",
            "cast(unixepoch('subsec') * 1000000 as integer)",
            "3600000000",
        ),
        StoreKind::Postgres => (
            "'01890000-0000-7000-8000-000000000000'::uuid",
            "clock_timestamp()",
            "interval '1 hour'",
        ),
    };
    let until = match due {
        "later" => format!("{now} + {hour}"),
        _ => format!("{now} - {hour}"),
    };
    let sql = format!(
        "delete from @poison; insert into @poison (kind, intents, intent_id, crashed_at, until) values ('bad', 4, {id}, {now}, \
         {until})"
    );
    Ok(bench.run_sql(&sql).await?)
}

async fn a_kind_that_backs_off_is_left_in_line_and_says_so_and_the_others_go_on(
    bench: Bench,
) -> Result<()> {
    mark(&bench, "later").await?;
    let counter = Counter::default();
    let worker = bench.worker(counter.clone());
    let worker = start(worker.register_step(good).register_step(mended));
    let bad = bench.intendant.request_all((0..20).map(|_| Bad {})).await?;
    let all = bench
        .intendant
        .request_all((0..200).map(|_| Good {}))
        .await?;
    for id in all {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    // Not by the way of a direct request either.
    let direct = bench.intendant.request(Bad {}).await?;
    let more = bench.intendant.request(Good {}).await?;
    more.output().await?;
    ensure!(direct.state().await? == IntentState::Ready && counter.get() == 0);
    let why = bench.intendant.why(bad[0]).await?;
    let backs_off = |reason: &Reason| matches!(reason, Reason::BacksOff { intents: 4, .. });
    ensure!(why.reasons.iter().any(backs_off), "{why}");
    ensure!(
        why.to_string()
            .contains("4 intents of kind `bad` in a row have crashed their workers"),
        "{why}"
    );
    worker.stop().await?;
    bench.check().await
}

async fn what_is_tried_and_succeeds_is_trusted_again(bench: Bench) -> Result<()> {
    mark(&bench, "now").await?;
    let counter = Counter::default();
    let bad = bench.intendant.request_all((0..20).map(|_| Bad {})).await?;
    let worker = bench.worker(counter.clone());
    let worker = start(worker.register_step(good).register_step(mended));
    for id in bad {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    ensure!(bench.number("select count(*) from @poison").await? == 0);
    worker.stop().await?;
    bench.check().await
}

/// Its worker serves other queues as well, in which there is nothing.
async fn what_backs_off_is_tried_in_the_queue_in_which_it_waits(bench: Bench) -> Result<()> {
    mark(&bench, "now").await?;
    let bad = bench.intendant.request(Bad {}).await?;
    let worker = bench.worker(Counter::default());
    let worker = worker.queue("annex", 2).queue("other", 2);
    let worker = start(worker.register_step(mended));
    ensure!(bench.rest(bad.id()).await?.state == IntentState::Succeeded);
    worker.stop().await?;
    bench.check().await
}

async fn two_poisons_in_a_row_make_their_kind_back_off_and_one_does_not(
    bench: Bench,
) -> Result<()> {
    let counter = Counter::default();
    let watch = Watch::default().every(std::time::Duration::ZERO);
    let bad = bench.intendant.request_all((0..2).map(|_| Bad {})).await?;
    // The first has both in hand, and nobody knows which of them it was; each of the others has one by itself.
    for (deaths, running) in [(1, 2), (2, 3), (3, 4)] {
        let worker = bench.worker(counter.clone()).watch(watch);
        let worker = start(worker.register_step(good).register_step(deadly));
        bench
            .until(|| async { Ok((counter.get() >= running).then_some(())) })
            .await?;
        if deaths == 3 {
            // One poison, whoever it was, has its kind not back off.
            let marked = "select count(*) from @poison where intents > 1";
            ensure!(bench.number(marked).await? == 0);
        }
        worker.kill().await;
    }
    let all = bench
        .intendant
        .request_all((0..50).map(|_| Good {}))
        .await?;
    let worker = bench.worker(counter.clone()).watch(watch);
    let worker = start(worker.register_step(good).register_step(mended));
    let filter = || AlertFilter {
        which: Which::All,
        kind: Some(AlertKind::KindBacksOff),
        ..AlertFilter::default()
    };
    let alert = bench
        .until(|| async { Ok(bench.intendant.alerts(filter()).await?.pop()) })
        .await?;
    ensure!(
        alert.intent_kind.as_deref() == Some("bad") && alert.count == 2,
        "{alert:?}"
    );
    for id in all.into_iter().chain(bad) {
        ensure!(bench.rest(id).await?.state == IntentState::Succeeded);
    }
    bench
        .until(|| async {
            let alerts = bench.intendant.alerts(filter()).await?;
            Ok((alerts.len() == 1 && alerts[0].resolved_at.is_some()).then_some(()))
        })
        .await?;
    worker.stop().await?;
    bench.check().await
}
