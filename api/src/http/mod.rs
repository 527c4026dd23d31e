//! The HTTP API: `/api/v1/…`, JSON, described by a document that is made from the code.
//!
//! [`Api`] makes a router of its own, or one for another axum application, under any path, with that application's own way to
//! know who asks.

mod access;
mod around;
mod dashboard;
mod doors;
mod etag;
mod input_account;
mod intents;
mod lanes;
mod listening;
mod parts;
mod problem;
mod readers;
mod retention;
mod route;
mod shield;
mod stream;
mod veil;
mod verbs;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, FromRequestParts};
use axum::http::request;
use axum::middleware::from_fn_with_state;
use futures_util::FutureExt as _;
use intendant::{Intendant, Scope, Worker};
use serde_json::Value;
use tokio::sync::watch;

pub use access::Access;
pub use dashboard::PageRoute;
pub use doors::{Grant, Needs};
pub use listening::{Drained, serve};
pub use problem::Problem;

pub(crate) use around::MadeToken;
pub(crate) use doors::Code;
pub(crate) use intents::EventPage;
pub(crate) use lanes::{AskedAt, Changed};
pub(crate) use problem::{NO_METHOD, NO_ROUTE, UNKNOWN_KIND};
pub(crate) use retention::Rule as RetentionRule;
pub(crate) use verbs::SentMessage;

use doors::{Doors, Guarded, Latch, Naming};
use parts::{Answer, Asked, Text};
use readers::Streams;
use route::{Described, Entry, Operation, Routes, Schemas};
use shield::{Reached, Schemes};

const DOCUMENT: &str = "/api/v1/openapi.json";

/// The HTTP API of an engine.
///
/// ```
/// use axum::Router;
/// use intendant::Intendant;
/// use intendant_api::http::Api;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let intendant = Intendant::open("sqlite::memory:").await?;
/// // Within another application, under a path of its choice; who asks has a token of the engine's.
/// let app: Router = Router::new().nest("/operations", Api::new(&intendant).router());
/// # Ok::<(), intendant::Error>(()) }).unwrap();
/// ```
#[must_use = "an API does nothing until its router is served"]
pub struct Api {
    guarded: Guarded,
    reached: Reached,
    stop: Option<watch::Receiver<bool>>,
    has_dashboard: bool,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("reached", &self.reached)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// Who asks needs a token ([`Intendant::create_token`]).
    pub fn new(intendant: &Intendant) -> Self {
        Self {
            guarded: Guarded {
                engine: intendant.clone(),
                code: Arc::new([]),
                doors: Doors::Tokens,
                naming: Naming::Refused,
            },
            reached: Reached::default(),
            stop: None,
            has_dashboard: true,
        }
    }

    /// No pages for people: the JSON API alone.
    pub fn without_dashboard(mut self) -> Self {
        self.has_dashboard = false;
        self
    }

    /// Whoever reaches it may do everything, until the first token is made: from then on it needs one. Who says to have one
    /// needs a good one from the beginning. For a server that only its own machine can reach, and that
    /// [goes by names](Self::names) of that machine, so that no page of another server can reach it through a browser.
    pub fn open(mut self) -> Self {
        self.guarded.doors = Doors::Open(Latch::default());
        self
    }

