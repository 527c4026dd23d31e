//! What a step is given beside its input.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, Semaphore, watch};

use crate::beside::Beside;
use crate::client::Intendant;
use crate::id::{IntentId, TaskId};
use crate::notes::Notes;
use crate::payload::{self, Payload};
use crate::request::ChildRequest;
use crate::secret::Mask;
use crate::step::{Ending, StepError};
use crate::store::{ChildLoad, Once};
use crate::trace::{self, TraceParent};
use crate::waits::{KnownWait, WaitRequest};

/// The context of one attempt at one step: the application's state, the intent that it is for, and the ways to talk to
/// the engine. Cheap to clone.
pub struct Cx<S> {
    state: Arc<S>,
    step: Arc<StepContext>,
}

impl<S> Clone for Cx<S> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            step: self.step.clone(),
        }
    }
}

impl<S> fmt::Debug for Cx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("intent", &self.step.intent.id)
            .field("step", &self.step.once.step)
            .field("attempt", &self.step.once.attempt)
            .finish_non_exhaustive()
    }
}

/// What of the intent every step may see.
#[derive(Debug)]
pub(crate) struct IntentContext {
    pub(crate) id: IntentId,
    pub(crate) root: IntentId,
    pub(crate) kind: Arc<str>,
    pub(crate) account: Option<Arc<str>>,
    pub(crate) requested_by: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<TraceParent>,
    pub(crate) input: Payload,
    /// What its steps are not to say.
    pub(crate) mask: Mask,
}

/// One attempt at one step, without the application's types.
#[derive(Debug)]
pub(crate) struct StepContext {
    pub(crate) intendant: Intendant,
    pub(crate) intent: Arc<IntentContext>,
    pub(crate) once: Once,
    pub(crate) started: Instant,
    /// The children that this step has asked for in earlier runs, by name.
    pub(crate) children: Arc<HashMap<String, ChildLoad>>,
    /// The sleeps and signals that it has waited for in earlier runs, by name.
    pub(crate) waits: HashMap<String, KnownWait>,
    pub(crate) stopping: watch::Receiver<bool>,
    /// The worker's places for what blocks its thread.
    pub(crate) places: Arc<Semaphore>,
    /// What of it runs outside of its future.
    pub(crate) beside: Beside,
    /// Odd while the step is polled; twice the number of its polls otherwise. For the watchdog.
    pub(crate) polls: AtomicU64,
    /// Of the step.
    pub(crate) at_most_once: bool,
    cancelled: AtomicBool,
    told: Notify,
    awaited: Mutex<Awaited>,
    progress: Mutex<Said>,
    /// What it leaves beside its end.
    pub(crate) notes: Notes,
    recorded: Mutex<Option<Payload>>,
    /// Locked while it is being found out whether the step's result is on disk.
    settling: Arc<tokio::sync::Mutex<()>>,
}

/// What a step waits for when it ends by waiting.
#[derive(Debug, Default)]
struct Awaited {
    children: Vec<ChildRequest>,
    waits: Vec<WaitRequest>,
    asked: Asked,
    /// How many of them have to finish before the step can ask for more; none where it has asked for all.
    enough: Option<usize>,
}

/// What a step waits for, as it ends.
#[derive(Debug, Default)]
pub(crate) struct Awaits {
    pub(crate) children: Vec<ChildRequest>,
    /// How many of the children may be unfinished when it goes on.
    pub(crate) spare: u32,
    /// Sleeps and signals; it goes on by the first that comes.
    pub(crate) waits: Vec<WaitRequest>,
}

/// How far a step has said that it is.
#[derive(Debug, Default)]
struct Said {
    progress: Option<Payload>,
    /// It is on its way to the disk.
    told: bool,
}

/// How many of them are new, and the size of their inputs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    pub(crate) children: usize,
    pub(crate) bytes: usize,
}

impl StepContext {
    pub(crate) fn new(
        intendant: Intendant,
        intent: Arc<IntentContext>,
        once: Once,
        children: Arc<HashMap<String, ChildLoad>>,
        waits: HashMap<String, KnownWait>,
        stopping: watch::Receiver<bool>,
        places: Arc<Semaphore>,
    ) -> Self {
        let started = intendant.store().clock().monotonic();
        Self {
            intendant,
            intent,
            once,
            started,
            children,
            waits,
            stopping,
            places,
            beside: Beside::default(),
            polls: AtomicU64::new(0),
            at_most_once: false,
            cancelled: AtomicBool::new(false),
            told: Notify::new(),
            awaited: Mutex::default(),
            progress: Mutex::default(),
            notes: Notes::default(),
            recorded: Mutex::default(),
            settling: Arc::default(),
        }
    }

