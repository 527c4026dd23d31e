//! Kinds: what workers have said of them.

use chrono::TimeDelta;

use super::args::Args;
use super::conn::Row;
use super::recorded::owned;
use super::{Conn, Store, sql};
use crate::error::Error;
use crate::kinds::KindRecord;

impl Store {
    /// All kinds, or one of them, in the order of their names.
    pub(crate) async fn kinds(
        &self,
        kind: Option<String>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<KindRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move { list(&mut conn, kind, after, limit).await })
        })
        .await
    }
}

/// One kind, if a worker has registered it.
pub(super) async fn of(conn: &mut Conn<'_>, kind: &str) -> Result<Option<KindRecord>, Error> {
    Ok(list(conn, Some(kind.to_owned()), None, 1).await?.pop())
}

async fn list(
    conn: &mut Conn<'_>,
    kind: Option<String>,
    after: Option<String>,
    limit: u32,
) -> Result<Vec<KindRecord>, Error> {
    let args = Args::new().opt_text(kind).opt_text(after);
    let args = args.int(i64::from(limit));
    let rows = conn.fetch(&sql::KIND_LIST, args).await?;
    let record = |row: &Row| {
        Ok(KindRecord {
            kind: row.text(0)?,
            queue: row.text(1)?,
            release_on_failure: row.bool(2)?,
            conflicts: row.opt_json(3)?.map(owned),
            description: row.opt_text(4)?,
            input_schema: row.opt_json(5)?.map(owned),
            deadline: row.opt_int(6)?.map(TimeDelta::microseconds),
            sessions: row.int(7)?,
        })
    };
    rows.iter().map(record).collect()
}
