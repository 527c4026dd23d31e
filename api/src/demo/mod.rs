//! The main job, on real input: adds a read replica to a SQLite database, and takes it away again.
//!
//! Real files, real processes and a real registry, with no cloud (`cloud`); the steps are in `steps` and `remove`,
//! what goes wrong on purpose in `mishap`. A run that was killed is found by its record in the registry (`runs`) and
//! continued. In the end everything is accounted for ([`audit()`]).

mod audit;
mod cloud;
mod crew;
mod http;
mod kinds;
mod mishap;
mod progress;
mod remove;
mod replica;
mod report;
mod runs;
mod server;
mod source;
mod steps;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::builder::PossibleValuesParser;
use clap::value_parser;
use intendant::{Intendant, IntentId, IntentRecord, IntentState, Worker, shutdown_signal};
use tokio::sync::oneshot;

use crate::cli::Refusal;
use crate::output;
use crate::output::table::width_of_stdout;
use crate::site::Site;

pub use audit::{Audit, audit};
pub use replica::{ReplicaOptions, serve_replica};

use cloud::Cloud;
use crew::Crew;
use kinds::step;
use mishap::Mishap;
use progress::Screen;
use runs::Run;
use source::Writer;

/// Options of `intendant demo`.
#[derive(clap::Args, Debug)]
pub struct DemoOptions {
    /// Holds everything that the demo makes
    #[arg(long, value_name = "PATH", default_value = "intendant-demo")]
    pub directory: PathBuf,
    /// The engine's database [default: sqlite://DIRECTORY/intendant.db]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// SQLite database that gets the replica; it is only read [default: one that the demo fills and writes to]
    #[arg(long, value_name = "PATH")]
    pub source: Option<PathBuf>,
    /// How many rows to fill a database of the demo's own with
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=100_000_000))]
    pub rows: u64,
    /// Leave the replica in place; the next run without this takes it away
    #[arg(long)]
    pub keep: bool,
    /// Kill this process (kill -9) in the middle of that step
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(step::ALL))]
    pub kill_at: Option<String>,
    /// Make that step fail for good
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(step::ALL))]
    pub fail_at: Option<String>,
    /// Resume the intent that has failed, and carry it on
    #[arg(long)]
    pub resume: bool,
}

/// What all parts of a run have to know.
#[derive(Debug)]
struct Demo {
    options: DemoOptions,
    directory: PathBuf,
    url: String,
    /// The command line that runs the demo in this directory again.
    command: String,
    screen: Screen,
}

/// Adds a replica and removes it, or goes on with what an earlier run in this directory has left undone.
///
/// Exit code 1: the intent failed, or was left unfinished on SIGINT or SIGTERM.
pub async fn run(options: DemoOptions) -> Result<ExitCode> {
    let demo = Demo::new(options).await?;
    let _alone = cloud::lock(&demo.directory).await?;
    let mut cloud = Cloud::open(&demo.directory).await?;
    let intendant = Intendant::open(&demo.url).await?;
    let (stop, stopped) = oneshot::channel();
    let mishap = Mishap {
        kill_at: demo.options.kill_at.clone(),
        fail_at: demo.options.fail_at.clone(),
        screen: demo.screen.clone(),
    };
    let worker = Worker::new(&intendant, mishap)
        .register(steps::plan)
        .register(remove::plan);
    let mut crew = Crew::start(worker, stopped);

    let end = tokio::select! {
        end = demo.carry_on(&mut cloud, &intendant) => end,
        () = shutdown_signal() => Ok(End::Interrupted),
        died = &mut crew.task => Err(died?.err().map_or_else(|| anyhow::anyhow!("the worker ended"), Into::into)),
    };
    stop.send(()).ok();
    crew.stop().await?;
    let code = demo.conclude(&mut cloud, end?).await?;
    intendant.close().await;
    Ok(code)
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Removed,
    Kept,
    Failed,
    Interrupted,
}

