//! Where databases of tests are: in memory where the system has files there and room for them, since processes die in these tests
//! and no machine does. On a disk the writing back of what is gone a second later takes as long as the tests.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Files in memory, on Linux.
const MEMORY: &str = "/dev/shm";

/// Databases of all tests that run at once, and the server's log of writes, take a good part of this.
const ROOM: u64 = 6 << 30;

/// In which directory.
pub fn parent() -> PathBuf {
    match room(Path::new(MEMORY)) {
        Some(bytes) if bytes >= ROOM => PathBuf::from(MEMORY),
        _ => std::env::temp_dir(),
    }
}

/// A directory of its own there, which is removed when it is dropped.
pub fn directory() -> std::io::Result<TempDir> {
    TempDir::new_in(parent())
}

/// How many bytes more it can have, if it is there.
fn room(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
