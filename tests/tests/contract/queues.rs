//! Queues: what people say of them reaches every worker, and what is paused begins with nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use intendant::{
    Cx, Error, Intent, IntentId, IntentState, Node, Plan, QueueRecord, StepResult, StoreKind,
    Worker, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    nothing_of_a_paused_queue_begins_until_it_is_resumed;
    a_pause_reaches_workers_everywhere_within_a_second;
    what_has_begun_goes_on_and_what_is_held_goes_back_in_line;
    a_pause_is_known_to_a_worker_that_begins_later;
    steps_of_a_paused_queue_wait_and_their_intents_say_so;
    a_suspect_of_a_paused_queue_waits_too;
    an_intent_of_a_paused_queue_can_be_cancelled;
    people_see_queues_and_what_was_done_to_them;
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

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Other;

impl Intent for Other {
    const KIND: &'static str = "other";
    type Output = ();
}

/// A queue without limits pays nothing for them: what they are kept in is not looked at. Nobody could, since it is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_without_limits_has_no_statement_of_theirs_on_sqlite() -> Result<()> {
    let bench = Bench::open(StoreKind::Sqlite).await?;
    let office = Office::open();
    // Nobody takes it for dead, however busy the machine is: what sessions leave behind is looked for in all places.
    let running = start(bench.office(&office).lease(Duration::from_secs(30)));
    bench.rest(bench.mail(0).await?).await?;
    let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
    let rename = async |from: &str, to: &str| -> Result<()> {
        for table in ["slot", "partition", "partition_task"] {
            let sql =
                format!("alter table intendant_{table}{from} rename to intendant_{table}{to}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&pool)
                .await?;
        }
        Ok(())
    };
    rename("", "_away").await?;
    for number in 1..=50 {
        bench.rest(bench.mail(number).await?).await?;
    }
    rename("_away", "").await?;
    // With a limit it is there that they are counted.
    bench
        .intendant
        .limit_queue("mail", Some(2), "ada", None)
        .await?;
    // The worker may not have heard of it when it takes the first ones.
    bench
        .until(|| async {
            bench.rest(bench.mail(51).await?).await?;
            let held = bench.number("select count(*) from @slot").await?;
            Ok((held > 0).then_some(()))
        })
        .await?;
    pool.close().await;
    running.stop().await?;
    bench.check().await
}

/// A worker hears of a pause while its claim is on its way to the disk: what that brings is not begun with. The tick is held up by
/// a lock on the session's row, and what it was told of queues is as of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_claimed_while_a_pause_is_heard_of_goes_back_in_line_on_postgres() -> Result<()> {
    let bench = Bench::open(StoreKind::Postgres).await?;
    let office = Office::open();
    let running = start(bench.office(&office));
    bench.rest(bench.mail(0).await?).await?;
    let elsewhere = bench.database.connect().await?;
    let pool = sqlx::PgPool::connect(&bench.database.url).await?;
    for round in 1..=5 {
        let begun = office.begun.get();
        let mut lock = pool.begin().await?;
        sqlx::query("select id from intendant.session for update")
            .fetch_all(&mut *lock)
            .await?;
        let mails = [
            elsewhere.request(Mail { number: 1 }).await?.id(),
            elsewhere.request(Mail { number: 2 }).await?.id(),
        ];
        let held_up = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
                          and query like '-- Tick, first statement%'";
        bench
            .until(|| async { Ok((bench.number(held_up).await? > 0).then_some(())) })
            .await?;
        elsewhere.pause_queue("mail", "ada", None).await?;
        // It has looked, and looks again: so it has heard.
        let now = "select (extract(epoch from clock_timestamp()) * 1e6)::bigint";
        let paused_at = bench.number(now).await? + 100_000;
        let looked = format!(
            "select count(*) from pg_stat_activity where query like '-- Idle worker: in which%'
                and (extract(epoch from query_start) * 1e6)::bigint > {paused_at}"
        );
        bench
            .until(|| async { Ok((bench.number(&looked).await? > 0).then_some(())) })
            .await?;
        lock.rollback().await?;
        bench.a_while().await?;
        ensure!(office.begun.get() == begun, "round {round}");
        let ready = bench.number("select count(*) from @ready where queue = 'mail'");
        ensure!(ready.await? == 2);
        elsewhere.resume_queue("mail", "ada", None).await?;
        for mail in mails {
            bench.rest(mail).await?;
        }
    }
    running.stop().await?;
    bench.check().await
}

/// What steps do, and who lets them.
#[derive(Debug, Clone, Default)]
struct Office {
    begun: Counter,
    gate: Gate,
}

impl Office {
    fn open() -> Self {
        let office = Self::default();
        office.gate.open();
        office
    }
}

/// Mails of this number and more wait for the gate.
const SLOW_FROM: u64 = 1_000;

async fn send(cx: Cx<Office>, mail: Mail) -> StepResult<u64> {
    cx.state().begun.add();
    if mail.number >= SLOW_FROM {
        cx.state().gate.pass().await;
    }
    Ok(mail.number)
}

