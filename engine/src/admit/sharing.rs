//! Sharing: who goes side by side with whom, by the rules of their kinds.

use std::collections::HashMap;
use std::sync::Arc;

use crate::conflict::{Conflicts, Rule, Stage};
use crate::id::IntentId;

/// The kinds of some, and the rules of those kinds that go side by side with others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sharing {
    pub(crate) kinds: HashMap<IntentId, Arc<str>>,
    pub(crate) rules: HashMap<Arc<str>, Arc<Conflicts>>,
}

impl Sharing {
    /// Whether one goes side by side with another one, which it would wait for otherwise. Not, where that is not known: it goes
    /// when that one has gone.
    pub(crate) fn between(&self, who: IntentId, other: IntentId, stage: Stage) -> bool {
        let rule = || {
            let (own, theirs) = (self.kinds.get(&who)?, self.kinds.get(&other)?);
            Some(self.rules.get(own)?.rule(own, theirs, stage))
        };
        rule() == Some(Rule::Share)
    }

    pub(crate) fn kind(&self, who: IntentId) -> Option<&str> {
        self.kinds.get(&who).map(|kind| &**kind)
    }
}
