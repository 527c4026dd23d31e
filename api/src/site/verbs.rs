//! What a command does.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use intendant::{
    Asked, Batch, IntentFilter, IntentId, IntentRecord, IntentState, Mode, NewToken, Partitions,
    Preview, Rate, TokenId, TokenRecord, TraceParent, Verb, limits,
};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Server, Site, filter};
use crate::cli::{Code, Refusal};
use crate::deed::{self, Deed};
use crate::http::{AskedAt, Changed, MadeToken, RetentionRule, SentMessage};

/// Who does it, and why. At a server that is whoever has the token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor {
    name: String,
    reason: Option<String>,
}

impl Actor {
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// What is to be asked for, as the API takes it.
#[derive(Debug, Serialize)]
pub(crate) struct Wanted<'a> {
    pub(crate) kind: &'a str,
    pub(crate) input: &'a RawValue,
    pub(crate) account: Option<&'a str>,
    pub(crate) resources: Vec<WantedResource<'a>>,
    pub(crate) key: Option<&'a str>,
    pub(crate) priority: i32,
    pub(crate) start_at: Option<DateTime<Utc>>,
    pub(crate) deadline_at: Option<DateTime<Utc>>,
    pub(crate) labels: BTreeMap<&'a str, &'a str>,
    pub(crate) correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<TraceParent>,
    /// If that is not the token's name.
    pub(crate) requested_by: Option<&'a str>,
}

/// A resource that it uses.
#[derive(Debug, Serialize)]
pub(crate) struct WantedResource<'a> {
    pub(crate) resource: &'a str,
    pub(crate) mode: Mode,
}

/// Another input.
#[derive(Debug, Serialize)]
struct Amendment<'a> {
    input: &'a RawValue,
    reason: Option<&'a str>,
}

impl Site {
    /// Who acts, with what they give as the reason.
    pub(crate) fn actor(&self, by: Option<String>, reason: Option<String>) -> Result<Actor> {
        Ok(Actor {
            name: self.who(by)?.unwrap_or_default(),
            reason,
        })
    }

    /// Who asks; none where the server knows.
    pub(crate) fn who(&self, by: Option<String>) -> Result<Option<String>> {
        match (self, by) {
            (Self::Server(_), None) => Ok(None),
            (Self::Server(_), Some(_)) => {
                let why = "a server knows who it is by the token: leave --by out";
                Err(Refusal::Usage(why.to_owned()).into())
            }
            (Self::Database(_), by) => Ok(Some(operator(by))),
        }
    }

    /// What would be done to its steps.
    pub(crate) async fn preview(&self, id: IntentId, verb: &Verb) -> Result<Preview> {
        match self {
            Self::Database(engine) => Ok(engine.preview(id, verb).await?),
            Self::Server(server) => {
                let mut body = said(verb);
                body["dry_run"] = true.into();
                let done: Value = server.of_intent(id, route(verb)?, &body).await?;
                Ok(serde_json::from_value(done["preview"].clone())?)
            }
        }
    }

    pub(crate) async fn act(
        &self,
        id: IntentId,
        verb: &Verb,
        actor: &Actor,
        code: &[Box<dyn Code>],
    ) -> Result<Deed> {
        let engine = match self {
            Self::Database(engine) => engine,
            Self::Server(server) => {
                let mut body = said(verb);
                body["reason"] = actor.reason().into();
                return server.of_intent(id, route(verb)?, &body).await;
            }
        };
        if let Verb::Skip { step, output } = verb {
            // A program that has the kind's code checks the output's type.
            let record = engine.get(id).await?;
            let mut code = code.iter();
            if let Some(code) = code.find(|code| code.kinds().contains(&&*record.kind)) {
                code.skip(id, step, output, &actor.name, actor.reason())
                    .await?;
                return Ok(Deed {
                    intents: 1,
                    ..Deed::default()
                });
            }
        }
        Ok(deed::act(engine, id, verb, &actor.name, actor.reason()).await?)
    }

    /// For how many it would be done.
    pub(crate) async fn count_all(&self, filter: IntentFilter, verb: &Verb) -> Result<Batch> {
        match self {
            Self::Database(engine) => Ok(engine.count_all(filter, verb).await?),
            Self::Server(server) => server.bulk(filter, verb, json!({"dry_run": true})).await,
        }
    }

    pub(crate) async fn act_on_all(
        &self,
        filter: IntentFilter,
        verb: &Verb,
        actor: &Actor,
    ) -> Result<Batch> {
        match self {
            Self::Database(engine) => {
                let (by, why) = (&actor.name, actor.reason());
                Ok(engine.act_on_all(filter, verb, by, why).await?)
            }
            Self::Server(server) => {
                let says = json!({"reason": actor.reason()});
                server.bulk(filter, verb, says).await
            }
        }
    }

