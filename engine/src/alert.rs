//! Alerts: what people should know of, raised once for each thing that it is about and resolved when its cause is gone.
//!
//! They are rows, written by housekeeping: the live workers take turns at it, so that no hot path pays for it. What is
//! an alert is decided by the pure functions in [`judge`]; what is told to whoever listens ([`Notice`]) is put together by
//! [`topic`].

pub(crate) mod judge;
pub(crate) mod topic;
mod unserved;
mod watch;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use unserved::Unserved;
pub use watch::Watch;

use crate::client::Intendant;
use crate::error::Error;
use crate::id::{AlertId, IntentId};
use crate::limits;

/// What sort of trouble.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[non_exhaustive]
pub enum AlertKind {
    /// An intent has not succeeded, or been cancelled, by its deadline. Resolved when it has after all.
    #[serde(rename = "intent deadline")]
    IntentDeadline,
    /// A step has no result by its deadline. Resolved when it has one after all.
    #[serde(rename = "step deadline")]
    StepDeadline,
    /// A step runs far longer than it usually does. Resolved when it has ended.
    #[serde(rename = "slow step")]
    SlowStep,
    /// The oldest task of a queue has been ready for too long.
    #[serde(rename = "queue too old")]
    QueueTooOld,
    /// Tasks are ready that no live worker serves: its queue, or its kind.
    #[serde(rename = "no worker")]
    NoWorker,
    /// A worker was taken for dead. Resolved when one of its name or on its machine begins, or after an hour.
    #[serde(rename = "worker gone")]
    WorkerGone,
    /// The intents of a kind have crashed their workers one after the other, so they are tried rarely. Resolved when one
    /// of them has succeeded.
    #[serde(rename = "kind backs off")]
    KindBacksOff,
    /// A schedule's next tick is overdue, and nobody decides it: no live worker declares the schedule as it is, or those that do
    /// fail at it. Resolved when it is decided, or when the schedule is paused or removed.
    #[serde(rename = "schedule overdue")]
    ScheduleOverdue,
    /// Intents have failed. Never an alert's kind, only a [`Notice`]'s: what is failed is listed by
    /// [`Intendant::failures`].
    #[serde(rename = "failure")]
    Failure,
}

impl AlertKind {
    /// All of them.
    pub const ALL: &[AlertKind] = &[
        Self::IntentDeadline,
        Self::StepDeadline,
        Self::SlowStep,
        Self::QueueTooOld,
        Self::NoWorker,
        Self::WorkerGone,
        Self::KindBacksOff,
        Self::ScheduleOverdue,
        Self::Failure,
    ];

    /// The word used in SQL, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IntentDeadline => "intent deadline",
            Self::StepDeadline => "step deadline",
            Self::SlowStep => "slow step",
            Self::QueueTooOld => "queue too old",
            Self::NoWorker => "no worker",
            Self::WorkerGone => "worker gone",
            Self::KindBacksOff => "kind backs off",
            Self::ScheduleOverdue => "schedule overdue",
            Self::Failure => "failure",
        }
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no kind of alerts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a kind of alerts; expected one of {}", words())]
pub struct UnknownAlertKind {
    found: String,
}

fn words() -> String {
    let words = AlertKind::ALL.iter().map(|kind| kind.as_str());
    words.collect::<Vec<_>>().join(", ")
}

impl FromStr for AlertKind {
    type Err = UnknownAlertKind;

    fn from_str(word: &str) -> Result<Self, UnknownAlertKind> {
        let mut all = Self::ALL.iter().copied();
        all.find(|kind| kind.as_str() == word)
            .ok_or_else(|| UnknownAlertKind {
                found: word.to_owned(),
            })
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// What sort of trouble.
    pub kind: AlertKind,
    /// The intent that it is about.
    pub intent: Option<IntentId>,
    /// The kind of intents that it is about.
    pub intent_kind: Option<String>,
    /// The step.
    pub step: Option<String>,
    /// The queue.
    pub queue: Option<String>,
    /// The worker.
    pub worker: Option<String>,
    /// Since when it has been so.
    pub since: DateTime<Utc>,
    /// When it was found.
    pub raised_at: DateTime<Utc>,
    /// When its cause was found to be gone.
    pub resolved_at: Option<DateTime<Utc>>,
    /// In a line.
    pub text: String,
    /// How many tasks it is about.
    pub count: u64,
}

/// Which alerts a list shall have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only those that are open, unless said.
    pub which: Which,
    /// Of this kind.
    pub kind: Option<AlertKind>,
    /// About this intent or a step of it.
    pub intent: Option<IntentId>,
    /// Most of them: 1,000 at most, and unless said.
    pub limit: Option<u32>,
}

/// Open alerts, or resolved ones as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    /// Whose cause is not gone.
    #[default]
    Open,
    /// Those too that have been resolved in the last thirty days.
    All,
}

/// Something to tell: alerts that were raised, or intents that failed, of one sort and for one reason, since it was last
/// told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notice {
    /// What sort of trouble.
    pub kind: AlertKind,
    /// How many there have been since it was last told.
    pub count: u64,
    /// The kind of intents that it is about.
    pub intent_kind: Option<String>,
    /// The step.
    pub step: Option<String>,
    /// The queue.
    pub queue: Option<String>,
    /// The worker.
    pub worker: Option<String>,
    /// The newest intent that it is about.
    pub newest: Option<IntentId>,
    /// What the newest says.
    pub text: String,
    /// The first of them.
    pub since: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
}

impl Intendant {
    /// Alerts, newest first: the open ones unless the filter says otherwise.
    ///
    /// They are found by workers, every 15 seconds unless they say otherwise ([`Watch`]); with no worker alive, nobody
    /// looks.
    ///
    /// ```
    /// # use intendant::{AlertFilter, Intendant};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// for alert in intendant.alerts(AlertFilter::default()).await? {
    ///     println!("{} since {}: {}", alert.kind, alert.since, alert.text);
    /// }
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn alerts(&self, filter: AlertFilter) -> Result<Vec<Alert>, Error> {
        let limit = filter.limit.unwrap_or(limits::PAGE);
        let filter = AlertFilter {
            limit: Some(limit.clamp(1, limits::PAGE)),
            ..filter
        };
        self.store().alerts(filter).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_word() {
        for kind in AlertKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            let json = serde_json::to_string(kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
        }
        let error = "no trouble".parse::<AlertKind>().unwrap_err();
        assert!(error.to_string().starts_with(
            "`no trouble` is not a kind of alerts; expected one of intent deadline, "
        ));
    }
}
