//! `logs`: what an intent's steps have logged.

use anyhow::Result;
use clap::Args;

use super::args::{IntentArg, Place};
use crate::output;

/// Options of `intendant logs`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The intent's id, or the beginning of it
    id: IntentArg,
    /// Of this step only
    #[arg(long)]
    step: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn logs(options: Options) -> Result<()> {
    let site = options.place.connect().await?;
    let id = options.id.resolve(&site).await?;
    // One that is not there is not found, rather than silent.
    site.state(id).await?;
    let mut logs = site.logs(id).await?;
    if let Some(step) = options.step {
        logs.retain(|log| log.step == step);
    }
    if logs.is_empty() && options.format.is_table() {
        eprintln!(
            "nothing was logged; a worker keeps its steps' logs if `intendant::StepLogs` is among its subscriber's layers"
        );
    }
    output::logs::print(id, &logs, options.format)
}
