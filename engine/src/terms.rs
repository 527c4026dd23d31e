//! Terms: what a request says beside its intent, whether it has the intent's type or only its kind's name.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{Micros, micros};
use crate::error::Error;
use crate::intent::check_name;
use crate::limits;
use crate::payload;
use crate::store::{Deadline, NewIntent, Start};
use crate::trace::{self, TraceParent};

/// Who asks, under which key, how urgently, from when on.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) requested_by: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) priority: i32,
    pub(crate) start: Start,
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<TraceParent>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) deadline: Option<Deadline>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            requested_by: None,
            key: None,
            priority: 0,
            start: Start::Now,
            correlation_id: None,
            traceparent: None,
            labels: Vec::new(),
            deadline: None,
        }
    }
}

impl Terms {
    pub(crate) fn start_at(&mut self, time: DateTime<Utc>) {
        self.start = Start::At(Micros(time.timestamp_micros()));
    }

    pub(crate) fn deadline_at(&mut self, time: DateTime<Utc>) {
        self.deadline = Some(Deadline::At(Micros(time.timestamp_micros())));
    }

    /// A name that is given twice keeps the later value.
    pub(crate) fn label(&mut self, name: String, value: String) {
        self.labels.retain(|(known, _)| *known != name);
        self.labels.push((name, value));
    }

    /// Checks everything that can be checked before the database is asked, and puts it into the intent's row.
    pub(crate) fn apply(self, mut new: NewIntent, now_us: i64) -> Result<NewIntent, Error> {
        if let Some(who) = &self.requested_by {
            check_name("requester", who)?;
        }
        if let Some(correlation) = &self.correlation_id {
            check_name("correlation id", correlation)?;
        }
        if self.labels.len() > limits::LABELS {
            return Err(Error::Limit {
                what: "the number of labels",
                found: self.labels.len().to_string(),
                limit: limits::LABELS.to_string(),
            });
        }
        for (name, value) in &self.labels {
            check_name("label", name)?;
            check_name("label's value", value)?;
        }
        if !(-limits::PRIORITY..=limits::PRIORITY).contains(&self.priority) {
            return Err(Error::Limit {
                what: "the priority",
                found: self.priority.to_string(),
                limit: format!("-{0} to {0}", limits::PRIORITY),
            });
        }
        let later = match self.start {
            Start::Now => 0,
            Start::In(time) => micros(time),
            Start::At(Micros(at)) => at.saturating_sub(now_us),
        };
        check_future("the start time", later)?;
        let due = match self.deadline.or(new.deadline) {
            None => 0,
            Some(Deadline::In(time)) => micros(time),
            Some(Deadline::At(Micros(at))) => at.saturating_sub(now_us),
        };
        check_future("the deadline", due)?;
        if let Some(key) = self.key {
            check_name("key", &key)?;
            let hash = payload::canonical_hash(&[&new.kind], &new.input);
            new.key = Some((key, hash));
        }
        new.requested_by = self.requested_by;
        new.priority = self.priority;
        new.start = self.start;
        let caller = self.traceparent.or_else(trace::here);
        let trace = caller.map(|trace| trace.trace_id());
        new.correlation_id = self.correlation_id.or(trace);
        new.traceparent = caller;
        new.labels = self.labels;
        new.deadline = self.deadline.or(new.deadline);
        Ok(new)
    }
}

fn check_future(what: &'static str, from_now_us: i64) -> Result<(), Error> {
    if from_now_us <= micros(limits::FUTURE) {
        return Ok(());
    }
    Err(Error::Limit {
        what,
        found: format!(
            "{:?} from now",
            Duration::from_micros(from_now_us.unsigned_abs())
        ),
        limit: "ten years from now".to_owned(),
    })
}
