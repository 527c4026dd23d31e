//! A Python for the tests, whose standard library has a driver for SQLite; and psycopg, the driver for PostgreSQL.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Where `python3` is. Installs Debian's package if there is none and this user may.
///
/// A test that needs it is not skipped where it is missing: it fails, and says what to install.
pub fn path() -> Result<PathBuf> {
    with("sqlite3", "python3").context("install Python 3 (Debian: apt-get install python3)")
}

/// A `python3` that has psycopg 3. Installs Debian's package if there is none and this user may.
pub fn with_psycopg() -> Result<PathBuf> {
    with("psycopg", "python3-psycopg").context(
        "install psycopg 3 (Debian: apt-get install python3-psycopg; otherwise: pip install 'psycopg[binary]')",
    )
}

/// A Python that has this module, which is in this package.
fn with(module: &str, package: &str) -> Option<PathBuf> {
    find(module).or_else(|| {
        let install = format!(
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {package}"
        );
        let installed = Command::new("sh")
            .args(["-c", &install])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let is_there = installed.is_ok_and(|status| status.success());
        is_there.then(|| find(module)).flatten()
    })
}

fn find(module: &str) -> Option<PathBuf> {
    let works = |python: &str| {
        Command::new(python)
            .args(["-c", &format!("import {module}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    // Where another Python comes first, the system's may be the one with the package.
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| works(python))
        .map(PathBuf::from)
}
