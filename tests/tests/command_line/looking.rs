//! What one looks for, why it waits, and how its plan is drawn.

use anyhow::{Context, Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;

use crate::{Resize, run, stderr, stdout, with_history};

async fn searches_history(kind: StoreKind) -> Result<()> {
    let (database, good, bad) = with_history(kind).await?;
    let url = database.url.as_str();
    let labelled = database
        .connect()
        .await?
        .request(Resize {
            account: "acme".into(),
            server: 3,
        })
        .label("team", "billing")
        .correlation_id("web-7")
        .await?
        .id()
        .to_string();
    let found = |options: &[&str]| -> Result<Vec<String>> {
        let words: Vec<_> = ["list", "-o", "id"]
            .iter()
            .chain(options)
            .copied()
            .collect();
        let output = run(url, &words)?;
        ensure!(output.status.success(), "{output:?}");
        Ok(stdout(&output).lines().map(str::to_owned).collect())
    };
    ensure!(found(&["--by", "ada"])? == [bad.as_str(), good.as_str()]);
    ensure!(found(&["--by", "ada", "--state", "succeeded"])? == [good.as_str()]);
    ensure!(found(&["--label", "team=billing"])? == [labelled.as_str()]);
    ensure!(found(&["--correlation-id", "web-7"])? == [labelled.as_str()]);
    ensure!(found(&["--error", "No Such SERVER"])? == [bad.as_str()]);
    ensure!(found(&["--since", "1h", "--kind", "server.resize"])?.len() == 3);
    ensure!(found(&["--until", "2020-01-01"])?.is_empty());
    ensure!(found(&["--finished-since", "1h", "--state", "failed"])? == [bad.as_str()]);
    ensure!(found(&["--after", &good])? == [labelled.as_str(), bad.as_str()]);
    let wrong = run(url, &["list", "--since", "yesterday"])?;
    ensure!(
        wrong.status.code() == Some(2) && stderr(&wrong).contains("or how long ago as in `90s`"),
        "{wrong:?}"
    );
    let none = run(url, &["history", "--account", "acme", "--by", "nobody"])?;
    ensure!(
        none.status.success() && none.stdout.is_empty() && stderr(&none) == "no such ones\n",
        "{none:?}"
    );
    let show = stdout(&run(url, &["show", &labelled])?);
    ensure!(
        show.contains("  label        team=billing\n") && show.contains("  correlation  web-7\n"),
        "{show}"
    );
    Ok(())
}

#[tokio::test]
async fn history_is_searched_on_sqlite() -> Result<()> {
    searches_history(StoreKind::Sqlite).await
}

#[tokio::test]
async fn history_is_searched_on_postgres() -> Result<()> {
    searches_history(StoreKind::Postgres).await
}

async fn tells_why(kind: StoreKind) -> Result<()> {
    let (database, intendant) = Database::open(kind).await?;
    let url = database.url.as_str();
    let resize = Resize {
        account: "acme".into(),
        server: 1,
    };
    let id = intendant.request(resize).await?.id().to_string();
    let why = stdout(&run(url, &["why", &id])?);
    ensure!(
        why == format!(
            "{id}  server.resize  ready\n  no live worker serves queue `default`\n  next in line for a worker of queue \
             `default` that knows `server.resize`\n"
        ),
        "{why}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(url, &["why", &id, "-o", "json"])?.stdout)?;
    ensure!(
        json["reasons"][0]["reason"] == "no_worker" && json["reasons"][0]["queue"] == "default",
        "{json:#}"
    );
    // What is unfinished says why when it is shown.
    let show = stdout(&run(url, &["show", &id])?);
    ensure!(
        show.contains("  why          no live worker serves queue `default`\n"),
        "{show}"
    );
    let nobody = run(url, &["why", "01890000-0000-7000-8000-000000000000"])?;
    ensure!(nobody.status.code() == Some(3), "{nobody:?}");
    let no_plan = run(url, &["show", &id, "--graph", "dot"])?;
    ensure!(
        no_plan.status.code() == Some(3) && stderr(&no_plan).contains("no worker has made it"),
        "{no_plan:?}"
    );
    Ok(())
}

#[tokio::test]
async fn why_is_told_on_sqlite() -> Result<()> {
    tells_why(StoreKind::Sqlite).await
}

#[tokio::test]
async fn why_is_told_on_postgres() -> Result<()> {
    tells_why(StoreKind::Postgres).await
}

#[tokio::test]
async fn a_plan_is_drawn() -> Result<()> {
    let (database, good, bad) = with_history(StoreKind::Sqlite).await?;
    let url = database.url.as_str();
    let drawn = |id: &str, drawing: &str| -> Result<String> {
        let output = run(url, &["show", id, "--graph", drawing])?;
        ensure!(output.status.success(), "{output:?}");
        Ok(stdout(&output))
    };
    let text = drawn(&good, "text")?;
    ensure!(
        text == "run  succeeded  (its output is the intent's)\n",
        "{text}"
    );
    let dot = drawn(&bad, "dot")?;
    let label = r#"  "run" [label="run\nfailed", peripheries=2];"#;
    ensure!(dot.lines().any(|line| line == label), "{dot}");
    let mermaid = drawn(&bad, "mermaid")?;
    let last = mermaid.lines().last().context("a line")?;
    ensure!(last == r#"  s0(["run<br>failed"])"#, "{mermaid}");
    Ok(())
}
