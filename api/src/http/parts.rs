//! What routes take in and give out, each of which says of itself what it is.

use std::num::NonZeroU32;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Query, RawPathParams, Request};
use axum::http::{HeaderValue, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Datelike as _, Utc};
use intendant::{IntentId, TokenId, TraceParent, limits};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::Access;
use super::problem::Problem;
use super::route::{Described, Operation, Schemas};

/// Most bytes of a body: an input of the largest size, and what else a request says.
const BODY_BYTES: usize = limits::PAYLOAD_BYTES + 64 * 1024;

impl Described for Access {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

pub(super) fn parameter(
    place: &str,
    name: &str,
    required: bool,
    schema: Value,
    says: &str,
) -> Value {
    json!({"in": place, "name": name, "required": required, "schema": schema, "description": says})
}

/// How many of a list are asked for: as many as go together, at most.
pub(super) fn some(limit: Option<NonZeroU32>) -> Result<Option<u32>, Problem> {
    let most = limits::PAGE;
    match limit.map(NonZeroU32::get) {
        Some(limit) if limit > most => Err(Problem::invalid(format!("at most {most} go together"))),
        limit => Ok(limit),
    }
}

/// A name in the path.
pub(super) fn named_parameter(name: &str, says: &str) -> Value {
    parameter(
        "path",
        name,
        true,
        json!({"type": "string", "minLength": 1}),
        says,
    )
}

pub(super) async fn in_path<S: Send + Sync>(
    parts: &mut request::Parts,
    state: &S,
    name: &str,
) -> Result<String, Problem> {
    let found = RawPathParams::from_request_parts(parts, state).await;
    let found = found.map_err(|error| Problem::malformed(error.body_text()))?;
    let mut found = found.iter();
    let value = found.find_map(|(key, value)| (key == name).then(|| value.to_owned()));
    value.ok_or_else(|| Problem::bug("a route has no such part in its path"))
}

async fn id_in_path<S: Send + Sync>(
    parts: &mut request::Parts,
    state: &S,
) -> Result<Uuid, Problem> {
    let text = in_path(parts, state, "id").await?;
    Uuid::try_parse(&text).map_err(|_| Problem::not_found("what stands in the path is no id"))
}

/// The intent that the path names.
pub(super) struct Id(pub(super) IntentId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(IntentId(id_in_path(parts, state).await?)))
    }
}

impl Described for Id {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let id = json!({"type": "string", "format": "uuid"});
        let id = parameter("path", "id", true, id, "The intent's id");
        operation.parameters.push(id);
    }
}

/// The token that the path names.
pub(super) struct TokenInPath(pub(super) TokenId);

impl<S: Send + Sync> FromRequestParts<S> for TokenInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(TokenId(id_in_path(parts, state).await?)))
    }
}

impl Described for TokenInPath {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let id = json!({"type": "string", "format": "uuid"});
        let id = parameter("path", "id", true, id, "The token's id");
        operation.parameters.push(id);
    }
}

/// The kind that the path names.
pub(super) struct KindInPath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for KindInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(in_path(parts, state, "kind").await?))
    }
}

impl Described for KindInPath {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let kind = named_parameter("kind", "The kind's name");
        operation.parameters.push(kind);
    }
}

/// What is said behind the question mark.
pub(super) struct Search<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + 'static> FromRequestParts<S> for Search<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        let found = Query::<T>::from_request_parts(parts, state).await;
        let Query(found) = found.map_err(|error| Problem::malformed(error.body_text()))?;
        Ok(Self(found))
    }
}

impl<T: JsonSchema> Described for Search<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = T::json_schema(&mut schemas.taken);
        let required = schema.get("required").cloned().unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let mut schema = schema.clone();
            let says = schema
                .as_object_mut()
                .and_then(|schema| schema.remove("description"));
            let says = says.as_ref().and_then(Value::as_str).unwrap_or_default();
            let required = required
                .as_array()
                .is_some_and(|all| all.contains(&json!(name)));
            without_null(&mut schema);
            let parameter = parameter("query", name, required, schema, says);
            operation.parameters.push(parameter);
        }
    }
}

