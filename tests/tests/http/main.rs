//! The HTTP API, on both stores. Every answer is held against the document that describes the routes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that finds nothing to unwrap fails, as it should"
)]

mod accounts;
mod bulk;
mod documented;
mod hooks;
mod hostile;
mod leaks;
mod matrix;
mod pages;
mod pages_browser;
mod pages_forms;
mod pages_hostile;
mod pages_large;
mod pages_matrix;
mod parts;
mod routes;
mod serving;
mod shield;
mod streams;
mod support;
mod tokens;
mod traces;
