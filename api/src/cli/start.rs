//! How a process becomes a command line: the program's name, what it logs, readers that go away.

use std::io::IsTerminal as _;
use std::io::Write as _;

use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer};

use super::NAME;
use super::program::complain;
use super::traces::{self, Traces};

/// What a shell says of a program whose reader went away.
const BROKEN_PIPE: i32 = 141;

/// The command line as that of a program with this name: its examples can be run, too.
pub(super) fn named(command: clap::Command, name: &str) -> clap::Command {
    let command = command.name(name.to_owned()).bin_name(name.to_owned());
    match name == NAME {
        true => command,
        false => with_examples_of(command, name),
    }
}

/// Prints what a shell reads to complete this command line.
pub(super) fn completions(command: clap::Command, name: &str, shell: clap_complete::Shell) {
    let mut command = named(command, name);
    // Into memory first: whoever takes no more of it is no crash.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    print!("{}", String::from_utf8_lossy(&text));
}

fn with_examples_of(command: clap::Command, name: &str) -> clap::Command {
    let help = command.get_after_help().map(ToString::to_string);
    let command = command.mut_subcommands(|command| with_examples_of(command, name));
    match help {
        Some(help) => {
            command.after_help(help.replace(&format!("  {NAME} "), &format!("  {name} ")))
        }
        None => command,
    }
}

/// Sets up the process for a command. What comes back is kept until its end.
pub(super) fn prepare(name: &str, works: bool) -> Traces {
    bear_lost_readers(name.to_owned());
    let default = match works {
        true => "info",
        false => "intendant=error",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let said = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal() && !no_colour)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    // What steps say is kept with them; whoever has a subscriber of their own adds this layer to it.
    let logs = works.then(intendant::StepLogs::new);
    // That spans cannot be sent is no reason to do nothing.
    let (traced, traces) = traces::layer(name).unwrap_or_else(|error| {
        complain(name, &format_args!("{error:#}; no spans are sent"));
        traces::none()
    });
    // Only those that are there: for one that is not, each span would be made all the same.
    let mut layers = vec![said.boxed()];
    layers.extend(logs.map(Layer::boxed));
    layers.extend(traced.map(Layer::boxed));
    // A program that has one already keeps it.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    traces
}

/// A reader that has seen enough (`| head`) is no reason for a backtrace, and a full disk is none either.
fn bear_lost_readers(name: String) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if !said.starts_with("failed printing to std") {
            return report(panic);
        }
        if said.contains("Broken pipe") {
            std::process::exit(BROKEN_PIPE);
        }
        // Nothing is left to be done if this cannot be printed either.
        let _ = writeln!(std::io::stderr(), "{name}: {said}");
        std::process::exit(1);
    }));
}
