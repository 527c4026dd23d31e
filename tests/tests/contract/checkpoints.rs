//! Long work: checkpoints, safe exit points, progress, what a stop keeps.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    Cx, Intent, IntentState, Node, OnFailure, Plan, Progress, StepResult, StepState, StoreKind,
    fail, snooze, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    the_next_attempt_goes_on_from_the_last_checkpoint;
    a_checkpoint_survives_a_crash_and_goes_with_the_result;
    whoever_comes_further_each_time_is_no_poison;
    whoever_comes_as_far_as_the_last_time_is_poison;
    a_safe_exit_point_hands_the_step_on_with_its_checkpoint;
    what_is_stopped_at_the_time_limit_keeps_its_checkpoint_and_its_attempts;
    a_stale_worker_keeps_no_checkpoint;
    a_rerun_begins_without_checkpoint_and_a_skip_forgets_it;
    a_step_with_a_transaction_forgets_its_checkpoint_in_it;
    an_undo_has_checkpoints_of_its_own;
    a_checkpoint_of_other_code_fails_the_step_for_good;
    a_failed_step_says_how_far_it_came;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Copy {
    pub(crate) rows: u64,
}

impl Intent for Copy {
    const KIND: &'static str = "copy";
    type Output = u64;
}

/// What steps did, outside the engine, and what holds them up.
pub(crate) struct Bank {
    pub(crate) rows: Counter,
    pub(crate) runs: Counter,
    /// A row is copied only with one of these.
    pub(crate) permits: Semaphore,
}

impl Bank {
    pub(crate) fn with(permits: usize) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            rows: Counter::default(),
            runs: Counter::default(),
            permits: Semaphore::new(permits),
        })
    }
}

pub(crate) type State = std::sync::Arc<Bank>;

/// Copies row by row, and counts one when its checkpoint is on disk.
pub(crate) async fn copy(cx: Cx<State>, copy: Copy) -> StepResult<u64> {
    cx.state().runs.add();
    let mut done = cx.last_checkpoint::<u64>().await?.unwrap_or(0);
    while done < copy.rows {
        cx.exit_point().await?;
        tokio::select! {
            permit = cx.state().permits.acquire() => permit?.forget(),
            () = cx.stopping() => continue,
        }
        done += 1;
        cx.progress(Progress::of(done, copy.rows).saying("rows"));
        cx.checkpoint(&done).await?;
        cx.state().rows.add();
    }
    Ok(cx.state().rows.get())
}

pub(crate) async fn checkpoints(bench: &Bench) -> Result<i64> {
    bench.number("select count(*) from @checkpoint").await
}

