//! What a command looks at.

use std::time::{Duration, Instant};

use anyhow::Result;
use intendant::{
    Alert, AlertFilter, AttemptRecord, ChangeRecord, ChildRecord, EventRecord, Failures, Graph,
    IntentFilter, IntentId, IntentPage, IntentRecord, IntentState, KeptRecord, KindRecord,
    LinkRecord, LogRecord, MeasureRecord, Part, QueueRecord, Relation, RemovalRecord,
    RetentionRecord, ScheduleRecord, SignalRecord, StepRecord, TickRecord, TokenId, TokenRecord,
    Unfinished, Which, Why, WorkerRecord, limits,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Server, ServerError, Site, filter, whole};
use crate::http::EventPage;

/// How soon a server is asked again whether an intent is at rest.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a server may be away while somebody waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why an intent waits: for people, and for programs.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) words: Vec<String>,
    pub(crate) facts: Value,
}

impl Explained {
    fn new(why: &Why) -> Result<Self> {
        Ok(Self {
            words: why.reasons.iter().map(ToString::to_string).collect(),
            facts: serde_json::to_value(why)?,
        })
    }

    /// As the API says it: the words beside the facts.
    fn said(mut facts: Value) -> Self {
        let words = facts
            .as_object_mut()
            .and_then(|facts| facts.remove("words"));
        Self {
            words: words
                .and_then(|words| serde_json::from_value(words).ok())
                .unwrap_or_default(),
            facts,
        }
    }
}

/// Lists of what belongs to one intent, which a server gives in parts; what has happened first is first.
macro_rules! parts {
    ($($name:ident, $path:literal: $record:ty, $order:expr;)*) => {$(
        pub(crate) async fn $name(&self, id: IntentId) -> Result<Vec<$record>> {
            let server = match self {
                Self::Database(engine) => return Ok(engine.$name(id).await?),
                Self::Server(server) => server,
            };
            let mut all: Vec<$record> = server.parts(id, $path).await?;
            all.sort_by_key($order);
            Ok(all)
        }
    )*};
}

/// Lists that come whole.
macro_rules! wholes {
    ($($name:ident: $record:ty, $path:expr;)*) => {$(
        pub(crate) async fn $name(&self) -> Result<Vec<$record>> {
            match self {
                Self::Database(engine) => Ok(engine.$name().await?),
                Self::Server(server) => Ok(server.get(&$path, Self::all()).await?),
            }
        }
    )*};
}

impl Site {
    parts! {
        // What has no row comes last, in the order of the plan.
        all_steps, "steps": StepRecord, |it| (it.started_at.is_none(), it.started_at);
        attempts, "attempts": AttemptRecord, |it| it.finished_at;
        logs, "logs": LogRecord, |it| it.at;
        measurements, "measurements": MeasureRecord, |it| it.step.clone();
        signals, "signals": SignalRecord, |it| it.id.0;
        children, "children": ChildRecord, |it| it.id;
        links, "links": LinkRecord, |it| it.at;
    }

    wholes! {
        workers: WorkerRecord, ["workers"];
        queues: QueueRecord, ["queues"];
        schedules: ScheduleRecord, ["schedules"];
        retentions: RetentionRecord, ["retention"];
        removals: RemovalRecord, ["retention", "removed"];
        kept_by_retention: KeptRecord, ["retention", "kept"];
    }

    /// How many unfinished tasks there are, by place.
    pub(crate) async fn unfinished(&self) -> Result<Unfinished> {
        match self {
            Self::Database(engine) => Ok(engine.unfinished().await?),
            Self::Server(server) => Ok(server.get(&["unfinished"], Self::all()).await?),
        }
    }

    pub(crate) async fn get(&self, id: IntentId) -> Result<IntentRecord> {
        match self {
            Self::Database(engine) => Ok(engine.get(id).await?),
            Self::Server(server) => Ok(server.of(id, "").await?),
        }
    }

    pub(crate) async fn state(&self, id: IntentId) -> Result<IntentState> {
        match self {
            Self::Database(engine) => Ok(engine.state(id).await?),
            Self::Server(_) => Ok(self.get(id).await?.state),
        }
    }

