//! The command line: data on stdout, messages on stderr, exit codes as documented.

mod alerts;
mod args;
mod doctor;
mod exit;
mod failures;
mod kinds;
mod logs;
mod look;
mod named;
mod plan;
mod program;
mod queue;
mod request;
mod retention;
mod schedule;
mod serve;
mod signal;
mod start;
mod terms;
mod token;
mod top;
#[cfg_attr(not(feature = "opentelemetry"), path = "traces_off.rs")]
mod traces;
mod values;
mod verbs;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use intendant::{Intendant, StoreKind, Verb};

use crate::{bench, demo};

pub use args::Database;
pub use exit::Refusal;
pub use program::Cli;

pub(crate) use program::Code;

use program::{Program, complain};

/// The name of the binary that knows no kinds of its own.
const NAME: &str = "intendant";

/// Look at, resume and try out operations that a business must not lose.
#[derive(Debug, Parser)]
#[command(
    name = "intendant",
    version,
    propagate_version = true,
    max_term_width = 120,
    after_help = "Exit codes: 0 done · 1 the operation failed · 2 usage · 3 not found · 4 wrong state or conflict · 5 \
                  database or connection · 124 time-out\n\n\
                  Examples:\n  intendant demo\n  intendant history --account acme --database-url sqlite://app.db"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a read replica to a real database, on an embedded store: the main job, out of the box
    #[command(after_help = "Examples:\n  \
                            intendant demo\n  \
                            intendant demo --source app.db --keep\n  \
                            intendant demo --kill-at join\n  \
                            intendant demo --fail-at volume\n  \
                            intendant demo --resume\n\n\
                            Exit codes: 1 the intent failed, or was left unfinished on SIGINT or SIGTERM · 4 nothing \
                            to resume · 5 no database")]
    Demo(demo::DemoOptions),
    /// The engine's tables
    #[command(after_help = "Example:\n  intendant migrate up --database-url sqlite://app.db")]
    Migrate {
        #[command(subcommand)]
        action: Migrate,
    },
    /// Whether all is well: the database, its schema, clock and settings, workers, queues; and what to do where it is not
    #[command(
        after_help = "Examples:\n  intendant doctor\n  intendant doctor --rows --json --database-url postgres://localhost/app\n\n\
                            Exit code 1: there is trouble"
    )]
    Doctor(doctor::Options),
    /// Ask for an intent by its kind's name; the input is checked by the schema that the kind has registered
    #[command(after_help = "Examples:\n  \
                            intendant request server.resize --account acme --resource server:42 --input '{\"cores\":8}'\n  \
                            intendant request invoice.close --input @month.json --key 2026-11 --wait --timeout 20m\n  \
                            intendant request mail.send --input - --at 2h -o id\n\n\
                            Exit codes: 1 with --wait: it did not succeed · 3 no worker has registered the kind · 124 with \
                            --timeout: it goes on")]
    Request(request::Options),
    /// What an intent would be if it were asked for now: its plan, whom it would wait for, its limits. Writes nothing. For
    /// programs that have the kind's code
    #[command(after_help = "Examples:\n  \
                            intendant plan server.resize --input '{\"server\":42,\"cores\":8}'\n  \
                            intendant plan server.resize --input @resize.json --graph mermaid")]
    Plan(plan::Options),
    /// Carry out intents until SIGTERM or SIGINT. For programs that have their code
    #[command(after_help = "Examples:\n  \
                            intendant worker --database-url postgres://localhost/app\n  \
                            intendant worker --concurrency 16 --queue ssh=4 --max-age 6h\n  \
                            intendant worker list\n\n\
                            Exit code 75: it has stopped by itself, to be started anew")]
    #[command(args_conflicts_with_subcommands = true)]
    Worker(worker::Worker),
    /// Serve the dashboard, and the HTTP API, described at /api/v1/openapi.json
    #[command(after_help = "Examples:\n  \
                            intendant serve --database-url postgres://localhost/app\n  \
                            intendant serve --listen 0.0.0.0:4600 --behind-proxy --host ops.example.com")]
    Serve(serve::Options),
    /// Tokens: who may use the HTTP API, and how far
    #[command(after_help = "Example:\n  intendant token create ada --scope operator --expires 30d")]
    Token {
        #[command(subcommand)]
        action: token::Token,
    },
    /// Print the document that describes the HTTP API (OpenAPI 3.1)
    #[command(after_help = "Example:\n  intendant openapi")]
    Openapi,
    /// Print a shell's completions of this command line
    #[command(after_help = "Example:\n  intendant completions bash")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The sorts of operations that workers have registered
    #[command(after_help = "Examples:\n  \
                            intendant kinds\n  \
                            intendant kinds server.resize --json")]
    Kinds(kinds::Options),
    /// Intents, newest first
    #[command(after_help = "Examples:\n  \
                            intendant list --state failed --kind replica.add\n  \
                            intendant list --by ada --since 2h\n  \
                            intendant list --label team=billing --error 'connection refused'\n  \
                            intendant list --resource server:42 -o jsonl\n  \
                            intendant list --state running --watch")]
    List(look::List),
    /// One intent: its record, its steps, its failed attempts, its events
    #[command(after_help = "Examples:\n  \
                            intendant show 01a1fc69-13b4\n  \
                            intendant show 01a1fc69-13b4 --graph mermaid\n  \
                            intendant show 01a1fc69-13b4 --watch\n  \
                            intendant show 01a1fc69-13b4-707e-a561-8c74fa9b8535 -o json")]
    Show(look::Show),
    /// What an intent waits for, and on whom; what can be done about a failed one
    #[command(after_help = "Examples:\n  \
                            intendant why 01a1fc69-13b4\n  \
                            intendant why 01a1fc69-13b4-707e-a561-8c74fa9b8535 -o json")]
    Why(look::Why),
    /// What an account's operations were, in the words that a support engineer reads to a customer
    #[command(after_help = "Examples:\n  \
                            intendant history --account acme\n  \
                            intendant history --account acme --state failed --finished-since 24h\n  \
                            intendant history --account acme --resource server:42 -o json\n\n\
                            Exit code 3: nothing was ever requested for that account")]
    History(look::History),
    /// What an intent's steps have logged, attempt by attempt
    #[command(after_help = "Examples:\n  \
                            intendant logs 01a1fc69-13b4\n  \
                            intendant logs 01a1fc69-13b4 --step volume -o jsonl")]
    Logs(logs::Options),
    /// What has failed, in groups by kind, step and error, the largest first
    #[command(after_help = "Examples:\n  \
                            intendant failures\n  \
                            intendant failures --kind replica.add --since 24h --json")]
    Failures(failures::Options),
    /// What people should know of: what is late, slow or served by nobody, workers that are gone. Workers look for it
    #[command(after_help = "Examples:\n  \
                            intendant alerts\n  \
                            intendant alerts --kind 'intent deadline' --all --json")]
    Alerts(alerts::Options),
    /// Put failed intents back in line: what succeeded is kept
    #[command(after_help = "Examples:\n  \
                            intendant resume 01a1fc69-13b4 --reason 'disk replaced'\n  \
                            intendant resume 01a1fc69-13b4 --dry-run\n  \
                            intendant resume --all --kind replica.add --error 'connection refused' --dry-run\n\n\
                            Exit code 4: an intent has not failed, or is the child of one that has to be resumed instead")]
    Resume(verbs::Act),
    /// Stop intents that are unfinished, with all that they have asked for
    #[command(after_help = "Examples:\n  \
                            intendant cancel 01a1fc69-13b4 --reason 'ordered twice'\n  \
                            intendant cancel 01a1fc69-13b4 01a1fc69-8c21 --by ada\n\n\
                            Exit code 4: an intent has finished, or has started a step after which there is no way back")]
    Cancel(verbs::Act),
    /// Take back what intents did, as far as their steps say how: failed ones themselves, succeeded ones by new intents
    #[command(after_help = "Examples:\n  \
                            intendant undo 01a1fc69-13b4 --reason 'not needed any more'\n  \
                            intendant undo 01a1fc69-13b4 --dry-run\n\n\
                            Exit code 4: an intent has not finished, or is cancelled, or has started a step after which there is no way back")]
    Undo(verbs::Act),
    /// Give failed intents up: nothing is taken back, and they let go of what they hold
    #[command(after_help = "Examples:\n  \
                            intendant discard 01a1fc69-13b4 --reason 'cleaned up by hand'\n  \
                            intendant discard --all --kind mail.send --since 3d")]
    Discard(verbs::Act),
    /// Try one step again now, with all its attempts
    #[command(after_help = "Example:\n  intendant retry 01a1fc69-13b4 --step attach")]
    Retry(verbs::OnStep),
    /// Give one step its output by hand, and go on after it. Its type is checked by programs that know the kind
    /// (`Worker::skip`); here only that it is JSON
    #[command(after_help = "Examples:\n  \
                            intendant skip 01a1fc69-13b4 --step volume --output '{\"id\":7}'\n  \
                            intendant skip 01a1fc69-13b4 --step undo(volume) --output null --reason 'deleted by hand'")]
    Skip(verbs::Skip),
    /// Run failed intents again from a step on, or ask again for what succeeded or was cancelled
    #[command(after_help = "Examples:\n  \
                            intendant rerun 01a1fc69-13b4 --from volume --dry-run\n  \
                            intendant rerun 01a1fc69-13b4 --from volume\n  \
                            intendant rerun 01a1fc69-13b4 --reason 'once more'")]
    Rerun(verbs::Rerun),
    /// Replace the input of a failed intent, before it is resumed
    #[command(
        after_help = "Examples:\n  intendant amend 01a1fc69-13b4 --input '{\"size\":8}' --reason 'too small'\n  \
                      intendant amend --all --kind mail.send --change '{\"host\":\"mx2\"}' --dry-run"
    )]
    Amend(verbs::Amend),
    /// Send a message to an unfinished intent, for a step that waits for one of this name, now or later
    #[command(after_help = "Examples:\n  \
                            intendant signal 0193a1b2 approve '{\"granted\": true}' --by ada\n  \
                            intendant signal 0193a1b2 paid --key transfer-88 '{\"cents\": 1250}'")]
    Signal(signal::Signal),
    /// The lanes that workers serve: what waits in them, and which are paused
    #[command(after_help = "Example:\n  intendant queue list")]
    Queue {
        #[command(subcommand)]
        action: queue::Queue,
    },
    /// How long what has finished is kept, and what was removed
    #[command(after_help = "Example:\n  intendant retention list")]
    Retention {
        #[command(subcommand)]
        action: retention::Retention,
    },
    /// What there is to do and who does it, again and again, until Ctrl-C
    #[command(
        after_help = "Examples:\n  intendant top\n  intendant top --once\n  intendant top --every 10s --server https://ops.example.com"
    )]
    Top(top::Options),
    /// Rules that request an intent again and again: declared by workers, paused and run by people
    #[command(after_help = "Example:\n  intendant schedule list")]
    Schedule {
        #[command(subcommand)]
        action: schedule::Schedule,
    },
    /// Measure the engine, in a database or file of its own beside the one given, which it removes
    #[command(after_help = "Examples:\n  \
                            intendant bench single\n  \
                            intendant bench chain --steps 5 --intents 10000 --json --database-url postgres://localhost/postgres")]
    Bench(bench::BenchOptions),
    #[command(hide = true)]
    DemoReplica(demo::ReplicaOptions),
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Bring the database up to this program's schema; makes a SQLite file that is not there
    #[command(after_help = "Example:\n  intendant migrate up --database-url sqlite://app.db")]
    Up(Database),
    /// Which migrations the database has
    #[command(after_help = "Example:\n  intendant migrate status --database-url sqlite://app.db")]
    Status(Database),
    /// Print the statements, for people with a migration tool of their own
    #[command(after_help = "Example:\n  intendant migrate sql --postgres")]
    Sql {
        /// For PostgreSQL instead of SQLite
        #[arg(long)]
        postgres: bool,
    },
}

