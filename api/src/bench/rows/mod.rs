//! The rows of the floor, by set-based SQL in each of the two dialects.

pub(super) mod postgres;
pub(super) mod sqlite;
