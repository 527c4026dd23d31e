//! Topic: what is told together. Nine thousand failures for one reason are one message with a count.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::AlertKind;
use super::judge::Found;
use crate::clock::Micros;
use crate::failures::without_numbers;
use crate::id::IntentId;
use crate::limits;

/// So many of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) topic: String,
    pub(crate) kind: AlertKind,
    pub(crate) intent_kind: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) worker: Option<String>,
    pub(crate) newest: Option<IntentId>,
    pub(crate) text: String,
    pub(crate) count: u64,
    /// None: now.
    pub(crate) since: Option<Micros>,
    pub(crate) last: Option<Micros>,
}

/// A failure that is to be told of.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) intent: IntentId,
    pub(crate) kind: String,
    pub(crate) step: Option<String>,
    pub(crate) error: String,
    pub(crate) at: Micros,
}

/// Groups that are being counted, by topic.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// Topics that there are already, and how many of each kind of intents.
    known: HashSet<String>,
    of_kind: HashMap<String, usize>,
    news: BTreeMap<String, News>,
}

impl Topics {
    /// With the topics that are there, each with its kind of intents.
    pub(crate) fn new(known: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut topics = Self::default();
        for (topic, kind) in known {
            *topics.of_kind.entry(kind).or_default() += 1;
            topics.known.insert(topic);
        }
        topics
    }

    /// Counts an alert that has been raised.
    pub(crate) fn raised(&mut self, alert: &Found) {
        let place = alert.queue.as_deref().unwrap_or_default();
        let step = alert.step.as_deref().map(without_numbers);
        let step = step.unwrap_or_default();
        self.add(News {
            topic: name(alert.kind, alert.intent_kind.as_deref(), &step, place),
            kind: alert.kind,
            intent_kind: alert.intent_kind.clone(),
            step: alert.step.clone(),
            queue: alert.queue.clone(),
            worker: alert.worker.clone(),
            newest: alert.intent,
            text: alert.text.clone(),
            count: 1,
            since: None,
            last: None,
        });
    }

    /// Counts a failure.
    pub(crate) fn failed(&mut self, failed: Failed) {
        let kind = AlertKind::Failure;
        let step = failed.step.as_deref().map(without_numbers);
        let why = without_numbers(&failed.error);
        self.add(News {
            topic: name(kind, Some(&failed.kind), &step.unwrap_or_default(), &why),
            kind,
            intent_kind: Some(failed.kind),
            step: failed.step,
            queue: None,
            worker: None,
            newest: Some(failed.intent),
            text: failed.error,
            count: 1,
            since: Some(failed.at),
            last: Some(failed.at),
        });
    }

    fn add(&mut self, mut news: News) {
        if !self.known.contains(&news.topic) {
            let kind = news.intent_kind.clone().unwrap_or_default();
            let of_kind = self.of_kind.entry(kind).or_default();
            if *of_kind >= limits::TOPICS_PER_KIND {
                // Errors that are all different: one topic for what is left of the kind.
                news.topic = name(news.kind, news.intent_kind.as_deref(), "", "…");
            } else {
                *of_kind += 1;
            }
            self.known.insert(news.topic.clone());
        }
        match self.news.get_mut(&news.topic) {
            None => {
                self.news.insert(news.topic.clone(), news);
            }
            Some(known) => {
                let (count, since) = (known.count + 1, known.since.min(news.since));
                if news.last >= known.last {
                    *known = news;
                }
                (known.count, known.since) = (count, since);
            }
        }
    }

    pub(crate) fn into_news(self) -> Vec<News> {
        self.news.into_values().collect()
    }
}

/// A topic's name: bounded, since it is a key, and different for what is to be told apart.
fn name(kind: AlertKind, intent_kind: Option<&str>, step: &str, rest: &str) -> String {
    let rest: String = rest.chars().take(limits::NAME_CHARS).collect();
    let intent_kind = intent_kind.unwrap_or_default();
    format!("{kind}/{intent_kind}/{step}/{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(nth: u128, error: String) -> Failed {
        Failed {
            intent: IntentId(uuid::Uuid::from_u128(nth)),
            kind: "replica.add".to_owned(),
            step: Some("attach".to_owned()),
            error,
            at: Micros(i64::try_from(nth).unwrap()),
        }
    }

    #[test]
    fn nine_thousand_failures_are_one_message_with_a_count() {
        let mut topics = Topics::default();
        for nth in 0..9_000 {
            topics.failed(failed(nth, format!("connect to 10.0.0.{nth}: refused")));
        }
        topics.failed(failed(9_000, "no such volume".to_owned()));
        let news = topics.into_news();
        let counts: Vec<_> = news.iter().map(|news| news.count).collect();
        assert_eq!(counts, [9_000, 1]);
        assert_eq!(news[0].text, "connect to 10.0.0.8999: refused");
        assert_eq!(
            (news[0].since, news[0].last),
            (Some(Micros(0)), Some(Micros(8_999)))
        );
    }

    #[test]
    fn errors_that_are_all_different_become_no_endless_list() {
        let mut topics = Topics::default();
        let words = |nth: u128| -> String {
            let letter = |n: u128| char::from(b'a' + u8::try_from(n % 26).unwrap());
            [nth, nth / 26, nth / 676].map(letter).iter().collect()
        };
        for nth in 0..5_000 {
            topics.failed(failed(nth, words(nth)));
        }
        let news = topics.into_news();
        assert_eq!(news.len(), limits::TOPICS_PER_KIND + 1);
        assert_eq!(news.iter().map(|news| news.count).sum::<u64>(), 5_000);
        // What there is already has no need of room.
        let mut topics = Topics::new(news.iter().map(|n| (n.topic.clone(), "replica.add".into())));
        topics.failed(failed(7, words(7)));
        assert_eq!(
            topics.into_news()[0].topic,
            "failure/replica.add/attach/haa"
        );
    }
}
