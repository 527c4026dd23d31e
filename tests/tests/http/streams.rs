//! Live views, and how one comes back to them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use futures_util::StreamExt as _;
use intendant::{NewToken, Scope};
use intendant_api::http::Api;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Server, on_both};

on_both! {
    an_intent_is_watched_until_it_has_succeeded;
    whoever_comes_back_gets_what_has_happened_meanwhile_and_nothing_twice;
    a_page_is_watched_as_it_changes;
    streams_end_when_the_server_drains;
    a_stream_of_another_account_is_not_there;
    a_router_that_nobody_stops_streams_until_its_reader_goes;
    a_number_that_no_value_can_hold_ends_nobody_s_view;
    a_stream_ends_when_its_token_is_revoked;
    all_events_of_what_has_finished_are_told_before_the_end;
    nobody_takes_all_streams;
}

/// One event as it came.
#[derive(Debug, Clone)]
struct Told {
    name: String,
    id: String,
    data: Value,
    text: String,
}

struct Listening {
    body: BodyDataStream,
    text: String,
}

impl Listening {
    async fn to(server: &Server, path: &str, last: Option<&str>) -> Result<Self> {
        Self::by(&server.router, &server.admin, path, last).await
    }

    async fn by(router: &Router, token: &str, path: &str, last: Option<&str>) -> Result<Self> {
        let mut request =
            Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = router.clone().oneshot(request.body(Body::empty())?).await?;
        ensure!(response.status() == 200, "{response:?}");
        let kind = &response.headers()[header::CONTENT_TYPE];
        ensure!(kind == "text/event-stream", "{kind:?}");
        Ok(Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        })
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Result<Option<Told>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let start = format!("{name}: ");
                    let line = event.lines().find_map(|line| line.strip_prefix(&start));
                    line.unwrap_or_default().to_owned()
                };
                let told = Told {
                    name: field("event"),
                    id: field("id"),
                    data: serde_json::from_str(&field("data")).unwrap_or_default(),
                    text: field("data"),
                };
                self.text = rest.to_owned();
                if !told.name.is_empty() {
                    return Ok(Some(told));
                }
                continue;
            }
            let more = tokio::time::timeout(Duration::from_secs(20), self.body.next());
            match more.await.context("nothing comes")? {
                Some(bytes) => self.text.push_str(std::str::from_utf8(&bytes?)?),
                None => return Ok(None),
            }
        }
    }

    async fn expect(&mut self, name: &str) -> Result<Told> {
        let told = self.next().await?.context("the stream has ended")?;
        ensure!(told.name == name, "expected {name}: {told:?}");
        Ok(told)
    }
}

async fn an_intent_is_watched_until_it_has_succeeded(server: Server) -> Result<()> {
    server.registered().await?;
    let wanted = json!({"kind": "server.resize", "input": {"account": "acme", "server": 1}});
    let id = server.post("/api/v1/intents", &wanted).await?.json["id"].clone();
    let path = format!("/api/v1/intents/{}/stream", id.as_str().unwrap());
    let mut listening = Listening::to(&server, &path, None).await?;
    let first = listening.expect("intent").await?;
    ensure!(first.data["intent"]["state"] == "ready", "{first:?}");
    let worker = server.worker();
    let mut states = vec!["ready".to_owned()];
    loop {
        let told = listening.next().await?.context("the end comes first")?;
        if told.name == "end" {
            break;
        }
        states.push(told.data["intent"]["state"].as_str().unwrap().to_owned());
    }
    ensure!(
        states.last().unwrap() == "succeeded" && states.len() <= 3,
        "{states:?}"
    );
    ensure!(listening.next().await?.is_none());
    worker.stop().await
}

