//! Large answers come in parts, and pages end where they are large enough.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentId, Node, Plan, StepResult, Worker, fail, limits, value};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::{Server, on_both};

on_both! {
    lists_of_one_intent_come_in_parts_that_have_everything_once;
    a_part_ends_with_its_bytes;
    a_page_ends_with_its_bytes_and_says_where_to_go_on;
    what_is_no_mark_is_refused;
}

/// Many steps, whose outputs have so many bytes, and the last of which fails before a few that never begin.
#[derive(Clone, Serialize, Deserialize)]
struct Wide {
    steps: usize,
    bytes: usize,
    padding: String,
}

impl Intent for Wide {
    const KIND: &'static str = "wide";
    type Output = String;
}

async fn one(cx: Cx<()>, bytes: usize) -> StepResult<String> {
    cx.measure("bytes", bytes as f64);
    Ok("x".repeat(bytes))
}

async fn broken(_: Cx<()>, all: Vec<String>) -> StepResult<String> {
    Err(fail(format!("{} are too many", all.len())))
}

async fn never(_: Cx<()>, it: String) -> StepResult<String> {
    Ok(it)
}

fn wide(intent: &Wide, plan: &mut Plan<()>) -> Node<String> {
    let steps: Vec<Node<String>> = (0..intent.steps)
        .map(|number| {
            let name = format!("step {number}");
            plan.step(name, one).input(value(intent.bytes))
        })
        .collect();
    let mut last = plan.step("broken", broken).input(steps);
    for number in 0..5 {
        let name = format!("never {number}");
        last = plan.step(name, never).input(last);
    }
    last
}

async fn asked(server: &Server, intents: Vec<Wide>) -> Result<Vec<IntentId>> {
    let mut ids = Vec::new();
    for intent in intents {
        ids.push(server.intendant.request(intent).await?.id());
    }
    Ok(ids)
}

/// Has them carried out.
async fn ended(server: &Server, ids: &[IntentId]) -> Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(&server.intendant, ()).register(wide);
    let worker = tokio::spawn(worker.run(async {
        stopped.await.ok();
    }));
    for id in ids {
        server.intendant.at_rest(*id).await?;
    }
    stop.send(()).ok();
    worker.await??;
    Ok(())
}

/// Everything of a list, and in how many parts it came.
async fn all(server: &Server, path: &str, limit: usize) -> Result<(Vec<Value>, usize)> {
    let (mut items, mut parts, mut after) = (Vec::new(), 0, String::new());
    loop {
        let said = server.get(&format!("{path}?limit={limit}{after}")).await?;
        ensure!(said.status == 200, "{said:?}");
        let part = said.json["items"].as_array().unwrap();
        ensure!(part.len() <= limit, "{} of {limit}", part.len());
        items.extend(part.iter().cloned());
        parts += 1;
        match said.json["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok((items, parts)),
        }
    }
}

async fn lists_of_one_intent_come_in_parts_that_have_everything_once(server: Server) -> Result<()> {
    let many = Wide {
        steps: 40,
        bytes: 10,
        padding: String::new(),
    };
    let id = asked(&server, vec![many]).await?[0];
    for name in ["one", "two", "three"] {
        let name = format!("{name} é");
        server
            .intendant
            .signal(id, name.as_str(), &Value::Null)
            .await?;
    }
    ended(&server, &[id]).await?;
    let at = |list: &str| format!("/api/v1/intents/{id}/{list}");
    for limit in [1, 7, 46, 1_000] {
        let (steps, parts) = all(&server, &at("steps"), limit).await?;
        let names: BTreeSet<&str> = steps.iter().map(|s| s["name"].as_str().unwrap()).collect();
        ensure!(steps.len() == 46 && names.len() == 46, "{limit}: {names:?}");
        ensure!(parts >= 46 / limit.min(46), "{limit}: {parts}");
        let pending = steps.iter().filter(|step| step["state"] == "pending");
        ensure!(pending.count() == 5, "{steps:?}");
        let outputs = steps.iter().filter(|step| step["output"] == "xxxxxxxxxx");
        ensure!(outputs.count() == 40, "{steps:?}");
    }
    let (measured, parts) = all(&server, &at("measurements"), 9).await?;
    ensure!(measured.len() == 40 && parts == 5, "{parts} {measured:?}");
    let (attempts, _) = all(&server, &at("attempts"), 1).await?;
    ensure!(
        attempts.len() == 1 && attempts[0]["step"] == "broken",
        "{attempts:?}"
    );
    let (signals, parts) = all(&server, &at("signals"), 2).await?;
    let names: Vec<&Value> = signals.iter().map(|signal| &signal["name"]).collect();
    ensure!(
        names == ["one é", "two é", "three é"] && parts == 2,
        "{signals:?}"
    );
    Ok(())
}

async fn a_part_ends_with_its_bytes(server: Server) -> Result<()> {
    let large = Wide {
        steps: 12,
        bytes: 900 * 1024,
        padding: String::new(),
    };
    let id = asked(&server, vec![large]).await?[0];
    ended(&server, &[id]).await?;
    let at = format!("/api/v1/intents/{id}/steps");
    let said = server.get(&at).await?;
    // What is read before it is known how large it is comes with it.
    ensure!(said.text.len() < 17 * 1024 * 1024, "{}", said.text.len());
    let (steps, _) = all(&server, &at, 3).await?;
    ensure!(steps.len() == 18, "{}", steps.len());
    Ok(())
}

async fn a_page_ends_with_its_bytes_and_says_where_to_go_on(server: Server) -> Result<()> {
    let large = Wide {
        steps: 1,
        bytes: 1,
        padding: "x".repeat(512 * 1024),
    };
    let mut newest_first = asked(&server, vec![large; 40]).await?;
    ended(&server, &newest_first).await?;
    newest_first.reverse();
    let (mut seen, mut path) = (Vec::new(), "/api/v1/intents?limit=1000".to_owned());
    let mut pages = 0;
    loop {
        let page = server.get(&path).await?;
        ensure!(page.status == 200, "{}", page.status);
        ensure!(
            page.text.len() < 3 * limits::PAGE_BYTES,
            "{}",
            page.text.len()
        );
        let intents = page.json["intents"].as_array().unwrap();
        let ids = intents
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        pages += 1;
        match page.json["next"].as_str() {
            Some(next) => path = format!("/api/v1/intents?limit=1000&before={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = newest_first.iter().map(ToString::to_string).collect();
    ensure!(seen == expected && pages > 1, "{pages} pages: {seen:?}");
    Ok(())
}

async fn what_is_no_mark_is_refused(server: Server) -> Result<()> {
    let id = server.with_history(&["acme"]).await?[0];
    for list in [
        "steps",
        "attempts",
        "logs",
        "measurements",
        "children",
        "links",
        "signals",
    ] {
        let at = format!("/api/v1/intents/{id}/{list}");
        for wrong in [
            "after=7",
            "after=",
            "after=5b5d",
            "limit=0",
            "limit=1001",
            "page=2",
        ] {
            let said = server.get(&format!("{at}?{wrong}")).await?;
            ensure!(
                said.is(400, "malformed") || said.is(422, "invalid"),
                "{wrong}: {said:?}"
            );
        }
        // That of another list is a place like any other.
        let steps = server
            .get(&format!("/api/v1/intents/{id}/steps?limit=1"))
            .await?;
        if let Some(mark) = steps.json["next"].as_str() {
            ensure!(server.get(&format!("{at}?after={mark}")).await?.status == 200);
        }
    }
    Ok(())
}
