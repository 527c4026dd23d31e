//! Pages: the dashboard's filters and forms, which are read in ways of their own.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_api::http::{Api, PageRoute};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use crate::calls::Call;
use crate::document::Document;
use crate::server::Server;
use crate::text::{edited, encoded, few_edits, texts};
use crate::tries::{Tally, check, on_both, runtime, usual};

on_both! {
    a_form_is_taken_or_refused;
}

/// What forms and links have, beside what the API has as well.
const FIELDS: &[&str] = &[
    "account",
    "after",
    "at_once",
    "before",
    "burst",
    "by",
    "c",
    "cap",
    "error",
    "events",
    "from",
    "id",
    "input",
    "json",
    "key",
    "kind",
    "label",
    "name",
    "of",
    "output",
    "payload",
    "rate",
    "reason",
    "requested_by",
    "resource",
    "resources",
    "since",
    "slots",
    "state",
    "step",
    "steps",
    "to",
    "token",
    "verb",
];

fn a_form_is_taken_or_refused(kind: StoreKind) -> Result<()> {
    let runtime = runtime()?;
    let server = runtime.block_on(Server::open(kind))?;
    let pages = Api::new(&server.intendant).pages();
    ensure!(pages.len() > 20, "{pages:?}");
    let calls = pages.into_iter().map(|page| calls(&server.document, page));
    let tally = Tally::default();
    check(usual(kind, 400), &Union::new(calls), |call| {
        let said = runtime.block_on(server.answer(&call))?;
        // What is refused before it is known whether it is for a page is told as everywhere else.
        let kinds = ["text/html", "application/problem+json"];
        let is_told = kinds.iter().any(|kind| said.kind.starts_with(kind));
        ensure!(is_told || !said.status.is_client_error(), "{said:?}");
        tally.add(said.outcome());
        Ok(())
    })?;
    tally.has(&["done", "refused", "not there"])?;
    runtime.block_on(server.check())
}

fn calls(document: &Document, page: PageRoute) -> BoxedStrategy<Call> {
    let fields = FIELDS.iter().map(|name| (*name, field(document, name)));
    let fields = fields.map(|(name, value)| value.prop_map(move |value| (name, value)).boxed());
    let fields = vec(Union::new(fields), 0..8);
    let id = field(document, "id");
    (fields, id, few_edits())
        .prop_map(move |(fields, id, edits)| {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| format!("{name}={}", encoded(value, b"")));
            let said = fields.collect::<Vec<_>>().join("&");
            let target = page.path.replace("{id}", &encoded(&id, b""));
            let mut call = Call::get(target.replace("{name}", "style.css"));
            match page.method {
                "GET" => call.target = format!("{}?{said}", call.target),
                method => {
                    method.clone_into(&mut call.method);
                    let kind = b"application/x-www-form-urlencoded".to_vec();
                    call.headers.push(("content-type".to_owned(), kind));
                    call.body = edited(said.into_bytes(), &edits);
                }
            }
            call
        })
        .boxed()
}

/// What stands in a field: what is there, or something else.
fn field(document: &Document, name: &str) -> BoxedStrategy<Vec<u8>> {
    let mut known = document.known(name).to_vec();
    known.push("1".to_owned());
    let text = prop_oneof![3 => select(known), 1 => texts()];
    (text, few_edits())
        .prop_map(|(text, edits)| edited(text.into_bytes(), &edits))
        .boxed()
}
