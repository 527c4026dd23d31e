//! Conflict rules: what an intent does when something that it wants is busy, declared with its kind (PROTOCOL P5).

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::id::IntentId;
use crate::intent::{NameError, check_name};
use crate::limits;

/// Who acts in the events where a rule does.
pub(crate) const ACTOR: &str = "rule";

/// What an intent does about another one that excludes it on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Waits in line, first come first served.
    Wait,
    /// Is refused, with an error that names the other one.
    Reject,
    /// Is the other one: a duplicate click gets the intent that is there already. Only where kind, account and input are
    /// the same, and, unless said [otherwise](Conflicts::once_started), only while the other one has not started; if not,
    /// it waits. A child is somebody's own, and never joins.
    Join,
    /// Asks the other one to stop, which is undone if its kind says so, and goes then. Where it cannot be stopped any
    /// more, or its undo fails, this one waits for it; and so it does where the other one is of another account, unless this
    /// one has none: no account's work is stopped for another's.
    Supersede,
    /// Supersedes, and goes even after the other one's undo has failed: what that one held is taken over.
    SupersedeAnyway,
    /// Goes side by side with it.
    Share,
}

impl Rule {
    /// The word used in tables, JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Reject => "reject",
            Self::Join => "join",
            Self::Supersede => "supersede",
            Self::SupersedeAnyway => "supersede anyway",
            Self::Share => "share",
        }
    }

    /// The rule of one account's intent about another's; '' is none, and nobody knows of what is not given. A rule must not
    /// be a way for one customer to stop the work of another, so what would be stopped is waited for. Who has no account is
    /// the house itself.
    pub(crate) fn between(self, own: Option<&str>, other: Option<&str>) -> Self {
        let may_stop = own.is_some_and(|own| own.is_empty() || other == Some(own));
        match self {
            Self::Supersede | Self::SupersedeAnyway if !may_stop => Self::Wait,
            rule => rule,
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether the other one has started: it has been let in, and holds what it wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Waiting,
    Started,
}

/// The conflict rules of a kind: what its intents do about others on the same resource, by the other's kind and by whether
/// that one has started.
///
/// Rules matter only between intents that exclude each other on a resource: exclusive against exclusive or shared. A
/// failed intent that keeps its resources counts as started. They are looked at once, when an intent asks to be let in
/// for the first time; who has a place in line keeps it. A rule for one stage goes before one for both, and a later one
/// before an earlier one.
///
/// ```
/// use intendant::{Conflicts, Rule};
///
/// // Of `server.terminate`: a duplicate joins the first, everything else on that server is stopped.
/// let rules = Conflicts::otherwise(Rule::Supersede)
///     .with("server.terminate", Rule::Join)
///     .once_started("server.terminate", Rule::Reject);
/// assert_eq!(rules.to_string(), "\
/// other             not started  started
/// server.terminate  join         reject
/// any other         supersede    supersede
/// ");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicts {
    otherwise: Rule,
    rules: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    rule: Rule,
}

impl Default for Conflicts {
    /// Everything waits in line.
    fn default() -> Self {
        Self::otherwise(Rule::Wait)
    }
}

/// Rules that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConflictsError {
    /// An intent can only be the same as one of its own kind.
    #[error(
        "the conflict rules of `{kind}`: it cannot join `{other}`; only intents of one kind can be the same"
    )]
    JoinsOther {
        /// Whose rules they are.
        kind: String,
        /// What it should join.
        other: String,
    },
    /// More rules than anybody can read.
    #[error("the conflict rules of `{kind}`: there are {found} of them, the limit is {limit}")]
    TooMany {
        /// Whose rules they are.
        kind: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A kind's name that cannot be used.
    #[error("the conflict rules of `{kind}`: {error}")]
    Name {
        /// Whose rules they are.
        kind: String,
        /// What is wrong with the name.
        error: NameError,
    },
}

impl Conflicts {
    /// This rule about intents of every kind that is not named.
    pub fn otherwise(rule: Rule) -> Self {
        Self {
            otherwise: rule,
            rules: Vec::new(),
        }
    }

    /// This rule about intents of a kind.
    #[must_use]
    pub fn with(self, kind: impl Into<String>, rule: Rule) -> Self {
        self.add(kind.into(), None, rule)
    }

    /// This rule about intents of a kind that have not started.
    #[must_use]
    pub fn not_started(self, kind: impl Into<String>, rule: Rule) -> Self {
        self.add(kind.into(), Some(Stage::Waiting), rule)
    }

