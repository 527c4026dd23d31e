//! Bugs that can be planted, to show that the tests find them. Each switches off one rule on which a promise stands: in the text of a
//! statement, or at a place in the code that asks [`is_planted`].
//!
//! They are there with the feature `planted-bugs` only, which the project's own tests have and nothing else does. Which one it is,
//! `INTENDANT_PLANTED_BUG` says when the process begins; by itself it is none.

#[cfg(feature = "planted-bugs")]
pub(crate) mod bugs;

/// A rule that is switched off in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slip {
    /// A heartbeat whose session is gone goes on as if it were there.
    HeartbeatUnfenced,
    /// A commit that fails is taken for one that was made.
    CommitTakenForGranted,
    /// A cancel writes what it has decided, although something has moved meanwhile.
    CancelUncompared,
    /// What crashed its worker is not counted.
    CrashesUncounted,
    /// A schedule goes on from now, whatever was missed.
    ScheduleFromNow,
    /// Nobody looks for work by itself.
    PollOff,
    /// A plan that was assumed is not mended on disk.
    AssumedPlanKept,
}

/// Whether this rule is switched off. Without the feature it never is, and the compiler takes the question out.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is_planted(_: Slip) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn is_planted(slip: Slip) -> bool {
    bugs::planted().is_some_and(|bug| bug.slip == Some(slip))
}
