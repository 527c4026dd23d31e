//! Signal: a message from outside for an intent, kept until a step takes it.

use super::args::Args;
use super::conn::Row;
use super::reading::Reading;
use super::records::SignalRecord;
use super::{Store, sql};
use crate::error::Error;
use crate::id::{IntentId, SignalId};
use crate::payload::Payload;
use crate::signal::Sent;
use crate::state::IntentState;

/// A message, checked.
#[derive(Debug, Clone)]
pub(crate) struct NewSignal {
    pub(crate) id: SignalId,
    pub(crate) intent: IntentId,
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) payload: Payload,
    pub(crate) sent_by: Option<String>,
}

impl Store {
    /// Keeps a message for an unfinished intent, once for a key.
    pub(crate) async fn signal(&self, new: NewSignal) -> Result<Sent, Error> {
        let id = new.intent;
        let key = new.key.clone();
        let name = new.name.clone();
        let sent = self
            .transact(move |mut conn| {
                let new = new.clone();
                Box::pin(async move {
                    let args = Args::new()
                        .uuid(new.id.0)
                        .uuid(new.intent.0)
                        .text(new.name)
                        .opt_text(new.key)
                        .text(new.payload.get())
                        .opt_text(new.sent_by)
                        .now();
                    let row = conn.fetch_one(&sql::SIGNAL_INSERT, args).await?;
                    row.map(|row| row.uuid::<SignalId>(0)).transpose()
                })
            })
            .await?;
        if let Some(sent) = sent {
            return Ok(Sent::Now(sent));
        }
        if let Some(known) = self.sent_before(id, name, key).await? {
            return Ok(Sent::Before(known));
        }
        let state: IntentState = self.state(id).await?;
        let expected = "only an unfinished intent takes signals";
        Err(Error::WrongState {
            verb: "signalling",
            id,
            state,
            expected,
        })
    }

    async fn sent_before(
        &self,
        intent: IntentId,
        name: String,
        key: Option<String>,
    ) -> Result<Option<SignalId>, Error> {
        let Some(key) = key else { return Ok(None) };
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(intent.0).text(name).text(key);
                let row = conn.fetch_one(&sql::SIGNAL_FIND, args).await?;
                row.map(|row| row.uuid(0)).transpose()
            })
        })
        .await
    }

    pub(crate) async fn signals(&self, id: IntentId) -> Result<Vec<SignalRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(id.0);
                let rows = conn.fetch(&sql::HISTORY_SIGNALS, args).await?;
                rows.iter().map(signal_record).collect()
            })
        })
        .await
    }
}

pub(super) fn signal_record(row: &Row) -> Result<SignalRecord, Error> {
    let mut row = Reading::of(row, "signal");
    let record = SignalRecord {
        id: row.uuid(0),
        name: row.text(1),
        key: row.opt_text(2),
        payload: row.opt_json(3).map(super::recorded::owned),
        sent_at: row.time(4).to_utc(),
        sent_by: row.opt_text(5),
        taken_by: row.opt_text(6),
        refused: row.opt_text(7),
        unreadable: None,
    };
    Ok(SignalRecord {
        unreadable: row.unreadable(),
        ..record
    })
}
