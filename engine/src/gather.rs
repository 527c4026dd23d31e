//! Gather: requests that are made at the same time share a transaction, as the writes of a worker share a tick.
//!
//! A request that finds nobody on the way to the disk goes at once; those that come meanwhile go together next. So there
//! is no delay when idle, and no commit per request under load. Each still gets its own answer: when a batch is refused,
//! its requests are made one by one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::store::{NewIntent, Store, StoreKind};

/// A request on its way, and who waits for it.
type Waiting = (NewIntent, oneshot::Sender<Result<IntentId, Error>>);

/// The requests of a process that are on their way to the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gather(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Transactions on their way.
    carriers: usize,
}

impl Gather {
    /// Makes a request. If the future is dropped, the request may have been made or not.
    pub(crate) async fn request(&self, store: &Store, new: NewIntent) -> Result<IntentId, Error> {
        let (answer, answered) = oneshot::channel();
        let goes = {
            let mut queue = self.queue();
            queue.waiting.push((new, answer));
            let goes = queue.carriers < carriers(store.kind());
            queue.carriers += usize::from(goes);
            goes
        };
        if goes {
            // In a task of its own: whoever asks may give up while others wait for the same transaction.
            tokio::spawn(self.clone().carry(store.clone()));
        }
        answered.await.unwrap_or_else(|_| {
            Err(Error::Unreachable(
                "the runtime is shutting down".to_owned(),
            ))
        })
    }

    /// Takes requests to the disk until none is waiting.
    async fn carry(self, store: Store) {
        loop {
            let batch = {
                let mut queue = self.queue();
                let count = queue.waiting.len().min(limits::CLAIM);
                if count == 0 {
                    queue.carriers -= 1;
                    return;
                }
                queue.waiting.drain(..count).collect::<Vec<_>>()
            };
            let (intents, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            match store.request(intents.clone()).await {
                Ok(ids) => {
                    for (id, answer) in ids.into_iter().zip(answers) {
                        // Nobody waits for it any more.
                        let _ = answer.send(Ok(id));
                    }
                }
                Err(error) => apologise(&store, error, intents, answers).await,
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch was refused. If there are several in it, one of them is at fault, or the database is: each finds out for
/// itself.
async fn apologise(
    store: &Store,
    error: Error,
    intents: Vec<NewIntent>,
    mut answers: Vec<oneshot::Sender<Result<IntentId, Error>>>,
) {
    if answers.len() == 1
        && let Some(answer) = answers.pop()
    {
        let _ = answer.send(Err(error));
        return;
    }
    for (intent, answer) in intents.into_iter().zip(answers) {
        let one = store.request(vec![intent]).await;
        let _ = answer.send(one.map(|ids| ids[0]));
    }
}

/// How many transactions of requests may be on their way at once. SQLite has one writer; a server's commits share the
/// wait for the disk.
fn carriers(kind: StoreKind) -> usize {
    match kind {
        StoreKind::Sqlite => 1,
        StoreKind::Postgres => 4,
    }
}
