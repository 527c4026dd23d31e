//! Change: what a person did to something that is no intent, kept with who and why (I9).

use super::args::Args;
use super::{Actor, Conn, Store, sql};
use crate::change::ChangeRecord;
use crate::error::Error;
use crate::id::ChangeId;
use crate::limits;

/// What is to be kept.
#[derive(Debug, Clone)]
pub(crate) struct NewChange {
    pub(crate) id: ChangeId,
    pub(crate) subject: &'static str,
    pub(crate) name: String,
    pub(crate) verb: &'static str,
    pub(crate) by: Actor,
}

/// In the transaction that makes the change.
pub(super) async fn insert(conn: &mut Conn<'_>, change: &NewChange) -> Result<(), Error> {
    let args = Args::new()
        .uuid(change.id.0)
        .text(change.subject)
        .text(change.name.as_str())
        .text(change.verb)
        .text(change.by.name.as_str())
        .opt_text(change.by.reason.as_deref())
        .now();
    conn.execute(&sql::CHANGE_INSERT, args).await
}

impl Store {
    /// What people did to it, the latest first.
    pub(crate) async fn changes(
        &self,
        subject: &'static str,
        name: String,
    ) -> Result<Vec<ChangeRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().text(subject).text(name);
                let args = args.int(i64::from(limits::PAGE));
                let rows = conn.fetch(&sql::CHANGE_LIST, args).await?;
                rows.iter()
                    .map(|row| {
                        Ok(ChangeRecord {
                            id: row.uuid(0)?,
                            at: row.time(1)?.to_utc(),
                            subject: row.text(2)?,
                            name: row.text(3)?,
                            verb: row.text(4)?,
                            actor: row.text(5)?,
                            reason: row.opt_text(6)?,
                        })
                    })
                    .collect()
            })
        })
        .await
    }
}
