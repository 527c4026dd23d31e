//! Wake: hints across processes that there may be something to claim.

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgListener;
use sqlx::{Row as _, Sqlite};

use super::args::Args;
use super::{Conn, Db, Flush, Store, sql};
use crate::error::Error;
use crate::id::SessionId;

/// The channel of the notifications.
const CHANNEL: &str = "intendant";

/// What a notification says that tells of something to be stopped; the others say nothing.
pub(crate) const CANCEL: &str = "cancel";

/// A connection that hears of other processes.
pub(crate) enum Listening {
    Postgres(PgListener),
    /// With the last version of the file that was seen.
    Sqlite {
        conn: PoolConnection<Sqlite>,
        version: i64,
    },
}

/// Notifies idle workers when the caller's transaction commits: those of this process too, which hear of nothing else.
pub(crate) async fn nudge_within(conn: &mut Conn<'_>) -> Result<(), Error> {
    if conn.is_pg() {
        let nobody: [SessionId; 0] = [];
        conn.fetch(&sql::NUDGE, Args::new().ids(nobody)).await?;
    }
    Ok(())
}

impl Store {
    /// Notifies workers, but for the sessions `here`; false if none of them could start anything at once.
    pub(crate) async fn nudge(&self, here: Vec<SessionId>) -> Result<bool, Error> {
        self.transact_with(Flush::Later, move |mut conn| {
            let here = here.clone();
            Box::pin(async move {
                let args = Args::new().ids(here);
                Ok(conn.fetch_one(&sql::NUDGE, args).await?.is_some())
            })
        })
        .await
    }

    /// Tells workers elsewhere that something which one of them holds is to be stopped.
    pub(crate) async fn nudge_cancel(&self) -> Result<(), Error> {
        self.transact_with(Flush::Later, move |mut conn| {
            Box::pin(async move { conn.execute(&sql::NUDGE_CANCEL, Args::new()).await })
        })
        .await
    }

    /// Begins to listen; none for a database that no other process can see.
    pub(crate) async fn listen(&self) -> Result<Option<Listening>, Error> {
        match &self.db {
            Db::Pg { listeners, .. } => {
                let mut listener = PgListener::connect_with(listeners).await?;
                listener.listen(CHANNEL).await?;
                Ok(Some(Listening::Postgres(listener)))
            }
            Db::Sqlite { path: None, .. } => Ok(None),
            Db::Sqlite { .. } if self.seam.is_watched() => Ok(None),
            Db::Sqlite { readers, .. } => {
                let mut conn = readers.acquire().await?;
                let version = Self::data_version(&mut conn).await?;
                Ok(Some(Listening::Sqlite { conn, version }))
            }
        }
    }

    /// A number that changes when another connection has written to the file.
    pub(crate) async fn data_version(conn: &mut PoolConnection<Sqlite>) -> Result<i64, Error> {
        let row = sqlx::query(sql::DATA_VERSION.sqlite())
            .fetch_one(&mut **conn)
            .await?;
        Ok(row.try_get(0)?)
    }
}
