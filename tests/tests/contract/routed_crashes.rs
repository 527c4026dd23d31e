//! Routed steps when somebody dies: the driver, whoever runs the step, or both; and when code or results are not what they
//! were.

use anyhow::{Result, ensure};
use intendant::{Committed, Cx, IntentState, Node, Plan, StepResult, StoreKind, fail, value};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::elsewhere::{MakePlan, Server, count, home, network};
use crate::support::{Bench, Counter, Gate, on_both};

on_both! {
    a_new_driver_does_not_send_a_step_again_that_is_under_way;
    a_step_whose_worker_dies_is_taken_over_by_another_of_the_queue;
    a_step_that_kills_its_workers_is_quarantined_and_named;
    a_driver_that_kills_its_workers_is_quarantined_only_when_its_routed_steps_have_ended;
    an_intent_that_a_new_driver_finds_failed_waits_for_the_elements_of_its_map;
    a_worker_that_stops_hands_its_routed_step_back_without_an_attempt;
    a_worker_whose_code_has_no_such_step_leaves_it_to_others;
    a_routed_steps_own_transaction_happens_once;
    a_result_that_was_recorded_before_the_worker_died_is_not_run_for_again;
    a_result_that_the_database_refuses_fails_the_intent_with_it;
}

/// What the steps have done, and what they wait for.
#[derive(Debug, Clone, Default)]
struct Place {
    here: Counter,
    there: Counter,
    home_gate: Gate,
    network_gate: Gate,
}

async fn stay(cx: Cx<Place>, number: u64) -> StepResult<u64> {
    cx.state().here.add();
    cx.state().home_gate.pass().await;
    Ok(number)
}

async fn attach(cx: Cx<Place>, server: u64) -> StepResult<u64> {
    cx.state().there.add();
    tokio::select! {
        () = cx.state().network_gate.pass() => Ok(server + 100),
        () = cx.stopping() => {
            cx.exit_point().await?;
            Ok(0)
        }
    }
}

async fn sum(_: Cx<Place>, parts: (u64, u64)) -> StepResult<u64> {
    Ok(parts.0 + parts.1)
}

/// Only the step in the other queue: its driver is parked meanwhile.
fn away(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    plan.step("address", attach)
        .queue("network")
        .input(value(server.0))
}

/// Beside it something runs at home.
fn both(server: &Server, plan: &mut Plan<Place>) -> Node<u64> {
    let address = plan
        .step("address", attach)
        .queue("network")
        .input(value(server.0));
    let stays = plan.step("stay", stay).input(value(1_000u64));
    plan.step("sum", sum).input((address, stays))
}

async fn a_new_driver_does_not_send_a_step_again_that_is_under_way(bench: Bench) -> Result<()> {
    let place = Place::default();
    let network = network(&bench, &place, both);
    let handle = bench.intendant.request(Server(7)).await?;
    // One dies while the step runs; the next is there when it ends, and while nothing of it runs any more.
    let first = home(&bench, &place, both);
    count(&bench, &place.there, 1).await?;
    count(&bench, &place.here, 1).await?;
    first.kill().await;
    let second = home(&bench, &place, both);
    count(&bench, &place.here, 2).await?;
    place.network_gate.open();
    bench
        .until(|| async {
            let away = bench.number("select count(*) from @routed").await?;
            Ok((away == 0).then_some(()))
        })
        .await?;
    place.home_gate.open();
    ensure!(handle.output().await? == 1_107);
    ensure!(place.there.get() == 1, "{} runs", place.there.get());
    second.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn a_step_whose_worker_dies_is_taken_over_by_another_of_the_queue(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, away);
    let handle = bench.intendant.request(Server(7)).await?;
    let first = network(&bench, &place, away);
    count(&bench, &place.there, 1).await?;
    ensure!(bench.intendant.state(handle.id()).await? == IntentState::Waiting);
    first.kill().await;
    let second = network(&bench, &place, away);
    count(&bench, &place.there, 2).await?;
    bench.check().await?;
    place.network_gate.open();
    ensure!(handle.output().await? == 107 && place.there.get() == 2);
    let events = bench.intendant.events(handle.id()).await?;
    ensure!(
        events.len() == 1 && events[0].verb == "take over",
        "{events:?}"
    );
    home.stop().await?;
    second.stop().await?;
    bench.check().await
}

