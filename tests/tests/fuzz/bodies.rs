//! Bodies: whatever is sent to a route of the API that does something is done or refused, with whatever in its path and its
//! headers.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use proptest::strategy::Union;

use crate::calls::calls;
use crate::server::Server;
use crate::tries::{Tally, check, on_both, runtime, usual};

on_both! {
    what_is_sent_is_done_or_refused;
}

/// As the document has them.
const FEWEST_ROUTES: usize = 20;

fn what_is_sent_is_done_or_refused(kind: StoreKind) -> Result<()> {
    let runtime = runtime()?;
    let server = runtime.block_on(Server::open(kind))?;
    let document = &server.document;
    let acts = document.operations.iter().filter(|it| it.method != "GET");
    let acts: Vec<_> = acts.collect();
    ensure!(acts.len() >= FEWEST_ROUTES, "{} routes", acts.len());
    ensure!(acts.iter().any(|it| it.method == "DELETE"));
    // What asks for an intent takes most, and is tried as often as several others.
    let sent = acts.iter().flat_map(|it| {
        let times = if it.path == "/api/v1/intents" { 6 } else { 1 };
        vec![calls(document, it); times]
    });
    let tally = Tally::default();
    check(usual(kind, 700), &Union::new(sent), |call| {
        let said = runtime.block_on(server.answer_of_api(&call))?;
        tally.add(said.outcome());
        Ok(())
    })?;
    tally.has(&["done", "refused", "not there", "in conflict"])?;
    runtime.block_on(server.check())
}
