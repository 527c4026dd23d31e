//! Notes: what an attempt leaves beside its end, in the same tick. Most attempts leave none, and cost nothing here.

use std::sync::Arc;

use serde_json::json;

use super::args::{Args, Rows};
use super::conn::Row;
use super::events::{self, Event};
use super::reading::Reading;
use super::records::{LogRecord, MeasureRecord};
use super::{Conn, NewIntent, Store, checkpoint, insert_requests, sql};
use crate::error::Error;
use crate::id::{IntentId, TaskId};
use crate::notes::Lines;

/// Who acts in the events of what steps ask for.
const ACTOR: &str = "step";

/// What one attempt leaves.
#[derive(Debug, Clone)]
pub(crate) struct NoteRow {
    /// Whose word it is.
    pub(crate) task: TaskId,
    pub(crate) intent: IntentId,
    pub(crate) step: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) attempt: u32,
    /// Name and value.
    pub(crate) measures: Vec<(Arc<str>, f64)>,
    /// What the step has asked for, which comes with its result.
    pub(crate) requests: Vec<NewIntent>,
    pub(crate) log: Option<Lines>,
    /// The step has a result: its safe point is of no use any more.
    pub(crate) forgets_checkpoint: bool,
}

impl NoteRow {
    /// It says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.measures.is_empty()
            && self.requests.is_empty()
            && self.log.is_none()
            && !self.forgets_checkpoint
    }
}

/// Writes what attempts leave: within a tick, after what came of them, or within a step's own transaction. Returns how many
/// intents they have asked for.
pub(crate) async fn write(
    conn: &mut Conn<'_>,
    worker: &Arc<str>,
    notes: &[NoteRow],
) -> Result<usize, Error> {
    if notes.is_empty() {
        return Ok(0);
    }
    let forgotten = notes.iter().filter(|note| note.forgets_checkpoint);
    let forgotten = forgotten.map(|note| (note.intent, note.step.clone(), note.generation));
    checkpoint::forget(conn, forgotten).await?;
    write_measures(conn, notes).await?;
    write_logs(conn, worker, notes).await?;
    write_requests(conn, notes).await
}

async fn write_requests(conn: &mut Conn<'_>, notes: &[NoteRow]) -> Result<usize, Error> {
    let mut asked = 0;
    for note in notes.iter().filter(|note| !note.requests.is_empty()) {
        let ids = insert_requests(conn, note.requests.clone()).await?;
        asked += ids.len();
        let detail = json!({"step": note.step, "intents": ids}).to_string();
        let event = Event {
            intent: note.intent,
            reason: None,
            detail: Some(detail),
        };
        events::write(conn, ACTOR, "request", vec![event]).await?;
    }
    Ok(asked)
}

async fn write_measures(conn: &mut Conn<'_>, notes: &[NoteRow]) -> Result<(), Error> {
    let each = || {
        notes
            .iter()
            .flat_map(|note| note.measures.iter().map(move |measure| (note, measure)))
    };
    if each().next().is_none() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(each().map(|(note, _)| note.intent))
        .texts(each().map(|(note, _)| note.step.clone()))
        .ints(each().map(|(note, _)| i64::from(note.generation)))
        .ints(each().map(|(note, _)| i64::from(note.attempt)))
        .texts(each().map(|(_, (name, _))| name.clone()))
        // As text, which both databases read back to the same number.
        .texts(each().map(|(_, (_, value))| value.to_string()));
    conn.execute(&sql::MEASURE_INSERT, Args::new().rows(rows).now())
        .await
}

async fn write_logs(
    conn: &mut Conn<'_>,
    worker: &Arc<str>,
    notes: &[NoteRow],
) -> Result<(), Error> {
    let logs: Vec<_> = notes
        .iter()
        .filter_map(|note| note.log.as_ref().map(|log| (note, log)))
        .collect();
    if logs.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(logs.iter().map(|(note, _)| note.intent))
        .texts(logs.iter().map(|(note, _)| note.step.clone()))
        .ints(logs.iter().map(|(note, _)| i64::from(note.generation)))
        .ints(logs.iter().map(|(note, _)| i64::from(note.attempt)))
        .texts(logs.iter().map(|(_, log)| log.json.clone()))
        .ints(logs.iter().map(|(_, log)| log.cut_lines))
        .ints(logs.iter().map(|(_, log)| log.cut_bytes));
    let args = Args::new().text(worker.clone()).rows(rows).now();
    conn.execute(&sql::LOG_INSERT, args).await
}

impl Store {
    /// What an intent's attempts have logged.
    pub(crate) async fn logs(&self, id: IntentId) -> Result<Vec<LogRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn
                    .fetch(&sql::HISTORY_LOGS, Args::new().uuid(id.0))
                    .await?;
                rows.iter().map(log_record).collect()
            })
        })
        .await
    }

    /// What an intent's attempts have measured.
    pub(crate) async fn measurements(&self, id: IntentId) -> Result<Vec<MeasureRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn
                    .fetch(&sql::HISTORY_MEASURES, Args::new().uuid(id.0))
                    .await?;
                rows.iter().map(measure_record).collect()
            })
        })
        .await
    }
}

pub(super) fn log_record(row: &Row) -> Result<LogRecord, Error> {
    let mut row = Reading::of(row, "log");
    Ok(LogRecord {
        step: row.text(0),
        generation: row.int(1),
        attempt: row.int(2),
        lines: row.opt_value(3).unwrap_or_default(),
        cut_lines: row.int(4),
        cut_bytes: row.int(5),
        at: row.time(6).to_utc(),
        worker: row.text(7),
    })
}

pub(super) fn measure_record(row: &Row) -> Result<MeasureRecord, Error> {
    let value = row.float(4)?;
    let mut row = Reading::of(row, "measurement");
    Ok(MeasureRecord {
        step: row.text(0),
        generation: row.int(1),
        attempt: row.int(2),
        name: row.text(3),
        value,
        at: row.time(5).to_utc(),
    })
}
