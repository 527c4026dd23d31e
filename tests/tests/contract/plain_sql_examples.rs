//! The examples of docs/SQL.md, run as they stand there: from psql, from triggers of a user's own tables, from Python.
//! And what a role needs that is to ask, and that the engine's functions are not led astray.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use intendant::{Cx, Intendant, Intent, IntentFilter, IntentState, StepResult, StoreKind};
use intendant_tests::{postgres, python};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use std::io::Write as _;
use std::time::Duration;

use crate::asking::{Call, Client};
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    the_manuals_examples_run_as_they_are_printed;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Resize {
    server: u64,
    cores: u32,
}

impl Intent for Resize {
    const KIND: &'static str = "server.resize";
    type Output = u32;
}

async fn resize(cx: Cx<Counter>, resize: Resize) -> StepResult<u32> {
    cx.state().add();
    Ok(resize.cores)
}

/// The examples of the manual that are to be run by this program, in their order.
fn examples(program: &str) -> Result<Vec<String>> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SQL.md");
    let manual = std::fs::read_to_string(manual)?;
    let mark = format!("<!-- run: {program} -->\n```");
    let mut found = Vec::new();
    for part in manual.split(&mark).skip(1) {
        let (_, code) = part.split_once('\n').context("a language")?;
        let (code, _) = code.split_once("\n```").context("an end")?;
        found.push(format!("{code}\n"));
    }
    ensure!(!found.is_empty(), "no example is marked `run: {program}`");
    Ok(found)
}

/// Runs a program on this input; its output, if it succeeds.
fn run(mut command: Command, input: &str) -> Result<String> {
    let name = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .context(name.clone())?;
    child
        .stdin
        .take()
        .context("its input")?
        .write_all(input.as_bytes())?;
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{name}: {status}: {said}");
    Ok(String::from_utf8(stdout)?)
}

fn psql(url: &str) -> Command {
    let found = postgres::client_binaries().map_or_else(|| "psql".into(), |bin| bin.join("psql"));
    let mut psql = Command::new(found);
    psql.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        "-",
        url,
    ]);
    psql
}

async fn the_manuals_examples_run_as_they_are_printed(bench: Bench) -> Result<()> {
    let resized = Counter::default();
    let worker = start(bench.worker(resized.clone()).register_step(resize));
    let (examples, url) = match bench.database.kind {
        StoreKind::Postgres => (examples("psql")?, bench.database.url.clone()),
        StoreKind::Sqlite => (examples("sqlite")?, bench.database.url.clone()),
    };
    // Roles are the whole server's, and other tests run on it.
    let role = format!("web_{}", uuid::Uuid::new_v4().simple());
    for example in &examples {
        match bench.database.kind {
            StoreKind::Postgres => {
                let example = example.replace("role web", &format!("role {role}"));
                let example = example.replace("to web", &format!("to {role}"));
                let said = run(psql(&url), &example)?;
                println!("{said}");
            }
            StoreKind::Sqlite => Client::connect(&bench).await?.run(example).await?,
        }
    }
    let mut expected = vec![
        (Some("order-1"), 8),
        (Some("order-2"), 16),
        (Some("order-3"), 4),
    ];
    let said = in_python(&bench)?;
    ensure!(
        bench.intendant.get(said.trim().parse()?).await.is_ok(),
        "{said}"
    );
    expected.push((Some("order-4"), 2));
    if bench.database.kind == StoreKind::Postgres {
        ask_as(&bench, &role).await?;
        expected.push((None, 1));
    }
    let all = bench.intendant.list(IntentFilter::default()).await?;
    ensure!(all.len() == expected.len(), "{all:#?}");
    for (record, (key, cores)) in all.iter().rev().zip(expected) {
        let record = bench.rest(record.id).await?;
        ensure!(record.state == IntentState::Succeeded, "{record:?}");
        let output = record.output.as_ref().map(|json| json.get().to_owned());
        ensure!(output == Some(cores.to_string()), "{record:?}");
        let Some(key) = key else { continue };
        ensure!(record.account.as_deref() == Some("acme"), "{record:?}");
        let theirs = format!("select count(*) from @key where key = '{key}' and account = 'acme'");
        ensure!(bench.number(&theirs).await? == 1, "{key}");
    }
    ensure!(resized.get() == all.len() as u64);
    worker.stop().await?;
    bench.check().await
}

