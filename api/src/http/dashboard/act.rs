//! What operators do to one intent, from the forms of its page. Each asks why.

use axum::response::Response;
use intendant::{IntentId, IntentRecord, IntentState, StepRecord, StepState, Verb};
use maud::{Markup, html};
use serde_json::Value;
use serde_json::value::RawValue;

use super::door::see;
use super::form::Form;
use super::place::{Place, Seat};
use crate::http::parts::{Answer, Body, Id, IdempotencyKey};
use crate::http::problem::Problem;
use crate::http::verbs::{self, Act, Amend, Message};

/// What can be done, with what the button says and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    word: &'static str,
    said: &'static str,
    means: &'static str,
}

const RESUME: Offer = Offer {
    word: "resume",
    said: "Resume",
    means: "Goes on from the step that failed; nothing that succeeded runs again.",
};
const UNDO: Offer = Offer {
    word: "undo",
    said: "Undo",
    means: "Takes back what its steps did.",
};
const DISCARD: Offer = Offer {
    word: "discard",
    said: "Discard",
    means: "Gives it up, and frees what it holds; nothing is taken back.",
};
const CANCEL: Offer = Offer {
    word: "cancel",
    said: "Cancel",
    means: "Stops it, with all that it has asked for.",
};
const RERUN: Offer = Offer {
    word: "rerun",
    said: "Run again",
    means: "Asks for the same again, as a new intent.",
};
const RETRY: Offer = Offer {
    word: "retry",
    said: "Retry now",
    means: "Tries this step again, now.",
};
const SKIP: Offer = Offer {
    word: "skip",
    said: "Skip with an output",
    means: "Gives the step its output by hand, and goes on.",
};
const FROM: Offer = Offer {
    word: "rerun-from",
    said: "Run again from here",
    means: "Takes back what comes after this step, and runs it and all of that again.",
};

/// What can be done to an intent in this state, the most likely first.
pub(super) fn offers(state: IntentState) -> &'static [Offer] {
    match state {
        IntentState::Failed => &[RESUME, UNDO, DISCARD],
        IntentState::Blocked | IntentState::Ready | IntentState::Running | IntentState::Waiting => {
            &[CANCEL]
        }
        IntentState::Succeeded => &[RERUN, UNDO],
        IntentState::Cancelled => &[RERUN],
        IntentState::Undoing => &[],
    }
}

/// What can be done to a step.
pub(super) fn step_offers(intent: IntentState, step: StepState) -> &'static [Offer] {
    match (intent, step) {
        (IntentState::Failed, StepState::Failed) => &[RETRY, SKIP, FROM],
        (IntentState::Failed, StepState::Succeeded | StepState::Skipped) => &[FROM],
        (IntentState::Waiting, StepState::Waiting) => &[RETRY, SKIP],
        _ => &[],
    }
}

pub(super) fn forms(
    place: &Place,
    id: IntentId,
    offers: &[Offer],
    step: Option<&str>,
    first_is_open: bool,
) -> Markup {
    html! {
        @for (index, offer) in offers.iter().enumerate() {
            details #{ "act-" (offer.word) } open[first_is_open && index == 0] {
                summary .button { (offer.said) }
                (form(place, id, *offer, step))
            }
        }
    }
}

fn form(place: &Place, id: IntentId, offer: Offer, step: Option<&str>) -> Markup {
    html! {
        form .act method="post" action=(place.to(&format!("/intents/{id}/act"))) {
            p .muted { (offer.means) }
            input type="hidden" name="verb" value=(offer.word);
            @if let Some(step) = step { input type="hidden" name="step" value=(step); }
            @if offer == SKIP {
                label { "Output, as JSON" textarea .code name="output" required rows="3" spellcheck="false" { "null" } }
            }
            label { "Why" textarea name="reason" required rows="2" maxlength="2000" {} }
            button .main type="submit" { (offer.said) }
        }
    }
}

