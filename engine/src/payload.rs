//! Payloads: inputs, outputs and progress notes as JSON that every part can read again.
//!
//! A payload is checked once, where it enters, and then handed on as the text it is. What one of the two databases
//! could not hold is refused for both: a NUL in a string (PostgreSQL), nesting beyond what a parser takes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::limits;
use crate::secret::{self, Given};

/// JSON text, checked once, shared, and handed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload(Arc<str>);

impl Payload {
    /// The text.
    pub(crate) fn get(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    pub(crate) fn text(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// What is wrong with a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value does not serialize to JSON.
    #[error("the value does not serialize to JSON: {0}")]
    Encode(serde_json::Error),
    /// The text is not JSON.
    #[error("the text is not JSON: {0}")]
    Parse(serde_json::Error),
    /// The JSON is not of the type that the code expects.
    #[error("the JSON does not decode as {type_name}: {error}")]
    Decode {
        /// The Rust type.
        type_name: &'static str,
        /// What the decoder says.
        error: serde_json::Error,
    },
    /// Longer than [`limits::PAYLOAD_BYTES`].
    #[error(
        "the payload has {bytes} bytes, the limit is {limit}; keep big things elsewhere and pass their name"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested deeper than [`limits::PAYLOAD_DEPTH`].
    #[error("the payload is nested {depth} levels deep, the limit is {limit}")]
    TooDeep {
        /// Its depth.
        depth: usize,
        /// The limit.
        limit: usize,
    },
    /// A secret that is serialized together with other members: flattened, or within an enum with a tag of its own.
    #[error(
        "a secret at `{at}` of the input is no value of its own: `#[serde(flatten)]` and enums with `#[serde(tag)]` merge it \
         with what is beside it; put it into a field"
    )]
    LooseSecret {
        /// Where, as a JSON pointer.
        at: String,
    },
    /// A secret that the cipher refuses.
    #[error("the secret at `{at}` of the input cannot be sealed: it is too long for the cipher")]
    Unsealed {
        /// Where, as a JSON pointer.
        at: String,
    },
    /// An input that somebody has written has marks of secrets in it that it cannot have.
    #[error(
        "the input has a member `$secret`: give a secret as it is; a sealed one is kept when its own intent is amended, and \
         is of no use in another place"
    )]
    MarkedSecret,
    /// A part of a sealed secret was to be changed.
    #[error("a part of a secret cannot be changed: it is sealed as a whole; give the whole input")]
    PartOfSecret,
    /// A string has the character U+0000, which PostgreSQL cannot keep.
    #[error("a string in the payload has the character U+0000, which a database cannot keep")]
    Nul,
    /// A string has half of a surrogate pair.
    #[error("a string in the payload has half of a surrogate pair, which is no character")]
    Surrogate,
}

/// Serializes and checks a value.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Payload, PayloadError> {
    let text = serde_json::to_string(value).map_err(PayloadError::Encode)?;
    check(&text)?;
    Ok(Payload(Arc::from(text)))
}

/// Parses and checks a text.
pub(crate) fn parse(text: &str) -> Result<Payload, PayloadError> {
    check(text)?;
    stored(text)
}

/// Parses and checks an input that somebody has written.
pub(crate) fn parse_given(text: &str, given: Given) -> Result<Payload, PayloadError> {
    let payload = parse(text)?;
    match secret::is_given_well(text, given) {
        true => Ok(payload),
        false => Err(PayloadError::MarkedSecret),
    }
}

/// A payload with some of it changed, as a JSON merge patch says (RFC 7386). What is not changed is handed on as it is:
/// numbers have more digits than a parser keeps.
pub(crate) fn merged(payload: &Payload, changes: &Value) -> Result<Payload, PayloadError> {
    parse(&merge(payload.get(), changes)?)
}

fn merge(text: &str, changes: &Value) -> Result<String, PayloadError> {
    let Value::Object(changes) = changes else {
        return Ok(changes.to_string());
    };
    if secret::is_marked(text)
        && serde_json::from_str(text).is_ok_and(|value| secret::is_sealed(&value))
    {
        return Err(PayloadError::PartOfSecret);
    }
    // What is no object is replaced by one.
    let members = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text);
    let mut members = members.unwrap_or_default();
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
            continue;
        }
        let before = members.get(name).map_or("null", |member| member.get());
        let member = RawValue::from_string(merge(before, change)?);
        members.insert(name.clone(), member.map_err(PayloadError::Parse)?);
    }
    serde_json::to_string(&members).map_err(PayloadError::Encode)
}

