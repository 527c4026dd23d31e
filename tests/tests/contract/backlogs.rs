//! Caps on backlogs: a queue in which as much waits as may wait refuses requests, from wherever they come, until there is room.
//!
//! By hand, requests faster than work for three minutes instead of two seconds: `INTENDANT_TEST_SCALE=full cargo test -p
//! intendant-tests --test contract requests_faster`.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Conflicts, Cx, Error, Intent, IntentId, IntentState, Resources, Rule, Schedule, StepResult,
    fail,
};
use serde::{Deserialize, Serialize};

use crate::asking::{Call, Client};
use crate::support::{Bench, Counter, Gate, on_both, start};

on_both! {
    a_full_queue_refuses_until_there_is_room;
    whoever_floods_a_queue_is_stopped_although_nobody_works;
    a_refusal_in_a_callers_transaction_leaves_it_as_it_was;
    in_a_callers_transaction_nobody_is_refused_for_what_is_long_past;
    what_was_accepted_before_is_never_refused;
    who_was_answered_before_is_answered_again;
    plain_sql_is_refused_and_counts_where_nobody_does;
    other_queues_take_what_comes_beside_a_full_one;
    a_batch_that_does_not_fit_is_refused_as_a_whole;
    requests_faster_than_work_for_a_while_are_all_done_once;
    a_cap_is_said_once_and_seen;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    number: u64,
}

impl Intent for Letter {
    const KIND: &'static str = "letter";
    const QUEUE: &'static str = "post";
    type Output = u64;
}

async fn post(cx: Cx<Gate>, letter: Letter) -> StepResult<u64> {
    cx.state().pass().await;
    Ok(letter.number)
}

impl Bench {
    async fn letter(&self) -> Result<IntentId, Error> {
        let asked = self.intendant.request(Letter { number: 1 }).await;
        asked.map(|handle| handle.id())
    }

    async fn letters(&self, count: u64) -> Result<Vec<IntentId>, Error> {
        let letters = (0..count).map(|number| Letter { number });
        self.intendant.request_all(letters).await
    }

    async fn cap(&self, cap: Option<u64>) -> Result<bool, Error> {
        self.intendant.cap_queue("post", cap, "ada", None).await
    }

    /// Waits until the queue refuses, or takes, what comes.
    async fn refuses(&self, refuses: bool) -> Result<()> {
        self.until(|| async {
            match self.letter().await {
                Err(Error::QueueFull { .. }) => Ok(refuses.then_some(())),
                Err(error) => Err(error.into()),
                Ok(_) => Ok((!refuses).then_some(())),
            }
        })
        .await
    }

    async fn in_line(&self) -> Result<i64> {
        self.number("select count(*) from @ready where queue = 'post'")
            .await
    }
}

async fn a_full_queue_refuses_until_there_is_room(bench: Bench) -> Result<()> {
    bench.letters(10).await?;
    ensure!(bench.cap(Some(10)).await?);
    let refused = bench.letter().await.unwrap_err();
    ensure!(
        refused.to_string()
            == "queue `post` is full: it takes no more than 10 that wait, and there is room for 0 now; ask again later",
        "{refused}"
    );
    ensure!(refused.is_retryable() && !refused.is_conflict() && !refused.is_database());
    ensure!(bench.in_line().await? == 10);
    // As soon as some of it is done.
    let gate = Gate::default();
    gate.open();
    let worker = start(bench.worker(gate).register_step(post));
    bench.refuses(false).await?;
    worker.stop().await?;
    // And if somebody raises the cap, at once.
    bench.letters(20).await.ok();
    bench.refuses(true).await?;
    ensure!(bench.cap(Some(1_000)).await?);
    bench.letter().await?;
    bench.check().await
}

async fn whoever_floods_a_queue_is_stopped_although_nobody_works(bench: Bench) -> Result<()> {
    bench.letter().await?;
    bench.cap(Some(100)).await?;
    let begun = std::time::Instant::now();
    let mut asked = 0_u64;
    while bench.letter().await.is_ok() {
        asked += 1;
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "{asked} were taken"
        );
    }
    // Whoever asks next is told the same, until somebody has counted less.
    ensure!(bench.letter().await.is_err());
    ensure!(asked >= 99, "{asked}");
    bench.check().await
}

async fn a_refusal_in_a_callers_transaction_leaves_it_as_it_was(bench: Bench) -> Result<()> {
    bench.letters(5).await?;
    bench.cap(Some(5)).await?;
    let letter = || bench.intendant.request(Letter { number: 7 }).key("seven");
    let mut client = Client::connect(&bench).await?;
    client.run("begin").await?;
    let refused = client.ask_within(letter()).await;
    ensure!(
        matches!(refused, Err(Error::QueueFull { .. })),
        "{refused:?}"
    );
    // The transaction is the caller's to commit, and there is nothing of the request in it.
    client.run("commit").await?;
    client.close().await?;
    for (table, rows) in [("intent", 5), ("ready", 5), ("key", 0)] {
        let found = bench
            .number(&format!("select count(*) from @{table}"))
            .await?;
        ensure!(found == rows, "{found} of {table}");
    }
    bench.cap(None).await?;
    letter().await?;
    bench.check().await
}

