//! Tokens of the HTTP API.

use chrono::{DateTime, Utc};

use super::args::Args;
use super::conn::Row;
use super::{Store, sql};
use crate::error::Error;
use crate::id::TokenId;
use crate::token::{Scope, TokenRecord};

/// A token that is to be kept.
#[derive(Debug, Clone)]
pub(crate) struct NewTokenRow {
    pub(crate) id: TokenId,
    pub(crate) name: String,
    pub(crate) secret_hash: String,
    pub(crate) scope: Scope,
    pub(crate) account: Option<String>,
    pub(crate) created_by: String,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Store {
    pub(crate) async fn insert_token(&self, token: NewTokenRow) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let token = token.clone();
            Box::pin(async move {
                let args = Args::new()
                    .uuid(token.id.0)
                    .text(token.name)
                    .text(token.secret_hash)
                    .text(token.scope.as_str())
                    .opt_text(token.account)
                    .text(token.created_by)
                    .int(token.expires_at.map(|time| time.timestamp_micros()))
                    .now();
                conn.execute(&sql::TOKEN_INSERT, args).await
            })
        })
        .await
    }

    /// A token with the hash of its secret.
    pub(crate) async fn token(&self, id: TokenId) -> Result<Option<(TokenRecord, String)>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(id.0).now();
                let row = conn.fetch_one(&sql::TOKEN_FIND, args).await?;
                row.map(|row| Ok((record(&row)?, row.text(10)?)))
                    .transpose()
            })
        })
        .await
    }

    pub(crate) async fn tokens(
        &self,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<TokenRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().uuid(after.map(|id| id.0));
                let args = args.int(i64::from(limit)).now();
                let rows = conn.fetch(&sql::TOKEN_LIST, args).await?;
                rows.iter().map(record).collect()
            })
        })
        .await
    }

    /// Whether there is such a token.
    pub(crate) async fn revoke_token(&self, id: TokenId, actor: String) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let actor = actor.clone();
            Box::pin(async move {
                let args = Args::new().uuid(id.0).text(actor).now();
                Ok(conn.fetch_one(&sql::TOKEN_REVOKE, args).await?.is_some())
            })
        })
        .await
    }
}

fn record(row: &Row) -> Result<TokenRecord, Error> {
    Ok(TokenRecord {
        id: row.uuid(0)?,
        name: row.text(1)?,
        scope: row.word(2)?,
        account: row.opt_text(3)?,
        created_at: row.time(4)?.to_utc(),
        created_by: row.text(5)?,
        expires_at: row.opt_time(6)?.map(|time| time.to_utc()),
        revoked_at: row.opt_time(7)?.map(|time| time.to_utc()),
        revoked_by: row.opt_text(8)?,
        is_good: row.bool(9)?,
    })
}
