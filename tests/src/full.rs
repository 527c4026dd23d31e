//! A disk that is full, as far as a process can tell: none of its files may grow beyond a limit (`RLIMIT_FSIZE`).
//!
//! No test may count on a file system of its own, which takes privileges. Files that are smaller go on growing, and what is
//! written within one goes on being written. A write that would pass the limit is cut short, as on a full disk; the next one
//! is `EFBIG` and not `ENOSPC`: SQLite calls that an I/O error, PostgreSQL has no code for it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sqlx::{Connection as _, PgConnection};

use crate::postgres;

/// A program that is told that it has written too much, and not killed for it (SIGXFSZ). A signal that is ignored stays so
/// when a shell becomes the program.
pub fn forgiving(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command.arg(program);
    command
}

/// From now on no file of this process may grow beyond so many bytes; none: beyond any.
pub fn limit(pid: u32, bytes: Option<u64>) -> Result<()> {
    set(Command::new("prlimit"), pid, bytes)
}

/// The same of a server of our own, which forgives by itself, and all that it has started. `url`: of an administrator.
pub async fn limit_server(url: &str, bytes: Option<u64>) -> Result<()> {
    let mut admin = PgConnection::connect(url).await?;
    let file: String = sqlx::query_scalar("select pg_read_file('postmaster.pid')")
        .fetch_one(&mut admin)
        .await?;
    let server = file.lines().next().context("the server's process")?;
    set_as_server(server.parse()?, bytes)?;
    // Whoever is started from here on has it from the server.
    let processes: Vec<i32> = sqlx::query_scalar("select pid from pg_stat_activity")
        .fetch_all(&mut admin)
        .await?;
    for process in processes {
        // One may have ended meanwhile.
        let done = set_as_server(process.try_into()?, bytes);
        let is_there = Path::new(&format!("/proc/{process}")).exists();
        ensure!(!is_there || done.is_ok(), "{done:?}");
    }
    admin.close().await?;
    Ok(())
}

/// How often a server of our own has said that a file could not grow. `url`: of an administrator.
pub async fn refused_by_server(url: &str) -> Result<i64> {
    let mut admin = PgConnection::connect(url).await?;
    let log = "pg_read_file(current_setting('data_directory') || '/../log')";
    let count = format!("select count(*) from regexp_matches({log}, 'could not extend file', 'g')");
    let refused = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
        .fetch_one(&mut admin)
        .await?;
    admin.close().await?;
    Ok(refused)
}

/// A process of another user's is that user's to limit, even for root in a container.
fn set_as_server(pid: u32, bytes: Option<u64>) -> Result<()> {
    let mut command = postgres::as_somebody_else()?;
    command.arg("prlimit");
    set(command, pid, bytes)
}

/// The soft limit alone: the way back takes no privilege.
fn set(mut command: Command, pid: u32, bytes: Option<u64>) -> Result<()> {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let output = command
        .args(["--pid", &pid.to_string(), &format!("--fsize={soft}:")])
        .current_dir("/")
        .output()
        .context("running `prlimit` of util-linux")?;
    ensure!(
        output.status.success(),
        "limiting process {pid}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
