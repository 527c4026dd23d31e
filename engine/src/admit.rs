//! Admission: who may hold a resource now, and whose turn is next, as pure functions (PROTOCOL P5).

use std::collections::{HashMap, HashSet};

use crate::id::IntentId;
use crate::intent::Mode;

/// A resource that an intent wants, shared or exclusively.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) intent: IntentId,
    pub(crate) resource: String,
    pub(crate) mode: Mode,
}

/// Somebody who holds a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) intent: IntentId,
    pub(crate) resource: String,
    pub(crate) mode: Mode,
}

/// A place in the line for a resource. The smaller (position, intent) goes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) intent: IntentId,
    pub(crate) resource: String,
    pub(crate) mode: Mode,
    pub(crate) position: i64,
    /// Whether an ancestor of it holds something.
    pub(crate) kin: bool,
}

/// A claimed intent that asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applicant {
    pub(crate) intent: IntentId,
    pub(crate) position: i64,
    /// Intents whose locks cover this one: its parent, its parent's parent, and so on.
    pub(crate) ancestors: Vec<IntentId>,
    /// Whether one of them holds something.
    pub(crate) kin: bool,
    pub(crate) wants: Vec<Want>,
}

/// What comes of an admission.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// These take what they want. What an ancestor's lock covers is not taken again.
    pub(crate) taken: Vec<Holder>,
    /// These go to *blocked*, with a place in every line.
    pub(crate) blocked: Vec<IntentId>,
    pub(crate) places: Vec<Place>,
    /// These would wait for a resource that an ancestor of theirs shares, and the ancestor waits for them.
    pub(crate) circular: Vec<(IntentId, String)>,
}

/// Decides for a batch of applicants, in the order of their positions.
///
/// `holders` and `line` are all rows of the resources that any of them wants. An intent goes when no incompatible
/// holder and no incompatible earlier place remains on any of its resources; otherwise it has one place for them all.
///
/// Kin of a holder pass those in line who are not: these hold nothing, and one of them may wait for what the holder
/// holds, who waits for its kin. So nobody waits for a place in line that could never come to its turn.
pub(crate) fn admit(
    mut applicants: Vec<Applicant>,
    holders: &[Holder],
    line: &[Place],
) -> Admission {
    let mut held: HashMap<String, Vec<(IntentId, Mode)>> = HashMap::new();
    for holder in holders {
        held.entry(holder.resource.clone())
            .or_default()
            .push((holder.intent, holder.mode));
    }
    let mut lines: HashMap<String, Vec<Place>> = HashMap::new();
    for place in line {
        lines
            .entry(place.resource.clone())
            .or_default()
            .push(place.clone());
    }

    let mut admission = Admission::default();
    applicants.sort_by_key(|applicant| (applicant.position, applicant.intent));
    for applicant in &applicants {
        let covered = |want: &Want| covers(held.get(&want.resource), &applicant.ancestors);
        let is_free = |want: &Want| {
            let no_holder = held
                .get(&want.resource)
                .into_iter()
                .flatten()
                .all(|(holder, mode)| {
                    *holder == applicant.intent || want.mode.is_compatible(*mode)
                });
            let no_earlier = lines
                .get(&want.resource)
                .into_iter()
                .flatten()
                .all(|place| {
                    place.intent == applicant.intent
                        || (applicant.position, applicant.intent) < (place.position, place.intent)
                        || (applicant.kin && !place.kin)
                        || want.mode.is_compatible(place.mode)
                });
            no_holder && no_earlier
        };
        // What it holds already (a failed intent that is resumed) needs no turn: those in line wait for it.
        let holds = |want: &Want| {
            held.get(&want.resource)
                .into_iter()
                .flatten()
                .any(|(holder, mode)| {
                    *holder == applicant.intent && (*mode == want.mode || *mode == Mode::Exclusive)
                })
        };
        if applicant
            .wants
            .iter()
            .all(|want| covered(want) || holds(want) || is_free(want))
        {
            let taken: Vec<_> = applicant
                .wants
                .iter()
                .filter(|want| !covered(want))
                .collect();
            for want in taken {
                let Want {
                    intent,
                    resource,
                    mode,
                } = want.clone();
                held.entry(resource.clone())
                    .or_default()
                    .push((intent, mode));
                admission.taken.push(Holder {
                    intent,
                    resource,
                    mode,
                });
            }
            for line in lines.values_mut() {
                line.retain(|place| place.intent != applicant.intent);
            }
        } else if let Some(want) = applicant
            .wants
            .iter()
            .find(|want| waits_for_ancestor(want, &held, &applicant.ancestors))
        {
            admission
                .circular
                .push((applicant.intent, want.resource.clone()));
        } else {
            admission.blocked.push(applicant.intent);
            for Want {
                intent,
                resource,
                mode,
            } in applicant
                .wants
                .iter()
                .filter(|want| !covered(want))
                .cloned()
            {
                let place = Place {
                    intent,
                    resource: resource.clone(),
                    mode,
                    position: applicant.position,
                    kin: applicant.kin,
                };
                let places = lines.entry(resource).or_default();
                if !places.iter().any(|known| known.intent == intent) {
                    places.push(place.clone());
                }
                admission.places.push(place);
            }
        }
    }
    admission
}

/// Whether an ancestor shares what its descendant wants for itself: neither could ever go on.
fn waits_for_ancestor(
    want: &Want,
    held: &HashMap<String, Vec<(IntentId, Mode)>>,
    ancestors: &[IntentId],
) -> bool {
    held.get(&want.resource)
        .into_iter()
        .flatten()
        .any(|(holder, mode)| {
            *mode == Mode::Shared && want.mode == Mode::Exclusive && ancestors.contains(holder)
        })
}

fn covers(held: Option<&Vec<(IntentId, Mode)>>, ancestors: &[IntentId]) -> bool {
    held.into_iter()
        .flatten()
        .any(|(holder, mode)| *mode == Mode::Exclusive && ancestors.contains(holder))
}

/// Of the places in the lines of resources that have become freer: those that can try again.
///
/// The head of each line, and those behind it that go along with it and with the holders; and the same among the kin of
/// holders, who may pass the others.
pub(crate) fn next_in_line(
    resources: &HashSet<String>,
    holders: &[Holder],
    line: &[Place],
) -> HashSet<IntentId> {
    let mut next = HashSet::new();
    for resource in resources {
        let mut places: Vec<_> = line
            .iter()
            .filter(|place| place.resource == *resource)
            .collect();
        places.sort_by_key(|place| (place.position, place.intent));
        let held: Vec<_> = holders
            .iter()
            .filter(|holder| holder.resource == *resource)
            .collect();
        next.extend(heads(places.iter().copied(), &held));
        next.extend(heads(places.into_iter().filter(|place| place.kin), &held));
    }
    next
}

/// The first in a line, if it goes along with the holders, and those behind it that go along with it as well.
fn heads<'a>(line: impl Iterator<Item = &'a Place>, held: &[&Holder]) -> Vec<IntentId> {
    let (mut next, mut ahead) = (Vec::new(), Vec::new());
    for place in line {
        let free = held
            .iter()
            .all(|h| h.intent == place.intent || place.mode.is_compatible(h.mode))
            && ahead.iter().all(|mode| place.mode.is_compatible(*mode));
        if free {
            next.push(place.intent);
        }
        ahead.push(place.mode);
        if place.mode == Mode::Exclusive {
            break;
        }
    }
    next
}

#[cfg(test)]
mod tests;
