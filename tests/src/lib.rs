//! What the tests share: databases to test on, and binaries to run.

pub mod binary;
pub mod chaos;
pub mod database;
pub mod postgres;
pub mod proxy;
