//! Subscriptions: what becomes of intents is told as it occurs, whoever commits when, and whoever tells goes on where another one was.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::DateTime;
use intendant::{
    Cx, Intent, IntentEvent, IntentFilter, IntentId, IntentState, Occurred, Position, StepResult,
    StoreKind, Subscription, fail,
};
use serde::{Deserialize, Serialize};

use crate::asking::Client;
use crate::support::{Bench, Gate, on_both, start};

on_both! {
    what_becomes_of_intents_is_told_in_its_order_and_once;
    only_what_is_asked_for_is_told;
    whoever_goes_on_from_a_position_misses_nothing;
    payloads_that_do_not_go_together_are_told_one_after_the_other;
    what_occurred_while_the_process_was_away_is_told;
    a_failure_that_was_resumed_before_it_was_told_is_told;
    a_cancel_is_told_before_the_end_that_it_made;
}

/// Fails where it is told to, until the gate is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Deed {
    account: String,
    fails: bool,
    size: usize,
}

impl Intent for Deed {
    const KIND: &'static str = "deed";
    type Output = String;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
}

async fn deed(cx: Cx<Gate>, deed: Deed) -> StepResult<String> {
    match deed.fails && !cx.state().is_open() {
        true => Err(fail("no luck")),
        false => Ok("x".repeat(deed.size)),
    }
}

fn small(account: &str, fails: bool) -> Deed {
    let account = account.to_owned();
    Deed {
        account,
        fails,
        size: 1,
    }
}

/// When, of whom, and what.
type Told = (i64, IntentId, String);

fn told(event: &IntentEvent) -> Told {
    let what = match &event.occurred {
        Occurred::Ended { state, .. } => format!("{state}"),
        Occurred::Event(event) => format!("{} {}", event.seq, event.verb),
        other => format!("{other:?}"),
    };
    (event.at.timestamp_micros(), event.intent.id, what)
}

async fn next(subscription: &mut Subscription) -> Result<IntentEvent> {
    let next = tokio::time::timeout(Duration::from_secs(30), subscription.next());
    Ok(next.await.context("nothing is told")??)
}

/// Nothing else is told for a while.
async fn is_quiet(subscription: &mut Subscription) -> Result<()> {
    let next = tokio::time::timeout(Duration::from_millis(300), subscription.next());
    match next.await {
        Err(_) => Ok(()),
        Ok(event) => anyhow::bail!("{:?}", told(&event?)),
    }
}

impl Bench {
    async fn subscribe(&self, filter: IntentFilter) -> Result<Subscription> {
        let soon = Duration::from_millis(10);
        Ok(self.intendant.subscribe(filter).every(soon).await?)
    }
}

async fn what_becomes_of_intents_is_told_in_its_order_and_once(bench: Bench) -> Result<()> {
    let gate = Gate::default();
    let before = bench.intendant.request(small("ada", true)).await?.id();
    let worker = start(bench.worker(gate.clone()).register_step(deed));
    bench.reach(before, IntentState::Failed).await?;
    let mut subscription = bench.subscribe(IntentFilter::default()).await?;
    let deeds = (0..120).map(|n| small("ada", n % 10 == 0));
    let ids = bench.intendant.request_all(deeds).await?;
    let mut seen: Vec<Told> = Vec::new();
    for _ in &ids {
        seen.push(told(&next(&mut subscription).await?));
    }
    // Those that have failed are resumed, and succeed.
    gate.open();
    for id in ids.iter().step_by(10) {
        bench.intendant.resume(*id, "grace", None).await?;
    }
    for _ in 0..24 {
        seen.push(told(&next(&mut subscription).await?));
    }
    is_quiet(&mut subscription).await?;
    ensure!(seen.iter().collect::<BTreeSet<_>>().len() == seen.len());
    for (nth, id) in ids.iter().enumerate() {
        let of_it = seen.iter().filter(|(_, of, _)| of == id);
        let of_it: Vec<&str> = of_it.map(|(.., what)| what.as_str()).collect();
        let expected: &[&str] = match nth % 10 {
            0 => &["failed", "1 resume", "succeeded"],
            _ => &["succeeded"],
        };
        ensure!(of_it == expected, "{nth}: {of_it:?}");
    }
    worker.stop().await?;
    bench.check().await
}