async fn whoever_comes_back_gets_what_has_happened_meanwhile_and_nothing_twice(
    server: Server,
) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let path = format!("/api/v1/intents/{failed}/stream");
    let mut listening = Listening::to(&server, &path, None).await?;
    let seen = listening.expect("intent").await?;
    ensure!(
        seen.id.starts_with("0.") && seen.data["intent"]["state"] == "failed",
        "{seen:?}"
    );
    drop(listening);
    // Nothing has happened: nothing is told again, and what happens then is told at once.
    let mut listening = Listening::to(&server, &path, Some(&seen.id)).await?;
    let by = async |reason: &str| server.intendant.resume(failed, "ada", Some(reason)).await;
    by("first").await?;
    let event = listening.expect("event").await?;
    ensure!(
        event.data["reason"] == "first" && event.id == "1.-",
        "{event:?}"
    );
    drop(listening);
    // It was cut off between the event and what is now.
    let mut listening = Listening::to(&server, &path, Some(&event.id)).await?;
    let now = listening.expect("intent").await?;
    ensure!(now.data["intent"]["state"] == "ready", "{now:?}");
    drop(listening);
    let worker = server.worker();
    server.intendant.at_rest(failed).await?;
    worker.stop().await?;
    by("second").await?;
    server.intendant.cancel(failed, "ada", None).await?;
    let mut listening = Listening::to(&server, &path, Some(&now.id)).await?;
    let mut told = Vec::new();
    loop {
        let next = listening.next().await?.context("something more")?;
        if next.name != "event" {
            // It had begun before it failed, so it is stopped by whoever takes it up.
            ensure!(next.data["intent"]["state"] == "undoing", "{next:?}");
            break;
        }
        told.push((
            next.data["seq"].as_i64().unwrap(),
            next.data["verb"].as_str().unwrap().to_owned(),
        ));
    }
    let verbs: Vec<&str> = told.iter().map(|(_, verb)| verb.as_str()).collect();
    ensure!(
        told.first().unwrap().0 == 2 && verbs == ["resume", "cancel"],
        "{told:?}"
    );
    Ok(())
}

async fn a_page_is_watched_as_it_changes(server: Server) -> Result<()> {
    let ids = server.with_history(&["acme", "other"]).await?;
    let path = "/api/v1/intents/stream?account=acme";
    let mut listening = Listening::to(&server, path, None).await?;
    let page = listening.expect("page").await?;
    ensure!(page.data["ids"] == json!([ids[1], ids[0]]), "{page:?}");
    ensure!(
        page.data["intents"].as_array().unwrap().len() == 2,
        "{page:?}"
    );
    // What does not belong to it changes nothing.
    server.intendant.resume(ids[3], "ada", None).await?;
    server.intendant.resume(ids[1], "ada", None).await?;
    let changed = listening.expect("page").await?;
    ensure!(changed.data["ids"] == page.data["ids"], "{changed:?}");
    let intents = changed.data["intents"].as_array().unwrap();
    ensure!(
        intents.len() == 1 && intents[0]["id"] == json!(ids[1]),
        "{changed:?}"
    );
    drop(listening);
    let mut back = Listening::to(&server, path, Some(&changed.id)).await?;
    server.intendant.cancel(ids[1], "ada", None).await?;
    let told = back.expect("page").await?;
    let state = &told.data["intents"][0]["state"];
    ensure!(told.id != changed.id && state == "undoing", "{told:?}");
    Ok(())
}

async fn streams_end_when_the_server_drains(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let mut one = Listening::to(&server, &format!("/api/v1/intents/{failed}/stream"), None).await?;
    let mut page = Listening::to(&server, "/api/v1/intents/stream", None).await?;
    one.expect("intent").await?;
    page.expect("page").await?;
    server.stop.send_replace(true);
    ensure!(one.next().await?.is_none() && page.next().await?.is_none());
    Ok(())
}

async fn a_stream_of_another_account_is_not_there(server: Server) -> Result<()> {
    let ids = server.with_history(&["acme"]).await?;
    let token = server.token("portal", Scope::Viewer, Some("other")).await?;
    let path = format!("/api/v1/intents/{}/stream", ids[0]);
    let said = server.call(&token, "GET", &path, None).await?;
    ensure!(said.is(404, "not_found"), "{said:?}");
    let said = server
        .call(&token, "GET", "/api/v1/intents/stream?account=acme", None)
        .await?;
    ensure!(said.is(403, "forbidden"), "{said:?}");
    Ok(())
}

