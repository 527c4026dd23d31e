//! Access: who asks, how far they may go, and the only way to the engine that a route has.
//!
//! An [`Access`] is made by the check of a route's scope and by nothing else, and no route has another way to the engine. What
//! it gives out is bounded by the token's account here, once, and not in each route: a filter gets the account, an intent of
//! another account is not there.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request;
use intendant::{
    Batch, Failures, Intendant, IntentFilter, IntentId, IntentPage, IntentRecord, KindRecord,
    RequestByName, Scope, Verb, Versions,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::doors::{Codes, Grant, Guarded, Naming, Pass};
use super::input_account;
use super::problem::{Problem, UNKNOWN_KIND};
use super::veil::{Veiled, hide, named, without_others};
use crate::input;

/// Leave to do what a route does, for who asks.
#[derive(Clone)]
pub struct Access {
    code: Codes,
    grant: Grant,
    pass: Pass,
    naming: Naming,
    engine: Intendant,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("grant", &self.grant)
            .finish_non_exhaustive()
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
    /// For [`check`](super::doors::check) alone.
    pub(super) fn new(guarded: &Guarded, grant: Grant, pass: Pass) -> Self {
        Self {
            code: Arc::clone(&guarded.code),
            grant,
            pass,
            naming: guarded.naming,
            engine: guarded.engine.clone(),
        }
    }

    /// Who asks.
    pub(super) fn who(&self) -> &str {
        &self.grant.who
    }

    /// Who asks, as those who share something are told apart.
    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether they would be let in again: a token that has expired or was revoked meanwhile is none.
    pub(super) async fn is_still_good(&self) -> Result<bool, Problem> {
        Ok(match &self.pass {
            Pass::Token(id) => self.engine.token(*id).await?.is_good,
            Pass::Open(latch) => !latch.is_shut(&self.engine).await?,
            Pass::Host => true,
        })
    }

    /// What is told of something: to who sees one account alone, nothing about intents of others.
    pub(super) async fn shown<T: Veiled>(&self, mut it: T) -> Result<T, Problem> {
        if self.grant.account.is_some() {
            let foreign = self.foreign(named(&mut it)).await?;
            hide(&mut it, &foreign);
        }
        Ok(it)
    }

    /// Those of these ids that are intents of others. None, for who sees all accounts.
    pub(super) async fn foreign(
        &self,
        ids: HashSet<IntentId>,
    ) -> Result<HashSet<IntentId>, Problem> {
        let Some(own) = &self.grant.account else {
            return Ok(HashSet::new());
        };
        if ids.is_empty() {
            return Ok(ids);
        }
        let accounts = self.engine.accounts_of(ids).await?;
        let foreign = accounts
            .into_iter()
            .filter(|(_, account)| account.as_ref() != Some(own));
        Ok(foreign.map(|(id, _)| id).collect())
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
                record: self.shown(record).await?,
            }),
        }
    }

    /// A page of intents.
    pub(super) async fn page(&self, filter: IntentFilter) -> Result<IntentPage, Problem> {
        let mut page = self.engine.page(self.own(filter)?).await?;
        page.intents = self.shown(page.intents).await?;
        Ok(page)
    }

    /// Where the intents of a page are, without what they carry.
    pub(super) async fn watch(&self, filter: IntentFilter) -> Result<Versions, Problem> {
        Ok(self.engine.versions(self.own(filter)?).await?)
    }

    /// Intents of a page that is watched, as many as go together.
    pub(super) async fn records(&self, ids: &[IntentId]) -> Result<IntentPage, Problem> {
        let mut page = self.engine.get_many(ids).await?;
        page.intents = self.shown(page.intents).await?;
        Ok(page)
    }

    /// The engine, for an intent that is looked at again and again, if it is there for who asks.
    pub(super) async fn watched(&self, id: IntentId) -> Result<&Intendant, Problem> {
        let accounts = self.engine.accounts_of(HashSet::from([id])).await?;
        match (accounts.get(&id), &self.grant.account) {
            (Some(Some(of)), Some(own)) if of == own => Ok(&self.engine),
            (Some(_), None) => Ok(&self.engine),
            _ => Err(intendant::Error::NotFound { id }.into()),
        }
    }

    /// What has failed, in groups.
    pub(super) async fn failures(&self, filter: IntentFilter) -> Result<Failures, Problem> {
        let failures = self.engine.failures(self.own(filter)?).await?;
        self.shown(failures).await
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
        self.shown(done.await?).await
    }

    /// For how many it would be tried.
    pub(super) async fn count_all(
        &self,
        filter: IntentFilter,
        verb: &Verb,
    ) -> Result<Batch, Problem> {
        let counted = self.engine.count_all(self.own(filter)?, verb).await?;
        self.shown(counted).await
    }

    /// Asks for an intent, whose input was checked by its kind's schema; for the token's account, if it has one. Where the
    /// kind's code is at hand, the intent uses what that says.
    pub(super) async fn request(
        &self,
        kind: &str,
        document: &RawValue,
        account: Option<String>,
    ) -> Result<RequestByName<'_>, Problem> {
        let account = self.account(account)?;
        self.check_account_of(document)?;
        let code = self.code.iter().find(|code| code.knows(kind));
        match self.check_input(kind, document).await {
            // No worker has told the database of it yet, and the code reads the input all the same.
            Err(problem) if code.is_some() && problem.code == UNKNOWN_KIND => {}
            checked => checked?,
        }
        let request = match code {
            Some(code) => code.request(kind, document)?,
            None => self.engine.request_by_name(kind, document),
        };
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
    /// field `account`. The code has the last word, when the intent is claimed.
    pub(super) fn check_account_of(&self, document: &RawValue) -> Result<(), Problem> {
        match &self.grant.account {
            Some(own) => input_account::check(document, own),
            None => Ok(()),
        }
    }

    /// Refuses what only the kind's code, the house or an application can say to be theirs.
    pub(super) fn check_resources(&self, names_any: bool) -> Result<(), Problem> {
        match (&self.grant.account, self.naming) {
            (Some(own), Naming::Refused) if names_any => Err(Problem::forbidden(format!(
                "the token is for account `{own}` alone, and may not say what an intent uses"
            ))),
            _ => Ok(()),
        }
    }

    /// Who asks for an intent, where the request names somebody: whom a token of the house names stands in the record,
    /// beside the token.
    pub(super) fn asks_for(&self, named: Option<String>) -> Result<Asker, Problem> {
        match (named, &self.grant.account) {
            (Some(named), Some(_)) if named != self.who() => Err(Problem::forbidden(
                "a token that is for one account alone asks in its own name",
            )),
            (Some(named), _) if named != self.who() => Ok(Asker {
                who: named,
                by_token: Some(self.who().to_owned()),
            }),
            _ => Ok(Asker {
                who: self.who().to_owned(),
                by_token: None,
            }),
        }
    }

    /// An intent that was asked for by this access a moment ago.
    pub(super) async fn asked(&self, id: IntentId) -> Result<IntentRecord, Problem> {
        Ok(self.one(id).await?.record)
    }

    /// The same of one that was asked for with the same key before: it may have been removed since.
    pub(super) async fn asked_before(&self, id: IntentId) -> Result<IntentRecord, Problem> {
        if self
            .engine
            .accounts_of(HashSet::from([id]))
            .await?
            .is_empty()
        {
            return Err(Problem::removed(id));
        }
        self.asked(id).await
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

/// In whose name an intent is asked for.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) who: String,
    /// The token that names them, where that is not their own.
    pub(super) by_token: Option<String>,
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
    /// they are there; nor of who works.
    pub(super) async fn why(&self) -> Result<Value, Problem> {
        let mut why = self.engine().why(self.id()).await?;
        let mut words = None;
        if let Some(own) = &self.access.grant.account {
            if without_others(&mut why.reasons, own) {
                words = Some(vec![OTHERS.to_owned()]);
            }
            why = self.access.shown(why).await?;
        }
        let words = words.unwrap_or_else(|| why.reasons.iter().map(ToString::to_string).collect());
        let mut said = serde_json::to_value(&why).unwrap_or_default();
        said["words"] = words.into();
        Ok(said)
    }
}

/// What is told of those in the way whom nobody may know.
const OTHERS: &str = "others are in its way";
