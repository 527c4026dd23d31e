//! Queues that are never below their limit or their rate: a suspect, a kind that is being tried, and what has begun before the queue
//! was paused have their turn there, too.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Intent, IntentId, IntentState, Node, Partitions, Plan, Rate, StepResult, StoreKind, Worker,
    value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, Gate, Running, on_both, start};

on_both! {
    a_suspect_has_its_turn_in_a_queue_that_is_never_below_its_rate;
    a_suspect_gets_the_slot_that_its_worker_was_called_for_although_that_has_other_work;
    a_kind_that_is_tried_gets_the_slot_that_its_worker_was_called_for;
    what_has_begun_gets_its_slot_in_a_paused_queue;
    what_has_begun_gets_its_permits_in_a_paused_queue;
    a_permit_that_was_given_back_is_used_at_once;
    a_permit_that_was_given_back_is_used_by_others;
    a_kind_is_tried_where_it_can_be_had_although_it_waits_in_a_full_partition_as_well;
    a_full_queue_has_its_worker_claim_nothing_from_an_empty_one;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mail {
    account: String,
}

impl Intent for Mail {
    const KIND: &'static str = "mail.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
}

fn mail() -> Mail {
    Mail {
        account: "acme".to_owned(),
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parcel;

impl Intent for Parcel {
    const KIND: &'static str = "parcel.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Errand;

impl Intent for Errand {
    const KIND: &'static str = "errand";
    type Output = u64;
}

/// Two steps, beside each other or one after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    one_by_one: bool,
}

impl Intent for Letter {
    const KIND: &'static str = "letter.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;
}

/// Nothing of it runs in its own queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order;

impl Intent for Order {
    const KIND: &'static str = "order";
    const QUEUE: &'static str = "mail";
    type Output = u64;

    fn account(&self) -> Option<&str> {
        Some("acme")
    }
}

/// What has begun, and what it waits for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Post {
    pub(crate) begun: Counter,
    pub(crate) gate: Gate,
}

impl Post {
    pub(crate) fn open() -> Arc<Self> {
        let post = Self::default();
        post.gate.open();
        Arc::new(post)
    }
}

pub(crate) type Desk = Arc<Post>;

pub(crate) async fn send(cx: Cx<Desk>, _: Mail) -> StepResult<u64> {
    let begun = cx.state().begun.add();
    cx.state().gate.pass().await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(begun)
}

pub(crate) async fn send_parcel(_: Cx<Desk>, _: Parcel) -> StepResult<u64> {
    Ok(1)
}

pub(crate) async fn run_errand(cx: Cx<Desk>, _: Errand) -> StepResult<u64> {
    let begun = cx.state().begun.add();
    cx.state().gate.pass().await;
    Ok(begun)
}

fn letter(letter: &Letter, plan: &mut Plan<Desk>) -> Node<u64> {
    let write = plan
        .step("write", async |cx: Cx<Desk>, ()| {
            cx.state().begun.add();
            cx.state().gate.pass().await;
            Ok(1u64)
        })
        .input(value(()));
    let stamp = plan.step("stamp", async |cx: Cx<Desk>, ()| Ok(cx.state().begun.add()));
    match letter.one_by_one {
        true => stamp.after(write).input(value(())),
        false => stamp.input(value(())),
    }
}

fn order(_: &Order, plan: &mut Plan<Desk>) -> Node<u64> {
    let step = plan.step("elsewhere", async |cx: Cx<Desk>, ()| {
        Ok(cx.state().begun.add())
    });
    step.queue("other").input(value(()))
}

impl Bench {
    pub(crate) fn desk(&self, post: &Desk) -> Worker<Desk> {
        self.worker(post.clone())
    }

    pub(crate) async fn slots(&self, slots: u32) -> Result<bool> {
        let limit = self.intendant.limit_queue("mail", Some(slots), "ada", None);
        Ok(limit.await?)
    }

    async fn pace(&self, rate: Rate) -> Result<bool> {
        let rate = self.intendant.rate_queue("mail", Some(rate), "ada", None);
        Ok(rate.await?)
    }

    pub(crate) async fn backlog(&self, count: usize) -> Result<()> {
        self.intendant
            .request_all((0..count).map(|_| mail()))
            .await?;
        Ok(())
    }

    /// Waits until it has succeeded, while there is always more of the others.
    async fn done_amid_a_backlog(&self, id: IntentId) -> Result<()> {
        self.until(|| async {
            if self.number("select count(*) from @ready").await? < 500 {
                self.backlog(1_000).await?;
            }
            let state = self.intendant.state(id).await?;
            Ok((state == IntentState::Succeeded).then_some(()))
        })
        .await
    }

    /// As if a worker had died with it.
    async fn suspected(&self, id: IntentId) -> Result<()> {
        let sql = format!("update @ready set crashes = 1 where intent_id = '{id}'");
        Ok(self.run_sql(&sql).await?)
    }

    /// Has intents of a kind be tried by themselves, as of now.
    pub(crate) async fn is_tried(&self, kind: &str) -> Result<()> {
        let (now, hour) = match self.database.kind {
            StoreKind::Sqlite => (
                "cast(unixepoch('subsec') * 1000000 as integer)",
                "3600000000",
            ),
            StoreKind::Postgres => ("clock_timestamp()", "interval '1 hour'"),
        };
        let sql = format!(
            "insert into @poison (kind, intents, intent_id, crashed_at, until) \
             values ('{kind}', 4, '01890000-0000-7000-8000-000000000000', {now}, {now} - {hour})"
        );
        Ok(self.run_sql(&sql).await?)
    }

    /// One worker sends mails, of which there are always more, and has done so for a while.
    async fn flooded(&self, worker: Worker<Desk>, post: &Desk) -> Result<Running> {
        let running = start(worker.register_step(send));
        self.until(|| async { Ok((post.begun.get() > 20).then_some(())) })
            .await?;
        Ok(running)
    }
}

async fn a_suspect_has_its_turn_in_a_queue_that_is_never_below_its_rate(
    bench: Bench,
) -> Result<()> {
    let post = Post::open();
    bench.backlog(1_000).await?;
    bench.pace(Rate::per_second(40)).await?;
    let worker = bench.desk(&post).register_step(send_parcel);
    let running = bench.flooded(worker, &post).await?;
    bench.intendant.pause_queue("mail", "ada", None).await?;
    let suspect = bench.intendant.request(Parcel).await?.id();
    bench.suspected(suspect).await?;
    bench.intendant.resume_queue("mail", "ada", None).await?;
    bench.done_amid_a_backlog(suspect).await?;
    running.stop().await?;
    bench.check().await
}

/// A worker that floods the only slot, and one beside it that knows parcels and has an errand that does not end.
async fn two_desks(bench: &Bench) -> Result<([Running; 2], Desk)> {
    let (post, busy) = (Post::open(), Desk::default());
    bench.backlog(1_000).await?;
    bench.slots(1).await?;
    let first = bench.flooded(bench.desk(&post), &post).await?;
    let second = bench.desk(&busy).register_step(run_errand);
    // For a fifth of it a worker that has seen a suspect waits to be alone; the slot is not kept for it for that long.
    let lease = Duration::from_secs(5);
    let second = start(second.register_step(send_parcel).lease(lease));
    bench.intendant.request(Errand).await?;
    bench
        .until(|| async { Ok((busy.begun.get() == 1).then_some(())) })
        .await?;
    Ok(([first, second], busy))
}

async fn a_suspect_gets_the_slot_that_its_worker_was_called_for_although_that_has_other_work(
    bench: Bench,
) -> Result<()> {
    let (running, busy) = two_desks(&bench).await?;
    bench.intendant.pause_queue("mail", "ada", None).await?;
    let suspect = bench.intendant.request(Parcel).await?.id();
    bench.suspected(suspect).await?;
    bench.intendant.resume_queue("mail", "ada", None).await?;
    bench.done_amid_a_backlog(suspect).await?;
    busy.gate.open();
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

async fn a_kind_that_is_tried_gets_the_slot_that_its_worker_was_called_for(
    bench: Bench,
) -> Result<()> {
    bench.is_tried(Parcel::KIND).await?;
    let (running, busy) = two_desks(&bench).await?;
    let parcel = bench.intendant.request(Parcel).await?.id();
    bench.done_amid_a_backlog(parcel).await?;
    busy.gate.open();
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

async fn what_has_begun_gets_its_slot_in_a_paused_queue(bench: Bench) -> Result<()> {
    let (slow, post) = (Desk::default(), Desk::default());
    bench.backlog(1).await?;
    bench.slots(2).await?;
    let first = start(bench.desk(&slow).register_step(send));
    bench
        .until(|| async { Ok((slow.begun.get() == 1).then_some(())) })
        .await?;
    let second = start(bench.desk(&post).register(letter));
    let both = bench
        .intendant
        .request(Letter { one_by_one: false })
        .await?;
    // One of the two steps runs, and there is no slot for the other.
    bench
        .until(|| async {
            let hungry = "select count(*) from @slot where hungry_at is not null and held = 1";
            let hungry = bench.number(hungry).await?;
            Ok((post.begun.get() == 1 && hungry == 1).then_some(()))
        })
        .await?;
    bench.intendant.pause_queue("mail", "ada", None).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    slow.gate.open();
    bench
        .until(|| async { Ok((post.begun.get() == 2).then_some(())) })
        .await?;
    post.gate.open();
    both.output().await?;
    first.stop().await?;
    second.stop().await?;
    bench.check().await
}

async fn what_has_begun_gets_its_permits_in_a_paused_queue(bench: Bench) -> Result<()> {
    let post = Desk::default();
    let running = start(bench.desk(&post).register(letter));
    let rate = Rate::new(1, Duration::from_secs(2));
    bench
        .until(|| async { Ok(bench.pace(rate).await.ok()) })
        .await?;
    let letter = bench.intendant.request(Letter { one_by_one: true }).await?;
    bench
        .until(|| async { Ok((post.begun.get() == 1).then_some(())) })
        .await?;
    bench.intendant.pause_queue("mail", "ada", None).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    post.gate.open();
    letter.output().await?;
    ensure!(post.begun.get() == 2);
    running.stop().await?;
    bench.check().await
}

async fn a_permit_that_was_given_back_is_used_at_once(bench: Bench) -> Result<()> {
    let running = start(bench.desk(&Post::open()).register(order).queue("other", 4));
    let rate = Rate::per_hour(1);
    bench
        .until(|| async { Ok(bench.pace(rate).await.ok()) })
        .await?;
    // Each is claimed with a permit, and has no step in this queue.
    let orders = bench.intendant.request_all([Order, Order, Order]).await?;
    for order in orders {
        ensure!(bench.rest(order).await?.state == IntentState::Succeeded);
    }
    running.stop().await?;
    bench.check().await
}

async fn a_permit_that_was_given_back_is_used_by_others(bench: Bench) -> Result<()> {
    let post = Post::open();
    let first = start(bench.desk(&post).register(order).queue("other", 4));
    let second = start(bench.desk(&post).register_step(send));
    let rate = Rate::per_hour(1);
    bench
        .until(|| async { Ok(bench.pace(rate).await.ok()) })
        .await?;
    let order = bench.intendant.request(Order).await?;
    bench
        .until(|| async {
            let taken = "select count(*) from @queue where rate_tat is not null";
            Ok((bench.number(taken).await? == 1).then_some(()))
        })
        .await?;
    let mail = bench.intendant.request(mail()).await?;
    order.output().await?;
    mail.output().await?;
    first.stop().await?;
    second.stop().await?;
    bench.check().await
}

async fn a_kind_is_tried_where_it_can_be_had_although_it_waits_in_a_full_partition_as_well(
    bench: Bench,
) -> Result<()> {
    let (stuck, post) = (Desk::default(), Post::open());
    let first = start(bench.desk(&stuck).register_step(send).register(order));
    let one_each = Partitions::by_account().at_once(1);
    let queues = &bench.intendant;
    let turns = || queues.partition_queue("mail", Some(one_each.clone()), "ada", None);
    bench.until(|| async { Ok(turns().await.ok()) }).await?;
    // A step of the one waits in a queue that nobody serves yet, and the other is behind a mail of its account.
    let sent = bench.intendant.request(Order).await?;
    bench
        .until(|| async {
            let sent = "select count(*) from @ready where queue = 'other'";
            Ok((bench.number(sent).await? == 1).then_some(()))
        })
        .await?;
    bench.backlog(1).await?;
    bench
        .until(|| async { Ok((stuck.begun.get() == 1).then_some(())) })
        .await?;
    bench.is_tried("order").await?;
    let behind = bench.intendant.request(Order).await?;
    let worker = bench.desk(&post).register(order);
    let second = start(worker.queue("other", 2));
    bench
        .until(|| async { Ok((post.begun.get() == 1).then_some(())) })
        .await?;
    ensure!(behind.state().await? == IntentState::Ready);
    stuck.gate.open();
    sent.output().await?;
    behind.output().await?;
    first.stop().await?;
    second.stop().await?;
    bench.check().await
}

async fn a_full_queue_has_its_worker_claim_nothing_from_an_empty_one(bench: Bench) -> Result<()> {
    let post = Desk::default();
    let worker = bench.desk(&post).register_step(run_errand).concurrency(1);
    let running = start(worker.register_step(send));
    let first = bench.intendant.request(Errand).await?;
    bench
        .until(|| async { Ok((post.begun.get() == 1).then_some(())) })
        .await?;
    let second = bench.intendant.request(Errand).await?;
    // A hundred looks, each of which finds the second errand.
    tokio::time::sleep(Duration::from_secs(2)).await;
    post.gate.open();
    first.output().await?;
    second.output().await?;
    let ticks = running.stop().await?.ticks;
    ensure!(ticks < 20, "{ticks} ticks");
    bench.check().await
}
