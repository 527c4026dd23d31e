//! Workers that stand still as a whole, their hearts as well, in the middle of something: they are taken for dead, others go on, and
//! then they wake.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use intendant::{Cx, Intendant, Node, Plan, StepResult, Worker, value};
use tokio::sync::oneshot;

use crate::crashes::Move;
use crate::support::{Bench, Counter, on_both, start};

on_both! {
    a_plan_that_was_assumed_of_the_dead_is_mended_before_anything_goes_by_it;
}

/// Stands still once, until the other end is dropped.
#[derive(Debug, Clone)]
struct Stall(Arc<Mutex<Option<Receiver<()>>>>);

impl Stall {
    fn new() -> (Sender<()>, Self) {
        let (release, held) = channel();
        (release, Self(Arc::new(Mutex::new(Some(held)))))
    }

    fn stand_still(&self) {
        let held = self.0.lock().unwrap().take();
        if let Some(held) = held {
            // Nothing comes through: the other end is dropped.
            held.recv().ok();
        }
    }
}

/// A worker with a runtime of its own, all of which can stand still.
struct Alone {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Alone {
    fn start<S: Send + Sync + 'static>(
        bench: &Bench,
        worker: impl FnOnce(&Intendant) -> Worker<S> + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let url = bench.database.url.clone();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on(async {
                let worker = worker(&Intendant::connect(&url).await?);
                let until = async {
                    stopped.await.ok();
                };
                worker.lease(Duration::from_secs(1)).run(until).await?;
                Ok(())
            })
        });
        Self { stop, thread }
    }

    /// It wakes, and stops.
    async fn wake(self, release: Sender<()>) -> Result<()> {
        self.stop.send(()).ok();
        drop(release);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        ended.map_err(|_| anyhow!("it has panicked"))?
    }
}

async fn count(_: Cx<Counter>, before: u64) -> StepResult<u64> {
    Ok(before + 1)
}

async fn hang(_: Cx<Counter>, _: u64) -> StepResult<u64> {
    std::future::pending().await
}

/// Of two steps the second hangs, as long as the code is not mended.
fn of_steps(intent: &Move, plan: &mut Plan<Counter>, is_mended: bool) -> Node<u64> {
    let one = plan.step("one", count).input(value(0u64));
    match (intent.steps, is_mended) {
        (1, _) => one,
        (_, false) => plan.step("two", hang).input(one),
        (_, true) => plan.step("two", count).input(one),
    }
}

/// A worker dies with an intent in hand of which it has not said by which plan it goes, and the reaper writes down the one that its
/// kind has as a rule, which is another one. Whoever goes on knows better, and says so on disk; else the next one, when that dies in
/// its turn, would go on by the wrong one.
async fn a_plan_that_was_assumed_of_the_dead_is_mended_before_anything_goes_by_it(
    bench: Bench,
) -> Result<()> {
    let planning = Counter::default();
    let (release, stall) = Stall::new();
    let first = Alone::start(&bench, {
        let planning = planning.clone();
        move |intendant| {
            Worker::new(intendant, Counter::default()).register::<Move, _>(move |intent, plan| {
                if intent.steps == 2 {
                    planning.add();
                    stall.stand_still();
                }
                of_steps(intent, plan, false)
            })
        }
    });
    let usual = bench.intendant.request(Move { steps: 1 }).await?;
    ensure!(usual.output().await? == 1);
    let other = bench.intendant.request(Move { steps: 2 }).await?;
    let is_planning = || async { Ok((planning.get() == 1).then_some(())) };
    bench.until(is_planning).await?;
    let second = bench.worker(Counter::default()).name("second");
    let second = start(second.register::<Move, _>(|intent, plan| of_steps(intent, plan, false)));
    let is_recorded = || async {
        let steps = bench.intendant.steps(other.id()).await?;
        Ok(steps.iter().any(|step| step.name == "one").then_some(()))
    };
    bench.until(is_recorded).await?;
    first.wake(release).await?;
    second.kill().await;
    let third = bench.worker(Counter::default());
    let third = start(third.register::<Move, _>(|intent, plan| of_steps(intent, plan, true)));
    ensure!(other.output().await? == 2);
    let events = bench.intendant.events(other.id()).await?;
    let takeovers = events.iter().filter(|event| event.verb == "take over");
    ensure!(takeovers.count() == 2, "{events:?}");
    third.stop().await?;
    bench.check().await
}
