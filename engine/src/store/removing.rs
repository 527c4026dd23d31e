//! Removing: what retention takes away, in transactions that are over soon.
//!
//! Nearly every tree is small, and goes in one transaction with others: it begins by locking their roots' outcomes, for which whoever
//! would run something of them again waits (`outcome_keep`), and has gone through them when it ends. A tree that is too large for
//! that, in intents or in their rows, is written down: [`removing_large`](super::removing_large).
//!
//! Each transaction has the row of the turn locked, so there is one at a time, whoever removes; and reads the rules, so that what a
//! person says counts from the next batch on.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::args::{Args, Rows};
use super::{Conn, Store, removing_large, retention, sql};
use crate::clock::{Micros, micros};
use crate::error::Error;
use crate::id::{IntentId, SessionId};
use crate::limits;
use crate::retention::{Rules, What};
use crate::state::IntentState;

/// Who removes.
#[derive(Debug, Clone)]
pub(crate) struct Remover {
    /// None: a person, by hand.
    pub(crate) session: Option<SessionId>,
    pub(crate) worker: String,
}

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: String,
    pub(crate) state: IntentState,
    pub(crate) what: What,
}

/// What a pass has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToRemove {
    /// Of which something has been said.
    pub(crate) targets: Vec<Target>,
    /// There may be more keys whose time is over.
    pub(crate) keys: bool,
    /// There are large trees.
    pub(crate) large: bool,
}

/// A root, and when it finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) id: IntentId,
    /// None: it had to stay before, so that the cursor is past it.
    pub(crate) finished: Option<Micros>,
}

/// What a transaction has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// There is nothing more.
    Nothing,
    /// This many intents, and there may be more.
    Some(usize),
}

/// How many intents have gone, or lost their payloads.
pub(crate) type Gone = Vec<(What, usize)>;

impl Store {
    /// Runs `work` in a transaction in which nobody else removes anything. None: it is somebody else's turn.
    pub(super) async fn in_turn<T, W>(&self, by: Remover, work: W) -> Result<Option<T>, Error>
    where
        T: Send + 'static,
        W: for<'c> Fn(Conn<'c>) -> BoxFuture<'c, Result<T, Error>> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        self.transact(move |mut conn| {
            let (by, work) = (by.clone(), work.clone());
            Box::pin(async move {
                match turn(&mut conn, &by).await? {
                    true => work(conn).await.map(Some),
                    false => Ok(None),
                }
            })
        })
        .await
    }

    /// Purges some more keys. Whether there may be more.
    pub(crate) async fn purge_keys(&self, by: Remover) -> Result<Option<bool>, Error> {
        self.in_turn(by, move |mut conn| {
            Box::pin(async move { purge_keys(&mut conn).await })
        })
        .await
    }

    /// What there is to remove; and purges the first keys whose time is over.
    pub(crate) async fn to_remove(&self, by: Remover) -> Result<Option<ToRemove>, Error> {
        self.in_turn(by, move |mut conn| {
            Box::pin(async move { to_remove(&mut conn).await })
        })
        .await
    }

    /// Removes the next few of a target.
    pub(crate) async fn remove_some(
        &self,
        by: Remover,
        target: Target,
        size: usize,
    ) -> Result<Option<Removal>, Error> {
        self.in_turn(by, move |mut conn| {
            let target = target.clone();
            Box::pin(async move { remove_some(&mut conn, &target, size).await })
        })
        .await
    }

    /// Looks again at some of what had to stay, and removes what does not have to any more. Returns what was removed, by sort; inner
    /// none: there is nothing more of it.
    pub(crate) async fn remove_kept(
        &self,
        by: Remover,
        size: usize,
    ) -> Result<Option<Option<Gone>>, Error> {
        self.in_turn(by, move |mut conn| {
            Box::pin(async move { remove_kept(&mut conn, size).await })
        })
        .await
    }
}

