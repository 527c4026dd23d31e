//! The command line and the HTTP API of the Intendant workflow engine, and the main job that it shows.
//!
//! [`Cli::new`] makes a program of a worker, [`http::Api`] makes routes of an engine.

pub mod bench;
pub mod cli;
pub mod demo;
pub mod http;
pub mod input;
pub mod output;

pub use cli::Cli;
