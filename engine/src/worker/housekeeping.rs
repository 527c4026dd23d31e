//! Housekeeping: with the heartbeat, beside the loop, whoever's turn it is looks for what deserves an alert; and one worker
//! that has a hook tells it.
//!
//! Whose turn it is, is a row ([`Store::look`](crate::store::Store::look)). What was told is marked after the hook has
//! taken it, so it is told at least once: again, perhaps by another worker, if this one dies in between.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

use super::engine::Engine;
use crate::alert::{Notice, Unserved};
use crate::limits;
use crate::store::{Due, Round, Store, Turn};

/// What is called with what there is to tell.
#[derive(Clone)]
pub(super) struct Hook(Arc<CallHook>);

type CallHook = dyn Fn(Vec<Notice>) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

impl Hook {
    pub(super) fn new<E, Fut>(hook: impl Fn(Vec<Notice>) -> Fut + Send + Sync + 'static) -> Self
    where
        E: Display,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        Self(Arc::new(move |notices| {
            let told = hook(notices);
            Box::pin(async move { told.await.map_err(|error| error.to_string()) })
        }))
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

/// The housekeeping of one worker: at most one at a time, which ends with the worker.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    task: Option<JoinHandle<()>>,
    last: Option<Duration>,
    unserved: Unserved,
    circles: Round,
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        // Its transactions are tasks of their own, which end by themselves.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Engine {
    /// Keeps house if that is due. Called with every heartbeat.
    pub(super) fn keep_house(&mut self) {
        let (now, every) = (self.now(), self.settings.watch.every);
        let Some(session) = self.session else { return };
        let keeping = &mut self.housekeeping;
        let busy = keeping
            .task
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        let due = |last: Duration| now.saturating_sub(last) >= every;
        if busy || !keeping.last.is_none_or(due) {
            return;
        }
        keeping.last = Some(now);
        let turn = Turn {
            session,
            worker: self.settings.name.to_string(),
            watch: self.settings.watch,
            unserved: self.housekeeping.unserved.clone(),
            circles: self.housekeeping.circles.clone(),
        };
        let (store, hook) = (self.store().clone(), self.settings.hook.clone());
        let busy = store.seam().busy();
        self.housekeeping.task = Some(tokio::spawn(async move {
            let _busy = busy;
            if let Err(error) = store.look(turn.clone()).await {
                tracing::warn!(%error, "looking for what deserves an alert");
            }
            if let Some(hook) = hook {
                tell(&store, turn, &hook).await;
            }
        }));
    }
}

impl Housekeeping {
    /// Waits for what is on its way, so that what the hook has taken is marked as told.
    pub(super) async fn end(&mut self) {
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(limits::TURN, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

async fn tell(store: &Store, turn: Turn, hook: &Hook) {
    let due = match store.to_tell(turn.clone()).await {
        Ok(due) if due.is_empty() => return,
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "asking what there is to tell");
            return;
        }
    };
    let told = if call(hook, &due).await {
        due
    } else {
        Vec::new()
    };
    // Even if nothing was told: the turn is over.
    if let Err(error) = store.told(turn, told).await {
        tracing::warn!(%error, "what was told could not be marked; it will be told again");
    }
}

/// True: the hook has taken it.
async fn call(hook: &Hook, due: &[Due]) -> bool {
    let notices = due.iter().map(|due| due.notice.clone()).collect();
    let hook = hook.clone();
    // In a task of its own, so that a panic is the hook's.
    let mut told = tokio::spawn(async move { (hook.0)(notices).await });
    match tokio::time::timeout(limits::HOOK, &mut told).await {
        Ok(Ok(Ok(()))) => return true,
        Ok(Ok(Err(error))) => tracing::warn!(error, "the hook for alerts failed; it is told again"),
        Ok(Err(error)) => tracing::error!(%error, "the hook for alerts panicked; it is told again"),
        Err(_) => {
            told.abort();
            tracing::warn!(limit = ?limits::HOOK, "the hook for alerts took too long; it is told again");
        }
    }
    false
}
