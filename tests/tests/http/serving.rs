//! `intendant serve`, as a process.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use intendant::StoreKind;
use intendant_tests::binary;
use intendant_tests::database::Database;
use intendant_tests::serving::Serving;

fn run(url: &str, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary::path("intendant")?);
    Ok(command
        .args(words)
        .args(["--database-url", url])
        .env("USER", "ada")
        .output()?)
}

async fn serves(kind: StoreKind) -> Result<()> {
    let (database, _engine) = Database::open(kind).await?;
    let url = database.url.as_str();
    let outside = run(url, &["serve", "--listen", "0.0.0.0:0"])?;
    let said = String::from_utf8(outside.stderr)?;
    ensure!(
        outside.status.code() == Some(2) && said.contains("--behind-proxy"),
        "{said}"
    );
    let outside = run(url, &["serve", "--listen", "0.0.0.0:0", "--behind-proxy"])?;
    let said = String::from_utf8(outside.stderr)?;
    ensure!(
        outside.status.code() == Some(2) && said.contains("there is no token"),
        "{said}"
    );

    // Nor where others reach it by a proxy or a name of its own.
    for options in [&["--behind-proxy"][..], &["--host", "ops.example.com"]] {
        let words = [&["serve", "--listen", "127.0.0.1:0"], options].concat();
        let reached = run(url, &words)?;
        let said = String::from_utf8(reached.stderr)?;
        ensure!(
            reached.status.code() == Some(2) && said.contains("there is no token"),
            "{said}"
        );
    }

    // Without any token it is open to its own machine, by its own names.
    let open = Serving::start(url)?;
    ensure!(
        open.before
            .contains("whoever is on this machine may do everything"),
        "{}",
        open.before
    );
    let local = format!("Host: {}\r\n", open.address);
    let said = open.ask("/api/v1/intents", &local)?;
    ensure!(said.starts_with("HTTP/1.1 200"), "{said}");
    let said = open.ask("/api/v1/intents", "Host: evil.example\r\n")?;
    ensure!(said.starts_with("HTTP/1.1 421"), "{said}");
    let garbage = format!("{local}Authorization: Bearer garbage\r\n");
    let said = open.ask("/api/v1/intents", &garbage)?;
    ensure!(said.starts_with("HTTP/1.1 401"), "{said}");

    let made = run(
        url,
        &[
            "token",
            "create",
            "dashboard",
            "--scope",
            "viewer",
            "--expires",
            "1h",
        ],
    )?;
    let token = String::from_utf8(made.stdout)?.trim().to_owned();
    ensure!(
        token.starts_with("intendant_") && token.len() > 100 - 4,
        "{token}"
    );
    // From then on it is not open any more.
    let said = open.ask("/api/v1/intents", &local)?;
    ensure!(said.starts_with("HTTP/1.1 401"), "{said}");
    drop(open);
    let listed = String::from_utf8(run(url, &["token", "list"])?.stdout)?;
    ensure!(
        listed.contains("dashboard  viewer") && listed.contains("expires in"),
        "{listed}"
    );
    ensure!(
        !listed.contains(token.split_once('.').context("a secret")?.1),
        "{listed}"
    );

    let mut serving = Serving::start(url)?;
    let local = format!("Host: {}\r\n", serving.address);
    let said = serving.ask("/api/v1/intents", &local)?;
    ensure!(
        said.starts_with("HTTP/1.1 401") && said.contains("problem+json"),
        "{said}"
    );
    let with_token = format!("{local}Authorization: Bearer {token}\r\n");
    let said = serving.ask("/api/v1/intents", &with_token)?;
    ensure!(said.starts_with("HTTP/1.1 200"), "{said}");
    ensure!(serving.ask("/livez", &local)?.starts_with("HTTP/1.1 200"));

    // It drains: a live stream ends, and then the process.
    let mut live = serving.connect()?;
    write!(
        live,
        "GET /api/v1/intents/stream HTTP/1.1\r\n{with_token}\r\n"
    )?;
    let mut first = [0; 12];
    live.read_exact(&mut first)?;
    ensure!(&first == b"HTTP/1.1 200");
    let (mut told, mut byte) = (Vec::new(), [0]);
    while !told.ends_with(b"event: page") {
        live.read_exact(&mut byte)?;
        told.extend(byte);
    }
    let kill = Command::new("kill")
        .arg(serving.child.id().to_string())
        .status()?;
    ensure!(kill.success());
    let mut rest = String::new();
    live.read_to_string(&mut rest)?;
    ensure!(
        rest.ends_with("0\r\n\r\n"),
        "it is not ended in order: {rest}"
    );
    let ended = serving.child.wait()?;
    ensure!(ended.success(), "{ended:?}");
    let mut said = String::new();
    serving.said.read_to_string(&mut said)?;
    ensure!(said.contains("draining"), "{said}");

    let revoke = listed
        .lines()
        .last()
        .and_then(|line| line.split_whitespace().next());
    let revoked = run(url, &["token", "revoke", revoke.context("an id")?])?;
    ensure!(revoked.status.success(), "{revoked:?}");
    // That the only token is revoked opens nothing.
    let serving = Serving::start(url)?;
    let local = format!("Host: {}\r\n", serving.address);
    for headers in [
        local.clone(),
        format!("{local}Authorization: Bearer {token}\r\n"),
    ] {
        let said = serving.ask("/api/v1/intents", &headers)?;
        ensure!(said.starts_with("HTTP/1.1 401"), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_who_has_a_token_and_drains_on_sqlite() -> Result<()> {
    serves(StoreKind::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_who_has_a_token_and_drains_on_postgres() -> Result<()> {
    serves(StoreKind::Postgres).await
}

#[test]
fn the_document_is_printed() -> Result<()> {
    let output = Command::new(binary::path("intendant")?)
        .arg("openapi")
        .output()?;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(document["openapi"] == "3.1.0" && document["paths"]["/api/v1/intents"].is_object());
    Ok(())
}
