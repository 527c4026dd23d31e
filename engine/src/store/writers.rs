//! Those of one process that write to one SQLite file: they go one after the other, in the order in which they came.
//!
//! SQLite has one writer, and who finds it busy asks again after a pause, up to a tenth of a second each time. Who has just
//! committed and begins again asks without one, so a connection that always has something to write leaves little to the others:
//! a heartbeat beside two busy workers could wait for seconds. Here they stand in line. The transactions of a store come one
//! at a time, so a heartbeat waits for the one of each that runs, however many there are.
//!
//! It is a courtesy and no lock: SQLite keeps its promises by itself, other processes are not in this line, and who has stood
//! in it for long (somebody ahead is in a runtime that stands still) goes on without, as do all until that one is back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::limits;

/// The lines of all files that this process has open.
static LINES: LazyLock<Mutex<HashMap<PathBuf, Weak<Line>>>> = LazyLock::new(Mutex::default);

/// The line of one file.
#[derive(Debug, Default)]
struct Line {
    first: Arc<Turn<()>>,
    /// Whose turn it is has had it for too long. Until that one is back nobody waits.
    stands_still: AtomicBool,
}

/// Where a store's connections stand in line.
#[derive(Clone, Debug)]
pub(super) struct Writers {
    /// Its transactions, of which the first stands in the other line.
    ours: Arc<Turn<()>>,
    /// All of the file.
    all: Arc<Line>,
}

/// Somebody's turn, until it is dropped.
#[derive(Default)]
pub(crate) struct WriterTurn {
    _ours: Option<OwnedMutexGuard<()>>,
    /// None if that took too long.
    all: Option<(OwnedMutexGuard<()>, Arc<Line>)>,
}

impl Drop for WriterTurn {
    fn drop(&mut self) {
        if let Some((_, line)) = &self.all {
            line.stands_still.store(false, Ordering::Relaxed);
        }
    }
}

impl Writers {
    /// Of a store on a file that exists.
    pub(super) fn of_file(path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| line.strong_count() > 0);
        let known = lines.get(&path).and_then(Weak::upgrade);
        let all = known.unwrap_or_else(|| {
            let line = Arc::default();
            lines.insert(path, Arc::downgrade(&line));
            line
        });
        let ours = Arc::default();
        Self { ours, all }
    }

    /// Of a database in memory, which is one store's.
    pub(super) fn of_memory() -> Self {
        let (ours, all) = Default::default();
        Self { ours, all }
    }

    /// Waits for the turn of a transaction.
    pub(super) async fn turn(&self) -> WriterTurn {
        let ours = self.ours.clone().lock_owned();
        let ours = tokio::time::timeout(limits::DATABASE_CALL, ours).await;
        let _ours = ours.ok();
        let all = self.all.turn().await;
        WriterTurn { _ours, all }
    }

    /// Waits for the turn of a heartbeat, which goes before the transactions that wait behind this store's first.
    pub(super) async fn turn_of_heartbeat(&self) -> WriterTurn {
        let all = self.all.turn().await;
        WriterTurn { _ours: None, all }
    }
}

impl Line {
    async fn turn(self: &Arc<Self>) -> Option<(OwnedMutexGuard<()>, Arc<Self>)> {
        let turn = self.first.clone();
        let turn = match self.stands_still.load(Ordering::Relaxed) {
            true => turn.try_lock_owned().ok(),
            false => {
                let turn = turn.lock_owned();
                let turn = tokio::time::timeout(limits::WRITER_TURN, turn).await.ok();
                self.stands_still.store(turn.is_none(), Ordering::Relaxed);
                turn
            }
        };
        turn.map(|turn| (turn, self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn all_who_write_to_a_file_stand_in_one_line_and_nobody_stands_in_it_for_ever() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("one.db");
        std::fs::write(&path, "").expect("a file");
        let other_name = dir.path().join(".").join("one.db");
        let first = Writers::of_file(&path).turn().await;
        let second = Writers::of_file(&other_name);
        let waits = tokio::spawn(async move { second.turn().await.all.is_some() });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waits.is_finished());
        drop(first);
        assert!(waits.await.expect("no panic"), "it had its turn");

        let stands_still = Writers::of_file(&path).turn().await;
        let behind = Writers::of_file(&path).turn().await;
        assert!(behind.all.is_none(), "it goes on without");
        // The next one does not wait for it again, until it has moved on.
        let begin = std::time::Instant::now();
        assert!(Writers::of_file(&path).turn().await.all.is_none());
        assert!(begin.elapsed() < limits::WRITER_TURN / 2);
        drop((stands_still, behind));
        assert!(Writers::of_file(&path).turn().await.all.is_some());
    }

    #[tokio::test]
    async fn a_heartbeat_does_not_wait_for_all_transactions_of_its_store() {
        let writers = Writers::of_memory();
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = writers.turn().await;
        let mut waits = Vec::new();
        for who in ["second", "third", "heartbeat"] {
            let (writers, order) = (writers.clone(), order.clone());
            waits.push(tokio::spawn(async move {
                let _turn = match who {
                    "heartbeat" => writers.turn_of_heartbeat().await,
                    _ => writers.turn().await,
                };
                order.lock().expect("nobody panics").push(who);
            }));
            // Each stands in line before the next one comes.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(first);
        for waits in waits {
            waits.await.expect("no panic");
        }
        let order = order.lock().expect("nobody panics");
        assert_eq!(*order, ["heartbeat", "second", "third"]);
    }
}
