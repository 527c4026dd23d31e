//! Beside: what of an attempt runs outside of its future, and so does not end when that is dropped: programs, and closures
//! on threads that may block.
//!
//! An attempt has ended when all of it has. Until then its end is not taken in, and its intent is not handed back: whoever
//! ran it again would meet what is still at work.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What runs beside one attempt. Costs nothing where nothing ever does.
#[derive(Debug, Default)]
pub(crate) struct Beside(
    /// `None` inside: the attempt has ended, and there was nothing.
    OnceLock<Option<Arc<watch::Sender<Now>>>>,
);

#[derive(Debug, Default)]
struct Now {
    running: usize,
    /// Counts up when all that runs is to end.
    round: u32,
    /// When it was first told to, of those that still run.
    told: Option<Instant>,
    /// The attempt has ended; nothing more begins.
    closed: bool,
}

/// One thing that runs beside an attempt, until this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    now: Arc<watch::Sender<Now>>,
    round: u32,
}

impl Beside {
    /// Something begins; none if the attempt has ended.
    pub(crate) fn begin(&self) -> Option<Guest> {
        let now = self.0.get_or_init(|| Some(Arc::default())).as_ref()?;
        let mut round = None;
        now.send_if_modified(|now| {
            if now.closed {
                return false;
            }
            now.running += 1;
            round = Some(now.round);
            true
        });
        let now = now.clone();
        round.map(|round| Guest { now, round })
    }

    /// What runs now is to end: the step's future is gone.
    pub(crate) fn dismiss(&self) {
        if let Some(Some(now)) = self.0.get() {
            now.send_modify(Now::tell);
        }
    }

    /// The attempt is over: what runs is to end, and nothing more begins.
    pub(crate) fn close(&self) {
        if let Some(now) = self.0.get_or_init(|| None) {
            now.send_modify(|now| {
                now.closed = true;
                now.tell();
            });
        }
    }

    /// Completes when nothing runs.
    pub(crate) async fn gone(&self) {
        if let Some(Some(now)) = self.0.get() {
            // The sender is here: it cannot be gone.
            let _ = now.subscribe().wait_for(|now| now.running == 0).await;
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        match self.0.get() {
            Some(Some(now)) => now.borrow().running == 0,
            Some(None) | None => true,
        }
    }

    /// Something still runs so long after it was told to end.
    pub(crate) fn overstays(&self, now: Instant, limit: Duration) -> bool {
        let Some(Some(state)) = self.0.get() else {
            return false;
        };
        let told = state.borrow().told;
        told.is_some_and(|told| now.saturating_duration_since(told) >= limit)
    }
}

impl Now {
    fn tell(&mut self) {
        self.round += 1;
        if self.running > 0 {
            self.told.get_or_insert_with(Instant::now);
        }
    }
}

impl Guest {
    /// Completes when it is to end.
    pub(crate) async fn dismissed(&self) {
        let mut now = self.now.subscribe();
        // The sender is here: it cannot be gone.
        let _ = now.wait_for(|now| now.round != self.round).await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.now.send_modify(|now| {
            now.running -= 1;
            if now.running == 0 {
                now.told = None;
            }
        });
    }
}

/// Closes it when the attempt's task ends, whatever that ends by.
pub(crate) struct Closes<'a>(pub(crate) &'a Beside);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_runs_is_told_and_waited_for_and_what_begins_later_is_not_told() {
        let beside = Beside::default();
        beside.dismiss();
        assert!(beside.is_gone());
        let first = beside.begin().unwrap();
        assert!(first.dismissed().now_or_never().is_none());
        beside.dismiss();
        assert!(first.dismissed().now_or_never().is_some());
        let second = beside.begin().unwrap();
        assert!(second.dismissed().now_or_never().is_none());
        assert!(beside.gone().now_or_never().is_none() && !beside.is_gone());
        drop(first);
        assert!(beside.gone().now_or_never().is_none());
        drop(second);
        assert!(beside.gone().now_or_never().is_some());
    }

    #[test]
    fn nothing_begins_when_the_attempt_is_over() {
        let unused = Beside::default();
        unused.close();
        assert!(unused.begin().is_none());
        let used = Beside::default();
        let guest = used.begin().unwrap();
        used.close();
        assert!(guest.dismissed().now_or_never().is_some());
        assert!(used.begin().is_none());
    }

    #[test]
    fn who_stays_after_it_was_told_to_end_overstays() {
        let (beside, limit) = (Beside::default(), Duration::from_secs(10));
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        let guest = beside.begin().unwrap();
        assert!(!beside.overstays(later(100), limit));
        beside.dismiss();
        assert!(!beside.overstays(later(5), limit));
        assert!(beside.overstays(later(11), limit));
        drop(guest);
        assert!(!beside.overstays(later(11), limit));
    }
}
