//! Intents: found by filters, with what each is doing now; some or all of them chosen for a verb.

use chrono::Utc;
use intendant::{IntentPage, IntentRecord};
use maud::{Markup, html};

use super::filter::Filter;
use super::form::Asked;
use super::frame::{self, Html, Live, nothing};
use super::place::{Place, Seat};
use super::words::{ago, badge, id, line, linked, what};
use crate::http::access::Access;
use crate::http::problem::Problem;
use crate::output::words;

/// How many looks back through history a page makes before it says how far it came: what no index finds may be far away.
const LOOKS: usize = 5;
/// What can be done to many.
pub(super) const VERBS: [(&str, &str); 5] = [
    ("resume", "Resume"),
    ("cancel", "Cancel"),
    ("undo", "Undo"),
    ("discard", "Discard"),
    ("rerun", "Run again"),
];

pub(super) async fn page(seat: Seat, Asked(form): Asked) -> Result<Html, Problem> {
    let filter = Filter::of(&form)?;
    let found = find(&seat.access, &filter).await?;
    let own = seat.access.own_account();
    let place = &seat.place;
    let main = html! {
        h1 { "Intents" }
        (filter.form(place, "/intents", own))
        form #found data-part method="get" action=(place.to("/bulk")) {
            (filter.hidden())
            @if found.intents.is_empty() {
                (nothing(match found.next { None => "None.", Some(_) => "None yet; there is more to look through." }))
            } @else {
                (table(place, &found.intents, Columns { account: own.is_none() && filter.account.is_none(), choose: seat.may_act() }))
            }
            (further(place, &filter, &found))
            @if seat.may_act() && !found.intents.is_empty() { (choice(&filter)) }
        }
    };
    // Older pages hardly change.
    let live = match filter.before {
        None => {
            let at = place.to("/intents/live");
            let query = filter.stream_query(Utc::now());
            Live::Stream(format!(
                "{at}?{query}{}limit={}",
                if query.is_empty() { "" } else { "&" },
                super::filter::PAGE
            ))
        }
        Some(_) => Live::No,
    };
    Ok(frame::page(&seat, "Intents", &live, &main))
}

/// A page of them; a few looks, where one finds too few.
pub(super) async fn find(access: &Access, filter: &Filter) -> Result<IntentPage, Problem> {
    let mut wanted = filter.to_engine(Utc::now())?;
    let limit = wanted.limit.unwrap_or(super::filter::PAGE);
    let mut found = access.page(wanted.clone()).await?;
    for _ in 1..LOOKS {
        let missing = limit.saturating_sub(u32::try_from(found.intents.len()).unwrap_or(limit));
        if missing == 0 || found.next.is_none() {
            break;
        }
        wanted.before = found.next;
        wanted.limit = Some(missing);
        let more = access.page(wanted.clone()).await?;
        found.intents.extend(more.intents);
        found.next = more.next;
    }
    Ok(found)
}

/// Which columns a table has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) account: bool,
    pub(super) choose: bool,
}

pub(super) fn table(place: &Place, intents: &[IntentRecord], columns: Columns) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Intents" {
            table .intents {
                thead { tr {
                    @if columns.choose { th scope="col" { span .hidden { "Choose" } } }
                    th scope="col" { "State" } th scope="col" { "Intent" }
                    @if columns.account { th scope="col" { "Account" } }
                    th .opt scope="col" { "Resources" } th .wide scope="col" { "Doing" }
                    th .opt scope="col" { "Asked for by" } th .num scope="col" { "Age" } th .num .opt scope="col" { "Ran" }
                } }
                tbody { @for intent in intents { (row(place, intent, columns)) } }
            }
        }
    }
}

fn row(place: &Place, intent: &IntentRecord, columns: Columns) -> Markup {
    html! {
        tr {
            @if columns.choose {
                td { input type="checkbox" name="id" value=(intent.id) aria-label={ "Choose " (intent.kind) " " (intent.id) }; }
            }
            td { (badge(intent.state)) }
            td .name { a href=(place.intent(intent.id)) { (line(&intent.kind)) } " " (id(place, intent.id)) }
            @if columns.account {
                td { @if let Some(account) = &intent.account { a href=(place.account(account)) { (line(account)) } } }
            }
            td .opt { (resources(place, intent)) }
            td .wide { (linked(place, &line(&what(intent)))) }
            td .opt { (line(intent.requested_by.as_deref().unwrap_or_default())) }
            td .num { (ago(intent.requested_at)) }
            td .num .opt { (words::took(intent)) }
        }
    }
}

const RESOURCES: usize = 3;

fn resources(place: &Place, intent: &IntentRecord) -> Markup {
    let more = intent.resources.len().saturating_sub(RESOURCES);
    html! {
        @for (index, used) in intent.resources.iter().take(RESOURCES).enumerate() {
            @if index > 0 { ", " }
            a href=(place.with("/intents", [("resource", used.resource.as_str())])) { (line(&used.resource)) }
        }
        @if more > 0 { span .muted { " and " (more) " more" } }
    }
}

/// The way to older ones, and back.
pub(super) fn further(place: &Place, filter: &Filter, found: &IntentPage) -> Markup {
    html! {
        nav .pages aria-label="Older and newer" {
            @if filter.before.is_some() {
                a href=(Filter { before: None, ..filter.clone() }.link(place, &place.path)) { "Newest" }
            }
            @if let Some(next) = found.next {
                a rel="next" href=(filter.further(next).link(place, &place.path)) { "Older" }
            }
        }
    }
}

fn choice(filter: &Filter) -> Markup {
    html! {
        fieldset .choice {
            legend { "To several" }
            label { span .hidden { "What to do" }
                select name="verb" { @for (word, said) in VERBS { option value=(word) { (said) } } }
            }
            button type="submit" name="to" value="chosen" { "the chosen ones…" }
            @if !filter.is_empty() { button type="submit" name="to" value="all" { "all that match…" } }
            @else { span .muted { "A filter makes it possible to choose all that match." } }
        }
    }
}
