//! Limits: how long a step may take over all its attempts, and an intent from its start; and from when on a step's deadline
//! counts.
//!
//! A running attempt is given no more time than is left of any of its limits, so nothing runs past them. What waits
//! instead (for a retry, a snooze, children, a time, a message) is parked no longer than that, and whoever claims it then finds the limit over.
//! When it began is on disk with the steps and the start of the intent, so a take-over changes nothing.

use std::time::Duration;

use super::drive::{Drive, Move, Phase};
use super::runner::clip;
use crate::advance::Status;
use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::intent::OnFailure;
use crate::limits;
use crate::state::{AttemptFailure, FailureReason, StepState};
use crate::store::{CancelBy, DeadlineRow, Failure, Finish, Overdue, StepRow, TickRequest, When};

/// From when on a limit counts: `at`, on the worker's clock, of which `used` was over already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    at: Duration,
    used: Duration,
}

impl Begun {
    pub(super) fn new(at: Duration, used: Duration) -> Self {
        Self { at, used }
    }

    /// When a limit is over.
    fn over(self, limit: Duration) -> Duration {
        self.at.saturating_add(limit.saturating_sub(self.used))
    }
}

/// How long an attempt may run, and whose limit that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeLimit {
    pub(super) left: Duration,
    pub(super) of: LimitOf,
}

/// Whose limit it is, and how long it is altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitOf {
    Attempt(Duration),
    Step(Duration),
    Intent(Duration),
}

impl LimitOf {
    /// Why an attempt was stopped.
    pub(super) fn words(self) -> String {
        match self {
            Self::Attempt(limit) => format!("ran longer than its time limit of {limit:?}"),
            Self::Step(limit) => {
                format!("was stopped at the step's limit of {limit:?} for all its attempts")
            }
            Self::Intent(limit) => format!("was stopped at the intent's limit of {limit:?}"),
        }
    }
}

/// The limit that leaves the least time.
pub(super) fn least(
    attempt: Option<Duration>,
    step: Option<(Duration, Begun)>,
    intent: Option<(Duration, Begun)>,
    now: Duration,
) -> Option<TimeLimit> {
    let left = |(limit, begun): (Duration, Begun)| begun.over(limit).saturating_sub(now);
    let attempt = attempt.map(|limit| TimeLimit {
        left: limit,
        of: LimitOf::Attempt(limit),
    });
    let step = step.map(|of| TimeLimit {
        left: left(of),
        of: LimitOf::Step(of.0),
    });
    let intent = intent.map(|of| TimeLimit {
        left: left(of),
        of: LimitOf::Intent(of.0),
    });
    let all = [intent, step, attempt].into_iter().flatten();
    all.min_by_key(|limit| limit.left)
}

impl Drive {
    /// What an attempt at this step that begins now may take.
    pub(super) fn attempt_limit(&mut self, step: usize, now: Duration) -> Option<TimeLimit> {
        let def = self.plan.def(step);
        let attempt = def.and_then(|def| def.time_limit);
        if !self.limited {
            return attempt.and_then(|limit| least(Some(limit), None, None, now));
        }
        if self.plan.undoes(step).is_some() {
            return least(attempt, None, None, now);
        }
        let limit = def.and_then(|def| def.total_limit);
        let begun = *self.slots[step]
            .begun
            .get_or_insert(Begun::new(now, Duration::ZERO));
        let step = limit.map(|limit| (limit, begun));
        let intent = self.kind.time_limit.map(|limit| (limit, self.begun_at));
        least(attempt, step, intent, now)
    }

    /// When the limit of a step for all its attempts is over, if it has one and has begun.
    pub(super) fn step_over(&self, step: usize) -> Option<(Duration, Duration)> {
        if !self.limited || self.plan.undoes(step).is_some() {
            return None;
        }
        let limit = self.plan.def(step).and_then(|def| def.total_limit)?;
        Some((self.slots[step].begun?.over(limit), limit))
    }

    /// Nothing is stopped for a limit that is being stopped, or taken back, already; nor is anything written for what is
    /// leaving its lease.
    fn minds_limits(&self) -> bool {
        self.limited
            && self.phase == Phase::Active
            && self.cancel.is_none()
            && self.refusal.is_none()
            && !self.others_unsure
    }

