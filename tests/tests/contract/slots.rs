//! Limits of queues: no more of a queue's steps run at once than people have said, whoever runs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Cx, Error, Intent, IntentId, IntentState, Node, Plan, StepResult, Worker, value};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    a_limit_holds_across_all_workers;
    a_limit_holds_for_the_steps_of_one_intent_and_for_those_of_others;
    a_limit_that_comes_later_stops_nothing_and_is_kept_from_then_on;
    the_slots_of_a_worker_that_dies_are_others;
    who_has_no_use_for_slots_has_none;
    a_worker_that_stops_keeps_no_slots_but_those_of_what_runs;
    who_alone_knows_a_kind_has_its_turn_beside_an_endless_backlog;
    a_suspect_of_a_queue_without_a_free_slot_is_left_in_line_and_stops_nothing_else;
    a_limit_is_said_once_and_seen;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mail {
    number: u64,
}

impl Intent for Mail {
    const KIND: &'static str = "mail.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;
}

/// How many steps run, and how many did at most.
#[derive(Debug, Clone, Default)]
struct Meter {
    now: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
    begun: Counter,
    gate: Gate,
    /// How many have heard that their worker stops.
    stopping: Counter,
    last: Gate,
}

impl Meter {
    fn open() -> Self {
        let meter = Self::default();
        meter.gate.open();
        meter
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}

async fn send(cx: Cx<Meter>, mail: Mail) -> StepResult<u64> {
    let meter = cx.state();
    meter.begun.add();
    let now = meter.now.fetch_add(1, Ordering::SeqCst) + 1;
    meter.most.fetch_max(now, Ordering::SeqCst);
    tokio::select! {
        () = meter.gate.pass() => {}
        () = cx.stopping() => {
            meter.stopping.add();
            meter.gate.pass().await;
        }
    }
    if mail.number == LAST {
        meter.last.pass().await;
    }
    // Long enough for all who could to be there at once.
    tokio::time::sleep(Duration::from_millis(2)).await;
    meter.now.fetch_sub(1, Ordering::SeqCst);
    Ok(mail.number)
}

impl Bench {
    fn sender(&self, meter: &Meter) -> Worker<Meter> {
        self.worker(meter.clone()).register_step(send)
    }

    async fn mails(&self, count: u64) -> Result<Vec<IntentId>> {
        let mails = (0..count).map(|number| Mail { number });
        Ok(self.intendant.request_all(mails).await?)
    }

    async fn limit(&self, slots: Option<u32>) -> Result<bool> {
        Ok(self
            .intendant
            .limit_queue("mail", slots, "ada", None)
            .await?)
    }

    async fn all_done(&self, mails: &[IntentId]) -> Result<()> {
        for mail in mails {
            let record = self.rest(*mail).await?;
            ensure!(record.state == IntentState::Succeeded, "{record:?}");
        }
        Ok(())
    }

