//! What goes wrong next. Faults are dealt from a deck that a seed shuffles, so that each sort has its share in any run.

use std::ops::Range;
use std::time::Duration;

use intendant::StoreKind;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::LEASE;

/// What can go wrong at a moment. Cuts of connections are the proxy's, all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A worker is killed.
    KillWorker,
    /// A worker is stopped for longer than its lease.
    PauseWorker,
    /// The server is killed.
    KillServer,
    /// The database crashes.
    CrashDatabase,
    /// Nothing is passed on.
    Silence,
    /// Everything is passed on late.
    Delay,
}

/// How many of each there are in a deck. Most are kills: while nobody is at work, as in a silence, nothing is hit.
const ON_POSTGRES: [(Fault, usize); 6] = [
    (Fault::KillWorker, 31),
    (Fault::PauseWorker, 3),
    (Fault::KillServer, 3),
    (Fault::CrashDatabase, 3),
    (Fault::Silence, 1),
    (Fault::Delay, 1),
];

const ON_SQLITE: [(Fault, usize); 3] = [
    (Fault::KillWorker, 34),
    (Fault::PauseWorker, 3),
    (Fault::KillServer, 3),
];

/// Between two faults, in milliseconds. What a killed worker had in hand is tried one by one, so kills that come fast leave
/// little to hit; on SQLite most of the work is done.
const PAUSE_MS_ON_POSTGRES: Range<u64> = 80..260;
const PAUSE_MS_ON_SQLITE: Range<u64> = 150..450;

/// One fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dealt {
    /// So long after the one before.
    pub(crate) after: Duration,
    pub(crate) fault: Fault,
    /// Which of those that it can hit.
    pub(crate) which: usize,
    /// How long it lasts, if it lasts: longer than a lease.
    pub(crate) lasts: Duration,
}

/// Faults by a seed.
pub(crate) struct Deck {
    random: StdRng,
    pause_ms: Range<u64>,
    whole: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    /// Those that are possible on this database.
    pub(crate) fn new(kind: StoreKind, seed: u64) -> Self {
        let shares: &[(Fault, usize)] = match kind {
            StoreKind::Sqlite => &ON_SQLITE,
            StoreKind::Postgres => &ON_POSTGRES,
        };
        let pause_ms = match kind {
            StoreKind::Sqlite => PAUSE_MS_ON_SQLITE,
            StoreKind::Postgres => PAUSE_MS_ON_POSTGRES,
        };
        let whole = shares
            .iter()
            .flat_map(|(fault, share)| std::iter::repeat_n(*fault, *share))
            .collect();
        Self {
            random: StdRng::seed_from_u64(seed),
            pause_ms,
            whole,
            left: Vec::new(),
        }
    }

    /// The next one.
    pub(crate) fn deal(&mut self) -> Dealt {
        if self.left.is_empty() {
            self.left.clone_from(&self.whole);
        }
        let place = self.random.random_range(0..self.left.len());
        let lease_ms = LEASE.as_millis() as u64;
        Dealt {
            after: Duration::from_millis(self.random.random_range(self.pause_ms.clone())),
            fault: self.left.swap_remove(place),
            which: self.random.random_range(0..1_000),
            lasts: Duration::from_millis(
                self.random.random_range(lease_ms * 5 / 4..lease_ms * 9 / 4),
            ),
        }
    }
}