async fn only_what_is_asked_for_is_told(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Gate::default()).register_step(deed));
    let of_ada = IntentFilter {
        account: Some("ada".to_owned()),
        state: Some(IntentState::Failed),
        ..IntentFilter::default()
    };
    let of_none = IntentFilter {
        kind: Some("misdeed".to_owned()),
        ..IntentFilter::default()
    };
    let mut failures = bench.subscribe(of_ada).await?;
    let mut nothing = bench.subscribe(of_none).await?;
    let mut expected = BTreeSet::new();
    for (account, fails) in [("ada", true), ("bob", true), ("ada", false), ("ada", true)] {
        let id = bench.intendant.request(small(account, fails)).await?.id();
        bench.rest(id).await?;
        if account == "ada" && fails {
            expected.insert(id);
        }
    }
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let event = next(&mut failures).await?;
        ensure!(event.intent.error.as_deref() == Some("no luck"));
        ensure!(event.intent.finished_at == Some(event.at));
        seen.insert(event.intent.id);
    }
    ensure!(seen == expected);
    is_quiet(&mut failures).await?;
    is_quiet(&mut nothing).await?;
    worker.stop().await?;
    bench.check().await
}

async fn whoever_goes_on_from_a_position_misses_nothing(bench: Bench) -> Result<()> {
    let mut subscription = bench.subscribe(IntentFilter::default()).await?;
    let workers = [(); 3].map(|()| start(bench.worker(Gate::default()).register_step(deed)));
    let mut seen = BTreeSet::new();
    let ids = bench
        .intendant
        .request_all((0..2_000).map(|_| small("ada", false)))
        .await?;
    // Each time it is dropped after some more.
    let mut soon = 1;
    while seen.len() < ids.len() {
        let mut position = None;
        let mut of_this = BTreeSet::new();
        for _ in 0..soon {
            if seen.len() + of_this.len() == ids.len() {
                break;
            }
            let event = next(&mut subscription).await?;
            ensure!(of_this.insert(told(&event)), "one tells twice");
            position = Some(event.position);
        }
        seen.append(&mut of_this);
        if let Some(position) = position {
            // As text, as it is kept.
            let position: Position = position.to_string().parse()?;
            let from = bench.intendant.subscribe(IntentFilter::default());
            subscription = from
                .after(position)
                .every(Duration::from_millis(10))
                .await?;
        }
        soon += 7;
    }
    let ended: BTreeSet<IntentId> = seen.iter().map(|(_, id, _)| *id).collect();
    ensure!(ended == ids.iter().copied().collect());
    // Nothing is told again once nobody in the database is writing any more who began before it.
    loop {
        let mut again = BTreeSet::new();
        let from = bench.intendant.subscribe(IntentFilter::default());
        subscription = from.after(Position::at(DateTime::UNIX_EPOCH)).await?;
        let mut position = None;
        for _ in &ids {
            let event = next(&mut subscription).await?;
            ensure!(again.insert(told(&event)), "one tells twice");
            position = Some(event.position);
        }
        ensure!(again == seen);
        let from = bench.intendant.subscribe(IntentFilter::default());
        subscription = from.after(position.context("there are some")?).await?;
        if is_quiet(&mut subscription).await.is_ok() {
            break;
        }
    }
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

async fn payloads_that_do_not_go_together_are_told_one_after_the_other(bench: Bench) -> Result<()> {
    let mut subscription = bench.subscribe(IntentFilter::default()).await?;
    let deeds = (0..12).map(|_| Deed {
        size: 900_000,
        ..small("ada", false)
    });
    let ids = bench.intendant.request_all(deeds).await?;
    let worker = start(bench.worker(Gate::default()).register_step(deed));
    for id in &ids {
        bench.rest(*id).await?;
    }
    let mut seen = BTreeSet::new();
    for _ in &ids {
        seen.insert(next(&mut subscription).await?.intent.id);
    }
    ensure!(seen == ids.into_iter().collect());
    worker.stop().await?;
    bench.check().await
}

async fn what_occurred_while_the_process_was_away_is_told(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(Gate::default()).register_step(deed));
    let first = bench.intendant.request(small("ada", true)).await?.id();
    let at = bench
        .rest(first)
        .await?
        .finished_at
        .context("it has ended")?;
    let ids = bench
        .intendant
        .request_all((0..1_500).map(|_| small("bob", false)))
        .await?;
    for id in &ids {
        bench.rest(*id).await?;
    }
    bench.intendant.resume(first, "grace", None).await?;
    bench
        .until(|| async {
            let again = bench.intendant.get(first).await?;
            Ok((again.finished_at > Some(at)).then_some(()))
        })
        .await?;
    // More than a page of it, in the order of its time.
    let from = bench.intendant.subscribe(IntentFilter::default());
    let mut subscription = from.after(Position::at(at)).await?;
    let mut seen = Vec::new();
    for _ in 0..ids.len() + 3 {
        seen.push(told(&next(&mut subscription).await?));
    }
    // That it failed is known by what was done about it.
    let failed = seen.iter().position(|(_, _, what)| what == "failed");
    let (when, who, _) = seen.remove(failed.context("it failed")?);
    ensure!((when, who) == (at.timestamp_micros(), first));
    ensure!(seen.is_sorted());
    let last: Vec<&str> = seen[ids.len()..]
        .iter()
        .map(|(.., what)| what.as_str())
        .collect();
    ensure!(last == ["1 resume", "failed"], "{last:?}");
    worker.stop().await?;
    bench.check().await
}