    /// Waits until nobody has slots.
    async fn nobody_has_slots(&self) -> Result<()> {
        self.until(|| async {
            let lent = self
                .number("select cast(coalesce(sum(lent), 0) as bigint) from @queue")
                .await?;
            Ok((lent == 0).then_some(()))
        })
        .await
    }
}

async fn a_limit_holds_across_all_workers(bench: Bench) -> Result<()> {
    let meter = Meter::open();
    let mails = bench.mails(200).await?;
    bench.limit(Some(3)).await?;
    let elsewhere = bench.database.connect().await?;
    let other = Worker::new(&elsewhere, meter.clone()).poll(Duration::from_millis(20));
    // However slow the machine is, nobody is taken for dead, whose steps would be begun twice.
    let lease = Duration::from_secs(15);
    let running = [
        start(bench.sender(&meter).lease(lease)),
        start(bench.sender(&meter).concurrency(2).lease(lease)),
        start(other.lease(lease).register_step(send)),
    ];
    // Some come while it is worked on, too: to idle workers they are not given past the limit.
    let mut more = Vec::new();
    for number in 0..50 {
        more.push(bench.intendant.request(Mail { number }).await?.id());
    }
    bench.all_done(&mails).await?;
    bench.all_done(&more).await?;
    ensure!(meter.most() == 3, "{} at once", meter.most());
    ensure!(meter.begun.get() == 250, "{} begun", meter.begun.get());
    bench.nobody_has_slots().await?;
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Campaign;

impl Intent for Campaign {
    const KIND: &'static str = "campaign";
    type Output = Vec<u64>;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Batch;

impl Intent for Batch {
    const KIND: &'static str = "batch";
    const QUEUE: &'static str = "mail";
    type Output = Vec<u64>;
}

fn letters(plan: &mut Plan<Meter>, queue: Option<&str>) -> Node<Vec<u64>> {
    let sent: Vec<Node<u64>> = (0..6)
        .map(|number| {
            let step = plan.step(format!("send-{number}"), send);
            let step = match queue {
                Some(queue) => step.queue(queue),
                None => step,
            };
            step.input(value(Mail { number }))
        })
        .collect();
    plan.step("done", done).input(sent)
}

async fn done(_: Cx<Meter>, sent: Vec<u64>) -> StepResult<Vec<u64>> {
    Ok(sent)
}

async fn a_limit_holds_for_the_steps_of_one_intent_and_for_those_of_others(
    bench: Bench,
) -> Result<()> {
    let meter = Meter::open();
    bench.mails(0).await?;
    let worker = || {
        let worker = bench.sender(&meter);
        let worker =
            worker.register(|_: &Campaign, plan: &mut Plan<Meter>| letters(plan, Some("mail")));
        let worker = worker.register(|_: &Batch, plan: &mut Plan<Meter>| letters(plan, None));
        worker.queue("mail", 16)
    };
    let running = [start(worker()), start(worker())];
    bench
        .until(|| async { Ok(bench.limit(Some(2)).await.ok()) })
        .await?;
    let campaigns = [
        bench.intendant.request(Campaign).await?,
        bench.intendant.request(Campaign).await?,
    ];
    for campaign in campaigns {
        ensure!(campaign.output().await? == [0, 1, 2, 3, 4, 5]);
    }
    // By now both workers have heard of it, so that none of these is given to one past the limit.
    let batches = [
        bench.intendant.request(Batch).await?,
        bench.intendant.request(Batch).await?,
    ];
    for batch in batches {
        ensure!(batch.output().await? == [0, 1, 2, 3, 4, 5]);
    }
    ensure!(meter.most() == 2, "{} at once", meter.most());
    bench.nobody_has_slots().await?;
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

async fn a_limit_that_comes_later_stops_nothing_and_is_kept_from_then_on(
    bench: Bench,
) -> Result<()> {
    let meter = Meter::default();
    let running = start(bench.sender(&meter).concurrency(5));
    let mails = bench.mails(60).await?;
    bench
        .until(|| async { Ok((meter.now() == 5).then_some(())) })
        .await?;
    bench.limit(Some(2)).await?;
    bench
        .until(|| async {
            let held = bench
                .number("select cast(coalesce(sum(held), 0) as bigint) from @slot")
                .await?;
            Ok((held == 5).then_some(()))
        })
        .await?;
    // As many as run: nothing was stopped, and what ends makes no room before fewer run.
    ensure!(meter.begun.get() == 5);
    meter.gate.let_pass(10);
    bench
        .until(|| async { Ok((meter.begun.get() == 12 && meter.now() == 2).then_some(())) })
        .await?;
    // From now on two, although much is waiting.
    meter.most.store(0, Ordering::SeqCst);
    meter.gate.let_pass(20);
    bench
        .until(|| async { Ok((meter.begun.get() == 32 && meter.now() == 2).then_some(())) })
        .await?;
    ensure!(meter.most() == 2, "{} at once", meter.most());
    // And without a limit as many as the worker runs.
    bench.limit(None).await?;
    bench
        .until(|| async { Ok((meter.now() == 5).then_some(())) })
        .await?;
    meter.gate.open();
    bench.all_done(&mails).await?;
    ensure!(meter.most() == 5, "{} at once", meter.most());
    running.stop().await?;
    bench.check().await
}

async fn the_slots_of_a_worker_that_dies_are_others(bench: Bench) -> Result<()> {
    let stuck = Meter::default();
    let mails = bench.mails(10).await?;
    bench.limit(Some(1)).await?;
    let first = start(bench.sender(&stuck));
    bench
        .until(|| async { Ok((stuck.now() == 1).then_some(())) })
        .await?;
    let meter = Meter::open();
    let second = start(bench.sender(&meter));
    // The one slot is taken.
    bench
        .until(|| async {
            let sessions = bench.number("select count(*) from @session").await?;
            Ok((sessions == 2).then_some(()))
        })
        .await?;
    ensure!(meter.begun.get() == 0);
    let why = bench.intendant.why(mails[9]).await?.to_string();
    let says =
        "queue `mail` has a limit of 1 steps at once across all workers, and they have 1 of these";
    ensure!(why.contains(says), "{why}");
    first.kill().await;
    bench.all_done(&mails).await?;
    ensure!(meter.most() == 1 && meter.begun.get() == 10);
    second.stop().await?;
    let left = bench.number("select count(*) from @slot").await?;
    ensure!(left == 0, "{left}");
    bench.check().await
}

async fn who_has_no_use_for_slots_has_none(bench: Bench) -> Result<()> {
    let first = Meter::default();
    bench.mails(0).await?;
    let running = start(bench.sender(&first).concurrency(8));
    bench
        .until(|| async { Ok(bench.limit(Some(4)).await.ok()) })
        .await?;
    let slow = bench.mails(1).await?;
    bench
        .until(|| async { Ok((first.now() == 1).then_some(())) })
        .await?;
    // One is running: the other three are not kept.
    bench
        .until(|| async {
            let lent = bench
                .number("select lent from @queue where name = 'mail'")
                .await?;
            Ok((lent == 1).then_some(()))
        })
        .await?;
    first.gate.open();
    bench.all_done(&slow).await?;
    bench.nobody_has_slots().await?;
    running.stop().await?;
    bench.check().await
}

/// Mails of this number wait for somebody to open the last gate.
const LAST: u64 = 1_000;

async fn a_worker_that_stops_keeps_no_slots_but_those_of_what_runs(bench: Bench) -> Result<()> {
    let meter = Meter::default();
    let quick = bench.mails(3).await?;
    let slow = bench.intendant.request(Mail { number: LAST }).await?;
    bench.limit(Some(4)).await?;
    let first = start(bench.sender(&meter).grace(Duration::from_secs(60)));
    bench
        .until(|| async { Ok((meter.now() == 4).then_some(())) })
        .await?;
    let stopping = tokio::spawn(first.stop());
    bench
        .until(|| async { Ok((meter.stopping.get() == 4).then_some(())) })
        .await?;
    meter.gate.open();
    bench.all_done(&quick).await?;
    // Others can have the three, while the fourth goes on.
    bench
        .until(|| async {
            let lent = bench
                .number("select lent from @queue where name = 'mail'")
                .await?;
            Ok((lent == 1).then_some(()))
        })
        .await?;
    meter.last.open();
    bench.all_done(&[slow.id()]).await?;
    stopping.await??;
    bench.nobody_has_slots().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parcel;

impl Intent for Parcel {
    const KIND: &'static str = "parcel.send";
    const QUEUE: &'static str = "mail";
    type Output = ();
}

async fn send_parcel(_: Cx<()>, _: Parcel) -> StepResult<()> {
    Ok(())
}

async fn who_alone_knows_a_kind_has_its_turn_beside_an_endless_backlog(bench: Bench) -> Result<()> {
    let meter = Meter::open();
    bench.mails(100).await?;
    bench.limit(Some(1)).await?;
    let first = start(bench.sender(&meter));
    bench
        .until(|| async { Ok((meter.begun.get() > 0).then_some(())) })
        .await?;
    let second = start(bench.worker(()).register_step(send_parcel));
    for _ in 0..3 {
        let parcel = bench.intendant.request(Parcel).await?;
        // There is always more for the first one.
        bench
            .until(|| async {
                if bench.number("select count(*) from @ready").await? < 1_000 {
                    bench.mails(1_000).await?;
                }
                let state = bench.intendant.state(parcel.id()).await?;
                Ok((state == IntentState::Succeeded).then_some(()))
            })
            .await?;
    }
    ensure!(meter.most() == 1, "{} at once", meter.most());
    let before = meter.begun.get();
    bench
        .until(|| async { Ok((meter.begun.get() > before).then_some(())) })
        .await?;
    second.stop().await?;
    first.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Errand;

impl Intent for Errand {
    const KIND: &'static str = "errand";
    type Output = ();
}

async fn run_errand(_: Cx<Meter>, _: Errand) -> StepResult<()> {
    Ok(())
}

async fn a_suspect_of_a_queue_without_a_free_slot_is_left_in_line_and_stops_nothing_else(
    bench: Bench,
) -> Result<()> {
    let (stuck, crashing) = (Meter::default(), Meter::default());
    bench.mails(1).await?;
    bench.limit(Some(2)).await?;
    // It has all that it may run: the second one is for another worker.
    let first = start(bench.sender(&stuck).concurrency(1));
    bench
        .until(|| async { Ok((stuck.now() == 1).then_some(())) })
        .await?;
    let suspect = bench.mails(1).await?;
    let second = start(bench.sender(&crashing));
    bench
        .until(|| async { Ok((crashing.now() == 1).then_some(())) })
        .await?;
    bench.limit(Some(1)).await?;
    second.kill().await;
    let meter = Meter::open();
    let third = start(bench.sender(&meter).register_step(run_errand));
    bench
        .until(|| async {
            let suspects = "select count(*) from @ready where crashes > 0";
            let hungry = "select count(*) from @slot where hungry_at is not null and held = 0";
            let (suspects, hungry) = (bench.number(suspects).await?, bench.number(hungry).await?);
            Ok((suspects == 1 && hungry == 1).then_some(()))
        })
        .await?;
    for _ in 0..20 {
        bench.intendant.request(Errand).await?.output().await?;
        let leased = bench.intendant.state(suspect[0]).await?;
        ensure!(leased == IntentState::Ready, "{leased:?}");
    }
    ensure!(meter.begun.get() == 0);
    stuck.gate.open();
    bench.all_done(&suspect).await?;
    ensure!(stuck.begun.get() + meter.begun.get() == 2);
    first.stop().await?;
    third.stop().await?;
    bench.nobody_has_slots().await?;
    bench.check().await
}

async fn a_limit_is_said_once_and_seen(bench: Bench) -> Result<()> {
    bench.mails(3).await?;
    ensure!(bench.limit(Some(8)).await? && !bench.limit(Some(8)).await?);
    let all = bench.intendant.queues().await?;
    let mail = all.iter().find(|queue| queue.name == "mail").unwrap();
    ensure!(
        mail.slots == Some(8) && mail.lent == 0 && mail.ready == 3,
        "{mail:?}"
    );
    let none = bench.limit(Some(0)).await.unwrap_err().to_string();
    ensure!(none.contains("pause the queue instead"), "{none}");
    let slip = bench
        .intendant
        .limit_queue("mial", Some(8), "ada", None)
        .await;
    ensure!(matches!(slip, Err(Error::NoQueue { .. })), "{slip:?}");
    ensure!(bench.limit(None).await? && !bench.limit(None).await?);
    let changes = bench.intendant.queue_changes("mail").await?;
    ensure!(changes.len() == 2 && changes.iter().all(|change| change.verb == "limit"));
    bench.check().await
}
