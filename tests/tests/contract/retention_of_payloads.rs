//! Payloads that go sooner than their rows: who reads them, or would run something by them, is told so, and nothing else breaks.

use anyhow::{Context as _, Result, ensure};
use intendant::{Error, IntentFilter, IntentId, IntentState, Retention, StoreKind};
use serde_json::json;

use crate::retention::{DAY, Job, Parent};
use crate::support::{Bench, Gate, on_both, start};

on_both! {
    what_is_read_of_it_says_that_it_was_removed;
    nothing_of_it_is_run_again;
    amended_inputs_messages_and_checkpoints_go_too;
    its_key_holds_and_its_other_rows_stay;
}

async fn forget(bench: &Bench, ids: &[IntentId]) -> Result<()> {
    bench.age(ids, 8 * DAY).await?;
    for rule in [
        Retention::succeeded(),
        Retention::failed(),
        Retention::cancelled(),
    ] {
        let rule = rule.rows_for(30 * DAY).payloads_for(7 * DAY);
        bench.intendant.retain(rule, "ada", None).await?;
    }
    bench.intendant.remove_old().await?;
    Ok(())
}

async fn what_is_read_of_it_says_that_it_was_removed(bench: Bench) -> Result<()> {
    let root = bench.intendant.request(Parent("secret".into())).await?;
    bench.carry_out(&[root.id()]).await?;
    forget(&bench, &[root.id()]).await?;
    let child = bench.intendant.children(root.id()).await?[0].id;
    for id in [root.id(), child] {
        let record = bench.intendant.get(id).await?;
        ensure!(record.state == IntentState::Succeeded);
        ensure!(record.payload_removed_at.is_some());
        ensure!(record.input.get() == "null" && record.output.is_none());
        ensure!(record.unreadable.is_none(), "{:?}", record.unreadable);
    }
    let error = root.output().await.err().context("it has an output")?;
    ensure!(
        matches!(&error, Error::PayloadRemoved { id, .. } if *id == root.id())
            && error.is_conflict(),
        "{error}"
    );
    let steps = bench.intendant.steps(root.id()).await?;
    ensure!(steps.len() == 1 && steps[0].state.to_string() == "succeeded");
    ensure!(steps[0].output.as_ref().map(|output| output.get()) == Some("null"));
    ensure!(bench.intendant.at_rest(root.id()).await?.id == root.id());
    let listed = bench.intendant.list(IntentFilter::default()).await?;
    ensure!(listed.len() == 2 && listed.iter().all(|one| one.payload_removed_at.is_some()));
    let seen =
        "select count(*) from @intents where payload_removed_at is not null and output is null";
    ensure!(bench.number(seen).await? == 2);
    ensure!(
        bench
            .number("select count(*) from @steps where cast(output as text) like '%secret%'")
            .await?
            == 0
    );
    // A second pass finds nothing; the rows go in their time.
    ensure!(bench.intendant.remove_old().await? == Default::default());
    let removals = bench.intendant.removals().await?;
    ensure!(
        removals
            .iter()
            .all(|gone| gone.what == "payloads" && gone.intents == 1)
    );
    bench.age(&[root.id()], 30 * DAY).await?;
    ensure!(bench.intendant.remove_old().await?.intents == 2);
    bench.check().await
}

async fn nothing_of_it_is_run_again(bench: Bench) -> Result<()> {
    let broken = bench.intendant.request(Job("broken".into())).await?.id();
    let done = bench.intendant.request(Job("done".into())).await?.id();
    bench.carry_out(&[broken, done]).await?;
    forget(&bench, &[broken, done]).await?;
    let engine = &bench.intendant;
    let why = None;
    let refused = [
        engine.resume(broken, "ada", why).await.err(),
        engine.retry(broken, "run", "ada", why).await.err(),
        engine.skip(broken, "run", &"x", "ada", why).await.err(),
        engine.rerun_from(broken, "run", "ada", why).await.err(),
        engine.undo(broken, "ada", why).await.err(),
        engine.discard(broken, "ada", why).await.err(),
        engine
            .amend(broken, &Job("whole".into()), "ada", why)
            .await
            .err(),
        engine.rerun(done, "ada", why).await.err(),
        engine.undo(done, "ada", why).await.err(),
    ];
    for (nth, error) in refused.into_iter().enumerate() {
        let error = error.with_context(|| format!("the {nth}th was done"))?;
        ensure!(
            matches!(error, Error::PayloadRemoved { .. }),
            "{nth}: {error}"
        );
    }
    ensure!(engine.state(broken).await? == IntentState::Failed);
    ensure!(engine.state(done).await? == IntentState::Succeeded);
    ensure!(
        engine.events(broken).await?.is_empty(),
        "a refusal leaves no event"
    );
    ensure!(bench.number("select count(*) from @intent").await? == 2);
    bench.check().await
}

