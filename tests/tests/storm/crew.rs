//! The workers, in processes of their own, and whoever starts them again when they are gone.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use intendant::StoreKind;
use intendant_tests::{binary, clock};
use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, WORKERS};

/// How long a worker that was woken has to try what it wanted to write, before it is told to stop and tell.
const AWAKE: Duration = Duration::from_millis(500);

/// How many seconds the clocks of the workers are ahead, one each, where nothing that the database is told depends on them. On
/// SQLite the process's clock is the database's.
const CLOCKS_S: [i64; WORKERS] = [-300, 0, 300];

/// What becomes of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    AtWork,
    Stopped { until: Instant },
    Woken { until: Instant },
}

struct Worker {
    child: Child,
    ahead_s: i64,
    stage: Stage,
}

/// Workers that are killed when this is dropped.
pub(crate) struct Crew {
    program: PathBuf,
    arguments: [String; 3],
    kind: StoreKind,
    workers: Vec<Worker>,
    /// Those that were told to stop, and when.
    leaving: Vec<(Child, Instant)>,
    /// The processes that were killed, as the ledger has them.
    pub(crate) killed: Vec<String>,
    /// Those whose clock was wrong.
    pub(crate) off_clock: Vec<String>,
    /// Those that were woken.
    pub(crate) paused: u64,
    /// Ticks that were refused, of those that were told to stop.
    pub(crate) refused: u64,
    /// Those that found no database.
    pub(crate) without_database: u64,
}

impl Crew {
    /// Starts the workers.
    pub(crate) fn start(arguments: [String; 3], kind: StoreKind) -> Result<Self> {
        let mut crew = Self {
            program: binary::path("chaos-worker")?,
            arguments,
            kind,
            workers: Vec::new(),
            leaving: Vec::new(),
            killed: Vec::new(),
            off_clock: Vec::new(),
            paused: 0,
            refused: 0,
            without_database: 0,
        };
        for _ in 0..WORKERS {
            crew.spawn()?;
        }
        Ok(crew)
    }

    fn spawn(&mut self) -> Result<()> {
        let ahead_s = self.next_clock();
        let mut command = Command::new(&self.program);
        if ahead_s != 0 {
            command.env(clock::AHEAD_S, ahead_s.to_string());
        }
        let child = command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a worker process")?;
        if ahead_s != 0 {
            self.off_clock.push(child.id().to_string());
        }
        self.workers.push(Worker {
            child,
            ahead_s,
            stage: Stage::AtWork,
        });
        Ok(())
    }

    /// The clock that no worker has now.
    fn next_clock(&self) -> i64 {
        let is_free = |ahead_s: &i64| !self.workers.iter().any(|worker| worker.ahead_s == *ahead_s);
        match self.kind {
            StoreKind::Sqlite => 0,
            StoreKind::Postgres => CLOCKS_S.into_iter().find(is_free).unwrap_or_default(),
        }
    }

    /// One of those that are at work.
    fn at_work(&self, which: usize) -> Option<usize> {
        let at_work = |place: &usize| self.workers[*place].stage == Stage::AtWork;
        let places: Vec<usize> = (0..self.workers.len()).filter(at_work).collect();
        places.get(which % places.len().max(1)).copied()
    }

    /// Kills one of those that are at work, and starts another one.
    pub(crate) fn kill(&mut self, which: usize) -> Result<()> {
        let Some(place) = self.at_work(which) else {
            return Ok(());
        };
        let mut child = self.workers.swap_remove(place).child;
        // Of one that has ended by itself meanwhile it is not said that it was killed.
        if child.try_wait()?.is_none() {
            child.kill()?;
            self.killed.push(child.id().to_string());
        }
        let status = child.wait()?;
        if status.signal() != Some(9) {
            self.gone(status)?;
        }
        self.spawn()
    }