    /// When something of it that waits reaches a limit.
    pub(super) fn next_limit(&self) -> Option<Duration> {
        if !self.minds_limits() {
            return None;
        }
        let waits = |step: &usize| {
            matches!(
                self.slots[*step].status,
                Status::Until(_) | Status::Children(_) | Status::Any { .. }
            )
        };
        let steps = (0..self.slots.len()).filter(waits);
        let steps = steps.filter_map(|step| Some(self.step_over(step)?.0));
        let intent = self.kind.time_limit.map(|limit| self.begun_at.over(limit));
        steps.chain(intent).min()
    }

    /// Looks whether a limit is over. Returns the children that nobody waits for any more on account of that, and why.
    pub(super) fn mind_limits(&mut self, now: Duration, tick: &mut TickRequest) -> Option<Lost> {
        if !self.minds_limits() {
            return None;
        }
        let done = |status: Status| match status {
            Status::Done | Status::Recording => true,
            // Its own word stands.
            Status::Failed => self.is_routed,
            Status::Pending
            | Status::Running
            | Status::Until(_)
            | Status::Children(_)
            | Status::Any { .. }
            | Status::Routed => false,
        };
        if self.slots.iter().all(|slot| done(slot.status)) {
            return None;
        }
        if let Some(limit) = self.kind.time_limit
            && self.begun_at.over(limit) <= now
        {
            let error =
                format!("it was not done within its limit of {limit:?}, counted from its start");
            self.refusal = Some((FailureReason::IntentLimit, error.clone()));
            return Some(Lost {
                children: self.children.unfinished(None),
                away: Some(limit).filter(|_| !self.is_routed && self.away() > 0),
                why: error,
            });
        }
        let mut lost: Option<Lost> = None;
        for step in 0..self.slots.len() {
            let waits = match self.slots[step].status {
                Status::Pending | Status::Until(_) | Status::Children(_) | Status::Any { .. } => {
                    true
                }
                // What is in another queue is stopped by who has it there.
                Status::Routed
                | Status::Running
                | Status::Recording
                | Status::Done
                | Status::Failed => false,
            };
            let Some((_, limit)) = self
                .step_over(step)
                .filter(|(over, _)| waits && *over <= now)
            else {
                continue;
            };
            let error = format!("it has no result within its limit of {limit:?} for all attempts");
            let (name, generation) = (self.step_name(step).clone(), self.slots[step].generation);
            let children = self.children.unfinished(Some((&name, generation)));
            let row = self.row(step, StepState::Failed, When::Now);
            let row = StepRow {
                error: Some(error.clone()),
                reason: Some(FailureReason::StepLimit),
                finished: Some(When::Now),
                ..row
            };
            last_word(tick, row);
            self.slots[step].status = Status::Failed;
            self.slots[step].failure = Some((FailureReason::StepLimit, error.clone()));
            let lost = lost.get_or_insert_with(|| Lost {
                children: Vec::new(),
                away: None,
                why: format!("step `{name}`: {error}"),
            });
            lost.children.extend(children);
        }
        lost
    }

    /// Whether a failed attempt was the last one because of the step's limit: then with what the step has failed.
    pub(super) fn out_of_time(
        &self,
        step: usize,
        failure: AttemptFailure,
        retry_at: Duration,
        error: &str,
    ) -> Option<(FailureReason, String)> {
        let (over, limit) = self.step_over(step)?;
        let tried_again = match failure {
            AttemptFailure::Error | AttemptFailure::TimeOut | AttemptFailure::Panic => true,
            AttemptFailure::GaveUp | AttemptFailure::OutputRefused | AttemptFailure::Cancelled => {
                false
            }
        };
        (tried_again && retry_at >= over).then(|| {
            let error = format!(
                "no time is left of its limit of {limit:?} for all attempts; the last one: {error}"
            );
            (FailureReason::StepLimit, clip(error))
        })
    }

    /// When to look again whether what is in other queues has come to its end, where the limit of the intent is over:
    /// nobody has to come for it there, and whoever had it may die.
    pub(super) fn look_again(&self, reason: FailureReason) -> Option<Duration> {
        let looks = reason == FailureReason::IntentLimit && self.away() > 0;
        looks.then_some(limits::OVERDUE_LOOK)
    }

    /// What becomes of an intent that has reached its limit, when nothing of it runs any more.
    pub(super) fn over_limit(&self, error: String) -> Move {
        if let Some(step) = self.interrupted() {
            return Move::Finish(Box::new(self.fail(step)));
        }
        let on_failure = self.on_failure();
        let failure = Failure {
            reason: FailureReason::IntentLimit,
            error,
            step: None,
        };
        if on_failure == OnFailure::Undo && self.has_to_undo() {
            return Move::Undo(failure);
        }
        Move::Finish(Box::new(Finish {
            frees: self.locks && on_failure != OnFailure::Hold,
            ..self.fail_with(failure)
        }))
    }