impl Demo {
    async fn new(options: DemoOptions) -> Result<Self> {
        if let Some(source) = &options.source {
            source::check(source).await?;
        }
        let shown = options.directory.display();
        let url = options
            .database_url
            .clone()
            .unwrap_or_else(|| report::sqlite_url(&format!("{shown}/intendant.db")));
        let mut command = format!("{} demo", report::program());
        if options.directory != Path::new("intendant-demo") {
            command.push_str(&format!(
                " --directory {}",
                report::quoted(&shown.to_string())
            ));
        }
        if options.database_url.is_some() {
            command.push_str(&format!(" --database-url {}", report::quoted(&url)));
        }
        // Looking for what has failed leaves nothing behind where there is nothing.
        if options.resume && !cloud::registry(&options.directory).is_file() {
            return Err(nothing_failed(&options.directory, &command));
        }
        Ok(Self {
            directory: absolute(&options.directory)?,
            options,
            url,
            command,
            screen: Screen::default(),
        })
    }

    /// Everything up to the end of the last intent.
    async fn carry_on(&self, cloud: &mut Cloud, intendant: &Intendant) -> Result<End> {
        let left = Run::open(cloud).await?;
        let has_failed = match &left {
            Some(run) => self.has_failed(intendant, run).await?,
            None => false,
        };
        if self.options.resume && !has_failed {
            return Err(nothing_failed(&self.options.directory, &self.command));
        }
        let mut run = match left {
            Some(run) => {
                eprintln!(
                    "going on with the run that was left in {}",
                    self.options.directory.display()
                );
                if self.options.source.is_some() && self.source_path()? != run.database {
                    eprintln!(
                        "--source is for the next run; this one is about {}",
                        run.database.display()
                    );
                }
                run
            }
            None => Run::begin(cloud, &self.source_path()?).await?,
        };
        let added = self.add(cloud, intendant, &mut run).await?;
        match added.state {
            IntentState::Failed => {
                report::look_further(self, intendant.store_kind(), &added);
                return Ok(End::Failed);
            }
            _ if self.options.keep && run.remove.is_none() => {
                report::look_further(self, intendant.store_kind(), &added);
                return Ok(End::Kept);
            }
            _ => {}
        }
        let remove = run.remove(cloud, intendant, added.id).await?;
        let removed = self.see_through(intendant, remove, &step::REMOVE).await?;
        let is_removed = removed.state == IntentState::Succeeded;
        let told = if is_removed { &added } else { &removed };
        report::look_further(self, intendant.store_kind(), told);
        if !is_removed {
            return Ok(End::Failed);
        }
        run.finish(cloud).await?;
        Ok(End::Removed)
    }

