//! Damaged rows: what cannot be read stops its own intent, with a reason that names it, and nothing else (promise 7).
//!
//! Each kind of row is damaged by hand while its intent rests, beside a sound one that is claimed in the same tick. On
//! SQLite a text column may hold bytes that are no text; on PostgreSQL what a column's type and checks let through.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use intendant::{
    Cx, Intent, IntentFilter, IntentId, IntentRecord, IntentState, Node, Plan, StepResult,
    StoreKind, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Gate, Running, on_both, start};

on_both! {
    a_row_that_cannot_be_read_stops_its_own_intent_only;
    a_plan_that_cannot_be_read_stops_the_intents_that_go_by_it;
    an_order_to_stop_that_cannot_be_read_stops_its_intent_only;
    a_routed_step_that_cannot_be_read_fails_and_the_others_run;
    an_intent_of_another_kind_than_its_line_fails_and_is_not_claimed_again;
    what_an_intent_wants_to_hold_and_cannot_be_read_stops_that_one_only;
    a_task_without_an_intent_is_set_aside_and_the_others_go_on;
    a_dead_sessions_damaged_tasks_do_not_keep_the_others;
    what_is_read_while_an_intent_is_in_hand_stops_that_one_only;
    a_list_shows_a_row_that_cannot_be_read;
    a_time_that_cannot_be_keeps_no_others_waiting;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job(u64);

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = u64;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part(u64);

impl Intent for Part {
    const KIND: &'static str = "part";
    type Output = u64;
}

async fn first(_: Cx<()>, n: u64) -> StepResult<u64> {
    Ok(n)
}

/// Has rows of all sorts when it waits: a failed attempt, a child with its outcome, a wait by name.
async fn second(cx: Cx<()>, n: u64) -> StepResult<u64> {
    if cx.attempt() == 1 {
        return Err(std::io::Error::other("not yet").into());
    }
    let part = cx.child("part", Part(n)).await?;
    let go: u64 = cx.signal("go").await?;
    Ok(n + part + go)
}

async fn part(_: Cx<()>, part: Part) -> StepResult<u64> {
    Ok(part.0 * 10)
}

fn job(job: &Job, plan: &mut Plan<()>) -> Node<u64> {
    let first = plan.step("first", self::first).input(value(job.0));
    let second = plan.step("second", second);
    let second = second.backoff(Duration::ZERO, Duration::ZERO).input(first);
    plan.step("third", self::first).input(second)
}

fn worker(bench: &Bench) -> Running {
    let worker = bench.worker(()).register::<Job, _>(job);
    start(worker.register_step::<Part, _, _>(part))
}

/// At rest. The invariants are not looked at: damage may break them.
async fn rest(bench: &Bench, id: IntentId) -> Result<IntentRecord> {
    let begin = Instant::now();
    loop {
        let record = bench.intendant.get(id).await?;
        if record.state.is_finished() {
            return Ok(record);
        }
        if begin.elapsed() > Duration::from_secs(20) {
            let why = bench.intendant.why(id).await?;
            anyhow::bail!("{id} is {}: {why}", record.state);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn failed_with(bench: &Bench, id: IntentId, what: &str) -> Result<()> {
    let record = rest(bench, id).await?;
    let error = record.error.unwrap_or_default();
    ensure!(
        record.state == IntentState::Failed
            && record.reason.as_deref() == Some("undecodable")
            && error.contains(what),
        "`{what}`: {:?}: {error}",
        record.reason
    );
    Ok(())
}

async fn succeeded(bench: &Bench, id: IntentId) -> Result<()> {
    let record = rest(bench, id).await?;
    let (state, error) = (record.state, record.error);
    ensure!(state == IntentState::Succeeded, "{state}: {error:?}");
    Ok(())
}

/// Waits for its message.
async fn waits(bench: &Bench, id: IntentId) -> Result<()> {
    let waits = || async {
        let why = bench.intendant.why(id).await?.to_string();
        Ok(why.contains("waits for a signal").then_some(()))
    };
    bench.until(waits).await
}

/// Damage to rows of an intent, `{id}`, or of its child.
struct Damage {
    table: &'static str,
    rows: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    /// What the error says of it.
    named: &'static str,
}

const OF_INTENT: &str = "intent_id = '{id}'";
const OF_CHILD: &str = "intent_id = (select child_id from @child where parent_id = '{id}')";
const NO_TEXT: &str = "cast(x'61ff62' as text)";

const fn damage(
    table: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    named: &'static str,
) -> Damage {
    Damage {
        table,
        rows: OF_INTENT,
        sqlite,
        postgres,
        named,
    }
}

/// `%` is a text that is none.
const DAMAGES: &[Damage] = &[
    Damage {
        rows: "id = '{id}'",
        ..damage("intent", "input = %", "", "`input` in its row of *intent*")
    },
    Damage {
        rows: "id = '{id}'",
        ..damage(
            "intent",
            "input = '{\"a\":'",
            "",
            "`input` in its row of *intent*",
        )
    },
    Damage {
        rows: "id = '{id}'",
        ..damage(
            "intent",
            "requested_by = %",
            "",
            "`requested_by` in its row of *intent*",
        )
    },
    Damage {
        rows: "id = '{id}'",
        ..damage(
            "intent",
            "account = %",
            "",
            "`account` in its row of *intent*",
        )
    },
    Damage {
        rows: "id = '{id}'",
        ..damage(
            "intent",
            "root_id = 'nobody'",
            "",
            "`root_id` in its row of *intent*",
        )
    },
    Damage {
        rows: "id = '{id}'",
        ..damage(
            "intent",
            "depth = -1",
            "depth = -1",
            "`depth` in its row of *intent*: -1 is out of range",
        )
    },
    damage(
        "started",
        "plan_hash = 'gone'",
        "plan_hash = 'gone'",
        "its plan `gone` is not in *plan*",
    ),
    damage(
        "started",
        "plan_hash = %",
        "",
        "`plan_hash` in its row of *started*",
    ),
    damage(
        "started",
        "started_at = -9223372036854775808",
        "started_at = '-infinity'",
        "cannot be read: ",
    ),
    Damage {
        rows: "intent_id = '{id}' and name = 'first'",
        ..damage(
            "step",
            "output = %",
            "",
            "of step `first`, `output` in its row of *step*",
        )
    },
    Damage {
        rows: "intent_id = '{id}' and name = 'second'",
        ..damage(
            "step",
            "waits = '{'",
            "waits = '{\"go\": 1}'",
            "of step `second`, `waits` in its row of *step*",
        )
    },
    Damage {
        rows: "intent_id = '{id}' and name = 'second'",
        ..damage("step", "error = %", "attempt = -2", "of step `second`, ")
    },
    Damage {
        rows: "intent_id = '{id}' and name = 'first'",
        ..damage(
            "step",
            "name = %",
            "generation = -7",
            "in its row of *step*",
        )
    },
    damage(
        "attempt",
        "worker = 'w', attempt = -4",
        "attempt = -4",
        "in its row of *attempt*: -4 is out of range",
    ),
    Damage {
        rows: "parent_id = '{id}'",
        ..damage(
            "child",
            "name = %",
            "generation = -7",
            "in its row of *child*",
        )
    },
    Damage {
        rows: "parent_id = '{id}'",
        ..damage(
            "child",
            "child_id = 'nobody'",
            "generation = -7",
            "in its row of *child*",
        )
    },
    Damage {
        rows: OF_CHILD,
        ..damage(
            "outcome",
            "output = %",
            "",
            "`output` in its row of *outcome*",
        )
    },
    damage(
        "awaited",
        "name = %",
        "generation = -7",
        "in its row of *awaited*",
    ),
    damage(
        "signal",
        "payload = '{'",
        "",
        "`payload` in its row of *signal*",
    ),
];

async fn a_row_that_cannot_be_read_stops_its_own_intent_only(bench: Bench) -> Result<()> {
    for damage in DAMAGES {
        let set = match bench.database.kind {
            StoreKind::Sqlite => damage.sqlite,
            StoreKind::Postgres => damage.postgres,
        };
        if set.is_empty() {
            continue;
        }
        stops_one(&bench, damage, set)
            .await
            .with_context(|| format!("{}: {set}", damage.table))?;
    }
    bench.check().await
}

async fn stops_one(bench: &Bench, damage: &Damage, set: &str) -> Result<()> {
    let before = worker(bench);
    let damaged = bench.intendant.request(Job(1)).await?.id();
    let sound = bench.intendant.request(Job(2)).await?.id();
    for id in [damaged, sound] {
        waits(bench, id).await?;
    }
    before.stop().await?;
    for id in [damaged, sound] {
        bench.intendant.signal(id, "go", &5_u64).await?;
    }
    let of = |sql: &str| {
        sql.replace("{id}", &damaged.to_string())
            .replace('%', NO_TEXT)
    };
    let (table, rows) = (damage.table, of(damage.rows));
    bench
        .run_sql(&format!(
            "create table saved as select * from @{table} where {rows}"
        ))
        .await?;
    ensure!(bench.number("select count(*) from saved").await? == 1);
    bench
        .run_sql(&of(&format!("update @{table} set {set} where {rows}")))
        .await?;

    let after = worker(bench);
    succeeded(bench, sound).await?;
    failed_with(bench, damaged, damage.named).await?;
    ensure!(bench.intendant.why(damaged).await?.state == IntentState::Failed);

    // Mended by hand, as the error says.
    let key = match table {
        "intent" => "id".to_owned(),
        "child" => "parent_id".to_owned(),
        _ => "intent_id".to_owned(),
    };
    let damaged_rows = match table {
        "step" => format!(
            "intent_id = '{damaged}' and name not in ('second', 'third') or intent_id = '{damaged}' and name in (select name from saved)"
        ),
        _ => format!("{key} in (select {key} from saved)"),
    };
    bench
        .run_sql(&format!(
            "delete from @{table} where {damaged_rows}; insert into @{table} select * from saved; drop table saved"
        ))
        .await?;
    bench.intendant.resume(damaged, "ada", None).await?;
    succeeded(bench, damaged).await?;
    after.stop().await?;
    Ok(())
}

async fn a_plan_that_cannot_be_read_stops_the_intents_that_go_by_it(bench: Bench) -> Result<()> {
    let before = worker(&bench);
    let damaged = bench.intendant.request(Job(1)).await?.id();
    waits(&bench, damaged).await?;
    before.stop().await?;
    for shape in ["7", "{\"steps\":[],\"output\":3}"] {
        bench
            .run_sql("create table saved as select * from @plan")
            .await?;
        bench
            .run_sql(&format!("update @plan set shape = '{shape}'"))
            .await?;
        bench.intendant.signal(damaged, "go", &5_u64).await?;
        let after = worker(&bench);
        let sound = bench.intendant.request(Part(2)).await?.id();
        succeeded(&bench, sound).await?;
        failed_with(&bench, damaged, "*plan*").await?;
        after.stop().await?;
        bench
            .run_sql("delete from @plan; insert into @plan select * from saved; drop table saved")
            .await?;
        bench.intendant.resume(damaged, "ada", None).await?;
    }
    let last = worker(&bench);
    succeeded(&bench, damaged).await?;
    last.stop().await?;
    bench.check().await
}

async fn an_order_to_stop_that_cannot_be_read_stops_its_intent_only(bench: Bench) -> Result<()> {
    let before = worker(&bench);
    let damaged = bench.intendant.request(Job(1)).await?.id();
    let sound = bench.intendant.request(Job(2)).await?.id();
    for id in [damaged, sound] {
        waits(&bench, id).await?;
    }
    before.stop().await?;
    for id in [damaged, sound] {
        bench.intendant.signal(id, "go", &5_u64).await?;
    }
    let now = match bench.database.kind {
        StoreKind::Sqlite => "0",
        StoreKind::Postgres => "now()",
    };
    bench
        .run_sql(&format!(
            "insert into @cancel (intent_id, actor, at, goal) values ('{damaged}', 'ada', {now}, '7')"
        ))
        .await?;
    let after = worker(&bench);
    succeeded(&bench, sound).await?;
    let record = rest(&bench, damaged).await?;
    let error = record.error.unwrap_or_default();
    ensure!(
        record.state == IntentState::Failed && error.contains("`goal` in its row of *cancel*"),
        "{error}"
    );
    bench
        .run_sql(&format!(
            "delete from @cancel where intent_id = '{damaged}'"
        ))
        .await?;
    bench.intendant.resume(damaged, "ada", None).await?;
    succeeded(&bench, damaged).await?;
    after.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Server(u64);

impl Intent for Server {
    const KIND: &'static str = "server";
    type Output = u64;
}

fn away(server: &Server, plan: &mut Plan<()>) -> Node<u64> {
    let address = plan.step("address", first).queue("network");
    address.input(value(server.0))
}

async fn a_routed_step_that_cannot_be_read_fails_and_the_others_run(bench: Bench) -> Result<()> {
    let home = start(bench.worker(()).register::<Server, _>(away));
    let damaged = bench.intendant.request(Server(1)).await?.id();
    let sound = bench.intendant.request(Server(2)).await?.id();
    bench
        .until(|| async {
            Ok((bench.number("select count(*) from @routed").await? == 2).then_some(()))
        })
        .await?;
    bench
        .run_sql(&format!(
            "update @step set attempt = -3 where intent_id = '{damaged}'"
        ))
        .await?;
    let network = start(
        bench
            .worker(())
            .register::<Server, _>(away)
            .queue("network", 4),
    );
    succeeded(&bench, sound).await?;
    failed_with(&bench, damaged, "`attempt` in its row of *step*").await?;
    network.stop().await?;
    home.stop().await?;
    bench
        .run_sql(&format!("delete from @step where intent_id = '{damaged}'"))
        .await?;
    bench.intendant.resume(damaged, "ada", None).await?;
    let both = start(
        bench
            .worker(())
            .register::<Server, _>(away)
            .queue("network", 4),
    );
    succeeded(&bench, damaged).await?;
    both.stop().await?;
    bench.check().await
}

async fn an_intent_of_another_kind_than_its_line_fails_and_is_not_claimed_again(
    bench: Bench,
) -> Result<()> {
    let damaged = bench.intendant.request(Part(1)).await?.id();
    let sound = bench.intendant.request(Part(2)).await?.id();
    bench
        .run_sql(&format!(
            "update @intent set kind = 'tarp' where id = '{damaged}'"
        ))
        .await?;
    // One slot: whoever is claimed again and again would keep everybody else out.
    let one = bench.worker(()).concurrency(1);
    let worker = start(one.register_step::<Part, _, _>(part));
    succeeded(&bench, sound).await?;
    failed_with(&bench, damaged, "its kind is `tarp`").await?;
    bench
        .run_sql(&format!(
            "update @intent set kind = 'part' where id = '{damaged}'"
        ))
        .await?;
    bench.intendant.resume(damaged, "ada", None).await?;
    succeeded(&bench, damaged).await?;
    worker.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hold(u64);

impl Intent for Hold {
    const KIND: &'static str = "hold";
    type Output = u64;
    fn resources(&self) -> intendant::Resources {
        intendant::Resources::exclusive("server", self.0)
    }
}

async fn hold(_: Cx<Gate>, hold: Hold) -> StepResult<u64> {
    Ok(hold.0)
}

async fn what_an_intent_wants_to_hold_and_cannot_be_read_stops_that_one_only(
    bench: Bench,
) -> Result<()> {
    let damaged = bench.intendant.request(Hold(1)).await?.id();
    let sound = bench.intendant.request(Hold(2)).await?.id();
    if bench.database.kind == StoreKind::Postgres {
        // What the column lets through can be read.
        return Ok(());
    }
    bench
        .run_sql(&format!(
            "update @resource set resource = {NO_TEXT} where intent_id = '{damaged}'"
        ))
        .await?;
    let worker = start(
        bench
            .worker(Gate::default())
            .register_step::<Hold, _, _>(hold),
    );
    succeeded(&bench, sound).await?;
    failed_with(&bench, damaged, "what it wants to hold").await?;
    bench
        .run_sql(&format!(
            "update @resource set resource = 'server:1' where intent_id = '{damaged}'"
        ))
        .await?;
    bench.intendant.resume(damaged, "ada", None).await?;
    succeeded(&bench, damaged).await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_task_without_an_intent_is_set_aside_and_the_others_go_on(bench: Bench) -> Result<()> {
    let gone = bench.intendant.request(Part(1)).await?.id();
    let sound = bench.intendant.request(Part(2)).await?.id();
    bench
        .run_sql(&format!(
            "create table saved as select * from @intent where id = '{gone}'; delete from @intent where id = '{gone}'"
        ))
        .await?;
    if bench.database.kind == StoreKind::Sqlite {
        // And one that is nobody's.
        bench
            .run_sql(&format!(
                "insert into @ready (queue, kind, position, intent_id, started, locks) values ('default', 'part', 1, {NO_TEXT}, 0, 0)"
            ))
            .await?;
    }
    let one = bench.worker(()).concurrency(1);
    let worker = start(one.register_step::<Part, _, _>(part));
    succeeded(&bench, sound).await?;
    // Its token is kept for whoever mends it.
    let parked = format!("select count(*) from @parked where intent_id = '{gone}'");
    let begin = Instant::now();
    while bench.number(&parked).await? == 0 {
        ensure!(
            begin.elapsed() < Duration::from_secs(10),
            "its token is lost"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let now = match bench.database.kind {
        StoreKind::Sqlite => "0",
        StoreKind::Postgres => "now()",
    };
    bench
        .run_sql(&format!(
            "insert into @intent select * from saved; drop table saved; update @parked set due_at = {now} where intent_id = '{gone}'"
        ))
        .await?;
    succeeded(&bench, gone).await?;
    worker.stop().await?;
    bench.check().await
}

async fn wait_for_gate(cx: Cx<Gate>, part: Part) -> StepResult<u64> {
    cx.state().pass().await;
    Ok(part.0)
}

async fn a_dead_sessions_damaged_tasks_do_not_keep_the_others(bench: Bench) -> Result<()> {
    let closed = bench.worker(Gate::default());
    let dies = start(closed.register_step::<Part, _, _>(wait_for_gate));
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(bench.intendant.request(Part(n)).await?.id());
    }
    for id in &ids {
        bench.reach(*id, IntentState::Running).await?;
    }
    dies.kill().await;
    // One cannot be read, and one is in line already, so that putting it there is refused.
    let (unreadable, twice) = (ids[1], ids[4]);
    let text = match bench.database.kind {
        StoreKind::Sqlite => format!("requested_by = {NO_TEXT}"),
        StoreKind::Postgres => "depth = -1".to_owned(),
    };
    bench
        .run_sql(&format!(
            "update @intent set {text} where id = '{unreadable}';
             insert into @ready (queue, kind, position, intent_id, started, locks, crashes)
             select queue, kind, position, id, true, false, 1 from @intent where id = '{twice}'"
        ))
        .await?;
    let open = Gate::default();
    open.open();
    let worker = start(
        bench
            .worker(open)
            .register_step::<Part, _, _>(wait_for_gate),
    );
    for id in ids.iter().filter(|id| **id != unreadable) {
        succeeded(&bench, *id).await?;
    }
    failed_with(&bench, unreadable, "in its row of *intent*").await?;
    worker.stop().await?;
    Ok(())
}

/// Waits for a child and then for a gate beside it, so that it is in hand when the child finishes.
fn beside(job: &Job, plan: &mut Plan<Gate>) -> Node<u64> {
    async fn waits(cx: Cx<Gate>, n: u64) -> StepResult<u64> {
        cx.state().pass().await;
        Ok(n)
    }
    async fn asks(cx: Cx<Gate>, n: u64) -> StepResult<u64> {
        cx.child("part", Part(n)).await
    }
    async fn sum(_: Cx<Gate>, parts: (u64, u64)) -> StepResult<u64> {
        Ok(parts.0 + parts.1)
    }
    let gate = plan.step("gate", waits).input(value(job.0));
    let child = plan.step("asks", asks).input(value(job.0));
    plan.step("sum", sum).input((gate, child))
}

async fn what_is_read_while_an_intent_is_in_hand_stops_that_one_only(bench: Bench) -> Result<()> {
    let gate = Gate::default();
    let worker = start(bench.worker(gate.clone()).register::<Job, _>(beside));
    let damaged = bench.intendant.request(Job(1)).await?.id();
    let sound = bench.intendant.request(Job(2)).await?.id();
    bench
        .until(|| async {
            Ok((bench.number("select count(*) from @child").await? == 2).then_some(()))
        })
        .await?;
    let set = match bench.database.kind {
        StoreKind::Sqlite => format!("name = {NO_TEXT}"),
        StoreKind::Postgres => "generation = -7".to_owned(),
    };
    bench
        .run_sql(&format!(
            "update @child set {set} where parent_id = '{damaged}'"
        ))
        .await?;
    let children = start(bench.worker(()).register_step::<Part, _, _>(part));
    // Its child has finished, and its driver has heard of it, before the step beside it ends.
    bench
        .until(|| async {
            let done = "select count(*) from @outcome where kind = 'part'";
            Ok((bench.number(done).await? == 2).then_some(()))
        })
        .await?;
    gate.open();
    succeeded(&bench, sound).await?;
    failed_with(&bench, damaged, "in its row of *child*").await?;
    worker.stop().await?;
    children.stop().await?;
    bench.check().await
}

async fn a_list_shows_a_row_that_cannot_be_read(bench: Bench) -> Result<()> {
    let worker = worker(&bench);
    let mut ids = Vec::new();
    for n in 0..3 {
        let id = bench.intendant.request(Job(n)).await?.id();
        waits(&bench, id).await?;
        bench.intendant.signal(id, "go", &1_u64).await?;
        succeeded(&bench, id).await?;
        ids.push(id);
    }
    worker.stop().await?;
    let set = match bench.database.kind {
        StoreKind::Sqlite => [
            (
                "intent",
                format!("requested_by = {NO_TEXT}, input = '{{'"),
                "id",
                "input",
            ),
            (
                "outcome",
                format!("output = {NO_TEXT}"),
                "intent_id",
                "input",
            ),
            (
                "step",
                format!("output = '{{', worker = {NO_TEXT}"),
                "intent_id",
                "input",
            ),
            (
                "attempt",
                format!("error = {NO_TEXT}"),
                "intent_id",
                "input",
            ),
            ("signal", "payload = '['".to_owned(), "intent_id", "input"),
        ],
        StoreKind::Postgres => [
            ("intent", "run_at = 'infinity'".to_owned(), "id", "run_at"),
            (
                "outcome",
                "finished_at = 'infinity'".to_owned(),
                "intent_id",
                "run_at",
            ),
            (
                "step",
                "due_at = 'infinity'".to_owned(),
                "intent_id",
                "run_at",
            ),
            (
                "attempt",
                "retry_at = '-infinity'".to_owned(),
                "intent_id",
                "run_at",
            ),
            (
                "signal",
                "sent_at = 'infinity'".to_owned(),
                "intent_id",
                "run_at",
            ),
        ],
    };
    let damaged = ids[1];
    let mut named = "";
    for (table, set, key, column) in &set {
        bench
            .run_sql(&format!(
                "update @{table} set {set} where {key} = '{damaged}'"
            ))
            .await?;
        named = column;
    }
    let page = bench
        .intendant
        .page(IntentFilter {
            kind: Some("job".into()),
            ..IntentFilter::default()
        })
        .await?;
    ensure!(page.intents.len() == 3, "{}", page.intents.len());
    for record in &page.intents {
        ensure!(
            record.unreadable.is_some() == (record.id == damaged),
            "{record:?}"
        );
    }
    let record = bench.intendant.get(damaged).await?;
    let unreadable = record.unreadable.unwrap_or_default();
    ensure!(
        unreadable.contains(&format!("`{named}` in its row of *intent*")),
        "{unreadable}"
    );
    let steps = bench.intendant.steps(damaged).await?;
    ensure!(
        steps.iter().all(|step| step.unreadable.is_some()),
        "{steps:?}"
    );
    let attempts = bench.intendant.attempts(damaged).await?;
    ensure!(
        attempts.iter().all(|it| it.unreadable.is_some()),
        "{attempts:?}"
    );
    let signals = bench.intendant.signals(damaged).await?;
    ensure!(
        signals.iter().all(|it| it.unreadable.is_some()),
        "{signals:?}"
    );
    bench.intendant.events(damaged).await?;
    bench.intendant.children(damaged).await?;
    ensure!(bench.intendant.why(damaged).await?.intent == damaged);
    Ok(())
}

/// By as little as one bit. Beside it, somebody waits for a time of its own, of which a worker hears only as it looks for work.
async fn a_time_that_cannot_be_keeps_no_others_waiting(bench: Bench) -> Result<()> {
    let times: &[&str] = match bench.database.kind {
        StoreKind::Sqlite => &["-9223372036854775807", "9223372036854775807"],
        StoreKind::Postgres => &["'-infinity'", "'infinity'"],
    };
    for time in times {
        let far = chrono::Utc::now() + chrono::TimeDelta::hours(1);
        let damaged = bench.intendant.request(Part(1)).start_at(far).await?.id();
        bench
            .run_sql(&format!(
                "update @parked set due_at = {time} where intent_id = '{damaged}'"
            ))
            .await?;
        let soon = chrono::Utc::now() + chrono::TimeDelta::milliseconds(200);
        let sound = bench.intendant.request(Part(2)).start_at(soon).await?.id();
        let running = worker(&bench);
        succeeded(&bench, sound).await?;
        running.stop().await?;
    }
    Ok(())
}