    /// An attempt at a step that is run at most once.
    pub(crate) fn at_most_once(mut self, at_most_once: bool) -> Self {
        self.at_most_once = at_most_once;
        self
    }

    /// It is away from its intent's driver, in another queue.
    pub(crate) fn is_routed(&self) -> bool {
        self.once.task != TaskId::from(self.intent.id)
    }

    /// Runs what finds out whether the step's result is on disk, to its end even if the step is dropped meanwhile.
    pub(crate) async fn settle<T: Send + 'static>(
        &self,
        ending: impl Future<Output = Result<T, StepError>> + Send + 'static,
    ) -> Result<T, StepError> {
        let settling = self.settling.clone().lock_owned().await;
        let ending = tokio::spawn(async move {
            let ended = ending.await;
            drop(settling);
            ended
        });
        ending.await.map_err(StepError::new)?
    }

    /// The intent was asked to stop.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Completes when the intent is asked to stop.
    pub(crate) async fn cancelled(&self) {
        loop {
            // Registered before the look, so that what is told in between is heard.
            let mut told = pin!(self.told.notified());
            told.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            told.await;
        }
    }

    /// Waits until what runs beside the step has ended, and it is known whether the step's result is on disk.
    pub(crate) async fn settled(&self) {
        self.beside.gone().await;
        drop(self.settling.lock().await);
    }

    /// The step waits for this child, if it ends by waiting. Returns what it has asked for so far.
    pub(crate) fn await_child(&self, child: ChildRequest) -> Asked {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(new) = &child.new {
            awaited.asked.children += 1;
            awaited.asked.bytes += new.input.get().len();
        }
        awaited.children.push(child);
        awaited.asked
    }

    /// The step has more to ask for when so many of those that it waits for have finished.
    pub(crate) fn await_some(&self, enough: usize) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = awaited.enough.map_or(enough, |known| known.min(enough));
        awaited.enough = Some(enough);
    }

    /// The step waits for what this name stands for, if it ends by waiting.
    pub(crate) fn await_name(&self, wait: WaitRequest) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if !awaited.waits.iter().any(|known| known.name == wait.name) {
            awaited.waits.push(wait);
        }
    }

    /// What the step waits for.
    pub(crate) fn take_awaited(&self) -> Awaits {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let Awaited {
            children,
            waits,
            enough,
            ..
        } = std::mem::take(&mut *awaited);
        let spare = enough.map_or(0, |enough| children.len().saturating_sub(enough));
        Awaits {
            children,
            spare: u32::try_from(spare).unwrap_or(u32::MAX),
            waits,
        }
    }

    /// Nothing runs beside it, and nobody finds out right now whether something is on disk.
    pub(crate) fn is_settled(&self) -> bool {
        self.beside.is_gone() && self.settling.try_lock().is_ok()
    }

    /// What the step has said about how far it is since it was asked last, so that it is written once.
    pub(crate) fn new_progress(&self) -> Option<Payload> {
        let mut said = self.said();
        let progress = said.progress.clone();
        let new = !std::mem::replace(&mut said.told, true);
        progress.filter(|_| new)
    }

    /// What the step last said about how far it is.
    pub(crate) fn last_progress(&self) -> Option<Payload> {
        self.said().progress.clone()
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output that the step's own transaction has recorded.
    pub(crate) fn recorded(&self) -> Option<Payload> {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_recorded(&self, output: Payload) {
        *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
    }
}

impl<S> Cx<S> {
    pub(crate) fn new(state: Arc<S>, step: Arc<StepContext>) -> Self {
        Self { state, step }
    }

    pub(crate) fn step(&self) -> &Arc<StepContext> {
        &self.step
    }

    /// The application's state, as given to [`Worker::new`](crate::Worker::new).
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The engine, to ask for intents that this step does not wait for. Such a request is not tied to the step's
    /// result: give it a [`key`](crate::Request::key) made from [`idempotency_key`](Self::idempotency_key).
    pub fn intendant(&self) -> &Intendant {
        &self.step.intendant
    }

    /// The intent that this step is part of.
    pub fn intent_id(&self) -> IntentId {
        self.step.intent.id
    }

    /// The intent's kind.
    pub fn kind(&self) -> &str {
        &self.step.intent.kind
    }

    /// The customer that the intent is for.
    pub fn account(&self) -> Option<&str> {
        self.step.intent.account.as_deref()
    }

    /// Who asked for the intent.
    pub fn requested_by(&self) -> Option<&str> {
        self.step.intent.requested_by.as_deref()
    }

    /// What runs through the intent's whole tree.
    pub fn correlation_id(&self) -> Option<&str> {
        self.step.intent.correlation_id.as_deref()
    }

    /// The trace in which the intent was asked for, or whose parent was: for the header `traceparent` of what the step calls.
    /// With the feature `opentelemetry`, and a layer that records spans, it names the span in which the step is now, be there
    /// a caller's trace or not.
    pub fn traceparent(&self) -> Option<TraceParent> {
        trace::here().or(self.step.intent.traceparent)
    }

    /// The step's name.
    pub fn step_name(&self) -> &str {
        &self.step.once.step
    }

    /// Number of this attempt, from 1. Snoozes, waits for children and crashes of the worker do not count.
    pub fn attempt(&self) -> u32 {
        self.step.once.attempt
    }

    /// The intent's input.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        payload::decode(&self.step.intent.input).map_err(|error| StepError::undecodable(&error))
    }

    /// The same in every attempt at this step, and in no other step: for outside systems, which then do once what they
    /// are asked for several times.
    pub fn idempotency_key(&self) -> String {
        let once = &self.step.once;
        format!("{}/{}/{}", self.step.intent.id, once.step, once.generation)
    }

    /// Says how far the step is: a [`Progress`](crate::Progress), or anything else that goes to JSON. Written with the
    /// worker's next heartbeat, and with a failure; shown by `intendant show` and `why`. What cannot be kept is left out.
    ///
    /// ```
    /// # use intendant::{Cx, Progress, StepResult};
    /// async fn copy(cx: Cx<()>, tables: Vec<String>) -> StepResult<()> {
    ///     for (done, table) in tables.iter().enumerate() {
    ///         cx.progress(Progress::of(done as u64, tables.len() as u64).saying(table));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn progress(&self, progress: impl Serialize) {
        match payload::encode(&progress) {
            Ok(json) => {
                let json = match self.step.intent.mask.over_json(json.get()) {
                    Cow::Borrowed(_) => json,
                    Cow::Owned(masked) => payload::trusted(masked),
                };
                *self.step.said() = Said {
                    progress: Some(json),
                    told: false,
                }
            }
            Err(error) => {
                tracing::warn!(intent = %self.intent_id(), step = self.step_name(), %error, "progress not kept")
            }
        }
    }

    /// A safe exit point: a place at which the step can be left and begun again unharmed. When the worker is stopping,
    /// this ends the step (through `?`) without using up an attempt and without a failure: whoever claims the intent next
    /// runs it again, from its [`checkpoint`](Self::checkpoint) if it has one. When the intent was cancelled, it ends the
    /// step for good. Otherwise it does nothing.
    pub async fn exit_point(&self) -> Result<(), StepError> {
        if *self.step.stopping.borrow() || self.is_cancelled() {
            return Err(StepError(Box::new(Ending::Left)));
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Whether the intent was cancelled. A step that goes on regardless is stopped after a grace time
    /// ([`Worker::cancel_grace`](crate::Worker::cancel_grace)); what it returns before that is recorded.
    pub fn is_cancelled(&self) -> bool {
        self.step.is_cancelled()
    }

    /// Completes when the intent is cancelled: for steps that wait for something, and can let go of it. Known at once in
    /// the process that cancels, within a heartbeat of the worker elsewhere.
    ///
    /// ```
    /// # use intendant::{Cx, StepResult, fail};
    /// # async fn boot(_: u64) -> String { String::new() }
    /// async fn boot_server(cx: Cx<()>, server: u64) -> StepResult<String> {
    ///     tokio::select! {
    ///         address = boot(server) => Ok(address),
    ///         () = cx.cancelled() => Err(fail("given up")),
    ///     }
    /// }
    /// ```
    pub async fn cancelled(&self) {
        self.step.cancelled().await;
    }

    /// Completes when the worker is asked to stop: for steps that wait for something and can be left meanwhile.
    pub async fn stopping(&self) {
        let mut stopping = self.step.stopping.clone();
        // An error means that the worker is gone, which is a stop as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