/// The elements of a list.
pub(crate) fn elements(payload: &Payload) -> Result<Vec<Payload>, PayloadError> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(payload.get()).map_err(|error| PayloadError::Decode {
            type_name: "a list",
            error,
        })?;
    Ok(elements
        .into_iter()
        .map(|element| trusted(element.get()))
        .collect())
}

/// Takes text that was put together from checked payloads, or that the database has checked.
pub(crate) fn trusted(text: impl Into<Arc<str>>) -> Payload {
    Payload(text.into())
}

/// Takes text from where nobody has checked it.
pub(crate) fn stored(text: &str) -> Result<Payload, PayloadError> {
    serde_json::from_str::<&RawValue>(text).map_err(PayloadError::Parse)?;
    Ok(Payload(Arc::from(text)))
}

/// What stands in for a payload that cannot be read any more.
pub(crate) fn null() -> Payload {
    Payload(Arc::from("null"))
}

/// Reads a payload back.
pub(crate) fn decode<T: DeserializeOwned>(payload: &Payload) -> Result<T, PayloadError> {
    serde_json::from_str(payload.get()).map_err(|error| PayloadError::Decode {
        type_name: std::any::type_name::<T>(),
        error,
    })
}

/// What a payload is compared by: all of it but its secrets.
fn value_of(payload: &Payload) -> Result<Value, serde_json::Error> {
    let value = serde_json::from_str(payload.get());
    match secret::is_marked(payload.get()) {
        true => value.map(secret::blanked),
        false => value,
    }
}

/// SHA-256 of a body with its object keys sorted: two requests with one key are compared by it.
pub(crate) fn canonical_hash(parts: &[&str], payload: &Payload) -> Vec<u8> {
    let canonical =
        value_of(payload).map_or_else(|_| payload.get().to_owned(), |value| sorted(&value));
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(canonical.as_bytes());
    hash.finalize().to_vec()
}

/// Whether two payloads say the same, as the databases compare them: neither the order of an object's names matters nor
/// how a number is written.
pub(crate) fn is_same(a: &Payload, b: &Payload) -> bool {
    match (value_of(a), value_of(b)) {
        (Ok(a), Ok(b)) => is_same_value(&a, &b),
        _ => a == b,
    }
}

