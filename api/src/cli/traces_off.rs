//! Traces: without the feature `opentelemetry` nobody is sent any.

use anyhow::Result;
use tracing_subscriber::layer::Identity;

/// What sends spans, as long as it is kept.
pub(super) struct Traces;

pub(super) fn none() -> (Option<Identity>, Traces) {
    (None, Traces)
}

pub(super) fn layer(_: &str) -> Result<(Option<Identity>, Traces)> {
    Ok(none())
}
