//! The engine's error.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgDatabaseError;

use crate::conflict::ConflictsError;
use crate::id::{IntentId, TokenId};
use crate::intent::NameError;
use crate::payload::PayloadError;
use crate::schedule::ScheduleError;
use crate::state::{FailureReason, IntentState, StepState};

/// What went wrong with a call on the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database cannot be reached, or a call on it took too long. Trying again is safe: every call of the engine
    /// can be repeated.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The database file or server takes no writes.
    #[error("the database is read-only: {0}")]
    ReadOnly(String),
    /// Any other refusal of the database.
    #[error("the database refused: {0}")]
    Database(sqlx::Error),
    /// The database was made by a newer version of the engine.
    #[error(
        "the database has schema version {found}, this program knows up to {known}; run a newer version of it"
    )]
    NewerSchema {
        /// The database's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The engine's tables are not there, or are older than this program.
    #[error(
        "the database has schema version {found}, this program needs {known}; run `intendant migrate up`"
    )]
    OlderSchema {
        /// The database's version; 0 when there is nothing.
        found: i64,
        /// What this program needs.
        known: i64,
    },
    /// A migration in the database differs from the one that this program knows by that number.
    #[error(
        "migration {version} was applied with other contents than this program has for it; the database is of another \
         make of this version, so use one of its own"
    )]
    ChangedMigration {
        /// Its number.
        version: i64,
    },
    /// There is no such SQLite file.
    #[error(
        "there is no database at {path}; name another one, or make it with `intendant migrate up`"
    )]
    NoFile {
        /// Where it should be.
        path: String,
    },
    /// The URL names no database that the engine knows.
    #[error("`{url}` names no database; expected sqlite://PATH, sqlite::memory: or postgres://…")]
    Url {
        /// What was given: of a URL with a password in it, or with what may be one, the scheme alone.
        url: String,
    },
    /// The SQLite that was linked in can corrupt its write-ahead log.
    #[error("SQLite {found} can corrupt a write-ahead log on reset; 3.51.3 or newer is needed")]
    OldSqlite {
        /// Its version.
        found: String,
    },
    /// A request was to be made within a transaction of the other sort of database.
    #[error(
        "the transaction is on {given}, the engine on {engine}; a request can only join a transaction on its own \
             database"
    )]
    ForeignTransaction {
        /// Where the transaction is.
        given: &'static str,
        /// Where the engine is.
        engine: &'static str,
    },
    /// A payload that cannot be kept.
    #[error("{what}: {error}")]
    Payload {
        /// Which one.
        what: &'static str,
        /// Why not.
        error: PayloadError,
    },
    /// A name that cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Outside its limits.
    #[error("{what} is {found}, the limit is {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// How much of it there is.
        found: String,
        /// How much there may be.
        limit: String,
    },
    /// The key was used for another request.
    #[error(
        "the key `{key}` was used for another request, intent {intent}; use a new key for a new request"
    )]
    KeyConflict {
        /// The key.
        key: String,
        /// The intent that it was used for.
        intent: IntentId,
    },
    /// The key was taken by a transaction that this one's snapshot cannot see; a new transaction can.
    #[error("the key `{key}` was taken while this transaction ran; try again in a new transaction")]
    KeyRace {
        /// The key.
        key: String,
    },
    /// Conflict rules that cannot be.
    #[error(transparent)]
    Conflicts(#[from] ConflictsError),
    /// By a conflict rule of its kind it is refused: another intent is there.
    #[error("`{kind}` is refused: {resource} is in use by intent {by} (`{by_kind}`)")]
    Rejected {
        /// The kind that was asked for.
        kind: String,
        /// The resource that both want.
        resource: String,
        /// The other intent.
        by: IntentId,
        /// Its kind.
        by_kind: String,
    },
    /// As much is in line in the queue as people have said that it may hold ([`Intendant::cap_queue`](crate::Intendant::cap_queue)).
    #[error(
        "queue `{queue}` is full: it takes no more than {cap} that wait, and there is room for {room} now; ask again later"
    )]
    QueueFull {
        /// The queue.
        queue: String,
        /// How many may wait.
        cap: u64,
        /// For how many there was room when somebody last looked: more than none where more were asked for together.
        room: u64,
    },
    /// No worker has ever registered such a kind.
    #[error(
        "no worker has registered a kind `{kind}` with this database; `intendant kinds` lists those that are known"
    )]
    UnknownKind {
        /// The kind that was asked for.
        kind: String,
    },
    /// The input is for another customer than the request says.
    #[error("the input of `{kind}` is for account `{of_input}`, and the request for `{given}`")]
    OtherAccount {
        /// The kind that was asked for.
        kind: String,
        /// The account that the kind's code finds in the input.
        of_input: String,
        /// The account that the request names.
        given: String,
    },
    /// There is no such token.
    #[error("there is no token {id}")]
    NoToken {
        /// The id that was asked for.
        id: TokenId,
    },
    /// There is no such intent.
    #[error("there is no intent {id}")]
    NotFound {
        /// The id that was asked for.
        id: IntentId,
    },
    /// The intent is in a state in which this cannot be done.
    #[error("{verb} intent {id}: it is {state}; {expected}")]
    WrongState {
        /// What was tried, as in `resuming`.
        verb: &'static str,
        /// The intent.
        id: IntentId,
        /// Its state.
        state: IntentState,
        /// What would have been needed.
        expected: &'static str,
    },
    /// Retention has removed what the intent was about, or is just removing the intent.
    #[error(
        "{verb} intent {id}: retention has removed its payloads, inputs, outputs and results of steps, at {at}; only a new request \
         can do it again"
    )]
    PayloadRemoved {
        /// What was tried, as in `resuming`.
        verb: &'static str,
        /// The intent.
        id: IntentId,
        /// When.
        at: DateTime<Utc>,
    },
    /// The intent, or a descendant of it, has started a step after which it is not cancelled any more.
    #[error(
        "{verb} intent {id}: {}step `{step}` has started, after which there is no way back; wait for its end",
        if .id == .intent { String::new() } else { format!("in its descendant {intent}, ") }
    )]
    PastReturn {
        /// What was tried, as in `cancelling`.
        verb: &'static str,
        /// The intent that was to be cancelled or taken back.
        id: IntentId,
        /// The intent whose step it is.
        intent: IntentId,
        /// The step.
        step: String,
    },
    /// The intent is a child; its failure was handed to its parent.
    #[error(
        "{verb} intent {id}: it belongs to intent {parent}, which has not come to its end and decides what becomes of it; do it to that one"
    )]
    ResumeParent {
        /// What was tried, as in `resuming`.
        verb: &'static str,
        /// The child.
        id: IntentId,
        /// The parent.
        parent: IntentId,
    },
    /// The intent has no such step, or nothing is known of one.
    #[error(
        "intent {id} has no step `{step}`, or nothing has come of it yet; `intendant show` names its steps"
    )]
    NoStep {
        /// The intent.
        id: IntentId,
        /// The step.
        step: String,
    },
    /// The secrets in an intent's input do not open: here, or where they stand in the new input.
    #[error("{verb} intent {id}: {error}")]
    Sealed {
        /// What was to be done.
        verb: &'static str,
        /// The intent.
        id: IntentId,
        /// Which one, and why.
        error: String,
    },
    /// An amended input is that of another operation.
    #[error("amending intent {id}: {what} would be another one; that is a new request")]
    Amended {
        /// The intent.
        id: IntentId,
        /// What.
        what: &'static str,
    },
    /// The step is in a state in which this cannot be done.
    #[error(
        "{verb} of step `{step}` of intent {id}: it is {state}; only one that has failed, or waits for its retry or \
         snooze, can be"
    )]
    WrongStep {
        /// What was tried: `retry` or `skip`.
        verb: &'static str,
        /// The intent.
        id: IntentId,
        /// The step.
        step: String,
        /// Its state.
        state: StepState,
    },
    /// The awaited intent failed.
    #[error("intent {id} failed ({}){}: {error}", .reason.as_str(), step_suffix(.step))]
    Failed {
        /// The intent.
        id: IntentId,
        /// Why, in a word.
        reason: FailureReason,
        /// In which step.
        step: Option<String>,
        /// Why, in a line.
        error: String,
    },
    /// The awaited intent was cancelled.
    #[error("intent {id} was cancelled")]
    Cancelled {
        /// The intent.
        id: IntentId,
    },
    /// The kind has no plan for this input.
    #[error("kind `{kind}` has no plan for this input: {error}")]
    NoPlan {
        /// The kind.
        kind: String,
        /// Why not.
        error: String,
    },
    /// A schedule that cannot be.
    #[error("schedule `{name}`: {error}")]
    Schedule {
        /// The schedule.
        name: String,
        /// Why not.
        error: ScheduleError,
    },
    /// There is no such schedule.
    #[error(
        "there is no schedule `{name}`; one is there when a worker has begun whose code declares it, and `intendant schedule \
         list` names them"
    )]
    NoSchedule {
        /// The name that was asked for.
        name: String,
    },
    /// There is no such queue.
    #[error(
        "there is no queue `{name}`; one is there when a kind names it or a worker serves it, and `intendant queue list` names \
         them"
    )]
    NoQueue {
        /// The name that was asked for.
        name: String,
    },
    /// The schedule is still in use.
    #[error(
        "removing schedule `{name}`: a live worker declares it; take it out of the code first, or pause it"
    )]
    ScheduleDeclared {
        /// The schedule.
        name: String,
    },
    /// A worker was set up in a way that cannot work.
    #[error("{0}")]
    Setup(String),
}

