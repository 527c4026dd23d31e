//! One step: where it is, its attempts with their errors and logs, what it has come to, and what can be done about it.

use intendant::{AttemptRecord, LogRecord, MeasureRecord};
use maud::{Markup, html};

use super::act;
use super::form::Asked;
use super::frame::{self, Html, Live};
use super::place::Seat;
use super::words::{exact, id, line, payload, step_badge};
use crate::http::intents;
use crate::http::parts::{Answer, Id};
use crate::http::problem::Problem;
use crate::output::words;
use chrono::TimeDelta;
use intendant::{IntentState, Mark};

/// Most attempts on the page, the last ones.
const ATTEMPTS: usize = 50;

pub(super) async fn page(seat: Seat, Id(intent): Id, Asked(form): Asked) -> Result<Html, Problem> {
    let name = form.must("name")?;
    let Answer(record) = intents::get(seat.access.clone(), Id(intent)).await?;
    let found = intents::step_for_people(&seat.access, intent, name).await?;
    let step =
        found.ok_or_else(|| Problem::not_found(format!("intent {intent} has no step `{name}`")))?;
    let of_it = || Some(Mark::before_step(name));
    let attempts = intents::some_attempts(&seat.access, intent, of_it()).await?;
    let logs = intents::some_logs(&seat.access, intent, of_it()).await?;
    let measured = intents::some_measurements(&seat.access, intent, of_it()).await?;
    let place = &seat.place;
    let mut tries = tries(name, &attempts, &logs, &measured);
    let more = tries.len().saturating_sub(ATTEMPTS);
    tries.drain(..more);
    let main = html! {
        div #head data-part {
            p { a href=(place.intent(intent)) { (line(&record.kind)) } " " (id(place, intent)) }
            header .title { h1 { (line(name)) } (step_badge(step.state)) }
            @if let Some(error) = &step.error { div .said.bad { pre .error tabindex="0" { (error) } } }
            dl .facts {
                @if step.attempt > 0 { dt { "Attempt" } dd { (step.attempt) } }
                @if step.generation > 1 { dt { "Time round" } dd { (step.generation) } }
                @if let Some(at) = step.started_at { dt { "Started" } dd { (exact(at)) } }
                @if let Some(at) = step.finished_at { dt { "Ended" } dd { (exact(at)) @if let Some(took) = words::between(step.started_at, Some(at)) { ", after " (took) } } }
                @if let Some(at) = step.due_at { dt { "Due" } dd { (exact(at)) } }
                @if let Some(worker) = &step.worker { dt { "Worker" } dd { (line(worker)) } }
                @if let Some(queue) = &step.queue { dt { "Queue" } dd { (line(queue)) } }
                @if let Some(progress) = step.progress_words() { dt { "Says" } dd { (line(&progress)) } }
            }
        }
        @if seat.may_act() { div #acts data-part { div .acts { (act::forms(place, intent, act::step_offers(record.state, step.state), Some(name), false)) } } }
        @if let Some(output) = &step.output {
            h2 { "Output" }
            (payload(output, &place.with(&format!("/intents/{intent}/payload"), [("step", name)])))
        }
        div #tries data-part {
            @if !tries.is_empty() { h2 { "Attempts" } }
            @if more > 0 { p .muted { (more) " before these." } }
            @for one in tries.iter().rev() { (told(one)) }
        }
    };
    let live = match record.state {
        IntentState::Succeeded | IntentState::Cancelled => Live::No,
        _ => Live::Stream(place.to(&format!("/intents/{intent}/live"))),
    };
    Ok(frame::page(
        &seat,
        &format!("{name} {}", step.state),
        &live,
        &main,
    ))
}

/// What is known of one attempt.
#[derive(Default)]
struct Try<'a> {
    generation: i64,
    attempt: i64,
    failed: Option<&'a AttemptRecord>,
    log: Option<&'a LogRecord>,
    measured: Vec<&'a MeasureRecord>,
}

fn tries<'a>(
    step: &str,
    attempts: &'a [AttemptRecord],
    logs: &'a [LogRecord],
    measured: &'a [MeasureRecord],
) -> Vec<Try<'a>> {
    let mut all: Vec<Try<'a>> = Vec::new();
    let mut at = |generation: i64, attempt: i64, set: &dyn Fn(&mut Try<'a>)| {
        let found = all
            .iter_mut()
            .find(|one| (one.generation, one.attempt) == (generation, attempt));
        match found {
            Some(one) => set(one),
            None => {
                let mut one = Try {
                    generation,
                    attempt,
                    ..Try::default()
                };
                set(&mut one);
                all.push(one);
            }
        }
    };
    for one in attempts.iter().filter(|one| one.step == step) {
        at(one.generation, one.attempt, &|found| {
            found.failed = Some(one)
        });
    }
    for one in logs.iter().filter(|one| one.step == step) {
        at(one.generation, one.attempt, &|found| found.log = Some(one));
    }
    for one in measured.iter().filter(|one| one.step == step) {
        at(one.generation, one.attempt, &|found| {
            found.measured.push(one)
        });
    }
    all.sort_by_key(|one| (one.generation, one.attempt));
    all
}

fn told(one: &Try<'_>) -> Markup {
    html! {
        section .card {
            h3 { "Attempt " (one.attempt) @if one.generation > 1 { ", time " (one.generation) } }
            @if let Some(failed) = one.failed {
                p { (line(&failed.failure)) " after " (words::span(failed.finished_at - failed.started_at)) ", " (exact(failed.finished_at)) span .muted { " on " (line(&failed.worker)) } }
                pre .error tabindex="0" { (failed.error) }
                @if let Some(at) = failed.retry_at { p .muted { "Tried again at " (exact(at)) } }
            }
            @if !one.measured.is_empty() {
                dl .facts { @for measure in &one.measured { dt { (line(&measure.name)) } dd { (measure.value) } } }
            }
            @if let Some(log) = one.log { (logged(log)) }
        }
    }
}

fn logged(log: &LogRecord) -> Markup {
    html! {
        @if log.cut_lines > 0 { p .muted { (log.cut_lines) " lines before these were not kept." } }
        div .scroll tabindex="0" role="region" aria-label="Log" {
            table .log { tbody { @for one in &log.lines {
                tr {
                    td .num.muted { "+" (words::span(TimeDelta::microseconds(i64::try_from(one.us).unwrap_or(i64::MAX)))) }
                    td class={ "l-" (level(&one.level)) } { (level(&one.level)) }
                    td .wide { (one.text) span .muted { " " (line(&one.target)) } }
                }
            } } }
        }
    }
}

/// One of the words that there are.
fn level(word: &str) -> &'static str {
    match word {
        "ERROR" => "error",
        "WARN" => "warn",
        "INFO" => "info",
        "DEBUG" => "debug",
        _ => "trace",
    }
}
