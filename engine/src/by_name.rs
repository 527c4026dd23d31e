//! Asking by a kind's name, for those who have its input as JSON and not its type: a command line, a server, a script.

use std::future::IntoFuture;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::client::Intendant;
use crate::conflict::Conflicts;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::{Intent, Resources, check_name};
use crate::kinds::KindRecord;
use crate::payload::{self, Payload, PayloadError};
use crate::request::{answering, bare, check_resources, describe};
use crate::secret::{Given, encode_input};
use crate::store::{Deadline, NewIntent, Start};
use crate::terms::Terms;
use crate::trace::TraceParent;

/// What came of asking by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is on disk.
    Now(IntentId),
    /// It was there before: asked for with the same key, or the same by the conflict rules of its kind.
    Before(IntentId),
}

impl Asked {
    /// The intent, whenever it was asked for.
    pub fn id(self) -> IntentId {
        match self {
            Self::Now(id) | Self::Before(id) => id,
        }
    }
}

/// A request by a kind's name that is being put together; awaiting it writes it to the database. See
/// [`Intendant::request_by_name`] and [`Worker::request_by_name`](crate::Worker::request_by_name).
///
/// Everything that a [`Request`](crate::Request) says can be said here, too, and means the same.
#[must_use = "a request does nothing until it is awaited"]
#[derive(Debug)]
pub struct RequestByName<'i> {
    intendant: &'i Intendant,
    what: What,
    account: Option<String>,
    resources: Resources,
    terms: Terms,
}

#[derive(Debug)]
enum What {
    /// Known by what its workers have said of the kind.
    Kind {
        kind: String,
        input: Result<Payload, PayloadError>,
    },
    /// Known by the kind's code.
    Code(Box<NewIntent>),
}

impl<'i> RequestByName<'i> {
    /// The customer that it is for. Where the kind's code says so from the input, that must be the same.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// What it touches, beside what the kind's code says.
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// [`Request::by`](crate::Request::by).
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.terms.requested_by = Some(who.into());
        self
    }

    /// [`Request::key`](crate::Request::key).
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.terms.key = Some(key.into());
        self
    }

    /// [`Request::priority`](crate::Request::priority).
    pub fn priority(mut self, priority: i32) -> Self {
        self.terms.priority = priority;
        self
    }

    /// [`Request::start_at`](crate::Request::start_at).
    pub fn start_at(mut self, time: DateTime<Utc>) -> Self {
        self.terms.start_at(time);
        self
    }

    /// [`Request::start_in`](crate::Request::start_in).
    pub fn start_in(mut self, time: Duration) -> Self {
        self.terms.start = Start::In(time);
        self
    }

    /// [`Request::deadline_at`](crate::Request::deadline_at).
    pub fn deadline_at(mut self, time: DateTime<Utc>) -> Self {
        self.terms.deadline_at(time);
        self
    }

    /// [`Request::label`](crate::Request::label).
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.terms.label(name.into(), value.into());
        self
    }

    /// [`Request::correlation_id`](crate::Request::correlation_id).
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.terms.correlation_id = Some(id.into());
        self
    }

    /// [`Request::traceparent`](crate::Request::traceparent).
    pub fn traceparent(mut self, trace: TraceParent) -> Self {
        self.terms.traceparent = Some(trace);
        self
    }

    /// The intent's row, checked as far as can be without asking the database for more than its kind.
    pub(crate) async fn into_new(self) -> Result<NewIntent, Error> {
        let store = self.intendant.store();
        let new = match self.what {
            What::Code(new) => *new,
            What::Kind { kind, input } => {
                check_name("kind", &kind)?;
                let input = input.map_err(Error::payload("the input"))?;
                let known = self.intendant.kind(&kind).await?;
                let id = IntentId(store.clock().ordered_id());
                of_kind(known, id, &input)?
            }
        };
        let new = with(new, self.account, &self.resources)?;
        self.terms.apply(new, store.clock().wall_us())
    }
}

impl<'i> IntoFuture for RequestByName<'i> {
    type Output = Result<Asked, Error>;
    type IntoFuture = BoxFuture<'i, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let intendant = self.intendant;
            let new = self.into_new().await?;
            let own = new.id;
            let id = intendant.gather(new).await?;
            Ok(match id == own {
                true => Asked::Now(id),
                false => Asked::Before(id),
            })
        })
    }
}

