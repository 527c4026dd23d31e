//! Conflict rules between kinds: reject, join, share. Supersede is in `superseding.rs`.

use std::sync::Arc;

use anyhow::{Result, ensure};
use intendant::{Conflicts, Cx, Error, Intent, IntentState, Relation, Resources, Rule, StepResult};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::{Bench, on_both, start};

on_both! {
    a_rejected_request_names_the_other_intent_and_leaves_nothing_behind;
    who_is_rejected_at_the_claim_ends_as_cancelled_with_a_link_and_an_event;
    a_duplicate_request_is_the_same_intent;
    a_key_of_a_request_that_joins_is_the_others_key;
    who_joins_at_the_claim_has_the_others_output;
    another_input_does_not_join;
    what_is_to_stop_is_not_joined;
    nobody_waits_for_a_transaction_in_which_a_request_has_joined;
    a_refused_request_in_a_transaction_leaves_its_key_free;
    a_request_for_later_is_not_judged_by_what_is_there_now;
    who_has_started_is_not_joined_unless_that_is_said;
    kinds_that_share_go_side_by_side_and_others_wait_for_both;
    a_rule_about_one_that_has_started_does_not_hold_for_one_that_waits;
    the_rules_of_a_kind_are_kept_for_people;
    a_rejected_child_is_its_parents_to_handle;
    rules_that_cannot_be_are_refused;
    a_dry_run_says_what_the_rules_would_do;
}

/// Takes a server by itself until it is let go. A number of the input makes one differ from another.
macro_rules! server_kind {
    ($name:ident, $kind:literal, $conflicts:expr) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name {
            server: u32,
            number: u32,
        }

        impl Intent for $name {
            const KIND: &'static str = $kind;
            type Output = u32;
            fn account(&self) -> Option<&str> {
                Some("acme")
            }
            fn resources(&self) -> Resources {
                Resources::exclusive("server", self.server)
            }
            fn conflicts() -> Conflicts {
                $conflicts
            }
        }
    };
}

server_kind!(Boot, "boot", Conflicts::default());
server_kind!(
    Resize,
    "resize",
    Conflicts::otherwise(Rule::Reject).with("resize", Rule::Wait)
);
server_kind!(
    Reconcile,
    "reconcile",
    Conflicts::default().with("reconcile", Rule::Join)
);
server_kind!(
    Refresh,
    "refresh",
    Conflicts::default()
        .with("refresh", Rule::Join)
        .once_started("refresh", Rule::Join)
);
server_kind!(
    Backup,
    "backup",
    Conflicts::default().with("boot", Rule::Share)
);
server_kind!(
    Rename,
    "rename",
    Conflicts::default().once_started("boot", Rule::Reject)
);

/// Steps wait for a permit, so that tests say when one ends.
type Gate = Arc<Semaphore>;

async fn hold<T: Held>(cx: Cx<Gate>, intent: T) -> StepResult<u32> {
    cx.state().acquire().await?.forget();
    Ok(intent.number())
}

trait Held: Intent<Output = u32> {
    fn number(&self) -> u32;
}

macro_rules! held {
    ($($name:ident)*) => { $(impl Held for $name { fn number(&self) -> u32 { self.number } })* };
}
held!(Boot Resize Reconcile Refresh Backup Rename);

fn worker(bench: &Bench, gate: &Gate) -> intendant::Worker<Gate> {
    bench
        .worker(gate.clone())
        .register_step(hold::<Boot>)
        .register_step(hold::<Resize>)
        .register_step(hold::<Reconcile>)
        .register_step(hold::<Refresh>)
        .register_step(hold::<Backup>)
        .register_step(hold::<Rename>)
}

fn boot(server: u32) -> Boot {
    Boot { server, number: 1 }
}

fn resize(server: u32) -> Resize {
    Resize { server, number: 2 }
}

fn reconcile(number: u32) -> Reconcile {
    Reconcile { server: 1, number }
}

