//! Dry run: what an intent would be if it were asked for now. Nothing is written.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::conflict::Rule;
use crate::id::IntentId;
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
    /// What the conflict rules of its kind would do, if that is anything but to wait in line.
    pub ruled: Option<Ruled>,
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

/// What the conflict rules of a kind would make of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ruled {
    /// It would be rejected, would join another one, or would supersede others.
    pub rule: Rule,
    /// On account of whom.
    pub others: Vec<Concerned>,
}

/// An intent on account of which a conflict rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Concerned {
    /// The intent.
    pub intent: IntentId,
    /// Its kind.
    pub kind: String,
    /// The resource that both want.
    pub resource: String,
}

impl Display for Ruled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rule {
            Rule::Reject => "it would be rejected: ",
            Rule::Join => "it would join ",
            Rule::Supersede | Rule::SupersedeAnyway => "it would supersede ",
            Rule::Wait | Rule::Share => "it would go along with ",
        })?;
        for (index, other) in self.others.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let Concerned {
                intent,
                kind,
                resource,
            } = other;
            write!(f, "{comma}intent {intent} (`{kind}`) on {resource}")?;
        }
        Ok(())
    }
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
    pub(crate) fn of(new: NewIntent, shape: &Shape, mut foresight: Foresight) -> Self {
        let ruled = foresight.ruled.take();
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
            ruled,
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
        if let Some(ruled) = &self.ruled {
            writeln!(f, "\nby its rules\n  {ruled}")?;
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
