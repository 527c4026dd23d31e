//! Stop: what of a tick is not written, since its intent was asked to stop before the worker knew.
//!
//! Whoever commits first has won: a cancel that is on disk before a finish takes its place. Results are kept whatever
//! happens; nothing new begins, and the task stays in its lease, for its worker to carry the cancel out.

use std::collections::HashSet;

use super::{Goal, Life, RoutedEnd, TickAnswer, TickRequest, ToStop};
use crate::id::{IntentId, LeaseId, TaskId};
use crate::state::StepState;

/// The request without what must not be written for the tasks that are to stop. What was left out is told.
pub(super) fn without(request: &TickRequest, answer: &mut TickAnswer) -> TickRequest {
    let mut request = request.clone();
    let unknowing = unknowing(&request, &answer.to_stop);
    let stops = |task: TaskId| unknowing.contains(&task);
    end_routed(&mut request, &unknowing, &answer.to_stop);
    answer.not_finished = not_finished(&request, &answer.to_stop);
    let parks = request.parks.iter().filter(|row| stops(row.task));
    answer.not_parked.extend(parks.map(|row| row.task));

    let finishes = request.finishes.iter();
    let finishes = finishes.filter(|row| stops(row.intent.into()));
    let parks = request.parks.iter().filter(|row| stops(row.task));
    let kept: HashSet<LeaseId> = finishes
        .filter_map(|row| row.lease)
        .chain(parks.map(|row| row.lease))
        .collect();
    request.leases_done.retain(|lease| !kept.contains(lease));
    request.finishes.retain(|row| !stops(row.intent.into()));
    request.parks.retain(|row| !stops(row.task));
    request.renews.retain(|row| !stops(row.intent.into()));
    request.reruns.retain(|intent| !stops((*intent).into()));
    request.children.retain(|row| {
        let parent = row.intent.parent.as_ref();
        parent.is_none_or(|(parent, _)| !stops((*parent).into()))
    });
    let unsent: HashSet<(IntentId, _)> = request
        .routed
        .extract_if(.., |row| stops(row.intent.into()))
        .map(|row| (row.intent, row.step))
        .collect();
    // A start that was to be on disk before the step runs: it will not run. Nor is a step under way that is not sent.
    request.steps.retain(|row| {
        !(stops(row.task)
            && (row.state == StepState::Running
                || unsent.contains(&(row.intent, row.name.clone()))))
    });
    for (task, _, life) in &mut request.hand_backs {
        if stops(*task) {
            // Whoever claims it next looks for what asks it to stop.
            *life = Life::Started;
        }
    }
    request
}

/// A step of an intent that is to stop, which was to be parked or handed back, ends with that: nobody shall have to come for
/// it, in a queue that may have no worker any more.
fn end_routed(request: &mut TickRequest, unknowing: &HashSet<TaskId>, to_stop: &[ToStop]) {
    let routed = to_stop.iter().filter(|stop| stop.is_routed());
    for stop in routed.filter(|stop| unknowing.contains(&stop.task)) {
        let task = stop.task;
        let parks = request.parks.extract_if(.., |row| row.task == task);
        let mut leases: Vec<LeaseId> = parks.map(|row| row.lease).collect();
        let backs = request.hand_backs.extract_if(.., |row| row.0 == task);
        leases.extend(backs.map(|(_, lease, _)| lease));
        request
            .ends
            .extend(leases.into_iter().map(|lease| RoutedEnd {
                task,
                intent: stop.intent,
                lease: Some(lease),
            }));
    }
}

/// The finishes in the request that lose against a cancel.
pub(super) fn not_finished(request: &TickRequest, to_stop: &[ToStop]) -> Vec<IntentId> {
    let unknowing = unknowing(request, to_stop);
    let finishes = request.finishes.iter().map(|row| row.intent);
    finishes
        .filter(|id| unknowing.contains(&TaskId::from(*id)))
        .collect()
}

/// Those that are to stop, and of which the worker did not know it.
fn unknowing(request: &TickRequest, to_stop: &[ToStop]) -> HashSet<TaskId> {
    // Of one that is taken back for something else, its worker knows.
    let asked = to_stop.iter().filter(|stop| stop.by.goal == Goal::Cancel);
    let tasks = asked.map(|stop| stop.task);
    tasks
        .filter(|task| !request.stopping.contains(task))
        .collect()
}
