//! What steps ask for without waiting for it (`cx.request`): once, with the step's result, and its own way from then on.

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Conflicts, Cx, EventRecord, Intent, IntentFilter, IntentRecord, IntentState, Node, Plan,
    Resources, Rule, StepConnection, StepResult, fail, limits, value,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, SqliteConnection};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    what_a_step_asks_for_is_asked_for_once_with_its_result;
    a_failed_attempt_has_asked_for_nothing;
    what_is_asked_for_in_a_transaction_comes_with_it;
    a_step_in_another_queue_asks_too;
    there_is_a_limit_to_what_one_step_asks_for;
    the_rules_of_what_is_asked_for_are_asked_when_it_is_claimed;
    whoever_dies_each_result_has_asked_once;
}

#[derive(Debug, Serialize, Deserialize)]
struct SignUp {
    how: String,
    fails: u64,
}

impl Intent for SignUp {
    const KIND: &'static str = "sign_up";
    type Output = String;
    fn account(&self) -> Option<&str> {
        Some("acme")
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Welcome(u64);

impl Intent for Welcome {
    const KIND: &'static str = "welcome";
    type Output = u64;
}

/// Refuses to begin beside its like, and keeps what it holds when it has failed.
#[derive(Debug, Serialize, Deserialize)]
struct Tidy;

impl Intent for Tidy {
    const KIND: &'static str = "tidy";
    type Output = ();
    fn resources(&self) -> Resources {
        Resources::exclusive("room", 1)
    }
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Reject)
    }
}

async fn tidy(_: Cx<Counter>, _: Tidy) -> StepResult<()> {
    Err(fail("no broom"))
}

async fn sign_up(cx: Cx<Counter>, (how, fails): (String, u64)) -> StepResult<String> {
    let asked = cx.request(Welcome(1)).label("campaign", "spring").await?;
    if cx.state().add() <= fails {
        return Err(intendant::StepError::new("not yet"));
    }
    match how.as_str() {
        "gives up" => Err(fail("no use")),
        "tidies" => Ok(cx.request(Tidy).await?.to_string()),
        "many" => {
            for number in 0..limits::REQUESTS_PER_STEP as u64 {
                cx.request(Welcome(number)).await?;
            }
            Ok(String::new())
        }
        _ => Ok(asked.to_string()),
    }
}

async fn by_transaction<C: StepConnection>(
    cx: Cx<Counter>,
    (_, fails): (String, u64),
) -> StepResult<String> {
    let asked = cx.request(Welcome(2)).await?.to_string();
    let committed = cx.transaction(async |_: &mut C| match cx.state().add() <= fails {
        true => Err(intendant::StepError::new("not yet")),
        false => Ok(asked),
    });
    let committed = committed.await?;
    // It would be in no commit that the result is in.
    match cx.request(Welcome(3)).await {
        Ok(late) => panic!("{late} was asked for after the step's result"),
        Err(_) => Ok(committed.into_inner()),
    }
}

fn plan(sign_up: &SignUp, plan: &mut Plan<Counter>) -> Node<String> {
    let least = std::time::Duration::from_millis(1);
    let input = value((sign_up.how.clone(), sign_up.fails));
    match sign_up.how.as_str() {
        "by transaction on sqlite" => {
            let step = plan.step("sign_up", by_transaction::<SqliteConnection>);
            step.backoff(least, least).input(input)
        }
        "by transaction on postgres" => {
            let step = plan.step("sign_up", by_transaction::<PgConnection>);
            step.backoff(least, least).input(input)
        }
        "elsewhere" => {
            let step = plan.step("sign_up", self::sign_up).queue("network");
            step.backoff(least, least).input(input)
        }
        _ => {
            let step = plan.step("sign_up", self::sign_up);
            step.backoff(least, least).input(input)
        }
    }
}

async fn welcome(_: Cx<Counter>, welcome: Welcome) -> StepResult<u64> {
    Ok(welcome.0)
}

fn worker(bench: &Bench) -> intendant::Worker<Counter> {
    let worker = bench.worker(Counter::default()).register(plan);
    worker
        .queue("network", 4)
        .register_step(welcome)
        .register_step(tidy)
}

/// What has been asked for, when all is done.
async fn asked(bench: &Bench) -> Result<Vec<IntentRecord>> {
    bench
        .until(|| async {
            let left = bench.intendant.unfinished().await?.total();
            Ok((left == 0).then_some(()))
        })
        .await?;
    let welcome = IntentFilter {
        kind: Some(Welcome::KIND.to_owned()),
        limit: Some(limits::PAGE),
        ..IntentFilter::default()
    };
    Ok(bench.intendant.list(welcome).await?)
}

async fn request(bench: &Bench, how: &str, fails: u64) -> Result<IntentRecord> {
    let how = how.to_owned();
    let sign_up = bench.intendant.request(SignUp { how, fails });
    let sign_up = sign_up.by("ada").correlation_id("web 1").await?;
    bench.rest(sign_up.id()).await
}

