//! The workspace's binaries, as they are now.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

static SUITES: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
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
    let profile = profile()?;
    let mut build = cargo();
    build.args(["build", "--quiet", "--workspace", "--bin", name]);
    // As the tests have it: else the engine would be built once more.
    build.args(["--features", "intendant/planted-bugs"]);
    run(build, name, &profile)?;
    let binary = profile.join(name);
    ensure!(
        binary.is_file(),
        "{} is not there after the build",
        binary.display()
    );
    built.insert(name.to_owned(), binary.clone());
    Ok(binary)
}

/// Path of a suite of these tests, in the profile of this one; built first, as with [`path`].
pub fn suite(name: &str) -> Result<PathBuf> {
    let mut suites = SUITES.lock().unwrap_or_else(PoisonError::into_inner);
    let suites = suites.get_or_insert_default();
    if let Some(path) = suites.get(name) {
        return Ok(path.clone());
    }
    let mut build = cargo();
    build.args(["test", "--quiet", "--workspace", "--no-run", "--test", name]);
    build.args(["--message-format", "json"]);
    let said = run(build, name, &profile()?)?;
    let mut built = said.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = line["target"]["name"] == name && line["target"]["kind"][0] == "test";
        let path = line["executable"].as_str().filter(|_| is_it);
        path.map(PathBuf::from)
    });
    let path = built
        .next()
        .with_context(|| format!("{name} was not built"))?;
    suites.insert(name.to_owned(), path.clone());
    Ok(path)
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    cargo
}

/// The directory of what is built as this test was.
fn profile() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let deps = test.parent().context("the directory of this test")?;
    let profile = match deps.ends_with("deps") {
        true => deps.parent().context("the build's directory")?,
        false => deps,
    };
    Ok(profile.to_owned())
}

/// Builds, and returns what was said of it.
fn run(mut build: Command, name: &str, profile: &Path) -> Result<String> {
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let output = build.output().context("running cargo")?;
    ensure!(
        output.status.success(),
        "building {name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
