//! Admission: who may hold a resource now, who is refused, who waits, and whose turn is next, as pure functions
//! (PROTOCOL P5).

use std::collections::HashMap;
use std::sync::Arc;

use crate::conflict::{Conflicts, Rival, Rule, Stage, Verdict, decide};
use crate::id::IntentId;
use crate::intent::Mode;

pub(crate) mod circle;
mod line;
mod sharing;

pub(crate) use line::{Among, Place, next_in_line};
pub(crate) use sharing::Sharing;

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
    /// By a rule of its kind it holds it side by side with others that would exclude it.
    pub(crate) beside: bool,
    /// An ancestor holds it for itself and all of its family.
    pub(crate) covered: bool,
}

/// A claimed intent that asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applicant {
    pub(crate) intent: IntentId,
    pub(crate) position: i64,
    /// Intents whose locks cover this one: its parent, its parent's parent, and so on, in this order.
    pub(crate) ancestors: Vec<IntentId>,
    /// Whether one of them holds something.
    pub(crate) kin: bool,
    pub(crate) wants: Vec<Want>,
    /// What its kind says of others; nothing where everything waits.
    pub(crate) rules: Option<Rules>,
    /// It asks for the first time: it has no place in line, and nothing of it has ever been carried out.
    pub(crate) is_new: bool,
}

/// The rules of an applicant's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) kind: Arc<str>,
    pub(crate) conflicts: Arc<Conflicts>,
}

/// Everybody else on the resources that any applicant wants.
pub(crate) struct Scene<'a> {
    /// All of them.
    pub(crate) holders: &'a [Holder],
    /// All that are before an applicant and could be what it waits for; all of them where its kind has rules.
    pub(crate) line: &'a [Place],
    /// Who stands among all with no greater position has waited for long: kin do not pass it any more.
    pub(crate) passed: i64,
    /// Asked for, and not let in yet: neither holders nor in line. Looked at only for rules that do not wait.
    pub(crate) coming: &'a [Place],
    /// Kinds of all of them and of the applicants; empty where no applicant has rules.
    pub(crate) kinds: &'a HashMap<IntentId, Arc<str>>,
    /// Accounts of the same; '' for none.
    pub(crate) accounts: &'a HashMap<IntentId, Arc<str>>,
    /// Whether two intents have the same account and input.
    pub(crate) is_same: &'a dyn Fn(IntentId, IntentId) -> bool,
}

/// What comes of an admission.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// These take what they want.
    pub(crate) taken: Vec<Holder>,
    /// These go to *blocked*, with a place in every line.
    pub(crate) blocked: Vec<IntentId>,
    /// Their places, and those of others that they wait for and that had none yet.
    pub(crate) places: Vec<Place>,
    /// These would wait for a resource that an ancestor of theirs shares, and the ancestor waits for them.
    pub(crate) circular: Vec<(IntentId, String)>,
    /// These are refused, by a rule about another one.
    pub(crate) rejected: Vec<(IntentId, Rival)>,
    /// These are the same as another one.
    pub(crate) joined: Vec<(IntentId, Rival)>,
    /// These wait until others have stopped, which are to be asked to.
    pub(crate) superseding: Vec<(IntentId, Rival)>,
}

