//! Where databases of tests are (those of `Database`): in memory where the system has files there and room for them, since
//! processes die in these tests and no machine does. On a disk the writing back of what is gone a second later takes as long as
//! the tests. `TMPDIR` says another place.

use std::path::{Path, PathBuf};
use std::sync::Once;

use tempfile::TempDir;

/// Files in memory, on Linux.
const MEMORY: &str = "/dev/shm";

/// Databases of all tests that run at once, and the server's log of writes, take a good part of this.
const ROOM: u64 = 6 << 30;

/// What the names of directories begin with; the process's id is next.
const PREFIX: &str = "intendant-scratch-";

/// In which directory.
pub fn parent() -> PathBuf {
    match room(Path::new(MEMORY)) {
        Some(bytes) if bytes >= ROOM && std::env::var_os("TMPDIR").is_none() => MEMORY.into(),
        _ => std::env::temp_dir(),
    }
}

/// A directory of its own there, which is removed when it is dropped.
pub fn directory() -> std::io::Result<TempDir> {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep);
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(parent())
}

/// Removes what is left of processes that were killed, where the system tells which are alive.
fn sweep() {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let parents = [PathBuf::from(MEMORY), std::env::temp_dir()];
    for entry in parents.iter().flat_map(std::fs::read_dir).flatten() {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some((process, _)) = of.and_then(|of| of.split_once('-')) else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() {
            // Somebody else may be at it.
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// How many bytes more it can have, if it is there.
fn room(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
