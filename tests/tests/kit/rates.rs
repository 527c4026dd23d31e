//! Queues with a rate, in virtual time: what the stage waits for is the rate.

use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use intendant::testing::{Kit, Stage};
use intendant::{Cx, Intent, IntentId, Node, Plan, Rate, StepResult, value};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Mail {}

impl Intent for Mail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = "mail";
    type Output = ();
}

async fn send(_: Cx<()>, _: Mail) -> StepResult<()> {
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Campaign {
    letters: u32,
}

impl Intent for Campaign {
    const KIND: &'static str = "campaign";
    type Output = usize;
}

/// Ten letters side by side, in another queue than the intent's.
fn campaign(campaign: &Campaign, plan: &mut Plan<()>) -> Node<usize> {
    let letters = (0..campaign.letters).map(|nth| {
        let step = plan.step(format!("letter-{nth}"), letter);
        step.queue("mail").input(value(()))
    });
    let letters: Vec<Node<()>> = letters.collect();
    plan.step("count", count).input(letters)
}

async fn letter(_: Cx<()>, (): ()) -> StepResult<()> {
    Ok(())
}

async fn count(_: Cx<()>, letters: Vec<()>) -> StepResult<usize> {
    Ok(letters.len())
}

fn kit() -> Kit<()> {
    Kit::new(
        || (),
        |worker| {
            let worker = worker.register_step(send).register(campaign);
            worker.queue("mail", 16)
        },
    )
}

async fn rate(stage: &Stage<()>, rate: Option<Rate>) -> Result<()> {
    let intendant = stage.intendant();
    intendant.rate_queue("mail", rate, "ada", None).await?;
    Ok(())
}

/// When the steps of an intent began.
async fn begun(stage: &Stage<()>, intent: IntentId) -> Result<Vec<DateTime<Utc>>> {
    let steps = stage.intendant().steps(intent).await?;
    let began = steps.into_iter().filter(|step| step.name != "count");
    Ok(began.filter_map(|step| step.started_at).collect())
}

/// In no time more than there may be; and no less than nine tenths of the rate.
fn is_kept(rate: Rate, mut begins: Vec<DateTime<Utc>>) -> Result<()> {
    begins.sort();
    let interval = rate.period().as_secs_f64() / f64::from(rate.steps());
    for (nth, from) in begins.iter().enumerate() {
        for (count, to) in begins[nth..].iter().enumerate() {
            let within = (*to - *from).num_microseconds().unwrap() as f64 / 1e6;
            let most = f64::from(rate.at_once()) + within / interval;
            ensure!((count + 1) as f64 <= most + 1e-3, "{begins:?}");
        }
    }
    let whole = *begins.last().unwrap() - begins[0];
    let due = (begins.len() - rate.at_once() as usize) as f64 * interval;
    let took = whole.num_milliseconds() as f64 / 1e3;
    ensure!(took <= due / 0.9, "{took} s instead of {due} s");
    Ok(())
}

#[tokio::test]
async fn a_rate_is_kept_in_any_time_and_reached() -> Result<()> {
    for said in [
        Rate::per_minute(10).burst(2),
        Rate::per_hour(3),
        Rate::per_second(100),
    ] {
        let mut stage = kit().stage().await?;
        let mails: Vec<_> = (0..40).map(|_| Mail {}).collect();
        let mails = stage.intendant().request_all(mails).await?;
        rate(&stage, Some(said)).await?;
        stage.quiet().await?;
        let mut begins = Vec::new();
        for mail in mails {
            begins.extend(begun(&stage, mail).await?);
        }
        ensure!(begins.len() == 40, "{begins:?}");
        is_kept(said, begins)?;
    }
    Ok(())
}

#[tokio::test]
async fn steps_that_run_in_the_queue_of_others_keep_its_rate() -> Result<()> {
    let mut stage = kit().stage().await?;
    stage.run(Mail {}).await?;
    let said = Rate::per_minute(1);
    rate(&stage, Some(said)).await?;
    let id = stage
        .intendant()
        .request(Campaign { letters: 10 })
        .await?
        .id();
    let ended = stage.rest(id).await?;
    ensure!(ended.output::<usize>()? == 10);
    let begins = begun(&stage, id).await?;
    ensure!(begins.len() == 10, "{begins:?}");
    is_kept(said, begins)
}

#[tokio::test]
async fn time_that_nobody_used_is_no_more_than_a_burst_and_no_rate_costs_no_time() -> Result<()> {
    let mut stage = kit().stage().await?;
    stage.run(Mail {}).await?;
    rate(&stage, Some(Rate::per_hour(1).burst(3))).await?;
    stage.advance(Duration::from_secs(1_000 * 3_600));
    let before = stage.passed();
    let mails: Vec<_> = (0..5).map(|_| Mail {}).collect();
    for mail in stage.intendant().request_all(mails).await? {
        stage.rest(mail).await?;
    }
    let took = stage.passed() - before;
    let hours = Duration::from_secs(2 * 3_600);
    ensure!(
        took >= hours && took < hours + Duration::from_secs(2),
        "{took:?}"
    );
    rate(&stage, None).await?;
    let before = stage.passed();
    let mails: Vec<_> = (0..50).map(|_| Mail {}).collect();
    stage.intendant().request_all(mails).await?;
    stage.quiet().await?;
    ensure!(stage.passed() == before, "{:?}", stage.passed() - before);
    Ok(())
}
