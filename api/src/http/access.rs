//! Access: who asks, how far they may go, and the only way to the engine that a route has.
//!
//! An [`Access`] is made by the check of a route's scope and by nothing else, and no route has another way to the engine. What
//! it gives out is bounded by the token's account here, once, and not in each route: a filter gets the account, an intent of
//! another account is not there.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{header, request};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::future::BoxFuture;
use intendant::{
    Batch, Failures, Intendant, IntentFilter, IntentId, IntentPage, IntentRecord, KindRecord,
    RequestByName, Scope, Verb, Why,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::Problem;
use crate::input;

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who it is: it stands in the events of what they do.
    pub who: String,
    /// How far they may go.
    pub scope: Scope,
    /// They see and touch the intents of this account alone.
    pub account: Option<String>,
}

/// What a route needs of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it tells nothing of anybody's intents.
    Nobody,
    /// A grant that goes as far as this.
    Scope(Scope),
}

type Ask = dyn Fn(&request::Parts) -> BoxFuture<'static, Option<Grant>> + Send + Sync;

/// How it is found out who asks.
#[derive(Clone)]
pub(super) enum Doors {
    /// By a token in the header `Authorization: Bearer …`.
    Tokens,
    /// Whoever can reach the server may do everything: for one that only its own machine can.
    Open,
    /// As the application says that it is mounted in.
    Host(Arc<Ask>),
}

/// The engine behind its doors.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) engine: Intendant,
    pub(super) doors: Doors,
}

/// Leave to do what a route does, for who asks.
#[derive(Debug, Clone)]
pub struct Access {
    grant: Grant,
    engine: Intendant,
}

/// Lets through who may, with the [`Access`] that the route then has.
pub(super) async fn check(
    State((guarded, needs)): State<(Guarded, Needs)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Needs::Scope(needed) = needs else {
        return Ok(next.run(request).await);
    };
    let (mut parts, body) = request.into_parts();
    let grant = guarded.grant(&parts).await?;
    if grant.scope < needed {
        return Err(Problem::forbidden(format!(
            "this needs the scope {needed}, and the token has {}",
            grant.scope
        )));
    }
    parts.extensions.insert(Access {
        grant,
        engine: guarded.engine,
    });
    request = Request::from_parts(parts, body);
    Ok(next.run(request).await)
}