async fn a_failure_that_was_resumed_before_it_was_told_is_told(bench: Bench) -> Result<()> {
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register_step(deed));
    let failed = IntentFilter {
        error: Some("NO LUCK".to_owned()),
        ..IntentFilter::default()
    };
    // Who looks only now and then.
    let now_and_then = Duration::from_secs(1);
    let failures = bench.intendant.subscribe(failed).every(now_and_then);
    let mut failures = failures.await?;
    let id = bench.intendant.request(small("ada", true)).await?.id();
    let at = bench.rest(id).await?.finished_at;
    gate.open();
    bench.intendant.resume(id, "grace", None).await?;
    bench.reach(id, IntentState::Succeeded).await?;
    let event = next(&mut failures).await?;
    ensure!(event.intent.id == id && Some(event.at) == at);
    let Occurred::Ended { state, error } = event.occurred else {
        anyhow::bail!("{:?}", event.occurred);
    };
    ensure!(state == IntentState::Failed && error.as_deref() == Some("no luck"));
    is_quiet(&mut failures).await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_is_told_before_the_end_that_it_made(bench: Bench) -> Result<()> {
    let mut subscription = bench.subscribe(IntentFilter::default()).await?;
    let id = bench.intendant.request(small("ada", false)).await?.id();
    bench.intendant.cancel(id, "grace", Some("no luck")).await?;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(told(&next(&mut subscription).await?).2);
    }
    ensure!(seen == ["1 cancel", "cancelled"], "{seen:?}");
    bench.check().await
}

/// Ends an intent by hand, in a transaction that takes its time. (SQLite has one writer: there nobody is late.)
#[tokio::test]
async fn what_is_committed_late_is_told() -> Result<()> {
    let bench = Bench::open(StoreKind::Postgres).await?;
    let mut subscription = bench.subscribe(IntentFilter::default()).await?;
    let late = bench.intendant.request(small("ada", false)).await?.id();
    let mut client = Client::connect(&bench).await?;
    client
        .run(
            "begin; delete from intendant.ready;
             insert into intendant.outcome (intent_id, kind, account, state, requested_at, finished_at)
             select id, kind, account, 'cancelled', requested_at, clock_timestamp() from intendant.intent",
        )
        .await?;
    // Nobody else writes for a while, and it is looked again and again.
    is_quiet(&mut subscription).await?;
    let worker = start(bench.worker(Gate::default()).register_step(deed));
    let soon = bench
        .intendant
        .request_all((0..50).map(|_| small("bob", false)));
    let soon: BTreeSet<IntentId> = soon.await?.into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut position = None;
    for _ in 0..50 {
        let event = next(&mut subscription).await?;
        seen.insert(event.intent.id);
        position = Some(event.position);
    }
    ensure!(seen == soon);
    is_quiet(&mut subscription).await?;
    // It may well be long ago, but for the second by which everybody goes back further than they have to.
    tokio::time::sleep(Duration::from_secs(2)).await;
    is_quiet(&mut subscription).await?;
    client.run("commit").await?;
    client.close().await?;
    ensure!(next(&mut subscription).await?.intent.id == late);
    is_quiet(&mut subscription).await?;
    // Whoever goes on from what was told before it misses it as little.
    let from = bench.intendant.subscribe(IntentFilter::default());
    let mut resumed = from.after(position.context("some were told")?).await?;
    ensure!(next(&mut resumed).await?.intent.id == late);
    worker.stop().await?;
    bench.check().await
}
