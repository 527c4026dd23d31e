//! Messages to intents.

use anyhow::Result;
use clap::Args;
use intendant::Sent;
use serde_json::value::RawValue;

use super::args::{Database, IntentArg};
use super::verbs::who;

/// What is sent, and to whom.
#[derive(Debug, Args)]
pub(super) struct Signal {
    /// The intent's id, or the beginning of it
    #[arg(value_name = "ID")]
    id: IntentArg,
    /// The message's name
    #[arg(value_name = "NAME")]
    name: String,
    /// What it says
    #[arg(value_name = "JSON", default_value = "null", value_parser = json)]
    payload: Box<RawValue>,
    /// Sent again with the same key, it counts once
    #[arg(long)]
    key: Option<String>,
    /// Who sends it [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    database: Database,
}

fn json(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| {
        format!("not JSON ({error}); expected, as an example, '{{\"granted\": true}}'")
    })
}

/// Sends a message.
pub(super) async fn signal(options: Signal) -> Result<()> {
    let intendant = options.database.connect().await?;
    let id = options.id.resolve(&intendant).await?;
    let mut signal = intendant
        .signal(id, options.name.as_str(), &options.payload)
        .by(who(options.by));
    if let Some(key) = options.key {
        signal = signal.key(key);
    }
    match signal.await? {
        Sent::Now(_) => println!("{id}  `{}` is sent", options.name),
        Sent::Before(_) => println!(
            "{id}  `{}` was sent with this key before; it counts once",
            options.name
        ),
    }
    Ok(())
}
