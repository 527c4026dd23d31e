//! The engine as a program uses it: asks for intents, looks at history, resumes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tracing::Instrument as _;

use crate::cancel::CancelAnswer;
use crate::clock::{Clock, Micros, SystemClock};
use crate::error::Error;
use crate::gather::{Gather, Made};
use crate::handle::Handle;
use crate::id::IntentId;
use crate::intent::{Intent, check_resource};
use crate::limits;
use crate::nudge::Nudge;
use crate::offer::Offers;
use crate::plan::Graph;
use crate::request::Request;
use crate::seam::Seam;
use crate::state::IntentState;
use crate::store::{
    AttemptRecord, CancelBy, ChildRecord, EventRecord, IntentFilter, IntentPage, IntentRecord,
    LinkRecord, LogRecord, MeasureRecord, MigrationStatus, NewIntent, Overdue, StepRecord, Store,
    StoreKind, StoreOptions, Unfinished,
};
use crate::subscription::Subscribe;
use crate::trace;
use crate::why::{Reason, Why, explain};
use crate::worker::Asker;

/// A handle on the engine's database: cheap to clone, to be kept for the life of the program.
///
/// ```
/// # use intendant::{Intent, Intendant};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
/// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let intendant = Intendant::open("sqlite::memory:").await?;
/// let handle = intendant.request(Greet { name: "Ada".into() }).by("web").await?;
/// println!("asked for {}", handle.id());
/// # Ok::<(), intendant::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Intendant {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    gather: Gather,
    nudge: Nudge,
    offers: Offers,
    /// Something was asked for in this process.
    work: Arc<Notify>,
    /// Something was asked to stop by this process.
    cancels: Arc<Notify>,
    /// A message was sent in this process.
    signalled: AtomicBool,
    /// Something finished in this process.
    finished: Arc<Notify>,
    asker: Asker,
}

impl Intendant {
    /// Connects by a URL, or by [`StoreOptions`]; makes the SQLite file if there is none, and brings the schema up to date.
    pub async fn open(database: impl Into<StoreOptions>) -> Result<Self, Error> {
        let options = StoreOptions {
            create: true,
            ..database.into()
        };
        let intendant = Self::with_options(&options).await?;
        intendant.migrate().await?;
        Ok(intendant)
    }

    /// Connects to a database that has the engine's schema already; changes nothing.
    pub async fn connect(database: impl Into<StoreOptions>) -> Result<Self, Error> {
        let intendant = Self::with_options(&database.into()).await?;
        intendant.store().check_schema().await?;
        Ok(intendant)
    }

    /// Connects, with options, without looking at the schema.
    pub async fn with_options(options: &StoreOptions) -> Result<Self, Error> {
        Self::with_clock(options, Arc::new(SystemClock)).await
    }

