//! Marks: which values of an input are secret, plain as long as it is on its way, sealed from then on.
//!
//! Inputs are walked as text: what is not marked stays as it is, with all the digits of its numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::level::Level;

/// The only member of an object that is a mark.
const MARK: &str = "$secret";
/// How that stands in an input.
const QUOTED: &str = "\"$secret\"";
/// How every sealed text begins.
pub(super) const SEALED: &str = "intendant:v1:";

/// JSON, marked.
pub(super) fn plain(json: &str) -> String {
    format!("{{\"{MARK}\":{{\"plain\":{json}}}}}")
}

/// A mark that is still plain.
#[derive(Serialize)]
pub(super) struct Plain<'a, T> {
    #[serde(rename = "$secret")]
    mark: Within<'a, T>,
}

#[derive(Serialize)]
struct Within<'a, T> {
    plain: &'a T,
}

impl<'a, T> Plain<'a, T> {
    pub(super) fn of(value: &'a T) -> Self {
        Self {
            mark: Within { plain: value },
        }
    }
}

/// The value of a plain mark, and any other as it is.
pub(super) fn unmarked(mut value: Value) -> Value {
    let mut plain = || {
        let mark = value.as_object_mut().filter(|members| members.len() == 1)?;
        let plain = mark.get_mut(MARK)?.as_object_mut();
        plain.filter(|members| members.len() == 1)?.remove("plain")
    };
    plain().unwrap_or(value)
}

/// Whether a text can have marks: most inputs have none, and are looked at no further.
pub(crate) fn is_marked(text: &str) -> bool {
    text.contains(QUOTED)
}

/// Whether a text has a mark that is not sealed: such a row is not made.
pub(crate) fn has_plain(text: &str) -> bool {
    let mut each = |_: &str, mark: Mark<'_>| match mark {
        Mark::Plain(_) | Mark::Loose(_) => Err(()),
        Mark::Sealed(_) => Ok(String::new()),
    };
    is_marked(text) && replaced(text, &mut String::new(), &mut each).is_err()
}

/// Whether a value is a mark.
pub(crate) fn is_mark(value: &Value) -> bool {
    let members = value.as_object().filter(|members| members.len() == 1);
    members.is_some_and(|members| match members.get(MARK) {
        Some(Value::String(sealed)) => sealed.starts_with(SEALED),
        Some(Value::Object(plain)) => plain.len() == 1 && plain.contains_key("plain"),
        _ => false,
    })
}

/// Whether a value of an input is a secret that is sealed, as records of intents show it.
///
/// ```
/// # use serde_json::json;
/// assert!(intendant::is_sealed(&json!({"$secret": "intendant:v1:0f0f0f0f:…"})));
/// assert!(!intendant::is_sealed(&json!("hunter2")));
/// ```
pub fn is_sealed(value: &Value) -> bool {
    is_mark(value) && value[MARK].is_string()
}

/// A value with every secret in it blanked: what two inputs are compared by.
pub(crate) fn blanked(value: Value) -> Value {
    match value {
        mark if is_mark(&mark) => Value::from(super::mask::INSTEAD),
        Value::Object(members) => {
            let members = members.into_iter();
            let blank = members.map(|(name, value)| (name, blanked(value)));
            Value::Object(blank.collect())
        }
        Value::Array(items) => items.into_iter().map(blanked).collect(),
        scalar => scalar,
    }
}

/// What a mark says.
pub(super) enum Mark<'a> {
    /// JSON, not sealed yet.
    Plain(&'a RawValue),
    /// The sealed text.
    Sealed(&'a str),
    /// A plain one with other members beside it, as serde makes it of a secret that is flattened, or within an enum with a tag
    /// of its own: the whole object.
    Loose(&'a str),
}

/// What comes of one: it is told where it is (a JSON pointer, RFC 6901), and says the JSON in its place.
pub(super) type Each<'a, E> = dyn FnMut(&str, Mark<'_>) -> Result<String, E> + 'a;

/// A JSON text with each of its marks replaced.
pub(super) fn replaced<E>(
    text: &str,
    at: &mut String,
    each: &mut Each<'_, E>,
) -> Result<String, E> {
    if !is_marked(text) {
        return Ok(text.to_owned());
    }
    let level = Level::of(text);
    if let Level::Object(members) = &level {
        match mark_of(members) {
            Some(Found::Plain(value)) => return each(at, Mark::Plain(value)),
            Some(Found::Sealed(sealed)) => return each(at, Mark::Sealed(&sealed)),
            Some(Found::Loose) => return each(at, Mark::Loose(text)),
            None => {}
        }
    }
    level.rebuilt(|part, text| part.within(at, |at| replaced(text, at, each)))
}

enum Found<'a> {
    Plain(&'a RawValue),
    Sealed(String),
    Loose,
}

fn mark_of<'a>(members: &BTreeMap<String, &'a RawValue>) -> Option<Found<'a>> {
    let (mark, is_alone) = (members.get(MARK)?, members.len() == 1);
    if let Ok(sealed) = serde_json::from_str::<String>(mark.get()) {
        let is_sealed = is_alone && sealed.starts_with(SEALED);
        return is_sealed.then_some(Found::Sealed(sealed));
    }
    let plain: BTreeMap<String, &'a RawValue> = serde_json::from_str(mark.get()).ok()?;
    let value = plain.get("plain")?;
    match is_alone && plain.len() == 1 {
        true => Some(Found::Plain(value)),
        false => Some(Found::Loose),
    }
}

/// Which marks an input may have that somebody has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// None: it is asked for with its secrets as they are, and what they are is for its kind to say.
    New,
    /// Sealed ones: it was read from a record.
    Amended,
}

/// Whether an input that somebody has written has other marks than it may have, however its names are escaped.
pub(crate) fn is_given_well(input: &str, given: Given) -> bool {
    fn is_well(value: &Value, given: Given) -> bool {
        match value {
            sealed if given == Given::Amended && is_sealed(sealed) => true,
            Value::Object(members) => {
                !members.contains_key(MARK) && members.values().all(|member| is_well(member, given))
            }
            Value::Array(items) => items.iter().all(|item| is_well(item, given)),
            _ => true,
        }
    }
    // Whether it is JSON at all is said elsewhere.
    serde_json::from_str(input).map_or(true, |value| is_well(&value, given))
}

/// Where sealed secrets are in an input.
pub(crate) fn sealed_at(input: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut each = |at: &str, mark: Mark<'_>| {
        if matches!(mark, Mark::Sealed(_)) {
            found.insert(at.to_owned());
        }
        Ok::<_, Infallible>(String::new())
    };
    let _ = replaced(input, &mut String::new(), &mut each);
    found
}

/// An input with what stands at these places marked.
pub(crate) fn marked_at(input: &str, at: &mut String, places: &BTreeSet<String>) -> String {
    if places.contains(at.as_str()) {
        return marked_whole(input);
    }
    let below = format!("{at}/");
    if !places.iter().any(|place| place.starts_with(&below)) {
        return input.to_owned();
    }
    let rebuilt = Level::of(input).rebuilt(|part, text| {
        Ok::<_, Infallible>(part.within(at, |at| marked_at(text, at, places)))
    });
    rebuilt.unwrap_or_else(|never| match never {})
}

/// A value as a mark: unless it is one, or nothing at all.
pub(super) fn marked_whole(input: &str) -> String {
    let value = serde_json::from_str::<Value>(input).unwrap_or_default();
    match value.is_null() || is_mark(&value) {
        true => input.to_owned(),
        false => plain(input),
    }
}
