//! What is around intents: kinds, workers, alerts, tokens, health.

use std::fmt::{self, Write as _};
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use intendant::{
    Alert, AlertFilter, AlertKind, Error, Intendant, IntentId, KindRecord, NewToken, QueueRecord,
    Scope, TokenId, TokenRecord, Unfinished, WorkerRecord,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::access::Access;
use super::parts::{
    Answer, Asked, Body, KindInPath, Made, Moment, Search, Text, TokenInPath, some,
};
use super::problem::Problem;

/// Which page of kinds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterKind {
    /// Those after this one, by name
    after: Option<String>,
}

pub(super) async fn kinds(
    access: Access,
    Search(page): Search<AfterKind>,
) -> Result<Answer<Vec<KindRecord>>, Problem> {
    Ok(Answer(access.kinds(page.after.as_deref()).await?))
}

pub(super) async fn kind(
    access: Access,
    KindInPath(kind): KindInPath,
) -> Result<Answer<KindRecord>, Problem> {
    access.kind(&kind).await.map(Answer)
}

pub(super) async fn workers(access: Access) -> Result<Answer<Vec<WorkerRecord>>, Problem> {
    Ok(Answer(access.everything()?.workers().await?))
}

/// How many unfinished tasks there are, by place.
pub(super) async fn unfinished(access: Access) -> Result<Answer<Unfinished>, Problem> {
    Ok(Answer(access.everything()?.unfinished().await?))
}

/// Which alerts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichAlerts {
    /// Resolved ones, too
    #[serde(default)]
    all: bool,
    /// Of this kind
    kind: Option<AlertKind>,
    /// About this intent
    intent: Option<Uuid>,
    /// Most of them; 1,000 unless said
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<NonZeroU32>,
}

pub(super) async fn alerts(
    access: Access,
    Search(which): Search<WhichAlerts>,
) -> Result<Answer<Vec<Alert>>, Problem> {
    let engine = access.everything()?;
    let limit = some(which.limit)?;
    let filter = AlertFilter {
        which: match which.all {
            true => intendant::Which::All,
            false => intendant::Which::Open,
        },
        kind: which.kind,
        intent: which.intent.map(IntentId),
        limit,
    };
    Ok(Answer(engine.alerts(filter).await?))
}

/// Which page of tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterToken {
    /// Those that were made after this one
    after: Option<Uuid>,
}

pub(super) async fn tokens(
    access: Access,
    Search(page): Search<AfterToken>,
) -> Result<Answer<Vec<TokenRecord>>, Problem> {
    let engine = access.everything()?;
    Ok(Answer(engine.tokens(page.after.map(TokenId)).await?))
}

/// A token that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedToken {
    /// What it is for, or whose it is: it stands in the events of what is done with it
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// How far it goes
    scope: Scope,
    /// It sees and touches the intents of this account alone
    account: Option<String>,
    /// Not good any more from then on
    expires_at: Option<Moment>,
}

/// A token that has just been made.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct MadeToken {
    /// Its text, which is shown this once
    pub(crate) token: String,
    /// What is known of it
    #[serde(flatten)]
    pub(crate) record: TokenRecord,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

pub(super) async fn create_token(
    access: Access,
    Asked(path): Asked,
    Body(wanted): Body<WantedToken>,
) -> Result<Made<MadeToken>, Problem> {
    let engine = access.everything()?;
    let new = NewToken {
        name: wanted.name,
        scope: wanted.scope,
        account: wanted.account,
        expires_at: wanted
            .expires_at
            .map(|Moment(time): Moment| -> DateTime<Utc> { time }),
    };
    let issued = engine.create_token(new, access.who()).await?;
    Ok(Made::New {
        at: format!("{}/{}", path.trim_end_matches('/'), issued.record.id),
        made: MadeToken {
            token: issued.token,
            record: issued.record,
        },
    })
}

pub(super) async fn revoke_token(
    access: Access,
    TokenInPath(id): TokenInPath,
) -> Result<Answer<TokenRecord>, Problem> {
    let engine = access.everything()?;
    Ok(Answer(engine.revoke_token(id, access.who()).await?))
}

/// The process is there; whether its database is, does not matter.
pub(super) async fn livez() -> Text {
    Text("ok\n".to_owned())
}

/// What there is, for Prometheus: numbers of the small tables, none that has to be counted in the history.
pub(super) async fn metrics(access: Access) -> Result<Text, Problem> {
    let engine = access.everything()?;
    Ok(Text(numbers(engine).await?))
}

async fn numbers(engine: &Intendant) -> Result<String, Error> {
    let Unfinished {
        ready,
        parked,
        blocked,
        running,
    } = engine.unfinished().await?;
    let workers = engine.workers().await?;
    let alive = workers
        .iter()
        .filter(|worker| worker.silent_ms <= worker.lease_ms);
    let free: i64 = alive.clone().map(|worker| worker.free).sum();
    let alerts = engine.alerts(AlertFilter::default()).await?;
    let mut text = String::new();
    let mut gauge = |name: &str, says: &str, rows: &[(String, i64)]| {
        // Writing into a string does not fail.
        let _ = writeln!(text, "# HELP {name} {says}\n# TYPE {name} gauge");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let places = [
        ("ready", ready),
        ("parked", parked),
        ("blocked", blocked),
        ("leased", running),
    ];
    let places = places.map(|(place, count)| (format!("{{place=\"{place}\"}}"), count));
    gauge(
        "intendant_tasks",
        "Unfinished tasks, by where they are.",
        &places,
    );
    let sessions = [
        ("{heard=\"yes\"}".to_owned(), alive.clone().count() as i64),
        (
            "{heard=\"no\"}".to_owned(),
            (workers.len() - alive.count()) as i64,
        ),
    ];
    gauge(
        "intendant_workers",
        "Workers, by whether they were heard of within their lease.",
        &sessions,
    );
    gauge(
        "intendant_free_slots",
        "Steps that live workers could start at once.",
        &[(String::new(), free)],
    );
    let queues = engine.queues().await?;
    let of_queues = |of: fn(&QueueRecord) -> i64| -> Vec<(String, i64)> {
        let queues = queues.iter();
        queues
            .map(|queue| (format!("{{queue=\"{}\"}}", label(&queue.name)), of(queue)))
            .collect()
    };
    gauge(
        "intendant_queue_ready",
        "Tasks of a queue that could begin now, counted up to a thousand for each kind.",
        &of_queues(|queue| number(queue.ready)),
    );
    gauge(
        "intendant_queue_oldest_seconds",
        "For how long the oldest of them that was never let in has been ready.",
        &of_queues(|queue| number(queue.oldest_s.unwrap_or(0))),
    );
    gauge(
        "intendant_queue_paused",
        "1: somebody has paused it.",
        &of_queues(|queue| i64::from(queue.paused_at.is_some())),
    );
    gauge(
        "intendant_queue_full",
        "1: it refuses requests, since as much is in line as its cap allows.",
        &of_queues(|queue| i64::from(queue.full)),
    );
    let open = AlertKind::ALL.iter().map(|kind| {
        let open = alerts.iter().filter(|alert| alert.kind == *kind).count() as i64;
        (format!("{{kind=\"{kind}\"}}"), open)
    });
    let open: Vec<_> = open.collect();
    gauge(
        "intendant_alerts_open",
        "Alerts whose cause is not gone, at most a thousand.",
        &open,
    );
    Ok(text)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A label's value, as the text format has it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