async fn a_step_that_kills_its_workers_is_quarantined_and_named(bench: Bench) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, away);
    let handle = bench.intendant.request(Server(7)).await?;
    for crash in 1..=3 {
        let victim = network(&bench, &place, away);
        count(&bench, &place.there, crash).await?;
        victim.kill().await;
    }
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("quarantined")
            && record.failed_step.as_deref() == Some("address"),
        "{record:?}"
    );
    let error = record.error.unwrap_or_default();
    let expected = "its worker died 3 times while it ran, the last time `network` in step `address`; mend it, then resume";
    ensure!(error == expected, "{error}");
    bench.check().await?;
    // Mended: it is sent off anew.
    place.network_gate.open();
    let network = network(&bench, &place, away);
    bench.intendant.resume(handle.id(), "tests", None).await?;
    ensure!(handle.output().await? == 107 && place.there.get() == 4);
    home.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn a_driver_that_kills_its_workers_is_quarantined_only_when_its_routed_steps_have_ended(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let network = network(&bench, &place, both);
    let handle = bench.intendant.request(Server(7)).await?;
    for crash in 1..=3 {
        let victim = home(&bench, &place, both);
        count(&bench, &place.here, crash).await?;
        count(&bench, &place.there, 1).await?;
        victim.kill().await;
    }
    // The third crash would quarantine it; while its step is under way it is only a suspect again.
    bench
        .until(|| async {
            let suspects = "select count(*) from @ready where crashes = 3";
            Ok((bench.number(suspects).await? == 1).then_some(()))
        })
        .await?;
    place.network_gate.open();
    bench
        .until(|| async {
            let away = bench.number("select count(*) from @routed").await?;
            Ok((away == 0).then_some(()))
        })
        .await?;
    let victim = home(&bench, &place, both);
    count(&bench, &place.here, 4).await?;
    victim.kill().await;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("quarantined")
            && record.failed_step.as_deref() == Some("stay"),
        "{record:?}"
    );
    ensure!(place.there.get() == 1);
    network.stop().await?;
    bench.check().await
}

async fn an_intent_that_a_new_driver_finds_failed_waits_for_the_elements_of_its_map(
    bench: Bench,
) -> Result<()> {
    async fn list(_: Cx<Place>, count: u64) -> StepResult<Vec<u64>> {
        Ok((0..count).collect())
    }
    async fn give_up(cx: Cx<Place>, number: u64) -> StepResult<u64> {
        cx.state().home_gate.pass().await;
        Err(fail(format!("no server {number}")))
    }
    async fn total(_: Cx<Place>, parts: (u64, Vec<u64>)) -> StepResult<u64> {
        Ok(parts.0 + parts.1.len() as u64)
    }
    let plan: MakePlan<Place> = |server, plan| {
        let fails = plan.step("fails", give_up).input(value(server.0));
        let list = plan.step("list", list).input(value(2u64));
        let all = plan.map("address", attach).queue("network").input(list);
        plan.step("total", total).input((fails, all))
    };
    let place = Place::default();
    let first = home(&bench, &place, plan);
    let network = network(&bench, &place, plan);
    let handle = bench.intendant.request(Server(7)).await?;
    count(&bench, &place.there, 2).await?;
    place.home_gate.open();
    // It has failed, and its driver has let go of it until the elements have ended.
    bench
        .until(|| async {
            let parked = bench.number("select count(*) from @parked").await?;
            Ok((parked == 1).then_some(()))
        })
        .await?;
    // A new driver, for whatever reason, makes no outcome either: it does not make the elements, and finds them by their rows.
    let now = "update @parked set due_at = (select min(started_at) from @session)";
    bench.run_sql(now).await?;
    bench
        .until(|| async {
            let again = "select count(*) from @parked where due_at > (select min(started_at) from @session)";
            Ok((bench.number(again).await? == 1).then_some(()))
        })
        .await?;
    bench.check().await?;
    place.network_gate.open();
    let record = bench.rest(handle.id()).await?;
    ensure!(record.state == IntentState::Failed, "{record:?}");
    first.stop().await?;
    network.stop().await?;
    bench.check().await
}

async fn a_worker_that_stops_hands_its_routed_step_back_without_an_attempt(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, away);
    let handle = bench.intendant.request(Server(7)).await?;
    let first = network(&bench, &place, away);
    count(&bench, &place.there, 1).await?;
    let report = first.stop().await?;
    ensure!(report.handed_back == 1, "{report:?}");
    bench.check().await?;
    place.network_gate.open();
    let second = network(&bench, &place, away);
    ensure!(handle.output().await? == 107);
    let steps = bench.intendant.steps(handle.id()).await?;
    ensure!(steps[0].attempt == 1 && bench.intendant.attempts(handle.id()).await?.is_empty());
    ensure!(bench.intendant.events(handle.id()).await?.is_empty());
    home.stop().await?;
    second.stop().await?;
    bench.check().await
}

