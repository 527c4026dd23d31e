//! Every interleaving of two transactions that ask with one key, by plain SQL or by the library, each of the two.
//!
//! Each transaction begins, asks, and ends, by a commit or a rollback: twenty orders of the six statements. Whoever asks
//! while the other one has the key waits until that one has ended; what it does next waits with it.

use anyhow::{Context as _, Result, ensure};
use intendant::{Intendant, Intent, IntentId, StoreKind};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinHandle;

use crate::asking::{Call, Client, as_told};
use crate::support::{Bench, on_both};

on_both! {
    every_interleaving_of_two_requests_with_one_key_is_one_intent;
    a_snapshot_that_cannot_see_who_took_the_key_says_so;
    asked_twice_in_one_transaction_is_one_intent;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Errand {
    what: String,
}

impl Intent for Errand {
    const KIND: &'static str = "errand";
    type Output = ();
}

/// How a transaction asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Sql,
    Library,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
}

/// What a transaction asks for.
#[derive(Debug, Clone)]
struct Plan {
    by: By,
    what: &'static str,
    key: String,
    end: End,
}

type Answer = Result<IntentId, String>;

/// One of the two transactions, on its way.
enum Actor {
    Idle(Client),
    /// It has asked, and may be waiting for the other one.
    Asking(JoinHandle<(Client, Answer)>),
    Answered(Client, Answer),
    Ended(Client, Answer),
}

impl Actor {
    async fn begin(self) -> Result<Self> {
        let Self::Idle(mut client) = self else {
            anyhow::bail!("it has begun")
        };
        client.run("begin").await?;
        Ok(Self::Idle(client))
    }

    fn ask(self, intendant: &Intendant, plan: &Plan) -> Result<Self> {
        let Self::Idle(client) = self else {
            anyhow::bail!("it has asked")
        };
        let (intendant, plan) = (intendant.clone(), plan.clone());
        Ok(Self::Asking(tokio::spawn(async move {
            let mut client = client;
            let answer = ask(&mut client, &intendant, &plan).await;
            (client, answer)
        })))
    }

    async fn answered(self) -> Result<Self> {
        match self {
            Self::Asking(task) => {
                let (client, answer) = tokio::time::timeout(Duration::from_secs(20), task)
                    .await
                    .context("it waits for ever")??;
                Ok(Self::Answered(client, answer))
            }
            other => Ok(other),
        }
    }

    async fn end(self, end: End) -> Result<Self> {
        let Self::Answered(mut client, answer) = self.answered().await? else {
            anyhow::bail!("it has not asked")
        };
        match end {
            End::Commit => client.run("commit").await?,
            End::Rollback => client.run("rollback").await?,
        }
        Ok(Self::Ended(client, answer))
    }
}

async fn ask(client: &mut Client, intendant: &Intendant, plan: &Plan) -> Answer {
    let errand = Errand {
        what: plan.what.to_owned(),
    };
    match plan.by {
        By::Library => client
            .ask_within(intendant.request(errand).key(&plan.key))
            .await
            .map_err(as_told),
        By::Sql => {
            let input = serde_json::to_string(&errand).map_err(|error| error.to_string())?;
            let call = Call {
                key: Some(plan.key.clone()),
                ..Call::new("errand").input(input)
            };
            client.ask(&call).await
        }
    }
}

/// All orders in which two transactions of three statements each can take turns: who goes next, six times.
fn interleavings() -> Vec<[usize; 6]> {
    (0u32..64)
        .filter(|bits| bits.count_ones() == 3)
        .map(|bits| std::array::from_fn(|nth| (bits >> nth & 1) as usize))
        .collect()
}

