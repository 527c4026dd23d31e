//! What holds for every request, whoever makes it.

use anyhow::{Result, ensure};
use axum::body::Body;
use axum::http::{Request, header};
use axum::response::Response;
use intendant::{Intendant, Scope};
use intendant_api::http::{Api, Grant};
use tower::ServiceExt as _;

use crate::support::{Server, on_both};

on_both! {
    a_server_goes_by_its_names_only;
    a_page_of_another_origin_changes_nothing;
    every_answer_says_what_a_browser_may_do_with_it;
    a_page_without_tls_changes_nothing_behind_tls;
    it_is_open_until_the_first_token_is_made_and_to_no_broken_one;
    a_host_application_that_panics_is_told_of_as_a_problem;
}

/// Whoever asks may do everything.
fn everybody(intendant: &Intendant) -> Api {
    Api::new(intendant).access_by(|_| async {
        Some(Grant {
            who: "anybody".to_owned(),
            scope: Scope::Admin,
            account: None,
        })
    })
}

async fn a_server_goes_by_its_names_only(server: Server) -> Result<()> {
    let router = everybody(&server.intendant)
        .names(["localhost", "[::1]"])
        .router();
    let ask = async |host: &[&str], uri: &str| -> Result<u16> {
        let mut request = Request::get(uri);
        for host in host {
            request = request.header(header::HOST, *host);
        }
        let response: Response = router.clone().oneshot(request.body(Body::empty())?).await?;
        Ok(response.status().as_u16())
    };
    let path = "/api/v1/intents";
    for host in ["localhost", "LOCALHOST:4600", "[::1]:4600"] {
        ensure!(ask(&[host], path).await? == 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.example:4600",
        "127.0.0.1",
        "",
    ] {
        ensure!(ask(&[host], path).await? == 421, "{host}");
    }
    // None, and two of them.
    ensure!(ask(&[], path).await? == 421 && ask(&["localhost", "localhost"], path).await? == 421);
    // As over HTTP/2.
    ensure!(ask(&[], "http://localhost:4600/api/v1/intents").await? == 200);
    ensure!(ask(&["localhost"], "http://evil.example/api/v1/intents").await? == 421);
    ensure!(ask(&["evil.example"], "/livez").await? == 421);
    Ok(())
}

async fn a_page_of_another_origin_changes_nothing(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let router = everybody(&server.intendant).router();
    let resume = async |headers: &[(&str, &str)]| -> Result<u16> {
        let mut request = Request::post(format!("/api/v1/intents/{failed}/resume"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response: Response = router.clone().oneshot(request.body(Body::empty())?).await?;
        Ok(response.status().as_u16())
    };
    let here = ("host", "localhost:4600");
    for other in [
        ("origin", "http://evil.example"),
        ("origin", "http://localhost:3000"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        ensure!(resume(&[here, other]).await? == 403, "{other:?}");
    }
    ensure!(
        resume(&[("origin", "http://localhost:4600")]).await? == 403,
        "no host"
    );
    ensure!(server.intendant.events(failed).await?.is_empty());
    let own = [
        here,
        ("origin", "http://localhost:4600"),
        ("sec-fetch-site", "same-origin"),
    ];
    ensure!(resume(&own).await? == 200);
    ensure!(server.intendant.events(failed).await?.len() == 1);
    Ok(())
}

async fn every_answer_says_what_a_browser_may_do_with_it(server: Server) -> Result<()> {
    for (token, path) in [
        ("", "/livez"),
        ("", "/api/v1/intents"),
        (&*server.admin, "/api/v1/kinds"),
    ] {
        let said = server.call(token, "GET", path, None).await?;
        ensure!(
            said.header("x-content-type-options") == "nosniff",
            "{said:?}"
        );
        ensure!(
            said.header("content-security-policy")
                .contains("default-src 'none'"),
            "{said:?}"
        );
        ensure!(said.header("cache-control") == "no-store", "{said:?}");
        ensure!(
            said.header("access-control-allow-origin").is_empty(),
            "{said:?}"
        );
    }
    Ok(())
}

async fn a_page_without_tls_changes_nothing_behind_tls(server: Server) -> Result<()> {
    let failed = server.with_history(&["acme"]).await?[1];
    let router = everybody(&server.intendant).behind_tls().router();
    let resume = async |origin: &str| -> Result<u16> {
        let request = Request::post(format!("/api/v1/intents/{failed}/resume"))
            .header(header::HOST, "ops.example.com")
            .header(header::ORIGIN, origin);
        let response: Response = router.clone().oneshot(request.body(Body::empty())?).await?;
        Ok(response.status().as_u16())
    };
    ensure!(resume("http://ops.example.com").await? == 403);
    ensure!(resume("https://ops.example.com").await? == 200);
    Ok(())
}

async fn it_is_open_until_the_first_token_is_made_and_to_no_broken_one(
    server: Server,
) -> Result<()> {
    use intendant_tests::database::Database;
    let (_database, empty) = Database::open(server.intendant.store_kind()).await?;
    let router = Api::new(&empty).open().router();
    let list = async |token: Option<&str>| -> Result<u16> {
        let mut request = Request::get("/api/v1/intents");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response: Response = router.clone().oneshot(request.body(Body::empty())?).await?;
        Ok(response.status().as_u16())
    };
    ensure!(list(None).await? == 200);
    for broken in ["garbage", server.admin.as_str(), ""] {
        ensure!(list(Some(broken)).await? == 401, "{broken}");
    }
    ensure!(list(None).await? == 200);
    let new = intendant::NewToken {
        name: "first".to_owned(),
        scope: Scope::Viewer,
        account: None,
        expires_at: None,
    };
    let issued = empty.create_token(new, "test").await?;
    ensure!(list(None).await? == 401 && list(Some(&issued.token)).await? == 200);
    empty.revoke_token(issued.record.id, "test").await?;
    ensure!(list(None).await? == 401 && list(Some(&issued.token)).await? == 401);
    Ok(())
}

async fn a_host_application_that_panics_is_told_of_as_a_problem(server: Server) -> Result<()> {
    let router = Api::new(&server.intendant)
        .access_by(|_| async { panic!("its session is broken") })
        .router();
    let request = Request::get("/api/v1/intents").body(Body::empty())?;
    let response: Response = router.oneshot(request).await?;
    ensure!(response.status() == 500, "{response:?}");
    ensure!(
        response.headers()[header::CONTENT_TYPE] == "application/problem+json",
        "{response:?}"
    );
    Ok(())
}
