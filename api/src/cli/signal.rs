//! Messages to intents.

use anyhow::Result;
use clap::Args;
use serde_json::value::RawValue;

use super::args::{IntentArg, Place};

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
    place: Place,
}

fn json(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned()).map_err(|error| {
        format!("not JSON ({error}); expected, as an example, '{{\"granted\": true}}'")
    })
}

/// Sends a message.
pub(super) async fn signal(options: Signal) -> Result<()> {
    let site = options.place.connect().await?;
    let id = options.id.resolve(&site).await?;
    let (name, payload) = (options.name.as_str(), &options.payload);
    let sent = site.signal(id, name, payload, options.key, options.by);
    match sent.await? {
        false => println!("{id}  `{name}` is sent"),
        true => println!("{id}  `{name}` was sent with this key before; it counts once"),
    }
    Ok(())
}
