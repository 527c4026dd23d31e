//! Rates of queues: no more attempts at a queue's steps begin within a time than people have said, whoever makes them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::TimeDelta;
use intendant::{
    Cx, Error, Intent, IntentId, IntentState, Node, Plan, Rate, StepResult, Worker, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_rate_holds_across_workers_and_is_reached;
    retries_are_counted_and_so_are_steps_of_other_intents;
    a_rate_is_set_changed_and_taken_away_while_it_runs;
    what_waits_for_a_permit_is_in_line_and_says_so_and_can_be_cancelled;
    a_paused_queue_with_a_rate_begins_with_nothing;
    who_alone_knows_a_kind_is_not_starved_by_the_flood_of_another;
    a_rate_and_a_limit_both_hold;
    a_step_whose_start_is_on_disk_first_has_its_permit;
    permits_that_nobody_used_go_back;
    a_clock_that_is_set_back_keeps_nobody_for_long;
    a_rate_is_said_once_and_seen;
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

/// When attempts began.
#[derive(Debug, Clone, Default)]
struct Begins(Arc<Mutex<Vec<Instant>>>);

impl Begins {
    fn add(&self) {
        self.0.lock().unwrap().push(Instant::now());
    }

    fn get(&self) -> Vec<Instant> {
        let mut all = self.0.lock().unwrap().clone();
        all.sort();
        all
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// In no time more have begun than are permitted in it and in half a second before it, by which time a permit is void.
    fn are_within(&self, rate: &Rate) -> Result<()> {
        let all = self.get();
        let interval = rate.period().as_secs_f64() / f64::from(rate.steps());
        for (nth, from) in all.iter().enumerate() {
            for (count, to) in all[nth..].iter().enumerate() {
                let within = (*to - *from).as_secs_f64();
                // The tests' machine may be slow to let a task run that was begun.
                let term = 0.5 + 0.1;
                let most = f64::from(rate.at_once()) + (within + term) / interval;
                ensure!(
                    (count + 1) as f64 <= most,
                    "{} within {within} s at {rate}: {all:?}",
                    count + 1
                );
            }
        }
        Ok(())
    }

    /// How many a second, from the first to the last.
    fn a_second(&self) -> f64 {
        let all = self.get();
        let time = *all.last().unwrap() - all[0];
        (all.len() - 1) as f64 / time.as_secs_f64()
    }
}

async fn send(cx: Cx<Begins>, mail: Mail) -> StepResult<u64> {
    cx.state().add();
    Ok(mail.number)
}

impl Bench {
    fn rated_sender(&self, begins: &Begins) -> Worker<Begins> {
        self.worker(begins.clone()).register_step(send)
    }

    async fn rated_mails(&self, count: u64) -> Result<Vec<IntentId>> {
        let mails = (0..count).map(|number| Mail { number });
        Ok(self.intendant.request_all(mails).await?)
    }

    async fn rate(&self, rate: impl Into<Option<Rate>>) -> Result<bool> {
        let rate = rate.into();
        Ok(self.intendant.rate_queue("mail", rate, "ada", None).await?)
    }

    async fn all_sent(&self, mails: &[IntentId]) -> Result<()> {
        for mail in mails {
            let record = self.rest(*mail).await?;
            ensure!(record.state == IntentState::Succeeded, "{record:?}");
        }
        Ok(())
    }

    /// The clock goes on for the rate of the queue, or is set back: as if everything had been permitted so much earlier.
    async fn pass(&self, time: TimeDelta) -> Result<()> {
        let us = time.num_microseconds().unwrap();
        let sql = match self.database.kind {
            intendant::StoreKind::Sqlite => format!("update @queue set rate_tat = rate_tat - {us}"),
            intendant::StoreKind::Postgres => {
                format!("update @queue set rate_tat = rate_tat - {us} * interval '1 microsecond'")
            }
        };
        Ok(self.run_sql(&sql).await?)
    }
}

async fn a_rate_holds_across_workers_and_is_reached(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    let mails = bench.rated_mails(120).await?;
    let rate = Rate::per_second(50);
    bench.rate(rate).await?;
    let elsewhere = bench.database.connect().await?;
    let other = Worker::new(&elsewhere, begins.clone())
        .poll(Duration::from_millis(20))
        .lease(Duration::from_secs(1))
        .register_step(send);
    let running = [start(bench.rated_sender(&begins)), start(other)];
    // Some come while it is worked on, too: to idle workers they are not given past the rate.
    let mut more = Vec::new();
    for number in 0..10 {
        more.push(bench.intendant.request(Mail { number }).await?.id());
    }
    bench.all_sent(&mails).await?;
    bench.all_sent(&more).await?;
    ensure!(begins.count() == 130);
    begins.are_within(&rate)?;
    let reached = begins.a_second();
    ensure!(reached > 40.0 && reached < 60.0, "{reached} a second");
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

/// Fails the first time.
async fn try_to_send(cx: Cx<Begins>, mail: Mail) -> StepResult<u64> {
    cx.state().add();
    match cx.attempt() {
        1 => Err(std::io::Error::other("no answer").into()),
        _ => Ok(mail.number),
    }
}

fn letters(plan: &mut Plan<Begins>, queue: Option<&str>) -> Node<Vec<u64>> {
    let sent: Vec<Node<u64>> = (0..5)
        .map(|number| {
            let step = plan.step(format!("send-{number}"), try_to_send);
            let step = step.backoff(Duration::from_millis(1), Duration::from_millis(1));
            let step = match queue {
                Some(queue) => step.queue(queue),
                None => step,
            };
            step.input(value(Mail { number }))
        })
        .collect();
    plan.step("done", done).queue("default").input(sent)
}

async fn done(_: Cx<Begins>, sent: Vec<u64>) -> StepResult<Vec<u64>> {
    Ok(sent)
}

async fn retries_are_counted_and_so_are_steps_of_other_intents(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    bench.rated_mails(0).await?;
    let worker = || {
        let worker = bench.rated_sender(&begins);
        let worker =
            worker.register(|_: &Campaign, plan: &mut Plan<Begins>| letters(plan, Some("mail")));
        let worker = worker.register(|_: &Batch, plan: &mut Plan<Begins>| letters(plan, None));
        worker.queue("mail", 16).queue("default", 16)
    };
    let running = [start(worker()), start(worker())];
    let rate = Rate::per_second(20);
    bench
        .until(|| async { Ok(bench.rate(rate).await.ok()) })
        .await?;
    let campaign = bench.intendant.request(Campaign).await?;
    ensure!(campaign.output().await? == [0, 1, 2, 3, 4]);
    let batch = bench.intendant.request(Batch).await?;
    ensure!(batch.output().await? == [0, 1, 2, 3, 4]);
    // Two attempts at each of ten steps, in an interval of 50 ms each.
    ensure!(begins.count() == 20, "{}", begins.count());
    begins.are_within(&rate)?;
    ensure!(begins.a_second() < 40.0, "{} a second", begins.a_second());
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

async fn a_rate_is_set_changed_and_taken_away_while_it_runs(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    let running = start(bench.rated_sender(&begins));
    let mails = bench.rated_mails(5).await?;
    bench.all_sent(&mails).await?;
    // One, and then none for an hour.
    bench.rate(Rate::per_hour(1)).await?;
    let mails = bench.rated_mails(40).await?;
    bench
        .until(|| async { Ok((begins.count() == 6).then_some(())) })
        .await?;
    let why = bench.intendant.why(mails[39]).await?.to_string();
    let says =
        "queue `mail` starts at most 1 steps an hour, across all workers; the next may begin at ";
    ensure!(why.contains(says), "{why}");
    // An hour that has been waited for counts for nothing at another rate.
    let rate = Rate::per_second(20);
    bench.rate(rate).await?;
    bench
        .until(|| async { Ok((begins.count() >= 16).then_some(())) })
        .await?;
    begins.0.lock().unwrap().drain(..6);
    begins.are_within(&rate)?;
    ensure!(begins.a_second() < 25.0, "{} a second", begins.a_second());
    // And of itself as fast as it may.
    let before = begins.count();
    bench.rate(None).await?;
    let since = Instant::now();
    bench.all_sent(&mails).await?;
    let left = 39 - before;
    ensure!(
        left < 10 || since.elapsed() < Duration::from_millis(50) * left as u32 / 2,
        "{left} in {:?}",
        since.elapsed()
    );
    running.stop().await?;
    bench.check().await
}

async fn what_waits_for_a_permit_is_in_line_and_says_so_and_can_be_cancelled(
    bench: Bench,
) -> Result<()> {
    let begins = Begins::default();
    let mails = bench.rated_mails(4).await?;
    bench.rate(Rate::per_hour(1).burst(2)).await?;
    let running = start(bench.rated_sender(&begins));
    bench.all_sent(&mails[..2]).await?;
    // Nobody holds what cannot begin.
    let ready = bench.number("select count(*) from @ready").await?;
    ensure!(ready == 2, "{ready}");
    let why = bench.intendant.why(mails[2]).await?.to_string();
    ensure!(
        why.contains("starts at most 1 steps an hour, 2 of them at once, across all workers"),
        "{why}"
    );
    bench.intendant.cancel(mails[2], "ada", None).await?;
    ensure!(bench.rest(mails[2]).await?.state == IntentState::Cancelled);
    // Two hours later all is paid off; who was told to wait hears of it with the change.
    bench.pass(TimeDelta::hours(2)).await?;
    bench.rate(Rate::per_hour(1)).await?;
    bench.all_sent(&mails[3..]).await?;
    ensure!(begins.count() == 3, "{}", begins.count());
    running.stop().await?;
    bench.check().await
}

async fn a_paused_queue_with_a_rate_begins_with_nothing(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    let mails = bench.rated_mails(30).await?;
    let rate = Rate::per_second(100).burst(2);
    bench.rate(rate).await?;
    let running = start(bench.rated_sender(&begins));
    bench
        .until(|| async { Ok((begins.count() > 4).then_some(())) })
        .await?;
    bench.intendant.pause_queue("mail", "ada", None).await?;
    // It has heard of it when what it held is back in line.
    bench
        .until(|| async {
            let leases = bench.number("select count(*) from @lease").await?;
            Ok((leases == 0).then_some(()))
        })
        .await?;
    let before = begins.count();
    ensure!(before < 30, "{before}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(begins.count() == before, "{}", begins.count());
    bench.intendant.resume_queue("mail", "ada", None).await?;
    bench.all_sent(&mails).await?;
    begins.are_within(&rate)?;
    running.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parcel;

impl Intent for Parcel {
    const KIND: &'static str = "parcel.send";
    const QUEUE: &'static str = "mail";
    type Output = ();
}

async fn send_parcel(cx: Cx<Begins>, _: Parcel) -> StepResult<()> {
    cx.state().add();
    Ok(())
}

async fn who_alone_knows_a_kind_is_not_starved_by_the_flood_of_another(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    bench.rated_mails(1_000).await?;
    let rate = Rate::per_second(20);
    bench.rate(rate).await?;
    let first = start(bench.rated_sender(&begins));
    let second = start(bench.worker(begins.clone()).register_step(send_parcel));
    for _ in 0..3 {
        let since = Instant::now();
        bench.intendant.request(Parcel).await?.output().await?;
        // An interval is 50 ms, and chances are equal.
        let took = since.elapsed();
        ensure!(took < Duration::from_secs(2), "{took:?}");
    }
    begins.are_within(&rate)?;
    second.stop().await?;
    first.stop().await?;
    bench.check().await
}

async fn a_rate_and_a_limit_both_hold(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    let mails = bench.rated_mails(60).await?;
    let rate = Rate::per_second(60);
    bench.rate(rate).await?;
    bench
        .intendant
        .limit_queue("mail", Some(1), "ada", None)
        .await?;
    let running = [
        start(bench.rated_sender(&begins)),
        start(bench.rated_sender(&begins)),
    ];
    bench.all_sent(&mails).await?;
    ensure!(begins.count() == 60);
    begins.are_within(&rate)?;
    bench
        .until(|| async {
            let lent = bench
                .number("select cast(coalesce(sum(lent), 0) as bigint) from @queue")
                .await?;
            Ok((lent == 0).then_some(()))
        })
        .await?;
    for running in running {
        running.stop().await?;
    }
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter;

impl Intent for Letter {
    const KIND: &'static str = "letter.send";
    const QUEUE: &'static str = "mail";
    type Output = u64;
}

async fn a_step_whose_start_is_on_disk_first_has_its_permit(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    let mut letters = Vec::new();
    for _ in 0..10 {
        letters.push(bench.intendant.request(Letter).await?.id());
    }
    let rate = Rate::per_second(20);
    bench.rate(rate).await?;
    let worker = bench.worker(begins.clone());
    let worker = worker.register(|_: &Letter, plan: &mut Plan<Begins>| {
        let step = plan.step("post", send).at_most_once();
        step.input(value(Mail { number: 1 }))
    });
    let running = start(worker);
    bench.all_sent(&letters).await?;
    ensure!(begins.count() == 10);
    begins.are_within(&rate)?;
    ensure!(begins.a_second() < 40.0, "{} a second", begins.a_second());
    running.stop().await?;
    bench.check().await
}

async fn permits_that_nobody_used_go_back(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    let worker = bench.worker(begins.clone()).register(errand);
    let running = start(worker.queue("default", 4));
    // Two in an hour: the third goes only if one of them comes back.
    let rate = Some(Rate::per_hour(2).burst(2));
    let errands = || bench.intendant.rate_queue("errands", rate, "ada", None);
    bench.until(|| async { Ok(errands().await.ok()) }).await?;
    // Each is claimed with a permit, and has no step in this queue.
    let done = Counter::default();
    for _ in 0..3 {
        bench.intendant.request(Errand).await?.output().await?;
        done.add();
    }
    ensure!(done.get() == 3 && begins.count() == 3);
    running.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Errand;

impl Intent for Errand {
    const KIND: &'static str = "errand";
    const QUEUE: &'static str = "errands";
    type Output = u64;
}

fn errand(_: &Errand, plan: &mut Plan<Begins>) -> Node<u64> {
    let step = plan.step("elsewhere", send).queue("default");
    step.input(value(Mail { number: 1 }))
}

async fn a_clock_that_is_set_back_keeps_nobody_for_long(bench: Bench) -> Result<()> {
    let begins = Begins::default();
    let mails = bench.rated_mails(4).await?;
    let rate = Rate::per_second(20);
    bench.rate(rate).await?;
    let running = start(bench.rated_sender(&begins));
    bench.all_sent(&mails).await?;
    bench.pass(-TimeDelta::days(1)).await?;
    let since = Instant::now();
    let mails = bench.rated_mails(4).await?;
    bench.all_sent(&mails).await?;
    let took = since.elapsed();
    ensure!(took < Duration::from_secs(5), "{took:?}");
    begins.are_within(&rate)?;
    running.stop().await?;
    bench.check().await
}

async fn a_rate_is_said_once_and_seen(bench: Bench) -> Result<()> {
    let rate = Rate::per_minute(90).burst(4);
    let unknown = bench.intendant.rate_queue("mial", Some(rate), "ada", None);
    ensure!(matches!(unknown.await, Err(Error::NoQueue { .. })));
    bench.rated_mails(1).await?;
    let none = bench.rate(Rate::per_second(0)).await;
    ensure!(
        none.unwrap_err()
            .to_string()
            .contains("the steps of a rate")
    );
    ensure!(bench.rate(rate).await? && !bench.rate(rate).await?);
    ensure!(bench.rate(rate.burst(5)).await?);
    let all = bench.intendant.queues().await?;
    let mail = all.iter().find(|queue| queue.name == "mail").unwrap();
    ensure!(mail.rate == Some(rate.burst(5)) && mail.slots.is_none());
    let seen = "select rate_steps * 1000000 + rate_period_ms * 10 + rate_burst from @queues";
    ensure!(bench.number(seen).await? == 90_000_000 + 600_000 + 5);
    ensure!(bench.rate(None).await? && !bench.rate(None).await?);
    let changes = bench.intendant.queue_changes("mail").await?;
    let verbs: Vec<_> = changes.iter().map(|change| change.verb.as_str()).collect();
    ensure!(verbs == ["rate", "rate", "rate"], "{verbs:?}");
    bench.check().await
}
