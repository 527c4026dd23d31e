//! The overview: first what needs somebody, then what there is to do and how fast it goes.
//!
//! Nothing here is counted in the history. What waits and runs is counted in the small live tables; how fast it goes is told of
//! the latest page of intents, whatever came before; the plot of the backlog is what this server has seen while somebody looked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use chrono::TimeDelta;
use intendant::{
    Alert, AlertFilter, IntentRecord, IntentState, QueueRecord, Unfinished, WorkerRecord,
};
use maud::{Markup, html};

use super::account;
use super::failures;
use super::filter::Filter;
use super::frame::{self, Html, Live, nothing};
use super::list::{Columns, table};
use super::place::{Place, Seat};
use super::words::{ago, line, linked, signed};
use crate::http::problem::Problem;
use crate::output::words;

/// How often the backlog is kept, at most, and how many of these.
const EVERY: Duration = Duration::from_secs(5);
const KEPT: usize = 120;
/// Of how many intents it is told how fast it goes.
const LATEST: u32 = 100;
const ALERTS: u32 = 20;
const FAILED: usize = 8;

/// What the backlog was while somebody looked.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<VecDeque<(Instant, i64)>>>);

impl Seen {
    /// Adds what is now, and gives what there is.
    fn with(&self, total: i64, now: Instant) -> Vec<i64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = seen
            .back()
            .is_none_or(|(at, _)| now.duration_since(*at) >= EVERY);
        if is_due {
            seen.push_back((now, total));
        }
        while seen.len() > KEPT {
            seen.pop_front();
        }
        seen.iter().map(|(_, total)| *total).collect()
    }
}

