//! Waking: what is due in this worker, and what an idle look finds for it.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::engine::Engine;
use crate::error::Error;
use crate::store::Peek;

impl<S: Send + Sync + 'static> Engine<S> {
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

    pub(super) fn peek(&self) -> JoinHandle<Result<Peek, Error>> {
        let store = self.store().clone();
        let (lanes, probes) = (self.all_lanes(), self.probes());
        let denied = self.session.map(|session| (session, self.denied_lanes()));
        let control = self.control;
        tokio::spawn(async move { store.peek(lanes, probes, denied, control).await })
    }

    pub(super) fn peeked(&mut self, peeked: Result<Peek, Error>) {
        match peeked {
            Ok(peek) => {
                let now = self.now();
                if let Some(control) = &peek.control {
                    self.hear_control(control);
                }
                if peek.ready {
                    self.lanes.iter_mut().for_each(|lane| lane.hint = true);
                }
                for slots in &peek.slots {
                    let mut lanes = self.lanes.iter_mut();
                    if let Some(lane) = lanes.find(|lane| lane.queue == slots.queue) {
                        lane.slots_seen(slots);
                    }
                }
                self.signals_due |= peek.signals;
                if peek.cancels {
                    self.ask_to_stop();
                }
                self.next_due = peek.next_due.map(|due_in| now + due_in);
                self.suspects_since = if peek.suspects {
                    self.suspects_since.or(Some(now))
                } else {
                    None
                };
            }
            Err(error) => tracing::warn!(%error, "looking for work"),
        }
    }
}
