//! The demo killed in every step in turn and continued, failed and resumed, on both stores: nothing leaked, nothing made
//! twice. What it says, and that its hints can be followed, is in `said` and `hints`.

mod hints;
mod said;

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use intendant::{IntentFilter, IntentRecord, IntentState, StepState, StoreKind};
use intendant_api::demo::{Audit, audit};
use intendant_tests::binary;
use intendant_tests::database::Database;

const SIGKILL: i32 = 9;

/// A directory and an engine's database for demos.
struct Stage {
    database: Database,
    directory: tempfile::TempDir,
}

impl Stage {
    async fn new(kind: StoreKind) -> Result<Self> {
        Ok(Self {
            database: Database::new(kind).await?,
            directory: tempfile::tempdir()?,
        })
    }

    fn directory(&self) -> PathBuf {
        self.directory.path().join("demo")
    }

    /// Runs `intendant demo` to its end.
    fn demo(&self, options: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary::path("intendant")?);
        command.args([
            "demo",
            "--rows",
            "2000",
            "--database-url",
            &self.database.url,
            "--directory",
        ]);
        command
            .arg(self.directory())
            .args(options)
            .stdin(Stdio::null());
        command.output().context("running `intendant demo`")
    }

    /// Runs it to an exit code.
    fn expect(&self, options: &[&str], code: i32) -> Result<String> {
        let output = self.demo(options)?;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.code() == Some(code),
            "demo {options:?}: {}\n{stdout}\n{stderr}",
            output.status
        );
        Ok(stdout.into_owned())
    }

    /// Runs it to its death in that step.
    fn kill_at(&self, step: &str) -> Result<()> {
        let output = self.demo(&["--kill-at", step])?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.signal() == Some(SIGKILL),
            "--kill-at {step}: {}\n{stderr}",
            output.status
        );
        Ok(())
    }

    async fn audit(&self) -> Result<Audit> {
        audit(&self.directory()).await
    }

    /// The only intent of that kind: continuing asks for no other.
    async fn only(&self, kind: &str) -> Result<IntentRecord> {
        let intendant = self.database.connect().await?;
        let mut found = intendant
            .list(IntentFilter {
                kind: Some(kind.to_owned()),
                ..IntentFilter::default()
            })
            .await?;
        ensure!(found.len() == 1, "{} intents of kind {kind}", found.len());
        found.pop().context("an intent")
    }
}

/// Killed in one step, continued to the replica, of which there must be one; then removed, of which nothing may be left.
async fn killed_and_continued(kind: StoreKind, step: &str) -> Result<()> {
    let stage = Stage::new(kind).await?;
    stage.kill_at(step)?;
    stage.expect(&["--keep"], 0)?;
    let there = stage.audit().await?;
    ensure!(
        there == Audit::of_replicas(1),
        "after --kill-at {step}: {there}"
    );
    let added = stage.only("replica.add").await?;
    ensure!(added.state == IntentState::Succeeded);
    let events = stage.database.connect().await?.events(added.id).await?;
    ensure!(
        events.len() == 1 && events[0].verb == "take over",
        "the crash left no trace: {events:?}"
    );
    stage.expect(&[], 0)?;
    let there = stage.audit().await?;
    ensure!(there.is_empty(), "left over: {there}");
    ensure!(stage.only("replica.remove").await?.state == IntentState::Succeeded);
    let breaches = stage.database.connect().await?.invariant_breaches().await?;
    ensure!(breaches.is_empty(), "{breaches:?}");
    Ok(())
}

macro_rules! killed_at {
    ($($name:ident: $step:literal;)*) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() -> anyhow::Result<()> {
                super::killed_and_continued(intendant::StoreKind::Sqlite, $step).await
            }

            #[tokio::test]
            async fn on_postgres() -> anyhow::Result<()> {
                super::killed_and_continued(intendant::StoreKind::Postgres, $step).await
            }
        }
    )*};
}

killed_at! {
    killed_at_snapshot: "snapshot";
    killed_at_volume: "volume";
    killed_at_server: "server";
    killed_at_address: "address";
    killed_at_join: "join";
}

