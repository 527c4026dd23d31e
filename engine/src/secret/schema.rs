//! Which fields of an input are secret by the schema of its kind: those that say `writeOnly`, as JSON Schema and OpenAPI
//! have it. For inputs that come as JSON, from who does not have the type.

use std::convert::Infallible;

use serde_json::Value;

use super::level::{Level, Part};
use super::marks::marked_whole;

/// Deepest chain of references and alternatives that is followed.
const DEPTH: usize = 64;

/// An input with what the schema calls secret marked. Where the schema has alternatives, what one of them calls secret is.
pub(crate) fn mark(schema: &Value, input: &str) -> String {
    // Read as it is stored; most schemas have none.
    if !has_secrets(schema) {
        return input.to_owned();
    }
    let mut nodes = Vec::new();
    expand(schema, schema, &mut nodes, DEPTH);
    marked(schema, &nodes, input)
}

fn has_secrets(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.get("writeOnly") == Some(&Value::Bool(true))
                || members.values().any(has_secrets)
        }
        Value::Array(items) => items.iter().any(has_secrets),
        _ => false,
    }
}

/// A schema with all that it refers to or chooses from, at the same place of the input.
fn expand<'a>(root: &'a Value, node: &'a Value, into: &mut Vec<&'a Value>, depth: usize) {
    if depth == 0 || into.iter().any(|known| std::ptr::eq(*known, node)) {
        return;
    }
    into.push(node);
    let referred = node.get("$ref").and_then(|it| referred(root, it));
    let lists = ["allOf", "anyOf", "oneOf"].into_iter();
    let lists = lists
        .filter_map(|name| node.get(name)?.as_array())
        .flatten();
    let single = ["if", "then", "else"].into_iter();
    let single = single.filter_map(|name| node.get(name));
    let dependent = node.get("dependentSchemas").and_then(Value::as_object);
    let dependent = dependent.into_iter().flat_map(serde_json::Map::values);
    for next in referred
        .into_iter()
        .chain(lists)
        .chain(single)
        .chain(dependent)
    {
        expand(root, next, into, depth - 1);
    }
}

/// What a reference within the document leads to.
fn referred<'a>(root: &'a Value, reference: &Value) -> Option<&'a Value> {
    let fragment = reference.as_str()?.strip_prefix('#')?;
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => (bytes.push(byte), rest = &after[2..]),
            None => (bytes.push(*first), rest = after),
        };
    }
    root.pointer(std::str::from_utf8(&bytes).ok()?)
}

fn marked(root: &Value, nodes: &[&Value], input: &str) -> String {
    let input = input.trim();
    // What a reference that cannot be followed says is not known: better a secret too many.
    let is_lost = |node: &Value| {
        let reference = node.get("$ref").or_else(|| node.get("$dynamicRef"));
        reference.is_some_and(|reference| referred(root, reference).is_none())
    };
    let is_secret =
        |node: &&Value| node.get("writeOnly") == Some(&Value::Bool(true)) || is_lost(node);
    if nodes.iter().any(is_secret) {
        return marked_whole(input);
    }
    let rebuilt = Level::of(input).rebuilt(|part, text| {
        let next = nodes.iter().flat_map(|node| match part {
            Part::Member(name) => of_member(node, name),
            Part::Element(index) => of_item(node, index),
        });
        let mut below = Vec::new();
        for node in next {
            expand(root, node, &mut below, DEPTH);
        }
        Ok::<_, Infallible>(marked(root, &below, text))
    });
    rebuilt.unwrap_or_else(|never| match never {})
}

/// What a schema says of a member. Of patterns all are taken: better a secret too many.
fn of_member<'a>(node: &'a Value, name: &str) -> Vec<&'a Value> {
    let named = node.get("properties").and_then(|all| all.get(name));
    let patterns = node.get("patternProperties").and_then(Value::as_object);
    let patterns = patterns.into_iter().flat_map(serde_json::Map::values);
    let others = node.get("additionalProperties").filter(|_| named.is_none());
    let unevaluated = node
        .get("unevaluatedProperties")
        .filter(|_| named.is_none());
    let all = named.into_iter().chain(patterns).chain(others);
    all.chain(unevaluated).collect()
}

/// What a schema says of an element: by draft 2020-12, and by those before it, where `items` could be a list.
fn of_item(node: &Value, index: usize) -> Vec<&Value> {
    let listed = |name| node.get(name).and_then(Value::as_array);
    let prefix = listed("prefixItems").or_else(|| listed("items"));
    let own = prefix.and_then(|prefix| prefix.get(index));
    let rest = ["items", "additionalItems", "contains", "unevaluatedItems"].into_iter();
    let rest = rest.filter_map(|name| node.get(name));
    let rest = rest.filter(|schema| schema.is_object());
    own.into_iter().chain(rest).collect()
}
