//! What a run has come to, so that two runs can be compared, and how two of them differ, in words.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Ended, TestError};
use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::state::{FailureReason, IntentState, StepState};

/// What a run has come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) state: IntentState,
    /// Why it is not where it should be, in a line.
    pub(super) error: Option<String>,
    /// It failed since it does not know whether a step that is run at most once took place: a person decides.
    pub(super) asks: bool,
    /// What each step has come to, and the intent itself.
    pub(super) outputs: BTreeMap<String, Value>,
    pub(super) world: Value,
}

impl Outcome {
    pub(super) async fn of(
        intendant: &Intendant,
        ended: &Ended,
        world: Value,
    ) -> Result<Self, TestError> {
        let mut names = Names::default();
        family(intendant, ended.id(), "the intent".to_owned(), &mut names).await?;
        let mut outputs = BTreeMap::new();
        let done = ended.steps.iter().filter(|step| {
            matches!(step.state, StepState::Succeeded | StepState::Skipped)
                && !step.name.starts_with("undo(")
        });
        for step in done {
            outputs.insert(
                format!("output of `{}`", step.name),
                names.put(step.output.as_deref().map(|json| json.get())),
            );
        }
        let output = ended.record.output.as_deref().map(|json| json.get());
        outputs.insert("output".to_owned(), names.put(output));
        Ok(Self {
            state: ended.state(),
            error: ended.record.error.clone(),
            asks: ended.record.reason.as_deref() == Some(FailureReason::Interrupted.as_str()),
            outputs,
            world: names.put(Some(&world.to_string())),
        })
    }

    /// How this differs from what was expected: state, outputs, world.
    pub(super) fn differs(&self, expected: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.state != expected.state {
            lines.push(self.in_words(expected.state));
        } else {
            let found = Value::Object(self.outputs.clone().into_iter().collect());
            let expected = Value::Object(expected.outputs.clone().into_iter().collect());
            differ("", &expected, &found, &mut lines);
        }
        lines.extend(self.world_differs(&expected.world));
        lines
    }

    /// How its world differs.
    pub(super) fn world_differs(&self, expected: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        differ("world", expected, &self.world, &mut lines);
        lines
    }

    /// That it is not in the state in which it should be.
    pub(super) fn in_words(&self, expected: IntentState) -> String {
        let error = self.error.as_ref();
        let error = error.map_or_else(String::new, |error| format!(": {error}"));
        format!("the intent is {} and not {expected}{error}", self.state)
    }
}

/// A run's own ids, and names for them that are the same in every run.
#[derive(Default)]
struct Names(Vec<(String, String)>);

impl Names {
    /// JSON with the names in place of the ids.
    fn put(&self, json: Option<&str>) -> Value {
        let mut json = json.unwrap_or("null").to_owned();
        for (id, name) in &self.0 {
            json = json.replace(id, name);
        }
        // It was JSON before, and a name has nothing in it that would have to be escaped.
        serde_json::from_str(&json).unwrap_or(Value::String(json))
    }
}

/// The names of an intent and of all its descendants: by what it was asked for.
fn family<'f>(
    intendant: &'f Intendant,
    id: IntentId,
    name: String,
    names: &'f mut Names,
) -> BoxFuture<'f, Result<(), Error>> {
    Box::pin(async move {
        for child in intendant.children(id).await? {
            let name = format!("{name}/{}/{}", child.step, child.name);
            let name = name.replace(['"', '\\'], "_");
            family(intendant, child.id, name, names).await?;
        }
        names.0.push((id.to_string(), name));
        Ok(())
    })
}

/// The places in which two values differ, each in a line.
pub(super) fn differ(place: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let mut keys: Vec<_> = expected.keys().chain(found.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let inner = match place {
                    "" => key.clone(),
                    place => format!("{place}.{key}"),
                };
                one(&inner, expected.get(key), found.get(key), lines);
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            for nth in 0..expected.len().max(found.len()) {
                let inner = format!("{place}[{nth}]");
                one(&inner, expected.get(nth), found.get(nth), lines);
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => lines.push(format!("{place} is {found} and not {expected}")),
    }
}

fn one(place: &str, expected: Option<&Value>, found: Option<&Value>, lines: &mut Vec<String>) {
    match (expected, found) {
        (Some(expected), Some(found)) => differ(place, expected, found, lines),
        (Some(expected), None) => lines.push(format!("{place} is missing: {expected}")),
        (None, Some(found)) => lines.push(format!("{place} is too much: {found}")),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(expected: Value, found: Value, words: Expect) {
        let mut lines = Vec::new();
        differ("world", &expected, &found, &mut lines);
        words.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn differences_are_told_by_place() {
        check(json!({"a": [1, 2]}), json!({"a": [1, 2]}), expect![""]);
        check(
            json!({"servers": ["s1"], "mails": 1, "gone": null}),
            json!({"servers": ["s1", "s1"], "mails": 2, "new": {"x": 1}}),
            expect![[r#"
                world.gone is missing: null
                world.mails is 2 and not 1
                world.new is too much: {"x":1}
                world.servers[1] is too much: "s1""#]],
        );
        check(json!([]), json!({}), expect!["world is {} and not []"]);
    }
}
