//! Who sees which page of the dashboard, and the door: signing in, signing out, where the cookie counts.

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use intendant::{NewToken, Scope};
use intendant_api::http::{Api, Grant, Needs};

use crate::pages::{Browser, Page};
use crate::support::{Server, on_both};

on_both! {
    a_page_lets_in_who_may_and_nobody_else;
    a_token_of_one_account_sees_pages_of_that_account_alone;
    signing_in_keeps_a_token_that_scripts_and_other_sites_cannot_use;
    a_cookie_opens_pages_and_not_the_api;
    under_a_path_and_with_the_hosts_own_people;
    the_pages_can_be_left_out;
}

fn filled(path: &str, intent: &str) -> String {
    let filled = path.replace("{id}", intent).replace("{name}", "style.css");
    match path {
        "/intents/{id}/step" => format!("{filled}?name=run"),
        "/intents/{id}/payload" => format!("{filled}?of=input"),
        "/account" => format!("{filled}?name=acme"),
        "/kind" => format!("{filled}?name=server.resize"),
        "/bulk" => format!("{filled}?verb=resume&id={intent}"),
        _ => filled,
    }
}

async fn try_it(browser: &Browser, method: &str, path: &str, intent: &str) -> Result<Page> {
    let at = filled(path, intent);
    match method {
        "GET" => browser.get(&at).await,
        _ => {
            browser
                .post(at.split('?').next().unwrap_or_default(), &[])
                .await
        }
    }
}

async fn a_page_lets_in_who_may_and_nobody_else(server: Server) -> Result<()> {
    let intent = server.with_history(&["acme"]).await?[1].to_string();
    let make = async |name: &str, expires_in: i64| {
        let new = NewToken {
            name: name.to_owned(),
            scope: Scope::Admin,
            account: None,
            expires_at: Some(chrono::Utc::now() + chrono::TimeDelta::seconds(expires_in)),
        };
        server.intendant.create_token(new, "test").await
    };
    let revoked = make("revoked", 3_600).await?;
    server
        .intendant
        .revoke_token(revoked.record.id, "test")
        .await?;
    let nobodys = [
        String::new(),
        "garbage".to_owned(),
        make("expired", -1).await?.token,
        revoked.token,
        format!("{}0", server.admin),
    ];
    let routes = Api::new(&server.intendant).pages();
    ensure!(routes.len() > 20, "{routes:?}");
    for route in routes {
        let (method, path) = (route.method, route.path);
        let needed = match route.needs {
            Needs::Nobody => {
                let said = try_it(&Browser::new(&server, ""), method, path, &intent).await?;
                ensure!(
                    said.status != 403 && !said.text.contains("acme"),
                    "{method} {path}: {said:?}"
                );
                continue;
            }
            Needs::Scope(scope) => scope,
        };
        for token in &nobodys {
            let said = try_it(&Browser::new(&server, token), method, path, &intent).await?;
            ensure!(
                said.status == 401 && said.is_html() && said.text.contains("name=\"token\""),
                "{method} {path} by `{token}`: {said:?}"
            );
            ensure!(!said.said().contains("acme"), "{method} {path}: {said:?}");
            // A cookie that is no good is thrown away.
            ensure!(
                token.is_empty() == said.header("set-cookie").is_empty(),
                "{said:?}"
            );
        }
        for scope in Scope::ALL {
            let token = server.token(scope.as_str(), scope, None).await?;
            let said = try_it(&Browser::new(&server, &token), method, path, &intent).await?;
            let status = said.status.as_u16();
            match (scope >= needed, method) {
                (false, _) => ensure!(
                    status == 403 && said.is_html(),
                    "{method} {path} by {scope}: {said:?}"
                ),
                (true, "GET") => ensure!(status == 200, "{path} by {scope}: {said:?}"),
                // A form that says nothing is refused for that.
                (true, _) => ensure!(status == 422, "{path} by {scope}: {said:?}"),
            }
        }
    }
    Ok(())
}

async fn a_token_of_one_account_sees_pages_of_that_account_alone(server: Server) -> Result<()> {
    let ids = server.with_history(&["acme", "other"]).await?;
    let foreign = ids[1].to_string();
    for scope in Scope::ALL {
        let token = server.token("portal", scope, Some("other")).await?;
        let browser = Browser::new(&server, &token);
        for route in Api::new(&server.intendant).pages() {
            let (method, path) = (route.method, route.path);
            if !matches!(route.needs, Needs::Scope(needed) if scope >= needed) {
                continue;
            }
            let said = try_it(&browser, method, path, &foreign).await?;
            ensure!(
                !said.text.contains(&foreign) || said.status == 404,
                "{method} {path}: {said:?}"
            );
            if path.starts_with("/intents/{id}") && method == "GET" {
                ensure!(said.status == 404, "{method} {path}: {said:?}");
            }
            let is_of_all = ["/workers", "/queues", "/schedules", "/audit"].contains(&path);
            if is_of_all && method == "GET" {
                ensure!(said.status == 403, "{method} {path}: {said:?}");
            }
        }
        let act = browser
            .post(
                &format!("/intents/{foreign}/act"),
                &[("verb", "discard"), ("reason", "no")],
            )
            .await?;
        let expected = if scope >= Scope::Operator { 404 } else { 403 };
        ensure!(act.status == expected, "{act:?}");
        // Whatever can be reached by links is its own.
        let pages = browser.crawl(50).await?;
        ensure!(pages.len() > 8, "{} pages", pages.len());
        for page in pages {
            ensure!(!page.text.contains("acme"), "{page:?}");
        }
        let asked = browser.get("/account?name=acme").await?;
        ensure!(asked.status == 403, "{asked:?}");
        let asked = browser.get("/intents?account=acme").await?;
        ensure!(asked.status == 403, "{asked:?}");
    }
    ensure!(server.intendant.state(ids[1]).await? == intendant::IntentState::Failed);
    Ok(())
}

