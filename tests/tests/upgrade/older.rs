//! The older revision: which one it is, and its programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// As this test is built itself.
const PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

static OLDER: OnceLock<Result<Older, String>> = OnceLock::new();

/// The programs of an older revision.
#[derive(Debug)]
pub(crate) struct Older {
    pub(crate) revision: String,
    /// Its `chaos-worker`.
    pub(crate) worker: PathBuf,
    /// Its `intendant`.
    pub(crate) program: PathBuf,
}

/// Those of the older revision, built if they are not there yet.
pub(crate) fn older() -> Result<&'static Older> {
    let older = OLDER.get_or_init(|| Older::built().map_err(|error| format!("{error:#}")));
    older
        .as_ref()
        .map_err(|error| anyhow!("the older revision: {error}"))
}

impl Older {
    fn built() -> Result<Self> {
        let commit = format!("{}^{{commit}}", revision()?);
        let revision = git(&["rev-parse", "--verify", "--short=12", &commit])?;
        // Beside what this test is part of: `target/upgrade`.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("upgrade");
        let (place, target) = (place.join(&revision), place.join(&revision).join("target"));
        let programs = target.join(PROFILE);
        let older = Self {
            worker: programs.join("chaos-worker"),
            program: programs.join("intendant"),
            revision,
        };
        if !older.worker.is_file() || !older.program.is_file() {
            println!("building {}, which takes minutes", older.revision);
            older.build(&place.join("tree"), &target)?;
        }
        Ok(older)
    }

    /// Builds in a working tree of its own, which is there as long as that takes.
    fn build(&self, tree: &Path, target: &Path) -> Result<()> {
        let path = tree.to_str().context("a path that is text")?;
        // What a run that was interrupted has left.
        git(&["worktree", "remove", "--force", path]).ok();
        git(&[
            "worktree",
            "add",
            "--force",
            "--detach",
            path,
            &self.revision,
        ])?;
        let built = build(tree, target);
        git(&["worktree", "remove", "--force", path])?;
        built
    }

    /// Makes a database as that revision does, or brings it up to that revision's schema.
    pub(crate) fn migrate(&self, url: &str) -> Result<()> {
        let mut migrate = Command::new(&self.program);
        migrate.args(["migrate", "up", "--database-url", url]);
        let output = migrate.stdin(Stdio::null()).output()?;
        ensure!(
            output.status.success(),
            "migrating to the older schema: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// The one that is named, or the one before the newest migration.
fn revision() -> Result<String> {
    if let Ok(named) = std::env::var("INTENDANT_UPGRADE_FROM") {
        return Ok(named);
    }
    let mut migrations = Vec::new();
    for entry in std::fs::read_dir(Path::new(ROOT).join("migrations/sqlite"))? {
        let name = entry?.file_name().into_string();
        migrations.push(name.map_err(|name| anyhow!("a migration is called {name:?}"))?);
    }
    let newest = migrations.into_iter().max().context("no migrations")?;
    let path = format!("migrations/sqlite/{newest}");
    // On the way of the first parents a merge adds what its branch has added.
    let added = git(&[
        "log",
        "--first-parent",
        "-m",
        "--diff-filter=A",
        "--format=%H",
        "--",
        &path,
    ])?;
    Ok(match added.lines().next_back() {
        Some(commit) => format!("{commit}^"),
        // It is not committed yet.
        None => "HEAD".to_owned(),
    })
}

fn build(tree: &Path, target: &Path) -> Result<()> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--locked", "--workspace"]);
    build.args(["--bin", "chaos-worker", "--bin", "intendant"]);
    if PROFILE == "release" {
        build.arg("--release");
    }
    build.current_dir(tree).stdin(Stdio::null());
    build.env("CARGO_TARGET_DIR", target);
    build.env("CARGO_INCREMENTAL", "0");
    let output = build.output().context("running cargo")?;
    ensure!(
        output.status.success(),
        "building in {}: {}",
        tree.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What git says; no hook of the checkout runs.
fn git(words: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["-c", "core.hooksPath=/dev/null"]).args(words);
    let output = git.current_dir(ROOT).stdin(Stdio::null()).output();
    let output = output.context("running git")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
