//! Retention of what does not fit in one transaction: it goes in pieces, is looked through before anything of it goes, and once
//! something has gone, all of it does.

use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{Error, IntentId, IntentState, Removed, Retention, StoreKind};
use tokio::task::JoinHandle;

use crate::retention::{DAY, Job, Parent, month};
use crate::support::{Bench, Gate, on_both, start};

on_both! {
    a_tree_too_large_for_one_transaction_goes_all_the_same;
    a_large_tree_of_which_something_holds_stays_as_it_was;
    what_was_begun_with_is_ended_whatever_is_said_by_then;
    what_is_run_again_while_its_tree_is_looked_through_runs;
    who_looks_through_a_tree_that_somebody_runs_again_begins_anew;
    what_is_said_while_a_tree_is_looked_through_counts;
    a_rule_that_is_taken_back_and_said_again_finds_a_large_tree;
    an_intent_of_many_rows_goes_in_pieces;
}

/// As many descendants as do not fit in one transaction, on two levels, beside what the engine has made.
async fn large(bench: &Bench, descendants: usize) -> Result<IntentId> {
    let root = bench.intendant.request(Parent("p".into())).await?.id();
    bench.carry_out(&[root]).await?;
    let (copies, id) = match bench.database.kind {
        StoreKind::Sqlite => (
            "with recursive n (n) as (select 1 union all select n + 1 from n where n < COUNT)",
            "printf('99999999-9999-7999-8999-%012d', n.n)",
        ),
        StoreKind::Postgres => (
            "with n (n) as (select generate_series(1, COUNT))",
            "('99999999-9999-7999-8999-' || lpad(n.n::text, 12, '0'))::uuid",
        ),
    };
    let copies = copies.replace("COUNT", &descendants.to_string());
    // Every tenth is the child of the one before it.
    let parent = id.replace("n.n", "(n.n - 1)");
    let sql = format!(
        "{copies} insert into @intent (id, kind, queue, input, position, requested_at, parent_id, parent_step, root_id, depth)
         select {id}, 'job', 'default', '\"x\"', 1, i.requested_at, case when n.n % 10 = 0 then {parent} else i.id end, 'run',
                i.id, case when n.n % 10 = 0 then 2 else 1 end
           from n, @intent i where i.id = '{root}';
         insert into @outcome (intent_id, kind, state, requested_at, started_at, finished_at, output)
         select i.id, i.kind, 'succeeded', i.requested_at, i.requested_at, i.requested_at, '\"x\"'
           from @intent i where i.depth > 0 and not exists (select 1 from @outcome o where o.intent_id = i.id);"
    );
    bench.run_sql(&sql).await?;
    bench.age(&[root], 60 * DAY).await?;
    Ok(root)
}

async fn a_tree_too_large_for_one_transaction_goes_all_the_same(bench: Bench) -> Result<()> {
    let root = large(&bench, 1_200).await?;
    let rule = Retention::succeeded().rows_for(90 * DAY).payloads_for(DAY);
    bench.intendant.retain(rule, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.payloads == 1_202);
    let inputs = "select count(*) from @intent where cast(input as text) <> 'null'";
    ensure!(bench.number(inputs).await? == 0);
    let marked = "select count(*) from @outcome where payload_removed_at is not null";
    ensure!(bench.number(marked).await? == 1_202);
    // Whoever goes on with it after a crash counts none of them again.
    bench
        .run_sql(&format!(
            "insert into @retention_large (intent_id, what, kind, state, goes)
             values ('{root}', 'payloads', 'parent', 'succeeded', true)"
        ))
        .await?;
    ensure!(bench.intendant.remove_old().await?.payloads == 0);
    ensure!(
        bench
            .number("select count(*) from @retention_large")
            .await?
            == 0
    );
    bench
        .intendant
        .retain(month(Retention::succeeded()), "ada", None)
        .await?;
    ensure!(bench.intendant.remove_old().await?.intents == 1_202);
    ensure!(bench.is_gone(root).await?);
    for table in ["intent", "outcome", "step", "child"] {
        ensure!(
            bench
                .number(&format!("select count(*) from @{table}"))
                .await?
                == 0,
            "{table}"
        );
    }
    bench.check().await
}

