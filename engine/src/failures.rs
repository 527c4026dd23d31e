//! Failures in groups: what failed for the same reason is one line with a count, not nine thousand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::Intendant;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::store::{Failed, IntentFilter};

/// How many looks are taken at most. The newest [`limits::FAILURES`] take a tenth of them where all of them match; where few do, a
/// look goes back through [`limits::LOOK_BACK`] intents and may find none.
const LOOKS: usize = 100;

/// Failed intents of one kind that say the same of why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FailureGroup {
    /// How many they are.
    pub count: u64,
    /// What sort of operation.
    pub kind: String,
    /// Why they failed, in a word.
    pub reason: String,
    /// In which step.
    pub step: Option<String>,
    /// Why, in a line, as the newest of them says it. The others differ from it in numbers at most.
    pub error: String,
    /// When the first of them failed.
    pub since: DateTime<Utc>,
    /// When the last one did.
    pub last: DateTime<Utc>,
    /// The newest of them.
    pub newest: IntentId,
}

/// How often operations of one kind have failed, for whatever reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FailedKind {
    /// What sort of operation.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// When the first of them failed.
    pub since: DateTime<Utc>,
}

/// What has failed, and is failed still.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Failures {
    /// The largest group first.
    pub groups: Vec<FailureGroup>,
    /// The same by kind alone, the most failing first.
    pub kinds: Vec<FailedKind>,
    /// There are older ones that were not looked at.
    pub more: bool,
}

impl Intendant {
    /// What has failed and is failed still, in groups by kind, step and error: the newest [`limits::FAILURES`] of those that
    /// match the filter, whose limit and state are not looked at. What no index finds is looked for a bounded way back, and
    /// [`Failures::more`] says that there may be older ones.
    ///
    /// ```
    /// # use intendant::{Intendant, IntentFilter};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let intendant = Intendant::open("sqlite::memory:").await?;
    /// for group in intendant.failures(IntentFilter::default()).await?.groups {
    ///     println!("{} × {} in {}", group.count, group.error, group.kind);
    /// }
    /// # Ok::<(), intendant::Error>(()) }).unwrap();
    /// ```
    pub async fn failures(&self, filter: IntentFilter) -> Result<Failures, Error> {
        let mut filter = IntentFilter {
            limit: Some(limits::PAGE),
            ..filter
        };
        let (mut groups, mut looked, mut looks) = (Groups::default(), 0, 0);
        loop {
            let page = self.store().failed(filter.clone()).await?;
            looked += page.failed.len();
            looks += 1;
            page.failed.into_iter().for_each(|one| groups.add(one));
            let more = page.next.is_some();
            if !more || looked >= limits::FAILURES || looks >= LOOKS {
                let groups = groups.sorted();
                let kinds = by_kind(&groups);
                return Ok(Failures {
                    groups,
                    kinds,
                    more,
                });
            }
            filter.before = page.next;
        }
    }
}

/// Groups that are being counted.
#[derive(Debug, Default)]
struct Groups(HashMap<(String, Option<String>, String), FailureGroup>);

impl Groups {
    fn add(&mut self, failed: Failed) {
        let key = (
            failed.kind.clone(),
            failed.step.as_deref().map(without_numbers),
            without_numbers(&failed.error),
        );
        let group = self.0.entry(key).or_insert_with(|| FailureGroup {
            count: 0,
            kind: failed.kind,
            reason: failed.reason,
            step: failed.step,
            error: failed.error,
            since: failed.at,
            last: failed.at,
            newest: failed.id,
        });
        group.count += 1;
        group.since = group.since.min(failed.at);
        group.last = group.last.max(failed.at);
    }

    fn sorted(self) -> Vec<FailureGroup> {
        let mut groups: Vec<_> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.count, group.newest)));
        groups
    }
}

/// The most failing kind first.
fn by_kind(groups: &[FailureGroup]) -> Vec<FailedKind> {
    let mut kinds: HashMap<&str, FailedKind> = HashMap::new();
    for group in groups {
        let kind = kinds.entry(&group.kind).or_insert_with(|| FailedKind {
            kind: group.kind.clone(),
            count: 0,
            since: group.since,
        });
        kind.count += group.count;
        kind.since = kind.since.min(group.since);
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort_by(|a, b| (b.count, &a.kind).cmp(&(a.count, &b.kind)));
    kinds
}

/// An error without what makes each of its kind another one: numbers, and words that have digits in them, as ids and
/// addresses do. Only its first line.
pub(crate) fn without_numbers(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    let mut text = String::with_capacity(line.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '.';
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, more) = rest.split_at(end);
        match word.chars().any(|c| c.is_ascii_digit()) {
            true => text.push('#'),
            false => text.push_str(word),
        }
        let end = more.find(is_word).unwrap_or(more.len());
        let (between, more) = more.split_at(end);
        text.push_str(between);
        rest = more;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_alike_that_differ_in_numbers_and_ids() {
        let alike = |a: &str, b: &str| without_numbers(a) == without_numbers(b);
        assert!(alike(
            "connect to 10.0.0.7:5432: refused",
            "connect to 10.0.12.1:80: refused"
        ));
        assert!(alike("no volume vol-0a1b", "no volume vol-99"));
        assert!(alike("element resize[3] of 17", "element resize[12] of 4"));
        assert!(alike("broken\nat line 7", "broken\nin another way"));
        assert!(!alike("connection refused", "connection reset"));
        assert!(!alike("no volume", "no server"));
        assert_eq!(without_numbers("größe 12 µm — é"), "größe # µm — é");
        assert_eq!(without_numbers(""), "");
    }
}