impl Guarded {
    async fn grant(&self, parts: &request::Parts) -> Result<Grant, Problem> {
        match &self.doors {
            Doors::Open => Ok(Grant {
                who: "local".to_owned(),
                scope: Scope::Admin,
                account: None,
            }),
            Doors::Host(ask) => ask(parts).await.ok_or_else(Problem::unauthorized),
            Doors::Tokens => {
                let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
                // Of two, nobody can say which one is meant.
                let (Some(given), None) = (given.next(), given.next()) else {
                    return Err(Problem::unauthorized());
                };
                let token = given.to_str().ok().and_then(|given| {
                    let (scheme, token) = given.split_once(' ')?;
                    scheme.eq_ignore_ascii_case("bearer").then_some(token)
                });
                let token = token.ok_or_else(Problem::unauthorized)?;
                let known = self.engine.check_token(token).await?;
                let known = known.ok_or_else(Problem::unauthorized)?;
                Ok(Grant {
                    who: known.name,
                    scope: known.scope,
                    account: known.account,
                })
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        let access = parts.extensions.get::<Self>().cloned();
        access.ok_or_else(|| Problem::bug("a route that needs nobody asks for access"))
    }
}

impl Access {
    /// Who asks.
    pub(super) fn who(&self) -> &str {
        &self.grant.who
    }

    /// How far they may go.
    pub(super) fn scope(&self) -> Scope {
        self.grant.scope
    }

    /// The only account that they see, if it is one.
    pub(super) fn own_account(&self) -> Option<&str> {
        self.grant.account.as_deref()
    }

    /// The engine, for what is nobody's in particular and shows nothing of any account: refused to those who see one account
    /// alone.
    pub(super) fn everything(&self) -> Result<&Intendant, Problem> {
        match &self.grant.account {
            None => Ok(&self.engine),
            Some(account) => Err(Problem::forbidden(format!(
                "the token is for account `{account}` alone, and this is about all of them"
            ))),
        }
    }

    /// The kinds that there are; they are the same for everybody.
    pub(super) async fn kinds(&self, after: Option<&str>) -> Result<Vec<KindRecord>, Problem> {
        Ok(self.engine.kinds(after).await?)
    }

    /// One of them.
    pub(super) async fn kind(&self, kind: &str) -> Result<KindRecord, Problem> {
        self.engine.kind(kind).await.map_err(|error| match error {
            intendant::Error::UnknownKind { .. } => Problem::not_found(error),
            error => error.into(),
        })
    }

    /// One intent, if it is there for who asks.
    pub(super) async fn one(&self, id: IntentId) -> Result<One<'_>, Problem> {
        let record = self.engine.get(id).await?;
        match &self.grant.account {
            Some(own) if record.account.as_ref() != Some(own) => {
                // As if it were not there.
                Err(intendant::Error::NotFound { id }.into())
            }
            _ => Ok(One {
                access: self,
                record,
            }),
        }
    }

    /// A page of intents.
    pub(super) async fn page(&self, filter: IntentFilter) -> Result<IntentPage, Problem> {
        Ok(self.engine.page(self.own(filter)?).await?)
    }

    /// What has failed, in groups.
    pub(super) async fn failures(&self, filter: IntentFilter) -> Result<Failures, Problem> {
        Ok(self.engine.failures(self.own(filter)?).await?)
    }

    /// A verb for all that match.
    pub(super) async fn act_on_all(
        &self,
        filter: IntentFilter,
        verb: &Verb,
        reason: Option<&str>,
    ) -> Result<Batch, Problem> {
        let filter = self.own(filter)?;
        let done = self.engine.act_on_all(filter, verb, self.who(), reason);
        Ok(done.await?)
    }

    /// For how many it would be tried.
    pub(super) async fn count_all(
        &self,
        filter: IntentFilter,
        verb: &Verb,
    ) -> Result<Batch, Problem> {
        Ok(self.engine.count_all(self.own(filter)?, verb).await?)
    }

    /// Asks for an intent, whose input was checked by its kind's schema; for the token's account, if it has one.
    pub(super) async fn request(
        &self,
        kind: &str,
        document: &RawValue,
        account: Option<String>,
    ) -> Result<RequestByName<'_>, Problem> {
        let account = self.account(account)?;
        self.check_account_of(document)?;
        self.check_input(kind, document).await?;
        let request = self.engine.request_by_name(kind, document);
        Ok(match account {
            Some(account) => request.account(account),
            None => request,
        })
    }

    /// Checks an input by the schema that its kind has registered.
    pub(super) async fn check_input(&self, kind: &str, document: &RawValue) -> Result<(), Problem> {
        let Some(schema) = self.engine.kind(kind).await?.input_schema else {
            return Ok(());
        };
        let schema: Value = serde_json::from_str(schema.get())
            .map_err(|_| Problem::bug("a schema that was stored is no JSON"))?;
        Ok(input::check(kind, &schema, document)?)
    }

    /// Refuses an input that names another account than the token's, as far as can be seen without the kind's code: by the
    /// field `account`.
    pub(super) fn check_account_of(&self, document: &RawValue) -> Result<(), Problem> {
        #[derive(serde::Deserialize)]
        struct Named {
            account: Option<Value>,
        }
        let Some(own) = &self.grant.account else {
            return Ok(());
        };
        let named = serde_json::from_str::<Named>(document.get());
        match named.ok().and_then(|named| named.account) {
            Some(account) if account != own.as_str() => Err(Problem::forbidden(format!(
                "the token is for account `{own}` alone, and the input names another one"
            ))),
            _ => Ok(()),
        }
    }

