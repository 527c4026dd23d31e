//! Nudge: tells workers in other processes that there may be something to claim.
//!
//! A hint, and never more: a worker looks by itself three times a second. On PostgreSQL it is a notification, sent only
//! when somebody elsewhere could start a step at once, after the commit and in a transaction of its own; while one is on
//! its way, those that come meanwhile are one more. On SQLite a worker sees by itself that the file has changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::store::{Store, StoreKind};

/// Shortest time between two notifications of a process.
const PAUSE: Duration = Duration::from_millis(1);

/// Time until it is asked again whether somebody is idle, when nobody was: then there is work for everybody, and who
/// becomes idle looks for itself.
const NOBODY: Duration = Duration::from_millis(50);

/// The notifications of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nudge(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Quiet,
    /// One is on its way.
    Sending,
    /// One is on its way, and another one has to follow.
    Again,
}

impl Nudge {
    /// Tells them; does not wait for it.
    pub(crate) fn send(&self, store: &Store) {
        if store.kind() == StoreKind::Sqlite {
            return;
        }
        let before = std::mem::replace(&mut *self.state(), State::Again);
        if before == State::Quiet {
            tokio::spawn(self.clone().sending(store.clone()));
        }
    }

    async fn sending(self, store: Store) {
        loop {
            *self.state() = State::Sending;
            let heard = store.nudge().await.unwrap_or_else(|error| {
                tracing::debug!(%error, "workers elsewhere are not told");
                false
            });
            tokio::time::sleep(if heard { PAUSE } else { NOBODY }).await;
            let mut state = self.state();
            if *state == State::Sending {
                *state = State::Quiet;
                return;
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