fn step_suffix(step: &Option<String>) -> String {
    step.as_ref()
        .map_or_else(String::new, |step| format!(" in `{step}`"))
}

impl Error {
    /// For `map_err`: which payload it is that cannot be kept.
    pub(crate) fn payload(what: &'static str) -> impl FnOnce(PayloadError) -> Self {
        move |error| Self::Payload { what, error }
    }

    /// The request contradicts another one or the intent's state.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::KeyConflict { .. }
                | Self::WrongState { .. }
                | Self::ResumeParent { .. }
                | Self::PastReturn { .. }
                | Self::WrongStep { .. }
                | Self::Amended { .. }
                | Self::Sealed { .. }
                | Self::KeyRace { .. }
                | Self::Rejected { .. }
                | Self::ScheduleDeclared { .. }
                | Self::PayloadRemoved { .. }
        )
    }

    /// What was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::NoStep { .. }
                | Self::UnknownKind { .. }
                | Self::NoToken { .. }
                | Self::NoSchedule { .. }
                | Self::NoQueue { .. }
        )
    }

    /// The same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::KeyRace { .. } | Self::QueueFull { .. }
        )
    }

    /// The database is at fault, not the call.
    pub fn is_database(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::ReadOnly(_)
                | Self::Database(_)
                | Self::NewerSchema { .. }
                | Self::OlderSchema { .. }
                | Self::ChangedMigration { .. }
                | Self::NoFile { .. }
                | Self::OldSqlite { .. }
        )
    }

    /// The database cannot take what it was given, or has what cannot be read: [`is_database`](Self::is_database), and no
    /// repetition will help.
    pub fn is_data(&self) -> bool {
        self.is_data_error()
    }

    /// The caller gave something that cannot be used.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Url { .. }
                | Self::ForeignTransaction { .. }
                | Self::Payload { .. }
                | Self::Name(_)
                | Self::Limit { .. }
                | Self::NoPlan { .. }
                | Self::OtherAccount { .. }
                | Self::Schedule { .. }
                | Self::Setup(_)
        )
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        classify(error)
    }
}

