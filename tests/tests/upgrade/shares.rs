//! Who has done how much, by the ledger.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use intendant_tests::chaos::Line;

use crate::side_by_side::Revision;

/// What the workers of either revision have done.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// Steps that have ended in older workers.
    pub(crate) old: usize,
    /// And in newer ones.
    pub(crate) new: usize,
    /// How often an intent went on in a newer worker after an older one.
    pub(crate) to_new: usize,
    /// And the other way.
    pub(crate) to_old: usize,
}

impl Shares {
    /// From this line on; `workers`: whose the processes are.
    pub(crate) fn count(
        lines: &[Line],
        from: usize,
        workers: &HashMap<String, Revision>,
    ) -> Result<Self> {
        let mut shares = Self::default();
        let mut last: HashMap<&str, Revision> = HashMap::new();
        for (at, line) in lines.iter().enumerate() {
            let revision = workers.get(&line.pid);
            let revision = *revision.with_context(|| format!("whose is process {}", line.pid))?;
            let before = last.insert(&line.intent, revision);
            if at >= from {
                shares.add(line, before, revision);
            }
        }
        Ok(shares)
    }

    /// `before`: who did what came before of the same intent.
    fn add(&mut self, line: &Line, before: Option<Revision>, revision: Revision) {
        match (before, revision) {
            (Some(Revision::Old), Revision::New) => self.to_new += 1,
            (Some(Revision::New), Revision::Old) => self.to_old += 1,
            (None | Some(_), _) => {}
        }
        match (line.started, revision) {
            (true, _) => {}
            (false, Revision::Old) => self.old += 1,
            (false, Revision::New) => self.new += 1,
        }
    }
}