    /// Stops one of those that are at work. It goes on by itself after some time ([`attend`](Self::attend)).
    pub(crate) fn pause(&mut self, which: usize, lasts: Duration) -> Result<()> {
        let Some(place) = self.at_work(which) else {
            return Ok(());
        };
        let worker = &mut self.workers[place];
        if worker.child.try_wait()?.is_none() {
            signal(&worker.child, Signal::STOP)?;
            let until = Instant::now() + lasts;
            worker.stage = Stage::Stopped { until };
        }
        Ok(())
    }

    /// Wakes whoever was stopped for long enough, lets go whoever has been woken for long enough, and starts anew whoever has
    /// ended by itself.
    pub(crate) fn attend(&mut self) -> Result<()> {
        let now = Instant::now();
        for place in (0..self.workers.len()).rev() {
            match self.workers[place].stage {
                Stage::Stopped { until } if until <= now => self.wake(place)?,
                Stage::Woken { until } if until <= now => {
                    let child = self.workers.swap_remove(place).child;
                    self.leave(child)?;
                    self.spawn()?;
                }
                Stage::AtWork | Stage::Stopped { .. } | Stage::Woken { .. } => {}
            }
        }
        self.revive()?;
        self.see_off()
    }

    fn wake(&mut self, place: usize) -> Result<()> {
        let worker = &mut self.workers[place];
        signal(&worker.child, Signal::CONT)?;
        let until = Instant::now() + AWAKE;
        worker.stage = Stage::Woken { until };
        self.paused += 1;
        Ok(())
    }

    /// Wakes all that are stopped.
    pub(crate) fn wake_all(&mut self) -> Result<()> {
        for place in 0..self.workers.len() {
            if matches!(self.workers[place].stage, Stage::Stopped { .. }) {
                self.wake(place)?;
            }
        }
        Ok(())
    }

    /// Starts anew whoever has ended by itself, as a supervisor does.
    pub(crate) fn revive(&mut self) -> Result<()> {
        for place in (0..self.workers.len()).rev() {
            if let Some(status) = self.workers[place].child.try_wait()? {
                self.workers.swap_remove(place);
                self.gone(status)?;
                self.spawn()?;
            }
        }
        Ok(())
    }

    /// By itself a worker ends only if it finds no database as it begins, or as it stops; that is never so of a file.
    fn gone(&mut self, status: ExitStatus) -> Result<()> {
        ensure!(
            self.kind == StoreKind::Postgres && status.code() == Some(1),
            "a worker has ended by itself: {status}"
        );
        self.without_database += 1;
        Ok(())
    }

    fn leave(&mut self, mut child: Child) -> Result<()> {
        if child.try_wait()?.is_none() {
            signal(&child, Signal::TERM)?;
        }
        self.leaving.push((child, Instant::now()));
        Ok(())
    }

    /// Hears what those that have stopped have to say.
    fn see_off(&mut self) -> Result<()> {
        for place in (0..self.leaving.len()).rev() {
            let (child, told) = &mut self.leaving[place];
            if child.try_wait()?.is_some() {
                let (child, _) = self.leaving.swap_remove(place);
                self.hear(child)?;
            } else {
                ensure!(
                    told.elapsed() < PATIENCE,
                    "a worker was told to stop, and has not in {PATIENCE:?}"
                );
            }
        }
        Ok(())
    }

    fn hear(&mut self, child: Child) -> Result<()> {
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.is_empty() && output.status.signal() == Some(15) {
            // It was told before it could hear: it had only just been started, and had nothing in hand.
            return Ok(());
        }
        if !output.status.success() {
            return self.gone(output.status);
        }
        let refused = text.trim().parse::<u64>();
        self.refused += refused.with_context(|| format!("a worker said {text:?}"))?;
        Ok(())
    }

    /// Tells all to stop, and waits until they have.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        for worker in std::mem::take(&mut self.workers) {
            self.leave(worker.child)?;
        }
        while !self.leaving.is_empty() {
            self.see_off()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).with_context(|| format!("{signal:?} to process {}", child.id()))
}

impl Drop for Crew {
    fn drop(&mut self) {
        let workers = self.workers.iter_mut().map(|worker| &mut worker.child);
        for child in workers.chain(self.leaving.iter_mut().map(|(child, _)| child)) {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
