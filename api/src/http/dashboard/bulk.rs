//! A verb for many: asked first, with how many it would be done to, then done by the server, which says what came of it.

use chrono::Utc;
use intendant::{IntentId, Verb, limits};
use maud::{Markup, html};

use super::filter::{Filter, PAGE};
use super::form::{Asked, Form};
use super::frame::{self, Html, Live};
use super::list::VERBS;
use super::place::{Place, Seat};
use super::words::{badge, id, line, linked};
use crate::http::problem::Problem;
use crate::http::verbs::{self, Act};

/// To whom it is done.
enum To {
    Chosen(Vec<IntentId>),
    All(Box<Filter>),
}

struct Bulk {
    word: &'static str,
    said: &'static str,
    to: To,
}

impl Bulk {
    fn of(form: &Form) -> Result<Self, Problem> {
        let word = form.must("verb")?;
        let known = VERBS.into_iter().find(|(known, _)| *known == word);
        let (word, said) = known.ok_or_else(|| {
            Problem::invalid(format!("`{word}` is nothing that is done to several"))
        })?;
        let to = match form.get("to") {
            Some("all") => {
                let filter = Filter::of(form)?;
                if filter.is_empty() {
                    return Err(Problem::invalid(
                        "without a filter it would be done to all that there are",
                    ));
                }
                To::All(Box::new(filter))
            }
            _ => {
                let ids = form
                    .all("id")
                    .map(str::parse::<IntentId>)
                    .collect::<Result<Vec<_>, _>>();
                let ids = ids.map_err(|_| Problem::invalid("`id` is no id of an intent"))?;
                if ids.is_empty() || ids.len() > PAGE as usize {
                    return Err(Problem::invalid(format!(
                        "choose 1 to {PAGE} intents, or all that match"
                    )));
                }
                To::Chosen(ids)
            }
        };
        Ok(Self { word, said, to })
    }

    fn verb(&self) -> Verb {
        match self.word {
            "resume" => Verb::Resume,
            "cancel" => Verb::Cancel,
            "undo" => Verb::Undo,
            "discard" => Verb::Discard,
            _ => Verb::Rerun,
        }
    }

    fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name="verb" value=(self.word);
            @match &self.to {
                To::Chosen(ids) => {
                    input type="hidden" name="to" value="chosen";
                    @for id in ids { input type="hidden" name="id" value=(id); }
                },
                To::All(filter) => { input type="hidden" name="to" value="all"; (filter.hidden()) },
            }
        }
    }

    fn back(&self, place: &Place) -> String {
        match &self.to {
            To::Chosen(_) => place.to("/intents"),
            To::All(filter) => filter.newest().link(place, "/intents"),
        }
    }

    /// The same for those that it has not come to: the older ones.
    fn go_on(&self, place: &Place, next: IntentId) -> Markup {
        let To::All(filter) = &self.to else {
            return html! {};
        };
        let older = Self {
            to: To::All(Box::new(Filter {
                before: Some(next),
                ..(**filter).clone()
            })),
            ..*self
        };
        html! {
            p .said { "There may be more that match, which are older: so many are done at once." }
            (older.asking(place, "Go on with the older ones"))
        }
    }

    /// The form that does it.
    fn asking(&self, place: &Place, said: &str) -> Markup {
        html! {
            form .act method="post" action=(place.to("/bulk")) {
                (self.hidden())
                label { "Why" textarea name="reason" required rows="2" maxlength="2000" {} }
                button .main type="submit" { (said) } " "
                a href=(self.back(place)) { "Leave it" }
            }
        }
    }
}

/// Says to how many it would be done, and asks why.
pub(super) async fn ask(seat: Seat, Asked(form): Asked) -> Result<Html, Problem> {
    let mut bulk = Bulk::of(&form)?;
    if let To::All(filter) = &mut bulk.to {
        // All that match, whichever page of them one came from.
        **filter = filter.newest();
    }
    let place = &seat.place;
    let about = match &bulk.to {
        To::Chosen(ids) => {
            let mut records = Vec::new();
            for id in ids {
                records.push(seat.access.one(*id).await?.record);
            }
            html! {
                p { (bulk.said) " " (records.len()) " of them:" }
                ul .plain { @for one in &records { li { (badge(one.state)) " " (line(&one.kind)) " " (id(place, one.id)) } } }
            }
        }
        To::All(filter) => {
            let would = seat
                .access
                .count_all(bounded(filter)?, &bulk.verb())
                .await?;
            html! {
                p { (bulk.said) ": "
                    @if would.next.is_some() || would.stopped.is_some() { "at least " }
                    strong { (would.done) } " match and can be done."
                    @if would.refused > 0 { " Of " strong { (would.refused) } " more it would be refused." }
                }
                dl .facts { @for (name, value) in filter.pairs() { dt { (name) } dd { (value) } } }
            }
        }
    };
    let main = html! {
        h1 { (bulk.said) " several" }
        (about)
        (bulk.asking(place, bulk.said))
    };
    Ok(frame::page(&seat, bulk.said, &Live::No, &main))
}

fn bounded(filter: &Filter) -> Result<intendant::IntentFilter, Problem> {
    Ok(intendant::IntentFilter {
        limit: Some(limits::PAGE),
        ..filter.to_engine(Utc::now())?
    })
}

/// Does it, and says what came of it.
pub(super) async fn act(seat: Seat, form: Form) -> Result<Html, Problem> {
    let bulk = Bulk::of(&form)?;
    let reason = form.reason()?;
    let mut refusals: Vec<(IntentId, String)> = Vec::new();
    let (done, refused, stopped, next) = match &bulk.to {
        To::Chosen(ids) => {
            let mut done = 0;
            for id in ids {
                let act = Act {
                    reason: Some(reason.clone()),
                    dry_run: false,
                };
                match verbs::act(&seat.access, *id, &bulk.verb(), act).await {
                    Ok(_) => done += 1,
                    Err(problem) => {
                        let problem = seat.access.shown(problem).await?;
                        let why = problem.detail().unwrap_or(problem.title());
                        refusals.push((*id, why.to_owned()));
                    }
                }
            }
            (done, refusals.len() as u64, None, None)
        }
        To::All(filter) => {
            verbs::check(Some(&reason))?;
            let batch = seat
                .access
                .act_on_all(bounded(filter)?, &bulk.verb(), Some(&reason))
                .await?;
            refusals = batch.refusals;
            (batch.done, batch.refused, batch.stopped, batch.next)
        }
    };
    let place = &seat.place;
    let main = html! {
        h1 { (bulk.said) " several" }
        p .said role="status" { "Done to " strong { (done) } "; refused for " strong { (refused) } "." }
        @if let Some(stopped) = stopped { p .said.bad role="alert" { "Not tried for the rest: " (stopped) } }
        @if !refusals.is_empty() {
            h2 { "Refused" }
            ul .plain { @for (id, why) in &refusals { li { a .id href=(place.intent(*id)) { (id) } " " (linked(place, why)) } } }
        }
        @if let Some(next) = next { (bulk.go_on(place, next)) }
        p { a href=(bulk.back(place)) { "Back to the list" } }
    };
    Ok(frame::page(&seat, bulk.said, &Live::No, &main))
}
