//! Signals from plain SQL: within the caller's transaction, with the same checks as the library's.

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentId, IntentState, Node, Plan, Sent, StepResult, StoreKind};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    a_message_of_plain_sql_ends_the_wait_after_its_commit_only;
    a_key_of_plain_sql_is_known_to_the_library_and_the_other_way_round;
    a_message_of_plain_sql_that_cannot_be_kept_is_refused;
    messages_of_plain_sql_are_taken_in_the_order_in_which_they_were_sent;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invoice;

impl Intent for Invoice {
    const KIND: &'static str = "invoice";
    type Output = u64;
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Approval {
    cents: u64,
}

async fn cents(_: Cx<()>, approval: Approval) -> StepResult<u64> {
    Ok(approval.cents)
}

fn approved(_: &Invoice, plan: &mut Plan<()>) -> Node<u64> {
    let approval = plan.signal::<Approval>("approve").input(());
    plan.step("cents", cents).input(approval)
}

/// The statement that sends a message; values are SQL.
fn send(bench: &Bench, id: IntentId, name: &str, payload: &str, key: &str) -> String {
    match bench.database.kind {
        StoreKind::Postgres => format!(
            "select intendant.signal('{id}', {name}, payload => {payload}, key => {key}, sent_by => 'sql')"
        ),
        StoreKind::Sqlite => format!(
            "insert into intendant_send_signal (intent_id, name, payload, key, sent_by) \
             values ('{id}', {name}, {payload}, {key}, 'sql')"
        ),
    }
}

async fn a_message_of_plain_sql_ends_the_wait_after_its_commit_only(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register(approved));
    let handle = bench.intendant.request(Invoice).await?;
    bench.reach(handle.id(), IntentState::Waiting).await?;
    let message = |cents: u64| {
        let payload = format!("'{{\"cents\": {cents}}}'");
        send(&bench, handle.id(), "'approve'", &payload, "null")
    };
    bench
        .run_sql(&format!("begin; {}; rollback;", message(1)))
        .await?;
    ensure!(bench.number("select count(*) from @signal").await? == 0);
    bench
        .run_sql(&format!("begin; {}; commit;", message(50)))
        .await?;
    ensure!(handle.output().await? == 50);
    let signals = bench.intendant.signals(handle.id()).await?;
    ensure!(signals.len() == 1 && signals[0].sent_by.as_deref() == Some("sql"));
    let seen = "select count(*) from @signals where name = 'approve' and taken_by = 'approve' and refused is null";
    ensure!(bench.number(seen).await? == 1);
    worker.stop().await?;
    bench.check().await
}

async fn a_key_of_plain_sql_is_known_to_the_library_and_the_other_way_round(
    bench: Bench,
) -> Result<()> {
    let handle = bench.intendant.request(Invoice).await?;
    let by_sql = |key: &str| send(&bench, handle.id(), "'approve'", "'{\"cents\": 1}'", key);
    let by_library = |key: &'static str| {
        let approval = Approval { cents: 2 };
        let signal = bench.intendant.signal(handle.id(), "approve", &approval);
        signal.key(key)
    };
    bench.run_sql(&by_sql("'a'")).await?;
    bench.run_sql(&by_sql("'a'")).await?;
    let signals = bench.intendant.signals(handle.id()).await?;
    ensure!(signals.len() == 1 && by_library("a").await? == Sent::Before(signals[0].id));
    ensure!(matches!(by_library("b").await?, Sent::Now(_)));
    bench.run_sql(&by_sql("'b'")).await?;
    ensure!(bench.number("select count(*) from @signal").await? == 2);
    // Under another name it is another message.
    let other = send(&bench, handle.id(), "'paid'", "null", "'a'");
    bench.run_sql(&other).await?;
    ensure!(bench.number("select count(*) from @signal").await? == 3);
    bench.check().await
}

