//! Who and why: a request says who asks, within which larger request, and what to find it by later.

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentFilter, IntentId, StepResult, limits};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    labels_are_kept_and_found;
    children_have_the_requester_and_the_correlation_id_and_no_labels;
    labels_are_no_part_of_what_a_key_is_compared_by;
    labels_that_cannot_be_kept_are_refused_before_anything_is_written;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Op(u64);

impl Intent for Op {
    const KIND: &'static str = "op";
    type Output = ();
    fn account(&self) -> Option<&str> {
        Some("acme")
    }
}

fn labelled(name: &str, value: &str) -> IntentFilter {
    IntentFilter {
        label: Some((name.to_owned(), value.to_owned())),
        ..IntentFilter::default()
    }
}

async fn found(bench: &Bench, filter: IntentFilter) -> Result<Vec<IntentId>> {
    let found = bench.intendant.list(filter).await?;
    Ok(found.iter().map(|intent| intent.id).collect())
}

async fn labels_are_kept_and_found(bench: Bench) -> Result<()> {
    let ask = |number| bench.intendant.request(Op(number));
    let plain = ask(0).await?.id();
    ensure!(bench.number("select count(*) from @label").await? == 0);
    let one = ask(1)
        .label("team", "mail")
        .label("team", "billing")
        .label("ticket", 77);
    let one = one.await?.id();
    let requests = (2..5).map(|number| ask(number).label("team", "billing"));
    let bulk = bench.intendant.request_each(requests).await?;
    let both = ask(5).label("team", "mail").key("key-5").await?.id();
    let newest_first = [bulk[2], bulk[1], bulk[0], one];
    ensure!(found(&bench, labelled("team", "billing")).await? == newest_first);
    ensure!(found(&bench, labelled("ticket", "77")).await? == [one]);
    ensure!(found(&bench, labelled("team", "mail")).await? == [both]);
    ensure!(found(&bench, labelled("billing", "team")).await?.is_empty());
    let page = IntentFilter {
        before: Some(bulk[1]),
        account: Some("acme".into()),
        kind: Some("op".into()),
        ..labelled("team", "billing")
    };
    ensure!(found(&bench, page).await? == [bulk[0], one]);
    let record = bench.intendant.get(one).await?;
    let labels: Vec<_> = record
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    ensure!(labels == ["team=billing", "ticket=77"], "{labels:?}");
    ensure!(bench.intendant.get(plain).await?.labels.is_empty());
    // And in the view, for users' own SQL.
    let of_billing = "select count(*) from @labels l join @intents i on i.id = l.intent_id \
                      where l.name = 'team' and l.value = 'billing' and i.state = 'ready'";
    ensure!(bench.number(of_billing).await? == 4);
    bench.check().await
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parent;

impl Intent for Parent {
    const KIND: &'static str = "parent";
    type Output = ();
}

async fn raise(cx: Cx<()>, _: Parent) -> StepResult<()> {
    cx.child("first", Op(1)).await
}

async fn pass(_: Cx<()>, _: Op) -> StepResult<()> {
    Ok(())
}

async fn children_have_the_requester_and_the_correlation_id_and_no_labels(
    bench: Bench,
) -> Result<()> {
    let worker = start(bench.worker(()).register_step(raise).register_step(pass));
    let request = bench
        .intendant
        .request(Parent)
        .by("ada")
        .correlation_id("web-7");
    let parent = request.label("team", "billing").await?;
    bench
        .intendant
        .request(Op(2))
        .by("ada")
        .await?
        .output()
        .await?;
    parent.output().await?;
    let child = bench.intendant.children(parent.id()).await?[0].id;
    ensure!(found(&bench, labelled("team", "billing")).await? == [parent.id()]);
    let of_the_web = IntentFilter {
        correlation_id: Some("web-7".into()),
        ..IntentFilter::default()
    };
    ensure!(found(&bench, of_the_web).await? == [child, parent.id()]);
    let child = bench.intendant.get(child).await?;
    ensure!(child.labels.is_empty() && child.requested_by.as_deref() == Some("ada"));
    worker.stop().await?;
    bench.check().await
}

async fn labels_are_no_part_of_what_a_key_is_compared_by(bench: Bench) -> Result<()> {
    let ask = |team| {
        bench
            .intendant
            .request(Op(1))
            .key("order-1")
            .label("team", team)
    };
    let first = ask("billing").await?.id();
    ensure!(ask("mail").await?.id() == first);
    ensure!(bench.intendant.get(first).await?.labels["team"] == "billing");
    ensure!(bench.number("select count(*) from @label").await? == 1);
    Ok(())
}

async fn labels_that_cannot_be_kept_are_refused_before_anything_is_written(
    bench: Bench,
) -> Result<()> {
    let ask = |labels: usize| {
        let request = bench.intendant.request(Op(1));
        (0..labels).fold(request, |request, label| {
            request.label(format!("label-{label}"), "x")
        })
    };
    ask(limits::LABELS - 1).await?;
    ask(limits::LABELS).await?;
    let error = ask(limits::LABELS + 1)
        .await
        .err()
        .map(|error| error.to_string());
    ensure!(
        error.as_deref() == Some("the number of labels is 21, the limit is 20"),
        "{error:?}"
    );
    let long = "é".repeat(limits::NAME_CHARS + 1);
    for (name, value) in [
        ("", "x"),
        ("team", ""),
        ("te\0am", "x"),
        ("team", "a\nb"),
        (&*long, "x"),
        ("x", &*long),
    ] {
        let refused = bench.intendant.request(Op(1)).label(name, value).await;
        ensure!(
            refused.err().is_some_and(|error| error.is_usage()),
            "{name:?} {value:?}"
        );
    }
    let whole = &long[2..];
    bench.intendant.request(Op(1)).label(whole, whole).await?;
    ensure!(bench.number("select count(*) from @intent").await? == 3);
    Ok(())
}