async fn other(_: Cx<Office>, _: Other) -> StepResult<()> {
    Ok(())
}

impl Bench {
    fn office(&self, office: &Office) -> Worker<Office> {
        let worker = self.worker(office.clone());
        worker.register_step(send).register_step(other)
    }

    async fn mail(&self, number: u64) -> Result<IntentId> {
        Ok(self.intendant.request(Mail { number }).await?.id())
    }

    async fn pause(&self, queue: &str) -> Result<bool> {
        Ok(self
            .intendant
            .pause_queue(queue, "ada", Some("fire"))
            .await?)
    }

    async fn resume_queue(&self, queue: &str) -> Result<bool> {
        Ok(self.intendant.resume_queue(queue, "bob", None).await?)
    }

    async fn queue(&self, name: &str) -> Result<QueueRecord> {
        let all = self.intendant.queues().await?;
        let found = all.into_iter().find(|queue| queue.name == name);
        found.ok_or_else(|| anyhow::anyhow!("no queue {name}"))
    }

    /// Workers have gone through their loops meanwhile: something of another queue was asked for and is done.
    async fn a_while(&self) -> Result<()> {
        for _ in 0..5 {
            self.intendant.request(Other).await?.output().await?;
        }
        Ok(())
    }
}

async fn nothing_of_a_paused_queue_begins_until_it_is_resumed(bench: Bench) -> Result<()> {
    let office = Office::open();
    let running = start(bench.office(&office));
    let first = bench.mail(1).await?;
    bench.rest(first).await?;
    ensure!(bench.pause("mail").await? && !bench.pause("mail").await?);
    bench.a_while().await?;
    let mut mails = Vec::new();
    for number in 2..10 {
        mails.push(bench.mail(number).await?);
    }
    bench.a_while().await?;
    ensure!(office.begun.get() == 1, "{} have begun", office.begun.get());
    let why = bench.intendant.why(mails[0]).await?.to_string();
    ensure!(
        why.contains("queue `mail` is paused by ada since ") && why.contains(": fire"),
        "{why}"
    );
    ensure!(bench.resume_queue("mail").await? && !bench.resume_queue("mail").await?);
    for mail in mails {
        ensure!(bench.rest(mail).await?.state == IntentState::Succeeded);
    }
    running.stop().await?;
    bench.check().await
}

async fn a_pause_reaches_workers_everywhere_within_a_second(bench: Bench) -> Result<()> {
    // As another process would be: it hears of nothing but through the database. With the poll of every day.
    let elsewhere = bench.database.connect().await?;
    let office = Office::open();
    let worker = Worker::new(&elsewhere, office.clone());
    let running = start(worker.register_step(send).register_step(other));
    bench.rest(bench.mail(0).await?).await?;
    for round in 1..=3 {
        bench.pause("mail").await?;
        // A second, in which it looks as it likes; it is told of nothing.
        let asked = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = office.begun.get();
        let mails = [bench.mail(1).await?, bench.mail(2).await?];
        bench.a_while().await?;
        ensure!(
            office.begun.get() == before,
            "round {round}, {:?} later",
            asked.elapsed()
        );
        let resumed = Instant::now();
        bench.resume_queue("mail").await?;
        for mail in mails {
            bench.rest(mail).await?;
        }
        let took = resumed.elapsed();
        ensure!(took < Duration::from_secs(5), "{took:?}");
    }
    running.stop().await?;
    bench.check().await
}

async fn what_has_begun_goes_on_and_what_is_held_goes_back_in_line(bench: Bench) -> Result<()> {
    const QUICK: u64 = 100;
    const SLOW: i64 = 20;
    // Who has just ended many short steps claims ahead. On a machine that is slow just then it does not, and tries again.
    for _ in 0..20 {
        let office = Office::default();
        let mut mails = Vec::new();
        for number in 0..QUICK {
            mails.push(bench.mail(number).await?);
        }
        for number in 0..SLOW.unsigned_abs() {
            mails.push(bench.mail(SLOW_FROM + number).await?);
        }
        let running = start(bench.office(&office).queue("mail", 4));
        let all = QUICK + 4;
        bench
            .until(|| async { Ok((office.begun.get() == all).then_some(())) })
            .await?;
        let ready = "select count(*) from @ready where queue = 'mail'";
        let held = SLOW - bench.number(ready).await?;
        bench.pause("mail").await?;
        bench
            .until(|| async { Ok((bench.number(ready).await? == SLOW - 4).then_some(())) })
            .await?;
        bench.a_while().await?;
        ensure!(office.begun.get() == all);
        office.gate.open();
        bench
            .until(|| async {
                let leased = bench.intendant.unfinished().await?;
                Ok((leased.total() == SLOW - 4).then_some(()))
            })
            .await?;
        ensure!(
            office.begun.get() == all,
            "four have gone on, and nothing else"
        );
        bench.resume_queue("mail").await?;
        for mail in mails {
            bench.rest(mail).await?;
        }
        let report = running.stop().await?;
        bench.check().await?;
        if held > 4 {
            ensure!(report.handed_back > 0, "{report:?}");
            return Ok(());
        }
    }
    anyhow::bail!("nothing was ever claimed ahead")
}

