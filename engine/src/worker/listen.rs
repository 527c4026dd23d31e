//! Listen: hears that there may be something to claim from other processes (DESIGN 4.6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::store::{Listening, Store};

/// Time between two looks at whether a SQLite file has changed, while there are free slots. A look costs some tens of
/// microseconds and reads nothing.
const LOOK: Duration = Duration::from_millis(10);

/// Time until a lost connection is tried again; the worker's own poll goes on meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// A task that listens; ends when this is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    heard: mpsc::Receiver<()>,
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
        // One is enough: what is told is only that one should look.
        let (tell, heard) = mpsc::channel(1);
        let task = tokio::spawn(listen(store.clone(), free, tell)).abort_handle();
        Self { heard, task }
    }

    /// Completes when there may be something to claim.
    pub(super) async fn heard(&mut self) {
        if self.heard.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(store: Store, free: Arc<AtomicUsize>, tell: mpsc::Sender<()>) {
    loop {
        match store.listen().await {
            Ok(Some(listening)) => {
                // What was told before could not be heard.
                let _ = tell.try_send(());
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
    tell: &mpsc::Sender<()>,
) -> Result<(), crate::error::Error> {
    loop {
        match &mut listening {
            Listening::Postgres(listener) => {
                listener.recv().await?;
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
        let _ = tell.try_send(());
    }
}
