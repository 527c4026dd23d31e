//! What holds for every request, whoever makes it.

use anyhow::{Result, ensure};
use axum::body::Body;
use axum::http::{Request, header};
use axum::response::Response;
use intendant_api::http::Api;
use tower::ServiceExt as _;

use crate::support::{Server, on_both};

on_both! {
    a_server_goes_by_its_names_only;
    a_page_of_another_origin_changes_nothing;
    every_answer_says_what_a_browser_may_do_with_it;
}

async fn a_server_goes_by_its_names_only(server: Server) -> Result<()> {
    let router = Api::new(&server.intendant)
        .open()
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
    let router = Api::new(&server.intendant).open().router();
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
