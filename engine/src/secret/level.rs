//! One level of a JSON text, taken apart and put together again: what is not changed keeps all the digits of its numbers.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

pub(super) enum Level<'a> {
    Object(BTreeMap<String, &'a RawValue>),
    Array(Vec<&'a RawValue>),
    Scalar(&'a str),
}

/// Where something is within one level.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Member(&'a str),
    Element(usize),
}

impl<'a> Level<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        if let Ok(members) = serde_json::from_str(text) {
            return Self::Object(members);
        }
        serde_json::from_str(text).map_or(Self::Scalar(text), Self::Array)
    }

    /// The text with each of its parts replaced; a scalar has none.
    pub(super) fn rebuilt<E>(
        self,
        mut each: impl FnMut(Part<'_>, &str) -> Result<String, E>,
    ) -> Result<String, E> {
        match self {
            Self::Object(members) => {
                let members = members.into_iter().map(|(name, member)| {
                    let member = each(Part::Member(&name), member.get())?;
                    Ok(format!("{}:{member}", Value::from(name)))
                });
                Ok(format!("{{{}}}", joined(members)?))
            }
            Self::Array(items) => {
                let items = items.into_iter().enumerate();
                let items = items.map(|(index, item)| each(Part::Element(index), item.get()));
                Ok(format!("[{}]", joined(items)?))
            }
            Self::Scalar(text) => Ok(text.to_owned()),
        }
    }
}

fn joined<E>(parts: impl Iterator<Item = Result<String, E>>) -> Result<String, E> {
    Ok(parts.collect::<Result<Vec<_>, E>>()?.join(","))
}

impl Part<'_> {
    /// Does something one level deeper: `at` is where it is, as a JSON pointer (RFC 6901).
    pub(super) fn within<R>(self, at: &mut String, then: impl FnOnce(&mut String) -> R) -> R {
        let before = at.len();
        at.push('/');
        match self {
            Self::Member(name) => at.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Self::Element(index) => at.push_str(&index.to_string()),
        }
        let done = then(at);
        at.truncate(before);
        done
    }
}
