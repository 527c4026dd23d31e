//! Stop: what of a tick is not written, since its intent was asked to stop before the worker knew.
//!
//! Whoever commits first has won: a cancel that is on disk before a finish takes its place. Results are kept whatever
//! happens; nothing new begins, and the task stays in its lease, for its worker to carry the cancel out.

use std::collections::HashSet;

use super::{CancelLoad, Goal, Life, TickAnswer, TickRequest};
use crate::id::{IntentId, LeaseId};
use crate::state::StepState;

/// The request without what must not be written for the intents that are to stop. What was left out is told.
pub(super) fn without(request: &TickRequest, answer: &mut TickAnswer) -> TickRequest {
    let mut request = request.clone();
    let unknowing = unknowing(&request, &answer.to_stop);
    let stops = |id: &IntentId| unknowing.contains(id);
    answer.not_finished = not_finished(&request, &answer.to_stop);
    let parks = request.parks.iter().filter(|row| stops(&row.intent));
    answer.not_parked.extend(parks.map(|row| row.intent));

    let finishes = request.finishes.iter().filter(|row| stops(&row.intent));
    let parks = request.parks.iter().filter(|row| stops(&row.intent));
    let kept: HashSet<LeaseId> = finishes
        .filter_map(|row| row.lease)
        .chain(parks.map(|row| row.lease))
        .collect();
    request.leases_done.retain(|lease| !kept.contains(lease));
    request.finishes.retain(|row| !stops(&row.intent));
    request.parks.retain(|row| !stops(&row.intent));
    request.renews.retain(|row| !stops(&row.intent));
    request.reruns.retain(|intent| !stops(intent));
    request.children.retain(|row| {
        let parent = row.intent.parent.as_ref();
        parent.is_none_or(|(parent, _)| !stops(parent))
    });
    // A start that was to be on disk before the step runs: it will not run.
    request
        .steps
        .retain(|row| row.state != StepState::Running || !stops(&row.intent));
    for (intent, _, life) in &mut request.hand_backs {
        if stops(intent) {
            // Whoever claims it next looks for what asks it to stop.
            *life = Life::Started;
        }
    }
    request
}

/// The finishes in the request that lose against a cancel.
pub(super) fn not_finished(
    request: &TickRequest,
    to_stop: &[(IntentId, CancelLoad)],
) -> Vec<IntentId> {
    let unknowing = unknowing(request, to_stop);
    let finishes = request.finishes.iter().map(|row| row.intent);
    finishes.filter(|id| unknowing.contains(id)).collect()
}

/// Those that are to stop, and of which the worker did not know it.
fn unknowing(request: &TickRequest, to_stop: &[(IntentId, CancelLoad)]) -> HashSet<IntentId> {
    // Of one that is taken back for something else, its worker knows.
    let asked = to_stop
        .iter()
        .filter(|(_, cancel)| cancel.goal == Goal::Cancel);
    let ids = asked.map(|(id, _)| *id);
    ids.filter(|id| !request.stopping.contains(id)).collect()
}
