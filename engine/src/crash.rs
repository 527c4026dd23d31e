//! What becomes of a task whose session died holding it (PROTOCOL P6).
//!
//! The unfinished members of a dead session's leases are suspects: one of them may be what killed it. A suspect is
//! claimed by itself, with nothing else claimed beside it until it has had time to show itself, so that the next crash
//! has a name. Progress clears it.

use std::time::Duration;

use crate::id::IntentId;
use crate::limits;
use crate::planted::{Slip, is_planted};

/// What a reaper does with an unfinished task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Back to *ready*, with this crash count.
    Suspect { crashes: u32 },
    /// Not to be run again before a person has looked.
    Quarantine { crashes: u32 },
}

/// Judges a task by the crashes that it had before this one, and by whether its session had nothing else in hand.
///
/// A session that was leaving has not crashed: what it left behind is taken over as it was.
///
/// An innocent that happened to be beside others in every crash is never quarantined: only a crash in which it was
/// alone says that it was its own doing.
pub(crate) fn verdict(crashes_before: u32, alone: bool, leaving: bool) -> Verdict {
    if leaving {
        return Verdict::Suspect {
            crashes: crashes_before,
        };
    }
    if is_planted(Slip::CrashesUncounted) {
        return Verdict::Suspect {
            crashes: crashes_before,
        };
    }
    let crashes = crashes_before.saturating_add(1);
    if crashes >= limits::CRASHES && alone {
        Verdict::Quarantine { crashes }
    } else {
        Verdict::Suspect {
            crashes: crashes.min(limits::CRASHES),
        }
    }
}

/// How long a session that holds a suspect claims nothing else. None: until the suspect makes progress.
///
/// A poison kills fast as a rule; long honest steps that were caught in a crash must not queue up behind each other for
/// their whole length.
pub(crate) fn probation(crashes: u32, beat: Duration) -> Option<Duration> {
    match crashes {
        0 => Some(Duration::ZERO),
        1 => Some(beat),
        2 => Some(beat * 10),
        _ => None,
    }
}

/// How many different intents of a kind, in a row, have crashed their workers while they were alone, this one included.
///
/// One poison crashes three workers and says nothing of its kind; two of them do.
pub(crate) fn blamed(known: Option<(u32, IntentId)>, intent: IntentId) -> u32 {
    match known {
        None => 1,
        Some((intents, last)) if last == intent => intents,
        Some((intents, _)) => intents.saturating_add(1),
    }
}

/// How long a kind is not tried after so many of its intents in a row have crashed their workers; none: it is trusted.
pub(crate) fn back_off(intents: u32) -> Option<Duration> {
    let doublings = intents.checked_sub(2)?.min(31);
    let wait = limits::BACK_OFF.saturating_mul(1 << doublings);
    Some(wait.min(limits::BACK_OFF_CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_backs_off_from_the_second_poison_in_a_row_and_twice_as_long_each_time() {
        let id = |n| IntentId(uuid::Uuid::from_u128(n));
        assert_eq!(blamed(None, id(1)), 1);
        assert_eq!(
            blamed(Some((1, id(1))), id(1)),
            1,
            "one poison, three crashes"
        );
        assert_eq!(blamed(Some((1, id(1))), id(2)), 2);
        let waits: Vec<_> = (0..5)
            .map(|n| back_off(n).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [None, None, Some(1), Some(2), Some(4)]);
        assert_eq!(back_off(u32::MAX), Some(limits::BACK_OFF_CAP));
    }

    #[test]
    fn the_third_crash_quarantines_a_task_that_was_alone() {
        assert_eq!(verdict(0, false, false), Verdict::Suspect { crashes: 1 });
        assert_eq!(verdict(1, true, false), Verdict::Suspect { crashes: 2 });
        assert_eq!(verdict(2, true, false), Verdict::Quarantine { crashes: 3 });
    }

    #[test]
    fn no_number_of_crashes_beside_others_quarantines() {
        for crashes in 0..100 {
            assert!(
                matches!(verdict(crashes, false, false), Verdict::Suspect { crashes } if crashes <= limits::CRASHES)
            );
        }
    }

    #[test]
    fn what_a_leaving_session_left_behind_has_not_crashed() {
        assert_eq!(verdict(0, true, true), Verdict::Suspect { crashes: 0 });
        assert_eq!(verdict(2, true, true), Verdict::Suspect { crashes: 2 });
    }

    #[test]
    fn a_suspect_is_watched_the_longer_the_more_often_it_was_there() {
        let beat = Duration::from_secs(3);
        assert_eq!(probation(0, beat), Some(Duration::ZERO));
        assert_eq!(probation(1, beat), Some(Duration::from_secs(3)));
        assert_eq!(probation(2, beat), Some(Duration::from_secs(30)));
        assert_eq!(probation(3, beat), None);
    }
}
