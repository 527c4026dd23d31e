//! Workers: who is there, what they serve, who has not been heard of.

use std::collections::BTreeMap;

use intendant::WorkerRecord;
use maud::{Markup, html};

use super::frame::{self, Html, Live, nothing};
use super::place::{Place, Seat};
use super::words::{ago, line, signed};
use crate::http::problem::Problem;
use crate::output::words;
use chrono::TimeDelta;

/// Most workers, and most kinds of one of them, on the page.
const WORKERS: usize = 200;
const KINDS: usize = 20;

pub(super) async fn page(seat: Seat) -> Result<Html, Problem> {
    let mut workers = seat.access.everything()?.workers().await?;
    let more = workers.len().saturating_sub(WORKERS);
    workers.truncate(WORKERS);
    let place = &seat.place;
    let main = html! {
        h1 { "Workers" }
        div #workers data-part {
            @if workers.is_empty() { (nothing("None: nothing is carried out until one runs.")) } @else { (table(place, &workers)) }
            @if more > 0 { p .muted { "And " (more) " more." } }
        }
    };
    Ok(frame::page(&seat, "Workers", &Live::Often, &main))
}

/// A worker in a word.
pub(super) fn state(worker: &WorkerRecord) -> Markup {
    match (worker.silent_ms > worker.lease_ms, worker.leaving) {
        (true, _) => signed("silent", "✕"),
        (false, true) => signed("leaving", "–"),
        (false, false) => signed("alive", "✓"),
    }
}

fn table(place: &Place, workers: &[WorkerRecord]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Workers" {
            table {
                thead { tr {
                    th scope="col" { "State" } th scope="col" { "Worker" } th .opt scope="col" { "Host" } th .opt scope="col" { "Build" }
                    th .num scope="col" { "Free" } th .num scope="col" { "Heard of" } th .num .opt scope="col" { "Started" }
                    th .wide scope="col" { "Serves" }
                } }
                tbody { @for worker in workers { (row(place, worker)) } }
            }
        }
    }
}

fn row(place: &Place, worker: &WorkerRecord) -> Markup {
    let mut serves: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for served in &worker.serves {
        serves.entry(&served.queue).or_default().push(&served.kind);
    }
    html! {
        tr {
            td { (state(worker)) }
            td .name { (line(&worker.worker)) }
            td .opt { (line(&worker.host)) span .muted { " pid " (worker.pid) } }
            td .opt { code { (line(&worker.build)) } }
            td .num { (worker.free) }
            td .num { (words::span(TimeDelta::milliseconds(worker.silent_ms))) " ago" }
            td .num .opt { (ago(worker.started_at)) }
            td .wide {
                @for (queue, kinds) in serves {
                    div {
                        a href=(place.to("/queues")) { (line(queue)) } span .muted { ": " }
                        @for (index, kind) in kinds.iter().take(KINDS).enumerate() {
                            @if index > 0 { ", " }
                            a href=(place.kind(kind)) { (line(kind)) }
                        }
                        @if kinds.len() > KINDS { span .muted { " and " (kinds.len() - KINDS) " more" } }
                    }
                }
            }
        }
    }
}
