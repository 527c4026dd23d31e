//! Values of options: inputs, resources, spans of time.

use std::io::Read as _;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use intendant::{Mode, Resources, limits};
use serde_json::value::RawValue;

use super::args;
use super::exit::Refusal;
use crate::site::WantedResource;

/// An input: written out, in a file, or on stdin.
#[derive(Debug, Clone)]
pub(super) enum InputArg {
    Json(Box<RawValue>),
    File(String),
    Stdin,
}

impl FromStr for InputArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self::File(path.to_owned()));
        }
        let json = RawValue::from_string(text.to_owned());
        json.map(Self::Json)
            .map_err(|error| format!("expected JSON, `@FILE`, or `-` for stdin: {error}"))
    }
}

impl InputArg {
    /// The JSON; what is longer than any input may be is not read to its end.
    pub(super) fn read(&self) -> Result<Box<RawValue>> {
        let (text, place) = match self {
            Self::Json(json) => return Ok(json.clone()),
            Self::File(path) => {
                let file = std::fs::File::open(path);
                let file = file.with_context(|| format!("reading {path}"))?;
                (read(file)?, path.as_str())
            }
            Self::Stdin => (read(std::io::stdin())?, "stdin"),
        };
        RawValue::from_string(text).map_err(|error| {
            Refusal::Usage(format!("what is in {place} is not JSON: {error}")).into()
        })
    }
}

fn read(from: impl std::io::Read) -> Result<String> {
    let mut text = String::new();
    let most = limits::PAYLOAD_BYTES as u64 + 1;
    from.take(most)
        .read_to_string(&mut text)
        .context("reading the input")?;
    if text.len() as u64 == most {
        let most = limits::PAYLOAD_BYTES;
        return Err(Refusal::Usage(format!("the input has more than {most} bytes")).into());
    }
    Ok(text.trim().to_owned())
}

/// A resource, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UsedResource {
    mode: Mode,
    name: String,
}

impl FromStr for UsedResource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let modes = [Mode::Touched, Mode::Shared, Mode::Exclusive].into_iter();
        let used = modes.filter_map(|mode| {
            let name = text.strip_prefix(mode.as_str())?.strip_prefix(':')?;
            // `shared:42` is a resource of the type `shared`.
            args::resource(name).ok().map(|name| Self { mode, name })
        });
        if let Some(used) = { used }.next() {
            return Ok(used);
        }
        Ok(Self {
            mode: Mode::Exclusive,
            name: args::resource(text)?,
        })
    }
}

impl UsedResource {
    /// As a server is told of it.
    pub(super) fn wanted(&self) -> WantedResource<'_> {
        WantedResource {
            resource: &self.name,
            mode: self.mode,
        }
    }
}

/// The resources of a request.
pub(super) fn resources(used: Vec<UsedResource>) -> Resources {
    let mut resources = Resources::none();
    for UsedResource { mode, name } in used {
        resources.add(name, mode);
    }
    resources
}

/// A queue, and how many steps of it at once.
pub(super) fn slots(text: &str) -> Result<(String, usize), String> {
    let slots = text.rsplit_once('=').and_then(|(queue, steps)| {
        let steps = steps.parse().ok().filter(|steps| *steps > 0)?;
        Some((queue.to_owned(), steps))
    });
    slots.ok_or_else(|| "expected `queue=steps`, as in `ssh=4`".to_owned())
}

/// A span of time: `90s`, `20m`, `2h`, `3d`.
pub(super) fn span_of_time(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last().unwrap_or_default();
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => 0,
    };
    text.strip_suffix(unit)
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|_| seconds > 0)
        .map(|number| Duration::from_secs(u64::from(number) * seconds))
        .ok_or_else(|| "expected a span of time as in `90s`, `20m`, `2h` or `3d`".to_owned())
}

/// A time, or in how long one is.
pub(super) fn future(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let span = span_of_time(text).ok();
    span.and_then(|span| TimeDelta::from_std(span).ok())
        .and_then(|span| Utc::now().checked_add_signed(span))
        .ok_or_else(|| {
            "expected a time as in `2026-11-21T08:00:00Z`, or in how long as in `90s`, `20m`, `2h` or `3d`"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_says_how_it_is_used() {
        let used = |text: &str| {
            let used = text.parse::<UsedResource>().ok()?;
            Some((used.mode, used.name))
        };
        let is = |mode, name: &str| Some((mode, name.to_owned()));
        assert_eq!(used("server:42"), is(Mode::Exclusive, "server:42"));
        assert_eq!(used("shared:rack:3"), is(Mode::Shared, "rack:3"));
        assert_eq!(used("touched:a:b:c"), is(Mode::Touched, "a:b:c"));
        assert_eq!(used("shared:42"), is(Mode::Exclusive, "shared:42"));
        assert_eq!(used("server"), None);
    }

    #[test]
    fn an_input_is_written_out_or_read() {
        let json = |text: &str| text.parse::<InputArg>();
        assert!(matches!(json("-"), Ok(InputArg::Stdin)));
        assert!(matches!(json("@a.json"), Ok(InputArg::File(path)) if path == "a.json"));
        assert_eq!(
            json("{\"a\": 1}").unwrap().read().unwrap().get(),
            "{\"a\": 1}"
        );
        assert!(json("{").is_err() && json("").is_err());
        let missing = json("@/nowhere/a.json").unwrap().read().unwrap_err();
        assert!(missing.to_string().contains("/nowhere/a.json"));
    }

    #[test]
    fn spans_and_slots_have_numbers() {
        assert_eq!(span_of_time("20m"), Ok(Duration::from_secs(1_200)));
        assert!(
            ["", "m", "2", "-2m", "2w", "é"]
                .iter()
                .all(|text| span_of_time(text).is_err())
        );
        assert_eq!(slots("a=b=4"), Ok(("a=b".to_owned(), 4)));
        assert!(slots("ssh").is_err() && slots("ssh=0").is_err());
        let soon = future("2h").unwrap() - Utc::now();
        assert!((soon.num_minutes() - 120).abs() <= 1);
    }
}
