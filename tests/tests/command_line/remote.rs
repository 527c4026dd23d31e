//! What is otherwise at a server: who may do what, and what it is to ask there and to wait.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use intendant::{Cx, Intent, Node, Plan, StepResult, StoreKind, Worker, fail, value};
use intendant_tests::binary;
use intendant_tests::database::Database;
use intendant_tests::serving::Serving;
use serde::{Deserialize, Serialize};

use crate::{Door, Via, resize, run, stderr, stdout, with_history};

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_and_waits_at_a_server() -> Result<()> {
    let (database, intendant) = Database::open(StoreKind::Sqlite).await?;
    let door = &Via::Server.door(&database).await?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).name("w").register_step(resize);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let known = async {
        while intendant.kinds(None).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), known).await??;
    for looks in [
        &["kinds"][..],
        &["kinds", "server.resize", "--json"],
        &["kinds", "server.resize"],
    ] {
        let (here, there) = (run(database.url.as_str(), looks)?, run(door, looks)?);
        ensure!(
            stdout(&here) == stdout(&there) && here.status.success(),
            "{there:?}"
        );
    }
    ensure!(stdout(&run(door, &["worker", "list"])?).contains("default: server.resize"));

    let ask = |server: &str, more: &[&str]| {
        let input = format!(r#"{{"account":"acme","server":{server}}}"#);
        let words = [
            "request",
            "server.resize",
            "--input",
            &input,
            "--account",
            "acme",
        ];
        run(door, &[&words, more].concat())
    };
    let said = ask(
        "1",
        &[
            "--resource",
            "server:1",
            "--label",
            "team=a",
            "--key",
            "k",
            "--wait",
        ],
    )?;
    let done = stdout(&said);
    ensure!(
        said.status.success() && done.contains("succeeded"),
        "{said:?}"
    );
    let again = ask(
        "1",
        &["--resource", "server:1", "--label", "team=a", "--key", "k"],
    )?;
    ensure!(
        stdout(&again).contains("was asked for before; this is the same intent"),
        "{again:?}"
    );
    let other = ask("3", &["--key", "k"])?;
    ensure!(other.status.code() == Some(4), "{other:?}");
    let failed = ask("2", &["--wait", "--timeout", "30s", "-o", "id"])?;
    ensure!(
        failed.status.code() == Some(1) && failed.stderr.is_empty(),
        "{failed:?}"
    );
    let later = ask("4", &["--at", "1h", "--wait", "--timeout", "1s"])?;
    ensure!(later.status.code() == Some(124), "{later:?}");
    let unknown = run(door, &["request", "nobody.knows"])?;
    ensure!(unknown.status.code() == Some(3), "{unknown:?}");

    let show = stdout(&run(door, &["show", stdout(&failed).trim()])?);
    ensure!(show.contains("  requested by ada\n"), "{show}");
    let labelled = stdout(&run(
        door,
        &["list", "--label", "team=a", "--resource", "server:1"],
    )?);
    ensure!(labelled.lines().count() == 2, "{labelled}");
    stop.send(()).ok();
    worker.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_a_server_outlives_its_restart() -> Result<()> {
    let (database, intendant) = Database::open(StoreKind::Sqlite).await?;
    let work = || {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = Worker::new(&intendant, ()).register_step(resize);
        let worker = worker.run(async {
            stopped.await.ok();
        });
        (stop, tokio::spawn(worker))
    };
    let until = async |what: &str, is_so: &dyn Fn(usize, usize) -> bool| {
        let start = Instant::now();
        loop {
            let (kinds, intents) = (
                intendant.kinds(None).await?,
                intendant.list(Default::default()).await?,
            );
            if is_so(kinds.len(), intents.len()) {
                return Ok(());
            }
            ensure!(start.elapsed() < Duration::from_secs(30), "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (stop, worker) = work();
    until("the kind is not known", &|kinds, _| kinds == 1).await?;
    stop.send(()).ok();
    worker.await??;

    // Below the ports that are given to whoever asks for any: nobody gets it while the server is away.
    let address = format!("127.0.0.1:{}", 20_000 + std::process::id() % 10_000);
    let serving = Serving::start_at(&database.url, &address)?;
    let mut asking = Command::new(binary::path("intendant")?);
    asking.args([
        "request",
        "server.resize",
        "--account",
        "acme",
        "--wait",
        "-o",
        "id",
    ]);
    asking.args(["--input", r#"{"account":"acme","server":1}"#]);
    let asking = asking
        .args(["--server", &format!("http://{address}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    until("nothing was asked for", &|_, intents| intents == 1).await?;
    // Who asks may not have been answered yet: this one answers first.
    serving.stop()?;
    // It asks a second time at the least while nobody is there.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // It waits at the next one, which is killed.
    let serving = Serving::start_at(&database.url, &address)?;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    drop(serving);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let _serving = Serving::start_at(&database.url, &address)?;
    let (stop, worker) = work();
    let asked = asking.wait_with_output()?;
    stop.send(()).ok();
    worker.await??;
    ensure!(asked.status.success(), "{asked:?}");
    let record = intendant.list(Default::default()).await?.remove(0);
    ensure!(stdout(&asked).trim() == record.id.to_string(), "{asked:?}");
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Audit {
    fails: bool,
}

impl Intent for Audit {
    const KIND: &'static str = "audit";
    const DEADLINE: Option<Duration> = Some(Duration::from_millis(2_500));
    type Output = ();

    fn account(&self) -> Option<&str> {
        Some("acme")
    }
}

/// What comes to nothing, with a number.
async fn check(cx: Cx<()>, fails: bool) -> StepResult<()> {
    cx.measure("rows", 4.0);
    match fails {
        true => Err(fail("not in order")),
        false => Ok(()),
    }
}

fn audit(audit: &Audit, plan: &mut Plan<()>) -> Node<()> {
    let books = plan.step("zeta", check).input(value(false));
    let stock = plan.step("alpha", check).after(books);
    let stock = stock.input(value(audit.fails));
    plan.step("end", check).after(stock).input(value(false))
}

/// Without the times that go on.
fn ageless(text: &str) -> String {
    let text = text.replace("just now", "0 s ago");
    let text = text.replace(|c: char| c.is_ascii_digit(), "#");
    let mut words: Vec<&str> = text.split_whitespace().collect();
    // Ten seconds ago has a digit more than nine.
    for at in 2..words.len() {
        if words[at].trim_matches(['(', ')']) == "ago" {
            words[at - 2] = words[at - 2].trim_end_matches('#');
        }
    }
    words.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_at_a_server_is_what_is_seen_in_its_database() -> Result<()> {
    let (database, intendant) = Database::open(StoreKind::Sqlite).await?;
    let door = &Via::Server.door(&database).await?;
    let here = &Door::Database(database.url.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).name("w").register(audit);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    let good = intendant.request(Audit { fails: false }).await?;
    good.output().await?;
    let bad = intendant
        .request(Audit { fails: true })
        .label("team", "a")
        .await?;
    ensure!(bad.output().await.is_err());
    let many = intendant
        .request_all((0..120).map(|_| Audit { fails: false }))
        .await?;
    for id in many {
        intendant.at_rest(id).await?;
    }
    stop.send(()).ok();
    worker.await??;
    let (good, bad) = (good.id().to_string(), bad.id().to_string());
    for words in [
        &["list", "--limit", "1000", "-o", "jsonl"][..],
        &["list", "--label", "team=a"],
        &["show", &good],
        &["show", &bad],
        &["show", &bad, "-o", "json"],
        &["show", &bad, "--graph", "dot"],
        &["why", &bad],
        &["why", &bad, "-o", "json"],
        &["logs", &bad],
        &["history", "--account", "acme"],
        &["history", "--account", "nobody"],
        &["failures", "--json"],
        &["alerts", "--all", "--json"],
        &["kinds"],
        &["kinds", "audit", "--json"],
        &["queue", "list"],
        &["queue", "changes", "default"],
        &["queue", "changes", "nobody"],
        &["schedule", "list", "--json"],
        &["schedule", "ticks", "nobody"],
        &["schedule", "ticks", "nobody", "--limit", "0"],
        &["retention", "list"],
        &["worker", "list", "--json"],
        &["token", "list"],
        &["resume", &bad, "--dry-run"],
        &["rerun", &bad, "--from", "alpha", "--dry-run"],
        &["resume", &good, "--dry-run"],
        &["retry", &bad, "--step", "nobody"],
        &["resume", "--all", "--state", "succeeded", "--dry-run"],
        &[
            "skip",
            "--all",
            "--kind",
            "audit",
            "--step",
            "alpha",
            "--output",
            "null",
            "--dry-run",
        ],
        &["signal", &good, "go"],
    ] {
        let (one, other) = (run(here, words)?, run(door, words)?);
        ensure!(
            one.status.code() == other.status.code(),
            "{words:?}: {one:?} {other:?}"
        );
        for say in [stdout, stderr] {
            ensure!(
                ageless(&say(&one)) == ageless(&say(&other)),
                "{words:?}: {one:?} {other:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_who_it_is_and_how_far_it_goes() -> Result<()> {
    let (database, good, bad) = with_history(StoreKind::Sqlite).await?;
    let door = &Via::Server.door(&database).await?;
    let Door::Server { serving, .. } = door else {
        anyhow::bail!("no server");
    };
    let url = format!("http://{}", serving.address);
    let with = |token: &str, words: &[&str]| -> Result<Output> {
        let words = [words, &["--server", &url]].concat();
        let mut command = std::process::Command::new(intendant_tests::binary::path("intendant")?);
        Ok(command.args(words).env("INTENDANT_TOKEN", token).output()?)
    };

    let made = run(
        door,
        &[
            "token",
            "create",
            "portal",
            "--scope",
            "viewer",
            "--account",
            "other",
            "--expires",
            "1h",
        ],
    )?;
    let portal = stdout(&made).trim().to_owned();
    let made = run(door, &["token", "create", "looker", "--scope", "viewer"])?;
    let looker = stdout(&made).trim().to_owned();
    ensure!(looker.starts_with("intendant_"), "{made:?}");
    let listed = stdout(&run(door, &["token", "list"])?);
    ensure!(
        listed.contains("portal") && listed.contains("other") && listed.contains("ada"),
        "{listed}"
    );

    // Of another account nothing is there.
    let none = with(&portal, &["list"])?;
    ensure!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    ensure!(with(&portal, &["show", &good])?.status.code() == Some(3));
    // Who may look does nothing else.
    ensure!(with(&looker, &["show", &good])?.status.success());
    let refused = with(&looker, &["cancel", &bad])?;
    ensure!(
        refused.status.code() == Some(1)
            && refused.stdout.is_empty()
            && stderr(&refused).contains("operator"),
        "{refused:?}"
    );
    let nobody = with("", &["list"])?;
    ensure!(
        nobody.status.code() == Some(1) && stderr(&nobody).contains("INTENDANT_TOKEN"),
        "{nobody:?}"
    );
    let id = listed.lines().find(|line| line.contains("looker"));
    let id = id
        .and_then(|line| line.split_whitespace().next())
        .context("its id")?;
    ensure!(run(door, &["token", "revoke", id])?.status.success());
    ensure!(with(&looker, &["show", &good])?.status.code() == Some(1));
    let twice = run(door, &["token", "revoke", id])?;
    ensure!(
        twice.status.code()
            == run(database.url.as_str(), &["token", "revoke", id])?
                .status
                .code()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_is_not_asked_is_said() -> Result<()> {
    let (database, _, bad) = with_history(StoreKind::Sqlite).await?;
    let door = &Via::Server.door(&database).await?;
    let Door::Server { serving, .. } = door else {
        anyhow::bail!("no server");
    };
    let near = format!("http://{}", serving.address);
    let refuses = |words: &[&str], code: i32, says: &str| -> Result<()> {
        let mut command = std::process::Command::new(intendant_tests::binary::path("intendant")?);
        command.args(words).env("INTENDANT_TOKEN", "a.b");
        // What is said in plain is said to no proxy.
        let output = command.env("HTTP_PROXY", "http://127.0.0.1:9").output()?;
        ensure!(
            output.status.code() == Some(code)
                && output.stdout.is_empty()
                && stderr(&output).contains(says),
            "{words:?}: {output:?}"
        );
        Ok(())
    };
    refuses(
        &["resume", &bad, "--by", "eve", "--server", &near],
        2,
        "by the token",
    )?;
    refuses(
        &["list", "--server", "http://ops.example.com"],
        2,
        "--plain-http",
    )?;
    refuses(&["list", "--server", "sqlite://app.db"], 2, "http://")?;
    refuses(
        &["list", "--server", "http://127.0.0.1:1"],
        5,
        "127.0.0.1:1",
    )?;
    refuses(&["list", "--server", &near], 1, "a good token is needed")?;
    refuses(
        &["retention", "run", "--server", &near],
        2,
        "in the database alone",
    )?;
    refuses(
        &["migrate", "up", "--server", &near],
        2,
        "unexpected argument",
    )?;
    // Something else that answers is no server of these.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let other = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming().take(2).flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            );
        }
    });
    refuses(&["list", "--server", &other], 5, "is not understood")?;
    refuses(
        &["list", "--server", &format!("{near}/elsewhere")],
        5,
        "is the URL right",
    )?;
    Ok(())
}