    /// An intent that was asked for by this access a moment ago.
    pub(super) async fn asked(&self, id: IntentId) -> Result<IntentRecord, Problem> {
        Ok(self.one(id).await?.record)
    }

    fn own(&self, mut filter: IntentFilter) -> Result<IntentFilter, Problem> {
        filter.account = self.account(filter.account)?;
        Ok(filter)
    }

    /// The account that is meant: the token's, if it has one.
    fn account(&self, named: Option<String>) -> Result<Option<String>, Problem> {
        match (&self.grant.account, named) {
            (Some(own), Some(named)) if *own != named => Err(Problem::forbidden(format!(
                "the token is for account `{own}` alone"
            ))),
            (Some(own), _) => Ok(Some(own.clone())),
            (None, named) => Ok(named),
        }
    }
}

/// An intent that is there for who asks.
#[derive(Debug)]
pub(super) struct One<'a> {
    access: &'a Access,
    pub(super) record: IntentRecord,
}

impl One<'_> {
    pub(super) fn id(&self) -> IntentId {
        self.record.id
    }

    /// The engine, for what is this intent's.
    pub(super) fn engine(&self) -> &Intendant {
        &self.access.engine
    }

    /// Why it waits. Of intents of other accounts that are in its way, who sees one account alone hears nothing but that
    /// they are there.
    pub(super) async fn why(&self) -> Result<Value, Problem> {
        let why = self.engine().why(self.id()).await?;
        let mut said = said(&why);
        if let Some(own) = &self.access.grant.account {
            hide_others(&mut said, own);
        }
        Ok(said)
    }
}

fn said(why: &Why) -> Value {
    let mut said = serde_json::to_value(why).unwrap_or_default();
    let words = why.reasons.iter().map(ToString::to_string);
    said["words"] = words.collect();
    said
}

/// Takes out every object that is of another account, and the words, which name them.
fn hide_others(said: &mut Value, own: &str) {
    fn is_foreign(value: &Value, own: &str) -> bool {
        value.get("account").is_some_and(|account| account != own)
    }
    fn walk(value: &mut Value, own: &str) -> bool {
        match value {
            Value::Array(items) => {
                let before = items.len();
                items.retain(|item| !is_foreign(item, own));
                let inner = items.iter_mut().map(|item| walk(item, own));
                let inner = inner.filter(|found| *found).count() > 0;
                inner || items.len() < before
            }
            Value::Object(fields) => {
                let inner = fields.values_mut().map(|field| walk(field, own));
                inner.filter(|found| *found).count() > 0
            }
            _ => false,
        }
    }
    if walk(said, own) {
        said["words"] = Value::from(["others are in its way".to_owned()].to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_others_who_are_in_the_way_only_that_they_are_is_told() {
        let mut why = json!({
            "account": "acme",
            "words": ["behind intent 7 (`other.kind`) of other"],
            "reasons": [{"reason": "in_line", "place": {"count": 3, "more": false},
                         "holders": [{"id": 7, "kind": "other.kind", "account": "other"}],
                         "ahead": [{"id": 8, "account": "acme"}, {"id": 9, "account": null}]}],
        });
        hide_others(&mut why, "acme");
        assert_eq!(why["reasons"][0]["holders"], json!([]));
        assert_eq!(
            why["reasons"][0]["ahead"],
            json!([{"id": 8, "account": "acme"}])
        );
        assert_eq!(why["words"], json!(["others are in its way"]));
        assert_eq!(why["reasons"][0]["place"]["count"], 3);
        let mut own = json!({"account": "acme", "words": ["a"], "reasons": [{"holders": [{"account": "acme"}]}]});
        let before = own.clone();
        hide_others(&mut own, "acme");
        assert_eq!(own, before);
    }
}
