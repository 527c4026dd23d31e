//! Tokens: made, shown once, listed, revoked.

use anyhow::{Result, ensure};
use intendant::Scope;
use serde_json::json;

use crate::support::{Server, on_both};

on_both! {
    a_token_is_shown_once_and_good_until_it_is_revoked;
    what_is_done_with_a_token_has_its_name;
}

async fn a_token_is_shown_once_and_good_until_it_is_revoked(server: Server) -> Result<()> {
    let wanted = json!({"name": "portal", "scope": "viewer", "account": "acme",
                        "expires_at": "2100-01-01T00:00:00Z"});
    let made = server.post("/api/v1/tokens", &wanted).await?;
    ensure!(
        made.status == 201 && made.json["is_good"] == true,
        "{made:?}"
    );
    ensure!(
        made.json["created_by"] == "root" && made.json["account"] == "acme",
        "{made:?}"
    );
    let (token, id) = (
        made.json["token"].as_str().unwrap(),
        made.json["id"].as_str().unwrap(),
    );
    ensure!(
        made.header("location") == format!("/api/v1/tokens/{id}"),
        "{made:?}"
    );
    ensure!(
        server
            .call(token, "GET", "/api/v1/intents", None)
            .await?
            .status
            == 200
    );

    let listed = server.get("/api/v1/tokens").await?;
    let secret = token.split_once('.').unwrap().1;
    ensure!(
        secret.len() == 64 && !listed.text.contains(secret),
        "{listed:?}"
    );
    ensure!(listed.json[1]["name"] == "portal", "{listed:?}");
    let after = listed.json[0]["id"].as_str().unwrap();
    let after = server.get(&format!("/api/v1/tokens?after={after}")).await?;
    ensure!(after.json.as_array().unwrap().len() == 1, "{after:?}");

    let revoke = format!("/api/v1/tokens/{id}");
    let revoked = server.call(&server.admin, "DELETE", &revoke, None).await?;
    ensure!(
        revoked.json["revoked_by"] == "root" && revoked.json["is_good"] == false,
        "{revoked:?}"
    );
    let again = server.call(&server.admin, "DELETE", &revoke, None).await?;
    ensure!(again.json == revoked.json, "{again:?}");
    let gone = server.call(token, "GET", "/api/v1/intents", None).await?;
    ensure!(gone.is(401, "unauthorized"), "{gone:?}");
    let nothing = "/api/v1/tokens/01890000-0000-7000-8000-000000000000";
    let nothing = server.call(&server.admin, "DELETE", nothing, None).await?;
    ensure!(nothing.is(404, "not_found"), "{nothing:?}");
    for wrong in [
        json!({"name": "", "scope": "viewer"}),
        json!({"name": "a", "scope": "root"}),
        json!({"name": "a\nb", "scope": "viewer"}),
        json!({"name": "a", "scope": "viewer", "account": ""}),
        json!({"scope": "viewer"}),
    ] {
        let wrong = server.post("/api/v1/tokens", &wrong).await?;
        ensure!(wrong.is(422, "invalid"), "{wrong:?}");
    }
    // Only the hash of the secret is kept.
    let known = format!("{:?}", server.intendant.tokens(None).await?);
    ensure!(!known.contains(secret), "{known}");
    Ok(())
}

async fn what_is_done_with_a_token_has_its_name(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let token = server.token("night shift", Scope::Operator, None).await?;
    let at = format!("/api/v1/intents/{failed}/resume");
    let body = json!({"reason": "again"});
    ensure!(server.call(&token, "POST", &at, Some(&body)).await?.status == 200);
    let events = server.intendant.events(failed).await?;
    let told: Vec<_> = events
        .iter()
        .map(|event| (&*event.actor, &*event.verb))
        .collect();
    ensure!(told == [("night shift", "resume")], "{told:?}");
    Ok(())
}
