//! A session's heart, beaten by hand, and another process that ends the session when it has heard nothing of it.

use super::{DAY, Session, gone};
use crate::client::Intendant;
use crate::error::Error;
use crate::id::SessionId;
use crate::store::Store;

/// A session's heart.
#[derive(Debug, Clone)]
pub struct Heart {
    store: Store,
    session: SessionId,
}

/// A session, as far as another process has heard its heart.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    session: SessionId,
    beat: i64,
}

impl Session {
    /// Its heart, with a connection of its own.
    pub fn heart(&self) -> Heart {
        Heart {
            store: self.store.for_heartbeat(DAY),
            session: self.id,
        }
    }

    /// How another process sees it now.
    pub async fn seen_by(&self, other: &Intendant) -> Result<Seen, Error> {
        let sessions = other.store().sessions().await?;
        let seen = sessions.into_iter().find(|seen| seen.id == self.id);
        let seen = seen.ok_or_else(gone)?;
        Ok(Seen {
            session: seen.id,
            beat: seen.beat,
        })
    }
}

impl Heart {
    /// Beats. False: the session has been ended.
    pub async fn beat(&self) -> Result<bool, Error> {
        let told = self.store.heartbeat(self.session, 0).await?;
        Ok(told.is_some())
    }
}

impl Seen {
    /// That process ends it, since it has been silent for too long. Returns how many of its tasks go back as suspects; none:
    /// its heart has beaten meanwhile, or somebody else was faster.
    pub async fn reap(self, by: &Intendant) -> Result<Option<usize>, Error> {
        let reaped = by.store().reap(self.session, Some(self.beat)).await?;
        Ok(reaped.map(|reaped| reaped.suspects))
    }
}
