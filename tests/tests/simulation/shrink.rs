//! Leaves out of a run that fails whatever it fails without.

use std::collections::BTreeSet;

use crate::mishaps::Mishap;
use crate::played;
use crate::script::Script;

/// The same run with as few faults as it needs.
pub(crate) fn shrink(script: &Script, mishaps: &[(u64, Mishap)]) -> Script {
    let faults: BTreeSet<u64> = mishaps.iter().map(|(event, _)| *event).collect();
    let without = needless(faults.into_iter().collect(), |without| {
        let script = Script {
            without: without.clone(),
            ..script.clone()
        };
        played(script).breach.is_some()
    });
    Script {
        without,
        ..script.clone()
    }
}

/// Faults that can be left out: halves first, then smaller parts, then each by itself (Zeller, Hildebrandt: Simplifying and
/// isolating failure-inducing input, 2002).
fn needless(faults: Vec<u64>, fails: impl Fn(&BTreeSet<u64>) -> bool) -> BTreeSet<u64> {
    let mut without = BTreeSet::new();
    let mut size = faults.len().div_ceil(2);
    while size > 0 {
        for part in faults.chunks(size) {
            let mut more = without.clone();
            more.extend(part);
            if more.len() > without.len() && fails(&more) {
                without = more;
            }
        }
        size /= 2;
    }
    without
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_needs_is_left() {
        let needs = [3, 17];
        let without = needless((0..20).collect(), |without| {
            needs.iter().all(|needed| !without.contains(needed))
        });
        let left: Vec<u64> = (0..20).filter(|it| !without.contains(it)).collect();
        assert_eq!(left, needs);
    }
}
