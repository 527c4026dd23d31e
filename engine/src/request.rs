//! Asking for an intent.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Postgres, Sqlite, Transaction};

use crate::client::Intendant;
use crate::clock::Micros;
use crate::conflict::{Conflicts, Rule};
use crate::error::Error;
use crate::handle::Handle;
use crate::id::IntentId;
use crate::intent::{Intent, OnFailure, Resources, check_name, check_resource};
use crate::limits;
use crate::payload::{self, Payload};
use crate::secret::encode_input;
use crate::store::{Conn, Deadline, NewIntent, Start, StoreKind, insert_asked, nudge_within};
use crate::terms::Terms;
use crate::trace::TraceParent;

/// A request that is being put together. Awaiting it writes it to the database, in a transaction of its own or, with
/// [`within`](Self::within), in the caller's.
///
/// An `Ok` means: on disk. If the future is dropped, the request may have been made or not; with a
/// [`key`](Self::key), asking again is safe.
#[must_use = "a request does nothing until it is awaited"]
#[derive(Debug)]
pub struct Request<'i, T: Intent> {
    intendant: &'i Intendant,
    intent: T,
    terms: Terms,
}

impl<'i, T: Intent> Request<'i, T> {
    pub(crate) fn new(intendant: &'i Intendant, intent: T) -> Self {
        Self {
            intendant,
            intent,
            terms: Terms::default(),
        }
    }

    /// Who asks: a person, a service.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.terms.requested_by = Some(who.into());
        self
    }

    /// The idempotency key, per account: asking twice with one key and one body gives the same intent, finished or not;
    /// with another body it is an error. Keys are kept for 30 days.
    pub fn key(mut self, key: impl ToString) -> Self {
        self.terms.key = Some(key.to_string());
        self
    }

    /// Larger goes first; 0 unless said, from -1,000 to 1,000. A point is worth a minute of waiting, so a low priority
    /// still has its turn.
    pub fn priority(mut self, priority: i32) -> Self {
        self.terms.priority = priority;
        self
    }

    /// Not to start before this time, by the database's clock.
    pub fn start_at(mut self, time: DateTime<Utc>) -> Self {
        self.terms.start_at(time);
        self
    }

    /// Not to start before this much time has passed.
    pub fn start_in(mut self, time: Duration) -> Self {
        self.terms.start = Start::In(time);
        self
    }

    /// To be done by this time, by the database's clock, instead of its kind's [`Intent::DEADLINE`]. When it is late, an
    /// alert says so ([`AlertKind::IntentDeadline`](crate::AlertKind::IntentDeadline)); it goes on all the same, and the
    /// alert resolves itself when it has succeeded, or was cancelled, after all. A deadline costs a row.
    pub fn deadline_at(mut self, time: DateTime<Utc>) -> Self {
        self.terms.deadline_at(time);
        self
    }

    /// The same, so long after the request; or, if it has a start time, after that.
    pub fn deadline_in(mut self, time: Duration) -> Self {
        self.terms.deadline = Some(Deadline::In(time));
        self
    }

    /// Something to find it by later: `.label("team", "billing")`. A name that is given twice keeps the later value; at
    /// most [`limits::LABELS`] of them.
    ///
    /// Labels belong to this intent only: its children have none. So a search finds what was asked for, not what came of
    /// it, and a fan-out of ten thousand pays for no labels; [`correlation_id`](Self::correlation_id) is what runs through
    /// the tree. They are no part of the body that a [`key`](Self::key) is compared by: who asks again gets the first
    /// intent, with its labels.
    pub fn label(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.terms.label(name.into(), value.to_string());
        self
    }

    /// An id that runs through the intent and all its children, the web request's for example.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.terms.correlation_id = Some(id.into());
        self
    }

    /// The trace in which it is asked for: the header `traceparent` of the web request, as a rule. Steps hand it on
    /// ([`Cx::traceparent`](crate::Cx::traceparent)), children have it too, and its trace's id is the correlation id where
    /// none is said. With the feature `opentelemetry` it is, unless said, the span in which the request is made.
    pub fn traceparent(mut self, trace: TraceParent) -> Self {
        self.terms.traceparent = Some(trace);
        self
    }

    /// Asks within the caller's own transaction: invisible before its COMMIT, gone after its ROLLBACK.
    ///
    /// Takes a transaction or a connection of either database, which has to be the engine's own.
    pub async fn within(self, tx: &mut impl Within) -> Result<Handle<T>, Error> {
        let mut conn = tx.conn(Micros(self.intendant.store().clock().wall_us()));
        let (given, engine) = (kind_of(&conn), self.intendant.store().kind());
        if given != engine {
            return Err(Error::ForeignTransaction {
                given: given.as_str(),
                engine: engine.as_str(),
            });
        }
        let intendant = self.intendant;
        let mut new = self.into_new()?;
        intendant.store().seal(&mut new).await?;
        let key = new.key.as_ref().map(|(key, _)| key.clone());
        let caps = intendant.store().caps_within();
        let ids = insert_asked(&mut conn, vec![new], &caps)
            .await
            .map_err(|error| match key {
                // A transaction with one snapshot for all its statements cannot see who has taken the key meanwhile.
                Some(key) if error.is_replayable() => Error::KeyRace { key },
                _ => error,
            })?;
        nudge_within(&mut conn).await?;
        Ok(Handle::new(intendant.clone(), ids[0]))
    }

    /// Checks everything that can be checked before the database is asked.
    pub(crate) fn into_new(self) -> Result<NewIntent, Error> {
        let input = encode_input(&self.intent).map_err(Error::payload("the input"))?;
        let id = IntentId(self.intendant.store().clock().ordered_id());
        let new = describe(&self.intent, id, input)?;
        self.terms
            .apply(new, self.intendant.store().clock().wall_us())
    }
}