    /// This rule about intents of a kind that have started.
    #[must_use]
    pub fn once_started(self, kind: impl Into<String>, rule: Rule) -> Self {
        self.add(kind.into(), Some(Stage::Started), rule)
    }

    fn add(mut self, kind: String, stage: Option<Stage>, rule: Rule) -> Self {
        self.rules
            .retain(|row| row.kind != kind || row.stage != stage);
        self.rules.push(Row { kind, stage, rule });
        self
    }

    /// Nothing is said, so everything waits.
    pub(crate) fn is_default(&self) -> bool {
        self.otherwise == Rule::Wait && self.rules.iter().all(|row| row.rule == Rule::Wait)
    }

    /// Some rule says this.
    pub(crate) fn mentions(&self, rule: Rule) -> bool {
        self.otherwise == rule || self.rules.iter().any(|row| row.rule == rule)
    }

    /// The rule of an intent of kind `own` about one of kind `other`.
    pub(crate) fn rule(&self, own: &str, other: &str, stage: Stage) -> Rule {
        let of = |wanted: Option<Stage>| {
            let row = self
                .rules
                .iter()
                .find(|row| row.kind == other && row.stage == wanted);
            row.map(|row| row.rule)
        };
        if let Some(rule) = of(Some(stage)) {
            return rule;
        }
        match (of(None).unwrap_or(self.otherwise), stage) {
            (Rule::Join, Stage::Started) => Rule::Wait,
            (Rule::Join, Stage::Waiting) if own != other => Rule::Wait,
            (rule, _) => rule,
        }
    }

    /// Finds what cannot be among the rules of a kind.
    pub(crate) fn check(&self, kind: &str) -> Result<(), ConflictsError> {
        let (found, limit) = (self.rules.len(), limits::CONFLICT_RULES);
        if found > limit {
            let kind = kind.to_owned();
            return Err(ConflictsError::TooMany { kind, found, limit });
        }
        for row in &self.rules {
            check_name("kind", &row.kind).map_err(|error| ConflictsError::Name {
                kind: kind.to_owned(),
                error,
            })?;
            if row.rule == Rule::Join && row.kind != kind {
                return Err(ConflictsError::JoinsOther {
                    kind: kind.to_owned(),
                    other: row.kind.clone(),
                });
            }
        }
        Ok(())
    }

    /// The rules as a table: the other's kind, the rule while that one has not started, and the rule once it has.
    pub fn table(&self) -> Vec<(&str, Rule, Rule)> {
        let mut kinds: Vec<&str> = Vec::new();
        for row in &self.rules {
            if !kinds.contains(&row.kind.as_str()) {
                kinds.push(&row.kind);
            }
        }
        let rules = |kind| {
            // What joins at all joins its own kind.
            let rule = |stage| self.rule(kind, kind, stage);
            (kind, rule(Stage::Waiting), rule(Stage::Started))
        };
        let mut table: Vec<_> = kinds.into_iter().map(rules).collect();
        let later = match self.otherwise {
            Rule::Join => Rule::Wait,
            other => other,
        };
        table.push(("any other", self.otherwise, later));
        table
    }
}

impl Display for Conflicts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let table = self.table();
        let widest = table.iter().map(|(kind, ..)| kind.chars().count()).max();
        let width = widest.unwrap_or_default();
        writeln!(f, "{:width$}  {:11}  started", "other", "not started")?;
        for (kind, before, after) in table {
            writeln!(f, "{kind:width$}  {before:11}  {after}")?;
        }
        Ok(())
    }
}

/// Another intent that excludes one on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    pub(crate) intent: IntentId,
    pub(crate) resource: String,
    pub(crate) rule: Rule,
    /// Kind, account and input are the same.
    pub(crate) is_same: bool,
}

/// What the rules say of an intent whose resources are busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    Reject(Rival),
    Join(Rival),
    /// Waits until these have stopped.
    Supersede(Vec<Rival>),
}

