//! A disk that fills up while workers are at work: nothing is recorded any more, nothing is lost, nobody dies of it and nobody is
//! taken for dead, no intent fails; when there is room again everything goes on by itself.
//!
//! What is full is each file by itself ([`full`]).

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use intendant::{Intent as _, StoreKind};
use intendant_tests::chaos::{self, Chaos, Work};
use intendant_tests::database::Database;
use intendant_tests::postgres::Cluster;
use intendant_tests::serving::Serving;
use intendant_tests::{binary, full, tell};

const WORKERS: usize = 2;
const SLOTS: usize = 16;

/// Tries of ticks that have to be refused, and requests.
const REFUSED: usize = 5;

/// Long enough for who waits behind the others' writes, all of which are due when there is room again.
const LEASE_MS: u64 = 3_000;

/// How long the disk stays full: two leases, so that somebody could be taken for dead.
const STAYS: Duration = Duration::from_millis(2 * LEASE_MS);

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(120);

fn work(number: usize) -> Work {
    Work {
        number,
        step_ms: 2,
        poison: false,
    }
}

/// Workers that write down what they had to try again, and whose disk fills up.
struct Site {
    chaos: Chaos,
    directory: tempfile::TempDir,
    workers: Vec<u32>,
    intents: usize,
}

impl Site {
    async fn new(database: Database, intents: usize) -> Result<Self> {
        Ok(Self {
            chaos: Chaos::on(database, (0..intents).map(work), SLOTS).await?,
            directory: tempfile::tempdir()?,
            workers: Vec::new(),
            intents,
        })
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn start(&mut self) -> Result<()> {
        let program = binary::path("chaos-worker")?;
        for _ in 0..WORKERS {
            let log = File::options().create(true).append(true).open(self.log())?;
            let mut command = full::forgiving(&program);
            command.env("RUST_LOG", "intendant=warn").stderr(log);
            command.env(chaos::LEASE_MS, LEASE_MS.to_string());
            self.workers.push(self.chaos.spawn_by(command)?);
        }
        Ok(())
    }

    /// How often workers have tried a tick again.
    fn ticks_refused(&self) -> Result<usize> {
        let text = std::fs::read(self.log())?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.matches("a tick is tried again").count())
    }