async fn a_pause_is_known_to_a_worker_that_begins_later(bench: Bench) -> Result<()> {
    let mail = bench.mail(1).await?;
    bench.pause("mail").await?;
    let office = Office::open();
    let running = start(bench.office(&office));
    bench.a_while().await?;
    ensure!(office.begun.get() == 0);
    // One that is asked for beside an idle worker is not given to it either.
    let second = bench.mail(2).await?;
    bench.a_while().await?;
    ensure!(office.begun.get() == 0);
    running.stop().await?;
    let running = start(bench.office(&office));
    bench.resume_queue("mail").await?;
    bench.rest(mail).await?;
    bench.rest(second).await?;
    running.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Campaign;

impl Intent for Campaign {
    const KIND: &'static str = "campaign";
    type Output = u64;
}

async fn write(_: Cx<Office>, number: u64) -> StepResult<Mail> {
    Ok(Mail { number })
}

fn campaign(_: &Campaign, plan: &mut Plan<Office>) -> Node<u64> {
    let mail = plan.step("write", write).input(value(7u64));
    plan.step("send", send).queue("mail").input(mail)
}

async fn steps_of_a_paused_queue_wait_and_their_intents_say_so(bench: Bench) -> Result<()> {
    let office = Office::open();
    bench.mail(0).await?;
    bench.pause("mail").await?;
    let running = start(bench.office(&office).register(campaign).queue("mail", 4));
    let campaign = bench.intendant.request(Campaign).await?;
    bench.reach(campaign.id(), IntentState::Waiting).await?;
    bench.a_while().await?;
    ensure!(office.begun.get() == 0);
    let why = bench.intendant.why(campaign.id()).await?.to_string();
    ensure!(
        why.contains("`send`") && why.contains("queue `mail` is paused by ada"),
        "{why}"
    );
    bench.resume_queue("mail").await?;
    ensure!(campaign.output().await? == 7);
    running.stop().await?;
    bench.check().await
}

async fn a_suspect_of_a_paused_queue_waits_too(bench: Bench) -> Result<()> {
    let office = Office::default();
    let running = start(bench.office(&office));
    let mail = bench.mail(SLOW_FROM).await?;
    bench
        .until(|| async { Ok((office.begun.get() == 1).then_some(())) })
        .await?;
    bench.pause("mail").await?;
    running.kill().await;
    let after = Office::open();
    let running = start(bench.office(&after));
    bench.reach(mail, IntentState::Ready).await?;
    bench.a_while().await?;
    ensure!(after.begun.get() == 0);
    bench.resume_queue("mail").await?;
    ensure!(bench.rest(mail).await?.state == IntentState::Succeeded);
    ensure!(after.begun.get() == 1);
    running.stop().await?;
    bench.check().await
}

async fn an_intent_of_a_paused_queue_can_be_cancelled(bench: Bench) -> Result<()> {
    let office = Office::open();
    let mail = bench.mail(1).await?;
    bench.pause("mail").await?;
    let running = start(bench.office(&office));
    bench.a_while().await?;
    bench.intendant.cancel(mail, "ada", None).await?;
    ensure!(bench.rest(mail).await?.state == IntentState::Cancelled);
    running.stop().await?;
    bench.check().await
}

async fn people_see_queues_and_what_was_done_to_them(bench: Bench) -> Result<()> {
    let slip = bench.intendant.pause_queue("mial", "ada", None).await;
    ensure!(
        matches!(&slip, Err(error @ Error::NoQueue { .. }) if error.is_not_found()),
        "{slip:?}"
    );
    let office = Office::open();
    let running = start(bench.office(&office));
    bench.rest(bench.mail(0).await?).await?;
    bench.pause("mail").await?;
    // The worker has heard of it: neither of these is given to it.
    bench.a_while().await?;
    bench.mail(1).await?;
    bench.mail(2).await?;
    let mail = bench.queue("mail").await?;
    ensure!(
        mail.ready == 2 && mail.workers == 1 && mail.oldest_s.is_some_and(|age| age < 60),
        "{mail:?}"
    );
    ensure!(
        mail.paused_by.as_deref() == Some("ada") && mail.pause_reason.as_deref() == Some("fire")
    );
    let other = bench.queue("default").await?;
    ensure!(other.ready == 0 && other.paused_at.is_none(), "{other:?}");
    bench.resume_queue("mail").await?;
    let changes = bench.intendant.queue_changes("mail").await?;
    let said: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.verb.as_str(),
                change.actor.as_str(),
                change.reason.as_deref(),
            )
        })
        .collect();
    ensure!(
        said == [("resume", "bob", None), ("pause", "ada", Some("fire"))],
        "{said:?}"
    );
    running.stop().await?;
    bench.check().await
}
