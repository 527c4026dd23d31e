//! Asking by name: secrets, and the caller's trace.

use std::process::Command;

use anyhow::{Result, ensure};
use intendant::schemars::{self, JsonSchema};
use intendant::{
    About, Cx, Intendant, Intent, Secret, SecretKey, StepResult, StoreKind, StoreOptions, Worker,
};
use intendant_tests::binary;
use intendant_tests::database::Database;
use serde::{Deserialize, Serialize};

use crate::{run, stdout};

const PASSWORD: &str = "correct-horse-battery";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Serialize, Deserialize, JsonSchema)]
struct Enrol {
    password: Secret<String>,
}

impl Intent for Enrol {
    const KIND: &'static str = "enrol";
    type Output = usize;
    fn about() -> About {
        About::new("Enrols a server").schema::<Self>()
    }
}

async fn enrol(_: Cx<()>, intent: Enrol) -> StepResult<usize> {
    Ok(intent.password.expose().len())
}

/// Whoever asks seals with the first key of the file; a worker with that key opens.
async fn a_secret_is_sealed_with_the_keys_of_a_file(store: StoreKind) -> Result<()> {
    let database = Database::new(store).await?;
    let (key, older) = (SecretKey::new([7; 32]), SecretKey::new([8; 32]));
    let options = StoreOptions {
        secret_keys: vec![key.clone()],
        ..StoreOptions::new(&database.url)
    };
    let intendant = Intendant::open(options).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).register_step(enrol);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let hex = |key: u8| format!("{key:02x}").repeat(32);
    let directory = tempfile::tempdir()?;
    let keys = directory.path().join("keys");
    std::fs::write(&keys, format!("{}\n{}\n", hex(7), hex(8)))?;
    let input = format!(r#"{{"password":"{PASSWORD}"}}"#);
    let keys = keys.display().to_string();
    // Until the worker has said what there is, nobody knows that the field is secret.
    while intendant.kinds(None).await?.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let ask = async |by_option: bool| -> Result<String> {
        let mut command = Command::new(binary::path("intendant")?);
        let words = ["request", "enrol", "--input", &input, "--wait", "-o", "id"];
        command.args(words).args(["--database-url", &database.url]);
        match by_option {
            true => command.args(["--secret-keys-file", &keys]),
            false => command.env("INTENDANT_SECRET_KEYS_FILE", &keys),
        };
        command.env("TRACEPARENT", TRACE);
        // The worker goes on meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(output.status.success(), "{output:?}");
        Ok(stdout(&output)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned())
    };
    for by_option in [true, false] {
        let id = ask(by_option).await?;
        let shown = stdout(&run(&database.url, &["show", &id, "-o", "json"])?);
        let json: serde_json::Value = serde_json::from_str(&shown)?;
        ensure!(json["intent"]["output"] == PASSWORD.len(), "{shown}");
        ensure!(json["intent"]["traceparent"] == TRACE, "{shown}");
        let sealed = json["intent"]["input"]["password"]["$secret"].as_str();
        let sealed_with = |key: &SecretKey| {
            let begins = format!("intendant:v1:{}:", key.id());
            sealed.is_some_and(|sealed| sealed.starts_with(&begins))
        };
        ensure!(sealed_with(&key) && !sealed_with(&older), "{shown}");
        ensure!(!shown.contains(PASSWORD), "{shown}");
    }
    stop.send(()).ok();
    worker.await??;
    Ok(())
}

#[tokio::test]
async fn a_secret_is_sealed_with_the_keys_of_a_file_on_sqlite() -> Result<()> {
    a_secret_is_sealed_with_the_keys_of_a_file(StoreKind::Sqlite).await
}

#[tokio::test]
async fn a_secret_is_sealed_with_the_keys_of_a_file_on_postgres() -> Result<()> {
    a_secret_is_sealed_with_the_keys_of_a_file(StoreKind::Postgres).await
}
