//! Filters: whatever stands behind a question mark of the API is answered or refused, on every route that reads something.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use proptest::strategy::Union;

use crate::calls::calls;
use crate::server::Server;
use crate::tries::{Tally, check, on_both, runtime, usual};

on_both! {
    what_is_looked_for_is_answered_or_refused;
}

/// Of all routes together, as the document has them.
const FEWEST_PARAMETERS: usize = 40;

fn what_is_looked_for_is_answered_or_refused(kind: StoreKind) -> Result<()> {
    let runtime = runtime()?;
    let server = runtime.block_on(Server::open(kind))?;
    let document = &server.document;
    let reads = document.operations.iter().filter(|it| it.method == "GET");
    let reads: Vec<_> = reads.collect();
    let parameters = reads.iter().flat_map(|it| &it.parameters);
    let queried = parameters.filter(|it| it.place == "query").count();
    ensure!(queried >= FEWEST_PARAMETERS, "{queried} parameters");
    // Those that can be told more are tried more often.
    let asked = reads.iter().flat_map(|it| {
        let times = it.parameters.len().max(1);
        vec![calls(document, it); times]
    });
    let tally = Tally::default();
    check(usual(kind, 600), &Union::new(asked), |call| {
        let said = runtime.block_on(server.answer_of_api(&call))?;
        tally.add(said.outcome());
        Ok(())
    })?;
    tally.has(&["done", "refused", "not there"])?;
    runtime.block_on(server.check())
}