async fn a_large_tree_of_which_something_holds_stays_as_it_was(bench: Bench) -> Result<()> {
    let root = large(&bench, 1_200).await?;
    let last = "99999999-9999-7999-8999-000000001200";
    bench
        .run_sql(&format!(
            "insert into @holder (resource, intent_id, mode) values ('server:1', '{last}', 'exclusive')"
        ))
        .await?;
    bench
        .intendant
        .retain(month(Retention::succeeded()), "ada", None)
        .await?;
    ensure!(bench.intendant.remove_old().await?.intents == 0);
    ensure!(bench.number("select count(*) from @intent").await? == 1_202);
    ensure!(
        bench
            .intendant
            .get(root)
            .await?
            .payload_removed_at
            .is_none()
    );
    ensure!(
        bench.intendant.kept_by_retention().await?[0]
            .reason
            .contains(last)
    );
    bench.run_sql("delete from @holder").await?;
    bench.an_hour_passes().await?;
    ensure!(bench.intendant.remove_old().await?.intents == 1_202);
    bench.check().await
}

const MARKED: &str = "select count(*) from @outcome where payload_removed_at is not null";

async fn what_was_begun_with_is_ended_whatever_is_said_by_then(bench: Bench) -> Result<()> {
    let root = large(&bench, 10_000).await?;
    let often = intendant::Watch::default().every(Duration::from_millis(10));
    let worker = bench.keeper(&Gate::default()).watch(often);
    let worker = start(worker.retain(month(Retention::succeeded())));
    let left = async || bench.number("select count(*) from @intent").await;
    bench
        .until(async || Ok((left().await? < 10_000).then_some(())))
        .await?;
    worker.kill().await;
    ensure!(left().await? > 0, "it was done before it was killed");
    let for_ever = Retention::succeeded();
    bench.intendant.retain(for_ever, "ada", None).await?;
    let resumed = bench.intendant.rerun(root, "ada", None).await;
    let gone = resumed.err().map(|error| error.is_conflict());
    ensure!(gone == Some(true), "half of it is gone");
    bench
        .until(async || {
            bench.intendant.remove_old().await?;
            Ok((left().await? == 0).then_some(()))
        })
        .await?;
    let large = "select count(*) from @retention_large";
    ensure!(bench.number(large).await? == 0);
    let removed = bench.intendant.removals().await?;
    let removed: u64 = removed.iter().map(|gone| gone.intents).sum();
    ensure!(removed == 10_002, "{removed}");
    bench.check().await
}

/// One of its members has failed, and holds nothing.
async fn has_failed(bench: &Bench) -> Result<IntentId> {
    let failed = "99999999-9999-7999-8999-000000000777";
    bench
        .run_sql(&format!(
            "update @outcome set state = 'failed', reason = 'step failed', error = 'no', output = null
              where intent_id = '{failed}'"
        ))
        .await?;
    Ok(IntentId(failed.parse()?))
}

/// Somebody else removes, and looks through a large tree by now.
async fn looks(bench: &Bench) -> Result<JoinHandle<Result<Removed, Error>>> {
    let remover = bench.database.connect().await?;
    let removes = tokio::spawn(async move { remover.remove_old().await });
    bench
        .until(async || Ok((bench.number(LOOKS).await? == 1).then_some(())))
        .await?;
    Ok(removes)
}

const LOOKS: &str = "select count(*) from @retention_large where look is not null";

/// A look through the tree of this root has begun, under this number.
async fn look(bench: &Bench, root: IntentId, number: &str) -> Result<()> {
    bench
        .run_sql(&format!(
            "insert into @retention_large (intent_id, what, kind, state, look)
             values ('{root}', 'rows', 'parent', 'succeeded', '{number}')"
        ))
        .await?;
    Ok(())
}

const LOOK: &str = "11111111-1111-7111-8111-111111111111";

async fn what_is_run_again_while_its_tree_is_looked_through_runs(bench: Bench) -> Result<()> {
    let root = large(&bench, 1_200).await?;
    let failed = has_failed(&bench).await?;
    let rule = month(Retention::succeeded());
    bench.intendant.retain(rule, "ada", None).await?;
    look(&bench, root, LOOK).await?;
    ensure!(bench.number(LOOKS).await? == 1);
    bench.intendant.discard(failed, "ada", None).await?;
    ensure!(bench.number(LOOKS).await? == 0, "the look goes on");
    ensure!(bench.number(MARKED).await? == 0);
    // It is looked through anew, and goes.
    bench.age(&[failed], DAY).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 1_202);
    bench.check().await
}

