//! A user's own program as the command line (`fleet`, of the examples), and the binary that has no code of theirs.

use std::process::{Command, Output, Stdio};

use anyhow::{Result, ensure};
use expect_test::{Expect, expect};
use intendant::{Intendant, StoreKind};
use intendant_tests::binary;
use intendant_tests::database::Database;

use crate::{run, stderr, stdout};

const INPUT: &str = r#"{"account":"acme","server":42,"cores":8}"#;

/// The program, on a database and with a directory of its own.
struct Fleet {
    database: Database,
    directory: tempfile::TempDir,
}

impl Fleet {
    async fn new(kind: StoreKind) -> Result<(Self, Intendant)> {
        let (database, intendant) = Database::open(kind).await?;
        let directory = tempfile::tempdir()?;
        let fleet = Self {
            database,
            directory,
        };
        Ok((fleet, intendant))
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary::path("fleet")?);
        command
            .args(words)
            .args(["--database-url", &self.database.url])
            .env("FLEET_DIRECTORY", self.directory.path())
            .env("RUST_BACKTRACE", "0")
            .env("RUST_LOG", "warn")
            .env("USER", "ada");
        Ok(command)
    }

    fn run(&self, words: &[&str]) -> Result<Output> {
        Ok(self.command(words)?.output()?)
    }

    /// Asks for something and waits, while the program's own worker runs.
    fn with_worker(&self, words: &[&str]) -> Result<(Output, Output, Output)> {
        let mut worker = self.command(&["worker", "--name", "one", "--concurrency", "2"])?;
        let worker = worker
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let asked = self.run(words)?;
        let listed = self.run(&["worker", "list"])?;
        let kill = Command::new("kill").arg(worker.id().to_string()).status()?;
        ensure!(kill.success(), "the worker has ended by itself");
        Ok((asked, listed, worker.wait_with_output()?))
    }
}

fn check(expected: &Expect, output: &Output) {
    let code = output.status.code().unwrap_or(-1);
    expected.assert_eq(&format!("{}{}({code})\n", stdout(output), stderr(output)));
}

