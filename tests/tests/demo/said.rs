//! What the demo says: once, in its place, and at once where it cannot begin.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::{binary, terminal};

use crate::Stage;

fn demo(directory: &std::path::Path, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary::path("intendant")?);
    Ok(command
        .arg("demo")
        .args(words)
        .current_dir(directory)
        .output()?)
}

/// Nothing is made and nothing asked for when the source cannot be one.
#[test]
fn a_source_that_is_no_database_is_refused_at_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    std::fs::write(
        directory.path().join("text.db"),
        "id,name\n1,Ada\n".repeat(100),
    )?;
    std::fs::write(directory.path().join("empty.db"), "")?;
    for (source, expected) in [
        ("none.db", "there is no such file"),
        (".", "that is no file"),
        ("text.db", "file is not a database"),
        ("empty.db", "the file is empty"),
    ] {
        let output = demo(directory.path(), &["--source", source])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(5) && output.stdout.is_empty(),
            "{output:?}"
        );
        let line = format!(
            "intendant: --source {source}: {expected}; name the file of a SQLite database, or leave it out for one of \
             the demo's own\n"
        );
        ensure!(said == line, "{said}");
    }
    ensure!(!directory.path().join("intendant-demo").exists());
    Ok(())
}

#[tokio::test]
async fn resuming_where_nothing_has_failed_says_so() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let output = demo(empty.path(), &["--resume"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(4)
            && said.starts_with("intendant: nothing has failed in intendant-demo"),
        "{output:?}"
    );
    ensure!(
        std::fs::read_dir(empty.path())?.next().is_none(),
        "something was made"
    );

    // A replica that is kept stays where it is.
    let stage = Stage::new(StoreKind::Sqlite).await?;
    stage.expect(&["--keep"], 0)?;
    stage.expect(&["--resume"], 4)?;
    ensure!(stage.audit().await?.servers == 1);
    stage.expect(&[], 0)?;
    stage.expect(&["--resume"], 4)?;
    Ok(())
}

#[tokio::test]
async fn a_run_goes_on_in_its_own_database_only() -> Result<()> {
    let stage = Stage::new(StoreKind::Sqlite).await?;
    stage.expect(&["--keep"], 0)?;
    let path = stage.directory().display().to_string();
    // The directory's own database is not the one that the run was begun with.
    let output = demo(stage.directory.path(), &["--directory", &path])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(4) && said.contains("is in another database than this"),
        "{output:?}"
    );
    stage.expect(&[], 0)?;
    Ok(())
}

/// Progress is for stderr, the record for stdout: each intent's once, and the hints once for all.
#[tokio::test]
async fn progress_and_record_are_said_once() -> Result<()> {
    let stage = Stage::new(StoreKind::Sqlite).await?;
    let output = stage.demo(&[])?;
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    for kind in ["replica.add", "replica.remove"] {
        let id = stage.only(kind).await?.id;
        let record = format!("{id}  {kind}  succeeded");
        ensure!(stdout.matches(&record).count() == 1, "{stdout}");
    }
    for once in [
        "look further",
        "nothing leaked",
        "requested by demo\n  requested    ",
    ] {
        let times = stdout.matches(once).count();
        ensure!(
            times == if once.contains("demo") { 2 } else { 1 },
            "{once}: {stdout}"
        );
    }
    ensure!(
        stderr.contains("  join             succeeded in"),
        "{stderr}"
    );
    ensure!(
        !stdout.contains("succeeded in") && !stderr.contains("requested"),
        "{stdout}\n{stderr}"
    );
    Ok(())
}

/// On a terminal what moves is gone when the record comes.
#[tokio::test]
async fn on_a_terminal_the_record_takes_the_place_of_the_progress() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("demo").display().to_string();
    let words = ["demo", "--rows", "500", "--directory", &path];
    let shown = terminal::run(80, &binary::path("intendant")?, &words)?;
    let (progress, record) = shown
        .split_once("  replica.add  succeeded\n")
        .unwrap_or_default();
    ensure!(
        progress.contains("\u{1b}[") && progress.contains("⠋ snapshot"),
        "{shown:?}"
    );
    let (record, _) = record.split_once("replica.remove ").unwrap_or_default();
    ensure!(
        record.contains("\nsnapshot  succeeded") && !record.contains('\u{1b}'),
        "{shown:?}"
    );
    // The last thing done to the lines that moved is that they are cleared.
    let last = progress.rsplit('⠋').next().unwrap_or_default();
    ensure!(last.contains("\u{1b}[2K"), "{shown:?}");
    Ok(())
}
