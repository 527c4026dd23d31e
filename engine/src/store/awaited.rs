//! Awaited: what steps wait for by names of their own, sleeps and signals, and the messages that come for them.
//!
//! A message is counted in its intent's wait row by a tick, whoever's, and taken for a step by the session that drives the
//! intent. Whoever parks has its wait row before it looks for messages: one that it does not find is counted later, and
//! whoever counts it sees the intent parked (PROTOCOL P3).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::args::{Args, Rows};
use super::loaded::AwaitedLoad;
use super::reading::{Reading, Unfit};
use super::session::us;
use super::{Conn, TickRequest, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::waits::Sort;

/// New messages are counted from now on. Returns how many there are for which intents; the locks of their wait rows come
/// after, and then [`count`].
pub(super) async fn deliver(conn: &mut Conn<'_>) -> Result<BTreeMap<IntentId, i64>, Error> {
    let args = Args::new().int(limits::SIGNALS_PER_TICK as i64);
    let mut new = BTreeMap::new();
    for row in conn.fetch(&sql::SIGNAL_DELIVER, args).await? {
        match row.uuid(0) {
            Ok(intent) => *new.entry(intent).or_default() += 1,
            Err(error) => {
                tracing::error!(%error, "a message is to nobody: its `intent_id` in *signal* is no id")
            }
        }
    }
    Ok(new)
}

/// Counts new messages. Returns the intents that have enough to go on.
pub(super) async fn count(
    conn: &mut Conn<'_>,
    new: &BTreeMap<IntentId, i64>,
) -> Result<Vec<IntentId>, Error> {
    let mut enough = Vec::new();
    if new.is_empty() {
        return Ok(enough);
    }
    let rows = Rows::new()
        .uuids(new.keys().copied())
        .ints(new.values().copied());
    for row in conn.fetch(&sql::WAIT_COUNT, Args::new().rows(rows)).await? {
        if row.bool(1)? {
            enough.push(row.uuid(0)?);
        }
    }
    Ok(enough)
}

/// Writes down what steps wait for, sets aside what they could not read, and takes what is there for them already: returns
/// the intents for which something was. Their wait rows are there before.
pub(super) async fn write(
    conn: &mut Conn<'_>,
    request: &TickRequest,
) -> Result<HashSet<IntentId>, Error> {
    let (awaited, aside) = (&request.awaited, &request.set_aside);
    if awaited.is_empty() && aside.is_empty() {
        return Ok(HashSet::new());
    }
    if !awaited.is_empty() {
        let rows = Rows::new()
            .uuids(awaited.iter().map(|row| row.intent))
            .texts(awaited.iter().map(|row| row.step.clone()))
            .ints(awaited.iter().map(|row| i64::from(row.generation)))
            .texts(awaited.iter().map(|row| row.name.as_str()))
            .texts(awaited.iter().map(|row| row.sort.as_str()))
            .opt_ints(awaited.iter().map(|row| us(row.due_in)));
        let args = Args::new().rows(rows).now();
        conn.execute(&sql::AWAITED_INSERT, args).await?;
    }
    if !aside.is_empty() {
        let rows = Rows::new()
            .uuids(aside.iter().map(|row| row.intent))
            .texts(aside.iter().map(|row| row.step.clone()))
            .ints(aside.iter().map(|row| i64::from(row.generation)))
            .texts(aside.iter().map(|row| row.name.as_str()))
            .texts(aside.iter().map(|row| row.error.as_str()));
        conn.execute(&sql::SIGNAL_REFUSE, Args::new().rows(rows))
            .await?;
    }
    let waiting = awaited.iter().filter(|row| row.sort == Sort::Signal);
    let waiting = waiting.map(|row| row.intent);
    let intents: BTreeSet<IntentId> = waiting.chain(aside.iter().map(|row| row.intent)).collect();
    take(conn, intents.into_iter()).await
}

/// Messages go to the steps of these intents that wait for them. Returns the intents for which there were any.
async fn take(
    conn: &mut Conn<'_>,
    intents: impl Iterator<Item = IntentId>,
) -> Result<HashSet<IntentId>, Error> {
    let args = Args::new().ids(intents).now();
    let rows = conn.fetch(&sql::SIGNAL_TAKE, args).await?;
    rows.iter().map(|row| row.uuid(0)).collect()
}

/// What the steps of these intents wait for, and what has come. The counts are read before, never after.
pub(super) async fn load(
    conn: &mut Conn<'_>,
    intents: &[IntentId],
    corrupt: &mut Unfit,
) -> Result<HashMap<IntentId, Vec<AwaitedLoad>>, Error> {
    let mut awaited: HashMap<IntentId, Vec<AwaitedLoad>> = HashMap::new();
    if intents.is_empty() {
        return Ok(awaited);
    }
    take(conn, intents.iter().copied()).await?;
    let args = Args::new().ids(intents.iter().copied()).now();
    for row in conn.fetch(&sql::AWAITED_LOAD, args).await? {
        let mut row = Reading::of(&row, "awaited");
        let intent = row.uuid(0);
        let mut waits = AwaitedLoad {
            step: row.text(1),
            generation: row.small(2),
            name: row.text(3),
            sort: Sort::from_word(&row.text(4)),
            due_in: row.opt_span(5),
            payload: None,
        };
        waits.payload = row.table("signal").opt_json(6);
        corrupt.take_of_step(intent, &waits.step, row);
        awaited.entry(intent).or_default().push(waits);
    }
    Ok(awaited)
}
