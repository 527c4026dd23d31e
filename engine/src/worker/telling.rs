//! Telling: what a worker does, told to the recorder of the `metrics` crate that the program has installed; to nobody, if it has none.
//!
//! | name | sort | labels |
//! |---|---|---|
//! | `intendant_claims_total` | counter: tasks taken in hand, intents and steps of other queues | `kind` |
//! | `intendant_intents_ended_total` | counter: intents that came to an end here | `kind`, `state` |
//! | `intendant_tick_seconds` | histogram: from sending a tick until its answer | |
//! | `intendant_steps_running` | gauge, with each heartbeat: attempts under way | `worker` |
//! | `intendant_tasks_in_hand` | gauge, with each heartbeat: what the worker holds, waiting for a slot or running | `worker` |
//! | `intendant_sessions_lost_total` | counter: this worker was taken for dead, and lives: its leases are others' | `worker` |
//! | `intendant_tasks_taken_over_total` | counter: tasks of dead sessions that this worker put back in line, or into quarantine | `verdict` |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use crate::state::IntentState;
use crate::store::{Claimed, Reaped};

/// What came to an end in one tick.
#[derive(Debug, Default)]
pub(super) struct Ends(BTreeMap<(Arc<str>, &'static str), u64>);

impl Ends {
    pub(super) fn add(&mut self, kind: &Arc<str>, state: IntentState) {
        *self.0.entry((kind.clone(), state.as_str())).or_default() += 1;
    }

    pub(super) fn tell(self) {
        for ((kind, state), count) in self.0 {
            metrics::counter!("intendant_intents_ended_total", "kind" => kind.to_string(), "state" => state)
                .increment(count);
        }
    }
}

pub(super) fn claimed(tasks: &[Claimed]) {
    let mut kinds: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
    for task in tasks {
        *kinds.entry(&task.kind).or_default() += 1;
    }
    for (kind, count) in kinds {
        metrics::counter!("intendant_claims_total", "kind" => kind.to_string()).increment(count);
    }
}

pub(super) fn tick(took: Duration) {
    metrics::histogram!("intendant_tick_seconds").record(took);
}

pub(super) fn taken_over(reaped: &Reaped) {
    for (verdict, count) in [
        ("suspect", reaped.suspects),
        ("quarantined", reaped.quarantined),
    ] {
        if count > 0 {
            metrics::counter!("intendant_tasks_taken_over_total", "verdict" => verdict)
                .increment(count as u64);
        }
    }
}

impl Engine {
    /// What it has in hand. Called with every heartbeat, and when that is nothing any more.
    pub(super) fn tell_in_hand(&self) {
        let worker = || self.settings.name.to_string();
        metrics::gauge!("intendant_steps_running", "worker" => worker())
            .set(self.running.len() as f64);
        metrics::gauge!("intendant_tasks_in_hand", "worker" => worker())
            .set(self.drives.len() as f64);
    }

    /// It was taken for dead.
    pub(super) fn tell_loss(&self) {
        metrics::counter!("intendant_sessions_lost_total", "worker" => self.settings.name.to_string())
            .increment(1);
    }
}
