//! The demo's hints, followed word by word: pasted into a shell, in the directory that the demo was called in.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use intendant::StoreKind;
use intendant_api::demo::audit;
use intendant_tests::database::Database;
use intendant_tests::{binary, postgres};

/// A name that a shell and a URL would take apart.
const DIRECTORY: &str = "it's 100% a demo?";

/// Where the demo is called.
struct Place {
    kind: StoreKind,
    directory: tempfile::TempDir,
    database: Database,
}

impl Place {
    async fn new(kind: StoreKind) -> Result<Self> {
        Ok(Self {
            kind,
            directory: tempfile::tempdir()?,
            database: Database::new(kind).await?,
        })
    }

    /// Calls the demo; on SQLite with its own database, in its own directory.
    fn demo(&self, options: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary::path("intendant")?);
        command
            .args(["demo", "--rows", "500", "--directory", DIRECTORY])
            .args(options);
        if self.kind == StoreKind::Postgres {
            command.args(["--database-url", &self.database.url]);
        }
        self.end(command)
    }

    fn end(&self, mut command: Command) -> Result<Output> {
        let command = command
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command.output().with_context(|| format!("{command:?}"))
    }

    /// What a shell says of a line; the line has to succeed.
    async fn follow(&self, line: &str) -> Result<String> {
        if line.starts_with("sqlite3 ") && !is_on_path("sqlite3") {
            return self.by_another_sqlite(line).await;
        }
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        if let Some(bin) = postgres::client_binaries() {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", bin.display()));
        }
        let output = self.end(command)?;
        ensure!(output.status.success(), "{line}\n{output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same statement on the same file, where SQLite's shell is not installed.
    async fn by_another_sqlite(&self, line: &str) -> Result<String> {
        let (file, sql) = line.split_once(" \"").context("a file and a statement")?;
        let echo = format!("printf %s {}", file.trim_start_matches("sqlite3 "));
        let mut command = Command::new("sh");
        command.args(["-c", &echo]);
        let file = String::from_utf8(self.end(command)?.stdout)?;
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(self.directory.path().join(file));
        let pool = sqlx::SqlitePool::connect_with(options).await?;
        let sql = sqlx::AssertSqlSafe(sql.trim_end_matches('"').to_owned());
        let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&pool).await?;
        pool.close().await;
        Ok(rows
            .into_iter()
            .map(|(name, state)| format!("{name}|{state}\n"))
            .collect())
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The lines of a demo's output that are to be followed.
fn hints(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines()
        .skip_while(|line| !line.starts_with("look further"))
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .map(str::to_owned)
        .collect()
}

/// What the demo names between backticks in its last line that has any.
fn command_named(output: &Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().rfind(|line| line.contains('`'));
    let line = line.context("a command")?;
    Ok(line.split('`').nth(1).context("a command")?.to_owned())
}

async fn ends_empty(directory: &Path) -> Result<()> {
    let there = audit(&directory.join(DIRECTORY)).await?;
    ensure!(there.is_empty(), "left over: {there}");
    Ok(())
}

/// SQL, history and record of an intent; each names what it is about.
async fn look(place: &Place, hints: &[String]) -> Result<()> {
    let [sql, history, show] = hints else {
        anyhow::bail!("{hints:?}");
    };
    let shell = match place.kind {
        StoreKind::Sqlite => "sqlite3 ",
        StoreKind::Postgres => "psql ",
    };
    ensure!(sql.starts_with(shell), "{sql}");
    for (line, expected) in [
        (sql, "snapshot"),
        (history, "replica.add"),
        (show, "snapshot"),
    ] {
        let said = place.follow(line).await?;
        ensure!(said.contains(expected), "{line}\n{said}");
    }
    Ok(())
}

async fn hints_can_be_followed(kind: StoreKind) -> Result<()> {
    let place = Place::new(kind).await?;
    let kept = place.demo(&["--keep"])?;
    ensure!(kept.status.success(), "{kept:?}");
    look(&place, &hints(&kept)).await?;
    let said = place.follow(&command_named(&kept)?).await?;
    ensure!(said.contains("nothing leaked"), "{said}");

    let failed = place.demo(&["--fail-at", "volume"])?;
    ensure!(failed.status.code() == Some(1), "{failed:?}");
    let lines = hints(&failed);
    let [.., demo, resume] = lines.as_slice() else {
        anyhow::bail!("{lines:?}");
    };
    look(&place, &lines[..3]).await?;
    let said = place.follow(demo).await?;
    ensure!(said.contains("nothing leaked"), "{said}");
    ends_empty(place.directory.path()).await?;

    // Or by way of the command line, for the next demo to go on with.
    let failed = place.demo(&["--fail-at", "volume"])?;
    let lines = hints(&failed);
    ensure!(lines.last() != Some(resume), "another intent");
    place.follow(lines.last().context("a hint")?).await?;
    place.follow(&command_named(&failed)?).await?;
    ends_empty(place.directory.path()).await
}

#[tokio::test]
async fn hints_can_be_followed_on_sqlite() -> Result<()> {
    hints_can_be_followed(StoreKind::Sqlite).await
}

#[tokio::test]
async fn hints_can_be_followed_on_postgres() -> Result<()> {
    hints_can_be_followed(StoreKind::Postgres).await
}
