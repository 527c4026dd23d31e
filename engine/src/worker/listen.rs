//! Listen: hears that there may be something to claim from other processes (DESIGN 4.6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::store::{CANCEL, Listening, Store};

/// Time between two looks at whether a SQLite file has changed, while there are free slots. A look costs some tens of
/// microseconds and reads nothing.
const LOOK: Duration = Duration::from_millis(10);

/// Time until a lost connection is tried again; the worker's own poll goes on meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// There may be something to claim.
    Work,
    /// There may be something to stop.
    Cancel,
}

/// A task that listens; ends when this is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    heard: mpsc::Receiver<Told>,
    task: AbortHandle,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Starts to listen. `free`: slots that are free; without any there is nothing to listen for.
    pub(super) fn start(store: &Store, free: Arc<AtomicUsize>) -> Self {
        // What is told is only that one should look. A few are enough; a cancel that is not heard of here is known with the
        // next heartbeat.
        let (tell, heard) = mpsc::channel(4);
        let task = tokio::spawn(listen(store.clone(), free, tell)).abort_handle();
        Self { heard, task }
    }

    /// Completes when there may be something to claim or to stop.
    pub(super) async fn heard(&mut self) -> Told {
        match self.heard.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}

async fn listen(store: Store, free: Arc<AtomicUsize>, tell: mpsc::Sender<Told>) {
    loop {
        match store.listen().await {
            Ok(Some(listening)) => {
                // What was told before could not be heard.
                let _ = tell.try_send(Told::Work);
                if let Err(error) = hear(listening, &free, &tell).await {
                    tracing::warn!(%error, "nothing is heard from other processes for now");
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "nothing is heard from other processes for now");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn hear(
    mut listening: Listening,
    free: &AtomicUsize,
    tell: &mpsc::Sender<Told>,
) -> Result<(), crate::error::Error> {
    loop {
        let mut told = Told::Work;
        match &mut listening {
            Listening::Postgres(listener) => {
                if listener.recv().await?.payload() == CANCEL {
                    told = Told::Cancel;
                }
            }
            Listening::Sqlite { conn, version } => {
                tokio::time::sleep(LOOK).await;
                if free.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                let now = Store::data_version(conn).await?;
                if std::mem::replace(version, now) == now {
                    continue;
                }
            }
        }
        // Full: it has been told already.
        let _ = tell.try_send(told);
    }
}
