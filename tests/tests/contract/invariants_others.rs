//! The checks that `invariants.rs` does not break, each broken by hand; those of schedules and queues in
//! `invariants_of_queues.rs`. No check is without a case.
//!
//! What is broken here is broken past the engine, in states that are sound otherwise: so exactly one breach is found, and
//! it names what is broken.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use intendant::StoreKind;

use crate::invariants::{self, Thing, two_intents};
use crate::invariants_of_queues::{partitions, queues, schedules};
use crate::support::{Bench, on_both};

on_both! {
    a_breach_of_what_tasks_and_cancels_promise_is_found;
    a_breach_of_what_lines_and_times_promise_is_found;
    a_lease_of_no_session_is_forbidden;
}

const TASK: &str = "0192aaaa-0000-7000-8000-000000000001";
pub(crate) const SESSION: &str = "0192aaaa-0000-7000-8000-000000000002";
const LEASE: &str = "0192aaaa-0000-7000-8000-000000000003";
const ALERT: &str = "0192aaaa-0000-7000-8000-000000000004";
const REQUEST: &str = "0192aaaa-0000-7000-8000-000000000005";
const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// What breaks it, what is found, of what, and what mends it. The SQL is for both databases.
pub(crate) struct Case {
    found: &'static str,
    of: String,
    breaks: String,
    mends: String,
}

pub(crate) fn case(found: &'static str, of: &str, breaks: String, mends: String) -> Case {
    let of = of.to_owned();
    Case {
        found,
        of,
        breaks,
        mends,
    }
}

/// The intents that are there: times are taken from them, since the databases write them differently.
pub(crate) struct Rows {
    kind: StoreKind,
    /// Requested before the others.
    pub(crate) finished: String,
    pub(crate) ready: String,
    other: String,
    /// A person has cancelled it.
    cancelled: String,
}

impl Rows {
    pub(crate) async fn of(bench: &Bench) -> Result<Self> {
        let (finished, ready) = two_intents(bench).await?;
        let other = bench.intendant.request(Thing).await?;
        let cancelled = bench.intendant.request(Thing).await?;
        bench.intendant.cancel(cancelled.id(), "ops", None).await?;
        bench.check().await?;
        Ok(Self {
            kind: bench.database.kind,
            finished,
            ready,
            other: other.id().to_string(),
            cancelled: cancelled.id().to_string(),
        })
    }

    /// *Ready* has a step in the queue `network`; its token is still to be put somewhere.
    fn send(&self) -> String {
        let ready = &self.ready;
        format!(
            "insert into @step (intent_id, name, state, attempt, queue) values ('{ready}', 'away', 'waiting', 1, 'network'); \
             insert into @routed (task_id, intent_id, step, generation, queue, kind, position, input, sent_at) \
             select '{TASK}', id, 'away', 1, 'network', kind, position, input, requested_at \
             from @intent where id = '{ready}'"
        )
    }

    /// The token of that step.
    fn token(&self, queue: &str, kind: &str, position: &str) -> String {
        let ready = &self.ready;
        format!(
            "insert into @ready (queue, kind, position, intent_id, started, locks, routed) \
             select {queue}, {kind}, {position}, '{TASK}', locks, locks, 1 = 1 from @intent where id = '{ready}'"
        )
    }

    fn recall(&self) -> String {
        let ready = &self.ready;
        format!(
            "delete from @ready where intent_id = '{TASK}'; delete from @routed; \
             delete from @step where intent_id = '{ready}'"
        )
    }

    pub(crate) fn unready(&self) -> String {
        let ready = &self.ready;
        format!("delete from @ready where intent_id = '{ready}'")
    }

    pub(crate) fn ready_again(&self) -> String {
        let ready = &self.ready;
        format!(
            "insert into @ready (queue, kind, position, intent_id, started, locks) \
             select queue, kind, position, id, locks, locks from @intent where id = '{ready}'"
        )
    }

    pub(crate) fn session(&self) -> String {
        let ready = &self.ready;
        format!(
            "insert into @session (id, worker, host, pid, build, lease_ms, started_at, beat_at) \
             select '{SESSION}', 'w', 'h', 1, 'b', 1000, requested_at, requested_at from @intent where id = '{ready}'"
        )
    }

    /// A lease of that session: with *ready* in it, or empty.
    pub(crate) fn lease(&self, task: Option<&str>) -> String {
        let ready = &self.ready;
        let tasks = match (self.kind, task) {
            (StoreKind::Sqlite, Some(task)) => format!("[\"{task}\"]"),
            (StoreKind::Sqlite, None) => "[]".to_owned(),
            (StoreKind::Postgres, Some(task)) => format!("{{{task}}}"),
            (StoreKind::Postgres, None) => "{}".to_owned(),
        };
        format!(
            "insert into @lease (id, session_id, claimed_at, tasks) \
             select '{LEASE}', '{SESSION}', requested_at, '{tasks}' from @intent where id = '{ready}'"
        )
    }
}

