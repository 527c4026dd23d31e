//! What the chaos tests run and how they judge it: a backlog of three-step intents, workers in processes of their own,
//! and a ledger of effects outside the engine's database.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use intendant::{
    Committed, Cx, Intendant, Intent, IntentId, IntentState, Node, Plan, StepResult, StoreKind,
    value,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, SqliteConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::binary;
use crate::database::Database;
use crate::scratch;

/// Tells a worker process how long its lease is, in milliseconds.
pub const LEASE_MS: &str = "INTENDANT_TEST_LEASE_MS";

/// The lease of a worker process that was told nothing: short, so that much happens.
const LEASE: Duration = Duration::from_secs(1);

/// The lease that this process was told to have.
pub fn lease_of_this_process() -> Result<Duration> {
    match std::env::var(LEASE_MS) {
        Ok(ms) => Ok(Duration::from_millis(ms.parse().context(LEASE_MS)?)),
        Err(_) => Ok(LEASE),
    }
}

/// An operation of three steps: an effect outside, an effect in the database, an effect outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// Its number.
    pub number: usize,
    /// How long each step takes.
    pub step_ms: u64,
    /// It kills its worker.
    pub poison: bool,
}

impl Intent for Work {
    const KIND: &'static str = "chaos.work";
    type Output = usize;
}

/// An operation that kills its worker, whatever is done about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Poison {}

impl Intent for Poison {
    const KIND: &'static str = "chaos.poison";
    type Output = ();
}

/// Carries out [`Poison`].
pub async fn poison(_: Cx<Effects>, _: Poison) -> StepResult<()> {
    std::process::abort()
}

/// The state of a worker process.
#[derive(Debug)]
pub struct Effects {
    /// Where effects are written down.
    pub ledger: PathBuf,
    /// Which database there is.
    pub kind: StoreKind,
}

impl Effects {
    /// Appends one line; a line is one write, so that lines of several processes do not mix.
    pub(crate) fn note(&self, what: &str, cx: &Cx<Effects>) -> std::io::Result<()> {
        let line = format!(
            "{what} {} {} {}\n",
            cx.intent_id(),
            cx.step_name(),
            std::process::id()
        );
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.ledger)?
            .write_all(line.as_bytes())
    }
}

async fn outside(cx: Cx<Effects>, work: Work) -> StepResult<Work> {
    cx.state().note("start", &cx)?;
    tokio::time::sleep(Duration::from_millis(work.step_ms)).await;
    if work.poison && cx.step_name() == "third" {
        std::process::abort();
    }
    cx.state().note("end", &cx)?;
    Ok(work)
}

async fn inside(cx: Cx<Effects>, work: Work) -> StepResult<Committed<Work>> {
    cx.state().note("start", &cx)?;
    let done = effect(&cx, work).await?;
    cx.state().note("end", &cx)?;
    Ok(done)
}

/// One effect in the database, together with what the step comes to.
pub(crate) async fn effect<T>(cx: &Cx<Effects>, output: T) -> StepResult<Committed<T>>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    let id = cx.intent_id().to_string();
    match cx.state().kind {
        StoreKind::Sqlite => {
            cx.transaction(async |db: &mut SqliteConnection| {
                sqlx::query("insert into effect (intent) values (?1)")
                    .bind(&id)
                    .execute(&mut *db)
                    .await?;
                Ok(output)
            })
            .await
        }
        StoreKind::Postgres => {
            cx.transaction(async |db: &mut PgConnection| {
                sqlx::query("insert into effect (intent) values ($1)")
                    .bind(&id)
                    .execute(&mut *db)
                    .await?;
                Ok(output)
            })
            .await
        }
    }
}

async fn number(cx: Cx<Effects>, work: Work) -> StepResult<usize> {
    outside(cx, work).await.map(|work| work.number)
}

/// Steps of a plan by name, and those that each has to wait for.
pub type Steps = &'static [(&'static str, &'static [&'static str])];

/// The steps of [`Work`].
const STEPS: Steps = &[
    ("first", &[]),
    ("second", &["first"]),
    ("third", &["second"]),
];

