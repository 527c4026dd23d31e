//! What has failed, in groups: nine thousand for one reason are one line.

use intendant::FailureGroup;
use maud::{Markup, html};

use super::filter::Filter;
use super::form::Asked;
use super::frame::{self, Html, Live, nothing};
use super::list::find;
use super::place::{Place, Seat};
use super::words::{ago, line, linked};
use crate::http::problem::Problem;
use intendant::IntentState;

/// Most groups on the page.
const GROUPS: usize = 100;

pub(super) async fn page(seat: Seat, Asked(form): Asked) -> Result<Html, Problem> {
    let filter = Filter {
        state: None,
        before: None,
        ..Filter::of(&form)?
    };
    let mut failures = seat
        .access
        .failures(filter.to_engine(chrono::Utc::now())?)
        .await?;
    let more = failures.groups.len().saturating_sub(GROUPS);
    failures.groups.truncate(GROUPS);
    let place = &seat.place;
    let main = html! {
        h1 { "Failures" }
        (filter.form(place, "/failures", seat.access.own_account()))
        div #failures data-part {
            @if failures.groups.is_empty() { (nothing("Nothing has failed that anybody has to look at.")) }
            @else { (groups(place, &filter, &failures.groups)) }
            @if more > 0 { p .muted { "And " (more) " more groups: a filter makes them fewer." } }
            @if failures.more { p .muted { "There are older ones, which were not counted." } }
        }
    };
    Ok(frame::page(&seat, "Failures", &Live::No, &main))
}

fn groups(place: &Place, filter: &Filter, groups: &[FailureGroup]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Failures" {
            table {
                thead { tr {
                    th .num scope="col" { "Count" } th scope="col" { "Kind" } th scope="col" { "Step" }
                    th .wide scope="col" { "Error" } th .num .opt scope="col" { "First" } th .num scope="col" { "Last" }
                    th scope="col" { span .hidden { "What to do" } }
                } }
                tbody { @for group in groups { (row(place, filter, group)) } }
            }
        }
    }
}

fn row(place: &Place, filter: &Filter, group: &FailureGroup) -> Markup {
    let all = Filter {
        kind: Some(group.kind.clone()),
        state: Some(IntentState::Failed),
        ..filter.clone()
    };
    html! {
        tr {
            td .num { strong { (group.count) } }
            td { a href=(place.kind(&group.kind)) { (line(&group.kind)) } }
            td { (line(group.step.as_deref().unwrap_or_default())) }
            td .wide { span .muted { (line(&group.reason)) ": " } (linked(place, &line(&group.error))) }
            td .num .opt { (ago(group.since)) }
            td .num { (ago(group.last)) }
            td .verbs { a href=(place.intent(group.newest)) { "Newest" } " " a href=(all.link(place, "/intents")) { "List" } }
        }
    }
}

/// The newest failed ones, for pages that begin with what needs somebody.
pub(super) async fn newest(
    seat: &Seat,
    account: Option<&str>,
) -> Result<intendant::IntentPage, Problem> {
    let filter = Filter {
        account: account.map(str::to_owned),
        state: Some(IntentState::Failed),
        ..Filter::default()
    };
    find(&seat.access, &filter).await
}
