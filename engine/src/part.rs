//! Parts: lists of what belongs to one intent, a bounded piece at a time.
//!
//! An intent may have ten thousand steps, each with an output of a megabyte. Whoever shows them to somebody elsewhere takes a
//! part, which is bounded in number and in bytes, and goes on where that ended.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::store::{
    AttemptRecord, ChildRecord, LinkRecord, LogRecord, MeasureRecord, SignalRecord, StepRecord,
};

/// A part of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Part<T> {
    /// What it has.
    pub items: Vec<T>,
    /// Where to go on; none at the end, as of now.
    pub next: Option<Mark>,
}

/// A place in a list of what belongs to one intent, for whoever goes on there: a text, of which nothing is promised but that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark(pub(crate) Key);

/// What stands behind a mark: the key of the last row, as far as its list has such columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key(
    pub(crate) String,
    pub(crate) i64,
    pub(crate) i64,
    pub(crate) String,
);

/// A text that is no [`Mark`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not where a part of a list has ended")]
pub struct NoMark(String);

impl Mark {
    /// The place right before what belongs to a step, in the lists that go by steps.
    pub fn before_step(step: &str) -> Self {
        Self(Key(step.to_owned(), 0, 0, String::new()))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        key.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let bytes: Option<Vec<u8>> = text
            .as_bytes()
            .chunks(2)
            .map(|digits| {
                let digits = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(digits, 16).ok()
            })
            .collect();
        let key = bytes.and_then(|bytes| serde_json::from_slice::<Key>(&bytes).ok());
        // No database can keep the character in a text.
        let key = key.filter(|key| !key.0.contains('\0') && !key.3.contains('\0'));
        key.map(Mark).ok_or_else(|| NoMark(text.to_owned()))
    }
}

impl Serialize for Mark {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Mark {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mark".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

macro_rules! parts {
    ($($(#[$says:meta])* $name:ident: $record:ty;)*) => {
        impl Intendant {
            $(
                $(#[$says])*
                ///
                /// At most `limit` of them and [`limits::PAGE`], and fewer where they are large: see
                /// [`limits::PAGE_BYTES`].
                pub async fn $name(
                    &self,
                    id: IntentId,
                    after: Option<Mark>,
                    limit: u32,
                ) -> Result<Part<$record>, Error> {
                    let limit = limit.clamp(1, limits::PAGE) as usize;
                    self.store().$name(id, after.unwrap_or_default().0, limit).await
                }
            )*
        }
    };
}

parts! {
    /// A part of [`all_steps`](Self::all_steps): those that have something to say, by name, and then those that have not
    /// begun. One that begins in between the two may be in neither.
    part_of_steps: StepRecord;
    /// A part of [`attempts`](Self::attempts), by step.
    part_of_attempts: AttemptRecord;
    /// A part of [`logs`](Self::logs), by step.
    part_of_logs: LogRecord;
    /// A part of [`measurements`](Self::measurements), by step.
    part_of_measurements: MeasureRecord;
    /// A part of [`children`](Self::children), by the step that asked for them.
    part_of_children: ChildRecord;
    /// A part of [`links`](Self::links).
    part_of_links: LinkRecord;
    /// A part of [`signals`](Self::signals), in the order in which they were sent.
    part_of_signals: SignalRecord;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is_one() {
        let mark = Mark(Key("größe [7]".to_owned(), 1, -2, "\"".to_owned()));
        assert_eq!(mark.to_string().parse(), Ok(mark));
        let nul = Mark(Key("\0".to_owned(), 0, 0, String::new())).to_string();
        for wrong in ["", "7", "zz", "é", "5b5d", "2f", "+1", nul.as_str()] {
            assert!(wrong.parse::<Mark>().is_err(), "{wrong}");
        }
    }
}
