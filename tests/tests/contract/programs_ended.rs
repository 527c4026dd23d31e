//! Programs that are ended: by their limits, with their step, and with their worker; nothing of them is left.

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use intendant::{AttemptRecord, Command, Cx, IntentState, Node, Plan, StepResult, value};
use intendant_tests::binary;

use crate::programs::{Job, plan, sh};
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    the_time_limit_ends_a_program_with_all_that_it_has_started;
    a_program_has_its_grace_to_end_by_itself;
    a_cancel_ends_it;
    the_steps_time_limit_ends_it;
    a_worker_that_stops_ends_it_and_hands_the_intent_back;
    a_panic_ends_it;
    a_step_that_drops_it_ends_it;
    what_a_step_leaves_behind_ends_with_it;
    what_a_program_leaves_behind_ends_with_it;
    a_worker_that_is_killed_takes_its_programs_along;
    what_it_writes_takes_no_memory_of_the_worker;
}

/// A shell, and something that it has started; both are deaf to SIGTERM. They say who they are in a file.
const DEAF: &str = "trap '' TERM; sleep 1000 & echo $$ $! > pids.new; mv pids.new pids; wait";

/// Where a program runs that says who it is.
#[derive(Clone)]
struct Den {
    directory: Arc<tempfile::TempDir>,
    runs: Counter,
}

