//! What an operator does from the command line.

use anyhow::{Result, ensure};

use crate::{Via, run, stderr, stdout, with_history};

async fn verbs(via: Via) -> Result<()> {
    let (database, good, bad) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
    let says = |words: &[&str], expected: &str| -> Result<()> {
        let output = run(door, words)?;
        ensure!(
            output.status.success() && stdout(&output) == expected,
            "{words:?}: {output:?}"
        );
        Ok(())
    };
    let refuses = |words: &[&str], code: i32, expected: &str| -> Result<()> {
        let output = run(door, words)?;
        let is_said = stderr(&output).contains(expected) && output.stdout.is_empty();
        ensure!(
            output.status.code() == Some(code) && is_said,
            "{words:?}: {output:?}"
        );
        Ok(())
    };
    let state = |id: &str, state: &str| -> Result<()> {
        let listed = stdout(&run(door, &["list", "--state", state, "-o", "id"])?);
        ensure!(listed.contains(id), "{id} is not {state}");
        Ok(())
    };

    // Looking first changes nothing.
    let failures = stdout(&run(door, &["failures"])?);
    ensure!(
        failures.starts_with("1 × server.resize in run: no such server: it was "),
        "{failures}"
    );
    ensure!(
        failures.lines().count() == 1 && failures.contains(&bad),
        "{failures}"
    );
    let none = run(door, &["failures", "--kind", "mail"])?;
    ensure!(
        none.stdout.is_empty() && stderr(&none) == "nothing is failed\n",
        "{none:?}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(door, &["failures", "--json"])?.stdout)?;
    ensure!(json["groups"][0]["count"] == 1, "{json}");
    says(
        &["resume", &bad, "--dry-run"],
        &format!("{bad} runs run; keeps nothing\n"),
    )?;
    says(
        &["undo", &bad, "--dry-run"],
        &format!("{bad} runs nothing; keeps nothing\n"),
    )?;
    says(
        &["resume", "--all", "--dry-run"],
        "1 intent matches; nothing was done\n",
    )?;
    says(
        &["resume", "--all", "--kind", "mail", "--dry-run"],
        "0 intents match; nothing was done\n",
    )?;
    state(&bad, "failed")?;

    says(
        &[
            "resume",
            "--where",
            "account=acme state=failed",
            "--dry-run",
        ],
        "1 intent matches; nothing was done\n",
    )?;
    says(
        &["resume", "--where", "account=other", "--yes"],
        "0 intents match; done for 0, refused for 0\n",
    )?;
    refuses(&["resume", "--where", "state=odd"], 2, "state: ")?;
    refuses(
        &["resume", &bad, "--where", "state=failed"],
        2,
        "cannot be used with",
    )?;
    refuses(&["resume", "--where", "state=failed"], 2, "say --yes")?;
    refuses(&["retry", &bad, "nobody"], 3, "has no step `nobody`")?;
    refuses(&["retry", &bad], 2, "say it after the id, or by --step")?;
    refuses(&["retry", "nonsense", "run"], 2, "nonsense")?;
    refuses(
        &["retry", &bad, "--step", "nobody"],
        3,
        "has no step `nobody`",
    )?;
    refuses(&["retry", &good, "--step", "run"], 4, "it is succeeded")?;
    refuses(
        &["skip", &bad, "--step", "run", "--output", "{"],
        2,
        "expected JSON",
    )?;
    refuses(&["rerun", &bad], 4, "a failed one is resumed")?;
    refuses(
        &["rerun", &good, "--from", "run"],
        4,
        "only a failed intent",
    )?;
    refuses(
        &["discard", &good],
        4,
        "only a failed intent can be discarded",
    )?;
    refuses(
        &["amend", &good, "--input", "{}"],
        4,
        "only a failed intent's input",
    )?;
    refuses(&["cancel", &bad, "--all"], 2, "cannot be used with")?;
    refuses(&["resume"], 2, "required")?;

    let input = r#"{"account":"acme","server":3}"#;
    let amend = ["amend", &bad, "--input", input, "--reason", "wrong server"];
    says(&amend, &format!("{bad} has the new input; resume it\n"))?;
    ensure!(stdout(&run(door, &["show", &bad])?).contains("wrong server"));
    says(
        &["rerun", &bad, "--from", "run"],
        &format!("{bad} is back in line, from `run` on\n"),
    )?;
    state(&bad, "undoing")?;
    says(
        &[
            "cancel", "--all", "--yes", "--state", "undoing", "--reason", "enough",
        ],
        "1 intent matches; done for 1, refused for 0\n",
    )?;

    let again = run(door, &["rerun", &good, "--by", "ada"])?;
    let said = stdout(&again);
    let new = said.trim_end().rsplit(' ').next().unwrap_or_default();
    ensure!(
        said == format!("{good} is asked for again, as {new}\n") && new != good,
        "{said}"
    );
    says(&["cancel", new], &format!("{new} is cancelled\n"))?;
    says(&["cancel", new], &format!("{new} was cancelled before\n"))?;
    refuses(&["undo", new], 4, "only a failed intent can be taken back")?;
    let batch = run(door, &["resume", "--all", "--yes", "--state", "succeeded"])?;
    ensure!(batch.status.code() == Some(4), "{batch:?}");
    ensure!(
        stdout(&batch) == "1 intent matches; done for 0, refused for 1\n",
        "{batch:?}"
    );
    ensure!(
        stderr(&batch).contains("only a failed intent can be resumed"),
        "{batch:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_operator_acts_on_intents_on_sqlite() -> Result<()> {
    verbs(Via::Sqlite).await
}

#[tokio::test]
async fn an_operator_acts_on_intents_on_postgres() -> Result<()> {
    verbs(Via::Postgres).await
}

#[tokio::test]
async fn an_operator_acts_on_intents_at_a_server() -> Result<()> {
    verbs(Via::Server).await
}

async fn steps(via: Via) -> Result<()> {
    let (database, _, bad) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
    let retry = run(door, &["retry", &bad, "--step", "run", "--by", "ada"])?;
    ensure!(
        stdout(&retry) == format!("{bad} tries `run` again\n"),
        "{retry:?}"
    );
    let (database, _, bad) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("output.json");
    std::fs::write(&file, "7")?;
    let output = format!("@{}", file.display());
    let skip = run(
        door,
        &[
            "skip", &bad, "--step", "run", "--output", &output, "--by", "ada",
        ],
    )?;
    ensure!(
        stdout(&skip) == format!("{bad} goes on after `run`\n"),
        "{skip:?}"
    );
    ensure!(stdout(&run(door, &["show", &bad])?).contains("skip by ada"));
    let (database, _, bad) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
    let undo = run(door, &["undo", &bad])?;
    ensure!(
        stdout(&undo) == format!("{bad} is being taken back\n"),
        "{undo:?}"
    );
    let (database, _, bad) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
    // Nobody can be asked here.
    let asks = run(door, &["discard", "--all", "--kind", "server.resize"])?;
    ensure!(
        asks.status.code() == Some(2)
            && stderr(&asks).contains("1 intent matches; to discard what matches")
            && asks.stdout.is_empty(),
        "{asks:?}"
    );
    let discard = run(
        door,
        &["discard", "--all", "--kind", "server.resize", "--yes"],
    )?;
    ensure!(
        stdout(&discard) == "1 intent matches; done for 1, refused for 0\n",
        "{discard:?}"
    );
    ensure!(
        stdout(&run(door, &["list", "--state", "cancelled", "-o", "id"])?) == format!("{bad}\n")
    );
    Ok(())
}

#[tokio::test]
async fn an_operator_acts_on_steps_on_sqlite() -> Result<()> {
    steps(Via::Sqlite).await
}

#[tokio::test]
async fn an_operator_acts_on_steps_on_postgres() -> Result<()> {
    steps(Via::Postgres).await
}

#[tokio::test]
async fn an_operator_acts_on_steps_at_a_server() -> Result<()> {
    steps(Via::Server).await
}
