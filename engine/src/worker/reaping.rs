//! Reaping: sees to it that what a dead session had in hand goes on (PROTOCOL P2).

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::engine::Engine;
use super::superseding;
use super::telling;
use crate::id::SessionId;

/// How often reaping a session is tried again when the database fails, and the pause between two tries.
const REAP_TRIES: usize = 30;
const REAP_PAUSE: Duration = Duration::from_secs(1);

/// The sessions of others that are being reaped, and how many have been.
#[derive(Debug, Default)]
pub(super) struct Reaping {
    now: Mutex<HashSet<SessionId>>,
    done: AtomicU64,
}

impl Reaping {
    fn sessions(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: it is being reaped already.
    fn begin(&self, session: SessionId) -> bool {
        self.sessions().insert(session)
    }

    fn end(&self, session: SessionId, reaped: bool) {
        self.sessions().remove(&session);
        self.done.fetch_add(u64::from(reaped), Ordering::Relaxed);
    }

    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Engine {
    /// Ends a session that is dead.
    pub(super) fn reap(&mut self, session: SessionId, beat: Option<i64>) {
        // A session that is found dead again while its reaper waits for its last transaction has one reaper all the same:
        // they would wait on connections that everybody else needs.
        if !self.reaping.begin(session) {
            return;
        }
        let store = self.store().clone();
        let intendant = self.intendant.clone();
        let reaping = self.reaping.clone();
        let (backing_off, found_at) = (self.backing_off.clone(), self.now());
        let busy = store.seam().busy();
        tokio::spawn(async move {
            let _busy = busy;
            let mut answer = store.reap(session, beat).await;
            // Who was found gone by its lock is found so once: whoever found it has to see it through.
            for _ in 0..REAP_TRIES {
                let Err(error) = &answer else { break };
                tracing::warn!(%error, %session, "a dead session could not be reaped yet");
                tokio::time::sleep(REAP_PAUSE).await;
                answer = store.reap(session, beat).await;
            }
            reaping.end(session, matches!(answer, Ok(Some(_))));
            match answer {
                Ok(Some(reaped)) => {
                    // Before anybody here looks for what has come back.
                    for known in &reaped.backs_off {
                        backing_off.add(known, found_at);
                    }
                    telling::taken_over(&reaped);
                    tracing::warn!(%session, reaped.suspects, reaped.quarantined, "a dead session's tasks go on");
                    intendant.wake();
                    intendant.announce_finished();
                    superseding::ask(&intendant).await;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, %session, "a dead session could not be reaped; it is tried again when it is silent")
                }
            }
        });
    }
}