async fn in_a_callers_transaction_nobody_is_refused_for_what_is_long_past(
    bench: Bench,
) -> Result<()> {
    bench.letters(5).await?;
    bench.cap(Some(5)).await?;
    ensure!(bench.letter().await.is_err());
    // Nobody waits for a look within a transaction of his own, and what was seen six seconds ago says nothing of now.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut client = Client::connect(&bench).await?;
    client.run("begin").await?;
    let letter = bench.intendant.request(Letter { number: 8 });
    client.ask_within(letter).await?;
    client.run("commit").await?;
    client.close().await?;
    ensure!(bench.in_line().await? == 6);
    bench.check().await
}

/// Has a child, asks for something, and fails if it is told to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mailing {
    fails: bool,
}

impl Intent for Mailing {
    const KIND: &'static str = "mailing";
    const QUEUE: &'static str = "office";
    type Output = u64;
}

async fn mailing(cx: Cx<Gate>, mailing: Mailing) -> StepResult<u64> {
    if mailing.fails && !cx.state().is_open() {
        return Err(fail("no stamps"));
    }
    cx.request(Letter { number: 2 }).await?;
    cx.child("letter", Letter { number: 3 }).await
}

async fn what_was_accepted_before_is_never_refused(bench: Bench) -> Result<()> {
    bench.letters(3).await?;
    let failing = bench.intendant.request(Mailing { fails: true }).await?;
    let stamps = Gate::default();
    let office = || {
        let every = Schedule::every("weekly", Duration::from_secs(7 * 24 * 3600));
        bench
            .worker(stamps.clone())
            .register_step(mailing)
            .schedule(every, |_| Letter { number: 4 })
    };
    let worker = start(office());
    bench.reach(failing.id(), IntentState::Failed).await?;
    bench.cap(Some(1)).await?;
    ensure!(bench.letter().await.is_err());
    stamps.open();
    // Two children, one of what is resumed, and a tick; when the children are done, what their parents ask for.
    let mailing = bench.intendant.request(Mailing { fails: false }).await?;
    bench.intendant.resume(failing.id(), "ada", None).await?;
    bench.intendant.run_schedule("weekly", "ada", None).await?;
    bench
        .until(|| async { Ok((bench.in_line().await? == 6).then_some(())) })
        .await?;
    worker.stop().await?;
    let post = start(bench.worker(stamps.clone()).register_step(post));
    let office = start(office());
    ensure!(mailing.output().await? == 3 && failing.output().await? == 3);
    post.stop().await?;
    office.stop().await?;
    bench.check().await
}

/// Joins its like.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parade;

impl Intent for Parade {
    const KIND: &'static str = "parade";
    const QUEUE: &'static str = "post";
    type Output = ();
    fn resources(&self) -> Resources {
        Resources::exclusive("street", 1)
    }
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Join)
    }
}

