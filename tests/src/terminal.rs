//! A program on a terminal of its own, by `script` of util-linux.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs a program on a terminal so many columns wide; returns what appeared on it, stdout and stderr alike, with the
/// codes that move the cursor.
pub fn run(columns: usize, program: &Path, words: &[&str]) -> Result<String> {
    let words = words.iter().map(|word| quoted(word));
    let words: Vec<String> = std::iter::once(quoted(&program.to_string_lossy()))
        .chain(words)
        .collect();
    let command = format!("stty rows 50 cols {columns}; {}", words.join(" "));
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .context("running `script`; install util-linux (Debian: bsdutils)")?;
    let shown = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    ensure!(
        output.status.success(),
        "{command}: {}\n{shown}",
        output.status
    );
    Ok(shown)
}

/// An argument as a shell takes it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
