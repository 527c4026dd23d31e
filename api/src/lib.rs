//! The command line and the HTTP API of the Intendant workflow engine, and the main job that it shows.
//!
//! [`Cli::new`] makes a program of a worker, [`http::Api`] makes routes of an engine, [`WebHook`] sends notices of what goes
//! wrong to a URL.

pub mod bench;
pub mod cli;
mod deed;
pub mod demo;
mod drawing;
mod hook;
pub mod http;
pub mod input;
mod net;
pub mod output;
mod site;

pub use cli::Cli;
pub use hook::{WebHook, WebHookError};
