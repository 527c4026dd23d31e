//! Doors: how it is found out who asks, and that nobody gets further than they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::{header, request};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::future::BoxFuture;
use intendant::{Error, Intendant, RequestByName, Scope, TokenId, Worker};
use serde_json::value::RawValue;

use super::access::Access;
use super::problem::Problem;

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
    /// Whoever can reach the server may do everything, for one that only its own machine can: until the first token is made.
    Open(Latch),
    /// As the application says that it is mounted in.
    Host(Arc<Ask>),
}

/// Whether a token was ever made. It is asked for until one was, and never after that.
#[derive(Debug, Clone, Default)]
pub(super) struct Latch(Arc<AtomicBool>);

impl Latch {
    pub(super) async fn is_shut(&self, engine: &Intendant) -> Result<bool, Problem> {
        if self.0.load(Ordering::Acquire) {
            return Ok(true);
        }
        // That it has expired or was revoked opens nothing.
        let is_shut = !engine.tokens(None).await?.is_empty();
        self.0.fetch_or(is_shut, Ordering::AcqRel);
        Ok(is_shut)
    }
}

/// Whether one who sees one account alone may say what an intent uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// No: nobody knows whose a resource is, and who locks it keeps others from it.
    Refused,
    /// The application sees to it that they are theirs.
    Allowed,
}

/// Code of kinds that is at hand: it knows from an input for whom it is and what it uses.
pub(crate) trait Code: Send + Sync {
    /// Whether this is a kind of its.
    fn knows(&self, kind: &str) -> bool;

    /// A request, as the code reads its input.
    fn request<'c>(&'c self, kind: &str, input: &RawValue) -> Result<RequestByName<'c>, Error>;
}

impl<S: Send + Sync + 'static> Code for Worker<S> {
    fn knows(&self, kind: &str) -> bool {
        self.kinds().contains(&kind)
    }

    fn request<'c>(&'c self, kind: &str, input: &RawValue) -> Result<RequestByName<'c>, Error> {
        self.request_by_name(kind, input)
    }
}

/// All of it that there is.
pub(super) type Codes = Arc<[Arc<dyn Code>]>;

/// The engine behind its doors.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) code: Codes,
    pub(super) engine: Intendant,
    pub(super) doors: Doors,
    pub(super) naming: Naming,
}

/// By what somebody was let in, for those who stay: it may not hold any more.
#[derive(Debug, Clone)]
pub(super) enum Pass {
    Token(TokenId),
    Open(Latch),
    Host,
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
    let access = guarded.access(&parts).await?;
    let scope = access.grant().scope;
    if scope < needed {
        return Err(Problem::forbidden(format!(
            "this needs the scope {needed}, and the token has {scope}"
        )));
    }
    parts.extensions.insert(access.clone());
    request = Request::from_parts(parts, body);
    let mut response = next.run(request).await;
    // Whatever route it comes from: what is wrong may have to do with others.
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => Err(access.shown(problem).await?),
        None => Ok(response),
    }
}

impl Guarded {
    async fn access(&self, parts: &request::Parts) -> Result<Access, Problem> {
        let (grant, pass) = match &self.doors {
            Doors::Host(ask) => {
                let grant = ask(parts).await.ok_or_else(Problem::unauthorized)?;
                (grant, Pass::Host)
            }
            // Who has a token, even a broken one, is not taken for somebody without.
            Doors::Open(latch)
                if !parts.headers.contains_key(header::AUTHORIZATION)
                    && !latch.is_shut(&self.engine).await? =>
            {
                let grant = Grant {
                    who: "local".to_owned(),
                    scope: Scope::Admin,
                    account: None,
                };
                (grant, Pass::Open(latch.clone()))
            }
            Doors::Open(_) | Doors::Tokens => self.by_token(parts).await?,
        };
        Ok(Access::new(self, grant, pass))
    }

    async fn by_token(&self, parts: &request::Parts) -> Result<(Grant, Pass), Problem> {
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
        let grant = Grant {
            who: known.name,
            scope: known.scope,
            account: known.account,
        };
        Ok((grant, Pass::Token(known.id)))
    }
}
