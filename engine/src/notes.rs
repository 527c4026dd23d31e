//! Notes: what an attempt leaves beside its output or its error: measurements, its log, what it asks for, and whether there is
//! a checkpoint.
//!
//! They are gathered in memory while the attempt runs and go to the disk with its end, in the same tick; an attempt that
//! leaves none costs nothing there.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::clock::Clock;
use crate::limits;
use crate::secret::Mask;
use crate::store::{LogLine, NewIntent, NoteRow, Once};

/// Name and value.
pub(crate) type Measure = (Arc<str>, f64);

/// What one attempt has to leave so far.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    measures: Mutex<Vec<Measure>>,
    log: OnceLock<Arc<StepLog>>,
    checkpoint: AtomicBool,
    requests: Mutex<Vec<NewIntent>>,
    provided: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// Why a measurement is not kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotKept {
    #[error("a measurement's value is a number, and this is none")]
    NoNumber,
    #[error(
        "a measurement's name has 1 to {} characters, none of them NUL",
        limits::NAME_CHARS
    )]
    Name,
    #[error("an attempt keeps {} measurements at most", limits::MEASURES)]
    TooMany,
}

/// Why an intent is not asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAsked {
    #[error(
        "the step has its result already: what it asks for has to be asked for before `cx.transaction` ends"
    )]
    HasResult,
    #[error("a step asks for {} intents at most", limits::REQUESTS_PER_STEP)]
    TooMany,
    #[error(
        "the inputs of the intents that a step asks for together have {} bytes at most",
        limits::STATEMENT_BYTES
    )]
    TooLarge,
}

impl Notes {
    /// Keeps a request for the step's result.
    pub(crate) fn ask(&self, new: NewIntent) -> Result<(), NotAsked> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |new: &NewIntent| new.input.get().len();
        let asked: usize = requests.iter().map(bytes).sum();
        if requests.len() >= limits::REQUESTS_PER_STEP {
            return Err(NotAsked::TooMany);
        }
        if asked + bytes(&new) > limits::STATEMENT_BYTES {
            return Err(NotAsked::TooLarge);
        }
        requests.push(new);
        Ok(())
    }

    /// Keeps a measurement, in the place of an earlier one of the same name.
    pub(crate) fn measure(&self, name: &str, value: f64) -> Result<(), NotKept> {
        if !value.is_finite() {
            return Err(NotKept::NoNumber);
        }
        if name.is_empty() || name.contains('\0') || name.chars().count() > limits::NAME_CHARS {
            return Err(NotKept::Name);
        }
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = measures.iter_mut().find(|(known, _)| **known == *name) {
            *known = value;
        } else if measures.len() >= limits::MEASURES {
            return Err(NotKept::TooMany);
        } else {
            measures.push((Arc::from(name), value));
        }
        Ok(())
    }

    /// What has been measured so far.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        self.measures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The attempt's log is kept here.
    pub(crate) fn set_log(&self, log: Arc<StepLog>) {
        // Set once, when the attempt's span begins.
        let _ = self.log.set(log);
    }

    /// The attempt's log, if one is kept.
    pub(crate) fn log(&self) -> Option<&Arc<StepLog>> {
        self.log.get()
    }

    /// The step has a checkpoint on disk, or one is on its way there.
    pub(crate) fn set_checkpoint(&self) {
        self.checkpoint.store(true, Ordering::Release);
    }

    pub(crate) fn has_checkpoint(&self) -> bool {
        self.checkpoint.load(Ordering::Acquire)
    }

    /// Something for whoever runs later in this attempt.
    pub(crate) fn provide(&self, value: Arc<dyn Any + Send + Sync>) {
        self.provided
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(value);
    }

    /// What was provided last of this type.
    pub(crate) fn provided<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let provided = self.provided.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = provided.iter().rev();
        latest.find_map(|value| value.clone().downcast::<T>().ok())
    }

    /// What of it goes to the disk with the attempt's end.
    pub(crate) fn row(&self, once: &Once, result: Resulted) -> NoteRow {
        let mut row = self.measured(once);
        row.log = self.log.get().and_then(|log| log.take());
        row.forgets_checkpoint = result != Resulted::No && self.has_checkpoint();
        if result != Resulted::Yes {
            row.requests = Vec::new();
        }
        row
    }

    /// What goes with the result where a step's own transaction records it.
    pub(crate) fn measured(&self, once: &Once) -> NoteRow {
        NoteRow {
            task: once.task,
            intent: once.intent,
            step: once.step.clone(),
            generation: once.generation,
            attempt: once.attempt,
            measures: self.measures(),
            requests: self
                .requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            log: None,
            forgets_checkpoint: self.has_checkpoint(),
        }
    }
}

/// Whether the attempt has ended with a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resulted {
    /// The tick records it.
    Yes,
    /// The step's own transaction has recorded it, with what it asked for.
    Itself,
    No,
}

/// The end of an attempt's log, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines {
    /// An array of [`LogLine`]s.
    pub(crate) json: Arc<str>,
    pub(crate) cut_lines: i64,
    pub(crate) cut_bytes: i64,
}

/// What an attempt logs: its last lines, bounded in number and in bytes. When something fails, the last lines are those
/// that say why, so the first ones go.
#[derive(Debug)]
pub(crate) struct StepLog {
    clock: Arc<dyn Clock>,
    began: Instant,
    mask: Mask,
    tail: Mutex<Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<LogLine>,
    bytes: usize,
    cut_lines: i64,
    cut_bytes: i64,
}

