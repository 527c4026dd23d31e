//! Cancels from plain SQL: within the caller's transaction, carried out by a worker, as the library's are.

use anyhow::{Result, ensure};
use intendant::why::Reason;
use intendant::{
    Cx, Intendant, Intent, IntentId, IntentState, Node, Plan, Resources, StepResult, StoreKind,
    value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Running, on_both, start};
use crate::undo::{Build, Ledger, begun, hang, make, unmake};

on_both! {
    a_cancel_of_plain_sql_is_carried_out_after_its_commit_only;
    what_has_begun_is_stopped_and_taken_back;
    a_cancel_waits_for_a_worker_while_there_is_none;
    an_intent_that_is_asked_for_and_cancelled_in_one_transaction_never_runs;
    a_cancel_that_cannot_be_kept_is_refused;
    a_cancel_that_comes_too_late_is_told_of;
    descendants_are_cancelled_too;
    two_cancels_of_one_intent_are_one;
    a_cancel_beside_a_finish_is_carried_out_or_told_of;
}

#[derive(Debug, Serialize, Deserialize)]
struct Order;

impl Intent for Order {
    const KIND: &'static str = "order";
    type Output = String;
    fn resources(&self) -> Resources {
        Resources::exclusive("server", 7)
    }
}

fn order(_: &Order, plan: &mut Plan<Ledger>) -> Node<String> {
    let first = plan.step("first", make).undo(unmake).input(value(1u64));
    plan.step("hang", hang).input(first)
}

fn worker(bench: &Bench, ledger: &Ledger) -> Running {
    start(bench.worker(ledger.clone()).register(order))
}

/// The statement that asks for a cancel; values are SQL.
fn cancel(bench: &Bench, id: IntentId, actor: &str, reason: &str) -> String {
    match bench.database.kind {
        StoreKind::Postgres => format!("select intendant.cancel('{id}', {actor}, {reason})"),
        StoreKind::Sqlite => format!(
            "insert into intendant_ask_cancel (intent_id, actor, reason) values ('{id}', {actor}, {reason})"
        ),
    }
}

fn by_sql(bench: &Bench, id: IntentId) -> String {
    cancel(bench, id, "'sql'", "'ordered twice'")
}

/// Nothing is left that somebody would have to carry out.
async fn carried_out(bench: &Bench) -> Result<()> {
    bench
        .until(|| async {
            let left = bench.number("select count(*) from @cancel_request").await?;
            Ok((left == 0).then_some(()))
        })
        .await?;
    bench.check().await
}

async fn a_cancel_of_plain_sql_is_carried_out_after_its_commit_only(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let holder = bench.intendant.request(Order).await?;
    let worker = worker(&bench, &ledger);
    begun(&bench, &ledger, 1).await?;
    let behind = bench.intendant.request(Order).await?;
    bench.reach(behind.id(), IntentState::Blocked).await?;
    let sql = by_sql(&bench, behind.id());
    bench.run_sql(&format!("begin; {sql}; rollback;")).await?;
    ensure!(bench.number("select count(*) from @cancel_request").await? == 0);
    ensure!(behind.state().await? == IntentState::Blocked);
    bench.run_sql(&format!("begin; {sql}; commit;")).await?;
    bench.reach(behind.id(), IntentState::Cancelled).await?;
    let record = bench.intendant.get(behind.id()).await?;
    ensure!(
        record.error.as_deref() == Some("cancelled by sql: ordered twice"),
        "{record:?}"
    );
    let events = bench.intendant.events(behind.id()).await?;
    ensure!(
        events.len() == 1 && events[0].verb == "cancel",
        "{events:?}"
    );
    ensure!(events[0].actor == "sql" && events[0].reason.as_deref() == Some("ordered twice"));
    carried_out(&bench).await?;
    ledger.open.notify_one();
    holder.output().await?;
    worker.stop().await?;
    bench.check().await
}

