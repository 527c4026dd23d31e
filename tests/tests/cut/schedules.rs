//! Ticks of a schedule whose commit is cut: each is one intent all the same.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    CatchUp, Cx, Intent, Schedule, StepResult, TickRecord, TickState, WorkReport, Worker,
};
use intendant_tests::proxy::{Fate, Sort};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::bench::Bench;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Report;

impl Intent for Report {
    const KIND: &'static str = "report";
    type Output = ();
}

async fn print(_: Cx<()>, _: Report) -> StepResult<()> {
    Ok(())
}

/// Lets an hour pass for the schedule, with what came of its last tick gone: so that the same tick comes again.
const AN_HOUR_LATER: &str = "delete from intendant.schedule_tick; \
    update intendant.schedule set last_at = last_at - interval '1 hour', next_at = next_at - interval '1 hour', \
                                  version = version + 1";

async fn ticks(bench: &Bench) -> Result<Vec<TickRecord>> {
    let ticks = bench.direct.schedule_ticks("hourly", 100).await?;
    Ok(ticks
        .into_iter()
        .filter(|tick| tick.state != TickState::Asked)
        .collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_whose_answer_was_lost_is_one_intent_and_one_that_was_never_sent_comes_again()
-> Result<()> {
    let bench = Bench::new(0).await?;
    let intendant = bench.through().await?;
    let hourly = Schedule::every("hourly", Duration::from_secs(3_600)).catch_up(CatchUp::All(5));
    // Half an hour away from the next hour.
    let hourly = hourly.starting_at(chrono::Utc::now() - chrono::TimeDelta::minutes(30));
    let worker = Worker::new(&intendant, ())
        .register_step(print)
        .schedule(hourly, |_| Report)
        .lease(Duration::from_secs(5))
        .poll(Duration::from_millis(10));
    let (stop, stopped) = oneshot::channel::<()>();
    let running: tokio::task::JoinHandle<Result<WorkReport, intendant::Error>> =
        tokio::spawn(worker.run(async {
            stopped.await.ok();
        }));
    bench
        .until(async |bench| Ok(!bench.direct.schedules().await?.is_empty()))
        .await?;
    let pool = sqlx::PgPool::connect(&bench.database.url).await?;
    let mut expected = 0;
    for fate in [Fate::AnswerLost, Fate::NeverSent, Fate::Passed].repeat(4) {
        for by_hand in [false, true] {
            let before = bench.proxy.counts().of(Sort::Schedule, fate);
            if fate != Fate::Passed {
                bench.proxy.choose(Sort::Schedule, 1, fate);
            }
            if by_hand {
                bench.direct.run_schedule("hourly", "ada", None).await?;
            } else {
                sqlx::raw_sql(AN_HOUR_LATER).execute(&pool).await?;
            }
            let count = 1 + usize::from(by_hand);
            bench
                .until(async |bench| Ok(ticks(bench).await?.len() == count))
                .await?;
            expected += 1;
            // What is on disk is seen before the proxy has counted how it went.
            let hit =
                async |bench: &Bench| Ok(bench.proxy.counts().of(Sort::Schedule, fate) > before);
            bench.until(hit).await?;
        }
    }
    bench.drain().await?;
    stop.send(()).ok();
    running.await??;
    let made = bench
        .count("select count(*) from intendant.intent where kind = 'report'")
        .await?;
    ensure!(made == expected, "{made} intents of {expected} ticks");
    bench.check().await
}
