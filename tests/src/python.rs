//! A Python for the tests, whose standard library has a driver for SQLite.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Where `python3` is. Installs Debian's package if there is none and this user may.
///
/// A test that needs it is not skipped where it is missing: it fails, and says what to install.
pub fn path() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let installed = Command::new("sh")
        .args([
            "-c",
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = if installed.is_ok_and(|status| status.success()) {
        find()
    } else {
        None
    };
    found.context("install Python 3 (Debian: apt-get install python3)")
}

fn find() -> Option<PathBuf> {
    let works = |python: &str| {
        Command::new(python)
            .args(["-c", "import sqlite3"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| works(python))
        .map(PathBuf::from)
}