    /// Waits until the workers cannot write any more what they have to.
    async fn until_full(&self) -> Result<()> {
        let begun = Instant::now();
        while self.ticks_refused()? < REFUSED {
            let left = self.chaos.intendant.unfinished().await?.total();
            ensure!(left > 0, "all was done before the disk was full");
            ensure!(begun.elapsed() < PATIENCE, "the disk is not full");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// There is room again: everything comes to its end, and is judged.
    async fn end(mut self, refused: usize) -> Result<()> {
        let waiting = self.chaos.intendant.unfinished().await?.total();
        ensure!(waiting > 0, "all was done although the disk was full");
        self.chaos.drain(PATIENCE, |_| Ok(())).await?;
        let (ticks, log) = (self.ticks_refused()?, self.log());
        // One that has died meanwhile does not say that it was stopped.
        let lost = self.chaos.stop()?;
        let judgement = self.chaos.judge(self.intents, 0).await?;
        let (others, of_transactions) = self.attempts().await?;
        tell!(
            "{}: {ticks} tries of ticks and {refused} requests refused; {waiting} of {} intents waited for room; \
             {of_transactions} attempts at steps with a transaction failed, {} steps ran again",
            self.chaos.intendant.store_kind().as_str(),
            self.intents,
            judgement.repeated
        );
        let log = std::fs::read_to_string(&log)?;
        let of_sessions = log.lines().filter(|line| line.contains("session"));
        let of_sessions = of_sessions.collect::<Vec<_>>().join("\n");
        ensure!(
            lost == 0,
            "{lost} live workers were taken for dead:\n{of_sessions}"
        );
        ensure!(others == 0, "{others} attempts were burnt");
        Ok(())
    }

    /// Attempts that have failed, at steps without and with a transaction of their own.
    async fn attempts(&self) -> Result<(i64, i64)> {
        let [url, ..] = self.chaos.arguments()?;
        Ok(match self.chaos.intendant.store_kind() {
            StoreKind::Sqlite => {
                let sql =
                    "select coalesce(sum(step <> 'second'), 0), coalesce(sum(step = 'second'), 0)
                             from intendant_attempt";
                let pool = sqlx::SqlitePool::connect(&url).await?;
                sqlx::query_as(sql).fetch_one(&pool).await?
            }
            StoreKind::Postgres => {
                let sql = "select count(*) filter (where step <> 'second'), count(*) filter (where step = 'second')
                             from intendant.attempt";
                let pool = sqlx::PgPool::connect(&url).await?;
                sqlx::query_as(sql).fetch_one(&pool).await?
            }
        })
    }
}

/// Asks a server for one more; true: it says that it cannot do that now.
fn is_refused(server: &Serving, number: usize) -> Result<bool> {
    let body = serde_json::json!({ "kind": Work::KIND, "input": work(number) }).to_string();
    let mut stream = server.connect()?;
    write!(
        stream,
        "POST /api/v1/intents HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    )?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    let status = said.split(' ').nth(1).context("a status")?;
    ensure!(matches!(status, "201" | "503"), "{said}");
    Ok(status == "503")
}

/// The log of writes has no room: no transaction can be committed, heartbeats included.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_on_sqlite() -> Result<()> {
    /// Far more than the ledger needs, and less than the log of writes.
    const ROOM: u64 = 8 << 20;
    let database = Database::new(StoreKind::Sqlite).await?;
    let url = database.url.clone();
    let mut site = Site::new(database, 1_500).await?;
    let serve: Command = full::forgiving(&binary::path("intendant")?);
    let server = Serving::by(serve, &url, "127.0.0.1:0")?;
    full::limit(server.child.id(), Some(ROOM))?;
    site.start()?;
    for worker in &site.workers {
        full::limit(*worker, Some(ROOM))?;
    }
    site.until_full().await?;
    let begun = Instant::now();
    let mut refused = 0;
    while refused < REFUSED {
        match is_refused(&server, site.intents)? {
            true => refused += 1,
            false => site.intents += 1,
        }
        ensure!(begun.elapsed() < PATIENCE, "requests are not refused");
    }
    tokio::time::sleep(STAYS).await;

    full::limit(server.child.id(), None)?;
    for worker in &site.workers {
        full::limit(*worker, None)?;
    }
    // What was refused is not there, and what is asked for now is.
    let again = is_refused(&server, site.intents)?;
    ensure!(!again, "there is room, and a request is refused");
    site.intents += 1;
    site.end(refused).await
}

/// The table of steps has no room, and then that of intents: what only changes rows, as heartbeats do, is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_on_postgres() -> Result<()> {
    /// A file of the log of writes fits, and half a page more, so that the last page of a table is cut short.
    const ROOM: u64 = (1 << 20) + 4_096;
    /// Together, in one statement, which is refused as a whole.
    const BATCH: usize = 500;
    let cluster = Cluster::start_with(1)?;
    let database = Database::on_server(&cluster.url()).await?;
    let mut site = Site::new(database, 3_000).await?;
    full::limit_server(&cluster.url(), Some(ROOM)).await?;
    site.start()?;
    site.until_full().await?;
    let begun = Instant::now();
    let mut refused = 0;
    while refused < REFUSED {
        let intendant = &site.chaos.intendant;
        // Long rows fill the table soon.
        let asked = (site.intents..site.intents + BATCH).map(|number| {
            let request = intendant.request(work(number));
            request.by("w".repeat(150))
        });
        match intendant.request_each(asked).await {
            Ok(ids) => site.intents += ids.len(),
            Err(error) => {
                ensure!(error.is_database(), "{error}");
                refused += 1;
            }
        }
        ensure!(begun.elapsed() < PATIENCE, "requests are not refused");
    }
    tokio::time::sleep(STAYS).await;
    let by_server = full::refused_by_server(&cluster.url()).await?;
    tell!("PostgreSQL has refused to let a file grow {by_server} times");
    ensure!(by_server > 0, "no file was kept from growing");

    // Whoever was being started meanwhile is found the second time.
    full::limit_server(&cluster.url(), None).await?;
    full::limit_server(&cluster.url(), None).await?;
    site.end(refused).await
}