async fn amended_inputs_messages_and_checkpoints_go_too(bench: Bench) -> Result<()> {
    let amended = bench.intendant.request(Job("broken".into())).await?.id();
    let root = bench.intendant.request(Parent("waits".into())).await?.id();
    let worker = start(bench.keeper(&Gate::default()));
    bench.reach(root, IntentState::Waiting).await?;
    bench
        .intendant
        .signal(root, "other", &json!("secret"))
        .await?;
    bench.intendant.signal(root, "go", &()).await?;
    bench.rest(root).await?;
    bench.rest(amended).await?;
    worker.stop().await?;
    let secret = Job("secret".into());
    bench.intendant.amend(amended, &secret, "ada", None).await?;
    bench
        .run_sql(&format!(
            "insert into @checkpoint (intent_id, step, generation, attempt, value, at, worker)
             select '{amended}', 'run', 1, 1, '\"secret\"', o.finished_at, 'w' from @outcome o where o.intent_id = '{amended}'"
        ))
        .await?;
    forget(&bench, &[amended, root]).await?;
    for (table, column) in [
        ("revision", "input"),
        ("signal", "payload"),
        ("intent", "input"),
        ("step", "output"),
    ] {
        let left = format!("select count(*) from @{table} where cast({column} as text) <> 'null'");
        ensure!(bench.number(&left).await? == 0, "{table} has a payload");
    }
    ensure!(bench.number("select count(*) from @checkpoint").await? == 0);
    ensure!(
        bench.number("select count(*) from @revision").await? == 1,
        "that it was amended stays"
    );
    ensure!(bench.intendant.signals(root).await?.len() == 2);
    bench.check().await
}

async fn its_key_holds_and_its_other_rows_stay(bench: Bench) -> Result<()> {
    let order = async |what: &str| {
        let request = bench.intendant.request(Job(what.into())).key("order-7");
        request.label("team", "billing").await
    };
    let first = order("done").await?.id();
    bench
        .run_sql(match bench.database.kind {
            StoreKind::Sqlite => {
                "insert into @request (kind, input, key) values ('job', '\"sql\"', 'order-8')"
            }
            StoreKind::Postgres => "select @request('job', input => '\"sql\"', key => 'order-8')",
        })
        .await?;
    let listed = bench.intendant.list(IntentFilter::default()).await?;
    let ids: Vec<IntentId> = listed.iter().map(|one| one.id).collect();
    ensure!(ids.len() == 2);
    bench.carry_out(&ids).await?;
    forget(&bench, &ids).await?;
    ensure!(order("done").await?.id() == first);
    let other = order("another").await.err().context("it was taken")?;
    ensure!(matches!(other, Error::KeyConflict { .. }), "{other}");
    // A key that plain SQL has taken is compared with the row, whose input is gone: it holds.
    let again = bench
        .intendant
        .request(Job("sql".into()))
        .key("order-8")
        .await?;
    ensure!(ids.contains(&again.id()) && again.id() != first);
    bench
        .run_sql(match bench.database.kind {
            StoreKind::Sqlite => {
                "insert into @request (kind, input, key) values ('job', '\"sql\"', 'order-8')"
            }
            StoreKind::Postgres => "select @request('job', input => '\"sql\"', key => 'order-8')",
        })
        .await?;
    ensure!(bench.number("select count(*) from @intent").await? == 2);
    ensure!(bench.intendant.get(first).await?.labels["team"] == "billing");
    bench.check().await
}
