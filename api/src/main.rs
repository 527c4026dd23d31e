//! The binary `intendant`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    intendant_api::Cli::default().name("intendant").run().await
}
