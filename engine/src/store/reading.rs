//! Reading: a row is read as far as it can be read, and says what of it cannot (promise 7).
//!
//! Rows may hold anything: SQLite keeps bytes in a text column that are no text, JSON columns have another shape than
//! the code that reads them, a disk or a hand has changed them. Whoever reads the rows of many intents at once must not
//! stop for one of them. So what cannot be read gets a stand-in, and the reading keeps the first column that it was; the
//! caller decides what becomes of the intent: one that is claimed fails with it ([`Unfit`]), a list shows it.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::conn::Row;
use crate::clock::Micros;
use crate::error::Error;
use crate::id::IntentId;
use crate::payload::Payload;
use crate::state::FailureReason;

/// A row that is being read, by position.
pub(super) struct Reading<'r> {
    row: &'r Row,
    /// The table that has the columns which are read now.
    table: &'static str,
    unreadable: Option<String>,
}

impl<'r> Reading<'r> {
    /// Begins with the columns of this table.
    pub(super) fn of(row: &'r Row, table: &'static str) -> Self {
        Self {
            row,
            table,
            unreadable: None,
        }
    }

    /// Goes on with the columns of another table.
    pub(super) fn table(&mut self, table: &'static str) -> &mut Self {
        self.table = table;
        self
    }

    /// What the first column that cannot be read is, and why it cannot.
    pub(super) fn unreadable(self) -> Option<String> {
        self.unreadable
    }

    /// Whether a column can be read, whatever came before it.
    fn note(&mut self, index: usize, error: impl std::fmt::Display) {
        let (table, column) = (self.table, self.row.column(index));
        self.unreadable
            .get_or_insert_with(|| format!("`{column}` in its row of *{table}*: {error}"));
    }

    fn take<T>(&mut self, index: usize, read: Result<T, Error>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(index, cause(&error));
                None
            }
        }
    }

    /// An id; nobody's where it is none.
    pub(super) fn uuid<I: From<Uuid>>(&mut self, index: usize) -> I {
        self.take(index, self.row.uuid(index))
            .unwrap_or_else(|| Uuid::nil().into())
    }

    pub(super) fn opt_uuid<I: From<Uuid>>(&mut self, index: usize) -> Option<I> {
        self.take(index, self.row.opt_uuid(index)).flatten()
    }

    /// A text, with a sign in place of what is none.
    pub(super) fn text(&mut self, index: usize) -> String {
        self.take(index, self.row.text(index))
            .unwrap_or_else(|| self.row.as_text(index))
    }

    pub(super) fn opt_text(&mut self, index: usize) -> Option<String> {
        let read = self.row.opt_text(index);
        match self.take(index, read) {
            Some(text) => text,
            None => Some(self.row.as_text(index)),
        }
    }

    /// A text, as names are kept in memory.
    pub(super) fn name(&mut self, index: usize) -> Arc<str> {
        self.text(index).into()
    }

    pub(super) fn opt_name(&mut self, index: usize) -> Option<Arc<str>> {
        self.opt_text(index).map(Arc::from)
    }

    pub(super) fn bytes(&mut self, index: usize) -> Vec<u8> {
        self.take(index, self.row.bytes(index)).unwrap_or_default()
    }

    pub(super) fn int(&mut self, index: usize) -> i64 {
        self.take(index, self.row.int(index)).unwrap_or_default()
    }

    pub(super) fn opt_int(&mut self, index: usize) -> Option<i64> {
        self.take(index, self.row.opt_int(index)).flatten()
    }

    /// A number of a smaller type; one that is out of its range cannot be read.
    pub(super) fn small<T: TryFrom<i64> + Default>(&mut self, index: usize) -> T {
        let number = self.int(index);
        T::try_from(number).unwrap_or_else(|_| {
            self.note(index, format_args!("{number} is out of range"));
            T::default()
        })
    }

    /// So long ago, or from now: not at all if that was before.
    pub(super) fn opt_span(&mut self, index: usize) -> Option<Duration> {
        self.opt_int(index).map(span)
    }

    pub(super) fn bool(&mut self, index: usize) -> bool {
        self.take(index, self.row.bool(index)).unwrap_or_default()
    }

    pub(super) fn time(&mut self, index: usize) -> Micros {
        self.take(index, self.row.time(index)).unwrap_or_default()
    }

    pub(super) fn opt_time(&mut self, index: usize) -> Option<Micros> {
        self.take(index, self.row.opt_time(index)).flatten()
    }

    /// A word of a closed set; another one where it is none of them.
    pub(super) fn word<T: FromStr>(&mut self, index: usize, otherwise: T) -> T
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.take(index, self.row.word(index)).unwrap_or(otherwise)
    }

    /// Why something failed, if it did. A word that this version does not know is none: a later one may have written it.
    pub(super) fn reason(&mut self, index: usize) -> Option<FailureReason> {
        let word = self.opt_text(index);
        word.as_deref().and_then(FailureReason::from_word)
    }

    pub(super) fn opt_json(&mut self, index: usize) -> Option<Payload> {
        self.take(index, self.row.opt_json(index)).flatten()
    }

    /// JSON that the engine has written itself, as what it stands for.
    pub(super) fn opt_value<T: DeserializeOwned>(&mut self, index: usize) -> Option<T> {
        let json = self.opt_json(index)?;
        match serde_json::from_str(json.get()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(index, error);
                None
            }
        }
    }
}