pub(super) async fn page(seat: Seat, Extension(seen): Extension<Seen>) -> Result<Html, Problem> {
    if let Some(own) = seat.access.own_account() {
        let own = own.to_owned();
        return account::account(&seat, &own, None).await;
    }
    let engine = seat.access.everything()?;
    let alerts = engine
        .alerts(AlertFilter {
            limit: Some(ALERTS),
            ..AlertFilter::default()
        })
        .await?;
    let (unfinished, workers, queues) = (
        engine.unfinished().await?,
        engine.workers().await?,
        engine.queues().await?,
    );
    let mut failed = failures::newest(&seat, None).await?;
    let more_failed = failed.next.is_some() || failed.intents.len() > FAILED;
    failed.intents.truncate(FAILED);
    let latest = Filter::default().to_engine(chrono::Utc::now())?;
    let latest = seat
        .access
        .page(intendant::IntentFilter {
            limit: Some(LATEST),
            ..latest
        })
        .await?;
    let backlog = seen.with(unfinished.total(), Instant::now());
    let place = &seat.place;
    let main = html! {
        h1 { "Overview" }
        div #overview data-part {
            section aria-labelledby="attention" {
                h2 #attention { "Needs somebody" }
                (attention(place, &alerts, &workers, &queues, &unfinished))
                @if !failed.intents.is_empty() {
                    h3 { "Failed" @if more_failed { " " a .more href=(place.to("/failures")) { "all of them, in groups" } } }
                    (table(place, &failed.intents, Columns { account: true, choose: false }))
                }
            }
            section aria-labelledby="now" { h2 #now { "Now" } (now(place, &unfinished, &workers, &backlog)) }
            section aria-labelledby="latest" { h2 #latest { "The latest " (latest.intents.len()) " intents" } (pace(place, &latest.intents)) }
            @if !queues.is_empty() { section aria-labelledby="queues" { h2 #queues { "Queues" } (waiting(place, &queues)) } }
        }
    };
    Ok(frame::page(&seat, "Overview", &Live::Often, &main))
}

fn attention(
    place: &Place,
    alerts: &[Alert],
    workers: &[WorkerRecord],
    queues: &[QueueRecord],
    unfinished: &Unfinished,
) -> Markup {
    let alive = workers
        .iter()
        .filter(|worker| worker.silent_ms <= worker.lease_ms)
        .count();
    let silent = workers.len() - alive;
    let paused: Vec<_> = queues
        .iter()
        .filter(|queue| queue.paused_at.is_some())
        .collect();
    let is_idle = alive == 0 && unfinished.total() > 0;
    html! {
        @if alerts.is_empty() && paused.is_empty() && silent == 0 && !is_idle { (nothing("No alerts, no silent workers, no paused queues.")) }
        @else {
            ul .story {
                @if is_idle {
                    li { (signed("failed", "✕")) " " span { "No worker is alive, and " (unfinished.total()) " tasks are unfinished. " a href=(place.to("/workers")) { "Workers" } } }
                }
                @for alert in alerts { li { (signed("alert", "!")) " " span { (about(place, alert)) } } }
                @if silent > 0 && !is_idle {
                    li { (signed("silent", "✕")) " " span { (words::count(silent, "worker")) " not heard of for longer than the lease. " a href=(place.to("/workers")) { "Workers" } } }
                }
                @for queue in paused {
                    li { (signed("paused", "◫")) " " span { "Queue " a href=(place.to("/queues")) { (line(&queue.name)) } " is paused by "
                        (line(queue.paused_by.as_deref().unwrap_or("somebody")))
                        @if let Some(reason) = &queue.pause_reason { ": " (linked(place, &line(reason))) } } }
                }
            }
            @if alerts.len() == ALERTS as usize { p .muted { "And maybe more alerts." } }
        }
    }
}

fn about(place: &Place, alert: &Alert) -> Markup {
    html! {
        strong { (alert.kind) } ": " (linked(place, &line(&alert.text))) " " span .muted { "since " (ago(alert.since)) }
        @if let Some(id) = alert.intent { " " a href=(place.intent(id)) { "the intent" } }
        @else if let Some(kind) = &alert.intent_kind { " " a href=(place.with("/intents", [("kind", kind.as_str())])) { (line(kind)) } }
    }
}

fn now(
    place: &Place,
    unfinished: &Unfinished,
    workers: &[WorkerRecord],
    backlog: &[i64],
) -> Markup {
    let state = |state: IntentState| {
        Filter {
            state: Some(state),
            ..Filter::default()
        }
        .link(place, "/intents")
    };
    let alive = workers
        .iter()
        .filter(|worker| worker.silent_ms <= worker.lease_ms);
    let free: i64 = alive.clone().map(|worker| worker.free).sum();
    let numbers = [
        (
            "in line for a worker",
            unfinished.ready,
            Some(state(IntentState::Ready)),
        ),
        (
            "held by workers",
            unfinished.running,
            Some(state(IntentState::Running)),
        ),
        (
            "waiting",
            unfinished.parked,
            Some(state(IntentState::Waiting)),
        ),
        (
            "behind others",
            unfinished.blocked,
            Some(state(IntentState::Blocked)),
        ),
        (
            "workers alive",
            alive.count() as i64,
            Some(place.to("/workers")),
        ),
        ("free slots", free, None),
    ];
    html! {
        dl .numbers {
            @for (name, number, link) in numbers {
                div { dt { (name) } dd { @match link { Some(link) => a href=(link) { (number) }, None => (number) } } }
            }
        }
        @if backlog.len() > 1 {
            figure { (sparkline(backlog)) figcaption .muted { "Unfinished tasks, as this server has seen them while somebody looked: "
                (backlog.iter().min().copied().unwrap_or_default()) " to " (backlog.iter().max().copied().unwrap_or_default()) "." } }
        }
    }
}

/// A line without axes: what matters is whether it rises.
fn sparkline(values: &[i64]) -> Markup {
    const WIDTH: f64 = 600.0;
    const HEIGHT: f64 = 40.0;
    let most = values.iter().copied().max().unwrap_or_default().max(1) as f64;
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            format!(
                "{:.1},{:.1}",
                index as f64 * step,
                HEIGHT - 2.0 - (*value as f64 / most) * (HEIGHT - 4.0)
            )
        })
        .collect();
    html! {
        svg .spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label="The backlog over time" {
            polyline points=(points.join(" ")) vector-effect="non-scaling-stroke" {}
        }
    }
}

fn pace(place: &Place, latest: &[IntentRecord]) -> Markup {
    if latest.is_empty() {
        return nothing("Nothing was ever asked for.");
    }
    let spans = |from_to: fn(&IntentRecord) -> Option<TimeDelta>| {
        let mut all: Vec<TimeDelta> = latest.iter().filter_map(from_to).collect();
        all.sort_unstable();
        all
    };
    let queued = spans(|one| Some(one.started_at? - one.requested_at));
    let ran = spans(|one| Some(one.finished_at? - one.started_at?));
    let span = match (latest.last(), latest.first()) {
        (Some(oldest), Some(newest)) => newest.requested_at - oldest.requested_at,
        _ => TimeDelta::zero(),
    };
    let said = |spans: &[TimeDelta]| match (quantile(spans, 50), quantile(spans, 95)) {
        (Some(half), Some(most)) => format!("{} · {}", words::span(half), words::span(most)),
        _ => "–".to_owned(),
    };
    let longest = ran.last().copied().unwrap_or_default();
    html! {
        dl .numbers {
            div { dt { "asked for within" } dd { (words::span(span)) } }
            div { dt { "waited to start, half · 95 of 100" } dd { (said(&queued)) } }
            div { dt { "ran, half · 95 of 100" } dd { (said(&ran)) } }
        }
        figure {
            svg .strip width=(latest.len() * 7) viewBox={ "0 0 " (latest.len() * 7) " 40" } preserveAspectRatio="none" role="img" aria-label="How long each ran, the newest on the right" {
                @for (index, one) in latest.iter().rev().enumerate() {
                    @let height = bar(one, longest);
                    a href=(place.intent(one.id)) tabindex="-1" {
                        rect class={ "f-" (one.state) } x=(index * 7) y=(40 - height) width="5" height=(height) {
                            title { (one.kind) " " (one.state) " " (words::took(one)) }
                        }
                    }
                }
            }
            figcaption .muted { "How long each ran, the newest on the right: " (tally(latest)) }
        }
    }
}

/// Its height, of 40: by the logarithm, since some take milliseconds and some hours.
fn bar(one: &IntentRecord, longest: TimeDelta) -> i64 {
    let ran = one
        .finished_at
        .zip(one.started_at)
        .map(|(to, from)| to - from);
    let size = |span: TimeDelta| (1.0 + span.num_milliseconds().max(0) as f64).ln();
    match ran {
        Some(ran) if longest > TimeDelta::zero() => {
            4 + (36.0 * size(ran) / size(longest).max(1.0)).clamp(0.0, 36.0) as i64
        }
        _ => 4,
    }
}

fn tally(latest: &[IntentRecord]) -> String {
    let count = |state: &IntentState| latest.iter().filter(|one| one.state == *state).count();
    let states = IntentState::ALL.iter().map(|state| (state, count(state)));
    let said: Vec<String> = states
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    format!("{}.", said.join(", "))
}

fn quantile(sorted: &[TimeDelta], percent: usize) -> Option<TimeDelta> {
    let index = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
    sorted.get(index).copied()
}

const QUEUES: usize = 20;

fn waiting(place: &Place, queues: &[QueueRecord]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Queues" {
            table {
                thead { tr { th scope="col" { "Queue" } th .num scope="col" { "In line" } th .num scope="col" { "Oldest" } th .num scope="col" { "Workers" } } }
                tbody { @for queue in queues.iter().take(QUEUES) {
                    tr {
                        td { a href=(place.to("/queues")) { (line(&queue.name)) } }
                        td .num { (queue.ready) }
                        td .num { @if let Some(seconds) = queue.oldest_s { (words::span(TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0)))) } }
                        td .num { (queue.workers) }
                    }
                } }
            }
        }
        @if queues.len() > QUEUES { p { a href=(place.to("/queues")) { "All " (queues.len()) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_is_kept_now_and_then_and_not_for_ever() {
        let (seen, start) = (Seen::default(), Instant::now());
        assert_eq!(seen.with(1, start), [1]);
        assert_eq!(seen.with(2, start + EVERY / 2), [1]);
        assert_eq!(seen.with(3, start + EVERY), [1, 3]);
        let mut all = Vec::new();
        for index in 2..1_000 {
            all = seen.with(index, start + EVERY * u32::try_from(index).unwrap());
        }
        assert_eq!(all.len(), KEPT);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let spans: Vec<_> = (1..=100).map(TimeDelta::seconds).collect();
        assert_eq!(quantile(&spans, 50), Some(TimeDelta::seconds(50)));
        assert_eq!(quantile(&spans, 95), Some(TimeDelta::seconds(95)));
        assert_eq!(quantile(&spans[..1], 95), Some(TimeDelta::seconds(1)));
        assert_eq!(quantile(&[], 50), None);
    }
}