    /// These steps have become ready: what has a deadline is written down with the next tick. For a step that was ready
    /// before, in another worker's hands, the first word stands.
    pub(super) fn note_deadlines(&mut self, steps: &[usize], tick: &mut TickRequest) {
        if !self.has_deadlines {
            return;
        }
        for &step in steps {
            let deadline = self.plan.def(step).and_then(|def| def.deadline);
            let Some(due_in) = deadline.filter(|_| self.plan.undoes(step).is_none()) else {
                continue;
            };
            if !std::mem::replace(&mut self.slots[step].deadline_noted, true) {
                tick.deadlines.push(DeadlineRow {
                    intent: self.id,
                    step: self.step_name(step).clone(),
                    generation: self.slots[step].generation,
                    due_in,
                });
            }
        }
    }
}

/// What an intent waits for in vain.
#[derive(Debug)]
pub(super) struct Lost {
    children: Vec<IntentId>,
    /// It has steps in other queues; and the limit that is over.
    away: Option<Duration>,
    why: String,
}

/// Says how a step has ended, in place of what the same tick was to say of it, if it was.
pub(super) fn last_word(tick: &mut TickRequest, word: StepRow) {
    let is_of = |row: &&mut StepRow| {
        row.task == word.task && row.name == word.name && row.generation == word.generation
    };
    match tick.steps.iter_mut().find(is_of) {
        Some(row) => {
            row.state = word.state;
            row.error = word.error;
            row.reason = word.reason;
            row.finished = word.finished;
            row.due_in = None;
            // It waits for nothing any more.
            row.spare = None;
            row.waits = None;
        }
        None => tick.steps.push(word),
    }
}

/// How often it is tried to stop children when the database fails, and the pause between two tries.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Has the children, and the steps in other queues, stop that an intent waits for in vain, beside the loop.
pub(super) fn stop_others(intendant: &Intendant, id: IntentId, lost: Lost) {
    if lost.children.is_empty() && lost.away.is_none() {
        return;
    }
    let intendant = intendant.clone();
    let busy = intendant.store().seam().busy();
    tokio::spawn(async move {
        let _busy = busy;
        // Whoever claims the parent next finds the limit over as well, and does the same.
        for _ in 0..TRIES {
            match stop(&intendant, id, &lost).await {
                Ok(Overdue::Settled) => return,
                Ok(Overdue::Moving) => {}
                Err(error) => {
                    tracing::warn!(%error, intent = %id, "what an intent waits for could not be stopped yet");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}

async fn stop(intendant: &Intendant, id: IntentId, lost: &Lost) -> Result<Overdue, Error> {
    if !lost.children.is_empty() {
        let by = CancelBy {
            actor: "intendant".to_owned(),
            reason: Some(format!("its parent {id} has reached a limit: {}", lost.why)),
        };
        intendant.cancel_all(lost.children.clone(), by).await?;
    }
    match lost.away {
        Some(limit) => intendant.take_back_overdue(id, limit).await,
        None => Ok(Overdue::Settled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_attempt_has_what_is_left_of_the_nearest_limit() {
        let begun = |at, used| Begun::new(s(at), s(used));
        let limit =
            |attempt: Option<u64>, step: Option<(u64, Begun)>, intent: Option<(u64, Begun)>| {
                let of = |(limit, begun)| (s(limit), begun);
                let least = least(attempt.map(s), step.map(of), intent.map(of), s(100))?;
                Some((least.left.as_secs(), least.of))
            };
        assert_eq!(limit(None, None, None), None);
        assert_eq!(
            limit(Some(10), None, None),
            Some((10, LimitOf::Attempt(s(10))))
        );
        // Begun 40 s ago here, 20 s had been used before.
        let step = Some((65, begun(60, 20)));
        assert_eq!(limit(Some(10), step, None), Some((5, LimitOf::Step(s(65)))));
        assert_eq!(
            limit(Some(10), step, Some((103, begun(0, 0)))),
            Some((3, LimitOf::Intent(s(103))))
        );
        let over = Some((50, begun(60, 20)));
        assert_eq!(limit(Some(10), over, None), Some((0, LimitOf::Step(s(50)))));
        // No arithmetic overflows.
        let endless = Some((u64::MAX, begun(u64::MAX, 0)));
        assert_eq!(
            limit(Some(10), endless, endless),
            Some((10, LimitOf::Attempt(s(10))))
        );
    }
}
