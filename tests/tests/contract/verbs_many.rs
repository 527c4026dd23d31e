//! A verb for all intents that match a filter.

use anyhow::{Result, ensure};
use intendant::{
    Cx, Error, Intent, IntentFilter, IntentState, Node, Plan, StepResult, Verb, fail, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    all_that_match_are_resumed_and_the_others_are_left;
    what_cannot_be_done_for_one_is_told_and_the_others_are_done;
    the_inputs_of_all_that_match_are_changed_in_part;
    all_that_is_unfinished_is_cancelled;
    what_failed_for_the_same_reason_is_one_group;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mail {
    to: String,
}

impl Intent for Mail {
    const KIND: &'static str = "mail";
    type Output = String;
    fn account(&self) -> Option<&str> {
        Some(if self.to.starts_with('a') {
            "acme"
        } else {
            "other"
        })
    }
}

fn mail(to: &str) -> Mail {
    Mail { to: to.to_owned() }
}

async fn send(cx: Cx<Counter>, to: String) -> StepResult<String> {
    match cx.state().get() {
        0 => Err(fail(format!("connection refused by {to}"))),
        _ => Ok(to),
    }
}

fn plan(mail: &Mail, plan: &mut Plan<Counter>) -> Node<String> {
    let sent = plan.step("send", send).input(value(mail.to.clone()));
    match mail.to.ends_with('!') {
        true => plan.step("sent", send).point_of_no_return().input(sent),
        false => sent,
    }
}

async fn all_that_match_are_resumed_and_the_others_are_left(bench: Bench) -> Result<()> {
    let up = Counter::default();
    let worker = start(bench.worker(up.clone()).register(plan));
    let mut handles = Vec::new();
    for to in ["ann", "bob", "ada", "cid"] {
        let handle = bench.intendant.request(mail(to)).await?;
        bench.reach(handle.id(), IntentState::Failed).await?;
        handles.push(handle);
    }
    up.add();
    let filter = IntentFilter {
        account: Some("acme".to_owned()),
        error: Some("connection refused".to_owned()),
        ..IntentFilter::default()
    };
    let would = bench
        .intendant
        .count_all(filter.clone(), &Verb::Resume)
        .await?;
    ensure!(
        (would.matched, would.done, would.refused) == (2, 2, 0),
        "{would:?}"
    );
    ensure!(
        bench.intendant.events(handles[0].id()).await?.is_empty(),
        "nothing was done"
    );
    let batch = bench
        .intendant
        .act_on_all(filter, &Verb::Resume, "ada", None)
        .await?;
    ensure!(
        (batch.matched, batch.done, batch.refused) == (2, 2, 0),
        "{batch:?}"
    );
    for (handle, to) in [(&handles[0], "ann"), (&handles[2], "ada")] {
        ensure!(handle.output().await? == to);
    }
    for handle in [&handles[1], &handles[3]] {
        ensure!(handle.state().await? == IntentState::Failed);
    }
    worker.stop().await?;
    bench.check().await
}

async fn what_cannot_be_done_for_one_is_told_and_the_others_are_done(bench: Bench) -> Result<()> {
    let up = Counter::default();
    up.add();
    let worker = start(bench.worker(up.clone()).register(plan));
    for to in ["ann!", "bob", "cid"] {
        bench.intendant.request(mail(to)).await?.output().await?;
    }
    let all = IntentFilter {
        kind: Some("mail".to_owned()),
        state: Some(IntentState::Succeeded),
        ..IntentFilter::default()
    };
    let would = bench.intendant.count_all(all.clone(), &Verb::Undo).await?;
    ensure!(bench.number("select count(*) from @intent").await? == 3);
    ensure!(bench.number("select count(*) from @event").await? == 0);
    let batch = bench
        .intendant
        .act_on_all(all.clone(), &Verb::Undo, "ada", None)
        .await?;
    ensure!(would == batch, "{would:?}");
    ensure!(
        (batch.matched, batch.done, batch.refused) == (3, 2, 1),
        "{batch:?}"
    );
    ensure!(
        batch.refusals[0].1.contains("there is no way back"),
        "{batch:?}"
    );
    let batch = bench
        .intendant
        .act_on_all(all, &Verb::Rerun, "ada", None)
        .await?;
    ensure!((batch.matched, batch.done) == (3, 3), "{batch:?}");
    let nobody = bench
        .intendant
        .act_on_all(IntentFilter::default(), &Verb::Undo, "", None);
    ensure!(matches!(nobody.await, Err(Error::Name(_))));
    worker.stop().await?;
    bench.check().await
}

async fn the_inputs_of_all_that_match_are_changed_in_part(bench: Bench) -> Result<()> {
    let up = Counter::default();
    let worker = start(bench.worker(up.clone()).register(plan));
    let mut handles = Vec::new();
    // Of one account, which no amendment changes.
    for to in ["eve", "bob"] {
        let handle = bench.intendant.request(mail(to)).await?;
        bench.reach(handle.id(), IntentState::Failed).await?;
        handles.push(handle);
    }
    let all = IntentFilter {
        kind: Some("mail".to_owned()),
        ..IntentFilter::default()
    };
    let amend = Verb::Amend {
        changes: serde_json::json!({"to": "dee"}),
    };
    let would = bench.intendant.count_all(all.clone(), &amend).await?;
    ensure!((would.matched, would.done) == (2, 2), "{would:?}");
    ensure!(bench.number("select count(*) from @revision").await? == 0);
    let batch = bench
        .intendant
        .act_on_all(all.clone(), &amend, "ada", Some("moved"))
        .await?;
    ensure!(batch == would, "{batch:?}");
    ensure!(bench.number("select count(*) from @revision").await? == 2);
    up.add();
    bench
        .intendant
        .act_on_all(all, &Verb::Resume, "ada", None)
        .await?;
    for handle in handles {
        ensure!(handle.output().await? == "dee");
    }
    worker.stop().await?;
    bench.check().await
}

async fn all_that_is_unfinished_is_cancelled(bench: Bench) -> Result<()> {
    let mut handles = Vec::new();
    for to in ["ann", "bob"] {
        handles.push(bench.intendant.request(mail(to)).await?);
    }
    let later = bench.intendant.request(mail("cid"));
    handles.push(later.start_in(std::time::Duration::from_secs(3600)).await?);
    let filter = IntentFilter {
        kind: Some("mail".to_owned()),
        ..IntentFilter::default()
    };
    let batch = bench
        .intendant
        .act_on_all(filter, &Verb::Cancel, "ada", None)
        .await?;
    ensure!((batch.matched, batch.done) == (3, 3), "{batch:?}");
    for handle in handles {
        ensure!(handle.state().await? == IntentState::Cancelled);
    }
    bench.check().await
}

async fn what_failed_for_the_same_reason_is_one_group(bench: Bench) -> Result<()> {
    async fn broken(_: Cx<()>, mail: Mail) -> StepResult<String> {
        match mail.to.as_str() {
            "bob" => Err(fail("no such address")),
            _ => Err(fail(format!("connection {} refused", mail.to.len()))),
        }
    }
    let worker = start(bench.worker(()).register_step(broken));
    for to in ["ann", "ada", "bob", "cyril"] {
        let handle = bench.intendant.request(mail(to)).await?;
        bench.reach(handle.id(), IntentState::Failed).await?;
    }
    let failures = bench.intendant.failures(IntentFilter::default()).await?;
    let groups: Vec<_> = failures
        .groups
        .iter()
        .map(|group| (group.count, &*group.error))
        .collect();
    ensure!(
        groups == [(3, "connection 5 refused"), (1, "no such address")],
        "{groups:?}"
    );
    let first = &failures.groups[0];
    ensure!(
        first.kind == "mail" && first.step.as_deref() == Some("run") && first.since < first.last
    );
    ensure!(!failures.more);
    let acme = IntentFilter {
        account: Some("acme".to_owned()),
        ..IntentFilter::default()
    };
    let failures = bench.intendant.failures(acme).await?;
    ensure!(
        failures.groups.len() == 1 && failures.groups[0].count == 2,
        "{failures:?}"
    );
    worker.stop().await?;
    bench.check().await
}