    /// Waits until an intent is at rest; the one that it has joined, if it has.
    pub(crate) async fn at_rest(&self, id: IntentId) -> Result<IntentRecord> {
        if let Self::Database(engine) = self {
            return Ok(engine.at_rest(id).await?);
        }
        let (mut id, mut heard) = (id, Instant::now());
        loop {
            let record = match self.get(id).await {
                Ok(record) => record,
                // A server may be started anew meanwhile.
                Err(error) if may_pass(&error) && heard.elapsed() < PATIENCE => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            heard = Instant::now();
            if !record.state.is_finished() {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            let links = match record.state {
                IntentState::Cancelled => self.links(id).await?,
                _ => Vec::new(),
            };
            let mut joined = links
                .iter()
                .filter(|link| link.intent == id && link.relation == Relation::Joined);
            match joined.next() {
                Some(link) => id = link.other,
                None => return Ok(record),
            }
        }
    }

    /// One look back through history.
    pub(crate) async fn page(&self, filter: IntentFilter) -> Result<IntentPage> {
        match self {
            Self::Database(engine) => Ok(engine.page(filter).await?),
            Self::Server(server) => Ok(server.get(&["intents"], &filter::said(&filter)).await?),
        }
    }

    pub(crate) async fn why(&self, id: IntentId) -> Result<Explained> {
        match self {
            Self::Database(engine) => Explained::new(&engine.why(id).await?),
            Self::Server(server) => Ok(Explained::said(server.of(id, "why").await?)),
        }
    }

    pub(crate) async fn graph(&self, id: IntentId) -> Result<Option<Graph>> {
        match self {
            Self::Database(engine) => Ok(engine.graph(id).await?),
            Self::Server(server) => Ok(server.of(id, "graph").await?),
        }
    }

    pub(crate) async fn events(&self, id: IntentId) -> Result<Vec<EventRecord>> {
        let server = match self {
            Self::Database(engine) => return Ok(engine.events(id).await?),
            Self::Server(server) => server,
        };
        whole(async |after: Option<i64>| {
            let path = ["intents", &id.to_string(), "events"];
            let page: EventPage = server.get(&path, &[("after", after.unwrap_or(0))]).await?;
            Ok((page.events, page.next))
        })
        .await
    }

    pub(crate) async fn failures(&self, filter: IntentFilter) -> Result<Failures> {
        match self {
            Self::Database(engine) => Ok(engine.failures(filter).await?),
            Self::Server(server) => Ok(server.get(&["failures"], &filter::said(&filter)).await?),
        }
    }

    pub(crate) async fn alerts(&self, filter: AlertFilter) -> Result<Vec<Alert>> {
        let server = match self {
            Self::Database(engine) => return Ok(engine.alerts(filter).await?),
            Self::Server(server) => server,
        };
        let AlertFilter {
            which,
            kind,
            intent,
            limit,
        } = filter;
        let all = (which == Which::All).then(|| ("all", "true".to_owned()));
        let kind = kind.map(|kind| ("kind", kind.to_string()));
        let intent = intent.map(|intent| ("intent", intent.to_string()));
        let limit = limit.map(|limit| ("limit", limit.to_string()));
        let query: Vec<_> = [all, kind, intent, limit].into_iter().flatten().collect();
        Ok(server.get(&["alerts"], &query).await?)
    }

    /// All kinds that workers have registered.
    pub(crate) async fn kinds(&self) -> Result<Vec<KindRecord>> {
        whole(async |after: Option<String>| {
            let page = match self {
                Self::Database(engine) => engine.kinds(after.as_deref()).await?,
                Self::Server(server) => {
                    let query: Vec<_> = after.iter().map(|after| ("after", after)).collect();
                    server.get::<Vec<KindRecord>>(&["kinds"], &query).await?
                }
            };
            let next = page.last().filter(|_| page.len() == limits::PAGE as usize);
            let next = next.map(|kind| kind.kind.clone());
            Ok((page, next))
        })
        .await
    }

    pub(crate) async fn kind(&self, kind: &str) -> Result<KindRecord> {
        match self {
            Self::Database(engine) => Ok(engine.kind(kind).await?),
            Self::Server(server) => Ok(server.get(&["kinds", kind], Self::all()).await?),
        }
    }

    /// All tokens that were ever made.
    pub(crate) async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        whole(async |after: Option<TokenId>| {
            let page = match self {
                Self::Database(engine) => engine.tokens(after).await?,
                Self::Server(server) => {
                    let query: Vec<_> = after.iter().map(|after| ("after", after.0)).collect();
                    server.get::<Vec<TokenRecord>>(&["tokens"], &query).await?
                }
            };
            let next = page.last().filter(|_| page.len() == limits::PAGE as usize);
            let next = next.map(|token| token.id);
            Ok((page, next))
        })
        .await
    }

    pub(crate) async fn queue_changes(&self, name: &str) -> Result<Vec<ChangeRecord>> {
        match self {
            Self::Database(engine) => Ok(engine.queue_changes(name).await?),
            Self::Server(server) => Ok(server
                .get(&["queues", name, "changes"], Self::all())
                .await?),
        }
    }

    pub(crate) async fn schedule_changes(&self, name: &str) -> Result<Vec<ChangeRecord>> {
        match self {
            Self::Database(engine) => Ok(engine.schedule_changes(name).await?),
            Self::Server(server) => Ok(server
                .get(&["schedules", name, "changes"], Self::all())
                .await?),
        }
    }

    pub(crate) async fn schedule_ticks(&self, name: &str, limit: u32) -> Result<Vec<TickRecord>> {
        match self {
            Self::Database(engine) => Ok(engine.schedule_ticks(name, limit).await?),
            Self::Server(server) => {
                let path = ["schedules", name, "ticks"];
                Ok(server.get(&path, &[("limit", limit)]).await?)
            }
        }
    }

    pub(crate) async fn retention_changes(&self, kind: Option<&str>) -> Result<Vec<ChangeRecord>> {
        match self {
            Self::Database(engine) => Ok(engine.retention_changes(kind).await?),
            Self::Server(server) => {
                let query: Vec<_> = kind.iter().map(|kind| ("kind", kind)).collect();
                Ok(server.get(&["retention", "changes"], &query).await?)
            }
        }
    }

    /// As many of those that match, newest first, as the filter's limit.
    pub(crate) async fn list(&self, mut filter: IntentFilter) -> Result<Vec<IntentRecord>> {
        let mut found = Vec::new();
        loop {
            let page = self.page(filter.clone()).await?;
            found.extend(page.intents);
            let missing = filter
                .limit
                .map(|limit| limit as usize)
                .unwrap_or(usize::MAX);
            if page.next.is_none() || found.len() >= missing {
                found.truncate(missing);
                return Ok(found);
            }
            filter.before = page.next;
        }
    }
}

impl Server {
    /// Something of an intent; the intent itself, if that has no name.
    pub(super) async fn of<T: DeserializeOwned>(&self, id: IntentId, what: &str) -> Result<T> {
        let id = id.to_string();
        let path = ["intents", &id, what];
        let path = path.split_at(if what.is_empty() { 2 } else { 3 }).0;
        Ok(self.get(path, Site::all()).await?)
    }

