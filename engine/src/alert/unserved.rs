//! Unserved: since when a worker has seen that nobody serves a lane. How long something has been ready is known of what has
//! never been begun; of what a dead worker has left, of sleepers that woke, of what was resumed, it is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::judge::{Lane, Open, Serves};
use super::{AlertKind, Watch};

/// What one worker has seen, from one look to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unserved(Arc<Mutex<HashMap<(String, String), Instant>>>);

impl Unserved {
    /// Says of lanes that nobody serves how long they have not been, where nothing else is known: what was seen before this
    /// worker looked, an open alert tells.
    pub(crate) fn note(&self, lanes: &mut [Lane], open: &[Open], watch: &Watch, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *seen);
        for lane in lanes.iter_mut().filter(|lane| lane.serves != Serves::Kind) {
            let key = (lane.queue.clone(), lane.kind.clone());
            let since = *before.get(&key).unwrap_or(&now);
            let about = format!("{}/{}", lane.queue, lane.kind);
            let is_open = |open: &Open| open.kind == AlertKind::NoWorker && open.about == about;
            let known = match open.iter().any(is_open) {
                true => watch.unserved,
                false => std::time::Duration::ZERO,
            };
            lane.oldest
                .get_or_insert(now.saturating_duration_since(since).max(known));
            seen.insert(key, since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lane(oldest: Option<u64>, serves: Serves) -> Lane {
        Lane {
            queue: "mail".to_owned(),
            kind: "mail.send".to_owned(),
            waiting: 1,
            oldest: oldest.map(Duration::from_secs),
            serves,
        }
    }

    #[test]
    fn what_a_dead_worker_has_left_is_as_old_as_it_was_seen_to_be_unserved() {
        let (unserved, watch, begin) = (Unserved::default(), Watch::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let look = |oldest, serves, open: &[Open], seconds| {
            let mut lanes = [lane(oldest, serves)];
            unserved.note(&mut lanes, open, &watch, at(seconds));
            lanes[0].oldest.map(|age| age.as_secs())
        };
        assert_eq!(look(None, Serves::Nobody, &[], 0), Some(0));
        assert_eq!(look(None, Serves::Queue, &[], 70), Some(70));
        assert_eq!(look(Some(3), Serves::Nobody, &[], 80), Some(3));
        // Somebody came, and is gone again.
        assert_eq!(look(None, Serves::Kind, &[], 90), None);
        assert_eq!(look(None, Serves::Nobody, &[], 100), Some(0));
        // Another worker has said so.
        let open = Open {
            kind: AlertKind::NoWorker,
            about: "mail/mail.send".to_owned(),
            count: 1,
        };
        let known = look(None, Serves::Nobody, &[open], 101);
        assert_eq!(known, Some(watch.unserved.as_secs().max(1)));
    }
}