/// The plan of [`Work`].
pub fn plan(work: &Work, plan: &mut Plan<Effects>) -> Node<usize> {
    let first = plan.step("first", outside).input(value(work.clone()));
    let mut second = plan
        .step("second", inside)
        .backoff(Duration::from_millis(5), Duration::from_millis(50));
    if work.number.is_multiple_of(4) {
        second = second.queue("inside");
    }
    let second = second.input(first);
    plan.step("third", number).input(second)
}

/// A database with a backlog, a ledger, and worker processes.
#[derive(Debug)]
pub struct Chaos {
    /// The engine.
    pub intendant: Intendant,
    database: Database,
    directory: tempfile::TempDir,
    workers: Vec<Child>,
    concurrency: usize,
    _turn: SemaphorePermit<'static>,
}

/// Each has several processes, and some are measured: on two cores, more at once would be measured instead of them.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What the ledger and the database say in the end.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Steps that ran more than once without having been recorded, which is allowed.
    pub repeated: usize,
}

impl Chaos {
    /// Makes a database with this backlog.
    pub async fn new(
        kind: StoreKind,
        backlog: impl IntoIterator<Item = Work>,
        concurrency: usize,
    ) -> Result<Self> {
        Self::on(Database::new(kind).await?, backlog, concurrency).await
    }

    /// Makes the backlog on this database.
    pub async fn on(
        database: Database,
        backlog: impl IntoIterator<Item = Work>,
        concurrency: usize,
    ) -> Result<Self> {
        let intendant = Intendant::open(&database.url).await?;
        let chaos = Self::over(database, intendant, concurrency).await?;
        chaos.intendant.request_all(backlog).await?;
        Ok(chaos)
    }

    /// The same without a backlog, whatever schema there is.
    pub async fn over(
        database: Database,
        intendant: Intendant,
        concurrency: usize,
    ) -> Result<Self> {
        let turn = AT_ONCE.acquire().await?;
        database
            .run_sql("create table effect (intent text not null)")
            .await?;
        let directory = scratch::directory()?;
        Ok(Self {
            _turn: turn,
            intendant,
            database,
            directory,
            workers: Vec::new(),
            concurrency,
        })
    }

    /// Where effects are written down.
    pub fn ledger(&self) -> PathBuf {
        self.directory.path().join("ledger")
    }

    /// What is in the ledger so far.
    pub fn lines(&self) -> Result<Vec<Line>> {
        read(&self.ledger())
    }

    /// What a worker process is told.
    pub fn arguments(&self) -> Result<[String; 3]> {
        let ledger = self.ledger();
        let ledger = ledger.to_str().context("a path")?;
        Ok([
            self.database.url.clone(),
            ledger.to_owned(),
            self.concurrency.to_string(),
        ])
    }

    /// Starts one more worker process.
    pub fn spawn(&mut self) -> Result<u32> {
        self.spawn_of(&binary::path("chaos-worker")?)
    }

    /// Starts one more worker process, of this program.
    pub fn spawn_of(&mut self, program: &Path) -> Result<u32> {
        self.spawn_by(Command::new(program))
    }