/// Nobody else removes anything until this transaction has ended.
async fn turn(conn: &mut Conn<'_>, by: &Remover) -> Result<bool, Error> {
    let args = Args::new()
        .uuid(by.session.map(|session| session.0))
        .text(by.worker.as_str())
        .int(micros(limits::RETENTION_TURN))
        .now();
    Ok(conn.fetch_one(&sql::RETENTION_TURN, args).await?.is_some())
}

async fn purge_keys(conn: &mut Conn<'_>) -> Result<bool, Error> {
    let args = Args::new().int(limits::KEY_PURGE as i64).now();
    let gone = conn.fetch(&sql::KEY_PURGE, args).await?;
    Ok(gone.len() == limits::KEY_PURGE)
}

async fn to_remove(conn: &mut Conn<'_>) -> Result<ToRemove, Error> {
    let keys = purge_keys(conn).await?;
    let large = removing_large::is_any(conn).await?;
    let rules = retention::rules(conn).await?;
    let mut targets = Vec::new();
    if !rules.is_empty() {
        let args = Args::new().int(limits::FINISHED_KINDS as i64);
        let rows = conn.fetch(&sql::FINISHED_KINDS, args).await?;
        let kinds = rows.iter().map(|row| row.text(0));
        let kinds: Vec<String> = kinds.collect::<Result<_, _>>()?;
        let target = |(kind, state, what)| Target { kind, state, what };
        targets.extend(rules.targets(&kinds).into_iter().map(target));
    }
    Ok(ToRemove {
        targets,
        keys,
        large,
    })
}

async fn remove_some(conn: &mut Conn<'_>, target: &Target, size: usize) -> Result<Removal, Error> {
    let rules = retention::rules(conn).await?;
    let keep = rules.keep(&target.kind, target.state);
    let Some(time) = keep.time(target.what) else {
        return Ok(Removal::Nothing);
    };
    let args = Args::new()
        .text(target.kind.as_str())
        .text(target.state.as_str())
        .text(target.what.as_str())
        .int(micros(time))
        .int((4 * size).min(limits::RETENTION_LOOK) as i64)
        .now();
    let mut roots = Vec::new();
    let mut last = None;
    for row in conn.fetch(&sql::RETENTION_ROOTS, args).await? {
        if roots.len() == size {
            break;
        }
        let root = Root {
            id: row.uuid(0)?,
            finished: Some(row.time(1)?),
        };
        if row.bool(2)? {
            roots.push(root);
        }
        last = Some(root);
    }
    if last.is_none() {
        return Ok(Removal::Nothing);
    }
    remove(conn, &rules, target, (roots, last)).await
}

/// Removes the first of these roots, as many as fit in one transaction; the cursor goes to the last that was looked at.
async fn remove(
    conn: &mut Conn<'_>,
    rules: &Rules,
    target: &Target,
    (mut roots, mut last): (Vec<Root>, Option<Root>),
) -> Result<Removal, Error> {
    let locked = lock(conn, rules, target, &roots).await?;
    let family = loop {
        let still = roots.iter().map(|root| root.id);
        let still: Vec<IntentId> = still.filter(|id| locked.contains(id)).collect();
        if let Some(family) = family(conn, &still).await?
            && fits(conn, target.what, &family).await?
        {
            break family;
        }
        if let [root] = roots[..] {
            removing_large::add(conn, root.id, target).await?;
            advance(conn, target, last).await?;
            return Ok(Removal::Some(0));
        }
        roots.truncate(roots.len() / 2);
        last = roots.last().copied();
    };
    let members: Vec<IntentId> = family.iter().map(|(member, _)| *member).collect();
    let stay = stays(conn, &members).await?;
    let root_of: HashMap<IntentId, IntentId> = family.iter().copied().collect();
    let mut reasons = HashMap::new();
    for (member, reason) in stay {
        let root = root_of.get(&member).copied().unwrap_or(member);
        reasons.entry(root).or_insert(reason);
    }
    keep(conn, target.what, &reasons).await?;
    let goes = family
        .iter()
        .filter(|(_, root)| !reasons.contains_key(root));
    let goes: Vec<IntentId> = goes.map(|(member, _)| *member).collect();
    let gone = go(conn, target.what, goes).await?;
    advance(conn, target, last).await?;
    Ok(Removal::Some(gone))
}

