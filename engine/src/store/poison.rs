//! Poison: kinds whose intents crash their workers one after the other are tried one at a time, and ever more rarely.

use std::sync::Arc;
use std::time::Duration;

use super::args::Args;
use super::{Conn, Store, sql};
use crate::alert::judge::{self, Found};
use crate::clock::micros;
use crate::crash;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;

/// A kind that is tried one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BacksOff {
    pub(crate) kind: Arc<str>,
    /// How many of its intents, in a row, have crashed their workers.
    pub(crate) intents: u32,
    /// When it may be tried again; zero: now.
    pub(crate) due_in: Duration,
}

impl Store {
    /// Kinds that are tried one at a time.
    pub(crate) async fn backing_off(&self) -> Result<Vec<BacksOff>, Error> {
        self.watch(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().int(limits::LANES as i64).now();
                let rows = conn.fetch(&sql::POISON_LOAD, args).await?;
                rows.iter()
                    .map(|row| {
                        Ok(BacksOff {
                            kind: row.name(0)?,
                            intents: row.small(1)?,
                            due_in: Duration::from_micros(u64::try_from(row.int(2)?).unwrap_or(0)),
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// An intent of this kind has succeeded.
    pub(crate) async fn trust(&self, kind: Arc<str>) -> Result<(), Error> {
        self.transact(move |mut conn| {
            let kind = kind.clone();
            Box::pin(async move {
                conn.execute(&sql::POISON_CLEAR, Args::new().text(kind))
                    .await
            })
        })
        .await
    }
}

/// An intent has crashed its worker while it was alone. Returns how its kind backs off from now on, and the alert.
pub(super) async fn blame(
    conn: &mut Conn<'_>,
    intent: IntentId,
) -> Result<Option<(BacksOff, Found)>, Error> {
    let Some(row) = conn
        .fetch_one(&sql::KIND_LOAD, Args::new().ids([intent]))
        .await?
    else {
        return Ok(None);
    };
    let kind = row.name(1)?;
    let memory = micros(limits::POISON_MEMORY);
    let args = Args::new().text(kind.clone()).int(memory).now();
    let known = match conn.fetch_one(&sql::POISON_READ, args).await? {
        Some(row) => Some((row.small(0)?, row.uuid(1)?)),
        None => None,
    };
    let intents = crash::blamed(known, intent);
    let due_in = crash::back_off(intents).unwrap_or_default();
    let args = Args::new()
        .text(kind.clone())
        .int(i64::from(intents))
        .uuid(intent.0)
        .int(micros(due_in))
        .now();
    conn.execute(&sql::POISON_SET, args).await?;
    let alert = judge::backs_off(&kind, intents, intent);
    let backs_off = BacksOff {
        kind,
        intents,
        due_in,
    };
    Ok((intents > 1).then_some((backs_off, alert)))
}

/// Whether this session may try a kind that backs off: nobody has of late, and nobody else does now.
pub(super) async fn may_try(conn: &mut Conn<'_>, kind: &str) -> Result<bool, Error> {
    let args = Args::new().text(kind).now();
    Ok(conn.fetch_one(&sql::PROBE_LOCK, args).await?.is_some())
}

/// It has a task of the kind in hand: the next one is tried later. Where nothing was to be had, its turn is left to others.
pub(super) async fn tries(conn: &mut Conn<'_>, kind: &str, intents: u32) -> Result<(), Error> {
    let wait = crash::back_off(intents).unwrap_or_default();
    let args = Args::new().text(kind).int(micros(wait)).now();
    conn.execute(&sql::PROBE_TAKE, args).await
}
