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
use crate::store::{BacksOff, Probe, Probed, TickAnswer, TickRequest};

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
    /// It was tried here and could not be had: not again before this time, whatever the database says, which knows nothing of that.
    nothing_until: Duration,
}

impl Mark {
    fn is_due(&self, now: Duration) -> bool {
        self.until <= now && self.nothing_until <= now
    }
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
            if let Some(before) = kinds.get(&known.kind) {
                mark.nothing_until = before.nothing_until;
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
            if let Some(mark) = kinds.get_mut(&probe.kind) {
                mark.until = now.saturating_add(wait(probe.intents));
            }
        }
    }

    /// What has come of one; none: it was not tried after all, and may be at once.
    fn heard(&self, probe: &Probe, probed: Option<Probed>, now: Duration) {
        let mut kinds = self.kinds();
        let Some(mark) = kinds.get_mut(&probe.kind) else {
            return;
        };
        match probed {
            Some(Probed::Took | Probed::Refused) => {}
            Some(Probed::Nothing) => mark.nothing_until = now.saturating_add(wait(probe.intents)),
            None => mark.until = mark.until.min(now),
        }
    }

    /// Those of a queue's kinds of which one may be tried now.
    /// Whichever has waited longest comes first.
    pub(super) fn due(&self, lane: &LaneState, now: Duration) -> Vec<Probe> {
        let kinds = self.kinds();
        let due = lane.kinds.iter().filter_map(|kind| {
            let mark = kinds.get(kind).filter(|mark| mark.is_due(now))?;
            let probe = Probe {
                kind: kind.clone(),
                lane: lane.claim(Arc::from([kind.clone()]), 1),
                intents: mark.intents,
            };
            Some((mark.until, probe))
        });
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(until, _)| *until);
        due.into_iter().map(|(_, probe)| probe).collect()
    }
}

/// How long a kind is not tried again.
fn wait(intents: u32) -> Duration {
    crash::back_off(intents).unwrap_or_default()
}

fn mark(known: &BacksOff, now: Duration) -> Mark {
    Mark {
        intents: known.intents,
        // No longer than it can be, if the clock was set back since.
        until: now.saturating_add(known.due_in.min(wait(known.intents))),
        nothing_until: Duration::ZERO,
    }
}

impl Engine {
    /// The kinds that back off of which one may be tried now.
    pub(super) fn probes(&self) -> Vec<Probe> {
        if !self.backing_off.any() {
            return Vec::new();
        }
        let now = self.now();
        let lanes = self.lanes.iter().filter(|lane| lane.takes_suspects());
        lanes
            .flat_map(|lane| self.backing_off.due(lane, now))
            .collect()
    }

    /// What has come of what was to be claimed by itself. What could not begin, since there was no slot or permit, is claimed as soon
    /// as there is.
    pub(super) fn suspects_heard(&mut self, request: &TickRequest, answer: &TickAnswer) {
        let now = self.now();
        for probe in &request.probes {
            let mut probed = answer.probed.iter();
            let probed = probed.find(|(kind, _)| *kind == probe.kind);
            self.backing_off
                .heard(probe, probed.map(|(_, probed)| *probed), now);
        }
        for lane in &mut self.lanes {
            lane.suspects_answered();
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

    /// Tried every 16 s.
    fn backs_off(kind: &str, due_s: u64) -> BacksOff {
        BacksOff {
            kind: Arc::from(kind),
            intents: 6,
            due_in: Duration::from_secs(due_s),
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lane() -> LaneState {
        let kinds = ["good", "bad", "worse"].map(Arc::from);
        LaneState::new(Arc::from("default"), kinds.to_vec(), 4)
    }

    fn kinds(due: &[Probe]) -> Vec<&str> {
        due.iter().map(|probe| &*probe.kind).collect()
    }

    #[test]
    fn a_kind_that_backs_off_is_left_out_and_tried_when_it_is_due() {
        let lane = lane();
        let all = lane.kinds.clone();
        let backing_off = BackingOff::default();
        assert!(Arc::ptr_eq(&backing_off.others(&all), &all));
        backing_off.add(&backs_off("bad", 5), s(10));
        backing_off.add(&backs_off("elsewhere", 5), s(10));
        assert_eq!(backing_off.others(&all).len(), 2);
        assert!(backing_off.has("bad") && !backing_off.has("good"));
        assert!(backing_off.due(&lane, s(14)).is_empty());
        let due = backing_off.due(&lane, s(15));
        assert_eq!(kinds(&due), ["bad"]);
        backing_off.tried(&due, s(15));
        assert!(backing_off.due(&lane, s(30)).is_empty());
        assert_eq!(kinds(&backing_off.due(&lane, s(31))), ["bad"]);
        assert!(!backing_off.set(vec![backs_off("bad", 9), backs_off("elsewhere", 1)], s(40)));
        assert!(
            backing_off.due(&lane, s(48)).is_empty(),
            "it was told to wait longer"
        );
        assert!(backing_off.set(Vec::new(), s(40)) && !backing_off.any());
    }

    #[test]
    fn what_was_not_tried_is_due_before_what_was_and_what_is_not_to_be_had_waits() {
        let lane = lane();
        let backing_off = BackingOff::default();
        let both = || vec![backs_off("bad", 0), backs_off("worse", 0)];
        backing_off.set(both(), s(10));
        let due = backing_off.due(&lane, s(10));
        assert_eq!(kinds(&due), ["bad", "worse"]);
        backing_off.tried(&due, s(10));
        assert!(backing_off.due(&lane, s(10)).is_empty(), "on its way");
        backing_off.heard(&due[0], Some(Probed::Took), s(11));
        backing_off.heard(&due[1], None, s(11));
        assert_eq!(kinds(&backing_off.due(&lane, s(11))), ["worse"]);
        assert_eq!(kinds(&backing_off.due(&lane, s(26))), ["worse", "bad"]);
        // What the database says is that it is due, whenever it is asked.
        backing_off.heard(&due[1], Some(Probed::Nothing), s(30));
        backing_off.set(both(), s(33));
        assert_eq!(kinds(&backing_off.due(&lane, s(45))), ["bad"]);
        assert_eq!(kinds(&backing_off.due(&lane, s(46))), ["bad", "worse"]);
    }

    #[test]
    fn a_time_that_is_further_than_it_can_be_is_not_believed() {
        let backing_off = BackingOff::default();
        backing_off.add(&backs_off("bad", 3_600), s(10));
        assert!(backing_off.due(&lane(), s(25)).is_empty());
        assert_eq!(kinds(&backing_off.due(&lane(), s(26))), ["bad"]);
    }
}
