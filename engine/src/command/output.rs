//! What a program writes: its last part is kept, all of it is read, and the lines of its standard error go to the step's log.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::limits;
use crate::notes::StepLog;

/// What came of a program that ended well.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CommandOutput {
    /// Its exit code, one of those that count as success.
    pub code: i32,
    /// The end of what it has written to its standard output.
    pub stdout: Captured,
    /// The end of what it has written to its standard error.
    pub stderr: Captured,
    /// How long it ran.
    pub took: Duration,
}

/// The end of what a program has written, up to the command's limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    pub(super) bytes: Vec<u8>,
    pub(super) left_out: u64,
}

impl Captured {
    /// The bytes that were kept, the last ones.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// How many bytes before those were not kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The last lines, bounded in number and size: for an error.
    pub(super) fn last_lines(&self) -> String {
        let from = self.bytes.len().saturating_sub(limits::PROGRAM_LAST_BYTES);
        let end = String::from_utf8_lossy(&self.bytes[from..]);
        let lines: Vec<&str> = end.trim_end().lines().collect();
        let first = lines.len().saturating_sub(limits::PROGRAM_LAST_LINES);
        lines[first..].join("\n")
    }
}

/// What has been read of one of a program's pipes so far. It is here and not in the task that reads, since that is given up
/// where somebody keeps the pipe open.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    left_out: u64,
}

impl Tail {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Captured {
        let kept = std::mem::take(&mut *self.kept());
        Captured {
            bytes: kept.bytes.into(),
            left_out: kept.left_out,
        }
    }

    fn add(&self, bytes: &[u8], limit: usize) {
        let mut kept = self.kept();
        let new = &bytes[bytes.len().saturating_sub(limit)..];
        let over = (kept.bytes.len() + new.len()).saturating_sub(limit);
        kept.bytes.drain(..over);
        kept.bytes.extend(new);
        kept.left_out += (over + bytes.len() - new.len()) as u64;
    }

    /// Reads a pipe to its end, so that whoever writes never waits for us.
    pub(super) async fn read(
        self,
        mut pipe: impl AsyncRead + Unpin,
        limit: usize,
        mut lines: Option<Lines>,
    ) -> io::Result<()> {
        // A pipe has 64 KiB: no more is ever there.
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = pipe.read(&mut buffer).await?;
            let new = &buffer[..read];
            self.add(new, limit);
            match &mut lines {
                Some(lines) if read == 0 => lines.end(),
                Some(lines) => lines.add(new),
                None => {}
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

/// Makes lines of a program's standard error for the step's log, in which they stand under the program's name. Past
/// `tracing`: a program that writes a gigabyte fills the step's log, which is bounded, and not the worker's.
#[derive(Debug)]
pub(super) struct Lines {
    log: Arc<StepLog>,
    program: String,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn new(log: Arc<StepLog>, program: String) -> Self {
        let line = Vec::new();
        Self { log, program, line }
    }

    fn add(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            // One byte more than a line may have, so that the log sees that it is cut.
            let room = (limits::LOG_LINE_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end();
            }
        }
    }

    /// Of a line, the last one even if nothing ends it.
    fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() {
            self.log.add("INFO", &self.program, text.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_last_part_is_kept_and_the_rest_is_counted() {
        let tail = Tail::default();
        tail.add(b"abc", 5);
        tail.add(b"defg", 5);
        let kept = |bytes: &[u8], left_out| Captured {
            bytes: bytes.to_vec(),
            left_out,
        };
        assert_eq!(tail.take(), kept(b"cdefg", 2));
        tail.add(b"0123456789", 4);
        assert_eq!(tail.take(), kept(b"6789", 6));
        tail.add(b"abc", 0);
        assert_eq!(tail.take(), kept(b"", 3));
    }

    #[test]
    fn an_error_has_the_last_lines() {
        let mut captured = Captured::default();
        assert_eq!(captured.last_lines(), "");
        for line in 0..100 {
            captured.bytes.extend(format!("line {line}\n").bytes());
        }
        let lines = captured.last_lines();
        assert!(
            lines.starts_with("line 90\n") && lines.ends_with("\nline 99"),
            "{lines}"
        );
        captured.bytes = vec![b'x'; 3 * limits::PROGRAM_LAST_BYTES];
        assert_eq!(captured.last_lines().len(), limits::PROGRAM_LAST_BYTES);
    }

    #[test]
    fn lines_are_put_together_and_cut() {
        let log = Arc::new(StepLog::new(
            Arc::new(crate::clock::SystemClock),
            Instant::now(),
            crate::secret::Mask::default(),
        ));
        let mut lines = Lines::new(log.clone(), "cc".to_owned());
        lines.add(b"one\nt");
        lines.add(b"wo\n\n");
        lines.add(&vec![b'x'; 10 * limits::LOG_LINE_BYTES]);
        lines.add(b"y\nlast \xff");
        lines.end();
        let kept: Vec<crate::LogLine> = serde_json::from_str(&log.take().unwrap().json).unwrap();
        let texts: Vec<&str> = kept.iter().map(|line| line.text.as_str()).collect();
        let long = format!("{}…", "x".repeat(limits::LOG_LINE_BYTES));
        assert_eq!(texts, ["one", "two", &long, "last \u{fffd}"]);
        assert_eq!(
            (kept[0].level.as_str(), kept[0].target.as_str()),
            ("INFO", "cc")
        );
    }
}
