//! Every answer is held against the OpenAPI document: the status, the content type and the schema have to be there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::{Result, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::Said;

/// The operations of the document, and what checks their answers.
pub(crate) struct Document {
    pub(crate) operations: Vec<Operation>,
    components: Value,
    /// None: anything will do.
    validators: Mutex<HashMap<Answer, Option<Arc<Validator>>>>,
}

/// An operation, a status and a content type.
type Answer = (usize, String, String);

pub(crate) struct Operation {
    pub(crate) path: String,
    pub(crate) method: String,
    pub(crate) says: Value,
}

/// The document of the API, which is the same for all servers.
pub(crate) fn document(read: impl FnOnce() -> Value) -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| Document::new(&read()))
}

impl Document {
    fn new(document: &Value) -> Self {
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, operations)| {
            let operations = operations.as_object().unwrap().iter();
            operations.map(|(method, says)| Operation {
                path: path.clone(),
                method: method.to_uppercase(),
                says: says.clone(),
            })
        });
        Self {
            operations: operations.collect(),
            components: document["components"].clone(),
            validators: Mutex::default(),
        }
    }

    /// Fails if this is no answer that the document speaks of.
    pub(crate) fn hold(&self, method: &str, path: &str, said: &Said) -> Result<()> {
        let all = self.operations.iter().enumerate();
        let found = all.filter(|(_, one)| one.method == method && matches(&one.path, path));
        // Where two templates fit, it is the one without a parameter.
        let found = found.min_by_key(|(_, one)| one.path.matches('{').count());
        let Some((nth, operation)) = found else {
            // No route, no method, or a URL that is refused before there is any.
            let is_one = said.is(404, "no_route") || said.is(405, "no_method");
            ensure!(is_one || said.is(400, "malformed"), "not in the document");
            return Ok(());
        };
        let status = said.status.as_str();
        let answers = &operation.says["responses"];
        let answer = answers.get(status).unwrap_or(&answers["default"]);
        let kind = said.header("content-type").split(';').next();
        let kind = kind.unwrap_or_default();
        if said.text.is_empty() && answer.is_object() && answer.get("content").is_none() {
            return Ok(());
        }
        let content = &answer["content"][kind];
        ensure!(
            content.is_object(),
            "status {status} with `{kind}` is not in the document"
        );
        if !kind.ends_with("json") {
            return Ok(());
        }
        let of = (nth, status.to_owned(), kind.to_owned());
        let Some(validator) = self.validator(of, &content["schema"])? else {
            return Ok(());
        };
        let wrong: Vec<String> = validator
            .iter_errors(&said.json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(wrong.is_empty(), "not what the document says: {wrong:?}");
        Ok(())
    }

    /// What checks an answer. To make it takes longer than most tests.
    fn validator(&self, of: Answer, schema: &Value) -> Result<Option<Arc<Validator>>> {
        let mut all = self.validators.lock().unwrap();
        if let Some(known) = all.get(&of) {
            return Ok(known.clone());
        }
        let validator = match schema == &json!(true) {
            true => None,
            false => {
                let mut schema = schema.clone();
                schema["components"] = self.components.clone();
                Some(Arc::new(jsonschema::validator_for(&schema)?))
            }
        };
        all.insert(of, validator.clone());
        Ok(validator)
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template
            .zip(path)
            .all(|(part, given)| part.starts_with('{') || part == given)
}