/// Decides for a batch of applicants, in the order of their positions.
///
/// An intent goes when no incompatible holder and no incompatible earlier place remains on any of its resources, except
/// those that a rule lets it go side by side with; otherwise the rules of its kind say whether it waits, with one place
/// for all its resources.
///
/// What an ancestor holds for itself it holds for its family: its descendants wait for each other only.
///
/// Kin of a holder pass those in line who are not: these hold nothing, and one of them may wait for what the holder
/// holds, who waits for its kin. So nobody waits for a place in line that could never come to its turn. But who has waited
/// for long is not passed any more, so that no number of families can hold anybody up for ever; if it is one of those who
/// wait for the holder, that is a circle over a place in line ([`circle`]).
pub(crate) fn admit(mut applicants: Vec<Applicant>, scene: &Scene<'_>) -> Admission {
    let mut room = Room::of(scene);
    let mut admission = Admission::default();
    applicants.sort_by_key(|applicant| (applicant.position, applicant.intent));
    for applicant in &applicants {
        if let Some(want) = room.waits_for_ancestor(applicant) {
            let circle = (applicant.intent, want.resource.clone());
            admission.circular.push(circle);
            continue;
        }
        let rivals = room.rivals(applicant, scene);
        if rivals.iter().all(|rival| rival.rule == Rule::Share) {
            room.let_in(applicant, &rivals, &mut admission);
            continue;
        }
        let verdict = if applicant.is_new {
            decide(&rivals)
        } else {
            Verdict::Wait
        };
        match verdict {
            Verdict::Reject(rival) => admission.rejected.push((applicant.intent, rival)),
            Verdict::Join(rival) => admission.joined.push((applicant.intent, rival)),
            Verdict::Supersede(stopped) => {
                for rival in stopped {
                    room.place_coming(&rival, &mut admission);
                    admission.superseding.push((applicant.intent, rival));
                }
                room.block(applicant, &mut admission);
            }
            Verdict::Wait => room.block(applicant, &mut admission),
        }
    }
    admission
}

/// Who is where, while applicants are let in one after the other.
struct Room {
    held: HashMap<String, Vec<(IntentId, Mode)>>,
    lines: HashMap<String, Vec<Place>>,
    coming: HashMap<String, Vec<Place>>,
}

impl Room {
    fn of(scene: &Scene<'_>) -> Self {
        let by_resource = |places: &[Place]| {
            let mut lines: HashMap<String, Vec<Place>> = HashMap::new();
            for place in places {
                let line = lines.entry(place.resource.clone()).or_default();
                line.push(place.clone());
            }
            lines
        };
        let mut held: HashMap<String, Vec<(IntentId, Mode)>> = HashMap::new();
        for holder in scene.holders {
            let holders = held.entry(holder.resource.clone()).or_default();
            holders.push((holder.intent, holder.mode));
        }
        Self {
            held,
            lines: by_resource(scene.line),
            coming: by_resource(scene.coming),
        }
    }

    fn holders(&self, resource: &str) -> impl Iterator<Item = &(IntentId, Mode)> {
        self.held.get(resource).into_iter().flatten()
    }

    /// Everybody that excludes an applicant on what it wants, with what its rules say of them.
    fn rivals(&self, applicant: &Applicant, scene: &Scene<'_>) -> Vec<Rival> {
        let mut rivals = Vec::new();
        for want in applicant.wants.iter().filter(|want| !self.holds(want)) {
            let excludes = |intent, mode| {
                intent != applicant.intent
                    && !want.mode.is_compatible(mode)
                    && !applicant.ancestors.contains(&intent)
            };
            let among = self.among(applicant, &want.resource);
            let rival = |intent, stage| Rival {
                intent,
                resource: want.resource.clone(),
                rule: applicant.rule(intent, stage, scene),
                is_same: (scene.is_same)(applicant.intent, intent),
            };
            let holders = self.holders(&want.resource);
            let holders = holders.filter(|(intent, mode)| excludes(*intent, *mode));
            rivals.extend(holders.map(|(intent, _)| rival(*intent, Stage::Started)));
            let ahead = |place: &&Place| {
                excludes(place.intent, place.mode)
                    && (place.position, place.intent) < (applicant.position, applicant.intent)
                    && among.waits_behind(place.among, place.position <= scene.passed)
            };
            let line = self.lines.get(&want.resource).into_iter().flatten();
            rivals.extend(
                line.filter(ahead)
                    .map(|place| rival(place.intent, Stage::Waiting)),
            );
            if !applicant.is_new {
                // Those who are on the way have no place, and nobody is told when they have gone.
                continue;
            }
            // Who is still on the way is overtaken, unless a rule has to do with it.
            let coming = self.coming.get(&want.resource).into_iter().flatten();
            let coming = coming
                .filter(ahead)
                .map(|place| rival(place.intent, Stage::Waiting));
            rivals.extend(coming.filter(|rival| !matches!(rival.rule, Rule::Wait | Rule::Share)));
        }
        rivals
    }

