//! Noting: what an attempt leaves beside its end goes into the tick that writes the end.

use super::drive::Drive;
use super::runner::StepEnd;
use crate::advance::Status;
use crate::cx::StepContext;
use crate::notes::Resulted;
use crate::state::StepState;
use crate::store::{Ran, StepRow, TickRequest};

/// What there is to note at the end of an attempt.
pub(super) struct AtEnd {
    resulted: Resulted,
    /// Its end by itself writes no row.
    left: bool,
}

impl AtEnd {
    pub(super) fn of(end: &StepEnd) -> Self {
        let resulted = match end {
            StepEnd::Output(_) => Resulted::Yes,
            StepEnd::Recorded(_) => Resulted::Itself,
            StepEnd::Failed { .. }
            | StepEnd::Undecodable { .. }
            | StepEnd::Snoozed(_)
            | StepEnd::Awaits(_)
            | StepEnd::SignalRefused { .. }
            | StepEnd::Left => Resulted::No,
        };
        Self {
            resulted,
            left: matches!(end, StepEnd::Left),
        }
    }

    /// It was stopped, and runs again elsewhere.
    pub(super) fn stopped() -> Self {
        Self {
            resulted: Resulted::No,
            left: true,
        }
    }
}

impl Drive {
    /// A step that has a checkpoint has a row, which it did not get from here. Before the end is taken in.
    pub(super) fn hear_of_checkpoint(&mut self, step: usize, context: &StepContext) {
        if context.notes.has_checkpoint() {
            self.slots[step].checkpoint = true;
            self.slots[step].has_row = true;
        }
    }

    /// Puts what an attempt leaves into the tick that has its end. After the end is taken in.
    pub(super) fn note(
        &mut self,
        step: usize,
        context: &StepContext,
        at_end: AtEnd,
        ran: Ran,
        tick: &mut TickRequest,
    ) {
        let once = &context.once;
        let note = context.notes.row(once, at_end.resulted);
        let progress = (at_end.resulted == Resulted::No)
            .then(|| context.last_progress())
            .flatten();
        // A step of an intent that is to stop has failed instead, and its row says so.
        let goes_on = at_end.left && self.slots[step].status == Status::Pending;
        if goes_on && (!note.is_empty() || progress.is_some()) && !self.runs_once(step) {
            // It has begun and is to go on: what it leaves belongs to a step of which something is known.
            let row = self.row(step, StepState::Pending, ran.from);
            tick.steps.push(row);
        }
        if progress.is_some() {
            let own = |row: &&mut StepRow| row.intent == once.intent && row.name == once.step;
            if let Some(row) = tick.steps.iter_mut().rev().find(own) {
                row.progress = progress;
            }
        }
        if !note.is_empty() {
            tick.notes.push(note);
        }
    }
}
