//! What a kind says of itself to people, and to programs that have only its name.

use std::sync::Arc;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use crate::error::Error;
use crate::intent::check_name;
use crate::payload::{self, Payload};

/// What a kind of operation is, in words, and which JSON its input is: see [`Intent::about`](crate::Intent::about).
///
/// Every worker that begins writes it down with the kind. Forms, the HTTP API and `intendant request` then check an input
/// before it is stored, and say what is wrong with it in words of the schema.
///
/// ```
/// use intendant::{About, Intent, schemars};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// #[schemars(crate = "intendant::schemars")]
/// struct Resize {
///     server: u64,
///     /// From 1 to 128.
///     #[schemars(range(min = 1, max = 128))]
///     cores: u32,
/// }
///
/// impl Intent for Resize {
///     const KIND: &'static str = "server.resize";
///     type Output = u32;
///     fn about() -> About {
///         About::new("Gives a server more or fewer cores").schema::<Self>()
///     }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    description: Option<Arc<str>>,
    input_schema: Option<Value>,
}

impl About {
    /// What an operation of this kind does, in one line.
    pub fn new(description: impl Into<Arc<str>>) -> Self {
        Self {
            description: Some(description.into()),
            input_schema: None,
        }
    }

    /// Which JSON its input is: that of this type, which is the intent itself as a rule.
    #[must_use]
    pub fn schema<T: JsonSchema>(self) -> Self {
        let schema = SchemaGenerator::default().into_root_schema_for::<T>();
        self.schema_json(schema.to_value())
    }

    /// The same, for a schema that was made in another way: JSON Schema, draft 2020-12 unless it names another one.
    #[must_use]
    pub fn schema_json(mut self, schema: Value) -> Self {
        self.input_schema = Some(schema);
        self
    }

    /// What an operation of the kind does.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Which JSON the kind's input is.
    pub fn input_schema(&self) -> Option<&Value> {
        self.input_schema.as_ref()
    }

    /// Checks what will stand in a row: a line of text, and a payload.
    pub(crate) fn check(&self, kind: &str) -> Result<Checked, Error> {
        if let Some(description) = &self.description {
            check_name("kind's description", description)?;
        }
        let input_schema = match &self.input_schema {
            None => None,
            Some(schema @ (Value::Object(_) | Value::Bool(_))) => {
                let what = "the schema of the input";
                Some(payload::encode(schema).map_err(Error::payload(what))?)
            }
            Some(_) => {
                return Err(Error::Setup(format!(
                    "the schema of the input of kind `{kind}` is no JSON schema: expected an object or a boolean"
                )));
            }
        };
        Ok(Checked {
            description: self.description.clone(),
            input_schema,
        })
    }
}

/// What a kind says of itself, as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checked {
    pub(crate) description: Option<Arc<str>>,
    pub(crate) input_schema: Option<Payload>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_follows_from_the_type() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is looked at")]
        struct Resize {
            server: u64,
            cores: Option<u32>,
        }
        let about = About::new("Resizes").schema::<Resize>();
        let checked = about.check("server.resize").unwrap();
        assert_eq!(checked.description.as_deref(), Some("Resizes"));
        let schema: Value = serde_json::from_str(checked.input_schema.unwrap().get()).unwrap();
        assert_eq!(schema["required"], json!(["server"]));
        assert_eq!(schema["properties"]["server"]["type"], "integer");
    }

    #[test]
    fn what_is_no_schema_or_no_line_is_refused() {
        let refused = |about: About| about.check("a").unwrap_err().to_string();
        assert!(refused(About::new("two\nlines")).contains("control character"));
        assert!(refused(About::new("a".repeat(201))).contains("201 characters"));
        assert!(refused(About::default().schema_json(json!(7))).contains("expected an object"));
        let deep = (0..200).fold(json!({}), |schema, _| json!({ "not": schema }));
        assert!(refused(About::default().schema_json(deep)).contains("levels deep"));
    }
}
