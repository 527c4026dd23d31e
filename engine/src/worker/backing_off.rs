//! Backing off: which kinds this worker leaves in line, since their intents crash workers, and when it may try one.
//!
//! What is known of it is a row ([`Store::backing_off`](crate::store::Store::backing_off)): read when a session begins,
//! before its first claim, with every heartbeat, and told by the reaper that wrote it. A kind that backs off is left out of
//! ordinary claims; one task of it at a time is claimed as a suspect is, by itself, so that its next crash harms nobody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::engine::Engine;
use super::lane::LaneState;
use crate::crash;
use crate::store::{BacksOff, Probe, TickAnswer, TickRequest};

/// The kinds that back off, as this worker knows.
#[derive(Debug, Default)]
pub(super) struct BackingOff {
    /// There are any: what is looked at on the hot path.
    any: AtomicBool,
    kinds: Mutex<HashMap<Arc<str>, Mark>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    intents: u32,
    /// When it may be tried, on the worker's clock.
    until: Duration,
}

impl BackingOff {
    fn kinds(&self) -> MutexGuard<'_, HashMap<Arc<str>, Mark>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the database says, all of it. True: some kind does not back off any more.
    pub(super) fn set(&self, all: Vec<BacksOff>, now: Duration) -> bool {
        let mut kinds = self.kinds();
        let before = kinds.len();
        kinds.retain(|kind, _| all.iter().any(|known| known.kind == *kind));
        let fewer = kinds.len() < before;
        for known in all {
            let mut mark = mark(&known, now);
            // It has tried one, perhaps, and found none that could be had: what others know of that is nothing.
            let tried = kinds.get(&known.kind);
            if let Some(tried) = tried.filter(|tried| tried.intents == mark.intents) {
                mark.until = mark.until.max(tried.until);
            }
            kinds.insert(known.kind.clone(), mark);
        }
        self.any.store(!kinds.is_empty(), Ordering::Release);
        fewer
    }

    /// One more of which a reaper has just learnt.
    pub(super) fn add(&self, known: &BacksOff, now: Duration) {
        self.kinds().insert(known.kind.clone(), mark(known, now));
        self.any.store(true, Ordering::Release);
    }

    fn remove(&self, kind: &str) -> bool {
        let mut kinds = self.kinds();
        let was = kinds.remove(kind).is_some();
        self.any.store(!kinds.is_empty(), Ordering::Release);
        was
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.any() && self.kinds().contains_key(kind)
    }

    /// Those of these kinds that do not back off.
    pub(super) fn others(&self, of: &Arc<[Arc<str>]>) -> Arc<[Arc<str>]> {
        if !self.any() {
            return of.clone();
        }
        let kinds = self.kinds();
        if !of.iter().any(|kind| kinds.contains_key(kind)) {
            return of.clone();
        }
        of.iter()
            .filter(|kind| !kinds.contains_key(*kind))
            .cloned()
            .collect()
    }

    /// These are being tried: not again before their time, whoever has won the turn.
    pub(super) fn tried(&self, probes: &[Probe], now: Duration) {
        let mut kinds = self.kinds();
        for probe in probes {
            let wait = crash::back_off(probe.intents).unwrap_or_default();
            for kind in probe.lane.kinds.iter() {
                if let Some(mark) = kinds.get_mut(kind) {
                    mark.until = now.saturating_add(wait);
                }
            }
        }
    }

    /// These could not be tried: they may be at once.
    fn untried(&self, of: &[Arc<str>], now: Duration) {
        let mut kinds = self.kinds();
        for kind in of {
            if let Some(mark) = kinds.get_mut(kind) {
                mark.until = mark.until.min(now);
            }
        }
    }

    /// Those of a queue's kinds of which one may be tried now.
    pub(super) fn due(&self, lane: &LaneState, now: Duration) -> Vec<Probe> {
        let kinds = self.kinds();
        let due = lane.kinds.iter().filter_map(|kind| {
            let mark = kinds.get(kind).filter(|mark| mark.until <= now)?;
            Some(Probe {
                lane: lane.claim(Arc::from([kind.clone()]), 1),
                intents: mark.intents,
            })
        });
        due.collect()
    }
}

