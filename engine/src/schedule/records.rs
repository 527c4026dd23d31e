//! What the database has of schedules, for people.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::IntentId;

/// A schedule, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ScheduleRecord {
    /// Its name.
    pub name: String,
    /// The kind of the intents that it requests.
    pub kind: String,
    /// When: a cron expression with its zone, or an interval.
    pub when: String,
    /// What becomes of late ticks: `skip`, `latest`, `all`.
    pub catch_up: String,
    /// For `all`: how many at most.
    pub catch_up_limit: u32,
    /// Its intents may run side by side.
    pub overlapping: bool,
    /// Which declaration this is.
    pub revision: u32,
    /// When this declaration was first seen.
    pub declared_at: DateTime<Utc>,
    /// By which worker.
    pub declared_by: String,
    /// Live workers whose code has this declaration; with none, it does not tick.
    pub workers: u64,
    /// The last tick that was decided; before the first one, when it was declared.
    pub last_at: DateTime<Utc>,
    /// The next one.
    pub next_at: Option<DateTime<Utc>>,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// By whom.
    pub paused_by: Option<String>,
    /// Why.
    pub pause_reason: Option<String>,
    /// What came of the latest tick.
    pub latest: Option<TickRecord>,
}

/// What came of a tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TickRecord {
    /// The schedule.
    pub schedule: String,
    /// When it was due, or asked for.
    pub at: DateTime<Utc>,
    /// A person asked for it.
    pub by_hand: bool,
    /// What came of it.
    pub state: TickState,
    /// The intent that was requested or joined, or on account of which this one was rejected.
    pub intent: Option<IntentId>,
    /// Why it was rejected, or failed.
    pub error: Option<String>,
    /// How many ticks this stands for: those that were left out have one record together.
    pub count: u32,
    /// The first of those.
    pub since: Option<DateTime<Utc>>,
    /// When it was decided; of one that was asked for and is not carried out yet, when that was.
    pub decided_at: DateTime<Utc>,
    /// The worker that decided it.
    pub worker: Option<String>,
    /// Who asked for it.
    pub asked_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What came of a tick, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TickState {
    /// A person has asked for it, and no worker has carried it out yet.
    Asked,
    /// An intent was requested.
    Requested,
    /// By the conflict rules of its kind it is an intent that was there already.
    Joined,
    /// By the conflict rules of its kind it was refused.
    Rejected,
    /// It was late, and is left out.
    Skipped,
    /// No intent could be made of it, or none that can be kept.
    Failed,
}

impl TickState {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Asked,
        Self::Requested,
        Self::Joined,
        Self::Rejected,
        Self::Skipped,
        Self::Failed,
    ];

    /// The word used in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Requested => "requested",
            Self::Joined => "joined",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for TickState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No state of a tick.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of a tick")]
pub struct UnknownTickState(String);

impl FromStr for TickState {
    type Err = UnknownTickState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.iter().copied();
        all.find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownTickState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_word() {
        for state in TickState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        assert!("done".parse::<TickState>().is_err());
    }
}
