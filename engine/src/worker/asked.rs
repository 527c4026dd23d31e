//! Asked: cancels that plain SQL has asked for. Its row says what is wanted; a worker carries it out as the library would,
//! since who is stopped, and who wins, has one implementation.
//!
//! Whoever looks and finds one does. A row goes after its cancel, not with it: to be asked twice changes nothing.

use crate::cancel::CancelAnswer;
use crate::client::Intendant;
use crate::error::Error;
use crate::store::CancelAsked;

/// Carries out whatever there is. What cannot be done now is left to the next look, and keeps nothing else from being done.
pub(super) async fn carry_out(intendant: &Intendant) -> Result<(), Error> {
    loop {
        let asked = intendant.store().cancels_asked().await?;
        if asked.is_empty() {
            return Ok(());
        }
        let mut done = Ok(());
        for asked in asked {
            done = done.and(cancel(intendant, asked).await);
        }
        done?;
    }
}

async fn cancel(intendant: &Intendant, asked: CancelAsked) -> Result<(), Error> {
    let id = asked.intent;
    let answers = intendant.cancel_all(vec![id], asked.by.clone()).await?;
    tracing::info!(intent = %id, ?answers, "cancelled from plain SQL");
    let refused = CancelAnswer::of_one(answers).settle(id).err();
    let refused = refused.map(|error| error.to_string());
    intendant.store().cancel_answered(asked, refused).await
}
