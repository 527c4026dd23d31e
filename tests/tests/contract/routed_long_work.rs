//! Long work in another queue: checkpoints, safe exit points, logs, measurements and middleware of a routed step are those of
//! whoever runs it, and of the intent that it belongs to.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Done, IntentState, Middleware, Next, Node, Plan, StepError, StepResult, Worker, value,
};

use crate::checkpoints::{Bank, Copy, State, checkpoints, copy};
use crate::support::{Bench, Counter, Running, on_both, start};

on_both! {
    a_checkpoint_in_another_queue_survives_the_death_of_its_worker_and_goes_with_the_result;
    a_safe_exit_point_in_another_queue_hands_the_step_on_with_its_checkpoint;
    whoever_comes_further_each_time_in_another_queue_is_no_poison;
    what_a_step_logs_and_measures_in_another_queue_is_kept_with_its_attempt;
    the_middleware_of_whoever_runs_it_is_around_a_step_in_another_queue;
}

fn away(order: &Copy, plan: &mut Plan<State>) -> Node<u64> {
    plan.step("copy", copy)
        .queue("bulk")
        .input(value(order.clone()))
}

type MakePlan = fn(&Copy, &mut Plan<State>) -> Node<u64>;

fn home(bench: &Bench, bank: &State, plan: MakePlan) -> Running {
    start(bench.worker(bank.clone()).register::<Copy, _>(plan))
}

fn bulk(bench: &Bench, bank: &State, plan: MakePlan) -> Worker<State> {
    let worker = bench.worker(bank.clone()).name("bulk");
    let worker = worker.register::<Copy, _>(plan).queue("bulk", 2);
    worker.only_named_queues()
}

async fn copied(bench: &Bench, bank: &State, rows: u64) -> Result<()> {
    bench
        .until(|| async { Ok((bank.rows.get() == rows).then_some(())) })
        .await
}

async fn a_checkpoint_in_another_queue_survives_the_death_of_its_worker_and_goes_with_the_result(
    bench: Bench,
) -> Result<()> {
    let bank = Bank::with(3);
    let home = home(&bench, &bank, away);
    let first = start(bulk(&bench, &bank, away));
    let job = bench.intendant.request(Copy { rows: 5 }).await?;
    copied(&bench, &bank, 3).await?;
    ensure!(checkpoints(&bench).await? == 1);
    bench
        .until(|| async {
            let steps = bench.intendant.steps(job.id()).await?;
            let words = steps.iter().filter_map(|step| step.progress_words());
            Ok(words
                .into_iter()
                .find(|words| words == "3 of 5 (60 %): rows"))
        })
        .await?;
    first.kill().await;
    let second = start(bulk(&bench, &bank, away));
    bank.permits.add_permits(2);
    ensure!(job.output().await? == 5);
    ensure!(bank.rows.get() == 5, "no row is copied twice");
    ensure!(bank.runs.get() == 2 && checkpoints(&bench).await? == 0);
    second.stop().await?;
    home.stop().await?;
    bench.check().await
}

async fn a_safe_exit_point_in_another_queue_hands_the_step_on_with_its_checkpoint(
    bench: Bench,
) -> Result<()> {
    let bank = Bank::with(2);
    let home = home(&bench, &bank, away);
    let first = start(bulk(&bench, &bank, away));
    let job = bench.intendant.request(Copy { rows: 4 }).await?;
    copied(&bench, &bank, 2).await?;
    ensure!(first.stop().await?.handed_back == 1);
    let steps = bench.intendant.attempts(job.id()).await?;
    ensure!(steps.is_empty(), "{steps:?}");
    bank.permits.add_permits(2);
    let second = start(bulk(&bench, &bank, away));
    ensure!(job.output().await? == 4);
    ensure!(bank.rows.get() == 4 && bank.runs.get() == 2);
    second.stop().await?;
    home.stop().await?;
    bench.check().await
}

