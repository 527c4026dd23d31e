//! `intendant retention`: what people say of how long things are kept, and see of what was removed.

use anyhow::{Result, ensure};

use crate::{Via, run, stderr, stdout, with_history};

async fn retention(via: Via) -> Result<()> {
    let (database, ..) = with_history(via.store()).await?;
    let door = &via.door(&database).await?;
    let none = run(door, &["retention", "list"])?;
    ensure!(stderr(&none).contains("everything is kept"), "{none:?}");
    let set = [
        "retention",
        "set",
        "succeeded",
        "--rows",
        "30d",
        "--payloads",
        "7d",
        "--by",
        "ada",
        "--reason",
        "the disk",
    ];
    let said = run(door, &set)?;
    ensure!(stdout(&said) == "said; it counts from now on\n", "{said:?}");
    let again = run(door, &set)?;
    ensure!(stdout(&again) == "it is so already\n", "{again:?}");
    let of_kind = [
        "retention",
        "set",
        "failed",
        "--kind",
        "server.resize",
        "--for-ever",
        "--by",
        "bob",
    ];
    ensure!(run(door, &of_kind)?.status.success());
    let list = stdout(&run(door, &["retention", "list"])?);
    ensure!(
        list.contains("30 d") && list.contains("7 d") && list.contains("ada: the disk"),
        "{list}"
    );
    ensure!(
        list.contains("server.resize") && list.contains("for ever"),
        "{list}"
    );
    let json = stdout(&run(door, &["retention", "list", "--json"])?);
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(
        json[0]["rows_s"] == 2_592_000 && json[0]["said"] == "person",
        "{json}"
    );
    for wrong in [
        &["retention", "set", "succeeded"][..],
        &[
            "retention",
            "set",
            "succeeded",
            "--rows",
            "30d",
            "--for-ever",
        ],
        &["retention", "set", "running", "--rows", "30d"],
        &["retention", "set", "failed", "--rows", "5m"],
        &[
            "retention",
            "set",
            "failed",
            "--rows",
            "1d",
            "--payloads",
            "2d",
        ],
    ] {
        let refused = run(door, wrong)?;
        ensure!(!refused.status.success(), "{wrong:?}: {refused:?}");
    }
    let ran = run(database.url.as_str(), &["retention", "run"])?;
    ensure!(
        stdout(&ran) == "removed 0 intents, and the payloads of 0\n",
        "{ran:?}"
    );
    for nothing in ["removed", "kept"] {
        let nothing = run(door, &["retention", nothing])?;
        ensure!(
            nothing.status.success() && stderr(&nothing).contains("noth"),
            "{nothing:?}"
        );
    }
    let changes = stdout(&run(door, &["retention", "changes"])?);
    ensure!(
        changes.contains("retain succeeded") && changes.contains("the disk"),
        "{changes}"
    );
    let unset = run(door, &["retention", "unset", "succeeded", "--by", "ada"])?;
    ensure!(
        stdout(&unset) == "what the code declares counts again\n",
        "{unset:?}"
    );
    let again = run(door, &["retention", "unset", "succeeded"])?;
    ensure!(
        stdout(&again) == "nobody has said anything of that\n",
        "{again:?}"
    );
    Ok(())
}

#[tokio::test]
async fn people_say_how_long_things_are_kept_on_sqlite() -> Result<()> {
    retention(Via::Sqlite).await
}

#[tokio::test]
async fn people_say_how_long_things_are_kept_on_postgres() -> Result<()> {
    retention(Via::Postgres).await
}

#[tokio::test]
async fn people_say_how_long_things_are_kept_at_a_server() -> Result<()> {
    retention(Via::Server).await
}