    /// Who asks is known by the application that this is mounted in, which says how far they may go; nobody who is not known.
    /// Where it goes by cookies, it has to refuse requests of other sites' pages itself, or leave that to this API, which
    /// refuses what changes anything and comes from another origin.
    ///
    /// ```
    /// # use intendant::{Intendant, Scope};
    /// use intendant_api::http::{Api, Grant};
    /// # fn api(intendant: &Intendant) -> Api {
    /// Api::new(intendant).access_by(|request| {
    ///     // Put there by the application's own middleware.
    ///     let user = request.extensions.get::<String>().cloned();
    ///     async move { Some(Grant { who: user?, scope: Scope::Viewer, account: None }) }
    /// })
    /// # }
    /// ```
    pub fn access_by<F, Fut>(mut self, who: F) -> Self
    where
        F: Fn(&request::Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Grant>> + Send + 'static,
    {
        self.guarded.doors = Doors::Host(Arc::new(move |parts| who(parts).boxed()));
        self
    }

    /// The names (without ports) that the server goes by; a request for another name is refused, so that a name of somebody
    /// else's that leads to this machine is of no use to them.
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.reached.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Browsers reach it by TLS alone, as where a proxy in front of it speaks that: what a page changes that came without is
    /// refused.
    pub fn behind_tls(mut self) -> Self {
        self.reached.by = Schemes::Https;
        self
    }

    /// The code of a worker's kinds is at hand: it says, from the input, for whom an intent is that is asked for, and what it
    /// uses. The worker need not run. Without it, both have to be said beside the input.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use intendant::{Cx, Intent, Intendant, StepResult, Worker};
    /// # use intendant_api::http::Api;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Greet { name: String }
    /// # impl Intent for Greet { const KIND: &'static str = "greet"; type Output = String; }
    /// # async fn greet(_: Cx<()>, intent: Greet) -> StepResult<String> { Ok(intent.name) }
    /// # fn api(intendant: &Intendant) -> Api {
    /// Api::new(intendant).code_of(Arc::new(Worker::new(intendant, ()).register_step(greet)))
    /// # }
    /// ```
    pub fn code_of<S: Send + Sync + 'static>(self, worker: Arc<Worker<S>>) -> Self {
        self.code(worker)
    }

    pub(crate) fn code(mut self, code: Arc<dyn Code>) -> Self {
        let known = self.guarded.code.iter().cloned();
        self.guarded.code = known.chain([code]).collect();
        self
    }

    /// Who acts for one account alone may say which resources an intent uses. Nobody but the application knows whose a
    /// resource is, and who locks one keeps others from it: so it has to look at such requests itself before they come here.
    /// Without this they are refused, and the intent uses what its kind's code says, if that [is at hand](Self::code_of).
    pub fn accounts_name_resources(mut self) -> Self {
        self.guarded.naming = Naming::Allowed;
        self
    }

    /// Live streams end when this becomes true, so that a server can drain.
    pub fn stop(mut self, stop: watch::Receiver<bool>) -> Self {
        self.stop = Some(stop);
        self
    }

    /// The routes.
    pub fn router(self) -> Router {
        let health = Health(self.guarded.engine.clone());
        let pages = self
            .has_dashboard
            .then(|| dashboard::pages(self.guarded.clone()).router());
        let (router, document) = routes(self.guarded).finish();
        router
            .merge(pages.unwrap_or_default())
            .fallback(async || Problem::no_route())
            .method_not_allowed_fallback(async || Problem::no_method())
            .layer(Extension(Streams::new(self.stop)))
            .layer(Extension(Document(Arc::new(document))))
            .layer(Extension(health))
            .layer(from_fn_with_state(self.reached, shield::shield))
    }

    /// The routes of the dashboard, and what each needs of who asks.
    pub fn pages(self) -> Vec<PageRoute> {
        dashboard::pages(self.guarded).routes()
    }

    /// The document that describes the routes: OpenAPI 3.1.
    pub fn document(self) -> Value {
        routes(self.guarded).finish().1
    }
}

