//! Superseding: asks those to stop whom a conflict rule has had superseded (PROTOCOL P5).
//!
//! The tick that decides so writes it down as rows, and nothing more: to stop an intent takes locks that a claim must not
//! wait for. Whoever claimed goes on from the rows; if it dies before, the next session that begins, or finds somebody
//! dead, does. With it goes what plain SQL asks to stop (`asked.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::asked;
use super::engine::Engine;
use crate::cancel::CancelAnswer;
use crate::client::Intendant;
use crate::conflict::ACTOR;
use crate::error::Error;
use crate::state::{FailureReason, IntentState};
use crate::store::{CancelBy, Superseded};

/// How often it is tried again when the database fails, and the pause between two tries.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Whoever asks in this process: one at a time, and once more if there was a reason to meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Asker {
    wanted: AtomicBool,
    asking: Mutex<()>,
}

impl Engine {
    /// Asks everybody to stop who is to be asked, by a rule or by plain SQL, beside the loop.
    pub(super) fn ask_to_stop(&self) {
        let intendant = self.intendant.clone();
        let busy = self.store().seam().busy();
        tokio::spawn(async move {
            ask(&intendant).await;
            drop(busy);
        });
    }
}

/// Asks everybody who is to be asked. What cannot be done now is left to the next one.
pub(super) async fn ask(intendant: &Intendant) {
    let Asker { wanted, asking } = intendant.asker();
    wanted.store(true, Ordering::SeqCst);
    // Whoever wants it while somebody asks is answered by that one, which looks again before it goes and after it has gone.
    while wanted.load(Ordering::SeqCst) {
        let Ok(_one) = asking.try_lock() else { return };
        while wanted.swap(false, Ordering::SeqCst) {
            ask_patiently(intendant).await;
        }
    }
}

async fn ask_patiently(intendant: &Intendant) {
    for _ in 0..TRIES {
        // Neither keeps the other from going on.
        let by_sql = asked::carry_out(intendant).await;
        match ask_all(intendant).await.and(by_sql) {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "who is to stop could not be asked to yet")
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
        let mut done = Ok(());
        for superseded in unasked {
            // One that cannot be asked now keeps nobody else from being asked.
            done = done.and(ask_one(intendant, superseded).await);
        }
        done?;
    }
}

async fn ask_one(intendant: &Intendant, superseded: Superseded) -> Result<(), Error> {
    if superseded.wanted {
        stop(intendant, &superseded).await?;
    }
    // After the order, not with it: to be asked twice changes nothing.
    intendant.store().superseded_asked(superseded).await
}

async fn stop(intendant: &Intendant, superseded: &Superseded) -> Result<(), Error> {
    let Superseded {
        intent,
        by,
        by_kind,
        resource,
        ..
    } = superseded;
    let reason = format!("superseded by intent {by} (`{by_kind}`) on {resource}");
    let rule = CancelBy {
        actor: ACTOR.to_owned(),
        reason: Some(reason.clone()),
    };
    let answers = intendant.cancel_all(vec![*intent], rule).await?;
    tracing::info!(%intent, %by, ?answers, "superseded");
    match answers.as_slice() {
        [(_, CancelAnswer::Finished(IntentState::Failed))] => {
            take_back(intendant, superseded, &reason).await
        }
        _ => Ok(()),
    }
}

/// One that has failed and holds what it held is taken back. If that has failed, or cannot be, the other one waits for a
/// person, unless its rule says that it goes anyway.
async fn take_back(
    intendant: &Intendant,
    superseded: &Superseded,
    reason: &str,
) -> Result<(), Error> {
    let id = superseded.intent;
    let record = intendant.get(id).await?;
    let is_hopeless = record.reason.as_deref() == Some(FailureReason::UndoFailed.as_str());
    let undone = if is_hopeless {
        None
    } else {
        match intendant.undo_failed(id, ACTOR, Some(reason)).await {
            Err(error) if error.is_conflict() => None,
            other => Some(other?),
        }
    };
    if undone.is_none() && superseded.anyway {
        match intendant.discard(id, ACTOR, Some(reason)).await {
            // Somebody has been faster: it has another outcome, which is looked at when it comes to that.
            Err(error) if !error.is_conflict() => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}
