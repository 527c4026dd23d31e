//! Who may do what: every route of the document, by everybody.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use intendant::{IntentId, NewToken, Scope};
use serde_json::{Value, json};

use crate::documented::Operation;
use crate::support::{Server, on_both};

on_both! {
    a_route_lets_in_who_may_and_nobody_else;
    a_token_of_one_account_sees_and_touches_that_account_alone;
    an_account_hears_nothing_of_others_in_its_way;
    a_host_application_says_who_asks;
}

/// A body that the operation can read.
fn body(operation: &Value) -> Option<Value> {
    Some(match operation["operationId"].as_str().unwrap() {
        "request" => json!({"kind": "server.resize", "input": {"account": "other", "server": 1}}),
        "signal" => json!({"name": "go"}),
        "retry" => json!({"step": "run", "dry_run": true}),
        "skip" => json!({"step": "run", "output": 1, "dry_run": true}),
        "amend" => json!({"input": {"account": "acme", "server": 1}}),
        "bulk" => json!({"verb": "resume", "which": {"state": "failed"}, "dry_run": true}),
        "createToken" => json!({"name": "new", "scope": "admin"}),
        "retain" | "retainAsDeclared" => json!({"state": "succeeded"}),
        "resume" | "cancel" | "undo" | "discard" | "rerun" => json!({"dry_run": true}),
        _ => return None,
    })
}

/// The path, with what stands in it.
fn filled(path: &str, intent: IntentId) -> String {
    // What revokes a token gets an id that is none's, so that the tokens of the matrix stay good.
    let path = match path.starts_with("/api/v1/tokens/") {
        true => path.replace("{id}", "01890000-0000-7000-8000-000000000000"),
        false => path.replace("{id}", &intent.to_string()),
    };
    path.replace("{kind}", "server.resize")
        .replace("{name}", "nowhere")
}

/// A stream that is let in goes on for ever.
fn is_stream(path: &str) -> bool {
    path.ends_with("/stream")
}

fn needed(operation: &Value) -> Option<Scope> {
    operation["x-scope"]
        .as_str()
        .map(|scope| scope.parse().unwrap())
}

async fn a_route_lets_in_who_may_and_nobody_else(server: Server) -> Result<()> {
    let intent = server.with_history(&["acme"]).await?[1];
    let make = async |name: &str, expires_in: i64| {
        let new = NewToken {
            name: name.to_owned(),
            scope: Scope::Admin,
            account: None,
            expires_at: Some(Utc::now() + TimeDelta::seconds(expires_in)),
        };
        server.intendant.create_token(new, "test").await
    };
    let expired = make("expired", -1).await?.token;
    let revoked = make("revoked", 3_600).await?;
    server
        .intendant
        .revoke_token(revoked.record.id, "test")
        .await?;
    let (start, secret) = server.admin.split_once('.').unwrap();
    let last = if secret.ends_with('0') { '1' } else { '0' };
    let nobodys = [
        String::new(),
        "garbage".to_owned(),
        expired,
        revoked.token,
        start.to_owned(),
        format!("{start}."),
        format!("{start}.{}", secret.to_uppercase()),
        format!("{start}.{}{last}", &secret[..63]),
        format!("{}.{secret}", &start[..start.len() - 1]),
    ];
    let mut tried = 0;
    for Operation { path, method, says } in &server.document.operations {
        let (at, body) = (filled(path, intent), body(says));
        let Some(needed) = needed(says) else {
            let said = server.call("", method, &at, body.as_ref()).await?;
            ensure!(said.status == 200, "{method} {path}: {said:?}");
            ensure!(says["security"] == json!([]), "{method} {path}");
            continue;
        };
        ensure!(
            says["security"] == json!([{"token": []}]),
            "{method} {path}"
        );
        for token in &nobodys {
            let said = server.call(token, method, &at, body.as_ref()).await?;
            ensure!(
                said.is(401, "unauthorized"),
                "{method} {path} by `{token}`: {said:?}"
            );
            ensure!(said.header("www-authenticate") == "Bearer", "{said:?}");
            tried += 1;
        }
        for scope in Scope::ALL {
            let token = server.token(scope.as_str(), scope, None).await?;
            if scope >= needed && is_stream(path) {
                continue;
            }
            let said = server.call(&token, method, &at, body.as_ref()).await?;
            tried += 1;
            match scope >= needed {
                true => ensure!(
                    said.status != 401 && said.status != 403 && said.status.as_u16() < 500,
                    "{method} {path} by {scope}: {said:?}"
                ),
                false => ensure!(
                    said.is(403, "forbidden"),
                    "{method} {path} by {scope}: {said:?}"
                ),
            }
            ensure!(
                method != "GET" || scope < needed || said.status == 200,
                "{path}: {said:?}"
            );
        }
    }
    ensure!(tried > 35 * (nobodys.len() + 2), "{tried} tried");
    Ok(())
}

