//! Mask: what the steps of an intent say has none of its secrets in it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

/// What stands for a secret.
pub(super) const INSTEAD: &str = "[secret]";
/// Shorter ones are not looked for: they would be found everywhere.
const SHORTEST: usize = 4;
/// With more of them, nothing is said at all: each text is looked through for every one.
const MOST: usize = 200;

/// The texts of an intent's secrets, as they are gathered.
#[derive(Default)]
pub(super) struct Words(HashSet<String>);

impl Words {
    /// Adds the texts and numbers of a secret.
    pub(super) fn add(&mut self, secret: &Value) {
        if self.0.len() > MOST {
            return;
        }
        match secret {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.word(&number.to_string()),
            Value::String(text) => {
                // As it is, and as it stands in JSON or in a debug print.
                let quoted = secret.to_string();
                self.word(&quoted[1..quoted.len() - 1]);
                self.word(text);
                // Somebody may print it line by line.
                text.lines()
                    .take(MOST + 1)
                    .for_each(|line| self.word(line.trim()));
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => members.values().for_each(|member| self.add(member)),
        }
    }

    fn word(&mut self, word: &str) {
        if word.len() >= SHORTEST {
            self.0.insert(word.to_owned());
        }
    }
}

/// The secrets of one intent, to be taken out of what its steps say.
#[derive(Clone, Default)]
pub(crate) struct Mask(Option<Arc<[String]>>);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({})", self.words().len())
    }
}

impl Mask {
    pub(super) fn of(Words(words): Words) -> Self {
        let mut words: Vec<String> = words.into_iter().collect();
        // Longest first: one that has another one in it goes as a whole.
        words.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Self((!words.is_empty()).then(|| words.into()))
    }

    fn words(&self) -> &[String] {
        self.0.as_deref().unwrap_or_default()
    }

    /// A text without them.
    pub(crate) fn over<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let words = self.words();
        if words.len() > MOST {
            return Cow::Borrowed(INSTEAD);
        }
        let found = words.iter().filter(|word| text.contains(word.as_str()));
        found.fold(Cow::Borrowed(text), |text, word| {
            Cow::Owned(text.replace(word, INSTEAD))
        })
    }

    /// JSON without them, which is JSON still: what has one in it is a string then.
    pub(crate) fn over_json<'a>(&self, json: &'a str) -> Cow<'a, str> {
        if matches!(self.over(json), Cow::Borrowed(same) if same == json) {
            return Cow::Borrowed(json);
        }
        match serde_json::from_str(json) {
            Ok(value) => Cow::Owned(self.value(value).to_string()),
            Err(_) => Cow::Owned("null".to_owned()),
        }
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.over(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let members = members.into_iter();
                let masked =
                    members.map(|(name, value)| (self.over(&name).into_owned(), self.value(value)));
                Value::Object(masked.collect())
            }
            Value::Number(number) => match self.over(&number.to_string()) {
                Cow::Borrowed(same) if same != INSTEAD => Value::Number(number),
                _ => Value::from(INSTEAD),
            },
            plain @ (Value::Null | Value::Bool(_)) => plain,
        }
    }
}
