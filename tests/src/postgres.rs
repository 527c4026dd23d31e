//! A PostgreSQL server for the tests: `DATABASE_URL` if it is set, otherwise a throw-away cluster of this process's own.
//!
//! The cluster is run by a small shell script which waits for the end of its standard input: when this process ends, in
//! whatever way, the script stops the server and removes its directory.

use std::io::{BufRead, BufReader, Lines, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use crate::scratch;

/// A running server of our own. Stops when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    /// Closing it is what ends the script and the server.
    guard: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();

/// URL of a server's maintenance database, from which tests make databases of their own.
///
/// # Panics
///
/// When there is no server to be had, with one line that says what to install. Tests on PostgreSQL are never skipped.
pub fn server_url() -> String {
    if let Ok(url) = std::env::var("DATABASE_URL") {
        return url;
    }
    match SHARED.get_or_init(|| Cluster::start().map_err(|error| format!("{error:#}"))) {
        Ok(cluster) => cluster.url(),
        Err(error) => panic!("no PostgreSQL for the tests: {error}"),
    }
}

/// It does not wait for the disk: processes die in these tests, no machine does. Of databases of a second's life by the hundred,
/// nobody analyses any, and their statements are not compiled.
const OPTIONS: &str = "-c fsync=off -c full_page_writes=off -c autovacuum_naptime=1h -c jit=off";

const SCRIPT: &str = r#"
set -eu
# What is left of scripts that were killed themselves. Their servers stop when their files are gone.
for left in /dev/shm/intendant-pg.* "${TMPDIR:-/tmp}"/intendant-pg.*; do
  pid=$(cat "$left/pid" 2>/dev/null) || continue
  kill -0 "$pid" 2>/dev/null || rm -rf "$left" || true
done
dir=$(mktemp -d "$CLUSTERS.XXXXXX")
echo $$ >"$dir/pid"
trap 'kill -INT "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$dir"' EXIT
trap '' INT TERM HUP
server=
start() {
  "$BIN/postgres" -D "$dir/data" -p "$PORT" -k "$dir" -c listen_addresses=127.0.0.1 -c max_connections=300 \
    -c shared_buffers=256MB -c max_wal_size=1GB $OPTIONS >>"$dir/log" 2>&1 </dev/null &
  server=$!
  for i in $(seq 400); do
    "$BIN/pg_isready" -q -h 127.0.0.1 -p "$PORT" && { echo ready; return; }
    kill -0 "$server" 2>/dev/null || { cat "$dir/log"; exit 1; }
    sleep 0.05
  done
  exit 1
}
"$BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --wal-segsize="$WAL_MB" \
  >"$dir/initdb.log" 2>&1 \
  || { cat "$dir/initdb.log"; exit 1; }
start
while read -r away; do
  # An immediate shutdown, as if the server had crashed; then it stays away for a while.
  kill -QUIT "$server"
  wait "$server" || true
  sleep "$away"
  start
done
"#;

impl Cluster {
    /// Starts a server on a free port.
    pub fn start() -> Result<Self> {
        Self::start_with(16)
    }

    /// The same, with a write-ahead log in files of so many megabytes (a power of two).
    pub fn start_with(wal_mb: u32) -> Result<Self> {
        let bin = server_binaries()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = as_somebody_else()?;
        command
            .args(["sh", "-c", SCRIPT])
            .env("BIN", &bin)
            .env("PORT", port.to_string())
            .env("CLUSTERS", scratch::parent().join("intendant-pg"))
            .env("OPTIONS", OPTIONS)
            .env("WAL_MB", wal_mb.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut script = command.spawn().context("starting the server's script")?;
        let guard = script.stdin.take().context("the script's input")?;
        let output = script.stdout.take().context("the script's output")?;
        let mut cluster = Self {
            port,
            guard,
            said: BufReader::new(output).lines(),
        };
        cluster
            .await_ready()
            .with_context(|| format!("starting the server in {}", bin.display()))?;
        Ok(cluster)
    }

    /// Crashes the server and starts it again after it has been away for some time.
    pub fn crash(&mut self, away: std::time::Duration) -> Result<()> {
        writeln!(self.guard, "{}", away.as_secs_f64())?;
        self.await_ready().context("starting the server again")
    }

    fn await_ready(&mut self) -> Result<()> {
        let mut said = Vec::new();
        loop {
            match self.said.next() {
                Some(Ok(line)) if line == "ready" => return Ok(()),
                Some(Ok(line)) => said.push(line),
                Some(Err(_)) | None => bail!("it did not start: {}", said.join(" | ")),
            }
        }
    }

    /// URL of its maintenance database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

/// Where `psql` is, if not on the PATH: beside the server's binaries.
pub fn client_binaries() -> Option<PathBuf> {
    find_binaries().filter(|bin| bin.join("psql").is_file())
}

/// Where `initdb` and `postgres` are. Installs Debian's package if there is none and this user may.
fn server_binaries() -> Result<PathBuf> {
    if let Some(found) = find_binaries() {
        return Ok(found);
    }
    let installed = Command::new("sh")
        .args(["-c", "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = if installed.is_ok_and(|status| status.success()) {
        find_binaries()
    } else {
        None
    };
    found.context(
        "install PostgreSQL 14 or newer (Debian: apt-get install postgresql), or set DATABASE_URL",
    )
}

fn find_binaries() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, bin)| is_server(bin))
        .collect();
    versions.sort();
    if let Some((_, newest)) = versions.pop() {
        return Some(newest);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|directory| is_server(directory))
}

fn is_server(bin: &Path) -> bool {
    bin.join("initdb").is_file() && bin.join("postgres").is_file()
}

/// `initdb` refuses root: step down to another user.
pub(crate) fn as_somebody_else() -> Result<Command> {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .context("running `id`")?;
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return Ok(Command::new("env"));
    }
    let exists = |user: &str| {
        Command::new("id")
            .arg(user)
            .output()
            .is_ok_and(|id| id.status.success())
    };
    let user = ["postgres", "nobody"].into_iter().find(|user| exists(user));
    let user = user
        .context("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")?;
    ensure!(
        Path::new("/usr/sbin/runuser").exists() || Path::new("/sbin/runuser").exists(),
        "install util-linux (runuser)"
    );
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--", "env"]);
    Ok(command)
}
