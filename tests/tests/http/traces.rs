//! The caller's trace, from the header to the record.

use anyhow::{Result, ensure};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use crate::support::{Server, on_both};

on_both! {
    a_request_is_in_its_callers_trace;
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn caller(span: u64) -> String {
    format!("00-{TRACE}-{span:016x}-01")
}

async fn a_request_is_in_its_callers_trace(server: Server) -> Result<()> {
    server.registered().await?;
    let ask = async |headers: &[&str], traceparent: Option<&str>| {
        let body = json!({
            "kind": "server.resize",
            "account": "acme",
            "input": {"account": "acme", "server": 1, "cores": 4},
            "traceparent": traceparent,
        });
        let mut request = Request::post("/api/v1/intents")
            .header(header::AUTHORIZATION, format!("Bearer {}", server.admin))
            .header(header::CONTENT_TYPE, "application/json");
        for said in headers {
            request = request.header("traceparent", *said);
        }
        let request = request.body(Body::from(body.to_string()))?;
        server.send(request).await
    };
    let (one, two) = (caller(1), caller(2));
    let made = ask(&[&one], None).await?;
    ensure!(made.json["traceparent"] == one.as_str(), "{made:?}");
    ensure!(made.json["correlation_id"] == TRACE, "{made:?}");
    // What the body says goes before the header.
    let made = ask(&[&one], Some(&two)).await?;
    ensure!(made.json["traceparent"] == two.as_str(), "{made:?}");
    // A header that cannot be read is no reason to refuse anything, and neither are two of them.
    for headers in [&["nonsense"][..], &[&one, &two], &[]] {
        let made = ask(headers, None).await?;
        ensure!(made.status == 201, "{made:?}");
        ensure!(made.json["traceparent"] == Value::Null, "{made:?}");
    }
    let refused = ask(&[], Some("nonsense")).await?;
    ensure!(
        refused.status == 422 || refused.status == 400,
        "{refused:?}"
    );
    Ok(())
}
