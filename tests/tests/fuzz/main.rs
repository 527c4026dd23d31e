//! Inputs at random, and inputs that are nearly right, wherever a text of somebody else's comes in: payloads, filters, cursors,
//! cron expressions, recorded workflows, the bodies of HTTP. Nothing panics or hangs, nothing is a fault of the server, and
//! what cannot be taken is refused in words.
//!
//! ```sh
//! cargo test -p intendant-tests --test fuzz
//! INTENDANT_TEST_SCALE=full cargo test --release -p intendant-tests --test fuzz       # forty times as many values, by hand
//! PROPTEST_CASES=100000 cargo test --release -p intendant-tests --test fuzz cron      # or so many, of one sort
//! PROPTEST_RNG_SEED=17 cargo test -p intendant-tests --test fuzz bodies               # one run again: its failure says this
//! ```

mod bodies;
mod calls;
mod changes;
mod cron;
mod cron_walk;
mod cursors;
mod document;
mod filters;
mod history;
mod json;
mod kinds;
mod pages;
mod payloads;
mod recorded;
mod server;
mod terms;
mod text;
mod tries;

// The reader of recorded workflows is a program's, which nobody else can call. What else it takes of that program is beside
// it here.
#[path = "../../../examples/src/bin/wfformat/format.rs"]
mod format;
#[path = "../../../examples/src/bin/wfformat/graph.rs"]
mod graph;
mod replay;
