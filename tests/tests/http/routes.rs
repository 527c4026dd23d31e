//! Each route does what it says.

use anyhow::{Result, ensure};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use crate::support::{Server, on_both};

on_both! {
    an_intent_is_asked_for_once_with_a_key;
    what_was_asked_for_with_a_key_and_is_removed_is_not_done_again;
    what_cannot_be_asked_for_is_refused_in_words;
    history_is_read_in_pages;
    everything_that_is_known_of_an_intent_is_told;
    a_failed_intent_is_resumed_amended_and_given_up;
    all_that_match_are_resumed_or_counted;
    what_is_around_intents_is_told;
    queues_are_limited_and_capped;
    the_document_says_where_it_is_mounted;
}

fn wanted(server: u64) -> Value {
    json!({
        "kind": "server.resize",
        "account": "acme",
        "input": {"account": "acme", "server": server, "cores": 4},
        "resources": [{"resource": format!("server:{server}")}],
        "labels": {"team": "ops"},
    })
}

async fn ask(server: &Server, key: &str, body: &Value) -> Result<crate::support::Said> {
    let request = Request::post("/api/v1/intents")
        .header(header::AUTHORIZATION, format!("Bearer {}", server.admin))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header("idempotency-key", key);
    server
        .send(request.body(Body::from(body.to_string()))?)
        .await
}

async fn an_intent_is_asked_for_once_with_a_key(server: Server) -> Result<()> {
    server.registered().await?;
    let made = ask(&server, "click", &wanted(1)).await?;
    ensure!(made.status == 201, "{made:?}");
    ensure!(
        made.json["state"] == "ready" && made.json["requested_by"] == "root",
        "{made:?}"
    );
    ensure!(made.json["resources"][0]["mode"] == "exclusive", "{made:?}");
    ensure!(made.json["labels"]["team"] == "ops", "{made:?}");
    let id = made.json["id"].as_str().unwrap();
    let at = made.header("location");
    ensure!(at == format!("/api/v1/intents/{id}"), "{at}");
    ensure!(server.get(at).await?.json == made.json);
    let record = server.get(at).await?;
    let known = |tag: &str| {
        let token = format!("Bearer {}", server.admin);
        let request = Request::get(at).header(header::AUTHORIZATION, token);
        request
            .header(header::IF_NONE_MATCH, tag)
            .body(Body::empty())
    };
    let same = server.send(known(record.header("etag"))?).await?;
    ensure!(same.status == 304 && same.text.is_empty(), "{same:?}");
    let other = server.send(known("\"0\"")?).await?;
    ensure!(
        other.status == 200 && other.json == record.json,
        "{other:?}"
    );
    let again = ask(&server, "click", &wanted(1)).await?;
    ensure!(again.status == 200 && again.json["id"] == id, "{again:?}");
    let other = ask(&server, "click", &wanted(3)).await?;
    ensure!(
        other.is(409, "key_taken") && other.json["intent"] == id,
        "{other:?}"
    );
    let mut two = wanted(1);
    two["key"] = json!("another");
    let two = ask(&server, "click", &two).await?;
    ensure!(two.is(422, "invalid"), "{two:?}");
    let worker = server.worker();
    server.intendant.at_rest(id.parse()?).await?;
    worker.stop().await?;
    let done = server.get(at).await?;
    ensure!(
        done.json["state"] == "succeeded" && done.json["output"] == 1,
        "{done:?}"
    );
    Ok(())
}

async fn what_was_asked_for_with_a_key_and_is_removed_is_not_done_again(
    server: Server,
) -> Result<()> {
    server.registered().await?;
    let made = ask(&server, "click", &wanted(1)).await?;
    let id = made.json["id"].as_str().unwrap();
    let path = format!("/api/v1/intents/{id}/cancel");
    let cancelled = server.post(&path, &json!({})).await?;
    ensure!(cancelled.status == 200, "{cancelled:?}");
    server
        .run_sql(
            "update intendant_outcome set requested_at = 1, finished_at = 2",
            "update intendant.outcome set requested_at = 'epoch', finished_at = 'epoch'",
        )
        .await?;
    let rule = json!({"state": "cancelled", "rows_s": 86_400});
    let said = server.post("/api/v1/retention", &rule).await?;
    ensure!(said.status == 200, "{said:?}");
    ensure!(server.intendant.remove_old().await?.intents == 1);
    let again = ask(&server, "click", &wanted(1)).await?;
    ensure!(again.is(410, "removed"), "{again:?}");
    ensure!(again.json["intent"] == id, "{again:?}");
    let list = server.get("/api/v1/intents").await?;
    ensure!(list.json["intents"] == json!([]), "{list:?}");
    Ok(())
}