impl Intendant {
    /// Asks for an intent by its kind's name, with its input as JSON. Nothing happens before the request is awaited.
    ///
    /// The queue, the conflict rules and the deadline are those that the kind's workers have registered; a kind that none
    /// has ever registered is refused ([`Error::UnknownKind`]). The account and the resources have to be said, since only
    /// the kind's code knows them from the input: where it is at hand, [`Worker::request_by_name`](crate::Worker::request_by_name)
    /// is better. Whether the code can read the input shows when a worker does; the schema that the kind has registered
    /// ([`kind`](Self::kind)) tells before.
    ///
    /// ```
    /// # use intendant::{Cx, Intent, Intendant, Resources, StepResult, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Resize { server: u64 }
    /// # impl Intent for Resize { const KIND: &'static str = "server.resize"; type Output = u64; }
    /// # async fn resize(_: Cx<()>, intent: Resize) -> StepResult<u64> { Ok(intent.server) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// # let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// # let worker = Worker::new(&intendant, ()).register_step(resize);
    /// # let running = tokio::spawn(worker.run(async { stopped.await.ok(); }));
    /// # while intendant.kind("server.resize").await.is_err() { tokio::task::yield_now().await; }
    /// // Once a worker has begun that knows the kind:
    /// let input = serde_json::value::to_raw_value(&serde_json::json!({"server": 42})).unwrap();
    /// let asked = intendant
    ///     .request_by_name("server.resize", &input)
    ///     .account("acme")
    ///     .resources(Resources::exclusive("server", 42))
    ///     .by("ada")
    ///     .await?;
    /// assert_eq!(intendant.get(asked.id()).await?.account.as_deref(), Some("acme"));
    /// # stop.send(()).ok(); running.await.unwrap()?;
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub fn request_by_name(&self, kind: &str, input: &RawValue) -> RequestByName<'_> {
        let (kind, input) = (
            kind.to_owned(),
            payload::parse_given(input.get(), Given::New),
        );
        self.by_name(What::Kind { kind, input })
    }

    /// The same, where the kind's code has described the intent.
    pub(crate) fn request_described(&self, new: NewIntent) -> RequestByName<'_> {
        self.by_name(What::Code(Box::new(new)))
    }

    fn by_name(&self, what: What) -> RequestByName<'_> {
        RequestByName {
            intendant: self,
            what,
            account: None,
            resources: Resources::none(),
            terms: Terms::default(),
        }
    }
}

/// An intent as its kind's code describes it, from its input as JSON. What is kept is what the code reads from that.
pub(crate) fn from_json<T: Intent>(id: IntentId, input: &Payload) -> Result<NewIntent, Error> {
    let what = "the input";
    let intent: T = payload::decode(input).map_err(Error::payload(what))?;
    let input = encode_input(&intent).map_err(Error::payload(what))?;
    describe(&intent, id, input)
}

/// An intent as the database knows its kind.
fn of_kind(known: KindRecord, id: IntentId, input: &Payload) -> Result<NewIntent, Error> {
    let input = known.marked(input).map_err(Error::payload("the input"))?;
    let conflicts = match &known.conflicts {
        None => None,
        Some(rules) => {
            let rules: Conflicts = serde_json::from_str(rules.get())
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            answering(rules)
        }
    };
    let deadline = known.deadline.and_then(|time| time.to_std().ok());
    Ok(NewIntent {
        release_on_failure: known.release_on_failure,
        conflicts,
        deadline: deadline.map(Deadline::In),
        ..bare(
            id,
            &known.kind,
            &known.queue,
            None,
            input,
            &Resources::none(),
        )
    })
}

/// Adds what the request says of account and resources.
pub(crate) fn with(
    mut new: NewIntent,
    account: Option<String>,
    more: &Resources,
) -> Result<NewIntent, Error> {
    if let Some(account) = &account {
        check_name("account", account)?;
    }
    match (&new.account, account) {
        (Some(of_input), Some(given)) if *of_input != given => {
            return Err(Error::OtherAccount {
                kind: new.kind,
                of_input: of_input.clone(),
                given,
            });
        }
        (Some(_), _) => {}
        (None, account) => new.account = account,
    }
    let mut resources = Resources::none();
    let of_input = new.resources.iter();
    let of_input = of_input.map(|(name, mode)| (name.as_str(), *mode));
    for (name, mode) in of_input.chain(more.iter()) {
        resources.add(name, mode);
    }
    check_resources(&resources)?;
    let resources = resources.iter();
    new.resources = resources
        .map(|(name, mode)| (name.to_owned(), mode))
        .collect();
    Ok(new)
}
