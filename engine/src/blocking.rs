//! Blocking: work of a step that keeps a thread to itself, on threads beside the runtime's own, a bounded number at once.

use tokio::task::{JoinError, JoinHandle};

use crate::cx::Cx;
use crate::step::StepError;

impl<S> Cx<S> {
    /// Runs what blocks its thread or keeps a processor busy (a library without async, compression, a hash of a large file)
    /// on a thread of the runtime's blocking pool, so that other steps go on, and the heartbeat does.
    ///
    /// At most [`Worker::blocking`](crate::Worker::blocking) of them run at once in a worker, as many as the machine has
    /// processors unless said. Who comes when all places are taken waits for one, and keeps its step's slot meanwhile. A
    /// panic in the closure is the step's panic, and what it logs is the step's.
    ///
    /// **A closure cannot be stopped.** Where the step is stopped (its time limit, a cancel, the worker's stop), or drops
    /// this future, one that has begun goes on, and the attempt has not ended before it has: its end is not recorded, and the
    /// intent is handed to nobody. A long one should look whether it is to end ([`is_cancelled`](Self::is_cancelled) of a
    /// clone of the context). If it does not end within [`Worker::watchdog`](crate::Worker::watchdog), the worker counts as
    /// stuck, as with any step that keeps its thread; if it is still at work a second after the grace of a stop, the session
    /// is marked as leaving and its intent is taken over when the process has ended. One that has not begun does not begin.
    ///
    /// Fails only where the attempt has ended: it was called by a task that the step had left behind.
    ///
    /// ```
    /// # use intendant::{Cx, StepResult};
    /// # fn checksum(path: &str) -> std::io::Result<u64> { Ok(path.len() as u64) }
    /// async fn verify(cx: Cx<()>, path: String) -> StepResult<u64> {
    ///     let sum = cx.blocking(move || checksum(&path)).await??;
    ///     Ok(sum)
    /// }
    /// ```
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StepError> {
        let step = self.step();
        let place = step.places.clone().acquire_owned().await;
        let guest = step.beside.begin().ok_or_else(|| {
            StepError::new("the attempt has ended; nothing more is begun beside it")
        })?;
        let span = tracing::Span::current();
        let task = tokio::task::spawn_blocking(move || {
            // Whatever becomes of the step: as long as it runs it has its place, and the attempt has not ended.
            let _held = (place, guest);
            span.in_scope(work)
        });
        match NotBegun(task).ended().await {
            Ok(value) => Ok(value),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(StepError::new(error)),
        }
    }
}

/// A closure; one that has not begun when this is dropped never does.
struct NotBegun<T>(JoinHandle<T>);

impl<T> NotBegun<T> {
    async fn ended(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for NotBegun<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
