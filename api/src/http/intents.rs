//! Intents: asked for, listed, looked at.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

use intendant::{
    Asked as AskedFor, AttemptRecord, ChildRecord, EventRecord, Failures, Graph, IntentFilter,
    IntentId, IntentPage, IntentRecord, IntentState, LinkRecord, LogRecord, Mark, MeasureRecord,
    Mode, Part, Resources, SignalRecord, StepRecord, TraceParent, limits,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::access::Access;
use super::parts::{Answer, Asked, Body, Id, IdempotencyKey, Made, Moment, Search, Traced};
use super::problem::Problem;
use super::verbs::one_key;

/// Which intents a page shall have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Of this account
    account: Option<String>,
    /// On this resource, `type:id`
    resource: Option<String>,
    /// Of this kind
    kind: Option<String>,
    /// In this state
    state: Option<IntentState>,
    /// Asked for by this person or service
    requested_by: Option<String>,
    /// With this correlation id
    correlation_id: Option<String>,
    /// With this label, `name=value`
    label: Option<String>,
    /// Requested at this time or later
    requested_since: Option<Moment>,
    /// Requested before this time
    requested_until: Option<Moment>,
    /// Finished at this time or later
    finished_since: Option<Moment>,
    /// Failed with an error that has this text in it
    error: Option<String>,
    /// Those requested before this one: `next` of the page before
    before: Option<Uuid>,
    /// Those requested after this one
    after: Option<Uuid>,
    /// Most of them; 50 unless said
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<NonZeroU32>,
}

impl Which {
    pub(super) fn filter(self) -> Result<IntentFilter, Problem> {
        let label = self.label.map(|label| match label.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(Problem::invalid(
                "a label is `name=value`, as in `team=billing`",
            )),
        });
        let limit = self.limit.map(NonZeroU32::get);
        if limit.is_some_and(|limit| limit > limits::PAGE) {
            let most = limits::PAGE;
            return Err(Problem::invalid(format!(
                "a page has at most {most} intents"
            )));
        }
        Ok(IntentFilter {
            account: self.account,
            resource: self.resource,
            kind: self.kind,
            state: self.state,
            requested_by: self.requested_by,
            correlation_id: self.correlation_id,
            label: label.transpose()?,
            requested_since: self.requested_since.map(|time| time.0),
            requested_until: self.requested_until.map(|time| time.0),
            finished_since: self.finished_since.map(|time| time.0),
            error: self.error,
            before: self.before.map(IntentId),
            after: self.after.map(IntentId),
            limit,
        })
    }
}

/// An intent that is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// What sort of operation
    #[schemars(length(min = 1, max = 200))]
    kind: String,
    /// Its input: what the kind's schema says
    #[serde(default = "nothing")]
    input: Box<RawValue>,
    /// The customer that it is for; of a token that is for one account, that one
    account: Option<String>,
    /// What it uses, beside what its kind's code says; a token that is for one account may not say that, unless the server
    /// allows it
    #[serde(default)]
    #[schemars(length(max = 100))]
    resources: Vec<WantedResource>,
    /// The same as the header `Idempotency-Key`
    key: Option<String>,
    /// Larger goes first
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    priority: i32,
    /// Not to start before this time
    start_at: Option<Moment>,
    /// To be done by this time
    deadline_at: Option<Moment>,
    /// Something to find it by later; names that begin with `intendant.` are the server's own
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// An id that runs through it and all its children
    correlation_id: Option<String>,
    /// In which trace; the same as the header `traceparent`, of which one that cannot be read is passed over
    traceparent: Option<TraceParent>,
    /// Who asks, if that is not the token's name, which the label `intendant.token` then has; of a token that is for one
    /// account, its own name
    requested_by: Option<String>,
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

/// A resource that an intent uses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedResource {
    /// `type:id`
    resource: String,
    /// How it is used
    #[serde(default = "exclusive")]
    mode: Mode,
}

fn exclusive() -> Mode {
    Mode::Exclusive
}

