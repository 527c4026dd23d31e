//! What cannot be done is said in a line, with an exit code that programs can act on.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::binary;

use crate::{run, stderr, with_history};

#[test]
fn what_went_wrong_is_one_line_and_an_exit_code() -> Result<()> {
    let message = |url: &str, words: &[&str]| -> Result<(Option<i32>, String)> {
        let output = run(url, words)?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    };
    let (code, text) = message("sqlite:///nowhere/app.db", &["list"])?;
    let expected = "intendant: there is no database at /nowhere/app.db; name another one, or make it with \
                    `intendant migrate up`\n";
    ensure!(code == Some(5) && text == expected, "{text}");
    let (code, text) = message("postgres://127.0.0.1:1/none", &["list"])?;
    ensure!(
        code == Some(5) && text.contains("refused") && text.lines().count() == 1,
        "{text}"
    );
    let (code, text) = message("mysql://x", &["list"])?;
    ensure!(code == Some(2) && text.lines().count() == 1, "{text}");
    let (code, text) = message("sqlite://x.db", &["list", "--state", "sleeping"])?;
    ensure!(
        code == Some(2) && text.contains("expected one of blocked, ready, running"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_meant_is_a_usage_error() -> Result<()> {
    let (database, good, bad) = with_history(StoreKind::Sqlite).await?;
    let url = database.url.as_str();
    for (words, expected) in [
        (["list", "--limit", "0"], "0 is not in 1..=1000"),
        (["list", "--limit", "1001"], "1001 is not in 1..=1000"),
        (["list", "--resource", "server"], "expected `type:id`"),
        (["list", "--before", "first"], "expected an intent's id"),
        (
            ["bench", "single", "--intents=0"],
            "expected a whole number from 1 up",
        ),
    ] {
        let output = run(url, &words)?;
        ensure!(
            output.status.code() == Some(2)
                && output.stdout.is_empty()
                && stderr(&output).contains(expected),
            "{words:?}: {output:?}"
        );
    }
    // Ids that were made one after the other begin alike.
    let alike = good
        .bytes()
        .zip(bad.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let several = run(url, &["show", &good[..alike]])?;
    ensure!(
        several.status.code() == Some(2) && several.stdout.is_empty(),
        "{several:?}"
    );
    let none = run(url, &["resume", "00000000-0000"])?;
    ensure!(
        none.status.code() == Some(3)
            && stderr(&none) == "intendant: no intent's id begins with 000000000000\n",
        "{none:?}"
    );
    Ok(())
}

/// `intendant … | head` ends quietly; a full disk is told, and neither is a crash.
#[tokio::test]
async fn output_that_nobody_takes_is_no_crash() -> Result<()> {
    let (database, ..) = with_history(StoreKind::Sqlite).await?;
    let list = |stdout: Stdio| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(binary::path("intendant")?);
        let output = command
            .args(["list", "-o", "json", "--database-url", &database.url])
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()?
            .wait_with_output()?;
        Ok((output.status.code(), stderr(&output)))
    };
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    ensure!(list(writer.into())? == (Some(141), String::new()));
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let (code, said) = list(full.into())?;
    ensure!(
        code == Some(1) && said.lines().count() == 1 && said.contains("No space left"),
        "{said}"
    );
    Ok(())
}

/// Colours are for terminals, and not even there for those who set NO_COLOR.
#[tokio::test]
async fn there_are_no_colours_where_there_is_no_terminal() -> Result<()> {
    let (database, ..) = with_history(StoreKind::Sqlite).await?;
    let output = Command::new(binary::path("intendant")?)
        .args(["list", "--database-url", &database.url])
        .env("RUST_LOG", "trace")
        .output()?;
    ensure!(
        !output.stderr.is_empty() && !output.stderr.contains(&0x1b),
        "{output:?}"
    );
    ensure!(!output.stdout.contains(&0x1b), "{output:?}");
    Ok(())
}