    /// Connects, with a clock of the caller's, without looking at the schema.
    pub async fn with_clock(options: &StoreOptions, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self::over(Store::connect(options, clock).await?))
    }

    /// Another process on the same database, as far as anybody can see; watched by the test kit.
    pub(crate) fn watched(&self, seam: Seam) -> Self {
        Self::over(self.store().watched(seam))
    }

    /// Nothing that is done with it stays done, and nobody hears of it.
    pub(crate) fn rehearsing(&self) -> Self {
        Self::over(self.store().rehearsing())
    }

    fn over(store: Store) -> Self {
        let inner = Inner {
            store,
            gather: Gather::default(),
            nudge: Nudge::default(),
            offers: Offers::default(),
            work: Arc::default(),
            cancels: Arc::default(),
            signalled: AtomicBool::new(false),
            finished: Arc::default(),
            asker: Asker::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Brings the database up to this program's schema; returns the migrations that it carried out, none if there was
    /// nothing to do. Safe to repeat, and to run from many processes at once.
    pub async fn migrate(&self) -> Result<Vec<MigrationStatus>, Error> {
        self.store().migrate().await
    }

    /// Which migrations the database has.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, Error> {
        self.store().migration_status().await
    }

    /// Which database this is.
    pub fn store_kind(&self) -> StoreKind {
        self.store().kind()
    }

    /// Asks for an intent. Nothing happens before the request is awaited.
    pub fn request<T: Intent>(&self, intent: T) -> Request<'_, T> {
        Request::new(self, intent)
    }

    /// Asks for many intents, a thousand in a transaction: memory stays bounded whatever the iterator yields. When it
    /// fails half way, the thousands before have been asked for.
    pub async fn request_all<T: Intent>(
        &self,
        intents: impl IntoIterator<Item = T>,
    ) -> Result<Vec<IntentId>, Error> {
        self.request_each(intents.into_iter().map(|intent| self.request(intent)))
            .await
    }

    /// [`request_all`](Self::request_all) of requests that say more than the intent: who asks, a key, a priority.
    pub async fn request_each<'i, T: Intent>(
        &self,
        requests: impl IntoIterator<Item = Request<'i, T>>,
    ) -> Result<Vec<IntentId>, Error> {
        let mut ids = Vec::new();
        let mut requests = requests.into_iter();
        loop {
            let batch = requests.by_ref().take(limits::CLAIM);
            let mut batch: Vec<NewIntent> =
                batch.map(Request::into_new).collect::<Result<_, _>>()?;
            if batch.is_empty() {
                return Ok(ids);
            }
            for new in &mut batch {
                self.store().seal(new).await?;
            }
            let caps = self.store().caps().await;
            ids.extend(self.store().ask(batch, caps).await?);
            self.wake();
        }
    }

    /// A handle on an intent that was asked for earlier, or elsewhere.
    pub fn handle<T: Intent>(&self, id: IntentId) -> Handle<T> {
        Handle::new(self.clone(), id)
    }

    /// Intents, newest first: as many as the filter's limit, or all that there are.
    ///
    /// Takes as many looks back through history as that needs ([`page`](Self::page)): a search for what few intents
    /// match, and no index finds, can take many.
    pub async fn list(&self, filter: IntentFilter) -> Result<Vec<IntentRecord>, Error> {
        let limit = filter.limit.unwrap_or(50).clamp(1, limits::PAGE);
        let mut filter = IntentFilter {
            limit: Some(limit),
            ..filter
        };
        let mut intents = Vec::new();
        loop {
            let page = self.page(filter.clone()).await?;
            intents.extend(page.intents);
            let missing = limit.saturating_sub(u32::try_from(intents.len()).unwrap_or(limit));
            if page.next.is_none() || missing == 0 {
                return Ok(intents);
            }
            filter.before = page.next;
            filter.limit = Some(missing);
        }
    }

    /// One look back through history, newest first, whose cost grows with neither its length nor the depth of the page.
    ///
    /// A page may have fewer intents than its limit, even none, and say where to go on: what no index finds (a kind, a
    /// requester, a text in the error, …) is compared on the way, with [`limits::LOOK_BACK`] intents at a time; and it ends
    /// when what its intents carry has [`limits::PAGE_BYTES`].
    ///
    /// ```
    /// # use intendant::{Intent, Intendant, IntentFilter};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// # intendant.request(Greet { name: "Ada".into() }).by("web").await?;
    /// let mut filter = IntentFilter { requested_by: Some("web".into()), ..Default::default() };
    /// loop {
    ///     let page = intendant.page(filter.clone()).await?;
    ///     for intent in page.intents {
    ///         println!("{} {}", intent.kind, intent.state);
    ///     }
    ///     if page.next.is_none() {
    ///         break;
    ///     }
    ///     filter.before = page.next;
    /// }
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn page(&self, filter: IntentFilter) -> Result<IntentPage, Error> {
        self.store().page(filter).await
    }

    /// Is anything running for this resource (`type:id`)? Everything unfinished that uses it in whatever way, newest
    /// first, 1,000 at most.
    pub async fn unfinished_on(&self, resource: &str) -> Result<Vec<IntentRecord>, Error> {
        check_resource(resource)?;
        self.store().unfinished_on(resource.to_owned()).await
    }

    /// What of an account failed since a time and is failed still, newest first, 1,000 at most.
    pub async fn failed_since(
        &self,
        account: &str,
        since: DateTime<Utc>,
    ) -> Result<Vec<IntentRecord>, Error> {
        let filter = IntentFilter {
            account: Some(account.to_owned()),
            state: Some(IntentState::Failed),
            finished_since: Some(since),
            limit: Some(limits::PAGE),
            ..IntentFilter::default()
        };
        self.list(filter).await
    }

    /// One intent's record.
    pub async fn get(&self, id: IntentId) -> Result<IntentRecord, Error> {
        self.store().get(id).await
    }

    /// Where an intent is.
    pub async fn state(&self, id: IntentId) -> Result<IntentState, Error> {
        self.store().state(id).await
    }

    /// What an intent's steps have to say: results, and what runs or waits.
    pub async fn steps(&self, id: IntentId) -> Result<Vec<StepRecord>, Error> {
        self.store().steps(id).await
    }

    /// All steps of an intent: what [`steps`](Self::steps) tells, and after that the steps of its plan that have not
    /// begun, in the order of the plan. The plan is known once a worker has made it; that a step runs is known with
    /// its worker's next heartbeat.
    pub async fn all_steps(&self, id: IntentId) -> Result<Vec<StepRecord>, Error> {
        self.store().all_steps(id).await
    }

    /// The plan of an intent as a graph, with where its steps are; none before a worker has made it.
    pub async fn graph(&self, id: IntentId) -> Result<Option<Graph>, Error> {
        self.store().state(id).await?;
        self.store().graph(id).await
    }

    /// An intent's failed attempts.
    pub async fn attempts(&self, id: IntentId) -> Result<Vec<AttemptRecord>, Error> {
        self.store().attempts(id).await
    }

    /// What an intent's attempts have logged, in the order in which they ended; see [`StepLogs`](crate::StepLogs).
    pub async fn logs(&self, id: IntentId) -> Result<Vec<LogRecord>, Error> {
        self.store().logs(id).await
    }

    /// What an intent's attempts have measured ([`Cx::measure`](crate::Cx::measure)). The view `measurements` has the same
    /// for SQL, with the kind, the account and each attempt's duration.
    pub async fn measurements(&self, id: IntentId) -> Result<Vec<MeasureRecord>, Error> {
        self.store().measurements(id).await
    }

    /// What people did to an intent, and what the engine noted: that it was taken over after a crash.
    pub async fn events(&self, id: IntentId) -> Result<Vec<EventRecord>, Error> {
        self.store().events(id).await
    }

    /// A page of an intent's events ([`limits::PAGE`]), after the one with this number; 0 for all. Their numbers have no gaps,
    /// so whoever has seen one has seen all before it.
    pub async fn events_after(&self, id: IntentId, seq: i64) -> Result<Vec<EventRecord>, Error> {
        self.store().events_after(id, seq, limits::PAGE).await
    }

    /// What becomes of intents, as it occurs: their ends, and their [events](Self::events). For live views, and for whoever does
    /// something when an intent has failed, or when one of an account has come to its end.
    ///
    /// With a state in the filter, only ends in it; with an error, only failures. Its `limit` is not heeded. What a filter by account
    /// or kind leaves out costs little; the other conditions are compared with the intent's record.
    ///
    /// Nothing is left out, in whatever order transactions are committed, and within one subscription nothing is told twice, unless
    /// the database's clock is set back. A [`position`](crate::IntentEvent::position) is kept by whoever is to go on after a restart; what
    /// occurred within the last seconds before it may be told twice then, with the same time and event number. Ends and
    /// events of intents that retention has removed meanwhile are not told. On PostgreSQL this needs the primary: a standby shows
    /// commits when they arrive.
    ///
    /// ```
    /// # use intendant::*;
    /// # let runtime = tokio::runtime::Runtime::new().unwrap();
    /// # runtime.block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// # intendant.migrate().await?;
    /// let failed = IntentFilter {
    ///     state: Some(IntentState::Failed),
    ///     ..IntentFilter::default()
    /// };
    /// let mut failures = intendant.subscribe(failed).await?;
    /// let tell = async {
    ///     loop {
    ///         let failure = failures.next().await?;
    ///         println!("{}: {:?}", failure.intent.id, failure.intent.error);
    ///         // And keep `failure.position`, for `subscribe(…).after(position)`.
    ///     }
    /// };
    /// # tokio::select! {
    /// #     end = tell => end,
    /// #     () = std::future::ready(()) => Ok::<(), Error>(()),
    /// # }?;
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub fn subscribe(&self, filter: IntentFilter) -> Subscribe<'_> {
        Subscribe::new(self, filter)
    }

    /// What conflict rules have made of an intent, and of others on account of it: who superseded whom, joined whom, was
    /// refused on account of whom. Whom an intent is blocked by now is told by [`why`](Self::why), and by the view
    /// `links`.
    pub async fn links(&self, id: IntentId) -> Result<Vec<LinkRecord>, Error> {
        self.store().links(id).await
    }

    /// The intents that an intent's steps asked for.
    pub async fn children(&self, id: IntentId) -> Result<Vec<ChildRecord>, Error> {
        self.store().children(id).await
    }

    /// Everything that an intent waits for, and on whom; what can be done about a failed one. One look at one moment,
    /// whose cost does not grow with history or backlog: what stands before it is counted up to a thousand.
    ///
    /// ```
    /// # use intendant::{Intent, Intendant, why::Reason};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let intendant = Intendant::open("sqlite::memory:").await?;
    /// let greeting = intendant.request(Greet { name: "Ada".into() }).await?;
    /// let why = intendant.why(greeting.id()).await?;
    /// assert!(matches!(why.reasons[0], Reason::NoWorker { .. }));
    /// assert!(why.to_string().starts_with("no live worker serves queue `default`"));
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn why(&self, id: IntentId) -> Result<Why, Error> {
        match self.store().why(id).await {
            Ok(facts) => Ok(explain(facts)),
            // Of the intent there is a row, of which what can be read is: so this is an answer, too.
            Err(error) if error.is_data() => {
                let record = self.get(id).await?;
                let error = record.unreadable.unwrap_or_else(|| error.to_string());
                Ok(Why {
                    intent: id,
                    kind: record.kind,
                    account: record.account,
                    requested_by: record.requested_by,
                    requested_at: record.requested_at,
                    state: record.state,
                    at: Micros(self.store().clock().wall_us()).to_utc(),
                    reasons: vec![Reason::Unreadable { error }],
                })
            }
            Err(error) => Err(error),
        }
    }

    /// How many unfinished tasks there are, by place. Costs a count of the small tables, none of the history.
    pub async fn unfinished(&self) -> Result<Unfinished, Error> {
        self.store().unfinished().await
    }

    /// Cancels many in one transaction, and tells everybody whom it concerns.
    pub(crate) async fn cancel_all(
        &self,
        ids: Vec<IntentId>,
        by: CancelBy,
    ) -> Result<Vec<(IntentId, CancelAnswer)>, Error> {
        let done = self.store().cancel(ids, by).await?;
        if done.moved {
            self.wake();
            self.announce_finished();
        }
        if done.told {
            self.inner.cancels.notify_waiters();
            self.inner.cancels.notify_one();
            let store = self.store().clone();
            if store.kind() == StoreKind::Postgres {
                tokio::spawn(async move {
                    if let Err(error) = store.nudge_cancel().await {
                        tracing::debug!(%error, "workers elsewhere hear of a cancel with their next heartbeat");
                    }
                });
            }
        }
        Ok(done.answers)
    }

    /// Takes back what an intent, whose limit is over, has in other queues and nobody holds.
    pub(crate) async fn take_back_overdue(
        &self,
        id: IntentId,
        limit: Duration,
    ) -> Result<Overdue, Error> {
        let overdue = self.store().take_back_overdue(id, limit).await?;
        self.wake();
        Ok(overdue)
    }

    /// Looks at every row for breaches of the invariants (DESIGN 6); there must be none. For tests and for `doctor`:
    /// its cost grows with history.
    pub async fn invariant_breaches(&self) -> Result<Vec<(String, IntentId)>, Error> {
        self.store().breaches().await
    }

    /// Closes the connections. Handles and clones are of no use afterwards.
    pub async fn close(&self) {
        self.store().close().await;
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Makes a request, together with others that are made at the same time.
    pub(crate) async fn gather(&self, mut new: NewIntent) -> Result<IntentId, Error> {
        let Inner { gather, offers, .. } = &*self.inner;
        self.store().seal(&mut new).await?;
        let span = tracing::info_span!(
            target: "intendant::request",
            "request",
            kind = new.kind,
            intent = %new.id,
            correlation_id = new.correlation_id,
        );
        trace::follow(&span, new.traceparent);
        let request = async {
            let caps = self.store().caps().await;
            match caps.refusal(std::iter::once(&new)) {
                None => gather.request(self.store(), offers, new).await,
                // Of the others it may be one that was there before. Not together with those that are taken.
                Some(full) if new.key.is_none() && new.conflicts.is_none() => Err(full),
                Some(_) => {
                    let ids = self.store().ask(vec![new], caps).await?;
                    Ok(Made {
                        id: ids[0],
                        in_hand: false,
                    })
                }
            }
        };
        let Made { id, in_hand } = request.instrument(span).await?;
        if !in_hand {
            self.wake();
        }
        Ok(id)
    }

    /// What the workers of this process could start at once.
    pub(crate) fn offers(&self) -> &Offers {
        &self.inner.offers
    }

    /// Tells the workers that there may be something to claim: those of this process at once, others if they are idle.
    pub(crate) fn wake(&self) {
        self.wake_here();
        self.wake_elsewhere();
    }

    /// Tells the workers that there is a message to be counted: one of this process, those elsewhere if they are idle.
    pub(crate) fn wake_for_signal(&self) {
        self.inner.signalled.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether that was said since somebody last asked.
    pub(crate) fn take_signalled(&self) -> bool {
        self.inner.signalled.swap(false, Ordering::Acquire)
    }

    pub(crate) fn wake_here(&self) {
        self.inner.work.notify_waiters();
        self.inner.work.notify_one();
    }

    /// The notifications to workers elsewhere.
    pub(crate) fn nudge(&self) -> &Nudge {
        &self.inner.nudge
    }

    pub(crate) fn wake_elsewhere(&self) {
        self.inner.nudge.send(self.store());
    }

    pub(crate) fn work(&self) -> Arc<Notify> {
        self.inner.work.clone()
    }

    /// Told when something is asked to stop.
    pub(crate) fn cancels(&self) -> Arc<Notify> {
        self.inner.cancels.clone()
    }

    /// Who asks those to stop whom others supersede.
    pub(crate) fn asker(&self) -> &Asker {
        &self.inner.asker
    }

    /// Tells the handles of this process that something finished.
    pub(crate) fn announce_finished(&self) {
        self.inner.finished.notify_waiters();
    }

    /// Completes when something finishes in this process; registered from the moment it is made.
    pub(crate) fn finished(&self) -> OwnedNotified {
        self.inner.finished.clone().notified_owned()
    }
}