async fn whoever_comes_further_each_time_in_another_queue_is_no_poison(bench: Bench) -> Result<()> {
    let bank = Bank::with(0);
    let home = home(&bench, &bank, away);
    let job = bench.intendant.request(Copy { rows: 5 }).await?;
    for nth in 1..=4 {
        let worker = start(bulk(&bench, &bank, away));
        bank.permits.add_permits(1);
        copied(&bench, &bank, nth).await?;
        worker.kill().await;
    }
    bank.permits.add_permits(1);
    let worker = start(bulk(&bench, &bank, away));
    ensure!(job.output().await? == 5);
    worker.stop().await?;
    home.stop().await?;
    bench.check().await
}

async fn what_a_step_logs_and_measures_in_another_queue_is_kept_with_its_attempt(
    bench: Bench,
) -> Result<()> {
    async fn talks(cx: Cx<State>, rows: u64) -> StepResult<u64> {
        let run = cx.state().runs.add();
        tracing::info!(run, "copying");
        cx.measure("rows", rows as f64);
        match run {
            1 => Err(StepError::new("disk full")),
            _ => Ok(rows),
        }
    }
    fn plan(order: &Copy, plan: &mut Plan<State>) -> Node<u64> {
        plan.step("copy", talks)
            .queue("bulk")
            .backoff(
                std::time::Duration::from_millis(1),
                std::time::Duration::from_millis(1),
            )
            .input(value(order.rows))
    }
    let bank = Bank::with(0);
    let home = home(&bench, &bank, plan);
    let there = start(bulk(&bench, &bank, plan));
    let job = bench.intendant.request(Copy { rows: 7 }).await?;
    ensure!(job.output().await? == 7);
    let logs = bench.intendant.logs(job.id()).await?;
    let told: Vec<_> = logs
        .iter()
        .map(|log| (log.step.as_str(), log.attempt, log.lines[0].text.as_str()))
        .collect();
    let expected = [("copy", 1, "copying run=1"), ("copy", 2, "copying run=2")];
    ensure!(told == expected, "{told:?}");
    let measured = bench.intendant.measurements(job.id()).await?;
    let measured: Vec<_> = measured
        .iter()
        .map(|one| (one.step.as_str(), one.attempt, one.name.as_str(), one.value))
        .collect();
    let expected = [("copy", 1, "rows", 7.0), ("copy", 2, "rows", 7.0)];
    ensure!(measured == expected, "{measured:?}");
    there.stop().await?;
    home.stop().await?;
    bench.check().await
}

/// Counts what it is around.
struct Counts(Counter);

impl Middleware<State> for Counts {
    fn name(&self) -> Cow<'static, str> {
        "counts".into()
    }

    async fn around(&self, _: &Cx<State>, next: Next<'_, State>) -> StepResult<Done> {
        self.0.add();
        next.run().await
    }
}

async fn the_middleware_of_whoever_runs_it_is_around_a_step_in_another_queue(
    bench: Bench,
) -> Result<()> {
    async fn prepare(_: Cx<State>, order: Copy) -> StepResult<Copy> {
        Ok(order)
    }
    fn plan(order: &Copy, plan: &mut Plan<State>) -> Node<u64> {
        let order = plan.step("prepare", prepare).input(value(order.clone()));
        plan.step("copy", copy).queue("bulk").input(order)
    }
    let (at_home, there) = (Counter::default(), Counter::default());
    let bank = Bank::with(2);
    let worker = bench.worker(bank.clone()).register::<Copy, _>(plan);
    let home = start(worker.middleware(Counts(at_home.clone())));
    let worker = bulk(&bench, &bank, plan).middleware(Counts(there.clone()));
    let worker = start(worker);
    let job = bench.intendant.request(Copy { rows: 2 }).await?;
    ensure!(job.output().await? == 2);
    ensure!((at_home.get(), there.get()) == (1, 1));
    ensure!(job.state().await? == IntentState::Succeeded);
    worker.stop().await?;
    home.stop().await?;
    bench.check().await
}