async fn what_cannot_be_asked_for_is_refused_in_words(server: Server) -> Result<()> {
    server.registered().await?;
    let path = "/api/v1/intents";
    let mut unknown = wanted(1);
    unknown["kind"] = json!("server.move");
    ensure!(server.post(path, &unknown).await?.is(422, "unknown_kind"));
    let mut wrong = wanted(1);
    wrong["input"]["cores"] = json!(800);
    let wrong = server.post(path, &wrong).await?;
    ensure!(wrong.is(422, "input"), "{wrong:?}");
    let detail = wrong.json["detail"].as_str().unwrap();
    ensure!(
        detail.contains("/cores: the value is greater than the maximum of 128"),
        "{detail}"
    );
    let mut typo = wanted(1);
    typo["acount"] = json!("acme");
    let typo = server.post(path, &typo).await?;
    ensure!(
        typo.is(422, "invalid") && typo.text.contains("acount"),
        "{typo:?}"
    );
    let mut resource = wanted(1);
    resource["resources"] = json!([{"resource": "server"}]);
    ensure!(server.post(path, &resource).await?.is(422, "invalid"));
    let mut late = wanted(1);
    late["start_at"] = json!("9999-01-01T00:00:00Z");
    ensure!(server.post(path, &late).await?.is(422, "invalid"));
    let authorized =
        || Request::post(path).header(header::AUTHORIZATION, format!("Bearer {}", server.admin));
    let form = authorized().header(header::CONTENT_TYPE, "text/plain");
    ensure!(
        server
            .send(form.body(Body::from("{}"))?)
            .await?
            .is(415, "not_json")
    );
    let broken = authorized().header(header::CONTENT_TYPE, "application/json");
    ensure!(
        server
            .send(broken.body(Body::from("{"))?)
            .await?
            .is(400, "malformed")
    );
    let huge = authorized().header(header::CONTENT_TYPE, "application/json");
    let huge = huge.body(Body::from(" ".repeat(2 << 20)))?;
    ensure!(server.send(huge).await?.is(413, "too_large"));
    let mut large = wanted(1);
    large["input"]["account"] = json!("x".repeat((1 << 20) + 1));
    ensure!(server.post(path, &large).await?.is(422, "input"));
    ensure!(server.intendant.unfinished().await?.total() == 0);
    ensure!(server.get("/api/v1/nothing").await?.is(404, "no_route"));
    ensure!(
        server
            .call(&server.admin, "PUT", path, None)
            .await?
            .is(405, "no_method")
    );
    Ok(())
}

async fn history_is_read_in_pages(server: Server) -> Result<()> {
    let ids = server.with_history(&["acme", "other"]).await?;
    let mut seen = Vec::new();
    let mut path = "/api/v1/intents?limit=3".to_owned();
    loop {
        let page = server.get(&path).await?;
        ensure!(page.status == 200, "{page:?}");
        let intents = page.json["intents"].as_array().unwrap();
        seen.extend(
            intents
                .iter()
                .map(|intent| intent["id"].as_str().unwrap().to_owned()),
        );
        match page.json["next"].as_str() {
            Some(next) => path = format!("/api/v1/intents?limit=3&before={next}"),
            None => break,
        }
    }
    let newest_first: Vec<String> = ids.iter().rev().map(ToString::to_string).collect();
    ensure!(seen == newest_first, "{seen:?}");
    let count = async |query: &str| -> Result<usize> {
        let page = server.get(&format!("/api/v1/intents?{query}")).await?;
        ensure!(page.status == 200, "{page:?}");
        Ok(page.json["intents"].as_array().unwrap().len())
    };
    ensure!(count("account=acme").await? == 2);
    ensure!(count("resource=server:11").await? == 1);
    ensure!(count("state=failed&account=acme&error=NO%20server").await? == 1);
    ensure!(count("requested_by=ada&kind=server.resize").await? == 4);
    ensure!(count("requested_until=2020-01-01T00:00:00Z").await? == 0);
    for wrong in [
        "state=gone",
        "limit=0",
        "limit=1001",
        "before=7",
        "label=team",
        "acount=acme",
        "requested_since=yesterday",
        "requested_since=0001-01-01T00:00:00Z",
        "account=a&account=b",
    ] {
        let page = server.get(&format!("/api/v1/intents?{wrong}")).await?;
        ensure!(
            page.is(400, "malformed") || page.is(422, "invalid"),
            "{wrong}: {page:?}"
        );
    }
    let failures = server.get("/api/v1/failures?account=acme").await?;
    ensure!(failures.json["groups"][0]["count"] == 1, "{failures:?}");
    Ok(())
}