/// Labels that nobody can give.
const OWN_LABELS: &str = "intendant.";

/// Names the token by which an intent was asked for in somebody else's name.
const TOKEN_LABEL: &str = "intendant.token";

/// Asks for an intent.
pub(super) async fn request(
    access: Access,
    Asked(path): Asked,
    IdempotencyKey(key): IdempotencyKey,
    Traced(trace): Traced,
    Body(wanted): Body<Wanted>,
) -> Result<Made<IntentRecord>, Problem> {
    let key = one_key(key, wanted.key)?;
    access.check_resources(!wanted.resources.is_empty())?;
    let mut resources = Resources::none();
    for WantedResource { resource, mode } in wanted.resources {
        resources.add(resource, mode);
    }
    let asker = access.asks_for(wanted.requested_by)?;
    let request = access.request(&wanted.kind, &wanted.input, wanted.account);
    let mut request = request
        .await?
        .resources(resources)
        .by(asker.who)
        .priority(wanted.priority);
    if let Some(key) = key {
        request = request.key(key);
    }
    if let Some(Moment(time)) = wanted.start_at {
        request = request.start_at(time);
    }
    if let Some(Moment(time)) = wanted.deadline_at {
        request = request.deadline_at(time);
    }
    for (name, value) in wanted.labels {
        if name.starts_with(OWN_LABELS) {
            return Err(Problem::invalid(format!(
                "labels that begin with `{OWN_LABELS}` are the server's own"
            )));
        }
        request = request.label(name, value);
    }
    if let Some(token) = asker.by_token {
        request = request.label(TOKEN_LABEL, token);
    }
    if let Some(id) = wanted.correlation_id {
        request = request.correlation_id(id);
    }
    if let Some(trace) = wanted.traceparent.or(trace) {
        request = request.traceparent(trace);
    }
    match request.await? {
        AskedFor::Now(id) => Ok(Made::New {
            at: format!("{}/{id}", path.trim_end_matches('/')),
            made: access.asked(id).await?,
        }),
        AskedFor::Before(id) => Ok(Made::Before(access.asked_before(id).await?)),
    }
}

pub(super) async fn list(
    access: Access,
    Search(which): Search<Which>,
) -> Result<Answer<IntentPage>, Problem> {
    Ok(Answer(access.page(which.filter()?).await?))
}

pub(super) async fn failures(
    access: Access,
    Search(which): Search<Which>,
) -> Result<Answer<Failures>, Problem> {
    Ok(Answer(access.failures(which.filter()?).await?))
}

pub(super) async fn get(access: Access, Id(id): Id) -> Result<Answer<IntentRecord>, Problem> {
    Ok(Answer(access.one(id).await?.record))
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// What comes after this: `next` of the part before
    after: Option<Mark>,
    /// Most of them; 100 unless said. There may be fewer where they are large
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<NonZeroU32>,
}

impl From {
    fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.map_or(100, NonZeroU32::get);
        match limit > limits::PAGE {
            true => Err(Problem::invalid(format!(
                "a part has at most {}",
                limits::PAGE
            ))),
            false => Ok(limit),
        }
    }
}

macro_rules! parts {
    ($($name:ident: $part:ident, $record:ty;)*) => {$(
        pub(super) async fn $name(
            access: Access,
            Id(id): Id,
            Search(from): Search<From>,
        ) -> Result<Answer<Part<$record>>, Problem> {
            let limit = from.limit()?;
            let one = access.one(id).await?;
            let mut part = one.engine().$part(id, from.after, limit).await?;
            part.items = access.shown(part.items).await?;
            Ok(Answer(part))
        }
    )*};
}

parts! {
    steps: part_of_steps, StepRecord;
    attempts: part_of_attempts, AttemptRecord;
    logs: part_of_logs, LogRecord;
    measurements: part_of_measurements, MeasureRecord;
    signals: part_of_signals, SignalRecord;
    children: part_of_children, ChildRecord;
    links: part_of_links, LinkRecord;
}

