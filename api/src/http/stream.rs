//! Live views: server-sent events for one intent and for a page of them.
//!
//! A position is not a place in a log, of which a late commit could leave out something: it is what the reader has seen. Of an
//! intent that is the number of the last of its events, which have no gaps, and a digest of its record and steps; of a page, a
//! digest of the page. Whoever comes back with a position gets the events after it, and what is now, if that is anything else.
//!
//! A look is cheap: where things are, without their payloads, which are read when something has changed. One that is not cheap
//! all the same is paid for by a longer pause. A task of its own looks, and hands on what it has to tell: a reader that stops
//! reading is given up after a while, whatever the connection does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use intendant::{
    EventRecord, IntentFilter, IntentId, IntentRecord, IntentState, StepRecord, limits,
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::access::Access;
use super::intents::Which;
use super::parts::{Id, LastEventId, Search};
use super::problem::Problem;
use super::readers::{Place, Streams};
use super::route::{Described, Operation, Schemas};

/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_millis(500);
/// A look that takes long is followed by a pause that is longer by this factor: a stream uses a twentieth of a connection at
/// most.
const PAUSE: u32 = 20;
/// How often it is looked whether who reads would be let in again.
const CHECK: Duration = Duration::from_secs(5);
/// Then a stream ends, and its reader comes back.
const LIFE: Duration = Duration::from_secs(300);
/// How long a reader may read nothing while there is something to tell.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most intents of a page that is looked at live.
const PAGE: u32 = 100;

/// A stream of events.
pub(super) struct Events(Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
        Sse::new(self.0).keep_alive(keep_alive).into_response()
    }
}

impl Described for Events {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let answer = json!({
            "description": "Server-sent events, for ever; each has an id to go on after. Steps come without their outputs.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        });
        operation.answers.insert("200".to_owned(), answer);
    }
}

/// What a stream looks at.
enum View {
    One { id: IntentId, seq: i64 },
    Page(Box<IntentFilter>),
}

struct Watching {
    access: Access,
    view: View,
    /// Of what the reader has.
    digest: String,
    /// Of each intent of the page that the reader has.
    known: HashMap<IntentId, String>,
    reader: mpsc::Sender<Event>,
    place: Place,
}

/// What came of a look.
enum Looked {
    /// There is more to tell at once.
    More,
    /// All that there is to tell has been told.
    All,
    /// Nothing will ever change again, or nobody reads any more.
    Over,
}

/// An intent, as its stream tells of it.
#[derive(Serialize)]
struct One<'a> {
    intent: &'a IntentRecord,
    steps: &'a [StepRecord],
}

/// A page, as its stream tells of it: those that have changed, and all that are on it.
#[derive(Serialize)]
struct Changed<'a> {
    intents: &'a [IntentRecord],
    ids: &'a [IntentId],
    next: Option<IntentId>,
}

pub(super) async fn one(
    access: Access,
    streams: Streams,
    Id(id): Id,
    LastEventId(last): LastEventId,
) -> Result<Events, Problem> {
    // One that is not there is told of as ever.
    access.one(id).await?;
    let (seq, digest) = position(last.as_deref());
    watch(access, &streams, View::One { id, seq }, digest)
}

pub(super) async fn page(
    access: Access,
    streams: Streams,
    Search(which): Search<Which>,
    LastEventId(last): LastEventId,
) -> Result<Events, Problem> {
    let mut filter = which.filter()?;
    filter.limit = Some(filter.limit.unwrap_or(50).min(PAGE));
    access.watch(filter.clone()).await?;
    let digest = last.unwrap_or_default();
    watch(access, &streams, View::Page(Box::new(filter)), digest)
}

/// `SEQ.DIGEST`. What is no position is the beginning.
fn position(last: Option<&str>) -> (i64, String) {
    let parts = last.and_then(|last| last.split_once('.'));
    let known = parts.and_then(|(seq, digest)| Some((seq.parse().ok()?, digest.to_owned())));
    known.filter(|(seq, _)| *seq >= 0).unwrap_or_default()
}

fn watch(access: Access, streams: &Streams, view: View, digest: String) -> Result<Events, Problem> {
    let place = streams.take(access.grant())?;
    let (reader, events) = mpsc::channel(1);
    let watching = Watching {
        access,
        view,
        digest,
        known: HashMap::new(),
        reader,
        place,
    };
    // It ends by itself: with its life, its reader or the server.
    tokio::spawn(watching.run());
    let events = unfold(events, |mut events| async move {
        let event = events.recv().await?;
        Some((Ok(event), events))
    });
    Ok(Events(Box::pin(events)))
}

impl Watching {
    async fn run(mut self) {
        let begun = Instant::now();
        let mut checked = Instant::now();
        while begun.elapsed() < LIFE && !self.place.has_to_end() {
            if checked.elapsed() > CHECK {
                checked = Instant::now();
                // A database that is away for a moment is waited for: nothing is told meanwhile either.
                if let Ok(false) = self.access.is_still_good().await {
                    return;
                }
            }
            let look = Instant::now();
            let looked = self.look().await;
            let pause = LOOK.max(look.elapsed() * PAUSE);
            match looked {
                Ok(Looked::More) => continue,
                Ok(Looked::All) => {}
                Ok(Looked::Over) => return,
                // What is not there any more is the end.
                Err(problem) if !problem.status().is_server_error() => return,
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.place.end() => return,
                () = self.reader.closed() => return,
            }
        }
    }

