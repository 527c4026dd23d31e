//! Line: who stands where, who waits for whom there, and whose turn is next, as pure functions (PROTOCOL P5).

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::conflict::Stage;
use crate::id::IntentId;
use crate::intent::Mode;

use super::{Holder, Sharing};

/// A place in the line for a resource. The smaller (position, intent) goes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) intent: IntentId,
    pub(crate) resource: String,
    pub(crate) mode: Mode,
    pub(crate) position: i64,
    pub(crate) among: Among,
    /// Its parent, its parent's parent, and so on; not known of those who wait among all.
    pub(crate) ancestors: Vec<IntentId>,
    /// Its kind goes side by side with some others, so whether it is its turn cannot be told from the modes alone.
    pub(crate) sharing: bool,
}

/// Among whom somebody waits in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Among {
    /// No ancestor of it holds anything: it waits for everybody before it.
    All,
    /// An ancestor holds something, and somebody in line may wait for that one. Kin of holders pass the others for a while.
    Kin,
    /// An ancestor holds this for itself and its family, who wait for each other only: the nearest such ancestor.
    Family(IntentId),
}

impl Among {
    /// Where one waits whose ancestors, the nearest first, are these. `kin`: whether any of them holds anything.
    pub(crate) fn of(
        ancestors: &[IntentId],
        kin: bool,
        holds_it: impl Fn(IntentId) -> bool,
    ) -> Self {
        match ancestors.iter().find(|ancestor| holds_it(**ancestor)) {
            Some(nearest) => Self::Family(*nearest),
            None if kin => Self::Kin,
            None => Self::All,
        }
    }

    /// Whether somebody who waits here waits for an earlier place among `theirs`. `long`: that one has waited for so long
    /// that kin do not pass it any more.
    pub(crate) fn waits_behind(self, theirs: Self, long: bool) -> bool {
        match (self, theirs) {
            (Self::Family(own), Self::Family(other)) => own == other,
            (Self::Family(_), Self::All | Self::Kin) => false,
            (Self::Kin, Self::All) => long,
            (Self::Kin, Self::Kin | Self::Family(_)) | (Self::All, _) => true,
        }
    }

    /// As it stands in a row. `None` where who wrote it did not know: an older version.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "all" => Some(Self::All),
            "kin" => Some(Self::Kin),
            other => Some(Self::Family(IntentId(other.parse().ok()?))),
        }
    }
}

impl fmt::Display for Among {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Kin => f.write_str("kin"),
            Self::Family(of) => write!(f, "{}", of.0),
        }
    }
}

/// Of the places in the lines of resources that have become freer: those that can try again.
///
/// The head of each line, and those behind it that go along with it and with the holders; the same among the kin of
/// holders, who may pass the others; and among those for whom an ancestor holds it, who wait for each other only.
pub(crate) fn next_in_line(
    resources: &HashSet<String>,
    holders: &[Holder],
    line: &[Place],
    sharing: &Sharing,
) -> HashSet<IntentId> {
    let mut next = HashSet::new();
    for resource in resources {
        let of_it = line.iter().filter(|place| place.resource == *resource);
        let mut places: Vec<&Place> = of_it.collect();
        places.sort_by_key(|place| (place.position, place.intent));
        let held = holders.iter().filter(|h| h.resource == *resource);
        let held: Vec<&Holder> = held.collect();
        let mut lines: HashMap<Among, Vec<&Place>> = HashMap::new();
        for place in places {
            if place.among == Among::Kin {
                lines.entry(Among::All).or_default().push(place);
            }
            lines.entry(place.among).or_default().push(place);
        }
        let heads = lines
            .values()
            .flat_map(|places| heads(places, &held, sharing));
        next.extend(heads);
    }
    next
}

/// The first in a line, if it goes along with the holders, and those behind it that go along with it as well: by their modes, or
/// side by side by a rule of their kind.
fn heads(line: &[&Place], held: &[&Holder], sharing: &Sharing) -> Vec<IntentId> {
    let mut next = Vec::new();
    // One of each mode and kind, of those who hold it and of those ahead.
    let mut sorts: Vec<&Holder> = Vec::new();
    for holder in held {
        let same = |other: &&Holder| {
            other.mode == holder.mode && sharing.kind(other.intent) == sharing.kind(holder.intent)
        };
        if !sorts.iter().any(same) {
            sorts.push(holder);
        }
    }
    let holding: HashSet<IntentId> = held.iter().map(|holder| holder.intent).collect();
    let mut ahead: Vec<&Place> = Vec::new();
    for place in line {
        let goes_beside =
            |other, stage| place.sharing && sharing.between(place.intent, other, stage);
        let excludes = |h: &&&Holder| {
            h.intent != place.intent
                && !place.mode.is_compatible(h.mode)
                && !place.ancestors.contains(&h.intent)
                && !goes_beside(h.intent, Stage::Started)
        };
        // Itself and its ancestors exclude nobody, so of whom that may be true each holder counts by itself.
        let by_itself = holding.contains(&place.intent) || !place.ancestors.is_empty();
        let excluded = match by_itself {
            true => held.iter().any(|h| excludes(&h)),
            false => sorts.iter().any(|h| excludes(&h)),
        };
        let is_next = ahead.iter().all(|other| {
            place.mode.is_compatible(other.mode) || goes_beside(other.intent, Stage::Waiting)
        });
        if is_next && !excluded {
            next.push(place.intent);
        }
        let same = |other: &&Place| {
            other.mode == place.mode && sharing.kind(other.intent) == sharing.kind(place.intent)
        };
        if !ahead.iter().any(same) {
            ahead.push(place);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn among_whom_one_waits_is_read_back_as_it_is_written() {
        let family = Among::Family(IntentId(Uuid::from_u128(7)));
        for among in [Among::All, Among::Kin, family] {
            assert_eq!(Among::from_word(&among.to_string()), Some(among));
        }
        assert_eq!(Among::from_word("?"), None);
    }

    #[test]
    fn the_nearest_of_those_who_hold_it_says_where_one_waits() {
        let [near, far] = [1, 2].map(|id| IntentId(Uuid::from_u128(id)));
        let of = |holding: &[IntentId], kin| {
            Among::of(&[near, far], kin, |ancestor| holding.contains(&ancestor))
        };
        assert_eq!(of(&[near, far], true), Among::Family(near));
        assert_eq!(of(&[far], true), Among::Family(far));
        assert_eq!(of(&[], true), Among::Kin);
        assert_eq!(of(&[], false), Among::All);
    }

    #[test]
    fn kin_pass_who_has_not_waited_for_long_and_families_keep_to_themselves() {
        let [own, other] = [1, 2].map(|id| Among::Family(IntentId(Uuid::from_u128(id))));
        for long in [false, true] {
            assert_eq!(Among::Kin.waits_behind(Among::All, long), long);
            assert!(Among::Kin.waits_behind(Among::Kin, long));
            assert!(Among::All.waits_behind(Among::All, long));
            assert!(Among::All.waits_behind(Among::Kin, long));
            assert!(own.waits_behind(own, long));
            assert!(!own.waits_behind(other, long));
            assert!(!own.waits_behind(Among::All, long));
            assert!(!own.waits_behind(Among::Kin, long));
        }
    }
}