async fn a_router_that_nobody_stops_streams_until_its_reader_goes(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let router = Api::new(&server.intendant).router();
    let path = format!("/api/v1/intents/{failed}/stream");
    let mut one = Listening::by(&router, &server.admin, &path, None).await?;
    let mut page = Listening::by(&router, &server.admin, "/api/v1/intents/stream", None).await?;
    one.expect("intent").await?;
    page.expect("page").await?;
    // It goes on: what happens after the first look is told.
    server.intendant.resume(failed, "ada", None).await?;
    one.expect("event").await?;
    let now = one.expect("intent").await?;
    ensure!(now.data["intent"]["state"] == "ready", "{now:?}");
    page.expect("page").await?;
    Ok(())
}

async fn a_number_that_no_value_can_hold_ends_nobody_s_view(server: Server) -> Result<()> {
    server.registered().await?;
    let request = Request::post("/api/v1/intents")
        .header(header::AUTHORIZATION, format!("Bearer {}", server.admin))
        .header(header::CONTENT_TYPE, "application/json");
    // The kind's schema does not know the field.
    let body = r#"{"kind": "server.resize", "account": "acme",
                   "input": {"account": "acme", "server": 1, "large": 1e400}}"#;
    let made = server.send(request.body(Body::from(body))?).await?;
    if made.status != 201 {
        // Or it is not let in at all.
        ensure!(made.status == 422, "{made:?}");
        return Ok(());
    }
    let id = server.intendant.page(Default::default()).await?.intents[0].id;
    let mut page = Listening::to(&server, "/api/v1/intents/stream", None).await?;
    let told = page.expect("page").await?;
    ensure!(told.text.contains("1e400"), "{told:?}");
    let mut one = Listening::to(&server, &format!("/api/v1/intents/{id}/stream"), None).await?;
    ensure!(one.expect("intent").await?.text.contains("1e400"));
    for at in ["", "/why", "/steps", "/events"] {
        let said = server.get(&format!("/api/v1/intents/{id}{at}")).await?;
        ensure!(said.status == 200, "{said:?}");
    }
    ensure!(server.get("/api/v1/intents").await?.status == 200);
    Ok(())
}

async fn a_stream_ends_when_its_token_is_revoked(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let new = NewToken {
        name: "portal".to_owned(),
        scope: Scope::Viewer,
        account: Some("acme".to_owned()),
        expires_at: None,
    };
    let issued = server.intendant.create_token(new, "test").await?;
    let path = format!("/api/v1/intents/{failed}/stream");
    let mut listening = Listening::by(&server.router, &issued.token, &path, None).await?;
    listening.expect("intent").await?;
    server
        .intendant
        .revoke_token(issued.record.id, "test")
        .await?;
    ensure!(listening.next().await?.is_none());
    Ok(())
}

async fn all_events_of_what_has_finished_are_told_before_the_end(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let input = json!({"account": "acme", "server": 1, "cores": 2});
    let input = serde_json::value::to_raw_value(&input)?;
    for _ in 0..1_003 {
        let amended = server.intendant.amend_json(failed, &input, "ada", None);
        amended.await?;
    }
    server.intendant.discard(failed, "ada", None).await?;
    let path = format!("/api/v1/intents/{failed}/stream");
    let mut listening = Listening::to(&server, &path, None).await?;
    let mut seqs = Vec::new();
    loop {
        let told = listening.next().await?.context("the end comes first")?;
        match told.name.as_str() {
            "event" => seqs.push(told.data["seq"].as_i64().unwrap()),
            "end" => break,
            _ => {}
        }
    }
    ensure!(seqs == (1..=1_004).collect::<Vec<_>>(), "{}", seqs.len());
    Ok(())
}

async fn nobody_takes_all_streams(server: Server) -> Result<()> {
    let token = server.token("greedy", Scope::Viewer, None).await?;
    let path = "/api/v1/intents/stream";
    let mut taken = Vec::new();
    let refused = loop {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = server
            .router
            .clone()
            .oneshot(request.body(Body::empty())?)
            .await?;
        if response.status() != 200 {
            break response;
        }
        taken.push(response);
        ensure!(taken.len() < 200, "there is no end to it");
    };
    ensure!(refused.status() == 503, "{refused:?}");
    // Others have theirs.
    Listening::to(&server, path, None)
        .await?
        .expect("page")
        .await?;
    // Who goes makes room.
    taken.clear();
    let free = || async {
        let again = Listening::by(&server.router, &token, path, None).await;
        Ok(again.ok())
    };
    crate::support::until(free).await?;
    Ok(())
}
