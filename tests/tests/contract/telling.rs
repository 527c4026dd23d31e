//! What the engine tells of itself: metrics of workers, and spans that carry the correlation id from the request to the children.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use anyhow::{Result, ensure};
use intendant::{Cx, Intent, IntentState, StepResult, fail};
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::meters::Meters;
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    what_workers_do_is_counted;
    what_is_taken_over_from_the_dead_is_counted;
    spans_carry_the_correlation_id_from_the_request_to_the_children;
}

/// A kind whose name no other test has, so that its series are its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    well: bool,
}

impl Intent for Told {
    const KIND: &'static str = "told";
    const QUEUE: &'static str = "told";
    type Output = ();
}

async fn told(_: Cx<()>, told: Told) -> StepResult<()> {
    match told.well {
        true => Ok(()),
        false => Err(fail("as it was told")),
    }
}

async fn what_workers_do_is_counted(bench: Bench) -> Result<()> {
    let meters = Meters::get();
    let sum = |series: &str| -> f64 { meters.of(series).values().flatten().sum() };
    let series = [
        "intendant_claims_total{kind=told}",
        "intendant_intents_ended_total{kind=told,state=succeeded}",
        "intendant_intents_ended_total{kind=told,state=failed}",
    ];
    // The other store's test may be at it at the same time.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    let before = series.map(sum);
    let name = format!("told_{}", bench.database.kind.as_str());
    let worker = bench.worker(()).name(name.as_str()).register_step(told);
    let worker = start(worker);
    let asked = [true, true, false].map(|well| Told { well });
    for id in bench.intendant.request_all(asked).await? {
        bench.rest(id).await?;
    }
    let told = |gauge: &str| {
        let series = meters.of(&format!("{gauge}{{worker={name}}}"));
        series.into_values().flatten().collect::<Vec<f64>>()
    };
    let gauges = ["intendant_steps_running", "intendant_tasks_in_hand"];
    bench
        .until(|| async {
            Ok(gauges
                .iter()
                .all(|gauge| !told(gauge).is_empty())
                .then_some(()))
        })
        .await?;
    // One that lives, and is taken for dead.
    bench
        .until(|| async {
            bench.run_sql("delete from @session").await?;
            let lost = format!("intendant_sessions_lost_total{{worker={name}}}");
            Ok((sum(&lost) >= 1.0).then_some(()))
        })
        .await?;
    worker.stop().await?;
    let after = series.map(sum);
    let counted: Vec<f64> = std::iter::zip(after, before).map(|(a, b)| a - b).collect();
    ensure!(counted == [3.0, 2.0, 1.0], "{counted:?}");
    let ticks = meters.of("intendant_tick_seconds{}");
    ensure!(!ticks.is_empty());
    // And when it has stopped, nothing.
    for gauge in gauges {
        ensure!(told(gauge).last() == Some(&0.0), "{gauge}");
    }
    bench.check().await
}

/// Its first attempt does not end.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Left;

impl Intent for Left {
    const KIND: &'static str = "told_left";
    type Output = ();
}

async fn left(cx: Cx<Counter>, _: Left) -> StepResult<()> {
    if cx.state().add() == 1 {
        std::future::pending::<()>().await;
    }
    Ok(())
}

async fn what_is_taken_over_from_the_dead_is_counted(bench: Bench) -> Result<()> {
    let taken_over = || -> f64 {
        let series = Meters::get().of("intendant_tasks_taken_over_total{verdict=suspect}");
        series.values().flatten().sum()
    };
    let runs = Counter::default();
    let worker = || bench.worker(runs.clone()).register_step(left);
    let dies = start(worker());
    let id = bench.intendant.request(Left).await?.id();
    bench
        .until(|| async { Ok((runs.get() == 1).then_some(())) })
        .await?;
    let before = taken_over();
    dies.kill().await;
    let heir = start(worker());
    bench.rest(id).await?;
    ensure!(taken_over() > before);
    heir.stop().await?;
    bench.check().await
}

type Fields = BTreeMap<String, String>;

/// The engine's spans that have a correlation id, for tests: all of the process, told apart by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans;

static SPANS: Mutex<Vec<Fields>> = Mutex::new(Vec::new());

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<C: Subscriber> Layer<C> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, C>) {
        let metadata = attributes.metadata();
        if !metadata.target().starts_with("intendant::") || *metadata.level() != Level::INFO {
            return;
        }
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        fields.insert("span".to_owned(), metadata.name().to_owned());
        let traced = |id: &String| id.starts_with("traced-");
        if fields.get("correlation_id").is_some_and(traced) {
            SPANS.lock().unwrap().push(fields);
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parent;

impl Intent for Parent {
    const KIND: &'static str = "traced_parent";
    type Output = ();
}

/// Its child.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Child;

impl Intent for Child {
    const KIND: &'static str = "traced_child";
    type Output = ();
}

async fn parent(cx: Cx<()>, _: Parent) -> StepResult<()> {
    cx.child("child", Child).await
}

async fn child(_: Cx<()>, _: Child) -> StepResult<()> {
    Ok(())
}

async fn spans_carry_the_correlation_id_from_the_request_to_the_children(
    bench: Bench,
) -> Result<()> {
    let worker = bench.worker(()).register_step(parent).register_step(child);
    let worker = start(worker);
    let correlation = format!("traced-{}", bench.database.kind.as_str());
    let asked = bench
        .intendant
        .request(Parent)
        .correlation_id(&correlation)
        .await?;
    bench.reach(asked.id(), IntentState::Succeeded).await?;
    worker.stop().await?;
    let spans: Vec<Fields> = {
        let spans = SPANS.lock().unwrap();
        let own = spans.iter();
        own.filter(|fields| fields["correlation_id"] == correlation)
            .cloned()
            .collect()
    };
    let has = |span: &str, kind: &str| {
        let of = |fields: &&Fields| fields["span"] == span && fields["kind"] == kind;
        spans.iter().filter(of).count()
    };
    ensure!(has("request", "traced_parent") == 1, "{spans:?}");
    // It is run again when its child has ended.
    ensure!(has("step", "traced_parent") == 2, "{spans:?}");
    ensure!(has("step", "traced_child") == 1, "{spans:?}");
    let root = asked.id().to_string();
    let of_steps = |fields: &&Fields| fields["span"] == "step";
    ensure!(
        spans
            .iter()
            .filter(of_steps)
            .all(|fields| fields["root"] == root)
    );
    bench.check().await
}
