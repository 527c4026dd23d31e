//! The children of an intent in hand: those that its steps have asked for, and what has come of them.
//!
//! There may be ten thousand. So they are found by name, counted as they come, and read from the database when a step
//! can go on by them, not whenever one has finished.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::id::IntentId;
use crate::store::ChildLoad;

/// The children of a step, by name.
pub(super) type ByName = Arc<HashMap<String, ChildLoad>>;

/// Children by the step that asked for them, and its generation.
#[derive(Debug, Default)]
pub(super) struct Children {
    of_step: HashMap<(Arc<str>, u32), ByName>,
    /// Those whose end is not known.
    open: usize,
    /// Finished children that the database had counted when it was last asked.
    pub(super) arrived: i64,
}

impl Children {
    pub(super) fn new(loaded: Vec<ChildLoad>, arrived: i64) -> Self {
        let mut children = Self {
            arrived,
            ..Self::default()
        };
        loaded.into_iter().for_each(|child| children.add(child));
        children
    }

    /// A child that a step asks for, or that the database knows.
    pub(super) fn add(&mut self, child: ChildLoad) {
        self.open += usize::from(child.outcome.is_none());
        let key = (child.step.clone(), child.generation);
        let own = Arc::make_mut(self.of_step.entry(key).or_default());
        own.insert(child.name.clone(), child);
    }

    /// Takes in what has become of them. A child that was asked for while the question was on its way is not in the
    /// answer yet.
    pub(super) fn reload(&mut self, loaded: Vec<ChildLoad>, arrived: i64) {
        let known: HashSet<IntentId> = loaded.iter().map(|child| child.child).collect();
        let before = std::mem::replace(self, Self::new(loaded, arrived));
        let before = before.of_step.into_values();
        for child in before.flat_map(|own| own.values().cloned().collect::<Vec<_>>()) {
            if child.outcome.is_none() && !known.contains(&child.child) {
                self.add(child);
            }
        }
    }

    /// These are not there after all.
    pub(super) fn forget(&mut self, lost: &HashSet<IntentId>) {
        let arrived = self.arrived;
        let before = std::mem::take(self);
        let before = before.of_step.into_values();
        let all = before.flat_map(|own| own.values().cloned().collect::<Vec<_>>());
        *self = Self::new(
            all.filter(|child| !lost.contains(&child.child)).collect(),
            arrived,
        );
    }

    /// The children of a step, by name.
    pub(super) fn of(&self, step: &Arc<str>, generation: u32) -> ByName {
        let own = self.of_step.get(&(step.clone(), generation));
        own.cloned().unwrap_or_default()
    }

    /// How many of the children by these names have not finished.
    pub(super) fn missing(&self, step: &Arc<str>, generation: u32, names: &[String]) -> u32 {
        let Some(own) = self.of_step.get(&(step.clone(), generation)) else {
            return u32::try_from(names.len()).unwrap_or(u32::MAX);
        };
        let finished = |name: &String| own.get(name).is_some_and(|child| child.outcome.is_some());
        let missing = names.iter().filter(|name| !finished(name)).count();
        u32::try_from(missing).unwrap_or(u32::MAX)
    }

    /// Those whose end is not known: of a step, or of all.
    pub(super) fn unfinished(&self, of: Option<(&Arc<str>, u32)>) -> Vec<IntentId> {
        let wanted = |step: &(Arc<str>, u32)| {
            of.is_none_or(|(name, generation)| step.0 == *name && step.1 == generation)
        };
        let steps = self.of_step.iter().filter(|(step, _)| wanted(step));
        let children = steps.flat_map(|(_, own)| own.values());
        let open = children.filter(|child| child.outcome.is_none());
        open.map(|child| child.child).collect()
    }

    pub(super) fn open(&self) -> u32 {
        u32::try_from(self.open).unwrap_or(u32::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of_step.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::IntentState;
    use crate::store::OutcomeRow;

    fn child(name: &str, id: u128, finished: bool) -> ChildLoad {
        ChildLoad {
            parent: IntentId(uuid::Uuid::nil()),
            step: Arc::from("ask"),
            generation: 1,
            name: name.to_owned(),
            child: IntentId(uuid::Uuid::from_u128(id)),
            input_hash: Vec::new(),
            outcome: finished.then_some(OutcomeRow {
                state: IntentState::Succeeded,
                output: None,
                reason: None,
                error: None,
                step: None,
                payload_removed_at: None,
            }),
        }
    }

    #[test]
    fn a_child_that_was_asked_for_while_the_others_were_read_is_not_forgotten() {
        let ask: Arc<str> = Arc::from("ask");
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut children = Children::new(vec![child("a", 1, false), child("b", 2, false)], 0);
        children.add(child("c", 3, false));
        assert_eq!((children.open(), children.missing(&ask, 1, &names)), (3, 3));
        children.reload(vec![child("a", 1, true), child("b", 2, false)], 1);
        assert_eq!((children.open(), children.missing(&ask, 1, &names)), (2, 2));
        assert_eq!((children.arrived, children.of(&ask, 1).len()), (1, 3));
        children.forget(&HashSet::from([IntentId(uuid::Uuid::from_u128(3))]));
        assert_eq!((children.open(), children.of(&ask, 1).len()), (1, 2));
        assert_eq!(children.of(&ask, 2).len(), 0, "of another generation");
    }
}
