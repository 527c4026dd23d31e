//! Slot: one step of an intent in hand, as its driver knows it, and how it is read from rows.

use std::collections::HashMap;
use std::time::Duration;

use super::limiting::Begun;
use super::waiting::Awaited;
use crate::advance::Status;
use crate::payload::Payload;
use crate::state::{FailureReason, StepState};
use crate::store::{AttemptLoad, ParkReason, StepLoad};

/// One step, as its driver knows it.
pub(super) struct Slot {
    pub(super) status: Status,
    /// The step has a row on disk, or on its way there.
    pub(super) has_row: bool,
    pub(super) generation: u32,
    /// Failed attempts so far.
    pub(super) attempts: u32,
    /// Of these, those before the last resume.
    pub(super) forgiven: u32,
    pub(super) output: Option<Payload>,
    /// Children that it waits for, by name.
    pub(super) awaits: Vec<String>,
    /// How many of these may be unfinished when it goes on: it has more to ask for.
    pub(super) spare: u32,
    /// The names of the sleeps and signals that it waits for; it goes on by the first that comes.
    pub(super) waits: Vec<String>,
    /// It waits for children as well.
    pub(super) with_children: bool,
    /// All that it has ever waited for by names.
    pub(super) awaited: HashMap<String, Awaited>,
    /// Why it failed.
    pub(super) failure: Option<(FailureReason, String)>,
    /// What its wait is, if it waits.
    pub(super) reason: ParkReason,
    /// It has really begun, here or earlier.
    pub(super) started: bool,
    /// What it did has been taken back.
    pub(super) undone: bool,
    /// It is said to run, by whoever had it before.
    pub(super) ran: bool,
    /// An undo of a step that has nothing to take back: done as soon as those before it are.
    pub(super) idle: bool,
    /// When its first attempt began, for its limit.
    pub(super) begun: Option<Begun>,
    /// Its deadline is on disk, or on its way there.
    pub(super) deadline_noted: bool,
    /// It has left a safe point.
    pub(super) checkpoint: bool,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            status: Status::Pending,
            has_row: false,
            generation: 1,
            attempts: 0,
            forgiven: 0,
            output: None,
            awaits: Vec::new(),
            spare: 0,
            waits: Vec::new(),
            with_children: false,
            awaited: HashMap::new(),
            failure: None,
            reason: ParkReason::Retry,
            started: false,
            undone: false,
            ran: false,
            idle: false,
            begun: None,
            deadline_noted: false,
            checkpoint: false,
        }
    }

    /// What was taken back, and is not any more, begins anew, as the next generation.
    pub(super) fn renew(&mut self) {
        if self.undone {
            *self = Self {
                generation: self.generation + 1,
                ..Self::new()
            };
        }
    }

    /// Takes in the last attempt of a step that somebody has begun before; before [`set_step`](Self::set_step).
    pub(super) fn set_attempt(&mut self, attempt: &AttemptLoad, now: Duration) {
        self.generation = attempt.generation;
        self.attempts = attempt.attempt;
        self.started = true;
        if let Some(retry_in) = attempt.retry_in {
            self.status = Status::Until(now + retry_in);
        }
    }

    /// Takes in what is recorded of a routed step, by whoever runs it. It was parked for as long as it had to wait.
    pub(super) fn set_routed(&mut self, step: StepLoad, now: Duration) {
        let ended = matches!(step.state, StepState::Succeeded | StepState::Skipped);
        self.has_row = true;
        self.generation = step.generation;
        self.forgiven = step.forgiven;
        self.ran = step.state == StepState::Running;
        self.begun = step.begun_ago.map(|used| Begun::new(now, used));
        self.output = step.output.filter(|_| ended);
        self.status = if ended { Status::Done } else { Status::Pending };
    }

    /// It is under way in another queue, and this is what has become of it; not of a time round before it, which has been taken back.
    pub(super) fn is_sent(&self, step: &StepLoad) -> bool {
        self.status == Status::Routed && step.generation == self.generation
    }

    /// Takes in what is recorded of a step.
    pub(super) fn set_step(&mut self, step: StepLoad, now: Duration) {
        debug_assert!(step.attempt >= 1 || step.state != StepState::Succeeded);
        self.has_row = true;
        if step.generation != self.generation {
            // The attempts were those of an earlier time round.
            (self.attempts, self.status) = (0, Status::Pending);
        }
        self.generation = step.generation;
        self.started = step.state != StepState::Pending || step.attempt > 0;
        self.forgiven = step.forgiven;
        self.begun = step.begun_ago.map(|used| Begun::new(now, used));
        self.checkpoint = step.checkpoint;
        match step.state {
            // Whatever its row says already: as long as its task is there, it has not ended.
            _ if step.away => self.status = Status::Routed,
            StepState::Waiting if step.queue.is_some() => self.status = Status::Pending,
            StepState::Waiting if !step.waits.is_empty() => {
                self.waits = step.waits;
                self.with_children = step.spare.is_some();
                self.spare = step.spare.unwrap_or_default();
                // What has come is looked up when it is counted.
                self.status = Status::Any { due: None };
            }
            StepState::Succeeded | StepState::Skipped => {
                self.status = Status::Done;
                self.output = step.output;
            }
            StepState::Waiting => match step.due_in {
                Some(due_in) => self.status = Status::Until(now + due_in),
                // For children: which ones is looked up when they are counted.
                None => {
                    self.spare = step.spare.unwrap_or_default();
                    self.status = Status::Children(0);
                }
            },
            StepState::Failed => {
                self.status = Status::Failed;
                let reason = step.reason.unwrap_or(FailureReason::StepFailed);
                self.failure = step.error.map(|error| (reason, error));
            }
            StepState::Undone => {
                self.status = Status::Done;
                self.output = step.output;
                self.undone = true;
            }
            // What ran when its worker died runs again; a resumed step runs now, whatever its last wait was.
            StepState::Pending | StepState::Running => {
                self.ran = step.state == StepState::Running;
                self.status = Status::Pending;
            }
        }
    }
}
