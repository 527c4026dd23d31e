//! What either revision refuses on a schema that is not its own.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use intendant_tests::binary;
use tokio::process::Command;

use crate::side_by_side::{PATIENCE, SideBySide};

impl SideBySide {
    /// This revision's worker does not start on the older schema.
    pub(crate) async fn newer_does_not_start(&self) -> Result<()> {
        let (known, newest) = (self.known, self.newest);
        let why = format!("the database has schema version {known}, this program needs {newest}");
        self.worker_is_refused(&binary::path("chaos-worker")?, &why)
            .await
    }

    /// The older revision's programs do not start on the newer schema, and its server, which runs, says that it is not ready.
    pub(crate) async fn older_does_not_start(&self) -> Result<()> {
        // The first migration that it does not know.
        let (found, known) = (self.known + 1, self.known);
        let why =
            format!("the database has schema version {found}, this program knows up to {known}");
        self.worker_is_refused(&self.older.worker, &why).await?;
        for words in [&["list"][..], &["migrate", "up"]] {
            let mut words = words.to_vec();
            words.extend(["--database-url", self.url.as_str()]);
            is_refused(&self.older.program, &words, 5, &why).await?;
        }
        let said = self.says("/readyz")?;
        ensure!(said.starts_with("HTTP/1.1 503"), "{said}");
        Ok(())
    }

    /// It ends as any program whose `main` fails. A worker that is started by the command line ends with 5, as `list` does.
    async fn worker_is_refused(&self, program: &Path, why: &str) -> Result<()> {
        let words = self.chaos.arguments()?;
        let words = words.each_ref().map(String::as_str);
        is_refused(program, &words, 1, why).await
    }
}

/// A program ends with this code, and says why.
async fn is_refused(program: &Path, words: &[&str], code: i32, why: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.with_context(|| format!("{} {words:?} runs", program.display()))??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code) && said.contains(why),
        "{} {words:?}: {}: {said}",
        program.display(),
        output.status
    );
    Ok(())
}
