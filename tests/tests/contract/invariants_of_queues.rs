//! What the checks promise of schedules, queues and partitions, broken by hand (see `invariants_others.rs`).

use anyhow::Result;

use crate::invariants_others::{Case, Rows, SESSION, case, find};
use crate::support::{Bench, on_both};

on_both! {
    a_breach_of_what_schedules_and_queues_promise_is_found;
}

/// What a check names that is about no intent.
const NOTHING: &str = "00000000-0000-0000-0000-000000000000";

async fn a_breach_of_what_schedules_and_queues_promise_is_found(bench: Bench) -> Result<()> {
    let rows = Rows::of(&bench).await?;
    find(&bench, schedules(&rows)).await?;
    find(&bench, queues(&rows)).await?;
    find(&bench, partitions(&rows)).await
}

pub(crate) fn schedules(rows: &Rows) -> Vec<Case> {
    let (finished, ready) = (&rows.finished, &rows.ready);
    let declare = format!(
        "insert into @schedule (name, kind, every_us, catch_up, catch_up_limit, overlap, revision, declared_at, \
         declared_by, last_at) select 'nightly', kind, 1000000, 'skip', 1, 'touched', 1, requested_at, 'w', requested_at \
         from @intent where id = '{finished}'"
    );
    // A tick of the time at which this intent was requested.
    let tick = |at: &str, sort: &str, state: &str, intent: &str| {
        format!(
            "insert into @schedule_tick (schedule, at, sort, state, intent_id, decided_at) \
             select 'nightly', requested_at, '{sort}', '{state}', {intent}, requested_at from @intent where id = '{at}'"
        )
    };
    let requested = format!("'{ready}'");
    let by_hand = tick(ready, "hand", "requested", &requested);
    let earlier = tick(finished, "hand", "requested", &requested);
    let due = tick(ready, "due", "requested", &requested);
    let skipped = tick(ready, "due", "skipped", "null");
    let of_it = format!(
        "insert into @resource (intent_id, resource, mode) values ('{ready}', 'schedule:nightly', 'touched')"
    );
    let nothing = "delete from @schedule; delete from @schedule_tick; \
                   delete from @resource where resource = 'schedule:nightly'";
    vec![
        case(
            "I12: one intent is of two ticks",
            ready,
            format!("{of_it}; {earlier}; {by_hand}"),
            nothing.to_owned(),
        ),
        case(
            "I12: a tick is decided that is not due yet",
            ready,
            format!("{declare}; {of_it}; {due}"),
            nothing.to_owned(),
        ),
        case(
            "I12: a tick is decided that is not due yet",
            NOTHING,
            format!("{declare}; {skipped}"),
            nothing.to_owned(),
        ),
        case(
            "I12: a tick has requested an intent that is of something else",
            ready,
            by_hand.clone(),
            nothing.to_owned(),
        ),
        case(
            "I9: a pause has no change",
            NOTHING,
            format!("{declare}; update @schedule set paused_at = last_at, paused_by = 'ops'"),
            nothing.to_owned(),
        ),
    ]
}

pub(crate) fn queues(rows: &Rows) -> Vec<Case> {
    let ready = &rows.ready;
    let session = rows.session();
    let limit =
        |lent: u32| format!("insert into @queue (name, slots, lent) values ('few', 3, {lent})");
    let (all_there, lent) = (limit(0), limit(1));
    let slot = |held: u32| {
        format!("insert into @slot (queue, session_id, held) values ('few', '{SESSION}', {held})")
    };
    let (held, held_none) = (slot(1), slot(0));
    let nothing = "delete from @slot; delete from @queue; delete from @session";
    vec![
        case(
            "I9: a pause of a queue has no change",
            NOTHING,
            format!(
                "insert into @queue (name, paused_at, paused_by) \
                 select 'few', requested_at, 'ops' from @intent where id = '{ready}'"
            ),
            nothing.to_owned(),
        ),
        case(
            "I13: the slots that a queue has lent are not those that sessions have",
            NOTHING,
            lent,
            nothing.to_owned(),
        ),
        case(
            "I13: the slots that a queue has lent are not those that sessions have",
            NOTHING,
            format!("{session}; {all_there}; {held}"),
            nothing.to_owned(),
        ),
        case(
            "I13: a session has slots of a queue without a limit",
            SESSION,
            format!("{session}; {held}"),
            nothing.to_owned(),
        ),
        case(
            "I13: a session has slots of a queue without a limit",
            SESSION,
            format!("{session}; insert into @queue (name) values ('few'); {held_none}"),
            nothing.to_owned(),
        ),
    ]
}

pub(crate) fn partitions(rows: &Rows) -> Vec<Case> {
    let ready = &rows.ready;
    let (unready, ready_again) = (rows.unready(), rows.ready_again());
    let session = rows.session();
    let lease = rows.lease(Some(ready));
    let partition = |lent: u32| {
        format!("insert into @partition (queue, name, lent) values ('few', 'ada', {lent})")
    };
    let (empty, of_one, of_two) = (partition(0), partition(1), partition(2));
    let counted = format!(
        "insert into @partition_task (task_id, queue, partition, session_id) values ('{ready}', 'few', 'ada', '{SESSION}')"
    );
    let in_hand = format!("{session}; {unready}; {lease}; {counted}");
    let nothing = "delete from @partition_task; delete from @partition; delete from @lease; \
                   delete from @session"
        .to_owned();
    let and_ready = format!("{nothing}; {ready_again}");
    let wrong = "I14: the tasks of a partition that are in hand are not those that are counted";
    vec![
        case(wrong, NOTHING, empty, nothing.clone()),
        case(wrong, NOTHING, of_one.clone(), nothing.clone()),
        case(
            wrong,
            NOTHING,
            format!("{in_hand}; {of_two}"),
            and_ready.clone(),
        ),
        case(
            "I14: a task is counted in no partition",
            ready,
            in_hand,
            and_ready,
        ),
        case(
            "I14: a task is counted that is in nobody's hands",
            ready,
            format!("{session}; {of_one}; {counted}"),
            nothing,
        ),
    ]
}