fn is_same_value(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => a == b || is_whole(a, b) || is_whole(b, a),
        (Array(a), Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_value(a, b))
        }
        (Object(a), Object(b)) => {
            let same = |(name, a)| b.get(name).is_some_and(|b| is_same_value(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

/// Whether a float is this whole number: 1.0 is 1.
fn is_whole(float: &serde_json::Number, whole: &serde_json::Number) -> bool {
    let float = float.as_f64().filter(|_| float.is_f64());
    // Exact: a float has not room for all whole numbers, so these are not made floats of.
    float.is_some_and(|float| float.fract() == 0.0 && Some(float as i128) == whole.as_i128())
}

/// Prints a value with the keys of its objects sorted, whatever map `serde_json` was built with.
fn sorted(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let fields: std::collections::BTreeMap<_, _> = map.iter().collect();
            let fields = fields.into_iter().map(|(key, value)| {
                let key = serde_json::Value::from(key.as_str());
                format!("{key}:{}", sorted(value))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        serde_json::Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(sorted).collect::<Vec<_>>().join(",")
            )
        }
        scalar => scalar.to_string(),
    }
}

/// Checks JSON text in one pass over its bytes; whether it is JSON at all is the parser's to say.
fn check(text: &str) -> Result<(), PayloadError> {
    if text.len() > limits::PAYLOAD_BYTES {
        return Err(PayloadError::TooLarge {
            bytes: text.len(),
            limit: limits::PAYLOAD_BYTES,
        });
    }
    let bytes = text.as_bytes();
    let (mut depth, mut deepest, mut in_string, mut at) = (0usize, 0usize, false, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                at += 1;
                if bytes.get(at) == Some(&b'u') {
                    at = check_escape(bytes, at + 1)?;
                    continue;
                }
            }
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    if deepest > limits::PAYLOAD_DEPTH {
        return Err(PayloadError::TooDeep {
            depth: deepest,
            limit: limits::PAYLOAD_DEPTH,
        });
    }
    Ok(())
}

/// Checks the escape whose four digits start at `at`; returns the position behind it.
fn check_escape(bytes: &[u8], at: usize) -> Result<usize, PayloadError> {
    match code_unit(bytes, at) {
        Some(0) => Err(PayloadError::Nul),
        Some(0xD800..=0xDBFF) => {
            let paired = bytes.get(at + 4) == Some(&b'\\') && bytes.get(at + 5) == Some(&b'u');
            match code_unit(bytes, at + 6).filter(|_| paired) {
                Some(0xDC00..=0xDFFF) => Ok(at + 10),
                _ => Err(PayloadError::Surrogate),
            }
        }
        Some(0xDC00..=0xDFFF) => Err(PayloadError::Surrogate),
        _ => Ok(at + 4),
    }
}

fn code_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = std::str::from_utf8(bytes.get(at..at + 4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> String {
        match parse(text) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_a_database_could_not_hold_is_refused() {
        assert_eq!(verdict(r#"{"a": "b\\u0000 is text, not an escape"}"#), "ok");
        assert_eq!(verdict(r#""\ud83d\ude00""#), "ok");
        assert!(verdict(r#""\u0000""#).contains("U+0000"));
        assert!(verdict(r#"["x\\\u0000"]"#).contains("U+0000"));
        assert!(verdict(r#""\ud83d""#).contains("surrogate"));
        assert!(verdict(r#""\ude00x""#).contains("surrogate"));
        assert!(verdict(r#""\ud83dx\ude00""#).contains("surrogate"));
        assert!(verdict("{").contains("not JSON"));
    }

    #[test]
    fn depth_and_size_are_limits_at_minus_one_zero_and_plus_one() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(verdict(&nested(limits::PAYLOAD_DEPTH - 1)), "ok");
        assert_eq!(verdict(&nested(limits::PAYLOAD_DEPTH)), "ok");
        assert!(verdict(&nested(limits::PAYLOAD_DEPTH + 1)).contains("101 levels"));
        let sized = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert_eq!(verdict(&sized(limits::PAYLOAD_BYTES - 1)), "ok");
        assert_eq!(verdict(&sized(limits::PAYLOAD_BYTES)), "ok");
        assert!(verdict(&sized(limits::PAYLOAD_BYTES + 1)).contains("1048577 bytes"));
    }

    #[test]
    fn a_brace_in_a_string_is_not_depth() {
        assert_eq!(verdict(&format!("\"{}\"", "{".repeat(500))), "ok");
    }

    #[test]
    fn the_canonical_hash_ignores_the_order_of_keys_and_nothing_else() {
        let hash = |text: &str| canonical_hash(&["k"], &parse(text).expect("valid"));
        assert_eq!(hash(r#"{"a":1,"b":2}"#), hash(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(hash(r#"{"a":1,"b":2}"#), hash(r#"{"a":2,"b":1}"#));
    }

    #[test]
    fn payloads_are_compared_by_what_they_say() {
        let same = |a: &str, b: &str| is_same(&parse(a).expect("valid"), &parse(b).expect("valid"));
        assert!(same(
            r#"{"a":1,"b":["é"]}"#,
            r#"{ "b": ["\u00e9"], "a": 1.0 }"#
        ));
        assert!(same("1e2", "100"));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1,"b":null}"#));
        assert!(!same("[1,2]", "[2,1]"));
        assert!(!same("18446744073709551615", "18446744073709551614"));
        assert!(!same("9007199254740993", "9007199254740992.0"));
        assert!(!same("1", "true"));
    }

    /// The examples of RFC 7386 that have to do with objects.
    #[test]
    fn a_payload_is_changed_member_by_member() {
        use serde_json::json;
        let check = |payload: &str, changes: Value, expected: &str| {
            let merged = merged(&parse(payload).unwrap(), &changes).unwrap();
            assert_eq!(merged.get(), expected);
        };
        check(r#"{"a":"b"}"#, json!({"a": "c"}), r#"{"a":"c"}"#);
        check(r#"{"a":"b"}"#, json!({"b": "c"}), r#"{"a":"b","b":"c"}"#);
        check(r#"{"a":"b","b":1}"#, json!({"a": null}), r#"{"b":1}"#);
        let nested = json!({"a": {"b": "d", "c": null}});
        check(r#"{"a":{"b":"c"}}"#, nested, r#"{"a":{"b":"d"}}"#);
        check(r#"{"a":[{"b":"c"}]}"#, json!({"a": [1]}), r#"{"a":[1]}"#);
        let deep = json!({"a": {"bb": {"ccc": null}}});
        check("{}", deep, r#"{"a":{"bb":{}}}"#);
        let long = "123456789012345678901234567890.10";
        let payload = format!(r#"{{"a":{long}}}"#);
        check(
            &payload,
            json!({"b": 1}),
            &format!(r#"{{"a":{long},"b":1}}"#),
        );
    }
}