    /// Replaces the input, which has been checked by its kind's schema.
    pub(crate) async fn amend(&self, id: IntentId, input: &RawValue, actor: &Actor) -> Result<()> {
        match self {
            Self::Database(engine) => {
                let (by, why) = (&actor.name, actor.reason());
                engine.amend_json(id, input, by, why).await?;
            }
            Self::Server(server) => {
                let reason = actor.reason();
                let body = Amendment { input, reason };
                let _: Value = server.of_intent(id, "amend", &body).await?;
            }
        }
        Ok(())
    }

    /// Sends a message. Returns whether it was sent with its key before.
    pub(crate) async fn signal(
        &self,
        id: IntentId,
        name: &str,
        payload: &RawValue,
        key: Option<String>,
        by: Option<String>,
    ) -> Result<bool> {
        let by = self.who(by)?;
        match self {
            Self::Database(engine) => {
                let mut signal = engine.signal(id, name, payload).by(by.unwrap_or_default());
                if let Some(key) = key {
                    signal = signal.key(key);
                }
                Ok(matches!(signal.await?, intendant::Sent::Before(_)))
            }
            Self::Server(server) => {
                let body = json!({"name": name, "payload": payload, "key": key});
                let sent: SentMessage = server.of_intent(id, "signals", &body).await?;
                Ok(sent.before)
            }
        }
    }

