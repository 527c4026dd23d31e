//! The test kit for users (`intendant::testing`): virtual time, faults at every step, and what its check finds in plans
//! with planted bugs. On SQLite, as the kit is.

mod cloud;
mod faults;
mod idempotence;