impl<'i, T: Intent> IntoFuture for Request<'i, T> {
    type Output = Result<Handle<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'i>>;

    fn into_future(self) -> Self::IntoFuture {
        let intendant = self.intendant;
        let new = self.into_new();
        Box::pin(async move {
            let id = intendant.gather(new?).await?;
            Ok(Handle::new(intendant.clone(), id))
        })
    }
}

/// An intent's row, with what its type says about it.
pub(crate) fn describe<T: Intent>(
    intent: &T,
    id: IntentId,
    input: Payload,
) -> Result<NewIntent, Error> {
    check_name("kind", T::KIND)?;
    check_name("queue", T::QUEUE)?;
    let account = intent.account().map(str::to_owned);
    if let Some(account) = &account {
        check_name("account", account)?;
    }
    let resources = intent.resources();
    check_resources(&resources)?;
    let conflicts = T::conflicts();
    conflicts.check(T::KIND)?;
    Ok(NewIntent {
        release_on_failure: T::ON_FAILURE == OnFailure::Release,
        conflicts: answering(conflicts),
        deadline: T::DEADLINE.map(Deadline::In),
        ..bare(id, T::KIND, T::QUEUE, account, input, &resources)
    })
}

pub(crate) fn check_resources(resources: &Resources) -> Result<(), Error> {
    if resources.iter().len() > limits::RESOURCES {
        return Err(Error::Limit {
            what: "the number of resources",
            found: resources.iter().len().to_string(),
            limit: limits::RESOURCES.to_string(),
        });
    }
    for (name, _) in resources.iter() {
        check_resource(name)?;
    }
    Ok(())
}

/// Conflict rules, if a request has to ask them: they can refuse it, or make it the same as another one.
pub(crate) fn answering(conflicts: Conflicts) -> Option<Arc<Conflicts>> {
    let answers = conflicts.mentions(Rule::Reject) || conflicts.mentions(Rule::Join);
    answers.then(|| Arc::new(conflicts))
}

/// An intent of which nothing is said but what it is.
pub(crate) fn bare(
    id: IntentId,
    kind: &str,
    queue: &str,
    account: Option<String>,
    input: Payload,
    resources: &Resources,
) -> NewIntent {
    let resources = resources.iter();
    NewIntent {
        id,
        kind: kind.to_owned(),
        queue: queue.to_owned(),
        account,
        input,
        priority: 0,
        release_on_failure: false,
        start: Start::Now,
        requested_by: None,
        parent: None,
        root: id,
        depth: 0,
        correlation_id: None,
        traceparent: None,
        resources: resources
            .map(|(name, mode)| (name.to_owned(), mode))
            .collect(),
        labels: Vec::new(),
        key: None,
        conflicts: None,
        deadline: None,
    }
}

/// A child that a step asks for, before its driver writes it.
#[derive(Debug, Clone)]
pub(crate) struct ChildRequest {
    pub(crate) name: String,
    pub(crate) input_hash: Vec<u8>,
    /// The failed child in whose place it is asked for.
    pub(crate) instead_of: Option<IntentId>,
    /// Not known yet to the database: to be asked for. None: asked for already, only awaited.
    pub(crate) new: Option<NewIntent>,
}

/// Hash of a child's kind and input: a name means the same child every time.
pub(crate) fn child_hash<T: Intent>(intent: &T) -> Result<(Payload, Vec<u8>), Error> {
    let input = encode_input(intent).map_err(Error::payload("the child's input"))?;
    let hash = payload::canonical_hash(&[T::KIND], &input);
    Ok((input, hash))
}

/// A child's row. Its parent, root and correlation id are the driver's to fill in.
pub(crate) fn new_child<T: Intent>(
    intent: &T,
    id: IntentId,
    input: Payload,
) -> Result<NewIntent, Error> {
    describe(intent, id, input)
}

fn kind_of(conn: &Conn<'_>) -> StoreKind {
    match conn {
        Conn::Pg(_) => StoreKind::Postgres,
        Conn::Sqlite(..) => StoreKind::Sqlite,
    }
}

/// A connection or transaction of the caller's that a request can be made within.
pub trait Within: Send {
    #[doc(hidden)]
    #[expect(
        private_interfaces,
        reason = "sealed: only sqlx's own types are accepted"
    )]
    fn conn(&mut self, now: Micros) -> Conn<'_>;
}

#[expect(
    private_interfaces,
    reason = "sealed: only sqlx's own types are accepted"
)]
impl Within for PgConnection {
    fn conn(&mut self, _: Micros) -> Conn<'_> {
        Conn::Pg(self)
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only sqlx's own types are accepted"
)]
impl Within for Transaction<'_, Postgres> {
    fn conn(&mut self, _: Micros) -> Conn<'_> {
        Conn::Pg(self)
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only sqlx's own types are accepted"
)]
impl Within for SqliteConnection {
    fn conn(&mut self, now: Micros) -> Conn<'_> {
        Conn::Sqlite(self, now)
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only sqlx's own types are accepted"
)]
impl Within for Transaction<'_, Sqlite> {
    fn conn(&mut self, now: Micros) -> Conn<'_> {
        Conn::Sqlite(self, now)
    }
}

/// Keeps the type of an intent with a request that is erased.
pub(crate) type OfIntent<T> = PhantomData<fn() -> T>;