async fn a_message_of_plain_sql_that_cannot_be_kept_is_refused(bench: Bench) -> Result<()> {
    let worker = start(bench.worker(()).register(approved));
    let finished = bench.intendant.request(Invoice).await?;
    let early = Approval { cents: 5 };
    let signal = bench.intendant.signal(finished.id(), "approve", &early);
    signal.key("first").await?;
    finished.output().await?;
    worker.stop().await?;
    let open = bench.intendant.request(Invoice).await?;
    let nobody: IntentId = "01890000-0000-7000-8000-000000000000".parse()?;
    let deep = format!("'{}{}'", "[".repeat(101), "]".repeat(101));
    let big = format!("'\"{}\"'", "x".repeat(intendant::limits::PAYLOAD_BYTES));
    let long = format!("'{}'", "n".repeat(201));
    let cases = [
        (send(&bench, nobody, "'a'", "null", "null"), "IN404"),
        (send(&bench, finished.id(), "'a'", "null", "null"), "IN409"),
        (send(&bench, open.id(), "null", "null", "null"), "IN400"),
        (send(&bench, open.id(), "''", "null", "null"), "IN400"),
        (send(&bench, open.id(), &long, "null", "null"), "IN400"),
        (send(&bench, open.id(), "'a'", "null", "''"), "IN400"),
        (send(&bench, open.id(), "'a'", &deep, "null"), "IN400"),
        (send(&bench, open.id(), "'a'", &big, "null"), "IN400"),
    ];
    for (sql, expected) in cases {
        let Err(sqlx::Error::Database(error)) = bench.run_sql(&sql).await else {
            anyhow::bail!("{}", &sql[..200.min(sql.len())]);
        };
        let found = match bench.database.kind {
            StoreKind::Postgres => error.code().unwrap_or_default().into_owned(),
            StoreKind::Sqlite => error.message().chars().take(5).collect(),
        };
        ensure!(found == expected, "{found}: {error}");
    }
    let garbage = send(&bench, open.id(), "'a'", "'{\"cents'", "null");
    ensure!(bench.run_sql(&garbage).await.is_err());
    // What was sent with the same key before the intent had finished is no error.
    let again = send(&bench, finished.id(), "'approve'", "null", "'first'");
    bench.run_sql(&again).await?;
    ensure!(bench.number("select count(*) from @signal").await? == 1);
    bench.check().await
}

async fn messages_of_plain_sql_are_taken_in_the_order_in_which_they_were_sent(
    bench: Bench,
) -> Result<()> {
    async fn three(cx: Cx<()>, place: u64) -> StepResult<u64> {
        let approval = cx.signal::<Approval>("approve").await?;
        Ok(place * 10 + approval.cents)
    }
    let plan = |_: &Invoice, plan: &mut Plan<()>| -> Node<u64> {
        let first = plan.step("first", three).input(intendant::value(0u64));
        let second = plan.step("second", three).input(first);
        plan.step("third", three).input(second)
    };
    let handle = bench.intendant.request(Invoice).await?;
    let sql: Vec<String> = (1..=3)
        .map(|cents| {
            let payload = format!("'{{\"cents\": {cents}}}'");
            send(&bench, handle.id(), "'approve'", &payload, "null")
        })
        .collect();
    bench.run_sql(&sql.join("; ")).await?;
    let worker = start(bench.worker(()).register::<Invoice, _>(plan));
    ensure!(handle.output().await? == 123);
    worker.stop().await?;
    bench.check().await
}

/// The grants of docs/SQL.md. Roles are part of the transaction, so nothing is left of this one.
#[tokio::test]
async fn a_role_that_may_send_messages_and_nothing_else_can_send_one() -> Result<()> {
    let bench = Bench::open(StoreKind::Postgres).await?;
    let handle = bench.intendant.request(Invoice).await?;
    let docs = include_str!("../../../docs/SQL.md");
    let (_, grants) = docs
        .split_once("create role approver;")
        .expect("the role's grants");
    let (grants, _) = grants.split_once("```").expect("their end");
    // Roles belong to the server, which other tests share.
    let role = format!("approver_{}", handle.id().0.simple());
    let grants = grants.replace("approver", &role);
    let message = send(
        &bench,
        handle.id(),
        "'approve'",
        "'{\"cents\": 1}'",
        "'key'",
    );
    let as_approver = |sql: &str| {
        format!("begin; create role {role}; {grants} set local role {role}; {sql}; rollback;")
    };
    bench
        .run_sql(&as_approver(&format!("{message}; {message}")))
        .await?;
    let other = "update intendant.signal set name = 'paid'";
    ensure!(bench.run_sql(&as_approver(other)).await.is_err());
    Ok(())
}