fn tasks(rows: &Rows) -> Vec<Case> {
    let (finished, ready) = (&rows.finished, &rows.ready);
    let astray = |queue, kind, position| {
        let (send, token) = (rows.send(), rows.token(queue, kind, position));
        case(
            "I1: a routed step stands in a wrong lane",
            ready,
            format!("{send}; {token}"),
            rows.recall(),
        )
    };
    // A foreign key forbids it. SQLite heeds that only in connections that say so, which its shell does not; on PostgreSQL
    // the key has to go.
    let lease = rows.lease(None);
    let (lease, unlease) = match rows.kind {
        StoreKind::Sqlite => (
            format!("pragma foreign_keys = off; {lease}"),
            "delete from @lease".to_owned(),
        ),
        StoreKind::Postgres => (
            format!("alter table @lease drop constraint lease_session_id_fkey; {lease}"),
            "delete from @lease; alter table @lease add constraint lease_session_id_fkey \
             foreign key (session_id) references @session"
                .to_owned(),
        ),
    };
    let hash = match rows.kind {
        StoreKind::Sqlite => "x''",
        StoreKind::Postgres => "''",
    };
    vec![
        astray("queue", "kind", "position"),
        astray("'network'", "'other'", "position"),
        astray("'network'", "kind", "position + 1"),
        case("I1: a lease has no session", LEASE, lease, unlease),
        case(
            "I2: a finished intent has an unfinished child",
            finished,
            format!(
                "insert into @child (parent_id, step, name, child_id, input_hash) \
                 values ('{finished}', 'run', 'late', '{ready}', {hash})"
            ),
            "delete from @child".to_owned(),
        ),
    ]
}

fn cancels(rows: &Rows) -> Vec<Case> {
    let (ready, cancelled) = (&rows.ready, &rows.cancelled);
    let stop = |id: &str| {
        format!(
            "insert into @cancel (intent_id, actor, at) select id, 'ops', requested_at from @intent where id = '{id}'"
        )
    };
    let go_on = "delete from @cancel".to_owned();
    let at_work = |state: &str| {
        case(
            "I2: a cancelled intent has a step that runs or waits",
            cancelled,
            format!(
                "insert into @step (intent_id, name, state, attempt) values ('{cancelled}', 'run', '{state}', 1)"
            ),
            format!("delete from @step where intent_id = '{cancelled}'"),
        )
    };
    let waits = |sort: &str| {
        case(
            "I2: a cancelled intent waits for a time or a message",
            cancelled,
            format!(
                "insert into @awaited (intent_id, step, generation, name, sort, asked_at, due_at) \
                 select id, 'ask', 1, 'yes', '{sort}', requested_at, requested_at from @intent where id = '{cancelled}'"
            ),
            "delete from @awaited".to_owned(),
        )
    };
    let stop_ready = stop(ready);
    let (send, token) = (rows.send(), rows.token("'network'", "kind", "position"));
    let recall = rows.recall();
    vec![
        case(
            "I2: a cancelled intent is still asked to stop",
            cancelled,
            stop(cancelled),
            go_on.clone(),
        ),
        at_work("running"),
        at_work("waiting"),
        waits("signal"),
        waits("sleep"),
        case(
            "I3: a cancel is asked for of no intent",
            NOBODY,
            format!(
                "insert into @cancel_request (id, intent_id, actor, asked_at) \
                 select '{REQUEST}', '{NOBODY}', 'ops', requested_at from @intent where id = '{ready}'"
            ),
            "delete from @cancel_request".to_owned(),
        ),
        case(
            "I9: a cancel or an undo has no event",
            ready,
            stop(ready),
            go_on,
        ),
        case(
            "I9: a cancel or an undo has no event",
            cancelled,
            format!("update @event set verb = 'amend' where intent_id = '{cancelled}'"),
            format!("update @event set verb = 'cancel' where intent_id = '{cancelled}'"),
        ),
        case(
            "I2: a step waits in another queue though its intent is to stop",
            ready,
            format!(
                "{stop_ready}; {send}; {token}; insert into @event (intent_id, seq, at, actor, verb) \
                 select id, 1, requested_at, 'ops', 'cancel' from @intent where id = '{ready}'"
            ),
            format!(
                "{recall}; delete from @cancel; delete from @event where intent_id = '{ready}'"
            ),
        ),
    ]
}

