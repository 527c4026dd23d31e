//! The examples as a reader runs them: the programs end by themselves and print what their text says they do.
//!
//! `INTENDANT_WFFORMAT_DIR` names a directory of recorded workflows (WfFormat 1.5), which are carried out as well, on
//! both stores.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use intendant::{Intendant, IntentFilter, IntentState, StoreKind};
use intendant_tests::binary;
use intendant_tests::database::Database;
use tokio::process::Command;

const SURVEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/survey.json");

/// None of these programs takes more than a second.
const LIMIT: Duration = Duration::from_secs(30);

async fn output(command: &mut Command) -> Result<Output> {
    let output = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
    Ok(output.with_context(|| format!("{command:?} does not come to an end"))??)
}

/// What a program that succeeds prints.
async fn lines(binary: &str, arguments: &[&str]) -> Result<Vec<String>> {
    let output = output(Command::new(binary::path(binary)?).args(arguments)).await?;
    let (text, errors) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(
        output.status.success() && errors.is_empty(),
        "{binary}: {}\n{text}{errors}",
        output.status
    );
    Ok(text.lines().map(str::to_owned).collect())
}

/// Code and message of a `wfformat` that fails.
async fn refusal(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = output(Command::new(binary::path("wfformat")?).args(arguments)).await?;
    ensure!(output.stdout.is_empty());
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

/// The makespan of a report, in seconds.
fn makespan(report: &[String]) -> Result<f64> {
    let line = report
        .iter()
        .find_map(|line| line.strip_prefix("makespan       ")?.split_once(" s, "));
    Ok(line
        .with_context(|| format!("no makespan in {report:#?}"))?
        .0
        .parse()?)
}

/// The survey takes 25.5 s by its critical path: 0.51 s at this speed-up.
fn check_report(report: &[String]) -> Result<()> {
    let expected = [
        "workflow       survey",
        "tasks          12, with 16 dependencies",
        "critical path  0.510 s, through 7 tasks",
    ];
    ensure!(
        report.len() == 6 && report[0].starts_with("intent         ") && report[1..4] == expected,
        "{report:#?}"
    );
    ensure!(
        report[5] == "order          kept: no task started before its parents had finished",
        "{report:#?}"
    );
    ensure!(
        makespan(report)? >= 0.510,
        "{report:#?}: no workflow is faster than its critical path"
    );
    Ok(())
}

async fn carries_out_the_survey(kind: StoreKind) -> Result<()> {
    let database = Database::new(kind).await?;
    check_report(
        &lines(
            "wfformat",
            &[SURVEY, "--speedup", "50", "--database-url", &database.url],
        )
        .await?,
    )?;

    let intendant = Intendant::connect(&database.url).await?;
    let intents = intendant.list(IntentFilter::default()).await?;
    ensure!(
        intents.len() == 1
            && intents[0].kind == "workflow.replay"
            && intents[0].state == IntentState::Succeeded
    );
    let steps = intendant.steps(intents[0].id).await?;
    ensure!(steps.len() == 12 && steps.iter().all(|step| step.attempt == 1));
    ensure!(
        intendant.unfinished().await?.total() == 0
            && intendant.invariant_breaches().await?.is_empty()
    );
    intendant.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wfformat_carries_out_a_workflow_on_sqlite() -> Result<()> {
    carries_out_the_survey(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wfformat_carries_out_a_workflow_on_postgres() -> Result<()> {
    carries_out_the_survey(StoreKind::Postgres).await
}

/// Every file of the directory, at a thousand times its speed. There are none unless somebody has some.
async fn carries_out_what_was_recorded(kind: StoreKind) -> Result<()> {
    let Some(directory) = std::env::var_os("INTENDANT_WFFORMAT_DIR") else {
        return Ok(());
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no workflows in {}", directory.display());
    for file in files {
        let database = Database::new(kind).await?;
        let path = file.to_str().context("a path")?;
        let arguments = [path, "--speedup", "1000", "--database-url", &database.url];
        // The program fails if a task started before its parents had finished.
        for line in lines("wfformat", &arguments).await? {
            println!("{}: {line}", kind.as_str());
        }
        let intendant = Intendant::connect(&database.url).await?;
        ensure!(
            intendant.unfinished().await?.total() == 0
                && intendant.invariant_breaches().await?.is_empty(),
            "{}",
            file.display()
        );
        intendant.close().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wfformat_carries_out_recorded_workflows_on_sqlite() -> Result<()> {
    carries_out_what_was_recorded(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wfformat_carries_out_recorded_workflows_on_postgres() -> Result<()> {
    carries_out_what_was_recorded(StoreKind::Postgres).await
}

#[tokio::test]
async fn wfformat_leaves_nothing_behind_unless_it_is_given_a_database() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut wfformat = Command::new(binary::path("wfformat")?);
    let ended = output(
        wfformat
            .args([SURVEY, "--speedup", "50"])
            .env("TMPDIR", directory.path()),
    )
    .await?;
    ensure!(ended.status.success(), "{ended:?}");
    ensure!(std::fs::read_dir(directory.path())?.next().is_none());
    Ok(())
}

#[tokio::test]
async fn wfformat_with_one_slot_takes_one_task_at_a_time() -> Result<()> {
    let report = lines(
        "wfformat",
        &[SURVEY, "--speedup", "50", "--concurrency", "1"],
    )
    .await?;
    // The runtimes add up to 37.75 s.
    ensure!(makespan(&report)? >= 0.755, "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn wfformat_refuses_in_one_line_what_it_cannot_carry_out() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = |name: &str, text: String| -> Result<String> {
        let path = directory.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let survey = std::fs::read_to_string(SURVEY)?;
    let cases = [
        (
            directory.path().join("none.json").display().to_string(),
            "cannot read ",
        ),
        (
            file("notes.txt", "# notes".to_owned())?,
            "not a WfFormat file: expected value at line 1 column 1",
        ),
        (
            file("old.json", survey.replace("\"1.5\"", "\"1.4\""))?,
            "schemaVersion is \"1.4\", expected \"1.5\"",
        ),
        (
            file(
                "parent.json",
                survey.replace(r#""parents": ["report_10"]"#, r#""parents": ["nobody"]"#),
            )?,
            r#"task "archive_02" has an unknown parent "nobody""#,
        ),
        (
            file(
                "cycle.json",
                survey.replace(r#""parents": []"#, r#""parents": ["unpack_12"]"#),
            )?,
            "these tasks wait for each other: fetch_07, unpack_12",
        ),
    ];
    for (path, message) in &cases {
        let (code, said) = refusal(&[path, "--speedup", "50"]).await?;
        ensure!(
            code == Some(2) && said.lines().count() == 1,
            "{code:?} {said}"
        );
        ensure!(
            said.starts_with("wfformat: ")
                && said.contains(path.as_str())
                && said.contains(message),
            "{said}"
        );
    }
    for arguments in [
        &[SURVEY, "--speedup", "0"][..],
        &[SURVEY, "--database-url", "mysql://localhost"],
    ] {
        ensure!(refusal(arguments).await?.0 == Some(2), "{arguments:?}");
    }
    Ok(())
}

#[tokio::test]
async fn hello_says_hello() -> Result<()> {
    ensure!(lines("hello", &[]).await? == ["hello, Ada"]);
    Ok(())
}

#[tokio::test]
async fn sandwich_prints_the_record_and_the_steps() -> Result<()> {
    let lines = lines("sandwich", &[]).await?;
    let expected = [
        "2 of toast with 3 eggs, for ada",
        "sandwich.make succeeded",
        "  for ada, asked for by waiter",
        r#"  input  {"guest":"ada","eggs":3}"#,
        "  exclusive pan:1",
        r#"  slice  succeeded  attempt 1  {"slices":2,"toasted":false}"#,
        r#"  toast  succeeded  attempt 1  {"slices":2,"toasted":true}"#,
        "  fry    succeeded  attempt 2  3",
        "  fry    attempt 1: the pan is cold",
    ];
    for line in expected {
        ensure!(
            lines.iter().any(|printed| printed == line),
            "{line:?} is not in {lines:#?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn invoices_are_children_and_one_that_fails_is_in_the_report() -> Result<()> {
    let lines = lines("invoices", &[]).await?;
    let expected = [
        "3 invoices, 7100 cents; not sent: Edsger: no address",
        "",
        "month.close - succeeded web-request-7",
        "  invoice Ada succeeded web-request-7",
        "  invoice Edsger failed web-request-7",
        "  invoice Grace succeeded web-request-7",
        "    rate.fetch - succeeded web-request-7",
        "  invoice Hedy succeeded web-request-7",
        "  invoice Edsger failed web-request-7",
    ];
    ensure!(lines == expected, "{lines:#?}");
    Ok(())
}

#[tokio::test]
async fn fill_column_leaves_no_row_out_and_fills_none_twice() -> Result<()> {
    let lines = lines("fill_column", &["45000"]).await?;
    let expected = "45000 rows in 5 batches, 0 left over, in ";
    ensure!(
        lines.len() == 1 && lines[0].starts_with(expected),
        "{lines:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn terminate_leaves_nothing_over_whenever_it_comes() -> Result<()> {
    let lines = lines("terminate", &["12"]).await?;
    let rules = lines
        .iter()
        .any(|line| line == "server.provision  supersede    supersede");
    ensure!(rules, "{lines:#?}");
    ensure!(
        lines
            .last()
            .is_some_and(|line| line == "0 servers left over"),
        "{lines:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn support_query_prints_who_got_what_newest_first() -> Result<()> {
    let lines = lines("support_query", &[]).await?;
    let header = lines.iter().position(|line| line.starts_with("customer"));
    let rows: Vec<Vec<&str>> = lines
        .iter()
        .skip(header.map_or(lines.len(), |at| at + 1))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let who_what_state: Vec<_> = rows.iter().map(|row| (row[0], row[2], row[3])).collect();
    let expected = [
        ("Edsger", "database.create", "ready"),
        ("Grace", "database.create", "failed"),
        ("Ada", "database.create", "succeeded"),
    ];
    ensure!(who_what_state == expected, "{lines:#?}");
    ensure!(
        lines
            .iter()
            .any(|line| line.ends_with("there is no image `postgres-71`")),
        "{lines:#?}"
    );
    ensure!(
        lines
            .iter()
            .any(|line| line.ends_with("ada.db.example.org")),
        "{lines:#?}"
    );
    Ok(())
}
