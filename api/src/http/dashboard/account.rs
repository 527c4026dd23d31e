//! An account: what a support engineer reads to a customer. What is happening now on top, what has failed beside it, then
//! everything, newest first, in plain words.

use chrono::Utc;
use intendant::{IntentRecord, IntentState};
use maud::{Markup, html};

use super::filter::Filter;
use super::form::Asked;
use super::frame::{self, Html, Live, nothing};
use super::list::{find, further};
use super::place::{Place, Seat};
use super::words::{ago, badge, id, line, linked, what};
use crate::http::problem::Problem;
use crate::output::words;

/// Most of a sort that stand on top.
const ON_TOP: usize = 20;
const UNFINISHED: [IntentState; 5] = [
    IntentState::Running,
    IntentState::Waiting,
    IntentState::Undoing,
    IntentState::Blocked,
    IntentState::Ready,
];

pub(super) async fn page(seat: Seat, Asked(form): Asked) -> Result<Html, Problem> {
    let own = seat.access.own_account();
    match form.get("name").or(own) {
        Some(name) => {
            let before = Filter::of(&form)?.before;
            account(&seat, name, before).await
        }
        None => {
            let place = &seat.place;
            let main = html! { h1 { "Accounts" } (search(place, "")) };
            Ok(frame::page(&seat, "Accounts", &Live::No, &main))
        }
    }
}

fn search(place: &Place, name: &str) -> Markup {
    html! {
        form .filters method="get" action=(place.to("/account")) role="search" aria-label="Account" {
            label { "Account" input type="text" name="name" value=(name) required spellcheck="false" autocapitalize="off"; }
            span .go { button .main type="submit" { "Show" } }
        }
    }
}

pub(super) async fn account(
    seat: &Seat,
    name: &str,
    before: Option<intendant::IntentId>,
) -> Result<Html, Problem> {
    let of = |state: Option<IntentState>| Filter {
        account: Some(name.to_owned()),
        state,
        ..Filter::default()
    };
    let (mut now, mut more) = (Vec::new(), false);
    if before.is_none() {
        for state in UNFINISHED {
            let found = find(&seat.access, &of(Some(state))).await?;
            more |= found.next.is_some();
            now.extend(found.intents);
        }
    }
    now.sort_by_key(|intent: &IntentRecord| std::cmp::Reverse(intent.id));
    more |= now.len() > ON_TOP;
    now.truncate(ON_TOP);
    let failed = match before {
        None => Some(super::failures::newest(seat, Some(name)).await?),
        Some(_) => None,
    };
    let filter = Filter { before, ..of(None) };
    let all = find(&seat.access, &filter).await?;
    let place = &seat.place;
    let main = html! {
        h1 { "Account " (name) }
        @if seat.access.own_account().is_none() { (search(place, name)) }
        div #account data-part {
            @if before.is_none() {
                h2 { "Happening now" }
                @if now.is_empty() { (nothing("Nothing.")) } @else { (told(place, &now)) }
                @if more { p { a href=(of(None).link(place, "/intents")) { "There is more" } } }
            }
            @if let Some(failed) = failed.filter(|failed| !failed.intents.is_empty()) {
                h2 { "Failed, and waiting for somebody" }
                (told(place, failed.intents.get(..ON_TOP).unwrap_or(&failed.intents)))
                @if failed.intents.len() > ON_TOP {
                    p { a href=(of(Some(IntentState::Failed)).link(place, "/intents")) { "There are more" } }
                }
            }
            h2 { "Everything" }
            @if all.intents.is_empty() { (nothing("Nothing is known of this account.")) } @else { (told(place, &all.intents)) }
            (pages(place, name, &filter, &all))
        }
    };
    let live = match before {
        None => {
            let at = place.to("/intents/live");
            Live::Stream(format!(
                "{at}?{}&limit={}",
                filter.stream_query(Utc::now()),
                super::filter::PAGE
            ))
        }
        Some(_) => Live::No,
    };
    Ok(frame::page(seat, &format!("Account {name}"), &live, &main))
}

fn pages(place: &Place, name: &str, filter: &Filter, all: &intendant::IntentPage) -> Markup {
    match place.path.as_str() {
        // For who sees one account only, its page is the first one.
        "/account" | "/" => html! {
            nav .pages aria-label="Older and newer" {
                @if filter.before.is_some() { a href=(place.account(name)) { "Newest" } }
                @if let Some(next) = all.next {
                    a rel="next" href=(place.with("/account", [("name", name), ("before", next.to_string().as_str())])) { "Older" }
                }
            }
        },
        _ => further(place, filter, all),
    }
}

fn told(place: &Place, intents: &[IntentRecord]) -> Markup {
    html! {
        ul .story {
            @for intent in intents {
                li {
                    (badge(intent.state)) " "
                    span { (sentence(place, intent)) }
                    @let what = what(intent);
                    @if !what.is_empty() { p .muted { (linked(place, &line(&what))) } }
                }
            }
        }
    }
}

fn sentence(place: &Place, intent: &IntentRecord) -> Markup {
    html! {
        a href=(place.intent(intent.id)) { (line(&intent.kind)) }
        @for (index, used) in intent.resources.iter().take(3).enumerate() {
            @if index == 0 { " on " } @else { ", " }
            a href=(place.with("/intents", [("resource", used.resource.as_str())])) { (line(&used.resource)) }
        }
        @if let Some(by) = &intent.requested_by { ", asked for by " (line(by)) }
        " " (ago(intent.requested_at))
        @if let Some(ran) = Some(words::took(intent)).filter(|ran| !ran.is_empty()) { ", ran for " (ran) }
        " " (id(place, intent.id))
    }
}