    async fn parts<T: DeserializeOwned + Serialize>(
        &self,
        id: IntentId,
        what: &str,
    ) -> Result<Vec<T>> {
        whole(async |after: Option<intendant::Mark>| {
            let after = after.map(|after| ("after", after.to_string()));
            let query: Vec<_> = after
                .into_iter()
                .chain([("limit", limits::PAGE.to_string())])
                .collect();
            let path = ["intents", &id.to_string(), what];
            let part: Part<T> = self.get(&path, &query).await?;
            Ok((part.items, part.next))
        })
        .await
    }
}

/// Whether it may be otherwise in a moment.
fn may_pass(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(ServerError::Unreachable { .. }) => true,
        Some(ServerError::Refused { status, .. }) => status.is_server_error(),
        _ => false,
    }
}

/// What is told of one intent, as one document.
pub(crate) async fn document(site: &Site, id: IntentId) -> Result<Value> {
    let record = site.get(id).await?;
    Ok(json!({
        "intent": record,
        "why": site.why(id).await?.facts["reasons"],
        "steps": site.all_steps(id).await?,
        "attempts": site.attempts(id).await?,
        "measurements": site.measurements(id).await?,
        "logs": site.logs(id).await?,
        "events": site.events(id).await?,
        "children": site.children(id).await?,
    }))
}
