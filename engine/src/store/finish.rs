//! Finish: outcomes, freed resources, the next in line, and parents that can go on. One commit, with whatever made the
//! intent finish.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::args::{Args, Rows};
use super::reading::readable;
use super::{Conn, Finish, line, sql};
use crate::error::Error;
use crate::id::IntentId;
use crate::state::IntentState;

/// Takes the locks that finishing, ending and parking need, each sort in one order: resources, then wait rows, those of
/// `waits` beside the parents', resources of the failed children in whose place others are asked for (`replaced`) beside
/// those that are let go of.
pub(super) async fn lock(
    conn: &mut Conn<'_>,
    finishes: &[Finish],
    replaced: impl Iterator<Item = IntentId>,
    waits: impl Iterator<Item = IntentId>,
) -> Result<(), Error> {
    if !conn.is_pg() {
        return Ok(());
    }
    let freeing = finishes
        .iter()
        .filter(|finish| finish.frees || uncovers(finish));
    let freeing = freeing.map(|finish| finish.intent);
    let freeing: BTreeSet<IntentId> = freeing.chain(replaced).collect();
    if !freeing.is_empty() {
        conn.fetch(&sql::RESOURCE_LOCK, Args::new().ids(freeing))
            .await?;
    }
    let parents = finishes.iter().filter_map(|finish| finish.parent);
    let waits: BTreeSet<IntentId> = parents.chain(waits).collect();
    if !waits.is_empty() {
        conn.fetch(&sql::WAIT_LOCK, Args::new().ids(waits)).await?;
    }
    Ok(())
}

/// Finishes intents. Returns how many others it made ready. [`lock`] comes before. `careful`: some of them may have
/// finished already. `ended`: how many routed steps have ended in this commit, of which intents.
pub(super) async fn finish(
    conn: &mut Conn<'_>,
    finishes: &[Finish],
    careful: bool,
    ended: BTreeMap<IntentId, i64>,
) -> Result<usize, Error> {
    // The outcome's insert is what allows everything after it, once.
    let (succeeded, others): (Vec<&Finish>, Vec<&Finish>) = finishes
        .iter()
        .partition(|finish| finish.state == IntentState::Succeeded && !careful);
    if !succeeded.is_empty() {
        insert_successes(conn, &succeeded).await?;
    }
    let mut finishes = succeeded;
    if !others.is_empty() {
        let finished = insert_outcomes(conn, &others).await?;
        let others = others.into_iter();
        finishes.extend(others.filter(|finish| finished.contains(&finish.intent)));
    }
    let of = |wanted: fn(&Finish) -> bool| -> Vec<IntentId> {
        let wanted = finishes.iter().filter(|finish| wanted(finish));
        wanted.map(|finish| finish.intent).collect()
    };
    let freeing = of(|finish| finish.frees);
    let cancelled = of(|finish| finish.taken_back);
    if !cancelled.is_empty() {
        let cancelled = || Args::new().ids(cancelled.iter().copied());
        conn.execute(&sql::CANCEL_DELETE, cancelled()).await?;
        conn.execute(&sql::STEP_STOP, cancelled().now()).await?;
        conn.execute(&sql::AWAITED_DELETE, cancelled()).await?;
    }
    let failed = of(|finish| finish.state == IntentState::Failed);
    if !failed.is_empty() {
        conn.execute(&sql::UNTOLD_INSERT, Args::new().ids(failed.iter().copied()))
            .await?;
        conn.execute(&sql::LINK_REOPEN, Args::new().ids(failed))
            .await?;
    }
    let waited = of(|finish| finish.waits);
    if !waited.is_empty() {
        conn.execute(&sql::WAIT_DELETE, Args::new().ids(waited))
            .await?;
    }
    let mut parents = ended;
    for parent in finishes.iter().filter_map(|f| f.parent) {
        *parents.entry(parent).or_default() += 1;
    }
    let uncovering = of(uncovers);
    let mut freed: HashSet<String> = HashSet::new();
    if !uncovering.is_empty() {
        let args = Args::new().ids(uncovering);
        let rows = conn.fetch(&sql::HOLDER_UNCOVER, args).await?;
        freed.extend(readable(&rows, "holder", |row| row.text(0)));
    }
    release(conn, freeing, freed, parents).await
}

/// What it may hold under an ancestor's lock it lets go of when it fails, whatever its kind says: the ancestor's lock keeps
/// others away, and its siblings may go on.
fn uncovers(finish: &Finish) -> bool {
    finish.state == IntentState::Failed && finish.parent.is_some() && !finish.frees
}

