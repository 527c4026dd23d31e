//! One intent: where it is and why, what can be done about it, when what ran, what it was given and has come to, what people did.

use std::collections::BTreeMap;

use chrono::Utc;
use intendant::{
    AttemptRecord, ChildRecord, EventRecord, Graph, IntentId, IntentRecord, IntentState,
    LinkRecord, SignalRecord, StepRecord, StepState,
};
use maud::{Markup, html};
use serde_json::Value;

use super::act;
use super::form::Asked;
use super::frame::{self, Html, Live};
use super::place::{Place, Seat};
use super::timeline;
use super::words::{
    ago, ahead, badge, exact, id, line, linked, payload, short_payload, step_badge, what,
};
use crate::drawing::Drawing;
use crate::http::intents::{self, Since};
use crate::http::parts::{Answer, Id, Search};
use crate::http::problem::Problem;
use crate::output::words;

/// Steps on a page; what has failed, runs or waits comes first.
const STEPS: usize = 200;
/// Most of everything else.
const ENTRIES: usize = 100;

pub(super) async fn page(seat: Seat, Id(intent): Id, Asked(form): Asked) -> Result<Html, Problem> {
    let access = || seat.access.clone();
    let after: u32 = match form.get("events") {
        Some(after) => after
            .parse()
            .map_err(|_| Problem::invalid("`events` is no number"))?,
        None => 0,
    };
    let from: usize = match form.get("steps") {
        Some(from) => from
            .parse()
            .map_err(|_| Problem::invalid("`steps` is no number"))?,
        None => 0,
    };
    let Answer(record) = intents::get(access(), Id(intent)).await?;
    let Answer(why) = intents::why(access(), Id(intent)).await?;
    let steps = intents::steps_for_people(&seat.access, intent).await?;
    let attempts = intents::some_attempts(&seat.access, intent, None).await?;
    let Answer(plan) = intents::graph(access(), Id(intent)).await?;
    let Answer(events) = intents::events(access(), Id(intent), Search(Since { after })).await?;
    let children = intents::some_children(&seat.access, intent, None).await?;
    let links = intents::some_links(&seat.access, intent, None).await?;
    let signals = intents::some_signals(&seat.access, intent, None).await?;
    let place = &seat.place;
    let main = html! {
        div #head data-part {
            header .title { h1 { (line(&record.kind)) } (badge(record.state)) }
            p .muted.id { (record.id) }
            (situation(&seat, &record, &why))
            (facts(place, &record))
        }
        @if seat.may_act() { div #acts data-part { (verbs(place, &record, &steps)) } }
        section aria-labelledby="h-time" {
            h2 #h-time { "Timeline" }
            div #time data-part { (timeline::waterfall(place, &record, &steps, &attempts, Utc::now())) }
        }
        @if let Some(plan) = plan.as_ref().filter(|plan| plan.steps.len() > 1) {
            section aria-labelledby="h-graph" {
                h2 #h-graph { "Graph" }
                div #graph data-part { (drawing(place, record.id, plan)) }
            }
        }
        section aria-labelledby="h-steps" { h2 #h-steps { "Steps" } div #steps data-part { (table(place, &record, &steps, from)) } }
        div .halves {
            section aria-labelledby="h-input" {
                h2 #h-input { "Input" }
                (payload(&record.input, &place.with(&format!("/intents/{intent}/payload"), [("of", "input")])))
            }
            section #output data-part aria-labelledby="h-output" {
                h2 #h-output { "Output" }
                @match &record.output {
                    Some(output) => (payload(output, &place.with(&format!("/intents/{intent}/payload"), [("of", "output")]))),
                    None => p .nothing { "None" @if !record.state.is_finished() { " yet" } "." },
                }
            }
        }
        div #rest data-part {
            (failed_attempts(place, &record, &attempts))
            (relatives(place, &children, &links, &signals))
            section aria-labelledby="h-events" {
                h2 #h-events { "Events" }
                @if events.events.is_empty() { p .nothing { "Nobody has done anything to it." } }
                @else { (told(place, &events.events)) }
                @if let Some(next) = events.next { p { a href=(place.with(&place.path, [("events", next.to_string().as_str())])) { "Later events" } } }
            }
        }
    };
    let live = match record.state {
        IntentState::Succeeded | IntentState::Cancelled => Live::No,
        _ => Live::Stream(place.to(&format!("/intents/{intent}/live"))),
    };
    Ok(frame::page(
        &seat,
        &format!("{} {}", record.kind, record.state),
        &live,
        &main,
    ))
}

