//! What a check has found, for people to read.

use std::fmt;

use super::script::{Commit, Ran};
use crate::seam::When;

/// Runs with the same differences that are told one by one; the others are counted.
const TOLD: usize = 4;

/// What a check of a workflow has found: nothing, if all is well.
#[derive(Debug, Clone, Default)]
#[must_use = "look at what it found: `assert_clean` does"]
#[non_exhaustive]
pub struct Report {
    /// How often the workflow was carried out.
    pub runs: usize,
    /// How many workers died in that.
    pub crashes: usize,
    /// How many steps were run twice in a row.
    pub repeats: usize,
    /// How often it was cancelled half way; none where no step has an undo.
    pub cancels: usize,
    /// How many runs ended as failed since a step that is run at most once was interrupted, as they should.
    pub asked: usize,
    /// How often an operator was told that there is nothing to be done that way.
    pub refused: usize,
    /// Where the outcome was another one.
    pub findings: Vec<Finding>,
}

/// A run of which the outcome was another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What happened in that run, and to which step.
    pub when: String,
    /// What was different, each in a line.
    pub differences: Vec<String>,
}

impl Report {
    /// Nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Panics with what was found, if anything was.
    ///
    /// # Panics
    /// If anything was found.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    pub(super) fn find(&mut self, when: impl Into<String>, differences: Vec<String>) {
        if !differences.is_empty() {
            let when = when.into();
            self.findings.push(Finding { when, differences });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<(&[String], Vec<&str>)> = Vec::new();
        for Finding { when, differences } in &self.findings {
            match groups.iter_mut().find(|(same, _)| same == differences) {
                Some((_, whens)) => whens.push(when),
                None => groups.push((differences, vec![when])),
            }
        }
        for (differences, whens) in &groups {
            for when in whens.iter().take(TOLD) {
                writeln!(f, "{when}:")?;
            }
            if let Some(more @ 1..) = whens.len().checked_sub(TOLD) {
                writeln!(f, "and {more} more with the same differences:")?;
            }
            for difference in *differences {
                writeln!(f, "  {difference}")?;
            }
        }
        let found = match self.findings.len() {
            0 => "no run came to anything else".to_owned(),
            1 => "1 run came to something else".to_owned(),
            many => format!("{many} runs came to something else"),
        };
        write!(
            f,
            "{found}: {} runs, {} crashes, {} steps run twice, {} cancels",
            self.runs, self.crashes, self.repeats, self.cancels
        )?;
        match self.refused {
            0 => Ok(()),
            verbs => write!(f, ", {verbs} verbs refused"),
        }
    }
}

/// A step, with its kind where it is not the one of the intent in question.
pub(super) fn step(ran: &Ran, kind: &str) -> String {
    match ran.kind == kind {
        true => format!("step `{}`", ran.step),
        false => format!("step `{}` of `{}`", ran.step, ran.kind),
    }
}

/// A crash at a commit.
pub(super) fn crash(commit: Commit, when: When, ran: &[Ran], kind: &str) -> String {
    let when = match when {
        When::Before => "before",
        When::After => "after",
    };
    let last = commit.ran.checked_sub(1).and_then(|last| ran.get(last));
    match (last, commit.inside) {
        (Some(last), true) => format!("a crash {when} the commit within {}", step(last, kind)),
        (Some(last), false) => {
            let nth = commit.nth + 1;
            format!("a crash {when} write {nth} after {}", step(last, kind))
        }
        (None, _) => format!("a crash {when} write {} of the run", commit.nth + 1),
    }
}