fn routes(guarded: Guarded) -> Routes {
    use Scope::{Admin, Operator, Viewer};
    let nobody = Needs::Nobody;
    let [viewer, operator, admin] = [Viewer, Operator, Admin].map(Needs::Scope);
    let get = |path, name, does| Entry {
        method: "GET",
        path,
        name,
        does,
    };
    let post = |path, name, does| Entry {
        method: "POST",
        path,
        name,
        does,
    };
    let delete = |path, name, does| Entry {
        method: "DELETE",
        path,
        name,
        does,
    };
    Routes::new(guarded)
        .add(operator, post("/api/v1/intents", "request", "Asks for an intent"), intents::request)
        .add(viewer, get("/api/v1/intents", "list", "Intents, newest first: one look back; a page may have fewer than there are, and says where to go on"), intents::list)
        .add(viewer, get("/api/v1/intents/stream", "watchAll", "A page of intents, live"), stream::page)
        .add(viewer, get("/api/v1/intents/{id}", "get", "One intent"), intents::get)
        .add(viewer, get("/api/v1/intents/{id}/steps", "steps", "Its steps, those that have not begun among them"), intents::steps)
        .add(viewer, get("/api/v1/intents/{id}/attempts", "attempts", "Its failed attempts"), intents::attempts)
        .add(viewer, get("/api/v1/intents/{id}/events", "events", "What people and rules did to it"), intents::events)
        .add(viewer, get("/api/v1/intents/{id}/logs", "logs", "What its steps have logged"), intents::logs)
        .add(viewer, get("/api/v1/intents/{id}/measurements", "measurements", "What its steps have measured"), intents::measurements)
        .add(viewer, get("/api/v1/intents/{id}/children", "children", "The intents that its steps asked for"), intents::children)
        .add(viewer, get("/api/v1/intents/{id}/links", "links", "What conflict rules have made of it"), intents::links)
        .add(viewer, get("/api/v1/intents/{id}/signals", "signals", "The messages that were sent to it"), intents::signals)
        .add(viewer, get("/api/v1/intents/{id}/why", "why", "What it waits for, and on whom; what can be done about a failed one"), intents::why)
        .add(viewer, get("/api/v1/intents/{id}/graph", "graph", "Its plan; null before a worker has made it"), intents::graph)
        .add(viewer, get("/api/v1/intents/{id}/stream", "watch", "The intent with its steps, and its events, live"), stream::one)
        .add(operator, post("/api/v1/intents/{id}/signals", "signal", "Sends it a message"), verbs::signal)
        .add(operator, post("/api/v1/intents/{id}/resume", "resume", "Puts a failed intent back in line"), verbs::resume)
        .add(operator, post("/api/v1/intents/{id}/cancel", "cancel", "Stops it, with all that it has asked for"), verbs::cancel)
        .add(operator, post("/api/v1/intents/{id}/undo", "undo", "Takes back what a failed intent did, or, by a new intent, one that has succeeded"), verbs::undo)
        .add(operator, post("/api/v1/intents/{id}/discard", "discard", "Gives a failed intent up; nothing is taken back"), verbs::discard)
        .add(operator, post("/api/v1/intents/{id}/rerun", "rerun", "Runs it again: a failed one from a step on, another one as a new intent"), verbs::rerun)
        .add(operator, post("/api/v1/intents/{id}/retry", "retry", "Tries one step again now"), verbs::retry)
        .add(operator, post("/api/v1/intents/{id}/skip", "skip", "Gives one step its output by hand"), verbs::skip)
        .add(operator, post("/api/v1/intents/{id}/amend", "amend", "Replaces the input of a failed intent"), verbs::amend)
        .add(operator, post("/api/v1/bulk", "bulk", "Does something to all that match"), verbs::bulk)
        .add(viewer, get("/api/v1/failures", "failures", "What has failed, in groups"), intents::failures)
        .add(viewer, get("/api/v1/kinds", "kinds", "The sorts of operations that workers have registered"), around::kinds)
        .add(viewer, get("/api/v1/kinds/{kind}", "kind", "One of them, with the schema of its input"), around::kind)
        .add(viewer, get("/api/v1/workers", "workers", "The workers that have not been found dead"), around::workers)
        .add(viewer, get("/api/v1/queues", "queues", "The queues that anybody has named"), lanes::queues)
        .add(operator, post("/api/v1/queues/{name}/pause", "pauseQueue", "Has no worker begin with anything more of a queue"), lanes::pause_queue)
        .add(operator, post("/api/v1/queues/{name}/resume", "resumeQueue", "Has the workers go on with a paused queue"), lanes::resume_queue)
        .add(operator, post("/api/v1/queues/{name}/cap", "capQueue", "Says how many of a queue's tasks may be in line before it refuses requests"), lanes::cap_queue)
        .add(operator, post("/api/v1/queues/{name}/limit", "limitQueue", "Says how many of a queue's steps may run at once, across all workers"), lanes::limit_queue)
        .add(operator, post("/api/v1/queues/{name}/partition", "partitionQueue", "Has a queue's tasks take turns, told apart by account or something else"), lanes::partition_queue)
        .add(operator, post("/api/v1/queues/{name}/rate", "rateQueue", "Says how many attempts at a queue's steps may begin within a time, across all workers"), lanes::rate_queue)
        .add(viewer, get("/api/v1/queues/{name}/changes", "queueChanges", "What people did to a queue, the latest first"), lanes::queue_changes)
        .add(viewer, get("/api/v1/schedules", "schedules", "The schedules that there are"), lanes::schedules)
        .add(operator, post("/api/v1/schedules/{name}/pause", "pauseSchedule", "Has a schedule ask for nothing more"), lanes::pause_schedule)
        .add(operator, post("/api/v1/schedules/{name}/resume", "resumeSchedule", "Has a paused schedule go on with its next tick"), lanes::resume_schedule)
        .add(operator, post("/api/v1/schedules/{name}/run", "runSchedule", "Asks for an intent of a schedule now"), lanes::run_schedule)
        .add(operator, post("/api/v1/schedules/{name}/remove", "removeSchedule", "Removes a schedule that no live worker declares any more"), lanes::remove_schedule)
        .add(viewer, get("/api/v1/schedules/{name}/ticks", "scheduleTicks", "What came of a schedule's ticks, the latest first"), lanes::schedule_ticks)
        .add(viewer, get("/api/v1/schedules/{name}/changes", "scheduleChanges", "What people did to a schedule, the latest first"), lanes::schedule_changes)
        .add(viewer, get("/api/v1/retention", "retention", "How long what has finished is kept"), retention::rules)
        .add(admin, post("/api/v1/retention", "retain", "Says how long what ended in a state is kept"), retention::say)
        .add(admin, post("/api/v1/retention/as-declared", "retainAsDeclared", "Takes back what a person has said of that"), retention::as_declared)
        .add(viewer, get("/api/v1/retention/removed", "removed", "How much was removed, by day and kind"), retention::removals)
        .add(viewer, get("/api/v1/retention/kept", "kept", "What is old enough and had to stay, and why"), retention::kept)
        .add(viewer, get("/api/v1/retention/changes", "retentionChanges", "What people have said of how long something is kept, the latest first"), retention::changes)
        .add(viewer, get("/api/v1/alerts", "alerts", "What people should know of"), around::alerts)
        .add(viewer, get("/api/v1/unfinished", "unfinished", "How many unfinished tasks there are, by place"), around::unfinished)
        .add(admin, get("/api/v1/tokens", "tokens", "The tokens that were ever made"), around::tokens)
        .add(admin, post("/api/v1/tokens", "createToken", "Makes a token, and shows it this once"), around::create_token)
        .add(admin, delete("/api/v1/tokens/{id}", "revokeToken", "Takes a token back, now and for good"), around::revoke_token)
        .add(nobody, get(DOCUMENT, "openapi", "This document"), document)
        .add(nobody, get("/livez", "livez", "The process is there"), around::livez)
        .add(nobody, get("/readyz", "readyz", "The database is there, and has the schema"), readyz)
        .add(viewer, get("/metrics", "metrics", "Numbers for Prometheus"), around::metrics)
}

