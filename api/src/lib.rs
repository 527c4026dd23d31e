//! The command line of the Intendant workflow engine, and the main job that it shows.

pub mod bench;
pub mod cli;
pub mod demo;
pub mod output;
