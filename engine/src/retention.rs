//! Retention: how long what has finished is kept, and its payloads; who says so; and what was removed by that.
//!
//! Nothing is removed unless somebody says so. A rule is for a kind, or for all that have none of their own, and for one state. It
//! counts for the root of a tree, from when that finished: a tree goes as a whole.

mod pace;
mod round;
mod rules;
mod verbs;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::IntentId;
use crate::intent::{Intent, check_name};
use crate::limits;
use crate::state::IntentState;

pub(crate) use pace::{Pace, Pulse};
pub(crate) use rules::{Keep, Rule, Rules, Said, What};

/// How long intents that ended in one state are kept, and their payloads.
///
/// What has finished is kept for ever, until a rule says otherwise. A worker declares rules ([`Worker::retain`](crate::Worker::retain)),
/// and a person can say otherwise ([`Intendant::retain`](crate::Intendant::retain)). Of several the first of these counts: what a
/// person says of the kind, what the code says of it, what a person says of all kinds, what the code says of all.
///
/// A tree, an intent with all that its steps asked for as children, goes as a whole, by the kind and the state of its root, once that
/// has been finished for so long. It stays as long as anything of it is unfinished, or holds a resource: what a failed intent holds is
/// let go by people, who resume, undo or discard it, never by its age.
///
/// ```
/// # use std::time::Duration;
/// # use intendant::{Intendant, Retention, Worker};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let intendant = Intendant::open("sqlite::memory:").await?;
/// let day = Duration::from_secs(24 * 3600);
/// // What succeeded goes after thirty days, what it was about after seven; what failed stays.
/// let worker = Worker::new(&intendant, ())
///     .retain(Retention::succeeded().rows_for(30 * day).payloads_for(7 * day))
///     .retain(Retention::cancelled().kind("mail.send").rows_for(day));
/// # Ok::<(), intendant::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a rule does nothing until somebody says it"]
pub struct Retention {
    pub(crate) kind: Option<String>,
    pub(crate) state: IntentState,
    pub(crate) keep: Keep,
    pub(crate) revision: u32,
}

impl Retention {
    /// Of what succeeded.
    pub fn succeeded() -> Self {
        Self::ended(IntentState::Succeeded)
    }

    /// Of what failed. An intent that is gone, or has lost its payloads, cannot be resumed.
    pub fn failed() -> Self {
        Self::ended(IntentState::Failed)
    }

    /// Of what was cancelled.
    pub fn cancelled() -> Self {
        Self::ended(IntentState::Cancelled)
    }

    /// Of what ended in this state; none for a state that is no end.
    pub fn of_state(state: IntentState) -> Option<Self> {
        state.is_finished().then(|| Self::ended(state))
    }

    fn ended(state: IntentState) -> Self {
        Self {
            kind: None,
            state,
            keep: Keep::default(),
            revision: 1,
        }
    }

    /// Only of this kind.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Only of this kind.
    pub fn of<T: Intent>(self) -> Self {
        self.kind(T::KIND)
    }

    /// How long everything of an intent is kept: for ever unless said. An hour at least.
    pub fn rows_for(mut self, time: Duration) -> Self {
        self.keep.rows = Some(time);
        self
    }

    /// How long its payloads are kept, if that is shorter: inputs, outputs, results of steps, progress, messages, checkpoints. What
    /// remains is who asked for what and when, how it ended, errors, logs and measurements. An hour at least.
    pub fn payloads_for(mut self, time: Duration) -> Self {
        self.keep.payloads = Some(time);
        self
    }

    /// Of a rule that the code declares: a changed one needs a higher number. 1 unless said.
    pub fn revision(mut self, revision: u32) -> Self {
        self.revision = revision.max(1);
        self
    }

    /// What it is about, in words.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Some(kind) => format!("`{kind}` that {}", self.state),
            None => format!("what {}", self.state),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(kind) = &self.kind {
            check_name("kind", kind)?;
        }
        let Keep { rows, payloads } = self.keep;
        for (what, time) in [("rows", rows), ("payloads", payloads)] {
            let Some(time) = time else { continue };
            if time < limits::RETENTION_LEAST || time > limits::RETENTION_MOST {
                return Err(Error::Limit {
                    what: match what {
                        "rows" => "how long intents are kept",
                        _ => "how long payloads are kept",
                    },
                    found: format!("{time:?}"),
                    limit: "from an hour to a hundred years; for ever is what is not said"
                        .to_owned(),
                });
            }
        }
        if let (Some(rows), Some(payloads)) = (rows, payloads)
            && payloads >= rows
        {
            return Err(Error::Limit {
                what: "how long payloads are kept",
                found: format!("{payloads:?}"),
                limit: format!("less than their intents, {rows:?}; they go with these"),
            });
        }
        Ok(())
    }
}

/// A rule that is in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RetentionRecord {
    /// Of which kind; none: of all that have no rule of their own.
    pub kind: Option<String>,
    /// Of what ended in this state.
    pub state: IntentState,
    /// Who said it: `code` or `person`. A person's word goes first.
    pub said: String,
    /// For how many seconds rows are kept; none: for ever.
    pub rows_s: Option<u64>,
    /// For how many seconds payloads are kept; none: as long as the rows.
    pub payloads_s: Option<u64>,
    /// Of the code's word: its revision.
    pub revision: Option<u32>,
    /// When.
    pub said_at: DateTime<Utc>,
    /// The worker or the person.
    pub said_by: String,
    /// Why, if a person said so.
    pub reason: Option<String>,
    /// Whether it counts: a person's word on the same is not in front of it.
    pub counts: bool,
}

/// How much retention has removed of one kind on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RemovalRecord {
    /// The day (UTC) of the removal.
    pub day: NaiveDate,
    /// Of which kind.
    pub kind: String,
    /// `rows` or `payloads`.
    pub what: String,
    /// Of how many intents, children among them.
    pub intents: u64,
    /// When the last of them went.
    pub last_at: DateTime<Utc>,
}

/// An intent that is old enough and had to stay, with its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KeptRecord {
    /// The root.
    pub intent: IntentId,
    /// What of it had to stay: `rows` or `payloads`.
    pub what: String,
    /// Why.
    pub reason: String,
    /// When this was last looked at; it is looked at every hour.
    pub looked_at: DateTime<Utc>,
}

/// What one pass of retention has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Removed {
    /// Intents that are gone.
    pub intents: u64,
    /// Intents that have lost their payloads.
    pub payloads: u64,
}
