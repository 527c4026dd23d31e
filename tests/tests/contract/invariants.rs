//! The invariants are looked for where they are broken, and what a constraint can forbid is forbidden.

use std::sync::Arc;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, Node, Plan, Resources, StepResult, value};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::support::{Bench, on_both, start};

on_both! {
    a_broken_invariant_is_found;
    what_a_constraint_can_forbid_is_forbidden;
    what_leaves_a_batch_at_once_takes_nobody_out_of_the_lease;
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Thing;

impl Intent for Thing {
    const KIND: &'static str = "thing";
    type Output = ();
    fn account(&self) -> Option<&str> {
        Some("ada")
    }
    fn resources(&self) -> Resources {
        Resources::touched("thing", 1)
    }
}

async fn thing(_: Cx<()>, _: Thing) -> StepResult<()> {
    Ok(())
}

/// One intent that is finished and one that is ready.
pub(crate) async fn two_intents(bench: &Bench) -> Result<(String, String)> {
    let worker = start(bench.worker(()).register_step(thing));
    let finished = bench.intendant.request(Thing).await?;
    finished.output().await?;
    worker.stop().await?;
    let ready = bench.intendant.request(Thing).await?;
    bench.check().await?;
    Ok((finished.id().to_string(), ready.id().to_string()))
}

/// What breaks it, what is found, what mends it. The checks that are not here are broken in `invariants_others.rs`.
pub(crate) fn cases(
    finished: String,
    ready: String,
) -> [(Vec<String>, &'static str, Vec<String>); 20] {
    let park =
        |id: &str| format!("insert into @parked (intent_id, reason) values ('{id}', 'child')");
    let unpark = "delete from @parked".to_owned();
    let unready = "delete from @ready".to_owned();
    let ready_again = format!(
        "insert into @ready (queue, kind, position, intent_id, started, locks) \
         select queue, kind, position, id, locks, locks from @intent where id = '{ready}'"
    );
    let hold = |id: &str, mode: &str| {
        format!(
            "insert into @holder (resource, intent_id, mode) values ('thing:1', '{id}', '{mode}')"
        )
    };
    let unhold = "delete from @holder".to_owned();
    let block = format!("insert into @blocked (intent_id, position) values ('{ready}', 1)");
    let unblock = "delete from @blocked".to_owned();
    let account =
        |to: &str| format!("update @outcome set account = '{to}' where intent_id = '{finished}'");
    let time = format!("(select requested_at from @intent where id = '{ready}')");
    let checkpoint = |id: &str, step: &str, generation: u32| {
        format!(
            "insert into @checkpoint (intent_id, step, generation, attempt, value, at, worker) \
             values ('{id}', '{step}', {generation}, 1, '7', {time}, 'w')"
        )
    };
    let unkept = "delete from @checkpoint".to_owned();
    let measure = |id: &str, attempt: u32| {
        format!(
            "insert into @measure (intent_id, step, generation, attempt, name, value, at) \
             values ('{id}', 'run', 1, {attempt}, 'rows', 1.5, {time})"
        )
    };
    let log = |id: &str| {
        format!(
            "insert into @log (intent_id, step, generation, attempt, lines, cut_lines, cut_bytes, at, worker) \
             values ('{id}', 'run', 1, 1, '[]', 0, 0, {time}, 'w')"
        )
    };
    let deadline = format!(
        "insert into @deadline (intent_id, due_at) select '01890000-0000-7000-8000-000000000000', requested_at from @intent \
         where id = '{ready}'"
    );
    let send = |id: &str, task: &str| {
        format!(
            "insert into @routed (task_id, intent_id, step, generation, queue, kind, position, input, sent_at) \
             select '{task}', id, 'away', 1, 'network', kind, position, input, requested_at \
             from @intent where id = '{id}'"
        )
    };
    let recall = "delete from @routed".to_owned();
    let task = "0192aaaa-0000-7000-8000-000000000001";
    let unpark_task = format!("delete from @parked where intent_id = '{task}'");
    let wait = |sort: &str| {
        let now = format!("(select requested_at from @intent where id = '{ready}')");
        let due = if sort == "sleep" { &now } else { "null" };
        let step = format!(
            "insert into @step (intent_id, name, state, attempt, waits) values ('{ready}', 'ask', 'waiting', 1, '[\"yes\"]')"
        );
        let awaited = format!(
            "insert into @awaited (intent_id, step, generation, name, sort, asked_at, due_at) \
             values ('{ready}', 'ask', 1, 'yes', '{sort}', {now}, {due})"
        );
        [step, awaited]
    };
    let message = format!(
        "insert into @signal (id, intent_id, name, payload, sent_at, counted) \
         select '{task}', id, 'yes', '1', requested_at, 1 = 1 from @intent where id = '{ready}'"
    );
    let unwait = vec![
        format!("delete from @step where intent_id = '{ready}'"),
        "delete from @awaited".to_owned(),
        "delete from @signal".to_owned(),
    ];
    let [asking, awaiting] = wait("signal");
    [
        (
            vec![park(&ready)],
            "I1: a task has two tokens",
            vec![unpark.clone()],
        ),
        (
            vec![unready.clone()],
            "I1: an unfinished intent has no token",
            vec![ready_again.clone()],
        ),
        (
            vec![park(task)],
            "I1: a token is of no task",
            vec![unpark_task.clone()],
        ),
        (
            vec![send(&ready, task)],
            "I1: a routed step has no token",
            vec![recall.clone()],
        ),
        (
            vec![send(&finished, task)],
            "I2: a finished intent has a step under way in another queue",
            vec![recall.clone()],
        ),
        (
            vec![send(&ready, task), park(task)],
            "I3: a routed step has no row that says so",
            vec![unpark_task.clone(), recall],
        ),
        (
            vec![
                unready.clone(),
                park(&ready),
                format!("insert into @wait (intent_id, arrived, wake_at) values ('{ready}', 2, 2)"),
            ],
            "I3: a task is parked though it has enough",
            vec![
                unpark.clone(),
                "delete from @wait".to_owned(),
                ready_again.clone(),
            ],
        ),
        (
            vec![asking.clone()],
            "I3: a step waits by a name that is nowhere",
            unwait.clone(),
        ),
        (
            vec![unready.clone(), park(&ready), asking, awaiting, message],
            "I3: a task is parked for a message that is there",
            [unwait, vec![unpark.clone(), ready_again.clone()]].concat(),
        ),
        (
            vec![park(&finished)],
            "I2: a finished intent has a task",
            vec![unpark.clone()],
        ),
        (
            vec![hold(&finished, "shared")],
            "I2: a finished intent holds a lock",
            vec![unhold.clone()],
        ),
        (
            vec![unready.clone(), park(&ready)],
            "I3: a task is parked for what has all come",
            vec![unpark, ready_again.clone()],
        ),
        (
            vec![unready, block],
            "I3: a task is blocked and stands in no line",
            vec![unblock, ready_again],
        ),
        (
            vec![hold(&finished, "exclusive"), hold(&ready, "shared")],
            "I4: two intents that exclude each other hold one resource",
            vec![unhold],
        ),
        (
            vec![account("bob")],
            "I10: the account has changed",
            vec![account("ada")],
        ),
        (
            vec![deadline],
            "I11: a deadline has no intent",
            vec!["delete from @deadline".to_owned()],
        ),
        (
            vec![checkpoint(&finished, "run", 1)],
            "I5: a step has a result and a checkpoint",
            vec![unkept.clone()],
        ),
        (
            vec![checkpoint(&ready, "run", 1)],
            "I5: a checkpoint of a step that has not begun",
            vec![unkept],
        ),
        (
            vec![measure(&finished, 2)],
            "I8: an attempt has logged or measured before it began",
            vec!["delete from @measure".to_owned()],
        ),
        (
            vec![log(&ready)],
            "I8: an attempt has logged or measured before it began",
            vec!["delete from @log".to_owned()],
        ),
    ]
}

async fn a_broken_invariant_is_found(bench: Bench) -> Result<()> {
    let (finished, ready) = two_intents(&bench).await?;
    for (broken, found, mended) in cases(finished, ready) {
        for sql in broken {
            bench.run_sql(&sql).await?;
        }
        let breaches = bench.intendant.invariant_breaches().await?;
        ensure!(
            breaches.iter().any(|(what, _)| what == found),
            "{found} is not found: {breaches:?}"
        );
        for sql in mended {
            bench.run_sql(&sql).await?;
        }
        bench.check().await?;
    }
    Ok(())
}

async fn what_a_constraint_can_forbid_is_forbidden(bench: Bench) -> Result<()> {
    let (finished, ready) = two_intents(&bench).await?;
    let cases = [
        // I4: two exclusive holders.
        format!(
            "insert into @holder (resource, intent_id, mode) \
             values ('thing:1', '{finished}', 'exclusive'), ('thing:1', '{ready}', 'exclusive')"
        ),
        // I6: a second result of the same step and generation.
        format!(
            "insert into @step (intent_id, name, generation, state, attempt, output, started_at, finished_at) \
             select intent_id, name, generation, state, attempt, output, started_at, finished_at from @step \
             where intent_id = '{finished}'"
        ),
        // Promise 3: a second outcome.
        format!(
            "insert into @outcome (intent_id, kind, state, requested_at, finished_at) \
             select intent_id, kind, 'cancelled', requested_at, finished_at from @outcome where intent_id = '{finished}'"
        ),
        // I7: finished before it was requested.
        format!(
            "update @outcome set requested_at = finished_at, finished_at = started_at, started_at = requested_at \
                 where intent_id = '{finished}' and requested_at < finished_at"
        ),
        // A failure that does not say why.
        format!(
            "update @outcome set state = 'failed', reason = null, error = null where intent_id = '{finished}'"
        ),
        // A wait for nothing.
        format!("insert into @parked (intent_id, reason) values ('{ready}', 'retry')"),
    ];
    for sql in cases {
        let refused = bench.run_sql(&sql).await;
        ensure!(
            matches!(refused, Err(sqlx::Error::Database(_))),
            "{sql}: {refused:?}"
        );
    }
    bench.check().await
}

/// Waits until it is let go.
#[derive(Serialize, Deserialize)]
struct Held(String);

impl Intent for Held {
    const KIND: &'static str = "held";
    type Output = ();
}

/// The same kind, with another input: refused as soon as it is claimed.
#[derive(Serialize, Deserialize)]
struct HeldWrongly(u64);

impl Intent for HeldWrongly {
    const KIND: &'static str = "held";
    type Output = ();
}

async fn what_leaves_a_batch_at_once_takes_nobody_out_of_the_lease(bench: Bench) -> Result<()> {
    let wrong = bench.intendant.request(HeldWrongly(1)).await?;
    let right = bench.intendant.request(Held("on".into())).await?;
    let step = async |cx: Cx<Arc<Notify>>, (): ()| -> StepResult<()> {
        cx.state().notified().await;
        Ok(())
    };
    let plan = move |_: &Held, plan: &mut Plan<Arc<Notify>>| -> Node<()> {
        plan.step("hold", step).input(value(()))
    };
    let let_go = Arc::new(Notify::new());
    let worker = start(bench.worker(let_go.clone()).register(plan));
    bench.rest(wrong.id()).await?;
    ensure!(bench.intendant.state(right.id()).await? == IntentState::Running);
    bench.check().await?;
    let_go.notify_one();
    right.output().await?;
    worker.stop().await?;
    bench.check().await
}
