//! One life of a worker on a stage.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::TestError;
use super::director::{Director, Standing};
use crate::client::Intendant;
use crate::error::Error;
use crate::limits;
use crate::worker::{WorkReport, Worker};

/// How long, in real time, nothing may happen: then a step hangs, and the test says which.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker's lease, and its poll: its heart does not beat, and it looks when it is told to.
const FOR_EVER: Duration = limits::FUTURE;

/// How many tasks there may be from one who is told something to the last who hears of it.
const HEARSAY: usize = 8;

pub(super) struct Process {
    intendant: Intendant,
    pub(super) director: Arc<Director>,
    task: JoinHandle<Result<WorkReport, Error>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Process {
    pub(super) fn start<S: Send + Sync + 'static>(
        director: Arc<Director>,
        intendant: Intendant,
        worker: Worker<S>,
    ) -> Self {
        let worker = worker.lease(FOR_EVER).poll(FOR_EVER);
        let task = tokio::spawn(worker.run(std::future::pending()));
        Self {
            intendant,
            director,
            task,
        }
    }

    /// Waits until nothing happens by itself.
    pub(super) async fn still(&mut self) -> Result<Standing, TestError> {
        loop {
            let changed = self.director.changed().clone();
            let mut changed = std::pin::pin!(changed.notified());
            changed.as_mut().enable();
            match self.director.standing() {
                Standing::Moving => {}
                Standing::Still { said, .. } if !self.stays_still(said).await => continue,
                standing => return Ok(standing),
            }
            tokio::select! {
                () = changed => {}
                ended = &mut self.task => {
                    if matches!(self.director.standing(), Standing::Dead) {
                        return Ok(Standing::Dead);
                    }
                    return match ended {
                        Ok(Ok(_)) => Err(TestError::WorkerGone),
                        Ok(Err(error)) => Err(error.into()),
                        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
                        Err(_) => Err(TestError::WorkerGone),
                    };
                }
                () = tokio::time::sleep(PATIENCE) => {
                    return Err(match self.director.on_stage() {
                        Some(step) => TestError::Hangs { kind: step.kind.to_string(), step: step.step.to_string() },
                        None => TestError::WorkerGone,
                    });
                }
            }
        }
    }

    /// Whether it is still after everybody who has been told something has had time to hear of it.
    async fn stays_still(&self, said_before: u64) -> bool {
        for _ in 0..HEARSAY {
            tokio::task::yield_now().await;
        }
        matches!(self.director.standing(), Standing::Still { said, .. } if said == said_before)
    }

    /// It hears what has been done from outside.
    pub(super) fn tell(&self) {
        self.intendant.wake_here();
        self.intendant.cancels().notify_one();
    }

    /// The same; it goes on from here.
    pub(super) fn hear(&self) {
        self.director.stir();
        self.tell();
    }

    /// Ends it with no goodbye, and waits until nothing of it runs.
    pub(super) async fn die(mut self) {
        self.director.die();
        self.task.abort();
        if !self.task.is_finished() {
            (&mut self.task).await.ok();
        }
        let gone = async {
            while !self.director.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // What blocks its thread cannot be stopped; a dead machine's steps would not be waited for, either.
        tokio::time::timeout(PATIENCE, gone).await.ok();
    }
}
