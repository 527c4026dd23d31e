//! The binary `intendant`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

/// What a shell says of a program whose reader went away.
const BROKEN_PIPE: i32 = 141;

#[tokio::main]
async fn main() -> ExitCode {
    // A reader that has seen enough (`| head`) is no reason for a backtrace, and a full disk is none either.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if !said.starts_with("failed printing to std") {
            return report(panic);
        }
        if said.contains("Broken pipe") {
            std::process::exit(BROKEN_PIPE);
        }
        use std::io::Write as _;
        // Nothing is left to be done if this cannot be printed either.
        let _ = writeln!(std::io::stderr(), "intendant: {said}");
        std::process::exit(1);
    }));
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("intendant=error"));
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && !no_colour)
        .with_writer(std::io::stderr)
        .init();
    intendant_api::cli::run(intendant_api::cli::Cli::parse()).await
}
