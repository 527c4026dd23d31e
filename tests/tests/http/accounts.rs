//! What one who acts for one account alone cannot do, and does not hear.

use std::sync::Arc;

use anyhow::{Result, ensure};
use axum::body::Body;
use axum::http::{Request, header};
use intendant::{
    Conflicts, Cx, Intent, IntentId, IntentState, Resources, Rule, Scope, StepResult, Worker,
};
use intendant_api::http::Api;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::support::{Resize, Server, on_both, until};

on_both! {
    an_input_whose_account_cannot_be_seen_is_refused;
    resources_are_named_by_those_who_may;
    where_the_code_is_at_hand_it_says_what_is_used_and_for_whom;
    nobody_asks_in_the_name_of_another_one_without_being_named;
    what_others_do_stands_in_no_text_of_ones_own;
    a_refusal_does_not_name_whom_it_is_for;
    workers_and_machines_are_not_named;
}

async fn portal(server: &Server, account: &str) -> Result<String> {
    server.token("portal", Scope::Operator, Some(account)).await
}

/// A body as it is, which need not be one that a value can be.
async fn post(
    server: &Server,
    token: &str,
    path: &str,
    body: String,
) -> Result<crate::support::Said> {
    let request = Request::post(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json");
    server.send(request.body(Body::from(body))?).await
}

/// Takes anything.
#[derive(Serialize, Deserialize)]
struct Anything(Value);

impl Intent for Anything {
    const KIND: &'static str = "anything";
    type Output = Value;
}

async fn anything(_: Cx<()>, it: Anything) -> StepResult<Value> {
    Ok(it.0)
}

async fn an_input_whose_account_cannot_be_seen_is_refused(server: Server) -> Result<()> {
    let working = Working::start(&server).await?;
    let failed = server.with_history(&["acme"]).await?[1];
    let token = portal(&server, "acme").await?;
    for (input, is_own) in [
        (r#"{"account": "acme"}"#, true),
        (r#"{"server": 1}"#, true),
        (r#"{"account": "other"}"#, false),
        (r#"{"account": "acme", "account": "other"}"#, false),
        (r#"["other", 1, 2]"#, false),
        (r#""other""#, false),
        (r#"{"account": {"name": "other"}}"#, false),
    ] {
        let body = format!(r#"{{"kind": "anything", "input": {input}}}"#);
        let said = post(&server, &token, "/api/v1/intents", body).await?;
        ensure!(
            if is_own {
                said.status == 201
            } else {
                said.is(403, "forbidden")
            },
            "{input}: {said:?}"
        );
        if !is_own {
            let at = format!("/api/v1/intents/{failed}/amend");
            let said = post(&server, &token, &at, format!(r#"{{"input": {input}}}"#)).await?;
            ensure!(said.is(403, "forbidden"), "{input}: {said:?}");
        }
    }
    working.stop().await
}

async fn resources_are_named_by_those_who_may(server: Server) -> Result<()> {
    server.registered().await?;
    let token = portal(&server, "acme").await?;
    let wanted = json!({"kind": "server.resize", "input": {"account": "acme", "server": 1},
                        "resources": [{"resource": "server:42"}]});
    let said = server.call(&token, "POST", "/api/v1/intents", Some(&wanted));
    let said = said.await?;
    ensure!(said.is(403, "forbidden"), "{said:?}");
    ensure!(server.intendant.unfinished().await?.total() == 0);
    // The house may, and an account's where the application allows it.
    let mut of_the_house = wanted.clone();
    of_the_house["account"] = json!("acme");
    let said = server.post("/api/v1/intents", &of_the_house).await?;
    ensure!(said.status == 201, "{said:?}");
    let allowing = Api::new(&server.intendant)
        .accounts_name_resources()
        .router();
    let request = Request::post("/api/v1/intents")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(wanted.to_string()))?;
    ensure!(allowing.oneshot(request).await?.status() == 201);
    Ok(())
}

async fn where_the_code_is_at_hand_it_says_what_is_used_and_for_whom(server: Server) -> Result<()> {
    let worker = Worker::new(&server.intendant, ()).register_step(seize);
    let router = Api::new(&server.intendant)
        .code_of(Arc::new(worker))
        .router();
    let token = portal(&server, "acme").await?;
    let ask = async |token: &str, wanted: Value| -> Result<(u16, Value)> {
        let request = Request::post("/api/v1/intents")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(wanted.to_string()))?;
        let said = router.clone().oneshot(request).await?;
        let status = said.status().as_u16();
        let body = axum::body::to_bytes(said.into_body(), 1 << 20).await?;
        Ok((status, serde_json::from_slice(&body)?))
    };
    let seize =
        |account: &str| json!({"kind": "server.seize", "input": {"account": account, "server": 7}});
    let (status, said) = ask(&token, seize("acme")).await?;
    ensure!(status == 201 && said["account"] == "acme", "{said}");
    ensure!(
        said["resources"] == json!([{"resource": "server:7", "mode": "exclusive"}]),
        "{said}"
    );
    let (status, said) = ask(&token, seize("other")).await?;
    ensure!(status == 403, "{said}");
    // The house need not say it either, and cannot say anything else.
    let (status, said) = ask(
        &server.admin,
        json!({"kind": "server.seize", "input": {"account": "other", "server": 8}}),
    )
    .await?;
    ensure!(status == 201 && said["account"] == "other", "{said}");
    let mut wrong = seize("other");
    wrong["account"] = json!("acme");
    let (status, said) = ask(&server.admin, wrong).await?;
    ensure!(status == 422, "{said}");
    let (status, said) = ask(
        &token,
        json!({"kind": "server.seize", "input": {"server": 7}}),
    )
    .await?;
    ensure!(status == 422, "{said}");
    let (status, said) = ask(&token, json!({"kind": "server.move", "input": {}})).await?;
    ensure!(status == 422 && said["code"] == "unknown_kind", "{said}");
    Ok(())
}

async fn nobody_asks_in_the_name_of_another_one_without_being_named(server: Server) -> Result<()> {
    server.registered().await?;
    let wanted = |who: &str| {
        json!({"kind": "server.resize", "account": "acme", "requested_by": who,
               "input": {"account": "acme", "server": 1}})
    };
    let own = portal(&server, "acme").await?;
    let wanted_by = wanted("ada");
    let said = server.call(&own, "POST", "/api/v1/intents", Some(&wanted_by));
    let said = said.await?;
    ensure!(said.is(403, "forbidden"), "{said:?}");
    let wanted_by = wanted("portal");
    let said = server.call(&own, "POST", "/api/v1/intents", Some(&wanted_by));
    let said = said.await?;
    ensure!(
        said.status == 201 && said.json["requested_by"] == "portal",
        "{said:?}"
    );
    ensure!(said.json["labels"] == json!({}), "{said:?}");
    // A token of the house may say whom it asks for, and stands beside that.
    let said = server.post("/api/v1/intents", &wanted("ada")).await?;
    ensure!(
        said.status == 201 && said.json["requested_by"] == "ada",
        "{said:?}"
    );
    ensure!(
        said.json["labels"] == json!({"intendant.token": "root"}),
        "{said:?}"
    );
    let mut forged = wanted("ada");
    forged["labels"] = json!({"intendant.token": "grace"});
    let said = server.post("/api/v1/intents", &forged).await?;
    ensure!(said.is(422, "invalid"), "{said:?}");
    Ok(())
}

/// Refuses to be on a server with anybody else.
#[derive(Serialize, Deserialize)]
struct Seize {
    account: String,
    server: u64,
}

impl Intent for Seize {
    const KIND: &'static str = "server.seize";
    type Output = u64;
    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Reject)
    }
}

async fn seize(_: Cx<()>, it: Seize) -> StepResult<u64> {
    Ok(it.server)
}

/// The house's own: everything on the server is stopped.
#[derive(Serialize, Deserialize)]
struct Terminate {
    server: u64,
}

impl Intent for Terminate {
    const KIND: &'static str = "server.terminate";
    type Output = u64;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", self.server)
    }
    fn conflicts() -> Conflicts {
        Conflicts::otherwise(Rule::Supersede)
    }
}

async fn terminate(_: Cx<()>, it: Terminate) -> StepResult<u64> {
    Ok(it.server)
}

/// A worker that knows the kinds of this file.
struct Working {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<intendant::WorkReport, intendant::Error>>,
}

impl Working {
    async fn start(server: &Server) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::new(&server.intendant, ())
            .register_step(anything)
            .register_step(seize)
            .register_step(terminate);
        let task = tokio::spawn(worker.run(async {
            stopped.await.ok();
        }));
        until(|| async { Ok(server.intendant.kind(Seize::KIND).await.ok()) }).await?;
        Ok(Self { stop, task })
    }

    async fn stop(self) -> Result<()> {
        self.stop.send(()).ok();
        self.task.await??;
        Ok(())
    }
}

/// One of the house, and one of `other` that was stopped for it.
async fn superseded(server: &Server) -> Result<(IntentId, IntentId)> {
    let failed = server.with_history(&["other"]).await?[1];
    let (own, house) = (server.worker(), Working::start(server).await?);
    let terminate = server.intendant.request(Terminate { server: 2 }).await?;
    server.intendant.at_rest(terminate.id()).await?;
    own.stop().await?;
    house.stop().await?;
    Ok((terminate.id(), failed))
}

async fn what_others_do_stands_in_no_text_of_ones_own(server: Server) -> Result<()> {
    let (holder, refused) = superseded(&server).await?;
    ensure!(server.intendant.state(refused).await? == IntentState::Cancelled);
    // The house hears all of it: where, for whom, of what kind.
    let all = server.get(&format!("/api/v1/intents/{refused}")).await?;
    ensure!(all.text.contains(&holder.to_string()), "{all:?}");
    let links = server
        .get(&format!("/api/v1/intents/{refused}/links"))
        .await?;
    ensure!(links.text.contains(&holder.to_string()), "{links:?}");
    let token = portal(&server, "other").await?;
    let mut told = 0;
    for at in [
        format!("/api/v1/intents/{refused}"),
        format!("/api/v1/intents/{refused}/events"),
        format!("/api/v1/intents/{refused}/links"),
        format!("/api/v1/intents/{refused}/steps"),
        format!("/api/v1/intents/{refused}/why"),
        "/api/v1/intents".to_owned(),
        "/api/v1/intents?state=cancelled".to_owned(),
        "/api/v1/intents?resource=server:2".to_owned(),
        "/api/v1/failures".to_owned(),
    ] {
        let said = server.call(&token, "GET", &at, None).await?;
        ensure!(said.status == 200, "{at}: {said:?}");
        ensure!(!said.text.contains(&holder.to_string()), "{at}: {said:?}");
        told += usize::from(said.text.contains("an intent of another account"));
    }
    ensure!(told >= 3, "{told} texts were hidden");
    Ok(())
}

async fn a_refusal_does_not_name_whom_it_is_for(server: Server) -> Result<()> {
    let holder = server.with_history(&["acme"]).await?[1];
    Working::start(&server).await?.stop().await?;
    let wanted = json!({"kind": "server.seize", "input": {"account": "other", "server": 2},
                        "resources": [{"resource": "server:2"}]});
    let mut of_the_house = wanted.clone();
    of_the_house["account"] = json!("other");
    let said = server.post("/api/v1/intents", &of_the_house).await?;
    ensure!(
        said.is(409, "rejected") && said.json["intent"] == json!(holder),
        "{said:?}"
    );
    let allowing = Api::new(&server.intendant)
        .accounts_name_resources()
        .router();
    let ask = async |account: &str| -> Result<Value> {
        let mut wanted = wanted.clone();
        wanted["input"]["account"] = json!(account);
        let request = Request::post("/api/v1/intents")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", portal(&server, account).await?),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(wanted.to_string()))?;
        let said = allowing.clone().oneshot(request).await?;
        ensure!(said.status() == 409, "{said:?}");
        let body = axum::body::to_bytes(said.into_body(), 1 << 20).await?;
        Ok(serde_json::from_slice(&body)?)
    };
    let foreign = ask("other").await?;
    ensure!(
        foreign["code"] == "rejected" && foreign.get("intent").is_none(),
        "{foreign}"
    );
    let text = foreign.to_string();
    ensure!(
        !text.contains(&holder.to_string()) && !text.contains("server.resize"),
        "{text}"
    );
    let own = ask("acme").await?;
    ensure!(own["intent"] == json!(holder), "{own}");
    Ok(())
}

async fn workers_and_machines_are_not_named(server: Server) -> Result<()> {
    let id = server.with_history(&["acme"]).await?[1];
    let token = portal(&server, "acme").await?;
    let resize = Resize {
        account: "acme".into(),
        server: 7,
        cores: 1,
    };
    let waiting = server.intendant.request(resize).await?.id();
    let at = [
        (format!("/api/v1/intents/{id}/attempts"), "items"),
        (format!("/api/v1/intents/{id}/steps"), "items"),
        (format!("/api/v1/intents/{waiting}/why"), "reasons"),
    ];
    for (at, list) in at {
        let house = server.get(&at).await?;
        let own = server.call(&token, "GET", &at, None).await?;
        ensure!(own.status == 200, "{own:?}");
        let worker = |said: &Value| said[list][0]["worker"].as_str().map(str::to_owned);
        ensure!(
            worker(&own.json) == worker(&house.json).map(|_| "a worker".to_owned()),
            "{house:?} {own:?}"
        );
    }
    Ok(())
}
