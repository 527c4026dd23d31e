//! Occurrences: what came to its end and what was done to intents, in the order of its time, a page at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::args::{Args, Rows};
use super::conn::Row;
use super::history::records_in_part;
use super::reading::{Reading as Columns, readable};
use super::recorded::event_record;
use super::{Conn, EventRecord, IntentFilter, IntentRecord, Store, sql};
use crate::clock::Micros;
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::state::IntentState;
use crate::subscription::{Asked, Occurred, Occurrence, Reading, Tells, Told, Writers, state_of};

/// A page of what occurred.
pub(crate) struct Occurrences {
    /// In their order; with what is to be told of it, if anything.
    pub(crate) found: Vec<(Occurrence, Vec<Told>)>,
    /// Up to where this goes, if there may be more.
    pub(crate) to: Option<Occurrence>,
    /// There was no more.
    pub(crate) is_last: bool,
}

/// What a row says, before the intent is read.
struct Found {
    kind: Option<String>,
    account: Option<String>,
    /// None of an end.
    event: Option<EventRecord>,
}

impl Found {
    /// Whether the intent is worth being read.
    fn may_match(&self, filter: &IntentFilter) -> bool {
        let same = |wanted: &Option<String>, has: &Option<String>| {
            wanted.is_none() || has.is_none() || wanted == has
        };
        let account = filter.account.is_none() || filter.account == self.account;
        account && same(&filter.kind, &self.kind)
    }
}

/// Rows of a page, and up to where it goes.
struct Page {
    found: BTreeMap<Occurrence, Found>,
    /// None: to the end.
    to: Option<Occurrence>,
}

impl Page {
    /// `rows`: all that were read, of which some may not be readable. `place`: where a row is, as far as it says so.
    fn new(
        rows: &[Row],
        found: Vec<(Occurrence, Found)>,
        place: impl Fn(&Row) -> Result<Occurrence, Error>,
    ) -> Self {
        let is_full = rows.len() >= limits::PAGE as usize;
        let last = rows.last().filter(|_| is_full);
        let last = last.and_then(|row| place(row).ok());
        let readable = found.last().map(|(last, _)| *last);
        Self {
            to: last.or(readable.filter(|_| is_full)),
            found: found.into_iter().collect(),
        }
    }
}

impl Store {
    pub(crate) async fn occurrence_clock(&self) -> Result<Reading, Error> {
        let at = self.clock().monotonic();
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().now();
                let row = conn.fetch_one(&sql::OCCURRENCE_CLOCK, args).await?;
                let row = row.ok_or(sqlx::Error::RowNotFound)?;
                let numbers = row.opt_int(1)?.zip(row.opt_int(2)?);
                Ok(Reading {
                    now: Micros(row.int(0)?),
                    at,
                    writers: numbers.map(|(oldest, next)| Writers { oldest, next }),
                })
            })
        })
        .await
    }

    /// What occurred after another occurrence, but for what has been seen. What the filter leaves out may be in it.
    pub(crate) async fn occurrences(&self, asked: Asked) -> Result<Occurrences, Error> {
        self.snapshot(move |mut conn| {
            Box::pin(async move {
                let page = page(&mut conn, &asked).await?;
                if asked.tells == Tells::All {
                    return tell(&mut conn, &asked, page).await;
                }
                let found = page.found.into_keys();
                let found = found.map(|occurrence| (occurrence, Vec::new()));
                Ok(Occurrences {
                    found: found.collect(),
                    to: page.to,
                    is_last: page.to.is_none(),
                })
            })
        })
        .await
    }
}

/// Reads the intents of what is new; as far into the page as they go together.
async fn tell(
    conn: &mut Conn<'_>,
    asked: &Asked,
    Page { found: page, to }: Page,
) -> Result<Occurrences, Error> {
    let is_new = |(occurrence, found): &(&Occurrence, &Found)| {
        !asked.seen.contains(occurrence) && found.may_match(&asked.filter)
    };
    let new: BTreeSet<Occurrence> = page.iter().filter(is_new).map(|(new, _)| *new).collect();
    let mut ids: Vec<IntentId> = new.iter().map(|new| new.intent).collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids.dedup();
    let (mut records, cut) = records_of(conn, &ids).await?;
    let first = new.first().map(|first| first.intent);
    if let (Some(first), Some(last)) = (first, cut)
        && first < last
    {
        // What comes first is not among those that go together: it goes by itself.
        records.extend(records_of(conn, &[first]).await?.0);
    }
    let (mut found, mut bytes) = (Vec::with_capacity(page.len()), 0);
    for (occurrence, row) in page {
        let id = occurrence.intent;
        let was_read = cut.is_none_or(|last| id >= last) || first == Some(id);
        let is_new = new.contains(&occurrence);
        if is_new && (!was_read || bytes > limits::PAGE_BYTES) {
            return Ok(Occurrences {
                found,
                to: None,
                is_last: false,
            });
        }
        // One that is not there has been removed since.
        let told = match records.get(&id).filter(|_| is_new) {
            Some(intent) => told(intent, row.event, occurrence.at, asked),
            None => Vec::new(),
        };
        bytes += told.iter().map(weight).sum::<usize>();
        found.push((occurrence, told));
    }
    Ok(Occurrences {
        found,
        to,
        is_last: to.is_none(),
    })
}

