//! How the pages say things: states, times, ids, texts that somebody else has written.

use crate::drawing::step_sign;
use chrono::{DateTime, Utc};
use intendant::{IntentId, IntentRecord, IntentState, StepState};
use maud::{Markup, html};
use serde_json::Value;
use serde_json::value::RawValue;

use super::place::Place;
use crate::output::words;

/// Most characters of a payload that a page shows by itself; the rest is a link away.
const PAYLOAD_CHARS: usize = 8_000;
/// Most characters of a text in a line of a list.
const LINE_CHARS: usize = 160;

/// A state as a sign and a word, so that nobody has to tell colours apart.
pub(super) fn badge(state: IntentState) -> Markup {
    let sign = match state {
        IntentState::Blocked => "◫",
        IntentState::Ready => "○",
        IntentState::Running => "▶",
        IntentState::Waiting => "◔",
        IntentState::Undoing => "↺",
        IntentState::Succeeded => "✓",
        IntentState::Failed => "✕",
        IntentState::Cancelled => "–",
    };
    signed(state.as_str(), sign)
}

pub(super) fn step_badge(state: StepState) -> Markup {
    signed(state.as_str(), step_sign(state))
}

pub(super) fn signed(word: &str, sign: &str) -> Markup {
    html! { span class={ "state s-" (word) } { span .sign aria-hidden="true" { (sign) } (word) } }
}

/// How long ago it was, with the moment itself for whoever wants it.
pub(super) fn ago(at: DateTime<Utc>) -> Markup {
    moment(at, &words::age(at))
}

/// When it is due.
pub(super) fn ahead(at: DateTime<Utc>) -> Markup {
    moment(at, &words::ahead(at))
}

pub(super) fn moment(at: DateTime<Utc>, said: &str) -> Markup {
    let exact = words::time(at);
    html! { time datetime=(exact) title=(exact) { (said) } }
}

/// The moment, and how long ago it was.
pub(super) fn exact(at: DateTime<Utc>) -> Markup {
    let exact = words::time(at);
    html! { time datetime=(exact) { (at.format("%Y-%m-%d %H:%M:%S UTC")) } " " span .muted { "(" (words::age(at)) ")" } }
}

/// An id, short: its end, in which those of one moment differ.
pub(super) fn id(place: &Place, id: IntentId) -> Markup {
    let whole = id.to_string();
    let short = whole.get(whole.len() - 8..).unwrap_or_default().to_owned();
    html! { a .id href=(place.intent(id)) title=(whole) { "…" (short) } }
}

/// One line of it, cut.
pub(super) fn line(text: &str) -> String {
    cut(&words::one_line(text), LINE_CHARS)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What there is to say about an intent in a line.
pub(super) fn what(record: &IntentRecord) -> String {
    let said = words::what(record);
    match (said.is_empty(), record.state) {
        (false, _) => said,
        (true, IntentState::Blocked) => "others go first".to_owned(),
        (true, IntentState::Ready) => match record.run_at.filter(|at| *at > Utc::now()) {
            Some(at) => format!("starts {}", words::ahead(at)),
            None => "in line for a worker".to_owned(),
        },
        (true, IntentState::Running) => "a worker has it in hand".to_owned(),
        (true, IntentState::Undoing) => "what it did is taken back".to_owned(),
        (
            true,
            IntentState::Waiting
            | IntentState::Succeeded
            | IntentState::Failed
            | IntentState::Cancelled,
        ) => String::new(),
    }
}

/// A text with its ids as links and what stands between backticks as code. It is taken apart, and each part is escaped.
pub(super) fn linked(place: &Place, text: &str) -> Markup {
    html! {
        @for part in parts(text) {
            @match part {
                Part::Text(text) => { (text) },
                Part::Code(text) => { code { (text) } },
                Part::Id(id) => { a .id href=(place.intent(id)) { (id) } },
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Code(&'a str),
    Id(IntentId),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let ticks = text.matches('`').count();
    for (index, piece) in text.split('`').enumerate() {
        if index % 2 == 1 && index < ticks {
            parts.push(Part::Code(piece));
            continue;
        }
        if index % 2 == 1 {
            // One that nothing closes.
            parts.push(Part::Text("`"));
        }
        with_ids(piece, &mut parts);
    }
    parts.retain(|part| !matches!(part, Part::Text("")));
    parts
}

const ID_BYTES: usize = 36;

fn with_ids<'a>(text: &'a str, parts: &mut Vec<Part<'a>>) {
    let is_inside = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let (mut rest, mut from) = (text, 0);
    while let Some(start) = rest
        .get(from..)
        .and_then(|rest| rest.find(|c: char| c.is_ascii_hexdigit()))
    {
        let start = from + start;
        let bytes = &rest.as_bytes()[start..];
        let run = bytes.iter().take_while(|byte| is_inside(**byte)).count();
        let id = (run == ID_BYTES)
            .then(|| rest[start..start + run].parse::<IntentId>().ok())
            .flatten();
        match id {
            Some(id) => {
                parts.push(Part::Text(&rest[..start]));
                parts.push(Part::Id(id));
                rest = &rest[start + run..];
                from = 0;
            }
            None => from = start + run,
        }
    }
    parts.push(Part::Text(rest));
}

/// A payload, laid out for people, and cut if it is long. `whole` is where all of it is.
pub(super) fn payload(json: &RawValue, whole: &str) -> Markup {
    let text = pretty(json.get());
    let shown = cut(&text, PAYLOAD_CHARS);
    let is_cut = shown.len() != text.len();
    html! {
        pre tabindex="0" { code { (shown) } }
        @if is_cut { p { a href=(whole) { "All of it" } " (" (json.get().len()) " bytes)" } }
    }
}

/// The same where there is no page for the whole of it.
pub(super) fn short_payload(json: &RawValue) -> Markup {
    html! { pre tabindex="0" { code { (cut(&pretty(json.get()), PAYLOAD_CHARS)) } } }
}

/// What a number says that a program's own cannot hold stays as it is.
fn pretty(json: &str) -> String {
    let value = serde_json::from_str::<Value>(json).ok();
    let is_same =
        |value: &Value| value.to_string().len() == json.len() || !json.contains(['e', 'E', '.']);
    let laid_out = value
        .filter(is_same)
        .and_then(|value| serde_json::to_string_pretty(&value).ok());
    laid_out.unwrap_or_else(|| json.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_a_text_are_found_and_nothing_else_is() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let text = format!("behind intent {id} (`server.resize`) of acme");
        let expected = [
            Part::Text("behind intent "),
            Part::Id(id.parse().unwrap()),
            Part::Text(" ("),
            Part::Code("server.resize"),
            Part::Text(") of acme"),
        ];
        assert_eq!(parts(&text), expected);
        for text in [
            "",
            "é",
            "a1b2",
            "x`",
            "feed-beef",
            &format!("{id}0"),
            &format!("{id}-"),
        ] {
            let whole: String = parts(text)
                .iter()
                .map(|part| match part {
                    Part::Text(text) | Part::Code(text) => (*text).to_owned(),
                    Part::Id(id) => panic!("{id}"),
                })
                .collect();
            assert_eq!(whole, text, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn a_payload_is_laid_out_and_says_what_it_said() {
        assert_eq!(pretty(r#"{"a":1}"#), "{\n  \"a\": 1\n}");
        assert_eq!(pretty("1e400"), "1e400");
        assert_eq!(
            pretty("0.10000000000000000000001"),
            "0.10000000000000000000001"
        );
    }
}
