//! What is hidden from who sees one account alone: everything about the intents of others that stands in what is their own.
//!
//! Texts of an account's intents name others: who superseded one, whom it was refused on account of, behind whom it stands.
//! An id in a text is looked up, and where it is the intent of another account, nothing of the text is told. Workers and
//! machines are the house's, and are not named either. Where an id has to stand, it is the nil one.

use std::collections::HashSet;

use intendant::why::{Reason, Rival, Why};
use intendant::{
    AttemptRecord, Batch, ChildRecord, EventRecord, FailureGroup, Failures, IntentId, IntentRecord,
    LinkRecord, LogRecord, MeasureRecord, SignalRecord, StepRecord,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::problem::Problem;

/// Stands for a text about intents of others.
const HIDDEN: &str = "it has to do with an intent of another account";

/// Stands for the name of a worker.
const WORKER: &str = "a worker";

/// Stands for the name of a machine.
const MACHINE: &str = "a machine";

/// A part of an answer in which something about others may stand.
pub(super) enum Part<'a> {
    Text(&'a mut String),
    Detail(&'a mut Option<Box<RawValue>>),
    Worker(&'a mut String),
    Machine(&'a mut String),
    Id(&'a mut IntentId),
}

/// Something that has such parts.
pub(super) trait Veiled {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>));
}

/// The intents that are named in it, as far as it is known that they are intents.
pub(super) fn named(it: &mut impl Veiled) -> HashSet<IntentId> {
    let mut named = HashSet::new();
    it.parts(&mut |part| match part {
        Part::Text(text) => named.extend(ids(text)),
        Part::Detail(Some(detail)) => named.extend(ids(detail.get())),
        Part::Id(id) => {
            named.insert(*id);
        }
        Part::Detail(None) | Part::Worker(_) | Part::Machine(_) => {}
    });
    named
}

/// Hides what is about these intents of others, and who works.
pub(super) fn hide(it: &mut impl Veiled, foreign: &HashSet<IntentId>) {
    let is_foreign = |text: &str| ids(text).any(|id| foreign.contains(&id));
    it.parts(&mut |part| match part {
        Part::Text(text) if is_foreign(text) => HIDDEN.clone_into(text),
        Part::Detail(detail) => {
            detail.take_if(|detail| is_foreign(detail.get()));
        }
        Part::Worker(worker) => WORKER.clone_into(worker),
        Part::Machine(machine) => MACHINE.clone_into(machine),
        Part::Id(id) if foreign.contains(id) => *id = IntentId(Uuid::nil()),
        Part::Text(_) | Part::Id(_) => {}
    });
}

/// Every id that stands in a text, however it is written.
fn ids(text: &str) -> impl Iterator<Item = IntentId> + '_ {
    let is_part = |c: char| !(c.is_ascii_hexdigit() || c == '-');
    let words = text.split(is_part).filter(|word| word.len() >= 32);
    words.flat_map(|word| {
        // An id may stand between hyphens.
        let starts = (0..word.len()).filter(|start| word.len() - start >= 32);
        starts.filter_map(|start| {
            let rest = &word[start..];
            let long = rest.get(..36).and_then(|id| Uuid::try_parse(id).ok());
            let short = || rest.get(..32).and_then(|id| Uuid::try_parse(id).ok());
            long.or_else(short).map(IntentId)
        })
    })
}

impl<T: Veiled> Veiled for Vec<T> {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        self.iter_mut().for_each(|it| it.parts(visit));
    }
}

impl<T: Veiled> Veiled for Option<T> {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        if let Some(it) = self {
            it.parts(visit);
        }
    }
}

impl Veiled for String {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        visit(Part::Text(self));
    }
}

impl Veiled for IntentRecord {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        self.error.parts(visit);
    }
}

impl Veiled for StepRecord {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        self.error.parts(visit);
        if let Some(worker) = &mut self.worker {
            visit(Part::Worker(worker));
        }
    }
}

impl Veiled for AttemptRecord {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        visit(Part::Text(&mut self.error));
        visit(Part::Worker(&mut self.worker));
    }
}

impl Veiled for LogRecord {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        visit(Part::Worker(&mut self.worker));
    }
}

