//! Outcome: what an intent in hand ends with, or leaves behind when it leaves this worker unfinished.

use super::drive::Drive;
use super::slot::Slot;
use crate::intent::OnFailure;
use crate::state::{FailureReason, IntentState};
use crate::store::{Failure, Finish, StartedRow};

impl Drive {
    pub(super) fn succeed(&self) -> Finish {
        let output = self.slots[self.plan.shape.output as usize].output.clone();
        Finish {
            output,
            ..self.finish(IntentState::Succeeded)
        }
    }

    /// A step of which nobody knows whether it took place, and which may take place once: whatever else has failed, a person
    /// decides.
    pub(super) fn interrupted(&self) -> Option<usize> {
        let interrupted = |slot: &Slot| {
            let failure = slot.failure.as_ref();
            failure.is_some_and(|(reason, _)| *reason == FailureReason::Interrupted)
        };
        self.slots.iter().position(interrupted)
    }

    /// With what it fails, when this step has.
    pub(super) fn failure(&self, step: usize) -> Failure {
        let failure = self.slots[step].failure.clone();
        let (reason, error) = failure
            .unwrap_or_else(|| (FailureReason::StepFailed, "it had failed before".to_owned()));
        Failure {
            reason,
            error,
            step: Some(self.step_name(step).clone()),
        }
    }

    pub(super) fn fail(&self, step: usize) -> Finish {
        Finish {
            frees: self.locks
                && self.on_failure() != OnFailure::Hold
                && self.interrupted().is_none(),
            ..self.fail_with(self.failure(step))
        }
    }

    pub(super) fn fail_with(&self, failure: Failure) -> Finish {
        Finish {
            reason: Some(failure.reason),
            error: Some(failure.error),
            step: failure.step,
            ..self.finish(IntentState::Failed)
        }
    }

    /// An outcome without a step to blame.
    pub(super) fn refuse(&self, reason: FailureReason, error: String) -> Finish {
        Finish {
            // What could not be taken back keeps what it holds, whatever its kind says.
            frees: self.locks && self.release_on_failure && reason != FailureReason::UndoFailed,
            ..self.fail_with(Failure {
                reason,
                error,
                step: None,
            })
        }
    }

    pub(super) fn finish(&self, state: IntentState) -> Finish {
        Finish {
            intent: self.id,
            lease: Some(self.lease),
            kind: self.context.kind.clone(),
            account: self.context.account.clone(),
            state,
            requested: self.requested,
            started: self.started,
            output: None,
            reason: None,
            error: None,
            step: None,
            plan: Some(self.plan.hash.clone()),
            parent: self.parent,
            frees: self.locks,
            waits: self.has_wait || !self.children.is_empty(),
            taken_back: false,
        }
    }

    /// What says that it has started, for when it leaves this worker unfinished. Nothing of a routed step: its intent has.
    pub(super) fn started_row(&self) -> Option<StartedRow> {
        (!self.is_routed).then(|| StartedRow {
            intent: self.id,
            started: self.started,
            plan: Some(self.plan.hash.clone()),
        })
    }
}
