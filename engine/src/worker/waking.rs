//! Waking: what is due in this worker.

use std::cmp::Reverse;
use std::time::Duration;

use super::engine::Engine;

impl Engine {
    /// Timers of intents in hand that are due.
    pub(super) fn timers_due(&mut self, stop_by: &mut Option<Duration>) {
        let now = self.now();
        while let Some(Reverse((due, id))) = self.timers.peek().copied() {
            if due > now {
                break;
            }
            self.timers.pop();
            self.go_on(id);
        }
        if stop_by.is_some_and(|stop_by| stop_by <= now) {
            *stop_by = Some(self.stop_now(now));
        }
    }

    /// How long until something is due.
    pub(super) fn due_in(&self, stop_by: Option<Duration>) -> Option<Duration> {
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        let probation = self.probation.and_then(|probation| probation.until);
        let (promotion, permit, turn) = match stop_by.is_none() && self.inflight.is_none() {
            true => (self.next_due, self.next_permit(), self.next_turn()),
            false => (None, None, None),
        };
        let due = [timer, probation, promotion, permit, turn, stop_by]
            .into_iter()
            .flatten()
            .min()?;
        Some(due.saturating_sub(self.now()))
    }
}