async fn who_looks_through_a_tree_that_somebody_runs_again_begins_anew(bench: Bench) -> Result<()> {
    let root = large(&bench, 6_000).await?;
    let failed = has_failed(&bench).await?;
    let rule = month(Retention::succeeded());
    bench.intendant.retain(rule, "ada", None).await?;
    let removes = looks(&bench).await?;
    // Either it is in time, and stays, or all of it goes.
    let resumed = bench.intendant.resume(failed, "ada", None).await;
    let removed = removes.await??;
    match resumed {
        Ok(_) => {
            ensure!(removed.intents == 0, "{removed:?}");
            ensure!(bench.number(MARKED).await? == 0);
            let states = bench.intendant.state(failed).await?;
            ensure!(states == IntentState::Ready, "{states}");
            bench.carry_out(&[failed]).await?;
            bench.age(&[root], DAY).await?;
            bench.an_hour_passes().await?;
            let removed = bench.intendant.remove_old().await?;
            let kept = bench.intendant.kept_by_retention().await?;
            ensure!(removed.intents == 6_002, "{removed:?} {kept:?}");
        }
        Err(Error::PayloadRemoved { .. } | Error::NotFound { .. }) => {
            ensure!(removed.intents == 6_002, "{removed:?}");
        }
        Err(error) => return Err(error.into()),
    }
    bench.check().await
}

async fn what_is_said_while_a_tree_is_looked_through_counts(bench: Bench) -> Result<()> {
    large(&bench, 6_000).await?;
    let rule = month(Retention::succeeded());
    bench.intendant.retain(rule, "ada", None).await?;
    let removes = looks(&bench).await?;
    let for_ever = Retention::succeeded();
    bench.intendant.retain(for_ever, "ada", None).await?;
    let had_begun = bench.number(MARKED).await? > 0;
    let removed = removes.await??.intents;
    ensure!(
        removed == if had_begun { 6_002 } else { 0 },
        "{removed} {had_begun}"
    );
    bench.check().await
}

async fn a_rule_that_is_taken_back_and_said_again_finds_a_large_tree(bench: Bench) -> Result<()> {
    let root = large(&bench, 1_200).await?;
    // It was found, and then somebody said something else.
    bench
        .intendant
        .retain(Retention::succeeded().rows_for(90 * DAY), "ada", None)
        .await?;
    bench
        .run_sql(&format!(
            "insert into @retention_large (intent_id, what, kind, state) values ('{root}', 'rows', 'parent', 'succeeded');
             insert into @retention_cursor (kind, state, what, finished_at, intent_id)
             select kind, state, 'rows', finished_at, intent_id from @outcome where intent_id = '{root}'"
        ))
        .await?;
    ensure!(bench.intendant.remove_old().await?.intents == 0);
    ensure!(bench.number(MARKED).await? == 0);
    let rule = month(Retention::succeeded());
    bench.intendant.retain(rule, "ada", None).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 1_202);
    bench.check().await
}

async fn an_intent_of_many_rows_goes_in_pieces(bench: Bench) -> Result<()> {
    let id = bench.intendant.request(Job("many".into())).await?.id();
    bench.carry_out(&[id]).await?;
    let copies = match bench.database.kind {
        StoreKind::Sqlite => {
            "with recursive n (n) as (select 1 union all select n + 1 from n where n < 60000)"
        }
        StoreKind::Postgres => "with n (n) as (select generate_series(1, 60000))",
    };
    let name = match bench.database.kind {
        StoreKind::Sqlite => "'s' || n.n",
        StoreKind::Postgres => "'s' || n.n::text",
    };
    bench
        .run_sql(&format!(
            "{copies} insert into @step (intent_id, name, generation, state, attempt, output)
             select '{id}', {name}, 1, 'succeeded', 1, '7' from n"
        ))
        .await?;
    bench.age(&[id], 60 * DAY).await?;
    let remover = bench.database.connect().await?;
    let steps = async |what: &str| {
        let of_them = format!("select count(*) from @step where name like 's%' {what}");
        bench.number(&of_them).await
    };
    let payloads = Retention::succeeded().rows_for(90 * DAY).payloads_for(DAY);
    let values = "and cast(output as text) = '7'";
    for (rule, left) in [(payloads, values), (month(Retention::succeeded()), "")] {
        bench.intendant.retain(rule, "ada", None).await?;
        let by = remover.clone();
        let removes = tokio::spawn(async move { by.remove_old().await });
        let some = bench
            .until(async || Ok(Some(steps(left).await?).filter(|left| *left < 60_000)))
            .await?;
        ensure!(some > 0, "all at once");
        let removed = removes.await??;
        ensure!(removed.intents + removed.payloads == 1, "{removed:?}");
        ensure!(steps(left).await? == 0);
    }
    ensure!(bench.is_gone(id).await?);
    bench.check().await
}