async fn who_was_answered_before_is_answered_again(bench: Bench) -> Result<()> {
    let keyed = || bench.intendant.request(Letter { number: 1 }).key("one");
    let (first, parade) = (keyed().await?.id(), bench.intendant.request(Parade).await?);
    bench.cap(Some(1)).await?;
    ensure!(bench.letter().await.is_err());
    ensure!(keyed().await?.id() == first);
    ensure!(bench.intendant.request(Parade).await?.id() == parade.id());
    let mut client = Client::connect(&bench).await?;
    let again = Call {
        key: Some("one".to_owned()),
        ..Call::new("letter").input(r#"{"number":1}"#)
    };
    let again = client.ask(&again).await.map_err(anyhow::Error::msg)?;
    ensure!(again == first);
    client.close().await?;
    bench.check().await
}

async fn plain_sql_is_refused_and_counts_where_nobody_does(bench: Bench) -> Result<()> {
    bench.letters(3).await?;
    bench.cap(Some(3)).await?;
    let mut client = Client::connect(&bench).await?;
    let letter = Call {
        queue: Some("post".to_owned()),
        ..Call::new("letter").input(r#"{"number":1}"#)
    };
    let refused = client.ask(&letter).await.unwrap_err();
    ensure!(
        refused.starts_with("IN429: ") && refused.contains("is full: it takes no more"),
        "{refused}"
    );
    // What nobody has counted for a while is not believed: neither that there is room, nor that there is none.
    let long_ago = match &client {
        Client::Pg(_) => "clock_timestamp() - interval '1 minute'",
        Client::Lite(_) => "(unixepoch() - 60) * 1000000",
    };
    let old = |room: i64| format!("update @backlog set room = {room}, due_at = {long_ago}");
    bench.run_sql(&old(3)).await?;
    let refused = client.ask(&letter).await.unwrap_err();
    ensure!(refused.starts_with("IN429: "), "{refused}");
    bench.run_sql("update @backlog set cap = 4").await?;
    bench.run_sql(&old(0)).await?;
    client.ask(&letter).await.map_err(anyhow::Error::msg)?;
    ensure!(client.ask(&letter).await.is_err());
    ensure!(bench.in_line().await? == 4);
    client.close().await?;
    bench.check().await
}

async fn other_queues_take_what_comes_beside_a_full_one(bench: Bench) -> Result<()> {
    bench.letters(3).await?;
    bench.cap(Some(3)).await?;
    // Those that are asked for at the same time share a transaction.
    let letters = (0..50).map(|_| bench.letter());
    let mailings = (0..50).map(|_| async {
        let mailing = bench.intendant.request(Mailing { fails: false });
        mailing.await.map(|handle| handle.id())
    });
    let (letters, mailings) = tokio::join!(
        futures_util::future::join_all(letters),
        futures_util::future::join_all(mailings)
    );
    ensure!(
        letters
            .iter()
            .all(|letter| matches!(letter, Err(Error::QueueFull { .. })))
    );
    ensure!(mailings.iter().all(Result::is_ok));
    ensure!(bench.number("select count(*) from @intent").await? == 53);
    bench.check().await
}

async fn a_batch_that_does_not_fit_is_refused_as_a_whole(bench: Bench) -> Result<()> {
    bench.letters(3).await?;
    bench.cap(Some(8)).await?;
    let refused = bench.letters(6).await;
    ensure!(
        matches!(
            refused,
            Err(Error::QueueFull {
                cap: 8,
                room: 5,
                ..
            })
        ),
        "{refused:?}"
    );
    ensure!(bench.in_line().await? == 3);
    bench.letters(5).await?;
    bench.refuses(true).await?;
    // One that would never fit is taken where nothing is in line.
    bench.run_sql("delete from @ready").await?;
    bench.run_sql("delete from @intent").await?;
    bench.refuses(false).await?;
    bench.run_sql("delete from @ready").await?;
    bench.run_sql("delete from @intent").await?;
    bench
        .until(|| async { Ok(bench.letters(20).await.is_ok().then_some(())) })
        .await?;
    bench.check().await
}

async fn requests_faster_than_work_for_a_while_are_all_done_once(bench: Bench) -> Result<()> {
    let full = std::env::var("INTENDANT_TEST_SCALE").is_ok_and(|scale| scale == "full");
    let time = Duration::from_secs(if full { 180 } else { 2 });
    bench.letter().await?;
    bench.cap(Some(500)).await?;
    let (gate, refusals) = (Gate::default(), Counter::default());
    let worker = bench.worker(gate.clone()).register_step(slow_post);
    let worker = start(worker.concurrency(4));
    // However slow the machine is, the work begins when the queue is full.
    let begun = tokio::time::Instant::now();
    let goes_on = || refusals.get() == 0 || begun.elapsed() < time;
    let ask = || async {
        let mut accepted = 0;
        while goes_on() {
            ensure!(
                begun.elapsed() < 2 * Duration::from_secs(180),
                "it never was full"
            );
            match bench.letter().await {
                Ok(_) => accepted += 1,
                Err(Error::QueueFull { .. }) => {
                    refusals.add();
                    gate.open();
                }
                Err(error) => return Err(error.into()),
            }
            // Twice as fast as the work, at most; and what is there in the end is done within seconds.
            if accepted > 100 || refusals.get() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(accepted)
    };
    let accepted = futures_util::future::try_join_all((0..16).map(|_| ask())).await?;
    let (accepted, refused) = (accepted.iter().sum::<i64>(), refusals.get());
    let left = bench.in_line().await?;
    tracing::info!(accepted, refused, left, "asked for");
    bench
        .until(|| async {
            let left = bench.intendant.unfinished().await?.total();
            Ok((left == 0).then_some(()))
        })
        .await?;
    let done = "select count(*) from @outcome where state = 'succeeded'";
    ensure!(bench.number(done).await? == accepted + 1);
    worker.stop().await?;
    bench.check().await
}

async fn slow_post(cx: Cx<Gate>, letter: Letter) -> StepResult<u64> {
    cx.state().pass().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    Ok(letter.number)
}

async fn a_cap_is_said_once_and_seen(bench: Bench) -> Result<()> {
    bench.letters(3).await?;
    ensure!(bench.cap(Some(3)).await? && !bench.cap(Some(3)).await?);
    let all = bench.intendant.queues().await?;
    let queue = all.iter().find(|queue| queue.name == "post").unwrap();
    ensure!(queue.cap == Some(3) && queue.full, "{queue:?}");
    for wrong in [0, 1_000_000_001] {
        let wrong = bench.cap(Some(wrong)).await.unwrap_err().to_string();
        ensure!(wrong.contains("the cap of a queue is"), "{wrong}");
    }
    let slip = bench.intendant.cap_queue("pots", Some(8), "ada", None);
    ensure!(matches!(slip.await, Err(Error::NoQueue { .. })));
    let room = bench.number("select room from @queues where name = 'post'");
    ensure!(room.await? == 0);
    ensure!(bench.cap(None).await? && !bench.cap(None).await?);
    bench.letter().await?;
    let changes = bench.intendant.queue_changes("post").await?;
    ensure!(changes.len() == 2 && changes.iter().all(|change| change.verb == "cap"));
    bench.check().await
}
