//! Which suites find which bug, the quickest first.

/// A suite, or a part of it.
#[derive(Debug)]
pub(crate) struct Finder {
    pub(crate) suite: &'static str,
    /// The tests of it, by parts of their names; all, if there are none.
    pub(crate) tests: &'static [&'static str],
    /// The seed with which the simulation begins: one that finds it soon.
    pub(crate) seed: u64,
}

const fn finder(suite: &'static str, tests: &'static [&'static str]) -> Finder {
    let seed = 1;
    Finder { suite, tests, seed }
}

const fn simulation(seed: u64) -> Finder {
    Finder {
        suite: "simulation",
        tests: &["whatever_goes_wrong"],
        seed,
    }
}

/// Those of a bug.
pub(crate) fn of(bug: &str) -> Option<&'static [Finder]> {
    let of_it = FINDERS.iter().find(|(name, _)| *name == bug);
    of_it.map(|(_, finders)| *finders)
}

static FINDERS: &[(&str, &[Finder])] = &[
    ("record-unfenced", &[simulation(25)]),
    ("tick-unnumbered", &[simulation(45)]),
    (
        "heartbeat-unfenced",
        &[finder(
            "contract",
            &["workers::an_idle_worker_that_was_taken_for_dead"],
        )],
    ),
    (
        "key-checked-then-inserted",
        &[
            finder("interleavings", &["keys::"]),
            finder("contract", &["requests::one_key"]),
        ],
    ),
    (
        "schedule-from-now",
        &[finder(
            "contract",
            &["schedules::what_was_due_while_nobody"],
        )],
    ),
    (
        "schedule-unversioned",
        &[finder("contract", &["schedules::many_schedulers"])],
    ),
    (
        "poll-off",
        &[finder("contract", &["promises::a_process_that_is_gone"])],
    ),
    ("commit-taken-for-granted", &[simulation(17)]),
    (
        "cancel-uncompared",
        &[
            finder("interleavings", &["resumes::of_two_who_cancel"]),
            finder("contract", &["cancels::every_cancel"]),
        ],
    ),
    (
        "crashes-uncounted",
        &[
            finder("contract", &["checkpoints::whoever_comes_as_far"]),
            finder("contract", &["backing_off::two_poisons"]),
        ],
    ),
    (
        "parent-woken-by-count",
        &[finder("interleavings", &["children::"])],
    ),
    ("reaper-first-page", &[simulation(1)]),
    (
        "reaper-uncompared",
        &[finder("interleavings", &["reaping::"])],
    ),
    (
        "line-unlocked",
        &[finder("interleavings", &["resources::"])],
    ),
    ("slots-unlocked", &[finder("interleavings", &["slots::"])]),
    (
        "result-overwritten",
        &[finder("interleavings", &["results::"])],
    ),
    (
        "once-unguarded",
        &[finder("interleavings", &["results::a_steps_own"])],
    ),
    (
        "message-taken-twice",
        &[finder("contract", &["signals::each_step_takes"])],
    ),
    ("result-forgotten", &[simulation(1)]),
    (
        "assumed-plan-kept",
        &[finder("contract", &["stalled::a_plan_that_was_assumed"])],
    ),
];
