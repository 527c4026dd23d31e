//! The workspace's binaries, as the tests' own build made them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// Path of a binary of this workspace.
///
/// `cargo test --workspace` builds them before any test runs; a single package's tests may need
/// `cargo build --workspace --all-targets` first.
pub fn path(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let deps = test.parent().context("the directory of this test")?;
    let profile = if deps.ends_with("deps") {
        deps.parent().context("the build's directory")?
    } else {
        deps
    };
    let binary = profile.join(name);
    ensure!(
        binary.is_file(),
        "{} is not built; run `cargo build --workspace --all-targets`",
        binary.display()
    );
    Ok(binary)
}