/// Carries out one order. Returns the two answers.
async fn play(
    bench: &Bench,
    order: [usize; 6],
    plans: &[Plan; 2],
    clients: [Client; 2],
) -> Result<([Client; 2], [Answer; 2])> {
    let mut actors = clients.map(|client| Some(Actor::Idle(client)));
    let mut done = [0; 2];
    // Statements of one that waits for the other come when it does not wait any more.
    let mut late: Vec<usize> = Vec::new();
    for next in order {
        let other = 1 - next;
        let holds = |who: usize| done[who] == 2;
        if late.contains(&next) {
            late.push(next);
            continue;
        }
        let actor = actors[next].take().context("an actor")?;
        actors[next] = Some(match done[next] {
            0 => actor.begin().await?,
            1 => {
                let waits = holds(other);
                let asking = actor.ask(&bench.intendant, &plans[next])?;
                if waits {
                    late.push(next);
                    // Time to reach the database and to begin to wait there.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    asking
                } else {
                    asking.answered().await?
                }
            }
            _ => actor.end(plans[next].end).await?,
        });
        done[next] += 1;
        if done[next] == 3 && late.first() == Some(&other) {
            for _ in 1..late.len() {
                let actor = actors[other].take().context("an actor")?;
                actors[other] = Some(actor.end(plans[other].end).await?);
                done[other] += 1;
            }
            // Its end may still be to come in this order.
            let actor = actors[other].take().context("an actor")?;
            actors[other] = Some(actor.answered().await?);
            late.clear();
        }
    }
    let ended = actors.map(|actor| match actor {
        Some(Actor::Ended(client, answer)) => Ok((client, answer)),
        _ => Err(anyhow::anyhow!("a transaction has not ended")),
    });
    let [first, second] = ended;
    let ((a, first), (b, second)) = (first?, second?);
    Ok(([a, b], [first, second]))
}

async fn every_interleaving_of_two_requests_with_one_key_is_one_intent(bench: Bench) -> Result<()> {
    let mut clients = [
        Client::connect(&bench).await?,
        Client::connect(&bench).await?,
    ];
    let (mut played, mut waited) = (0, 0);
    for by in [
        [By::Sql, By::Sql],
        [By::Sql, By::Library],
        [By::Library, By::Sql],
        [By::Library; 2],
    ] {
        for ends in [
            [End::Commit; 2],
            [End::Rollback, End::Commit],
            [End::Commit, End::Rollback],
        ] {
            for what in ["tea", "coffee"] {
                for order in interleavings() {
                    let key = format!("key-{played}");
                    let plan = |nth: usize, what| Plan {
                        by: by[nth],
                        what,
                        key: key.clone(),
                        end: ends[nth],
                    };
                    let plans = [plan(0, "tea"), plan(1, what)];
                    let (back, answers) = play(&bench, order, &plans, clients).await?;
                    clients = back;
                    let case = format!("{by:?} {ends:?} {what} {order:?}: {answers:?}");
                    verify(&bench, order, &plans, &answers)
                        .await
                        .context(case)?;
                    played += 1;
                    waited += u32::from(asks_while_held(order));
                }
            }
        }
    }
    println!(
        "{}: {played} orders played, in {waited} one waited",
        bench.database.kind.as_str()
    );
    ensure!(played == 480 && waited > 150);
    for client in clients {
        client.close().await?;
    }
    bench.check().await
}

/// Places of the statements of one of the two in the order.
fn places(order: [usize; 6], who: usize) -> Vec<usize> {
    (0..6).filter(|place| order[*place] == who).collect()
}

fn asks_while_held(order: [usize; 6]) -> bool {
    let (a, b) = (places(order, 0), places(order, 1));
    a[1].max(b[1]) < a[2].min(b[2])
}

