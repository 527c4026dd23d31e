//! Live views: server-sent events for one intent and for a page of them.
//!
//! A position is not a place in a log, of which a late commit could leave out something: it is what the reader has seen. Of an
//! intent that is the number of the last of its events, which have no gaps, and a digest of its record and steps; of a page, a
//! digest of the page. Whoever comes back with a position gets the events after it, and what is now, if that is anything else.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use intendant::{IntentFilter, IntentId, IntentState};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::access::Access;
use super::intents::Which;
use super::parts::{Id, LastEventId, Search};
use super::problem::Problem;
use super::route::{Described, Operation, Schemas};

/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_millis(500);
/// Then a stream ends, and its reader comes back: with a token that is looked at again.
const LIFE: Duration = Duration::from_secs(300);
/// Most streams of a server at once: each looks into the database for itself.
const STREAMS: usize = 256;
/// Most intents of a page that is looked at live.
const PAGE: u32 = 100;

/// How many streams there may be yet, and whether they have to end.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    room: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Streams {
    pub(super) fn new(stop: watch::Receiver<bool>) -> Self {
        Self {
            room: Arc::new(Semaphore::new(STREAMS)),
            stop,
        }
    }

    fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        room.map_err(|_| Problem::busy(format!("there are {STREAMS} streams already")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Streams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let streams = parts.extensions.get::<Self>().cloned();
        streams.ok_or_else(|| Problem::bug("there are no streams"))
    }
}

impl Described for Streams {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

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
            "description": "Server-sent events, for ever; each has an id to go on after",
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
    known: HashMap<String, String>,
    ready: VecDeque<Event>,
    is_over: bool,
    begun: Instant,
    stop: watch::Receiver<bool>,
    _room: OwnedSemaphorePermit,
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
    access.page(filter.clone()).await?;
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
    let watching = Watching {
        access,
        view,
        digest,
        known: HashMap::new(),
        ready: VecDeque::new(),
        is_over: false,
        begun: Instant::now(),
        stop: streams.stop.clone(),
        _room: streams.take()?,
    };
    let events = unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok(event), watching))
    });
    Ok(Events(Box::pin(events)))
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.is_over || self.begun.elapsed() > LIFE || *self.stop.borrow() {
                return None;
            }
            if let Err(problem) = self.look().await {
                // A database that is away for a moment is waited for; what is not there any more is the end.
                if !problem.status().is_server_error() {
                    return None;
                }
            }
            if self.ready.is_empty() && !self.is_over {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    stopped = self.stop.wait_for(|stop| *stop) => {
                        drop(stopped);
                        return None;
                    }
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), Problem> {
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

    async fn look_at(&mut self, id: IntentId, mut seq: i64) -> Result<(), Problem> {
        let one = self.access.one(id).await?;
        let events = one.engine().events_after(id, seq).await?;
        let steps = one.engine().all_steps(id).await?;
        let now = json!({"intent": one.record, "steps": steps});
        let state = one.record.state;
        let digest = digest(&now);
        let mut ready = Vec::new();
        for event in events {
            seq = event.seq;
            // Whoever comes back after this one has not seen what is now.
            ready.push(told("event", &format!("{seq}.-"), &json!(event)));
        }
        let at = format!("{seq}.{digest}");
        if digest != self.digest || !ready.is_empty() {
            ready.push(told("intent", &at, &now));
        }
        if matches!(state, IntentState::Succeeded | IntentState::Cancelled) {
            // They never change again.
            ready.push(told("end", &at, &json!({"state": state})));
            self.is_over = true;
        }
        self.view = View::One { id, seq };
        self.digest = digest;
        self.ready.extend(ready);
        Ok(())
    }

    async fn look_at_page(&mut self, filter: IntentFilter) -> Result<(), Problem> {
        let page = json!(self.access.page(filter).await?);
        let of_page = digest(&page);
        if of_page == self.digest {
            return Ok(());
        }
        let intents = page["intents"].as_array().cloned().unwrap_or_default();
        let now = intents.iter().map(|intent| (id_of(intent), digest(intent)));
        let now: HashMap<String, String> = now.collect();
        let is_new = |intent: &&Value| self.known.get(&id_of(intent)) != now.get(&id_of(intent));
        let changed: Vec<&Value> = intents.iter().filter(is_new).collect();
        let ids: Vec<&Value> = intents.iter().map(|intent| &intent["id"]).collect();
        let said = json!({"intents": changed, "ids": ids, "next": page["next"]});
        self.ready.push_back(told("page", &of_page, &said));
        self.known = now;
        self.digest = of_page;
        Ok(())
    }
}

fn id_of(intent: &Value) -> String {
    intent["id"].as_str().unwrap_or_default().to_owned()
}

/// JSON has no line breaks, so that it is one line of an event.
fn told(name: &str, id: &str, data: &Value) -> Event {
    Event::default().event(name).id(id).data(data.to_string())
}

fn digest(value: &Value) -> String {
    let hash = Sha256::digest(value.to_string());
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