/// The one that was asked for is named by the intent's output and by its event.
async fn is_recorded(bench: &Bench, by: &IntentRecord, asked: &[IntentRecord]) -> Result<()> {
    let [asked] = asked else {
        anyhow::bail!("{asked:?}");
    };
    ensure!(asked.state == IntentState::Succeeded, "{asked:?}");
    ensure!(
        asked.parent_id.is_none() && asked.root_id == asked.id,
        "{asked:?}"
    );
    ensure!(asked.requested_by.as_deref() == Some("ada"), "{asked:?}");
    ensure!(
        asked.correlation_id.as_deref() == Some("web 1"),
        "{asked:?}"
    );
    let output = by.output.as_ref().map(|output| output.get().to_owned());
    ensure!(output == Some(format!("\"{}\"", asked.id)), "{by:?}");
    let events = bench.intendant.events(by.id).await?;
    let [event]: &[EventRecord] = &events[..] else {
        anyhow::bail!("{events:?}");
    };
    ensure!(
        event.verb == "request" && event.actor == "step",
        "{event:?}"
    );
    let detail = format!("{:?}", event.detail);
    ensure!(detail.contains(&asked.id.to_string()), "{event:?}");
    Ok(())
}

async fn what_a_step_asks_for_is_asked_for_once_with_its_result(bench: Bench) -> Result<()> {
    let worker = start(worker(&bench));
    let by = request(&bench, "by itself", 2).await?;
    let asked = asked(&bench).await?;
    is_recorded(&bench, &by, &asked).await?;
    let spring = "select count(*) from @label where name = 'campaign' and value = 'spring'";
    ensure!(bench.number(spring).await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_failed_attempt_has_asked_for_nothing(bench: Bench) -> Result<()> {
    let worker = start(worker(&bench));
    let by = request(&bench, "gives up", 1).await?;
    ensure!(by.state == IntentState::Failed, "{by:?}");
    ensure!(asked(&bench).await?.is_empty());
    worker.stop().await?;
    bench.check().await
}

async fn what_is_asked_for_in_a_transaction_comes_with_it(bench: Bench) -> Result<()> {
    let worker = start(worker(&bench));
    let how = format!("by transaction on {}", bench.database.kind.as_str());
    let by = request(&bench, &how, 2).await?;
    is_recorded(&bench, &by, &asked(&bench).await?).await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_step_in_another_queue_asks_too(bench: Bench) -> Result<()> {
    let worker = start(worker(&bench));
    let by = request(&bench, "elsewhere", 2).await?;
    is_recorded(&bench, &by, &asked(&bench).await?).await?;
    worker.stop().await?;
    bench.check().await
}

async fn there_is_a_limit_to_what_one_step_asks_for(bench: Bench) -> Result<()> {
    let worker = start(worker(&bench));
    let by = request(&bench, "many", 0).await?;
    let error = by.error.unwrap_or_default();
    ensure!(
        error.ends_with("a step asks for 1000 intents at most"),
        "{error}"
    );
    ensure!(asked(&bench).await?.is_empty());
    worker.stop().await?;
    bench.check().await
}

async fn the_rules_of_what_is_asked_for_are_asked_when_it_is_claimed(bench: Bench) -> Result<()> {
    let worker = start(worker(&bench));
    let holder = bench.intendant.request(Tidy).await?;
    bench.reach(holder.id(), IntentState::Failed).await?;
    // The step succeeds, whatever becomes of what it has asked for.
    let by = request(&bench, "tidies", 0).await?;
    ensure!(by.state == IntentState::Succeeded, "{by:?}");
    let output = by.output.context("an id")?;
    let asked = bench.rest(serde_json::from_str(output.get())?).await?;
    ensure!(asked.state == IntentState::Cancelled, "{asked:?}");
    let error = asked.error.unwrap_or_default();
    ensure!(error.starts_with("rejected: room:1 is in use"), "{error}");
    worker.stop().await?;
    bench.check().await
}

/// Workers die at any time: what a step asks for is there with its result, once, and not without it.
async fn whoever_dies_each_result_has_asked_once(bench: Bench) -> Result<()> {
    const ROUNDS: usize = 6;
    let by_transaction = format!("by transaction on {}", bench.database.kind.as_str());
    let hows = ["by itself", &by_transaction, "elsewhere"];
    let mut workers = [start(worker(&bench)), start(worker(&bench))];
    let mut asking = Vec::new();
    for round in 0..ROUNDS {
        let sign_ups = hows.iter().cycle().take(12).map(|how| SignUp {
            how: (*how).to_owned(),
            fails: 1,
        });
        asking.extend(bench.intendant.request_all(sign_ups).await?);
        // So far into the round that some have ended, and some have not.
        let ended = "select count(*) from @outcome where kind = 'sign_up'";
        let enough = i64::try_from(round * 12 + 4)?;
        let some = async || Ok((bench.number(ended).await? >= enough).then_some(()));
        bench.until(some).await?;
        let successor = start(worker(&bench));
        std::mem::replace(&mut workers[round % 2], successor)
            .kill()
            .await;
        bench.check().await?;
    }
    let mut ids = Vec::new();
    for by in &asking {
        let mut by = bench.rest(*by).await?;
        if by.reason.as_deref() == Some("quarantined") {
            // It was alone in hand when three of them died.
            bench.intendant.resume(by.id, "ada", None).await?;
            by = bench.rest(by.id).await?;
        }
        ensure!(by.state == IntentState::Succeeded, "{by:?}");
        let output = by.output.context("an id")?;
        ids.push(serde_json::from_str::<String>(output.get())?);
        let events = bench.intendant.events(by.id).await?;
        let requests = events.iter().filter(|event| event.verb == "request");
        ensure!(requests.count() == 1, "{events:?}");
    }
    let mut asked: Vec<String> = asked(&bench)
        .await?
        .iter()
        .map(|record| record.id.to_string())
        .collect();
    ids.sort();
    asked.sort();
    ensure!(ids == asked, "{} asked for {}", ids.len(), asked.len());
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}
