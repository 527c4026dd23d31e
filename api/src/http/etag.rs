//! Entity tags (RFC 9110, 8.8.3): who asks again with the tag of what they have is told that it is as it was.
//!
//! A tag is a hash of the answer, which is in memory anyway: it saves what is sent, not what is read.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::parts::parameter;
use super::route::Operation;

/// Gives an answer of JSON its tag, or says that it is the one that the asker has.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    let known = request.headers().get_all(header::IF_NONE_MATCH);
    let known: Vec<HeaderValue> = known.iter().cloned().collect();
    let (mut parts, body) = next.run(request).await.into_parts();
    if parts.status != StatusCode::OK || !is_whole_json(&parts.headers, &body) {
        return Response::from_parts(parts, body);
    }
    // It has a length, so that it is in memory.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
        return Response::from_parts(parts, Body::empty());
    };
    let hash = Sha256::digest(&bytes);
    let digits: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{digits}\"");
    let is_known = known.iter().any(|header| names(header, &tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn is_whole_json(headers: &HeaderMap, body: &Body) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind == "application/json") && body.size_hint().exact().is_some()
}

/// Whether a header has this tag in its list, or says that any will do. Weak and strong are alike here.
fn names(header: &HeaderValue, tag: &str) -> bool {
    let list = header
        .to_str()
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    list.into_iter()
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// What the document says of it.
pub(super) fn describe(operation: &mut Operation) {
    let Some(answer) = operation.answers.get_mut("200") else {
        return;
    };
    if answer["content"].get("application/json").is_none() {
        return;
    }
    let says = "Changes with the answer; sent as `If-None-Match`, it asks for what is new";
    answer["headers"]["ETag"] = json!({"description": says, "schema": {"type": "string"}});
    let unchanged = json!({"description": "It is as it was"});
    operation.answers.insert("304".to_owned(), unchanged);
    let says = "The tag of the answer that is at hand";
    let known = json!({"type": "string"});
    operation
        .parameters
        .push(parameter("header", "If-None-Match", false, known, says));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tags_names_this_one_or_any() {
        let tag = "\"ab\"";
        let check = |header: &str| names(&HeaderValue::from_str(header).unwrap(), tag);
        assert!(check("\"ab\"") && check("W/\"ab\"") && check("\"x\", \"ab\"") && check("*"));
        assert!(!check("\"x\"") && !check("ab") && !check(""));
    }
}
