//! Pausing: what people have said of queues, as this worker hears it.

use super::engine::Engine;
use crate::id::TaskId;
use crate::store::Control;

impl<S: Send + Sync + 'static> Engine<S> {
    /// Takes in what people have said. Of a queue that is paused, what was not begun with goes back in line; one that is
    /// resumed may have something to claim.
    pub(super) fn hear_control(&mut self, control: &Control) {
        if control.version <= self.control {
            return;
        }
        self.control = control.version;
        let mut back: Vec<TaskId> = Vec::new();
        for lane in &mut self.lanes {
            let was = std::mem::replace(&mut lane.paused, control.is_paused(&lane.queue));
            if was && !lane.paused {
                lane.hint = true;
            }
            if lane.paused {
                let begun = |task: &TaskId| self.drives.get(task).is_none_or(|drive| drive.begun);
                let waiting = lane.waiting.iter().map(|waiting| waiting.task);
                let unbegun: Vec<TaskId> = waiting.filter(|task| !begun(task)).collect();
                lane.waiting
                    .retain(|waiting| !unbegun.contains(&waiting.task));
                back.extend(unbegun);
            }
        }
        back.dedup();
        for task in back {
            self.hand_back(task);
        }
    }
}
