//! What a worker is made of, without the application's types. From here on nothing knows them: the loop is compiled with the engine,
//! and not once more for each state of each application.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::engine::Engine;
use super::registry::{Accepts, Kind};
use super::scheduling::Declared;
use super::{WorkReport, housekeeping, retaining, scheduling, session, wear};
use crate::alert::Watch;
use crate::client::Intendant;
use crate::dry_run::DryRun;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::check_name;
use crate::limits;
use crate::payload::{self, Payload};
use crate::retention::Retention;
use crate::store::{NewIntent, StepVerb};

/// All of a worker but its state, which the kinds have in them from the first, and its middleware, which they have when it runs.
pub(super) struct Parts {
    pub(super) intendant: Intendant,
    pub(super) kinds: HashMap<Arc<str>, Kind>,
    pub(super) schedules: Vec<Declared>,
    pub(super) retentions: Vec<Retention>,
    pub(super) doubled: Option<String>,
    pub(super) concurrency: usize,
    pub(super) queues: HashMap<String, usize>,
    /// No other queues than these.
    pub(super) only_named: bool,
    pub(super) settings: Settings,
}

/// How a worker lives.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) name: Arc<str>,
    pub(super) lease: Duration,
    pub(super) poll: Duration,
    pub(super) grace: Duration,
    pub(super) cancel_grace: Duration,
    pub(super) build: String,
    pub(super) watch: Watch,
    pub(super) hook: Option<housekeeping::Hook>,
    /// How long a step may keep its thread.
    pub(super) watchdog: Option<Duration>,
    /// How many closures that block run at once.
    pub(super) blocking: usize,
    pub(super) bounds: wear::Bounds,
}

impl Parts {
    pub(super) fn new(intendant: Intendant) -> Self {
        let host = gethostname::gethostname();
        Self {
            intendant,
            kinds: HashMap::new(),
            schedules: Vec::new(),
            retentions: Vec::new(),
            doubled: None,
            concurrency: limits::CONCURRENCY,
            queues: HashMap::new(),
            only_named: false,
            settings: Settings {
                name: format!("{}/{}", host.to_string_lossy(), std::process::id()).into(),
                lease: limits::LEASE,
                poll: limits::POLL,
                grace: limits::GRACE,
                cancel_grace: limits::CANCEL_GRACE,
                build: session::build(),
                watch: Watch::default(),
                hook: None,
                watchdog: Some(limits::WATCHDOG),
                blocking: std::thread::available_parallelism().map_or(1, usize::from),
                bounds: wear::Bounds::default(),
            },
        }
    }

    /// What it claims: by queue, the kinds whose own queue it is, and, where it is named, those that may send steps there.
    pub(super) fn lanes(&self) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
        let mut lanes: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for kind in self.kinds.values() {
            if !self.only_named || self.queues.contains_key(&*kind.queue) {
                let lane = lanes.entry(kind.queue.clone()).or_default();
                lane.push(kind.name.clone());
            }
            for queue in self.queues.keys().filter(|queue| **queue != *kind.queue) {
                let lane = lanes.entry(Arc::from(queue.as_str())).or_default();
                lane.push(kind.name.clone());
            }
        }
        lanes.values_mut().for_each(|kinds| kinds.sort());
        lanes
    }

    pub(super) fn known(&self, kind: &str) -> Result<&Kind, Error> {
        self.kinds.get(kind).ok_or_else(|| {
            Error::Setup(format!(
                "this worker has no plan for kind `{kind}`; register one"
            ))
        })
    }

    /// The names of its kinds, in their order.
    pub(super) fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.kinds.keys().map(|kind| &**kind).collect();
        kinds.sort_unstable();
        kinds
    }

    pub(super) async fn dry_run(&self, kind: &Kind, new: NewIntent) -> Result<DryRun, Error> {
        let shape = kind.shape(&new.input).map_err(|failure| Error::NoPlan {
            kind: new.kind.clone(),
            error: failure.to_string(),
        })?;
        let store = self.intendant.store();
        let foresight = store.foresee(&new, kind.conflicts.clone()).await?;
        Ok(DryRun::of(new, &shape, foresight))
    }

    /// Gives a step this output, if it is one that the step can have.
    pub(super) async fn skip(
        &self,
        id: IntentId,
        step: &str,
        output: Payload,
        actor: &str,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let record = self.intendant.get(id).await?;
        let kind = self.known(&record.kind)?;
        let input = payload::trusted(record.input.get());
        let keys = self.intendant.store().secrets().await?;
        let opened = keys.open(&input, record.account.as_deref(), id);
        let (input, mask) = opened.map_err(|error| Error::NoPlan {
            kind: record.kind.clone(),
            error: error.to_string(),
        })?;
        match kind.accepts(&input, step, &output) {
            Accepts::Yes => {}
            Accepts::No(error) => {
                let what = "the output";
                return Err(Error::Payload { what, error });
            }
            Accepts::NoStep => {
                let step = step.to_owned();
                return Err(Error::NoStep { id, step });
            }
            Accepts::NoPlan(error) => {
                let (kind, error) = (record.kind, mask.over(&error).into_owned());
                return Err(Error::NoPlan { kind, error });
            }
        }
        let verb = StepVerb::Skip(output);
        self.intendant.on_step(id, step, verb, actor, reason).await
    }

    /// Works until `shutdown`, if all that it was told goes together.
    pub(super) async fn run(self, shutdown: BoxFuture<'_, ()>) -> Result<WorkReport, Error> {
        if let Some(kind) = self.doubled {
            return Err(Error::Setup(format!(
                "the kind `{kind}` is registered twice with one worker"
            )));
        }
        check_name("worker", &self.settings.name)?;
        for kind in self.kinds.values() {
            kind.conflicts.check(&kind.name)?;
            kind.about.check(&kind.name)?;
        }
        for queue in self.queues.keys() {
            check_name("queue", queue)?;
        }
        scheduling::check(&self.schedules)?;
        retaining::check(&self.retentions)?;
        if self.only_named && self.queues.is_empty() {
            let error = "the worker serves only the queues that are named, and none is; name one with `queue`";
            return Err(Error::Setup(error.to_owned()));
        }
        self.intendant.store().check_schema().await?;
        Engine::new(self).run(shutdown).await
    }
}
