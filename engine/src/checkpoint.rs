//! What a step keeps and leaves on its way: checkpoints, measurements, things for those who run inside a middleware.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cx::{Cx, StepContext};
use crate::error::Error;
use crate::payload::{self, Payload};
use crate::step::StepError;
use crate::store::Kept;

impl<S> Cx<S> {
    /// Keeps how far the step is: on disk when this returns. The next attempt finds it by
    /// [`last_checkpoint`](Self::last_checkpoint), wherever it runs and whatever this one ends by: an error, a snooze, a safe
    /// exit point, a crash of the worker. Each takes the place of the one before it. It is gone when the step has a result,
    /// and a [rerun](crate::Intendant::rerun_from) begins without it.
    ///
    /// Costs a commit, so keep one every few seconds of work, not with every row. What was done after the last one is done
    /// again, and has to bear that. Fails, and ends the step if passed on by `?`, when this worker has lost the intent; then
    /// nothing is kept. A value has the limits of an output.
    ///
    /// ```
    /// # use intendant::{Cx, StepResult};
    /// # use serde::{Serialize, Deserialize};
    /// # async fn copy_rows(from: u64) -> u64 { from + 1_000 }
    /// async fn copy_table(cx: Cx<()>, rows: u64) -> StepResult<u64> {
    ///     let mut copied = cx.last_checkpoint::<u64>().await?.unwrap_or(0);
    ///     while copied < rows {
    ///         copied = copy_rows(copied).await;
    ///         cx.checkpoint(&copied).await?;
    ///         cx.exit_point().await?; // the worker stops: another one goes on from here
    ///     }
    ///     Ok(copied)
    /// }
    /// ```
    pub async fn checkpoint<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), StepError> {
        let value = payload::encode(value)
            .map_err(|error| StepError::new(format!("the checkpoint cannot be kept: {error}")))?;
        // Before it is known: a commit whose answer was lost may have taken place.
        self.step().notes.set_checkpoint();
        // Finished even if the step is dropped meanwhile, and waited for before the step's end is taken in: so a write that
        // is late never meets those of the next attempt.
        let step = self.step();
        match step.settle(keep(step.clone(), value)).await? {
            Kept::Yes => Ok(()),
            Kept::No => Err(StepError::new(
                "this worker has lost the intent; the checkpoint was not kept",
            )),
        }
    }

    /// The last [`checkpoint`](Self::checkpoint) of this step, of an earlier attempt or of this one; none if it has made
    /// none, or begins anew in a rerun. One that does not decode into `T` any more fails the step for good: the code that
    /// made it was another one.
    pub async fn last_checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>, StepError> {
        let step = self.step();
        let kept = step
            .intendant
            .store()
            .last_checkpoint(&step.once)
            .await
            .map_err(StepError::new)?;
        kept.map(|value| payload::decode(&value))
            .transpose()
            .map_err(|error| StepError::undecodable(&error))
    }

    /// Measures something beside the step's duration: bytes of an image, rows copied. Kept with the attempt, whatever it
    /// comes to, in the view `measurements` ([`Intendant::measurements`](crate::Intendant::measurements)), and given to
    /// [`Metrics`](crate::Metrics). Of one name the last value counts; fifty names in one attempt are kept. What is not a
    /// number is left out.
    ///
    /// ```
    /// # use intendant::{Cx, StepResult};
    /// async fn build_image(cx: Cx<()>, source: String) -> StepResult<String> {
    ///     cx.measure("image_bytes", 1.2e9);
    ///     Ok(source)
    /// }
    /// ```
    pub fn measure(&self, name: &str, value: f64) {
        if let Err(error) = self.step().notes.measure(name, value) {
            tracing::warn!(intent = %self.intent_id(), step = self.step_name(), name, value, %error, "measurement not kept");
        }
    }

    /// Leaves something for what runs later in this attempt: a [`Middleware`](crate::Middleware) leaves a token for the
    /// step.
    pub fn provide<T: Send + Sync + 'static>(&self, value: T) {
        self.step().notes.provide(Arc::new(value));
    }

    /// What was [provided](Self::provide) last of this type, in this attempt.
    pub fn provided<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.step().notes.provided()
    }
}

/// Writes a checkpoint. A database that cannot be reached is asked again: to write it twice is to write it once.
async fn keep(step: Arc<StepContext>, value: Payload) -> Result<Kept, StepError> {
    let store = step.intendant.store();
    let mut wait = Duration::from_millis(20);
    loop {
        let ago = store
            .clock()
            .monotonic()
            .saturating_duration_since(step.started);
        match store.checkpoint(&step.once, value.clone(), ago).await {
            Ok(kept) => return Ok(kept),
            Err(error @ Error::Unreachable(_)) => {
                tracing::debug!(%error, "a checkpoint is written again");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}