/// Whoever asks first gets an intent. Who comes second gets the same one if that was kept, and its own if it was not.
async fn verify(
    bench: &Bench,
    order: [usize; 6],
    plans: &[Plan; 2],
    answers: &[Answer; 2],
) -> Result<()> {
    let asked = |who: usize| places(order, who)[1];
    let (first, second) = if asked(0) < asked(1) { (0, 1) } else { (1, 0) };
    let id = answers[first].clone().map_err(anyhow::Error::msg)?;
    let kept = match (plans[first].end, &answers[second]) {
        (End::Commit, Ok(joined)) if plans[0].what == plans[1].what => {
            ensure!(*joined == id, "it is not the same intent");
            Some(id)
        }
        (End::Commit, Err(told)) if plans[0].what != plans[1].what => {
            ensure!(told.starts_with("IN409: "), "{told}");
            Some(id)
        }
        (End::Rollback, Ok(own)) => {
            ensure!(*own != id, "it was rolled back");
            (plans[second].end == End::Commit).then_some(*own)
        }
        _ => anyhow::bail!("an answer that cannot be"),
    };
    let there = format!("select count(*) from @key where key = '{}'", plans[0].key);
    let there = bench.number(&there).await?;
    ensure!(there == i64::from(kept.is_some()), "its key");
    for answer in answers.iter().flatten() {
        let found = bench.intendant.state(*answer).await.is_ok();
        ensure!(found == (Some(*answer) == kept), "{answer}");
    }
    Ok(())
}

async fn a_snapshot_that_cannot_see_who_took_the_key_says_so(bench: Bench) -> Result<()> {
    let begin = match bench.database.kind {
        StoreKind::Sqlite => "begin",
        StoreKind::Postgres => "begin isolation level repeatable read",
    };
    let mut client = Client::connect(&bench).await?;
    let mut other = Client::connect(&bench).await?;
    for (nth, by) in [
        [By::Sql, By::Sql],
        [By::Sql, By::Library],
        [By::Library, By::Sql],
        [By::Library; 2],
    ]
    .into_iter()
    .enumerate()
    {
        let plan = |by| Plan {
            by,
            what: "tea",
            key: format!("key-{nth}"),
            end: End::Commit,
        };
        // Its snapshot is from before the other one's commit.
        client.run(begin).await?;
        let look = match bench.database.kind {
            StoreKind::Sqlite => "select count(*) from intendant_key",
            StoreKind::Postgres => "select count(*) from intendant.key",
        };
        client.run(look).await?;
        let first = ask(&mut other, &bench.intendant, &plan(by[0])).await;
        let told = ask(&mut client, &bench.intendant, &plan(by[1]))
            .await
            .unwrap_err();
        match bench.database.kind {
            StoreKind::Postgres => ensure!(told.starts_with("40001: "), "{told}"),
            // SQLite lets nobody write who has not seen the last write.
            StoreKind::Sqlite => ensure!(told.contains("database is locked"), "{told}"),
        }
        client.run("rollback").await?;
        client.run(begin).await?;
        ensure!(ask(&mut client, &bench.intendant, &plan(by[1])).await == first);
        client.run("commit").await?;
    }
    bench.check().await
}

async fn asked_twice_in_one_transaction_is_one_intent(bench: Bench) -> Result<()> {
    let mut client = Client::connect(&bench).await?;
    for (nth, by) in [
        [By::Sql, By::Sql],
        [By::Sql, By::Library],
        [By::Library, By::Sql],
        [By::Library; 2],
    ]
    .into_iter()
    .enumerate()
    {
        let plan = |by, what| Plan {
            by,
            what,
            key: format!("key-{nth}"),
            end: End::Commit,
        };
        client.run("begin").await?;
        let first = ask(&mut client, &bench.intendant, &plan(by[0], "tea")).await;
        let again = ask(&mut client, &bench.intendant, &plan(by[1], "tea")).await;
        ensure!(first.is_ok() && first == again, "{first:?} {again:?}");
        client.run("commit").await?;
        let told = ask(&mut client, &bench.intendant, &plan(by[1], "coffee")).await;
        ensure!(told.is_err_and(|told| told.starts_with("IN409: ")));
    }
    ensure!(bench.intendant.unfinished().await?.total() == 4);
    client.close().await?;
    bench.check().await
}
