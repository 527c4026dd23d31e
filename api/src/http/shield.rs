//! What holds for every request, whoever makes it: by which names the server goes, from which pages it may be changed, how long
//! it takes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;

use super::problem::Problem;

/// How long a request may take; streams go on after their beginning.
const PATIENCE: Duration = Duration::from_secs(30);

/// The names that a server goes by; none: whatever it is called.
pub(super) type Names = Option<Arc<[String]>>;

/// How a server is reached.
#[derive(Debug, Clone, Default)]
pub(super) struct Reached {
    pub(super) names: Names,
    pub(super) by: Schemes,
}

/// By which schemes browsers reach a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Schemes {
    /// Nobody has said.
    #[default]
    Any,
    /// By TLS alone: a page that came without it may be anybody's.
    Https,
}

const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

pub(super) async fn shield(
    State(reached): State<Reached>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = answer(reached, request, next).await.into_response();
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

async fn answer(reached: Reached, request: Request, next: Next) -> Result<Response, Problem> {
    let (headers, uri) = (request.headers(), request.uri());
    let host = host(headers, uri);
    if let Some(names) = &reached.names {
        let name = host.as_deref().map(without_port);
        let is_known =
            name.is_some_and(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name)));
        if !is_known {
            return Err(Problem::other_host());
        }
    }
    if uri.to_string().contains("%00") {
        // No database can keep it in a text.
        return Err(Problem::malformed("the URL has the character U+0000"));
    }
    if !request.method().is_safe() {
        check_origin(headers, host.as_deref(), reached.by)?;
    }
    let method = request.method().clone();
    // A panic is told like anything else that is wrong with the server, and ends this request alone.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    let answer = answer.map_err(|_| Problem::too_slow(&method))?;
    answer.map_err(|_| Problem::bug("a route has panicked"))
}

/// What the client calls the server: the header, or, over HTTP/2, the URL's authority.
fn host(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str().to_owned());
    }
    let mut given = headers.get_all(header::HOST).iter();
    match (given.next(), given.next()) {
        (Some(host), None) => host.to_str().ok().map(str::to_owned),
        _ => None,
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A browser says from which page a request comes that may change something; other programs say nothing.
fn check_origin(headers: &HeaderMap, host: Option<&str>, by: Schemes) -> Result<(), Problem> {
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return Err(Problem::other_origin("`Sec-Fetch-Site` says so"));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        if !host.is_some_and(|host| is_same_origin(origin, host, by)) {
            return Err(Problem::other_origin("`Origin` is not this server"));
        }
    }
    Ok(())
}

fn is_same_origin(origin: &str, host: &str, by: Schemes) -> bool {
    let plain = origin.strip_prefix("http://");
    let (rest, port) = if let Some(rest) = origin.strip_prefix("https://") {
        (rest, ":443")
    } else if let Some(rest) = plain.filter(|_| by == Schemes::Any) {
        (rest, ":80")
    } else {
        return false;
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    bare(rest) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_this_server_with_its_port() {
        let is_same = |origin, host| is_same_origin(origin, host, Schemes::Any);
        assert!(is_same("http://localhost:4600", "localhost:4600"));
        assert!(is_same("https://ops.example.com", "OPS.example.com"));
        assert!(is_same("https://ops.example.com:443", "ops.example.com"));
        assert!(!is_same("http://localhost:3000", "localhost:4600"));
        assert!(!is_same("http://evil.example", "localhost:4600"));
        for wrong in [
            "null",
            "",
            "localhost:4600",
            "http://",
            "ftp://localhost:4600",
        ] {
            assert!(!is_same(wrong, "localhost:4600"), "{wrong}");
        }
    }

    #[test]
    fn a_page_without_tls_is_none_of_a_server_that_is_reached_by_tls() {
        let host = "ops.example.com";
        let is_same = |origin| is_same_origin(origin, host, Schemes::Https);
        assert!(is_same("https://ops.example.com") && is_same("https://ops.example.com:443"));
        assert!(!is_same("http://ops.example.com") && !is_same("http://ops.example.com:443"));
    }

    #[test]
    fn a_port_is_no_part_of_the_name() {
        assert_eq!(without_port("localhost:4600"), "localhost");
        assert_eq!(without_port("[::1]:4600"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("localhost"), "localhost");
    }
}