    pub(crate) async fn pause_queue(&self, name: &str, actor: &Actor) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .pause_queue(name, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                server
                    .change(&["queues", name, "pause"], json!({}), actor)
                    .await
            }
        }
    }

    pub(crate) async fn resume_queue(&self, name: &str, actor: &Actor) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .resume_queue(name, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                server
                    .change(&["queues", name, "resume"], json!({}), actor)
                    .await
            }
        }
    }

    pub(crate) async fn limit_queue(
        &self,
        name: &str,
        slots: Option<u32>,
        actor: &Actor,
    ) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .limit_queue(name, slots, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                let body = json!({"slots": slots});
                server.change(&["queues", name, "limit"], body, actor).await
            }
        }
    }

    pub(crate) async fn cap_queue(
        &self,
        name: &str,
        cap: Option<u64>,
        actor: &Actor,
    ) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .cap_queue(name, cap, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                let body = json!({"cap": cap});
                server.change(&["queues", name, "cap"], body, actor).await
            }
        }
    }

    pub(crate) async fn rate_queue(
        &self,
        name: &str,
        rate: Option<Rate>,
        actor: &Actor,
    ) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .rate_queue(name, rate, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                let burst = rate.map(|rate| rate.at_once());
                let body = json!({"rate": rate.map(|rate| rate.to_string()), "burst": burst});
                server.change(&["queues", name, "rate"], body, actor).await
            }
        }
    }

    pub(crate) async fn partition_queue(
        &self,
        name: &str,
        turns: Option<Partitions>,
        actor: &Actor,
    ) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .partition_queue(name, turns, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                let at_once = turns.as_ref().and_then(Partitions::limit);
                let body = json!({"by": turns.map(|turns| turns.to_string()), "at_once": at_once});
                server
                    .change(&["queues", name, "partition"], body, actor)
                    .await
            }
        }
    }

    pub(crate) async fn pause_schedule(&self, name: &str, actor: &Actor) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .pause_schedule(name, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                server
                    .change(&["schedules", name, "pause"], json!({}), actor)
                    .await
            }
        }
    }

    pub(crate) async fn resume_schedule(&self, name: &str, actor: &Actor) -> Result<bool> {
        match self {
            Self::Database(engine) => Ok(engine
                .resume_schedule(name, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                server
                    .change(&["schedules", name, "resume"], json!({}), actor)
                    .await
            }
        }
    }

    pub(crate) async fn run_schedule(&self, name: &str, actor: &Actor) -> Result<DateTime<Utc>> {
        match self {
            Self::Database(engine) => Ok(engine
                .run_schedule(name, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                let body = json!({"reason": actor.reason()});
                let asked: AskedAt = server.post(&["schedules", name, "run"], &body).await?;
                Ok(asked.at)
            }
        }
    }

    pub(crate) async fn remove_schedule(&self, name: &str, actor: &Actor) -> Result<()> {
        match self {
            Self::Database(engine) => Ok(engine
                .remove_schedule(name, &actor.name, actor.reason())
                .await?),
            Self::Server(server) => {
                let path = ["schedules", name, "remove"];
                server.change(&path, json!({}), actor).await.map(drop)
            }
        }
    }

    pub(crate) async fn retain(&self, rule: &RetentionRule, actor: &Actor) -> Result<bool> {
        let engine = match self {
            Self::Database(engine) => engine,
            Self::Server(server) => {
                return server
                    .change(&["retention"], serde_json::to_value(rule)?, actor)
                    .await;
            }
        };
        let Some(said) = rule.said() else {
            let why = format!("{} is no end: succeeded, failed or cancelled", rule.state);
            return Err(Refusal::Usage(why).into());
        };
        Ok(engine.retain(said, &actor.name, actor.reason()).await?)
    }

    pub(crate) async fn retain_as_declared(
        &self,
        kind: Option<&str>,
        state: IntentState,
        actor: &Actor,
    ) -> Result<bool> {
        match self {
            Self::Database(engine) => {
                let (by, why) = (&actor.name, actor.reason());
                Ok(engine.retain_as_declared(kind, state, by, why).await?)
            }
            Self::Server(server) => {
                let body = json!({"kind": kind, "state": state});
                server
                    .change(&["retention", "as-declared"], body, actor)
                    .await
            }
        }
    }

    /// Makes a token. Returns its text, which is not to be had again.
    pub(crate) async fn create_token(
        &self,
        new: NewToken,
        by: Option<String>,
    ) -> Result<(String, TokenRecord)> {
        let by = self.who(by)?;
        match self {
            Self::Database(engine) => {
                let issued = engine.create_token(new, &by.unwrap_or_default()).await?;
                Ok((issued.token, issued.record))
            }
            Self::Server(server) => {
                let NewToken {
                    name,
                    scope,
                    account,
                    expires_at,
                } = new;
                let body = json!({"name": name, "scope": scope, "account": account, "expires_at": expires_at});
                let made: MadeToken = server.post(&["tokens"], &body).await?;
                Ok((made.token, made.record))
            }
        }
    }

    pub(crate) async fn revoke_token(
        &self,
        id: TokenId,
        by: Option<String>,
    ) -> Result<TokenRecord> {
        let by = self.who(by)?;
        match self {
            Self::Database(engine) => Ok(engine.revoke_token(id, &by.unwrap_or_default()).await?),
            Self::Server(server) => Ok(server.delete(&["tokens", &id.to_string()]).await?),
        }
    }
}

impl Server {
    async fn of_intent<T: serde::de::DeserializeOwned>(
        &self,
        id: IntentId,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        Ok(self.post(&["intents", &id.to_string(), verb], body).await?)
    }

    /// A change that says whether it was one.
    async fn change(&self, path: &[&str], mut body: Value, actor: &Actor) -> Result<bool> {
        body["reason"] = actor.reason().into();
        let changed: Changed = self.post(path, &body).await?;
        Ok(changed.changed)
    }

    /// A verb for all that match, a thousand at a time.
    async fn bulk(&self, filter: IntentFilter, verb: &Verb, says: Value) -> Result<Batch> {
        let mut body = said(verb);
        if let Verb::RerunFrom { step } = verb {
            body = json!({"step": step});
        }
        body["verb"] = route(verb)?.into();
        // Whoever gives the command has said so.
        body["all"] = true.into();
        for (name, value) in says.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let (mut all, mut which) = (Batch::default(), filter::said(&filter));
        loop {
            body["which"] = Value::Object(which.clone());
            let batch: Batch = self.post(&["bulk"], &body).await?;
            all.matched += batch.matched;
            all.done += batch.done;
            all.refused += batch.refused;
            all.refusals.extend(batch.refusals);
            all.refusals.truncate(limits::REFUSALS);
            all.stopped = batch.stopped;
            match batch.next {
                Some(next) if all.stopped.is_none() => {
                    which.insert("before".to_owned(), next.to_string().into());
                }
                _ => return Ok(all),
            }
        }
    }

    /// Asks for an intent.
    pub(crate) async fn request(&self, wanted: &Wanted<'_>) -> Result<Asked> {
        let (is_new, made) = self.post_new(&["intents"], wanted).await?;
        let IntentRecord { id, .. } = made;
        Ok(match is_new {
            true => Asked::Now(id),
            false => Asked::Before(id),
        })
    }
}

/// Who gives the command, unless it says so itself.
pub(crate) fn operator(by: Option<String>) -> String {
    let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    by.or_else(user).unwrap_or_else(|| "operator".to_owned())
}

/// The route of a verb, of those that have one for what a verb says.
fn route(verb: &Verb) -> Result<&'static str> {
    if let Verb::Amend { .. } = verb {
        let why = "a part of an input is amended in the database alone: say the whole --input";
        return Err(Refusal::Usage(why.to_owned()).into());
    }
    Ok(deed::word(verb))
}

/// What a verb says, as the API takes it.
fn said(verb: &Verb) -> Value {
    match verb {
        Verb::RerunFrom { step } => json!({"from": step}),
        Verb::Retry { step } => json!({"step": step}),
        Verb::Skip { step, output } => json!({"step": step, "output": output}),
        _ => json!({}),
    }
}
