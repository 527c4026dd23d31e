//! Pacing: how the loop asks for permits of queues with a rate, and hears of them.

use std::sync::Arc;
use std::time::Duration;

use super::engine::{Announced, Engine};
use super::lane::LaneState;
use super::paced::Paced;
use crate::rate::PermitAsk;
use crate::store::{TickAnswer, TickRequest};

impl Engine {
    /// What this worker asks of queues with a rate. Before slots are asked for: whose slots are on their way begins nothing.
    pub(super) fn ask_permits(&mut self, request: &mut TickRequest, stopping: bool) {
        if self.lanes.iter().all(|lane| lane.paced.is_none()) {
            return;
        }
        let now = self.now();
        for lane in &mut self.lanes {
            let late = late(&self.announced, &lane.queue, now);
            let of_claim = request.claim.iter().chain(&request.claim_suspect);
            let mut of_claim = of_claim.chain(request.probes.iter().map(|probe| &probe.lane));
            let claims = of_claim.any(|claim| claim.queue == lane.queue);
            let ask = lane.permit_ask(late, claims, stopping, now);
            request.permits.extend(ask);
        }
    }

    /// What it was given.
    pub(super) fn permits_heard(&mut self, request: &TickRequest, answer: &TickAnswer) {
        let (now, clock) = (self.now(), self.store().clock().clone());
        for given in &answer.permits {
            let mut lanes = self.lanes.iter_mut();
            let Some(lane) = lanes.find(|lane| lane.queue == given.queue) else {
                continue;
            };
            if let Some(paced) = &mut lane.paced {
                paced.answered(given, self.sent, clock.random());
                if given.given > 0 && paced.usable(now) == 0 {
                    let took = now.saturating_sub(self.sent);
                    tracing::warn!(
                        queue = &*given.queue,
                        ?took,
                        "permits to begin steps came too late to be used: the database is slow"
                    );
                }
            }
        }
        // What it was told before people have said something new is to be asked again.
        let said = answer.control.as_ref().map(|control| control.version);
        if self.control > said.unwrap_or(request.control) {
            for ask in &request.permits {
                let mut lanes = self.lanes.iter_mut();
                let lane = lanes.find(|lane| lane.queue == ask.queue);
                if let Some(paced) = lane.and_then(|lane| lane.paced.as_mut()) {
                    paced.doubt();
                }
            }
        }
    }

    /// Those whose time has come may ask again.
    pub(super) fn wake_paced(&mut self) {
        let now = self.now();
        let paced = self.lanes.iter_mut().filter_map(|lane| lane.paced.as_mut());
        paced.for_each(|paced| paced.wake(now));
    }

    /// When the next permit comes that somebody waits for, or permits are to be given back.
    pub(super) fn next_permit(&self) -> Option<Duration> {
        let due = |lane: &LaneState| {
            let paced = lane.paced.as_ref()?;
            let has_some = lane.hint || lane.suspects_since.is_some();
            let waits = (has_some && !lane.paused) || !lane.waiting.is_empty();
            let waits = waits || self.announced.iter().any(|it| it.queue == lane.queue);
            let next = paced.wait_until().filter(|_| waits);
            next.into_iter().chain(paced.void_at()).min()
        };
        self.lanes.iter().filter_map(due).min()
    }

    /// A step whose start is on disk has a permit to begin, which may be another one by now.
    pub(super) fn has_permit(&mut self, announced: &mut Announced) -> bool {
        let now = self.now();
        if !announced.is_late(now) {
            return true;
        }
        let mut lanes = self.lanes.iter_mut();
        let lane = lanes.find(|lane| lane.queue == announced.queue);
        let Some(paced) = lane.and_then(|lane| lane.paced.as_mut()) else {
            return true;
        };
        announced.permit = paced.take(now).or(announced.permit);
        !announced.is_late(now)
    }
}

/// Steps whose start is on disk, or on its way there, and that have no permit any more: they hold a slot, and go first.
pub(super) fn late(announced: &[Announced], queue: &Arc<str>, now: Duration) -> usize {
    let of_queue = announced.iter().filter(|it| it.queue == *queue);
    of_queue.filter(|it| it.is_late(now)).count()
}

impl Announced {
    /// It has no permit any more.
    fn is_late(&self, now: Duration) -> bool {
        self.permit.is_some_and(|until| until <= now)
    }
}

impl LaneState {
    /// It waits for its next permit.
    pub(super) fn is_paced_out(&self) -> bool {
        self.paced.as_ref().is_some_and(Paced::waits)
    }

    /// One more step may begin: there is a slot for it, and a permit where it needs one, beside those that are kept for others.
    pub(super) fn may_begin(&self, kept: usize, now: Duration) -> bool {
        let has_permit = |paced: &Paced| paced.usable(now) > kept;
        self.running < self.slots(now) && self.paced.as_ref().is_none_or(has_permit)
    }

    /// What to ask of a queue with a rate, if anything. `late`: so many steps hold slots and have no permit any more.
    fn permit_ask(
        &mut self,
        late: usize,
        claims: bool,
        stops: bool,
        now: Duration,
    ) -> Option<PermitAsk> {
        let free = self.slots(now).saturating_sub(self.running);
        // Where the queue is paused, these are next steps of what has begun.
        let waiting = self.waiting.len().min(free);
        let queue = Arc::clone(&self.queue);
        self.paced
            .as_mut()?
            .ask(&queue, waiting + late, claims, stops, now)
    }
}
