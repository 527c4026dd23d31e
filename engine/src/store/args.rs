//! Arguments of a statement, the same for both databases.
//!
//! A set of rows goes to PostgreSQL as one array a column (`unnest`), to SQLite as one JSON text, an array of arrays
//! (`jsonb_each`), or, where that is worth it, as bound values. So a verb is written once, and the two dialects differ in
//! their `.sql` files only.

use std::fmt::Write as _;
use std::sync::Arc;

use uuid::Uuid;

use crate::payload::Payload;

/// One argument.
pub(super) enum Arg {
    Uuid(Option<Uuid>),
    Text(Option<Arc<str>>),
    Int(Option<i64>),
    Bool(bool),
    Rows(Rows),
}

/// The arguments of one statement, in the order of its parameters.
#[derive(Default)]
pub(super) struct Args {
    pub(super) list: Vec<Arg>,
    /// SQLite gets the time as its last argument; PostgreSQL has its own.
    pub(super) now: bool,
}

impl Args {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn uuid(self, value: impl Into<Option<Uuid>>) -> Self {
        self.with(Arg::Uuid(value.into()))
    }

    pub(super) fn text(self, value: impl Into<Arc<str>>) -> Self {
        self.with(Arg::Text(Some(value.into())))
    }

    pub(super) fn opt_text(self, value: Option<impl Into<Arc<str>>>) -> Self {
        self.with(Arg::Text(value.map(Into::into)))
    }

    pub(super) fn int(self, value: impl Into<Option<i64>>) -> Self {
        self.with(Arg::Int(value.into()))
    }

    pub(super) fn bool(self, value: bool) -> Self {
        self.with(Arg::Bool(value))
    }

    pub(super) fn rows(self, rows: Rows) -> Self {
        self.with(Arg::Rows(rows))
    }

    /// A set of ids: one column.
    pub(super) fn ids<I: Into<Uuid>>(self, ids: impl IntoIterator<Item = I>) -> Self {
        self.rows(Rows::new().uuids(ids))
    }

    /// The statement asks for the time.
    pub(super) fn now(mut self) -> Self {
        self.now = true;
        self
    }

    fn with(mut self, arg: Arg) -> Self {
        self.list.push(arg);
        self
    }
}

/// One column of a set of rows.
pub(super) enum Column {
    Uuid(Vec<Option<Uuid>>),
    Text(Vec<Option<Arc<str>>>),
    Int(Vec<Option<i64>>),
    Bool(Vec<bool>),
    Bytes(Vec<Vec<u8>>),
    Json(Vec<Option<Payload>>),
}

/// A set of rows, by column.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) columns: Vec<Column>,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn uuids<I: Into<Uuid>>(self, values: impl IntoIterator<Item = I>) -> Self {
        self.with(Column::Uuid(
            values.into_iter().map(|value| Some(value.into())).collect(),
        ))
    }

    pub(super) fn opt_uuids(self, values: impl IntoIterator<Item = Option<Uuid>>) -> Self {
        self.with(Column::Uuid(values.into_iter().collect()))
    }

    pub(super) fn texts<T: Into<Arc<str>>>(self, values: impl IntoIterator<Item = T>) -> Self {
        self.with(Column::Text(
            values.into_iter().map(|value| Some(value.into())).collect(),
        ))
    }

    pub(super) fn opt_texts<T: Into<Arc<str>>>(
        self,
        values: impl IntoIterator<Item = Option<T>>,
    ) -> Self {
        self.with(Column::Text(
            values
                .into_iter()
                .map(|value| value.map(Into::into))
                .collect(),
        ))
    }

    pub(super) fn ints(self, values: impl IntoIterator<Item = i64>) -> Self {
        self.with(Column::Int(values.into_iter().map(Some).collect()))
    }

    pub(super) fn opt_ints(self, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.with(Column::Int(values.into_iter().collect()))
    }

    pub(super) fn bools(self, values: impl IntoIterator<Item = bool>) -> Self {
        self.with(Column::Bool(values.into_iter().collect()))
    }

    pub(super) fn bytes(self, values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.with(Column::Bytes(values.into_iter().collect()))
    }

    pub(super) fn jsons(self, values: impl IntoIterator<Item = Option<Payload>>) -> Self {
        self.with(Column::Json(values.into_iter().collect()))
    }

    fn with(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// The rows as a JSON array, of arrays where there is more than one column. Ids are as people write them, bytes
    /// hexadecimal; payloads are strings, so that SQLite neither parses them nor takes their `null` for its own.
    pub(super) fn to_json(&self) -> String {
        let rows = self.len();
        let mut json = String::with_capacity(rows * self.columns.len() * 24 + 2);
        json.push('[');
        if let [column] = self.columns.as_slice() {
            for row in 0..rows {
                json.push_str(if row == 0 { "" } else { "," });
                column.write_json(row, &mut json);
            }
            json.push(']');
            return json;
        }
        for row in 0..rows {
            json.push_str(if row == 0 { "[" } else { ",[" });
            for (index, column) in self.columns.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                column.write_json(row, &mut json);
            }
            json.push(']');
        }
        json.push(']');
        json
    }
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Uuid(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Json(values) => values.len(),
        }
    }

    fn write_json(&self, row: usize, json: &mut String) {
        // Writing to a `String` cannot fail.
        let _ = match self {
            Self::Uuid(values) => match &values[row] {
                Some(id) => {
                    let mut buffer = Uuid::encode_buffer();
                    write!(json, "\"{}\"", id.hyphenated().encode_lower(&mut buffer))
                }
                None => write!(json, "null"),
            },
            Self::Text(values) => {
                write_string(values[row].as_deref(), json);
                Ok(())
            }
            Self::Int(values) => match values[row] {
                Some(number) => write!(json, "{number}"),
                None => write!(json, "null"),
            },
            Self::Bool(values) => write!(json, "{}", u8::from(values[row])),
            Self::Bytes(values) => {
                json.push('"');
                for byte in &values[row] {
                    let _ = write!(json, "{byte:02x}");
                }
                json.push('"');
                Ok(())
            }
            Self::Json(values) => {
                write_string(values[row].as_ref().map(|payload| payload.get()), json);
                Ok(())
            }
        };
    }
}

fn write_string(text: Option<&str>, json: &mut String) {
    match text {
        Some(text) => json.push_str(&serde_json::to_string(text).unwrap_or_default()),
        None => json.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn rows_are_one_json_text_for_sqlite() {
        let rows = Rows::new()
            .uuids([Uuid::from_u128(1), Uuid::from_u128(2)])
            .opt_texts([Some("a \"b\" \n"), None])
            .opt_ints([None, Some(-7)])
            .bools([true, false])
            .bytes([vec![0, 255], vec![]])
            .jsons([Some(crate::payload::parse(r#"{"a": null}"#).unwrap()), None]);
        expect![[r#"[["00000000-0000-0000-0000-000000000001","a \"b\" \n",null,1,"00ff","{\"a\": null}"],["00000000-0000-0000-0000-000000000002",null,-7,0,"",null]]"#]]
            .assert_eq(&rows.to_json());
    }
}
