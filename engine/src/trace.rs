//! Trace: the caller's trace, as the header `traceparent` has it (W3C Trace Context), kept with an intent and handed on by its
//! steps. With the feature `opentelemetry` the engine's spans are part of it.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(feature = "opentelemetry")]
mod spans;
#[cfg(not(feature = "opentelemetry"))]
mod spans {
    //! Nobody records spans.

    pub(crate) fn follow(_: &tracing::Span, _: Option<super::TraceParent>) {}

    pub(crate) fn here() -> Option<super::TraceParent> {
        None
    }

    pub(crate) fn failed(_: &str) {}
}

pub(crate) use spans::{failed, follow, here};

/// Where in which trace something was asked for: the header `traceparent` of W3C Trace Context.
///
/// ```
/// # use intendant::TraceParent;
/// let trace: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
/// assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!(trace.is_sampled());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a `traceparent` as W3C Trace Context has it, such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)]
pub struct NoTraceParent;

impl TraceParent {
    /// By its parts; none where one of the two ids is zero, which stands for none.
    pub fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }

    /// One that was kept in a row. None where it cannot be read: nothing of the intent depends on it.
    pub(crate) fn kept(text: Option<String>) -> Option<Self> {
        text?.parse().ok()
    }

    /// The trace's id, in 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The id of the caller's span, in 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// Its flags.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the caller may have recorded it.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    /// Reads later versions as well, as far as this one goes; they may have more parts.
    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let digits = |part: Option<&str>, count: usize| {
            let part = part.filter(|part| part.len() == count)?;
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let whole = part.bytes().all(hex);
            u128::from_str_radix(part, 16).ok().filter(|_| whole)
        };
        let mut parts = text.trim().split('-');
        let mut read = || {
            let version = digits(parts.next(), 2)?;
            let trace = digits(parts.next(), 32)?;
            let span = u64::try_from(digits(parts.next(), 16)?).ok()?;
            let flags = u8::try_from(digits(parts.next(), 2)?).ok()?;
            let known = match version {
                0 => parts.next().is_none(),
                version => version != 0xff,
            };
            Self::new(trace, span, flags).filter(|_| known)
        };
        read().ok_or(NoTraceParent)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TraceParent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TraceParent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of the specification, and of its test suite.
    #[test]
    fn a_header_is_read_as_the_specification_says() {
        let ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        let read = |text: &str| text.parse::<TraceParent>().map(|trace| trace.to_string());
        let normal = Ok(format!("00-{ids}-01"));
        assert_eq!(read(&format!("00-{ids}-01")), normal);
        assert_eq!(read(&format!(" 00-{ids}-01 ")), normal);
        assert_eq!(read(&format!("cc-{ids}-01")), normal);
        assert_eq!(read(&format!("cc-{ids}-01-what-the-future-has")), normal);
        assert!(
            !format!("00-{ids}-00")
                .parse::<TraceParent>()
                .unwrap()
                .is_sampled()
        );
        for wrong in [
            "",
            "00",
            &format!("00-{ids}"),
            &format!("00-{ids}-1"),
            &format!("00-{ids}-01-more"),
            &format!("ff-{ids}-01"),
            &format!("00-{}-01", ids.to_uppercase()),
            &format!("00-{}-01", ids.replace("4bf92f", "+bf92f")),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(read(wrong), Err(NoTraceParent), "{wrong}");
        }
    }
}
