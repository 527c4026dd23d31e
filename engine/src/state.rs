//! States of intents and steps, and the words they go by everywhere.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A word that is not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a state; expected one of {}", .expected.join(", "))]
pub struct UnknownState {
    found: String,
    expected: &'static [&'static str],
}

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them, in the order of an ordinary life.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The word used in SQL, JSON and on the command line.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownState;

            fn from_str(word: &str) -> Result<Self, UnknownState> {
                match word {
                    $($word => Ok($name::$variant),)*
                    other => Err(UnknownState {
                        found: other.to_owned(),
                        expected: &[$($word),*],
                    }),
                }
            }
        }
    };
}

states! {
    /// Where an intent is.
    IntentState {
        /// An intent on the same resource goes first.
        Blocked = "blocked",
        /// Waits for a worker.
        Ready = "ready",
        /// A worker holds it.
        Running = "running",
        /// Waits for a timer, a child, a signal or a retry.
        Waiting = "waiting",
        /// Its steps are being taken back.
        Undoing = "undoing",
        /// Done. Never changes again.
        Succeeded = "succeeded",
        /// Stopped, with a reason; waits for a person.
        Failed = "failed",
        /// Given up on request. Never changes again.
        Cancelled = "cancelled",
    }
}

states! {
    /// Where a step is.
    StepState {
        /// Not begun.
        Pending = "pending",
        /// Being carried out.
        Running = "running",
        /// Waits for a retry, a snooze or a child.
        Waiting = "waiting",
        /// Its result is recorded.
        Succeeded = "succeeded",
        /// Out of attempts, or given up.
        Failed = "failed",
        /// A person gave its output.
        Skipped = "skipped",
        /// Taken back.
        Undone = "undone",
    }
}

impl IntentState {
    /// Whether the intent is at rest: it has an outcome.
    pub fn is_finished(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
            Self::Blocked | Self::Ready | Self::Running | Self::Waiting | Self::Undoing => false,
        }
    }
}

/// Why an intent failed, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailureReason {
    /// A step used up its attempts or gave up.
    #[serde(rename = "step failed")]
    StepFailed,
    /// The plan function failed, or its plan is not a sound one, or lacks a step that it had.
    #[serde(rename = "plan refused")]
    PlanRefused,
    /// An input or a stored output does not decode into the type that the code expects, or the input is of another account
    /// than its request.
    #[serde(rename = "undecodable")]
    Undecodable,
    /// It killed its worker too often.
    #[serde(rename = "quarantined")]
    Quarantined,
    /// It wants a resource for itself that an intent which waits for it shares.
    #[serde(rename = "circular wait")]
    CircularWait,
    /// The database refused what had to be written for it.
    #[serde(rename = "data refused")]
    DataRefused,
    /// A step that may run only once was running when its worker died or was stopped: nobody knows what it did.
    #[serde(rename = "interrupted")]
    Interrupted,
    /// What a step did could not be taken back.
    #[serde(rename = "undo failed")]
    UndoFailed,
    /// A step has no result within its limit for all its attempts.
    #[serde(rename = "step limit")]
    StepLimit,
    /// It was not done within the limit of its kind.
    #[serde(rename = "intent limit")]
    IntentLimit,
}

impl FailureReason {
    /// The word used in SQL, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StepFailed => "step failed",
            Self::PlanRefused => "plan refused",
            Self::Undecodable => "undecodable",
            Self::Quarantined => "quarantined",
            Self::CircularWait => "circular wait",
            Self::DataRefused => "data refused",
            Self::Interrupted => "interrupted",
            Self::UndoFailed => "undo failed",
            Self::StepLimit => "step limit",
            Self::IntentLimit => "intent limit",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::StepFailed,
            Self::PlanRefused,
            Self::Undecodable,
            Self::Quarantined,
            Self::CircularWait,
            Self::DataRefused,
            Self::Interrupted,
            Self::UndoFailed,
            Self::StepLimit,
            Self::IntentLimit,
        ];
        all.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What is wrong about one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AttemptFailure {
    /// The step returned an error.
    #[serde(rename = "error")]
    Error,
    /// The step said that trying again is of no use.
    #[serde(rename = "gave up")]
    GaveUp,
    /// The step ran past its time limit; what it did is unknown.
    #[serde(rename = "time-out")]
    TimeOut,
    /// The step panicked; what it did is unknown.
    #[serde(rename = "panic")]
    Panic,
    /// The step ended well, but its output cannot be kept.
    #[serde(rename = "output refused")]
    OutputRefused,
    /// The intent was asked to stop while the step ran; what it did is unknown.
    #[serde(rename = "cancelled")]
    Cancelled,
}

impl AttemptFailure {
    /// The word used in SQL, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::GaveUp => "gave up",
            Self::TimeOut => "time-out",
            Self::Panic => "panic",
            Self::OutputRefused => "output refused",
            Self::Cancelled => "cancelled",
        }
    }
}
