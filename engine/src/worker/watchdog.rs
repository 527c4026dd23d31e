//! The watchdog: a thread that sees when a step does not come back to the runtime, in which then nothing fires that could
//! stop it, and when the runtime itself does not come back.
//!
//! Each step has a counter that goes up when a poll of it begins and when it ends: odd while it is polled. So a poll costs
//! two additions, and the thread looks at the counters now and then. What runs beside a step that was stopped, and does not
//! end, counts as stuck as well.

use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::engine::ById;
use crate::cx::StepContext;
use crate::limits;
use crate::metering::series;

/// The watchdog of one worker; its thread ends with it.
#[derive(Debug)]
pub(super) struct Watchdog {
    watchlist: Arc<Watchlist>,
    /// Dropped, it ends the thread.
    _alive: mpsc::Sender<()>,
}

/// What the worker, its steps and the thread know together.
#[derive(Debug, Default)]
pub(super) struct Watchlist {
    steps: Mutex<ById<u64, Arc<StepContext>>>,
    next: AtomicU64,
    /// Steps that are stuck, and the runtime if it is.
    stuck: AtomicUsize,
    /// For how long something has been stuck without a pause, in milliseconds.
    stuck_ms: AtomicU64,
}

/// A step on the watchdog's list, as long as it runs.
#[derive(Debug)]
pub(super) struct Watched {
    watchlist: Arc<Watchlist>,
    number: u64,
    context: Arc<StepContext>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watchlist.steps().remove(&self.number);
    }
}

impl Watched {
    /// Runs a step's future under the watchdog's eyes.
    pub(super) async fn run<F: Future>(self, mut step: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| {
            let polls = &self.context.polls;
            polls.fetch_add(1, Ordering::Relaxed);
            let poll = step.as_mut().poll(cx);
            polls.fetch_add(1, Ordering::Relaxed);
            poll
        })
        .await
    }
}

impl Watchlist {
    fn steps(&self) -> MutexGuard<'_, ById<u64, Arc<StepContext>>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a step on the list.
    pub(super) fn watch(self: &Arc<Self>, context: Arc<StepContext>) -> Watched {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.steps().insert(number, context.clone());
        Watched {
            watchlist: self.clone(),
            number,
            context,
        }
    }
}

impl Watchdog {
    /// Starts the thread, within the runtime that it watches. `limit`: how long a step may keep its thread.
    pub(super) fn start(worker: Arc<str>, limit: Duration) -> Self {
        let watchlist = Arc::<Watchlist>::default();
        let (alive, ended) = mpsc::channel();
        let runtime = Handle::current();
        let thread = Observer::new(worker, watchlist.clone(), limit);
        let spawned = std::thread::Builder::new()
            .name("intendant-watchdog".to_owned())
            .spawn(move || thread.run(&runtime, &ended));
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for the watchdog; steps that block are not seen");
        }
        Self {
            watchlist,
            _alive: alive,
        }
    }

    pub(super) fn watchlist(&self) -> &Arc<Watchlist> {
        &self.watchlist
    }

    /// Something is stuck: this worker takes no more on.
    pub(super) fn is_stuck(&self) -> bool {
        self.watchlist.stuck.load(Ordering::Relaxed) > 0
    }

    /// For how long something has been stuck without a pause.
    pub(super) fn stuck_for(&self) -> Duration {
        Duration::from_millis(self.watchlist.stuck_ms.load(Ordering::Relaxed))
    }
}

/// The thread.
struct Observer {
    worker: Arc<str>,
    watchlist: Arc<Watchlist>,
    limit: Duration,
    sweep: Sweep,
    /// Steps that were stopped, with something beside them that was told of as stuck.
    left: HashSet<u64>,
    /// The number of the last task that came back from the runtime.
    returned: Arc<AtomicU64>,
    /// The last one that was sent, and when.
    sent: (u64, Instant),
    runtime_stuck: bool,
    since: Option<Instant>,
}

