//! Audit: what people did to queues and schedules, and which tokens there are. What was done to an intent stands with the intent.

use intendant::{ChangeRecord, TokenRecord};
use maud::{Markup, html};

use super::frame::{self, Html, Live, nothing};
use super::place::{Place, Seat};
use super::words::{ago, line, linked, signed};
use crate::http::problem::Problem;

/// Most queues and most schedules that are looked at, most changes and most tokens on the page.
const LOOKED_AT: usize = 50;
const CHANGES: usize = 200;
const TOKENS: usize = 200;

pub(super) async fn page(seat: Seat) -> Result<Html, Problem> {
    let engine = seat.access.everything()?;
    let mut changes = Vec::new();
    for queue in engine.queues().await?.iter().take(LOOKED_AT) {
        changes.extend(engine.queue_changes(&queue.name).await?);
    }
    for schedule in engine.schedules().await?.iter().take(LOOKED_AT) {
        changes.extend(engine.schedule_changes(&schedule.name).await?);
    }
    changes.sort_by_key(|change| std::cmp::Reverse((change.at, change.id)));
    changes.truncate(CHANGES);
    let mut tokens = engine.tokens(None).await?;
    tokens.reverse();
    tokens.truncate(TOKENS);
    let place = &seat.place;
    let main = html! {
        h1 { "Audit" }
        p .muted { "What was done to an intent, by whom and why, stands with the intent." }
        h2 { "Queues and schedules" }
        @if changes.is_empty() { (nothing("Nobody has changed anything.")) } @else { (changed(place, &changes)) }
        h2 { "Tokens" }
        @if tokens.is_empty() { (nothing("None was ever made.")) } @else { (made(&tokens)) }
    };
    Ok(frame::page(&seat, "Audit", &Live::No, &main))
}

fn changed(place: &Place, changes: &[ChangeRecord]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Changes" {
            table {
                thead { tr { th .num scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Did" } th scope="col" { "To" } th .wide scope="col" { "Why" } } }
                tbody { @for change in changes {
                    tr {
                        td .num { (ago(change.at)) } td { (line(&change.actor)) } td { (line(&change.verb)) }
                        td { (change.subject) " " (line(&change.name)) } td .wide { (linked(place, change.reason.as_deref().unwrap_or_default())) }
                    }
                } }
            }
        }
    }
}

fn made(tokens: &[TokenRecord]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Tokens" {
            table {
                thead { tr { th scope="col" { "State" } th scope="col" { "Name" } th scope="col" { "Scope" } th scope="col" { "Account" } th scope="col" { "Made" } th scope="col" { "Ends" } th scope="col" { "Revoked" } } }
                tbody { @for token in tokens {
                    tr {
                        td { @if token.is_good { (signed("good", "✓")) } @else { (signed("ended", "–")) } }
                        td { (line(&token.name)) } td { (token.scope) } td { (line(token.account.as_deref().unwrap_or_default())) }
                        td { (ago(token.created_at)) " by " (line(&token.created_by)) }
                        td { @if let Some(at) = token.expires_at { (at.format("%Y-%m-%d %H:%M UTC")) } }
                        td { @if let Some(at) = token.revoked_at { (ago(at)) @if let Some(by) = &token.revoked_by { " by " (line(by)) } } }
                    }
                } }
            }
        }
    }
}