async fn signing_in_keeps_a_token_that_scripts_and_other_sites_cannot_use(
    server: Server,
) -> Result<()> {
    let token = server.token("ada", Scope::Operator, None).await?;
    let nobody = Browser::new(&server, "");
    let asked = nobody.get("/intents?state=failed").await?;
    ensure!(asked.status == 401, "{asked:?}");
    let form = asked.form(&[("to", "/intents?state=failed")])?;
    let wrong = nobody.submit(&form, &[("token", "intendant_1.2")]).await?;
    ensure!(
        wrong.status == 401 && wrong.header("set-cookie").is_empty(),
        "{wrong:?}"
    );
    let signed_in = nobody
        .submit(&form, &[("token", &format!(" {token}\r\n"))])
        .await?;
    ensure!(
        signed_in.header("location") == "/intents?state=failed",
        "{signed_in:?}"
    );
    let cookie = signed_in.header("set-cookie");
    ensure!(
        cookie.starts_with(&format!("intendant_token={token}; Path=/; "))
            && cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Strict")
            && !cookie.contains("Secure"),
        "{cookie}"
    );
    // Of a page that came by TLS, it never goes without.
    let secure = Request::post("/login")
        .header("host", "ops.example")
        .header("origin", "https://ops.example")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("token={token}")))?;
    let secure = nobody.send("/login", secure).await?;
    ensure!(secure.header("set-cookie").contains("Secure"), "{secure:?}");
    // A form of another site's page does nothing.
    for foreign in ["cross-site", "same-site"] {
        let request = Request::post("/login")
            .header("sec-fetch-site", foreign)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(format!("token={token}")))?;
        let refused = nobody.send("/login", request).await?;
        ensure!(
            refused.status == 403 && refused.header("set-cookie").is_empty(),
            "{refused:?}"
        );
    }
    for elsewhere in ["https://evil.example/", "//evil.example", "/\\evil.example"] {
        let sent = nobody
            .post("/login", &[("token", &token), ("to", elsewhere)])
            .await?;
        ensure!(sent.header("location") == "/", "{sent:?}");
    }
    let ada = Browser::new(&server, &token);
    let page = ada.get("/intents").await?;
    ensure!(
        page.text.contains("ada") && page.text.contains("Sign out"),
        "{page:?}"
    );
    let out = ada.post("/logout", &[]).await?;
    ensure!(
        out.header("set-cookie").starts_with("intendant_token=; ")
            && out.header("set-cookie").contains("Max-Age=0"),
        "{out:?}"
    );
    Ok(())
}

async fn a_cookie_opens_pages_and_not_the_api(server: Server) -> Result<()> {
    let browser = Browser::new(&server, &server.admin);
    ensure!(browser.get("/intents").await?.status == 200);
    let request = Request::get("/api/v1/intents")
        .header(header::COOKIE, format!("intendant_token={}", server.admin))
        .body(Body::empty())?;
    let said = server.send(request).await?;
    ensure!(said.is(401, "unauthorized"), "{said:?}");
    // And from another site's page it opens nothing that changes anything.
    let request = Request::post("/queues")
        .header("sec-fetch-site", "cross-site")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("name=default&verb=pause&reason=x"))?;
    let said = browser.send("/queues", request).await?;
    ensure!(said.status == 403, "{said:?}");
    Ok(())
}

async fn under_a_path_and_with_the_hosts_own_people(server: Server) -> Result<()> {
    server.with_history(&["acme", "other"]).await?;
    let api = Api::new(&server.intendant).access_by(|request| {
        let user = request.headers.get("cookie").is_some();
        async move {
            user.then(|| Grant {
                who: "eve".to_owned(),
                scope: Scope::Operator,
                account: Some("acme".to_owned()),
            })
        }
    });
    let app = Router::new().nest("/ops/x", api.router());
    let eve = Browser::of(app.clone(), Some("session=1".to_owned()), "/ops/x");
    let pages = eve.crawl(20).await?;
    ensure!(pages.len() > 8, "{} pages", pages.len());
    ensure!(pages.iter().all(|page| !page.text.contains("other")));
    // The host's people have no token to type.
    let nobody = Browser::of(app, None, "/ops/x")
        .get("/ops/x/intents")
        .await?;
    ensure!(
        nobody.status == 401 && !nobody.text.contains("name=\"token\""),
        "{nobody:?}"
    );
    Ok(())
}

async fn the_pages_can_be_left_out(server: Server) -> Result<()> {
    let router = Api::new(&server.intendant).without_dashboard().router();
    let none = Browser::of(router, None, "");
    let page = none.get("/intents").await?;
    ensure!(page.status == 404, "{page:?}");
    Ok(())
}