impl StepLog {
    pub(crate) fn new(clock: Arc<dyn Clock>, began: Instant, mask: Mask) -> Self {
        Self {
            clock,
            began,
            mask,
            tail: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, level: &str, target: &str, text: String) {
        let after = self.clock.monotonic().saturating_duration_since(self.began);
        let us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.add(LogLine {
            us,
            level: level.to_owned(),
            target: target.to_owned(),
            text: self.mask.over(&text).into_owned(),
        });
    }

    /// The lines so far; none if nothing was logged.
    pub(crate) fn take(&self) -> Option<Lines> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = std::mem::take(&mut *tail);
        if tail.lines.is_empty() {
            return None;
        }
        let json = serde_json::json!(tail.lines).to_string();
        Some(Lines {
            json: Arc::from(json),
            cut_lines: tail.cut_lines,
            cut_bytes: tail.cut_bytes,
        })
    }
}

impl Tail {
    fn add(&mut self, mut line: LogLine) {
        if line.text.contains('\0') {
            line.text = line.text.replace('\0', "\u{fffd}");
        }
        if line.text.len() > limits::LOG_LINE_BYTES {
            let mut end = limits::LOG_LINE_BYTES;
            while !line.text.is_char_boundary(end) {
                end -= 1;
            }
            self.cut_bytes += (line.text.len() - end) as i64;
            line.text.truncate(end);
            line.text.push('…');
        }
        self.bytes += size(&line);
        self.lines.push_back(line);
        while self.lines.len() > limits::LOG_LINES || self.bytes > limits::LOG_BYTES {
            let Some(first) = self.lines.pop_front() else {
                return;
            };
            self.bytes -= size(&first);
            self.cut_lines += 1;
            self.cut_bytes += size(&first) as i64;
        }
    }
}

fn size(line: &LogLine) -> usize {
    line.text.len() + line.target.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> StepLog {
        StepLog::new(
            Arc::new(crate::clock::SystemClock),
            Instant::now(),
            Mask::default(),
        )
    }

    fn kept(log: &StepLog) -> (Vec<LogLine>, i64, i64) {
        let lines = log.take().unwrap();
        let read = serde_json::from_str(&lines.json).unwrap();
        (read, lines.cut_lines, lines.cut_bytes)
    }

    #[test]
    fn of_a_long_log_the_last_lines_are_kept_and_the_others_are_counted() {
        let log = new();
        assert_eq!(log.take(), None, "who logs nothing leaves nothing");
        for nth in 0..limits::LOG_LINES + 3 {
            log.add("INFO", "t", format!("line {nth:04}"));
        }
        let (lines, cut_lines, cut_bytes) = kept(&log);
        assert_eq!((lines.len(), cut_lines), (limits::LOG_LINES, 3));
        assert_eq!(cut_bytes, 3 * 10);
        assert_eq!(lines[0].text, "line 0003");
        assert_eq!(
            lines[lines.len() - 1].text,
            format!("line {:04}", limits::LOG_LINES + 2)
        );
        assert_eq!(log.take(), None, "what was written is not written again");
    }

    #[test]
    fn a_log_is_bounded_in_bytes_and_so_is_a_line() {
        let log = new();
        log.add("INFO", "t", "é".repeat(limits::LOG_LINE_BYTES));
        log.add("WARN", "t", "a\0b".to_owned());
        let (lines, cut_lines, cut_bytes) = kept(&log);
        assert!(lines[0].text.len() <= limits::LOG_LINE_BYTES + '…'.len_utf8());
        assert!(lines[0].text.ends_with("é…"));
        assert_eq!((cut_lines, cut_bytes), (0, limits::LOG_LINE_BYTES as i64));
        assert_eq!(lines[1].text, "a\u{fffd}b");

        let line = "x".repeat(limits::LOG_LINE_BYTES);
        for _ in 0..2 * limits::LOG_BYTES / line.len() {
            log.add("INFO", "t", line.clone());
        }
        let (lines, cut_lines, cut_bytes) = kept(&log);
        let bytes: usize = lines.iter().map(size).sum();
        assert!(bytes <= limits::LOG_BYTES && bytes > limits::LOG_BYTES / 2);
        assert_eq!(cut_bytes, cut_lines * size(&lines[0]) as i64);
        assert_eq!(
            cut_lines as usize + lines.len(),
            2 * limits::LOG_BYTES / line.len()
        );
    }

    #[test]
    fn measurements_are_numbers_with_names_and_bounded() {
        let notes = Notes::default();
        assert_eq!(notes.measure("rows", f64::NAN), Err(NotKept::NoNumber));
        assert_eq!(notes.measure("rows", f64::INFINITY), Err(NotKept::NoNumber));
        assert_eq!(notes.measure("", 1.0), Err(NotKept::Name));
        assert_eq!(notes.measure("a\0b", 1.0), Err(NotKept::Name));
        let long = "é".repeat(limits::NAME_CHARS);
        assert_eq!(notes.measure(&long, 1.0), Ok(()));
        assert_eq!(notes.measure(&format!("{long}é"), 1.0), Err(NotKept::Name));
        assert_eq!(notes.measure("rows", 1.0), Ok(()));
        assert_eq!(notes.measure("rows", 2.0), Ok(()));
        assert_eq!(notes.measures()[1], (Arc::from("rows"), 2.0));
        for nth in 2..limits::MEASURES {
            assert_eq!(notes.measure(&format!("m{nth}"), 0.0), Ok(()));
        }
        assert_eq!(notes.measure("one more", 0.0), Err(NotKept::TooMany));
        assert_eq!(
            notes.measure("rows", 3.0),
            Ok(()),
            "a known one is no more than one"
        );
    }
}
