//! Cancelling: intents in hand, and steps of others, that were asked to stop.
//!
//! Known from the first statement of a tick, whose answer names them, or from the claim. Nothing new of them starts,
//! timers and waits are over, what runs is told and, after a grace time, stopped; then they are finished as cancelled,
//! when their children have finished.

use std::sync::Arc;

use super::drive::Phase;
use super::engine::Engine;
use crate::advance::Status;
use crate::id::{LeaseId, TaskId};
use crate::state::StepState;
use crate::store::{CancelLoad, ChildRow, Goal, Life, RoutedEnd, TickAnswer, TickRequest, ToStop};

impl Engine {
    /// A tick has said what is to stop, and has left out what must not be written for it. Returns what has to be looked at
    /// when the rest of the answer has been taken in.
    pub(super) fn cancels_heard(
        &mut self,
        request: &TickRequest,
        answer: &mut TickAnswer,
    ) -> Vec<TaskId> {
        let mut stopped = Vec::new();
        for stop in std::mem::take(&mut answer.to_stop) {
            let task = stop.task;
            if stop.by.goal != Goal::Cancel {
                // It is taken back for something else, as its driver knows.
                continue;
            }
            if stop.is_routed() {
                self.end_left(&stop);
            }
            if self.drives.contains_key(&task) {
                if self.to_stop.insert(task) {
                    self.stop_task(task, stop.by, request);
                    stopped.push(task);
                }
            } else if !stop.is_routed() {
                // Leased to this session by a request, and on its way here.
                self.unmet.insert(task, stop.by);
            }
        }
        for intent in &answer.not_finished {
            if let Some(drive) = self.drives.get_mut(&TaskId::from(*intent)) {
                drive.phase = Phase::Active;
                let lease = drive.lease;
                self.rejoin(lease);
            }
        }
        stopped
    }

    /// A step of an intent that is to stop, which the next tick was to park or to hand back, ends with it instead.
    fn end_left(&mut self, stop: &ToStop) {
        let pending = &mut self.pending;
        let parks = pending.parks.extract_if(.., |row| row.task == stop.task);
        let mut leases: Vec<LeaseId> = parks.map(|row| row.lease).collect();
        let backs = pending
            .hand_backs
            .extract_if(.., |(task, _, _)| *task == stop.task);
        leases.extend(backs.map(|(_, lease, _)| lease));
        pending
            .ends
            .extend(leases.into_iter().map(|lease| RoutedEnd {
                task: stop.task,
                intent: stop.intent,
                lease: Some(lease),
            }));
    }

    fn stop_task(&mut self, task: TaskId, cancel: CancelLoad, request: &TickRequest) {
        // Children that were about to be asked for are not there, except where the answer to the tick was lost; and steps
        // in other queues are not under way, as far as nobody had begun with them: the database knows.
        let asked = request.children.iter().chain(&self.pending.children);
        let asked = asked.filter(|row| is_of(row, task));
        let asked = asked.map(|row| row.intent.id).collect();
        let was_leaving = self.take_back(task);
        let Some(drive) = self.drives.get_mut(&task) else {
            return;
        };
        drive.cancel = Some(cancel);
        drive.refusal = None;
        drive.widen_undos();
        if drive.phase == Phase::Planning {
            // Nothing of it will start, so its plan need not be on disk first.
            drive.phase = Phase::Active;
        }
        if !drive.children.is_empty() || drive.away() > 0 {
            drive.children.forget(&asked);
            drive.others_unsure = true;
            self.pending.reload.push(drive.id);
        }
        if was_leaving {
            drive.phase = Phase::Active;
            let lease = drive.lease;
            self.rejoin(lease);
        }
        self.unwait(task);
        let Some(drive) = self.drives.get(&task) else {
            return;
        };
        for ((of, step), running) in &self.running {
            if *of == task && drive.plan.undoes(*step).is_none() {
                running.context.cancel();
            }
        }
    }

    /// Takes out of the next tick what must not be written for a task that is to stop. Returns whether it was about to
    /// leave.
    fn take_back(&mut self, task: TaskId) -> bool {
        let pending = &mut self.pending;
        pending.children.retain(|row| !is_of(row, task));
        let unsent: Vec<Arc<str>> = pending
            .routed
            .extract_if(.., |row| TaskId::from(row.intent) == task)
            .map(|row| row.step)
            .collect();
        pending.steps.retain(|row| {
            row.task != task || (row.state != StepState::Running && !unsent.contains(&row.name))
        });
        let before = pending.finishes.len() + pending.parks.len();
        pending
            .finishes
            .retain(|row| TaskId::from(row.intent) != task);
        pending.parks.retain(|row| row.task != task);
        pending
            .renews
            .retain(|row| TaskId::from(row.intent) != task);
        pending
            .reruns
            .retain(|intent| TaskId::from(*intent) != task);
        for (handed, _, life) in &mut pending.hand_backs {
            if *handed == task {
                *life = Life::Started;
            }
        }
        pending.finishes.len() + pending.parks.len() < before
    }

    /// Its steps that wait for a slot, or for their start to be on disk, are not begun.
    fn unwait(&mut self, task: TaskId) {
        let mut steps = Vec::new();
        for lane in &mut self.lanes {
            let waiting = lane.waiting.iter().filter(|waiting| waiting.task == task);
            steps.extend(waiting.map(|waiting| waiting.step));
            lane.waiting.retain(|waiting| waiting.task != task);
        }
        let (own, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.announced)
            .into_iter()
            .partition(|announced| announced.task == task);
        self.announced = others;
        for announced in own {
            steps.push(announced.step);
            self.free_slot(&announced.queue);
        }
        if let Some(drive) = self.drives.get_mut(&task) {
            for step in steps {
                drive.slots[step].status = Status::Pending;
            }
        }
    }
}

/// The child is asked for by the intent that this task drives.
fn is_of(row: &ChildRow, task: TaskId) -> bool {
    let parent = row.intent.parent.as_ref();
    parent.is_some_and(|(parent, _)| TaskId::from(*parent) == task)
}
