//! Gather: requests that are made at the same time share a transaction, as the writes of a worker share a tick.
//!
//! A request that finds nobody on the way to the disk goes at once; those that come meanwhile go together next. So there
//! is no delay when idle, and no commit per request under load. Each still gets its own answer: when a batch is refused,
//! its requests are made one by one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::again::Again;
use crate::error::Error;
use crate::id::{IntentId, LeaseId};
use crate::limits;
use crate::offer::{Offers, Reservation};
use crate::store::{Claimed, NewIntent, Requested, Store, StoreKind};

/// What came of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) id: IntentId,
    /// A worker of this process has it already; otherwise somebody is to be told.
    pub(crate) in_hand: bool,
}

type Answer = Result<Made, Error>;

/// A request on its way, and who waits for it.
type Waiting = (NewIntent, oneshot::Sender<Answer>);

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
    pub(crate) async fn request(&self, store: &Store, offers: &Offers, new: NewIntent) -> Answer {
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
            tokio::spawn(self.clone().carry(store.clone(), offers.clone()));
        }
        answered.await.unwrap_or_else(|_| {
            Err(Error::Unreachable(
                "the runtime is shutting down".to_owned(),
            ))
        })
    }

    /// Takes requests to the disk until none is waiting.
    async fn carry(self, store: Store, offers: Offers) {
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
            match make(&store, &offers, &intents).await {
                Ok(made) => {
                    for (made, answer) in made.into_iter().zip(answers) {
                        // Nobody waits for it any more.
                        let _ = answer.send(Ok(made));
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

/// Makes requests, and leases them to a worker of this process if one has room for them.
async fn make(store: &Store, offers: &Offers, intents: &[NewIntent]) -> Result<Vec<Made>, Error> {
    let lease = || LeaseId(store.clock().ordered_id());
    if let Some(reservation) = offers.reserve(intents, lease) {
        let lease = (reservation.lease, reservation.session);
        match store.request(intents.to_vec(), Some(lease)).await {
            Ok(requested) => return Ok(deliver(intents, requested, reservation)),
            Err(error) if error.is_retryable() => {
                // It may have been made, or may be just about to be.
                tokio::spawn(settle(store.clone(), reservation));
                return Err(error);
            }
            // The session may have been found dead meanwhile.
            Err(error) => tracing::debug!(%error, "requests are not leased"),
        }
    }
    let requested = store.request(intents.to_vec(), None).await?;
    Ok(made(&requested))
}

fn made(requested: &Requested) -> Vec<Made> {
    let in_hand = |id| {
        let leased = requested.leased.as_ref();
        leased.is_some_and(|(_, leased)| leased.contains_key(id))
    };
    let ids = requested.ids.iter();
    ids.map(|id| Made {
        id: *id,
        in_hand: in_hand(id),
    })
    .collect()
}

/// Tells the worker what it has.
fn deliver(intents: &[NewIntent], requested: Requested, reservation: Reservation) -> Vec<Made> {
    let made = made(&requested);
    if let Some((claimed_at, leased)) = requested.leased {
        let task = |new: &NewIntent| {
            let requested = leased.get(&new.id)?;
            let lease = reservation.lease;
            Some(Claimed::at_request(new.clone(), lease, *requested))
        };
        let tasks = intents.iter().filter_map(task).collect();
        reservation.deliver(tasks, claimed_at);
    }
    made
}

/// The answer to a request that was to be leased was lost: finds out whether it was made, for the worker's sake.
async fn settle(store: Store, reservation: Reservation) {
    let lease = (reservation.lease, reservation.session);
    let mut again = Again::new();
    loop {
        match store.settle_lease(lease).await {
            Ok(Some(answer)) => return reservation.deliver(answer.claimed, answer.claimed_at),
            Ok(None) => return,
            // The session is dead: if the lease was made, it is its reaper's.
            Err(error) if error.is_data_error() => return,
            Err(error) => tracing::debug!(%error, "a request's lease is looked at again"),
        }
        again.wait().await;
    }
}

/// A batch was refused. If there are several in it, one of them is at fault, or the database is: each finds out for
/// itself.
async fn apologise(
    store: &Store,
    error: Error,
    intents: Vec<NewIntent>,
    mut answers: Vec<oneshot::Sender<Answer>>,
) {
    if answers.len() == 1
        && let Some(answer) = answers.pop()
    {
        let _ = answer.send(Err(error));
        return;
    }
    for (intent, answer) in intents.into_iter().zip(answers) {
        let one = store.request(vec![intent], None).await;
        let _ = answer.send(one.map(|requested| made(&requested)[0]));
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
