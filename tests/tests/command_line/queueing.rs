//! `intendant queue`: what people see of queues, and do with them.

use anyhow::{Result, ensure};

use crate::{Door, Resize, Via, run, stderr, stdout, with_history};

async fn queues(via: Via) -> Result<()> {
    let (database, ..) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
    let slip = run(door, &["queue", "pause", "defualt"])?;
    ensure!(
        slip.status.code() == Some(3) && stderr(&slip).contains("queue list"),
        "{slip:?}"
    );
    let paused = run(
        door,
        &[
            "queue",
            "pause",
            "default",
            "--by",
            "ada",
            "--reason",
            "the\nprovider is down",
        ],
    )?;
    ensure!(stdout(&paused) == "default is paused\n", "{paused:?}");
    let again = run(door, &["queue", "pause", "default"])?;
    ensure!(stdout(&again) == "default is paused already\n", "{again:?}");
    let intendant = database.connect().await?;
    let waits = intendant
        .request(Resize {
            account: "acme".into(),
            server: 3,
        })
        .await?;
    let list = stdout(&run(door, &["queue", "list"])?);
    ensure!(
        list.contains("paused by ada: the provider is down"),
        "{list}"
    );
    let json = stdout(&run(door, &["queue", "list", "--json"])?);
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(
        json[0]["name"] == "default" && json[0]["ready"] == 1,
        "{json}"
    );
    let why = stdout(&run(door, &["why", &waits.id().to_string()])?);
    ensure!(
        why.contains("queue `default` is paused by ada since "),
        "{why}"
    );
    let resumed = run(door, &["queue", "resume", "default", "--by", "bob"])?;
    ensure!(stdout(&resumed) == "default goes on\n", "{resumed:?}");
    let again = run(door, &["queue", "resume", "default"])?;
    ensure!(stdout(&again) == "default is not paused\n", "{again:?}");
    let limited = run(
        door,
        &["queue", "limit", "default", "--slots", "8", "--by", "ada"],
    )?;
    ensure!(
        stdout(&limited) == "default: no more than 8 of its steps run at once\n",
        "{limited:?}"
    );
    let again = run(door, &["queue", "limit", "default", "--slots", "8"])?;
    ensure!(stdout(&again) == "default: it is so already\n", "{again:?}");
    let list = stdout(&run(door, &["queue", "list"])?);
    ensure!(list.contains("0 of 8"), "{list}");
    let neither = run(door, &["queue", "limit", "default"])?;
    ensure!(neither.status.code() == Some(2), "{neither:?}");
    let zero = run(door, &["queue", "limit", "default", "--slots", "0"])?;
    ensure!(zero.status.code() == Some(2), "{zero:?}");
    let none = run(
        door,
        &["queue", "limit", "default", "--none", "--by", "ada"],
    )?;
    ensure!(
        stdout(&none) == "default has no limit any more\n",
        "{none:?}"
    );
    rates(door)?;
    let changes = stdout(&run(door, &["queue", "changes", "default"])?);
    let lines: Vec<_> = changes.lines().collect();
    ensure!(
        lines.len() == 6
            && lines[0].ends_with("rate by ada")
            && lines[4].ends_with("resume by bob")
            && lines[5].ends_with("pause by ada: the provider is down"),
        "{changes}"
    );
    turns(door)?;
    caps(door)
}

fn caps(door: &Door) -> Result<()> {
    let cap = |more: &[&str]| {
        let args = ["queue", "cap", "default"].iter().chain(more);
        run(door, &args.copied().collect::<Vec<_>>())
    };
    let said = cap(&["--waiting", "1", "--by", "ada"])?;
    let says = "default: it refuses requests while 1 of its tasks are in line\n";
    ensure!(stdout(&said) == says, "{said:?}");
    let again = cap(&["--waiting", "1"])?;
    ensure!(stdout(&again) == "default: it is so already\n", "{again:?}");
    let list = stdout(&run(door, &["queue", "list"])?);
    let line = list.lines().find(|line| line.starts_with("default"));
    ensure!(
        line.is_some_and(|line| line.ends_with(" 1    full")),
        "{list}"
    );
    for slip in [&["--waiting", "0"][..], &[], &["--waiting", "1", "--none"]] {
        let refused = cap(slip)?;
        ensure!(refused.status.code() == Some(2), "{slip:?}: {refused:?}");
    }
    let none = cap(&["--none", "--by", "ada"])?;
    ensure!(stdout(&none) == "default has no cap any more\n", "{none:?}");
    Ok(())
}

fn turns(door: &Door) -> Result<()> {
    let partition = |more: &[&str]| {
        let args = ["queue", "partition", "default"].iter().chain(more);
        run(door, &args.copied().collect::<Vec<_>>())
    };
    let said = partition(&["resource:server", "--at-once", "2", "--by", "ada"])?;
    let says = "default: its tasks take turns by resource:server, no more than 2 of one at once\n";
    ensure!(stdout(&said) == says, "{said:?}");
    let again = partition(&["resource:server", "--at-once", "2"])?;
    ensure!(stdout(&again) == "default: it is so already\n", "{again:?}");
    let list = stdout(&run(door, &["queue", "list"])?);
    ensure!(list.contains("resource:server, 2"), "{list}");
    for slip in [
        &["server"][..],
        &["input:id"],
        &["account", "--at-once", "0"],
        &[],
        &["account", "--none"],
    ] {
        let refused = partition(slip)?;
        ensure!(refused.status.code() == Some(2), "{slip:?}: {refused:?}");
    }
    let none = partition(&["--none", "--by", "ada"])?;
    let says = "default: its tasks take no turns any more\n";
    ensure!(stdout(&none) == says, "{none:?}");
    Ok(())
}

fn rates(door: &Door) -> Result<()> {
    let rate = |more: &[&str]| {
        let args = ["queue", "rate", "default"].iter().chain(more);
        run(door, &args.copied().collect::<Vec<_>>())
    };
    let rated = rate(&["500/h", "--burst", "10", "--by", "ada"])?;
    ensure!(
        stdout(&rated) == "default: no more than 500/h of its steps begin, 10 at once\n",
        "{rated:?}"
    );
    let again = rate(&["500/h", "--burst", "10"])?;
    ensure!(stdout(&again) == "default: it is so already\n", "{again:?}");
    let list = stdout(&run(door, &["queue", "list"])?);
    ensure!(list.contains("500/h"), "{list}");
    let json = stdout(&run(door, &["queue", "list", "--json"])?);
    let json: serde_json::Value = serde_json::from_str(&json)?;
    let said = serde_json::json!({"steps": 500, "period_ms": 3_600_000, "burst": 10});
    ensure!(json[0]["rate"] == said, "{json}");
    for slip in [
        &["fast"][..],
        &["0/s"],
        &[],
        &["1/s", "--none"],
        &["--none", "--burst", "3"],
    ] {
        let refused = rate(slip)?;
        ensure!(refused.status.code() == Some(2), "{slip:?}: {refused:?}");
    }
    let none = rate(&["--none", "--by", "ada"])?;
    ensure!(
        stdout(&none) == "default has no rate any more\n",
        "{none:?}"
    );
    Ok(())
}

#[tokio::test]
async fn people_see_and_pause_queues_on_sqlite() -> Result<()> {
    queues(Via::Sqlite).await
}

#[tokio::test]
async fn people_see_and_pause_queues_on_postgres() -> Result<()> {
    queues(Via::Postgres).await
}

#[tokio::test]
async fn people_see_and_pause_queues_at_a_server() -> Result<()> {
    queues(Via::Server).await
}
