//! The script of a run: what is to go wrong, and what has happened so far.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::id::IntentId;
use crate::seam::{Injected, Upcoming, What, When};

/// An attempt that has had its turn, in the order in which they did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// The intent that it was for.
    pub intent: IntentId,
    /// Its kind.
    pub kind: String,
    /// The step; `undo(…)` where it was taken back.
    pub step: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    pub(super) at_most_once: bool,
}

/// A commit of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    /// How many attempts had had their turn.
    pub(super) ran: usize,
    /// How many commits there had been since the last of them.
    pub(super) nth: usize,
    /// It was made by the step itself.
    pub(super) inside: bool,
}

/// What happens to some attempts of steps of a name.
#[derive(Debug)]
struct Fault {
    injected: Injected,
    times: usize,
}

/// What is to go wrong, and what has happened.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// By step, in this order.
    faults: HashMap<String, VecDeque<Fault>>,
    /// By the place of the attempt in the run.
    at: HashMap<usize, Injected>,
    /// Which commit the process does not survive, by its place in the run.
    dies_at: Option<(usize, When)>,
    pub(super) ran: Vec<Ran>,
    pub(super) commits: Vec<Commit>,
    pub(super) crashes: usize,
}

impl Script {
    pub(super) fn inject(&mut self, step: &str, injected: Injected, times: usize) {
        let faults = self.faults.entry(step.to_owned()).or_default();
        faults.push_back(Fault { injected, times });
    }

    /// To the attempt that is the `nth` to have its turn in this run, from 0.
    pub(super) fn inject_at(&mut self, nth: usize, what: What, when: When) {
        self.at.insert(nth, Injected { what, when });
    }

    pub(super) fn die_at(&mut self, commit: usize, when: When) {
        self.dies_at = Some((commit, when));
    }

    /// Steps that have not been met as often as something was to happen to them.
    pub(super) fn unmet(&self) -> Vec<String> {
        let left = self.faults.iter().filter(|(_, faults)| !faults.is_empty());
        let mut steps: Vec<_> = left.map(|(step, _)| step.clone()).collect();
        steps.sort();
        steps
    }

    pub(super) fn forget_faults(&mut self) {
        self.faults.clear();
    }

    /// An attempt has its turn. What happens to it?
    pub(super) fn run(&mut self, upcoming: &Upcoming) -> Option<Injected> {
        let nth = self.ran.len();
        self.ran.push(Ran {
            intent: upcoming.intent,
            kind: Arc::as_ref(&upcoming.kind).to_owned(),
            step: Arc::as_ref(&upcoming.step).to_owned(),
            attempt: upcoming.attempt,
            at_most_once: upcoming.at_most_once,
        });
        self.at.remove(&nth).or_else(|| self.fault(&upcoming.step))
    }

    fn fault(&mut self, step: &str) -> Option<Injected> {
        let faults = self.faults.get_mut(step)?;
        let fault = faults.front_mut()?;
        fault.times = fault.times.saturating_sub(1);
        let injected = fault.injected;
        if fault.times == 0 {
            faults.pop_front();
        }
        Some(injected)
    }

    /// A commit is about to be made, or has been. Is it the one?
    pub(super) fn dies_at_commit(&mut self, when: When, inside: bool) -> bool {
        if when == When::Before {
            let ran = self.ran.len();
            let before = self.commits.iter().rev();
            let nth = before.take_while(|commit| commit.ran == ran).count();
            self.commits.push(Commit { ran, nth, inside });
        }
        self.dies_at
            .take_if(|dies_at| *dies_at == (self.commits.len() - 1, when))
            .is_some()
    }
}