/// Sorts what sqlx reports into what a caller can act on.
fn classify(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unreachable(crate::step::chain(&error)),
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            match code.as_ref() {
                // PostgreSQL: connection exceptions, shutdowns, too many connections, cancelled and timed-out
                // statements; SQLite: busy and its extended codes, I/O, cannot open.
                "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "57014" | "25P03" | "5"
                | "261" | "517" | "14" => Error::Unreachable(database.message().to_owned()),
                code if code.starts_with("08") => Error::Unreachable(database.message().to_owned()),
                // PostgreSQL: read-only transaction; SQLite: readonly and its extended codes.
                "25006" | "8" | "264" | "520" | "776" | "1032" | "1288" | "1544" => {
                    Error::ReadOnly(database.message().to_owned())
                }
                _ => Error::Database(error),
            }
        }
        _ => Error::Database(error),
    }
}

impl Error {
    /// A URL that cannot be used. Where the password of one stands that is broken, nobody knows: it goes to no log.
    pub(crate) fn url(url: &str) -> Self {
        let shown = match url.split_once("://") {
            Some((scheme, rest)) if scheme != "sqlite" && rest.contains(['@', ':', '?', '#']) => {
                format!("{scheme}://…")
            }
            _ => url.to_owned(),
        };
        Self::Url { url: shown }
    }

