//! A run that is to be made, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use intendant::IntentId;

use crate::asking::Wish;
use crate::features::Seen;
use crate::mishaps::Mishap;

/// A run to be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub seed: u64,
    /// Faults that are left out, by the number of their event.
    pub without: BTreeSet<u64>,
    pub telling: Telling,
}

impl Script {
    /// The line that plays it again.
    pub(crate) fn line(&self) -> String {
        let without: Vec<String> = self.without.iter().map(u64::to_string).collect();
        format!(
            "INTENDANT_SIMULATION_SEED={} INTENDANT_SIMULATION_WITHOUT={} cargo test -p intendant-tests --test simulation -- --nocapture",
            self.seed,
            without.join(",")
        )
    }
}

/// What becomes of the story of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Telling {
    #[default]
    None,
    Printed,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub mishaps: Vec<(u64, Mishap)>,
    pub intents: usize,
    pub attempts: u64,
    pub commits: u64,
    pub events: u64,
    /// What of its features has come to bear.
    pub seen: BTreeMap<Seen, u64>,
    /// What must not be.
    pub breach: Option<String>,
}

/// An intent that was asked for, by somebody or by the schedule.
#[derive(Debug)]
pub(crate) struct Asked {
    pub id: IntentId,
    pub wish: Wish,
    pub can_succeed: bool,
    /// Somebody has cancelled it, had it taken back or given it up.
    pub is_stopped: bool,
    /// Somebody has given it up: what it did stays.
    pub is_discarded: bool,
}

impl Asked {
    pub(crate) fn new(id: IntentId, wish: Wish) -> Self {
        Self {
            id,
            can_succeed: wish.program.can_succeed(),
            wish,
            is_stopped: false,
            is_discarded: false,
        }
    }
}