/// Runs the command that these words are; says what went wrong in one line.
async fn run(words: Vec<OsString>, program: Program) -> ExitCode {
    let name = program.name.clone();
    let command = start::named(Arguments::command(), &name);
    let arguments = command
        .try_get_matches_from(words)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let command = match arguments {
        Ok(arguments) => arguments.command,
        // Help is no error, and goes to stdout.
        Err(error) => error.exit(),
    };
    let works = matches!(&command, Command::Worker(worker) if worker.runs());
    let _traces = start::prepare(&name, works);
    match dispatch(command, program).await {
        Ok(code) => code,
        Err(error) => {
            complain(&name, &format_args!("{error:#}"));
            ExitCode::from(exit::code(&error))
        }
    }
}

async fn dispatch(command: Command, program: Program) -> Result<ExitCode> {
    match command {
        Command::Demo(options) => return demo::run(options).await,
        Command::DemoReplica(options) => demo::serve_replica(options).await?,
        Command::Bench(options) => bench::run(options).await?,
        Command::Migrate { action } => migrate(action).await?,
        Command::Doctor(options) => return doctor::doctor(options).await,
        Command::Request(options) => return request::request(options, program).await,
        Command::Plan(options) => plan::plan(options, program).await?,
        Command::Worker(options) => return worker::worker(options, program).await,
        Command::Serve(options) => serve::serve(options, program).await?,
        Command::Token { action } => token::token(action).await?,
        Command::Openapi => serve::openapi().await?,
        Command::Completions { shell } => {
            start::completions(Arguments::command(), &program.name, shell)
        }
        Command::Kinds(options) => kinds::kinds(options, program).await?,
        Command::List(list) => look::list(list).await?,
        Command::Show(show) => look::show(show).await?,
        Command::History(history) => look::history(history).await?,
        Command::Why(why) => look::why(why).await?,
        Command::Logs(options) => logs::logs(options).await?,
        Command::Failures(options) => failures::failures(options).await?,
        Command::Alerts(options) => alerts::alerts(options).await?,
        Command::Resume(act) => return act.run(&Verb::Resume, program).await,
        Command::Cancel(act) => return act.run(&Verb::Cancel, program).await,
        Command::Undo(act) => return act.run(&Verb::Undo, program).await,
        Command::Discard(act) => return act.run(&Verb::Discard, program).await,
        Command::Retry(on) => {
            let (step, act) = on.split()?;
            return act.run(&Verb::Retry { step }, program).await;
        }
        Command::Skip(skip) => {
            let output = serde_json::from_str(skip.output.read()?.get())?;
            let (step, act) = skip.on.split()?;
            return act.run(&Verb::Skip { step, output }, program).await;
        }
        Command::Rerun(rerun) => {
            let verb = match rerun.from {
                Some(step) => Verb::RerunFrom { step },
                None => Verb::Rerun,
            };
            return rerun.act.run(&verb, program).await;
        }
        Command::Amend(amend) => return verbs::amend(amend, program).await,
        Command::Signal(options) => signal::signal(options).await?,
        Command::Queue { action } => queue::queue(action).await?,
        Command::Retention { action } => retention::retention(action).await?,
        Command::Schedule { action } => schedule::schedule(action).await?,
        Command::Top(options) => top::top(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn migrate(action: Migrate) -> Result<()> {
    match action {
        Migrate::Up(database) => {
            let intendant = Intendant::open(database.options()?).await?;
            for migration in intendant.migration_status().await? {
                println!("{:04} {}: in place", migration.version, migration.name);
            }
        }
        Migrate::Status(database) => {
            let intendant = Intendant::with_options(&database.options()?).await?;
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

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_help_has_examples_that_can_be_run() {
        fn check(command: &clap::Command) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let (_, examples) = help
                .split_once("Example")
                .unwrap_or_else(|| panic!("{} has no example", command.get_name()));
            let examples: Vec<_> = examples
                .lines()
                .filter(|line| line.starts_with("  "))
                .collect();
            assert!(!examples.is_empty(), "{}", command.get_name());
            for example in examples {
                let quoted = example.split('\'').enumerate();
                let words = quoted.flat_map(|(part, text)| match part % 2 {
                    0 => text.split_whitespace().collect(),
                    _ => vec![text],
                });
                if let Err(error) = Arguments::try_parse_from(words) {
                    panic!("{example}: {error}");
                }
            }
            for command in command.get_subcommands() {
                if !command.is_hide_set() && command.get_name() != "help" {
                    check(command);
                }
            }
        }
        check(&Arguments::command());
    }
}
