//! What the tests share: databases to test on, and binaries to run.

pub mod binary;
pub mod chaos;
pub mod chromium;
pub mod clock;
pub mod database;
pub mod full;
pub mod long;
pub mod orders;
pub mod postgres;
pub mod proxy;
pub mod python;
pub mod rounds;
pub mod scenes;
pub mod serving;
pub mod terminal;
mod wire;

/// A test's usual size, or its full one by hand, with `INTENDANT_TEST_SCALE=full`.
pub fn size(usual: usize, full: usize) -> usize {
    match std::env::var("INTENDANT_TEST_SCALE") {
        Ok(scale) if scale == "full" => full,
        _ => usual,
    }
}
