//! Everything that is known of one intent, for people.

use std::fmt::Write as _;

use anyhow::Result;
use intendant::{EventRecord, IntentRecord, IntentState, LinkRecord, StepRecord, StepState};
use serde_json::value::RawValue;

use super::logs;
use super::table::{Fit, Table};
use super::words::{age, ahead, between, one_line, time, took, what};
use crate::site::Site;

/// Most children that are shown: there may be ten thousand.
const CHILDREN: usize = 50;

/// An intent's record, its steps, its failed attempts, its children and its events.
pub(crate) async fn intent(
    site: &Site,
    record: &IntentRecord,
    width: Option<usize>,
) -> Result<String> {
    let id = record.id;
    let mut text = String::new();
    tell_record(&mut text, record)?;
    if !record.state.is_finished() {
        // One look later than the record: what has come to its end in between has nothing to wait for.
        for reason in &site.why(id).await?.words {
            writeln!(text, "  {:<12} {}", "why", one_line(reason))?;
        }
    }
    text.push_str(&steps(&site.all_steps(id).await?, record.state, width));
    let mut tell = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n"));
        }
        for line in lines {
            text.push_str(&format!("  {}\n", one_line(&line)));
        }
    };
    let attempts = site.attempts(id).await?.into_iter().map(|attempt| {
        let retry = attempt.retry_at.map_or("not tried again".to_owned(), |at| {
            format!("tried again at {}", time(at))
        });
        format!(
            "attempt {} at `{}` failed ({}): {}; {retry}",
            attempt.attempt, attempt.step, attempt.failure, attempt.error
        )
    });
    tell("failed attempts", attempts.collect());
    let measured = site.measurements(id).await?;
    tell(
        "measurements",
        measured.iter().map(logs::measured).collect(),
    );
    let logged = site.logs(id).await?;
    let title = format!("logs (intendant logs {id})");
    tell(&title, logged.iter().map(logs::summary).collect());
    let children = site.children(id).await?;
    let more = children.len().saturating_sub(CHILDREN);
    let children = children.into_iter().take(CHILDREN).map(|child| {
        format!(
            "`{}` asked for child `{}`: {}",
            child.step, child.name, child.id
        )
    });
    let more = (more > 0).then(|| format!("and {more} more"));
    tell("children", children.chain(more).collect());
    let links = site.links(id).await?;
    tell("conflicts", links.iter().map(link).collect());
    let signals = site.signals(id).await?.into_iter().map(|signal| {
        let by = signal
            .sent_by
            .map_or_else(String::new, |who| format!(" by {who}"));
        let taken = match (signal.refused, signal.taken_by) {
            (Some(error), _) => format!("set aside: {error}"),
            (None, Some(step)) => format!("taken by `{step}`"),
            (None, None) => "not taken yet".to_owned(),
        };
        format!("{}  `{}`{by}: {taken}", time(signal.sent_at), signal.name)
    });
    tell("signals", signals.collect());
    let events = site.events(id).await?;
    tell("events", events.iter().map(event).collect());
    Ok(text)
}

fn link(link: &LinkRecord) -> String {
    let LinkRecord {
        intent,
        relation,
        other,
        resource,
        at,
    } = link;
    format!(
        "{}  {intent} {} {other} on {resource}",
        time(*at),
        relation.as_str()
    )
}

/// What the engine noted says itself who did what; what a person did is told with the person's reason.
fn event(event: &EventRecord) -> String {
    let at = time(event.at);
    match (event.actor.as_str(), &event.reason) {
        ("intendant", Some(reason)) => format!("{at}  {reason}"),
        (actor, Some(reason)) => format!("{at}  {} by {actor}: {reason}", event.verb),
        (actor, None) => format!("{at}  {} by {actor}", event.verb),
    }
}

fn tell_record(text: &mut String, record: &IntentRecord) -> std::fmt::Result {
    writeln!(text, "{}  {}  {}", record.id, record.kind, record.state)?;
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push_str(&format!("  {name:<12} {}\n", one_line(&value)));
        }
    };
    line("account", record.account.clone());
    for used in &record.resources {
        line(
            "resource",
            Some(format!("{} ({})", used.resource, used.mode.as_str())),
        );
    }
    for (name, value) in &record.labels {
        line("label", Some(format!("{name}={value}")));
    }
    line("requested by", record.requested_by.clone());
    line("correlation", record.correlation_id.clone());
    line("trace", record.traceparent.map(|trace| trace.to_string()));
    let at = record.requested_at;
    line("requested", Some(format!("{} ({})", time(at), age(at))));
    let waited = between(Some(at), record.started_at).unwrap_or_default();
    line(
        "started",
        record
            .started_at
            .map(|at| format!("{} after {waited}", time(at))),
    );
    line(
        "finished",
        record
            .finished_at
            .map(|at| format!("{} after {}", time(at), took(record))),
    );
    match record.state {
        IntentState::Failed => line("failed", Some(what(record))),
        IntentState::Waiting
        | IntentState::Blocked
        | IntentState::Ready
        | IntentState::Running
        | IntentState::Undoing
        | IntentState::Succeeded
        | IntentState::Cancelled => {}
    }
    match record.payload_removed_at {
        Some(at) => line(
            "payloads",
            Some(format!("removed {} by retention", time(at))),
        ),
        None => line("input", Some(record.input.get().to_owned())),
    }
    line("output", said_output(record.output.as_deref()));
    line("parent", record.parent_id.map(|parent| parent.to_string()));
    Ok(())
}

fn steps(steps: &[StepRecord], intent: IntentState, width: Option<usize>) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let mut table = Table::new([
        ("step", Fit::Whole),
        ("state", Fit::Whole),
        ("attempt", Fit::Optional(1)),
        ("started", Fit::Whole),
        ("took", Fit::Whole),
        ("says", Fit::Cut(16)),
    ]);
    for step in steps {
        table.row([
            step.name.clone(),
            step.state.to_string(),
            match step.attempt {
                0 => String::new(),
                attempt => attempt.to_string(),
            },
            step.started_at.map(age).unwrap_or_default(),
            between(step.started_at, step.finished_at).unwrap_or_default(),
            says(step, intent),
        ]);
    }
    format!("\n{}", table.render(width))
}

/// What it has come to, if that says anything.
fn said_output(output: Option<&RawValue>) -> Option<String> {
    let output = output.map(|output| output.get().to_owned());
    output.filter(|output| output != "null")
}

fn says(step: &StepRecord, intent: IntentState) -> String {
    let queue = step.queue.as_ref();
    let queue = queue.map(|queue| format!("in queue {queue}"));
    let said = Some(said(step, intent)).filter(|said| !said.is_empty());
    queue.into_iter().chain(said).collect::<Vec<_>>().join("; ")
}

fn said(step: &StepRecord, intent: IntentState) -> String {
    // What a dead worker was running keeps saying so until another one takes it up.
    if step.state == StepState::Running && intent != IntentState::Running && step.queue.is_none() {
        return "its worker is gone".to_owned();
    }
    let due = step
        .due_at
        .filter(|_| step.state == StepState::Waiting)
        .map(|at| format!("due {}", ahead(at)));
    let said = step
        .error
        .clone()
        .or_else(|| said_output(step.output.as_deref()))
        .or_else(|| step.progress_words());
    due.into_iter().chain(said).collect::<Vec<_>>().join(": ")
}
