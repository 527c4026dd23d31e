//! Terms: what `--where` takes is a filter or a usage error, by the command line itself.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use intendant::StoreKind;
use intendant_tests::binary;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::document::Document;
use crate::server::Server;
use crate::text::{edited_text, few_edits, texts};
use crate::tries::{Tally, check, on_both, runtime, usual};

on_both! {
    what_is_said_in_terms_is_a_filter_or_a_usage_error;
}

const NAMES: &[&str] = &[
    "account",
    "kind",
    "state",
    "resource",
    "label",
    "by",
    "correlation_id",
    "since",
    "until",
    "finished_since",
    "error",
    "kid",
];

const TIMES: &[&str] = &[
    "2h",
    "2026-11-21",
    "2026-11-21T08:00:00Z",
    "0000-01-01",
    "-0001-01-01",
    "+250000-01-01",
    "+262000-01-01",
    "90000000d",
    "4294967295d",
    "4294967296d",
];

fn what_is_said_in_terms_is_a_filter_or_a_usage_error(kind: StoreKind) -> Result<()> {
    let runtime = runtime()?;
    let server = runtime.block_on(Server::open(kind))?;
    let intendant = binary::path("intendant")?;
    let tally = Tally::default();
    check(usual(kind, 40), &terms(&server.document), |terms| {
        let mut list = Command::new(&intendant);
        list.args(["list", "-o", "id", "--database-url", server.url()]);
        let output = list.arg(format!("--where={terms}")).output()?;
        match output.status.code() {
            Some(0) => tally.add("a filter"),
            Some(2) => {
                let is_told = output.stdout.is_empty() && !output.stderr.is_empty();
                ensure!(is_told, "{output:?}");
                tally.add("refused");
            }
            _ => bail!("{output:?}"),
        }
        Ok(())
    })?;
    tally.has(&["a filter", "refused"])
}

fn terms(document: &Document) -> BoxedStrategy<String> {
    let known = NAMES.iter().flat_map(|name| document.known(name));
    let known: Vec<String> = known.cloned().collect();
    let value = prop_oneof![
        4 => select(known),
        3 => select(TIMES).prop_map(str::to_owned),
        2 => texts(),
    ];
    let quote = select(vec!["", "'", "\""]);
    let term = (select(NAMES), value, quote);
    let term = term.prop_map(|(name, value, quote)| format!("{name}={quote}{value}{quote}"));
    let terms = (vec(term, 1..4), select(vec![" ", "  ", "\t", "\n"]));
    let terms = terms.prop_map(|(terms, between)| terms.join(between));
    (terms, few_edits())
        // No argument of a program has the character U+0000.
        .prop_map(|(terms, edits)| edited_text(terms, &edits).replace('\0', " "))
        .boxed()
}