/// As much of a list as goes together, for a page for people: what has happened first is first.
macro_rules! wholes {
    ($($name:ident: $part:ident, $record:ty, $order:expr;)*) => {$(
        pub(super) async fn $name(
            access: &Access,
            id: IntentId,
            after: Option<Mark>,
        ) -> Result<Vec<$record>, Problem> {
            let one = access.one(id).await?;
            let mut items = one.engine().$part(id, after, limits::PAGE).await?.items;
            items.sort_by_key($order);
            access.shown(items).await
        }
    )*};
}

wholes! {
    some_attempts: part_of_attempts, AttemptRecord, |it| it.finished_at;
    some_logs: part_of_logs, LogRecord, |it| it.at;
    some_measurements: part_of_measurements, MeasureRecord, |it| it.at;
    some_signals: part_of_signals, SignalRecord, |it| it.id.0;
    some_children: part_of_children, ChildRecord, |it| it.id;
    some_links: part_of_links, LinkRecord, |it| it.at;
}

/// All steps of an intent, for a page for people; outputs as far as they go together.
pub(super) async fn steps_for_people(
    access: &Access,
    id: IntentId,
) -> Result<Vec<StepRecord>, Problem> {
    let one = access.one(id).await?;
    let mut steps = one.engine().steps_in_brief(id).await?;
    let part = one.engine().part_of_steps(id, None, limits::PAGE).await?;
    let outputs = part.items.into_iter();
    let outputs = outputs.map(|step| ((step.name, step.generation), step.output));
    let mut outputs: HashMap<_, _> = outputs.collect();
    for step in &mut steps {
        let key = (step.name.clone(), step.generation);
        step.output = outputs.remove(&key).flatten();
    }
    access.shown(steps).await
}

/// A step of an intent the last time round, with its output.
pub(super) async fn step_for_people(
    access: &Access,
    id: IntentId,
    name: &str,
) -> Result<Option<StepRecord>, Problem> {
    let one = access.one(id).await?;
    let (mut found, mut after) = (None, Some(Mark::before_step(name)));
    while let Some(mark) = after {
        let part = one.engine().part_of_steps(id, Some(mark), 2).await?;
        let is_past = part.items.iter().any(|step| step.name != name);
        found = part
            .items
            .into_iter()
            .rfind(|step| step.name == name)
            .or(found);
        after = part.next.filter(|_| !is_past);
    }
    if found.is_none() {
        // It has not begun.
        let steps = one.engine().steps_in_brief(id).await?;
        found = steps.into_iter().rfind(|step| step.name == name);
    }
    access.shown(found).await
}

/// Which events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// Those after this number
    #[serde(default)]
    pub(super) after: u32,
}

/// A page of events, which have numbers without gaps.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EventPage {
    pub(crate) events: Vec<EventRecord>,
    /// `after` of the next page; none at the end, as of now
    pub(crate) next: Option<i64>,
}

pub(super) async fn events(
    access: Access,
    Id(id): Id,
    Search(since): Search<Since>,
) -> Result<Answer<EventPage>, Problem> {
    let one = access.one(id).await?;
    let events = one.engine();
    let events = events.events_after(id, i64::from(since.after)).await?;
    let events = access.shown(events).await?;
    let is_full = events.len() == limits::PAGE as usize;
    let next = events.last().filter(|_| is_full).map(|event| event.seq);
    Ok(Answer(EventPage { events, next }))
}

/// What an intent waits for, in words and as facts.
pub(super) async fn why(access: Access, Id(id): Id) -> Result<Answer<Value>, Problem> {
    Ok(Answer(access.one(id).await?.why().await?))
}

/// The plan of an intent; none before a worker has made it.
pub(super) async fn graph(access: Access, Id(id): Id) -> Result<Answer<Option<Graph>>, Problem> {
    let one = access.one(id).await?;
    Ok(Answer(one.engine().graph(id).await?))
}
