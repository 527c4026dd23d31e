//! Offering: what this worker lets requests of its own process lease to it, and what arrives that way.

use tokio::sync::mpsc;

use super::engine::Engine;
use super::lane::LaneState;
use crate::id::SessionId;
use crate::limits;
use crate::offer::{Arrival, Offering};

impl Engine {
    /// Begins to offer, nothing at first.
    pub(super) fn begin_offer(&mut self, session: SessionId) -> mpsc::UnboundedReceiver<Arrival> {
        let lane = |lane: &LaneState| (lane.queue.clone(), lane.kinds.clone());
        let offers = self.intendant.offers();
        let (offering, arrivals) = offers.open(session, self.lanes.iter().map(lane));
        self.offering = Some(offering);
        arrivals
    }

    /// Says what could start at once: free slots of lanes in which nobody waits in line. Nothing beside a suspect, which
    /// is to be alone, and nothing while this worker does not know whether it lives.
    pub(super) fn publish_offer(&self, stopping: bool) {
        let Some(offering) = &self.offering else {
            return;
        };
        let suspect = |inflight: &crate::store::TickRequest| inflight.suspect_lease.is_some();
        let unsure = self.now().saturating_sub(self.confirmed) >= self.settings.lease;
        if stopping
            || unsure
            || self.is_stuck()
            || self.probation.is_some()
            || self.suspects_since().is_some()
            || self.inflight.as_deref().is_some_and(suspect)
        {
            offering.withdraw();
            return;
        }
        // Nor what backs off, or what may have to wait for it.
        let closed = |lane: &LaneState| {
            let backs_off = |kind: &std::sync::Arc<str>| self.backing_off.has(kind);
            lane.hint
                || lane.paused
                || lane.lent.is_some()
                || lane.turns.is_some()
                || lane.paced.is_some()
                || (self.backing_off.any() && lane.kinds.iter().any(backs_off))
        };
        let free = |lane: &LaneState| if closed(lane) { 0 } else { lane.free() };
        let bytes = limits::PREFETCH_BYTES.saturating_sub(self.bytes);
        offering.publish(self.lanes.iter().map(free), bytes);
    }

    pub(super) fn withdraw_offer(&self) {
        if let Some(offering) = &self.offering {
            offering.withdraw();
        }
    }

    /// Nothing is on its way here.
    pub(super) fn is_offer_settled(&self) -> bool {
        self.offering.as_ref().is_none_or(Offering::is_settled)
    }

    /// Takes in hand what was leased to this session when it was requested.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        let Arrival {
            mut tasks,
            claimed_at,
            promise,
        } = arrival;
        self.open_inputs(&mut tasks);
        self.bytes += tasks
            .iter()
            .map(|task| task.input.get().len())
            .sum::<usize>();
        self.take_claimed(tasks, claimed_at);
        // Counted here from now on.
        drop(promise);
    }
}