fn lines(rows: &Rows) -> Vec<Case> {
    let (ready, other) = (&rows.ready, &rows.other);
    let (unready, ready_again) = (rows.unready(), rows.ready_again());
    // *Ready* stands in line, and this is true besides.
    let blocked = |mode: &str, besides: &str| {
        case(
            "I3: a task is blocked by nobody",
            ready,
            format!(
                "{unready}; insert into @blocked (intent_id, position) select id, position from @intent where id = '{ready}'; \
                 insert into @line (resource, position, intent_id, mode) \
                 select 'thing:1', position, id, '{mode}' from @intent where id = '{ready}'; {besides}"
            ),
            format!(
                "delete from @holder; delete from @line; delete from @blocked; {ready_again}; \
                 update @intent set parent_id = null, parent_step = null where id = '{ready}'"
            ),
        )
    };
    let hold = |mode: &str| {
        format!(
            "insert into @holder (resource, intent_id, mode) values ('thing:1', '{other}', '{mode}')"
        )
    };
    let held_by_parent = format!(
        "{}; update @intent set parent_id = '{other}', parent_step = 'run' where id = '{ready}'",
        hold("exclusive")
    );
    vec![
        blocked("exclusive", "delete from @holder"),
        blocked("shared", &hold("shared")),
        blocked("exclusive", &held_by_parent),
    ]
}

fn times(rows: &Rows) -> Vec<Case> {
    let (finished, ready) = (&rows.finished, &rows.ready);
    vec![
        // A CHECK of *outcome* forbids the other orders, within its row.
        case(
            "I7: the times are out of order",
            finished,
            format!(
                "update @intent set requested_at = (select r.requested_at from @intent r where r.id = '{ready}') \
                 where id = '{finished}'"
            ),
            format!(
                "update @intent set requested_at = (select o.requested_at from @outcome o where o.intent_id = '{finished}') \
                 where id = '{finished}'"
            ),
        ),
        case(
            "I11: an alert is resolved before it was raised",
            ALERT,
            format!(
                "insert into @alert (id, kind, about, since, raised_at, resolved_at, text, count) \
                 select '{ALERT}', 'no worker', 'q', f.requested_at, r.requested_at, f.requested_at, 'none', 1 \
                 from @intent f, @intent r where f.id = '{finished}' and r.id = '{ready}'"
            ),
            "delete from @alert".to_owned(),
        ),
    ]
}

pub(crate) async fn find(bench: &Bench, cases: Vec<Case>) -> Result<()> {
    for case in cases {
        let broken = bench.run_sql(&case.breaks).await;
        broken.with_context(|| case.breaks.clone())?;
        let breaches = bench.intendant.invariant_breaches().await?;
        let is_found = match breaches.as_slice() {
            [(what, of)] => what == case.found && of.to_string() == case.of,
            _ => false,
        };
        ensure!(
            is_found,
            "{} of {} is not all that is found: {breaches:?}",
            case.found,
            case.of
        );
        let mended = bench.run_sql(&case.mends).await;
        mended.with_context(|| case.mends.clone())?;
        let checked = bench.check().await;
        checked.with_context(|| format!("after `{}`", case.mends))?;
    }
    Ok(())
}

async fn a_breach_of_what_tasks_and_cancels_promise_is_found(bench: Bench) -> Result<()> {
    let rows = Rows::of(&bench).await?;
    find(&bench, tasks(&rows)).await?;
    find(&bench, cancels(&rows)).await
}

async fn a_breach_of_what_lines_and_times_promise_is_found(bench: Bench) -> Result<()> {
    let rows = Rows::of(&bench).await?;
    find(&bench, lines(&rows)).await?;
    find(&bench, times(&rows)).await
}

async fn a_lease_of_no_session_is_forbidden(bench: Bench) -> Result<()> {
    let rows = Rows::of(&bench).await?;
    let refused = bench.run_sql(&rows.lease(None)).await;
    ensure!(
        matches!(&refused, Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation()),
        "{refused:?}"
    );
    bench.check().await
}

/// What the query looks for.
fn checks(sql: &str) -> BTreeSet<String> {
    sql.split("select 'I")
        .skip(1)
        .filter_map(|rest| rest.split_once("', "))
        .map(|(text, _)| format!("I{}", text.replace("''", "'")))
        .collect()
}

/// A check that was never seen to find anything may be one that cannot.
#[test]
fn every_check_is_seen_to_find_something() {
    let dialects = [
        (
            StoreKind::Sqlite,
            include_str!("../../../engine/sql/sqlite/invariants.sql"),
        ),
        (
            StoreKind::Postgres,
            include_str!("../../../engine/sql/postgres/invariants.sql"),
        ),
    ];
    for (kind, sql) in dialects {
        let rows = Rows {
            kind,
            finished: String::new(),
            ready: String::new(),
            other: String::new(),
            cancelled: String::new(),
        };
        let subjects: [fn(&Rows) -> Vec<Case>; 7] =
            [tasks, cancels, lines, times, schedules, queues, partitions];
        let here = subjects.iter().flat_map(|cases| cases(&rows));
        let here = here.map(|case| case.found.to_owned());
        let there = invariants::cases(String::new(), String::new());
        let there = there.into_iter().map(|(_, found, _)| found.to_owned());
        let broken: BTreeSet<String> = here.chain(there).collect();
        assert_eq!(broken, checks(sql), "on {}", kind.as_str());
    }
}
