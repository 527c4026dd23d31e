//! What is done to an intent, and what came of it: the same for the command line and the HTTP API.

use intendant::{Cancelled, Error, Intendant, IntentId, Undone, Verb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a verb.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Deed {
    /// To how many intents it was done: to this one, and to children with it
    pub(crate) intents: usize,
    /// Of a rerun of what had finished, or an undo of what had succeeded: the intent that was asked for
    pub(crate) new_intent: Option<IntentId>,
    /// Of a cancel: whether it is over, or asked to stop
    pub(crate) cancelled: Option<CancelledHow>,
}

/// What came of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CancelledHow {
    /// It is
    Now,
    /// It was cancelled before
    Before,
    /// It is asked to stop, and will not succeed any more
    Stopping,
}

/// The verb's name, as a command and as a route of the API.
pub(crate) fn word(verb: &Verb) -> &'static str {
    match verb {
        Verb::Resume => "resume",
        Verb::Cancel => "cancel",
        Verb::Undo => "undo",
        Verb::Discard => "discard",
        Verb::Rerun | Verb::RerunFrom { .. } => "rerun",
        Verb::Retry { .. } => "retry",
        Verb::Skip { .. } => "skip",
        Verb::Amend { .. } => "amend",
        _ => "do it",
    }
}

/// Does it.
pub(crate) async fn act(
    engine: &Intendant,
    id: IntentId,
    verb: &Verb,
    who: &str,
    reason: Option<&str>,
) -> Result<Deed, Error> {
    let mut deed = Deed {
        intents: 1,
        ..Deed::default()
    };
    match verb {
        Verb::Resume => deed.intents = engine.resume(id, who, reason).await?,
        Verb::RerunFrom { step } => deed.intents = engine.rerun_from(id, step, who, reason).await?,
        Verb::Discard => deed.intents = engine.discard(id, who, reason).await?,
        Verb::Cancel => {
            deed.cancelled = Some(match engine.cancel(id, who, reason).await? {
                Cancelled::Before => CancelledHow::Before,
                Cancelled::Stopping => CancelledHow::Stopping,
                _ => CancelledHow::Now,
            });
        }
        Verb::Undo => match engine.undo(id, who, reason).await? {
            Undone::Itself { intents } => deed.intents = intents,
            Undone::By(new) => deed.new_intent = Some(new),
            _ => {}
        },
        Verb::Rerun => deed.new_intent = Some(engine.rerun(id, who, reason).await?),
        verb => engine.act(id, verb, who, reason).await?,
    }
    Ok(deed)
}
