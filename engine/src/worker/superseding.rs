//! Superseding: asks those to stop whom a conflict rule has had superseded (PROTOCOL P5).
//!
//! The tick that decides so writes it down as rows, and nothing more: to stop an intent takes locks that a claim must not
//! wait for. Whoever claimed goes on from the rows; if it dies before, the next session that begins, or finds somebody
//! dead, does.

use std::time::Duration;

use super::engine::Engine;
use crate::client::Intendant;
use crate::error::Error;
use crate::store::{CancelBy, Superseded};

/// How often it is tried again when the database fails, and the pause between two tries.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);

impl<S: Send + Sync + 'static> Engine<S> {
    /// Asks everybody who is to be asked, beside the loop.
    pub(super) fn ask_superseded(&self) {
        let intendant = self.intendant.clone();
        tokio::spawn(async move { ask(&intendant).await });
    }
}

/// Asks everybody who is to be asked. What cannot be done now is left to the next one.
pub(super) async fn ask(intendant: &Intendant) {
    for _ in 0..TRIES {
        match ask_all(intendant).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "who is superseded could not be asked to stop yet")
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask_all(intendant: &Intendant) -> Result<(), Error> {
    loop {
        let unasked = intendant.store().superseded().await?;
        if unasked.is_empty() {
            return Ok(());
        }
        for superseded in unasked {
            stop(intendant, &superseded).await?;
            // After the order, not with it: to be asked twice changes nothing.
            intendant.store().superseded_asked(superseded).await?;
        }
    }
}

async fn stop(intendant: &Intendant, superseded: &Superseded) -> Result<(), Error> {
    let Superseded {
        intent,
        by,
        by_kind,
        resource,
    } = superseded;
    let rule = CancelBy {
        actor: "rule".to_owned(),
        reason: Some(format!(
            "superseded by intent {by} (`{by_kind}`) on {resource}"
        )),
    };
    let answers = intendant.cancel_all(vec![*intent], rule).await?;
    tracing::info!(%intent, %by, ?answers, "superseded");
    Ok(())
}