/// What stands in a URL is there or not; it is never null.
fn without_null(schema: &mut Value) {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            let one = one.clone();
            schema["type"] = one;
        }
    }
    if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        any.retain(|of| of.get("type").is_none_or(|kind| kind != "null"));
        if let [one] = any.as_slice() {
            *schema = one.clone();
        }
    }
}

/// The body, as JSON; none at all is the same as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_json = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                let kind = kind.split(';').next().unwrap_or_default().trim();
                kind.eq_ignore_ascii_case("application/json")
            });
        let body = to_bytes(request.into_body(), BODY_BYTES).await;
        let body = body.map_err(|_| Problem::too_large(BODY_BYTES))?;
        if body.is_empty() {
            return parse(&Bytes::from_static(b"{}"));
        }
        if !is_json {
            return Err(Problem::not_json());
        }
        parse(&body)
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<Body<T>, Problem> {
    let value = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::invalid(error),
        _ => Problem::malformed(error),
    })?;
    // No database can keep it in a text, and one of the two says so in words of its own.
    if has_nul(body) {
        return Err(Problem::invalid("a string has the character U+0000"));
    }
    Ok(Body(value))
}

/// Whether a string of this JSON, which can be read, has the character U+0000: it stands there as an escape, whose backslash is
/// not one that is escaped itself.
fn has_nul(json: &[u8]) -> bool {
    let mut escapes = json.windows(6).enumerate();
    escapes.any(|(at, bytes)| {
        let before = json[..at].iter().rev();
        bytes == b"\\u0000" && before.take_while(|byte| **byte == b'\\').count() % 2 == 0
    })
}

impl<T: JsonSchema> Described for Body<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let inline = T::json_schema(&mut schemas.taken);
        let required = inline.get("required").and_then(Value::as_array);
        let is_needed = required.is_some_and(|required| !required.is_empty());
        let schema = schemas.taken.subschema_for::<T>();
        operation.body = Some(json!({
            "required": is_needed,
            "content": {"application/json": {"schema": schema}},
        }));
    }
}

/// Asked for again with the same key, it is the same intent.
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(text_header(parts, "idempotency-key")?))
    }
}

impl Described for IdempotencyKey {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let key = json!({"type": "string", "minLength": 1, "maxLength": limits::NAME_CHARS});
        let says = "Asked for again with the same key and the same body, it is the same intent";
        let key = parameter("header", "Idempotency-Key", false, key, says);
        operation.parameters.push(key);
    }
}

/// The caller's trace. A header that cannot be read is as if there was none: it is no reason to refuse anything.
pub(super) struct Traced(pub(super) Option<TraceParent>);

impl<S: Send + Sync> FromRequestParts<S> for Traced {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let mut headers = parts.headers.get_all("traceparent").iter();
        let only = headers.next().filter(|_| headers.next().is_none());
        let text = only.and_then(|header| header.to_str().ok());
        Ok(Self(text.and_then(|text| text.parse().ok())))
    }
}

impl Described for Traced {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let says = "The caller's trace (W3C Trace Context): kept with the intent, and handed on by its steps";
        let trace = json!({"type": "string"});
        let trace = parameter("header", "traceparent", false, trace, says);
        operation.parameters.push(trace);
    }
}

/// Where a stream that was cut off had come to.
pub(super) struct LastEventId(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(text_header(parts, "last-event-id")?))
    }
}

impl Described for LastEventId {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let says = "The id of the last event that has come, to go on after it";
        let id = json!({"type": "string"});
        let id = parameter("header", "Last-Event-ID", false, id, says);
        operation.parameters.push(id);
    }
}

