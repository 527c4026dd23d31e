//! What is wrong with JSON that comes from elsewhere: a part of it is missing, is there twice, or is something else.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::json::{Json, written};
use crate::text::texts;

/// What readers differ about, and what is no JSON at all.
const ODD: &[&str] = &[
    "null",
    "true",
    "[]",
    "{}",
    "0",
    "-0",
    "-1",
    "1.0",
    "1E+2",
    "1e400",
    "-1e400",
    "1e-400",
    "1e-20000",
    "1e999999",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "9007199254740993.0",
    "123456789012345678901234567890.12345678901234567890",
    "01",
    "+1",
    ".5",
    "1.",
    "0x1",
    "NaN",
    "-Infinity",
    "nul",
    "'a'",
    "",
    ",",
    ":",
    "{",
    "]",
    "1 2",
    "/* a */ 1",
    "\u{feff}1",
    "\"",
    "\"\"",
    "\"\\u0000\"",
    "\"\u{0}\"",
    "\"\\\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\\n\\ude00\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\u{1}\"",
    "\"\u{7f}\u{85}\u{2028}\"",
    "{\"a\":1,\"a\":2}",
    "{a:1}",
    "{\"$secret\":\"intendant:v1:00000000:AAAA\"}",
    "{\"$secret\":{\"plain\":\"hunter2\"}}",
    "{\"$secret\":7,\"b\":1e400}",
];

/// Names as they are written.
const NAMES: &[&str] = &[
    "\"account\"",
    "\"a\"",
    "\"\"",
    "\"$secret\"",
    "\"\\u0061ccount\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"__proto__\"",
    "account",
    "1",
    "null",
];

/// Something that goes wrong with a part of it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    at: Index,
    of: Index,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// A member or an element is not there.
    Drop,
    /// It is there twice.
    Double,
    /// A member has another name.
    Rename(String),
    /// There is one more.
    Add(String, Json),
    /// It is something else.
    Become(Json),
    /// It is in a list in a list.
    Nest(usize),
}

/// It, with what has gone wrong with it.
pub(crate) fn changed(mut json: Json, changes: Vec<Change>) -> Json {
    for Change { at, of, what } in changes {
        let mut nth = at.index(json.size());
        if let Some(part) = json.part(&mut nth) {
            change(part, of, what);
        }
    }
    json
}

fn change(part: &mut Json, of: Index, what: What) {
    match (what, part) {
        (What::Become(other), part) => *part = other,
        (What::Nest(deep), part) => {
            for _ in 0..deep {
                let inner = std::mem::replace(part, Json::List(Vec::new()));
                *part = Json::List(vec![inner]);
            }
        }
        (_, Json::Plain(_)) => {}
        (What::Add(name, json), Json::Object(members)) => members.push((name, json)),
        (What::Add(_, json), Json::List(list)) => list.push(json),
        (What::Drop, Json::Object(members)) if !members.is_empty() => {
            members.remove(of.index(members.len()));
        }
        (What::Double, Json::Object(members)) if !members.is_empty() => {
            members.push(members[of.index(members.len())].clone());
        }
        (What::Rename(name), Json::Object(members)) if !members.is_empty() => {
            let at = of.index(members.len());
            members[at].0 = name;
        }
        (What::Drop, Json::List(list)) if !list.is_empty() => {
            list.remove(of.index(list.len()));
        }
        (What::Double, Json::List(list)) if !list.is_empty() => {
            list.push(list[of.index(list.len())].clone());
        }
        (What::Drop | What::Double | What::Rename(_), Json::Object(_) | Json::List(_)) => {}
    }
}

/// What goes wrong, mostly nothing much. `others` is what a part may become.
pub(crate) fn changes(others: BoxedStrategy<Json>) -> BoxedStrategy<Vec<Change>> {
    let what = prop_oneof![
        2 => Just(What::Drop),
        2 => Just(What::Double),
        1 => names().prop_map(What::Rename),
        1 => (names(), others.clone()).prop_map(|(name, json)| What::Add(name, json)),
        5 => others.prop_map(What::Become),
        1 => select(vec![1_usize, 98, 101, 130]).prop_map(What::Nest),
    ];
    let change = (any::<Index>(), any::<Index>(), what);
    vec(
        change.prop_map(|(at, of, what)| Change { at, of, what }),
        0..4,
    )
    .boxed()
}

fn names() -> BoxedStrategy<String> {
    let name = select(NAMES).prop_map(str::to_owned);
    prop_oneof![2 => name, 1 => texts().prop_map(|text| written(&text))].boxed()
}

/// What has no parts, or is taken as a whole.
pub(crate) fn plain() -> BoxedStrategy<Json> {
    let deep = select(vec![99_usize, 100, 101, 127, 128, 129, 1_000, 20_000]);
    prop_oneof![
        10 => select(ODD).prop_map(|text| Json::Plain(text.to_owned())),
        4 => texts().prop_map(|text| Json::text(&text)),
        2 => any::<i64>().prop_map(|number| Json::Plain(number.to_string())),
        2 => any::<f64>().prop_map(|number| Json::Plain(format!("{number:e}"))),
        1 => deep.prop_map(|deep| Json::Plain("[".repeat(deep) + &"]".repeat(deep))),
        1 => select(vec![400_usize, 70_000]).prop_map(|digits| Json::Plain("9".repeat(digits))),
    ]
    .boxed()
}

/// Whatever.
pub(crate) fn values() -> BoxedStrategy<Json> {
    let tree = plain().prop_recursive(4, 24, 5, |part| {
        prop_oneof![
            vec(part.clone(), 0..5).prop_map(Json::List),
            vec((names(), part), 0..5).prop_map(Json::Object),
        ]
    });
    tree.boxed()
}