    /// Among whom an applicant waits for a resource.
    fn among(&self, applicant: &Applicant, resource: &str) -> Among {
        let holds_it = |ancestor| {
            let mut holders = self.holders(resource);
            holders.any(|(holder, mode)| *holder == ancestor && *mode == Mode::Exclusive)
        };
        Among::of(&applicant.ancestors, applicant.kin, holds_it)
    }

    /// What it holds already (a failed intent that is resumed) needs no turn: those in line wait for it.
    fn holds(&self, want: &Want) -> bool {
        let mut holders = self.holders(&want.resource);
        holders.any(|(holder, mode)| {
            *holder == want.intent && (*mode == want.mode || *mode == Mode::Exclusive)
        })
    }

    /// What an ancestor of the applicant shares and the applicant wants for itself: neither could ever go on.
    fn waits_for_ancestor<'w>(&self, applicant: &'w Applicant) -> Option<&'w Want> {
        applicant.wants.iter().find(|want| {
            want.mode == Mode::Exclusive
                && self.holders(&want.resource).any(|(holder, mode)| {
                    *mode == Mode::Shared && applicant.ancestors.contains(holder)
                })
        })
    }

    /// It takes what it wants, side by side with these.
    fn let_in(&mut self, applicant: &Applicant, beside: &[Rival], admission: &mut Admission) {
        for Want {
            intent,
            resource,
            mode,
        } in applicant.wants.iter().cloned()
        {
            let is_beside = |rival: &Rival| {
                rival.resource == resource
                    && self
                        .holders(&resource)
                        .any(|(holder, _)| *holder == rival.intent)
            };
            admission.taken.push(Holder {
                intent,
                mode,
                beside: beside.iter().any(is_beside),
                covered: matches!(self.among(applicant, &resource), Among::Family(_)),
                resource: resource.clone(),
            });
            self.held.entry(resource).or_default().push((intent, mode));
        }
        for line in self.lines.values_mut().chain(self.coming.values_mut()) {
            line.retain(|place| place.intent != applicant.intent);
        }
    }

    /// It gets a place in the line of everything that it wants.
    fn block(&mut self, applicant: &Applicant, admission: &mut Admission) {
        admission.blocked.push(applicant.intent);
        let rules = applicant.rules.as_ref();
        let sharing = rules.is_some_and(|rules| rules.conflicts.mentions(Rule::Share));
        for want in &applicant.wants {
            let place = Place {
                intent: want.intent,
                resource: want.resource.clone(),
                mode: want.mode,
                position: applicant.position,
                among: self.among(applicant, &want.resource),
                ancestors: applicant.ancestors.clone(),
                sharing,
            };
            self.place(&place);
            admission.places.push(place);
        }
    }

    /// One that was asked for earlier and is still on the way gets its places, so that those that wait for it stand behind
    /// it in line.
    fn place_coming(&mut self, rival: &Rival, admission: &mut Admission) {
        let coming = self.coming.values_mut();
        let places: Vec<Place> = coming
            .flat_map(|line| line.extract_if(.., |place| place.intent == rival.intent))
            .collect();
        for place in places {
            self.place(&place);
            admission.places.push(place);
        }
    }

    fn place(&mut self, place: &Place) {
        let line = self.lines.entry(place.resource.clone()).or_default();
        line.retain(|known| known.intent != place.intent);
        line.push(place.clone());
    }
}

impl Applicant {
    /// What its kind says of another one. A child is its parent's own: it joins nobody.
    fn rule(&self, other: IntentId, stage: Stage, scene: &Scene<'_>) -> Rule {
        let (Some(rules), Some(kind)) = (&self.rules, scene.kinds.get(&other)) else {
            return Rule::Wait;
        };
        let rule = match rules.conflicts.rule(&rules.kind, kind, stage) {
            Rule::Join if !self.ancestors.is_empty() => Rule::Wait,
            rule => rule,
        };
        let account = |intent| scene.accounts.get(&intent).map(|account| &**account);
        rule.between(account(self.intent), account(other))
    }
}

#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;