async fn the_next_attempt_goes_on_from_the_last_checkpoint(bench: Bench) -> Result<()> {
    async fn stumbles(cx: Cx<State>, copy: Copy) -> StepResult<u64> {
        let from = cx.last_checkpoint::<u64>().await?;
        match (cx.state().runs.add(), from) {
            (1, None) => {
                cx.checkpoint(&1_u64).await?;
                cx.checkpoint(&2_u64).await?;
                Err(intendant::StepError::new("once"))
            }
            (2, Some(2)) => {
                cx.checkpoint(&3_u64).await?;
                Err(snooze(Duration::from_millis(1)))
            }
            (3, Some(3)) => {
                cx.checkpoint(&4_u64).await?;
                panic!("twice");
            }
            (4, Some(4)) => Ok(copy.rows),
            (run, from) => Err(fail(format!("run {run} has found {from:?}"))),
        }
    }
    let plan = |copy: &Copy, plan: &mut Plan<State>| -> Node<u64> {
        let step = plan.step("copy", stumbles).attempts(3);
        step.backoff(Duration::from_millis(1), Duration::from_millis(1))
            .input(value(copy.clone()))
    };
    let bank = Bank::with(0);
    let worker = start(bench.worker(bank.clone()).register::<Copy, _>(plan));
    let job = bench.intendant.request(Copy { rows: 7 }).await?;
    ensure!(job.output().await? == 7);
    ensure!(bench.intendant.attempts(job.id()).await?.len() == 2);
    ensure!(checkpoints(&bench).await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn a_checkpoint_survives_a_crash_and_goes_with_the_result(bench: Bench) -> Result<()> {
    let bank = Bank::with(3);
    let first = start(bench.worker(bank.clone()).register_step(copy));
    let job = bench.intendant.request(Copy { rows: 5 }).await?;
    bench
        .until(|| async {
            Ok((checkpoints(&bench).await? == 1 && bank.rows.get() == 3).then_some(()))
        })
        .await?;
    let kept =
        "select count(*) from @checkpoint where attempt = 1 and generation = 1 and step = 'run'";
    ensure!(bench.number(kept).await? == 1);
    bench.check().await?;
    // Three rows are copied; that the third is on disk is known once a fourth is waited for.
    bench
        .until(|| async {
            let three = bench.intendant.steps(job.id()).await?;
            let three = three.iter().filter_map(|step| step.progress_words());
            Ok(three
                .into_iter()
                .find(|words| words == "3 of 5 (60 %): rows"))
        })
        .await?;
    let why = bench.intendant.why(job.id()).await?.to_string();
    ensure!(why.contains("3 of 5 (60 %): rows"), "{why}");
    first.kill().await;
    let second = start(bench.worker(bank.clone()).register_step(copy));
    bank.permits.add_permits(2);
    ensure!(job.output().await? == 5, "no row is copied twice");
    ensure!(bank.runs.get() == 2 && checkpoints(&bench).await? == 0);
    second.stop().await?;
    bench.check().await
}

/// Keeps how often it has run, or, of no rows, the same each time; and goes no further than it may.
async fn limp(cx: Cx<State>, copy: Copy) -> StepResult<u64> {
    let runs = cx.state().runs.add();
    cx.checkpoint(&(runs * copy.rows)).await?;
    cx.state().rows.add();
    cx.state().permits.acquire().await?.forget();
    Ok(runs)
}

/// Kills worker after worker, each when it has kept its checkpoint.
async fn kill(bench: &Bench, bank: &State, workers: std::ops::RangeInclusive<u64>) -> Result<()> {
    for nth in workers {
        let worker = start(bench.worker(bank.clone()).register_step(limp));
        bench
            .until(|| async { Ok((bank.rows.get() == nth).then_some(())) })
            .await?;
        worker.kill().await;
    }
    Ok(())
}

async fn whoever_comes_further_each_time_is_no_poison(bench: Bench) -> Result<()> {
    let bank = Bank::with(0);
    let job = bench.intendant.request(Copy { rows: 1 }).await?;
    kill(&bench, &bank, 1..=5).await?;
    bank.permits.add_permits(1);
    let worker = start(bench.worker(bank.clone()).register_step(limp));
    ensure!(job.output().await? == 6);
    worker.stop().await?;
    bench.check().await
}

async fn whoever_comes_as_far_as_the_last_time_is_poison(bench: Bench) -> Result<()> {
    let bank = Bank::with(0);
    let job = bench.intendant.request(Copy { rows: 0 }).await?;
    kill(&bench, &bank, 1..=3).await?;
    let worker = start(bench.worker(bank.clone()).register_step(limp));
    bench.reach(job.id(), IntentState::Failed).await?;
    let record = bench.intendant.get(job.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("quarantined"),
        "{record:?}"
    );
    ensure!(bank.runs.get() == 3);
    worker.stop().await?;
    bench.check().await
}

async fn a_safe_exit_point_hands_the_step_on_with_its_checkpoint(bench: Bench) -> Result<()> {
    async fn once_only(cx: Cx<State>, input: Copy) -> StepResult<u64> {
        if cx.attempt() != 1 {
            return Err(fail("to be left at a safe exit point is no attempt"));
        }
        copy(cx, input).await
    }
    let plan = |copy: &Copy, plan: &mut Plan<State>| -> Node<u64> {
        plan.step("copy", once_only)
            .attempts(1)
            .input(value(copy.clone()))
    };
    let bank = Bank::with(0);
    let job = bench.intendant.request(Copy { rows: 6 }).await?;
    for worker in 1..=3 {
        let running = start(bench.worker(bank.clone()).register::<Copy, _>(plan));
        bank.permits.add_permits(2);
        bench
            .until(|| async { Ok((bank.rows.get() == worker * 2).then_some(())) })
            .await?;
        let report = running.stop().await?;
        ensure!(report.stopped == intendant::Stopped::Asked);
        bench.check().await?;
    }
    let last = start(bench.worker(bank.clone()).register::<Copy, _>(plan));
    ensure!(job.output().await? == 6, "no row is copied twice");
    ensure!(bench.intendant.attempts(job.id()).await?.is_empty());
    ensure!(checkpoints(&bench).await? == 0);
    last.stop().await?;
    bench.check().await
}

async fn what_is_stopped_at_the_time_limit_keeps_its_checkpoint_and_its_attempts(
    bench: Bench,
) -> Result<()> {
    /// Hears of nothing, and has one attempt.
    async fn deaf(cx: Cx<State>, copy: Copy) -> StepResult<u64> {
        cx.state().runs.add();
        let mut done = cx.last_checkpoint::<u64>().await?.unwrap_or(0);
        while done < copy.rows {
            cx.state().permits.acquire().await?.forget();
            done += 1;
            cx.checkpoint(&done).await?;
            cx.progress(Progress::done(done));
            cx.state().rows.add();
        }
        Ok(cx.state().rows.get())
    }
    let plan = |copy: &Copy, plan: &mut Plan<State>| -> Node<u64> {
        plan.step("copy", deaf)
            .attempts(1)
            .input(value(copy.clone()))
    };
    let bank = Bank::with(2);
    let worker = bench.worker(bank.clone()).register::<Copy, _>(plan);
    // Longer lease: no heartbeat says before the stop how far it is.
    let first = start(
        worker
            .lease(Duration::from_secs(60))
            .grace(Duration::from_millis(50)),
    );
    let job = bench.intendant.request(Copy { rows: 3 }).await?;
    bench
        .until(|| async { Ok((bank.rows.get() == 2).then_some(())) })
        .await?;
    let report = first.stop().await?;
    ensure!(report.handed_back == 1, "{report:?}");
    ensure!(job.state().await? == IntentState::Ready && checkpoints(&bench).await? == 1);
    let steps = bench.intendant.steps(job.id()).await?;
    ensure!(
        steps[0].state == StepState::Pending
            && steps[0].progress_words().as_deref() == Some("2 done"),
        "what was stopped does not run, and says how far it was: {steps:?}"
    );
    bench.check().await?;
    bank.permits.add_permits(1);
    let second = start(bench.worker(bank.clone()).register::<Copy, _>(plan));
    ensure!(job.output().await? == 3 && bank.runs.get() == 2);
    ensure!(bench.intendant.attempts(job.id()).await?.is_empty());
    second.stop().await?;
    bench.check().await
}

/// Tries to keep a checkpoint when it is allowed to, long after its worker is gone.
async fn keep_late(cx: Cx<State>) -> StepResult<()> {
    cx.state().permits.acquire().await?.forget();
    let kept = cx.checkpoint("late").await;
    let refused = kept.is_err_and(|error| {
        let failure = error.failure();
        failure.is_some_and(|(_, error)| error.contains("lost the intent"))
    });
    if refused {
        cx.state().rows.add();
    }
    Ok(())
}

async fn a_stale_worker_keeps_no_checkpoint(bench: Bench) -> Result<()> {
    async fn late(cx: Cx<State>, _: Copy) -> StepResult<u64> {
        if cx.state().runs.add() == 1 {
            tokio::spawn(keep_late(cx.clone()));
            std::future::pending::<()>().await;
        }
        let before = cx.last_checkpoint::<String>().await?;
        cx.checkpoint("in time").await?;
        // The stale one tries now.
        cx.state().permits.add_permits(1);
        while cx.state().rows.get() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let after = cx.last_checkpoint::<String>().await?;
        match (before, after.as_deref()) {
            (None, Some("in time")) => Ok(2),
            found => Err(fail(format!("{found:?}"))),
        }
    }
    let bank = Bank::with(0);
    let stale = start(bench.worker(bank.clone()).register_step(late));
    let job = bench.intendant.request(Copy { rows: 0 }).await?;
    bench
        .until(|| async { Ok((bank.runs.get() == 1).then_some(())) })
        .await?;
    stale.kill().await;
    let next = start(bench.worker(bank.clone()).register_step(late));
    ensure!(job.output().await? == 2);
    ensure!(bank.rows.get() == 1, "the stale worker was refused");
    next.stop().await?;
    bench.check().await
}

async fn a_rerun_begins_without_checkpoint_and_a_skip_forgets_it(bench: Bench) -> Result<()> {
    async fn fails(cx: Cx<State>, _: Copy) -> StepResult<u64> {
        let found = cx.last_checkpoint::<u64>().await?;
        let run = cx.state().runs.add();
        cx.checkpoint(&run).await?;
        Err(fail(format!("run {run} has found {found:?}")))
    }
    let bank = Bank::with(0);
    let worker = start(bench.worker(bank.clone()).register_step(fails));
    let job = bench.intendant.request(Copy { rows: 0 }).await?;
    let failed = async |expected: &str| -> Result<()> {
        let record = bench.rest(job.id()).await?;
        let error = record.error.unwrap_or_default();
        ensure!(error.contains(expected), "{error}");
        ensure!(checkpoints(&bench).await? == 1);
        bench.check().await
    };
    failed("run 1 has found None").await?;
    // A resume goes on with the same generation.
    bench.intendant.resume(job.id(), "test", None).await?;
    failed("run 2 has found Some(1)").await?;
    bench
        .intendant
        .rerun_from(job.id(), "run", "test", None)
        .await?;
    failed("run 3 has found None").await?;
    let of_second = "select count(*) from @checkpoint where generation = 2";
    ensure!(bench.number(of_second).await? == 1);
    bench
        .intendant
        .skip(job.id(), "run", &9_u64, "test", None)
        .await?;
    ensure!(checkpoints(&bench).await? == 0);
    ensure!(job.output().await? == 9);
    worker.stop().await?;
    bench.check().await
}

async fn a_step_with_a_transaction_forgets_its_checkpoint_in_it(bench: Bench) -> Result<()> {
    let kind = bench.database.kind;
    let step = move |cx: Cx<State>, copy: Copy| async move {
        cx.checkpoint(&copy.rows).await?;
        cx.measure("rows", 5.0);
        let rows = copy.rows;
        match kind {
            StoreKind::Sqlite => {
                cx.transaction(async |_: &mut sqlx::SqliteConnection| Ok(rows))
                    .await
            }
            StoreKind::Postgres => {
                cx.transaction(async |_: &mut sqlx::PgConnection| Ok(rows))
                    .await
            }
        }
    };
    let bank = Bank::with(0);
    let worker = bench
        .worker(bank)
        .register_step::<Copy, intendant::Committed<u64>, _>(step);
    let worker = start(worker);
    let job = bench.intendant.request(Copy { rows: 4 }).await?;
    ensure!(job.output().await? == 4);
    worker.stop().await?;
    ensure!(checkpoints(&bench).await? == 0);
    let measured = bench.intendant.measurements(job.id()).await?;
    ensure!(
        measured.len() == 1 && measured[0].value == 5.0,
        "{measured:?}"
    );
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Build;

impl Intent for Build {
    const KIND: &'static str = "build";
    const ON_FAILURE: OnFailure = OnFailure::Undo;
    type Output = u64;
}

async fn an_undo_has_checkpoints_of_its_own(bench: Bench) -> Result<()> {
    async fn build(cx: Cx<State>, (): ()) -> StepResult<u64> {
        cx.checkpoint(&"half built").await?;
        Err(fail("no room"))
    }
    async fn tear_down(cx: Cx<State>, (): (), _: Option<u64>) -> StepResult<()> {
        match (cx.state().runs.add(), cx.last_checkpoint::<u64>().await?) {
            (1, None) => {
                cx.checkpoint(&1_u64).await?;
                Err(intendant::StepError::new("once more"))
            }
            (2, Some(1)) => Ok(()),
            (run, found) => Err(fail(format!("run {run} has found {found:?}"))),
        }
    }
    let plan = |_: &Build, plan: &mut Plan<State>| -> Node<u64> {
        plan.step("build", build)
            .attempts(2)
            .backoff(Duration::from_millis(1), Duration::from_millis(1))
            .undo(tear_down)
            .input(())
    };
    let bank = Bank::with(0);
    let worker = start(bench.worker(bank.clone()).register::<Build, _>(plan));
    let job = bench.intendant.request(Build).await?;
    let record = bench.rest(job.id()).await?;
    ensure!(
        record.error.as_deref() == Some("no room") && bank.runs.get() == 2,
        "{record:?}"
    );
    ensure!(checkpoints(&bench).await? == 0);
    worker.stop().await?;
    bench.check().await
}

async fn a_checkpoint_of_other_code_fails_the_step_for_good(bench: Bench) -> Result<()> {
    async fn changed(cx: Cx<State>, _: Copy) -> StepResult<u64> {
        cx.state().runs.add();
        cx.checkpoint("a word").await?;
        Ok(cx.last_checkpoint::<u64>().await?.unwrap_or_default())
    }
    let bank = Bank::with(0);
    let worker = start(bench.worker(bank.clone()).register_step(changed));
    let job = bench.intendant.request(Copy { rows: 0 }).await?;
    let record = bench.rest(job.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("undecodable"),
        "{record:?}"
    );
    ensure!(bank.runs.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_failed_step_says_how_far_it_came(bench: Bench) -> Result<()> {
    async fn half(cx: Cx<State>, _: Copy) -> StepResult<u64> {
        cx.progress(Progress::of(1, 4).saying("tables"));
        cx.progress(Progress::of(2, 4).saying("tables"));
        Err(fail("no room"))
    }
    let worker = bench.worker(Bank::with(0)).lease(Duration::from_secs(60));
    let worker = start(worker.register_step(half));
    let job = bench.intendant.request(Copy { rows: 4 }).await?;
    bench.rest(job.id()).await?;
    let steps = bench.intendant.steps(job.id()).await?;
    ensure!(
        steps[0].progress_words().as_deref() == Some("2 of 4 (50 %): tables"),
        "{steps:?}"
    );
    worker.stop().await?;
    bench.check().await
}