async fn what_has_begun_is_stopped_and_taken_back(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker(&bench, &ledger);
    let handle = bench.intendant.request(Order).await?;
    begun(&bench, &ledger, 1).await?;
    bench.run_sql(&by_sql(&bench, handle.id())).await?;
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    ensure!(
        ledger.lines() == ["made first", "began hang", "undo(first): first"],
        "{:?}",
        ledger.lines()
    );
    carried_out(&bench).await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_waits_for_a_worker_while_there_is_none(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let handle = bench.intendant.request(Order).await?;
    bench.run_sql(&by_sql(&bench, handle.id())).await?;
    ensure!(handle.state().await? == IntentState::Ready);
    let why = bench.intendant.why(handle.id()).await?;
    let Reason::CancelAsked { by, because, .. } = &why.reasons[0] else {
        anyhow::bail!("{why}");
    };
    ensure!(by == "sql" && because.as_deref() == Some("ordered twice"));
    ensure!(
        why.to_string()
            .starts_with("its cancel was asked for by sql at "),
        "{why}"
    );
    bench.check().await?;
    // One that knows nothing of its kind will do.
    let other = bench.worker(ledger.clone());
    let other = other.register(|build: &Build, plan: &mut Plan<Ledger>| {
        plan.step("first", make).input(value(build.server))
    });
    let other = start(other);
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    carried_out(&bench).await?;
    ensure!(ledger.lines().is_empty());
    other.stop().await?;
    bench.check().await
}

async fn an_intent_that_is_asked_for_and_cancelled_in_one_transaction_never_runs(
    bench: Bench,
) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let sql = match bench.database.kind {
        StoreKind::Postgres => {
            "begin; select intendant.cancel(intendant.request('order', input => 'null'), 'sql'); commit;"
        }
        StoreKind::Sqlite => {
            "begin; insert into intendant_request (kind, input) values ('order', 'null'); \
             insert into intendant_ask_cancel (intent_id, actor) select id, 'sql' from intendant_intents; commit;"
        }
    };
    bench.run_sql(sql).await?;
    let intents = bench
        .intendant
        .list(intendant::IntentFilter::default())
        .await?;
    let id = intents[0].id;
    // The worker finds both; it asks what is to stop before it claims anything only by chance, so the intent may have begun.
    let worker = worker(&bench, &ledger);
    bench.reach(id, IntentState::Cancelled).await?;
    carried_out(&bench).await?;
    worker.stop().await?;
    bench.check().await
}

async fn a_cancel_that_cannot_be_kept_is_refused(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let worker = worker(&bench, &ledger);
    let finished = bench.intendant.request(Order).await?;
    begun(&bench, &ledger, 1).await?;
    ledger.open.notify_one();
    finished.output().await?;
    worker.stop().await?;
    let open = bench.intendant.request(Order).await?;
    let nobody: IntentId = "01890000-0000-7000-8000-000000000000".parse()?;
    let long = format!("'{}'", "n".repeat(201));
    let past = bench.intendant.request(Order).await?;
    past_return(&bench, past.id()).await?;
    let cases = [
        (cancel(&bench, nobody, "'sql'", "null"), "IN404"),
        (cancel(&bench, finished.id(), "'sql'", "null"), "IN409"),
        (cancel(&bench, past.id(), "'sql'", "null"), "IN409"),
        (cancel(&bench, open.id(), "null", "null"), "IN400"),
        (cancel(&bench, open.id(), "''", "null"), "IN400"),
        (cancel(&bench, open.id(), &long, "null"), "IN400"),
    ];
    for (sql, expected) in cases {
        let Err(sqlx::Error::Database(error)) = bench.run_sql(&sql).await else {
            anyhow::bail!("{sql}");
        };
        let found = match bench.database.kind {
            StoreKind::Postgres => error.code().unwrap_or_default().into_owned(),
            StoreKind::Sqlite => error.message().chars().take(5).collect(),
        };
        ensure!(found == expected, "{found}: {error}");
    }
    ensure!(bench.number("select count(*) from @cancel_request").await? == 0);
    // What is cancelled already is left as it is.
    bench.intendant.cancel(open.id(), "ada", None).await?;
    bench.run_sql(&by_sql(&bench, open.id())).await?;
    ensure!(bench.number("select count(*) from @cancel_request").await? == 0);
    Ok(())
}

/// A row which says that a step has started after which there is no way back.
async fn past_return(bench: &Bench, id: IntentId) -> Result<()> {
    let (now, yes) = match bench.database.kind {
        StoreKind::Sqlite => ("1", "1"),
        StoreKind::Postgres => ("to_timestamp(1)", "true"),
    };
    let sql = format!(
        "insert into @step (intent_id, name, generation, state, attempt, started_at, point_of_no_return) \
         values ('{id}', 'switch', 1, 'running', 1, {now}, {yes})"
    );
    Ok(bench.run_sql(&sql).await?)
}

async fn a_cancel_that_comes_too_late_is_told_of(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let handle = bench.intendant.request(Order).await?;
    bench.run_sql(&by_sql(&bench, handle.id())).await?;
    // Before a worker comes to it, it is past its point of no return.
    past_return(&bench, handle.id()).await?;
    let other = bench.worker(ledger.clone());
    let other = start(other.register(|build: &Build, plan: &mut Plan<Ledger>| {
        plan.step("first", make).input(value(build.server))
    }));
    bench
        .until(|| async {
            let left = bench.number("select count(*) from @cancel_request").await?;
            Ok((left == 0).then_some(()))
        })
        .await?;
    ensure!(handle.state().await? == IntentState::Ready);
    let events = bench.intendant.events(handle.id()).await?;
    ensure!(
        events.len() == 1 && events[0].verb == "cancel refused" && events[0].actor == "sql",
        "{events:?}"
    );
    let detail = events[0].detail.as_ref().map(|detail| detail.get());
    ensure!(
        detail.is_some_and(|detail| detail.contains("step `switch` has started")),
        "{detail:?}"
    );
    other.stop().await?;
    Ok(())
}

