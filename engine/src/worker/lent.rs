//! Lent: what a worker has of a limited queue, as far as it knows, and what it may do by that.
//!
//! What it knows is the answer to its last ask. Between an ask and its answer, and when people have said something new, it
//! may have fewer slots than it thinks, so it begins nothing beyond what the answer cannot take from it: what ran when it
//! asked. From time to time it asks although it needs nothing, and learns who waits for what it has.

use std::time::Duration;

use crate::limits;
use crate::slots::SlotsHeld;

/// What a worker has of a limited queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lent {
    /// Slots that it has, by the last answer.
    held: usize,
    /// How many of them it may go on to use.
    usable: usize,
    /// It has use for more, and nobody has said since that there is more.
    denied: bool,
    /// By its row it waits, and others who began to wait later do so behind it.
    in_line: bool,
    known: Known,
}

/// How far that can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is to be asked for.
    No,
    /// It has been asked for, while so many steps ran: these have slots whatever the answer is.
    Asked { running: usize },
    /// By an answer of that time.
    Since(Duration),
}

impl Lent {
    /// Nothing is known yet.
    pub(super) const NEW: Self = Self {
        held: 0,
        usable: 0,
        denied: false,
        in_line: false,
        known: Known::No,
    };

    /// What is known is not so any more, perhaps.
    pub(super) fn doubt(&mut self) {
        self.known = Known::No;
    }

    /// An ask is on its way, made while so many steps run.
    pub(super) fn asked(&mut self, running: usize) {
        self.known = Known::Asked { running };
    }

    /// What has come of it.
    pub(super) fn answered(&mut self, has: &SlotsHeld, now: Duration) {
        *self = Self {
            held: has.held,
            usable: has.usable,
            denied: has.denied,
            in_line: has.denied,
            known: Known::Since(now),
        };
    }

    /// There may be more for it.
    pub(super) fn ask_again(&mut self) {
        self.denied = false;
    }

    pub(super) fn is_denied(&self) -> bool {
        self.denied
    }

    /// It stands in line, and has been told that there is something for it.
    pub(super) fn is_called(&self) -> bool {
        self.in_line && !self.denied
    }

    /// So many slots it may use, unless the answer to the next ask is that it has fewer.
    pub(super) fn usable(&self) -> usize {
        self.usable
    }

    /// How many steps may run: none begins while more do.
    pub(super) fn may_run(&self, now: Duration) -> usize {
        match self.known {
            Known::No => 0,
            Known::Asked { running } => self.usable.min(running),
            Known::Since(_) if self.is_stale(now) => 0,
            Known::Since(_) => self.usable,
        }
    }

    /// Whether to ask, by how many steps run and how many slots there is use for.
    pub(super) fn is_to_ask(&self, running: usize, wanted: usize, now: Duration) -> bool {
        let is_known = match self.known {
            Known::No => false,
            // There is an answer to come.
            Known::Asked { .. } => return false,
            // Who begins nothing has nothing to ask, however long it goes on.
            Known::Since(_) => !self.is_stale(now) || running >= self.usable,
        };
        let more = wanted > self.held && !self.denied;
        // Nobody is to wait for one who does not.
        let less = wanted <= self.held && self.in_line;
        let gives_back = self.held > wanted.min(self.usable).max(running);
        !is_known || more || less || gives_back
    }

    fn is_stale(&self, now: Duration) -> bool {
        match self.known {
            Known::No | Known::Asked { .. } => false,
            Known::Since(at) => self.held > 0 && now.saturating_sub(at) >= limits::SLOT_TERM,
        }
    }
}

#[cfg(test)]
mod tests;
