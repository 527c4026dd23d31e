//! The bugs: what each is called, which rule it breaks, and how.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Slip;

/// The variable that says which bug is planted in a process.
pub const VARIABLE: &str = "INTENDANT_PLANTED_BUG";

/// A bug that can be planted.
#[derive(Debug)]
pub struct Bug {
    /// What it is called.
    pub name: &'static str,
    /// What is wrong then.
    pub wrong: &'static str,
    pub(crate) slip: Option<Slip>,
    edits: &'static [Edit],
}

/// A statement that is written in another way on one of the databases.
#[derive(Debug)]
struct Edit {
    dialect: Dialect,
    statement: &'static str,
    from: &'static str,
    to: &'static str,
}

/// Which of the two texts of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

const fn in_code(name: &'static str, wrong: &'static str, slip: Slip) -> Bug {
    Bug {
        name,
        wrong,
        slip: Some(slip),
        edits: &[],
    }
}

const fn in_sql(name: &'static str, wrong: &'static str, edits: &'static [Edit]) -> Bug {
    Bug {
        name,
        wrong,
        slip: None,
        edits,
    }
}

const fn pg(statement: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit {
        dialect: Dialect::Postgres,
        statement,
        from,
        to,
    }
}

const fn lite(statement: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit {
        dialect: Dialect::Sqlite,
        statement,
        from,
        to,
    }
}

const RECORDED: &str = "where s.state not in ('succeeded', 'skipped', 'undone')";

/// All of them.
pub static BUGS: &[Bug] = &[
    in_sql(
        "record-unfenced",
        "a worker whose session was ended records what its steps came to",
        &[
            pg(
                "tick_fence",
                "update intendant.session set tick = $2::bigint where id = $1::uuid and tick = $2::bigint - 1\nreturning cancels,",
                "select coalesce((select cancels from intendant.session where id = $1::uuid and $2::bigint > 0), 0),",
            ),
            lite(
                "tick_fence",
                "update intendant_session set tick = ?2 where id = ?1 and tick = ?2 - 1 and ?3 is not null returning cancels,",
                "select coalesce((select cancels from intendant_session where id = ?1 and ?2 > 0 and ?3 is not null), 0),",
            ),
        ],
    ),
    in_sql(
        "tick-unnumbered",
        "a tick of which the answer was lost is written a second time",
        &[
            pg("tick_fence", " and tick = $2::bigint - 1", ""),
            lite("tick_fence", " and tick = ?2 - 1", ""),
        ],
    ),
    in_code(
        "heartbeat-unfenced",
        "a heartbeat does not hear that its session was ended",
        Slip::HeartbeatUnfenced,
    ),
    in_sql(
        "key-checked-then-inserted",
        "whether a key is taken is looked up before it is written",
        &[
            pg(
                "key_claim",
                " order by n.account, n.key",
                " where not exists (select from intendant.key o where o.account = n.account and o.key = n.key
                    and o.expires_at > clock_timestamp())
                  order by n.account, n.key",
            ),
            pg("key_claim", " where k.expires_at <= clock_timestamp()", ""),
        ],
    ),
    in_code(
        "schedule-from-now",
        "the next tick of a schedule follows from now, not from the last one",
        Slip::ScheduleFromNow,
    ),
    in_sql(
        "schedule-unversioned",
        "two workers may decide the same tick of a schedule",
        &[
            pg(
                "schedule_advance",
                "and version = $2::bigint",
                "and $2::bigint is not null",
            ),
            lite("schedule_advance", "and version = ?2", "and ?2 is not null"),
        ],
    ),
    in_code(
        "poll-off",
        "a worker that has not been woken never looks for work",
        Slip::PollOff,
    ),
    in_code(
        "commit-taken-for-granted",
        "a commit is acknowledged whether it was made or not",
        Slip::CommitTakenForGranted,
    ),
    in_code(
        "cancel-uncompared",
        "a cancel is written as it was decided, whatever has moved since",
        Slip::CancelUncompared,
    ),
    in_code(
        "crashes-uncounted",
        "what crashes its worker is counted only where it fails",
        Slip::CrashesUncounted,
    ),
    in_sql(
        "parent-woken-by-count",
        "completed children are counted by a look that does not wait for the others",
        &[
            pg("wait_lock", " for update", ""),
            pg(
                "wait_arrive",
                "set arrived = w.arrived + n.finished",
                "set arrived = (select o.arrived from intendant.wait o where o.intent_id = n.intent_id) + n.finished",
            ),
        ],
    ),
    in_sql(
        "reaper-first-page",
        "a reaper takes the first task of a dead session, and ends it",
        &[
            pg(
                "session_leases",
                "where o.intent_id = t.id)",
                "where o.intent_id = t.id) limit 1",
            ),
            lite(
                "session_leases",
                "where o.intent_id = t.value)",
                "where o.intent_id = t.value) limit 1",
            ),
        ],
    ),
    in_sql(
        "reaper-uncompared",
        "a session that has beaten meanwhile is ended all the same",
        &[
            pg(
                "session_lock",
                "and (beat = $2::bigint or $2::bigint = -1)",
                "and $2::bigint is not null",
            ),
            lite("session_lock", "and (beat = ?2 or ?2 = -1)", "and ?2 is not null"),
        ],
    ),
    in_sql(
        "line-unlocked",
        "who is in line for a resource is looked up without its lock",
        &[
            pg("resource_lock", "pg_advisory_xact_lock(s.h)", "s.h"),
            pg(
                "resource_try",
                "where pg_try_advisory_xact_lock(hashtextextended(n.resource, 4600))",
                "",
            ),
        ],
    ),
    in_sql(
        "slots-unlocked",
        "the slots of a limited queue are counted without its lock",
        &[pg("slot_lock", " order by name for update", "")],
    ),
    in_sql(
        "result-overwritten",
        "what a step came to is written over what it had come to before",
        &[pg("step_record", RECORDED, ""), lite("step_record", RECORDED, "")],
    ),
    in_sql(
        "once-unguarded",
        "a step's transaction is committed although its result is there",
        &[pg("once_record", RECORDED, ""), lite("once_record", RECORDED, "")],
    ),
    in_sql(
        "message-taken-twice",
        "a message goes to every step that waits for one of its name",
        &[
            pg(
                "signal_take",
                "and not exists (select from intendant.awaited a where a.signal_id = s.id)",
                "",
            ),
            lite(
                "signal_take",
                "and not exists (select 1 from intendant_awaited a where a.signal_id = s.id)",
                "",
            ),
        ],
    ),
    in_sql(
        "result-forgotten",
        "what steps have come to is not read when their intent is taken over",
        &[
            pg(
                "step_load",
                "s where intent_id = any ($1::uuid[])",
                "s where intent_id = any ($1::uuid[]) and state <> 'succeeded'",
            ),
            lite(
                "step_load",
                "where intent_id in (select n.value from jsonb_each(?1) n)",
                "where intent_id in (select n.value from jsonb_each(?1) n) and state <> 'succeeded'",
            ),
        ],
    ),
    in_code(
        "assumed-plan-kept",
        "a plan that a reaper assumed is not mended on disk by who knows better",
        Slip::AssumedPlanKept,
    ),
];