/// Why it waits, or what went wrong: what one has come to read.
fn situation(seat: &Seat, record: &IntentRecord, why: &Value) -> Markup {
    let place = &seat.place;
    let words = why["words"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    html! {
        @match record.state {
            IntentState::Succeeded | IntentState::Cancelled => {},
            IntentState::Failed => {
                div .said.bad {
                    p { strong { "Failed" @if let Some(step) = &record.failed_step { " in " a href=(place.step(record.id, step)) { (line(step)) } } }
                        @if let Some(reason) = &record.reason { span .muted { " · " (reason) } } }
                    pre .error tabindex="0" { (record.error.as_deref().unwrap_or("no error was kept")) }
                    @if let Some(parent) = record.parent_id { p { "It was asked for by " (id(place, parent)) ": whoever resumes that one resumes it, too." } }
                    @for said in words.skip(1) { p { (linked(place, said)) } }
                }
            },
            IntentState::Blocked | IntentState::Ready | IntentState::Running | IntentState::Waiting | IntentState::Undoing => {
                div .said {
                    p { strong { @if record.state == IntentState::Running { "Now" } @else { "Why it waits" } } }
                    ul { @for said in words { li { (linked(place, said)) } } }
                }
            },
        }
    }
}

fn facts(place: &Place, record: &IntentRecord) -> Markup {
    let queued = words::between(Some(record.requested_at), record.started_at);
    html! {
        dl .facts {
            @if let Some(account) = &record.account { dt { "Account" } dd { a href=(place.account(account)) { (account) } } }
            @if let Some(by) = &record.requested_by { dt { "Asked for by" } dd { (by) } }
            dt { "Requested" } dd { (exact(record.requested_at)) }
            @if let Some(at) = record.started_at { dt { "Started" } dd { (exact(at)) @if let Some(queued) = &queued { ", after " (queued) } } }
            @if let Some(at) = record.finished_at { dt { "Finished" } dd { (exact(at)) @if record.started_at.is_some() { ", ran for " (words::took(record)) } } }
            @if let Some(at) = record.payload_removed_at { dt { "Payloads" } dd { "removed by retention " (exact(at)) } }
            @if let Some(at) = record.run_at.filter(|_| record.started_at.is_none()) { dt { "Not before" } dd { (exact(at)) } }
            @if record.state == IntentState::Waiting { dt { "Waits" } dd { (linked(place, &what(record))) } }
            dt { "Queue" } dd { (record.queue) }
            @if record.priority != 0 { dt { "Priority" } dd { (record.priority) } }
            @if !record.resources.is_empty() {
                dt { "Resources" }
                dd { @for (index, used) in record.resources.iter().take(ENTRIES).enumerate() {
                    @if index > 0 { ", " }
                    a href=(place.with("/intents", [("resource", used.resource.as_str())])) { (used.resource) } span .muted { " " (used.mode.as_str()) }
                } }
            }
            @if !record.labels.is_empty() {
                dt { "Labels" }
                dd { @for (index, (name, value)) in record.labels.iter().enumerate() {
                    @if index > 0 { ", " }
                    @let label = format!("{name}={value}");
                    a href=(place.with("/intents", [("label", label.as_str())])) { (label) }
                } }
            }
            @if let Some(parent) = record.parent_id { dt { "Parent" } dd { (id(place, parent)) @if let Some(step) = &record.parent_step { ", its step " a href=(place.step(parent, step)) { (step) } } } }
            @if let Some(correlation) = &record.correlation_id { dt { "Correlation" } dd { code { (correlation) } } }
        }
    }
}

/// The plan as a picture, as far as there is something to see.
fn drawing(place: &Place, id: IntentId, graph: &Graph) -> Markup {
    let drawing = Drawing::of(graph);
    let (boxes, steps) = (drawing.boxes(), drawing.steps);
    html! {
        @match drawing.on_page(|step| place.step(id, step)) {
            _ if boxes < 2 => {},
            Some(picture) => {
                div .scroll.graph tabindex="0" role="region" aria-label="Graph of the plan" { (picture) }
                @if boxes < steps { p .muted { (steps) " steps, folded by name." } }
            },
            None => { p .muted { (steps) " steps of " (boxes) " sorts, each after many others: too many for a picture." } },
        }
    }
}

fn verbs(place: &Place, record: &IntentRecord, steps: &[StepRecord]) -> Markup {
    let waits = matches!(record.state, IntentState::Waiting | IntentState::Running);
    html! {
        div .acts {
            (act::forms(place, record.id, act::offers(record.state), None, record.state == IntentState::Failed))
            @if record.state == IntentState::Failed { (act::amend_form(place, record)) }
            @if waits { (act::signal_form(place, record.id, steps)) }
        }
    }
}

fn table(place: &Place, record: &IntentRecord, steps: &[StepRecord], from: usize) -> Markup {
    let mut steps: Vec<&StepRecord> = steps.iter().collect();
    let many = steps.len() > STEPS;
    if many {
        // Their order is kept otherwise.
        steps.sort_by_key(|step| match step.state {
            StepState::Failed => 0,
            StepState::Running | StepState::Waiting => 1,
            StepState::Pending | StepState::Succeeded | StepState::Skipped | StepState::Undone => 2,
        });
    }
    let shown = steps.iter().skip(from).take(STEPS);
    let next = from.saturating_add(STEPS);
    html! {
        @if many { p { (counts(&steps)) } }
        @if steps.is_empty() { p .nothing { "No worker has made its plan yet." } }
        @else {
            div .scroll tabindex="0" role="region" aria-label="Steps" {
                table .flow {
                    thead { tr { th scope="col" { "State" } th scope="col" { "Step" } th .num .opt scope="col" { "Attempt" } th .num .opt scope="col" { "Started" } th .num scope="col" { "Took" } th .wide scope="col" { "Says" } } }
                    tbody { @for step in shown { (step_row(place, record, step)) } }
                }
            }
        }
        @if from > 0 { a href=(place.to(&place.path)) { "First steps" } " " }
        @if next < steps.len() { a href=(place.with(&place.path, [("steps", next.to_string().as_str())])) { "More steps" } }
    }
}

fn counts(steps: &[&StepRecord]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in steps {
        *counts.entry(step.state.as_str()).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    format!("{} steps: {}.", steps.len(), counts.join(", "))
}

fn step_row(place: &Place, record: &IntentRecord, step: &StepRecord) -> Markup {
    html! {
        tr {
            td { (step_badge(step.state)) }
            td .name { a href=(place.step(record.id, &step.name)) { (line(&step.name)) }
                @if step.generation > 1 { span .muted { " time " (step.generation) } } }
            td .num .opt { @if step.attempt > 0 { (step.attempt) } }
            td .num .opt { @if let Some(at) = step.started_at { (ago(at)) } }
            td .num { (words::between(step.started_at, step.finished_at).unwrap_or_default()) }
            td .wide { (says(place, step)) }
        }
    }
}

pub(super) fn says(place: &Place, step: &StepRecord) -> Markup {
    let output = step.output.as_ref().map(|output| line(output.get()));
    html! {
        @if let Some(queue) = &step.queue { span .muted { "in queue " (line(queue)) " " } }
        @if let Some(at) = step.due_at.filter(|_| step.state == StepState::Waiting) { "due " (ahead(at)) " " }
        @if let Some(error) = &step.error { (linked(place, &line(error))) }
        @else if let Some(output) = output.filter(|output| output != "null") { code { (output) } }
        @else if let Some(progress) = step.progress_words() { (line(&progress)) }
    }
}

fn failed_attempts(place: &Place, record: &IntentRecord, attempts: &[AttemptRecord]) -> Markup {
    let more = attempts.len().saturating_sub(ENTRIES);
    html! {
        @if !attempts.is_empty() {
            section aria-labelledby="h-attempts" {
                h2 #h-attempts { "Failed attempts" }
                ul .story {
                    @for attempt in attempts.iter().rev().take(ENTRIES) {
                        li {
                            span .muted { (ago(attempt.finished_at)) } " "
                            span { a href=(place.step(record.id, &attempt.step)) { (line(&attempt.step)) } ", attempt " (attempt.attempt)
                                " (" (line(&attempt.failure)) "): " (linked(place, &line(&attempt.error)))
                                @if let Some(at) = attempt.retry_at { span .muted { "; next " (ahead(at)) } } }
                        }
                    }
                }
                @if more > 0 { p .muted { "And " (more) " before these." } }
            }
        }
    }
}

fn relatives(
    place: &Place,
    children: &[ChildRecord],
    links: &[LinkRecord],
    signals: &[SignalRecord],
) -> Markup {
    let more = children.len().saturating_sub(ENTRIES);
    html! {
        @if !children.is_empty() {
            section aria-labelledby="h-children" {
                h2 #h-children { "Children" }
                ul .plain { @for child in children.iter().take(ENTRIES) { li { (id(place, child.id)) " " (line(&child.name)) span .muted { ", asked for by " (line(&child.step)) } } } }
                @if more > 0 { p .muted { "And " (more) " more." } }
            }
        }
        @if !links.is_empty() {
            section aria-labelledby="h-links" {
                h2 #h-links { "Conflicts" }
                ul .plain { @for link in links.iter().take(ENTRIES) {
                    li { (ago(link.at)) " " (id(place, link.intent)) " " (link.relation.as_str()) " " (id(place, link.other)) " on " (line(&link.resource)) }
                } }
            }
        }
        @if !signals.is_empty() {
            section aria-labelledby="h-signals" {
                h2 #h-signals { "Signals" }
                ul .plain { @for signal in signals.iter().take(ENTRIES) {
                    li {
                        (ago(signal.sent_at)) " " strong { (line(&signal.name)) }
                        @if let Some(by) = &signal.sent_by { " by " (line(by)) }
                        @match (&signal.refused, &signal.taken_by) {
                            (Some(error), _) => { ", set aside: " (linked(place, &line(error))) },
                            (None, Some(step)) => { ", taken by " (line(step)) },
                            (None, None) => ", not taken yet",
                        }
                        @if let Some(payload) = &signal.payload { (short_payload(payload)) }
                    }
                } }
            }
        }
    }
}

fn told(place: &Place, events: &[EventRecord]) -> Markup {
    html! {
        ol .story {
            @for event in events.iter().rev() {
                li {
                    span .muted { (exact(event.at)) } " "
                    span {
                        @match (event.actor.as_str(), &event.reason) {
                            ("intendant", Some(reason)) => (linked(place, reason)),
                            (actor, reason) => {
                                strong { (line(&event.verb)) } " by " (line(actor))
                                @if let Some(reason) = reason { ": " (linked(place, reason)) }
                            },
                        }
                    }
                }
            }
        }
    }
}
