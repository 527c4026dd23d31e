//! Processes of two revisions on one database, what they are asked for, and what either has done.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Error, Intendant, Intent as _, IntentFilter, IntentState, MigrationStatus, StoreKind,
    StoreOptions,
};
use intendant_tests::chaos::{Chaos, Work};
use intendant_tests::database::Database;
use intendant_tests::serving::Serving;
use rand::RngExt as _;

use crate::asking::ask_all;
use crate::older::Older;
use crate::shares::Shares;

/// Of each worker; and as many again for steps of the queue `inside`.
pub(crate) const SLOTS: usize = 4;

/// So many intents are there, or nearly, while workers are killed.
pub(crate) const BACKLOG: usize = 200;

/// How long a step takes: so that what is asked for is not done before the next thing happens.
const STEP_MS: u64 = 100;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// No statement of a migration waits for long: whoever migrates amid a load may have to try again (docs/OPERATING.md).
const MIGRATION_TRIES: usize = 5;

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revision {
    Old,
    New,
}

/// A database with workers of both revisions, and a server of the older one.
pub(crate) struct SideBySide {
    pub(crate) older: &'static Older,
    /// Of the older revision: it asks for intents by that one's code. It is dropped before the database.
    server: Serving,
    pub(crate) chaos: Chaos,
    pub(crate) url: String,
    /// The older revision's newest migration.
    pub(crate) known: i64,
    /// This one's.
    pub(crate) newest: i64,
    /// The workers, those that have worked for longest first.
    at_work: Vec<(Revision, u32)>,
    /// All that have ever been, by their process ids as the ledger has them.
    workers: HashMap<String, Revision>,
    /// How many were asked for.
    pub(crate) intents: usize,
    /// How many kills have hit a running step.
    pub(crate) hits: usize,
}

/// What came of it.
pub(crate) struct Ended {
    pub(crate) repeated: usize,
    /// Ticks that were refused, since their worker was taken for dead.
    pub(crate) refused: u64,
    pub(crate) quarantined: usize,
}

impl SideBySide {
    /// A database that the older revision has made.
    pub(crate) async fn on_the_older_schema(
        kind: StoreKind,
        older: &'static Older,
    ) -> Result<Self> {
        let database = Database::new(kind).await?;
        let url = database.url.clone();
        older.migrate(&url)?;
        // This revision's code, which does not look at the schema here.
        let intendant = Intendant::with_options(&StoreOptions::new(&url)).await?;
        let migrations = intendant.migration_status().await?;
        let newest = migrations.last().context("no migrations")?.version;
        let known = migrations.iter().rfind(|migration| migration.applied);
        let known = known.context("the older revision has no schema")?.version;
        ensure!(
            known < newest,
            "{} has all migrations: there is nothing to upgrade",
            older.revision
        );
        let server = Serving::of(&older.program, &url, "127.0.0.1:0")?;
        Ok(Self {
            older,
            server,
            chaos: Chaos::over(database, intendant, SLOTS).await?,
            url,
            known,
            newest,
            at_work: Vec::new(),
            workers: HashMap::new(),
            intents: 0,
            hits: 0,
        })
    }

    /// Starts a worker.
    pub(crate) fn start(&mut self, revision: Revision) -> Result<()> {
        let pid = match revision {
            Revision::Old => self.chaos.spawn_of(&self.older.worker)?,
            Revision::New => self.chaos.spawn()?,
        };
        self.at_work.push((revision, pid));
        self.workers.insert(pid.to_string(), revision);
        Ok(())
    }

    /// Kills a worker in the middle of its work. One that never gets to work is an error.
    pub(crate) async fn kill(&mut self, revision: Revision) -> Result<()> {
        let place = self.at_work.iter().position(|(of, _)| *of == revision);
        let (_, pid) = self.at_work.remove(place.context("a worker to be killed")?);
        self.await_work(revision, pid).await?;
        let at = Duration::from_millis(rand::rng().random_range(0..STEP_MS));
        tokio::time::sleep(at).await;
        self.hits += usize::from(self.chaos.kill(pid)?);
        Ok(())
    }

    /// Waits until every worker is in the middle of its work: those that begin during a migration may find a schema that is too new.
    pub(crate) async fn all_at_work(&self) -> Result<()> {
        for (revision, pid) in &self.at_work {
            self.await_work(*revision, *pid).await?;
        }
        Ok(())
    }