/// A time that may have passed already.
pub(super) fn span(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// What is wrong with a value, without where it was found.
pub(super) fn cause(error: &Error) -> String {
    match error {
        Error::Database(sqlx::Error::ColumnDecode { source, .. } | sqlx::Error::Decode(source)) => {
            source.to_string()
        }
        Error::Database(sqlx::Error::RowNotFound) => "it is null".to_owned(),
        other => other.to_string(),
    }
}

/// What these rows say, in one go; one that cannot be read is told and left out. For what the engine looks through by
/// itself, where there is nobody to tell it to but the log.
pub(super) fn readable<T>(
    rows: &[Row],
    table: &'static str,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Vec<T> {
    let read = |row: &Row| match read(row) {
        Ok(value) => Some(value),
        Err(error) => {
            let (first, error) = (row.as_text(0), cause(&error));
            tracing::error!(table, first, error, "a row cannot be read, and is left out");
            None
        }
    };
    rows.iter().filter_map(read).collect()
}

/// Of which intents something cannot be read, and what: the first that was found of each.
#[derive(Debug, Default)]
pub(super) struct Unfit(HashMap<IntentId, String>);

impl Unfit {
    /// Takes in how far a row of an intent could be read.
    pub(super) fn take(&mut self, intent: IntentId, row: Reading<'_>) {
        if let Some(unreadable) = row.unreadable() {
            self.add(intent, unreadable);
        }
    }

    /// The same, where the row is one of several that the intent has: of which step it is.
    pub(super) fn take_of_step(&mut self, intent: IntentId, step: &str, row: Reading<'_>) {
        if let Some(unreadable) = row.unreadable() {
            self.add(intent, format!("of step `{step}`, {unreadable}"));
        }
    }

    pub(super) fn add(&mut self, intent: IntentId, unreadable: String) {
        self.0.entry(intent).or_insert(unreadable);
    }

    /// Why an intent cannot be carried out, if that is so.
    pub(super) fn remove(&mut self, intent: IntentId) -> Option<(FailureReason, String)> {
        self.0.remove(&intent).map(|what| unfit(&what))
    }

    /// What cannot be read of each.
    pub(super) fn into_parts(self) -> HashMap<IntentId, String> {
        self.0
    }

    /// Why each cannot be carried out.
    pub(super) fn into_words(self) -> HashMap<IntentId, String> {
        let words = |(intent, what): (IntentId, String)| (intent, unfit(&what).1);
        self.0.into_iter().map(words).collect()
    }
}

/// Why an intent fails of which something cannot be read.
pub(super) fn unfit(unreadable: &str) -> (FailureReason, String) {
    let error = format!(
        "what is stored for it cannot be read: {unreadable}; mend that in the database, then resume it"
    );
    (FailureReason::Undecodable, error)
}
