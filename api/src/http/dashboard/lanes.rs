//! Queues and schedules: what there is, and the forms by which people pause them and have them go on.

use axum::response::Response;
use chrono::TimeDelta;
use intendant::{QueueRecord, ScheduleRecord};
use maud::{Markup, html};

use super::door::see;
use super::form::Form;
use super::frame::{self, Html, Live, nothing};
use super::place::{Place, Seat};
use super::words::{ago, ahead, id, line, linked, signed};
use crate::http::lanes::{partitions, rate};
use crate::http::problem::Problem;
use crate::http::verbs::check;
use crate::output::words;

/// Most of them on a page.
const ENTRIES: usize = 200;

pub(super) async fn queues(seat: Seat) -> Result<Html, Problem> {
    let mut queues = seat.access.everything()?.queues().await?;
    let more = queues.len().saturating_sub(ENTRIES);
    queues.truncate(ENTRIES);
    let main = html! {
        h1 { "Queues" }
        div #lanes data-part {
            @if queues.is_empty() { (nothing("None that anybody has named.")) }
            @for (index, queue) in queues.iter().enumerate() { (queue_card(&seat, queue, index)) }
            @if more > 0 { p .muted { "And " (more) " more." } }
        }
    };
    Ok(frame::page(&seat, "Queues", &Live::Often, &main))
}

fn queue_card(seat: &Seat, queue: &QueueRecord, index: usize) -> Markup {
    let place = &seat.place;
    let oldest = queue
        .oldest_s
        .map(|s| words::span(TimeDelta::seconds(i64::try_from(s).unwrap_or(0))));
    html! {
        section .card {
            h2 { (line(&queue.name)) " " @if queue.paused_at.is_some() { (signed("paused", "◫")) } }
            (paused(place, queue.paused_at, queue.paused_by.as_deref(), queue.pause_reason.as_deref()))
            dl .facts {
                dt { "In line" } dd { (queue.ready) @if let Some(oldest) = oldest { ", the oldest for " (oldest) } }
                dt { "Workers" } dd { (queue.workers) @if queue.workers == 0 && queue.ready > 0 { " " (signed("unserved", "!")) } }
                dt { "At once" } dd { @match queue.slots { Some(slots) => { "at most " (slots) ", " (queue.lent) " lent" }, None => "no limit" } }
                @if let Some(rate) = &queue.rate { dt { "Rate" } dd { "at most " (rate) ", " (rate.at_once()) " at once" } }
                @if let Some(by) = &queue.partition_by { dt { "Turns" } dd { "by " (line(by)) @if let Some(limit) = queue.partition_limit { ", at most " (limit) " of one at once" } } }
                @if let Some(cap) = queue.cap { dt { "Cap" } dd { "at most " (cap) " in line " @if queue.full { (signed("full", "!")) } } }
            }
            @if seat.may_act() {
                div .acts {
                    @match queue.paused_at {
                        None => (change(place, "/queues", &format!("q{index}-pause"), &queue.name, "pause", "Pause", &html! {})),
                        Some(_) => (change(place, "/queues", &format!("q{index}-resume"), &queue.name, "resume", "Resume", &html! {})),
                    }
                    (change(place, "/queues", &format!("q{index}-limit"), &queue.name, "limit", "Limit", &html! {
                        label { "Steps at once; nothing: no limit"
                            input type="number" name="slots" min="1" max="1000000" value=(queue.slots.map(|n| n.to_string()).unwrap_or_default());
                        }
                    }))
                    (change(place, "/queues", &format!("q{index}-cap"), &queue.name, "cap", "Cap", &html! {
                        label { "In line before it refuses requests; nothing: any number"
                            input type="number" name="cap" min="1" max="1000000000" value=(queue.cap.map(|n| n.to_string()).unwrap_or_default());
                        }
                    }))
                    (change(place, "/queues", &format!("q{index}-partition"), &queue.name, "partition", "Turns", &html! {
                        label { "Take turns by account, resource:server or input:/customer/id; nothing: in the order of requests"
                            input name="by" maxlength="210" value=(queue.partition_by.as_deref().unwrap_or_default());
                        }
                        label { "Of one at once; nothing: no limit"
                            input type="number" name="at_once" min="1" max="1000000" value=(queue.partition_limit.map(|n| n.to_string()).unwrap_or_default());
                        }
                    }))
                    (change(place, "/queues", &format!("q{index}-rate"), &queue.name, "rate", "Rate", &html! {
                        label { "Steps in a time, as in 100/s or 500/h; nothing: any"
                            input name="rate" maxlength="100" value=(queue.rate.map(|rate| rate.to_string()).unwrap_or_default());
                        }
                        label { "At once after a pause; nothing: as many as in a tenth of a second"
                            input type="number" name="burst" min="1" max="1000000" value=(queue.rate.map(|rate| rate.at_once().to_string()).unwrap_or_default());
                        }
                    }))
                }
            }
        }
    }
}

fn paused(
    place: &Place,
    at: Option<chrono::DateTime<chrono::Utc>>,
    by: Option<&str>,
    reason: Option<&str>,
) -> Markup {
    html! {
        @if let Some(at) = at {
            p { "Paused " (ago(at)) @if let Some(by) = by { " by " (line(by)) } @if let Some(reason) = reason { ": " (linked(place, reason)) } }
        }
    }
}

