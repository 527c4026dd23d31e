//! Records: what history tells its readers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{IntentId, SignalId};
use crate::intent::Mode;
use crate::state::{IntentState, StepState};
use crate::trace::TraceParent;

/// Which intents a list shall have; all of them by default.
///
/// An account, a resource, a label, an unfinished state, and what failed or was cancelled are found by an index. The
/// others are compared on the way, newest first, a bounded number of rows at a time: see
/// [`Intendant::page`](crate::Intendant::page).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntentFilter {
    /// Of this account.
    pub account: Option<String>,
    /// On this resource, `type:id`.
    pub resource: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this state.
    pub state: Option<IntentState>,
    /// Asked for by this person or service.
    pub requested_by: Option<String>,
    /// With this correlation id: the web request's, mostly. Children have their parent's.
    pub correlation_id: Option<String>,
    /// With this label: name and value.
    pub label: Option<(String, String)>,
    /// Requested at this time or later.
    pub requested_since: Option<DateTime<Utc>>,
    /// Requested before this time.
    pub requested_until: Option<DateTime<Utc>>,
    /// Finished at this time or later.
    pub finished_since: Option<DateTime<Utc>>,
    /// Failed with an error that has this text in it, whatever the case of its letters from A to Z.
    pub error: Option<String>,
    /// Only those requested before this one: where the page before ended.
    pub before: Option<IntentId>,
    /// Only those requested after this one: the newest that is known already.
    pub after: Option<IntentId>,
    /// Most of them: 50 unless said, 1,000 at most.
    pub limit: Option<u32>,
}

/// A page of intents, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct IntentPage {
    /// The intents; possibly none although there are older ones that match.
    pub intents: Vec<IntentRecord>,
    /// Where to go on ([`IntentFilter::before`]); none at the end of the history.
    pub next: Option<IntentId>,
}

/// The record of one intent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct IntentRecord {
    /// Its id.
    pub id: IntentId,
    /// What sort of operation.
    pub kind: String,
    /// The queue whose workers carry it out.
    pub queue: String,
    /// The customer that it is for.
    pub account: Option<String>,
    /// Where it is.
    pub state: IntentState,
    /// Who asked.
    pub requested_by: Option<String>,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When its first step started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it came to rest.
    pub finished_at: Option<DateTime<Utc>>,
    /// Not to start before this.
    pub run_at: Option<DateTime<Utc>>,
    /// Its priority; larger goes first.
    pub priority: i64,
    /// What it touches.
    pub resources: Vec<ResourceRecord>,
    /// Its labels, by name.
    pub labels: BTreeMap<String, String>,
    /// What was asked for.
    pub input: Box<RawValue>,
    /// What it came to.
    pub output: Option<Box<RawValue>>,
    /// Of a failed one: why, in a word.
    pub reason: Option<String>,
    /// Of a failed one: why, in a line.
    pub error: Option<String>,
    /// Of a failed one: in which step.
    pub failed_step: Option<String>,
    /// Of a waiting one: for what.
    pub waiting_for: Option<String>,
    /// Of a waiting one: until when.
    pub due_at: Option<DateTime<Utc>>,
    /// The intent whose step asked for it.
    pub parent_id: Option<IntentId>,
    /// The step that asked for it.
    pub parent_step: Option<String>,
    /// The first intent of its tree; itself where it is nobody's child.
    pub root_id: IntentId,
    /// What runs through its whole tree.
    pub correlation_id: Option<String>,
    /// The trace in which it was asked for, or whose parent was.
    #[serde(default)]
    pub traceparent: Option<TraceParent>,
    /// The stored shape of its plan.
    pub plan_hash: Option<String>,
    /// When retention has removed its payloads, if it has ([`Retention`](crate::Retention)): its input is null then and no request's,
    /// it has no output, and those of its steps are null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_removed_at: Option<DateTime<Utc>>,
    /// What of its rows cannot be read, if anything: the first that was found. In its place stands nothing, or the text with
    /// a sign for each byte that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A resource of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRecord {
    /// `type:id`.
    pub resource: String,
    /// How the intent uses it.
    pub mode: Mode,
}

/// A step of an intent, as it has something to say.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// Which time round.
    pub generation: i64,
    /// Where it is.
    pub state: StepState,
    /// The attempt that runs or that ended it; 0 before the first.
    pub attempt: i64,
    /// Its result.
    pub output: Option<Box<RawValue>>,
    /// What went wrong last.
    pub error: Option<String>,
    /// What it last said about how far it is.
    pub progress: Option<Box<RawValue>>,
    /// When it goes on.
    pub due_at: Option<DateTime<Utc>>,
    /// When that attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Who carried it out.
    pub worker: Option<String>,
    /// The queue that the plan names for it; none where it runs with its intent.
    pub queue: Option<String>,
    /// What of its rows cannot be read, if anything: the first that was found. In its place stands nothing, or the text with
    /// a sign for each byte that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

impl StepRecord {
    /// What it last said about how far it is, for people: of a [`Progress`](crate::Progress) in words, of anything else its
    /// JSON.
    pub fn progress_words(&self) -> Option<String> {
        let progress = self.progress.as_ref()?;
        Some(crate::progress::words(progress.get()))
    }