impl Den {
    fn new() -> Result<Self> {
        Ok(Self {
            directory: Arc::new(tempfile::tempdir()?),
            runs: Counter::default(),
        })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until the test has seen this often that it can go on.
    async fn looked(&self, times: u64) {
        while self.runs.get() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn deaf(&self) -> Command {
        self.sh(DEAF)
    }

    fn sh(&self, script: &str) -> Command {
        sh(script).current_dir(self.path())
    }

    /// The processes that are there, once they are.
    async fn pids(&self, bench: &Bench) -> Result<Vec<u32>> {
        let file = self.path().join("pids");
        let pids = bench
            .until(|| async { Ok(std::fs::read_to_string(&file).ok()) })
            .await?;
        std::fs::remove_file(file)?;
        let pids = pids.split_whitespace().map(str::parse);
        let pids: Vec<u32> = pids.collect::<Result<_, _>>()?;
        ensure!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
        Ok(pids)
    }
}

/// It runs: it is there, and not only waits to be reaped.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // Its name, which is in brackets, may have anything in it.
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.starts_with('Z') && !state.starts_with('X')
}

fn all_dead(pids: &[u32]) -> Result<()> {
    let alive: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    ensure!(alive.is_empty(), "{alive:?} of {pids:?} are still there");
    Ok(())
}

fn job() -> Job {
    let text = String::new();
    Job { text }
}

async fn failed(bench: &Bench, id: intendant::IntentId, failure: &str) -> Result<AttemptRecord> {
    bench.rest(id).await?;
    let attempts = bench.intendant.attempts(id).await?;
    let attempt = attempts.into_iter().next().context("an attempt")?;
    ensure!(attempt.failure == failure, "{attempt:?}");
    Ok(attempt)
}

/// One attempt.
fn once<F, Fut>(step: F) -> impl Fn(&Job, &mut Plan<Den>) -> Node<String>
where
    F: Fn(Cx<Den>, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StepResult<String>> + Send + 'static,
{
    move |job, plan| {
        let step = plan.step("work", step.clone());
        step.attempts(1).input(value(job.text.clone()))
    }
}

async fn deaf(cx: Cx<Den>, _: String) -> StepResult<String> {
    cx.run(cx.state().deaf()).await?;
    Ok(String::new())
}

async fn the_time_limit_ends_a_program_with_all_that_it_has_started(bench: Bench) -> Result<()> {
    async fn limited(cx: Cx<Den>, _: String) -> StepResult<String> {
        let deaf = cx.state().sh(&format!("echo deaf >&2; {DEAF}"));
        let deaf = deaf.time_limit(Duration::from_secs(2));
        cx.run(deaf.grace(Duration::from_millis(100))).await?;
        Ok(String::new())
    }
    let den = Den::new()?;
    let worker = start(bench.worker(den.clone()).register::<Job, _>(once(limited)));
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    let attempt = failed(&bench, handle.id(), "time-out").await?;
    // When its end is known, nothing of it is there any more.
    all_dead(&pids)?;
    let words =
        "`sh` ran longer than its time limit of 2s and was stopped; what it did is unknown: deaf";
    ensure!(attempt.error == words, "{}", attempt.error);
    worker.stop().await?;
    bench.check().await
}

async fn a_program_has_its_grace_to_end_by_itself(bench: Bench) -> Result<()> {
    async fn tidies(cx: Cx<Den>, _: String) -> StepResult<String> {
        let script = "trap 'echo tidied >&2; exit 0' TERM; sleep 1000 & wait";
        let tidies = cx.state().sh(script).grace(Duration::from_secs(60));
        cx.run(tidies.time_limit(Duration::from_secs(1))).await?;
        Ok(String::new())
    }
    let den = Den::new()?;
    let worker = start(bench.worker(den).register::<Job, _>(once(tidies)));
    let handle = bench.intendant.request(job()).await?;
    // It ends well, and has not done its work.
    let attempt = failed(&bench, handle.id(), "time-out").await?;
    ensure!(attempt.error.ends_with(": tidied"), "{}", attempt.error);
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_ends_it(bench: Bench) -> Result<()> {
    async fn cancelled(cx: Cx<Den>, _: String) -> StepResult<String> {
        let deaf = cx.state().deaf().grace(Duration::from_millis(50));
        let error = cx.run(deaf).await.unwrap_err();
        cx.state().runs.add();
        Err(error)
    }
    let den = Den::new()?;
    let worker = bench
        .worker(den.clone())
        .register::<Job, _>(once(cancelled));
    // It hears of it, and is not dropped for it.
    let worker = start(worker.cancel_grace(Duration::from_secs(600)));
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    bench.intendant.cancel(handle.id(), "ada", None).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Cancelled, "{record:?}");
    all_dead(&pids)?;
    ensure!(den.runs.get() == 1);
    worker.stop().await?;
    bench.check().await
}

async fn the_steps_time_limit_ends_it(bench: Bench) -> Result<()> {
    let den = Den::new()?;
    let limited = |_: &Job, plan: &mut Plan<Den>| -> Node<String> {
        let step = plan.step("work", deaf).attempts(1);
        let step = step.time_limit(Duration::from_secs(2));
        step.input(value(String::new()))
    };
    let worker = start(bench.worker(den.clone()).register::<Job, _>(limited));
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    failed(&bench, handle.id(), "time-out").await?;
    all_dead(&pids)?;
    worker.stop().await?;
    bench.check().await
}

async fn a_worker_that_stops_ends_it_and_hands_the_intent_back(bench: Bench) -> Result<()> {
    async fn second_time_well(cx: Cx<Den>, _: String) -> StepResult<String> {
        if cx.state().runs.add() == 1 {
            cx.run(cx.state().deaf()).await?;
        }
        Ok("done".to_owned())
    }
    let den = Den::new()?;
    let plan = || once(second_time_well);
    let worker = bench.worker(den.clone()).register::<Job, _>(plan());
    let worker = start(worker.grace(Duration::from_millis(50)));
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    let report = worker.stop().await?;
    all_dead(&pids)?;
    ensure!(report.handed_back == 1, "{report:?}");
    ensure!(handle.state().await? == IntentState::Ready);
    let next = start(bench.worker(den.clone()).register::<Job, _>(plan()));
    ensure!(handle.output().await? == "done" && den.runs.get() == 2);
    ensure!(bench.intendant.attempts(handle.id()).await?.is_empty());
    next.stop().await?;
    bench.check().await
}

async fn a_panic_ends_it(bench: Bench) -> Result<()> {
    async fn panics(cx: Cx<Den>, _: String) -> StepResult<String> {
        let panics = async {
            // Once the test has looked who they are.
            cx.state().looked(1).await;
            std::panic::resume_unwind(Box::new("no"))
        };
        tokio::select! {
            run = cx.run(cx.state().deaf()) => run.map(|_| String::new()),
            () = panics => Ok(String::new()),
        }
    }
    let den = Den::new()?;
    let worker = start(bench.worker(den.clone()).register::<Job, _>(once(panics)));
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    den.runs.add();
    failed(&bench, handle.id(), "panic").await?;
    all_dead(&pids)?;
    worker.stop().await?;
    bench.check().await
}

async fn a_step_that_drops_it_ends_it(bench: Bench) -> Result<()> {
    async fn impatient(cx: Cx<Den>, _: String) -> StepResult<String> {
        let run = cx.run(cx.state().deaf());
        let run = tokio::time::timeout(Duration::from_secs(2), run).await;
        assert!(run.is_err());
        Ok("went on".to_owned())
    }
    let den = Den::new()?;
    let worker = start(
        bench
            .worker(den.clone())
            .register::<Job, _>(plan(impatient)),
    );
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    ensure!(handle.output().await? == "went on");
    all_dead(&pids)?;
    worker.stop().await?;
    bench.check().await
}

async fn what_a_step_leaves_behind_ends_with_it(bench: Bench) -> Result<()> {
    async fn leaves(cx: Cx<Den>, _: String) -> StepResult<String> {
        let context = cx.clone();
        tokio::spawn(async move { context.run(context.state().deaf()).await });
        let late = cx.clone();
        tokio::spawn(async move {
            // The step has ended by then.
            late.state().looked(2).await;
            let error = late.run(Command::new("true")).await.unwrap_err();
            let (_, words) = error.failure().unwrap();
            assert_eq!(
                words,
                "the attempt has ended; nothing more is begun beside it"
            );
            late.state().runs.add();
        });
        // Once the test has looked who they are.
        cx.state().looked(1).await;
        Ok("left".to_owned())
    }
    let den = Den::new()?;
    let worker = start(bench.worker(den.clone()).register::<Job, _>(plan(leaves)));
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    den.runs.add();
    ensure!(handle.output().await? == "left");
    all_dead(&pids)?;
    den.runs.add();
    let refused = || async { Ok((den.runs.get() == 3).then_some(())) };
    bench.until(refused).await?;
    worker.stop().await?;
    bench.check().await
}

async fn what_a_program_leaves_behind_ends_with_it(bench: Bench) -> Result<()> {
    async fn leaves(cx: Cx<Den>, _: String) -> StepResult<String> {
        // It keeps the pipes open, and the program has ended.
        let script = "sleep 1000 & echo $! > pids.new; mv pids.new pids; while [ -e pids ]; do sleep 0.01; done; echo done";
        let run = cx.run(cx.state().sh(script)).await?;
        Ok(run.stdout.text().into_owned())
    }
    let den = Den::new()?;
    let worker = start(bench.worker(den.clone()).register::<Job, _>(plan(leaves)));
    let handle = bench.intendant.request(job()).await?;
    let pids = den.pids(&bench).await?;
    let output = tokio::time::timeout(Duration::from_secs(20), handle.output()).await??;
    ensure!(output == "done\n", "{output:?}");
    all_dead(&pids)?;
    worker.stop().await?;
    bench.check().await
}

/// A worker in a process of its own; it is killed with this.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Killed {
    async fn start(bench: &Bench) -> Result<Self> {
        let binary: PathBuf =
            tokio::task::spawn_blocking(|| binary::path("program-worker")).await??;
        let mut worker = Process::new(binary);
        worker.arg(&bench.database.url).stdin(Stdio::null());
        Ok(Self(worker.spawn()?))
    }

    /// The most memory that it has ever had, in KiB.
    fn peak(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next());
        Ok(peak.context("its peak")?.parse()?)
    }
}

async fn a_worker_that_is_killed_takes_its_programs_along(bench: Bench) -> Result<()> {
    let den = Den::new()?;
    let mut worker = Killed::start(&bench).await?;
    let text = format!("cd {}; {DEAF}", den.path().display());
    bench.intendant.request(Job { text }).await?;
    let pids = den.pids(&bench).await?;
    // By SIGKILL: it can do nothing about it.
    worker.0.kill()?;
    worker.0.wait()?;
    bench.until(|| async { Ok(all_dead(&pids).ok()) }).await?;
    bench.check().await
}

async fn what_it_writes_takes_no_memory_of_the_worker(bench: Bench) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let worker = Killed::start(&bench).await?;
    let write = |bytes: u64| {
        let text = format!("head -c {bytes} /dev/zero; head -c {bytes} /dev/zero >&2");
        bench.intendant.request(Job { text })
    };
    // More than is kept of each.
    ensure!(write(2_000_000).await?.output().await? == "2000000");
    let before = worker.peak()?;
    ensure!(write(100_000_000).await?.output().await? == "100000000");
    let more = worker.peak()? - before;
    ensure!(more < 16 * 1024, "{more} KiB more, {before} before");
    bench.check().await
}
