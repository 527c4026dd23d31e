//! Routes, and the document that describes them (OpenAPI 3.1), from one declaration each.
//!
//! A route is added with what it needs of who asks, or not at all; its parameters, body and answers in the document are the
//! types of its function, so that the two cannot differ.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, on};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::doors::{Guarded, Needs, check};
use super::etag;
use super::problem::Problem;

/// What is known of a route, as it is put together from the types of its function.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) answers: Map<String, Value>,
}

/// Where the schemas of the document are gathered: of what is taken in, and of what is given out.
pub(super) struct Schemas {
    pub(super) taken: SchemaGenerator,
    pub(super) given: SchemaGenerator,
}

/// Something that a route's function takes or gives.
pub(super) trait Described {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

impl<T: Described> Described for Result<T, Problem> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        T::describe(operation, schemas);
        let schema = schemas.given.subschema_for::<Problem>();
        let problem = json!({
            "description": "What is wrong",
            "content": {"application/problem+json": {"schema": schema}},
        });
        operation.answers.insert("default".to_owned(), problem);
    }
}

/// A route's function, whose types describe it.
pub(super) trait Operate<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

macro_rules! operate {
    ($($taken:ident)*) => {
        impl<F, Fut, Given, $($taken,)*> Operate<($($taken,)*)> for F
        where
            F: Fn($($taken,)*) -> Fut,
            Fut: Future<Output = Given>,
            Given: Described,
            $($taken: Described,)*
        {
            fn describe(operation: &mut Operation, schemas: &mut Schemas) {
                $($taken::describe(operation, schemas);)*
                Given::describe(operation, schemas);
            }
        }
    };
}
operate!();
operate!(A);
operate!(A B);
operate!(A B C);
operate!(A B C D);
operate!(A B C D E);

/// A route as it stands in the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What a program calls it.
    pub(super) name: &'static str,
    /// What it does, in one line.
    pub(super) does: &'static str,
}

/// The routes that there are, with their document.
pub(super) struct Routes {
    guarded: Guarded,
    router: Router,
    schemas: Schemas,
    paths: BTreeMap<&'static str, Map<String, Value>>,
}

impl Routes {
    pub(super) fn new(guarded: Guarded) -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            guarded,
            router: Router::new(),
            schemas: Schemas {
                taken: settings().into_generator(),
                given: settings().for_serialize().into_generator(),
            },
            paths: BTreeMap::new(),
        }
    }

    /// Adds a route, with what it needs.
    pub(super) fn add<H, T, D>(mut self, needs: Needs, entry: Entry, handler: H) -> Self
    where
        H: Handler<T, ()> + Operate<D>,
        T: 'static,
    {
        let mut operation = Operation::default();
        H::describe(&mut operation, &mut self.schemas);
        if entry.method == "GET" {
            etag::describe(&mut operation);
        }
        let lower = entry.method.to_ascii_lowercase();
        let in_path = self.paths.entry(entry.path).or_default();
        in_path.insert(lower, document(needs, entry, operation));
        let method = match entry.method {
            "GET" => MethodFilter::GET,
            "POST" => MethodFilter::POST,
            "DELETE" => MethodFilter::DELETE,
            other => unreachable!("no route has the method {other}"),
        };
        debug_assert!(Method::from_bytes(entry.method.as_bytes()).is_ok());
        let guard = from_fn_with_state((self.guarded.clone(), needs), check);
        let mut route = on(method, handler);
        if entry.method == "GET" {
            // Within the guard: who is not let in learns of nothing, not even that it is as it was.
            route = route.layer(from_fn(etag::tag));
        }
        let route = route.layer(guard);
        self.router = self.router.route(entry.path, route);
        self
    }

    /// The router, and the document.
    pub(super) fn finish(mut self) -> (Router, Value) {
        let mut schemas = self.schemas.taken.take_definitions(true);
        schemas.extend(self.schemas.given.take_definitions(true));
        let paths: Map<String, Value> = std::mem::take(&mut self.paths)
            .into_iter()
            .map(|(path, operations)| (path.to_owned(), Value::Object(operations)))
            .collect();
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Intendant",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Operations that a business must not lose: asked for, looked at, resumed. Lists are pages by \
                                key: `next` of one is `before` of the next one. What is wrong is told as \
                                `application/problem+json`, with a code that stays.",
                "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "`intendant token create`. Its scope is viewer, operator or admin; each may what those \
                                        before it may.",
                    },
                },
            },
        });
        (self.router, document)
    }
}

fn document(needs: Needs, entry: Entry, operation: Operation) -> Value {
    let mut document = json!({
        "operationId": entry.name,
        "summary": entry.does,
        "responses": operation.answers,
    });
    if !operation.parameters.is_empty() {
        document["parameters"] = operation.parameters.into();
    }
    if let Some(body) = operation.body {
        document["requestBody"] = body;
    }
    match needs {
        Needs::Nobody => document["security"] = json!([]),
        Needs::Scope(scope) => {
            document["security"] = json!([{"token": []}]);
            document["x-scope"] = scope.as_str().into();
        }
    }
    document
}