/// What failed children hold goes to those that are asked for in their place, as far as these want it; the rest is let go
/// of. Returns how many others may go on.
pub(super) async fn hand_over(
    conn: &mut Conn<'_>,
    pairs: &[(IntentId, IntentId)],
) -> Result<usize, Error> {
    if pairs.is_empty() {
        return Ok(0);
    }
    let failed = || pairs.iter().map(|(failed, _)| *failed);
    let rows = Rows::new()
        .uuids(failed())
        .uuids(pairs.iter().map(|(_, next)| *next));
    conn.execute(&sql::HOLDER_HAND_OVER, Args::new().rows(rows))
        .await?;
    release(conn, failed().collect(), HashSet::new(), BTreeMap::new()).await
}

/// What follows from outcomes: resources are let go of, and so are those that were `freed` already; the next in line and
/// the parents that can go on are readied. Returns how many these are.
pub(super) async fn release(
    conn: &mut Conn<'_>,
    freeing: Vec<IntentId>,
    mut freed: HashSet<String>,
    parents: BTreeMap<IntentId, i64>,
) -> Result<usize, Error> {
    if !freeing.is_empty() {
        let args = Args::new().ids(freeing);
        let rows = conn.fetch(&sql::HOLDER_FREE, args).await?;
        freed.extend(readable(&rows, "holder", |row| row.text(0)));
    }
    let next = line::wake(conn, freed).await?;
    Ok(next + wake_parents(conn, parents).await?)
}

async fn insert_successes(conn: &mut Conn<'_>, finishes: &[&Finish]) -> Result<(), Error> {
    let rows = Rows::new()
        .uuids(finishes.iter().map(|f| f.intent))
        .texts(finishes.iter().map(|f| f.kind.clone()))
        .opt_texts(finishes.iter().map(|f| f.account.clone()))
        .ints(finishes.iter().map(|f| f.requested.0))
        .ints(finishes.iter().map(|f| f.started.0))
        .jsons(finishes.iter().map(|f| f.output.clone()))
        .opt_texts(finishes.iter().map(|f| f.plan.clone()));
    conn.execute(&sql::SUCCESS_INSERT, Args::new().now().rows(rows))
        .await
}

async fn insert_outcomes(
    conn: &mut Conn<'_>,
    finishes: &[&Finish],
) -> Result<HashSet<IntentId>, Error> {
    let rows = Rows::new()
        .uuids(finishes.iter().map(|f| f.intent))
        .texts(finishes.iter().map(|f| f.kind.clone()))
        .opt_texts(finishes.iter().map(|f| f.account.clone()))
        .texts(finishes.iter().map(|f| f.state.as_str()))
        .ints(finishes.iter().map(|f| f.requested.0))
        .ints(finishes.iter().map(|f| f.started.0))
        .jsons(finishes.iter().map(|f| f.output.clone()))
        .opt_texts(
            finishes
                .iter()
                .map(|f| f.reason.map(|reason| reason.as_str())),
        )
        .opt_texts(finishes.iter().map(|f| f.error.as_deref()))
        .opt_texts(finishes.iter().map(|f| f.step.clone()))
        .opt_texts(finishes.iter().map(|f| f.plan.clone()));
    let rows = conn
        .fetch(&sql::OUTCOME_INSERT, Args::new().now().rows(rows))
        .await?;
    rows.iter().map(|row| row.uuid(0)).collect()
}

/// Counts finished children and ended routed steps; readies the intents that are parked and have enough (P3).
pub(super) async fn wake_parents(
    conn: &mut Conn<'_>,
    parents: BTreeMap<IntentId, i64>,
) -> Result<usize, Error> {
    if parents.is_empty() {
        return Ok(0);
    }
    let rows = Rows::new()
        .uuids(parents.keys().copied())
        .ints(parents.values().copied());
    let mut enough = Vec::new();
    for row in conn
        .fetch(&sql::WAIT_ARRIVE, Args::new().rows(rows))
        .await?
    {
        if row.bool(1)? {
            enough.push(row.uuid::<IntentId>(0)?);
        }
    }
    ready(conn, enough).await
}

/// Readies intents that are parked. Returns how many of these are.
pub(super) async fn ready(conn: &mut Conn<'_>, enough: Vec<IntentId>) -> Result<usize, Error> {
    if enough.is_empty() {
        return Ok(0);
    }
    let args = Args::new().ids(enough);
    Ok(conn.fetch(&sql::PARKED_READY, args).await?.len())
}
