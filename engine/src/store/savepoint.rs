//! Savepoint: a part of a transaction that may be refused without the rest.
//!
//! Only where a batch has been refused as a whole, and is gone through one by one to find who is at fault (promise 7):
//! it costs a round trip for each. Only one is set at a time.

use super::args::Args;
use super::{Conn, sql};
use crate::error::Error;

/// A place to which the transaction can go back.
#[must_use]
pub(super) struct Savepoint(());

impl Savepoint {
    pub(super) async fn set(conn: &mut Conn<'_>) -> Result<Self, Error> {
        conn.execute(&sql::SAVEPOINT_SET, Args::new()).await?;
        Ok(Self(()))
    }

    /// What was written since then stays.
    pub(super) async fn keep(self, conn: &mut Conn<'_>) -> Result<(), Error> {
        conn.execute(&sql::SAVEPOINT_KEEP, Args::new()).await
    }

    /// What was written since then is taken back.
    pub(super) async fn go_back(self, conn: &mut Conn<'_>) -> Result<(), Error> {
        conn.execute(&sql::SAVEPOINT_BACK, Args::new()).await?;
        self.keep(conn).await
    }
}