    /// A step of the plan of which nothing has been heard yet.
    pub(super) fn pending(name: String, queue: Option<String>) -> Self {
        Self {
            name,
            generation: 1,
            state: StepState::Pending,
            attempt: 0,
            output: None,
            error: None,
            progress: None,
            due_at: None,
            started_at: None,
            finished_at: None,
            worker: None,
            queue,
            unreadable: None,
        }
    }
}

/// What an attempt at a step has logged: its last lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogRecord {
    /// The step.
    pub step: String,
    /// Which time round.
    pub generation: i64,
    /// The attempt's number, from 1.
    pub attempt: i64,
    /// The lines, the oldest first.
    pub lines: Vec<LogLine>,
    /// Lines before these that were not kept.
    pub cut_lines: i64,
    /// Bytes that were not kept, of these lines and of others.
    pub cut_bytes: i64,
    /// When the attempt ended.
    pub at: DateTime<Utc>,
    /// Who carried it out.
    pub worker: String,
}

/// One line of a step's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// When it was logged: microseconds since the attempt began, by the worker's steady clock.
    pub us: u64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// Which part of the program said it.
    pub target: String,
    /// What it said, with its fields.
    pub text: String,
}

/// What an attempt at a step has measured, beside its duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasureRecord {
    /// The step.
    pub step: String,
    /// Which time round.
    pub generation: i64,
    /// The attempt's number, from 1.
    pub attempt: i64,
    /// What was measured.
    pub name: String,
    /// How much it was.
    pub value: f64,
    /// When the attempt ended.
    pub at: DateTime<Utc>,
}

/// A failed attempt at a step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRecord {
    /// The step.
    pub step: String,
    /// Which time round.
    pub generation: i64,
    /// Its number, from 1.
    pub attempt: i64,
    /// What sort of failure.
    pub failure: String,
    /// What the step said.
    pub error: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it failed.
    pub finished_at: DateTime<Utc>,
    /// When the next one is due; none where there is none.
    pub retry_at: Option<DateTime<Utc>>,
    /// Who carried it out.
    pub worker: String,
    /// What of its rows cannot be read, if anything: the first that was found. In its place stands nothing, or the text with
    /// a sign for each byte that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// What a person did to an intent, or the engine by itself (its actor is `intendant`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// Its number, from 1, without gaps.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub verb: String,
    /// Why.
    pub reason: Option<String>,
    /// What was there before.
    pub detail: Option<Box<RawValue>>,
    /// What of its rows cannot be read, if anything: the first that was found. In its place stands nothing, or the text with
    /// a sign for each byte that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A message to an intent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SignalRecord {
    /// Its id.
    pub id: SignalId,
    /// The name by which steps wait for it.
    pub name: String,
    /// The key under which it counts once.
    pub key: Option<String>,
    /// What it says.
    pub payload: Option<Box<RawValue>>,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// Who sent it.
    pub sent_by: Option<String>,
    /// The step that has taken it; none that nobody has waited for yet.
    pub taken_by: Option<String>,
    /// Why the step that took it set it aside.
    pub refused: Option<String>,
    /// What of its rows cannot be read, if anything: the first that was found. In its place stands nothing, or the text with
    /// a sign for each byte that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A child of an intent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChildRecord {
    /// The step that asked for it.
    pub step: String,
    /// The name by which it did.
    pub name: String,
    /// The child.
    pub id: IntentId,
}

/// What a conflict rule has made of an intent on account of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It was asked to stop, so that the other one can go.
    SupersededBy,
    /// It is the same as the other one, which was there before.
    Joined,
    /// It was refused, since the other one was there.
    RejectedBy,
}

impl Relation {
    /// The words used in SQL and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SupersededBy => "superseded by",
            Self::Joined => "joined",
            Self::RejectedBy => "rejected by",
        }
    }
}

/// A word that is no relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no relation between intents")]
pub struct UnknownRelation(String);

impl std::str::FromStr for Relation {
    type Err = UnknownRelation;

    fn from_str(words: &str) -> Result<Self, UnknownRelation> {
        let all = [Self::SupersededBy, Self::Joined, Self::RejectedBy];
        let mut all = all.into_iter();
        all.find(|relation| relation.as_str() == words)
            .ok_or_else(|| UnknownRelation(words.to_owned()))
    }
}

/// One intent had to do with another one, by a conflict rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkRecord {
    /// The intent that was superseded, joined the other one or was refused.
    pub intent: IntentId,
    /// Which of these.
    pub relation: Relation,
    /// The other one.
    pub other: IntentId,
    /// The resource that both want.
    pub resource: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// How many unfinished tasks there are, by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unfinished {
    /// Waiting for a worker.
    pub ready: i64,
    /// Waiting for a timer or a child.
    pub parked: i64,
    /// Waiting for a resource.
    pub blocked: i64,
    /// Held by a worker.
    pub running: i64,
}

impl Unfinished {
    /// All of them.
    pub fn total(&self) -> i64 {
        self.ready + self.parked + self.blocked + self.running
    }
}
