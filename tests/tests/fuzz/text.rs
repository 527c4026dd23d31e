//! Texts that nobody expects, and what may happen to bytes on their way.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const TEXTS: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "a\u{0}b",
    "\u{7f}\u{85}",
    "\r\nSet-Cookie: a=b",
    "<script>alert(1)</script>",
    "'; drop table intendant.intent; --",
    "../../etc/passwd",
    "%s%n%00%ff",
    "_%\\",
    "%",
    ":",
    "a:",
    ":a",
    "=",
    "a=",
    "null",
    "true",
    "NaN",
    "-1",
    "0x10",
    "1e400",
    "18446744073709551616",
    "9223372036854775808",
    "*",
    "[]",
    "{}",
    "\"",
    "undo(first)",
    "first[0]",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "2026-11-21T08:00:00Z",
    "0000-01-01T00:00:00Z",
    "+262000-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "90000000d",
    "4294967295d",
    "\u{202e}gnp.exe",
    "\u{feff}\u{200b}",
    "𝕳 🏴‍☠️ \u{10ffff}",
];

/// A text of somebody's.
pub(crate) fn texts() -> BoxedStrategy<String> {
    let letter = select(vec!["x", "é", "\u{10ffff}"]);
    let long = (letter, select(vec![200_usize, 201, 400, 401, 1_000]));
    prop_oneof![
        4 => select(TEXTS).prop_map(str::to_owned),
        1 => long.prop_map(|(letter, chars)| letter.repeat(chars)),
        2 => vec(any::<char>(), 0..24).prop_map(|letters| letters.iter().collect::<String>()),
        2 => "[ -~]{0,40}",
    ]
    .boxed()
}

/// Something that happens to bytes.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Flip(Index, u32),
    Drop(Index),
    Put(Index, u8),
    Cut(Index),
    Double,
}

/// Some of it, one after the other.
pub(crate) fn edits() -> BoxedStrategy<Vec<Edit>> {
    let edit = prop_oneof![
        4 => (any::<Index>(), 0..8_u32).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        2 => any::<Index>().prop_map(Edit::Drop),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
        1 => Just(Edit::Double),
    ];
    vec(edit, 1..4).boxed()
}

/// Mostly nothing.
pub(crate) fn few_edits() -> BoxedStrategy<Vec<Edit>> {
    prop_oneof![4 => Just(Vec::new()), 1 => edits()].boxed()
}

/// The bytes as they arrive.
pub(crate) fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        let place = |at: &Index| at.index(bytes.len());
        match edit {
            Edit::Flip(at, bit) => {
                let at = place(at);
                bytes[at] ^= 1_u8 << *bit;
            }
            Edit::Drop(at) => {
                let at = place(at);
                bytes.remove(at);
            }
            Edit::Put(at, byte) => {
                let at = place(at);
                bytes.insert(at, *byte);
            }
            Edit::Cut(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
            Edit::Double => bytes.extend_from_within(..),
        }
    }
    bytes
}

/// The same of a text, with a sign in place of what is none any more.
pub(crate) fn edited_text(text: String, edits: &[Edit]) -> String {
    String::from_utf8_lossy(&edited(text.into_bytes(), edits)).into_owned()
}

/// As it stands in a URL; what is in `keep` stays as it is.
pub(crate) fn encoded(bytes: &[u8], keep: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
    let letters = bytes.iter().map(|byte| match *byte {
        byte if is_plain(byte) || keep.contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    letters.collect()
}
