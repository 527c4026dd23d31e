//! Offer: what the workers of this process could start at once.
//!
//! A request of the same process leases its intents to such a worker in the commit that makes them: they stand in no
//! line, nobody has to look for them, and a request to an idle worker costs one commit until its step starts. Only while
//! nobody waits in line there as far as the worker knows, so that nobody is overtaken; and only what takes no locks,
//! since locks are taken by a tick.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::clock::Micros;
use crate::id::{LeaseId, SessionId};
use crate::store::{Claimed, NewIntent, Start};

/// The workers of an [`Intendant`](crate::Intendant).
#[derive(Debug, Clone, Default)]
pub(crate) struct Offers(Arc<Mutex<Vec<Offer>>>);

#[derive(Debug)]
struct Offer {
    session: SessionId,
    lanes: Vec<OfferedLane>,
    /// Bytes of inputs that it would take.
    bytes: usize,
    promised_bytes: usize,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

#[derive(Debug)]
struct OfferedLane {
    queue: Arc<str>,
    kinds: Arc<[Arc<str>]>,
    /// Steps that could start at once.
    free: usize,
    /// Of these, those for which an intent is on its way.
    promised: usize,
}

/// Intents that were leased to a worker when they were made.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) tasks: Vec<Claimed>,
    pub(crate) claimed_at: Micros,
    /// Held until the worker has counted them itself.
    pub(crate) promise: Promise,
}

/// A worker's word that it has room for some intents. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    offers: Offers,
    session: SessionId,
    /// Lane and number.
    lanes: Vec<(usize, usize)>,
    bytes: usize,
}

/// A lease that is about to be made together with its intents.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) session: SessionId,
    pub(crate) lease: LeaseId,
    promise: Promise,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

impl Reservation {
    /// The lease is on disk: tells the worker. One whose session is over does not hear it; the lease is then its
    /// reaper's.
    pub(crate) fn deliver(self, tasks: Vec<Claimed>, claimed_at: Micros) {
        let _ = self.arrivals.send(Arrival {
            tasks,
            claimed_at,
            promise: self.promise,
        });
    }
}

/// A worker's side of its offer; withdrawn for good when dropped.
#[derive(Debug)]
pub(crate) struct Offering {
    offers: Offers,
    session: SessionId,
}

/// A lane as its worker sees it.
pub(crate) type LaneOffer = (Arc<str>, Arc<[Arc<str>]>);

impl Offers {
    /// A session begins; it offers nothing yet.
    pub(crate) fn open(
        &self,
        session: SessionId,
        lanes: impl Iterator<Item = LaneOffer>,
    ) -> (Offering, mpsc::UnboundedReceiver<Arrival>) {
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let lanes = lanes.map(|(queue, kinds)| OfferedLane {
            queue,
            kinds,
            free: 0,
            promised: 0,
        });
        self.all().push(Offer {
            session,
            lanes: lanes.collect(),
            bytes: 0,
            promised_bytes: 0,
            arrivals,
        });
        let offering = Offering {
            offers: self.clone(),
            session,
        };
        (offering, arrived)
    }

    /// Room for all of these intents with one worker, if there is any. `lease` makes the id.
    pub(crate) fn reserve(
        &self,
        intents: &[NewIntent],
        lease: impl FnOnce() -> LeaseId,
    ) -> Option<Reservation> {
        let mut all = self.all();
        if all.is_empty() || !intents.iter().all(may_be_leased) {
            return None;
        }
        let bytes = intents.iter().map(|intent| intent.input.get().len()).sum();
        let (offer, lanes) = all.iter_mut().find_map(|offer| {
            let lanes = offer.room_for(intents, bytes)?;
            Some((offer, lanes))
        })?;
        for (lane, count) in &lanes {
            offer.lanes[*lane].promised += count;
        }
        offer.promised_bytes += bytes;
        Some(Reservation {
            session: offer.session,
            lease: lease(),
            promise: Promise {
                offers: self.clone(),
                session: offer.session,
                lanes,
                bytes,
            },
            arrivals: offer.arrivals.clone(),
        })
    }

    fn all(&self) -> MutexGuard<'_, Vec<Offer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Children are made by ticks, and what starts later or wants locks goes through a line.
fn may_be_leased(intent: &NewIntent) -> bool {
    intent.start == Start::Now && intent.parent.is_none() && !intent.locks()
}

impl Offer {
    /// How many of the intents would go to which lane, if there is room for all of them.
    fn room_for(&self, intents: &[NewIntent], bytes: usize) -> Option<Vec<(usize, usize)>> {
        if self.promised_bytes + bytes > self.bytes {
            return None;
        }
        let mut counts = vec![0; self.lanes.len()];
        for intent in intents {
            let serves = |lane: &OfferedLane| {
                *lane.queue == intent.queue && lane.kinds.iter().any(|kind| **kind == intent.kind)
            };
            counts[self.lanes.iter().position(serves)?] += 1;
        }
        let fits = |(lane, count): (&OfferedLane, &usize)| lane.promised + count <= lane.free;
        if !self.lanes.iter().zip(&counts).all(fits) {
            return None;
        }
        let used = counts.into_iter().enumerate();
        Some(used.filter(|(_, count)| *count > 0).collect())
    }
}

impl Offering {
    /// What could start at once, lane by lane, and the bytes of inputs that there is room for.
    pub(crate) fn publish(&self, free: impl Iterator<Item = usize>, bytes: usize) {
        let mut all = self.offers.all();
        let own = all.iter_mut().find(|offer| offer.session == self.session);
        if let Some(offer) = own {
            offer.bytes = bytes;
            for (lane, free) in offer.lanes.iter_mut().zip(free) {
                lane.free = free;
            }
        }
    }

