//! The caller's trace: kept with the intent, had by all that comes of it, and told to steps.

use anyhow::{Context as _, Result, ensure};
use intendant::{Cx, Intent, IntentState, StepResult, TraceParent};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, Counter, on_both, start};

on_both! {
    steps_children_and_what_steps_ask_for_are_in_the_callers_trace;
    without_a_callers_trace_there_is_none;
}

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[derive(Debug, Serialize, Deserialize)]
struct Call(String);

impl Intent for Call {
    const KIND: &'static str = "call";
    type Output = Option<TraceParent>;
}

async fn call(cx: Cx<Counter>, Call(how): Call) -> StepResult<Option<TraceParent>> {
    match how.as_str() {
        "child" => cx.child("one", Call(String::new())).await,
        "asks" => {
            cx.request(Call(String::new())).await?;
            Ok(cx.traceparent())
        }
        _ => Ok(cx.traceparent()),
    }
}

async fn steps_children_and_what_steps_ask_for_are_in_the_callers_trace(
    bench: Bench,
) -> Result<()> {
    let running = start(bench.worker(Counter::default()).register_step(call));
    let trace: TraceParent = CALLER.parse()?;
    for how in ["", "child", "asks"] {
        let asked = bench
            .intendant
            .request(Call(how.to_owned()))
            .traceparent(trace);
        let record = bench.rest(asked.await?.id()).await?;
        ensure!(record.state == IntentState::Succeeded, "{record:?}");
        let output = record.output.as_ref().context("an output")?;
        ensure!(output.get() == format!("\"{CALLER}\""), "{how}: {output}");
    }
    let all = bench.intendant.list(Default::default()).await?;
    ensure!(all.len() == 5, "{}", all.len());
    for record in all {
        let record = bench.rest(record.id).await?;
        ensure!(record.traceparent == Some(trace), "{record:?}");
        ensure!(
            record.correlation_id.as_deref() == Some(TRACE),
            "{record:?}"
        );
    }
    // What is said of an id goes before that of the trace; an intent that is asked for again is somebody else's call.
    let asked = bench
        .intendant
        .request(Call(String::new()))
        .traceparent(trace)
        .correlation_id("c-1");
    let record = bench.rest(asked.await?.id()).await?;
    ensure!(
        record.correlation_id.as_deref() == Some("c-1"),
        "{record:?}"
    );
    let again = bench.intendant.rerun(record.id, "ada", None).await?;
    ensure!(bench.rest(again).await?.traceparent.is_none());
    running.stop().await?;
    bench.check().await
}

async fn without_a_callers_trace_there_is_none(bench: Bench) -> Result<()> {
    let running = start(bench.worker(Counter::default()).register_step(call));
    let id = bench.intendant.request(Call(String::new())).await?.id();
    let record = bench.rest(id).await?;
    ensure!(record.traceparent.is_none() && record.correlation_id.is_none());
    ensure!(record.output.context("an output")?.get() == "null");
    // A row that somebody has damaged there says nothing of a trace, and harms nothing.
    bench
        .run_sql("update @intent set traceparent = 'nonsense'")
        .await?;
    ensure!(bench.intendant.get(id).await?.traceparent.is_none());
    running.stop().await?;
    Ok(())
}
