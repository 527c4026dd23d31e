//! JSON as it is written. A parser's values would not do: they keep no name twice, no number beyond every type, no half of a
//! surrogate pair.

use std::fmt;

use serde_json::Value;

/// JSON, or nearly so.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    /// As it stands there: a number, a word, a string with its quotes.
    Plain(String),
    List(Vec<Json>),
    /// Names stand as they are, with their quotes.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn text(text: &str) -> Self {
        Self::Plain(written(text))
    }

    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Array(list) => Self::List(list.iter().map(Self::of).collect()),
            Value::Object(members) => {
                let members = members.iter();
                let members = members.map(|(name, value)| (written(name), Self::of(value)));
                Self::Object(members.collect())
            }
            plain => Self::Plain(plain.to_string()),
        }
    }

    /// As it would stand in a URL: a string without its quotes.
    pub(crate) fn bare(&self) -> String {
        let text = self.to_string();
        serde_json::from_str(&text).unwrap_or(text)
    }

    /// How many parts it has, itself among them.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::List(list) => 1 + list.iter().map(Self::size).sum::<usize>(),
            Self::Object(members) => 1 + members.iter().map(|(_, json)| json.size()).sum::<usize>(),
        }
    }

    /// The part that is the `nth` to be written.
    pub(crate) fn part(&mut self, nth: &mut usize) -> Option<&mut Self> {
        if *nth == 0 {
            return Some(self);
        }
        *nth -= 1;
        match self {
            Self::Plain(_) => None,
            Self::List(list) => list.iter_mut().find_map(|json| json.part(nth)),
            Self::Object(members) => members.iter_mut().find_map(|(_, json)| json.part(nth)),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comma = |nth: usize| if nth > 0 { "," } else { "" };
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::List(list) => {
                f.write_str("[")?;
                for (nth, json) in list.iter().enumerate() {
                    write!(f, "{}{json}", comma(nth))?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (nth, (name, json)) in members.iter().enumerate() {
                    write!(f, "{}{name}:{json}", comma(nth))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A text as a string of JSON.
pub(crate) fn written(text: &str) -> String {
    Value::from(text).to_string()
}