/// Runs the example for Python: as it is, where the file is called as it says; or for the database of this test.
fn in_python(bench: &Bench) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let (mark, python) = match bench.database.kind {
        StoreKind::Sqlite => {
            let file = bench.database.file().context("a file")?;
            let there: PathBuf = directory.path().join("app.db");
            std::os::unix::fs::symlink(file, &there)?;
            ("python", python::path()?)
        }
        StoreKind::Postgres => ("psycopg", python::with_psycopg()?),
    };
    let mut said = String::new();
    for example in examples(mark)? {
        let example = example.replace("postgres://localhost/app", &bench.database.url);
        let mut python = Command::new(&python);
        python.arg("-").current_dir(directory.path());
        said += &run(python, &example)?;
    }
    Ok(said)
}

/// Asks as a role that may do nothing else, with a search path that leads astray.
async fn ask_as(bench: &Bench, role: &str) -> Result<()> {
    let mut client = Client::connect(bench).await?;
    client
        .run(
            "create schema evil;
             create function evil.gen_random_uuid() returns uuid language sql as $$ select null::uuid $$;
             create function evil.length(text) returns integer language sql as $$ select 0 $$;
             create function evil.clock_timestamp() returns timestamptz language sql as $$ select null::timestamptz $$;
             create function evil.pg_notify(text, text) returns void language sql as $$ select 1 / 0 $$;",
        )
        .await?;
    let become_it = format!(
        "grant usage on schema evil to {role}; set role {role}; set search_path = evil, pg_catalog"
    );
    client.run(&become_it).await?;
    let call = Call {
        key: Some("as-a-role".into()),
        ..Call::new("server.resize")
    };
    let call = call
        .input(r#"{"server": 1, "cores": 1}"#)
        .resources(&["exclusive:server:1"]);
    let asked = client.ask(&call).await.map_err(anyhow::Error::msg)?;
    let again = client.ask(&call).await.map_err(anyhow::Error::msg)?;
    ensure!(asked == again);
    let later = Call {
        run_at: Some("2001-01-01T00:00:00Z".into()),
        ..call.clone()
    };
    ensure!(client.ask(&later).await == Ok(asked));
    for forbidden in [
        "delete from intendant.intent",
        "select * from intendant.session",
        "select * from intendant.outcome",
    ] {
        ensure!(client.run(forbidden).await.is_err(), "{forbidden}");
    }
    client.run("reset role; reset search_path").await?;
    client
        .run(&format!("drop owned by {role}; drop role {role}"))
        .await?;
    client.close().await
}

/// PostgreSQL only: on SQLite a worker sees by itself that the file has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_transaction_notifies_once_and_only_if_somebody_is_idle() -> Result<()> {
    let bench = Bench::open(StoreKind::Postgres).await?;
    let mut listener = PgListener::connect(&bench.database.url).await?;
    listener.listen_all(["intendant", "end"]).await?;
    let mut client = Client::connect(&bench).await?;
    let mut three = async |mark: &str| -> Result<Vec<String>> {
        client.run("begin").await?;
        for _ in 0..3 {
            client
                .ask(&Call::new("nobodys"))
                .await
                .map_err(anyhow::Error::msg)?;
        }
        client
            .run(&format!("commit; notify \"end\", '{mark}'"))
            .await?;
        let mut heard = Vec::new();
        loop {
            let notification =
                tokio::time::timeout(Duration::from_secs(20), listener.recv()).await??;
            if (notification.channel(), notification.payload()) == ("end", mark) {
                return Ok(heard);
            }
            heard.push(notification.channel().to_owned());
        }
    };
    ensure!(three("no worker").await?.is_empty());
    let elsewhere = Intendant::connect(&bench.database.url).await?;
    let worker = intendant::Worker::new(&elsewhere, Counter::default()).register_step(resize);
    let worker = start(worker);
    let free = || async {
        let free = bench
            .number("select count(*) from @session where free > 0")
            .await?;
        Ok((free == 1).then_some(()))
    };
    bench.until(free).await?;
    ensure!(three("idle").await? == ["intendant"]);
    bench.run_sql("update @session set free = 0").await?;
    let busy = three("busy").await?;
    // A heartbeat may have said meanwhile that it is idle.
    ensure!(busy.len() <= 1, "{busy:?}");
    worker.stop().await?;
    ensure!(three("stopped").await?.is_empty());
    bench.check().await
}