    async fn await_work(&self, revision: Revision, pid: u32) -> Result<()> {
        let begun = Instant::now();
        while !self.chaos.is_running_a_step(pid)? {
            ensure!(
                begun.elapsed() < PATIENCE,
                "a worker has begun nothing in {PATIENCE:?}: {revision:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Waits until a worker has said what can be asked for.
    pub(crate) async fn await_kind(&self) -> Result<()> {
        let path = format!("/api/v1/kinds/{}", Work::KIND);
        let begun = Instant::now();
        while !self.says(&path)?.starts_with("HTTP/1.1 200") {
            ensure!(
                begun.elapsed() < PATIENCE,
                "no worker has registered `{}`",
                Work::KIND
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What the older server answers.
    pub(crate) fn says(&self, path: &str) -> Result<String> {
        let host = format!("Host: {}\r\n", self.server.address);
        self.server.ask(path, &host)
    }

    /// Asks for so many more by one revision's code.
    pub(crate) async fn ask(&mut self, revision: Revision, more: usize) -> Result<()> {
        let works = self.next(more);
        match revision {
            Revision::Old => ask_all(&self.server.address, works).await?,
            Revision::New => {
                self.chaos.intendant.request_all(works).await?;
            }
        }
        Ok(())
    }

    /// There is always more to do, some of it asked for by the older revision, so that there is always something to hit.
    pub(crate) async fn top_up(&mut self) -> Result<()> {
        self.ask(Revision::Old, BACKLOG / 10).await?;
        if self.chaos.intendant.unfinished().await?.total() < BACKLOG as i64 {
            self.ask(Revision::New, BACKLOG / 2).await?;
        }
        Ok(())
    }

    fn next(&mut self, more: usize) -> Vec<Work> {
        let first = self.intents;
        self.intents += more;
        let numbers = first..self.intents;
        numbers
            .map(|number| Work {
                number,
                step_ms: STEP_MS,
                poison: false,
            })
            .collect()
    }

    /// Migrates by this revision's code, while the older workers work and the older server is asked for more. Returns what was
    /// done, in words.
    pub(crate) async fn migrate(&mut self) -> Result<String> {
        let works = self.next(BACKLOG / 2);
        let begun = Instant::now();
        let migrating = async {
            let migrated = migrate(&self.chaos.intendant).await;
            (migrated, begun.elapsed())
        };
        let asking = ask_all(&self.server.address, works);
        let ((migrated, took), asked) = tokio::join!(migrating, asking);
        let migrated = migrated?;
        asked?;
        ensure!(
            migrated.last().map(|migration| migration.version) == Some(self.newest),
            "{migrated:?}"
        );
        let unfinished = self.chaos.intendant.unfinished().await?;
        ensure!(unfinished.total() > 0, "nobody had anything to do");
        Ok(format!(
            "{} migrations in {took:?} amid the work",
            migrated.len()
        ))
    }

    /// A place in the ledger.
    pub(crate) fn mark(&self) -> Result<usize> {
        Ok(self.chaos.lines()?.len())
    }

    /// Who has done what from this place of the ledger on.
    pub(crate) fn shares(&self, mark: usize) -> Result<Shares> {
        Shares::count(&self.chaos.lines()?, mark, &self.workers)
    }

    /// Waits for the end of everything, stops the workers, and judges as the chaos tests do: by the ledger, the table of effects,
    /// the records and the invariants, all of it read by this revision's code.
    pub(crate) async fn end(&mut self) -> Result<Ended> {
        self.chaos.drain(PATIENCE, |_| Ok(())).await?;
        let quarantined = self.resume_quarantined().await?;
        self.chaos.drain(PATIENCE, |_| Ok(())).await?;
        let refused = self.chaos.stop()?;
        let judgement = self.chaos.judge(self.intents, 0).await?;
        Ok(Ended {
            repeated: judgement.repeated,
            refused,
            quarantined,
        })
    }

    /// Whoever is hit by three kills looks like a poison, and is resumed; nothing fails otherwise.
    async fn resume_quarantined(&self) -> Result<usize> {
        let filter = IntentFilter {
            state: Some(IntentState::Failed),
            ..IntentFilter::default()
        };
        for record in self.chaos.intendant.list(filter).await? {
            ensure!(
                record.reason.as_deref() == Some("quarantined"),
                "{} has failed: {:?}",
                record.id,
                record.error
            );
        }
        self.chaos.resume_failed().await
    }
}

async fn migrate(intendant: &Intendant) -> Result<Vec<MigrationStatus>, Error> {
    for _ in 1..MIGRATION_TRIES {
        match intendant.migrate().await {
            Err(error) if error.is_database() => {
                println!("the migration is tried again: {error}");
            }
            migrated => return migrated,
        }
    }
    intendant.migrate().await
}
