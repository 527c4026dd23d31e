//! Session: how a worker's life begins and ends, and the file lock that tells others on the same host that it goes on.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use super::engine::Engine;
use super::heartbeat::Pulses;
use super::lane::LaneState;
use super::scheduling::Declared;
use crate::again::Again;
use crate::error::Error;
use crate::id::SessionId;
use crate::limits;
use crate::store::{KindRow, SessionRow};

/// A session of this process, with its file lock.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) lock: Option<SessionLock>,
}

/// A file that is locked as long as the process lives. The operating system lets go of it at the process's end, whatever
/// that is, so whoever can lock it knows at once that the session is dead.
#[derive(Debug)]
pub(super) struct SessionLock {
    path: PathBuf,
    _file: File,
}

impl SessionLock {
    fn take(directory: &Path, id: SessionId) -> std::io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(format!("{id}.lock"));
        let file = File::create(&path)?;
        file.try_lock().map_err(std::io::Error::from)?;
        Ok(Self { path, _file: file })
    }

    fn remove(self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// Whether the process that locked this file is gone. A file that is not there says nothing: it may be another
/// machine's of the same name, or a temporary directory that was tidied.
pub(super) fn is_gone(path: &str) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// This machine, as others can compare it: its name, and on Linux the boot it is in.
pub(super) fn host() -> &'static str {
    static HOST: LazyLock<String> = LazyLock::new(|| {
        let name = gethostname::gethostname().to_string_lossy().into_owned();
        match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            Ok(boot) => format!("{name}/{}", boot.trim()),
            Err(_) => name,
        }
    });
    &HOST
}

/// What tells this build of the program from another: length and time of its file.
pub(super) fn build() -> String {
    let metadata = std::env::current_exe().and_then(std::fs::metadata);
    let time = |metadata: &std::fs::Metadata| {
        let modified = metadata.modified().ok()?;
        modified.duration_since(SystemTime::UNIX_EPOCH).ok()
    };
    match metadata {
        Ok(metadata) => format!(
            "{}-{}",
            metadata.len(),
            time(&metadata).unwrap_or_default().as_micros()
        ),
        Err(_) => "unknown".to_owned(),
    }
}

impl Engine {
    /// Begins a session. The first one waits a while for the database and then fails; later ones wait for it.
    pub(super) async fn begin_session(&mut self, first: bool) -> Result<Session, Error> {
        let mut again = Again::new();
        let begun = self.now();
        loop {
            match self.try_session().await {
                Ok(session) => {
                    tracing::info!(worker = &*self.settings.name, session = %session.id, "a session begins");
                    self.session = Some(session.id);
                    self.intendant.nudge().begins(session.id);
                    self.ask_to_stop();
                    return Ok(session);
                }
                // The database was there when it was opened: it may only be locked by another process, or restart.
                Err(error)
                    if first
                        && (!error.is_retryable()
                            || self.now().saturating_sub(begun) >= limits::DATABASE_CALL) =>
                {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "a new session is tried again"),
            }
            again.wait().await;
        }
    }

    async fn try_session(&self) -> Result<Session, Error> {
        self.store().secrets().await?;
        let id = SessionId(self.store().clock().secret_id());
        let lock = self.lock_directory().and_then(|directory| match SessionLock::take(&directory, id) {
            Ok(lock) => Some(lock),
            Err(error) => {
                tracing::warn!(%error, directory = %directory.display(), "no session lock; others rely on the heartbeat");
                None
            }
        });
        let kinds = self
            .kinds
            .values()
            .map(|kind| {
                Ok(KindRow {
                    kind: kind.name.clone(),
                    queue: kind.queue.clone(),
                    on_failure: kind.on_failure,
                    conflicts: kind.conflicts.clone(),
                    about: kind.about.check(&kind.name)?,
                    deadline: kind.deadline,
                })
            })
            .collect::<Result<_, Error>>()?;
        let row = SessionRow {
            id,
            worker: self.settings.name.to_string(),
            host: host().to_owned(),
            pid: std::process::id(),
            build: self.settings.build.clone(),
            lock_file: lock
                .as_ref()
                .map(|lock| lock.path.to_string_lossy().into_owned()),
            lease: self.settings.lease,
            free: self.lanes.iter().map(LaneState::free).sum(),
            kinds,
            lanes: self.lanes.iter().flat_map(LaneState::served).collect(),
            schedules: self.schedules.iter().map(Declared::named).collect(),
        };
        // Before the first claim: the session before may have died of one of them. And before there is a session, which would be
        // left alone if this failed.
        let backing_off = self.store().backing_off().await?;
        self.backing_off.set(backing_off, self.now());
        self.store().open_session(row).await?;
        Ok(Session { id, lock })
    }

    /// Beside the SQLite file; for PostgreSQL in the temporary directory. None for a database in memory.
    fn lock_directory(&self) -> Option<PathBuf> {
        match (self.store().kind(), self.store().path()) {
            (crate::store::StoreKind::Sqlite, Some(path)) => {
                // Absolute: a worker with another working directory has to find it.
                let path = std::path::absolute(path).ok()?;
                let mut name = path.file_name()?.to_os_string();
                name.push("-sessions");
                Some(path.with_file_name(name))
            }
            (crate::store::StoreKind::Sqlite, None) => None,
            (crate::store::StoreKind::Postgres, _) => {
                Some(std::env::temp_dir().join("intendant-sessions"))
            }
        }
    }

    /// Ends a session. A clean one has nothing in hand any more and is closed; another is left to whoever finds it.
    /// The heartbeat is the last thing to stop.
    pub(super) async fn end_session(&mut self, session: Session, pulse: Pulses, clean: bool) {
        self.retaining.stop();
        if clean {
            self.housekeeping.end().await;
            if let Err(error) = self.store().close_session(session.id).await {
                tracing::warn!(%error, "the session could not be closed; it will be found dead");
            } else if self.lanes.iter().any(|lane| lane.lent.is_some()) {
                // What it had of limited queues is there for others.
                self.intendant.wake();
            }
            tracing::info!(worker = &*self.settings.name, session = %session.id, "the session ends");
        } else if self.left_behind {
            if let Err(error) = self.store().leave_session(session.id).await {
                tracing::warn!(%error, "the session could not say that it leaves; it will count as a crash");
            }
        } else {
            tracing::warn!(worker = &*self.settings.name, session = %session.id, "the session is dead; nothing more is written for it");
        }
        self.session = None;
        self.offering = None;
        self.intendant.nudge().ends(session.id);
        drop(pulse);
        if let Some(lock) = session.lock {
            lock.remove();
        }
    }

    /// Drops everything that a dead session had in hand.
    pub(super) fn forget(&mut self) {
        for running in self.running.values() {
            running.abort.abort();
        }
        self.running.clear();
        self.drives.clear();
        self.leases.clear();
        self.timers.clear();
        self.announced.clear();
        self.to_stop.clear();
        self.unmet.clear();
        self.session_plans.clear();
        self.pending = crate::store::TickRequest::default();
        self.inflight = None;
        self.bytes = 0;
        self.probation = None;
        self.next_due = None;
        self.signals_due = false;
        // New lanes know nothing of what people have said.
        self.control = 0;
        for lane in &mut self.lanes {
            *lane = LaneState::new(
                Arc::clone(&lane.queue),
                lane.kinds.to_vec(),
                lane.concurrency,
            );
        }
    }
}