async fn plans(kind: StoreKind) -> Result<()> {
    let (fleet, intendant) = Fleet::new(kind).await?;
    check(
        &expect![[r#"
            server.resize for acme, in queue `default`

            plan
              stop
              set    after stop
              start  after stop, set  (its output is the intent's)

            resources
              server:42 (exclusive): free
              rack:7 (shared): free

            now
              no live worker serves queue `default`

            limits
              3 of 10000 steps
              3 of 1000 steps one after the other
              2 of 100 resources
              40 of 1048576 bytes of input
            (0)
        "#]],
        &fleet.run(&[
            "plan",
            "server.resize",
            "--input",
            INPUT,
            "--resource",
            "shared:rack:7",
        ])?,
    );
    check(
        &expect![[r#"
            flowchart LR
              s0["stop"]
              s1["set"]
              s2(["start"])
              s0 --> s1
              s0 --> s2
              s1 --> s2
            (0)
        "#]],
        &fleet.run(&[
            "plan",
            "server.resize",
            "--input",
            INPUT,
            "--graph",
            "mermaid",
        ])?,
    );
    let dot = stdout(&fleet.run(&["plan", "server.resize", "--input", INPUT, "--graph", "dot"])?);
    ensure!(dot.starts_with("digraph"), "{dot}");
    let svg = stdout(&fleet.run(&["plan", "server.resize", "--input", INPUT, "--graph", "svg"])?);
    ensure!(
        svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
        "{svg}"
    );
    let json = fleet.run(&["plan", "server.resize", "--input", INPUT, "--json"])?;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    ensure!(json["resources"][0]["resource"] == "server:42", "{json}");
    check(
        &expect![[r#"
            fleet: the input of `server.resize` is for account `acme`, and the request for `other`
            (2)
        "#]],
        &fleet.run(&[
            "plan",
            "server.resize",
            "--input",
            INPUT,
            "--account",
            "other",
        ])?,
    );
    check(
        &expect![[r#"
            fleet: `fleet` has no code for kind `server.move`; `fleet kinds --own` lists those that it has
            (3)
        "#]],
        &fleet.run(&["plan", "server.move", "--input", "{}"])?,
    );
    ensure!(stdout(&fleet.run(&["kinds", "--own"])?) == "server.resize\n");
    check(
        &expect![[r#"
            intendant: only code can make a plan of `server.resize`, and `intendant` has none: use the program of its worker, which has this command line if its `main` calls `intendant_api::Cli::new`
            (2)
        "#]],
        &run(
            &fleet.database.url,
            &["plan", "server.resize", "--input", INPUT],
        )?,
    );
    check(
        &expect![[r#"
            intendant: `intendant` has no code to run: use the program of the worker, which has this command line if its `main` calls `intendant_api::Cli::new`
            (2)
        "#]],
        &run(&fleet.database.url, &["worker"])?,
    );
    // A dry run writes nothing, not even that there is such a kind.
    ensure!(intendant.unfinished().await?.total() == 0 && intendant.kinds(None).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_program_plans_what_it_has_the_code_of_on_sqlite() -> Result<()> {
    plans(StoreKind::Sqlite).await
}

#[tokio::test]
async fn a_program_plans_what_it_has_the_code_of_on_postgres() -> Result<()> {
    plans(StoreKind::Postgres).await
}

async fn works(kind: StoreKind) -> Result<()> {
    let (fleet, intendant) = Fleet::new(kind).await?;
    let url = fleet.database.url.clone();
    // Nobody knows the kind before a worker has begun, except the program itself.
    check(
        &expect![[r#"
            intendant: no worker has registered a kind `server.resize` with this database; `intendant kinds` lists those that are known
            (3)
        "#]],
        &run(&url, &["request", "server.resize", "--input", INPUT])?,
    );
    let words = [
        "request",
        "server.resize",
        "--input",
        INPUT,
        "--key",
        "k",
        "--wait",
        "-o",
        "json",
    ];
    let (asked, listed, worker) = fleet.with_worker(&words)?;
    let listed = stdout(&listed);
    ensure!(
        listed.contains("alive") && listed.contains("default: server.resize"),
        "{listed}"
    );
    ensure!(asked.status.success(), "{asked:?}");
    let done: serde_json::Value = serde_json::from_slice(&asked.stdout)?;
    let done = &done[0];
    ensure!(
        done["state"] == "succeeded" && done["output"] == 8,
        "{done}"
    );
    ensure!(
        done["account"] == "acme" && done["requested_by"] == "ada",
        "{done}"
    );
    ensure!(done["resources"][0]["resource"] == "server:42", "{done}");
    ensure!(worker.status.success(), "{worker:?}");
    expect![[r#"
        carries out server.resize; SIGTERM or SIGINT ends it
        stopped: 1 finished, 3 steps recorded, 0 handed back
    "#]]
    .assert_eq(&stderr(&worker));
    let server = std::fs::read_to_string(fleet.directory.path().join("server-42"))?;
    ensure!(server == "running, 8 cores", "{server}");
    let id = done["id"].as_str().unwrap_or_default();
    let logs = stdout(&fleet.run(&["logs", id])?);
    ensure!(logs.contains("resized server=42 cores=8"), "{logs}");

    // From now on the database knows the kind, whoever asks.
    let again = run(
        &url,
        &[
            "request",
            "server.resize",
            "--account",
            "acme",
            "--input",
            INPUT,
            "--key",
            "k",
        ],
    )?;
    let expected = format!("{id}  server.resize was asked for before; this is the same intent\n");
    ensure!(stdout(&again) == expected, "{again:?}");
    let other = r#"{"account":"acme","server":43,"cores":8}"#;
    let asked = [
        "request",
        "server.resize",
        "--account",
        "acme",
        "--resource",
        "server:43",
        "--input",
        other,
    ];
    let asked = run(
        &url,
        &[
            &asked[..],
            &["--at", "1h", "--label", "team=ops", "-o", "id"],
        ]
        .concat(),
    )?;
    let id = stdout(&asked).trim().parse::<intendant::IntentId>();
    let record = intendant.get(id.map_err(anyhow::Error::msg)?).await?;
    ensure!(
        record.state == intendant::IntentState::Waiting,
        "{record:?}"
    );
    ensure!(
        record.labels["team"] == "ops" && record.resources.len() == 1,
        "{record:?}"
    );
    for (program, name) in [("intendant", "intendant"), ("fleet", "fleet")] {
        let wrong = r#"{"account":"acme","server":"x","cores":800}"#;
        let mut command = Command::new(binary::path(program)?);
        let output = command
            .args([
                "request",
                "server.resize",
                "--input",
                wrong,
                "--database-url",
                &url,
            ])
            .output()?;
        let said = format!(
            "{name}: the input is not one of `server.resize`: /cores: the value is greater than the maximum of 128; /server: \
             the value is not of type \"integer\"\n"
        );
        ensure!(
            stderr(&output) == said && output.status.code() == Some(2),
            "{output:?}"
        );
    }
    let unknown = r#"{"account":"acme","server":1,"cores":1,"disk":1}"#;
    let unknown = fleet.run(&["request", "server.resize", "--input", unknown])?;
    ensure!(stderr(&unknown).contains("disk"), "{unknown:?}");
    check(
        &expect![[r#"
            kind           queue    sessions  what it does
            server.resize  default  0         Gives a server more or fewer cores
            (0)
        "#]],
        &fleet.run(&["kinds"])?,
    );
    let nobody = fleet.run(&["worker", "list"])?;
    ensure!(stderr(&nobody) == "no worker is alive\n", "{nobody:?}");
    let schema = fleet.run(&["kinds", "server.resize"])?;
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout)?;
    ensure!(schema["properties"]["cores"]["maximum"] == 128, "{schema}");
    let slow = [
        "request",
        "server.resize",
        "--input",
        other,
        "--wait",
        "--timeout",
        "1s",
    ];
    let slow = fleet.run(&slow)?;
    ensure!(slow.status.code() == Some(124), "{slow:?}");
    ensure!(
        stderr(&slow).contains("is not at rest after 1s; it goes on"),
        "{slow:?}"
    );
    ensure!(intendant.invariant_breaches().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_program_works_and_is_asked_on_sqlite() -> Result<()> {
    works(StoreKind::Sqlite).await
}

#[tokio::test]
async fn a_program_works_and_is_asked_on_postgres() -> Result<()> {
    works(StoreKind::Postgres).await
}

/// It is said before anything is carried out.
#[tokio::test]
async fn a_worker_sends_notices_to_nobody_unsafely() -> Result<()> {
    let (fleet, _intendant) = Fleet::new(StoreKind::Sqlite).await?;
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for (url, secret, why) in [
        ("https://ops.example.com", None, "--notify-secret"),
        ("https://ops.example.com", Some("guessed"), "whsec_"),
        ("http://ops.example.com", Some(secret), "by https alone"),
        (
            "https://169.254.169.254",
            Some(secret),
            "no address within the network",
        ),
    ] {
        let mut command = fleet.command(&["worker", "--notify", url])?;
        command.env_remove("INTENDANT_NOTIFY_SECRET");
        command.envs(secret.map(|secret| ("INTENDANT_NOTIFY_SECRET", secret)));
        let output = command.output()?;
        ensure!(
            output.status.code() == Some(2) && stderr(&output).contains(why),
            "{url}: {output:?}"
        );
        ensure!(!stderr(&output).contains("guessed"), "{output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_old_enough_asks_to_be_started_anew() -> Result<()> {
    let (fleet, _) = Fleet::new(StoreKind::Sqlite).await?;
    let worker = fleet.run(&["worker", "--max-age", "1s"])?;
    ensure!(worker.status.code() == Some(75), "{worker:?}");
    ensure!(
        stderr(&worker).contains("stopped at its maximum age: 0 finished"),
        "{worker:?}"
    );
    let wrong = fleet.run(&["worker", "--queue", "ssh"])?;
    ensure!(wrong.status.code() == Some(2), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn the_help_of_a_program_names_the_program() -> Result<()> {
    let (fleet, _) = Fleet::new(StoreKind::Sqlite).await?;
    for words in [
        &["--help"][..],
        &["request", "--help"],
        &["migrate", "up", "--help"],
    ] {
        let help = Command::new(binary::path("fleet")?).args(words).output()?;
        let help = stdout(&help);
        ensure!(
            help.contains("  fleet ") && !help.contains("  intendant "),
            "{help}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = Command::new(binary::path("fleet")?)
            .args(["completions", shell])
            .output()?;
        let script = stdout(&script);
        ensure!(
            script.contains("fleet") && script.contains("correlation-id"),
            "{script}"
        );
    }
    let status = fleet.run(&["migrate", "status"])?;
    ensure!(
        stdout(&status).contains("0016 kinds: in place"),
        "{status:?}"
    );
    Ok(())
}
