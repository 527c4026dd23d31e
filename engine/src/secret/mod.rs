//! Secrets: fields of an input that nobody is to see who looks at an operation, only the steps that carry it out.
//!
//! A request marks them in the JSON (`{"$secret": {"plain": …}}`), and before the row is made each mark is replaced by a
//! sealed one (`{"$secret": "intendant:v1:…"}`). So there is nothing to blank where inputs are read, by whatever way: rows,
//! views, events, pages and answers have the sealed text. A worker opens it as it takes the intent in hand.

mod keys;
mod level;
mod marks;
mod mask;
mod schema;

use std::cell::Cell;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use keys::{KeyError, SecretKey};
pub(crate) use keys::{Keyring, OpenError};
pub use marks::is_sealed;
pub(crate) use marks::{Given, blanked, has_plain, is_given_well, is_marked, marked_at, sealed_at};
pub(crate) use mask::Mask;
pub(crate) use schema::mark;

use crate::payload::{self, Payload, PayloadError};

/// A field of an intent's input that is not to be seen: a password, a token.
///
/// Whoever looks at the intent, in the history, by SQL, HTTP or on a page, sees a sealed text. Steps read it with
/// [`expose`](Self::expose). It is written `[secret]` where it is printed, in the errors and log lines of its intent's steps
/// as well, and it can be serialized in an intent's input only: the output of a step, or a log line that is made with serde,
/// would show it, so that is an error.
///
/// Sealed is AES-256-GCM, bound to the intent, its account and the field: copied to another row, the text is of no use. The
/// key is the first of [`StoreOptions::secret_keys`](crate::StoreOptions::secret_keys); without one it is a key that the
/// database itself has, which keeps secrets from those who see the history, and not from those who can read the whole database.
///
/// It is no part of what two inputs are compared by, for a key or a child's name. Its schema says `writeOnly`, by which those
/// who ask by the kind's name (HTTP, the command line, forms) know it: say [`About::schema`](crate::About::schema). Plain SQL
/// cannot seal, so such a kind is not asked for by it. The inputs of schedules have no secrets.
///
/// ```
/// use intendant::{Cx, Intent, Secret, StepResult};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Enrol { server: u64, password: Secret<String> }
///
/// impl Intent for Enrol {
///     const KIND: &'static str = "server.enrol";
///     type Output = usize;
/// }
///
/// async fn enrol(_: Cx<()>, intent: Enrol) -> StepResult<usize> {
///     assert_eq!(format!("{:?}", intent.password), "[secret]");
///     Ok(intent.password.expose().len())
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Keeps a value from being seen.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value, taken out.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(mask::INSTEAD)
    }
}

thread_local! {
    /// An intent's input is being serialized on this thread.
    static MARKING: Cell<bool> = const { Cell::new(false) };
}

/// Sets [`MARKING`] as long as it lives, a panic of somebody's `Serialize` included.
struct Marking;

impl Marking {
    fn begin() -> Self {
        MARKING.set(true);
        Self
    }
}

impl Drop for Marking {
    fn drop(&mut self) {
        MARKING.set(false);
    }
}

/// [`payload::encode`] for an intent's input: its secrets come out marked.
pub(crate) fn encode_input<T: Serialize + ?Sized>(input: &T) -> Result<Payload, PayloadError> {
    let _marking = Marking::begin();
    payload::encode(input)
}

impl<T: Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if !MARKING.get() {
            return Err(S::Error::custom(
                "a secret is serialized in the input of an intent only; expose() it for what is to see it",
            ));
        }
        marks::Plain::of(&self.0).serialize(to)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = marks::unmarked(Value::deserialize(from)?);
        // What the decoder says of a value has the value in it.
        let wrong = |_| D::Error::custom(format!("it is no {}", std::any::type_name::<T>()));
        serde_json::from_value(value).map(Self).map_err(wrong)
    }
}

impl<T: JsonSchema> JsonSchema for Secret<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Secret_{}", T::schema_name()).into()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("intendant::Secret<{}>", T::schema_id()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of_value = generator.subschema_for::<T>();
        let mut schema = match of_value.as_object() {
            // What stands beside a reference counts since draft 2019-09.
            Some(_) => of_value,
            None => Schema::default(),
        };
        schema.insert("writeOnly".to_owned(), Value::Bool(true));
        schema
    }
}

#[cfg(test)]
mod tests;
