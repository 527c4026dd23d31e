//! As much of PostgreSQL's wire protocol as it takes to see messages, statements and transactions:
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::collections::HashMap;
use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What a transaction is for, by the engine's statements in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Anything else.
    Other,
    /// A look at what became of a tick or of a step's transaction, or a tick that is refused.
    Look,
    /// A cancel.
    Cancel,
    /// A request.
    Request,
    /// Ticks of a schedule, or what a person does to one.
    Schedule,
    /// A step's own transaction.
    Step,
    /// A tick of a worker.
    Tick,
}

impl Sort {
    fn of(sql: &str) -> Self {
        if sql.contains("update intendant.session set tick") {
            Self::Tick
        } else if sql.contains("for key share of s") {
            Self::Step
        } else if sql.contains("with recursive family") {
            Self::Cancel
        } else if sql.contains("update intendant.schedule")
            || sql.contains("delete from intendant.schedule_tick\n")
        {
            Self::Schedule
        } else if sql.contains("insert into intendant.intent") {
            Self::Request
        } else if sql.contains("select tick from intendant.session") {
            Self::Look
        } else {
            Self::Other
        }
    }
}

/// Bytes as they come, cut into messages: a letter, a length that counts itself, and what belongs to it.
#[derive(Default)]
pub(crate) struct Messages(Vec<u8>);

impl Messages {
    /// Reads what there is. Can be dropped at any time without losing anything.
    pub(crate) async fn read(&mut self, from: &mut TcpStream) -> io::Result<()> {
        if from.read_buf(&mut self.0).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let length = self.0.get(1..5)?.try_into().ok().map(u32::from_be_bytes)?;
        let end = 1 + length as usize;
        (self.0.len() >= end).then(|| self.0.drain(..end).collect())
    }
}

/// What the proxy knows of a client's connection.
pub(crate) struct Session {
    /// Prepared statements by name.
    statements: HashMap<Vec<u8>, Sort>,
    /// What the open transaction is for, as far as it has gone.
    pub(crate) sort: Sort,
    /// Between BEGIN and COMMIT.
    open: bool,
    /// The statement that is sent commits by itself.
    alone: bool,
    /// It has begun with the fence of a tick. One in which nothing follows is a tick that was refused.
    fenced: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            statements: HashMap::new(),
            sort: Sort::Other,
            open: false,
            alone: false,
            fenced: false,
        }
    }
}

impl Session {
    /// Takes in a message of the client's, and tells whether it commits something. sqlx sends BEGIN and COMMIT as simple
    /// queries, all else as prepared ones. A request by itself is a statement outside of a transaction, which the Sync
    /// after it commits.
    pub(crate) fn is_commit(&mut self, message: &[u8]) -> bool {
        let mut texts = message[5..].split(|byte| *byte == 0);
        let (first, second) = (
            texts.next().unwrap_or_default(),
            texts.next().unwrap_or_default(),
        );
        match message[0] {
            b'Q' => {
                if first.len() >= 5 && first[..5].eq_ignore_ascii_case(b"begin") {
                    (self.sort, self.fenced, self.open) = (Sort::Other, false, true);
                } else {
                    (self.fenced, self.open) = (false, false);
                }
                first.eq_ignore_ascii_case(b"commit")
            }
            b'P' => {
                let sort = Sort::of(&String::from_utf8_lossy(second));
                self.statements.insert(first.to_vec(), sort);
                false
            }
            b'B' => {
                let known = self.statements.get(second).copied();
                let sort = match known.unwrap_or(Sort::Other) {
                    _ if self.fenced => Sort::Tick,
                    Sort::Tick => Sort::Look,
                    sort => sort,
                };
                self.fenced |= known == Some(Sort::Tick);
                self.alone = !self.open && sort == Sort::Request;
                self.sort = if self.open { self.sort.max(sort) } else { sort };
                false
            }
            b'S' => std::mem::take(&mut self.alone),
            _ => false,
        }
    }
}
