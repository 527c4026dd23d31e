//! One verb for all that match: a bounded number at a time.

use anyhow::{Result, ensure};
use intendant::{IntentState, Scope};
use serde_json::{Value, json};

use crate::support::{Resize, Server, on_both};

on_both! {
    so_many_are_done_at_once_and_the_answer_says_where_to_go_on;
    who_does_not_say_what_is_meant_does_nothing;
}

async fn so_many_are_done_at_once_and_the_answer_says_where_to_go_on(server: Server) -> Result<()> {
    let mut ids = Vec::new();
    for number in 0..7 {
        let resize = Resize {
            account: "acme".into(),
            server: number,
            cores: 1,
        };
        ids.push(server.intendant.request(resize).await?.id());
    }
    let bulk = async |verb: &str, before: &Value, dry_run: bool| {
        let mut which = json!({"account": "acme", "limit": 3});
        if before.is_string() {
            which["before"] = before.clone();
        }
        let body = json!({"verb": verb, "which": which, "dry_run": dry_run});
        server.post("/api/v1/bulk", &body).await
    };
    let would = bulk("cancel", &Value::Null, true).await?;
    ensure!(
        would.json["matched"] == 3 && would.json["next"] == json!(ids[4]),
        "{would:?}"
    );
    let (mut next, mut done) = (Value::Null, Vec::new());
    loop {
        let said = bulk("cancel", &next, false).await?;
        ensure!(said.status == 200 && said.json["refused"] == 0, "{said:?}");
        done.push(said.json["done"].as_u64().unwrap());
        next = said.json["next"].clone();
        if next.is_null() {
            break;
        }
    }
    ensure!(done == [3, 3, 1], "{done:?}");
    for id in &ids {
        ensure!(server.intendant.state(*id).await? == IntentState::Cancelled);
    }
    // What is asked for again is not found by those who go on where they were.
    let (mut next, mut done) = (Value::Null, 0);
    loop {
        let said = bulk("rerun", &next, false).await?;
        done += said.json["done"].as_u64().unwrap();
        next = said.json["next"].clone();
        if next.is_null() {
            break;
        }
    }
    ensure!(done == 7, "{done}");
    Ok(())
}

async fn who_does_not_say_what_is_meant_does_nothing(server: Server) -> Result<()> {
    server.with_history(&["acme"]).await?;
    let token = server
        .token("portal", Scope::Operator, Some("acme"))
        .await?;
    for which in [
        json!({}),
        json!({"limit": 10}),
        json!({"before": "ffffffff-ffff-7fff-bfff-ffffffffffff"}),
        json!({"after": "01890000-0000-7000-8000-000000000000"}),
    ] {
        let body = json!({"verb": "rerun", "which": which});
        for token in [&server.admin, &token] {
            let said = server
                .call(token, "POST", "/api/v1/bulk", Some(&body))
                .await?;
            ensure!(said.is(422, "invalid"), "{which}: {said:?}");
        }
    }
    ensure!(server.intendant.unfinished().await?.total() == 0);
    let said = json!({"verb": "rerun", "which": {"account": "acme", "limit": 1001}});
    ensure!(server.post("/api/v1/bulk", &said).await?.is(422, "invalid"));
    Ok(())
}
