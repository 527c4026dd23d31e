//! A workflow engine for operations that a business must not lose.
//!
//! Every operation that somebody asks for is an [`Intent`]: one durable row with who asked, for which account, on which
//! resources, and what came of it. Its work is a [`Plan`] of small idempotent steps, kept as data; a [`Worker`] carries
//! it out, and another one goes on from the recorded results when that one dies. [`Intendant`] is the handle on the
//! database, SQLite or PostgreSQL, with the same semantics on both.
//!
//! A process that has opened the engine may start programs (`exec`), but must not go on in a child that it forks: connections,
//! locks on files and the threads of the runtime are not the child's. docs/PROGRAMS.md says what comes of it, and what to do
//! instead: fork first, open afterwards.
//!
//! Start with [`Intendant::open`] and [`Worker`]. The promises and how they are kept are in ARCHITECTURE.md.

pub mod limits;
pub mod testing;
pub mod why;

mod about;
mod admit;
mod advance;
mod again;
mod alert;
mod asking;
mod beside;
mod blocking;
mod by_name;
mod cancel;
mod change;
mod checkpoint;
mod checkup;
mod children;
mod client;
mod clock;
#[cfg(unix)]
mod command;
mod conflict;
mod crash;
mod cx;
mod dry_run;
mod error;
mod failures;
mod gather;
mod handle;
mod id;
mod intent;
mod kinds;
mod metering;
mod middleware;
mod notes;
mod nudge;
mod offer;
mod part;
mod partitions;
mod payload;
mod plan;
mod planted;
mod progress;
mod queue;
mod rate;
mod request;
mod retention;
mod retry;
mod schedule;
mod seam;
mod secret;
mod signal;
mod slots;
mod state;
mod step;
mod step_logs;
mod store;
mod subscription;
mod terms;
mod token;
mod trace;
mod transaction;
mod undo;
mod verbs;
mod waits;
mod watching;
mod worker;
mod workers;

pub use about::About;
pub use alert::{Alert, AlertFilter, AlertKind, Notice, UnknownAlertKind, Watch, Which};
pub use asking::{StepRequest, StepRequestByName};
pub use by_name::{Asked, RequestByName};
pub use cancel::Cancelled;
pub use change::ChangeRecord;
pub use checkup::Checkup;
pub use children::{ChildFailed, Children};
pub use client::Intendant;
pub use clock::{Clock, SystemClock};
#[cfg(unix)]
pub use command::{Captured, Command, CommandOutput};
pub use conflict::{Conflicts, ConflictsError, Rule};
pub use cx::Cx;
pub use dry_run::{Concerned, DryRun, Ruled, Used, Wanted};
pub use error::Error;
pub use failures::{FailedKind, FailureGroup, Failures};
pub use handle::Handle;
pub use id::{AlertId, ChangeId, IntentId, SignalId, TokenId};
pub use intent::{Intent, Mode, NameError, OnFailure, Resources};
pub use kinds::KindRecord;
pub use metering::Metrics;
pub use middleware::{Done, Middleware, Next};
pub use part::{Mark, NoMark, Part};
pub use partitions::Partitions;
pub use payload::PayloadError;
pub use plan::{
    Dependency, Graph, GraphStep, Input, MapBuilder, Node, Plan, PlanError, PlanOutput,
    StepBuilder, Value, value,
};
pub use progress::Progress;
pub use queue::QueueRecord;
pub use rate::{Rate, UnknownRate};
pub use request::{Request, Within};
pub use retention::{KeptRecord, RemovalRecord, Removed, Retention, RetentionRecord};
pub use schedule::{
    CatchUp, Schedule, ScheduleError, ScheduleRecord, Tick, TickRecord, TickState, UnknownTickState,
};
pub use secret::{KeyError, Secret, SecretKey, is_sealed};
pub use signal::{Sent, Signal};
pub use state::{AttemptFailure, FailureReason, IntentState, StepState, UnknownState};
pub use step::{StepError, StepOutput, StepResult, fail, snooze};
pub use step_logs::StepLogs;
pub use store::{
    AttemptRecord, ChildRecord, EventRecord, IntentFilter, IntentPage, IntentRecord, LinkRecord,
    LogLine, LogRecord, MeasureRecord, MigrationStatus, Relation, ResourceRecord, SignalRecord,
    StepRecord, StoreKind, StoreOptions, Unfinished, UnknownRelation, Version, Versions,
    migration_sql,
};
pub use subscription::{IntentEvent, Occurred, Position, Subscribe, Subscription, UnknownPosition};
pub use token::{IssuedToken, NewToken, Scope, TokenRecord, UnknownScope};
pub use trace::{NoTraceParent, TraceParent};
pub use transaction::{Committed, StepConnection};
pub use verbs::{Batch, Preview, Undone, Verb};
pub use waits::{SignalWait, SignalWithin};
pub use why::Why;
pub use worker::{Stopped, WorkReport, Worker, shutdown_signal};
pub use workers::{Served, WorkerRecord};

/// For the schema of an intent's input ([`About::schema`]).
pub use schemars;

/// The README's example has to compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// And those of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/TESTING.md")]
struct Testing;
#[cfg(all(doctest, unix))]
#[doc = include_str!("../../docs/PROGRAMS.md")]
struct Programs;