/// The bug that is planted in this process.
pub(crate) fn planted() -> Option<&'static Bug> {
    static PLANTED: LazyLock<Option<&'static Bug>> = LazyLock::new(|| {
        let name = std::env::var(VARIABLE).ok()?;
        let bug = BUGS.iter().find(|bug| bug.name == name);
        assert!(bug.is_some(), "{VARIABLE}={name}: there is no such bug");
        bug
    });
    *PLANTED
}

/// A statement's text, as it is in this process.
pub(crate) fn text(statement: &'static str, dialect: Dialect, text: &'static str) -> &'static str {
    static TEXTS: Mutex<BTreeMap<(&str, Dialect), &'static str>> = Mutex::new(BTreeMap::new());
    let Some(bug) = planted() else { return text };
    let of_it = |edit: &&Edit| edit.statement == statement && edit.dialect == dialect;
    if !bug.edits.iter().any(|edit| of_it(&edit)) {
        return text;
    }
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    texts.entry((statement, dialect)).or_insert_with(|| {
        let edits = bug.edits.iter().filter(of_it);
        let edited = edits.fold(text.to_owned(), |text, edit| {
            assert!(
                text.contains(edit.from),
                "{}: {statement} has changed",
                bug.name
            );
            text.replacen(edit.from, edit.to, 1)
        });
        edited.leak()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::texts_of;

    #[test]
    fn each_bug_is_one_and_fits_the_statements() {
        for bug in BUGS {
            assert_eq!(bug.slip.is_none(), !bug.edits.is_empty(), "{}", bug.name);
            for edit in bug.edits {
                let (postgres, sqlite) = texts_of(edit.statement).unwrap();
                let text = match edit.dialect {
                    Dialect::Postgres => postgres,
                    Dialect::Sqlite => sqlite,
                };
                assert!(text.contains(edit.from), "{}: {}", bug.name, edit.statement);
            }
        }
        let mut names: Vec<_> = BUGS.iter().map(|bug| bug.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BUGS.len());
    }
}
