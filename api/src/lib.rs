//! The command line of the Intendant workflow engine, and the main job that it shows.
//!
//! [`Cli::new`] makes a program of a worker.

pub mod bench;
pub mod cli;
pub mod demo;
pub mod input;
pub mod output;

pub use cli::Cli;