/// Those that had to stay and are looked at again, some of which may not have to any more: as many as one batch may remove.
async fn remove_kept(conn: &mut Conn<'_>, size: usize) -> Result<Option<Gone>, Error> {
    let rules = retention::rules(conn).await?;
    let args = Args::new().int(micros(limits::RETENTION_AGAIN));
    let args = args.int(size as i64).now();
    let rows = conn.fetch(&sql::RETENTION_AGAIN, args).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut removed = Vec::new();
    for row in &rows {
        let id: IntentId = row.uuid(0)?;
        let what: What = row.word(1)?;
        let one = || Args::new().uuid(id.0).text(what.as_str());
        let Some(kind) = row.opt_text(2)? else {
            // It runs again, and comes anew when it finishes.
            forget(conn, what, id).await?;
            continue;
        };
        conn.execute(&sql::RETENTION_LOOKED, one().now()).await?;
        let state = row.word(3)?;
        let target = Target { kind, state, what };
        let root = Root { id, finished: None };
        if let Removal::Some(count) = remove(conn, &rules, &target, (vec![root], None)).await? {
            removed.push((what, count));
        }
        if removed.iter().map(|(_, count)| count).sum::<usize>() >= size {
            break;
        }
    }
    Ok(Some(removed))
}

pub(super) async fn forget(conn: &mut Conn<'_>, what: What, root: IntentId) -> Result<(), Error> {
    let args = Args::new().ids([root]).text(what.as_str());
    conn.execute(&sql::RETENTION_FORGET, args).await
}

/// Locks the roots' outcomes. Returns those that are still old enough, in the state in which they were found.
pub(super) async fn lock(
    conn: &mut Conn<'_>,
    rules: &Rules,
    target: &Target,
    roots: &[Root],
) -> Result<Vec<IntentId>, Error> {
    let keep = rules.keep(&target.kind, target.state);
    let Some(time) = keep.time(target.what) else {
        return Ok(Vec::new());
    };
    let args = Args::new()
        .ids(roots.iter().map(|root| root.id))
        .text(target.state.as_str())
        .int(micros(time))
        .now();
    let rows = conn.fetch(&sql::RETENTION_LOCK, args).await?;
    rows.iter().map(|row| row.uuid(0)).collect()
}

/// These roots and all their descendants, each with its root; none if they are more than fit in one transaction.
async fn family(
    conn: &mut Conn<'_>,
    roots: &[IntentId],
) -> Result<Option<Vec<(IntentId, IntentId)>>, Error> {
    let mut all: Vec<(IntentId, IntentId)> = roots.iter().map(|root| (*root, *root)).collect();
    let mut level = roots.to_vec();
    while !level.is_empty() {
        let room = limits::RETENTION_BATCH.saturating_sub(all.len());
        let args = Args::new().ids(level.drain(..)).int(room as i64 + 1);
        for row in conn.fetch(&sql::RETENTION_BELOW, args).await? {
            let (id, root) = (row.uuid(0)?, row.uuid(1)?);
            all.push((id, root));
            level.push(id);
        }
        if all.len() > limits::RETENTION_BATCH {
            return Ok(None);
        }
    }
    Ok(Some(all))
}

/// Whether so many rows fit in one transaction.
async fn fits(
    conn: &mut Conn<'_>,
    what: What,
    family: &[(IntentId, IntentId)],
) -> Result<bool, Error> {
    let members: Vec<IntentId> = family.iter().map(|(member, _)| *member).collect();
    Ok(members.is_empty() || weigh(conn, what, &members).await? <= limits::RETENTION_ROWS)
}

