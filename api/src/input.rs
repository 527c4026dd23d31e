//! Inputs are checked by the schema of their kind before they are stored.

use intendant::limits;
use serde_json::Value;
use serde_json::value::RawValue;

/// Most faults that are told of one input.
const FAULTS: usize = 8;

/// Why an input is not one of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It is not what the schema says. The values themselves are not told: they may be secret, or long.
    #[error("the input is not one of `{kind}`: {}", faults.join("; "))]
    Faults {
        /// Of which kind it was to be.
        kind: String,
        /// Where it is wrong, and what would be right: `/cores: the value is greater than the maximum of 128`.
        faults: Vec<String>,
    },
    /// The kind has registered something that is no schema, or one that refers to documents elsewhere.
    #[error("the schema of the input that `{kind}` has registered cannot be used: {error}")]
    Schema {
        /// The kind.
        kind: String,
        /// What is wrong with it.
        error: String,
    },
    /// Longer than any input may be.
    #[error("the input has {bytes} bytes, the limit is {}", limits::PAYLOAD_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not JSON that can be read.
    #[error("the input is not JSON: {0}")]
    Json(String),
}

/// Checks an input by the schema of its kind.
///
/// ```
/// use intendant_api::input::check;
/// use serde_json::{json, value::to_raw_value};
///
/// let schema = json!({"type": "object", "properties": {"cores": {"maximum": 128}}, "required": ["server"]});
/// let input = to_raw_value(&json!({"cores": 256})).unwrap();
/// assert_eq!(
///     check("server.resize", &schema, &input).unwrap_err().to_string(),
///     "the input is not one of `server.resize`: \"server\" is a required property; \
///      /cores: the value is greater than the maximum of 128",
/// );
/// ```
pub fn check(kind: &str, schema: &Value, input: &RawValue) -> Result<(), InputError> {
    let bytes = input.get().len();
    if bytes > limits::PAYLOAD_BYTES {
        return Err(InputError::TooLarge { bytes });
    }
    let schema = jsonschema::validator_for(schema).map_err(|error| InputError::Schema {
        kind: kind.to_owned(),
        error: error.to_string(),
    })?;
    let input: Value =
        serde_json::from_str(input.get()).map_err(|error| InputError::Json(error.to_string()))?;
    // Of an input that was read from a record, to be amended: what is sealed was checked when it was asked for.
    let is_sealed = |error: &jsonschema::ValidationError<'_>| {
        let value = input.pointer(error.instance_path().as_str());
        value.is_some_and(intendant::is_sealed)
    };
    let errors = schema.iter_errors(&input);
    let errors = errors.filter(|error| !is_sealed(error));
    let mut faults: Vec<String> = errors.take(FAULTS).map(fault).collect();
    // In which order they are found is not promised.
    faults.sort_unstable();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(InputError::Faults {
            kind: kind.to_owned(),
            faults,
        }),
    }
}

fn fault(error: jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().as_str().to_owned();
    let said = error.masked_with("the value").to_string();
    match place.is_empty() {
        true => said,
        false => format!("{place}: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    fn said(schema: &Value, input: &Value) -> Result<(), String> {
        let input = to_raw_value(input).unwrap();
        check("pay", schema, &input).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        let schema =
            json!({"type": "object", "properties": {"card": {"type": "string", "maxLength": 4}}});
        assert_eq!(said(&schema, &json!({"card": "4242"})), Ok(()));
        let fault = said(&schema, &json!({"card": "4242 4242"})).unwrap_err();
        assert!(
            fault.contains("/card") && !fault.contains("4242"),
            "{fault}"
        );
        let fault = said(&schema, &json!({"card": 42})).unwrap_err();
        assert!(fault.contains("string") && !fault.contains("42"), "{fault}");
    }

    #[test]
    fn a_sealed_secret_is_taken_as_it_is() {
        let password = json!({"type": "string", "writeOnly": true});
        let schema = json!({"properties": {"password": password, "cores": {"type": "integer"}}});
        let sealed = json!({"$secret": "intendant:v1:00000000:AAAA"});
        assert_eq!(said(&schema, &json!({"password": sealed})), Ok(()));
        let fault = said(&schema, &json!({"password": sealed, "cores": "x"})).unwrap_err();
        assert!(
            fault.contains("/cores") && !fault.contains("password"),
            "{fault}"
        );
        assert!(said(&schema, &json!({"password": {"$secret": "x"}})).is_err());
    }

    #[test]
    fn only_so_much_is_told_of_one_input() {
        let schema = json!({"items": {"type": "string"}});
        let fault = said(&schema, &json!(vec![1; 100])).unwrap_err();
        assert_eq!(fault.matches("/").count(), FAULTS);
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_told_of() {
        let fault = said(&json!({"type": 7}), &json!({})).unwrap_err();
        assert!(fault.contains("cannot be used"), "{fault}");
        // Nothing is fetched from anywhere.
        let fault = said(
            &json!({"$ref": "https://localhost/schema.json"}),
            &json!({}),
        )
        .unwrap_err();
        assert!(fault.contains("cannot be used"), "{fault}");
    }
}