/// One and the same run is killed at each of these steps, of the removal too. Each comes after the one before it, so
/// none can be over before it is its turn.
async fn killed_in_turn(kind: StoreKind, steps: &[&str]) -> Result<()> {
    let stage = Stage::new(kind).await?;
    for step in steps {
        stage.kill_at(step)?;
    }
    stage.expect(&[], 0)?;
    let there = stage.audit().await?;
    ensure!(there.is_empty(), "left over: {there}");
    for kind in ["replica.add", "replica.remove"] {
        ensure!(stage.only(kind).await?.state == IntentState::Succeeded);
    }
    Ok(())
}

const STORAGE: [&str; 8] = [
    "snapshot",
    "volume",
    "join",
    "unpublish",
    "stop",
    "delete-volume",
    "delete-snapshot",
    "verify",
];
const NETWORK: [&str; 7] = [
    "server",
    "address",
    "join",
    "unpublish",
    "stop",
    "release",
    "verify",
];

#[tokio::test]
async fn killed_at_every_step_of_the_storage_in_turn_on_sqlite() -> Result<()> {
    killed_in_turn(StoreKind::Sqlite, &STORAGE).await
}

#[tokio::test]
async fn killed_at_every_step_of_the_storage_in_turn_on_postgres() -> Result<()> {
    killed_in_turn(StoreKind::Postgres, &STORAGE).await
}

#[tokio::test]
async fn killed_at_every_step_of_the_network_in_turn_on_sqlite() -> Result<()> {
    killed_in_turn(StoreKind::Sqlite, &NETWORK).await
}

#[tokio::test]
async fn killed_at_every_step_of_the_network_in_turn_on_postgres() -> Result<()> {
    killed_in_turn(StoreKind::Postgres, &NETWORK).await
}

/// What had succeeded when the intent failed keeps its result and its times.
async fn failed_and_resumed(kind: StoreKind) -> Result<()> {
    let stage = Stage::new(kind).await?;
    let said = stage.expect(&["--fail-at", "volume"], 1)?;
    let failed = stage.only("replica.add").await?;
    let (id, command) = (failed.id, stage.directory());
    ensure!(failed.state == IntentState::Failed && failed.failed_step.as_deref() == Some("volume"));
    for expected in [
        format!("intendant show {id}"),
        format!("intendant resume {id}"),
        "--resume".to_owned(),
    ] {
        ensure!(
            said.contains(&expected),
            "the demo in {} does not name `{expected}`:\n{said}",
            command.display()
        );
    }
    // Running it again resumes nothing by itself.
    stage.expect(&[], 1)?;
    let intendant = stage.database.connect().await?;
    let before = intendant.steps(id).await?;
    ensure!(intendant.state(id).await? == IntentState::Failed);

    stage.expect(&["--resume", "--keep"], 0)?;
    let after = intendant.steps(id).await?;
    ensure!(
        after.len() == 5 && after.iter().all(|step| step.state == StepState::Succeeded),
        "{after:?}"
    );
    let kept: Vec<_> = before
        .iter()
        .filter(|step| step.state == StepState::Succeeded)
        .collect();
    ensure!(
        kept.iter().any(|step| step.name == "snapshot"),
        "{before:?}"
    );
    for step in kept {
        let now = after
            .iter()
            .find(|now| now.name == step.name)
            .context("the step")?;
        ensure!(
            (now.started_at, now.finished_at) == (step.started_at, step.finished_at),
            "{step:?} ran again: {now:?}"
        );
    }
    let there = stage.audit().await?;
    ensure!(there == Audit::of_replicas(1), "{there}");
    stage.expect(&[], 0)?;
    let there = stage.audit().await?;
    ensure!(there.is_empty(), "left over: {there}");
    Ok(())
}

#[tokio::test]
async fn failed_and_resumed_on_sqlite() -> Result<()> {
    failed_and_resumed(StoreKind::Sqlite).await
}

#[tokio::test]
async fn failed_and_resumed_on_postgres() -> Result<()> {
    failed_and_resumed(StoreKind::Postgres).await
}