async fn everything_that_is_known_of_an_intent_is_told(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let at = format!("/api/v1/intents/{failed}");
    let intent = server.get(&at).await?;
    ensure!(intent.json["error"] == "no server 2", "{intent:?}");
    let why = server.get(&format!("{at}/why")).await?;
    ensure!(why.json["reasons"][0]["reason"] == "failed", "{why:?}");
    ensure!(
        why.json["words"][0]
            .as_str()
            .unwrap()
            .contains("no server 2"),
        "{why:?}"
    );
    let steps = server.get(&format!("{at}/steps")).await?;
    ensure!(steps.json["items"][0]["state"] == "failed", "{steps:?}");
    let attempts = server.get(&format!("{at}/attempts")).await?;
    ensure!(
        attempts.json["items"][0]["failure"] == "gave up",
        "{attempts:?}"
    );
    let graph = server.get(&format!("{at}/graph")).await?;
    ensure!(graph.json["steps"][0]["name"] == "run", "{graph:?}");
    for part in ["logs", "measurements", "children", "links", "signals"] {
        let part = server.get(&format!("{at}/{part}")).await?;
        ensure!(part.json == json!({"items": [], "next": null}), "{part:?}");
    }
    let events = server.get(&format!("{at}/events")).await?;
    ensure!(
        events.json == json!({"events": [], "next": null}),
        "{events:?}"
    );
    for wrong in ["01890000-0000-7000-8000-000000000000", "7", "stream7"] {
        let nobody = server.get(&format!("/api/v1/intents/{wrong}")).await?;
        ensure!(nobody.is(404, "not_found"), "{nobody:?}");
    }
    Ok(())
}