async fn descendants_are_cancelled_too(bench: Bench) -> Result<()> {
    #[derive(Debug, Serialize, Deserialize)]
    struct Parent;
    impl Intent for Parent {
        const KIND: &'static str = "parent";
        type Output = String;
    }
    async fn ask(cx: Cx<Ledger>, _: Parent) -> StepResult<String> {
        cx.child("order", Order).await
    }
    let ledger = Ledger::new(&bench);
    let worker = bench.worker(ledger.clone()).register(order);
    let worker = start(worker.register_step(ask));
    let handle = bench.intendant.request(Parent).await?;
    begun(&bench, &ledger, 1).await?;
    bench.run_sql(&by_sql(&bench, handle.id())).await?;
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    let children = bench.intendant.children(handle.id()).await?;
    let child = bench.intendant.get(children[0].id).await?;
    ensure!(child.state == IntentState::Cancelled, "{child:?}");
    carried_out(&bench).await?;
    worker.stop().await?;
    bench.check().await
}

async fn two_cancels_of_one_intent_are_one(bench: Bench) -> Result<()> {
    let ledger = Ledger::new(&bench);
    let handle = bench.intendant.request(Order).await?;
    let sql = by_sql(&bench, handle.id());
    bench.run_sql(&format!("{sql}; {sql}")).await?;
    ensure!(bench.number("select count(*) from @cancel_request").await? == 2);
    // By workers of two processes at the same time.
    let elsewhere = Intendant::connect(&bench.database.url).await?;
    let second = intendant::Worker::new(&elsewhere, ledger.clone());
    let second = start(second.register(order));
    let first = worker(&bench, &ledger);
    bench.reach(handle.id(), IntentState::Cancelled).await?;
    carried_out(&bench).await?;
    let events = bench.intendant.events(handle.id()).await?;
    let cancels = events.iter().filter(|event| event.verb == "cancel").count();
    ensure!(cancels == 1, "{events:?}");
    ensure!(
        events.iter().all(|event| event.verb != "cancel refused"),
        "{events:?}"
    );
    first.stop().await?;
    second.stop().await?;
    bench.check().await
}

/// Steps end while they are asked to stop, by the hundred: each intent has one end, and whoever asked knows of it.
async fn a_cancel_beside_a_finish_is_carried_out_or_told_of(bench: Bench) -> Result<()> {
    #[derive(Debug, Serialize, Deserialize)]
    struct Short(u32);
    impl Intent for Short {
        const KIND: &'static str = "short";
        type Output = u32;
    }
    async fn run(_: Cx<()>, short: Short) -> StepResult<u32> {
        tokio::task::yield_now().await;
        Ok(short.0)
    }
    let worker = start(bench.worker(()).register_step(run));
    let mut asked = Vec::new();
    for nth in 0..60 {
        let id = bench.intendant.request(Short(nth)).await?.id();
        let refused = match bench.run_sql(&by_sql(&bench, id)).await {
            Ok(()) => false,
            Err(sqlx::Error::Database(error))
                if error.to_string().contains("succeeded")
                    || error.message().starts_with("IN409") =>
            {
                true
            }
            Err(error) => return Err(error.into()),
        };
        asked.push((id, refused));
    }
    for (id, refused) in asked {
        let record = bench.rest(id).await?;
        bench
            .until(|| async {
                let left = bench.number("select count(*) from @cancel_request").await?;
                Ok((left == 0).then_some(()))
            })
            .await?;
        let events = bench.intendant.events(id).await?;
        let verbs: Vec<&str> = events.iter().map(|event| event.verb.as_str()).collect();
        let expected: &[&str] = match (record.state, refused) {
            (IntentState::Cancelled, false) => &["cancel"],
            (IntentState::Succeeded, false) => &["cancel refused"],
            (IntentState::Succeeded, true) => &[],
            other => anyhow::bail!("{other:?}"),
        };
        ensure!(verbs == expected, "{:?}: {verbs:?}", record.state);
    }
    worker.stop().await?;
    bench.check().await
}

/// The grants of docs/SQL.md. Roles are part of the transaction, so nothing is left of this one.
#[tokio::test]
async fn a_role_that_may_cancel_and_nothing_else_can_cancel() -> Result<()> {
    let bench = Bench::open(StoreKind::Postgres).await?;
    let handle = bench.intendant.request(Order).await?;
    let docs = include_str!("../../../docs/SQL.md");
    let (_, grants) = docs
        .split_once("create role canceller;")
        .expect("the role's grants");
    let (grants, _) = grants.split_once("```").expect("their end");
    // Roles belong to the server, which other tests share.
    let role = format!("canceller_{}", handle.id().0.simple());
    let grants = grants.replace("canceller", &role);
    let as_canceller = |sql: &str| {
        format!("begin; create role {role}; {grants} set local role {role}; {sql}; rollback;")
    };
    let sql = by_sql(&bench, handle.id());
    bench.run_sql(&as_canceller(&sql)).await?;
    let other = "delete from intendant.intent";
    ensure!(bench.run_sql(&as_canceller(other)).await.is_err());
    Ok(())
}
