//! What has failed, in groups: nine thousand for one reason are one line.

use intendant::FailureGroup;
use maud::{Markup, html};

use super::filter::Filter;
use super::form::Asked;
use super::frame::{self, Html, Live, nothing};
use super::list::find;
use super::place::Seat;
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
            @else { (groups(&seat, &filter, &failures.groups)) }
            @if more > 0 { p .muted { "And " (more) " more groups: a filter makes them fewer." } }
            @if failures.more { p .muted { "There are older ones, which were not counted." } }
        }
    };
    Ok(frame::page(&seat, "Failures", &Live::No, &main))
}

/// Fewer letters are in errors of other groups, too.
const TELLING: usize = 8;

fn groups(seat: &Seat, filter: &Filter, groups: &[FailureGroup]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Failures" {
            table .flow {
                thead { tr {
                    th .num scope="col" { "Count" } th scope="col" { "Kind" } th scope="col" { "Step" }
                    th .wide scope="col" { "Error" } th .num .opt scope="col" { "First" } th .num scope="col" { "Last" }
                    th scope="col" { span .hidden { "What to do" } }
                } }
                tbody { @for group in groups { (row(seat, filter, group)) } }
            }
        }
    }
}

fn row(seat: &Seat, filter: &Filter, group: &FailureGroup) -> Markup {
    let place = &seat.place;
    let same = in_common(&group.error);
    let all = Filter {
        kind: Some(group.kind.clone()),
        state: Some(IntentState::Failed),
        error: same.map(str::to_owned).or(filter.error.clone()),
        ..filter.clone()
    };
    let resume = all.link(place, "/bulk");
    html! {
        tr {
            td .num { strong { (group.count) } }
            td { a href=(place.kind(&group.kind)) { (line(&group.kind)) } }
            td { (line(group.step.as_deref().unwrap_or_default())) }
            td .wide { span .muted { (line(&group.reason)) ": " } (linked(place, &line(&group.error))) }
            td .num .opt { (ago(group.since)) }
            td .num { (ago(group.last)) }
            td .verbs { a href=(place.intent(group.newest)) { "Newest" } " " a href=(all.link(place, "/intents")) { "List" }
                @if seat.may_act() && same.is_some() { " " a href={ (resume) "&verb=resume&to=all" } { "Resume…" } } }
        }
    }
}

/// Errors of one group differ in their numbers: the longest part that all of them have, if it says anything.
fn in_common(error: &str) -> Option<&str> {
    let line = error.lines().next()?;
    let parts = line.split(|letter: char| letter.is_ascii_digit());
    let longest = parts.map(str::trim).max_by_key(|part| part.len())?;
    (longest.len() >= TELLING).then_some(longest)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_errors_of_a_group_have_in_common_says_something() {
        let common = in_common("503 Service Unavailable (request 17)");
        assert_eq!(common, Some("Service Unavailable (request"));
        assert_eq!(in_common("exit code 3"), Some("exit code"));
        assert_eq!(in_common("42: no"), None);
        assert_eq!(in_common(""), None);
    }
}
