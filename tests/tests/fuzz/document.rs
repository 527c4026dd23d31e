//! The document that the server serves of itself, and what a client would say that goes by it. So what is new in it is tried
//! without anybody's doing.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Value, json};

use crate::changes;
use crate::json::{Json, written};
use crate::text::texts;

/// What is there, by the name under which a call says it.
pub(crate) type Known = BTreeMap<&'static str, Vec<String>>;

const TIMES: &[&str] = &[
    "2026-11-21T08:00:00Z",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999+14:00",
    "0000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-06-30T23:59:60Z",
];

/// An operation of the document.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) parameters: Vec<Parameter>,
    /// The schema of its body, if it has one.
    pub(crate) body: Option<Value>,
}

/// Something that it can be told beside its body.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// `path`, `query` or `header`.
    pub(crate) place: String,
    pub(crate) name: String,
    pub(crate) schema: Value,
}

pub(crate) struct Document {
    pub(crate) operations: Vec<Operation>,
    schemas: Value,
    problem: Validator,
    known: Known,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Operation {
    fn read(path: &str, method: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.map(|parameter| Parameter {
            place: text(&parameter["in"]),
            name: text(&parameter["name"]),
            schema: parameter["schema"].clone(),
        });
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        Self {
            method: method.to_uppercase(),
            path: path.to_owned(),
            parameters: parameters.collect(),
            body: (!body.is_null()).then(|| body.clone()),
        }
    }

    /// Whether it can be told this behind the question mark.
    pub(crate) fn takes(&self, name: &str) -> bool {
        let mut parameters = self.parameters.iter();
        parameters.any(|parameter| parameter.place == "query" && parameter.name == name)
    }
}

impl Document {
    pub(crate) fn read(document: &Value, known: Known) -> Result<Self> {
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().context("paths")? {
            for (method, operation) in methods.as_object().context("methods")? {
                operations.push(Operation::read(path, method, operation));
            }
        }
        let problem = json!({
            "$ref": "#/components/schemas/Problem",
            "components": document["components"],
        });
        Ok(Self {
            operations,
            schemas: document["components"]["schemas"].clone(),
            problem: jsonschema::validator_for(&problem)?,
            known,
        })
    }

    /// It is told as the document says that problems are told.
    pub(crate) fn check_problem(&self, problem: &Value) -> Result<()> {
        let wrong = self.problem.iter_errors(problem);
        let wrong: Vec<String> = wrong.map(|error| error.to_string()).collect();
        ensure!(wrong.is_empty(), "{wrong:?} in {problem}");
        Ok(())
    }

    /// What is there under this name.
    pub(crate) fn known(&self, name: &str) -> &[String] {
        self.known.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a schema allows, mostly, under this name.
    pub(crate) fn instance(&self, name: &str, schema: &Value) -> BoxedStrategy<Json> {
        if let Some(reference) = schema["$ref"].as_str() {
            let named = reference.rsplit('/').next().unwrap_or_default();
            return self.instance(name, &self.schemas[named]);
        }
        if let Some(value) = schema.get("const") {
            return Just(Json::of(value)).boxed();
        }
        if let Some(values) = schema["enum"].as_array() {
            return select(values.iter().map(Json::of).collect::<Vec<_>>()).boxed();
        }
        let choices = ["anyOf", "oneOf"];
        let choices = choices.iter().find_map(|word| schema[*word].as_array());
        if let Some(choices) = choices {
            let choices = choices.iter().map(|choice| self.instance(name, choice));
            return Union::new(choices).boxed();
        }
        let sorts: Vec<&str> = match &schema["type"] {
            Value::String(sort) => vec![sort.as_str()],
            Value::Array(sorts) => sorts.iter().filter_map(Value::as_str).collect(),
            _ => return self.anything(name),
        };
        let sorts = sorts.into_iter();
        Union::new(sorts.map(|sort| self.of_sort(sort, name, schema))).boxed()
    }

    fn of_sort(&self, sort: &str, name: &str, schema: &Value) -> BoxedStrategy<Json> {
        match sort {
            "object" => self.object(schema),
            "array" => {
                let items = vec(self.instance(name, &schema["items"]), 0..4);
                items.prop_map(Json::List).boxed()
            }
            "string" => self.string(name, schema),
            "integer" | "number" => number(schema),
            "boolean" => any::<bool>()
                .prop_map(|is| Json::Plain(is.to_string()))
                .boxed(),
            _ => Just(Json::Plain("null".to_owned())).boxed(),
        }
    }

    fn object(&self, schema: &Value) -> BoxedStrategy<Json> {
        let required = schema["required"].as_array().into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        let members = schema["properties"].as_object().into_iter().flatten();
        let members = members.map(|(name, schema)| {
            let as_written = written(name);
            let member = self.instance(name, schema);
            let member = member.prop_map(move |json| (as_written.clone(), json));
            match required.contains(&name.as_str()) {
                true => member.prop_map(Some).boxed(),
                false => prop::option::weighted(0.4, member).boxed(),
            }
        });
        let members: Vec<BoxedStrategy<Option<(String, Json)>>> = members.collect();
        let more = match &schema["additionalProperties"] {
            of @ Value::Object(_) => {
                let name = texts().prop_map(|name| written(&name));
                vec((name, self.instance("", of)), 0..3).boxed()
            }
            _ => Just(Vec::new()).boxed(),
        };
        let all = (members, more);
        all.prop_map(|(members, more)| {
            Json::Object(members.into_iter().flatten().chain(more).collect())
        })
        .boxed()
    }

    fn string(&self, name: &str, schema: &Value) -> BoxedStrategy<Json> {
        let mut usual = self.known(name).to_vec();
        match schema["format"].as_str() {
            Some("date-time") => usual.extend(TIMES.iter().map(|time| (*time).to_owned())),
            Some("uuid") => usual.push(uuid::Uuid::nil().to_string()),
            _ => usual.push("a".to_owned()),
        }
        prop_oneof![5 => select(usual), 1 => texts()]
            .prop_map(|text| Json::text(&text))
            .boxed()
    }

    fn anything(&self, name: &str) -> BoxedStrategy<Json> {
        let known = self.known(name).iter();
        let known = known.filter_map(|json| serde_json::from_str::<Value>(json).ok());
        let known: Vec<Json> = known.map(|value| Json::of(&value)).collect();
        match known.is_empty() {
            true => changes::values(),
            false => prop_oneof![3 => select(known), 1 => changes::values()].boxed(),
        }
    }
}

fn number(schema: &Value) -> BoxedStrategy<Json> {
    let edges = ["minimum", "maximum"].into_iter();
    let edges = edges.filter_map(|edge| schema[edge].as_i64());
    let around = |edge: i64| [edge.saturating_sub(1), edge, edge.saturating_add(1)];
    let mut numbers: Vec<i64> = edges.flat_map(around).collect();
    numbers.extend([0, 1, 2, i64::MAX]);
    prop_oneof![2 => select(numbers), 3 => 0..60_i64]
        .prop_map(|number| Json::Plain(number.to_string()))
        .boxed()
}