/// The form that replaces the input of a failed one.
pub(super) fn amend_form(place: &Place, record: &IntentRecord) -> Markup {
    html! {
        details #act-amend {
            summary .button { "Amend the input" }
            form .act method="post" action=(place.to(&format!("/intents/{}/act", record.id))) {
                p .muted { "Steps that have not run yet get the new input. It stays failed until somebody resumes it." }
                input type="hidden" name="verb" value="amend";
                label { "Input, as JSON" textarea .code name="input" required rows="6" spellcheck="false" { (record.input.get()) } }
                label { "Why" textarea name="reason" required rows="2" maxlength="2000" {} }
                button .main type="submit" { "Amend" }
            }
        }
    }
}

/// The form that sends a message to one that is not over.
pub(super) fn signal_form(place: &Place, id: IntentId, steps: &[StepRecord]) -> Markup {
    let waits = steps.iter().find(|step| step.state == StepState::Waiting);
    let name = waits.map(|step| step.name.as_str()).unwrap_or_default();
    html! {
        details #act-signal {
            summary .button { "Send a signal" }
            form .act method="post" action=(place.to(&format!("/intents/{id}/signal"))) {
                label { "Name" input type="text" name="name" required value=(name) spellcheck="false"; }
                label { "Payload, as JSON" textarea .code name="payload" rows="3" spellcheck="false" { "null" } }
                label { "Key; sent again with it, it counts once" input type="text" name="key" spellcheck="false"; }
                button .main type="submit" { "Send" }
            }
        }
    }
}

fn json(said: &str, of: &str) -> Result<Value, Problem> {
    serde_json::from_str(said)
        .map_err(|error| Problem::invalid(format!("{of} is no JSON: {error}")))
}

fn verb(form: &Form) -> Result<Verb, Problem> {
    let step = || form.must("step").map(str::to_owned);
    Ok(match form.must("verb")? {
        "resume" => Verb::Resume,
        "undo" => Verb::Undo,
        "discard" => Verb::Discard,
        "cancel" => Verb::Cancel,
        "rerun" => Verb::Rerun,
        "rerun-from" => Verb::RerunFrom { step: step()? },
        "retry" => Verb::Retry { step: step()? },
        "skip" => Verb::Skip {
            step: step()?,
            output: json(form.must("output")?, "the output")?,
        },
        other => {
            return Err(Problem::invalid(format!(
                "`{other}` is nothing that is done to an intent"
            )));
        }
    })
}

pub(super) async fn act(seat: Seat, Id(id): Id, form: Form) -> Result<Response, Problem> {
    let reason = Some(form.reason()?);
    let access = seat.access.clone();
    if form.must("verb")? == "amend" {
        let input: Box<RawValue> = serde_json::from_str(form.must("input")?)
            .map_err(|error| Problem::invalid(format!("the input is no JSON: {error}")))?;
        verbs::amend(access, Id(id), Body(Amend { input, reason })).await?;
        return Ok(see(&seat.place.intent(id)));
    }
    let act = Act {
        reason,
        dry_run: false,
    };
    let Answer(done) = verbs::act(&access, id, &verb(&form)?, act).await?;
    // What was asked for anew is what one wants to see.
    Ok(see(&seat.place.intent(done.deed.new_intent.unwrap_or(id))))
}

pub(super) async fn signal(seat: Seat, Id(id): Id, form: Form) -> Result<Response, Problem> {
    let message = Message {
        name: form.must("name")?.to_owned(),
        payload: json(form.get("payload").unwrap_or("null"), "the payload")?,
        key: form.get("key").map(str::to_owned),
    };
    verbs::signal(
        seat.access.clone(),
        Id(id),
        IdempotencyKey(None),
        Body(message),
    )
    .await?;
    Ok(see(&seat.place.intent(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offer_is_a_verb() {
        for state in IntentState::ALL {
            for offer in offers(*state) {
                assert!(
                    verb(&Form::text(&format!("verb={}", offer.word))).is_ok(),
                    "{offer:?}"
                );
            }
            for step in StepState::ALL {
                for offer in step_offers(*state, *step) {
                    let said = format!("verb={}&step=a&output=1", offer.word);
                    assert!(verb(&Form::text(&said)).is_ok(), "{offer:?}");
                }
            }
        }
        assert!(
            verb(&Form::text("verb=retry")).is_err() && verb(&Form::text("verb=drop")).is_err()
        );
        assert!(verb(&Form::text("verb=skip&step=a&output={")).is_err());
    }
}
