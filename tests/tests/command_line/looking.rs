//! What one looks for, why it waits, and how its plan is drawn.

use anyhow::{Context, Result, ensure};
use intendant::{Cx, Progress, StepLogs, StepResult, StoreKind, Worker, fail};
use intendant_tests::database::Database;
use tracing_subscriber::prelude::*;

use crate::{Resize, Via, run, stderr, stdout, with_history};

async fn searches_history(via: Via) -> Result<()> {
    let (database, good, bad) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
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
        let output = run(door, &words)?;
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
    let terms = r#"by=ada state=failed since=1h error="no such server""#;
    ensure!(found(&["--where", terms])? == [bad.as_str()]);
    ensure!(found(&["--where", "kind=server.resize", "--state", "succeeded"])? == [good.as_str()]);
    let wrong = run(door, &["list", "--where", "kid=server.resize"])?;
    ensure!(
        wrong.status.code() == Some(2)
            && stderr(&wrong).contains("there is no `kid`; expected account, kind"),
        "{wrong:?}"
    );
    let wrong = run(door, &["list", "--since", "yesterday"])?;
    ensure!(
        wrong.status.code() == Some(2) && stderr(&wrong).contains("or how long ago as in `90s`"),
        "{wrong:?}"
    );
    let none = run(door, &["history", "--account", "acme", "--by", "nobody"])?;
    ensure!(
        none.status.success() && none.stdout.is_empty() && stderr(&none) == "no such ones\n",
        "{none:?}"
    );
    let show = stdout(&run(door, &["show", &labelled])?);
    ensure!(
        show.contains("  label        team=billing\n") && show.contains("  correlation  web-7\n"),
        "{show}"
    );
    Ok(())
}

#[tokio::test]
async fn history_is_searched_on_sqlite() -> Result<()> {
    searches_history(Via::Sqlite).await
}

#[tokio::test]
async fn history_is_searched_on_postgres() -> Result<()> {
    searches_history(Via::Postgres).await
}

#[tokio::test]
async fn history_is_searched_at_a_server() -> Result<()> {
    searches_history(Via::Server).await
}

async fn tells_why(via: Via) -> Result<()> {
    let (database, intendant) = Database::open(via.store()).await?;
    let door = &via.door(&database).await?;
    let resize = Resize {
        account: "acme".into(),
        server: 1,
    };
    let id = intendant.request(resize).await?.id().to_string();
    let why = stdout(&run(door, &["why", &id])?);
    ensure!(
        why == format!(
            "{id}  server.resize  ready\n  no live worker serves queue `default`\n  next in line for a worker of queue \
             `default` that knows `server.resize`\n"
        ),
        "{why}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(door, &["why", &id, "-o", "json"])?.stdout)?;
    ensure!(
        json["reasons"][0]["reason"] == "no_worker" && json["reasons"][0]["queue"] == "default",
        "{json:#}"
    );
    // What is unfinished says why when it is shown.
    let show = stdout(&run(door, &["show", &id])?);
    ensure!(
        show.contains("  why          no live worker serves queue `default`\n"),
        "{show}"
    );
    let nobody = run(door, &["why", "01890000-0000-7000-8000-000000000000"])?;
    ensure!(nobody.status.code() == Some(3), "{nobody:?}");
    let no_plan = run(door, &["show", &id, "--graph", "dot"])?;
    ensure!(
        no_plan.status.code() == Some(3) && stderr(&no_plan).contains("no worker has made it"),
        "{no_plan:?}"
    );
    Ok(())
}

#[tokio::test]
async fn why_is_told_on_sqlite() -> Result<()> {
    tells_why(Via::Sqlite).await
}

#[tokio::test]
async fn why_is_told_on_postgres() -> Result<()> {
    tells_why(Via::Postgres).await
}

#[tokio::test]
async fn why_is_told_at_a_server() -> Result<()> {
    tells_why(Via::Server).await
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
    let svg = drawn(&bad, "svg")?;
    ensure!(
        svg.starts_with("<svg xmlns=") && svg.contains("b-failed") && svg.contains(">run<"),
        "{svg}"
    );
    Ok(())
}

async fn tells_what_steps_logged(via: Via) -> Result<()> {
    async fn resize(cx: Cx<()>, resize: Resize) -> StepResult<u64> {
        tracing::info!(server = resize.server, "resizing\u{1b}[2J");
        cx.measure("cores", 4.0);
        cx.progress(Progress::of(1, 2).saying("cores"));
        Err(fail("no room"))
    }
    let (database, intendant) = Database::open(via.store()).await?;
    let door = &via.door(&database).await?;
    let logged = intendant.request(Resize {
        account: "acme".into(),
        server: 7,
    });
    let id = logged.await?.id();
    tracing_subscriber::registry()
        .with(StepLogs::new())
        .try_init()
        .ok();
    let worker = Worker::new(&intendant, ()).name("w").register_step(resize);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run(async { drop(stopped.await) }));
    while !intendant.state(id).await?.is_finished() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(stop);
    worker.await??;
    let id = id.to_string();
    let logs = stdout(&run(door, &["logs", &id])?);
    ensure!(
        logs.starts_with("`run`, attempt 1, ended ") && logs.contains(" on w\n"),
        "{logs}"
    );
    // What a step logs moves no terminal's cursor.
    ensure!(
        logs.contains("INFO  ") && logs.ends_with(": resizing [2J server=7\n"),
        "{logs}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(door, &["logs", &id, "--step", "run", "-o", "json"])?.stdout)?;
    ensure!(
        json[0]["lines"][0]["level"] == "INFO" && json[0]["cut_lines"] == 0,
        "{json:#}"
    );
    let none = run(door, &["logs", &id, "--step", "other"])?;
    ensure!(
        none.status.success()
            && none.stdout.is_empty()
            && stderr(&none).starts_with("nothing was logged"),
        "{none:?}"
    );
    let show = stdout(&run(door, &["show", &id])?);
    ensure!(
        show.contains("  attempt 1 at `run`: cores = 4\n")
            && show.contains("  attempt 1 at `run`: 1 line\n"),
        "{show}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run(door, &["show", &id, "-o", "json"])?.stdout)?;
    ensure!(json["measurements"][0]["value"] == 4.0, "{json:#}");
    ensure!(
        json["steps"][0]["progress"]["message"] == "cores",
        "{json:#}"
    );
    let nobody = run(door, &["logs", "01890000-0000-7000-8000-000000000000"])?;
    ensure!(nobody.status.code() == Some(3), "{nobody:?}");
    Ok(())
}

#[tokio::test]
async fn logs_are_told_on_sqlite() -> Result<()> {
    tells_what_steps_logged(Via::Sqlite).await
}

#[tokio::test]
async fn logs_are_told_on_postgres() -> Result<()> {
    tells_what_steps_logged(Via::Postgres).await
}

#[tokio::test]
async fn logs_are_told_at_a_server() -> Result<()> {
    tells_what_steps_logged(Via::Server).await
}
