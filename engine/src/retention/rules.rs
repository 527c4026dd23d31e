//! Rules: which of several counts, and what there is to remove by it. Pure.

use std::str::FromStr;
use std::time::Duration;

use crate::state::IntentState;

/// For how long something is kept; none: for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) rows: Option<Duration>,
    pub(crate) payloads: Option<Duration>,
}

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// Everything.
    Rows,
    /// What was asked for and what came of it.
    Payloads,
}

impl What {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Payloads => "payloads",
        }
    }
}

/// Something else than rows or payloads.
#[derive(Debug, thiserror::Error)]
#[error("retention removes no `{0}`")]
pub(crate) struct UnknownWhat(String);

impl FromStr for What {
    type Err = UnknownWhat;

    fn from_str(word: &str) -> Result<Self, UnknownWhat> {
        match word {
            "rows" => Ok(Self::Rows),
            "payloads" => Ok(Self::Payloads),
            other => Err(UnknownWhat(other.to_owned())),
        }
    }
}

impl Keep {
    /// For how long this of an intent is kept.
    pub(crate) fn time(self, what: What) -> Option<Duration> {
        match what {
            What::Rows => self.rows,
            What::Payloads => self.payloads,
        }
    }
}

/// Who said a rule. The later goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    Code,
    Person,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) kind: Option<String>,
    pub(crate) state: IntentState,
    pub(crate) said: Said,
    pub(crate) keep: Keep,
}

/// All that has been said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules(pub(crate) Vec<Rule>);

impl Rules {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For how long a tree is kept whose root is of this kind and ended in this state: as the kind's own rule says, or else the one
    /// for all kinds; of each a person's word before the code's. Without any, for ever.
    pub(crate) fn keep(&self, kind: &str, state: IntentState) -> Keep {
        let of_state = self.0.iter().filter(|rule| rule.state == state);
        let fits = of_state.filter(|rule| rule.kind.as_deref().is_none_or(|of| of == kind));
        let first = fits.max_by_key(|rule| (rule.kind.is_some(), rule.said));
        first.map(|rule| rule.keep).unwrap_or_default()
    }

    /// What there is to remove of these kinds.
    pub(crate) fn targets(&self, kinds: &[String]) -> Vec<(String, IntentState, What)> {
        let mut targets = Vec::new();
        for kind in kinds {
            for state in IntentState::ALL.iter().filter(|state| state.is_finished()) {
                let keep = self.keep(kind, *state);
                // First what loses all: its payloads need not be removed before.
                for what in [What::Rows, What::Payloads] {
                    if keep.time(what).is_some() {
                        targets.push((kind.clone(), *state, what));
                    }
                }
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn rule(kind: Option<&str>, said: Said, days: Option<u32>) -> Rule {
        Rule {
            kind: kind.map(str::to_owned),
            state: IntentState::Succeeded,
            said,
            keep: Keep {
                rows: days.map(|days| DAY * days),
                payloads: None,
            },
        }
    }

    #[test]
    fn without_a_rule_everything_is_kept() {
        let rules = Rules(vec![rule(Some("other"), Said::Person, Some(1))]);
        assert_eq!(rules.keep("mail", IntentState::Succeeded), Keep::default());
        assert_eq!(rules.targets(&["mail".to_owned()]), []);
        let all = Rules(vec![rule(None, Said::Code, Some(1))]);
        assert_eq!(all.keep("mail", IntentState::Failed), Keep::default());
    }

    #[test]
    fn the_kinds_own_rule_goes_first_and_a_persons_word_before_the_codes() {
        let mut rules = Rules(vec![
            rule(None, Said::Code, Some(1)),
            rule(None, Said::Person, Some(2)),
        ]);
        let days = |rules: &Rules| rules.keep("mail", IntentState::Succeeded).rows;
        assert_eq!(days(&rules), Some(DAY * 2));
        rules.0.insert(0, rule(Some("mail"), Said::Code, Some(3)));
        assert_eq!(days(&rules), Some(DAY * 3));
        // A person says: for ever.
        rules.0.insert(1, rule(Some("mail"), Said::Person, None));
        assert_eq!(days(&rules), None);
        assert_eq!(
            rules.keep("bill", IntentState::Succeeded).rows,
            Some(DAY * 2)
        );
    }

    proptest! {
        /// The order in which they were said is of no account, and no kind has another's rule.
        #[test]
        fn one_rule_counts(said in prop::collection::btree_map(
            (prop::option::of(0..3_u8), any::<bool>()), prop::option::of(1..9_u32), 0..8,
        ), shuffle in any::<u64>(), kind in 0..3_u8) {
            let name = |kind: u8| format!("kind {kind}");
            let made = said.iter().map(|((kind, person), days)| {
                let said = if *person { Said::Person } else { Said::Code };
                rule(kind.map(name).as_deref(), said, *days)
            });
            let mut rules: Vec<Rule> = made.collect();
            let order = |rule: &Rule| (format!("{rule:?}").len() as u64).wrapping_mul(shuffle | 1);
            let before = Rules(rules.clone()).keep(&name(kind), IntentState::Succeeded);
            rules.sort_by_key(order);
            prop_assert_eq!(before, Rules(rules).keep(&name(kind), IntentState::Succeeded));
            let first = [(Some(kind), true), (Some(kind), false), (None, true), (None, false)]
                .iter().find_map(|at| said.get(at)).copied().flatten();
            prop_assert_eq!(before.rows, first.map(|days| DAY * days));
        }
    }
}
