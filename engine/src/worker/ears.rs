//! Ears: everything that a worker's loop waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::committer::{Committed, Committer};
use super::heartbeat::Pulse;
use super::listen::{Listener, Told};
use super::runner::Ended;
use crate::error::Error;
use crate::limits;
use crate::offer::Arrival;
use crate::planted::{Slip, is_planted};
use crate::store::Peek;

/// What the loop hears of.
pub(super) enum Heard {
    Ended(Ended),
    /// A tick is on disk, or will never be; the committer is free for the next one.
    Committed(Committer, Committed),
    Arrived(Arrival),
    Pulse(Pulse),
    Peeked(Result<Peek, Error>),
    /// Somebody elsewhere says that there may be something to claim.
    Nudge,
    /// Somebody says that there may be something to stop.
    Cancel,
    /// Somebody here does.
    Work,
    Timer,
    Poll,
    Shutdown,
}

/// The ends of the loop's channels that it waits on.
pub(super) struct Ears {
    pub(super) ended: mpsc::UnboundedReceiver<Ended>,
    pub(super) arrivals: mpsc::UnboundedReceiver<Arrival>,
    pub(super) pulses: mpsc::UnboundedReceiver<Pulse>,
    pub(super) tick: Option<JoinHandle<(Committer, Committed)>>,
    pub(super) peek: Option<JoinHandle<Result<Peek, Error>>>,
    /// Something has come since the look that is on its way began.
    pub(super) peek_again: bool,
    pub(super) others: Listener,
    pub(super) work: Arc<Notify>,
    pub(super) cancels: Arc<Notify>,
    pub(super) poll: Interval,
}

/// A poll that does not hurry after it was late.
pub(super) fn poll(every: Duration) -> Interval {
    let (first, every) = match is_planted(Slip::PollOff) {
        true => (limits::FUTURE, limits::FUTURE),
        false => (Duration::ZERO, every),
    };
    let mut poll = tokio::time::interval_at(Instant::now() + first, every);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

impl Drop for Ears {
    /// Nobody hears what the committer would say; what it has sent to the database goes on by itself.
    fn drop(&mut self) {
        if let Some(tick) = &self.tick {
            tick.abort();
        }
    }
}

impl Ears {
    /// The next thing; `due`: when a timer is. Nothing is lost if the future is dropped.
    pub(super) async fn hear(&mut self, due: Option<Duration>) -> Heard {
        tokio::select! {
            biased;
            (committer, committed) = hear_tick(&mut self.tick) => {
                self.tick = None;
                Heard::Committed(committer, committed)
            }
            Some(ended) = self.ended.recv() => Heard::Ended(ended),
            Some(arrival) = self.arrivals.recv() => Heard::Arrived(arrival),
            Some(pulse) = self.pulses.recv() => Heard::Pulse(pulse),
            peeked = hear_peek(&mut self.peek) => {
                self.peek = None;
                Heard::Peeked(peeked)
            }
            told = self.others.heard() => match told {
                Told::Work => Heard::Nudge,
                Told::Cancel => Heard::Cancel,
            },
            () = self.cancels.notified() => Heard::Cancel,
            () = self.work.notified() => Heard::Work,
            () = sleep(due) => Heard::Timer,
            _ = self.poll.tick() => Heard::Poll,
        }
    }
}

async fn hear_tick(
    tick: &mut Option<JoinHandle<(Committer, Committed)>>,
) -> (Committer, Committed) {
    match tick {
        Some(handle) => match handle.await {
            Ok(done) => done,
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            // The runtime ends, and this loop with it.
            Err(_) => {
                *tick = None;
                std::future::pending().await
            }
        },
        None => std::future::pending().await,
    }
}

async fn hear_peek(peek: &mut Option<JoinHandle<Result<Peek, Error>>>) -> Result<Peek, Error> {
    match peek {
        Some(handle) => match handle.await {
            Ok(peeked) => peeked,
            Err(join) => Err(Error::Unreachable(join.to_string())),
        },
        None => std::future::pending().await,
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