    /// Whether an intent of the run that was left has failed and can be resumed.
    async fn has_failed(&self, intendant: &Intendant, run: &Run) -> Result<bool> {
        for id in [run.add, run.remove].into_iter().flatten() {
            match intendant.state(id).await {
                Ok(IntentState::Failed) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {
                    return Err(Refusal::WrongState(format!(
                        "the run that was left in {} is in another database than this; name that one with \
                         --database-url, or another directory with --directory",
                        self.options.directory.display()
                    ))
                    .into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// The replica is added, while the database is written to if it is the demo's own: from before the snapshot is asked
    /// for until the replica serves.
    async fn add(
        &self,
        cloud: &mut Cloud,
        intendant: &Intendant,
        run: &mut Run,
    ) -> Result<IntentRecord> {
        let is_own = run.database == self.own_source();
        let is_asked_for = match run.add {
            Some(id) => {
                let record = intendant.get(id).await?;
                if record.state.is_finished()
                    && !(record.state == IntentState::Failed && self.options.resume)
                {
                    self.show_finished(intendant, &record, run.remove).await?;
                    return Ok(record);
                }
                true
            }
            None => false,
        };
        if is_own && !is_asked_for {
            self.fill_source(&run.database).await?;
        }
        let writer = if is_own {
            Some(Writer::start(&run.database).await?)
        } else {
            None
        };
        let id = run.add(cloud, intendant).await?;
        let record = self.see_through(intendant, id, &step::ADD).await?;
        if let Some(writer) = writer {
            eprintln!(
                "{} transactions were written to the database meanwhile",
                writer.stop().await?
            );
        }
        Ok(record)
    }

    /// An earlier run has brought the replica to its end. Once its removal has been asked for, that is what counts.
    async fn show_finished(
        &self,
        intendant: &Intendant,
        record: &IntentRecord,
        remove: Option<IntentId>,
    ) -> Result<()> {
        if remove.is_some() {
            return Ok(());
        }
        eprintln!(
            "{} {} has {} in an earlier run",
            record.kind, record.id, record.state
        );
        self.print(intendant, record).await
    }

    /// Watches an intent to its end and shows its record. One that has failed in an earlier run is resumed only when that
    /// is asked for.
    async fn see_through(
        &self,
        intendant: &Intendant,
        id: IntentId,
        steps: &[&'static str],
    ) -> Result<IntentRecord> {
        let before = intendant.get(id).await?;
        if before.state == IntentState::Failed && self.options.resume {
            intendant
                .resume(id, "demo", Some("intendant demo --resume"))
                .await?;
            eprintln!("{} {id} is resumed: what succeeded is kept", before.kind);
        } else {
            eprintln!("{} {id}", before.kind);
        }
        let record = progress::watch(intendant, id, steps, &self.screen).await?;
        self.print(intendant, &record).await?;
        Ok(record)
    }

    /// The record that an intent leaves, as `intendant show` prints it.
    async fn print(&self, intendant: &Intendant, record: &IntentRecord) -> Result<()> {
        let site = Site::Database(intendant.clone());
        println!(
            "{}",
            output::picture(&site, record.id, width_of_stdout()).await?
        );
        Ok(())
    }

    /// The account of what there is, and what can be done next.
    async fn conclude(&self, cloud: &mut Cloud, end: End) -> Result<ExitCode> {
        let there = audit(cloud.directory()).await?;
        println!("in {}: {there}", self.options.directory.display());
        let command = &self.command;
        match end {
            End::Removed => {
                ensure!(there.is_empty(), "something is left over");
                println!("nothing leaked");
                Ok(ExitCode::SUCCESS)
            }
            End::Kept => {
                println!("the replica is kept; `{command}` takes it away");
                Ok(ExitCode::SUCCESS)
            }
            End::Failed => Ok(ExitCode::FAILURE),
            End::Interrupted => {
                println!("interrupted; `{command}` goes on");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn own_source(&self) -> PathBuf {
        self.directory.join("source.db")
    }

    fn source_path(&self) -> Result<PathBuf> {
        match &self.options.source {
            Some(source) => Ok(source.canonicalize()?),
            None => Ok(self.own_source()),
        }
    }

    async fn fill_source(&self, database: &Path) -> Result<()> {
        if database.exists() {
            return Ok(());
        }
        eprintln!(
            "filling {} with {} rows",
            self.options.directory.join("source.db").display(),
            self.options.rows
        );
        source::fill(database, self.options.rows)
            .await
            .context("filling the database")
    }
}

fn nothing_failed(directory: &Path, command: &str) -> anyhow::Error {
    Refusal::WrongState(format!(
        "nothing has failed in {}, so there is nothing to resume; `{command}` begins a run, or goes on with one",
        directory.display()
    ))
    .into()
}

/// Makes a directory, and its path one that is the same wherever a process is and by whichever way it was named.
fn absolute(directory: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(directory).map_err(|error| {
        Refusal::Usage(format!(
            "making the directory {}: {error}; name another one with --directory",
            directory.display()
        ))
    })?;
    Ok(directory.canonicalize()?)
}
