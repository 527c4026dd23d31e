//! What a database says of itself, for who looks whether all is well with it.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::client::Intendant;
use crate::error::Error;
use crate::store::{MigrationStatus, StoreKind};

/// What a database says of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checkup {
    /// Which database it is.
    pub store: StoreKind,
    /// Which migrations it has; where one is missing, nothing else is said.
    pub migrations: Vec<MigrationStatus>,
    /// How far its clock is ahead of this process's; zero where that cannot be told from the time that the question took.
    pub clock_ahead: TimeDelta,
    /// Settings and figures by their names: of PostgreSQL `fsync`, `synchronous_commit`, `max_connections`, `connections`, …, of
    /// SQLite `journal_mode`, `free_bytes`; of both `version` and `bytes`.
    pub says: BTreeMap<String, String>,
}

impl Checkup {
    /// Whether all migrations are in place.
    pub fn is_migrated(&self) -> bool {
        self.migrations.iter().all(|migration| migration.applied)
    }

    /// A figure by its name.
    pub fn figure(&self, name: &str) -> Option<i64> {
        self.says.get(name)?.parse().ok()
    }
}

impl Intendant {
    /// Asks the database how it is: settings that decide whether what is committed stays, room, transactions that others keep
    /// open. Costs no more with a longer history.
    ///
    /// ```
    /// # use intendant::Intendant;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// assert!(intendant.checkup().await?.is_migrated());
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn checkup(&self) -> Result<Checkup, Error> {
        let store = self.store().kind();
        let migrations = self.store().migration_status().await?;
        let mut checkup = Checkup {
            store,
            migrations,
            clock_ahead: TimeDelta::zero(),
            says: BTreeMap::new(),
        };
        if checkup.is_migrated() {
            let (ahead, says) = self.store().checkup().await?;
            (checkup.clock_ahead, checkup.says) = (ahead, says);
        }
        Ok(checkup)
    }
}

/// How far a clock is ahead that was read between two readings of ours; zero where they are as far apart.
pub(crate) fn ahead(before: i64, read: i64, after: i64) -> TimeDelta {
    let ahead = read.saturating_sub(before.midpoint(after));
    let doubt = after.saturating_sub(before).saturating_abs();
    match ahead.saturating_abs() > doubt {
        true => TimeDelta::microseconds(ahead),
        false => TimeDelta::zero(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_as_far_as_that_can_be_told() {
        let ms = |before, read, after| ahead(before, read, after).num_microseconds();
        assert_eq!(ms(1_000, 1_500, 2_000), Some(0));
        assert_eq!(ms(1_000, 2_400, 2_000), Some(0));
        assert_eq!(ms(1_000, 5_500, 2_000), Some(4_000));
        assert_eq!(ms(1_000, -3_500, 2_000), Some(-5_000));
    }
}