fn mark(known: &BacksOff, now: Duration) -> Mark {
    Mark {
        intents: known.intents,
        until: now.saturating_add(known.due_in),
    }
}

impl<S: Send + Sync + 'static> Engine<S> {
    /// The kinds that back off of which one may be tried now.
    pub(super) fn probes(&self) -> Vec<Probe> {
        if !self.backing_off.any() {
            return Vec::new();
        }
        let now = self.now();
        let open = |lane: &&LaneState| !lane.paused && lane.has_slot();
        let lanes = self.lanes.iter().filter(open);
        lanes
            .flat_map(|lane| self.backing_off.due(lane, now))
            .collect()
    }

    /// What could not be tried, since there was no slot or permit for it, is as soon as there is one.
    pub(super) fn probes_heard(&mut self, request: &TickRequest, answer: &TickAnswer) {
        if answer.probed {
            return;
        }
        let now = self.now();
        for probe in &request.probes {
            let mut lanes = self.lanes.iter_mut();
            if let Some(lane) = lanes.find(|lane| lane.queue == probe.lane.queue)
                && !lane.has_slot()
            {
                lane.suspects_since.get_or_insert(now);
                self.backing_off.untried(&probe.lane.kinds, now);
            }
        }
    }

    /// What a heartbeat has read.
    pub(super) fn hear_backing_off(&mut self, all: Vec<BacksOff>) {
        if all.is_empty() && !self.backing_off.any() {
            return;
        }
        if self.backing_off.set(all, self.now()) {
            self.lanes.iter_mut().for_each(|lane| lane.hint = true);
        }
    }

    /// An intent has succeeded whose kind backed off: it does not any more.
    pub(super) fn trust(&mut self, kind: &Arc<str>) {
        if !self.backing_off.any() || !self.backing_off.remove(kind) {
            return;
        }
        self.lanes.iter_mut().for_each(|lane| lane.hint = true);
        let (store, kind) = (self.store().clone(), kind.clone());
        let busy = store.seam().busy();
        tokio::spawn(async move {
            let _busy = busy;
            // If it cannot be written now, the next heartbeat brings the mark back, and the next success tries again.
            if let Err(error) = store.trust(kind.clone()).await {
                tracing::warn!(%error, kind = &*kind, "a kind could not be trusted again yet");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backs_off(kind: &str, due_s: u64) -> BacksOff {
        BacksOff {
            kind: Arc::from(kind),
            intents: 2,
            due_in: Duration::from_secs(due_s),
        }
    }

    #[test]
    fn a_kind_that_backs_off_is_left_out_and_tried_when_it_is_due() {
        let s = Duration::from_secs;
        let kinds = vec![Arc::from("good"), Arc::from("bad")];
        let lane = LaneState::new(Arc::from("default"), kinds, 4);
        let kinds = lane.kinds.clone();
        let backing_off = BackingOff::default();
        assert!(Arc::ptr_eq(&backing_off.others(&kinds), &kinds));
        backing_off.add(&backs_off("bad", 5), s(10));
        backing_off.add(&backs_off("elsewhere", 5), s(10));
        assert_eq!(*backing_off.others(&kinds), [Arc::from("good")]);
        assert!(backing_off.has("bad") && !backing_off.has("good"));
        assert!(backing_off.due(&lane, s(14)).is_empty());
        let due = backing_off.due(&lane, s(15));
        assert_eq!((due.len(), &*due[0].lane.kinds[0]), (1, "bad"));
        backing_off.tried(&due, s(15));
        assert!(backing_off.due(&lane, s(15)).is_empty());
        assert_eq!(backing_off.due(&lane, s(16)).len(), 1);
        assert!(!backing_off.set(vec![backs_off("bad", 9), backs_off("elsewhere", 1)], s(20)));
        assert!(
            backing_off.due(&lane, s(28)).is_empty(),
            "it was told to wait longer"
        );
        assert!(backing_off.set(Vec::new(), s(20)) && !backing_off.any());
    }
}
