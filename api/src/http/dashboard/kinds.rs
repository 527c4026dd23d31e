//! Kinds: what workers have said of them, and a form to ask for one.

use axum::response::Response;
use intendant::{Asked as AskedFor, KindRecord, Resources};
use maud::{Markup, html};
use serde_json::Value;
use serde_json::value::RawValue;

use super::door::see;
use super::form::{Asked, Form};
use super::frame::{self, Html, Live, nothing};
use super::place::{Place, Seat};
use super::schema;
use super::words::{line, linked, short_payload, signed};
use crate::http::problem::Problem;
use intendant::Mode;

/// Kinds on a page.
const KINDS: usize = 200;

pub(super) async fn page(seat: Seat, Asked(form): Asked) -> Result<Html, Problem> {
    let mut kinds = seat.access.kinds(form.get("after")).await?;
    let is_cut = kinds.len() > KINDS;
    kinds.truncate(KINDS);
    let place = &seat.place;
    let next = kinds
        .last()
        .filter(|_| is_cut)
        .map(|kind| kind.kind.clone());
    let main = html! {
        h1 { "Kinds" }
        @if kinds.is_empty() { (nothing("None: a worker says what it can do when it begins.")) }
        @else { (table(place, &kinds)) }
        @if let Some(next) = next { a rel="next" href=(place.with("/kinds", [("after", next.as_str())])) { "More" } }
    };
    Ok(frame::page(&seat, "Kinds", &Live::No, &main))
}

fn table(place: &Place, kinds: &[KindRecord]) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label="Kinds" {
            table {
                thead { tr { th scope="col" { "Kind" } th .wide scope="col" { "What it does" } th .opt scope="col" { "Queue" } th .num scope="col" { "Workers" } th scope="col" { span .hidden { "Look" } } } }
                tbody { @for kind in kinds {
                    tr {
                        td .name { a href=(place.kind(&kind.kind)) { (line(&kind.kind)) } }
                        td .wide { (line(kind.description.as_deref().unwrap_or_default())) }
                        td .opt { (line(&kind.queue)) }
                        td .num { (kind.sessions) }
                        td { a href=(place.with("/intents", [("kind", kind.kind.as_str())])) { "Intents" } }
                    }
                } }
            }
        }
    }
}

pub(super) async fn one(seat: Seat, Asked(form): Asked) -> Result<Html, Problem> {
    let kind = seat.access.kind(form.must("name")?).await?;
    let schema = schema_of(&kind);
    let place = &seat.place;
    let main = html! {
        header .title { h1 { (line(&kind.kind)) } @if kind.sessions == 0 { (signed("unserved", "!")) } }
        @if let Some(description) = &kind.description { p { (linked(place, description)) } }
        dl .facts {
            dt { "Queue" } dd { (line(&kind.queue)) }
            dt { "Workers" } dd { (kind.sessions) }
            @if let Some(deadline) = kind.deadline { dt { "To be done within" } dd { (crate::output::words::span(deadline)) } }
            dt { "On failure" } dd { @if kind.release_on_failure { "frees what it holds" } @else { "keeps what it holds until somebody decides" } }
        }
        p { a href=(place.with("/intents", [("kind", kind.kind.as_str())])) { "Its intents" } }
        @if seat.may_act() { (request_form(&seat, &kind, schema.as_ref())) }
        @if let Some(schema) = &kind.input_schema { h2 { "Schema of its input" } (short_payload(schema)) }
        @if let Some(rules) = &kind.conflicts { h2 { "Conflict rules" } (short_payload(rules)) }
    };
    Ok(frame::page(&seat, &kind.kind, &Live::No, &main))
}

fn schema_of(kind: &KindRecord) -> Option<Value> {
    serde_json::from_str(kind.input_schema.as_ref()?.get()).ok()
}

fn request_form(seat: &Seat, kind: &KindRecord, schema: Option<&Value>) -> Markup {
    let own = seat.access.own_account();
    html! {
        h2 { "Ask for one" }
        form .act.wide method="post" action=(seat.place.to("/kind")) {
            input type="hidden" name="kind" value=(kind.kind);
            fieldset { legend { "Input" } (schema::inputs(schema)) }
            fieldset {
                legend { "Terms" }
                @if own.is_none() {
                    label { "Account" input type="text" name="account" spellcheck="false"; }
                    label { "Resources, one a line: type:id, used exclusively" textarea name="resources" rows="2" spellcheck="false" {} }
                }
                label { "Key; asked for again with it, it is the same intent" input type="text" name="key" spellcheck="false"; }
            }
            button .main type="submit" { "Ask" }
        }
    }
}

pub(super) async fn request(seat: Seat, form: Form) -> Result<Response, Problem> {
    let access = &seat.access;
    let kind = access.kind(form.must("kind")?).await?;
    let input = schema::said(schema_of(&kind).as_ref(), &form)?;
    let input: Box<RawValue> = serde_json::from_str(&input)
        .map_err(|error| Problem::invalid(format!("the input is no JSON: {error}")))?;
    let account = form.get("account").map(str::to_owned);
    let mut resources = Resources::none();
    // What somebody's token for one account may hold is for the kind's code to say.
    let named = form
        .get("resources")
        .filter(|_| access.own_account().is_none());
    for name in named
        .into_iter()
        .flat_map(str::lines)
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        resources.add(name, Mode::Exclusive);
    }
    let request = access.request(&kind.kind, &input, account).await?;
    let mut request = request.resources(resources).by(access.who());
    if let Some(key) = form.get("key") {
        request = request.key(key);
    }
    let (AskedFor::Now(id) | AskedFor::Before(id)) = request.await?;
    // One that was there before may be somebody else's.
    access.one(id).await?;
    Ok(see(&seat.place.intent(id)))
}
