//! Occurrences: what came to its end and what was done to intents, in the order of its time, a page at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::args::{Args, Rows};
use super::history::records_in_part;
use super::reading::{Reading as Columns, readable};
use super::recorded::event_record;
use super::{Conn, EventRecord, IntentFilter, IntentRecord, Store, sql};
use crate::clock::Micros;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::state::IntentState;
use crate::subscription::{Asked, Occurrence, Reading, Tells, Writers};

/// A page of what occurred.
pub(crate) struct Occurrences {
    /// In their order; with the intent, and the event if it is one, of those that are to be told.
    pub(crate) found: Vec<(Occurrence, Option<(IntentRecord, Option<EventRecord>)>)>,
    /// There was no more.
    pub(crate) is_last: bool,
}

/// What a row says, before the intent is read.
struct Found {
    /// Of an end.
    account: Option<String>,
    event: Option<EventRecord>,
}

impl Store {
    pub(crate) async fn occurrence_clock(&self) -> Result<Reading, Error> {
        self.read(|mut conn| {
            Box::pin(async move {
                let args = Args::new().now();
                let row = conn.fetch_one(&sql::OCCURRENCE_CLOCK, args).await?;
                let row = row.ok_or(sqlx::Error::RowNotFound)?;
                let numbers = row.opt_int(1)?.zip(row.opt_int(2)?);
                Ok(Reading {
                    now: Micros(row.int(0)?),
                    writers: numbers.map(|(oldest, next)| Writers { oldest, next }),
                })
            })
        })
        .await
    }

    /// What occurred after another occurrence, but for what has been seen. What the filter leaves out may be in it.
    pub(crate) async fn occurrences(&self, asked: Asked) -> Result<Occurrences, Error> {
        let Asked {
            filter,
            after,
            seen,
            tells,
        } = asked;
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let (page, is_last) = page(&mut conn, &filter, after).await?;
                let is_asked_for = |(occurrence, found): &(&Occurrence, &Found)| {
                    let account = filter.account.is_none() || filter.account == found.account;
                    tells == Tells::All
                        && !seen.contains(occurrence)
                        && (account || found.event.is_some())
                };
                let asked: BTreeSet<Occurrence> = page
                    .iter()
                    .filter(is_asked_for)
                    .map(|(occurrence, _)| *occurrence)
                    .collect();
                let mut ids: Vec<IntentId> = asked.iter().map(|asked| asked.intent).collect();
                ids.sort_unstable_by(|one, other| other.cmp(one));
                ids.dedup();
                let (mut records, cut) = records_of(&mut conn, &ids).await?;
                let first = asked.first().map(|first| first.intent);
                if let (Some(first), Some(last)) = (first, cut)
                    && first < last
                {
                    // What comes first is not among those that go together: it goes by itself.
                    records.extend(records_of(&mut conn, &[first]).await?.0);
                }
                let mut found = Vec::with_capacity(page.len());
                let mut is_whole = true;
                for (occurrence, row) in page {
                    let is_asked = asked.contains(&occurrence);
                    let record = records.get(&occurrence.intent).filter(|_| is_asked);
                    let id = occurrence.intent;
                    let was_read = cut.is_none_or(|last| id >= last) || first == Some(id);
                    if is_asked && !was_read {
                        is_whole = false;
                        break;
                    }
                    // One that is not there has been removed since.
                    found.push((occurrence, record.map(|intent| (intent.clone(), row.event))));
                }
                Ok(Occurrences {
                    found,
                    is_last: is_last && is_whole,
                })
            })
        })
        .await
    }
}

/// The records of these, by id; and the last that was looked at, if that was not all.
async fn records_of(
    conn: &mut Conn<'_>,
    ids: &[IntentId],
) -> Result<(HashMap<IntentId, IntentRecord>, Option<IntentId>), Error> {
    let (records, cut) = records_in_part(conn, ids).await?;
    let records = records.into_iter().map(|record| (record.id, record));
    Ok((records.collect(), cut))
}

/// Ends and events together, as far as both have been read; and whether that is all there is.
async fn page(
    conn: &mut Conn<'_>,
    filter: &IntentFilter,
    after: Occurrence,
) -> Result<(BTreeMap<Occurrence, Found>, bool), Error> {
    let mut page = ends(conn, filter, after).await?;
    let mut is_last = page.len() < limits::PAGE as usize;
    let mut read_to = page
        .last_key_value()
        .map(|(last, _)| *last)
        .filter(|_| !is_last);
    // Who asks for a state asks for ends.
    if filter.state.is_none() {
        let events = events(conn, after).await?;
        if events.len() == limits::PAGE as usize {
            is_last = false;
            let last = events.last_key_value().map(|(last, _)| *last);
            read_to = read_to.min(last).or(read_to).or(last);
        }
        page.extend(events);
    }
    if let Some(read_to) = read_to {
        page.retain(|occurrence, _| *occurrence <= read_to);
    }
    Ok((page, is_last))
}

async fn ends(
    conn: &mut Conn<'_>,
    filter: &IntentFilter,
    after: Occurrence,
) -> Result<BTreeMap<Occurrence, Found>, Error> {
    let states = [
        IntentState::Succeeded,
        IntentState::Failed,
        IntentState::Cancelled,
    ];
    let states = states
        .iter()
        .filter(|state| filter.state.is_none_or(|wanted| wanted == **state));
    let states: Vec<&str> = states.map(|state| state.as_str()).collect();
    let kinds = match &filter.kind {
        Some(kind) => vec![kind.clone()],
        None => kinds(conn).await?,
    };
    let pairs = || {
        kinds
            .iter()
            .flat_map(|kind| states.iter().map(move |state| (kind, state)))
    };
    let rows = Rows::new()
        .texts(pairs().map(|(kind, _)| kind.as_str()))
        .texts(pairs().map(|(_, state)| *state));
    let args = Args::new()
        .rows(rows)
        .int(after.at.0)
        .uuid(after.intent.0)
        .int(i64::from(limits::PAGE));
    let rows = conn.fetch(&sql::ENDED_PAGE, args).await?;
    let ends = readable(&rows, "outcome", |row| {
        let occurrence = Occurrence {
            intent: IntentId(row.uuid(0)?),
            at: Micros(row.int(1)?),
            seq: 0,
        };
        let account = Columns::of(row, "outcome").opt_text(2);
        Ok((
            occurrence,
            Found {
                account,
                event: None,
            },
        ))
    });
    Ok(ends.into_iter().collect())
}

/// Those of which anything has come to its end.
async fn kinds(conn: &mut Conn<'_>) -> Result<Vec<String>, Error> {
    let args = Args::new().int(limits::FINISHED_KINDS as i64);
    let rows = conn.fetch(&sql::FINISHED_KINDS, args).await?;
    rows.iter().map(|row| row.text(0)).collect()
}

async fn events(
    conn: &mut Conn<'_>,
    after: Occurrence,
) -> Result<BTreeMap<Occurrence, Found>, Error> {
    let args = Args::new()
        .int(after.at.0)
        .uuid(after.intent.0)
        .int(after.seq)
        .int(i64::from(limits::PAGE));
    let rows = conn.fetch(&sql::EVENT_SINCE, args).await?;
    let events = readable(&rows, "event", |row| {
        let event = event_record(row)?;
        let occurrence = Occurrence {
            intent: IntentId(row.uuid(6)?),
            at: Micros(event.at.timestamp_micros()),
            seq: event.seq,
        };
        let (account, event) = (None, Some(event));
        Ok((occurrence, Found { account, event }))
    });
    Ok(events.into_iter().collect())
}
