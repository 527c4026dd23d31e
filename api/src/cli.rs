//! The command line: data on stdout, messages on stderr, exit codes as documented.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use intendant::{Error, Intendant, IntentFilter, IntentId, IntentState, StoreKind};

use crate::{bench, demo, output};

/// What a command came to, as an exit code (`intendant --help` lists them).
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const CONFLICT: u8 = 4;
const DATABASE: u8 = 5;

/// Look at, resume and try out operations that a business must not lose.
#[derive(Debug, Parser)]
#[command(
    name = "intendant",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done · 1 the operation failed · 2 usage · 3 not found · 4 wrong state or conflict · 5 \
                  database or connection"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a read replica to a real database, on an embedded store: the main job, out of the box
    Demo(demo::DemoOptions),
    /// The engine's tables
    Migrate {
        #[command(subcommand)]
        action: Migrate,
    },
    /// Intents, newest first
    #[command(after_help = "Example: intendant list --state failed --kind replica.add")]
    List(List),
    /// One intent: its record, its steps, its failed attempts
    Show {
        /// The intent's id
        id: IntentId,
        #[command(flatten)]
        database: Database,
        #[command(flatten)]
        format: output::Format,
    },
    /// What an account's operations were, in the words that a support engineer reads to a customer
    History {
        /// The account
        #[arg(long)]
        account: String,
        /// On this resource only, `type:id`
        #[arg(long)]
        resource: Option<String>,
        /// Most of them
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Those requested before this one: the last id of the page before
        #[arg(long)]
        before: Option<IntentId>,
        #[command(flatten)]
        database: Database,
    },
    /// Put failed intents back in line: what succeeded is kept
    #[command(after_help = "Example: intendant resume 0192… --reason 'disk replaced'")]
    Resume {
        /// The intents' ids
        #[arg(required = true)]
        ids: Vec<IntentId>,
        /// Why; kept with the event
        #[arg(long)]
        reason: Option<String>,
        /// Who; kept with the event
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
        #[command(flatten)]
        database: Database,
    },
    /// Measure the engine on a database given, in tables of its own that it removes
    Bench(bench::BenchOptions),
    #[command(hide = true)]
    DemoReplica(demo::ReplicaOptions),
}

/// Which database.
#[derive(Debug, Clone, Args)]
pub struct Database {
    /// sqlite://PATH or postgres://…
    #[arg(
        long,
        env = "INTENDANT_DATABASE_URL",
        default_value = "sqlite://intendant.db",
        value_name = "URL"
    )]
    pub database_url: String,
}

impl Database {
    async fn connect(&self) -> Result<Intendant> {
        Ok(Intendant::connect(&self.database_url).await?)
    }
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Bring the database up to this program's schema
    Up(Database),
    /// Which migrations the database has
    Status(Database),
    /// Print the statements, for people with a migration tool of their own
    Sql {
        /// For PostgreSQL instead of SQLite
        #[arg(long)]
        postgres: bool,
    },
}

#[derive(Debug, Args)]
struct List {
    /// Of this account
    #[arg(long)]
    account: Option<String>,
    /// On this resource, `type:id`
    #[arg(long)]
    resource: Option<String>,
    /// Of this kind
    #[arg(long)]
    kind: Option<String>,
    /// In this state
    #[arg(long)]
    state: Option<IntentState>,
    /// Most of them
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Those requested before this one: the last id of the page before
    #[arg(long)]
    before: Option<IntentId>,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    format: output::Format,
}

/// Runs a command; says what went wrong in one line.
pub async fn run(cli: Cli) -> ExitCode {
    match dispatch(cli.command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("intendant: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>() {
        Some(error) if error.is_not_found() => NOT_FOUND,
        Some(error) if error.is_conflict() => CONFLICT,
        Some(error) if error.is_database() => DATABASE,
        Some(error) if error.is_usage() => USAGE,
        None if error.chain().any(|cause| cause.is::<sqlx::Error>()) => DATABASE,
        Some(_) | None => FAILED,
    }
}

async fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo(options) => return demo::run(options).await,
        Command::DemoReplica(options) => demo::serve_replica(options).await?,
        Command::Bench(options) => bench::run(options).await?,
        Command::Migrate { action } => migrate(action).await?,
        Command::List(list) => list_intents(list).await?,
        Command::Show {
            id,
            database,
            format,
        } => {
            let intendant = database.connect().await?;
            output::show(&intendant, id, &format).await?;
        }
        Command::History {
            account,
            resource,
            limit,
            before,
            database,
        } => {
            let intendant = database.connect().await?;
            let limit = Some(limit);
            let filter = IntentFilter {
                account: Some(account),
                resource,
                limit,
                before,
                ..IntentFilter::default()
            };
            output::history(&intendant.list(filter).await?);
        }
        Command::Resume {
            ids,
            reason,
            by,
            database,
        } => return resume(&ids, reason.as_deref(), &by, &database).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_intents(list: List) -> Result<()> {
    let intendant = list.database.connect().await?;
    let filter = IntentFilter {
        account: list.account,
        resource: list.resource,
        kind: list.kind,
        state: list.state,
        before: list.before,
        limit: Some(list.limit),
    };
    output::list(&intendant.list(filter).await?, &list.format)
}

async fn resume(
    ids: &[IntentId],
    reason: Option<&str>,
    by: &str,
    database: &Database,
) -> Result<ExitCode> {
    let intendant = database.connect().await?;
    let mut code = ExitCode::SUCCESS;
    for &id in ids {
        match intendant.resume(id, by, reason).await {
            Ok(1) => println!("{id} is back in line"),
            Ok(more) => println!(
                "{id} is back in line, and {} of its children with it",
                more - 1
            ),
            Err(error) => {
                eprintln!("intendant: {error}");
                code = ExitCode::from(exit_code(&error.into()));
            }
        }
    }
    Ok(code)
}

async fn migrate(action: Migrate) -> Result<()> {
    match action {
        Migrate::Up(database) => {
            let intendant = Intendant::open(&database.database_url).await?;
            for migration in intendant.migration_status().await? {
                println!("{:04} {}: in place", migration.version, migration.name);
            }
        }
        Migrate::Status(database) => {
            let options = intendant::StoreOptions::new(&database.database_url);
            let intendant = Intendant::with_options(&options).await?;
            for migration in intendant
                .migration_status()
                .await
                .context("reading the migration record")?
            {
                let state = if migration.applied {
                    "in place"
                } else {
                    "missing"
                };
                println!("{:04} {}: {state}", migration.version, migration.name);
            }
        }
        Migrate::Sql { postgres } => {
            let kind = if postgres {
                StoreKind::Postgres
            } else {
                StoreKind::Sqlite
            };
            print!("{}", intendant::migration_sql(kind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