async fn a_failed_intent_is_resumed_amended_and_given_up(server: Server) -> Result<()> {
    let ids = server.with_history(&["acme"]).await?;
    let (good, bad) = (ids[0], ids[1]);
    let act = async |id, verb: &str, body: Value| {
        server
            .post(&format!("/api/v1/intents/{id}/{verb}"), &body)
            .await
    };
    let preview = act(bad, "resume", json!({"dry_run": true})).await?;
    ensure!(
        preview.json["preview"]["runs"] == json!(["run"]),
        "{preview:?}"
    );
    ensure!(preview.json["state"] == "failed", "{preview:?}");
    let wrong = act(good, "resume", json!({})).await?;
    ensure!(
        wrong.is(409, "wrong_state") && wrong.json["intent"] == json!(good),
        "{wrong:?}"
    );
    let wrong = act(
        bad,
        "amend",
        json!({"input": {"account": "acme", "server": "x"}}),
    )
    .await?;
    ensure!(wrong.is(422, "input"), "{wrong:?}");
    let amended = act(
        bad,
        "amend",
        json!({"input": {"account": "acme", "server": 2, "cores": 9}}),
    );
    ensure!(amended.await?.status == 200);
    let resumed = act(bad, "resume", json!({"reason": "server made"})).await?;
    ensure!(
        resumed.json["state"] == "ready" && resumed.json["dry_run"] == false,
        "{resumed:?}"
    );
    let events = server.get(&format!("/api/v1/intents/{bad}/events")).await?;
    let verbs: Vec<&str> = events.json["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["verb"].as_str().unwrap())
        .collect();
    ensure!(verbs == ["amend", "resume"], "{events:?}");
    ensure!(events.json["events"][1]["actor"] == "root", "{events:?}");
    ensure!(
        events.json["events"][1]["reason"] == "server made",
        "{events:?}"
    );
    let after = server
        .get(&format!("/api/v1/intents/{bad}/events?after=1"))
        .await?;
    ensure!(
        after.json["events"].as_array().unwrap().len() == 1,
        "{after:?}"
    );

    let worker = server.worker();
    server.intendant.at_rest(bad).await?;
    worker.stop().await?;
    let skipped = act(bad, "skip", json!({"step": "nothing", "output": 1})).await?;
    ensure!(skipped.is(404, "no_step"), "{skipped:?}");
    let retried = act(bad, "retry", json!({"step": "run"})).await?;
    ensure!(retried.json["state"] == "ready", "{retried:?}");
    let sent = act(
        bad,
        "signals",
        json!({"name": "go", "payload": {"a": 1}, "key": "k"}),
    )
    .await?;
    ensure!(
        sent.status == 200 && sent.json["before"] == false,
        "{sent:?}"
    );
    let sent = act(
        bad,
        "signals",
        json!({"name": "go", "payload": {"a": 1}, "key": "k"}),
    )
    .await?;
    ensure!(sent.json["before"] == true, "{sent:?}");
    let cancelled = act(bad, "cancel", json!({"reason": "not needed"})).await?;
    ensure!(
        cancelled.status == 200 && cancelled.json["cancelled"].is_string(),
        "{cancelled:?}"
    );
    let again = act(good, "rerun", json!({})).await?;
    let new = again.json["new_intent"].as_str().unwrap();
    ensure!(server.get(&format!("/api/v1/intents/{new}")).await?.json["state"] == "ready");
    let discarded = act(good, "discard", json!({})).await?;
    ensure!(discarded.is(409, "wrong_state"), "{discarded:?}");
    let undone = act(good, "undo", json!({})).await?;
    // One that has succeeded stays, and a new intent takes it back.
    ensure!(
        undone.status == 200 && undone.json["state"] == "succeeded",
        "{undone:?}"
    );
    let new = undone.json["new_intent"].as_str().unwrap();
    ensure!(server.get(&format!("/api/v1/intents/{new}")).await?.status == 200);
    let long = act(good, "resume", json!({"reason": "x".repeat(2_001)})).await?;
    ensure!(long.is(422, "invalid"), "{long:?}");
    ensure!(server.intendant.invariant_breaches().await?.is_empty());
    Ok(())
}

async fn all_that_match_are_resumed_or_counted(server: Server) -> Result<()> {
    server.with_history(&["acme", "other"]).await?;
    let bulk = async |body: Value| server.post("/api/v1/bulk", &body).await;
    let counted = json!({"verb": "resume", "which": {"kind": "server.resize"}, "dry_run": true});
    let counted = bulk(counted).await?;
    ensure!(counted.json["matched"] == 2, "{counted:?}");
    let done = bulk(json!({"verb": "resume", "which": {"account": "acme"}, "reason": "all"}));
    let done = done.await?;
    ensure!(
        done.json["done"] == 1 && done.json["refused"] == 0,
        "{done:?}"
    );
    let left = json!({"verb": "resume", "which": {"state": "failed"}, "dry_run": true});
    let left = bulk(left).await?;
    ensure!(left.json["matched"] == 1, "{left:?}");
    ensure!(
        bulk(json!({"verb": "destroy", "which": {}}))
            .await?
            .is(422, "invalid")
    );
    ensure!(bulk(json!({"verb": "resume"})).await?.is(422, "invalid"));
    Ok(())
}

async fn queues_are_limited_and_capped(server: Server) -> Result<()> {
    server.registered().await?;
    let wanted = json!({"kind": "server.resize", "account": "acme", "input": {"account": "acme", "server": 1}});
    for (path, said, none, slip) in [
        (
            "/api/v1/queues/default/limit",
            json!({"slots": 8}),
            json!({"slots": null}),
            json!({"slots": 0}),
        ),
        (
            "/api/v1/queues/default/cap",
            json!({"cap": 1, "reason": "the disk is small"}),
            json!({"cap": null}),
            json!({"cap": 0}),
        ),
    ] {
        ensure!(server.post("/api/v1/intents", &wanted).await?.status == 201);
        ensure!(server.post(path, &said).await?.json["changed"] == true);
        ensure!(server.post(path, &said).await?.json["changed"] == false);
        ensure!(server.post(path, &slip).await?.status == 422);
        let queues = server.get("/api/v1/queues").await?;
        let queue = &queues.json[0];
        if path.ends_with("cap") {
            ensure!(queue["cap"] == 1 && queue["full"] == true, "{queues:?}");
            let refused = server.post("/api/v1/intents", &wanted).await?;
            ensure!(refused.is(429, "queue_full"), "{refused:?}");
            ensure!(refused.header("retry-after") == "1", "{refused:?}");
        } else {
            ensure!(queue["slots"] == 8, "{queues:?}");
        }
        ensure!(server.post(path, &none).await?.json["changed"] == true);
    }
    Ok(())
}

async fn what_is_around_intents_is_told(server: Server) -> Result<()> {
    server.registered().await?;
    let kinds = server.get("/api/v1/kinds").await?;
    ensure!(
        kinds.json[0]["description"] == "Gives a server more cores",
        "{kinds:?}"
    );
    let kind = server.get("/api/v1/kinds/server.resize").await?;
    ensure!(
        kind.json["input_schema"]["properties"]["cores"]["maximum"] == 128,
        "{kind:?}"
    );
    ensure!(
        server
            .get("/api/v1/kinds/server.move")
            .await?
            .is(404, "not_found")
    );
    ensure!(server.get("/api/v1/workers").await?.json == json!([]));
    let worker = server.worker();
    let workers = crate::support::until(|| async {
        let workers = server.get("/api/v1/workers").await?;
        Ok((workers.json != json!([])).then_some(workers))
    });
    let workers = workers.await?;
    ensure!(
        workers.json[0]["serves"][0]["kind"] == "server.resize",
        "{workers:?}"
    );
    let metrics = server.get("/metrics").await?;
    ensure!(
        metrics
            .text
            .contains("intendant_workers{heard=\"yes\"} 1\n"),
        "{metrics:?}"
    );
    for line in ["ready", "oldest_seconds", "paused", "full"] {
        let line = format!("intendant_queue_{line}{{queue=\"default\"}} 0\n");
        ensure!(metrics.text.contains(&line), "{line} in {metrics:?}");
    }
    worker.stop().await?;
    let pause = "/api/v1/queues/default/pause";
    let paused = server.post(pause, &json!({"reason": "fire"})).await?;
    ensure!(paused.json["changed"] == true, "{paused:?}");
    ensure!(server.post(pause, &json!({})).await?.json["changed"] == false);
    let queues = server.get("/api/v1/queues").await?;
    ensure!(queues.json[0]["name"] == "default", "{queues:?}");
    ensure!(
        queues.json[0]["pause_reason"] == "fire" && queues.json[0]["paused_by"] == "root",
        "{queues:?}"
    );
    let resumed = server
        .post("/api/v1/queues/default/resume", &json!({}))
        .await?;
    ensure!(resumed.json["changed"] == true, "{resumed:?}");
    let path = "/api/v1/queues/default/rate";
    let rate = json!({"rate": "500/h", "burst": 10, "reason": "their quota"});
    ensure!(server.post(path, &rate).await?.json["changed"] == true);
    ensure!(server.post(path, &rate).await?.json["changed"] == false);
    let queues = server.get("/api/v1/queues").await?;
    let said = json!({"steps": 500, "period_ms": 3_600_000, "burst": 10});
    ensure!(queues.json[0]["rate"] == said, "{queues:?}");
    for slip in [
        json!({"rate": "fast"}),
        json!({"rate": "0/s"}),
        json!({"burst": 3}),
        json!({"rate": "1/s", "burst": 0}),
    ] {
        let refused = server.post(path, &slip).await?;
        ensure!(refused.status == 422, "{slip}: {refused:?}");
    }
    let turns_path = "/api/v1/queues/default/partition";
    let turns = json!({"by": "account", "at_once": 3, "reason": "one of them floods us"});
    ensure!(server.post(turns_path, &turns).await?.json["changed"] == true);
    ensure!(server.post(turns_path, &turns).await?.json["changed"] == false);
    let queues = server.get("/api/v1/queues").await?;
    let said = (
        &queues.json[0]["partition_by"],
        &queues.json[0]["partition_limit"],
    );
    ensure!(said == (&json!("account"), &json!(3)), "{queues:?}");
    for slip in [
        json!({"by": "server"}),
        json!({"at_once": 3}),
        json!({"by": "account", "at_once": 0}),
    ] {
        let refused = server.post(turns_path, &slip).await?;
        ensure!(refused.status == 422, "{slip}: {refused:?}");
    }
    let none = server.post(turns_path, &json!({"by": null})).await?;
    ensure!(none.json["changed"] == true, "{none:?}");
    let none = server.post(path, &json!({"rate": null})).await?;
    ensure!(none.json["changed"] == true, "{none:?}");
    ensure!(server.get("/api/v1/schedules").await?.json == json!([]));
    for verb in ["pause", "resume", "run"] {
        let nothing = server
            .post(&format!("/api/v1/schedules/nightly/{verb}"), &json!({}))
            .await?;
        ensure!(nothing.is(404, "not_found"), "{nothing:?}");
    }
    let rule =
        json!({"state": "succeeded", "rows_s": 2_592_000, "payloads_s": 604_800, "reason": "tidy"});
    let said = server.post("/api/v1/retention", &rule).await?;
    ensure!(said.json["changed"] == true, "{said:?}");
    ensure!(server.post("/api/v1/retention", &rule).await?.json["changed"] == false);
    let rules = server.get("/api/v1/retention").await?;
    ensure!(
        rules.json[0]["rows_s"] == 2_592_000 && rules.json[0]["said_by"] == "root",
        "{rules:?}"
    );
    for wrong in [
        json!({"state": "running"}),
        json!({"state": "failed", "rows_s": 5}),
    ] {
        let refused = server.post("/api/v1/retention", &wrong).await?;
        ensure!(refused.status == 422, "{refused:?}");
    }
    let back = json!({"state": "succeeded"});
    let back = server.post("/api/v1/retention/as-declared", &back).await?;
    ensure!(back.json["changed"] == true, "{back:?}");
    for nothing in ["", "/removed", "/kept"] {
        let nothing = server.get(&format!("/api/v1/retention{nothing}")).await?;
        ensure!(nothing.json == json!([]), "{nothing:?}");
    }
    ensure!(server.get("/api/v1/alerts?all=true").await?.status == 200);
    ensure!(server.get("/api/v1/alerts?kind=no%20worker").await?.json == json!([]));
    let unfinished = server.get("/api/v1/unfinished").await?;
    ensure!(unfinished.json["ready"] == 0, "{unfinished:?}");
    for health in ["/livez", "/readyz"] {
        let health = server.call("", "GET", health, None).await?;
        ensure!(health.status == 200 && health.text == "ok\n", "{health:?}");
    }
    Ok(())
}

async fn the_document_says_where_it_is_mounted(server: Server) -> Result<()> {
    use tower::ServiceExt as _;
    let document = server.call("", "GET", "/api/v1/openapi.json", None).await?;
    ensure!(document.json["openapi"] == "3.1.0", "{}", document.text);
    ensure!(
        document.json["servers"] == json!([{"url": "/"}]),
        "{}",
        document.json["servers"]
    );
    let app = axum::Router::new().nest("/of/mine", server.router.clone());
    let get = |path: &str, token: &str| {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        app.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let mounted = get("/of/mine/api/v1/openapi.json", "").await?;
    let mounted = axum::body::to_bytes(mounted.into_body(), 1 << 20).await?;
    let mounted: Value = serde_json::from_slice(&mounted)?;
    ensure!(
        mounted["servers"] == json!([{"url": "/of/mine"}]),
        "{}",
        mounted["servers"]
    );
    ensure!(get("/of/mine/api/v1/intents", "").await?.status() == 401);
    ensure!(
        get("/of/mine/api/v1/intents", &server.admin)
            .await?
            .status()
            == 200
    );
    // Nothing refers to what is not there.
    let text = document.json.to_string();
    let schemas = document.json["components"]["schemas"].as_object().unwrap();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        ensure!(schemas.contains_key(name), "{name}");
    }
    Ok(())
}