async fn a_rejected_request_names_the_other_intent_and_leaves_nothing_behind(
    bench: Bench,
) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let first = bench.intendant.request(boot(1)).await?;
    bench.reach(first.id(), IntentState::Running).await?;

    let refused = bench.intendant.request(resize(1)).key("order 7").await;
    let error = refused.expect_err("the server is in use");
    ensure!(error.is_conflict(), "{error:?}");
    let expected = format!(
        "`resize` is refused: server:1 is in use by intent {} (`boot`)",
        first.id()
    );
    ensure!(error.to_string() == expected, "{error}");
    ensure!(bench.number("select count(*) from @intent").await? == 1);
    ensure!(bench.number("select count(*) from @key").await? == 0);

    // Another server is not concerned; and the key is free.
    let other = bench.intendant.request(resize(2)).key("order 7").await?;
    gate.add_permits(2);
    ensure!(other.output().await? == 2);
    first.output().await?;
    let again = bench.intendant.request(resize(1)).await?;
    gate.add_permits(1);
    again.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn who_is_rejected_at_the_claim_ends_as_cancelled_with_a_link_and_an_event(
    bench: Bench,
) -> Result<()> {
    // Asked for in one commit: neither can see the other before it is claimed.
    let gate = Gate::new(Semaphore::new(2));
    let sql = |server: u32| format!("{{\"server\":{server},\"number\":2}}");
    let first = bench.intendant.request(boot(1)).await?;
    let statement = match bench.database.kind {
        intendant::StoreKind::Postgres => format!(
            "select @request('resize', 'acme', '{{exclusive:server:1}}', '{}')",
            sql(1)
        ),
        intendant::StoreKind::Sqlite => format!(
            "insert into @request (kind, account, resources, input) values ('resize', 'acme', \
             '[\"exclusive:server:1\"]', '{}')",
            sql(1)
        ),
    };
    bench.run_sql(&statement).await?;
    let filter = intendant::IntentFilter {
        kind: Some("resize".to_owned()),
        ..Default::default()
    };
    let second = bench.intendant.list(filter).await?[0].id;
    let running = start(worker(&bench, &gate));
    let record = bench.rest(second).await?;
    ensure!(record.state == IntentState::Cancelled);
    ensure!(record.started_at.is_none() && record.finished_at.is_some());
    let why = format!("rejected: server:1 is in use by intent {}", first.id());
    ensure!(record.error == Some(why), "{:?}", record.error);
    let links = bench.intendant.links(second).await?;
    ensure!(links.len() == 1 && links[0].relation == Relation::RejectedBy);
    ensure!(links[0].other == first.id() && links[0].resource == "server:1");
    ensure!(bench.intendant.links(first.id()).await? == links);
    let events = bench.intendant.events(second).await?;
    ensure!(events.len() == 1 && events[0].actor == "rule" && events[0].verb == "reject");
    let output = bench.intendant.handle::<Resize>(second).output().await;
    ensure!(matches!(output, Err(Error::Rejected { by, .. }) if by == first.id()));
    first.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn a_duplicate_request_is_the_same_intent(bench: Bench) -> Result<()> {
    let first = bench.intendant.request(reconcile(1)).await?;
    let second = bench.intendant.request(reconcile(1)).await?;
    ensure!(first.id() == second.id());
    let other = bench
        .intendant
        .request(Reconcile {
            server: 2,
            number: 1,
        })
        .await?;
    ensure!(other.id() != first.id());
    ensure!(bench.number("select count(*) from @intent").await? == 2);
    let gate = Gate::new(Semaphore::new(2));
    let running = start(worker(&bench, &gate));
    ensure!(second.output().await? == 1);
    other.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn a_key_of_a_request_that_joins_is_the_others_key(bench: Bench) -> Result<()> {
    let first = bench.intendant.request(reconcile(1)).await?;
    let second = bench.intendant.request(reconcile(1)).key("click").await?;
    ensure!(first.id() == second.id());
    let gate = Gate::new(Semaphore::new(2));
    let running = start(worker(&bench, &gate));
    first.output().await?;
    // It has finished, so a new request would be a new intent; this one is the old one, by its key.
    let third = bench.intendant.request(reconcile(1)).key("click").await?;
    ensure!(third.id() == first.id());
    let fourth = bench
        .intendant
        .request(reconcile(1))
        .key("another click")
        .await?;
    ensure!(fourth.id() != first.id());
    fourth.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn who_joins_at_the_claim_has_the_others_output(bench: Bench) -> Result<()> {
    // In one batch, so that neither is there when the other is asked for; a third holds the server meanwhile.
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let first = bench.intendant.request(boot(1)).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let ids = bench
        .intendant
        .request_all([reconcile(1), reconcile(1), reconcile(2)])
        .await?;
    let record = bench.rest(ids[1]).await?;
    ensure!(record.state == IntentState::Cancelled);
    let links = bench.intendant.links(ids[1]).await?;
    ensure!(links.len() == 1 && links[0].relation == Relation::Joined && links[0].other == ids[0]);
    gate.add_permits(3);
    let output = bench.intendant.handle::<Reconcile>(ids[1]).output().await?;
    ensure!(output == 1);
    ensure!(bench.rest(ids[0]).await?.state == IntentState::Succeeded);
    ensure!(bench.rest(ids[2]).await?.state == IntentState::Succeeded);
    running.stop().await?;
    bench.check().await
}

async fn what_is_to_stop_is_not_joined(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let deaf = worker(&bench, &gate).cancel_grace(std::time::Duration::from_secs(20));
    let running = start(deaf);
    let refresh = Refresh {
        server: 1,
        number: 3,
    };
    let first = bench.intendant.request(refresh.clone()).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let again = bench.intendant.request(refresh.clone()).await?;
    ensure!(again.id() == first.id());
    bench.intendant.cancel(first.id(), "ada", None).await?;
    let second = bench.intendant.request(refresh).await?;
    ensure!(second.id() != first.id(), "it would be cancelled with it");
    gate.add_permits(2);
    ensure!(second.output().await? == 3);
    ensure!(first.state().await? == IntentState::Cancelled);
    running.stop().await?;
    bench.check().await
}

async fn nobody_waits_for_a_transaction_in_which_a_request_has_joined(bench: Bench) -> Result<()> {
    if bench.database.kind == intendant::StoreKind::Sqlite {
        // A transaction that writes is the only one there.
        return Ok(());
    }
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let refresh = Refresh {
        server: 1,
        number: 3,
    };
    let first = bench.intendant.request(refresh.clone()).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let pool = sqlx::PgPool::connect(&bench.database.url).await?;
    let mut tx = pool.begin().await?;
    let joined = bench.intendant.request(refresh).within(&mut tx).await?;
    ensure!(joined.id() == first.id());
    // It stays open for as long as its owner likes.
    let cancel = bench.intendant.cancel(first.id(), "ada", None);
    let cancelled = tokio::time::timeout(std::time::Duration::from_secs(5), cancel).await;
    ensure!(
        cancelled.is_ok(),
        "the cancel waits for the open transaction"
    );
    tx.commit().await?;
    pool.close().await;
    gate.add_permits(1);
    running.stop().await?;
    bench.check().await
}

async fn a_refused_request_in_a_transaction_leaves_its_key_free(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let first = bench.intendant.request(boot(1)).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let refused = match bench.database.kind {
        intendant::StoreKind::Postgres => {
            let pool = sqlx::PgPool::connect(&bench.database.url).await?;
            let mut tx = pool.begin().await?;
            let request = bench.intendant.request(resize(1)).key("order 7");
            let refused = request.within(&mut tx).await.map(drop);
            tx.commit().await?;
            pool.close().await;
            refused
        }
        intendant::StoreKind::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&bench.database.url).await?;
            let mut tx = pool.begin_with("begin immediate").await?;
            let request = bench.intendant.request(resize(1)).key("order 7");
            let refused = request.within(&mut tx).await.map(drop);
            tx.commit().await?;
            pool.close().await;
            refused
        }
    };
    ensure!(
        matches!(refused, Err(Error::Rejected { .. })),
        "{refused:?}"
    );
    ensure!(bench.number("select count(*) from @key").await? == 0);
    gate.add_permits(2);
    first.output().await?;
    let again = bench.intendant.request(resize(1)).key("order 7").await?;
    ensure!(again.output().await? == 2);
    running.stop().await?;
    bench.check().await
}

async fn a_request_for_later_is_not_judged_by_what_is_there_now(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let first = bench.intendant.request(boot(1)).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let later = bench.intendant.request(resize(1));
    let later = later.start_in(std::time::Duration::from_secs(3600)).await?;
    ensure!(later.state().await? == IntentState::Waiting);
    bench.intendant.cancel(later.id(), "ada", None).await?;
    gate.add_permits(1);
    first.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn another_input_does_not_join(bench: Bench) -> Result<()> {
    let first = bench.intendant.request(reconcile(1)).await?;
    let second = bench.intendant.request(reconcile(2)).await?;
    ensure!(first.id() != second.id());
    let gate = Gate::new(Semaphore::new(2));
    let running = start(worker(&bench, &gate));
    ensure!(first.output().await? == 1 && second.output().await? == 2);
    running.stop().await?;
    bench.check().await
}

async fn who_has_started_is_not_joined_unless_that_is_said(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let first = bench.intendant.request(reconcile(1)).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let second = bench.intendant.request(reconcile(1)).await?;
    ensure!(first.id() != second.id());

    let refresh = || Refresh {
        server: 2,
        number: 4,
    };
    let third = bench.intendant.request(refresh()).await?;
    bench.reach(third.id(), IntentState::Running).await?;
    let fourth = bench.intendant.request(refresh()).await?;
    ensure!(third.id() == fourth.id());
    gate.add_permits(3);
    for handle in [&first, &second] {
        handle.output().await?;
    }
    fourth.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn kinds_that_share_go_side_by_side_and_others_wait_for_both(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let first = bench.intendant.request(boot(1)).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let beside = bench
        .intendant
        .request(Backup {
            server: 1,
            number: 5,
        })
        .await?;
    bench.reach(beside.id(), IntentState::Running).await?;
    // `boot` does not share with `backup`, nor `backup` with its like.
    let second = bench.intendant.request(boot(1)).await?;
    let another = bench
        .intendant
        .request(Backup {
            server: 1,
            number: 6,
        })
        .await?;
    bench.reach(second.id(), IntentState::Blocked).await?;
    bench.reach(another.id(), IntentState::Blocked).await?;
    bench.check().await?;
    gate.add_permits(4);
    first.output().await?;
    beside.output().await?;
    second.output().await?;
    another.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn a_rule_about_one_that_has_started_does_not_hold_for_one_that_waits(
    bench: Bench,
) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate));
    let rename = || Rename {
        server: 1,
        number: 7,
    };
    let backup = bench
        .intendant
        .request(Backup {
            server: 1,
            number: 5,
        })
        .await?;
    bench.reach(backup.id(), IntentState::Running).await?;
    let waiting = bench.intendant.request(boot(1)).await?;
    bench.reach(waiting.id(), IntentState::Blocked).await?;
    let first = bench.intendant.request(rename()).await?;
    bench.reach(first.id(), IntentState::Blocked).await?;
    gate.add_permits(1);
    backup.output().await?;
    bench.reach(waiting.id(), IntentState::Running).await?;
    // Who waits already keeps its place; who comes now finds the other one started.
    ensure!(bench.intendant.state(first.id()).await? == IntentState::Blocked);
    let refused = bench.intendant.request(rename()).await;
    ensure!(matches!(refused, Err(Error::Rejected { by, .. }) if by == waiting.id()));
    gate.add_permits(2);
    waiting.output().await?;
    first.output().await?;
    running.stop().await?;
    bench.check().await
}

async fn the_rules_of_a_kind_are_kept_for_people(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let worker = worker(&bench, &gate);
    let table = worker.conflict_table();
    ensure!(
        table.contains("rename\nother      not started  started\nboot       wait         reject\n"),
        "{table}"
    );
    let running = start(worker);
    bench
        .until(|| async {
            let kinds = bench
                .number("select count(*) from @kinds where conflicts is not null")
                .await?;
            Ok((kinds == 5).then_some(()))
        })
        .await?;
    running.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Careful;

impl Intent for Careful {
    const KIND: &'static str = "careful";
    type Output = String;
}

async fn resize_if_free(cx: Cx<Gate>, _: Careful) -> StepResult<String> {
    match cx.child("resize", resize(1)).await {
        Ok(cores) => Ok(format!("{cores} cores")),
        Err(error) => match error.child_failure() {
            Some(failed) => Ok(failed.to_string()),
            None => Err(error),
        },
    }
}

async fn a_rejected_child_is_its_parents_to_handle(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let running = start(worker(&bench, &gate).register_step(resize_if_free));
    let first = bench.intendant.request(boot(1)).await?;
    bench.reach(first.id(), IntentState::Running).await?;
    let careful = bench.intendant.request(Careful).await?;
    let said = careful.output().await?;
    let child = bench.intendant.children(careful.id()).await?[0].id;
    let expected = format!(
        "intent {child} was rejected: server:1 is in use by intent {}",
        first.id()
    );
    ensure!(said == expected, "{said}");
    gate.add_permits(1);
    first.output().await?;
    running.stop().await?;
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Confused;

impl Intent for Confused {
    const KIND: &'static str = "confused";
    type Output = u32;
    fn conflicts() -> Conflicts {
        Conflicts::default().with("boot", Rule::Join)
    }
}

async fn rules_that_cannot_be_are_refused(bench: Bench) -> Result<()> {
    let expected = "the conflict rules of `confused`: it cannot join `boot`; only intents of one kind can be the same";
    let refused = bench.intendant.request(Confused).await.map(|_| ());
    ensure!(
        matches!(&refused, Err(error) if error.to_string() == expected),
        "{refused:?}"
    );
    let step = async |_: Cx<()>, _: Confused| Ok(1);
    let worker = bench.worker(()).register_step(step);
    let refused = worker.run(std::future::pending()).await.map(|_| ());
    ensure!(
        matches!(&refused, Err(error) if error.to_string() == expected),
        "{refused:?}"
    );
    Ok(())
}

async fn a_dry_run_says_what_the_rules_would_do(bench: Bench) -> Result<()> {
    let gate = Gate::new(Semaphore::new(0));
    let planner = worker(&bench, &gate);
    let first = bench.intendant.request(boot(1)).await?;
    let same = bench.intendant.request(reconcile(3)).await?;
    let dry_run = planner.plan(&resize(1)).await?;
    let ruled = dry_run
        .ruled
        .clone()
        .expect("a rule that has to do with it");
    ensure!(ruled.rule == Rule::Reject && ruled.others[0].kind == "boot");
    ensure!(ruled.others[0].intent == first.id());
    let said = format!(
        "by its rules\n  it would be rejected: intent {} (`boot`) on server:1\n",
        first.id()
    );
    ensure!(dry_run.to_string().contains(&said), "{dry_run}");
    let dry_run = planner.plan(&reconcile(3)).await?;
    let ruled = dry_run.ruled.expect("a rule that has to do with it");
    ensure!(ruled.rule == Rule::Join && ruled.others[0].intent == same.id());
    ensure!(planner.plan(&reconcile(4)).await?.ruled.is_none());
    ensure!(bench.number("select count(*) from @intent").await? == 2);
    Ok(())
}