async fn a_token_of_one_account_sees_and_touches_that_account_alone(server: Server) -> Result<()> {
    let ids = server.with_history(&["acme", "other"]).await?;
    let (acme, other) = (&ids[..2], &ids[2..]);
    let token = server.token("portal", Scope::Admin, Some("other")).await?;
    for Operation { path, method, says } in &server.document.operations {
        if needed(says).is_none() {
            continue;
        }
        let body = body(says);
        if path.starts_with("/api/v1/intents/{id}") {
            // Somebody else's is not there.
            let said = server
                .call(&token, method, &filled(path, acme[1]), body.as_ref())
                .await?;
            ensure!(said.is(404, "not_found"), "{method} {path}: {said:?}");
            continue;
        }
        if is_stream(path) {
            continue;
        }
        let said = server
            .call(&token, method, &filled(path, acme[1]), body.as_ref())
            .await?;
        let name = says["operationId"].as_str().unwrap();
        match name {
            "list" | "failures" | "kinds" | "kind" => ensure!(said.status == 200, "{said:?}"),
            "request" => ensure!(said.json["account"] == "other", "{said:?}"),
            "bulk" => ensure!(said.json["matched"] == 1, "{said:?}"),
            _ => ensure!(said.is(403, "forbidden"), "{method} {path}: {said:?}"),
        }
        ensure!(!said.text.contains("acme"), "{method} {path}: {said:?}");
    }
    // By whatever way one asks for it.
    for query in ["account=acme", "account=acme&state=failed"] {
        let said = server
            .call(&token, "GET", &format!("/api/v1/intents?{query}"), None)
            .await?;
        ensure!(said.is(403, "forbidden"), "{said:?}");
    }
    let foreign = json!({"kind": "server.resize", "account": "acme", "input": {"account": "acme", "server": 7}});
    let said = server
        .call(&token, "POST", "/api/v1/intents", Some(&foreign))
        .await?;
    ensure!(said.is(403, "forbidden"), "{said:?}");
    let hidden = json!({"kind": "server.resize", "input": {"account": "acme", "server": 7}});
    let said = server
        .call(&token, "POST", "/api/v1/intents", Some(&hidden))
        .await?;
    ensure!(said.is(403, "forbidden"), "{said:?}");
    let bulk = json!({"verb": "resume", "which": {"account": "acme"}});
    ensure!(
        server
            .call(&token, "POST", "/api/v1/bulk", Some(&bulk))
            .await?
            .is(403, "forbidden")
    );
    // Five thousand looks on each database.
    let own = server.token("acme", Scope::Viewer, Some("acme")).await?;
    let parts = [
        "",
        "/steps",
        "/attempts",
        "/events",
        "/why",
        "/graph",
        "/links",
        "/children",
    ];
    let (mut looks, mut seen) = (0, 0);
    while looks < 5_000 {
        for (who, token, hidden) in [(other, &token, "acme"), (acme, &own, "\"other\"")] {
            for id in &ids {
                let part = parts[looks % parts.len()];
                let at = format!("/api/v1/intents/{id}{part}");
                let said = server.call(token, "GET", &at, None).await?;
                ensure!(
                    said.status == if who.contains(id) { 200 } else { 404 },
                    "{said:?}"
                );
                ensure!(!said.text.contains(hidden), "{said:?}");
                seen += usize::from(said.status == 200);
                looks += 1;
            }
            let said = server
                .call(token, "GET", "/api/v1/intents?resource=server:2", None)
                .await?;
            ensure!(
                said.status == 200 && !said.text.contains(hidden),
                "{said:?}"
            );
            looks += 1;
        }
    }
    ensure!(seen >= 2_000, "{seen} seen");
    Ok(())
}

async fn an_account_hears_nothing_of_others_in_its_way(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    // Another account wants what the failed one holds.
    let waiting = server
        .intendant
        .request(crate::support::Resize {
            account: "other".into(),
            server: 2,
            cores: 1,
        })
        .await?
        .id();
    let worker = server.worker();
    crate::support::until(|| async {
        let state = server.intendant.state(waiting).await?;
        Ok((state == intendant::IntentState::Blocked).then_some(()))
    })
    .await?;
    worker.stop().await?;
    let at = format!("/api/v1/intents/{waiting}/why");
    let all = server.get(&at).await?;
    ensure!(
        all.text.contains(&failed.to_string()) && all.text.contains("acme"),
        "{all:?}"
    );
    let token = server.token("portal", Scope::Viewer, Some("other")).await?;
    let own = server.call(&token, "GET", &at, None).await?;
    ensure!(own.json["reasons"][0]["resource"] == "server:2", "{own:?}");
    ensure!(own.json["reasons"][0]["holders"] == json!([]), "{own:?}");
    ensure!(
        !own.text.contains(&failed.to_string()) && !own.text.contains("acme"),
        "{own:?}"
    );
    ensure!(
        own.json["words"] == json!(["others are in its way"]),
        "{own:?}"
    );
    Ok(())
}

async fn a_host_application_says_who_asks(server: Server) -> Result<()> {
    use axum::body::Body;
    use axum::http::Request;
    use intendant_api::http::{Api, Grant};
    use tower::ServiceExt as _;
    server.with_history(&["acme", "other"]).await?;
    let router = Api::new(&server.intendant).access_by(|request| {
        let user = request
            .headers
            .get("x-user")
            .and_then(|user| user.to_str().ok());
        let account = user.map(str::to_owned);
        async move {
            Some(Grant {
                who: account.clone()?,
                scope: Scope::Viewer,
                account,
            })
        }
    });
    let router = router.router();
    let get = |user: Option<&str>| {
        let mut request = Request::get("/api/v1/intents");
        if let Some(user) = user {
            request = request.header("x-user", user);
        }
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    ensure!(get(None).await?.status() == 401);
    let page = axum::body::to_bytes(get(Some("acme")).await?.into_body(), 1 << 20).await?;
    let page: Value = serde_json::from_slice(&page)?;
    ensure!(page["intents"].as_array().unwrap().len() == 2, "{page}");
    // A token of the engine's opens nothing there.
    let token =
        Request::get("/api/v1/intents").header("authorization", format!("Bearer {}", server.admin));
    ensure!(
        router
            .clone()
            .oneshot(token.body(Body::empty())?)
            .await?
            .status()
            == 401
    );
    Ok(())
}