/// How many rows there are to go with these, or payloads; not counted much further than one transaction may remove.
pub(super) async fn weigh(
    conn: &mut Conn<'_>,
    what: What,
    members: &[IntentId],
) -> Result<i64, Error> {
    let weigh = match what {
        What::Rows => &sql::RETENTION_WEIGH_ROWS,
        What::Payloads => &sql::RETENTION_WEIGH_PAYLOADS,
    };
    let args = Args::new().ids(members.iter().copied());
    let row = conn
        .fetch_one(weigh, args.int(limits::RETENTION_ROWS + 1))
        .await?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// Which of these have to stay, and why.
pub(super) async fn stays(
    conn: &mut Conn<'_>,
    members: &[IntentId],
) -> Result<HashMap<IntentId, String>, Error> {
    if members.is_empty() {
        return Ok(HashMap::new());
    }
    let args = Args::new().ids(members.iter().copied());
    let args = args.int(micros(limits::RETENTION_LEAST)).now();
    let mut stay = HashMap::new();
    for row in conn.fetch(&sql::RETENTION_STAYS, args).await? {
        let id: IntentId = row.uuid(0)?;
        let (is_unfinished, is_fresh) = (row.bool(3)?, row.bool(4)?);
        let reason = match row.opt_text(2)? {
            _ if is_unfinished => format!("intent {id} is unfinished"),
            Some(held) => format!("intent {id} holds {held}: resume, undo or discard it"),
            None if is_fresh => format!("intent {id} has finished only just now"),
            None => format!("intent {id} was claimed together with others that still run"),
        };
        stay.insert(id, reason);
    }
    Ok(stay)
}

pub(super) async fn keep(
    conn: &mut Conn<'_>,
    what: What,
    roots: &HashMap<IntentId, String>,
) -> Result<(), Error> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Rows::new()
        .uuids(roots.keys().copied())
        .texts(roots.values().map(String::as_str));
    let args = Args::new().text(what.as_str()).rows(rows).now();
    conn.execute(&sql::RETENTION_KEEP, args).await
}

/// These go, or what they were about; how many is counted in the same commit. Those of which somebody has removed the payloads
/// already are not counted again.
pub(super) async fn go(
    conn: &mut Conn<'_>,
    what: What,
    mut intents: Vec<IntentId>,
) -> Result<usize, Error> {
    if intents.is_empty() {
        return Ok(0);
    }
    if what == What::Payloads {
        let ids = || Args::new().ids(intents.iter().copied());
        let forgotten = ids().text(what.as_str());
        conn.execute(&sql::RETENTION_FORGET, forgotten).await?;
        let rows = conn.fetch(&sql::RETENTION_WHOLE, ids()).await?;
        let whole = rows.iter().map(|row| row.uuid(0));
        intents = whole.collect::<Result<_, _>>()?;
    }
    if intents.is_empty() {
        return Ok(0);
    }
    let ids = || Args::new().ids(intents.iter().copied());
    conn.execute(&sql::REMOVAL_COUNT, ids().text(what.as_str()).now())
        .await?;
    match what {
        What::Rows => conn.execute(&sql::RETENTION_REMOVE, ids()).await?,
        What::Payloads => conn.execute(&sql::RETENTION_BLANK, ids().now()).await?,
    }
    Ok(intents.len())
}

async fn advance(conn: &mut Conn<'_>, target: &Target, to: Option<Root>) -> Result<(), Error> {
    let Some((id, Some(finished))) = to.map(|root| (root.id, root.finished)) else {
        return Ok(());
    };
    let args = Args::new()
        .text(target.kind.as_str())
        .text(target.state.as_str())
        .text(target.what.as_str())
        .int(finished.0)
        .uuid(id.0);
    conn.execute(&sql::RETENTION_ADVANCE, args).await
}
