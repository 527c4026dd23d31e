//! What a step is given beside its input.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::client::Intendant;
use crate::id::{IntentId, TaskId};
use crate::payload::{self, Payload};
use crate::request::ChildRequest;
use crate::step::{Ending, StepError};
use crate::store::{ChildLoad, Once};

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
    pub(crate) kind: Arc<str>,
    pub(crate) account: Option<Arc<str>>,
    pub(crate) requested_by: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) input: Payload,
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
    pub(crate) stopping: watch::Receiver<bool>,
    cancelled: AtomicBool,
    told: Notify,
    awaited: Mutex<Awaited>,
    progress: Mutex<Option<Payload>>,
    recorded: Mutex<Option<Payload>>,
    /// Locked while it is being found out whether the step's result is on disk.
    settling: Arc<tokio::sync::Mutex<()>>,
}

/// The children that a step waits for when it ends by waiting.
#[derive(Debug, Default)]
struct Awaited {
    children: Vec<ChildRequest>,
    asked: Asked,
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
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let started = intendant.store().clock().monotonic();
        let (progress, recorded) = (Mutex::default(), Mutex::default());
        Self {
            intendant,
            intent,
            once,
            started,
            children,
            stopping,
            cancelled: AtomicBool::new(false),
            told: Notify::new(),
            awaited: Mutex::default(),
            progress,
            recorded,
            settling: Arc::default(),
        }
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

    /// Waits until it is known whether the step's result is on disk.
    pub(crate) async fn settled(&self) {
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

    /// The children that the step waits for.
    pub(crate) fn take_awaited(&self) -> Vec<ChildRequest> {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *awaited).children
    }

    /// What the step last said about how far it is; taken, so that it is written once.
    pub(crate) fn take_progress(&self) -> Option<Payload> {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
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

    /// Says how far the step is; written with the next heartbeat, shown by `intendant show`. Anything that goes to
    /// JSON; what cannot be kept is left out.
    pub fn progress(&self, progress: impl Serialize) {
        match payload::encode(&progress) {
            Ok(json) => {
                *self
                    .step
                    .progress
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(json)
            }
            Err(error) => {
                tracing::warn!(intent = %self.intent_id(), step = self.step_name(), %error, "progress not kept")
            }
        }
    }

    /// A safe exit point: a place at which the step can be left and begun again unharmed. When the worker is stopping,
    /// this ends the step (through `?`) without using up an attempt; when the intent was cancelled, it ends the step for
    /// good. Otherwise it does nothing.
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