    /// Serialization failures and deadlocks: the transaction did nothing and can be run again at once.
    pub(crate) fn is_replayable(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(database)) => {
                matches!(
                    database.code().as_deref(),
                    Some("40001" | "40P01" | "55P03")
                )
            }
            _ => false,
        }
    }

    /// The database refuses what it was given: no repetition will help, but other data may do. Everything counts as
    /// that which is not known to pass, or to be the same whatever the data: a tick that is repeated for ever would stop all
    /// other intents, and a table that nobody may read is no intent's fault.
    pub(crate) fn is_data_error(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(database)) => {
                let code = database.code().unwrap_or_default();
                !passes(&code)
                    && !is_of_the_schema(&code, database.message())
                    && !is_of_the_files(&code, database.try_downcast_ref())
            }
            Self::Database(
                sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. },
            ) => true,
            _ => false,
        }
    }
}

/// Whether an error by this code goes away by itself.
fn passes(code: &str) -> bool {
    match code.parse::<u32>() {
        // SQLite: busy, locked, out of memory, I/O error, disk full, and their extended codes. PostgreSQL's codes that
        // are numbers have five digits.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 7 | 10 | 13),
        // PostgreSQL: rollbacks, resources, locks, operators, the system.
        _ => ["08", "40", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)),
    }
}

/// Whether PostgreSQL's storage says what it has no code for: that a quota is used up (`EDQUOT`), or that a file may not grow
/// (`EFBIG`). Its messages are in the server's language, the names of its source files are not.
fn is_of_the_files(code: &str, error: Option<&PgDatabaseError>) -> bool {
    code == "XX000" && error.and_then(|error| error.file()) == Some("md.c")
}

/// Whether an error says that the engine's tables are not what they should be, or may not be used.
fn is_of_the_schema(code: &str, message: &str) -> bool {
    match code {
        // PostgreSQL: no privilege; no such table, column, function, schema; a read-only transaction.
        "42501" | "42P01" | "42703" | "42883" | "3F000" | "25006" => true,
        // SQLite: any error of a statement, of which those of data are told apart by what they say; not to be written, not to
        // be opened, not allowed.
        "1" => message.starts_with("no such "),
        "8" | "14" | "23" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_tables_is_no_intents_fault() {
        for (code, message) in [
            ("42501", "permission denied for table step"),
            ("42703", "column l.among does not exist"),
            ("1", "no such column: among"),
            ("8", "attempt to write a readonly database"),
        ] {
            assert!(is_of_the_schema(code, message), "{code}");
        }
        for (code, message) in [("22P02", "invalid input syntax"), ("1", "malformed JSON")] {
            assert!(!is_of_the_schema(code, message) && !passes(code), "{code}");
        }
    }

    #[test]
    fn a_url_that_is_broken_shows_no_password() {
        for url in [
            "postgres://ada:secret@:x/db",
            "mysql://ada:secret@host",
            "postgres://ada:secret",
            "postgres://host/db?password=secret",
        ] {
            let said = Error::url(url).to_string();
            assert!(!said.contains("secret") && said.contains("://…"), "{said}");
        }
        let said = Error::url("mysql://localhost").to_string();
        assert!(said.contains("`mysql://localhost`"), "{said}");
        assert!(Error::url("orders.db").to_string().contains("`orders.db`"));
        assert!(
            Error::url("sqlite://a?b=c")
                .to_string()
                .contains("sqlite://a?b=c")
        );
    }
}
