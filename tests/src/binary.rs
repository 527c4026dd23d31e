//! The workspace's binaries, as they are now.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);

/// Path of a binary of this workspace, in the profile of this test.
///
/// Builds it first: `cargo test` builds the binaries of a package for that package's own tests only, and one that is left
/// over from an earlier build would be tested instead.
pub fn path(name: &str) -> Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let test = std::env::current_exe()?;
    let deps = test.parent().context("the directory of this test")?;
    let profile = if deps.ends_with("deps") {
        deps.parent().context("the build's directory")?
    } else {
        deps
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--workspace", "--bin", name]);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let output = build
        .current_dir(workspace)
        .output()
        .context("running cargo")?;
    ensure!(
        output.status.success(),
        "building {name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let binary = profile.join(name);
    ensure!(
        binary.is_file(),
        "{} is not there after the build",
        binary.display()
    );
    built.insert(name.to_owned(), binary.clone());
    Ok(binary)
}