fn change(
    place: &Place,
    path: &str,
    form_id: &str,
    name: &str,
    verb: &str,
    said: &str,
    more: &Markup,
) -> Markup {
    html! {
        details #(form_id) {
            summary .button { (said) }
            form .act method="post" action=(place.to(path)) {
                input type="hidden" name="name" value=(name);
                input type="hidden" name="verb" value=(verb);
                (more)
                label { "Why" textarea name="reason" required rows="2" maxlength="2000" {} }
                button .main type="submit" { (said) }
            }
        }
    }
}

pub(super) async fn change_queue(seat: Seat, form: Form) -> Result<Response, Problem> {
    let (engine, who) = (seat.access.everything()?, seat.access.who());
    let (name, reason) = (form.must("name")?, form.reason()?);
    let reason = check(Some(&reason))?;
    match form.must("verb")? {
        "pause" => engine.pause_queue(name, who, reason).await?,
        "resume" => engine.resume_queue(name, who, reason).await?,
        "limit" => {
            let slots = form.get("slots").map(str::parse).transpose();
            let slots = slots
                .map_err(|_| Problem::invalid("the limit is a number of steps, or nothing"))?;
            engine.limit_queue(name, slots, who, reason).await?
        }
        "cap" => {
            let cap = form.get("cap").map(str::parse).transpose();
            let cap =
                cap.map_err(|_| Problem::invalid("the cap is a number of tasks, or nothing"))?;
            engine.cap_queue(name, cap, who, reason).await?
        }
        "partition" => {
            let at_once = form.get("at_once").map(str::parse).transpose();
            let at_once = at_once
                .map_err(|_| Problem::invalid("the limit is a number of tasks, or nothing"))?;
            let turns = partitions(form.get("by"), at_once)?;
            engine.partition_queue(name, turns, who, reason).await?
        }
        "rate" => {
            let burst = form.get("burst").map(str::parse).transpose();
            let burst = burst
                .map_err(|_| Problem::invalid("what may begin at once is a number, or nothing"))?;
            let rate = rate(form.get("rate"), burst)?;
            engine.rate_queue(name, rate, who, reason).await?
        }
        verb => {
            return Err(Problem::invalid(format!(
                "`{verb}` is nothing that is done to a queue"
            )));
        }
    };
    Ok(see(&seat.place.to("/queues")))
}

pub(super) async fn schedules(seat: Seat) -> Result<Html, Problem> {
    let mut schedules = seat.access.everything()?.schedules().await?;
    let more = schedules.len().saturating_sub(ENTRIES);
    schedules.truncate(ENTRIES);
    let main = html! {
        h1 { "Schedules" }
        div #lanes data-part {
            @if schedules.is_empty() { (nothing("None: workers declare them in code.")) }
            @for (index, schedule) in schedules.iter().enumerate() { (schedule_card(&seat, schedule, index)) }
            @if more > 0 { p .muted { "And " (more) " more." } }
        }
    };
    Ok(frame::page(&seat, "Schedules", &Live::Often, &main))
}

fn schedule_card(seat: &Seat, schedule: &ScheduleRecord, index: usize) -> Markup {
    let place = &seat.place;
    let form = |verb: &str, said: &str| {
        let form_id = format!("s{index}-{verb}");
        change(
            place,
            "/schedules",
            &form_id,
            &schedule.name,
            verb,
            said,
            &html! {},
        )
    };
    html! {
        section .card {
            h2 { (line(&schedule.name)) " " @if schedule.paused_at.is_some() { (signed("paused", "◫")) } }
            (paused(place, schedule.paused_at, schedule.paused_by.as_deref(), schedule.pause_reason.as_deref()))
            dl .facts {
                dt { "Asks for" } dd { a href=(place.kind(&schedule.kind)) { (line(&schedule.kind)) } }
                dt { "When" } dd { code { (line(&schedule.when)) } ", late ticks: " (schedule.catch_up) }
                dt { "Next" } dd { @match schedule.next_at { Some(at) if schedule.paused_at.is_none() => (ahead(at)), _ => "–" } }
                dt { "Workers" } dd { (schedule.workers) @if schedule.workers == 0 { " " (signed("unserved", "!")) } }
                @if let Some(tick) = &schedule.latest {
                    dt { "Latest" }
                    dd {
                        (tick.state.as_str()) " " (ago(tick.at))
                        @if let Some(intent) = tick.intent { " " (id(place, intent)) }
                        @if let Some(error) = &tick.error { ": " (linked(place, &line(error))) }
                    }
                }
            }
            @if seat.may_act() {
                div .acts {
                    @match schedule.paused_at { None => (form("pause", "Pause")), Some(_) => (form("resume", "Resume")) }
                    (form("run", "Run now"))
                }
            }
        }
    }
}

pub(super) async fn change_schedule(seat: Seat, form: Form) -> Result<Response, Problem> {
    let (engine, who) = (seat.access.everything()?, seat.access.who());
    let (name, reason) = (form.must("name")?, form.reason()?);
    let reason = check(Some(&reason))?;
    match form.must("verb")? {
        "pause" => engine.pause_schedule(name, who, reason).await.map(drop)?,
        "resume" => engine.resume_schedule(name, who, reason).await.map(drop)?,
        "run" => engine.run_schedule(name, who, reason).await.map(drop)?,
        verb => {
            return Err(Problem::invalid(format!(
                "`{verb}` is nothing that is done to a schedule"
            )));
        }
    }
    Ok(see(&seat.place.to("/schedules")))
}
