//! The contract: what the engine does, the same on SQLite and PostgreSQL. Every test here runs on both.

#![expect(
    clippy::unwrap_used,
    reason = "a test that finds nothing to unwrap fails, as it should"
)]

mod crashes;
mod dry_runs;
mod families;
mod history;
mod invariants;
mod labels;
mod looking;
mod outcomes;
mod promises;
mod refusals;
mod requests;
mod resources;
mod support;
mod trees;
mod waking;
mod why;
mod workers;
