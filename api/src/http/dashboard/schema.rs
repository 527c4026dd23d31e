//! A form made from the JSON schema of a kind's input, and the input that is made from what the form says.
//!
//! A field for each property whose type a form can say; for any other, and where there is no schema, JSON. What the form says is
//! checked by the schema as any other input is, so that nothing depends on the form.

use maud::{Markup, html};
use serde_json::{Map, Number, Value};

use super::form::Form;
use super::words::line;
use crate::http::problem::Problem;

/// Most properties that are shown as fields.
const FIELDS: usize = 60;
/// The names of fields begin so, to keep them from those of the form itself.
const PREFIX: &str = "input.";

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Text,
    /// Text that is not shown, here or later.
    Secret,
    Number {
        integer: bool,
    },
    Flag,
    OneOf(Vec<String>),
    Json,
}

struct Field<'a> {
    name: &'a str,
    kind: Kind,
    required: bool,
    says: Option<&'a str>,
}

/// The fields of a schema, if it is one of an object with properties.
fn fields(schema: &Value) -> Option<Vec<Field<'_>>> {
    let properties = schema.get("properties")?.as_object()?;
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    if properties.is_empty() || properties.len() > FIELDS {
        return None;
    }
    let fields = properties.iter().map(|(name, of)| Field {
        name,
        kind: kind(schema, of),
        required: is_required(name),
        says: of.get("description").and_then(Value::as_str),
    });
    Some(fields.collect())
}

fn kind(schema: &Value, of: &Value) -> Kind {
    let of = match of.get("$ref").and_then(Value::as_str) {
        Some(at) => at
            .strip_prefix('#')
            .and_then(|at| schema.pointer(at))
            .unwrap_or(of),
        None => of,
    };
    let texts = |all: &Vec<Value>| {
        all.iter()
            .map(|one| one.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
    };
    if let Some(all) = of.get("enum").and_then(Value::as_array).and_then(texts) {
        return Kind::OneOf(all);
    }
    let word = match of.get("type") {
        Some(Value::String(word)) => Some(word.as_str()),
        // One, or nothing.
        Some(Value::Array(words)) => match words
            .iter()
            .filter_map(Value::as_str)
            .filter(|word| *word != "null")
            .collect::<Vec<_>>()[..]
        {
            [word] => Some(word),
            _ => None,
        },
        _ => None,
    };
    match word {
        Some("string") if of.get("writeOnly") == Some(&Value::Bool(true)) => Kind::Secret,
        Some("string") => Kind::Text,
        Some("integer") => Kind::Number { integer: true },
        Some("number") => Kind::Number { integer: false },
        Some("boolean") => Kind::Flag,
        _ => Kind::Json,
    }
}

pub(super) fn inputs(schema: Option<&Value>) -> Markup {
    let fields = schema.and_then(fields);
    html! {
        @match fields {
            Some(fields) => { @for field in &fields { (input(field)) } },
            None => { label { "Input, as JSON" textarea .code name="json" rows="8" required spellcheck="false" { "{}" } } },
        }
    }
}

fn input(field: &Field<'_>) -> Markup {
    let name = format!("{PREFIX}{}", field.name);
    html! {
        label {
            span { (field.name) @if !field.required { span .muted { " (not needed)" } } }
            @match &field.kind {
                Kind::Text => { input type="text" name=(name) required[field.required] spellcheck="false"; },
                Kind::Secret => { input type="password" name=(name) required[field.required] autocomplete="off" spellcheck="false"; },
                Kind::Number { integer } => { input type="number" step=(if *integer { "1" } else { "any" }) name=(name) required[field.required]; },
                Kind::Flag => { select name=(name) { @if !field.required { option value="" { "" } } option { "false" } option { "true" } } },
                Kind::OneOf(all) => { select name=(name) { @if !field.required { option value="" { "" } } @for one in all { option value=(one) { (one) } } } },
                Kind::Json => { textarea .code name=(name) rows="3" required[field.required] placeholder="JSON" spellcheck="false" {} },
            }
            @if let Some(says) = field.says { small .muted { (line(says)) } }
        }
    }
}

/// The input that the form says, as JSON.
pub(super) fn said(schema: Option<&Value>, form: &Form) -> Result<String, Problem> {
    let Some(fields) = schema.and_then(fields) else {
        return Ok(form.must("json")?.to_owned());
    };
    let mut input = Map::new();
    for field in fields {
        let name = format!("{PREFIX}{}", field.name);
        let Some(text) = form.get(&name) else {
            continue;
        };
        input.insert(field.name.to_owned(), value(&field, text)?);
    }
    Ok(Value::Object(input).to_string())
}

fn value(field: &Field<'_>, text: &str) -> Result<Value, Problem> {
    let wrong = |what: &str| Problem::invalid(format!("`{}` is to be {what}", field.name));
    Ok(match &field.kind {
        Kind::Text | Kind::Secret | Kind::OneOf(_) => Value::String(text.to_owned()),
        Kind::Flag => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(wrong("true or false")),
        },
        Kind::Number { .. } => {
            let number = serde_json::from_str::<Number>(text);
            Value::Number(number.map_err(|_| wrong("a number"))?)
        }
        Kind::Json => {
            serde_json::from_str(text).map_err(|error| wrong(&format!("JSON: {error}")))?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["account", "cores"],
            "properties": {
                "account": {"type": "string"},
                "cores": {"type": "integer"},
                "size": {"$ref": "#/$defs/Size"},
                "hot": {"type": ["boolean", "null"]},
                "tags": {"type": "array"},
            },
            "$defs": {"Size": {"enum": ["small", "large"]}},
        })
    }

    #[test]
    fn a_form_makes_an_input_of_the_right_types() {
        let form = Form::text(
            "input.account=12&input.cores=12&input.size=large&input.hot=true&input.tags=[1]&other=1",
        );
        let input: Value = serde_json::from_str(&said(Some(&schema()), &form).unwrap()).unwrap();
        assert_eq!(
            input,
            json!({"account": "12", "cores": 12, "size": "large", "hot": true, "tags": [1]})
        );
    }

    #[test]
    fn a_secret_is_typed_unseen() {
        let schema = json!({"properties": {
            "password": {"type": "string", "writeOnly": true},
            "token": {"type": ["string", "null"], "writeOnly": true},
        }});
        let form = inputs(Some(&schema)).into_string();
        assert_eq!(form.matches("type=\"password\"").count(), 2, "{form}");
        let said = said(Some(&schema), &Form::text("input.password=p&input.token=t")).unwrap();
        assert_eq!(said, r#"{"password":"p","token":"t"}"#);
    }

    #[test]
    fn what_is_no_number_or_no_json_is_told() {
        for wrong in [
            "input.cores=many",
            "input.hot=maybe",
            "input.tags=[",
            "input.cores=0x1",
        ] {
            assert!(
                said(Some(&schema()), &Form::text(wrong)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn without_a_schema_it_is_json() {
        assert_eq!(
            said(None, &Form::text("json={\"a\":1}")).unwrap(),
            "{\"a\":1}"
        );
        assert!(said(None, &Form::text("")).is_err());
        assert!(
            inputs(Some(&json!({"type": "string"})))
                .into_string()
                .contains("name=\"json\"")
        );
    }
}
