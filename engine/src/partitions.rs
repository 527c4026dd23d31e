//! Partitions: queues whose tasks are told apart, by account or by something else, and take turns. Pure functions.
//!
//! A queue serves in the order of requests, so who asks for a hundred thousand intents at once has everybody else wait behind
//! them. In a queue that is partitioned, a claim goes from one partition to the next and takes what is first in each; what
//! one partition does not use goes to the others, so nothing stands idle. A partition can have a limit, too: so many of its
//! tasks are in the hands of workers at once, and no more.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;

/// By what the tasks of a queue are told apart, and how many of one partition workers may have in hand at once: see
/// [`Intendant::partition_queue`](crate::Intendant::partition_queue).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitions {
    by: String,
    at_once: Option<u32>,
}

impl Partitions {
    /// By the account that an intent is for.
    pub fn by_account() -> Self {
        Self::by("account".to_owned())
    }

    /// By a resource of a type, in whatever mode: `server`. Of several that an intent names, it is the first by name.
    pub fn by_resource(kind: &str) -> Self {
        Self::by(format!("resource:{kind}"))
    }

    /// By a field of an intent's input: `/customer/id`. A string is taken as it is, anything else as its JSON; of either, the
    /// first 200 characters count.
    pub fn by_input(path: &str) -> Self {
        Self::by(format!("input:{path}"))
    }

    fn by(by: String) -> Self {
        Self { by, at_once: None }
    }

    /// The limit of each partition.
    pub fn limit(&self) -> Option<u32> {
        self.at_once
    }

    /// No more than so many tasks of one partition are in the hands of workers at once, all of them together. An intent is a
    /// task as long as a worker has it in hand, which it has not while it waits for a time, a message, a child or a resource;
    /// a step in another queue is one of that queue. What cannot be told apart has no limit: of an intent without an account
    /// in a queue by accounts nobody can say whose turn it is.
    pub fn at_once(mut self, tasks: u32) -> Self {
        self.at_once = Some(tasks);
        self
    }

    /// What was said, and how it is kept.
    pub(crate) fn checked(&self) -> Result<(Arc<str>, Option<i64>), Error> {
        let is_name = |name: &str| {
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            (1..=100).contains(&name.len()) && name.chars().all(plain)
        };
        let is_field =
            |name: &str| is_name(name) && !name.chars().all(|c| c.is_ascii_digit() || c == '-');
        if let Some(kind) = self.by.strip_prefix("resource:")
            && !is_name(kind)
        {
            return Err(refused(kind, "a type of resource, such as `server`"));
        }
        if let Some(path) = self.by.strip_prefix("input:") {
            let fields = path.strip_prefix('/').unwrap_or_default();
            if path.len() > 200 || !fields.split('/').all(is_field) {
                let limit = "names of fields of the input, such as `/customer/id`";
                return Err(refused(path, limit));
            }
        }
        match self.at_once {
            Some(0) => Err(refused("0 at once", "1 or more; pause the queue instead")),
            at_once => Ok((self.by.as_str().into(), at_once.map(i64::from))),
        }
    }
}

fn refused(found: &str, limit: &str) -> Error {
    Error::Limit {
        what: "what a queue is partitioned by",
        found: format!("`{found}`"),
        limit: limit.to_owned(),
    }
}

/// By what tasks are told apart, as people write it: `account`, `resource:server`, `input:/customer/id`.
impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.by)
    }
}

impl FromStr for Partitions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let partitions = match text.split_once(':') {
            None if text == "account" => Self::by_account(),
            Some(("resource", kind)) => Self::by_resource(kind),
            Some(("input", path)) => Self::by_input(path),
            _ => {
                let limit = "`account`, `resource:TYPE` or `input:/FIELD/FIELD`";
                return Err(refused(text, limit));
            }
        };
        partitions.checked().map(|_| partitions)
    }
}

/// A partition that has something in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hand {
    pub(crate) name: Arc<str>,
    /// How many more of its tasks may be taken in hand.
    pub(crate) free: usize,
}

impl Hand {
    /// A partition of whose tasks so many are in hand. What cannot be told apart has no limit.
    pub(crate) fn new(name: Arc<str>, lent: i64, limit: Option<i64>) -> Self {
        let free = match limit {
            Some(limit) if !name.is_empty() => usize::try_from(limit - lent).unwrap_or_default(),
            Some(_) | None => usize::MAX,
        };
        Self { name, free }
    }
}

/// One round of turns: how many tasks each of these partitions gives, in their order, of which there is room for `room`
/// together. All give the same, as far as they may; where there is not one for each, the first give one.
pub(crate) fn round(hands: &[Hand], room: usize) -> Vec<(Arc<str>, usize)> {
    let able: Vec<&Hand> = hands.iter().filter(|hand| hand.free > 0).collect();
    let each = (room / able.len().max(1)).max(1);
    let given = able.into_iter().take(room);
    given
        .map(|hand| (hand.name.clone(), each.min(hand.free)))
        .collect()
}

