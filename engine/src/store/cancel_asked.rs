//! Cancels that plain SQL has asked for: rows, until a worker has carried them out.

use serde_json::json;
use uuid::Uuid;

use super::args::Args;
use super::events::{self, Event};
use super::reading::readable;
use super::{CancelBy, Store, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct CancelAsked {
    id: Uuid,
    pub(crate) intent: IntentId,
    pub(crate) by: CancelBy,
}

impl Store {
    /// What is to be carried out, in the order in which it was asked for; the first of it.
    pub(crate) async fn cancels_asked(&self) -> Result<Vec<CancelAsked>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().int(limits::CONFLICT_LOOK as i64);
                let rows = conn.fetch(&sql::CANCEL_ASKED, args).await?;
                Ok(readable(&rows, "cancel_request", |row| {
                    let by = CancelBy {
                        actor: row.text(2)?,
                        reason: row.opt_text(3)?,
                    };
                    Ok(CancelAsked {
                        id: row.uuid(0)?,
                        intent: row.uuid(1)?,
                        by,
                    })
                }))
            })
        })
        .await
    }

    /// One has been carried out, or, if `refused` says why, cannot be: then an event tells whoever asked.
    pub(crate) async fn cancel_answered(
        &self,
        asked: CancelAsked,
        refused: Option<String>,
    ) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let CancelAsked { id, intent, by } = asked.clone();
            let refused = refused.clone();
            Box::pin(async move {
                let mine = Args::new().uuid(id);
                let mine = conn.fetch_one(&sql::CANCEL_ANSWERED, mine).await?;
                if let (Some(_), Some(refused)) = (mine, refused) {
                    let detail = json!({ "refused": refused }).to_string();
                    let event = Event {
                        intent,
                        reason: by.reason,
                        detail: Some(detail),
                    };
                    events::write(&mut conn, &by.actor, "cancel refused", vec![event]).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
