//! Dry run: what an intent would be if it were asked for now. Nothing is written.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::intent::Mode;
use crate::limits;
use crate::plan::{Graph, Shape, depth};
use crate::store::NewIntent;
use crate::why::{Foresight, Reason, foresee};

/// What would become of an intent, as of now: see [`Worker::plan`](crate::Worker::plan).
///
/// Its `Display` says it to people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DryRun {
    /// What sort of operation it is.
    pub kind: String,
    /// The queue whose workers would carry it out.
    pub queue: String,
    /// The customer that it would be for.
    pub account: Option<String>,
    /// Its plan.
    pub graph: Graph,
    /// What it would use, and whether it would have to wait for that.
    pub resources: Vec<Wanted>,
    /// What it would wait for besides: that a live worker serves its queue, knows its kind, has a free slot.
    pub waits: Vec<Reason>,
    /// How much of its limits it would use.
    pub limits: Vec<Used>,
}

/// A resource that an intent would use.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Wanted {
    /// `type:id`.
    pub resource: String,
    /// How it would use it.
    pub mode: Mode,
    /// Who would go first, if anybody ([`Reason::InLine`]): it would wait in line behind them.
    pub behind: Option<Reason>,
}

/// How much of a limit is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Used {
    /// Of what.
    pub what: &'static str,
    /// How much there is.
    pub used: usize,
    /// How much there may be.
    pub limit: usize,
}

impl DryRun {
    /// Puts together what is known of an intent, of its plan and of those who are there already.
    pub(crate) fn of(new: NewIntent, shape: &Shape, foresight: Foresight) -> Self {
        let (mut behind, waits) = foresee(foresight, &new.queue, &new.kind);
        let used = |what, used, limit| Used { what, used, limit };
        let limits = vec![
            used("steps", shape.steps.len(), limits::PLAN_STEPS),
            used(
                "steps one after the other",
                // A plan that was found sound has a depth.
                depth(shape).unwrap_or_default(),
                limits::PLAN_DEPTH,
            ),
            used("resources", new.resources.len(), limits::RESOURCES),
            used(
                "bytes of input",
                new.input.get().len(),
                limits::PAYLOAD_BYTES,
            ),
        ];
        let resources = new.resources.into_iter().map(|(resource, mode)| Wanted {
            behind: behind.remove(&resource),
            resource,
            mode,
        });
        Self {
            resources: resources.collect(),
            kind: new.kind,
            queue: new.queue,
            account: new.account,
            graph: Graph::of(shape, |_| None),
            waits,
            limits,
        }
    }
}

impl Display for DryRun {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(account) = &self.account {
            write!(f, " for {account}")?;
        }
        writeln!(f, ", in queue `{}`\n\nplan", self.queue)?;
        for line in self.graph.text().lines() {
            writeln!(f, "  {line}")?;
        }
        if !self.resources.is_empty() {
            f.write_str("\nresources\n")?;
        }
        for wanted in &self.resources {
            let mode = wanted.mode.as_str();
            write!(f, "  {} ({mode}): ", wanted.resource)?;
            match (&wanted.behind, wanted.mode) {
                (Some(behind), _) => writeln!(f, "would be {behind}")?,
                (None, Mode::Touched) => f.write_str("only recorded\n")?,
                (None, Mode::Shared | Mode::Exclusive) => f.write_str("free\n")?,
            }
        }
        if !self.waits.is_empty() {
            f.write_str("\nnow\n")?;
        }
        for reason in &self.waits {
            writeln!(f, "  {reason}")?;
        }
        f.write_str("\nlimits\n")?;
        for Used { what, used, limit } in &self.limits {
            writeln!(f, "  {used} of {limit} {what}")?;
        }
        Ok(())
    }
}
