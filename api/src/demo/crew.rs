//! The worker of a demo.

use anyhow::Result;
use intendant::{WorkReport, Worker};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::mishap::Mishap;

/// The worker that carries the intents out, in this process.
pub(crate) struct Crew {
    pub(crate) task: JoinHandle<Result<WorkReport, intendant::Error>>,
}

impl Crew {
    pub(crate) fn start(worker: Worker<Mishap>, stopped: oneshot::Receiver<()>) -> Self {
        let task = tokio::spawn(worker.run(async move {
            stopped.await.ok();
        }));
        Self { task }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        if !self.task.is_finished() {
            self.task.await??;
        }
        Ok(())
    }
}