/// Decides about all rivals at once: reject before join before supersede before wait.
pub(crate) fn decide(rivals: &[Rival]) -> Verdict {
    if let Some(rival) = rivals.iter().find(|rival| rival.rule == Rule::Reject) {
        return Verdict::Reject(rival.clone());
    }
    let joins = |rival: &&Rival| rival.rule == Rule::Join && rival.is_same;
    if let Some(rival) = rivals.iter().find(joins) {
        return Verdict::Join(rival.clone());
    }
    let superseded = |rival: &&Rival| matches!(rival.rule, Rule::Supersede | Rule::SupersedeAnyway);
    let superseded: Vec<Rival> = rivals.iter().filter(superseded).cloned().collect();
    if superseded.is_empty() {
        Verdict::Wait
    } else {
        Verdict::Supersede(superseded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn rival(number: u128, rule: Rule) -> Rival {
        Rival {
            intent: IntentId(Uuid::from_u128(number)),
            resource: "server:1".to_owned(),
            rule,
            is_same: number.is_multiple_of(2),
        }
    }

    #[test]
    fn a_rule_for_one_stage_goes_before_one_for_both() {
        let rules = Conflicts::otherwise(Rule::Reject)
            .once_started("a", Rule::Share)
            .with("a", Rule::Supersede);
        assert_eq!(rules.rule("x", "a", Stage::Started), Rule::Share);
        assert_eq!(rules.rule("x", "a", Stage::Waiting), Rule::Supersede);
        assert_eq!(rules.rule("x", "b", Stage::Waiting), Rule::Reject);
    }

    #[test]
    fn no_account_has_the_work_of_another_one_stopped_and_the_house_may() {
        for rule in [Rule::Supersede, Rule::SupersedeAnyway] {
            assert_eq!(rule.between(Some("acme"), Some("acme")), rule);
            assert_eq!(rule.between(Some(""), Some("acme")), rule);
            assert_eq!(rule.between(Some(""), Some("")), rule);
            assert_eq!(rule.between(Some("acme"), Some("other")), Rule::Wait);
            assert_eq!(rule.between(Some("acme"), Some("")), Rule::Wait);
            assert_eq!(rule.between(Some("acme"), None), Rule::Wait);
            assert_eq!(rule.between(None, Some("acme")), Rule::Wait);
            assert_eq!(rule.between(None, None), Rule::Wait);
        }
        // These do nothing to the other one.
        for rule in [Rule::Wait, Rule::Reject, Rule::Join, Rule::Share] {
            assert_eq!(rule.between(Some("acme"), Some("other")), rule);
        }
    }

    #[test]
    fn one_joins_its_own_kind_only_and_a_started_one_only_if_that_is_said() {
        let rules = Conflicts::otherwise(Rule::Join);
        assert_eq!(rules.rule("a", "a", Stage::Waiting), Rule::Join);
        assert_eq!(rules.rule("a", "b", Stage::Waiting), Rule::Wait);
        assert_eq!(rules.rule("a", "a", Stage::Started), Rule::Wait);
        let rules = rules.once_started("a", Rule::Join);
        assert_eq!(rules.rule("a", "a", Stage::Started), Rule::Join);
        assert!(rules.check("a").is_ok());
        assert_eq!(
            rules.check("b").unwrap_err().to_string(),
            "the conflict rules of `b`: it cannot join `a`; only intents of one kind can be the same"
        );
    }

    proptest! {
        #[test]
        fn reject_goes_before_join_before_supersede_before_wait(
            rules in proptest::collection::vec(0..6usize, 0..8)
        ) {
            const ALL: [Rule; 6] = [
                Rule::Wait, Rule::Reject, Rule::Join, Rule::Supersede, Rule::SupersedeAnyway, Rule::Share,
            ];
            let rivals: Vec<Rival> = rules
                .iter()
                .enumerate()
                .map(|(number, rule)| rival(number as u128, ALL[*rule]))
                .collect();
            let has = |wanted: &dyn Fn(&Rival) -> bool| rivals.iter().any(wanted);
            match decide(&rivals) {
                Verdict::Reject(rival) => prop_assert_eq!(rival.rule, Rule::Reject),
                Verdict::Join(rival) => {
                    prop_assert!(rival.is_same && rival.rule == Rule::Join);
                    prop_assert!(!has(&|rival| rival.rule == Rule::Reject));
                }
                Verdict::Supersede(stopped) => {
                    prop_assert!(!stopped.is_empty());
                    prop_assert!(!has(&|rival| rival.rule == Rule::Reject));
                    prop_assert!(!has(&|rival| rival.rule == Rule::Join && rival.is_same));
                }
                Verdict::Wait => {
                    let waits = |rival: &Rival| {
                        matches!(rival.rule, Rule::Wait | Rule::Share)
                            || (rival.rule == Rule::Join && !rival.is_same)
                    };
                    prop_assert!(rivals.iter().all(waits));
                }

            }
        }
    }
}