    async fn look(&mut self) -> Result<Looked, Problem> {
        match &self.view {
            View::One { id, seq } => {
                let (id, seq) = (*id, *seq);
                self.look_at(id, seq).await
            }
            View::Page(filter) => {
                let filter = (**filter).clone();
                self.look_at_page(filter).await
            }
        }
    }

    async fn look_at(&mut self, id: IntentId, mut seq: i64) -> Result<Looked, Problem> {
        let (engine, access) = (self.access.watched(id).await?, &self.access);
        // Before the events: what has come to its end has none that are not among them.
        let version = engine.version(id).await?;
        let digest = digest(&version.text);
        let mut events = access.shown(engine.events_after(id, seq).await?).await?;
        let is_all = events.len() < limits::PAGE as usize;
        let mut now = None;
        if is_all && (digest != self.digest || !events.is_empty()) {
            let intent = access.one(id).await?.record;
            let steps = access.shown(engine.steps_in_brief(id).await?).await?;
            now = Some((intent, steps));
            // What has made it so meanwhile is told before.
            let last = events.last().map_or(seq, |event| event.seq);
            events.extend(access.shown(engine.events_after(id, last).await?).await?);
        }
        let mut told = Vec::new();
        for event in &events {
            seq = event.seq;
            // Whoever comes back after this one has not seen what is now.
            told.push(say::<EventRecord>("event", &format!("{seq}.-"), event)?);
        }
        let at = format!("{seq}.{digest}");
        if let Some((intent, steps)) = &now {
            told.push(say("intent", &at, &One { intent, steps })?);
        }
        let state = version.state;
        let is_over = is_all && matches!(state, IntentState::Succeeded | IntentState::Cancelled);
        if is_over {
            // They never change again.
            told.push(say("end", &at, &json!({"state": state}))?);
        }
        for event in told {
            if !self.tell(event).await {
                return Ok(Looked::Over);
            }
        }
        self.view = View::One { id, seq };
        if is_all {
            self.digest = digest;
        }
        Ok(match (is_over, is_all) {
            (true, _) => Looked::Over,
            (false, true) => Looked::All,
            (false, false) => Looked::More,
        })
    }

    async fn look_at_page(&mut self, filter: IntentFilter) -> Result<Looked, Problem> {
        let page = self.access.watch(filter).await?;
        let of_page = digest(&page.text());
        if of_page == self.digest {
            return Ok(Looked::All);
        }
        let ids: Vec<IntentId> = page.versions.iter().map(|version| version.id).collect();
        let now = page.versions.iter();
        let now = now.map(|version| (version.id, digest(&version.text)));
        let now: HashMap<IntentId, String> = now.collect();
        self.known.retain(|id, _| now.contains_key(id));
        let is_new = |id: &&IntentId| self.known.get(*id) != now.get(*id);
        let changed: Vec<IntentId> = ids.iter().filter(is_new).copied().collect();
        // As many as fit into one event; the others come in the next one.
        let part = self.access.records(&changed).await?;
        let is_all = part.next.is_none();
        let said = Changed {
            intents: &part.intents,
            ids: &ids,
            next: page.next,
        };
        let at = if is_all { of_page.as_str() } else { "-" };
        if !self.tell(say("page", at, &said)?).await {
            return Ok(Looked::Over);
        }
        let is_told = |id: &IntentId| part.next.is_none_or(|last| *id >= last);
        for id in changed.into_iter().filter(is_told) {
            if let Some(digest) = now.get(&id) {
                self.known.insert(id, digest.clone());
            }
        }
        if !is_all {
            return Ok(Looked::More);
        }
        self.digest = of_page;
        Ok(Looked::All)
    }

    /// Hands an event on. False: nobody takes it.
    async fn tell(&self, event: Event) -> bool {
        let taken = self.reader.send_timeout(event, PATIENCE);
        tokio::select! {
            taken = taken => taken.is_ok(),
            () = self.place.end() => false,
        }
    }
}

/// JSON has no line breaks, so that it is one line of an event. It is not made by way of a value, which could not hold every
/// number that a payload may have.
fn say<T: Serialize>(name: &str, id: &str, data: &T) -> Result<Event, Problem> {
    let data = serde_json::to_string(data);
    let data = data.map_err(|_| Problem::bug("what was read cannot be said"))?;
    Ok(Event::default().event(name).id(id).data(data))
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_position_is_the_beginning() {
        assert_eq!(position(Some("7.ab")), (7, "ab".to_owned()));
        for wrong in [None, Some(""), Some("7"), Some("x.ab"), Some("-1.ab")] {
            assert_eq!(position(wrong), (0, String::new()), "{wrong:?}");
        }
    }
}