fn text_header(parts: &request::Parts, name: &str) -> Result<Option<String>, Problem> {
    let value = parts.headers.get(name);
    let text = value.map(|value| std::str::from_utf8(value.as_bytes()).map(str::to_owned));
    text.transpose()
        .map_err(|_| Problem::malformed(format!("the header `{name}` is no text")))
}

/// The path as it was asked for, with whatever the routes are mounted under.
pub(super) struct Asked(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        match OriginalUri::from_request_parts(parts, state).await {
            Ok(OriginalUri(uri)) => Ok(Self(uri.path().to_owned())),
            Err(never) => match never {},
        }
    }
}

impl Described for Asked {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

/// A moment in the years that both databases have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) DateTime<Utc>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let time = DateTime::<Utc>::deserialize(from)?;
        match time.year() {
            1970..=9999 => Ok(Self(time)),
            year => Err(serde::de::Error::custom(format!(
                "the year {year} is not between 1970 and 9999"
            ))),
        }
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// An answer, as JSON.
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

impl<T: JsonSchema> Described for Answer<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.given.subschema_for::<T>();
        let answer = json!({
            "description": "Done",
            "content": {"application/json": {"schema": schema}},
        });
        operation.answers.insert("200".to_owned(), answer);
    }
}

/// What was made, or was there before.
pub(super) enum Made<T> {
    /// It is new, and is to be found there.
    New {
        at: String,
        made: T,
    },
    Before(T),
}

impl<T: Serialize> IntoResponse for Made<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Before(it) => Json(it).into_response(),
            Self::New { at, made } => {
                let mut response = (StatusCode::CREATED, Json(made)).into_response();
                if let Ok(at) = HeaderValue::try_from(at) {
                    response.headers_mut().insert(header::LOCATION, at);
                }
                response
            }
        }
    }
}

impl<T: JsonSchema> Described for Made<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.given.subschema_for::<T>();
        for (status, says) in [("201", "It is on disk"), ("200", "It was there before")] {
            let answer = json!({
                "description": says,
                "content": {"application/json": {"schema": schema}},
            });
            operation.answers.insert(status.to_owned(), answer);
        }
    }
}

/// An answer as text.
pub(super) struct Text(pub(super) String);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl Described for Text {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let answer = json!({
            "description": "Done",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        });
        operation.answers.insert("200".to_owned(), answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_wherever_it_is_and_only_there() {
        let nul = |text: &str| parse::<Value>(&Bytes::from(text.to_owned())).is_err();
        assert!(nul(r#"{"a":["b","\u0000"]}"#) && nul(r#"{"\u0000":1}"#));
        assert!(nul(r#"{"a":"\\\u0000"}"#));
        assert!(!nul(r#"{"a":"\\u0000"}"#) && !nul("{}"));
        // Beside a number that no value can hold.
        let nul = |text: &str| {
            parse::<Box<serde_json::value::RawValue>>(&Bytes::from(text.to_owned())).is_err()
        };
        assert!(nul(r#"{"a":1e400,"b":"\u0000"}"#) && !nul(r#"{"a":1e400}"#));
    }

    #[test]
    fn a_moment_is_one_that_databases_have() {
        let moment = |text: &str| serde_json::from_value::<Moment>(json!(text)).is_ok();
        assert!(moment("2026-11-21T08:00:00Z") && moment("9999-12-31T23:59:59+14:00"));
        assert!(!moment("+10000-01-01T00:00:00Z") && !moment("0001-01-01T00:00:00Z"));
        assert!(!moment("yesterday"));
    }

    #[test]
    fn a_parameter_is_never_null() {
        let mut schema = json!({"type": ["string", "null"], "maxLength": 3});
        without_null(&mut schema);
        assert_eq!(schema, json!({"type": "string", "maxLength": 3}));
        let mut schema = json!({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]});
        without_null(&mut schema);
        assert_eq!(schema, json!({"$ref": "#/a"}));
    }
}
