//! Nudge: tells workers in other processes that there may be something to claim.
//!
//! A hint, and never more: a worker looks by itself three times a second. On PostgreSQL it is a notification, sent only
//! when somebody elsewhere could start a step at once, after the commit and in a transaction of its own; while one is on
//! its way, those that come meanwhile are one more. On SQLite a worker sees by itself that the file has changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::id::SessionId;
use crate::store::{Store, StoreKind};

/// Shortest time between two notifications of a process.
const PAUSE: Duration = Duration::from_millis(1);

/// Time until it is asked again whether somebody is idle, when nobody was: then there is work for everybody, and who
/// becomes idle looks for itself.
const NOBODY: Duration = Duration::from_millis(50);

/// The notifications of an [`Intendant`](crate::Intendant).
#[derive(Debug, Clone, Default)]
pub(crate) struct Nudge(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sending: Sending,
    /// The sessions of its workers, which are told within the process.
    here: Vec<SessionId>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sending {
    #[default]
    Quiet,
    /// One is on its way.
    One,
    /// One is on its way, and another one has to follow.
    Again,
}

impl Nudge {
    /// Tells them; does not wait for it.
    pub(crate) fn send(&self, store: &Store) {
        if store.kind() == StoreKind::Sqlite {
            return;
        }
        let before = std::mem::replace(&mut self.state().sending, Sending::Again);
        if before == Sending::Quiet {
            tokio::spawn(self.clone().sending(store.clone()));
        }
    }

    /// A session begins here.
    pub(crate) fn begins(&self, session: SessionId) {
        self.state().here.push(session);
    }

    /// A session ends here.
    pub(crate) fn ends(&self, session: SessionId) {
        self.state().here.retain(|here| *here != session);
    }

    async fn sending(self, store: Store) {
        loop {
            let here = {
                let mut state = self.state();
                state.sending = Sending::One;
                state.here.clone()
            };
            let heard = store.nudge(here).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "workers elsewhere are not told");
                false
            });
            tokio::time::sleep(if heard { PAUSE } else { NOBODY }).await;
            let mut state = self.state();
            if state.sending == Sending::One {
                state.sending = Sending::Quiet;
                return;
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
