//! The contract: what the engine does, the same on SQLite and PostgreSQL. Every test here runs on both.

#![expect(
    clippy::unwrap_used,
    reason = "a test that finds nothing to unwrap fails, as it should"
)]

mod alerts;
mod asking;
mod at_most_once;
mod backing_off;
mod by_name;
mod cancels;
mod cancels_of_families;
mod cancels_of_sql;
mod checkpoints;
mod conflicts;
mod crashes;
mod dead_ends;
mod dry_runs;
mod elsewhere;
mod families;
mod fanout;
mod few_at_once;
mod history;
mod invariants;
mod keys_of_sql;
mod labels;
mod limits;
mod limits_of_waits;
mod locked;
mod looking;
mod maps;
mod meters;
mod middleware;
mod mixed;
mod notices;
mod offers;
mod outcomes;
mod plain_sql;
mod plain_sql_examples;
mod plain_sql_refusals;
mod promises;
mod queues;
mod races;
mod refusals;
mod requests;
mod reruns;
mod resources;
mod routed;
mod routed_at_most_once;
mod routed_cancels;
mod routed_crashes;
mod routed_limits;
mod routed_long_work;
mod routed_undo;
mod schedules;
mod schedules_in_time;
mod signals;
mod signals_of_sql;
mod sleeps;
mod slots;
mod step_logs;
mod superseding;
mod superseding_failed;
mod support;
mod trees;
mod undo;
mod undo_crashes;
mod undo_failures;
mod undo_succeeded;
mod verbs;
mod verbs_many;
mod waits_and_verbs;
mod waking;
mod watchdog;
mod why;
mod workers;