/// Who may give more in another round: those who were not asked, and then those who gave all that they were asked for.
pub(crate) fn rest(
    hands: Vec<Hand>,
    asked: &[(Arc<str>, usize)],
    took: impl Fn(&str) -> usize,
) -> Vec<Hand> {
    let is_asked = |hand: &Hand| asked.iter().any(|(name, _)| *name == hand.name);
    let (again, mut rest): (Vec<Hand>, Vec<Hand>) = hands.into_iter().partition(is_asked);
    rest.extend(again.into_iter().filter_map(|hand| {
        let (_, most) = asked.iter().find(|(name, _)| *name == hand.name)?;
        let took = took(&hand.name);
        (took >= *most).then(|| Hand {
            free: hand.free.saturating_sub(took),
            ..hand
        })
    }));
    rest
}

/// From where on the next claim looks: after the last one whose turn it was.
pub(crate) fn after(name: &str) -> Arc<str> {
    format!("{name}\u{1}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn hand(name: &str, free: usize) -> Hand {
        Hand {
            name: name.into(),
            free,
        }
    }

    #[test]
    fn what_a_queue_is_partitioned_by_is_checked() {
        let is_said = |partitions: Partitions| partitions.checked().is_ok();
        assert!(is_said(Partitions::by_account().at_once(3)));
        assert!(is_said(Partitions::by_resource("server")));
        assert!(is_said(Partitions::by_input("/customer/id")));
        assert!(!is_said(Partitions::by_account().at_once(0)));
        assert!(!is_said(Partitions::by_resource("a:b")));
        assert!(!is_said(Partitions::by_resource("")));
        for text in ["account", "resource:server", "input:/customer/id"] {
            assert_eq!(text.parse::<Partitions>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "none",
            "accounts",
            "resource:",
            "input:",
            "input:id",
            "label:x",
        ] {
            assert!(text.parse::<Partitions>().is_err(), "{text}");
        }
        for path in [
            "", "customer", "/", "/a//b", "/a/0", "/a/-1", "/a/\"", "/a~1b",
        ] {
            assert!(!is_said(Partitions::by_input(path)), "{path}");
        }
    }

    #[test]
    fn partitions_with_a_limit_are_passed_by_while_they_are_full() {
        let hands = [
            Hand::new("ada".into(), 2, Some(2)),
            Hand::new("bob".into(), 1, Some(2)),
            Hand::new("".into(), 9, Some(2)),
        ];
        let names = round(&hands, 10);
        assert_eq!(names, [("bob".into(), 1), ("".into(), 5)]);
    }

    #[test]
    fn where_there_is_not_one_for_each_the_first_have_their_turn() {
        let hands = [hand("ada", 9), hand("bob", 9), hand("eve", 9)];
        assert_eq!(round(&hands, 2), [("ada".into(), 1), ("bob".into(), 1)]);
    }

    proptest! {
        /// Rounds are played until there is no room, or nothing: nobody gets less than an equal share while somebody else
        /// gets more, no limit is passed, and nothing stands idle.
        #[test]
        fn turns_are_fair_and_nothing_stands_idle(
            waiting in prop::collection::vec((0_usize..40, 0_usize..10), 1..12),
            room in 1_usize..64,
        ) {
            let mut hands: Vec<Hand> = Vec::new();
            let mut left: HashMap<Arc<str>, usize> = HashMap::new();
            let mut may: HashMap<Arc<str>, usize> = HashMap::new();
            for (index, (waits, free)) in waiting.iter().enumerate() {
                let name: Arc<str> = format!("p{index}").into();
                hands.push(Hand { name: name.clone(), free: *free });
                left.insert(name.clone(), *waits);
                may.insert(name, *free.min(waits));
            }
            let mut got: HashMap<Arc<str>, usize> = HashMap::new();
            let mut free = room;
            while free > 0 {
                let asked = round(&hands, free);
                let mut took: HashMap<Arc<str>, usize> = HashMap::new();
                for (name, most) in &asked {
                    let waits = left.get_mut(name).unwrap();
                    let taken = (*most).min(*waits);
                    *waits -= taken;
                    free -= taken;
                    took.insert(name.clone(), taken);
                    *got.entry(name.clone()).or_default() += taken;
                }
                hands = rest(hands, &asked, |name| took.get(name).copied().unwrap_or_default());
                if hands.is_empty() || asked.is_empty() {
                    break;
                }
            }
            let all: usize = may.values().sum();
            prop_assert_eq!(got.values().sum::<usize>(), all.min(room));
            let most = got.values().copied().max().unwrap_or_default();
            for (name, may) in may {
                let got = got.get(&name).copied().unwrap_or_default();
                prop_assert!(got <= may);
                // Whoever got less than half of somebody else had no more.
                prop_assert!(got == may || got * 2 + 1 >= most, "{got} of {may}, {most}");
            }
        }
    }
}