impl Observer {
    fn new(worker: Arc<str>, watchlist: Arc<Watchlist>, limit: Duration) -> Self {
        Self {
            worker,
            watchlist,
            limit,
            sweep: Sweep::default(),
            left: HashSet::new(),
            returned: Arc::default(),
            sent: (0, Instant::now()),
            runtime_stuck: false,
            since: None,
        }
    }

    fn run(mut self, runtime: &Handle, ended: &mpsc::Receiver<()>) {
        let every = (self.limit / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(every) {
            self.look(runtime, Instant::now());
        }
    }

    fn look(&mut self, runtime: &Handle, now: Instant) {
        let steps: Vec<(u64, Arc<StepContext>)> = {
            let steps = self.watchlist.steps();
            steps
                .iter()
                .map(|(number, step)| (*number, step.clone()))
                .collect()
        };
        let polls = steps
            .iter()
            .map(|(number, step)| (*number, step.polls.load(Ordering::Relaxed)));
        let seen = self.sweep.look(polls, now, self.limit);
        let step = |number: u64| steps.iter().find(|(known, _)| *known == number);
        for (_, step) in seen.new.iter().filter_map(|number| step(*number)) {
            say_stuck(step, self.limit);
        }
        let left = self.look_beside(now, &steps);
        self.look_at_runtime(runtime, now, &steps);
        let stuck = seen.stuck + left + usize::from(self.runtime_stuck && seen.stuck == 0);
        if stuck == 0 {
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
        let before = self.watchlist.stuck.swap(stuck, Ordering::Relaxed);
        if before != stuck {
            metrics::gauge!("intendant_steps_stuck", "worker" => self.worker.to_string())
                .set(stuck as f64);
            if stuck == 0 {
                tracing::warn!("what was stuck has come back; this worker claims again");
            }
        }
        let stuck_for = self.since.map_or(Duration::ZERO, |since| now - since);
        let stuck_ms = u64::try_from(stuck_for.as_millis()).unwrap_or(u64::MAX);
        self.watchlist.stuck_ms.store(stuck_ms, Ordering::Relaxed);
    }

    /// Steps that were stopped, and cannot end since what runs beside them does not.
    fn look_beside(&mut self, now: Instant, steps: &[(u64, Arc<StepContext>)]) -> usize {
        let before = std::mem::take(&mut self.left);
        for (number, step) in steps {
            if step.beside.overstays(now, self.limit) {
                if !before.contains(number) {
                    say_left(step, self.limit);
                }
                self.left.insert(*number);
            }
        }
        self.left.len()
    }

    /// Sends a task that does nothing through the runtime, one at a time.
    fn look_at_runtime(
        &mut self,
        runtime: &Handle,
        now: Instant,
        steps: &[(u64, Arc<StepContext>)],
    ) {
        let (number, at) = self.sent;
        if self.returned.load(Ordering::Relaxed) == number {
            self.runtime_stuck = false;
            self.sent = (number + 1, now);
            let (returned, number) = (self.returned.clone(), number + 1);
            runtime.spawn(async move { returned.store(number, Ordering::Relaxed) });
            return;
        }
        if now - at < self.limit || self.runtime_stuck {
            return;
        }
        self.runtime_stuck = true;
        let polled = steps
            .iter()
            .filter(|(_, step)| step.polls.load(Ordering::Relaxed) % 2 == 1);
        let polled: Vec<String> = polled.map(|(_, step)| name(step)).collect();
        tracing::error!(
            seconds = (now - at).as_secs_f64(),
            running = polled.join(", "),
            "the runtime does not come back: its threads are blocked; this worker claims nothing meanwhile"
        );
        metrics::counter!("intendant_runtime_stuck_total").increment(1);
    }
}

fn name(context: &StepContext) -> String {
    let step = &context.once.step;
    format!("`{step}` of {} {}", context.intent.kind, context.intent.id)
}

fn say_stuck(context: &StepContext, limit: Duration) {
    let step = &*context.once.step;
    tracing::error!(
        kind = &*context.intent.kind,
        step,
        intent = %context.intent.id,
        "a step has kept its thread for more than {limit:?}: it blocks where it should await (`Cx::blocking` is for that), \
         and nothing can stop it; this worker claims nothing meanwhile"
    );
    count(context);
}

fn say_left(context: &StepContext, limit: Duration) {
    tracing::error!(
        kind = &*context.intent.kind,
        step = &*context.once.step,
        intent = %context.intent.id,
        "a step was stopped {limit:?} ago, and what it runs outside of its future (a closure of `Cx::blocking`, or a program) \
         has not ended; this worker claims nothing meanwhile"
    );
    count(context);
}

fn count(context: &StepContext) {
    let step = series(&context.once.step).to_owned();
    let kind = context.intent.kind.to_string();
    metrics::counter!("intendant_step_stuck_total", "kind" => kind, "step" => step).increment(1);
}

/// What the thread has seen of the steps' counters, and since when they have stood still.
#[derive(Debug, Default)]
struct Sweep {
    seen: HashMap<u64, (u64, Instant)>,
    told: Vec<u64>,
}

/// What came of a look.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    stuck: usize,
    /// Of these, those that were not before.
    new: Vec<u64>,
}

impl Sweep {
    /// Whoever is in the same poll as a `limit` ago is stuck.
    fn look(
        &mut self,
        steps: impl Iterator<Item = (u64, u64)>,
        now: Instant,
        limit: Duration,
    ) -> Seen {
        let before = std::mem::take(&mut self.seen);
        let told = std::mem::take(&mut self.told);
        let mut new = Vec::new();
        for (number, polls) in steps {
            if polls % 2 == 0 {
                continue;
            }
            let known = before.get(&number).filter(|(known, _)| *known == polls);
            let since = known.map_or(now, |(_, since)| *since);
            self.seen.insert(number, (polls, since));
            if now.saturating_duration_since(since) >= limit {
                self.told.push(number);
                if !told.contains(&number) {
                    new.push(number);
                }
            }
        }
        new.sort_unstable();
        Seen {
            stuck: self.told.len(),
            new,
        }
    }
}

/// Whether a worker with a stuck step has waited long enough for it to come back.
pub(super) fn has_lost_patience(stuck_for: Duration, limit: Duration) -> bool {
    stuck_for >= limit * limits::WATCHDOG_PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_in_the_same_poll_for_too_long_is_stuck_until_it_comes_back() {
        let (start, limit) = (Instant::now(), Duration::from_secs(10));
        let mut sweep = Sweep::default();
        let mut look = |seconds: u64, steps: &[(u64, u64)]| {
            let seen = sweep.look(
                steps.iter().copied(),
                start + Duration::from_secs(seconds),
                limit,
            );
            (seen.stuck, seen.new)
        };
        // 1 is in its second poll, 2 waits, 3 is polled again and again.
        assert_eq!(look(0, &[(1, 3), (2, 4), (3, 1)]), (0, vec![]));
        assert_eq!(look(9, &[(1, 3), (2, 4), (3, 9)]), (0, vec![]));
        assert_eq!(look(10, &[(1, 3), (2, 4), (3, 11)]), (1, vec![1]));
        // Told once.
        assert_eq!(look(15, &[(1, 3), (2, 5), (3, 13)]), (1, vec![]));
        assert_eq!(
            look(25, &[(1, 3), (2, 5), (3, 13)]),
            (3, vec![2, 3]),
            "each from when it was seen in that poll"
        );
        // Come back, and in another poll; or gone.
        assert_eq!(look(26, &[(1, 4), (2, 7)]), (0, vec![]));
        assert_eq!(look(36, &[(1, 4), (2, 7)]), (1, vec![2]));
    }

    #[test]
    fn a_worker_waits_a_while_for_what_is_stuck() {
        let limit = Duration::from_secs(10);
        assert!(!has_lost_patience(Duration::from_secs(59), limit));
        assert!(has_lost_patience(Duration::from_secs(60), limit));
    }
}
