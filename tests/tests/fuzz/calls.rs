//! Calls: what a client says that goes by the document, with something wrong in it here and there.

use std::fmt;

use anyhow::Result;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::changes::{changed, changes, plain};
use crate::document::{Document, Operation, Parameter};
use crate::text::{edited, encoded, few_edits, texts};

/// A request as it is made. It is printed as it goes over the line, but for its token.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.target)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        write!(f, "\n{}", self.body.escape_ascii())
    }
}

impl Call {
    /// One that reads something.
    pub(crate) fn get(target: String) -> Self {
        Self {
            method: "GET".to_owned(),
            target,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn of(operation: &Operation, said: Vec<Said>, body: Content, keep: &[u8]) -> Self {
        let mut call = Self {
            method: operation.method.clone(),
            body: body.bytes,
            ..Self::get(operation.path.clone())
        };
        let mut query = Vec::new();
        for Said { place, name, value } in said {
            match place.as_str() {
                "path" => {
                    let value = encoded(&value, keep);
                    call.target = call.target.replace(&format!("{{{name}}}"), &value);
                }
                "query" => query.push(format!("{name}={}", encoded(&value, keep))),
                _ => call.headers.push((name, value)),
            }
        }
        if !query.is_empty() {
            call.target = format!("{}?{}", call.target, query.join("&"));
        }
        if !body.kind.is_empty() {
            let name = header::CONTENT_TYPE.to_string();
            call.headers.push((name, body.kind.into_bytes()));
        }
        call
    }

    pub(crate) fn request(&self, token: &str) -> Result<Request<Body>> {
        // What is longer is no URL for anybody.
        let target = self.target.get(..60_000).unwrap_or(&self.target);
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(target)
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        for (name, value) in &self.headers {
            // What no header can have does not go over a line either.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request = request.header(name.as_str(), value);
            }
        }
        Ok(request.body(Body::from(self.body.clone()))?)
    }
}

/// What is said under one name.
#[derive(Debug, Clone)]
struct Said {
    place: String,
    name: String,
    value: Vec<u8>,
}

/// A body, and what it is said to be.
#[derive(Debug, Clone, Default)]
struct Content {
    kind: String,
    bytes: Vec<u8>,
}

/// Calls of an operation.
pub(crate) fn calls(document: &Document, operation: &Operation) -> BoxedStrategy<Call> {
    let parameters = operation.parameters.iter();
    let said = parameters.map(|parameter| of_parameter(document, operation, parameter));
    let said: Vec<BoxedStrategy<Vec<Said>>> = said.collect();
    let body = match &operation.body {
        Some(schema) => content(document, schema),
        // It reads none, whatever it is.
        None => prop_oneof![4 => Just(Content::default()), 1 => noise()].boxed(),
    };
    // Signs of a URL that mean something, as they are.
    let keep = prop_oneof![8 => Just(&b""[..]), 1 => Just(&b"%+"[..])];
    let operation = operation.clone();
    (said, body, keep)
        .prop_map(move |(said, body, keep)| Call::of(&operation, said.concat(), body, keep))
        .boxed()
}

/// What is said for a parameter: once, or, where it may be, not at all or twice.
fn of_parameter(
    document: &Document,
    operation: &Operation,
    parameter: &Parameter,
) -> BoxedStrategy<Vec<Said>> {
    // An id is that of whatever the path goes through.
    let is_token = operation.path.starts_with("/api/v1/tokens/");
    let under = match parameter.name.as_str() {
        "id" if is_token => "token",
        name => name,
    };
    let usual = document.instance(under, &parameter.schema);
    let usual = usual.prop_map(|json| json.bare());
    let text = prop_oneof![6 => usual, 1 => texts()];
    let value = (text, few_edits()).prop_map(|(text, edits)| edited(text.into_bytes(), &edits));
    let (place, name) = (parameter.place.clone(), parameter.name.clone());
    let said = value.prop_map(move |value| Said {
        place: place.clone(),
        name: name.clone(),
        value,
    });
    let said = said.boxed();
    match parameter.place.as_str() {
        "path" => vec(said, 1).boxed(),
        "query" => prop_oneof![4 => vec(said.clone(), 0..2), 1 => vec(said, 2)].boxed(),
        _ => vec(said, 0..2).boxed(),
    }
}

/// A body that the schema allows, with what has gone wrong with its JSON and with its bytes.
fn content(document: &Document, schema: &Value) -> BoxedStrategy<Content> {
    let json = (document.instance("", schema), changes(plain()));
    let bytes = json.prop_map(|(json, changes)| changed(json, changes).to_string().into_bytes());
    let bytes = (bytes, few_edits()).prop_map(|(bytes, edits)| edited(bytes, &edits));
    let kind = select(vec![
        "application/json",
        "application/json",
        "application/json",
        "Application/JSON ; charset=latin1",
    ]);
    let usual = (kind, bytes).prop_map(|(kind, bytes)| Content {
        kind: kind.to_owned(),
        bytes,
    });
    prop_oneof![8 => usual, 1 => noise()].boxed()
}

/// Bytes that are something else, or are said to be.
fn noise() -> BoxedStrategy<Content> {
    let kinds = select(vec![
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
        "application/json",
    ]);
    let kind = prop_oneof![4 => kinds.prop_map(str::to_owned), 1 => texts()];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..200),
        texts().prop_map(String::into_bytes)
    ];
    (kind, bytes)
        .prop_map(|(kind, bytes)| Content { kind, bytes })
        .boxed()
}
