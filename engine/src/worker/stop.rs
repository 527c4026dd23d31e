//! Stopping, gracefully: finish what runs, hand back the rest.

use std::time::Duration;

use super::drive::Phase;
use super::engine::Engine;
use super::noting::AtEnd;
use crate::advance::Status;
use crate::id::TaskId;
use crate::store::Ran;

/// How long an aborted step may take to let go, beyond the grace.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Completes on SIGTERM or SIGINT (on Windows: Ctrl-C).
///
/// # Panics
///
/// When the process cannot have signal handlers.
#[expect(
    clippy::expect_used,
    reason = "a program that cannot hear signals cannot be stopped; better to say so at once"
)]
pub async fn shutdown_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).expect("a handler for SIGTERM");
        let mut interrupt = signal(SignalKind::interrupt()).expect("a handler for SIGINT");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.expect("a handler for Ctrl-C");
}

impl Engine {
    /// Nothing new is started or claimed; steps that wait for a slot are not begun any more.
    pub(super) fn begin_stop(&mut self) {
        tracing::info!(
            running = self.running.len(),
            in_hand = self.drives.len(),
            "stopping"
        );
        self.stopping.send_replace(true);
        self.scheduling = None;
        // Before anybody asks whether all is at rest: what is promised until now still arrives, and nothing more.
        self.withdraw_offer();
        let mut waiting: Vec<(TaskId, usize)> = Vec::new();
        for lane in &mut self.lanes {
            waiting.extend(
                lane.waiting
                    .drain(..)
                    .map(|waiting| (waiting.task, waiting.step)),
            );
        }
        let announced = std::mem::take(&mut self.announced);
        for announced in &announced {
            self.free_slot(&announced.queue);
        }
        let announced = announced
            .into_iter()
            .map(|announced| (announced.task, announced.step));
        let announced: Vec<_> = announced.collect();
        for (intent, step) in &announced {
            if let Some(drive) = self.drives.get_mut(intent) {
                drive.not_begun(*step, &mut self.pending);
            }
        }
        for (intent, step) in waiting.into_iter().chain(announced) {
            if let Some(drive) = self.drives.get_mut(&intent) {
                drive.slots[step].status = Status::Pending;
            }
        }
        self.hand_back_idle();
    }

    /// Hands back every intent of which nothing runs.
    fn hand_back_idle(&mut self) {
        let ids: Vec<TaskId> = self.drives.keys().copied().collect();
        for id in ids {
            let Some(drive) = self.drives.get_mut(&id) else {
                continue;
            };
            match drive.phase {
                Phase::Planning => self.hand_back(id),
                Phase::Active => self.go_on(id),
                Phase::Leaving => {}
            }
        }
    }

    /// The time is up: stops what runs. Returns when to look again.
    pub(super) fn stop_now(&mut self, now: Duration) -> Duration {
        let since = *self.stop_since.get_or_insert(now);
        for running in self.running.values() {
            running.abort.abort();
        }
        let gone: Vec<(TaskId, usize)> = self
            .running
            .iter()
            // What it had begun to write may still be on its way to the disk, and is of this worker's lease; what runs beside it
            // may still have effects.
            .filter(|(_, running)| running.abort.is_finished() && running.context.is_settled())
            .map(|(key, _)| *key)
            .collect();
        for (intent, step) in gone {
            let Some(running) = self.running.remove(&(intent, step)) else {
                continue;
            };
            if let Some(drive) = self.drives.get_mut(&intent) {
                drive.slots[step].status = Status::Pending;
                drive.hear_of_checkpoint(step, &running.context);
                let now = self.intendant.store().clock().monotonic();
                let ran = Ran::new(running.context.started, now);
                let (context, at_end) = (&running.context, AtEnd::stopped());
                drive.note(step, context, at_end, ran, &mut self.pending);
            }
            self.go_on(intent);
        }
        if now.saturating_sub(since) > LAST_WAIT && !self.running.is_empty() {
            // Blocking code that cannot be stopped: what has not really ended is not handed back. The process is about
            // to end, and whoever sees that takes these intents over.
            tracing::error!(
                steps = self.running.len(),
                "steps do not stop; their intents are left to be taken over"
            );
            self.left_behind = true;
            let stuck: Vec<TaskId> = self.running.keys().map(|(intent, _)| *intent).collect();
            for intent in stuck {
                self.drop_drive(intent);
            }
        }
        now + Duration::from_millis(20)
    }

    /// Nothing is in hand or on its way here, nothing is to be written.
    pub(super) fn is_at_rest(&self) -> bool {
        self.drives.is_empty()
            && self.inflight.is_none()
            && !self.pending.has_writes()
            && self.is_offer_settled()
    }
}
