//! Cancelling: intents in hand that were asked to stop.
//!
//! Known from the first statement of a tick, whose answer names them, or from the claim. Nothing new of them starts,
//! timers and waits are over, what runs is told and, after a grace time, stopped; then they are finished as cancelled,
//! when their children have finished.

use super::drive::Phase;
use super::engine::Engine;
use crate::advance::Status;
use crate::id::IntentId;
use crate::state::StepState;
use crate::store::{CancelLoad, Goal, Life, TickAnswer, TickRequest};

impl<S: Send + Sync + 'static> Engine<S> {
    /// A tick has said what is to stop, and has left out what must not be written for it. Returns what has to be looked at
    /// when the rest of the answer has been taken in.
    pub(super) fn cancels_heard(
        &mut self,
        request: &TickRequest,
        answer: &mut TickAnswer,
    ) -> Vec<IntentId> {
        let mut stopped = Vec::new();
        for (intent, cancel) in std::mem::take(&mut answer.to_stop) {
            if cancel.goal != Goal::Cancel {
                // It is taken back for something else, as its driver knows.
            } else if !self.drives.contains_key(&intent) {
                // Leased to this session by a request, and on its way here.
                self.unmet.insert(intent, cancel);
            } else if self.to_stop.insert(intent) {
                self.stop_intent(intent, cancel, request);
                stopped.push(intent);
            }
        }
        for intent in &answer.not_finished {
            if let Some(drive) = self.drives.get_mut(intent) {
                drive.phase = Phase::Active;
                let lease = drive.lease;
                self.rejoin(lease);
            }
        }
        stopped
    }

    fn stop_intent(&mut self, intent: IntentId, cancel: CancelLoad, request: &TickRequest) {
        let was_leaving = self.take_back(intent);
        let Some(drive) = self.drives.get_mut(&intent) else {
            return;
        };
        drive.cancel = Some(cancel);
        drive.refusal = None;
        drive.widen_undos();
        if drive.phase == Phase::Planning {
            // Nothing of it will start, so its plan need not be on disk first.
            drive.phase = Phase::Active;
        }
        // Children that were about to be asked for are not there, except where the answer to the tick was lost: the
        // database knows.
        let of_intent = |row: &&crate::store::ChildRow| {
            let parent = row.intent.parent.as_ref();
            parent.is_some_and(|(parent, _)| *parent == intent)
        };
        let asked = request.children.iter().chain(&self.pending.children);
        let asked = asked.filter(of_intent).map(|row| row.intent.id).collect();
        if !drive.children.is_empty() {
            drive.children.forget(&asked);
            drive.children_unsure = true;
            self.pending.reload.push(intent);
        }
        self.pending.children.retain(|row| !of_intent(&row));
        if was_leaving {
            drive.phase = Phase::Active;
            let lease = drive.lease;
            self.rejoin(lease);
        }
        self.unwait(intent);
        let Some(drive) = self.drives.get(&intent) else {
            return;
        };
        for ((of, step), running) in &self.running {
            if *of == intent && drive.plan.undoes(*step).is_none() {
                running.context.cancel();
            }
        }
    }

    /// Takes out of the next tick what must not be written for an intent that is to stop. Returns whether it was about to
    /// leave.
    fn take_back(&mut self, intent: IntentId) -> bool {
        let pending = &mut self.pending;
        let before = pending.finishes.len() + pending.parks.len();
        pending.finishes.retain(|row| row.intent != intent);
        pending.parks.retain(|row| row.intent != intent);
        pending.renews.retain(|row| row.intent != intent);
        pending.reruns.retain(|rerun| *rerun != intent);
        pending
            .steps
            .retain(|row| row.state != StepState::Running || row.intent != intent);
        for (handed, _, life) in &mut pending.hand_backs {
            if *handed == intent {
                *life = Life::Started;
            }
        }
        pending.finishes.len() + pending.parks.len() < before
    }

    /// Its steps that wait for a slot, or for their start to be on disk, are not begun.
    fn unwait(&mut self, intent: IntentId) {
        let mut steps = Vec::new();
        for lane in &mut self.lanes {
            let waiting = lane
                .waiting
                .iter()
                .filter(|waiting| waiting.intent == intent);
            steps.extend(waiting.map(|waiting| waiting.step));
            lane.waiting.retain(|waiting| waiting.intent != intent);
        }
        let (own, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.announced)
            .into_iter()
            .partition(|(of, _, _)| *of == intent);
        self.announced = others;
        for (_, step, queue) in own {
            steps.push(step);
            self.free_slot(&queue);
        }
        if let Some(drive) = self.drives.get_mut(&intent) {
            for step in steps {
                drive.slots[step].status = Status::Pending;
            }
        }
    }
}
