//! Kinds whose inputs are of all sorts of types, and an input that each of them can read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use intendant::{Cx, Intent, Resources, Secret, StepResult, Worker};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::history::note;

/// Inputs, by the kinds that can read them.
pub(crate) const READABLE: &[(&str, &str)] = &[
    (
        "form",
        r#"{"account": "acme", "count": 3, "small": -1, "ratio": 0.5, "is_on": true, "letter": "é",
            "at": "2026-11-21T08:00:00Z", "id": "01890000-0000-7000-8000-000000000000", "tags": ["a"], "notes": {"b": 1},
            "pair": [1, null]}"#,
    ),
    ("choice", r#"{"what": "move", "by": 4, "to": "left"}"#),
    ("choice", r#"{"what": "stop"}"#),
    ("loose", r#"["a", {"b": 1.5}, null]"#),
    ("loose", r#"{"a": [1, 2], "b": "c"}"#),
    ("loose", "7"),
    (
        "enrol",
        r#"{"how": "by mail", "password": "hunter2", "pin": 1234}"#,
    ),
    ("note", r#"{"a": {"b": [true, "c"]}}"#),
];

/// One field of each type.
#[derive(Debug, Serialize, Deserialize)]
struct Form {
    account: Option<String>,
    count: u64,
    small: i8,
    ratio: f64,
    is_on: bool,
    letter: char,
    at: DateTime<Utc>,
    id: Uuid,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    notes: BTreeMap<String, i64>,
    pair: (u8, Option<f32>),
}

impl Intent for Form {
    const KIND: &'static str = "form";
    type Output = ();
    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
    fn resources(&self) -> Resources {
        Resources::touched("letter", self.letter)
    }
}

/// Knows its case by a field, and no others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase", deny_unknown_fields)]
enum Choice {
    Move { by: i64, to: String },
    Stop,
}

impl Intent for Choice {
    const KIND: &'static str = "choice";
    type Output = ();
}

/// Is whatever it can be read as.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(i64),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Intent for Loose {
    const KIND: &'static str = "loose";
    type Output = ();
}

/// Has secrets.
#[derive(Debug, Serialize, Deserialize)]
struct Enrol {
    how: String,
    password: Secret<String>,
    pin: Secret<u64>,
}

impl Intent for Enrol {
    const KIND: &'static str = "enrol";
    type Output = ();
}

/// Those around which the others are asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sound(pub(crate) u64);

impl Intent for Sound {
    const KIND: &'static str = "sound";
    type Output = u64;
}

async fn sound(_: Cx<()>, sound: Sound) -> StepResult<u64> {
    Ok(sound.0)
}

async fn read<T>(_: Cx<()>, _: T) -> StepResult<()> {
    Ok(())
}

/// A worker that knows all of them.
pub(crate) fn with_kinds(worker: Worker<()>) -> Worker<()> {
    worker
        .register_step(read::<Form>)
        .register_step(read::<Choice>)
        .register_step(read::<Loose>)
        .register_step(read::<Enrol>)
        .register_step(note)
        .register_step(sound)
}

/// The kinds that it reads anything of.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = READABLE.iter().map(|(kind, _)| *kind).collect();
    names.dedup();
    names
}