/// Nothing of anybody else's stands in these.
macro_rules! own {
    ($($record:ty)*) => {$(
        impl Veiled for $record {
            fn parts(&mut self, _: &mut dyn FnMut(Part<'_>)) {}
        }
    )*};
}
own!(MeasureRecord SignalRecord ChildRecord);

impl Veiled for LinkRecord {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        visit(Part::Id(&mut self.intent));
        visit(Part::Id(&mut self.other));
    }
}

impl Veiled for EventRecord {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        self.reason.parts(visit);
        visit(Part::Detail(&mut self.detail));
    }
}

impl Veiled for FailureGroup {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        visit(Part::Text(&mut self.error));
    }
}

impl Veiled for Failures {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        self.groups.parts(visit);
    }
}

impl Veiled for Batch {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        let refusals = self.refusals.iter_mut();
        refusals.for_each(|(_, why)| visit(Part::Text(why)));
        self.stopped.parts(visit);
    }
}

impl Veiled for Problem {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        self.texts(&mut |text| visit(Part::Text(text)));
    }
}

impl Veiled for Why {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        self.reasons.parts(visit);
    }
}

impl Veiled for Reason {
    fn parts(&mut self, visit: &mut dyn FnMut(Part<'_>)) {
        match self {
            Self::Failed { error, .. } | Self::Retry { error, .. } => visit(Part::Text(error)),
            Self::Stopping { because, .. }
            | Self::CancelAsked { because, .. }
            | Self::QueuePaused { because, .. } => because.parts(visit),
            Self::Running { worker, host, .. } => {
                visit(Part::Worker(worker));
                visit(Part::Machine(host));
            }
            Self::Silent { worker, .. } => visit(Part::Worker(worker)),
            Self::NoWorker {
                silent: workers, ..
            }
            | Self::UnknownKind { workers, .. } => {
                workers
                    .iter_mut()
                    .for_each(|worker| visit(Part::Worker(worker)));
            }
            Self::Routed { reasons, .. } => reasons.parts(visit),
            Self::Children { children, .. } => {
                let reasons = children.iter_mut().map(|child| &mut child.reasons);
                reasons.for_each(|reasons| reasons.parts(visit));
            }
            // Nothing that is somebody else's stands in these; who is in the way is taken out by account.
            _ => {}
        }
    }
}

/// Takes out of why an intent waits whoever is of another account, and says whether there was anybody.
pub(super) fn without_others(reasons: &mut Vec<Reason>, own: &str) -> bool {
    let is_own = |account: &Option<String>| account.as_deref() == Some(own);
    let mut taken = false;
    for reason in reasons {
        match reason {
            Reason::InLine { holders, ahead, .. } => {
                for rivals in [holders, ahead] {
                    let before = rivals.len();
                    rivals.retain(|Rival { other, .. }| is_own(&other.account));
                    taken |= rivals.len() < before;
                }
            }
            Reason::Children { children, .. } => {
                let before = children.len();
                children.retain(|child| is_own(&child.other.account));
                taken |= children.len() < before;
                for child in children {
                    taken |= without_others(&mut child.reasons, own);
                }
            }
            Reason::Routed { reasons, .. } => taken |= without_others(reasons, own),
            _ => {}
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> IntentId {
        IntentId(Uuid::from_u128((1 << 120) + number))
    }

    #[test]
    fn ids_are_found_however_they_are_written() {
        let (one, two) = (id(1), id(2));
        let text = format!("superseded by {one} (`kind`), (not {}), x", two.0.simple());
        assert_eq!(ids(&text).collect::<Vec<_>>(), [one, two]);
        assert_eq!(
            ids(&format!("é-{one}-{}-7", two.0.to_string().to_uppercase())).collect::<Vec<_>>(),
            [one, two]
        );
        for none in ["", "deadbeef", "0189-", "ä".repeat(40).as_str()] {
            assert_eq!(ids(none).count(), 0, "{none}");
        }
    }

    #[test]
    fn a_text_about_an_intent_of_another_account_is_not_told_and_others_are() {
        let (own, other) = (id(1), id(2));
        let foreign = HashSet::from([other]);
        let mut texts = vec![
            Some(format!("server:1 is in use by intent {other}")),
            Some(format!("server:1 is in use by intent {own}")),
            Some("no server 7".to_owned()),
            None,
        ];
        assert_eq!(named(&mut texts), HashSet::from([own, other]));
        hide(&mut texts, &foreign);
        assert_eq!(texts[0].as_deref(), Some(HIDDEN));
        assert!(
            texts[1]
                .as_ref()
                .is_some_and(|text| text.ends_with(&own.to_string()))
        );
        assert_eq!(texts[2].as_deref(), Some("no server 7"));
    }
}