async fn a_worker_whose_code_has_no_such_step_leaves_it_to_others(bench: Bench) -> Result<()> {
    let older: MakePlan<Place> = |server, plan| plan.step("before", attach).input(value(server.0));
    let place = Place::default();
    let home = home(&bench, &place, away);
    let handle = bench.intendant.request(Server(7)).await?;
    let old = network(&bench, &place, older);
    bench
        .until(|| async {
            let parked = "select count(*) from @parked where reason = 'handler'";
            Ok((bench.number(parked).await? == 1).then_some(()))
        })
        .await?;
    let why = bench.intendant.why(handle.id()).await?.to_string();
    ensure!(why.ends_with(": no live worker knows its steps"), "{why}");
    bench.check().await?;
    old.stop().await?;
    // It would be offered again in some seconds.
    let sooner = match bench.database.kind {
        StoreKind::Sqlite => "due_at - 60000000",
        StoreKind::Postgres => "due_at - interval '1 minute'",
    };
    bench
        .run_sql(&format!(
            "update @parked set due_at = {sooner} where reason = 'handler'"
        ))
        .await?;
    place.network_gate.open();
    let new = network(&bench, &place, away);
    ensure!(handle.output().await? == 107 && place.there.get() == 1);
    home.stop().await?;
    new.stop().await?;
    bench.check().await
}

async fn a_routed_steps_own_transaction_happens_once(bench: Bench) -> Result<()> {
    const INSERT: &str = "insert into note (text) values ('x')";
    async fn on_sqlite(cx: Cx<Place>, server: u64) -> StepResult<Committed<u64>> {
        cx.state().there.add();
        cx.transaction(async |db: &mut SqliteConnection| {
            sqlx::query(INSERT).execute(&mut *db).await?;
            Ok(server)
        })
        .await
    }
    async fn on_postgres(cx: Cx<Place>, server: u64) -> StepResult<Committed<u64>> {
        cx.state().there.add();
        cx.transaction(async |db: &mut PgConnection| {
            sqlx::query(INSERT).execute(&mut *db).await?;
            Ok(server)
        })
        .await
    }
    bench.run_sql("create table note (text text)").await?;
    let plan: MakePlan<Place> = match bench.database.kind {
        StoreKind::Sqlite => |server, plan| {
            plan.step("note", on_sqlite)
                .queue("network")
                .input(value(server.0))
        },
        StoreKind::Postgres => |server, plan| {
            plan.step("note", on_postgres)
                .queue("network")
                .input(value(server.0))
        },
    };
    let place = Place::default();
    let workers = [home(&bench, &place, plan), network(&bench, &place, plan)];
    let mut handles = Vec::new();
    for number in 0..20 {
        handles.push(bench.intendant.request(Server(number)).await?);
    }
    for (handle, number) in handles.into_iter().zip(0..) {
        ensure!(handle.output().await? == number);
    }
    ensure!(bench.number("select count(*) from note").await? == 20);
    ensure!(place.there.get() == 20);
    for worker in workers {
        worker.stop().await?;
    }
    bench.check().await
}

async fn a_result_that_was_recorded_before_the_worker_died_is_not_run_for_again(
    bench: Bench,
) -> Result<()> {
    let place = Place::default();
    let home = home(&bench, &place, both);
    let handle = bench.intendant.request(Server(7)).await?;
    let first = network(&bench, &place, both);
    count(&bench, &place.there, 1).await?;
    count(&bench, &place.here, 1).await?;
    // What a transaction of the step does, whose worker dies before it can say that the step has ended.
    let now = match bench.database.kind {
        StoreKind::Sqlite => "1",
        StoreKind::Postgres => "to_timestamp(1)",
    };
    let record = format!(
        "update @step set state = 'succeeded', output = '500', started_at = {now}, finished_at = {now} \
         where name = 'address'"
    );
    bench.run_sql(&record).await?;
    // Its driver does not take that for the end: the task is still there.
    place.home_gate.open();
    bench.reach(handle.id(), IntentState::Waiting).await?;
    bench.check().await?;
    first.kill().await;
    let second = network(&bench, &place, both);
    ensure!(handle.output().await? == 1_500 && place.there.get() == 1);
    home.stop().await?;
    second.stop().await?;
    bench.check().await
}

/// Makes the database refuse what `attach` comes to.
async fn refuse_outputs(bench: &Bench) -> Result<()> {
    let sql = match bench.database.kind {
        StoreKind::Sqlite => {
            "create trigger no_107 before insert on @step when new.output = '107' \
             begin select raise(abort, 'no 107'); end"
        }
        StoreKind::Postgres => {
            "alter table @step add constraint no_107 check (coalesce(output::text, '') <> '107')"
        }
    };
    Ok(bench.run_sql(sql).await?)
}

async fn a_result_that_the_database_refuses_fails_the_intent_with_it(bench: Bench) -> Result<()> {
    let place = Place::default();
    place.network_gate.open();
    refuse_outputs(&bench).await?;
    let workers = [home(&bench, &place, away), network(&bench, &place, away)];
    let handle = bench.intendant.request(Server(7)).await?;
    let record = bench.rest(handle.id()).await?;
    ensure!(
        record.reason.as_deref() == Some("data refused")
            && record.failed_step.as_deref() == Some("address"),
        "{record:?}"
    );
    bench.check().await?;
    for worker in workers {
        worker.stop().await?;
    }
    Ok(())
}