    /// Nothing, for now. What is on its way may still arrive.
    pub(crate) fn withdraw(&self) {
        self.publish(std::iter::repeat(0), 0);
    }

    /// Nothing is on its way.
    pub(crate) fn is_settled(&self) -> bool {
        let all = self.offers.all();
        let own = all.iter().find(|offer| offer.session == self.session);
        own.is_none_or(|offer| offer.lanes.iter().all(|lane| lane.promised == 0))
    }
}

impl Drop for Offering {
    fn drop(&mut self) {
        let mut all = self.offers.all();
        all.retain(|offer| offer.session != self.session);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut all = self.offers.all();
        let offer = all.iter_mut().find(|offer| offer.session == self.session);
        if let Some(offer) = offer {
            for (lane, count) in &self.lanes {
                offer.lanes[*lane].promised -= count;
            }
            offer.promised_bytes -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::IntentId;
    use crate::intent::Mode;
    use crate::payload;

    fn intent(kind: &str, queue: &str) -> NewIntent {
        NewIntent {
            id: IntentId(Uuid::nil()),
            kind: kind.to_owned(),
            queue: queue.to_owned(),
            account: None,
            input: payload::null(),
            priority: 0,
            release_on_failure: false,
            start: Start::Now,
            requested_by: None,
            parent: None,
            root: IntentId(Uuid::nil()),
            depth: 0,
            correlation_id: None,
            traceparent: None,
            resources: Vec::new(),
            labels: Vec::new(),
            key: None,
            conflicts: None,
            deadline: None,
        }
    }

    fn offers(free: usize, bytes: usize) -> (Offers, Offering, mpsc::UnboundedReceiver<Arrival>) {
        let offers = Offers::default();
        let lane = (Arc::from("default"), Arc::from([Arc::from("mail")]));
        let session = SessionId(Uuid::from_u128(1));
        let (offering, arrivals) = offers.open(session, std::iter::once(lane));
        offering.publish(std::iter::once(free), bytes);
        (offers, offering, arrivals)
    }

    fn reserve(offers: &Offers, intents: &[NewIntent]) -> Option<Reservation> {
        offers.reserve(intents, || LeaseId(Uuid::from_u128(2)))
    }

    #[test]
    fn no_more_is_promised_than_there_are_free_slots_and_a_promise_is_given_back() {
        let (offers, offering, _arrivals) = offers(2, 100);
        let mail = || intent("mail", "default");
        assert!(reserve(&offers, &[mail(), mail(), mail()]).is_none());
        let both = reserve(&offers, &[mail(), mail()]).unwrap();
        assert!(reserve(&offers, &[mail()]).is_none());
        assert!(!offering.is_settled());
        drop(both);
        assert!(offering.is_settled());
        assert!(reserve(&offers, &[mail()]).is_some());
        offering.withdraw();
        assert!(reserve(&offers, &[mail()]).is_none());
    }

    #[test]
    fn a_promise_lasts_until_the_worker_has_counted_what_arrived() {
        let (offers, offering, mut arrivals) = offers(1, 100);
        let reservation = reserve(&offers, &[intent("mail", "default")]).unwrap();
        reservation.deliver(Vec::new(), Micros(0));
        assert!(!offering.is_settled());
        drop(arrivals.try_recv().unwrap());
        assert!(offering.is_settled());
    }

    #[test]
    fn nothing_is_promised_to_another_queue_or_kind_or_for_too_many_bytes() {
        let (offers, offering, _arrivals) = offers(8, 100);
        assert!(reserve(&offers, &[intent("mail", "ssh")]).is_none());
        assert!(reserve(&offers, &[intent("boot", "default")]).is_none());
        offering.publish(std::iter::once(8), 3);
        assert!(reserve(&offers, &[intent("mail", "default")]).is_none());
        drop(offering);
        assert!(reserve(&offers, &[intent("mail", "default")]).is_none());
    }

    #[test]
    fn what_waits_for_a_lock_or_a_time_goes_through_the_line() {
        let (offers, _offering, _arrivals) = offers(8, 100);
        let later = NewIntent {
            start: Start::At(Micros(1)),
            ..intent("mail", "default")
        };
        assert!(reserve(&offers, &[later]).is_none());
        let locking = |mode| NewIntent {
            resources: vec![("server:1".to_owned(), mode)],
            ..intent("mail", "default")
        };
        assert!(reserve(&offers, &[locking(Mode::Shared)]).is_none());
        assert!(reserve(&offers, &[locking(Mode::Touched)]).is_some());
    }
}