/// The document, as it is served.
#[derive(Clone)]
struct Document(Arc<Value>);

/// Whether the database is there: all that a route which needs nobody can ask.
#[derive(Clone)]
struct Health(Intendant);

macro_rules! from_extensions {
    ($($name:ident)*) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
                let found = parts.extensions.get::<Self>().cloned();
                found.ok_or_else(|| Problem::bug("a layer is missing"))
            }
        }

        impl Described for $name {
            fn describe(_: &mut Operation, _: &mut Schemas) {}
        }
    )*};
}
from_extensions!(Document Health);

async fn document(
    Document(document): Document,
    Asked(path): Asked,
) -> Result<Answer<Value>, Problem> {
    let mut document = (*document).clone();
    // Wherever it is mounted.
    let under = path.strip_suffix(DOCUMENT).unwrap_or_default();
    let under = if under.is_empty() { "/" } else { under };
    document["servers"] = serde_json::json!([{"url": under}]);
    Ok(Answer(document))
}

async fn readyz(Health(engine): Health) -> Result<Text, Problem> {
    let migrations = engine.migration_status().await?;
    match migrations.iter().find(|migration| !migration.applied) {
        None => Ok(Text("ok\n".to_owned())),
        Some(missing) => Err(Problem::not_ready(format!(
            "migration {} is missing",
            missing.version
        ))),
    }
}
