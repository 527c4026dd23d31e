//! The network between worker and server fails where it hurts most: between a COMMIT and its answer, before a COMMIT,
//! at any message, for longer than a lease; or it loses what is only there to wake.
//!
//! Each test counts what it hit, and fails if that was not enough. By hand, more of it:
//! `INTENDANT_TEST_CUTS=1000 cargo test -p intendant-tests --test cut -- --nocapture`.

mod asking;
mod bench;
mod cancels;
mod commits;
mod notices;
mod schedules;
mod silence;
