//! The test kit for users (`intendant::testing`): virtual time, faults at every step, and what its check finds in plans
//! with planted bugs. On SQLite, as the kit is.

#![expect(
    clippy::unwrap_used,
    reason = "a test that finds nothing to unwrap fails, as it should"
)]

mod cloud;
mod elsewhere;
mod families;
mod faults;
mod idempotence;
mod rates;