/// What is told of an occurrence.
fn told(intent: &IntentRecord, event: Option<EventRecord>, at: Micros, asked: &Asked) -> Vec<Told> {
    let tell = |occurred: Occurred, at: Micros| Told {
        intent: intent.clone(),
        occurred,
        at,
    };
    let Some(event) = event else {
        let (state, error) = (intent.state, intent.error.clone());
        return vec![tell(Occurred::Ended { state, error }, at)];
    };
    // An end that was taken back before it was told: whoever did that has noted it.
    let withdrawn = withdrawn(&event).filter(|(end, _)| {
        let end = Occurrence {
            at: *end,
            intent: intent.id,
            seq: Occurrence::END,
        };
        end > asked.from && !asked.seen.contains(&end)
    });
    let withdrawn = withdrawn.map(|(at, error)| {
        let state = IntentState::Failed;
        tell(Occurred::Ended { state, error }, at)
    });
    let event = tell(Occurred::Event(event), at);
    withdrawn.into_iter().chain([event]).collect()
}

/// When and why an intent had failed, by the event of what was done about it.
fn withdrawn(event: &EventRecord) -> Option<(Micros, Option<String>)> {
    /// As it is written with the event.
    #[derive(Deserialize)]
    struct Failure {
        reason: String,
        error: Option<String>,
        finished_at: DateTime<Utc>,
    }
    let failure: Failure = serde_json::from_str(event.detail.as_ref()?.get()).ok()?;
    let Failure {
        reason,
        error,
        finished_at,
    } = failure;
    Some((
        Micros(finished_at.timestamp_micros()),
        error.or(Some(reason)),
    ))
}

fn weight(told: &Told) -> usize {
    let output = told.intent.output.as_ref();
    let detail = match &told.occurred {
        Occurred::Event(event) => event.detail.as_ref().map_or(0, |detail| detail.get().len()),
        Occurred::Ended { .. } => 0,
    };
    told.intent.input.get().len() + output.map_or(0, |output| output.get().len()) + detail
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

/// Ends and events together, as far as both have been read.
async fn page(conn: &mut Conn<'_>, asked: &Asked) -> Result<Page, Error> {
    let ends = ends(conn, asked).await?;
    let events = events(conn, asked).await?;
    let mut found = ends.found;
    found.extend(events.found);
    let to = [ends.to, events.to].into_iter().flatten().min();
    found
        .retain(|occurrence, _| *occurrence > asked.after && to.is_none_or(|to| *occurrence <= to));
    Ok(Page { found, to })
}

async fn ends(conn: &mut Conn<'_>, asked: &Asked) -> Result<Page, Error> {
    let wanted = state_of(&asked.filter);
    let states = [
        IntentState::Succeeded,
        IntentState::Failed,
        IntentState::Cancelled,
    ];
    let states = states
        .iter()
        .filter(|state| wanted.is_none_or(|wanted| wanted == **state));
    let states: Vec<&str> = states.map(|state| state.as_str()).collect();
    let kinds = match &asked.filter.kind {
        Some(kind) => vec![kind.clone()],
        None => kinds(conn).await?,
    };
    let pairs = || {
        let kinds = kinds.iter();
        kinds.flat_map(|kind| states.iter().map(move |state| (kind, state)))
    };
    let rows = Rows::new()
        .texts(pairs().map(|(kind, _)| kind.as_str()))
        .texts(pairs().map(|(_, state)| *state));
    let args = Args::new()
        .rows(rows)
        .int(asked.after.at.0)
        .uuid(asked.after.intent.0)
        .int(asked.until.0)
        .int(i64::from(limits::PAGE));
    let rows = conn.fetch(&sql::ENDED_PAGE, args).await?;
    let place = |row: &Row| {
        Ok(Occurrence {
            // Nobody knows what is behind one whose id is none, at the same moment.
            intent: IntentId(row.uuid(0).unwrap_or(Uuid::max())),
            at: Micros(row.int(1)?),
            seq: Occurrence::END,
        })
    };
    let found = readable(&rows, "outcome", |row| {
        row.uuid::<Uuid>(0)?;
        let found = Found {
            kind: None,
            account: Columns::of(row, "outcome").opt_text(2),
            event: None,
        };
        Ok((place(row)?, found))
    });
    Ok(Page::new(&rows, found, place))
}

/// Those of which anything has come to its end.
async fn kinds(conn: &mut Conn<'_>) -> Result<Vec<String>, Error> {
    let args = Args::new().int(limits::FINISHED_KINDS as i64);
    let rows = conn.fetch(&sql::FINISHED_KINDS, args).await?;
    Ok(readable(&rows, "outcome", |row| row.text(0)))
}

/// Who asks for ends in a state hears of an event only if it has taken back such an end.
async fn events(conn: &mut Conn<'_>, asked: &Asked) -> Result<Page, Error> {
    let hears = |event: &EventRecord| match state_of(&asked.filter) {
        None => true,
        Some(state) => state == IntentState::Failed && withdrawn(event).is_some(),
    };
    let args = Args::new()
        .int(asked.after.at.0)
        .uuid(asked.after.intent.0)
        .int(asked.after.seq)
        .int(asked.until.0)
        .int(i64::from(limits::PAGE));
    let rows = conn.fetch(&sql::EVENT_SINCE, args).await?;
    let place = |row: &Row| {
        Ok(Occurrence {
            intent: IntentId(row.uuid(6).unwrap_or(Uuid::max())),
            at: row.opt_time(1)?.ok_or(sqlx::Error::RowNotFound)?,
            seq: row.int(0)?,
        })
    };
    let found = readable(&rows, "event", |row| {
        row.uuid::<Uuid>(6)?;
        let mut intent = Columns::of(row, "intent");
        let found = Found {
            kind: intent.opt_text(7),
            account: intent.opt_text(8),
            event: Some(event_record(row)?),
        };
        Ok((place(row)?, found))
    });
    let mut page = Page::new(&rows, found, place);
    page.found
        .retain(|_, found| found.event.as_ref().is_some_and(hears));
    Ok(page)
}
