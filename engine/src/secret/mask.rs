//! Mask: what the steps of an intent say has none of its secrets in it.

use std::borrow::Cow;

use serde_json::Value;

/// What stands for a secret.
pub(super) const INSTEAD: &str = "[secret]";
/// Shorter ones are not looked for: they would be found everywhere.
const SHORTEST: usize = 4;

/// The secrets of one intent, to be taken out of what its steps say.
#[derive(Clone, Default)]
pub(crate) struct Mask(Vec<String>);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.0.len())
    }
}

impl Mask {
    /// Adds the texts and numbers of a secret.
    pub(super) fn add(&mut self, secret: &Value) {
        match secret {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.word(number.to_string()),
            Value::String(text) => {
                // As it is, and as it stands in JSON or in a debug print.
                let quoted = secret.to_string();
                self.word(quoted[1..quoted.len() - 1].to_owned());
                self.word(text.clone());
                // Somebody may print it line by line.
                let lines = text.lines().map(str::trim).filter(|line| *line != text);
                lines.for_each(|line| self.word(line.to_owned()));
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => members.values().for_each(|member| self.add(member)),
        }
    }

    fn word(&mut self, word: String) {
        if word.len() >= SHORTEST && !self.0.contains(&word) {
            self.0.push(word);
            // Longest first: one that has another one in it goes as a whole.
            self.0.sort_by_key(|word| std::cmp::Reverse(word.len()));
        }
    }

    /// A text without them.
    pub(crate) fn over<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.0.iter().filter(|word| text.contains(word.as_str()));
        found.fold(Cow::Borrowed(text), |text, word| {
            Cow::Owned(text.replace(word, INSTEAD))
        })
    }
}