    /// Starts one more worker process, by a command that ends with the program.
    pub fn spawn_by(&mut self, mut command: Command) -> Result<u32> {
        let child = command
            .args(self.arguments()?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a worker process")?;
        let pid = child.id();
        self.workers.push(child);
        Ok(pid)
    }

    /// Kills the worker at this place (modulo their number) and starts another one. True: a step of it was running.
    pub fn kill_one(&mut self, which: usize) -> Result<bool> {
        let pid = self.workers[which % self.workers.len()].id();
        let running = self.kill(pid)?;
        self.spawn()?;
        Ok(running)
    }

    /// Kills a worker. True: a step of it was running.
    pub fn kill(&mut self, pid: u32) -> Result<bool> {
        let place = self.workers.iter().position(|worker| worker.id() == pid);
        let mut worker = self.workers.swap_remove(place.context("no such worker")?);
        let killed = worker.kill();
        worker.wait()?;
        killed?;
        self.is_running_a_step(pid)
    }

    /// Whether a step has started in this process and not ended.
    pub fn is_running_a_step(&self, pid: u32) -> Result<bool> {
        let mut open = 0i64;
        let pid = pid.to_string();
        for line in read(&self.ledger())? {
            if line.pid == pid {
                open += if line.started { 1 } else { -1 };
            }
        }
        Ok(open > 0)
    }

    /// Sends a signal to a worker process.
    pub fn signal(&self, pid: u32, signal: &str) -> Result<()> {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &pid.to_string()])
            .status()?;
        ensure!(status.success(), "kill -{signal} {pid}");
        Ok(())
    }

    /// Starts workers anew that have died by themselves; returns how many.
    pub fn respawn_dead(&mut self) -> Result<usize> {
        let mut dead = 0;
        for place in (0..self.workers.len()).rev() {
            if self.workers[place].try_wait()?.is_some() {
                self.workers.swap_remove(place).wait()?;
                dead += 1;
            }
        }
        for _ in 0..dead {
            self.spawn()?;
        }
        Ok(dead)
    }

    /// Waits until nothing is unfinished; `meanwhile` is called again and again, and the invariants hold at any time.
    pub async fn drain(
        &mut self,
        limit: Duration,
        mut meanwhile: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        let mut checked = start;
        loop {
            let unfinished = self.intendant.unfinished().await?;
            if unfinished.total() == 0 {
                return Ok(());
            }
            ensure!(
                start.elapsed() < limit,
                "still unfinished after {limit:?}: {unfinished:?}"
            );
            meanwhile(self)?;
            if checked.elapsed() > Duration::from_millis(500) {
                self.check().await?;
                checked = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resumes every failed intent; returns how many there were.
    pub async fn resume_failed(&self) -> Result<usize> {
        let filter = intendant::IntentFilter {
            state: Some(IntentState::Failed),
            limit: Some(1_000),
            ..Default::default()
        };
        let failed = self.intendant.list(filter).await?;
        for record in &failed {
            self.intendant
                .resume(record.id, "chaos", Some("it was innocent"))
                .await?;
        }
        Ok(failed.len())
    }

    /// Stops all workers gracefully; returns what they printed: how many ticks of theirs were refused.
    pub fn stop(&mut self) -> Result<u64> {
        let mut fenced = 0;
        for worker in &self.workers {
            self.signal(worker.id(), "TERM")?;
        }
        for worker in std::mem::take(&mut self.workers) {
            let output = worker.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.is_empty() && output.status.signal() == Some(15) {
                // It was told before it could hear: it had only just been started, and had nothing in hand.
                continue;
            }
            ensure!(
                output.status.success(),
                "a worker ended badly: {}: {text}",
                output.status
            );
            fenced += text
                .trim()
                .parse::<u64>()
                .with_context(|| format!("a worker said {text:?}"))?;
        }
        Ok(fenced)
    }

    async fn check(&self) -> Result<()> {
        let breaches = self.intendant.invariant_breaches().await?;
        ensure!(breaches.is_empty(), "invariants are broken: {breaches:?}");
        Ok(())
    }

    /// Judges by the ledger and the rows: nothing lost, no recorded result run again, database effects exactly once.
    pub async fn judge(&self, intents: usize, failed: usize) -> Result<Judgement> {
        self.judge_paused(intents, failed, 0).await
    }

    /// The same of workers that were paused. What a worker had decided to start when it was stopped, it starts when it
    /// wakes up; its result is refused. `stale`: how often at most.
    pub async fn judge_paused(
        &self,
        intents: usize,
        failed: usize,
        stale: usize,
    ) -> Result<Judgement> {
        self.judge_steps(STEPS, intents, failed, stale).await
    }

    /// The same of intents that have these steps.
    pub async fn judge_steps(
        &self,
        steps: Steps,
        intents: usize,
        failed: usize,
        stale: usize,
    ) -> Result<Judgement> {
        self.check().await?;
        let unfinished = self.intendant.unfinished().await?;
        ensure!(unfinished.total() == 0, "lost: {unfinished:?}");
        let (succeeded, failures) = self.count(intents).await?;
        ensure!(
            failures.len() == failed,
            "{} failed instead of {failed}: {failures:?}",
            failures.len()
        );
        ensure!(
            succeeded + failed == intents,
            "{succeeded} of {intents} succeeded"
        );

        // How often each step of each intent has started.
        let mut runs: HashMap<String, Vec<usize>> = HashMap::new();
        let mut again = Vec::new();
        for line in read(&self.ledger())?
            .into_iter()
            .filter(|line| line.started)
        {
            let place = steps.iter().position(|(name, _)| *name == line.step);
            let place = place.context("a step")?;
            let text = format!("{} ran `{}` again", line.intent, line.step);
            let runs = runs
                .entry(line.intent)
                .or_insert_with(|| vec![0; steps.len()]);
            // A step starts only when those before it are recorded: seeing one of these again after that is a recorded
            // result that was run again.
            let mut started = steps.iter().zip(runs.iter()).filter(|(_, runs)| **runs > 0);
            if started.any(|((_, before), _)| before.contains(&line.step.as_str())) {
                again.push(text);
            }
            runs[place] += 1;
        }
        ensure!(
            again.len() <= stale,
            "what was recorded ran again: {again:?}"
        );
        ensure!(runs.len() == intents, "{} of {intents} ran", runs.len());
        let doubled = self.doubled_effects(intents).await?;
        ensure!(
            doubled == 0,
            "{doubled} intents have not exactly one effect in the database"
        );
        let repeated = runs.values().flatten().filter(|count| **count > 1).count();
        Ok(Judgement { repeated })
    }

    async fn count(&self, intents: usize) -> Result<(usize, Vec<(IntentId, String)>)> {
        let (mut succeeded, mut failures, mut before) = (0, Vec::new(), None);
        loop {
            let filter = intendant::IntentFilter {
                before,
                limit: Some(1_000),
                ..Default::default()
            };
            let page = self.intendant.list(filter).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            for record in &page {
                match record.state {
                    IntentState::Succeeded => succeeded += 1,
                    IntentState::Failed => {
                        failures.push((record.id, record.error.clone().unwrap_or_default()))
                    }
                    state => bail!("{} is {state}", record.id),
                }
            }
            ensure!(
                succeeded + failures.len() <= intents,
                "more intents than were asked for"
            );
        }
        Ok((succeeded, failures))
    }

    async fn doubled_effects(&self, intents: usize) -> Result<i64> {
        let number = |what: &str| {
            let sql = format!("select count({what}) from effect");
            async move { self.database.number(&sql).await }
        };
        let (rows, distinct) = (number("*").await?, number("distinct intent").await?);
        Ok((rows - distinct).abs() + (intents as i64 - distinct).abs())
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.kill().ok();
            worker.wait().ok();
        }
    }
}

/// A line of the ledger.
#[derive(Debug)]
pub struct Line {
    /// A step has started; otherwise it has ended.
    pub started: bool,
    /// The intent's id.
    pub intent: String,
    /// The step.
    pub step: String,
    /// The process.
    pub pid: String,
}

fn read(ledger: &Path) -> Result<Vec<Line>> {
    if !ledger.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(ledger)?;
    // What stands behind the last line is still being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(parse).collect()
}

/// A writer that is killed at the end of a page leaves the beginning of a line, which the next one's then stands behind.
fn parse(line: &str) -> Result<Line> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [.., what, intent, step, pid] = words.as_slice() else {
        bail!("no line of the ledger: {line:?}");
    };
    let started = what.ends_with("start");
    ensure!(
        started || what.ends_with("end"),
        "no line of the ledger: {line:?}"
    );
    Ok(Line {
        started,
        intent: (*intent).to_owned(),
        step: (*step).to_owned(),
        pid: (*pid).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_line_that_was_cut_off_is_left_out() -> Result<()> {
        for line in ["start i1 s 7", "starstart i1 s 7", "end i0 sstart i1 s 7"] {
            let line = parse(line)?;
            let read = (line.started, &*line.intent, &*line.step, &*line.pid);
            assert_eq!(read, (true, "i1", "s", "7"));
        }
        assert!(!parse("end i1 s 7")?.started);
        assert!(parse("star").is_err());
        Ok(())
    }
}
